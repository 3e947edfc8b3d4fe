//! What goes out after a commit: alerts to send, and partitions of the archive to write again.

use std::collections::BTreeMap;

use greenstream_core::Ts;
use rusqlite::{Connection, params};

use super::error::{Doing, StoreError};
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
        alerts_to_send(&self.conn, after, limit).doing("read alerts")
    }

    /// Says that an alert was sent at `at`; the first time counts.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed: then it is sent once more, under its key.
    pub fn mark_sent(&mut self, alert: i64, at: Ts) -> Result<(), StoreError> {
        let mark = "UPDATE t_alert SET sent_at = coalesce(sent_at, ?2) WHERE alert = ?1";
        self.change(|conn| {
            conn.execute(mark, params![alert, at.micros()]).doing("mark an alert as sent")?;
            Ok(())
        })
    }

    /// Says that the alert of a key was sent at `at`; the first time counts.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed.
    pub fn mark_sent_by_key(&mut self, key: &str, at: Ts) -> Result<(), StoreError> {
        let mark = "UPDATE t_alert SET sent_at = coalesce(sent_at, ?2) WHERE key = ?1";
        self.change(|conn| {
            conn.execute(mark, params![key, at.micros()]).doing("mark an alert as sent")?;
            Ok(())
        })
    }

    /// Says that sending an alert failed at `at`: one attempt more.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed.
    pub fn mark_failed(&mut self, alert: i64, at: Ts) -> Result<(), StoreError> {
        let mark = "UPDATE t_alert SET attempts = attempts + 1, tried_at = ?2 WHERE alert = ?1";
        self.change(|conn| {
            conn.execute(mark, params![alert, at.micros()]).doing("mark an alert as failed")?;
            Ok(())
        })
    }

    /// The partitions of the archive that no longer equal the store.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn archive_dirty(&self) -> Result<Vec<Dirty>, StoreError> {
        dirty(&self.conn).doing("read the state of the archive")
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
            self.change(|conn| {
                conn.execute(clean, [entry]).doing("note the state of the archive")?;
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
        alerts_to_send(self.conn(), after, limit).doing("read alerts")
    }

    /// As [`Store::archive_dirty`]; in a snapshot it fits the readings of the snapshot.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn archive_dirty(&self) -> Result<Vec<Dirty>, StoreError> {
        dirty(self.conn()).doing("read the state of the archive")
    }
}

/// Puts deliveries and alerts in; an alert whose key is there already was raised before.
pub(super) fn put(
    conn: &Connection,
    deliveries: &[(u32, String, Ts)],
    alerts: &[Alert],
) -> rusqlite::Result<()> {
    for (upload, name, at) in deliveries {
        conn.prepare_cached("INSERT INTO t_delivery (upload, name, delivered_at) VALUES (?1, ?2, ?3)")?
            .execute(params![upload, name, at.micros()])?;
    }
    for alert in alerts {
        conn.prepare_cached(
            "INSERT INTO t_alert (kind, key, meter_id, upload, at, message)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO NOTHING",
        )?
        .execute(params![
            alert.kind,
            alert.key,
            alert.meter,
            alert.upload,
            alert.at.micros(),
            alert.message
        ])?;
    }
    Ok(())
}

/// Keeps, for each partition, the last entry that touched it.
pub(super) fn mark_dirty(
    conn: &Connection,
    touched: &BTreeMap<(ArchiveTable, i64), u64>,
) -> rusqlite::Result<()> {
    let mut mark = conn.prepare_cached(
        "INSERT INTO t_archive_dirty VALUES (?1, ?2, ?3)
         ON CONFLICT (table_id, day) DO UPDATE SET entry = max(entry, ?3)",
    )?;
    for ((table, day), entry) in touched {
        mark.execute(params![*table as u8, day, entry.cast_signed()])?;
    }
    Ok(())
}

fn alerts_to_send(conn: &Connection, after: i64, limit: u32) -> rusqlite::Result<Vec<AlertRow>> {
    conn.prepare_cached(&format!(
        "SELECT {} FROM t_alert WHERE sent_at IS NULL AND alert > ?1 ORDER BY alert LIMIT ?2",
        rows::ALERT_COLUMNS
    ))?
    .query_map(params![after, limit], rows::alert_row)?
    .collect()
}

fn dirty(conn: &Connection) -> rusqlite::Result<Vec<Dirty>> {
    conn.prepare_cached("SELECT table_id, day, entry FROM t_archive_dirty ORDER BY table_id, day")?
        .query_map([], rows::dirty)?
        .collect()
}
