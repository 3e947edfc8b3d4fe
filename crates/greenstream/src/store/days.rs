//! Whole UTC days, for the archive.

use greenstream_core::{DAY, Reading, Ts};

use super::context::Plan;
use super::db::{Value, params};
use super::error::{Doing, Fault, StoreError};
use super::reader::Reader;
use super::rows;
use super::types::Queued;
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
            self.db().choose(
                // an id is never empty, and no text is greater than a blob
                "SELECT id FROM t_meter
                 WHERE meter_id BETWEEN coalesce(?1, '') AND coalesce(?2, x'') ORDER BY id",
                "SELECT id FROM t_meter
                 WHERE meter_id >= coalesce(?1, '') AND (meter_id <= ?2 OR ?2 IS NULL) ORDER BY id",
            ),
            params![from_meter, to_meter],
            |row| row.get(0).map(Meter),
        )?;
        let plan = self.plan(meters.len()).doing("be read")?;
        self.accepted_by(plan, Some(&meters), from, to, sink).doing("be read")
    }

    /// The entries of the error queue whose time lies in one UTC day, or, for none, those without a
    /// time; in no order.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn day_errors(&self, day: Option<i64>, mut sink: impl FnMut(Queued<'_>)) -> Result<(), StoreError> {
        let of_day = if day.is_some() { "hour BETWEEN ?1 AND ?2" } else { "hour IS NULL" };
        let sql = format!("SELECT {} FROM t_error WHERE {of_day}", rows::QUEUED_COLUMNS);
        let first = day.map(|day| day * 24);
        let hours: Vec<Value<'_>> =
            first.into_iter().flat_map(|first| [first.into(), (first + 23).into()]).collect();
        let each = self.db().each(&sql, &hours, &mut |row| {
            sink(rows::queued(row)?);
            Ok::<_, Fault>(true)
        });
        each.doing("be read")
    }
}
