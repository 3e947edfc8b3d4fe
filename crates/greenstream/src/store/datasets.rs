//! The datasets of the contract, row by row in the contract's order, whatever their size.
//!
//! `readings` and `measured` go meter by meter in the order of ids, each through the hours: one
//! seek for each meter and hour, then its rows, with no sort and no memory. Neighbours in an hour
//! share pages, so what is read stays in the cache as long as numbers follow ids roughly.

use greenstream_core::{Reading, Ts};

use super::db::{Db, Row, Value};
use super::error::{Doing, Fault, StoreError};
use super::filter::{Filter, Where};
use super::reader::Reader;
use super::rows;
use super::types::{AlertRow, Delivery, ErrorRow, Loser, UploadRow};
use crate::change::{Episode, Meter};

/// What a dataset's rows go into. Its error ends the query and comes back to the caller.
type Sink<'s, T, E> = &'s mut dyn FnMut(T) -> Result<(), E>;

impl Reader {
    /// `readings`: each with its meter's id, by (id, time). Filters: meter, from, to, upload, limit.
    ///
    /// # Errors
    /// `sink`'s own, and [`StoreError::Sqlite`] where the database cannot be read.
    pub fn readings<E: From<StoreError>>(
        &self,
        filter: &Filter,
        sink: &mut dyn FnMut(&str, Reading) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.is_of_all(filter) {
            return self.of_all(filter, Which::Accepted, sink);
        }
        self.by_meter(filter, sink, |meter, from, to, row| {
            self.through_hours(meter, from, to, row).doing("be read")
        })
    }

    /// `measured`: accepted readings with a value of their own, and the outliers that are under
    /// review, by (id, time). Filters: meter, from, to, upload, limit.
    ///
    /// # Errors
    /// As [`Reader::readings`].
    pub fn measured<E: From<StoreError>>(
        &self,
        filter: &Filter,
        sink: &mut dyn FnMut(&str, Reading) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.is_of_all(filter) {
            return self.of_all(filter, Which::Measured, sink);
        }
        self.by_meter(filter, sink, |meter, from, to, row| {
            let mut more = true;
            self.load_meter(meter, from, to, |reading| {
                more = more && (!reading.is_measured() || row(reading));
            })
            .doing("be read")
        })
    }

    /// `error-queue`, by (upload, row). Filters: all but `upload_status`.
    ///
    /// # Errors
    /// As [`Reader::readings`].
    pub fn errors<E: From<StoreError>>(&self, filter: &Filter, sink: Sink<'_, ErrorRow, E>) -> Result<(), E> {
        // a meter costs one seek an hour; each database has its own words for that
        let of_meter = self.db().choose(
            "(e.hour IN (SELECT hour FROM t_hour) AND e.meter = (SELECT id FROM t_meter WHERE meter_id = ?)
              OR e.meter IS NULL AND e.meter_text = ?)",
            "(e.hour = ANY (ARRAY(SELECT hour FROM t_hour))
                  AND e.meter = (SELECT id FROM t_meter WHERE meter_id = ?)
              OR e.meter IS NULL AND e.meter_text = ?)",
        );
        let wanted = Where::default()
            .and(of_meter, filter.meter.clone())
            .between("e.ts", filter)
            // what lets the index be used
            .and("e.hour >= ?", filter.from.map(Ts::hour))
            .and("e.hour <= ?", filter.to.map(Ts::hour))
            .and("e.status = ?", filter.status.map(|status| status as u8))
            .and("e.reason = ?", filter.reason.map(|reason| reason.code()))
            .and("e.upload = ?", filter.upload);
        let select =
            format!("SELECT {} FROM t_error e LEFT JOIN t_meter m ON m.id = e.meter", rows::ERROR_COLUMNS);
        self.each(
            &wanted,
            &wanted.query(&select, "e.upload, e.row_number", filter.limit),
            rows::error_row,
            sink,
        )
    }

    /// `superseded`, by (upload, row). Filters: meter, from, to, upload, limit; all but `upload`
    /// read the whole dataset.
    ///
    /// # Errors
    /// As [`Reader::readings`].
    pub fn superseded<E: From<StoreError>>(
        &self,
        filter: &Filter,
        sink: Sink<'_, Loser, E>,
    ) -> Result<(), E> {
        let wanted = Where::default()
            .and("s.meter = (SELECT id FROM t_meter WHERE meter_id = ?)", filter.meter.clone())
            .between("s.ts", filter)
            .and("s.upload = ?", filter.upload);
        let select = "SELECT s.upload, s.row_number, m.meter_id, s.ts, s.kw
            FROM t_superseded s CROSS JOIN t_meter m ON m.id = s.meter";
        self.each(&wanted, &wanted.query(select, "s.upload, s.row_number", filter.limit), loser, sink)
    }

    /// `uploads`, by number. Filters: upload, `upload_status`, from and to (of the landing), limit.
    ///
    /// # Errors
    /// As [`Reader::readings`].
    pub fn uploads<E: From<StoreError>>(
        &self,
        filter: &Filter,
        sink: Sink<'_, UploadRow, E>,
    ) -> Result<(), E> {
        let status = filter.upload_status.map(|status| status as u8);
        let wanted = Where::default()
            .and("upload = ?", filter.upload)
            .and("status = ?", status)
            // lets the small index of uploads that are not done be used
            .and_if("status <> 2", status.is_some_and(|status| status != 2))
            .between("landed_at", filter);
        let select = format!("SELECT {} FROM t_upload", rows::UPLOAD_COLUMNS);
        self.each(&wanted, &wanted.query(&select, "upload", filter.limit), rows::upload_row, sink)
    }

    /// `deliveries` of bytes already known, by upload, in the order they came. Filters: upload,
    /// from and to (of the delivery), limit.
    ///
    /// # Errors
    /// As [`Reader::readings`].
    pub fn deliveries<E: From<StoreError>>(
        &self,
        filter: &Filter,
        sink: Sink<'_, Delivery, E>,
    ) -> Result<(), E> {
        let wanted = Where::default().and("upload = ?", filter.upload).between("delivered_at", filter);
        let select = "SELECT upload, name, delivered_at FROM t_delivery";
        self.each(&wanted, &wanted.query(select, "upload, id", filter.limit), delivery, sink)
    }

    /// `episodes` with their meters' ids, by (id, first instant). Filters: meter, from and to (any
    /// overlap), limit.
    ///
    /// # Errors
    /// As [`Reader::readings`].
    pub fn episodes<E: From<StoreError>>(
        &self,
        filter: &Filter,
        sink: Sink<'_, (String, Episode), E>,
    ) -> Result<(), E> {
        let wanted = Where::default()
            .and("m.meter_id = ?", filter.meter.clone())
            .and("e.last_ts >= ?", filter.from.map(Ts::micros))
            .and("e.first_ts < ?", filter.to.map(Ts::micros));
        let select = "SELECT e.meter, e.kind, e.first_ts, e.last_ts, e.severity, e.closed, m.meter_id
            FROM t_meter m JOIN t_episode e ON e.meter = m.id";
        let row = |row: Row<'_>| Ok((row.get(6)?, rows::episode(row)?));
        self.each(&wanted, &wanted.query(select, "m.meter_id, e.first_ts, e.kind", filter.limit), row, sink)
    }

    /// `alerts`, in the order they were raised. Filters: meter, upload, from, to, limit.
    ///
    /// # Errors
    /// As [`Reader::readings`].
    pub fn alerts<E: From<StoreError>>(&self, filter: &Filter, sink: Sink<'_, AlertRow, E>) -> Result<(), E> {
        let wanted = Where::default()
            .and("meter_id = ?", filter.meter.clone())
            .and("upload = ?", filter.upload)
            .between("at", filter);
        let select = format!("SELECT {} FROM t_alert", rows::ALERT_COLUMNS);
        self.each(&wanted, &wanted.query(&select, "alert", filter.limit), rows::alert_row, sink)
    }

    /// Meter by meter in the order of ids; `of_meter` gives the rows of one until it is told to stop.
    fn by_meter<E: From<StoreError>>(
        &self,
        filter: &Filter,
        sink: &mut dyn FnMut(&str, Reading) -> Result<(), E>,
        of_meter: impl Fn(Meter, Ts, Ts, &mut dyn FnMut(Reading) -> bool) -> Result<(), StoreError>,
    ) -> Result<(), E> {
        let Some((from, to)) = self.range(filter)? else { return Ok(()) };
        let mut left = filter.limit.unwrap_or(u64::MAX);
        let wanted = Where::default().and("meter_id = ?", filter.meter.clone());
        let sql = wanted.query("SELECT id, meter_id FROM t_meter", "meter_id", None);
        let row = |row: Row<'_>| Ok((Meter(row.get(0)?), row.get::<String>(1)?));
        self.each(&wanted, &sql, row, &mut |(meter, meter_id): (Meter, String)| {
            let mut result = Ok(());
            if left > 0 {
                of_meter(meter, from, to, &mut |reading| {
                    if filter.upload.is_some_and(|upload| upload != reading.upload) {
                        return true;
                    }
                    left -= 1;
                    result = sink(&meter_id, reading);
                    left > 0 && result.is_ok()
                })?;
            }
            result
        })
    }

    /// Whether a server sorts the readings of all meters itself, where a file is read meter by meter.
    fn is_of_all(&self, filter: &Filter) -> bool {
        matches!(self.db(), Db::Postgres(_)) && filter.meter.is_none()
    }

    /// The readings of all meters, by (id, time), as a server sorts them.
    fn of_all<E: From<StoreError>>(
        &self,
        filter: &Filter,
        which: Which,
        sink: &mut dyn FnMut(&str, Reading) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some((from, to)) = self.range(filter)? else { return Ok(()) };
        let mut left = filter.limit.unwrap_or(u64::MAX);
        if left == 0 {
            return Ok(());
        }
        let sql = which.of_all();
        let values: [Value<'_>; 3] = [from.micros().into(), to.micros().into(), filter.upload.into()];
        let each = self.db().each(&sql, &values, &mut |row| {
            let (reading, meter_id) = (rows::reading_of_any(row)?, row.text(7)?.unwrap_or_default());
            if which == Which::Accepted || reading.is_measured() {
                left = left.saturating_sub(1);
                sink(&meter_id, reading).map_err(Ended::Sink)?;
            }
            Ok(left > 0)
        });
        each.map_err(Ended::into_sinks)
    }

    /// The instants to look at: those asked for, and no more than the days of the upload asked for.
    fn range(&self, filter: &Filter) -> Result<Option<(Ts, Ts)>, StoreError> {
        let (mut from, mut to) = (filter.from.unwrap_or(Ts::MIN), filter.to.unwrap_or(Ts::MAX));
        if let Some(upload) = filter.upload {
            let Some((first, last)) = self.upload(upload)?.and_then(|upload| upload.days) else {
                return Ok(None);
            };
            from = from.max(Ts::from_micros(first.saturating_mul(greenstream_core::DAY)));
            to = to.min(Ts::from_micros(last.saturating_add(1).saturating_mul(greenstream_core::DAY)));
        }
        Ok((from < to).then_some((from, to)))
    }

    /// Runs a query and hands its rows on.
    fn each<T, E: From<StoreError>>(
        &self,
        wanted: &Where,
        sql: &str,
        row: impl Fn(Row<'_>) -> Result<T, Fault>,
        sink: Sink<'_, T, E>,
    ) -> Result<(), E> {
        let each = self.db().each(sql, &wanted.values, &mut |next| {
            let next = row(next).doing("be read").map_err(Ended::Store)?;
            sink(next).map(|()| true).map_err(Ended::Sink)
        });
        each.map_err(Ended::into_sinks)
    }

    /// The readings of one meter, accepted and waiting, in time order.
    fn load_meter(&self, meter: Meter, from: Ts, to: Ts, mut sink: impl FnMut(Reading)) -> Result<(), Fault> {
        self.load_by(super::context::Plan::Seek, &[meter], from, to, |_, reading| sink(reading))
    }
}

/// Which readings of all meters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Accepted,
    Measured,
}

impl Which {
    fn of_all(self) -> String {
        let accepted =
            "SELECT r.ts, 0, r.kw, r.flags, r.upload, r.row_number, r.meter, m.meter_id, 0 AS reason
            FROM t_reading r JOIN t_meter m ON m.id = r.meter
            WHERE r.ts >= ?1 AND r.ts < ?2 AND (r.upload = ?3 OR ?3 IS NULL)";
        let waiting = "SELECT e.ts, 0, e.kw, e.flags, e.upload, e.row_number, e.meter, m.meter_id, e.reason
            FROM t_error e JOIN t_meter m ON m.id = e.meter
            WHERE e.ts >= ?1 AND e.ts < ?2 AND (e.upload = ?3 OR ?3 IS NULL) AND e.status < 1 AND e.reason >= 9";
        match self {
            Which::Accepted => format!("{accepted} ORDER BY m.meter_id, r.ts"),
            Which::Measured => format!("{accepted} UNION ALL {waiting} ORDER BY meter_id, ts"),
        }
    }
}

/// Why a query ended before its last row.
enum Ended<E> {
    Store(StoreError),
    Sink(E),
}

impl<E> From<Fault> for Ended<E> {
    fn from(fault: Fault) -> Self {
        Ended::Store(fault.doing("be read"))
    }
}

impl<E: From<StoreError>> Ended<E> {
    fn into_sinks(self) -> E {
        match self {
            Ended::Store(error) => error.into(),
            Ended::Sink(error) => error,
        }
    }
}

fn loser(row: Row<'_>) -> Result<Loser, Fault> {
    Ok(Loser {
        upload: row.get(0)?,
        row_number: row.get(1)?,
        meter_id: row.get(2)?,
        ts: rows::ts(row, 3)?,
        kw: rows::power(row, 4)?,
    })
}

fn delivery(row: Row<'_>) -> Result<Delivery, Fault> {
    Ok(Delivery { upload: row.get(0)?, name: row.get(1)?, delivered_at: rows::ts(row, 2)? })
}
