//! The pages of meters: a list to find one, and one of them, raw against stored.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::answer;
use super::api::{self, Asked, AskedMeters, Days};
use super::places::{Places, Problem, ProblemPage};
use super::series::{self, Mark, Point, Series};
use super::shown::{Episodes, RangeLinks, episode, link, time};
use crate::store::{Filter, Reader, StoreError};
use crate::text::plain;

/// Meters of one page of the list.
const METERS: u32 = 50;
/// Rows of the table: more are no reading on a telephone, and `export` has them all.
const ROWS: usize = 100;
/// Episodes of the table.
const EPISODES: u64 = 50;

#[derive(Template)]
#[template(path = "meters.html")]
struct Meters {
    here: &'static str,
    q: String,
    meters: Vec<MeterLine>,
    next: Option<String>,
}

struct MeterLine {
    meter: String,
    link: String,
    newest: String,
}

#[derive(Template)]
#[template(path = "meter.html")]
struct MeterPage {
    here: &'static str,
    q: String,
    id: String,
    quoted: String,
    api: String,
    range: RangeLinks,
    summary: String,
    legend: Vec<LegendEntry>,
    truncated: bool,
    episodes: Episodes,
    all: bool,
    marked: usize,
    total: usize,
    marked_link: String,
    all_link: String,
    rows: Vec<RowLine>,
    shown_of: usize,
    example: String,
}

struct LegendEntry {
    name: &'static str,
    label: &'static str,
    shape: &'static str,
    rows: usize,
}

struct RowLine {
    ts: String,
    kw: String,
    mark: &'static str,
    shape: &'static str,
    label: String,
    flags: String,
    upload: u32,
    row_number: u32,
    raw: String,
}

/// Which range, and which rows of it in the table.
#[derive(Deserialize, Default)]
pub struct AskedRows {
    to: Option<String>,
    days: Option<i64>,
    #[serde(default)]
    rows: String,
}

/// `/meters?q=&after=`: straight to the meter where `q` is an id.
pub async fn list(
    State(places): State<Arc<Places>>,
    Query(asked): Query<AskedMeters>,
) -> Result<Response, ProblemPage> {
    let page = answer(places, move |places| {
        let reader = places.reader()?;
        if reader.meter(&asked.q)?.is_some() {
            return Ok(Redirect::to(&link("/meters/", &asked.q)).into_response());
        }
        let found = reader.meters_like(&asked.q, &asked.after, METERS)?;
        let full = found.len() >= usize::try_from(METERS).unwrap_or(usize::MAX);
        let next = found
            .last()
            .filter(|_| full)
            .map(|(_, id)| format!("{}{}", link("/meters?q=", &asked.q), link("&after=", id)));
        let line = |(meter, id): (_, String)| {
            let newest = reader.newest_instant(meter)?.map_or_else(|| "none".to_owned(), time);
            Ok(MeterLine { link: link("/meters/", &id), meter: id, newest })
        };
        let meters = found.into_iter().map(line).collect::<Result<_, StoreError>>()?;
        let page = Meters { here: "meters", q: asked.q, meters, next };
        Ok(Html(page.render()?).into_response())
    })
    .await?;
    Ok(page)
}

/// `/meters/{id}?to=&days=&rows=all`
pub async fn page(
    State(places): State<Arc<Places>>,
    Path(id): Path<String>,
    Query(asked): Query<AskedRows>,
) -> Result<Html<String>, ProblemPage> {
    let page = answer(places, move |places| {
        let reader = places.reader()?;
        let meter = reader.meter(&id)?.ok_or_else(|| api::no_meter(&id))?;
        let newest = reader.newest_instant(meter)?.unwrap_or(api::newest(&reader)?);
        let days = Asked { to: asked.to, days: asked.days }.days(newest)?;
        let series = series::of(&reader, meter, &id, days.from, days.to)?;
        let episodes = episodes(&reader, &id, days)?;
        Ok(Html(meter_page(id, days, &series, episodes, asked.rows == "all").render()?))
    })
    .await?;
    Ok(page)
}

fn episodes(reader: &Reader, id: &str, days: Days) -> Result<Episodes, Problem> {
    let filter = Filter {
        meter: Some(id.to_owned()),
        from: Some(days.from),
        to: Some(days.to),
        limit: Some(EPISODES),
        ..Filter::default()
    };
    let mut found = Vec::new();
    reader.episodes(&filter, &mut |(meter, row)| {
        found.push(episode(&meter, &row));
        Ok::<_, StoreError>(())
    })?;
    Ok(found)
}

fn meter_page(id: String, days: Days, series: &Series, episodes: Episodes, all: bool) -> MeterPage {
    let route = link("/meters/", &id);
    let query = format!("?to={}&days={}", days.to, days.count());
    let marked = series.points.iter().filter(|point| point.is_marked()).count();
    let wanted = |point: &&Point| all || point.is_marked();
    let legend = legend(&series.points);
    MeterPage {
        here: "meters",
        q: String::new(),
        quoted: quoted(&id),
        api: format!("{}{query}", link("/api/meters/", &id)),
        range: RangeLinks::new(&route, days, ""),
        summary: summary(&legend),
        legend,
        truncated: series.truncated,
        episodes,
        all,
        marked,
        total: series.points.len(),
        marked_link: format!("{route}{query}#rows"),
        all_link: format!("{route}{query}&rows=all#rows"),
        rows: series.points.iter().rev().filter(wanted).take(ROWS).map(row).collect(),
        shown_of: if all { series.points.len() } else { marked },
        example: series.points.iter().rfind(wanted).map_or_else(String::new, |point| point.ts.to_string()),
        id,
    }
}

/// What the chart shows and how, with how many rows of each there are.
fn legend(points: &[Point]) -> Vec<LegendEntry> {
    let entry = |mark: Mark| LegendEntry {
        name: mark.name(),
        label: mark.label(),
        shape: shape(mark),
        rows: points.iter().filter(|point| point.mark == mark).count(),
    };
    let mut legend: Vec<_> = Mark::ALL.map(entry).into();
    legend.push(LegendEntry {
        name: "potentially_faulty",
        label: "potentially faulty",
        shape: "M-7 -7H7V7H-7Z",
        rows: points.iter().filter(|point| point.is_faulty()).count(),
    });
    legend
}

/// The outline of a mark around 0,0, for the legend and the chart alike.
const fn shape(mark: Mark) -> &'static str {
    match mark {
        Mark::Stored => "M-6 0H6",
        Mark::Filled => "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0",
        Mark::Missing => "M0 -5V5",
        Mark::Outlier => "M0 -5L4.500 3.500H-4.500Z",
        Mark::Above => "M0 -5L4.500 0L0 5L-4.500 0Z",
        Mark::Negative => "M0 5L4.500 -3.500H-4.500Z",
        Mark::Unreadable => "M-3.500 -3.500H3.500V3.500H-3.500Z",
        Mark::Discarded => "M-4.500 0H4.500M0 -4.500V4.500",
        Mark::Decided => "M-4 -4H4V4H-4Z",
        Mark::Superseded => "M-3.500 -3.500L3.500 3.500M3.500 -3.500L-3.500 3.500",
    }
}

/// The legend in words, for those who cannot see the chart.
fn summary(legend: &[LegendEntry]) -> String {
    let parts: Vec<_> = legend
        .iter()
        .filter(|entry| entry.rows > 0)
        .map(|entry| format!("{} {}", entry.rows, entry.label))
        .collect();
    if parts.is_empty() { "no rows".to_owned() } else { parts.join(", ") }
}

fn row(point: &Point) -> RowLine {
    let label = match (point.mark, point.reason) {
        (Mark::Unreadable | Mark::Discarded | Mark::Decided, Some(reason)) => {
            format!("{} ({})", point.mark.label(), reason.name())
        }
        (mark, _) => mark.label().to_owned(),
    };
    RowLine {
        ts: time(point.ts),
        kw: point.kw.map_or_else(|| "–".to_owned(), |kw| kw.to_string()),
        mark: point.mark.name(),
        shape: shape(point.mark),
        label,
        flags: point.flags.iter().map(greenstream_core::Flag::name).collect::<Vec<_>>().join(", "),
        upload: point.upload,
        row_number: point.row_number,
        raw: point.raw.as_deref().map_or_else(String::new, plain),
    }
}

/// An id as one word of a shell, so that a copied command means it and nothing more.
fn quoted(id: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if id.bytes().all(is_plain) && !id.starts_with('-') {
        id.to_owned()
    } else {
        format!("'{}'", id.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_in_a_command_is_one_word() {
        assert_eq!(quoted("MTR-000123"), "MTR-000123");
        assert_eq!(quoted("a; rm -rf 'x'"), r"'a; rm -rf '\''x'\'''");
    }
}
