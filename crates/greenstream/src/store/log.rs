//! The write-ahead log beside the writer: made durable, and moved into the database, by a thread
//! that is not the writer's, so that the next commit need not wait for the disk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::{Doing, StoreError};
use super::common;

/// Rows of change sets after which the log is moved into the database: about 64 MB of it.
const RELIEF_ROWS: usize = 600_000;

/// The log of one open [`super::Store`].
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    conn: Connection,
    /// Rows since the log was last moved.
    rows: usize,
}

impl Log {
    /// Opens the log of the database at `path`, which a [`super::Store`] holds open.
    ///
    /// # Errors
    /// [`StoreError::Log`] and [`StoreError::Sqlite`] where either file cannot be opened.
    pub(super) fn open(path: &Path) -> Result<Log, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags).doing("be opened")?;
        // it may pass a checkpoint by, and never waits for one
        conn.busy_timeout(Duration::ZERO).doing("be opened")?;
        common(&conn).doing("be opened")?;
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        let path = PathBuf::from(name);
        let failed = |source| StoreError::Log { path: path.clone(), source };
        let file = File::open(&path).map_err(failed)?;
        // the log's own name, which SQLite would make durable with its first sync
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(Log { path, file, conn, rows: 0 })
    }

    /// Makes every commit that has returned durable.
    ///
    /// # Errors
    /// [`StoreError::Log`]; what was committed since the last sync may then be lost, so the store must be opened
    /// anew.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|source| StoreError::Log { path: self.path.clone(), source })
    }

    /// Moves the log into the database where `rows` more of committed change sets make it large, as
    /// far as readers let it.
    pub fn relieve(&mut self, rows: usize) {
        self.rows += rows;
        if self.rows < RELIEF_ROWS {
            return;
        }
        self.rows = 0;
        if let Err(error) = self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::debug!(%error, "the log stays as it is for now");
        }
    }
}

