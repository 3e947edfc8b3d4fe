//! A batch of uploads, start to finish: the only place where all parts meet.
//!
//! `journal -> decode -> windows -> rules::judge -> diff -> store.commit(ChangeSet) -> archive`
//!
//! There is one path. An in-order upload is the case with nothing after it, a late one the case with
//! something after it, and a rebuild is this over the whole journal into an empty store.

mod archivist;
mod attempts;
mod books;
mod committed;
mod context;
mod decide;
mod entry;
mod episodes;
mod error;
mod handover;
mod job;
mod judging;
mod lander;
mod mirror;
pub mod names;
mod onward;
mod packed;
mod past;
mod pipeline;
mod posted;
mod prepare;
mod progress;
mod rebuild;
mod registers;
mod revisions;
mod room;
mod service;
mod silence;
mod standby;
mod texts;
mod unrecorded;
mod waiting;
mod window;
mod writer;

pub use error::{ProcessError, with_causes};
pub(crate) use job::{Job, Task, Upload};
pub use lander::{Given, Note};
pub use mirror::{StoreSource, compare_day};
pub use posted::{Arrivals, Bytes, Posted, Receipt, Refused, Staged};
pub(crate) use prepare::{DecodedUpload, Preparer};
pub use progress::{Counts, Progress};
pub use rebuild::{Difference, Rebuilt};
pub use service::Service;
pub use silence::watch as watch_silence;
pub use standby::{StandBy, open_judged, open_when_free, wait_for_turn};
pub(crate) use texts::{Library, Own};
pub use unrecorded::Unrecorded;

use crate::change::DeadLetter;

/// The dead letter of an upload that fails by itself, however often it is tried.
fn failed_letter(attempts: u32) -> DeadLetter {
    DeadLetter {
        code: "processing_failed".to_owned(),
        message: format!("processing failed {attempts} times"),
        hint: "report it with the file; `greenstream dead-letters retry` tries it again with a later release"
            .to_owned(),
    }
}
