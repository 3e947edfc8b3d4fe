//! The GreenStream service as a library. A reader who knows the path of the data finds every room:
//! [`landing`], [`trigger`], [`process`], [`store`], [`archive`], [`alert`].

pub mod alert;
pub mod archive;
pub mod change;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dataset;
pub mod explain;
pub mod failpoint;
pub mod fence;
pub mod home;
pub mod landing;
pub mod objects;
pub mod outage;
pub mod process;
pub mod quality;
mod queue;
mod status;
pub mod store;
mod text;
pub mod trigger;
pub mod verify;
pub mod web;
