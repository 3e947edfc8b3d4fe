//! The store in numbers: the books of all uploads, the open errors by reason, what days there are.

use greenstream_core::{Reason, Ts};

use super::db::{Row, params};
use super::error::{Doing, StoreError};
use super::rows;
use super::types::UploadRow;
use super::{Database, Reader, Store, outbox};
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

/// Instant, power and flags of a server's view, as a file's has them.
const SERVER_NEWEST: &str = "to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS') ||
    CASE extract(microseconds FROM ts)::bigint % 1000000 WHEN 0 THEN 'Z'
    ELSE to_char(ts AT TIME ZONE 'UTC', '.US\"Z\"') END, kw, array_to_json(flags)::text";

impl Reader {
    /// The store in numbers.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn totals(&self) -> Result<Totals, StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE status = 2), count(*) FILTER (WHERE status = 3),
                CAST(coalesce(sum(rows), 0) AS bigint), CAST(coalesce(sum(stored), 0) AS bigint),
                CAST(coalesce(sum(quarantined), 0) AS bigint), CAST(coalesce(sum(superseded), 0) AS bigint),
                (SELECT count(*) FROM t_meter),
                (SELECT count(*) FROM t_error WHERE status = 0),
                (SELECT count(*) FROM t_episode),
                (SELECT count(*) FROM t_alert WHERE sent_at IS NULL)
             FROM t_upload";
        let totals = self.one(sql, &[], |row| {
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

    /// Open entries of the error queue by reason, in the order of evaluation.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn open_by_reason(&self) -> Result<Vec<(Reason, u64)>, StoreError> {
        self.all(
            "SELECT reason, count(*) FROM t_error WHERE status = 0 GROUP BY reason ORDER BY reason",
            &[],
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
        self.all(&sql, params![limit], rows::upload_row)
    }

    /// The newest reading of every meter that has one: (meter id, ts, kw as shown, flags).
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn newest(&self, meter: Option<&str>, limit: Option<u64>) -> Result<Vec<Newest>, StoreError> {
        let limit = limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX);
        let columns = self.db().choose("ts, kw, flags", SERVER_NEWEST);
        let sql = format!(
            "SELECT meter_id, {columns} FROM newest WHERE meter_id = ?1 OR ?1 IS NULL ORDER BY meter_id LIMIT ?2"
        );
        let newest = |row: Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        self.all(&sql, params![meter, limit], newest)
    }

    /// UTC days (since 1970-01-01) that hold readings or entries of the error queue, in order.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn utc_days(&self) -> Result<Vec<i64>, StoreError> {
        let mut days: Vec<i64> = self.all(
            "SELECT DISTINCT (hour - (hour % 24 + 24) % 24) / 24 FROM t_hour ORDER BY 1",
            &[],
            |row| row.get(0),
        )?;
        // one seek a day: the first entry of the queue after the last day seen
        let first = "SELECT min(hour) FROM t_error WHERE hour >= ?1";
        let mut from = i64::MIN;
        while let Some(hour) = self.one(first, params![from], |row| row.get::<Option<i64>>(0))?.flatten() {
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
        self.change(|db| outbox::put(db, &[], std::slice::from_ref(alert)).doing("take an alert"))
    }

    /// Records deliveries of bytes already known: (upload, name, instant). They belong to no entry.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed.
    pub fn deliver(&mut self, deliveries: &[(u32, String, Ts)]) -> Result<(), StoreError> {
        failpoint::around(Step::Delivery, StoreError::failing, || {
            self.change(|db| outbox::put(db, deliveries, &[]).doing("take deliveries"))
        })
    }

    /// Takes over from an older database what the landing zone does not hold: deliveries and alerts.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] or [`StoreError::Postgres`] where either cannot be read or written.
    pub fn adopt(&mut self, older: &Database) -> Result<(), StoreError> {
        match older {
            Database::File(path) => {
                let attach = params![path.to_string_lossy().into_owned()];
                self.db.execute("ATTACH DATABASE ?1 AS older", attach).doing("read the older database")?;
                let copied = self.copy_from("older");
                let detached = self.db.execute("DETACH DATABASE older", &[]);
                copied.and(detached.map(drop).doing("let go of the older database"))
            }
            Database::Server(server) => self.copy_from(server.schema()),
        }
    }

    fn copy_from(&mut self, older: &str) -> Result<(), StoreError> {
        self.change(|db| {
            for sql in [
                "DELETE FROM t_delivery".to_owned(),
                format!("INSERT INTO t_delivery SELECT * FROM {older}.t_delivery"),
                format!(
                    "INSERT INTO t_alert SELECT * FROM {older}.t_alert WHERE true ON CONFLICT DO NOTHING"
                ),
            ] {
                db.execute(&sql, &[]).doing("take over deliveries and alerts")?;
            }
            outbox::count_on(db).doing("take over deliveries and alerts")
        })
    }
}
