//! Whole UTC days, for the archive.

use greenstream_core::{DAY, Reading, Ts};

use super::context::Plan;
use super::error::{Doing, StoreError};
use super::reader::Reader;
use super::rows;
use super::types::ErrorRow;
use crate::change::Meter;

impl Reader {
    /// All accepted readings of one UTC day (days since 1970) whose meter id lies from `from_meter`
    /// to `to_meter`, both included and open where none (ids compare by their bytes). They come by
    /// (hour, meter number, ts), or, for a small share of the meters, by (meter number, ts): one
    /// meter's readings are in time order either way.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn day_rows(
        &self,
        day: i64,
        from_meter: Option<&str>,
        to_meter: Option<&str>,
        sink: impl FnMut(Meter, Reading),
    ) -> Result<(), StoreError> {
        let from = Ts::from_micros(day.saturating_mul(DAY));
        let to = from.plus(DAY);
        if from_meter.is_none() && to_meter.is_none() {
            return self.accepted_by(Plan::Scan, None, from, to, sink).doing("be read");
        }
        let meters = self.all(
            // an id is never empty, and no text is greater than a blob
            "SELECT id FROM t_meter WHERE meter_id BETWEEN coalesce(?1, '') AND coalesce(?2, x'') ORDER BY id",
            [from_meter, to_meter],
            |row| row.get(0).map(Meter),
        )?;
        let plan = self.plan(meters.len()).doing("be read")?;
        self.accepted_by(plan, Some(&meters), from, to, sink).doing("be read")
    }

    /// The entries of the error queue whose time lies in one UTC day, or, for none, those without a
    /// time; by (ts, upload, row).
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn day_errors(&self, day: Option<i64>, mut sink: impl FnMut(ErrorRow)) -> Result<(), StoreError> {
        let of_day = if day.is_some() { "e.ts >= ?1 AND e.ts < ?2" } else { "e.ts IS NULL" };
        let sql = format!(
            "SELECT {} FROM t_error e LEFT JOIN t_meter m ON m.id = e.meter WHERE {of_day}
             ORDER BY e.ts, e.upload, e.row_number",
            rows::ERROR_COLUMNS
        );
        let from = day.map(|day| day.saturating_mul(DAY));
        let params: Vec<i64> = from.into_iter().flat_map(|from| [from, from.saturating_add(DAY)]).collect();
        let mut read = || -> rusqlite::Result<()> {
            let mut select = self.conn().prepare_cached(&sql)?;
            for row in select.query_map(rusqlite::params_from_iter(params.iter()), rows::error_row)? {
                sink(row?);
            }
            Ok(())
        };
        read().doing("be read")
    }
}
