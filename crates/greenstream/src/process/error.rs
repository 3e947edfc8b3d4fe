//! How processing fails: a bad world, never bad data.

use crate::archive::Error as ArchiveError;
use crate::config::ConfigError;
use crate::fence::TakenOver;
use crate::landing::Error as LandingError;
use crate::outage::Part;
use crate::store::{Database, StoreError};

/// An error with all its causes, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

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
    /// Another process judges by a configuration that came after the one this process began with.
    #[error("another process has brought version {version} of the configuration meanwhile")]
    Superseded {
        /// Its version.
        version: u32,
    },
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
            | ProcessError::Superseded { .. }
            | ProcessError::Stopped
            | ProcessError::Internal(_) => false,
        }
    }

    /// Whether another process has the database that this one wanted, or has had it meanwhile.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, ProcessError::Store(error) if error.is_elsewhere())
    }

    /// Whether another process has the database just now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, ProcessError::Store(error) if error.is_held())
    }

    /// Whether somebody has to correct a setting, or a folder of this machine, before it helps to try again.
    #[must_use]
    pub fn asks_for_settings(&self) -> bool {
        match self {
            ProcessError::Store(error) => error.asks_for_settings(),
            ProcessError::Io { .. } => true,
            _ => false,
        }
    }

    /// The same, or, where a database seems to be damaged, what the system says when the file is read: a disk
    /// that fails to read may mend, damage does not.
    #[must_use]
    pub fn or_unreadable(self, database: &Database) -> ProcessError {
        let Some(database) = database.file() else { return self };
        if !matches!(&self, ProcessError::Store(error) if error.is_damage()) {
            return self;
        }
        let read = || std::io::copy(&mut std::fs::File::open(database)?, &mut std::io::sink());
        match read() {
            Err(source) => ProcessError::Io { path: database.to_owned(), source },
            Ok(_) => self,
        }
    }

    /// Whether a database seems to be damaged, and the disk says nothing.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, ProcessError::Store(error) if error.is_damage())
    }

    /// The part that is out of order.
    pub fn part(&self) -> Part {
        match self {
            ProcessError::Landing(_) => Part::Landing,
            // what failed is the database that the archive is written from
            ProcessError::Archive(ArchiveError::Source { .. }) => Part::Database,
            ProcessError::Archive(_) => Part::Archive,
            // the home's own folder is the database's
            _ => Part::Database,
        }
    }

    /// The way out.
    pub fn hint(&self) -> String {
        match self {
            ProcessError::Landing(error) => error.hint().to_string(),
            ProcessError::Store(error) => error.hint().to_string(),
            ProcessError::Archive(ArchiveError::TakenOver(lost)) => lost.hint().to_owned(),
            ProcessError::Archive(error) => match error.of_store() {
                Some(store) => store.hint().to_owned(),
                None => "look at the archive folder and the free space; `greenstream rebuild` writes the archive anew"
                    .to_owned(),
            },
            ProcessError::Config(error) => error.hint.clone(),
            ProcessError::Io { .. } => "look at the folder, its permissions and the free space".to_owned(),
            ProcessError::TakenOver(lost) => lost.hint().to_owned(),
            ProcessError::Superseded { .. } => {
                "give this process the same configuration and start it again".to_owned()
            }
            ProcessError::Stopped => "see the error before this one".to_owned(),
            ProcessError::Internal(_) => {
                "run `greenstream verify`; `greenstream rebuild` builds everything again from landing/"
                    .to_owned()
            }
        }
    }
}
