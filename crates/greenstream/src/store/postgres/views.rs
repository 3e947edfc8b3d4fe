//! The views of `docs/spec/contract.md`: the columns of the datasets, then a boolean column for each flag,
//! then helpers. `ts` is `timestamptz`, `flags` is `text[]`.
//!
//! A filter on `ts` or `date` leads to the partitions of its days, and one on `meter_id` costs one seek an
//! hour: the views lead through the table of hours.

use greenstream_core::{Flag, Reason};

use crate::change::{EpisodeKind, Severity, Status};
use crate::store::types::UploadStatus;

/// The views, by name.
pub(super) const NAMES: [&str; 9] = [
    "readings",
    "newest",
    "measured",
    "error_queue",
    "superseded",
    "uploads",
    "deliveries",
    "episodes",
    "alerts",
];

/// How hours lead to readings.
const READINGS: &str =
    "t_hour h JOIN t_reading r ON r.hour = h.hour AND r.ts >= h.begin_at AND r.ts < h.end_at";

/// How hours lead to entries of the error queue whose meter is known.
const WAITING: &str = "t_hour h JOIN t_error e ON e.hour = h.hour JOIN t_meter m ON m.id = e.meter";

/// Drops every view and makes it again.
pub(super) fn make_anew() -> String {
    let selects = [
        readings(),
        newest(),
        measured(),
        error_queue(),
        superseded(),
        uploads(),
        "SELECT upload, name, delivered_at FROM t_delivery".to_owned(),
        episodes(),
        "SELECT alert, kind, meter_id, upload, at, message, sent_at, attempts FROM t_alert".to_owned(),
    ];
    let view = |(name, select): (&str, &String)| {
        format!("DROP VIEW IF EXISTS {name};\nCREATE VIEW {name} AS\n{select};\n")
    };
    NAMES.into_iter().zip(&selects).map(view).collect()
}

/// A `CASE` over codes.
fn cases(column: &str, names: impl IntoIterator<Item = (u8, &'static str)>) -> String {
    let each: String = names.into_iter().map(|(code, name)| format!("WHEN {code} THEN '{name}' ")).collect();
    format!("CASE {column} {each}END")
}

/// Flags as an array of text, in the order of the contract.
fn flags(column: &str) -> String {
    let each =
        Flag::ALL.map(|flag| format!("CASE WHEN {column} & {} <> 0 THEN '{}' END", bit(flag), flag.name()));
    format!("array_remove(ARRAY[{}], NULL)", each.join(", "))
}

/// One boolean column for each flag, with a comma before each.
fn flag_columns(column: &str) -> String {
    Flag::ALL.iter().map(|flag| format!(", {column} & {} <> 0 AS {}", bit(*flag), flag.name())).collect()
}

const fn bit(flag: Flag) -> u16 {
    1 << flag as u8
}

/// Milliwatts as kilowatts.
fn kw(column: &str) -> String {
    format!("{column}::float8 / 1000000 AS kw")
}

/// The UTC day of an instant.
fn date(column: &str) -> String {
    format!("({column} AT TIME ZONE 'UTC')::date AS date")
}

/// The columns of a row of `readings`; `under_review` fits in after the flags.
fn reading_columns(under_review: &str) -> String {
    format!(
        "m.meter_id, r.ts, {}, {} AS flags{under_review}, r.upload, r.row_number{}",
        kw("r.kw"),
        flags("r.flags"),
        flag_columns("r.flags")
    )
}

fn readings() -> String {
    format!("SELECT {}, h.date FROM {READINGS} JOIN t_meter m ON m.id = r.meter", reading_columns(""))
}

/// The newest reading of each meter that has one: from the newest hour back until it is found.
fn newest() -> String {
    format!(
        "SELECT {}, r.date FROM t_meter m CROSS JOIN LATERAL (SELECT x.*, h.date FROM t_hour h
             CROSS JOIN LATERAL (SELECT * FROM t_reading y WHERE y.hour = h.hour AND y.ts >= h.begin_at
                 AND y.ts < h.end_at AND y.meter = m.id OFFSET 0) x
             ORDER BY h.hour DESC, x.ts DESC LIMIT 1) r",
        reading_columns("")
    )
}

/// Readings with a value of their own, and the outliers that wait for a decision.
fn measured() -> String {
    format!(
        "SELECT {accepted}, h.date FROM {READINGS} JOIN t_meter m ON m.id = r.meter
         WHERE r.flags & {missing} = 0
         UNION ALL
         SELECT m.meter_id, e.ts, {kw}, {flags}, true, e.upload, e.row_number{columns}, {date}
         FROM {WAITING} WHERE e.status = 0 AND e.reason = {outlier}",
        accepted = reading_columns(", false AS under_review"),
        missing = bit(Flag::MissingValue),
        kw = kw("e.kw"),
        flags = flags("e.flags"),
        columns = flag_columns("e.flags"),
        date = date("e.ts"),
        outlier = Reason::Outlier.code(),
    )
}

/// Rows whose meter is known lead through it; the others are found by the meter's text.
fn error_queue() -> String {
    let columns = |meter: &str| {
        format!(
            "SELECT e.upload, e.row_number, {meter} AS meter_id, e.ts, {kw}, {reason} AS reason, \
             {flags} AS flags, e.raw, {status} AS status{columns}, {date} FROM",
            kw = kw("e.kw"),
            reason = cases("e.reason", Reason::ALL.map(|reason| (reason.code(), reason.name()))),
            flags = flags("e.flags"),
            status =
                cases("e.status", (0..=u8::MAX).map_while(Status::from_code).map(|s| (s as u8, s.name()))),
            columns = flag_columns("e.flags"),
            date = date("e.ts"),
        )
    };
    format!(
        "{} {WAITING} UNION ALL {} t_error e WHERE e.meter IS NULL",
        columns("m.meter_id"),
        columns("e.meter_text")
    )
}

fn superseded() -> String {
    format!(
        "SELECT s.upload, s.row_number, m.meter_id, s.ts, {}{}, {} FROM t_superseded s \
         JOIN t_meter m ON m.id = s.meter",
        kw("s.kw"),
        flag_columns("s.flags"),
        date("s.ts"),
    )
}

fn uploads() -> String {
    format!(
        "SELECT upload, name, sha256, bytes, landed_at, {} AS status, rows, stored, quarantined, superseded, \
         feed, time_zone, decoded_bytes, attempts, dead_code, dead_message, dead_hint FROM t_upload",
        cases("status", UploadStatus::ALL.map(|status| (status as u8, status.name())))
    )
}

fn episodes() -> String {
    format!(
        "SELECT m.meter_id, {} AS kind, {} AS severity, e.first_ts, e.last_ts, e.closed \
         FROM t_episode e JOIN t_meter m ON m.id = e.meter",
        cases("e.kind", EpisodeKind::ALL.map(|kind| (kind as u8, kind.name()))),
        cases("e.severity", [Severity::Suspected, Severity::Confirmed].map(|s| (s as u8, s.name()))),
    )
}
