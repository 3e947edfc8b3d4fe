//! Questions of `verify`: every row by its upload, whatever stands there.

use greenstream_core::{Flags, Power, Reading, Reason, Ts};

use super::db::params;
use super::error::{Doing, StoreError};
use super::reader::Reader;
use super::rows;
use crate::change::{Meter, Status, SupersededRow};

/// An entry of the error queue as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredError {
    /// The row, from 1.
    pub row_number: u32,
    /// The meter's number; none for a row that failed to decode.
    pub meter: Option<Meter>,
    /// The meter of such a row as far as it could be read.
    pub meter_text: String,
    /// The instant as far as it could be read.
    pub ts: Option<Ts>,
    /// The row's own value.
    pub kw: Option<Power>,
    /// Why it is here.
    pub reason: Reason,
    /// Its flags.
    pub flags: Flags,
    /// What has been decided.
    pub status: Status,
    /// Its line.
    pub raw: String,
}

impl Reader {
    /// The greatest number of any upload; 0 without any.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read, as for every question here.
    pub fn last_upload(&self) -> Result<u32, StoreError> {
        Ok(self.one("SELECT coalesce(max(upload), 0) FROM t_upload", &[], |row| row.get(0))?.unwrap_or(0))
    }

    /// Rows of the error queue and superseded rows that are of no upload from 1 to `last`.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn rows_beyond(&self, last: u32) -> Result<u64, StoreError> {
        let sql = "SELECT (SELECT count(*) FROM t_error WHERE upload > ?1 OR upload < 1)
                 + (SELECT count(*) FROM t_superseded WHERE upload > ?1 OR upload < 1)";
        Ok(self.one(sql, params![last], |row| rows::count(row, 0))?.unwrap_or(0))
    }

    /// Every (upload, row) about which a decision stands.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn all_decided_rows(&self) -> Result<Vec<(u32, u32)>, StoreError> {
        let sql = "SELECT upload, row_number FROM t_decision WHERE status <> 0";
        self.all(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The entries of the error queue that are rows of an upload, by row.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn errors_of(&self, upload: u32) -> Result<Vec<StoredError>, StoreError> {
        self.all(
            "SELECT row_number, meter, coalesce(meter_text, ''), ts, kw, reason, flags, status, raw
             FROM t_error WHERE upload = ?1 ORDER BY row_number",
            params![upload],
            |row| {
                Ok(StoredError {
                    row_number: row.get(0)?,
                    meter: row.get::<Option<u32>>(1)?.map(Meter),
                    meter_text: row.get(2)?,
                    ts: rows::optional_ts(row, 3)?,
                    kw: rows::power(row, 4)?,
                    reason: rows::code(row, 5, Reason::from_code)?,
                    flags: rows::flags(row, 6)?,
                    status: rows::code(row, 7, Status::from_code)?,
                    raw: row.get(8)?,
                })
            },
        )
    }

    /// The rows of an upload that lost, by row.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn superseded_of(&self, upload: u32) -> Result<Vec<SupersededRow>, StoreError> {
        self.all(
            "SELECT row_number, meter, ts, kw, flags FROM t_superseded WHERE upload = ?1 ORDER BY row_number",
            params![upload],
            |row| {
                Ok(SupersededRow {
                    upload,
                    row_number: row.get(0)?,
                    meter: Meter(row.get(1)?),
                    ts: rows::ts(row, 2)?,
                    kw: rows::power(row, 3)?,
                    flags: rows::flags(row, 4)?,
                })
            },
        )
    }

    /// The accepted readings that are rows of an upload. Reads every reading there is.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn readings_of(&self, upload: u32) -> Result<Vec<(Meter, Reading)>, StoreError> {
        let sql = format!("SELECT {} FROM t_reading r WHERE r.upload = ?1", self.reading_columns());
        self.all(&sql, params![upload], |row| Ok((Meter(row.get(6)?), rows::reading(row)?)))
    }

    /// What SQLite finds wrong with its own file, at most `limit` problems. A server looks after its own.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read at all.
    pub fn quick_check(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let Some(conn) = self.db().sqlite() else { return Ok(Vec::new()) };
        let check = || {
            let mut check = conn.prepare(&format!("PRAGMA quick_check({limit})"))?;
            let found: rusqlite::Result<Vec<String>> = check.query_map([], |row| row.get(0))?.collect();
            found
        };
        let mut problems: Vec<String> = check().doing("be checked")?;
        problems.retain(|problem| problem != "ok");
        Ok(problems)
    }
}
