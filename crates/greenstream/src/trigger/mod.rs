//! What starts the pipeline: files in the inbox, and paths named on the command line.

pub mod inbox;
mod paths;
mod settling;

pub use inbox::{Bell, Inbox};
pub use paths::scan_paths;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Why a file with this name is not taken, if it is not: it is hidden, or marked as not yet whole.
fn unfit_name(name: &OsStr) -> Option<&'static str> {
    match name.as_bytes() {
        [b'.', ..] => Some("hidden"),
        name if name.ends_with(b".tmp") => Some("marked as temporary by `.tmp`"),
        name if name.ends_with(b".part") => Some("marked as incomplete by `.part`"),
        _ => None,
    }
}
