//! What completeness asks of the store: the days that meters have readings on, the first and the newest
//! of their readings, and when uploads landed. All by meter and day: nothing here reads all readings.

use greenstream_core::{Reading, Ts};

use super::context::{self, Plan};
use super::db::params;
use super::error::{Doing, Fault, StoreError};
use super::{Reader, Store, rows};
use crate::change::Meter;

/// The last accepted reading of meter `?1` in the hours `?2` to `?3`.
pub(super) const LAST_READING: &str = "SELECT r.hour, r.at, r.kw, r.flags, r.upload, r.row_number
    FROM t_hour h CROSS JOIN t_reading r ON r.hour = h.hour
    WHERE h.hour BETWEEN ?2 AND ?3 AND r.meter = ?1 ORDER BY h.hour DESC, r.at DESC LIMIT 1";

impl Store {
    /// Keeps the content of the configuration in force, for readers that have the database only.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed.
    pub fn keep_rulebook(&mut self, content: &str) -> Result<(), StoreError> {
        self.change(|db| {
            db.execute(
                "INSERT INTO t_rulebook VALUES (1, ?1)
                 ON CONFLICT (id) DO UPDATE SET content = ?1 WHERE t_rulebook.content <> ?1",
                params![content],
            )
            .doing("keep the configuration")?;
            Ok(())
        })
    }
}

impl Reader {
    /// The content of the configuration that was in force when the store was last opened for writing.
    ///
    /// # Errors
    /// As for every question here: [`StoreError::Sqlite`] where the database cannot be read.
    pub fn rulebook(&self) -> Result<Option<String>, StoreError> {
        self.one("SELECT content FROM t_rulebook", &[], |row| row.get(0))
    }

    /// When each upload that is done landed, and its feed, by number.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn landings(&self) -> Result<Vec<(u32, Ts, String)>, StoreError> {
        self.all(
            "SELECT upload, landed_at, feed FROM t_upload WHERE status = 2 ORDER BY upload",
            &[],
            |row| Ok((row.get(0)?, rows::ts(row, 1)?, row.get(2)?)),
        )
    }

    /// The first day (of the reporting zone) and the last one on which each meter has readings, by
    /// number: two seeks a meter.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn day_extents(&self) -> Result<Vec<(Meter, i32, i32)>, StoreError> {
        self.all(
            "SELECT id, first, last FROM (SELECT m.id,
                (SELECT min(day) FROM t_day WHERE meter = m.id) AS first,
                (SELECT max(day) FROM t_day WHERE meter = m.id) AS last FROM t_meter m) extent
             WHERE first IS NOT NULL ORDER BY id",
            &[],
            |row| Ok((Meter(row.get(0)?), row.get(1)?, row.get(2)?)),
        )
    }

    /// Every day on which a meter has readings, by meter number and day, until `sink` fails.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn each_day(&self, mut sink: impl FnMut(Meter, i32)) -> Result<(), StoreError> {
        let each = self.db().each("SELECT meter, day FROM t_day ORDER BY meter, day", &[], &mut |row| {
            sink(Meter(row.get(0)?), row.get(1)?);
            Ok::<_, Fault>(true)
        });
        each.doing("be read")
    }

    /// The latest `count` days up to `day` on which a meter has readings, the latest first.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn latest_days(&self, meter: Meter, day: i32, count: u32) -> Result<Vec<i32>, StoreError> {
        self.all(
            "SELECT day FROM t_day WHERE meter = ?1 AND day <= ?2 ORDER BY day DESC LIMIT ?3",
            params![meter.0, day, count],
            |row| row.get(0),
        )
    }

    /// The newest reading of a meter with `from <= ts < to`, accepted or waiting in the error queue.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn newest_reading(&self, meter: Meter, from: Ts, to: Ts) -> Result<Option<Reading>, StoreError> {
        let hours = params![meter.0, from.hour(), to.plus(-1).hour()];
        let accepted =
            self.one(self.db().choose(LAST_READING, context::SERVER_LAST_READING), hours, rows::reading)?;
        if accepted.is_some_and(|reading| reading.ts >= to || reading.ts < from) {
            // hours of UTC that two days share: rare enough to read the day
            let mut last = None;
            self.load(&[meter], from, to, |_, reading| last = Some(reading))?;
            return Ok(last);
        }
        let from = accepted.map_or(from, |reading| reading.ts);
        let waiting = self.waiting(Plan::Seek, &[meter], from, to).doing("be read")?;
        Ok(waiting.into_iter().map(|(_, reading)| reading).chain(accepted).max_by_key(|reading| reading.ts))
    }
}
