//! What can go wrong with the world while landing; bad data is never an error here.

use crate::fence::TakenOver;
use crate::objects::Error as StoreError;
use std::io;
use std::path::{Path, PathBuf};

/// Why the landing zone could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused an operation on a file or folder.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The journal is not what was written: a torn line, a broken chain, a missing segment.
    #[error("{}, line {line}: {problem}", path.display())]
    Journal {
        /// The segment.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The journal says something that this release does not know: a later one wrote it.
    #[error("{}, line {line}: {problem}; a later release has written it", path.display())]
    Newer {
        /// The segment.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is not known.
        problem: String,
    },
    /// An entry that must not be written, because no reader would accept it.
    #[error("the journal takes no such entry: {problem}")]
    Unfit {
        /// What is wrong with it.
        problem: String,
    },
    /// The home is another process's now.
    #[error(transparent)]
    TakenOver(#[from] TakenOver),
    /// No upload has this number.
    #[error("upload {upload} has not landed")]
    NoSuchUpload {
        /// The number asked for.
        upload: u32,
    },
    /// A source that is not a regular file: a folder, symbolic link, FIFO, socket or device.
    #[error("{} is {what}, not a regular file", path.display())]
    NotRegular {
        /// Which.
        path: PathBuf,
        /// What it is instead, with its article.
        what: &'static str,
    },
    /// A source that was written while it was read.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// A source larger than the landing zone takes.
    #[error("{} has {bytes} bytes, more than the limit of {limit}", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

impl Error {
    /// Whether trying again later may help without anyone changing the landing zone: a full disk,
    /// an input/output error, a missing permission, a file that is still being written.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Error::Io { .. } | Error::Changed { .. })
    }

    /// Whether there is no space left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Error::Io { source, .. } if full.contains(&source.kind()))
    }

    /// The way out, in one sentence.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        if let Error::Io { source, .. } = self
            && let Some(error) = StoreError::of_io(source)
        {
            return error.hint();
        }
        match self {
            Error::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some space; nothing is lost, landing resumes by itself"
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "give this user the right to read and write there; landing resumes by itself"
                }
                io::ErrorKind::NotFound => "put it back, or name another",
                _ => "look at the disk and the system log; landing resumes by itself",
            },
            Error::Journal { .. } => {
                "the landing zone was changed by others: run `greenstream verify`, then restore `landing/` from its backup"
            }
            Error::Newer { .. } => {
                "use the release that wrote it, or a later one; if there is none, `greenstream verify` tells whether the journal is damaged"
            }
            Error::Unfit { .. } => "this is a defect of the program: please report it with the message",
            Error::TakenOver(lost) => lost.hint(),
            Error::NoSuchUpload { .. } => "see `greenstream uploads` for the numbers there are",
            Error::NotRegular { .. } => "give the file itself",
            Error::Changed { .. } => "write the file under a hidden name and rename it when it is whole",
            Error::TooLarge { .. } => "split the file into smaller uploads",
        }
    }
}

/// Adds what was tried, and on what, to the system's answer.
pub(super) trait Doing<T> {
    fn doing(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { action, path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_tells_what_to_do() {
        for (kind, is_full, hint) in [
            (io::ErrorKind::StorageFull, true, "free some space"),
            (io::ErrorKind::QuotaExceeded, true, "free some space"),
            (io::ErrorKind::PermissionDenied, false, "the right to read and write"),
            (io::ErrorKind::ReadOnlyFilesystem, false, "the right to read and write"),
            (io::ErrorKind::NotFound, false, "put it back"),
            (io::ErrorKind::Other, false, "the system log"),
        ] {
            let error = Err::<(), _>(io::Error::from(kind)).doing("write", Path::new("x")).unwrap_err();
            assert_eq!((error.is_full(), error.is_transient()), (is_full, true), "{kind:?}");
            assert!(error.hint().contains(hint), "{}", error.hint());
            assert_eq!(error.to_string(), "cannot write x");
        }
        assert!(!Error::NoSuchUpload { upload: 1 }.is_full());
        let changed = Error::Changed { path: PathBuf::from("x") };
        assert!(changed.is_transient() && changed.hint().contains("rename it when it is whole"));
    }
}
