//! Revisions of rows, of feeds that have such a column: between two rows of one feed they go before the
//! sequence number (rule 5).

use greenstream_core::Ts;

use super::db::{Db, params};
use super::error::{Fault, StoreError};
use super::reader::Reader;
use crate::change::{Meter, Revision};

/// Takes the revisions of an upload's rows.
pub(super) fn put(db: &Db, revisions: &[Revision]) -> Result<(), Fault> {
    // a dead letter that is tried again gives the same rows
    let put = "INSERT INTO t_revision VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (meter, ts, upload, row_number) DO UPDATE SET revision = ?5";
    let one = |one: &Revision| {
        let Revision { meter, ts, upload, row_number, revision } = *one;
        [meter.0.into(), ts.micros().into(), upload.into(), row_number.into(), revision.into()]
    };
    db.execute_all(put, revisions.iter().map(one))
}

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
