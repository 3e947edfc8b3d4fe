//! The GreenStream service as a library: landing, trigger, process, store, archive, alert.

pub mod change;
pub mod clock;
pub mod home;
pub mod landing;
pub mod trigger;
