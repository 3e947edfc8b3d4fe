//! The life of one reading: its rows with their raw lines, each rule with its numbers, and how the
//! verdict changed as uploads landed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use greenstream_core::decode::{RowLines, raw_lines};
use greenstream_core::rules::{Judge, Merged, merge};
use greenstream_core::{DAY, Flag, Flags, HOUR, Limits, Power, Reading, Standing, Ts};
use serde_json::{Value, json};

use crate::change::{Meter, Status};
use crate::config::{Config, Rulebook};
use crate::landing::{Failure, Zone};
use crate::process::ProcessError;
use crate::store::{Database, ErrorRow, Filter, Reader, StoreError};
use crate::text::plain;

/// How far around a reading other readings are looked at: what the rules need, both ways.
const AROUND: i64 = 2 * DAY;

/// One row that named the meter and instant.
#[derive(Clone, Debug)]
struct Origin {
    upload: u32,
    row_number: u32,
    kw: Option<Power>,
    fate: String,
    name: String,
    sha256: String,
    landed_at: String,
    raw: String,
}

/// Everything known of one reading.
#[derive(Clone, Debug)]
pub struct Life {
    meter: String,
    ts: Ts,
    verdict: String,
    places: Vec<String>,
    rows: Vec<Origin>,
    rules: Vec<(&'static str, String)>,
    history: Vec<(u32, String)>,
}

/// The life of the reading of `meter` at `ts`; none where no row ever named it.
///
/// # Errors
/// When the store, the journal or a landed object cannot be read.
pub fn life(
    reader: &Reader,
    zone: &Zone,
    config: &Config,
    meter: &str,
    ts: Ts,
) -> Result<Option<Life>, ProcessError> {
    let rulebook = match zone.configuration() {
        Some(held) => Rulebook::from_json(&held.content)?,
        None => config.rulebook.clone(),
    };
    let rules = rulebook.compile()?;
    let mut waiting: Vec<ErrorRow> = Vec::new();
    let at =
        Filter { meter: Some(meter.to_owned()), from: Some(ts), to: Some(ts.plus(1)), ..Filter::default() };
    reader.errors::<StoreError>(&at, &mut |row| {
        waiting.push(row);
        Ok(())
    })?;
    let number = reader.meter(meter)?;
    let series = match number {
        Some(number) => around(reader, number, ts)?,
        None => Vec::new(),
    };
    let now = series.iter().find(|reading| reading.ts == ts).copied();
    let mut rows = Vec::new();
    if let Some(now) = &now {
        rows.push((now.upload, now.row_number, now.own_kw(), fate(now)));
    }
    for loser in number.map(|number| reader.losers(number, ts)).transpose()?.unwrap_or_default() {
        rows.push((
            loser.upload,
            loser.row_number,
            loser.kw,
            "superseded: another row of this reading wins".to_owned(),
        ));
    }
    for row in &waiting {
        let decided = format!("in the error queue: {}, {}", row.reason.name(), row.status.name());
        match rows
            .iter_mut()
            .find(|(upload, number, _, _)| (*upload, *number) == (row.upload, row.row_number))
        {
            Some(known) if row.status != Status::Open => known.3 = format!("{}; {decided}", known.3),
            Some(_) => {}
            None => rows.push((row.upload, row.row_number, row.kw, decided)),
        }
    }
    if rows.is_empty() {
        return Ok(None);
    }
    rows.sort_by_key(|(upload, row, _, _)| (*upload, *row));
    let mut origins = Vec::with_capacity(rows.len());
    for (upload, row_number, kw, fate) in rows {
        origins.push(origin(reader, zone, &rules, upload, row_number, kw, fate)?);
    }
    let limits = rules.limits_of(meter);
    let history = match number {
        Some(number) => history(reader, number, meter, ts, &series, limits)?,
        None => Vec::new(),
    };
    Ok(Some(Life {
        meter: meter.to_owned(),
        ts,
        verdict: now.as_ref().map_or_else(|| "no accepted row".to_owned(), shown),
        places: places(reader.database(), now.as_ref(), ts),
        rules: now.map(|now| numbers(&now, &series, limits, origins.len())).unwrap_or_default(),
        rows: origins,
        history,
    }))
}

fn around(reader: &Reader, meter: Meter, ts: Ts) -> Result<Vec<Reading>, StoreError> {
    let mut series = Vec::new();
    reader.load(&[meter], ts.plus(-AROUND), ts.plus(AROUND), |_, reading| series.push(reading))?;
    series.sort_unstable_by_key(|reading| reading.ts);
    Ok(series)
}

fn origin(
    reader: &Reader,
    zone: &Zone,
    rules: &crate::config::Rules,
    upload: u32,
    row_number: u32,
    kw: Option<Power>,
    fate: String,
) -> Result<Origin, ProcessError> {
    let landed = zone.upload(upload);
    let mut raw = String::new();
    if let (Some(landed), Some(index)) = (landed, reader.row_index(upload)?) {
        let lines = rules.feeds.get(&*landed.feed).map_or_else(RowLines::default, |feed| feed.row_lines());
        let content = match zone.content(upload, u64::MAX)?.written_in(lines.encoding).read_all() {
            Ok(content) => content,
            Err(Failure::World(error)) => return Err(error.into()),
            Err(Failure::Refused(refusal)) => refusal.to_string().into_bytes(),
        };
        raw_lines(&content, &index, &[row_number], &lines, &mut |_, line| {
            raw = String::from_utf8_lossy(line).into_owned();
        });
    }
    Ok(Origin {
        upload,
        row_number,
        kw,
        fate,
        name: landed.map_or_else(String::new, |landed| landed.name.to_string()),
        sha256: landed.map_or_else(String::new, |landed| landed.sha256.to_string()),
        landed_at: landed.map_or_else(String::new, |landed| landed.landed_at.to_string()),
        raw,
    })
}

/// How the verdict changed: the rows of the days around, landed again upload by upload. Decisions of
/// operators are told by the rows themselves.
fn history(
    reader: &Reader,
    number: Meter,
    meter: &str,
    ts: Ts,
    series: &[Reading],
    limits: &Limits,
) -> Result<Vec<(u32, String)>, StoreError> {
    let mut by_upload: BTreeMap<u32, Vec<Reading>> = BTreeMap::new();
    for reading in series {
        let row = Reading {
            kw: reading.own_kw(),
            flags: reading.flags.only(Flags::DECODED),
            standing: Standing::Unjudged,
            ..*reading
        };
        by_upload.entry(row.upload).or_default().push(row);
    }
    let range = Filter {
        meter: Some(meter.to_owned()),
        from: Some(ts.plus(-AROUND)),
        to: Some(ts.plus(AROUND)),
        ..Filter::default()
    };
    let mut instants = Vec::new();
    reader.superseded::<StoreError>(&range, &mut |row| {
        instants.push(row.ts);
        Ok(())
    })?;
    instants.sort_unstable();
    instants.dedup();
    for instant in instants {
        for loser in reader.losers(number, instant)? {
            by_upload.entry(loser.upload).or_default().push(Reading {
                ts: loser.ts,
                kw: loser.kw,
                upload: loser.upload,
                row_number: loser.row_number,
                flags: loser.flags,
                standing: Standing::Unjudged,
            });
        }
    }
    let (mut all, mut judge, mut merged, mut changed) =
        (Vec::new(), Judge::new(), Merged::default(), Vec::new());
    let mut history: Vec<(u32, String)> = Vec::new();
    for (upload, mut rows) in by_upload {
        merge(&mut all, &mut rows, &mut merged);
        judge.judge_all(&mut all, limits, &mut changed);
        let Some(state) = all.iter().find(|reading| reading.ts == ts).map(shown) else { continue };
        if history.last().is_none_or(|(_, last)| *last != state) {
            history.push((upload, state));
        }
    }
    Ok(history)
}

/// A reading's verdict in words.
fn shown(reading: &Reading) -> String {
    let value = reading.kw.map_or_else(|| "missing".to_owned(), |kw| format!("{kw} kW"));
    let verdict = match reading.standing.reason() {
        None => "stored".to_owned(),
        Some(reason) => format!("quarantined: {}", reason.name()),
    };
    let flags = if reading.flags == Flags::NONE { String::new() } else { format!(", {}", reading.flags) };
    format!("{value}, {verdict}{flags}")
}

fn fate(reading: &Reading) -> String {
    match reading.standing.reason() {
        None => "wins: stored in readings".to_owned(),
        Some(reason) => format!("wins: in the error queue as {}", reason.name()),
    }
}

fn places(database: &Database, now: Option<&Reading>, ts: Ts) -> Vec<String> {
    let database = match database {
        Database::File(_) => "greenstream.db".to_owned(),
        server @ Database::Server(_) => server.to_string(),
    };
    let (year, month, day) = ts.date();
    let date = format!("{year:04}-{month:02}-{day:02}");
    match now.map(|now| now.standing.reason()) {
        Some(None) => {
            vec![format!("{database}, view readings"), format!("archive/readings/date={date}/")]
        }
        _ => vec![format!("{database}, view error_queue"), format!("archive/error_queue/date={date}/")],
    }
}

/// Each rule with its numbers for this reading.
fn numbers(now: &Reading, series: &[Reading], limits: &Limits, rows: usize) -> Vec<(&'static str, String)> {
    let mut rules = Vec::new();
    let converted: Vec<_> = [Flag::UnitConverted, Flag::EnergyToPower]
        .into_iter()
        .filter(|flag| now.flags.has(*flag))
        .map(Flag::name)
        .collect();
    rules
        .push(("1 units", if converted.is_empty() { "kW as sent".to_owned() } else { converted.join(", ") }));
    rules.push((
        "5 keep latest",
        format!("{rows} rows of this reading; upload {} row {} wins", now.upload, now.row_number),
    ));
    let range = limits.at(now.ts);
    if let Some(kw) = now.own_kw() {
        let verdict = if kw < range.min {
            "below"
        } else if kw > range.max {
            "above"
        } else {
            "within"
        };
        rules.push(("3 limits", format!("{kw} kW is {verdict} {} to {} kW", range.min, range.max)));
        rules.push(("3 z-score", zscore(now, kw, series)));
    } else {
        rules.push(("2 missing", fill(now, series)));
    }
    rules.push(("4 near zero", near_zero(now, series)));
    rules
}

/// For a person: the verdict itself is computed exactly, in integers.
#[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
fn zscore(now: &Reading, kw: Power, series: &[Reading]) -> String {
    let window: Vec<f64> = series
        .iter()
        .filter(|r| r.is_measured() && r.ts > now.ts.plus(-DAY) && r.ts <= now.ts)
        .filter_map(|r| r.kw.map(Power::kw))
        .collect();
    if !now.is_measured() {
        return "not asked: the value breaks a limit".to_owned();
    }
    let n = window.len() as f64;
    if window.len() <= 10 {
        return format!("{} measured readings in 24 h: too few for any to be an outlier", window.len());
    }
    let mean = window.iter().sum::<f64>() / n;
    let deviation = (window.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    if deviation == 0.0 {
        return format!("{} measured readings in 24 h, all alike: no deviation", window.len());
    }
    let z = (kw.kw() - mean) / deviation;
    format!(
        "{} measured readings in 24 h: mean {mean:.4} kW, deviation {deviation:.4} kW, z = {z:.2} (an outlier beyond 3)",
        window.len()
    )
}

fn fill(now: &Reading, series: &[Reading]) -> String {
    let donor = series.iter().rev().find(|r| r.ts < now.ts && r.is_trusted());
    let next = series.iter().find(|r| r.ts > now.ts && r.is_trusted());
    let (Some(donor), Some(next)) = (donor, next) else {
        return "not filled: the gap has no trusted reading at both ends (within two days)".to_owned();
    };
    let verdict = if now.flags.has(Flag::ForwardFilled) { "filled" } else { "not filled" };
    let minutes = |span: i64| span / (HOUR / 60);
    format!(
        "{verdict}: the donor at {} is {} min before, the gap closes at {}, {} min after",
        donor.ts,
        minutes(now.ts.since(donor.ts)),
        next.ts,
        minutes(next.ts.since(now.ts))
    )
}

fn near_zero(now: &Reading, series: &[Reading]) -> String {
    if !now.is_near_zero() {
        return "not below 0.01 kW".to_owned();
    }
    let run =
        series.iter().rev().filter(|r| r.ts <= now.ts && r.is_measured()).take_while(|r| r.is_near_zero());
    let first = run.last().map_or(now.ts, |reading| reading.ts);
    let hours = now.ts.since(first) / HOUR;
    let verdict =
        if now.flags.has(Flag::PotentiallyFaulty) { "potentially faulty" } else { "not yet faulty" };
    format!("{verdict}: below 0.01 kW since {first} or before, {hours} h (faulty beyond 24 h)")
}

impl Life {
    /// For a person.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // writing to a string cannot fail
        let _ = writeln!(text, "{} at {}: {}", plain(&self.meter), self.ts, self.verdict);
        for place in &self.places {
            let _ = writeln!(text, "  in {place}");
        }
        let _ = writeln!(text, "rows");
        for row in &self.rows {
            let kw = row.kw.map_or_else(|| "no value".to_owned(), |kw| format!("{kw} kW"));
            let _ = writeln!(text, "  upload {} row {}: {kw}; {}", row.upload, row.row_number, row.fate);
            let _ = writeln!(text, "    {} landed {} sha256 {}", plain(&row.name), row.landed_at, row.sha256);
            let _ = writeln!(text, "    {}", plain(&row.raw));
        }
        let _ = writeln!(text, "rules");
        for (rule, words) in &self.rules {
            let _ = writeln!(text, "  {rule:<14} {words}");
        }
        let _ = writeln!(text, "verdicts as uploads landed");
        for (upload, state) in &self.history {
            let _ = writeln!(text, "  upload {upload:<6} {state}");
        }
        text
    }

    /// For a program.
    pub fn json(&self) -> Value {
        json!({
            "meter_id": self.meter,
            "ts": self.ts.to_string(),
            "verdict": self.verdict,
            "stored_in": self.places,
            "rows": self.rows.iter().map(|row| json!({
                "upload": row.upload,
                "row_number": row.row_number,
                "kw": row.kw.map(|kw| kw.to_string()),
                "fate": row.fate,
                "name": row.name,
                "sha256": row.sha256,
                "landed_at": row.landed_at,
                "raw": row.raw,
            })).collect::<Vec<_>>(),
            "rules": self.rules.iter().map(|(rule, words)| json!({ "rule": rule, "finding": words })).collect::<Vec<_>>(),
            "history": self.history.iter().map(|(upload, state)| json!({ "upload": upload, "verdict": state })).collect::<Vec<_>>(),
        })
    }
}
