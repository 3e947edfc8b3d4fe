//! How the database's rows become ours: for each kind its columns, and the type they make.

use greenstream_core::decode::{RowIndex, Span};
use greenstream_core::{Flags, HOUR, Power, Reading, Reason, Standing, Ts};

use super::db::{Db, Row, Value};
use super::error::Fault;
use super::types::{AlertRow, ArchiveTable, Dirty, ErrorRow, Queued, UploadRow, UploadStatus};
use crate::change::{DayState, DeadLetter, Decision, Episode, EpisodeKind, Landed, Meter, Severity, Status};

/// The columns of [`reading`], in its order, of a file.
pub(super) const READING_COLUMNS: &str = "r.hour, r.at, r.kw, r.flags, r.upload, r.row_number, r.meter";
/// The same of a server, where the instant is a column of its own.
pub(super) const SERVER_READING_COLUMNS: &str = "r.ts, 0, r.kw, r.flags, r.upload, r.row_number, r.meter";

/// The first six of [`READING_COLUMNS`] as an accepted reading.
pub(super) fn reading(row: Row<'_>) -> Result<Reading, Fault> {
    Ok(Reading {
        ts: reading_ts(row)?,
        kw: power(row, 2)?,
        flags: flags(row, 3)?,
        upload: row.get(4)?,
        row_number: row.get(5)?,
        standing: Standing::Accepted,
    })
}

/// The instant of a reading, from its first columns.
pub(super) fn reading_ts(row: Row<'_>) -> Result<Ts, Fault> {
    match row {
        Row::Sqlite(_) => Ok(instant(row.get(0)?, row.get(1)?)),
        Row::Postgres(_) => ts(row, 0),
    }
}

/// The row, as (upload, row_number), whose reading is stored there.
pub(super) fn holder(db: &Db, meter: Meter, at: Ts) -> Result<Option<(u32, u32)>, Fault> {
    let sql = db.choose(
        "SELECT upload, row_number FROM t_reading WHERE hour = ?1 AND meter = ?2 AND at = ?3",
        "SELECT upload, row_number FROM t_reading WHERE hour = ?1 AND meter = ?2 AND ts = ?3",
    );
    db.one(sql, &key(db, meter, at), |row| Ok((row.get(0)?, row.get(1)?)))
}

/// What a reading is found by: hour, meter, and microseconds within the hour of a file, the instant of a
/// server.
pub(super) fn key(db: &Db, meter: Meter, at: Ts) -> [Value<'static>; 3] {
    let (hour, within) = place(at);
    let at = match db {
        Db::Sqlite(_) => within,
        Db::Postgres(_) => at.micros(),
    };
    [hour.into(), meter.0.into(), at.into()]
}

/// The columns of [`quarantined`], in its order.
pub(super) const QUARANTINED_COLUMNS: &str = "e.ts, e.kw, e.flags, e.upload, e.row_number, e.reason, e.meter";

/// A winner that waits in the error queue, and whose it is.
pub(super) fn quarantined(row: Row<'_>) -> Result<(Meter, Reading), Fault> {
    let reason = code(row, 5, Reason::from_code)?;
    let reading = Reading {
        ts: ts(row, 0)?,
        kw: power(row, 1)?,
        flags: flags(row, 2)?,
        upload: row.get(3)?,
        row_number: row.get(4)?,
        standing: Standing::from_reason(reason).unwrap_or(Standing::Unjudged),
    };
    Ok((Meter(row.get(6)?), reading))
}

/// An accepted reading where the column `reason` (after the meter's id) is 0, else one that waits.
pub(super) fn reading_of_any(row: Row<'_>) -> Result<Reading, Fault> {
    let accepted = reading(row)?;
    Ok(match row.get(8)? {
        0_u8 => accepted,
        _ => {
            let reason = code(row, 8, Reason::from_code)?;
            Reading { standing: Standing::from_reason(reason).unwrap_or(Standing::Unjudged), ..accepted }
        }
    })
}

/// The columns of [`error_row`], in its order; from `t_error e LEFT JOIN t_meter m`.
pub(super) const ERROR_COLUMNS: &str = "e.upload, e.row_number, e.meter, \
    coalesce(m.meter_id, e.meter_text, ''), e.ts, e.kw, e.reason, e.flags, e.status, e.raw";

/// An entry of the error queue.
pub(super) fn error_row(row: Row<'_>) -> Result<ErrorRow, Fault> {
    Ok(ErrorRow {
        upload: row.get(0)?,
        row_number: row.get(1)?,
        meter: row.get::<Option<u32>>(2)?.map(Meter),
        meter_id: row.get(3)?,
        ts: optional_ts(row, 4)?,
        kw: power(row, 5)?,
        reason: code(row, 6, Reason::from_code)?,
        flags: flags(row, 7)?,
        status: code(row, 8, Status::from_code)?,
        raw: row.get(9)?,
    })
}

/// The columns of [`queued`], in its order; from `t_error`.
pub(super) const QUEUED_COLUMNS: &str =
    "upload, row_number, meter, meter_text, ts, kw, reason, flags, status";

/// An entry of the error queue without its line.
pub(super) fn queued<'r>(row: Row<'r>) -> Result<Queued<'r>, Fault> {
    Ok(Queued {
        upload: row.get(0)?,
        row_number: row.get(1)?,
        meter: row.get::<Option<u32>>(2)?.map(Meter),
        meter_text: row.text(3)?.unwrap_or_default(),
        ts: optional_ts(row, 4)?,
        kw: power(row, 5)?,
        reason: code(row, 6, Reason::from_code)?,
        flags: flags(row, 7)?,
        status: code(row, 8, Status::from_code)?,
    })
}

/// The columns of [`upload_row`], in its order.
pub(super) const UPLOAD_COLUMNS: &str = "upload, name, sha256, bytes, landed_at, feed, time_zone, status, \
    rows, stored, quarantined, superseded, decoded_bytes, first_day, last_day, attempts, dead_code, \
    dead_message, dead_hint";

/// An upload.
pub(super) fn upload_row(row: Row<'_>) -> Result<UploadRow, Fault> {
    let first: Option<i64> = row.get(13)?;
    let last: Option<i64> = row.get(14)?;
    let dead = |code: String| Ok::<_, Fault>(DeadLetter { code, message: row.get(17)?, hint: row.get(18)? });
    Ok(UploadRow {
        landed: Landed {
            upload: row.get(0)?,
            name: row.get(1)?,
            sha256: row.get(2)?,
            bytes: count(row, 3)?,
            landed_at: ts(row, 4)?,
            feed: row.get(5)?,
            time_zone: row.get(6)?,
        },
        status: code(row, 7, |code: u8| UploadStatus::ALL.into_iter().find(|status| *status as u8 == code))?,
        rows: count(row, 8)?,
        stored: count(row, 9)?,
        quarantined: count(row, 10)?,
        superseded: count(row, 11)?,
        decoded_bytes: count(row, 12)?,
        days: first.zip(last),
        attempts: row.get(15)?,
        dead: row.get::<Option<String>>(16)?.map(dead).transpose()?,
    })
}

/// The columns of [`decision`], in its order.
pub(super) const DECISION_COLUMNS: &str =
    "upload, row_number, status, reason, meter, ts, kw, flags, edited, who, why, at";

/// An operator's decision.
pub(super) fn decision(row: Row<'_>) -> Result<Decision, Fault> {
    Ok(Decision {
        upload: row.get(0)?,
        row_number: row.get(1)?,
        status: code(row, 2, Status::from_code)?,
        reason: code(row, 3, Reason::from_code)?,
        meter: row.get::<Option<u32>>(4)?.map(Meter),
        ts: optional_ts(row, 5)?,
        kw: power(row, 6)?,
        flags: flags(row, 7)?,
        edited: power(row, 8)?,
        who: row.get(9)?,
        why: row.get(10)?,
        at: ts(row, 11)?,
    })
}

/// An episode, from (meter, kind, first_ts, last_ts, severity, closed).
pub(super) fn episode(row: Row<'_>) -> Result<Episode, Fault> {
    let kind = |code: u8| EpisodeKind::ALL.into_iter().find(|kind| *kind as u8 == code);
    let severity = |code: u8| {
        [Severity::Suspected, Severity::Confirmed].into_iter().find(|severity| *severity as u8 == code)
    };
    Ok(Episode {
        meter: Meter(row.get(0)?),
        kind: code(row, 1, kind)?,
        first_ts: ts(row, 2)?,
        last_ts: ts(row, 3)?,
        severity: code(row, 4, severity)?,
        closed: row.get(5)?,
    })
}

/// What a meter's day holds, from (day, state).
pub(super) fn day(row: Row<'_>) -> Result<(i32, DayState), Fault> {
    let state = |code: u8| {
        [DayState::Unmeasured, DayState::Zero, DayState::Live].into_iter().find(|s| *s as u8 == code)
    };
    Ok((row.get(0)?, code(row, 1, state)?))
}

/// The columns of [`alert_row`], in its order.
pub(super) const ALERT_COLUMNS: &str =
    "alert, kind, key, meter_id, upload, at, message, sent_at, attempts, tried_at";

/// An alert.
pub(super) fn alert_row(row: Row<'_>) -> Result<AlertRow, Fault> {
    Ok(AlertRow {
        alert: row.get(0)?,
        kind: row.get(1)?,
        key: row.get(2)?,
        meter_id: row.get(3)?,
        upload: row.get(4)?,
        at: ts(row, 5)?,
        message: row.get(6)?,
        sent_at: optional_ts(row, 7)?,
        attempts: row.get(8)?,
        tried_at: optional_ts(row, 9)?,
    })
}

/// A dirty partition, from (table_id, day, entry).
pub(super) fn dirty(row: Row<'_>) -> Result<Dirty, Fault> {
    let table = |code: u8| ArchiveTable::ALL.into_iter().find(|table| *table as u8 == code);
    let day: i64 = row.get(1)?;
    Ok(Dirty {
        table: code(row, 0, table)?,
        day: (day != ArchiveTable::NO_DAY).then_some(day),
        entry: count(row, 2)?,
    })
}

/// The instant `at` microseconds into `hour`.
pub(super) fn instant(hour: i64, at: i64) -> Ts {
    Ts::from_micros(hour.saturating_mul(HOUR).saturating_add(at))
}

/// Hour and microseconds within it: where a reading stands.
pub(super) fn place(ts: Ts) -> (i64, i64) {
    (ts.hour(), ts.micros().rem_euclid(HOUR))
}

/// Stands before spans, where the offset of row 1 would: no content is as long.
const SPANS: [u8; 8] = u64::MAX.to_le_bytes();

/// The row index as bytes: eight for each offset, little endian; or a mark and the spans, each as the
/// steps to its first row and start, and its length.
pub(super) fn index_bytes(index: &RowIndex) -> Vec<u8> {
    if index.spans.is_empty() {
        return index.offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    }
    let mut bytes = SPANS.to_vec();
    let (mut row, mut end) = (0, 0);
    for span in &index.spans {
        // spans ascend and do not overlap; wrapping steps bring any others back too
        put_number(&mut bytes, u64::from(span.first_row.wrapping_sub(row)));
        put_number(&mut bytes, span.start.wrapping_sub(end));
        put_number(&mut bytes, u64::from(span.len));
        (row, end) = (span.first_row, span.start.wrapping_add(u64::from(span.len)));
    }
    bytes
}

/// The inverse of [`index_bytes`].
pub(super) fn index_from(bytes: &[u8]) -> RowIndex {
    let Some(mut rest) = bytes.strip_prefix(&SPANS) else {
        let (offsets, _) = bytes.as_chunks::<8>();
        let offsets = offsets.iter().map(|offset| u64::from_le_bytes(*offset)).collect();
        return RowIndex { offsets, ..RowIndex::default() };
    };
    let mut spans = Vec::new();
    let (mut row, mut end) = (0_u32, 0_u64);
    while let (Some(rows), Some(step), Some(len)) =
        (take_number(&mut rest), take_number(&mut rest), take_number(&mut rest))
    {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        row = row.wrapping_add(u32::try_from(rows).unwrap_or(u32::MAX));
        let start = end.wrapping_add(step);
        spans.push(Span { first_row: row, start, len });
        end = start.wrapping_add(u64::from(len));
    }
    RowIndex { spans, ..RowIndex::default() }
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow (LEB128).
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

pub(super) fn power(row: Row<'_>, column: usize) -> Result<Option<Power>, Fault> {
    Ok(row.get::<Option<i64>>(column)?.map(Power::from_milliwatts))
}

pub(super) fn flags(row: Row<'_>, column: usize) -> Result<Flags, Fault> {
    row.get(column).map(Flags::from_bits)
}

pub(super) fn ts(row: Row<'_>, column: usize) -> Result<Ts, Fault> {
    row.get(column).map(Ts::from_micros)
}

pub(super) fn optional_ts(row: Row<'_>, column: usize) -> Result<Option<Ts>, Fault> {
    Ok(row.get::<Option<i64>>(column)?.map(Ts::from_micros))
}

/// A number that is never negative.
pub(super) fn count(row: Row<'_>, column: usize) -> Result<u64, Fault> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| Fault::Range { column })
}

/// A code that stands for something this program knows.
pub(super) fn code<T>(row: Row<'_>, column: usize, known: impl FnOnce(u8) -> Option<T>) -> Result<T, Fault> {
    let code: u8 = row.get(column)?;
    known(code).ok_or(Fault::Range { column })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again_also_before_1970() {
        for micros in [0, 1, -1, 900_000_000, HOUR, -HOUR, HOUR - 1, 1_772_410_500_250_000] {
            let (hour, at) = place(Ts::from_micros(micros));
            assert!((0..HOUR).contains(&at));
            assert_eq!(instant(hour, at), Ts::from_micros(micros));
        }
    }

    #[test]
    fn a_row_index_survives_its_bytes() {
        let offsets = RowIndex { offsets: vec![0, 41, u64::MAX], ..RowIndex::default() };
        let span = |first_row, start, len| Span { first_row, start, len };
        let spans = vec![span(1, 40, 12), span(49, 52, 900), span(u32::MAX, 1 << 40, u32::MAX)];
        let spans = RowIndex { spans, ..RowIndex::default() };
        for index in [RowIndex::default(), offsets, spans] {
            assert_eq!(index_from(&index_bytes(&index)), index);
        }
    }
}
