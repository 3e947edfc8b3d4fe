//! Revisions of rows, of feeds that have such a column: between two rows of one feed they go before the
//! sequence number (rule 5).

use greenstream_core::Ts;

use super::db::params;
use super::error::StoreError;
use super::reader::Reader;
use crate::change::{Meter, Revision};

impl Reader {
    /// Whether there are any.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn has_revisions(&self) -> Result<bool, StoreError> {
        let any: Option<i64> = self.one("SELECT 1 FROM t_revision LIMIT 1", &[], |row| row.get(0))?;
        Ok(any.is_some())
    }

    /// The revisions of the rows of a meter and instant, each with the feed of its upload.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn revisions(&self, meter: Meter, ts: Ts) -> Result<Vec<(Revision, String)>, StoreError> {
        self.all(
            "SELECT r.upload, r.row_number, r.revision, u.feed FROM t_revision r
             JOIN t_upload u ON u.upload = r.upload WHERE r.meter = ?1 AND r.ts = ?2",
            params![meter.0, ts.micros()],
            |row| {
                let (upload, row_number, revision) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok((Revision { meter, ts, upload, row_number, revision }, row.get(3)?))
            },
        )
    }
}
