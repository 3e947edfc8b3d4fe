//! The first page: whether the books balance, what needs a person, what came last.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Html;
use greenstream_core::Reason;
use serde_json::Value;

use super::answer;
use super::api::{self, Asked};
use super::places::{Places, Problem, ProblemPage};
use super::shown::{Episodes, RangeLinks, episode, second};
use crate::store::{AlertRow, Reader, UploadRow};
use crate::text::{count, escaped};

/// Rows of each list: what fits a screen; commands show all.
const UPLOADS: u32 = 15;
const EPISODES: u32 = 10;
const ALERTS: u32 = 6;
const DEAD: u32 = 10;

/// The rows of the chart: the name in the script, and the name for people.
const FLAG_ROWS: [(&str, &str); 8] = [
    ("missing", "Missing, not filled"),
    ("forward_filled", "Forward filled"),
    ("outlier", "Outliers"),
    ("value_above_limit", "Above the limit"),
    ("value_negative", "Negative"),
    ("unreadable", "Unreadable rows"),
    ("potentially_faulty", "Potentially faulty"),
    ("stored", "Stored readings"),
];

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    here: &'static str,
    q: String,
    /// What the page was made from, for the script to see whether anything has changed.
    status: String,
    balanced: bool,
    books: Vec<Tile>,
    tiles: Vec<Tile>,
    empty: bool,
    inbox: String,
    range: RangeLinks,
    api: String,
    flag_rows: [(&'static str, &'static str); 8],
    reasons: Vec<ReasonLine>,
    open_episodes: String,
    episodes: Episodes,
    alerts: Vec<AlertLine>,
    dead: Vec<DeadLine>,
    uploads: Vec<UploadLine>,
}

/// A number with its name. `key` is where `status --json` has it.
struct Tile {
    label: &'static str,
    key: &'static str,
    value: String,
    class: &'static str,
    sign: &'static str,
    /// Where there is more of it; empty where nowhere.
    link: &'static str,
}

struct ReasonLine {
    name: &'static str,
    rows: String,
    meaning: &'static str,
}

struct AlertLine {
    at: String,
    message: String,
    state: &'static str,
}

struct DeadLine {
    upload: u32,
    name: String,
    problem: String,
    way_out: String,
}

struct UploadLine {
    upload: u32,
    name: String,
    landed: String,
    status: &'static str,
    rows: String,
    stored: String,
    quarantined: String,
    superseded: String,
}

/// `/`
pub async fn page(
    State(places): State<Arc<Places>>,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, ProblemPage> {
    let page = answer(places, move |places| {
        let reader = places.reader()?;
        let status = places.status(&reader)?;
        Ok(Html(overview(places, &reader, &status, &asked)?.render()?))
    })
    .await?;
    Ok(page)
}

fn overview(places: &Places, reader: &Reader, status: &Value, asked: &Asked) -> Result<Overview, Problem> {
    let days = asked.days(api::newest(reader)?)?;
    let range = RangeLinks::new("/", days, "#flags");
    let uploads = reader.newest_uploads(UPLOADS)?;
    let open = reader.count_open_episodes()?;
    Ok(Overview {
        here: "overview",
        q: String::new(),
        status: seen(status),
        balanced: status["rows"]["balanced"] == Value::Bool(true),
        books: books(status),
        tiles: tiles(status, open),
        empty: uploads.is_empty(),
        inbox: crate::text::plain(&places.layout.inbox().display().to_string()),
        api: format!("/api/hours?to={}&days={}", days.to, days.count()),
        range,
        flag_rows: FLAG_ROWS,
        reasons: reasons(reader)?,
        open_episodes: count(open),
        episodes: reader.open_episodes(EPISODES)?.iter().map(|(id, row)| episode(id, row)).collect(),
        alerts: reader.newest_alerts(ALERTS)?.into_iter().map(alert).collect(),
        dead: reader.newest_dead(DEAD)?.into_iter().map(dead).collect(),
        uploads: uploads.into_iter().map(upload).collect(),
    })
}

/// The status without what other programs change from moment to moment, as the script compares it.
fn seen(status: &Value) -> String {
    let mut seen = status.clone();
    seen.as_object_mut().map(|keys| keys.shift_remove("free_bytes"));
    seen.to_string()
}

fn number(status: &Value, key: &str) -> u64 {
    status.pointer(key).and_then(Value::as_u64).unwrap_or(0)
}

/// rows = stored + quarantined + superseded
fn books(status: &Value) -> Vec<Tile> {
    [
        ("rows", "/rows/all", ""),
        ("stored", "/rows/stored", "="),
        ("quarantined", "/rows/quarantined", "+"),
        ("superseded", "/rows/superseded", "+"),
    ]
    .map(|(label, key, sign)| Tile {
        label,
        key,
        value: count(number(status, key)),
        class: "",
        sign,
        link: "",
    })
    .into()
}

fn tiles(status: &Value, open_episodes: u64) -> Vec<Tile> {
    let tile = |label, key, class, link| {
        let value = number(status, key);
        Tile { label, key, value: count(value), class: if value > 0 { class } else { "" }, sign: "", link }
    };
    vec![
        tile("meters", "/meters", "", "/meters"),
        tile("uploads done", "/uploads/done", "", "#uploads"),
        tile("uploads waiting", "/uploads/landed", "warn", "#uploads"),
        tile("dead letters", "/uploads/dead", "bad", "#dead"),
        tile("errors open", "/errors_open", "", "#errors"),
        Tile {
            label: "open episodes",
            key: "",
            value: count(open_episodes),
            class: if open_episodes > 0 { "warn" } else { "" },
            sign: "",
            link: "#episodes",
        },
        tile("alerts to send", "/alerts_waiting", "warn", "#alerts"),
        tile("entries behind", "/waiting", "warn", ""),
    ]
}

fn reasons(reader: &Reader) -> Result<Vec<ReasonLine>, Problem> {
    let mut open = reader.open_by_reason()?;
    open.sort_by_key(|(reason, rows)| (std::cmp::Reverse(*rows), reason.code()));
    let line = |(reason, rows): (Reason, u64)| ReasonLine {
        name: reason.name(),
        rows: count(rows),
        meaning: meaning(reason),
    };
    Ok(open.into_iter().map(line).collect())
}

/// A reason in words; `docs/spec/rules.md` has it exactly.
const fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::RowMalformed => "fields, quotes or encoding out of place",
        Reason::MeterIdInvalid => "no usable meter id",
        Reason::TimestampInvalid => "no time that can be read",
        Reason::TimestampNoZone => "local time, and the feed names no zone",
        Reason::TimestampNonexistent => "a time that the spring change of clocks skips",
        Reason::TimestampInFuture => "more than 15 minutes after it landed",
        Reason::ValueInvalid => "no number",
        Reason::UnitUnknown => "a unit that the feed does not know",
        Reason::ValueNegative => "below the meter's lower limit",
        Reason::ValueAboveLimit => "above the meter's upper limit",
        Reason::Outlier => "more than 3 standard deviations from the 24 hours before",
    }
}

fn alert(row: AlertRow) -> AlertLine {
    AlertLine {
        at: second(row.at),
        message: escaped(&row.message),
        state: if row.sent_at.is_some() { "sent" } else { "waiting" },
    }
}

fn dead(row: UploadRow) -> DeadLine {
    let dead = row.dead.unwrap_or_default();
    DeadLine {
        upload: row.landed.upload,
        name: escaped(&row.landed.name),
        problem: escaped(&dead.message),
        way_out: escaped(&dead.hint),
    }
}

fn upload(row: UploadRow) -> UploadLine {
    UploadLine {
        upload: row.landed.upload,
        name: escaped(&row.landed.name),
        landed: second(row.landed.landed_at),
        status: row.status.name(),
        rows: count(row.rows),
        stored: count(row.stored),
        quarantined: count(row.quarantined),
        superseded: count(row.superseded),
    }
}
