//! The rows of a commit into a server's tables, by whole sets: COPY straight into a day's partition for what
//! is new, one statement for each kind of change and day for what was known.

use greenstream_core::{Power, Reading, Ts};
use postgres::error::SqlState;
use rustc_hash::FxHashSet;

use super::bulk::{self, Columns, RowIds, int};
use super::session::{PostgresFault, Session};
use super::{copy, schema};
use crate::change::{DayState, Meter, Register, Revision, SupersededRow};
use crate::store::commit::{self, row};
use crate::store::db::{Db, params};
use crate::store::error::Fault;
use crate::store::queue::{Entry, RowId};

/// The tables of a schema, in one transaction.
pub(in crate::store) struct Tables<'c> {
    /// The same connection twice: for single rows, and for the rest.
    db: &'c Db,
    session: &'c Session,
    /// Hours that this transaction has seen to.
    hours: FxHashSet<i32>,
    /// Whether the transaction has the new readings already.
    are_sent: bool,
}

impl<'c> Tables<'c> {
    /// In a transaction that has the new readings already where they `are_sent`.
    pub(in crate::store) fn new(db: &'c Db, session: &'c Session, are_sent: bool) -> Self {
        Tables { db, session, hours: FxHashSet::default(), are_sent }
    }

    /// Makes sure that the table of hours names these.
    fn see_hours(&mut self, hours: impl Iterator<Item = i64>) -> Result<(), Fault> {
        let hours: Vec<i32> = hours.map(int).filter(|hour| self.hours.insert(*hour)).collect();
        if hours.is_empty() {
            return Ok(());
        }
        bulk::see_hours(self.session, &hours)
    }

    /// Does `work`, and nothing where it meets a key that is there already; false then.
    fn unless_known(&self, work: impl FnOnce() -> Result<(), Fault>) -> Result<bool, Fault> {
        self.session.batch("SAVEPOINT known")?;
        match work() {
            Ok(()) => self.session.batch("RELEASE SAVEPOINT known").map(|()| true),
            Err(Fault::Postgres(PostgresFault::Server(error)))
                if error.code() == Some(&SqlState::UNIQUE_VIOLATION) =>
            {
                self.session.batch("ROLLBACK TO SAVEPOINT known")?;
                Ok(false)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Copies rows into a table; false where one is in it already, and then none comes.
    fn copy<T>(&self, into: &str, rows: &[T], put: fn(&mut copy::Copy<'_, '_>, &T)) -> Result<bool, Fault> {
        self.unless_known(|| copy::all(self.session, into, rows, put))
    }

    /// Does `work` for the readings of each day with the name of its partition, which is made where there is none;
    /// the place among all readings that it gives for the first day that it gives one for.
    fn by_day(
        &self,
        readings: &[(Meter, Reading)],
        mut work: impl FnMut(&[(Meter, Reading)], &str) -> Result<Option<usize>, Fault>,
    ) -> Result<Option<usize>, Fault> {
        let days: Vec<_> = readings.chunk_by(|a, b| a.1.ts.day() == b.1.ts.day()).collect();
        let numbers: Vec<i64> = days.iter().filter_map(|day| day.first()).map(|(_, r)| r.ts.day()).collect();
        if numbers.is_empty() {
            return Ok(None);
        }
        schema::make_partitions(self.session, &numbers)?;
        let mut done = 0;
        for (day, number) in days.into_iter().zip(numbers) {
            if let Some(at) = work(day, &schema::partition(number))? {
                return Ok(Some(done + at));
            }
            done += day.len();
        }
        Ok(None)
    }

    /// Removes rows by their ids; those that were there.
    fn take_out(&self, table: &str, rows: &[RowId]) -> Result<FxHashSet<RowId>, Fault> {
        let ids = RowIds::of(rows.iter().copied());
        if ids.rows.is_empty() {
            return Ok(FxHashSet::default());
        }
        let sql = format!(
            "DELETE FROM {table} t USING unnest($1::int4[], $2::int4[]) AS v (upload, row_number)
             WHERE t.upload = v.upload AND t.row_number = v.row_number RETURNING t.upload, t.row_number"
        );
        self.session.query_arrays(&sql, &[&ids.uploads, &ids.rows])?.iter().map(row_id).collect()
    }

    /// The place of the first of these rows that a table has; the first of all where none is, for one came
    /// twice.
    fn first_known(&self, table: &str, rows: &[RowId]) -> Result<Option<usize>, Fault> {
        let ids = RowIds::of(rows.iter().copied());
        let sql = format!(
            "SELECT min(v.place) FROM unnest($1::int4[], $2::int4[])
                 WITH ORDINALITY AS v (upload, row_number, place)
             JOIN {table} t ON t.upload = v.upload AND t.row_number = v.row_number"
        );
        let found = self.session.query_arrays(&sql, &[&ids.uploads, &ids.rows])?;
        Ok(Some(bulk::place(&found)?.unwrap_or(0)))
    }
}

impl commit::Tables for Tables<'_> {
    fn name_meters(&mut self, meters: &[(Meter, String)]) -> Result<Option<usize>, Fault> {
        if meters.is_empty() || self.unless_known(|| bulk::meters(self.session, meters))? {
            return Ok(None);
        }
        let known = "SELECT 1 FROM t_meter WHERE id = ?1 OR meter_id = ?2";
        for (at, (meter, meter_id)) in meters.iter().enumerate() {
            if self.db.one(known, params![meter.0, meter_id], |_| Ok(()))?.is_some() {
                return Ok(Some(at));
            }
        }
        // one comes twice
        Ok(Some(0))
    }

    fn insert_new(&mut self, readings: &[(Meter, Reading)]) -> Result<Option<usize>, Fault> {
        if !self.are_sent {
            return self.insert(readings);
        }
        self.see_hours(readings.iter().map(|(_, reading)| reading.ts.hour()))?;
        Ok(None)
    }

    fn insert(&mut self, readings: &[(Meter, Reading)]) -> Result<Option<usize>, Fault> {
        self.see_hours(readings.iter().map(|(_, reading)| reading.ts.hour()))?;
        self.by_day(readings, |day, partition| {
            if self.copy(&copy::readings_into(partition), day, copy::reading)? {
                return Ok(None);
            }
            let known = Columns::of(day.iter()).first(self.session, partition, true)?;
            // none where one comes twice
            Ok(Some(known.unwrap_or(0)))
        })
    }

    fn update(&mut self, readings: &[(Meter, Reading)]) -> Result<Option<usize>, Fault> {
        self.by_day(readings, |day, partition| {
            let columns = Columns::of(day.iter());
            let updated = columns.update(self.session, partition)?;
            if usize::try_from(updated).is_ok_and(|updated| updated == day.len()) {
                return Ok(None);
            }
            columns.first(self.session, partition, false)
        })
    }

    fn delete(&mut self, readings: &[(Meter, Reading)]) -> Result<Option<usize>, Fault> {
        self.by_day(readings, |day, partition| {
            let columns = Columns::of(day.iter());
            // asked before, for what is removed cannot be found afterwards
            let missing = columns.first(self.session, partition, false)?;
            if missing.is_none() {
                columns.delete(self.session, partition)?;
            }
            Ok(missing)
        })
    }

    fn enter(&mut self, entries: &[Entry<'_>]) -> Result<Option<usize>, Fault> {
        if entries.is_empty() {
            return Ok(None);
        }
        let read = entries.iter().filter(|entry| entry.meter.is_some());
        self.see_hours(read.filter_map(|entry| entry.ts).map(Ts::hour))?;
        if self.copy(&format!("t_error ({})", copy::ERROR_COLUMNS), entries, copy::entry)? {
            return Ok(None);
        }
        let rows: Vec<RowId> = entries.iter().map(|entry| entry.row).collect();
        self.first_known("t_error", &rows)
    }

    fn leave(&mut self, rows: &[RowId]) -> Result<FxHashSet<RowId>, Fault> {
        self.take_out("t_error", rows)
    }

    fn judge_anew(&mut self, judged: &[(Meter, Reading)]) -> Result<FxHashSet<RowId>, Fault> {
        if judged.is_empty() {
            return Ok(FxHashSet::default());
        }
        let ids = RowIds::of(judged.iter().map(|(_, reading)| row(reading)));
        let kw: Vec<_> = judged.iter().map(|(_, r)| r.own_kw().map(Power::milliwatts)).collect();
        let reason = |reading: &Reading| reading.standing.reason().map_or(0, |reason| reason.code());
        let reasons: Vec<i16> = judged.iter().map(|(_, reading)| reason(reading).into()).collect();
        let flags: Vec<i32> = judged.iter().map(|(_, reading)| reading.flags.bits().into()).collect();
        let sql = "UPDATE t_error e SET kw = v.kw, reason = v.reason, flags = v.flags, status = 0
            FROM unnest($1::int4[], $2::int4[], $3::int8[], $4::int2[], $5::int4[])
                AS v (upload, row_number, kw, reason, flags)
            WHERE e.upload = v.upload AND e.row_number = v.row_number RETURNING e.upload, e.row_number";
        let there = self.session.query_arrays(sql, &[&ids.uploads, &ids.rows, &kw, &reasons, &flags])?;
        there.iter().map(row_id).collect()
    }

    fn lose(&mut self, rows: &[SupersededRow]) -> Result<Option<usize>, Fault> {
        let into = format!("t_superseded ({})", copy::SUPERSEDED_COLUMNS);
        if rows.is_empty() || self.copy(&into, rows, copy::loser)? {
            return Ok(None);
        }
        let rows: Vec<RowId> = rows.iter().map(|row| (row.upload, row.row_number)).collect();
        self.first_known("t_superseded", &rows)
    }

    fn revive(&mut self, rows: &[RowId]) -> Result<FxHashSet<RowId>, Fault> {
        self.take_out("t_superseded", rows)
    }

    fn days(&mut self, days: &[(Meter, i32, DayState)]) -> Result<(), Fault> {
        bulk::days(self.session, days)
    }

    fn registers(&mut self, registers: &[Register]) -> Result<(), Fault> {
        bulk::registers(self.session, registers)
    }

    fn revisions(&mut self, revisions: &[Revision]) -> Result<(), Fault> {
        bulk::revisions(self.session, revisions)
    }
}

fn row_id(row: &postgres::Row) -> Result<RowId, Fault> {
    let number = |column: usize| -> Result<u32, Fault> {
        u32::try_from(row.try_get::<_, i32>(column)?).map_err(|_| Fault::Range { column })
    };
    Ok((number(0)?, number(1)?))
}
