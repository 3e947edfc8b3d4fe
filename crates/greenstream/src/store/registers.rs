//! What cumulative registers showed, for the differences between uploads: the last word on each instant.

use greenstream_core::Ts;

use super::db::{Db, params};
use super::error::{Fault, StoreError};
use super::reader::Reader;
use crate::change::{Meter, Register};

/// Takes what an upload says of registers; a later word replaces an earlier one.
pub(super) fn put(db: &Db, registers: &[Register]) -> Result<(), Fault> {
    let put = "INSERT INTO t_register VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (meter, ts) DO UPDATE SET energy = ?3, upload = ?4, row_number = ?5";
    let one = |one: &Register| {
        let Register { meter, ts, energy, upload, row_number } = *one;
        [meter.0.into(), ts.micros().into(), energy.into(), upload.into(), row_number.into()]
    };
    db.execute_all(put, registers.iter().map(one))
}

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
