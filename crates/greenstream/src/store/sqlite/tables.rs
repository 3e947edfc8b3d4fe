//! The rows of a commit into a file: row by row, or some in one statement.

use greenstream_core::Reading;
use rusqlite::{Connection, params};
use rustc_hash::FxHashSet;

use super::queue::Queue;
use super::readings::Readings;
use crate::change::{DayState, Meter, Register, Revision, Status, SupersededRow};
use crate::store::commit::{self, row};
use crate::store::error::{Fault, is_conflict};
use crate::store::queue::{Entry, RowId};

/// The tables of a file, in one transaction.
pub(in crate::store) struct Tables<'c> {
    conn: &'c Connection,
    readings: Readings<'c>,
    queue: Queue<'c>,
}

impl<'c> Tables<'c> {
    pub(in crate::store) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Tables { conn, readings: Readings::new(conn)?, queue: Queue::new(conn)? })
    }
}

/// Does `work` for one after the other; the place of the first that it finds fault with.
fn first<T>(
    all: &[T],
    mut is_at_fault: impl FnMut(&T) -> rusqlite::Result<bool>,
) -> Result<Option<usize>, Fault> {
    for (at, one) in all.iter().enumerate() {
        if is_at_fault(one)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Whether a row was not written because its key is there already.
fn conflicts<T>(written: rusqlite::Result<T>) -> rusqlite::Result<bool> {
    match written {
        Err(error) if is_conflict(&error) => Ok(true),
        written => written.map(|_| false),
    }
}

/// Those of `rows` for which `change` finds one.
fn those(
    rows: impl Iterator<Item = RowId>,
    mut change: impl FnMut(RowId) -> rusqlite::Result<bool>,
) -> Result<FxHashSet<RowId>, Fault> {
    let mut found = FxHashSet::default();
    for row in rows {
        if change(row)? {
            found.insert(row);
        }
    }
    Ok(found)
}

impl commit::Tables for Tables<'_> {
    fn name_meters(&mut self, meters: &[(Meter, String)]) -> Result<Option<usize>, Fault> {
        let mut insert = self.conn.prepare_cached("INSERT INTO t_meter VALUES (?1, ?2)")?;
        first(meters, |(meter, meter_id)| conflicts(insert.execute(params![meter.0, meter_id])))
    }

    fn insert(&mut self, readings: &[(Meter, Reading)]) -> Result<Option<usize>, Fault> {
        Ok(self.readings.insert_all(readings)?)
    }

    fn update(&mut self, readings: &[(Meter, Reading)]) -> Result<Option<usize>, Fault> {
        first(readings, |(meter, reading)| Ok(!self.readings.update(*meter, reading)?))
    }

    fn delete(&mut self, readings: &[(Meter, Reading)]) -> Result<Option<usize>, Fault> {
        first(readings, |(meter, reading)| Ok(!self.readings.delete(*meter, reading.ts)?))
    }

    fn enter(&mut self, entries: &[Entry<'_>]) -> Result<Option<usize>, Fault> {
        let read = entries.iter().filter(|entry| entry.meter.is_some());
        for ts in read.filter_map(|entry| entry.ts) {
            self.readings.see_hour(ts.hour())?;
        }
        Ok(self.queue.insert_all(entries)?)
    }

    fn leave(&mut self, rows: &[RowId]) -> Result<FxHashSet<RowId>, Fault> {
        those(rows.iter().copied(), |row| self.queue.delete(row))
    }

    fn judge_anew(&mut self, readings: &[(Meter, Reading)]) -> Result<FxHashSet<RowId>, Fault> {
        let mut there = FxHashSet::default();
        for (_, reading) in readings {
            let Some(reason) = reading.standing.reason() else { continue };
            let kw = reading.own_kw();
            if self.queue.update(row(reading), kw, reason, reading.flags, Status::Open)? {
                there.insert(row(reading));
            }
        }
        Ok(there)
    }

    fn lose(&mut self, rows: &[SupersededRow]) -> Result<Option<usize>, Fault> {
        first(rows, |row| conflicts(self.queue.lose(row)))
    }

    fn revive(&mut self, rows: &[RowId]) -> Result<FxHashSet<RowId>, Fault> {
        those(rows.iter().copied(), |row| self.queue.revive(row))
    }

    fn days(&mut self, days: &[(Meter, i32, DayState)]) -> Result<(), Fault> {
        let mut put = self.conn.prepare_cached(
            "INSERT INTO t_day VALUES (?1, ?2, ?3) ON CONFLICT (meter, day) DO UPDATE SET state = ?3",
        )?;
        let mut remove = self.conn.prepare_cached("DELETE FROM t_day WHERE meter = ?1 AND day = ?2")?;
        for (meter, day, state) in days {
            match state {
                DayState::Empty => remove.execute(params![meter.0, day])?,
                state => put.execute(params![meter.0, day, *state as u8])?,
            };
        }
        Ok(())
    }

    fn registers(&mut self, registers: &[Register]) -> Result<(), Fault> {
        let mut put = self.conn.prepare_cached(
            "INSERT INTO t_register VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (meter, ts) DO UPDATE SET energy = ?3, upload = ?4, row_number = ?5",
        )?;
        for Register { meter, ts, energy, upload, row_number } in registers {
            put.execute(params![meter.0, ts.micros(), energy, upload, row_number])?;
        }
        Ok(())
    }

    fn revisions(&mut self, revisions: &[Revision]) -> Result<(), Fault> {
        let mut put = self.conn.prepare_cached(
            "INSERT INTO t_revision VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (meter, ts, upload, row_number) DO UPDATE SET revision = ?5",
        )?;
        for Revision { meter, ts, upload, row_number, revision } in revisions {
            put.execute(params![meter.0, ts.micros(), upload, row_number, revision])?;
        }
        Ok(())
    }
}
