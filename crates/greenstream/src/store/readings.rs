//! Accepted readings: the table that nearly every row ends in.

use greenstream_core::{Power, Reading, Ts};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use rustc_hash::FxHashSet;

use super::error::is_conflict;
use super::rows::place;
use crate::change::Meter;

/// Rows in one bulk statement. With one row a statement a day of 4.8 million rows costs 1.9 times as
/// much, for each row then finds its place from the root of the tree; above 50 nothing is gained,
/// and 2,000 cost more memory than the processor's cache has.
const BULK: usize = 64;
/// Columns of `t_reading`.
const COLUMNS: usize = 7;

/// Writes `t_reading`, and `t_hour` beside it.
pub(super) struct Readings<'c> {
    conn: &'c Connection,
    bulk: CachedStatement<'c>,
    insert: CachedStatement<'c>,
    update: CachedStatement<'c>,
    delete: CachedStatement<'c>,
    hour: CachedStatement<'c>,
    /// Hours that this transaction has seen to.
    hours: FxHashSet<i64>,
    /// The last of them: rows come hour by hour.
    last: Option<i64>,
}

impl<'c> Readings<'c> {
    pub(super) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        let row = format!("({})", ["?"; COLUMNS].join(","));
        let bulk = format!("INSERT OR FAIL INTO t_reading VALUES {}", vec![row; BULK].join(","));
        Ok(Readings {
            conn,
            // FAIL, for the transaction is undone in any case: ABORT would keep every page twice
            bulk: conn.prepare_cached(&bulk)?,
            insert: conn.prepare_cached("INSERT INTO t_reading VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?,
            update: conn.prepare_cached(
                "UPDATE t_reading SET kw = ?4, flags = ?5, upload = ?6, row_number = ?7
                 WHERE hour = ?1 AND meter = ?2 AND at = ?3",
            )?,
            delete: conn
                .prepare_cached("DELETE FROM t_reading WHERE hour = ?1 AND meter = ?2 AND at = ?3")?,
            hour: conn.prepare_cached(
                "INSERT INTO t_hour VALUES (?1, strftime('%Y-%m-%d', ?1 * 3600, 'unixepoch'))
                 ON CONFLICT DO NOTHING",
            )?,
            hours: FxHashSet::default(),
            last: None,
        })
    }

    /// Stores readings that were not known, fastest when sorted by (hour, meter, ts). The index of
    /// the first that was known already, which leaves the rest out.
    pub(super) fn insert_all(&mut self, readings: &[(Meter, Reading)]) -> rusqlite::Result<Option<usize>> {
        for run in readings.chunk_by(|a, b| a.1.ts.hour() == b.1.ts.hour()) {
            self.see_hour(run.first().map_or(0, |(_, reading)| reading.ts.hour()))?;
        }
        let (bulks, rest) = readings.as_chunks::<BULK>();
        for (i, bulk) in bulks.iter().enumerate() {
            for (row, (meter, reading)) in bulk.iter().enumerate() {
                bind(&mut self.bulk, row * COLUMNS, *meter, reading)?;
            }
            match self.bulk.raw_execute() {
                Err(error) if is_conflict(&error) => {
                    let before = usize::try_from(self.conn.changes()).unwrap_or(0);
                    return Ok(Some(i * BULK + before));
                }
                result => result?,
            };
        }
        for (i, (meter, reading)) in rest.iter().enumerate() {
            match self.insert(*meter, reading) {
                Err(error) if is_conflict(&error) => return Ok(Some(bulks.len() * BULK + i)),
                result => result?,
            }
        }
        Ok(None)
    }

    /// Stores a reading that was not known; a conflict where it was.
    pub(super) fn insert(&mut self, meter: Meter, reading: &Reading) -> rusqlite::Result<()> {
        self.see_hour(reading.ts.hour())?;
        bind(&mut self.insert, 0, meter, reading)?;
        self.insert.raw_execute().map(drop)
    }

    /// Replaces a stored reading; false where there was none.
    pub(super) fn update(&mut self, meter: Meter, reading: &Reading) -> rusqlite::Result<bool> {
        bind(&mut self.update, 0, meter, reading)?;
        Ok(self.update.raw_execute()? == 1)
    }

    /// Removes a stored reading; false where there was none.
    pub(super) fn delete(&mut self, meter: Meter, ts: Ts) -> rusqlite::Result<bool> {
        let (hour, at) = place(ts);
        Ok(self.delete.execute(params![hour, meter.0, at])? == 1)
    }

    /// Makes sure that the table of hours names this one.
    pub(super) fn see_hour(&mut self, hour: i64) -> rusqlite::Result<()> {
        if self.last != Some(hour) && self.hours.insert(hour) {
            self.hour.execute([hour])?;
        }
        self.last = Some(hour);
        Ok(())
    }
}

/// Binds a reading as the seven parameters after the first `bound`.
fn bind(
    statement: &mut CachedStatement<'_>,
    bound: usize,
    meter: Meter,
    reading: &Reading,
) -> rusqlite::Result<()> {
    let (hour, at) = place(reading.ts);
    statement.raw_bind_parameter(bound + 1, hour)?;
    statement.raw_bind_parameter(bound + 2, meter.0)?;
    statement.raw_bind_parameter(bound + 3, at)?;
    statement.raw_bind_parameter(bound + 4, reading.kw.map(Power::milliwatts))?;
    statement.raw_bind_parameter(bound + 5, reading.flags.bits())?;
    statement.raw_bind_parameter(bound + 6, reading.upload)?;
    statement.raw_bind_parameter(bound + 7, reading.row_number)
}

/// The row, as (upload, row_number), whose reading is stored there.
pub(super) fn holder(conn: &Connection, meter: Meter, ts: Ts) -> rusqlite::Result<Option<(u32, u32)>> {
    let (hour, at) = place(ts);
    conn.prepare_cached(
        "SELECT upload, row_number FROM t_reading WHERE hour = ?1 AND meter = ?2 AND at = ?3",
    )?
    .query_row(params![hour, meter.0, at], |row| Ok((row.get(0)?, row.get(1)?)))
    .optional()
}
