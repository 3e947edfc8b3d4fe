//! The context that the judge needs: the stored readings around what an upload brings.
//!
//! Readings stand by hour, then by meter. For few meters each hour is sought meter by meter; for
//! many it is read from end to end.

use greenstream_core::{DAY, Flag, HOUR, Reading, Ts};
use rustc_hash::FxHashMap;

use super::db::{Db, Value, params};
use super::error::{Doing, Fault, StoreError};
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
        let hour: Option<i64> = self.one("SELECT max(hour) FROM t_hour", &[], |row| row.get(0))?.flatten();
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
    pub(super) fn plan(&self, meters: usize) -> Result<Plan, Fault> {
        // numbers are dense, so the greatest is as good as the count and costs one seek
        let all = "SELECT coalesce(max(id) + 1, 0) FROM t_meter";
        let all: u32 = self.db().one(all, &[], |row| row.get(0))?.unwrap_or(0);
        let all = usize::try_from(all).unwrap_or(usize::MAX);
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
    ) -> Result<(), Fault> {
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
    ) -> Result<(), Fault> {
        debug_assert!(meters.is_none_or(|meters| meters.is_sorted()));
        let within = |reading: &Reading| from <= reading.ts && reading.ts < to;
        match (plan, meters) {
            (_, Some([])) => Ok(()),
            (Plan::Seek, Some(meters)) => self.seek(meters, from, to, |meter, reading| {
                sink(meter, reading);
                true
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
    ) -> Result<(), Fault> {
        self.seek(&[meter], from, to, |_, reading| sink(reading))
    }

    /// The same for several meters, in the order of (meter, ts): a file is asked for one after the other, a
    /// server for all at once.
    fn seek(
        &self,
        meters: &[Meter],
        from: Ts,
        to: Ts,
        mut sink: impl FnMut(Meter, Reading) -> bool,
    ) -> Result<(), Fault> {
        let (first, last) = (from.hour(), to.plus(-1).hour());
        let mut hand_on = |meter: Meter, reading: Reading| {
            let within = from <= reading.ts && reading.ts < to;
            Ok::<_, Fault>(!within || sink(meter, reading))
        };
        if matches!(self.db(), Db::Postgres(_)) {
            let meters = Value::Ints(meters.iter().map(|meter| meter.0.into()).collect());
            return self.db().each(SERVER_SEEK, &[meters, first.into(), last.into()], &mut |row| {
                hand_on(Meter(row.get(6)?), rows::reading(row)?)
            });
        }
        for meter in meters {
            self.db().each(THROUGH_HOURS, params![meter.0, first, last], &mut |row| {
                hand_on(*meter, rows::reading(row)?)
            })?;
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
    ) -> Result<(), Fault> {
        let hours = "SELECT hour FROM t_hour WHERE hour BETWEEN ?1 AND ?2 ORDER BY hour";
        let hours: Vec<i64> =
            self.db().all(hours, params![from.hour(), to.plus(-1).hour()], |row| row.get(0))?;
        let hour_rows = self.db().choose(HOUR_ROWS, SERVER_HOUR_ROWS);
        let first = meters.and_then(|meters| meters.first()).map_or(0, |meter| meter.0);
        let last = meters.and_then(|meters| meters.last()).map_or(u32::MAX, |meter| meter.0);
        for hour in hours {
            let mut wanted = meters.unwrap_or_default();
            self.db().each(hour_rows, params![hour, first, last], &mut |row| {
                let meter = Meter(row.get(6)?);
                if meters.is_some() {
                    // both are sorted, so each step looks at the next few
                    while wanted.first().is_some_and(|next| *next < meter) {
                        wanted = wanted.get(1..).unwrap_or_default();
                    }
                    if wanted.first() != Some(&meter) {
                        return Ok(true);
                    }
                }
                sink(meter, rows::reading(row)?);
                Ok::<_, Fault>(true)
            })?;
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
    ) -> Result<Vec<(Meter, Reading)>, Fault> {
        let hours = (from.hour(), to.plus(-1).hour());
        let mut found = match (plan, self.db()) {
            (Plan::Seek, Db::Sqlite(_)) => {
                let sql = waiting(METER_WAITING);
                let mut found = Vec::new();
                for meter in meters {
                    found.extend(self.db().all(
                        &sql,
                        params![hours.0, hours.1, meter.0],
                        rows::quarantined,
                    )?);
                }
                found
            }
            (Plan::Seek, Db::Postgres(_)) => {
                let meters = Value::Ints(meters.iter().map(|meter| meter.0.into()).collect());
                let range = [hours.0.into(), hours.1.into(), meters];
                self.db().all(&waiting(SERVER_WAITING), &range, rows::quarantined)?
            }
            (Plan::Scan, _) => {
                self.db().all(&waiting(HOURS_WAITING), params![hours.0, hours.1], rows::quarantined)?
            }
        };
        found.retain(|(meter, reading)| {
            let within = from <= reading.ts && reading.ts < to;
            within && (plan == Plan::Seek || meters.binary_search(meter).is_ok())
        });
        Ok(found)
    }

    /// The nearest measured reading, by way of the days that have any: the first one found in the
    /// window of the nearest day is the nearest of all, for a later day's window reaches further.
    fn nearest(&self, meter: Meter, at: Ts, way: Way) -> Result<Option<Reading>, Fault> {
        let (days, mut from_day) = match way {
            Way::Back => (
                "SELECT day FROM t_day WHERE meter = ?1 AND day <= ?2 AND state <> 0 ORDER BY day DESC LIMIT 1",
                at.day() + 1,
            ),
            Way::Forth => (
                "SELECT day FROM t_day WHERE meter = ?1 AND day >= ?2 AND state <> 0 ORDER BY day LIMIT 1",
                at.day() - 1,
            ),
        };
        while let Some(day) = self.db().one(days, params![meter.0, from_day], |row| row.get::<i64>(0))? {
            from_day = if way == Way::Back { day - 1 } else { day + 1 };
            let begin = Ts::from_micros(day.saturating_mul(DAY));
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
    fn nearest_within(&self, meter: Meter, from: Ts, to: Ts, way: Way) -> Result<Option<Reading>, Fault> {
        let hours = match way {
            Way::Back => self.db().choose(LAST_MEASURED, SERVER_LAST_MEASURED),
            Way::Forth => self.db().choose(FIRST_MEASURED, SERVER_FIRST_MEASURED),
        };
        let mut accepted = None;
        self.db().each(hours, params![meter.0, from.hour(), to.plus(-1).hour()], &mut |row| {
            accepted = Some(rows::reading(row)?).filter(|r| from <= r.ts && r.ts < to);
            Ok::<_, Fault>(accepted.is_none())
        })?;
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

/// The range of instants of the hours `?2` to `?3`, which leaves their days' partitions once for the whole
/// statement; by the hours alone each of them would choose among all days. Hours beyond what a server takes for
/// an instant (4713 BC) hold nothing.
macro_rules! within_days {
    () => {
        "x.ts >= to_timestamp(greatest(?2::int, -50000000) * 3600::float8)
         AND x.ts < to_timestamp((least(?3::int, 50000000) + 1) * 3600::float8)"
    };
}

/// The readings of meters `?1` in the hours `?2` to `?3` of a server. The hours lead as in a file, each into
/// the one partition that its day is; `OFFSET 0` keeps the planner from another way.
const SERVER_SEEK: &str = concat!(
    "SELECT r.ts, 0, r.kw, r.flags, r.upload, r.row_number, r.meter
    FROM t_hour h CROSS JOIN LATERAL (SELECT * FROM t_reading x WHERE x.hour = h.hour
        AND x.ts >= h.begin_at AND x.ts < h.end_at AND ",
    within_days!(),
    " AND x.meter = ANY(?1) OFFSET 0) r
    WHERE h.hour BETWEEN ?2 AND ?3 ORDER BY r.meter, r.ts"
);

const SERVER_HOUR_ROWS: &str =
    "SELECT r.ts, 0, r.kw, r.flags, r.upload, r.row_number, r.meter FROM t_reading r
    WHERE r.hour = ?1 AND r.meter BETWEEN ?2 AND ?3 AND r.ts >= to_timestamp(?1::float8 * 3600)
        AND r.ts < to_timestamp((?1::float8 + 1) * 3600) ORDER BY r.meter, r.ts";

macro_rules! one_of_meter {
    ([$($terms:tt)*], $order:literal) => {
        concat!(
            "SELECT r.ts, 0, r.kw, r.flags, r.upload, r.row_number
             FROM t_hour h CROSS JOIN LATERAL (SELECT * FROM t_reading x WHERE x.hour = h.hour
                 AND x.ts >= h.begin_at AND x.ts < h.end_at AND x.meter = ?1 ",
            $($terms)*,
            " OFFSET 0) r WHERE ",
            $order
        )
    };
}

const SERVER_LAST_MEASURED: &str = one_of_meter!(
    ["AND x.flags & 32 = 0 AND ", within_days!()],
    "h.hour BETWEEN ?2 AND ?3 ORDER BY h.hour DESC, r.ts DESC"
);
const SERVER_FIRST_MEASURED: &str = one_of_meter!(
    ["AND x.flags & 32 = 0 AND ", within_days!()],
    "h.hour BETWEEN ?2 AND ?3 ORDER BY h.hour, r.ts"
);
pub(super) const SERVER_LAST_READING: &str = one_of_meter!(
    ["AND ", within_days!()],
    "h.hour BETWEEN ?2 AND ?3 ORDER BY h.hour DESC, r.ts DESC LIMIT 1"
);
pub(super) const SERVER_NEWEST_STORED: &str =
    one_of_meter!([""], "true ORDER BY h.hour DESC, r.ts DESC LIMIT 1");

// the bit in the statements above
const _: () = assert!(1 << Flag::MissingValue as u8 == 32);

/// Where the queue's entries of meter `?3` in the hours `?1` to `?2` are: one seek an hour.
const METER_WAITING: &str = "t_hour h CROSS JOIN t_error e ON e.hour = h.hour
    WHERE h.hour BETWEEN ?1 AND ?2 AND e.meter = ?3";

/// Where the queue's entries of all meters in the hours `?1` to `?2` are.
const HOURS_WAITING: &str = "t_error e WHERE e.hour BETWEEN ?1 AND ?2 AND e.meter IS NOT NULL";

/// Where those of meters `?3` are in a server.
const SERVER_WAITING: &str = "t_hour h CROSS JOIN LATERAL (SELECT * FROM t_error x WHERE x.hour = h.hour
        AND x.meter = ANY(?3) OFFSET 0) e WHERE h.hour BETWEEN ?1 AND ?2";

/// The statements of this module, for the test that none of them reads all readings.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 4] = [THROUGH_HOURS, HOUR_ROWS, LAST_MEASURED, FIRST_MEASURED];
/// Those that ask the error queue.
#[cfg(test)]
pub(super) fn waiting_statements() -> [String; 2] {
    [waiting(METER_WAITING), waiting(HOURS_WAITING)]
}

/// Winners in the error queue; a discarded row is no winner, and a released or edited one is an
/// accepted reading. Open is written as below 1, for a planner without statistics reads the index of the
/// open entries by reason, all of it, wherever it can.
fn waiting(place: &str) -> String {
    format!("SELECT {} FROM {place} AND e.status < 1 AND e.reason >= 9", rows::QUARANTINED_COLUMNS)
}
