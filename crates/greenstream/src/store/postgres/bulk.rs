//! Many rows in one statement: each column as an array, which the server unfolds into rows.

use greenstream_core::{Power, Reading, Ts};
use postgres::Row;
use postgres::types::{IsNull, ToSql, Type};

use super::session::Session;
use super::wire::{escaped, to_server};
use crate::change::{DayState, Meter, Register, Revision};
use crate::store::error::Fault;
use crate::store::queue::RowId;

/// An instant in an array.
#[derive(Clone, Copy, Debug)]
pub(super) struct At(pub(super) Ts);

impl ToSql for At {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        to_server(self.0.micros()).to_sql(&Type::INT8, out)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    postgres::types::to_sql_checked!();
}

/// A number that is below 2^31, as every one is that numbers meters, uploads, rows or hours.
pub(super) fn int(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

fn small(number: u16) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

/// Rows of uploads, by columns.
#[derive(Default)]
pub(super) struct RowIds {
    pub(super) uploads: Vec<i32>,
    pub(super) rows: Vec<i32>,
}

impl RowIds {
    pub(super) fn of(ids: impl Iterator<Item = RowId>) -> RowIds {
        let (uploads, rows) = ids.map(|(upload, row)| (int(upload), int(row))).unzip();
        RowIds { uploads, rows }
    }
}

/// Readings, by columns.
#[derive(Default)]
pub(super) struct Columns {
    hours: Vec<i32>,
    meters: Vec<i32>,
    ts: Vec<At>,
    kw: Vec<Option<i64>>,
    flags: Vec<i16>,
    ids: RowIds,
}

impl Columns {
    pub(super) fn of<'r>(readings: impl Iterator<Item = &'r (Meter, Reading)>) -> Columns {
        let mut columns = Columns::default();
        for (meter, reading) in readings {
            columns.hours.push(int(reading.ts.hour()));
            columns.meters.push(int(meter.0));
            columns.ts.push(At(reading.ts));
            columns.kw.push(reading.kw.map(Power::milliwatts));
            columns.flags.push(small(reading.flags.bits()));
            columns.ids.uploads.push(int(reading.upload));
            columns.ids.rows.push(int(reading.row_number));
        }
        columns
    }

    /// Replaces the readings of these keys in one partition; how many there were.
    pub(super) fn update(&self, session: &Session, partition: &str) -> Result<u64, Fault> {
        let sql = format!(
            "UPDATE {partition} r SET kw = v.kw, flags = v.flags, upload = v.upload, row_number = v.row_number
             FROM unnest($1::int4[], $2::int4[], $3::timestamptz[], $4::int8[], $5::int2[], $6::int4[], $7::int4[])
                 AS v (hour, meter, ts, kw, flags, upload, row_number)
             WHERE r.hour = v.hour AND r.meter = v.meter AND r.ts = v.ts"
        );
        let Columns { hours, meters, ts, kw, flags, ids } = self;
        session.execute_arrays(&sql, &[hours, meters, ts, kw, flags, &ids.uploads, &ids.rows])
    }

    /// Removes the readings of these keys from one partition; how many there were.
    pub(super) fn delete(&self, session: &Session, partition: &str) -> Result<u64, Fault> {
        let sql = format!(
            "DELETE FROM {partition} r
             USING unnest($1::int4[], $2::int4[], $3::timestamptz[]) AS v (hour, meter, ts)
             WHERE r.hour = v.hour AND r.meter = v.meter AND r.ts = v.ts"
        );
        session.execute_arrays(&sql, &[&self.hours, &self.meters, &self.ts])
    }

    /// The place of the first of these keys that one partition holds, or does not hold.
    pub(super) fn first(
        &self,
        session: &Session,
        partition: &str,
        is_held: bool,
    ) -> Result<Option<usize>, Fault> {
        let is_held = if is_held { "EXISTS" } else { "NOT EXISTS" };
        let sql = format!(
            "SELECT min(v.place) FROM unnest($1::int4[], $2::int4[], $3::timestamptz[])
                 WITH ORDINALITY AS v (hour, meter, ts, place)
             WHERE {is_held} (SELECT 1 FROM {partition} r
                 WHERE r.hour = v.hour AND r.meter = v.meter AND r.ts = v.ts)"
        );
        place(&session.query_arrays(&sql, &[&self.hours, &self.meters, &self.ts])?)
    }
}

/// The server's `min(place)` as an index; it counts from 1, and none is NULL.
pub(super) fn place(rows: &[Row]) -> Result<Option<usize>, Fault> {
    let place: Option<i64> = rows.first().map(|row| row.try_get(0)).transpose()?.flatten();
    Ok(place.and_then(|place| usize::try_from(place - 1).ok()))
}

/// Names the hours that hold readings, or readings that wait.
pub(super) fn see_hours(session: &Session, hours: &[i32]) -> Result<(), Fault> {
    let sql = "INSERT INTO t_hour
        SELECT h, to_timestamp(h * 3600::float8), to_timestamp((h + 1) * 3600::float8),
            (to_timestamp(h * 3600::float8) AT TIME ZONE 'UTC')::date
        FROM unnest($1::int4[]) h ON CONFLICT DO NOTHING";
    session.execute_arrays(sql, &[&hours]).map(drop)
}

/// Gives meters their numbers.
pub(super) fn meters(session: &Session, meters: &[(Meter, String)]) -> Result<(), Fault> {
    let numbers: Vec<i32> = meters.iter().map(|(meter, _)| int(meter.0)).collect();
    let ids: Vec<_> = meters.iter().map(|(_, id)| escaped(id)).collect();
    let sql = "INSERT INTO t_meter SELECT * FROM unnest($1::int4[], $2::text[])";
    session.execute_arrays(sql, &[&numbers, &ids]).map(drop)
}

/// What days of meters hold.
pub(super) fn days(session: &Session, days: &[(Meter, i32, DayState)]) -> Result<(), Fault> {
    let (gone, kept): (Vec<_>, Vec<_>) = days.iter().partition(|(_, _, state)| *state == DayState::Empty);
    let columns = |days: &[&(Meter, i32, DayState)]| -> (Vec<i32>, Vec<i32>) {
        days.iter().map(|(meter, day, _)| (int(meter.0), *day)).unzip()
    };
    if !gone.is_empty() {
        let (meters, days) = columns(&gone);
        let sql = "DELETE FROM t_day d USING unnest($1::int4[], $2::int4[]) AS v (meter, day)
            WHERE d.meter = v.meter AND d.day = v.day";
        session.execute_arrays(sql, &[&meters, &days])?;
    }
    if !kept.is_empty() {
        let (meters, days) = columns(&kept);
        let states: Vec<i16> = kept.iter().map(|(_, _, state)| small((*state as u8).into())).collect();
        let sql = "INSERT INTO t_day SELECT * FROM unnest($1::int4[], $2::int4[], $3::int2[])
            ON CONFLICT (meter, day) DO UPDATE SET state = excluded.state WHERE t_day.state <> excluded.state";
        session.execute_arrays(sql, &[&meters, &days, &states])?;
    }
    Ok(())
}

/// What registers showed; a later word replaces an earlier one.
pub(super) fn registers(session: &Session, registers: &[Register]) -> Result<(), Fault> {
    if registers.is_empty() {
        return Ok(());
    }
    let meters: Vec<i32> = registers.iter().map(|register| int(register.meter.0)).collect();
    let ts: Vec<At> = registers.iter().map(|register| At(register.ts)).collect();
    let energy: Vec<i64> = registers.iter().map(|register| register.energy).collect();
    let ids = RowIds::of(registers.iter().map(|register| (register.upload, register.row_number)));
    let sql = "INSERT INTO t_register
        SELECT * FROM unnest($1::int4[], $2::timestamptz[], $3::int8[], $4::int4[], $5::int4[])
        ON CONFLICT (meter, ts) DO UPDATE SET energy = excluded.energy, upload = excluded.upload,
            row_number = excluded.row_number";
    session.execute_arrays(sql, &[&meters, &ts, &energy, &ids.uploads, &ids.rows]).map(drop)
}

/// Revisions of rows.
pub(super) fn revisions(session: &Session, revisions: &[Revision]) -> Result<(), Fault> {
    if revisions.is_empty() {
        return Ok(());
    }
    let meters: Vec<i32> = revisions.iter().map(|revision| int(revision.meter.0)).collect();
    let ts: Vec<At> = revisions.iter().map(|revision| At(revision.ts)).collect();
    let ids = RowIds::of(revisions.iter().map(|revision| (revision.upload, revision.row_number)));
    let numbers: Vec<i64> = revisions.iter().map(|revision| revision.revision.into()).collect();
    let sql = "INSERT INTO t_revision
        SELECT * FROM unnest($1::int4[], $2::timestamptz[], $3::int4[], $4::int4[], $5::int8[])
        ON CONFLICT (meter, ts, upload, row_number) DO UPDATE SET revision = excluded.revision";
    session.execute_arrays(sql, &[&meters, &ts, &ids.uploads, &ids.rows, &numbers]).map(drop)
}
