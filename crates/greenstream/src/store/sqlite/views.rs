//! The views of `docs/spec/contract.md`: the columns of the datasets, then a boolean column for
//! each flag, then helpers.
//!
//! Plain SQL expressions only, so that any SQLite tool can read them. A filter on `meter_id` or
//! `date` is fast: the views lead through the table of hours, so that a meter costs one seek an
//! hour and a date reads its own 24 hours. A filter on `ts`, which is text made for reading, is not:
//! put one on `date` beside it.

use greenstream_core::{Flag, Reason};

use crate::change::{EpisodeKind, Severity, Status};
use crate::store::types::UploadStatus;

/// Whole seconds and microseconds of a reading's instant.
const READING_TS: (&str, &str) = ("r.hour * 3600 + r.at / 1000000", "r.at % 1000000");

/// Drops every view and makes it again.
pub(super) fn make_anew() -> String {
    let views = [
        ("readings", readings()),
        ("newest", newest()),
        ("measured", measured()),
        ("error_queue", error_queue()),
        ("superseded", superseded()),
        ("uploads", uploads()),
        ("deliveries", deliveries()),
        ("episodes", episodes()),
        ("alerts", alerts()),
    ];
    views
        .iter()
        .map(|(name, select)| format!("DROP VIEW IF EXISTS {name};\nCREATE VIEW {name} AS\n{select};\n"))
        .collect()
}

/// `WHEN 1 THEN 'row_malformed' …`, for a `CASE` over the codes of reasons.
pub(super) fn reason_cases() -> String {
    cases(Reason::ALL.map(|reason| (reason.code(), reason.name())))
}

/// `WHEN 0 THEN 'open' …`, for a `CASE` over the codes of statuses.
pub(super) fn status_cases() -> String {
    cases((0..=u8::MAX).map_while(Status::from_code).map(|status| (status as u8, status.name())))
}

fn cases(names: impl IntoIterator<Item = (u8, &'static str)>) -> String {
    names.into_iter().map(|(code, name)| format!("WHEN {code} THEN '{name}' ")).collect()
}

/// An instant as ISO text, with six digits of fraction where there is one.
fn iso((seconds, micros): (&str, &str)) -> String {
    format!(
        "strftime('%Y-%m-%dT%H:%M:%S', {seconds}, 'unixepoch') || \
         CASE {micros} WHEN 0 THEN 'Z' ELSE printf('.%06dZ', {micros}) END"
    )
}

/// An instant in microseconds since 1970, which may be before it, as ISO text.
fn iso_micros(column: &str) -> String {
    let micros = format!("(({column} % 1000000 + 1000000) % 1000000)");
    iso((&format!("({column} - {micros}) / 1000000"), &micros))
}

/// The UTC date of an instant in microseconds.
fn date(column: &str) -> String {
    format!(
        "strftime('%Y-%m-%d', ({column} - ({column} % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')"
    )
}

/// Flags as a JSON array, in the order of the contract.
fn flags(column: &str) -> String {
    let each: Vec<_> = Flag::ALL
        .iter()
        .map(|flag| format!("iif({column} & {}, ',\"{}\"', '')", 1 << *flag as u8, flag.name()))
        .collect();
    format!("'[' || substr({}, 2) || ']'", each.join(" || "))
}

/// One boolean column for each flag, with a comma before each.
fn flag_columns(column: &str) -> String {
    Flag::ALL.iter().map(|flag| format!(", {column} >> {} & 1 AS {}", *flag as u8, flag.name())).collect()
}

/// The columns of a row of `readings`; `under_review` fits in after the flags.
fn reading_columns(under_review: &str) -> String {
    format!(
        "m.meter_id, {ts} AS ts, r.kw / 1000000.0 AS kw, {flags} AS flags{under_review}, r.upload, \
         r.row_number{columns}",
        ts = iso(READING_TS),
        flags = flags("r.flags"),
        columns = flag_columns("r.flags"),
    )
}

fn readings() -> String {
    format!(
        "SELECT {}, h.date FROM t_hour h CROSS JOIN t_reading r ON r.hour = h.hour \
         JOIN t_meter m ON m.id = r.meter",
        reading_columns("")
    )
}

/// The newest reading of each meter that has one: from the newest hour back until it is found.
fn newest() -> String {
    format!(
        "SELECT {}, {} AS date FROM t_meter m CROSS JOIN t_reading r \
         WHERE r.meter = m.id AND (r.hour, r.at) = \
         (SELECT h.hour, n.at FROM t_hour h CROSS JOIN t_reading n ON n.hour = h.hour \
          WHERE n.meter = m.id ORDER BY h.hour DESC, n.at DESC LIMIT 1)",
        reading_columns(""),
        "strftime('%Y-%m-%d', r.hour * 3600, 'unixepoch')"
    )
}

/// Readings with a value of their own, and the outliers that wait for a decision.
fn measured() -> String {
    format!(
        "SELECT {accepted}, h.date FROM t_hour h CROSS JOIN t_reading r ON r.hour = h.hour \
         JOIN t_meter m ON m.id = r.meter WHERE r.flags & {missing} = 0 \
         UNION ALL \
         SELECT m.meter_id, {ts}, e.kw / 1000000.0, {flags}, 1, e.upload, e.row_number{columns}, h.date \
         FROM t_hour h CROSS JOIN t_error e ON e.hour = h.hour JOIN t_meter m ON m.id = e.meter \
         WHERE e.status = 0 AND e.reason = {outlier}",
        accepted = reading_columns(", 0 AS under_review"),
        missing = 1 << Flag::MissingValue as u8,
        ts = iso_micros("e.ts"),
        flags = flags("e.flags"),
        columns = flag_columns("e.flags"),
        outlier = Reason::Outlier.code(),
    )
}

/// Rows whose meter is known lead through it; the others are found by the meter's text.
fn error_queue() -> String {
    let columns = |meter: &str| {
        format!(
            "SELECT e.upload, e.row_number, {meter} AS meter_id, {ts} AS ts, e.kw / 1000000.0 AS kw, \
             e.reason_name AS reason, {flags} AS flags, e.raw, e.status_name AS status{columns}, \
             {date} AS date FROM t_error e",
            ts = iso_micros("e.ts"),
            flags = flags("e.flags"),
            columns = flag_columns("e.flags"),
            date = date("e.ts"),
        )
    };
    format!(
        "{} JOIN t_meter m ON m.id = e.meter UNION ALL {} WHERE e.meter IS NULL",
        columns("m.meter_id"),
        columns("e.meter_text")
    )
}

fn superseded() -> String {
    format!(
        "SELECT s.upload, s.row_number, m.meter_id, {} AS ts, s.kw / 1000000.0 AS kw{}, {} AS date \
         FROM t_superseded s JOIN t_meter m ON m.id = s.meter",
        iso_micros("s.ts"),
        flag_columns("s.flags"),
        date("s.ts"),
    )
}

fn uploads() -> String {
    let statuses = cases(UploadStatus::ALL.map(|status| (status as u8, status.name())));
    format!(
        "SELECT upload, name, sha256, bytes, {} AS landed_at, CASE status {statuses}END AS status, rows, \
         stored, quarantined, superseded, feed, time_zone, decoded_bytes, attempts, dead_code, \
         dead_message, dead_hint FROM t_upload",
        iso_micros("landed_at")
    )
}

fn deliveries() -> String {
    format!("SELECT upload, name, {} AS delivered_at FROM t_delivery", iso_micros("delivered_at"))
}

fn episodes() -> String {
    let kinds = cases(EpisodeKind::ALL.map(|kind| (kind as u8, kind.name())));
    let severities =
        cases([Severity::Suspected, Severity::Confirmed].map(|severity| (severity as u8, severity.name())));
    format!(
        "SELECT m.meter_id, CASE e.kind {kinds}END AS kind, CASE e.severity {severities}END AS severity, \
         {} AS first_ts, {} AS last_ts, e.closed FROM t_episode e JOIN t_meter m ON m.id = e.meter",
        iso_micros("e.first_ts"),
        iso_micros("e.last_ts"),
    )
}

fn alerts() -> String {
    format!(
        "SELECT alert, kind, meter_id, upload, {} AS at, message, {} AS sent_at, attempts FROM t_alert",
        iso_micros("at"),
        iso_micros("sent_at"),
    )
}
