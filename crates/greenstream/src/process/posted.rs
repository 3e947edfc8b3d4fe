//! Uploads that came over the network, whole, and wait to land.

use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use super::lander::Note;
use crate::landing::{Error as LandingError, Source};

/// What is to land, from both doors: files of the inbox and uploads that came over the network.
#[derive(Default)]
pub struct Arrivals {
    /// Files of the inbox, removed once landed.
    pub files: Vec<PathBuf>,
    /// Uploads whose senders wait for an answer.
    pub posted: Vec<Posted>,
}

/// An upload whose sender waits for an answer.
pub struct Posted {
    /// Its name, for people.
    pub name: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// Where the answer goes. Dropped without one, nothing was acknowledged.
    pub answer: oneshot::Sender<Result<Receipt, Refused>>,
}

/// The bytes of an upload that has come whole.
pub enum Bytes {
    /// Few: in memory.
    Memory(Vec<u8>),
    /// Many: in a file of their own.
    Staged(Staged),
}

/// A file that is removed when this is dropped; what a crash leaves is removed at the next start.
pub struct Staged(PathBuf);

/// What a sender is told once its upload is on stable storage.
#[derive(Debug)]
pub struct Receipt {
    /// What became of it.
    pub note: Note,
    /// The hash of the bytes as they landed.
    pub sha256: String,
    /// Their number.
    pub bytes: u64,
}

/// Why nothing was acknowledged; trying again later may help.
#[derive(Debug)]
pub struct Refused {
    /// What is wrong.
    pub problem: String,
    /// The way out.
    pub hint: String,
}

impl From<&LandingError> for Refused {
    fn from(error: &LandingError) -> Refused {
        // the path in the error's own words is of no use to a sender
        let problem = match error {
            LandingError::Io { action, source, .. } => {
                format!("cannot {action} in the landing zone: {source}")
            }
            other => other.to_string(),
        };
        Refused { problem, hint: error.hint().to_owned() }
    }
}

impl Staged {
    /// Takes charge of a file.
    pub fn new(path: PathBuf) -> Staged {
        Staged(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, file = %self.0.display(), "a received file stays until the next start");
        }
    }
}

impl Bytes {
    /// How many, as far as the file says it.
    pub(super) fn len(&self) -> u64 {
        match self {
            Bytes::Memory(bytes) => bytes.len() as u64,
            Bytes::Staged(staged) => std::fs::metadata(staged.path()).map_or(0, |found| found.len()),
        }
    }

    /// Where landing reads them, and what keeps them there until it has.
    pub(super) fn source(self) -> (Source, Option<Staged>) {
        match self {
            Bytes::Memory(bytes) => (Source::Bytes(bytes), None),
            Bytes::Staged(staged) => (Source::File(staged.path().to_owned()), Some(staged)),
        }
    }
}
