//! `quality`: how complete the readings are, the worst first.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::table::Listing;
use super::{Cli, Failure, open};
use crate::dataset::day_text;
use crate::quality::{Counts, MeterDay, Survey};
use crate::store::StoreError;
use crate::text::count;

/// Days that are counted where none are named: a week shows what a person can still act on, and costs
/// some seconds for 50,000 meters.
const DAYS: i32 = 7;

/// Arguments of `quality`.
#[derive(Args, Debug)]
pub struct QualityArgs {
    /// What to count together [default: meter; of one meter: day].
    #[arg(long, value_enum, value_name = "WHAT")]
    by: Option<By>,
    /// Only this meter.
    #[arg(long, value_name = "ID")]
    meter: Option<String>,
    /// Only days from this instant on [default: the newest 7 days].
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only days before this instant.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// At most this many rows; 0 for all.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

/// What is counted together.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Each meter.
    Meter,
    /// The meters of each feeder of the registry.
    Feeder,
    /// The meters of each feed.
    Feed,
    /// All meters, day by day.
    Day,
}

impl By {
    const fn column(self) -> &'static str {
        match self {
            By::Meter => "meter_id",
            By::Feeder => "feeder",
            By::Feed => "feed",
            By::Day => "day",
        }
    }
}

/// Columns after the first.
const COLUMNS: [&str; 9] = [
    "expected",
    "present",
    "absent",
    "trusted",
    "filled",
    "missing",
    "quarantined",
    "late",
    "complete_percent",
];

/// Carries out `quality`.
pub fn quality(cli: &Cli, args: &QualityArgs) -> Result<ExitCode, Failure> {
    let by = args.by.unwrap_or(if args.meter.is_some() { By::Day } else { By::Meter });
    let reader = open::reader(cli)?;
    let snapshot = reader.snapshot()?;
    let survey = Survey::of(&snapshot)?;
    let meters = survey.meters_of(args.meter.as_deref());
    if let (Some(meter), true) = (&args.meter, meters.is_empty()) {
        return Err(Failure::usage(
            format!("no reading of a meter {meter:?} is known"),
            "`greenstream meters` lists those that are",
        ));
    }
    let Some(days) = days(&survey, args)? else {
        println!("{}", if cli.json { "{\"rows\":[]}" } else { "no readings in these days" });
        return Ok(ExitCode::SUCCESS);
    };
    let mut groups: BTreeMap<String, Counts> = BTreeMap::new();
    let mut total = Counts::default();
    survey.count::<StoreError>(&meters, days.clone(), &mut |row| {
        let key = key(&survey, by, &row);
        match groups.get_mut(key.as_ref()) {
            Some(counts) => counts.add(&row.counts),
            None => {
                groups.insert(key.into_owned(), row.counts);
            }
        }
        total.add(&row.counts);
        Ok(())
    })?;
    let all = groups.len();
    let mut rows: Vec<(String, Counts)> = groups.into_iter().collect();
    if by != By::Day {
        // keys are in order, and stay so among equals
        rows.sort_by_key(|(_, counts)| (counts.completeness(), std::cmp::Reverse(counts.expected)));
    }
    if args.limit > 0 {
        rows.truncate(args.limit);
    }
    let (first, last) = (day_text(*days.start()), day_text(*days.end()));
    if cli.json {
        let rows: Vec<Value> = rows.iter().map(|(key, counts)| object(by, key, counts)).collect();
        let total = Value::Object(numbers(&total).collect());
        let answer = json!({
            "by": by.column(), "first_day": first, "last_day": last, "groups": all, "rows": rows, "total": total,
        });
        println!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut columns = vec![by.column()];
    columns.extend(COLUMNS);
    let mut listing = Listing::new(&columns);
    let line = |key: String, counts: &Counts| {
        std::iter::once(Value::String(key)).chain(numbers(counts).map(|(_, value)| value)).collect()
    };
    let shown = rows.len();
    for (key, counts) in rows {
        listing.push(line(key, &counts));
    }
    listing.push(line("total".to_owned(), &total));
    listing.print(false, "")?;
    eprintln!("days {first} to {last} ({})", survey.zone().name());
    if shown < all {
        let order = if by == By::Day { "first" } else { "worst" };
        eprintln!("the {order} {shown} of {}; --limit 0 shows all", count(all as u64));
    }
    Ok(ExitCode::SUCCESS)
}

/// The days asked for, or the newest.
fn days(survey: &Survey<'_>, args: &QualityArgs) -> Result<Option<RangeInclusive<i32>>, Failure> {
    let mut from = args.from.as_deref().map(open::instant).transpose()?;
    let mut to = args.to.as_deref().map(open::instant).transpose()?;
    if let (None, None, Some(newest)) = (from, to, survey.newest_day()) {
        let bounds = |day| survey.zone().day_bounds(day);
        (from, to) = (Some(bounds(newest - (DAYS - 1)).0), Some(bounds(newest).1));
    }
    Ok(survey.days(from, to))
}

fn key<'s>(survey: &'s Survey<'_>, by: By, row: &MeterDay) -> std::borrow::Cow<'s, str> {
    match by {
        By::Meter => survey.meter(row.meter).into(),
        By::Feeder => survey.feeder(row.meter, row.day).into(),
        By::Feed => survey.feed(row.feed).into(),
        By::Day => day_text(row.day).into(),
    }
}

fn object(by: By, key: &str, counts: &Counts) -> Value {
    let mut object = Map::from_iter([(by.column().to_owned(), Value::from(key))]);
    object.extend(numbers(counts));
    Value::Object(object)
}

/// The columns after the first, with their values.
fn numbers(counts: &Counts) -> impl Iterator<Item = (String, Value)> + use<> {
    let percent = counts.completeness().map_or(Value::Null, |hundredths| {
        format!("{}.{:02}", hundredths / 100, hundredths % 100).parse().map_or(Value::Null, Value::Number)
    });
    let values: [Value; 9] = [
        counts.expected.into(),
        counts.present.into(),
        counts.absent().into(),
        counts.trusted.into(),
        counts.filled.into(),
        counts.missing.into(),
        counts.quarantined.into(),
        counts.late.into(),
        percent,
    ];
    COLUMNS.into_iter().map(str::to_owned).zip(values)
}
