//! What goes out after a commit: alerts to send, and partitions of the archive to write again.

use std::collections::BTreeMap;

use greenstream_core::Ts;

use super::db::{Db, params};
use super::error::{Doing, Fault, StoreError};
use super::rows;
use super::types::{AlertRow, ArchiveTable, Dirty};
use super::{Reader, Store};
use crate::change::Alert;
use crate::failpoint::{self, Step};

impl Store {
    /// The oldest alerts that have not been sent, at most `limit` after the one numbered `after`, in the order
    /// they were raised.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn alerts_to_send(&self, after: i64, limit: u32) -> Result<Vec<AlertRow>, StoreError> {
        alerts_to_send(&self.db, after, limit).doing("read alerts")
    }

    /// Says that an alert was sent at `at`; the first time counts.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed: then it is sent once more, under its key.
    pub fn mark_sent(&mut self, alert: i64, at: Ts) -> Result<(), StoreError> {
        let mark = "UPDATE t_alert SET sent_at = coalesce(sent_at, ?2) WHERE alert = ?1";
        self.change(|db| {
            db.execute(mark, params![alert, at.micros()]).doing("mark an alert as sent")?;
            Ok(())
        })
    }

    /// Says that the alert of a key was sent at `at`; the first time counts.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed.
    pub fn mark_sent_by_key(&mut self, key: &str, at: Ts) -> Result<(), StoreError> {
        let mark = "UPDATE t_alert SET sent_at = coalesce(sent_at, ?2) WHERE key = ?1";
        self.change(|db| {
            db.execute(mark, params![key, at.micros()]).doing("mark an alert as sent")?;
            Ok(())
        })
    }

    /// Says that sending an alert failed at `at`: one attempt more.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed.
    pub fn mark_failed(&mut self, alert: i64, at: Ts) -> Result<(), StoreError> {
        let mark = "UPDATE t_alert SET attempts = attempts + 1, tried_at = ?2 WHERE alert = ?1";
        self.change(|db| {
            db.execute(mark, params![alert, at.micros()]).doing("mark an alert as failed")?;
            Ok(())
        })
    }

    /// The partitions of the archive that no longer equal the store.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn archive_dirty(&self) -> Result<Vec<Dirty>, StoreError> {
        dirty(&self.db).doing("read the state of the archive")
    }

    /// Says that the archive reflects every journal entry up to `entry`. Partitions that a later
    /// entry touched stay dirty.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed: then they are written once more.
    pub fn archive_clean(&mut self, entry: u64) -> Result<(), StoreError> {
        let entry = i64::try_from(entry).unwrap_or(i64::MAX);
        let clean = "DELETE FROM t_archive_dirty WHERE entry <= ?1";
        failpoint::around(Step::ArchiveClean, StoreError::failing, || {
            self.change(|db| {
                db.execute(clean, params![entry]).doing("note the state of the archive")?;
                Ok(())
            })
        })
    }
}

impl Reader {
    /// As [`Store::alerts_to_send`].
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn alerts_to_send(&self, after: i64, limit: u32) -> Result<Vec<AlertRow>, StoreError> {
        alerts_to_send(self.db(), after, limit).doing("read alerts")
    }

    /// As [`Store::archive_dirty`]; in a snapshot it fits the readings of the snapshot.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn archive_dirty(&self) -> Result<Vec<Dirty>, StoreError> {
        dirty(self.db()).doing("read the state of the archive")
    }
}

/// Puts deliveries and alerts in; an alert whose key is there already was raised before.
pub(super) fn put(db: &Db, deliveries: &[(u32, String, Ts)], alerts: &[Alert]) -> Result<(), Fault> {
    let put = "INSERT INTO t_delivery (upload, name, delivered_at) VALUES (?1, ?2, ?3)";
    let one = |(upload, name, at): &'_ (u32, String, Ts)| {
        [(*upload).into(), name.clone().into(), at.micros().into()]
    };
    db.execute_all(put, deliveries.iter().map(one))?;
    for alert in alerts {
        db.execute(
            "INSERT INTO t_alert (kind, key, meter_id, upload, at, message)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO NOTHING",
            params![alert.kind, &alert.key, &alert.meter, alert.upload, alert.at.micros(), &alert.message],
        )?;
    }
    Ok(())
}

/// Keeps, for each partition, the last entry that touched it.
pub(super) fn mark_dirty(db: &Db, touched: &BTreeMap<(ArchiveTable, i64), u64>) -> Result<(), Fault> {
    let mark = "INSERT INTO t_archive_dirty VALUES (?1, ?2, ?3)
        ON CONFLICT (table_id, day) DO UPDATE SET entry = ?3 WHERE t_archive_dirty.entry < ?3";
    let one = |((table, day), entry): (&(ArchiveTable, i64), &u64)| {
        [(*table as u8).into(), (*day).into(), entry.cast_signed().into()]
    };
    db.execute_all(mark, touched.iter().map(one))
}

fn alerts_to_send(db: &Db, after: i64, limit: u32) -> Result<Vec<AlertRow>, Fault> {
    let sql = format!(
        "SELECT {} FROM t_alert WHERE sent_at IS NULL AND alert > ?1 ORDER BY alert LIMIT ?2",
        rows::ALERT_COLUMNS
    );
    db.all(&sql, params![after, limit], rows::alert_row)
}

fn dirty(db: &Db) -> Result<Vec<Dirty>, Fault> {
    db.all("SELECT table_id, day, entry FROM t_archive_dirty ORDER BY table_id, day", &[], rows::dirty)
}

/// Lets numbers go on after those that were copied; a file's do so by themselves.
pub(super) fn count_on(db: &Db) -> Result<(), Fault> {
    let Db::Postgres(session) = db else { return Ok(()) };
    session.batch(
        "SELECT setval('t_delivery_id_seq', coalesce(max(id), 0) + 1, false) FROM t_delivery;
         SELECT setval('t_alert_alert_seq', coalesce(max(alert), 0) + 1, false) FROM t_alert",
    )
}
