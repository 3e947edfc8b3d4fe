//! The relational store: one SQLite file, one commit point.
//!
//! [`Store`] is the one writer. It takes change sets ([`crate::change::ChangeSet`]) and applies each
//! commit as one durable transaction, with the journal position that it reflects, so that nothing
//! is ever half visible and nothing is applied twice. [`Reader`] is a read-only connection of its
//! own, for the judge, the archive, the exports and the pages; a [`Snapshot`] holds one state while
//! the writer goes on. Other programs read the views of the contract (see `views.rs`).
//!
//! Everything here is a projection of the landing zone: a damaged store is moved away and rebuilt.

mod books;
mod commit;
mod completeness;
mod context;
mod datasets;
mod days;
mod episodes;
mod error;
mod filter;
mod log;
mod outbox;
mod overview;
mod queue;
mod reader;
mod readings;
mod registers;
mod revisions;
mod rows;
mod schema;
mod summary;
#[cfg(test)]
mod tests;
mod types;
mod uploads;
mod views;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

pub use self::episodes::SilenceChange;
pub use self::error::StoreError;
pub use self::filter::Filter;
pub use self::log::Log;
pub use self::overview::HourCounts;
pub use self::reader::{Reader, Snapshot};
pub use self::summary::{Counted, Totals};
pub use self::types::{
    AlertRow, ArchiveTable, Delivery, Dirty, ErrorRow, Loser, Position, Queued, UploadRow, UploadStatus,
};

use self::error::Doing;
use crate::change::{ChangeSet, Landed};
use crate::failpoint::{self, Step};
use crate::fence::Fence;

/// How long a statement waits for another process that holds the database. Shorter than a person's
/// patience, longer than any transaction of ours.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// More statements than the store has, so that none is ever compiled twice.
const STATEMENTS: usize = 128;

/// The writer. One process owns it (the home's lock says so), one thread at a time uses it.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    path: PathBuf,
    /// Whether there is a write-ahead log.
    has_log: bool,
    fence: Fence,
}

impl Store {
    /// Opens the store at `path`, makes it where there is none, and brings an older one up to date.
    ///
    /// # Errors
    /// [`StoreError::Newer`] for a later release's file, [`StoreError::NotAStore`] for another
    /// program's; transient where the volume is away.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(path, flags).doing("be opened")?;
        conn.busy_timeout(BUSY_WAIT).doing("be opened")?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        schema::check(&conn, path)?;
        let has_log = configure(&conn).doing("be set up")?;
        schema::migrate(&mut conn, path)?;
        Ok(Store { conn, path: path.to_owned(), has_log, fence: Fence::NONE })
    }

    /// A read-only connection to the store at `path`, which a [`Store`] must have made.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn reader(path: &Path) -> Result<Reader, StoreError> {
        Reader::open(path)
    }

    /// Where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its log, for the thread that makes commits durable.
    ///
    /// # Errors
    /// [`StoreError::Log`] where it cannot be opened.
    pub fn log(&self) -> Result<Log, StoreError> {
        Log::open(&self.path, self.has_log)
    }

    /// Applies change sets, in order, as one transaction: all of them or, on any error, none. Sets
    /// at or before the stored position are skipped, so a commit may be repeated. Readers see it at
    /// once; it is durable once [`Log::sync`] has returned, and a crash before that loses whole
    /// commits from the end, which the journal repeats.
    ///
    /// # Errors
    /// [`StoreError::Broken`] where a set contradicts what is stored, [`StoreError::Unbalanced`]
    /// where the rows of a touched upload would not add up (guarantee G1), [`StoreError::Sqlite`]
    /// where the world failed.
    pub fn commit(&mut self, sets: &[Arc<ChangeSet>]) -> Result<(), StoreError> {
        let stored = self.position()?.entry;
        if sets.iter().all(|set| set.entry <= stored) {
            return Ok(());
        }
        let level = if self.has_log { "NORMAL" } else { "FULL" };
        self.conn.pragma_update(None, "synchronous", level).doing("take a commit")?;
        let apply = |conn: &Connection| {
            let mut commit = commit::Commit::begin(conn)?;
            for set in sets {
                commit.apply(set)?;
            }
            commit.finish()
        };
        let committed = failpoint::around(Step::Commit, StoreError::failing, || {
            self.change(|conn| failpoint::around(Step::Transaction, StoreError::failing, || apply(conn)))
        });
        self.conn.pragma_update(None, "synchronous", "FULL").doing("take a commit")?;
        committed
    }

    /// Where the store stands in the journal.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn position(&self) -> Result<Position, StoreError> {
        reader::position(&self.conn)
    }

    /// Says that uploads have landed, before anything of them is processed; those already known
    /// keep their state. Their journal position is not touched, and [`ChangeSet::landed`] repeats it.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed.
    pub fn land(&mut self, landed: &[Landed]) -> Result<(), StoreError> {
        self.change(|conn| uploads::land(conn, landed).map_err(StoreError::from))
    }

    /// Says durably that processing of these uploads begins, and how often it has begun for each
    /// by now (this time included; 0 for an upload that is not known). An upload that kills the
    /// process is found by its count.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed.
    pub fn begin(&mut self, uploads: &[u32]) -> Result<Vec<u32>, StoreError> {
        self.change(|conn| uploads::begin(conn, uploads).map_err(StoreError::from))
    }

    /// Moves the write-ahead log into the database and empties it, as far as readers let it.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .doing("move its log into the file")
    }

    /// Lets every transaction look first whether the home is still this process's.
    pub fn fenced_by(&mut self, fence: Fence) {
        self.fence = fence;
    }

    /// Whether this process may still change the database.
    ///
    /// # Errors
    /// [`StoreError::TakenOver`] if not.
    pub fn check_owner(&self) -> Result<(), StoreError> {
        Ok(self.fence.check()?)
    }

    /// Runs `change` in one immediate transaction, which an error undoes. Whoever takes the home over
    /// from then on waits for its end.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let tx =
            self.conn.transaction_with_behavior(TransactionBehavior::Immediate).doing("take a change")?;
        self.fence.check()?;
        let result = change(&tx)?;
        tx.commit().doing("take a change")?;
        Ok(result)
    }
}

/// Leaves one file behind where it can; the log alone would do as well.
impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.checkpoint() {
            tracing::debug!(path = %self.path.display(), %error, "the log stays beside the database");
        }
    }
}

/// Durability and sizes of the writer's connection; whether it has a write-ahead log.
fn configure(conn: &Connection) -> rusqlite::Result<bool> {
    // before the first table is made; 8 KiB measured best for a key that is appended to
    conn.pragma_update(None, "page_size", 8192)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        tracing::warn!(mode, "this file system takes no write-ahead log: readers will wait for the writer");
    }
    // all but commits of change sets, which are made durable beside the writer
    conn.pragma_update(None, "synchronous", "FULL")?;
    // 128 MiB in pages: a checkpoint costs a sync of the database, and pages written twice until
    // then are moved once; a longer log takes more of the page cache
    conn.pragma_update(None, "wal_autocheckpoint", 16_384)?;
    conn.pragma_update(None, "journal_size_limit", 128 << 20)?;
    // in KiB: the inner pages of a year of readings, and the error queue's indexes of some days
    conn.pragma_update(None, "cache_size", -40_960)?;
    common(conn)?;
    Ok(mode == "wal")
}

/// What both kinds of connection have.
fn common(conn: &Connection) -> rusqlite::Result<()> {
    // mapping the file measured slower
    conn.pragma_update(None, "mmap_size", 0)?;
    conn.pragma_update(None, "trusted_schema", false)
}
