//! What can go wrong between the archive and the world it is written to.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use crate::fence::TakenOver;
use crate::objects::Error as StoreError;
use deltalake_core::DeltaTableError;
use parquet::errors::ParquetError;

/// A cause that belongs to another part, such as the store's own error.
pub type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// The archive's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the archive could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The transaction log of a table could not be read or written.
    #[error("cannot {action} the transaction log of {}", table.display())]
    Log {
        /// What was tried.
        action: &'static str,
        /// The table's folder.
        table: PathBuf,
        /// What the log's library said.
        source: Box<DeltaTableError>,
    },
    /// A data file could not be written.
    #[error("cannot write {}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        source: ParquetError,
    },
    /// A file of the archive does not hold what its table says it holds.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// The store's snapshot could not be read.
    #[error("cannot read the store's snapshot")]
    Source {
        /// What the store said.
        source: Cause,
    },
    /// A flush was asked for with a snapshot that is not where the applied changes are.
    #[error("the snapshot is at journal position {snapshot} and the applied changes are at {applied}")]
    Position {
        /// Where the snapshot is.
        snapshot: u64,
        /// The last change set that was applied, or the position at opening.
        applied: u64,
    },
    /// The archive holds more than the database, which must have been restored or replaced.
    #[error("the archive is at journal position {archive}, ahead of the database at {store}")]
    Ahead {
        /// The archive's position.
        archive: u64,
        /// The database's position.
        store: u64,
    },
    /// The home is another process's now.
    #[error(transparent)]
    TakenOver(#[from] TakenOver),
    /// The runtime for the log's library could not be started.
    #[error("cannot start the archive's runtime")]
    Runtime {
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later without anyone's doing: a full disk, a folder that is
    /// away, a busy store. Damage and wrong positions stay.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Io { .. } | Error::Source { .. } | Error::Runtime { .. } => true,
            Error::Log { source, .. } => {
                matches!(**source, DeltaTableError::ObjectStore { .. } | DeltaTableError::Io { .. })
            }
            Error::Parquet { source, .. } => is_io(source),
            Error::Damaged { .. } | Error::Position { .. } | Error::Ahead { .. } | Error::TakenOver(_) => {
                false
            }
        }
    }

    /// The object store's error, where the archive is in one and that is what failed.
    #[must_use]
    pub fn of_store(&self) -> Option<&StoreError> {
        if let Error::Io { source, .. } = self { StoreError::of_io(source) } else { None }
    }

    /// What a fail point's error becomes.
    pub(super) fn failing(source: io::Error) -> Error {
        Error::Io { action: "pass", path: "a fail point".into(), source }
    }

    /// For `map_err`: an [`Error::Io`] that says what was tried.
    pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
        move |source| Error::Io { action, path: path.to_owned(), source }
    }

    /// For `map_err`: an [`Error::Parquet`] about the file that is being written.
    pub(super) fn write(path: &Path) -> impl Fn(ParquetError) -> Error + '_ {
        move |source| Error::Parquet { path: path.to_owned(), source }
    }

    /// For `map_err`: what a failed read of a data file means, damage or an absent world.
    pub(super) fn read(path: &Path) -> impl Fn(ParquetError) -> Error + '_ {
        move |source| match source {
            ParquetError::External(cause) => match cause.downcast::<io::Error>() {
                Ok(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
                    Error::Io { action: "read", path: path.to_owned(), source: *source }
                }
                Ok(source) => Error::damaged(path, source.to_string()),
                Err(cause) => Error::damaged(path, cause.to_string()),
            },
            other => Error::damaged(path, other.to_string()),
        }
    }

    /// An [`Error::Damaged`].
    pub(super) fn damaged(path: &Path, problem: impl Into<String>) -> Error {
        Error::Damaged { path: path.to_owned(), problem: problem.into() }
    }
}

fn is_io(error: &ParquetError) -> bool {
    matches!(error, ParquetError::External(cause) if cause.is::<io::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, error: &Error, transient: bool) {
        assert_eq!(error.is_transient(), transient, "{name}");
    }

    #[test]
    fn the_world_may_mend_and_damage_does_not() {
        let path = Path::new("archive/readings");
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        check("a full disk", &Error::io("write", path)(full()), true);
        check(
            "a full disk under the Parquet writer",
            &Error::write(path)(ParquetError::External(Box::new(full()))),
            true,
        );
        check("a writer's refusal", &Error::write(path)(ParquetError::General("no".into())), false);
        check("a file that ends too soon", &Error::read(path)(ParquetError::EOF("end".into())), false);
        check("a busy store", &Error::Source { source: "busy".into() }, true);
        check("an archive ahead of its store", &Error::Ahead { archive: 2, store: 1 }, false);
    }
}
