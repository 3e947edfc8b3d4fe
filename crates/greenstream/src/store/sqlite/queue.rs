//! Rows into the error queue of a file, and out of it; [`crate::store::queue`] says what it holds.

use greenstream_core::{Flags, Power, Reason, Ts};
use rusqlite::{CachedStatement, Connection, params};

use crate::change::{Status, SupersededRow};
use crate::store::error::is_conflict;
use crate::store::queue::{Entry, RowId, UPDATE};

/// Rows in one bulk statement.
const BULK: usize = 32;
/// Columns of `t_error`, as [`bind`] binds them.
const COLUMNS: usize = 10;

/// Writes `t_error` and `t_superseded`.
pub(super) struct Queue<'c> {
    conn: &'c Connection,
    bulk: CachedStatement<'c>,
    insert: CachedStatement<'c>,
    update: CachedStatement<'c>,
    delete: CachedStatement<'c>,
    lose: CachedStatement<'c>,
    revive: CachedStatement<'c>,
}

impl<'c> Queue<'c> {
    pub(super) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        let insert = |rows: usize| {
            let row = format!("({})", ["?"; COLUMNS].join(","));
            let rows = vec![row; rows].join(",");
            format!(
                "INSERT OR FAIL INTO t_error
                 (upload, row_number, meter, meter_text, ts, kw, reason, flags, status, raw) VALUES {rows}"
            )
        };
        Ok(Queue {
            conn,
            bulk: conn.prepare_cached(&insert(BULK))?,
            insert: conn.prepare_cached(&insert(1))?,
            update: conn.prepare_cached(UPDATE)?,
            delete: conn.prepare_cached("DELETE FROM t_error WHERE upload = ?1 AND row_number = ?2")?,
            lose: conn.prepare_cached("INSERT INTO t_superseded VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?,
            revive: conn.prepare_cached("DELETE FROM t_superseded WHERE upload = ?1 AND row_number = ?2")?,
        })
    }

    /// Puts rows into the queue that are not there, fastest in the order of rows. The first that was
    /// there already, by its place, which leaves the rest out.
    pub(super) fn insert_all(&mut self, entries: &[Entry<'_>]) -> rusqlite::Result<Option<usize>> {
        let mut done = 0;
        let (bulks, rest) = entries.split_at(entries.len() / BULK * BULK);
        for entries in bulks.chunks(BULK).chain(rest.chunks(1)) {
            let statement = if entries.len() == BULK { &mut self.bulk } else { &mut self.insert };
            for (at, entry) in entries.iter().enumerate() {
                bind(statement, at * COLUMNS, entry)?;
            }
            match statement.raw_execute() {
                Err(error) if is_conflict(&error) => {
                    let before = usize::try_from(self.conn.changes()).unwrap_or(0);
                    return Ok(Some(if entries.len() == 1 { done } else { done + before }));
                }
                result => result?,
            };
            done += entries.len();
        }
        Ok(None)
    }

    /// Writes anew what may change of an entry: everything but whose it is, when, and its line.
    /// False where the row is not in the queue.
    pub(super) fn update(
        &mut self,
        row: RowId,
        kw: Option<Power>,
        reason: Reason,
        flags: Flags,
        status: Status,
    ) -> rusqlite::Result<bool> {
        let params =
            params![row.0, row.1, kw.map(Power::milliwatts), reason.code(), flags.bits(), status as u8];
        Ok(self.update.execute(params)? == 1)
    }

    /// Takes a row out of the queue; false where it is not there.
    pub(super) fn delete(&mut self, row: RowId) -> rusqlite::Result<bool> {
        Ok(self.delete.execute(params![row.0, row.1])? == 1)
    }

    /// Writes down a row that lost; a conflict where it had lost already.
    pub(super) fn lose(&mut self, row: &SupersededRow) -> rusqlite::Result<()> {
        let kw = row.kw.map(Power::milliwatts);
        let params = params![row.upload, row.row_number, row.meter.0, row.ts.micros(), kw, row.flags.bits()];
        self.lose.execute(params).map(drop)
    }

    /// Forgets that a row lost; false where it had not.
    pub(super) fn revive(&mut self, row: RowId) -> rusqlite::Result<bool> {
        Ok(self.revive.execute(params![row.0, row.1])? == 1)
    }
}

/// Binds an entry as the [`COLUMNS`] parameters after the first `bound`.
fn bind(statement: &mut CachedStatement<'_>, bound: usize, entry: &Entry<'_>) -> rusqlite::Result<()> {
    statement.raw_bind_parameter(bound + 1, entry.row.0)?;
    statement.raw_bind_parameter(bound + 2, entry.row.1)?;
    statement.raw_bind_parameter(bound + 3, entry.meter.map(|meter| meter.0))?;
    statement.raw_bind_parameter(bound + 4, entry.meter_text)?;
    statement.raw_bind_parameter(bound + 5, entry.ts.map(Ts::micros))?;
    statement.raw_bind_parameter(bound + 6, entry.kw.map(Power::milliwatts))?;
    statement.raw_bind_parameter(bound + 7, entry.reason.code())?;
    statement.raw_bind_parameter(bound + 8, entry.flags.bits())?;
    statement.raw_bind_parameter(bound + 9, entry.status as u8)?;
    statement.raw_bind_parameter(bound + 10, entry.raw)
}
