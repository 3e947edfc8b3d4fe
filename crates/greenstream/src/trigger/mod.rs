//! What starts the pipeline: files in the inbox, paths named on the command line, and objects of a bucket that
//! others put there.
//!
//! Events are hints. Whatever brings one (HTTP, SQS, NATS), it is read as [`Hint`]s, and each is taken by the
//! same [`Taker`], which looks at the bucket; a scan of the bucket finds what no event told of.

mod ask;
mod bucket;
mod cloud_event;
mod gate;
mod hint;
mod history;
mod in_hand;
pub mod inbox;
mod intake;
mod message;
#[cfg(feature = "nats")]
mod nats;
mod once;
mod paths;
mod recent;
mod scan;
mod settling;
mod sources;
#[cfg(feature = "sqs")]
mod sqs;
mod take;
#[cfg(test)]
mod tests;

pub use ask::{ask_nats, ask_sqs};
pub use cloud_event::CloudEvent;
pub use hint::{Hint, Unfit};
pub use inbox::{Bell, Inbox};
pub use intake::{Intake, Posts, Unlanded, WAITING_MAX, intake};
pub use message::hints;
pub use once::{Once, OnceError};
pub use paths::scan_paths;
pub use scan::{Scanned, scan};
pub use sources::{Sources, TriggerError};
pub use take::{Disposition, Taker};

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
