//! The store in a file: SQLite, the embedded default.

mod log;
mod queue;
mod readings;
mod schema;
mod tables;
mod views;

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use self::log::Log;

#[cfg(test)]
pub(super) use self::schema::make_first_version;
pub(super) use self::tables::Tables;

use super::error::{Doing, StoreError};

/// How long a statement waits for another process that holds the database. Shorter than a person's
/// patience, longer than any transaction of ours.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// More statements than the store has, so that none is ever compiled twice.
const STATEMENTS: usize = 128;

/// The writer's connection, and whether it has a write-ahead log.
pub(super) fn open(path: &Path) -> Result<(Connection, bool), StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).doing("be opened")?;
    conn.busy_timeout(BUSY_WAIT).doing("be opened")?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    schema::check(&conn, path)?;
    let has_log = configure(&conn).doing("be set up")?;
    schema::migrate(&mut conn, path)?;
    Ok((conn, has_log))
}

/// A reader's connection, to a file that a writer has made and brought up to date.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).doing("be opened for reading")?;
    conn.busy_timeout(BUSY_WAIT).doing("be opened for reading")?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // in KiB: a reader passes most pages once, and each thread has one of its own
    conn.pragma_update(None, "cache_size", -16_384).doing("be opened for reading")?;
    common(&conn).doing("be opened for reading")?;
    match schema::check(&conn, path)? {
        schema::VERSION => Ok(conn),
        0 => {
            let found = "a store that this release has not opened for writing yet";
            Err(StoreError::NotAStore { path: path.to_owned(), found })
        }
        found => Err(StoreError::Older { path: path.to_owned(), found, known: schema::VERSION }),
    }
}

/// Refuses a file that this program must not touch; says its version otherwise. Changes nothing.
pub(super) fn look(path: &Path) -> Result<i32, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).doing("be opened")?;
    schema::check(&conn, path)
}

/// Runs `change` in one immediate transaction, which an error undoes.
pub(super) fn change<T>(
    conn: &Connection,
    change: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate).doing("take a change")?;
    let changed = change()?;
    tx.commit().doing("take a change")?;
    Ok(changed)
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
    // else a range that is bound anew makes the statement be parsed and planned anew
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "trusted_schema", false)
}
