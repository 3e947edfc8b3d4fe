//! The error queue, the losers, and what operators decide about their rows.
//!
//! A row has one disposition: stored, quarantined or superseded. The queue holds the quarantined
//! ones, and beside them those that were released or edited while they win. A decided entry shows
//! what its decision says of the row (its own value, flags and reason); the decision outlives the
//! entry, so that an entry whose row loses and wins again comes back as it was.

use greenstream_core::{Flags, Power, Reading, Reason, Ts};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::error::is_conflict;
use super::readings::holder;
use super::rows;
use crate::change::{Decision, Meter, RejectRow, Status, SupersededRow};

/// Rows in one bulk statement.
const BULK: usize = 32;
/// Columns of `t_error`, as [`bind`] binds them.
const COLUMNS: usize = 10;

/// A row of an upload: (upload, row_number).
pub(super) type RowId = (u32, u32);

/// Everything the queue holds of one row.
pub(super) struct Entry<'a> {
    pub(super) row: RowId,
    pub(super) meter: Option<Meter>,
    pub(super) meter_text: Option<&'a str>,
    pub(super) ts: Option<Ts>,
    pub(super) kw: Option<Power>,
    pub(super) reason: Reason,
    pub(super) flags: Flags,
    pub(super) status: Status,
    pub(super) raw: &'a str,
}

impl<'a> Entry<'a> {
    /// A row that failed to decode; its line is still to be set.
    pub(super) fn reject(reject: &'a RejectRow) -> Entry<'a> {
        Entry {
            row: (reject.upload, reject.row_number),
            meter: None,
            meter_text: Some(&reject.meter),
            ts: reject.ts,
            kw: None,
            reason: reject.reason,
            flags: Flags::NONE,
            status: Status::Open,
            raw: "",
        }
    }

    /// A reading that broke a limit or is an outlier; its line is still to be set.
    pub(super) fn quarantined(meter: Meter, reading: &Reading, reason: Reason) -> Entry<'a> {
        Entry {
            row: (reading.upload, reading.row_number),
            meter: Some(meter),
            meter_text: None,
            ts: Some(reading.ts),
            kw: reading.own_kw(),
            reason,
            flags: reading.flags,
            status: Status::Open,
            raw: "",
        }
    }
}

/// Where a row stands once everything else of a change set is done.
enum Disposition {
    Stored,
    Quarantined,
    Superseded,
}

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
            update: conn.prepare_cached(
                "UPDATE t_error SET kw = ?3, reason = ?4, flags = ?5, status = ?6
                 WHERE upload = ?1 AND row_number = ?2",
            )?,
            delete: conn.prepare_cached("DELETE FROM t_error WHERE upload = ?1 AND row_number = ?2")?,
            lose: conn.prepare_cached("INSERT INTO t_superseded VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?,
            revive: conn.prepare_cached("DELETE FROM t_superseded WHERE upload = ?1 AND row_number = ?2")?,
        })
    }

    /// Puts rows into the queue that are not there, fastest in the order of rows. The first that was
    /// there already, which leaves the rest out.
    pub(super) fn insert_all(&mut self, entries: &[Entry<'_>]) -> rusqlite::Result<Option<RowId>> {
        let (bulks, rest) = entries.split_at(entries.len() / BULK * BULK);
        for entries in bulks.chunks(BULK).chain(rest.chunks(1)) {
            let statement = if entries.len() == BULK { &mut self.bulk } else { &mut self.insert };
            for (at, entry) in entries.iter().enumerate() {
                bind(statement, at * COLUMNS, entry)?;
            }
            match statement.raw_execute() {
                Err(error) if is_conflict(&error) => {
                    let before = usize::try_from(self.conn.changes()).unwrap_or(0);
                    let known = if entries.len() == 1 { 0 } else { before };
                    return Ok(entries.get(known).map(|entry| entry.row));
                }
                result => result?,
            };
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

    /// Writes a decision down, with the row's line and meter as the queue shows them. What stood
    /// there before is returned: `Open` where nothing was decided yet.
    pub(super) fn decide(&mut self, decision: &Decision, raw: Option<&str>) -> rusqlite::Result<Status> {
        let (upload, row_number) = (decision.upload, decision.row_number);
        let before = status(self.conn, (upload, row_number))?;
        self.conn
            .prepare_cached(
                "INSERT INTO t_decision (upload, row_number, status, reason, meter, ts, kw, flags, edited,
                     who, why, at, meter_text, raw)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
                     (SELECT meter_text FROM t_error WHERE upload = ?1 AND row_number = ?2),
                     coalesce(?13, (SELECT raw FROM t_error WHERE upload = ?1 AND row_number = ?2), ''))
                 ON CONFLICT (upload, row_number) DO UPDATE SET status = ?3, reason = ?4, meter = ?5,
                     ts = ?6, kw = ?7, flags = ?8, edited = ?9, who = ?10, why = ?11, at = ?12,
                     meter_text = coalesce(excluded.meter_text, meter_text),
                     raw = iif(excluded.raw = '', raw, excluded.raw)",
            )?
            .execute(params![
                upload,
                row_number,
                decision.status as u8,
                decision.reason.code(),
                decision.meter.map(|meter| meter.0),
                decision.ts.map(Ts::micros),
                decision.kw.map(Power::milliwatts),
                decision.flags.bits(),
                decision.edited.map(Power::milliwatts),
                decision.who,
                decision.why,
                decision.at.micros(),
                raw,
            ])?;
        Ok(before.unwrap_or(Status::Open))
    }

    /// Makes the queue show what was decided about a row, after everything else of its change set.
    /// A decision that the row's disposition contradicts is named.
    pub(super) fn settle(&mut self, decision: &Decision) -> rusqlite::Result<Result<(), String>> {
        let row = (decision.upload, decision.row_number);
        let wanted = match (self.disposition(decision)?, decision.status) {
            (Disposition::Superseded, _) | (Disposition::Stored, Status::Open) => false,
            (Disposition::Stored, Status::Released | Status::Edited)
            | (Disposition::Quarantined, Status::Open | Status::Discarded) => true,
            (disposition, status) => {
                let stands =
                    if matches!(disposition, Disposition::Stored) { "stored" } else { "quarantined" };
                let (upload, row_number) = row;
                return Ok(Err(format!(
                    "row {row_number} of upload {upload} is {} and yet {stands}",
                    status.name()
                )));
            }
        };
        if !wanted {
            self.delete(row)?;
        } else if decision.status == Status::Open && self.reopen(row)? {
            // a judged row was just written with the verdict that holds now
        } else if !self.update(row, decision.kw, decision.reason, decision.flags, decision.status)? {
            self.recall(row)?;
        }
        Ok(Ok(()))
    }

    /// Brings the entry of a decided row back as its decision keeps it; false where none does.
    pub(super) fn recall(&mut self, row: RowId) -> rusqlite::Result<bool> {
        let recalled = self
            .conn
            .prepare_cached(
                "INSERT INTO t_error (upload, row_number, meter, meter_text, ts, kw, reason, flags, status, raw)
                 SELECT upload, row_number, iif(meter_text IS NULL, meter, NULL), meter_text, ts, kw, reason,
                     flags, status, raw
                 FROM t_decision WHERE upload = ?1 AND row_number = ?2",
            )?
            .execute(params![row.0, row.1])?;
        Ok(recalled == 1)
    }

    fn reopen(&mut self, row: RowId) -> rusqlite::Result<bool> {
        let changed = self
            .conn
            .prepare_cached("UPDATE t_error SET status = 0 WHERE upload = ?1 AND row_number = ?2")?
            .execute(params![row.0, row.1])?;
        Ok(changed == 1)
    }

    fn disposition(&self, decision: &Decision) -> rusqlite::Result<Disposition> {
        let row = (decision.upload, decision.row_number);
        let lost = self
            .conn
            .prepare_cached("SELECT 1 FROM t_superseded WHERE upload = ?1 AND row_number = ?2")?
            .exists(params![row.0, row.1])?;
        if lost {
            return Ok(Disposition::Superseded);
        }
        let stored = match decision.meter.zip(decision.ts) {
            Some((meter, ts)) => holder(self.conn, meter, ts)? == Some(row),
            None => false,
        };
        Ok(if stored { Disposition::Stored } else { Disposition::Quarantined })
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

/// What is decided about a row; none where nothing ever was.
fn status(conn: &Connection, row: RowId) -> rusqlite::Result<Option<Status>> {
    let status = |row: &Row<'_>| Ok(rows::decision(row)?.status);
    conn.prepare_cached(&format!(
        "SELECT {} FROM t_decision WHERE upload = ?1 AND row_number = ?2",
        rows::DECISION_COLUMNS
    ))?
    .query_row(params![row.0, row.1], status)
    .optional()
}
