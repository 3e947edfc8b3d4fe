//! How processing fails: a bad world, never bad data.

use crate::archive::Error as ArchiveError;
use crate::config::ConfigError;
use crate::fence::TakenOver;
use crate::landing::Error as LandingError;
use crate::store::StoreError;

/// A failure of one of the parts, or a broken invariant.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The landing zone cannot be read or written.
    #[error("landing zone: {0}")]
    Landing(#[from] LandingError),
    /// The database cannot be read or written.
    #[error("database: {0}")]
    Store(#[from] StoreError),
    /// The archive cannot be read or written.
    #[error("archive: {0}")]
    Archive(#[from] ArchiveError),
    /// The journal holds a configuration that this release cannot use.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// A file or folder of the home cannot be changed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: std::path::PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The home is another process's now.
    #[error(transparent)]
    TakenOver(#[from] TakenOver),
    /// Another stage of the pipeline has failed and said so.
    #[error("the pipeline has stopped")]
    Stopped,
    /// Something that cannot be: a bug, named by its place.
    #[error("internal error: {0}")]
    Internal(String),
}

impl ProcessError {
    /// What a fail point's error becomes.
    pub(super) fn failing(source: std::io::Error) -> ProcessError {
        ProcessError::Io { path: "a fail point".into(), source }
    }

    /// Whether trying again later can help.
    pub fn is_transient(&self) -> bool {
        match self {
            ProcessError::Landing(error) => error.is_transient(),
            ProcessError::Store(error) => error.is_transient(),
            ProcessError::Archive(error) => error.is_transient(),
            ProcessError::Io { .. } => true,
            ProcessError::Config(_)
            | ProcessError::TakenOver(_)
            | ProcessError::Stopped
            | ProcessError::Internal(_) => false,
        }
    }

    /// The way out.
    pub fn hint(&self) -> String {
        match self {
            ProcessError::Landing(error) => error.hint().to_string(),
            ProcessError::Store(error) => error.hint().to_string(),
            ProcessError::Archive(ArchiveError::TakenOver(lost)) => lost.hint().to_owned(),
            ProcessError::Archive(_) => {
                "look at the archive folder and the free space; `greenstream rebuild` writes the archive anew"
                    .to_owned()
            }
            ProcessError::Config(error) => error.hint.clone(),
            ProcessError::Io { .. } => "look at the folder, its permissions and the free space".to_owned(),
            ProcessError::TakenOver(lost) => lost.hint().to_owned(),
            ProcessError::Stopped => "see the error before this one".to_owned(),
            ProcessError::Internal(_) => {
                "run `greenstream verify`; `greenstream rebuild` builds everything again from landing/"
                    .to_owned()
            }
        }
    }
}
