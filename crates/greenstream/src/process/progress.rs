//! How far processing has come: counters that a progress bar, a metric or a report reads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::change::ChangeSet;

/// Counts of what has been committed in this process.
#[derive(Debug, Default)]
pub struct Progress {
    uploads: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    dead: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Uploads done or dead.
    pub uploads: u64,
    /// Their rows.
    pub rows: u64,
    /// Their decoded bytes.
    pub bytes: u64,
    /// Those of them that are dead letters.
    pub dead: u64,
}

impl Progress {
    /// Counts a committed change set.
    pub fn committed(&self, set: &ChangeSet) {
        let Some(outcome) = &set.outcome else { return };
        self.uploads.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(u64::from(outcome.rows), Ordering::Relaxed);
        self.bytes.fetch_add(outcome.decoded_bytes, Ordering::Relaxed);
        self.dead.fetch_add(u64::from(outcome.dead.is_some()), Ordering::Relaxed);
    }

    /// The counts now.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            uploads: read(&self.uploads),
            rows: read(&self.rows),
            bytes: read(&self.bytes),
            dead: read(&self.dead),
        }
    }
}
