//! The context that the judge needs: the stored readings around what an upload brings.
//!
//! Readings stand by hour, then by meter. For few meters each hour is sought meter by meter; for
//! many it is read from end to end.

use greenstream_core::{DAY, Flag, HOUR, Reading, Ts};
use rusqlite::params;
use rustc_hash::FxHashMap;

use super::error::{Doing, StoreError};
use super::reader::Reader;
use super::rows;
use crate::change::Meter;

/// Above one meter in this many, whole hours are read: a sought meter costs 2.2 µs an hour, a whole
/// hour of 50,000 meters 20 to 35 ms. From memory one in five would do as well; from disk the pages
/// of an hour are better read in their order.
const SCAN_SHARE: usize = 8;
/// How far a day of any reporting zone reaches beyond the UTC day of its number, at either end:
/// offsets lie within 16 hours.
const ZONE_MAX: i64 = 16 * HOUR;
/// How far [`Reader::previous_measured_of`] looks for all meters at once before it looks for each.
const NEAR: i64 = 2 * HOUR;

/// How readings are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plan {
    /// Meter by meter through the hours: in the order of (meter, ts).
    Seek,
    /// Hour by hour from end to end: in the order of (hour, meter, ts).
    Scan,
}

/// Which way to look from an instant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Back,
    Forth,
}

impl Reader {
    /// The readings of `meters` (sorted by number, each once) with `from <= ts < to`: accepted ones
    /// and winners that wait in the error queue, each with its standing. Each meter's readings come
    /// in time order; whether meter follows meter or hour follows hour depends on their number.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn load(
        &self,
        meters: &[Meter],
        from: Ts,
        to: Ts,
        sink: impl FnMut(Meter, Reading),
    ) -> Result<(), StoreError> {
        let plan = self.plan(meters.len()).doing("be read")?;
        self.load_by(plan, meters, from, to, sink).doing("be read")
    }

    /// An instant after which no meter has any reading, neither accepted nor in the error queue.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn horizon(&self) -> Result<Ts, StoreError> {
        let hour: Option<i64> = self.one("SELECT max(hour) FROM t_hour", [], |row| row.get(0))?.flatten();
        Ok(hour.map_or(Ts::MIN, |hour| Ts::from_micros((hour + 1).saturating_mul(HOUR))))
    }

    /// The nearest measured reading (accepted with a value of its own, or an outlier) of `meter`
    /// before `before`.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn previous_measured(&self, meter: Meter, before: Ts) -> Result<Option<Reading>, StoreError> {
        self.nearest(meter, before, Way::Back).doing("be read")
    }

    /// The nearest measured reading of `meter` at or after `from`.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn next_measured(&self, meter: Meter, from: Ts) -> Result<Option<Reading>, StoreError> {
        self.nearest(meter, from, Way::Forth).doing("be read")
    }

    /// [`Reader::previous_measured`] of many `meters` (sorted by number, each once), those that have
    /// one, in any order. Meters with a measured reading in the two hours before cost one pass.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn previous_measured_of(
        &self,
        meters: &[Meter],
        before: Ts,
    ) -> Result<FxHashMap<Meter, Reading>, StoreError> {
        let mut found = FxHashMap::default();
        self.load(meters, before.plus(-NEAR), before, |meter, reading| {
            if reading.is_measured() {
                found.insert(meter, reading);
            }
        })?;
        for meter in meters {
            if !found.contains_key(meter)
                && let Some(reading) = self.previous_measured(*meter, before)?
            {
                found.insert(*meter, reading);
            }
        }
        Ok(found)
    }

    /// Which way to find the readings of so many meters.
    pub(super) fn plan(&self, meters: usize) -> rusqlite::Result<Plan> {
        // numbers are dense, so the greatest is as good as the count and costs one seek
        let all: usize = self
            .conn()
            .prepare_cached("SELECT coalesce(max(id) + 1, 0) FROM t_meter")?
            .query_row([], |row| row.get::<_, u32>(0))?
            .try_into()
            .unwrap_or(usize::MAX);
        Ok(if meters.saturating_mul(SCAN_SHARE) > all { Plan::Scan } else { Plan::Seek })
    }

    /// [`Reader::load`] by a given plan.
    pub(super) fn load_by(
        &self,
        plan: Plan,
        meters: &[Meter],
        from: Ts,
        to: Ts,
        mut sink: impl FnMut(Meter, Reading),
    ) -> rusqlite::Result<()> {
        let order = |meter: Meter, reading: &Reading| match plan {
            Plan::Seek => (0, meter, reading.ts),
            Plan::Scan => (reading.ts.hour(), meter, reading.ts),
        };
        let mut waiting = self.waiting(plan, meters, from, to)?;
        waiting.sort_by_key(|(meter, reading)| order(*meter, reading));
        let mut waiting = waiting.into_iter().peekable();
        self.accepted_by(plan, Some(meters), from, to, |meter, reading| {
            if waiting.peek().is_some() {
                let here = order(meter, &reading);
                while let Some((meter, reading)) = waiting.next_if(|(m, r)| order(*m, r) < here) {
                    sink(meter, reading);
                }
            }
            sink(meter, reading);
        })?;
        waiting.for_each(|(meter, reading)| sink(meter, reading));
        Ok(())
    }

    /// Accepted readings with `from <= ts < to`, of `meters` (sorted, each once) or of all, which
    /// only a scan can give.
    pub(super) fn accepted_by(
        &self,
        plan: Plan,
        meters: Option<&[Meter]>,
        from: Ts,
        to: Ts,
        mut sink: impl FnMut(Meter, Reading),
    ) -> rusqlite::Result<()> {
        debug_assert!(meters.is_none_or(|meters| meters.is_sorted()));
        let within = |reading: &Reading| from <= reading.ts && reading.ts < to;
        match (plan, meters) {
            (_, Some([])) => Ok(()),
            (Plan::Seek, Some(meters)) => meters.iter().try_for_each(|meter| {
                self.through_hours(*meter, from, to, |reading| {
                    sink(*meter, reading);
                    true
                })
            }),
            (Plan::Scan, _) | (Plan::Seek, None) => self.scan(meters, from, to, |meter, reading| {
                if within(&reading) {
                    sink(meter, reading);
                }
            }),
        }
    }

    /// The accepted readings of one meter with `from <= ts < to`, in time order, until `sink` says
    /// false. Costs one seek for each hour that holds anything.
    pub(super) fn through_hours(
        &self,
        meter: Meter,
        from: Ts,
        to: Ts,
        mut sink: impl FnMut(Reading) -> bool,
    ) -> rusqlite::Result<()> {
        let mut select = self.conn().prepare_cached(THROUGH_HOURS)?;
        let mut found = select.query(params![meter.0, from.hour(), to.plus(-1).hour()])?;
        while let Some(row) = found.next()? {
            let reading = rows::reading(row)?;
            if from <= reading.ts && reading.ts < to && !sink(reading) {
                break;
            }
        }
        Ok(())
    }

    /// Reads the hours that touch `from..to` from end to end.
    fn scan(
        &self,
        meters: Option<&[Meter]>,
        from: Ts,
        to: Ts,
        mut sink: impl FnMut(Meter, Reading),
    ) -> rusqlite::Result<()> {
        let conn = self.conn();
        let mut hours =
            conn.prepare_cached("SELECT hour FROM t_hour WHERE hour BETWEEN ?1 AND ?2 ORDER BY hour")?;
        let mut hour_rows = conn.prepare_cached(HOUR_ROWS)?;
        let first = meters.and_then(|meters| meters.first()).map_or(0, |meter| meter.0);
        let last = meters.and_then(|meters| meters.last()).map_or(u32::MAX, |meter| meter.0);
        let mut hours = hours.query([from.hour(), to.plus(-1).hour()])?;
        while let Some(hour) = hours.next()? {
            let mut wanted = meters.unwrap_or_default();
            let mut found = hour_rows.query(params![hour.get::<_, i64>(0)?, first, last])?;
            while let Some(row) = found.next()? {
                let meter = Meter(row.get(6)?);
                if meters.is_some() {
                    // both are sorted, so each step looks at the next few
                    while wanted.first().is_some_and(|next| *next < meter) {
                        wanted = wanted.get(1..).unwrap_or_default();
                    }
                    if wanted.first() != Some(&meter) {
                        continue;
                    }
                }
                sink(meter, rows::reading(row)?);
            }
        }
        Ok(())
    }

    /// Winners with `from <= ts < to` that wait in the error queue, in any order.
    pub(super) fn waiting(
        &self,
        plan: Plan,
        meters: &[Meter],
        from: Ts,
        to: Ts,
    ) -> rusqlite::Result<Vec<(Meter, Reading)>> {
        let mut found = Vec::new();
        let hours = (from.hour(), to.plus(-1).hour());
        let within = |reading: &Reading| from <= reading.ts && reading.ts < to;
        match plan {
            Plan::Seek => {
                let mut select = self.conn().prepare_cached(&waiting(METER_WAITING))?;
                for meter in meters {
                    for row in select.query_map(params![hours.0, hours.1, meter.0], rows::quarantined)? {
                        let (meter, reading) = row?;
                        if within(&reading) {
                            found.push((meter, reading));
                        }
                    }
                }
            }
            Plan::Scan => {
                let mut select = self.conn().prepare_cached(&waiting(HOURS_WAITING))?;
                for row in select.query_map([hours.0, hours.1], rows::quarantined)? {
                    let (meter, reading) = row?;
                    if within(&reading) && meters.binary_search(&meter).is_ok() {
                        found.push((meter, reading));
                    }
                }
            }
        }
        Ok(found)
    }

    /// The nearest measured reading, by way of the days that have any: the first one found in the
    /// window of the nearest day is the nearest of all, for a later day's window reaches further.
    fn nearest(&self, meter: Meter, at: Ts, way: Way) -> rusqlite::Result<Option<Reading>> {
        let mut days = self.conn().prepare_cached(match way {
            Way::Back => {
                "SELECT day FROM t_day WHERE meter = ?1 AND day <= ?2 + 1 AND state <> 0 ORDER BY day DESC"
            }
            Way::Forth => {
                "SELECT day FROM t_day WHERE meter = ?1 AND day >= ?2 - 1 AND state <> 0 ORDER BY day"
            }
        })?;
        let mut days = days.query(params![meter.0, at.day()])?;
        while let Some(day) = days.next()? {
            let begin = Ts::from_micros(day.get::<_, i64>(0)?.saturating_mul(DAY));
            let (from, to) = (begin.plus(-ZONE_MAX), begin.plus(DAY + ZONE_MAX));
            let found = match way {
                Way::Back => self.nearest_within(meter, from, to.min(at), way)?,
                Way::Forth => self.nearest_within(meter, from.max(at), to, way)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The last (or first) measured reading with `from <= ts < to`.
    fn nearest_within(&self, meter: Meter, from: Ts, to: Ts, way: Way) -> rusqlite::Result<Option<Reading>> {
        let mut hours = self.conn().prepare_cached(match way {
            Way::Back => LAST_MEASURED,
            Way::Forth => FIRST_MEASURED,
        })?;
        let mut found = hours.query(params![meter.0, from.hour(), to.plus(-1).hour()])?;
        let mut accepted = None;
        while let (None, Some(row)) = (accepted, found.next()?) {
            accepted = Some(rows::reading(row)?).filter(|r| from <= r.ts && r.ts < to);
        }
        let outliers = self
            .waiting(Plan::Seek, &[meter], from, to)?
            .into_iter()
            .map(|(_, reading)| reading)
            .filter(Reading::is_measured);
        Ok(match way {
            Way::Back => accepted.into_iter().chain(outliers).max_by_key(|r| r.ts),
            Way::Forth => accepted.into_iter().chain(outliers).min_by_key(|r| r.ts),
        })
    }
}

const THROUGH_HOURS: &str = "SELECT r.hour, r.at, r.kw, r.flags, r.upload, r.row_number
    FROM t_hour h CROSS JOIN t_reading r ON r.hour = h.hour
    WHERE h.hour BETWEEN ?2 AND ?3 AND r.meter = ?1 ORDER BY h.hour, r.at";

const HOUR_ROWS: &str = "SELECT r.hour, r.at, r.kw, r.flags, r.upload, r.row_number, r.meter FROM t_reading r
    WHERE r.hour = ?1 AND r.meter BETWEEN ?2 AND ?3 ORDER BY r.meter, r.at";

const LAST_MEASURED: &str = "SELECT r.hour, r.at, r.kw, r.flags, r.upload, r.row_number
    FROM t_hour h CROSS JOIN t_reading r ON r.hour = h.hour
    WHERE h.hour BETWEEN ?2 AND ?3 AND r.meter = ?1 AND r.flags & 32 = 0 ORDER BY h.hour DESC, r.at DESC";

const FIRST_MEASURED: &str = "SELECT r.hour, r.at, r.kw, r.flags, r.upload, r.row_number
    FROM t_hour h CROSS JOIN t_reading r ON r.hour = h.hour
    WHERE h.hour BETWEEN ?2 AND ?3 AND r.meter = ?1 AND r.flags & 32 = 0 ORDER BY h.hour, r.at";

// the bit in the two statements above
const _: () = assert!(1 << Flag::MissingValue as u8 == 32);

/// Where the queue's entries of meter `?3` in the hours `?1` to `?2` are: one seek an hour.
const METER_WAITING: &str = "t_hour h CROSS JOIN t_error e ON e.hour = h.hour
    WHERE h.hour BETWEEN ?1 AND ?2 AND e.meter = ?3";

/// Where the queue's entries of all meters in the hours `?1` to `?2` are.
const HOURS_WAITING: &str = "t_error e WHERE e.hour BETWEEN ?1 AND ?2 AND e.meter IS NOT NULL";

/// The statements of this module, for the test that none of them reads all readings.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 4] = [THROUGH_HOURS, HOUR_ROWS, LAST_MEASURED, FIRST_MEASURED];
/// Those that ask the error queue.
#[cfg(test)]
pub(super) fn waiting_statements() -> [String; 2] {
    [waiting(METER_WAITING), waiting(HOURS_WAITING)]
}

/// Winners in the error queue; a discarded row is no winner, and a released or edited one is an
/// accepted reading.
fn waiting(place: &str) -> String {
    format!("SELECT {} FROM {place} AND e.status = 0 AND e.reason >= 9", rows::QUARANTINED_COLUMNS)
}
