//! The error queue, the losers, and what operators decide about their rows.
//!
//! A row has one disposition: stored, quarantined or superseded. The queue holds the quarantined
//! ones, and beside them those that were released or edited while they win. A decided entry shows
//! what its decision says of the row (its own value, flags and reason); the decision outlives the
//! entry, so that an entry whose row loses and wins again comes back as it was.

use greenstream_core::{Flags, Power, Reading, Reason, Ts};

use super::db::{Db, Value, params};
use super::error::Fault;
use super::rows;
use crate::change::{Decision, Meter, RejectRow, Status};

/// A row of an upload: (upload, row_number).
pub(super) type RowId = (u32, u32);

/// Everything the queue holds of one row.
pub(super) struct Entry<'a> {
    pub(super) row: RowId,
    pub(super) meter: Option<Meter>,
    pub(super) meter_text: Option<&'a str>,
    pub(super) ts: Option<Ts>,
    pub(super) kw: Option<Power>,
    pub(super) reason: Reason,
    pub(super) flags: Flags,
    pub(super) status: Status,
    pub(super) raw: &'a str,
}

impl<'a> Entry<'a> {
    /// A row that failed to decode; its line is still to be set.
    pub(super) fn reject(reject: &'a RejectRow) -> Entry<'a> {
        Entry {
            row: (reject.upload, reject.row_number),
            meter: None,
            meter_text: Some(&reject.meter),
            ts: reject.ts,
            kw: None,
            reason: reject.reason,
            flags: Flags::NONE,
            status: Status::Open,
            raw: "",
        }
    }

    /// A reading that broke a limit or is an outlier; its line is still to be set.
    pub(super) fn quarantined(meter: Meter, reading: &Reading, reason: Reason) -> Entry<'a> {
        Entry {
            row: (reading.upload, reading.row_number),
            meter: Some(meter),
            meter_text: None,
            ts: Some(reading.ts),
            kw: reading.own_kw(),
            reason,
            flags: reading.flags,
            status: Status::Open,
            raw: "",
        }
    }
}

/// Where a row stands once everything else of a change set is done.
enum Disposition {
    Stored,
    Quarantined,
    Superseded,
}

/// Writes a decision down, with the row's line and meter as the queue shows them. What stood
/// there before is returned: `Open` where nothing was decided yet.
pub(super) fn decide(db: &Db, decision: &Decision, raw: Option<&str>) -> Result<Status, Fault> {
    let (upload, row_number) = (decision.upload, decision.row_number);
    let before = status(db, (upload, row_number))?;
    db.execute(
        "INSERT INTO t_decision (upload, row_number, status, reason, meter, ts, kw, flags, edited,
             who, why, at, meter_text, raw)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
             (SELECT meter_text FROM t_error WHERE upload = ?1 AND row_number = ?2),
             coalesce(?13, (SELECT raw FROM t_error WHERE upload = ?1 AND row_number = ?2), ''))
         ON CONFLICT (upload, row_number) DO UPDATE SET status = ?3, reason = ?4, meter = ?5,
             ts = ?6, kw = ?7, flags = ?8, edited = ?9, who = ?10, why = ?11, at = ?12,
             meter_text = coalesce(excluded.meter_text, t_decision.meter_text),
             raw = CASE excluded.raw WHEN '' THEN t_decision.raw ELSE excluded.raw END",
        params![
            upload,
            row_number,
            decision.status as u8,
            decision.reason.code(),
            decision.meter.map(|meter| meter.0),
            decision.ts.map(Ts::micros),
            decision.kw.map(Power::milliwatts),
            decision.flags.bits(),
            decision.edited.map(Power::milliwatts),
            decision.who.as_str(),
            decision.why.as_str(),
            decision.at.micros(),
            raw,
        ],
    )?;
    Ok(before.unwrap_or(Status::Open))
}

/// Makes the queue show what was decided about a row, after everything else of its change set.
/// A decision that the row's disposition contradicts is named.
pub(super) fn settle(db: &Db, decision: &Decision) -> Result<Result<(), String>, Fault> {
    let row = (decision.upload, decision.row_number);
    let wanted = match (disposition(db, decision)?, decision.status) {
        (Disposition::Superseded, _) | (Disposition::Stored, Status::Open) => false,
        (Disposition::Stored, Status::Released | Status::Edited)
        | (Disposition::Quarantined, Status::Open | Status::Discarded) => true,
        (disposition, status) => {
            let stands = if matches!(disposition, Disposition::Stored) { "stored" } else { "quarantined" };
            let (upload, row_number) = row;
            return Ok(Err(format!(
                "row {row_number} of upload {upload} is {} and yet {stands}",
                status.name()
            )));
        }
    };
    if !wanted {
        db.execute(LEAVE, params![row.0, row.1])?;
    } else if decision.status == Status::Open && db.execute(REOPEN, params![row.0, row.1])? == 1 {
        // a judged row was just written with the verdict that holds now
    } else if db
        .execute(UPDATE, &updated(row, decision.kw, decision.reason, decision.flags, decision.status))?
        == 0
    {
        recall(db, row)?;
    }
    Ok(Ok(()))
}

/// Writes anew what may change of an entry: everything but whose it is, when, and its line.
pub(super) const UPDATE: &str =
    "UPDATE t_error SET kw = ?3, reason = ?4, flags = ?5, status = ?6 WHERE upload = ?1 AND row_number = ?2";
const LEAVE: &str = "DELETE FROM t_error WHERE upload = ?1 AND row_number = ?2";
const REOPEN: &str = "UPDATE t_error SET status = 0 WHERE upload = ?1 AND row_number = ?2";

/// The parameters of [`UPDATE`].
pub(super) fn updated(
    row: RowId,
    kw: Option<Power>,
    reason: Reason,
    flags: Flags,
    status: Status,
) -> [Value<'static>; 6] {
    [
        row.0.into(),
        row.1.into(),
        kw.map(Power::milliwatts).into(),
        reason.code().into(),
        flags.bits().into(),
        (status as u8).into(),
    ]
}

macro_rules! recall {
    ($hour:literal, $of_ts:literal) => {
        concat!(
            "INSERT INTO t_error (upload, row_number, meter, meter_text, ts, kw, reason, flags, status, raw",
            $hour,
            ") SELECT upload, row_number, CASE WHEN meter_text IS NULL THEN meter END, meter_text, ts, kw,
                 reason, flags, status, raw",
            $of_ts,
            " FROM t_decision WHERE upload = ?1 AND row_number = ?2"
        )
    };
}
/// Where the hour is a virtual column, and where it is not.
const RECALL: &str = recall!("", "");
const SERVER_RECALL: &str = recall!(", hour", ", floor(extract(epoch FROM ts) / 3600)::int");

/// Brings the entry of a decided row back as its decision keeps it; false where none does.
pub(super) fn recall(db: &Db, row: RowId) -> Result<bool, Fault> {
    Ok(db.execute(db.choose(RECALL, SERVER_RECALL), params![row.0, row.1])? == 1)
}

fn disposition(db: &Db, decision: &Decision) -> Result<Disposition, Fault> {
    let row = (decision.upload, decision.row_number);
    let lost = "SELECT 1 FROM t_superseded WHERE upload = ?1 AND row_number = ?2";
    if db.one(lost, params![row.0, row.1], |_| Ok(()))?.is_some() {
        return Ok(Disposition::Superseded);
    }
    let stored = match decision.meter.zip(decision.ts) {
        Some((meter, ts)) => rows::holder(db, meter, ts)? == Some(row),
        None => false,
    };
    Ok(if stored { Disposition::Stored } else { Disposition::Quarantined })
}

/// What is decided about a row; none where nothing ever was.
fn status(db: &Db, row: RowId) -> Result<Option<Status>, Fault> {
    let sql = "SELECT status FROM t_decision WHERE upload = ?1 AND row_number = ?2";
    db.one(sql, params![row.0, row.1], |row| rows::code(row, 0, Status::from_code))
}
