//! JSON for the charts and for programs. Every answer is bounded: `docs/pages.md` has the limits.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use greenstream_core::{DAY, HOUR, Reason, Ts};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::places::{Places, Problem};
use super::{answer, series};
use crate::store::{HourCounts, Reader};

/// The longest range of one answer.
pub const DAYS_MAX: i64 = 31;
/// The range where none is asked for.
pub const DAYS: i64 = 7;
/// The most meters of one answer.
const METERS_MAX: u32 = 100;

/// What part of time is asked for: `days` days before the midnight that ends the day of `to`.
#[derive(Deserialize, Default)]
pub struct Asked {
    pub to: Option<String>,
    pub days: Option<i64>,
}

/// A range of instants, whole UTC days.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Days {
    pub from: Ts,
    pub to: Ts,
}

impl Asked {
    /// The range; without `to` it ends with the day of `newest`.
    pub fn days(&self, newest: Ts) -> Result<Days, Problem> {
        let days = self.days.unwrap_or(DAYS);
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(Problem::Question(format!("days={days} is no range: give 1 to {DAYS_MAX}")));
        }
        let to = match &self.to {
            None => midnight_after(newest),
            Some(text) => crate::text::instant(text).ok_or_else(|| {
                Problem::Question(format!(
                    "to={} is no instant: write 2026-03-02 or 2026-03-02T00:15:00Z",
                    crate::text::plain(text)
                ))
            })?,
        };
        // whole days, and none beyond what a date can say
        let last = to.plus(DAY - 1).day().clamp(FIRST_DAY, LAST_DAY);
        Ok(Days { from: Ts::from_micros((last - days) * DAY), to: Ts::from_micros(last * DAY) })
    }
}

/// Days since 1970 of 0002-01-01 and 9999-12-31: a range of [`DAYS_MAX`] around them has four-digit years.
const FIRST_DAY: i64 = greenstream_core::days_from_civil(2, 1, 1);
const LAST_DAY: i64 = greenstream_core::days_from_civil(9999, 12, 31);

impl Days {
    /// How many.
    pub fn count(self) -> i64 {
        self.to.since(self.from) / DAY
    }
}

/// The end of the day of an instant.
fn midnight_after(ts: Ts) -> Ts {
    Ts::from_micros(ts.day().saturating_add(1).saturating_mul(DAY))
}

/// The end of what the database holds, or of 1970-01-01 where it holds nothing.
pub fn newest(reader: &Reader) -> Result<Ts, Problem> {
    // the horizon is the first instant after the data
    Ok(reader.horizon()?.plus(-1).max(Ts::from_micros(0)))
}

/// `/api/status`; 503 with the outages alone where these are why the rest cannot be read.
pub async fn status(State(places): State<Arc<Places>>) -> Result<(StatusCode, Json<Value>), Problem> {
    let status = answer(places, |places| places.status_or_outages()).await?;
    let is_whole = status.get("journal").is_some();
    Ok((if is_whole { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(status)))
}

/// `/api/hours?to=&days=`: rows by UTC hour, flag and reason, in columns; null where not counted yet.
pub async fn hours(
    State(places): State<Arc<Places>>,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Problem> {
    answer(places, move |places| {
        let reader = places.reader()?;
        let days = asked.days(newest(&reader)?)?;
        let hours = days.from.hour()..days.to.hour();
        let counts = places.hours.of(&reader, hours.clone())?;
        let column = |of: &dyn Fn(&HourCounts) -> u64| -> Value {
            counts.iter().map(|counts| counts.as_ref().map(of)).collect()
        };
        let mut series = Map::from_iter([("stored".to_owned(), column(&|counts| counts.stored))]);
        for (at, flag) in HourCounts::FLAGS.iter().enumerate() {
            series.insert(flag.name().to_owned(), column(&|counts| counts.flags[at]));
        }
        for reason in Reason::ALL {
            let open = |counts: &HourCounts| {
                counts.open.iter().find(|(found, _)| *found == reason).map_or(0, |(_, rows)| *rows)
            };
            series.insert(reason.name().to_owned(), column(&open));
        }
        Ok(Json(json!({
            "from": days.from.to_string(),
            "to": days.to.to_string(),
            "complete": counts.iter().all(Option::is_some),
            "hours": hours.map(|hour| hour * (HOUR / greenstream_core::SECOND)).collect::<Vec<_>>(),
            "rows": series,
        })))
    })
    .await
}

/// What part of the meters is asked for.
#[derive(Deserialize, Default)]
pub struct AskedMeters {
    /// A part of the id.
    #[serde(default)]
    pub q: String,
    /// Only ids after this one.
    #[serde(default)]
    pub after: String,
    /// At most so many.
    pub limit: Option<u32>,
}

/// `/api/meters?q=&after=&limit=`: ids, by id.
pub async fn meters(
    State(places): State<Arc<Places>>,
    Query(asked): Query<AskedMeters>,
) -> Result<Json<Value>, Problem> {
    let limit = asked.limit.unwrap_or(20);
    if !(1..=METERS_MAX).contains(&limit) {
        return Err(Problem::Question(format!("limit={limit}: give 1 to {METERS_MAX}")));
    }
    answer(places, move |places| {
        let found = places.reader()?.meters_like(&asked.q, &asked.after, limit)?;
        Ok(Json(json!({ "meters": found.into_iter().map(|(_, id)| id).collect::<Vec<_>>() })))
    })
    .await
}

/// `/api/meters/{id}?to=&days=`: every row that named the meter, by time.
pub async fn meter(
    State(places): State<Arc<Places>>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Problem> {
    answer(places, move |places| {
        let reader = places.reader()?;
        let meter = reader.meter(&id)?.ok_or_else(|| no_meter(&id))?;
        let newest = reader.newest_instant(meter)?.unwrap_or(newest(&reader)?);
        let days = asked.days(newest)?;
        let series = series::of(&reader, meter, &id, days.from, days.to)?;
        Ok(Json(json!({
            "meter_id": id,
            "from": days.from.to_string(),
            "to": days.to.to_string(),
            "truncated": series.truncated,
            "rows": series.points.iter().map(series::Point::json).collect::<Vec<_>>(),
        })))
    })
    .await
}

/// No row ever named this meter.
pub fn no_meter(id: &str) -> Problem {
    let id = crate::text::plain(id);
    Problem::NotFound(format!("no meter is called {id}; ids are case-sensitive: look at /meters"))
}
