//! The write-ahead log, made durable by a thread that is not the writer's, so that the next commit
//! need not wait for the disk.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use crate::failpoint::{self, Step};

/// The log of one open [`super::Store`]; none where its file system takes none, and each commit is
/// durable when it returns.
#[derive(Debug)]
pub struct Log(Option<(PathBuf, File)>);

impl Log {
    /// Opens the log of the database at `path`, which a [`super::Store`] holds open.
    ///
    /// # Errors
    /// [`StoreError::Log`] where it cannot be opened.
    pub(super) fn open(path: &Path, has_log: bool) -> Result<Log, StoreError> {
        if !has_log {
            return Ok(Log(None));
        }
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        let path = PathBuf::from(name);
        let failed = |source| StoreError::Log { path: path.clone(), source };
        let file = File::open(&path).map_err(failed)?;
        // the log's own name, which SQLite would make durable with its first sync
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(Log(Some((path, file))))
    }

    /// Makes every commit that has returned durable.
    ///
    /// # Errors
    /// [`StoreError::Log`]; what was committed since the last sync may then be lost, so the store must
    /// be opened anew.
    pub fn sync(&self) -> Result<(), StoreError> {
        let Some((path, file)) = &self.0 else { return Ok(()) };
        failpoint::around_io(Step::LogSync, || file.sync_data())
            .map_err(|source| StoreError::Log { path: path.clone(), source })
    }
}
