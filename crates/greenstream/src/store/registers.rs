//! What cumulative registers showed, for the differences between uploads: the last word on each instant.

use greenstream_core::Ts;

use super::db::params;
use super::error::StoreError;
use super::reader::Reader;
use crate::change::{Meter, Register};

impl Reader {
    /// What the register of a meter showed at an instant.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn register(&self, meter: Meter, ts: Ts) -> Result<Option<Register>, StoreError> {
        self.one(
            "SELECT energy, upload, row_number FROM t_register WHERE meter = ?1 AND ts = ?2",
            params![meter.0, ts.micros()],
            |row| {
                let (energy, upload, row_number) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(Register { meter, ts, energy, upload, row_number })
            },
        )
    }
}
