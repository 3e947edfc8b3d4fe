//! Finds an upload that kills the process: what was being processed is noted before, and counted when
//! the process begins there again.
//!
//! The note holds the first entry that was not committed when processing began. It is not synced: a
//! killed process leaves it behind, and after a power failure one attempt more does no harm.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::failpoint::{self, Step};

/// From this attempt on at the same entry, entries are processed one at a time, so that the note names
/// the one that kills.
pub const CAREFUL_FROM: u32 = 3;
/// So often may one entry, processed alone, end the process before it is condemned.
pub const ATTEMPTS_MAX: u32 = 5;

/// The note of one home.
#[derive(Debug)]
pub struct Attempts {
    path: PathBuf,
}

impl Attempts {
    /// The note in the folder of a home.
    pub fn new(folder: &Path) -> Attempts {
        Attempts { path: folder.join("processing") }
    }

    /// Notes that processing begins at `entry`; says how often it has begun there, this time included.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn begin(&self, entry: u64) -> io::Result<u32> {
        let before = match self.read() {
            Some((noted, attempts)) if noted == entry => attempts,
            _ => 0,
        };
        let attempts = before.saturating_add(1);
        failpoint::around_io(Step::AttemptNote, || self.note(entry, attempts))?;
        Ok(attempts)
    }

    fn note(&self, entry: u64, attempts: u32) -> io::Result<()> {
        fs::write(&self.path, format!("{entry} {attempts}\n"))
    }

    /// Notes that `entry` was decoded and judged: if the process dies from here on, it dies of the world
    /// (a database that is away until a supervisor loses patience), and the upload is not to blame.
    pub fn judged(&self, entry: u64) {
        // what stays blames it for one death more
        let _ = self.note(entry, CAREFUL_FROM - 1);
    }

    /// Notes that processing has ended without killing the process.
    pub fn end(&self) {
        // what stays costs one attempt of the next entry
        let _ = fs::remove_file(&self.path);
    }

    fn read(&self) -> Option<(u64, u32)> {
        let text = fs::read_to_string(&self.path).ok()?;
        let (entry, attempts) = text.trim().split_once(' ')?;
        Some((entry.parse().ok()?, attempts.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_at_one_entry_are_counted_until_another_begins_or_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path());
        assert_eq!(attempts.begin(7).unwrap(), 1);
        assert_eq!(attempts.begin(7).unwrap(), 2);
        assert_eq!(attempts.begin(8).unwrap(), 1);
        attempts.end();
        assert_eq!(attempts.begin(8).unwrap(), 1);
        fs::write(dir.path().join("processing"), "nonsense").unwrap();
        assert_eq!(attempts.begin(8).unwrap(), 1);
    }

    #[test]
    fn an_upload_that_was_judged_is_not_blamed_for_deaths_after_that() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path());
        for _ in 0..3 * ATTEMPTS_MAX {
            let count = attempts.begin(7).unwrap();
            assert!(count <= CAREFUL_FROM, "{count}");
            if count == CAREFUL_FROM {
                attempts.judged(7);
            }
        }
        for death in CAREFUL_FROM..=ATTEMPTS_MAX + 1 {
            assert_eq!(attempts.begin(7).unwrap(), death, "blamed again where it dies before");
        }
    }
}
