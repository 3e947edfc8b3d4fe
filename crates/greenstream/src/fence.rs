//! The right to change a home, and how a process learns that it has lost it.
//!
//! The lock of a home keeps a second process out. But a lock file can be deleted or replaced under a
//! process that is stopped, and some file systems have no locks. So whoever takes the lock marks the file,
//! and every change of what is shared (a name in the landing zone, a transaction, an entry of the archive's
//! log, a file removed) looks first whether the mark is still there: one `stat`. A process that finds
//! another's mark changes nothing and ends.
//!
//! What is already under way is harmless: names are given by `link`, which never replaces one, so the
//! second of two entries with one number fails; and a transaction holds the database until it ends.
//! A database that several machines share is fenced too, by a row that it keeps (`store/postgres/session.rs`).

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The home has another owner now, or none.
#[derive(Debug, thiserror::Error)]
#[error("another process has taken over the home: the lock {} is no longer this process's", lock.display())]
pub struct TakenOver {
    /// The lock file.
    pub lock: PathBuf,
}

impl TakenOver {
    /// The way out, in one sentence.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        "this process has changed nothing since; the lock file names the new owner, or the database has one; where there is none, start again"
    }
}

/// The mark of one owner of a home. Clones are the same mark.
#[derive(Clone, Debug, Default)]
pub struct Fence(Option<Arc<Mark>>);

/// The lock file as its owner left it. Its inode stays taken as long as the owner has it open.
#[derive(PartialEq, Eq, Debug)]
struct Mark {
    lock: PathBuf,
    inode: (u64, u64),
    written_at: (i64, i64),
}

impl Mark {
    fn of(lock: &Path, metadata: &Metadata) -> Mark {
        Mark {
            lock: lock.to_owned(),
            inode: (metadata.dev(), metadata.ino()),
            written_at: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Fence {
    /// No fence: for what has no home, such as a landing zone by itself.
    pub const NONE: Fence = Fence(None);

    /// The mark of the owner that has just written its lock file.
    pub(crate) fn around(lock: &Path, metadata: &Metadata) -> Fence {
        Fence(Some(Arc::new(Mark::of(lock, metadata))))
    }

    /// Passes while the home is this process's.
    ///
    /// # Errors
    /// [`TakenOver`] once the lock file is gone, another, or written by another. A system that does not
    /// answer is no evidence, and what comes next meets it too.
    pub fn check(&self) -> Result<(), TakenOver> {
        let Some(mark) = &self.0 else { return Ok(()) };
        let lost = match fs::symlink_metadata(&mark.lock) {
            Ok(metadata) => Mark::of(&mark.lock, &metadata) != **mark,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if lost { Err(TakenOver { lock: mark.lock.clone() }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_gone_replaced_or_written_by_another_has_been_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("lock");
        let others: [&dyn Fn(); 3] = [
            &|| fs::remove_file(&lock).unwrap(),
            &|| {
                let other = dir.path().join("other");
                fs::write(&other, "2").unwrap();
                fs::rename(&other, &lock).unwrap();
            },
            &|| {
                let file = fs::OpenOptions::new().write(true).open(&lock).unwrap();
                let later =
                    file.metadata().unwrap().modified().unwrap() + std::time::Duration::from_millis(4);
                file.set_modified(later).unwrap();
            },
        ];
        for take_over in others {
            fs::write(&lock, "1").unwrap();
            let held = fs::File::open(&lock).unwrap();
            let fence = Fence::around(&lock, &held.metadata().unwrap());
            fence.check().unwrap();
            fs::read(&lock).unwrap();
            fence.check().unwrap();
            take_over();
            assert_eq!(fence.check().unwrap_err().lock, lock);
        }
        Fence::NONE.check().unwrap();
    }
}
