//! Accepted readings: the table that nearly every row ends in.

use greenstream_core::{HOUR, Power, Reading, Ts};
use rusqlite::{CachedStatement, Connection, params};
use rustc_hash::FxHashSet;

use crate::change::Meter;
use crate::store::error::is_conflict;
use crate::store::rows::place;

/// Rows in one bulk statement. With one row a statement a day of 4.8 million rows costs 1.9 times as
/// much, for each row then finds its place from the root of the tree; above 50 nothing is gained,
/// and 2,000 cost more memory than the processor's cache has.
const BULK: usize = 64;
/// Parameters of a row in it, beside the hour and the upload that all its rows share.
const OWN: usize = 5;

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
        let row = |row: usize| {
            let [meter, at, kw, flags, number] = std::array::from_fn(|own| 3 + row * OWN + own);
            format!("(?1,?{meter},?{at},?{kw},?{flags},?2,?{number})")
        };
        let rows: Vec<_> = (0..BULK).map(row).collect();
        let bulk = format!("INSERT OR FAIL INTO t_reading VALUES {}", rows.join(","));
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
        let mut done = 0;
        let together = |a: &Reading, b: &Reading| a.ts.hour() == b.ts.hour() && a.upload == b.upload;
        for run in readings.chunk_by(|(_, a), (_, b)| together(a, b)) {
            let Some((_, first)) = run.first() else { continue };
            self.see_hour(first.ts.hour())?;
            let (bulks, rest) = run.as_chunks::<BULK>();
            for bulk in bulks {
                if let Some(before) = self.insert_bulk(bulk)? {
                    return Ok(Some(done + before));
                }
                done += BULK;
            }
            for (meter, reading) in rest {
                match self.insert(*meter, reading) {
                    Err(error) if is_conflict(&error) => return Ok(Some(done)),
                    result => result?,
                }
                done += 1;
            }
        }
        Ok(None)
    }

    /// Stores readings of one hour and one upload; how many were stored before one that was known.
    fn insert_bulk(&mut self, readings: &[(Meter, Reading); BULK]) -> rusqlite::Result<Option<usize>> {
        let (_, first) = &readings[0];
        let hour = first.ts.hour();
        let begin = hour * HOUR;
        let bulk = &mut self.bulk;
        bulk.raw_bind_parameter(1, hour)?;
        bulk.raw_bind_parameter(2, first.upload)?;
        for (row, (meter, reading)) in readings.iter().enumerate() {
            let own = 3 + row * OWN;
            bulk.raw_bind_parameter(own, meter.0)?;
            bulk.raw_bind_parameter(own + 1, reading.ts.micros() - begin)?;
            bulk.raw_bind_parameter(own + 2, reading.kw.map(Power::milliwatts))?;
            bulk.raw_bind_parameter(own + 3, reading.flags.bits())?;
            bulk.raw_bind_parameter(own + 4, reading.row_number)?;
        }
        match bulk.raw_execute() {
            Err(error) if is_conflict(&error) => Ok(Some(usize::try_from(self.conn.changes()).unwrap_or(0))),
            result => result.map(|_| None),
        }
    }

    /// Stores a reading that was not known; a conflict where it was.
    pub(super) fn insert(&mut self, meter: Meter, reading: &Reading) -> rusqlite::Result<()> {
        self.see_hour(reading.ts.hour())?;
        bind(&mut self.insert, meter, reading)?;
        self.insert.raw_execute().map(drop)
    }

    /// Replaces a stored reading; false where there was none.
    pub(super) fn update(&mut self, meter: Meter, reading: &Reading) -> rusqlite::Result<bool> {
        bind(&mut self.update, meter, reading)?;
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

/// Binds a reading in the order of the columns.
fn bind(statement: &mut CachedStatement<'_>, meter: Meter, reading: &Reading) -> rusqlite::Result<()> {
    let (hour, at) = place(reading.ts);
    statement.raw_bind_parameter(1, hour)?;
    statement.raw_bind_parameter(2, meter.0)?;
    statement.raw_bind_parameter(3, at)?;
    statement.raw_bind_parameter(4, reading.kw.map(Power::milliwatts))?;
    statement.raw_bind_parameter(5, reading.flags.bits())?;
    statement.raw_bind_parameter(6, reading.upload)?;
    statement.raw_bind_parameter(7, reading.row_number)
}
