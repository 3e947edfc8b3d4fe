//! The write-ahead log of a file, made durable by a thread that is not the writer's, so that the next commit
//! need not wait for the disk.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::failpoint::{self, Step};
use crate::store::StoreError;

/// The log of one open [`crate::store::Store`]; none where its file system takes none or it is a server's, and each commit is
/// durable when it returns.
#[derive(Debug)]
pub struct Log(Option<(PathBuf, File)>);

impl Log {
    /// Opens the log of the database at `path`, which a [`crate::store::Store`] holds open; of none where
    /// each commit is durable by itself.
    ///
    /// # Errors
    /// [`StoreError::Log`] where it cannot be opened.
    pub(in crate::store) fn open(path: Option<&Path>) -> Result<Log, StoreError> {
        let Some(path) = path else { return Ok(Log(None)) };
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
        let sync = || self.0.as_ref().map_or(Ok(()), |(_, file)| file.sync_data());
        failpoint::around_io(Step::LogSync, sync).map_err(|source| {
            let path = self.0.as_ref().map(|(path, _)| path.clone()).unwrap_or_default();
            StoreError::Log { path, source }
        })
    }
}
