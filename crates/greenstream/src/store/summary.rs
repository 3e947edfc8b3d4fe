//! The store in numbers: the books of all uploads, the open errors by reason, what days there are.

use std::path::Path;

use greenstream_core::{Reason, Ts};
use rusqlite::params;

use super::error::{Doing, StoreError};
use super::rows;
use super::types::UploadRow;
use super::{Reader, Store, outbox};
use crate::change::Alert;
use crate::failpoint::{self, Step};

/// The books of all uploads together, and how much there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Uploads whose rows all have their disposition.
    pub done: u64,
    /// Uploads of which nothing is loaded.
    pub dead: u64,
    /// Rows of the uploads that are done.
    pub rows: u64,
    /// Of them in `readings`.
    pub stored: u64,
    /// Of them in the error queue, open or discarded.
    pub quarantined: u64,
    /// Of them lost to others.
    pub superseded: u64,
    /// Meters that any row named.
    pub meters: u64,
    /// Entries of the error queue that wait for a decision.
    pub errors_open: u64,
    /// Episodes.
    pub episodes: u64,
    /// Alerts that have not been sent.
    pub alerts_waiting: u64,
}

/// The newest reading of a meter as the view `newest` shows it: meter id, ts, kW, flags as JSON.
pub type Newest = (String, String, Option<f64>, String);

/// Rows of each disposition, counted in the tables rather than taken from the books.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// Rows of `readings`.
    pub stored: u64,
    /// Rows of the error queue, open or discarded.
    pub quarantined: u64,
    /// Rows that lost.
    pub superseded: u64,
}

impl Reader {
    /// The store in numbers.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn totals(&self) -> Result<Totals, StoreError> {
        let sql = "SELECT coalesce(sum(status = 2), 0), coalesce(sum(status = 3), 0), coalesce(sum(rows), 0),
                coalesce(sum(stored), 0), coalesce(sum(quarantined), 0), coalesce(sum(superseded), 0),
                (SELECT count(*) FROM t_meter),
                (SELECT count(*) FROM t_error WHERE status = 0),
                (SELECT count(*) FROM t_episode),
                (SELECT count(*) FROM t_alert WHERE sent_at IS NULL)
             FROM t_upload";
        let totals = self.one(sql, [], |row| {
            Ok(Totals {
                done: rows::count(row, 0)?,
                dead: rows::count(row, 1)?,
                rows: rows::count(row, 2)?,
                stored: rows::count(row, 3)?,
                quarantined: rows::count(row, 4)?,
                superseded: rows::count(row, 5)?,
                meters: rows::count(row, 6)?,
                errors_open: rows::count(row, 7)?,
                episodes: rows::count(row, 8)?,
                alerts_waiting: rows::count(row, 9)?,
            })
        })?;
        Ok(totals.unwrap_or_default())
    }

    /// Rows of each disposition, counted one by one.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn count_rows(&self) -> Result<Counted, StoreError> {
        let count =
            |sql: &str| Ok::<u64, StoreError>(self.one(sql, [], |row| rows::count(row, 0))?.unwrap_or(0));
        Ok(Counted {
            stored: count("SELECT count(*) FROM t_reading")?,
            quarantined: count("SELECT count(*) FROM t_error WHERE status IN (0, 3)")?,
            superseded: count("SELECT count(*) FROM t_superseded")?,
        })
    }

    /// Open entries of the error queue by reason, in the order of evaluation.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn open_by_reason(&self) -> Result<Vec<(Reason, u64)>, StoreError> {
        self.all(
            "SELECT reason, count(*) FROM t_error WHERE status = 0 GROUP BY reason ORDER BY reason",
            [],
            |row| Ok((rows::code(row, 0, Reason::from_code)?, rows::count(row, 1)?)),
        )
    }

    /// The newest dead letters, newest first.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn newest_dead(&self, limit: u32) -> Result<Vec<UploadRow>, StoreError> {
        let sql = format!(
            "SELECT {} FROM t_upload WHERE status <> 2 AND status = 3 ORDER BY upload DESC LIMIT ?1",
            rows::UPLOAD_COLUMNS
        );
        self.all(&sql, [limit], rows::upload_row)
    }

    /// The newest reading of every meter that has one: (meter id, ts, kw as shown, flags).
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn newest(&self, meter: Option<&str>, limit: Option<u64>) -> Result<Vec<Newest>, StoreError> {
        let limit = limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(-1);
        self.all(
            "SELECT meter_id, ts, kw, flags FROM newest WHERE ?1 IS NULL OR meter_id = ?1 ORDER BY meter_id LIMIT ?2",
            params![meter, limit],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
    }

    /// UTC days (since 1970-01-01) that hold readings or entries of the error queue, in order.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn utc_days(&self) -> Result<Vec<i64>, StoreError> {
        let mut days: Vec<i64> = self.all(
            "SELECT DISTINCT (hour - (hour % 24 + 24) % 24) / 24 FROM t_hour ORDER BY 1",
            [],
            |row| row.get(0),
        )?;
        // one seek a day: the first entry of the queue after the last day seen
        let first = "SELECT min(hour) FROM t_error WHERE hour >= ?1";
        let mut from = i64::MIN;
        while let Some(hour) = self.one(first, [from], |row| row.get::<_, Option<i64>>(0))?.flatten() {
            let day = hour.div_euclid(24);
            days.push(day);
            from = (day + 1) * 24;
        }
        days.sort_unstable();
        days.dedup();
        Ok(days)
    }
}

impl Store {
    /// Puts an alert into the outbox outside any journal entry, such as one about an outage.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed.
    pub fn raise(&mut self, alert: &Alert) -> Result<(), StoreError> {
        self.change(|conn| outbox::put(conn, &[], std::slice::from_ref(alert)).doing("take an alert"))
    }

    /// Records deliveries of bytes already known: (upload, name, instant). They belong to no entry.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed.
    pub fn deliver(&mut self, deliveries: &[(u32, String, Ts)]) -> Result<(), StoreError> {
        failpoint::around(Step::Delivery, StoreError::failing, || {
            self.change(|conn| outbox::put(conn, deliveries, &[]).doing("take deliveries"))
        })
    }

    /// Takes over from an older database what the landing zone does not hold: deliveries and alerts.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where either cannot be read or written.
    pub fn adopt(&mut self, older: &Path) -> Result<(), StoreError> {
        let attached = self.conn.execute("ATTACH DATABASE ?1 AS older", [older.to_string_lossy()]);
        attached.doing("read the older database")?;
        let copied = self.change(|conn| {
            conn.execute_batch(
                "DELETE FROM t_delivery;
                 INSERT INTO t_delivery SELECT * FROM older.t_delivery;
                 INSERT OR IGNORE INTO t_alert SELECT * FROM older.t_alert;",
            )
            .doing("take over deliveries and alerts")
        });
        let detached = self.conn.execute_batch("DETACH DATABASE older").doing("let go of the older database");
        copied.and(detached)
    }
}
