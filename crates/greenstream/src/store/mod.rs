//! The relational store: one SQLite file or one PostgreSQL database, one commit point.
//!
//! [`Store`] is the one writer. It takes change sets ([`crate::change::ChangeSet`]) and applies each
//! commit as one durable transaction, with the journal position that it reflects, so that nothing
//! is ever half visible and nothing is applied twice. [`Reader`] is a read-only connection of its
//! own, for the judge, the archive, the exports and the pages; a [`Snapshot`] holds one state while
//! the writer goes on. Other programs read the views of the contract (see `views.rs`).
//!
//! A [`Database`] says which of the two it is. What both do in the same words is here, over a connection to
//! either (`db`); `sqlite/` and `postgres/` have what differs: tables, views, how readings are found and how
//! a commit writes.
//!
//! Everything here is a projection of the landing zone: a damaged store is moved away and rebuilt.

mod audit;
mod books;
mod commit;
mod completeness;
mod context;
mod database;
mod datasets;
mod days;
mod db;
mod episodes;
mod error;
mod filter;
mod outbox;
mod overview;
mod postgres;
mod queue;
mod reader;
mod registers;
mod revisions;
mod rows;
mod sqlite;
mod summary;
#[cfg(test)]
mod tests;
mod types;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use greenstream_core::Ts;

pub use self::audit::StoredError;
pub use self::database::Database;
pub use self::episodes::SilenceChange;
pub use self::error::StoreError;
pub use self::filter::Filter;
pub use self::overview::HourCounts;
pub use self::postgres::{Ahead, Courier, PostgresFault, Server, ServerError};
pub use self::reader::{Reader, Snapshot};
pub use self::sqlite::Log;
pub use self::summary::Totals;
pub use self::types::{
    AlertRow, ArchiveTable, Delivery, Dirty, ErrorRow, Loser, Position, Queued, UploadRow, UploadStatus,
};

use self::commit::{Commit, Tables};
use self::db::Db;
use self::error::Doing;
use crate::change::{ChangeSet, Landed};
use crate::failpoint::{self, Step};
use crate::fence::Fence;

/// The writer. One process owns it (the home's lock says so, and a server's lock of the database), one thread
/// at a time uses it.
#[derive(Debug)]
pub struct Store {
    db: Db,
    place: Database,
    /// Whether there is a write-ahead log, made durable beside the writer.
    has_log: bool,
    fence: Fence,
}

impl Store {
    /// Opens the store at `place`, makes it where there is none, and brings an older one up to date.
    ///
    /// # Errors
    /// [`StoreError::Newer`] for a later release's store, [`StoreError::NotAStore`] for another
    /// program's; transient where the volume or the server is away, or another process owns the server's.
    pub fn open(place: impl Into<Database>) -> Result<Store, StoreError> {
        let place = place.into();
        let (db, has_log) = match &place {
            Database::File(path) => {
                let (conn, has_log) = sqlite::open(path)?;
                (Db::Sqlite(conn), has_log)
            }
            Database::Server(server) => (Db::Postgres(postgres::open(server)?), false),
        };
        Ok(Store { db, place, has_log, fence: Fence::NONE })
    }

    /// Refuses a later release's store and nothing else: before anything is done that such a store must
    /// not see. Changes nothing, makes nothing.
    ///
    /// # Errors
    /// [`StoreError::Newer`]. What else may be wrong with it, opening it tells.
    pub fn refuse_newer(place: impl Into<Database>) -> Result<(), StoreError> {
        let found = match &place.into() {
            Database::File(path) => sqlite::look(path),
            Database::Server(server) => postgres::look(server),
        };
        match found {
            Err(newer @ StoreError::Newer { .. }) => Err(newer),
            _ => Ok(()),
        }
    }

    /// Whether there is a store at `place`.
    ///
    /// # Errors
    /// Transient where nobody can tell, for the server is away.
    pub fn is_at(place: &Database) -> Result<bool, StoreError> {
        match place {
            Database::File(path) => Ok(path.exists()),
            Database::Server(server) => Ok(postgres::look(server)? > 0),
        }
    }

    /// Removes what a server holds at `place`; a file is its owner's to remove.
    ///
    /// # Errors
    /// [`StoreError::Postgres`] where the world failed.
    pub fn remove(place: &Database) -> Result<(), StoreError> {
        let Database::Server(server) = place else { return Ok(()) };
        postgres::remove(server)
    }

    /// Puts another store of the same server in the place of this one, which is removed, at once for all who
    /// read. Nothing where this one is a file.
    ///
    /// # Errors
    /// [`StoreError::Postgres`] where the world failed: both are then where they were.
    pub fn replace_by(&self, new: &Database) -> Result<(), StoreError> {
        let (Db::Postgres(session), Database::Server(new)) = (&self.db, new) else { return Ok(()) };
        self.fence.check()?;
        postgres::replace(session, new)
    }

    /// Waits at most `wait` until no other process has the database, which then may be this one's; a file is its
    /// home's.
    ///
    /// # Errors
    /// [`StoreError::is_held`] where one has it all the time; as [`Store::open`] where the server is away.
    pub fn wait_until_free(place: &Database, wait: Duration) -> Result<(), StoreError> {
        let Database::Server(server) = place else { return Ok(()) };
        postgres::wait_until_free(server, wait)
    }

    /// Records deliveries of bytes already known beside the owner of a database, all of them or none: (upload, name,
    /// instant). They belong to no entry. Where the connection is lost with the answer, they may have been recorded.
    ///
    /// # Errors
    /// [`StoreError::Postgres`] where the world failed.
    pub fn deliver_beside(server: &Arc<Server>, deliveries: &[(u32, String, Ts)]) -> Result<(), StoreError> {
        postgres::change_beside(server, |db| outbox::put(db, deliveries, &[]).doing("take deliveries"))
    }

    /// A read-only connection to the store at `place`, which a [`Store`] must have made.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn reader(place: impl Into<Database>) -> Result<Reader, StoreError> {
        Reader::open(place.into())
    }

    /// Where the database is.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.place
    }

    /// Its log, for the thread that makes commits durable.
    ///
    /// # Errors
    /// [`StoreError::Log`] where it cannot be opened.
    pub fn log(&self) -> Result<Log, StoreError> {
        Log::open(self.place.file().filter(|_| self.has_log))
    }

    /// Applies change sets, in order, as one transaction: all of them or, on any error, none. Sets
    /// at or before the stored position are skipped, so a commit may be repeated. Readers see it at
    /// once; it is durable once [`Log::sync`] has returned, and a crash before that loses whole
    /// commits from the end, which the journal repeats.
    ///
    /// # Errors
    /// [`StoreError::Broken`] where a set contradicts what is stored, [`StoreError::Unbalanced`]
    /// where the rows of a touched upload would not add up (guarantee G1), [`StoreError::Sqlite`] or
    /// [`StoreError::Postgres`] where the world failed.
    pub fn commit(&mut self, sets: &[Arc<ChangeSet>]) -> Result<(), StoreError> {
        let stored = self.position()?.entry;
        if sets.iter().all(|set| set.entry <= stored) {
            return Ok(());
        }
        self.durable_beside(true)?;
        let committed = failpoint::around(Step::Commit, StoreError::failing, || {
            let all = || {
                self.fence.check()?;
                apply(&self.db, sets, false)
            };
            match &self.db {
                Db::Sqlite(conn) => sqlite::change(conn, all),
                Db::Postgres(session) => session.change_soon(all),
            }
        });
        self.durable_beside(false)?;
        committed
    }

    /// As [`Store::commit`], in the transaction that has their new readings already. Where it cannot be, they go
    /// in by another.
    ///
    /// # Errors
    /// As [`Store::commit`]; what was sent is undone then.
    pub fn commit_sent(&mut self, sets: &[Arc<ChangeSet>], ahead: Ahead) -> Result<(), StoreError> {
        let stored = self.position()?.entry;
        if sets.iter().any(|set| set.entry <= stored) || !ahead.stands_for(sets) {
            drop(ahead);
            return self.commit(sets);
        }
        failpoint::around(Step::Commit, StoreError::failing, || {
            ahead.commit(|db| {
                self.fence.check()?;
                apply(db, sets, true)
            })
        })
    }

    /// What sends new readings before it is their turn; none where that makes nothing faster, in a file.
    #[must_use]
    pub fn courier(&self) -> Option<Arc<Courier>> {
        match &self.db {
            Db::Sqlite(_) => None,
            Db::Postgres(session) => Some(Arc::new(Courier::beside(session, self.fence.clone()))),
        }
    }

    /// Lets the next transaction of a file with a log be made durable beside the writer, or no longer.
    fn durable_beside(&self, beside: bool) -> Result<(), StoreError> {
        let Some(conn) = self.db.sqlite() else { return Ok(()) };
        let level = if beside && self.has_log { "NORMAL" } else { "FULL" };
        conn.pragma_update(None, "synchronous", level).doing("take a commit")
    }

    /// Where the store stands in the journal.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] or [`StoreError::Postgres`] where the database cannot be read.
    pub fn position(&self) -> Result<Position, StoreError> {
        reader::position(&self.db)
    }

    /// Says that uploads have landed, before anything of them is processed; those already known
    /// keep their state. Their journal position is not touched, and [`ChangeSet::landed`] repeats it.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] or [`StoreError::Postgres`] where the world failed.
    pub fn land(&mut self, landed: &[Landed]) -> Result<(), StoreError> {
        self.change(|db| uploads::land(db, landed).map_err(StoreError::from))
    }

    /// Says durably that processing of these uploads begins, and how often it has begun for each
    /// by now (this time included; 0 for an upload that is not known). An upload that kills the
    /// process is found by its count.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] or [`StoreError::Postgres`] where the world failed.
    pub fn begin(&mut self, uploads: &[u32]) -> Result<Vec<u32>, StoreError> {
        self.change(|db| uploads::begin(db, uploads).map_err(StoreError::from))
    }

    /// Moves the write-ahead log of a file into it and empties it, as far as readers let it.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        let Some(conn) = self.db.sqlite() else { return Ok(()) };
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).doing("move its log into the file")
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

    /// Runs `change` in one transaction, which an error undoes. Whoever takes the home over from then on
    /// waits for its end.
    fn change<T>(&mut self, change: impl FnOnce(&Db) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let (db, fence) = (&self.db, &self.fence);
        let change = || {
            fence.check()?;
            change(db)
        };
        match db {
            Db::Sqlite(conn) => sqlite::change(conn, change),
            Db::Postgres(session) => session.change(change),
        }
    }
}

/// The work of one commit, in the transaction around it, which has the new readings already where they `are_sent`.
fn apply(db: &Db, sets: &[Arc<ChangeSet>], are_sent: bool) -> Result<(), StoreError> {
    fn all(mut commit: Commit<'_, impl Tables>, sets: &[Arc<ChangeSet>]) -> Result<(), StoreError> {
        sets.iter().try_for_each(|set| commit.apply(set))?;
        commit.finish()
    }
    failpoint::around(Step::Transaction, StoreError::failing, || match db {
        Db::Sqlite(conn) => all(Commit::begin(db, sqlite::Tables::new(conn).doing("take a commit")?)?, sets),
        Db::Postgres(session) => all(Commit::begin(db, postgres::Tables::new(db, session, are_sent))?, sets),
    })
}

/// Leaves one file behind where it can; the log alone would do as well.
impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.checkpoint() {
            tracing::debug!(place = %self.place, %error, "the log stays beside the database");
        }
    }
}
