//! Accepted readings: the table that nearly every row ends in.

use greenstream_core::{HOUR, Reading, Ts};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use rustc_hash::FxHashSet;

use super::rows::place;
use crate::change::Meter;

/// Writes `t_reading`, and `t_hour` beside it.
pub(super) struct Readings<'c> {
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
        Ok(Readings {
            // one row a statement: 1,000 rows a statement measured half as fast again
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

    /// Stores a reading that was not known; a conflict where it was.
    pub(super) fn insert(&mut self, meter: Meter, reading: &Reading) -> rusqlite::Result<()> {
        let (hour, at) = place(reading.ts);
        if self.last != Some(hour) {
            self.see_hour(hour)?;
        }
        let statement = &mut self.insert;
        bind(statement, hour, meter, at, reading)?;
        statement.raw_execute().map(drop)
    }

    /// Replaces a stored reading; false where there was none.
    pub(super) fn update(&mut self, meter: Meter, reading: &Reading) -> rusqlite::Result<bool> {
        let (hour, at) = place(reading.ts);
        bind(&mut self.update, hour, meter, at, reading)?;
        Ok(self.update.raw_execute()? == 1)
    }

    /// Removes a stored reading; false where there was none.
    pub(super) fn delete(&mut self, meter: Meter, ts: Ts) -> rusqlite::Result<bool> {
        let (hour, at) = place(ts);
        Ok(self.delete.execute(params![hour, meter.0, at])? == 1)
    }

    fn see_hour(&mut self, hour: i64) -> rusqlite::Result<()> {
        if self.hours.insert(hour) {
            self.hour.execute([hour])?;
        }
        self.last = Some(hour);
        Ok(())
    }
}

fn bind(
    statement: &mut CachedStatement<'_>,
    hour: i64,
    meter: Meter,
    at: i64,
    reading: &Reading,
) -> rusqlite::Result<()> {
    debug_assert!((0..HOUR).contains(&at));
    statement.raw_bind_parameter(1, hour)?;
    statement.raw_bind_parameter(2, meter.0)?;
    statement.raw_bind_parameter(3, at)?;
    statement.raw_bind_parameter(4, reading.kw.map(|kw| kw.milliwatts()))?;
    statement.raw_bind_parameter(5, reading.flags.bits())?;
    statement.raw_bind_parameter(6, reading.upload)?;
    statement.raw_bind_parameter(7, reading.row_number)
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
