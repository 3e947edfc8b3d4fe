//! What cumulative registers showed, for the differences between uploads: the last word on each instant.

use greenstream_core::Ts;
use rusqlite::{Connection, params};

use super::error::StoreError;
use super::reader::Reader;
use crate::change::{Meter, Register};

/// Takes what an upload says of registers; a later word replaces an earlier one.
pub(super) fn put(conn: &Connection, registers: &[Register]) -> rusqlite::Result<()> {
    let mut put = conn.prepare_cached(
        "INSERT INTO t_register VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (meter, ts) DO UPDATE SET energy = ?3, upload = ?4, row_number = ?5",
    )?;
    for Register { meter, ts, energy, upload, row_number } in registers {
        put.execute(params![meter.0, ts.micros(), energy, upload, row_number])?;
    }
    Ok(())
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
