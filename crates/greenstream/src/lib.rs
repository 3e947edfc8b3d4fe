//! The GreenStream service as a library: landing, trigger, process, store, archive, alert.

pub mod archive;
pub mod change;
