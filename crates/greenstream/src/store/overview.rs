//! What the pages ask: the newest of everything, meters by a part of their id, an hour in numbers.
//!
//! Each question is one short read: a bounded walk of a key or an index, or one hour of readings.

use greenstream_core::{Flag, Reason, Ts};

use super::Reader;
use super::context;
use super::db::params;
use super::error::StoreError;
use super::rows;
use super::types::{AlertRow, UploadRow};
use crate::change::{Episode, Meter};

/// The newest reading of a meter: from the newest hour back until it is found.
pub(super) const NEWEST_STORED: &str = "SELECT h.hour, r.at FROM t_hour h CROSS JOIN t_reading r \
    ON r.hour = h.hour WHERE r.meter = ?1 ORDER BY h.hour DESC, r.at DESC LIMIT 1";
/// The newest entry of the error queue of a meter, found in the same way.
pub(super) const NEWEST_WAITING: &str = "SELECT e.ts FROM t_hour h CROSS JOIN t_error e \
    ON e.hour = h.hour WHERE e.meter = ?1 ORDER BY h.hour DESC, e.ts DESC LIMIT 1";
/// What waits of an hour.
pub(super) const OPEN_IN_HOUR: &str =
    "SELECT reason, count(*) FROM t_error WHERE hour = ?1 AND status < 1 GROUP BY reason";

/// One UTC hour in numbers: its readings, those that carry a flag that matters, what waits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HourCounts {
    /// Readings stored.
    pub stored: u64,
    /// Of them those with each of [`HourCounts::FLAGS`], in that order.
    pub flags: [u64; 3],
    /// Open entries of the error queue by reason, where there are any.
    pub open: Vec<(Reason, u64)>,
}

impl HourCounts {
    /// The flags that say something about a meter or a feed; the others say how a row was read.
    pub const FLAGS: [Flag; 3] = [Flag::MissingValue, Flag::ForwardFilled, Flag::PotentiallyFaulty];
}

impl Reader {
    /// The newest uploads, newest first.
    ///
    /// # Errors
    /// As for every question here: [`StoreError::Sqlite`] where the database cannot be read.
    pub fn newest_uploads(&self, limit: u32) -> Result<Vec<UploadRow>, StoreError> {
        let sql = format!("SELECT {} FROM t_upload ORDER BY upload DESC LIMIT ?1", rows::UPLOAD_COLUMNS);
        self.all(&sql, params![limit], rows::upload_row)
    }

    /// The newest alerts, newest first.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn newest_alerts(&self, limit: u32) -> Result<Vec<AlertRow>, StoreError> {
        let sql = format!("SELECT {} FROM t_alert ORDER BY alert DESC LIMIT ?1", rows::ALERT_COLUMNS);
        self.all(&sql, params![limit], rows::alert_row)
    }

    /// Episodes that have not ended, with their meters' ids: those that lasted longest into the data first.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn open_episodes(&self, limit: u32) -> Result<Vec<(String, Episode)>, StoreError> {
        self.all(
            "SELECT e.meter, e.kind, e.first_ts, e.last_ts, e.severity, e.closed, m.meter_id
             FROM t_episode e CROSS JOIN t_meter m ON m.id = e.meter
             WHERE NOT e.closed ORDER BY e.last_ts DESC, m.meter_id LIMIT ?1",
            params![limit],
            |row| Ok((row.get(6)?, rows::episode(row)?)),
        )
    }

    /// How many episodes have not ended.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn count_open_episodes(&self) -> Result<u64, StoreError> {
        let count =
            self.one("SELECT count(*) FROM t_episode WHERE NOT closed", &[], |row| rows::count(row, 0));
        Ok(count?.unwrap_or(0))
    }

    /// Meters whose id holds `part` (in any case of ASCII letters) and comes after `after`, by id.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn meters_like(
        &self,
        part: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(Meter, String)>, StoreError> {
        self.all(
            "SELECT id, meter_id FROM t_meter
             WHERE meter_id > ?2 AND instr(lower(meter_id), ?1) > 0 ORDER BY meter_id LIMIT ?3",
            params![part.to_ascii_lowercase(), after, limit],
            |row| Ok((Meter(row.get(0)?), row.get(1)?)),
        )
    }

    /// The instant of a meter's newest row, stored or in the error queue; none where it has neither.
    /// Costs a seek for each hour after it.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn newest_instant(&self, meter: Meter) -> Result<Option<Ts>, StoreError> {
        let newest = self.db().choose(NEWEST_STORED, context::SERVER_NEWEST_STORED);
        let stored = self.one(newest, params![meter.0], rows::reading_ts)?;
        let waiting = self.one(NEWEST_WAITING, params![meter.0], |row| rows::ts(row, 0))?;
        Ok(stored.max(waiting))
    }

    /// The UTC hour `hour` (since 1970) in numbers. Reads all of it: 30 ms for 50,000 meters.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn hour_counts(&self, hour: i64) -> Result<HourCounts, StoreError> {
        let [a, b, c] =
            HourCounts::FLAGS.map(|flag| format!("coalesce(sum(flags >> {} & 1), 0)", flag as u8));
        // what leads a server to the day's partition
        let of_day =
            "AND r.ts >= to_timestamp(?1::float8 * 3600) AND r.ts < to_timestamp((?1::float8 + 1) * 3600)";
        let of_day = self.db().choose("", of_day);
        let sql = format!("SELECT count(*), {a}, {b}, {c} FROM t_reading r WHERE r.hour = ?1 {of_day}");
        let counts = self.one(&sql, params![hour], |row| {
            Ok(HourCounts {
                stored: rows::count(row, 0)?,
                flags: [rows::count(row, 1)?, rows::count(row, 2)?, rows::count(row, 3)?],
                open: Vec::new(),
            })
        })?;
        let open = self.all(OPEN_IN_HOUR, params![hour], |row| {
            Ok((rows::code(row, 0, Reason::from_code)?, rows::count(row, 1)?))
        })?;
        Ok(HourCounts { open, ..counts.unwrap_or_default() })
    }
}
