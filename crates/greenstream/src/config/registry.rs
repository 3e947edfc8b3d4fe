//! The registry of meters, `meters.csv`: limits that differ from the default, per meter and from a
//! date on, and what else is known of a meter: its interval and its feeder.
//!
//! Columns, in any order and case: `meter_id`, and any of `power_kw_min`, `power_kw_max`,
//! `time_zone`, `interval`, `feeder`, `valid_from`. An empty field says nothing. A row without
//! `valid_from` holds from the beginning; with it (a date is its midnight in the meter's zone, else
//! in the reporting zone), from that instant until the meter's next row.

use greenstream_core::decode::{Interval, parse_kw, parse_ts};
use greenstream_core::{Limits, Power, Range, SECOND, Ts, Zone};
use rustc_hash::FxHashMap;

use super::{ConfigError, ConfigProblem};

const COLUMNS: [&str; 7] =
    ["meter_id", "power_kw_min", "power_kw_max", "time_zone", "interval", "feeder", "valid_from"];

/// What the registry says of a meter.
#[derive(Clone, PartialEq, Debug)]
pub struct Registered {
    /// Its limits over time.
    pub limits: Limits,
    /// What else is known, each from an instant on until the next; sorted.
    facts: Vec<(Ts, Facts)>,
}

/// What is known of a meter besides its limits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// The length of its interval in microseconds.
    pub interval: Option<i64>,
    /// The feeder it hangs on.
    pub feeder: Option<String>,
}

impl Registered {
    /// What is known of the meter at an instant, if anything is by then.
    pub fn facts_at(&self, ts: Ts) -> Option<&Facts> {
        let known = self.facts.partition_point(|(from, _)| *from <= ts);
        known.checked_sub(1).map(|last| &self.facts[last].1)
    }
}

/// Every meter that the registry's text names.
///
/// # Errors
/// Names the line, the column and the text that cannot be used.
pub fn meters(text: &str, default: Range, zone: &Zone) -> Result<FxHashMap<String, Registered>, ConfigError> {
    let mut changes: FxHashMap<String, Vec<(Ts, Row)>> = FxHashMap::default();
    if text.trim().is_empty() {
        return Ok(FxHashMap::default());
    }
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let places = places(&mut reader)?;
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(1, csv::Position::line);
            broken(line, &error.to_string(), "correct the line")
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let field =
            |name: &str| places.get(name).and_then(|at| record.get(*at)).filter(|field| !field.is_empty());
        let Some(meter) = field("meter_id") else {
            return Err(broken(line, "column meter_id is empty", "name the meter, or remove the line"));
        };
        let row = Row {
            min: power(line, "power_kw_min", &field)?,
            max: power(line, "power_kw_max", &field)?,
            facts: Facts { interval: interval(line, &field)?, feeder: field("feeder").map(str::to_owned) },
        };
        let own = match field("time_zone") {
            Some(name) => Some(Zone::parse(name).map_err(|_| {
                broken(line, &format!("column time_zone: unknown zone {name:?}"), "use an IANA name")
            })?),
            None => None,
        };
        let from = valid_from(line, own.as_ref().unwrap_or(zone), &field)?;
        changes.entry(meter.to_owned()).or_default().push((from, row));
    }
    changes
        .into_iter()
        .map(|(meter, rows)| compile(&meter, rows, default).map(|registered| (meter, registered)))
        .collect()
}

/// What one line says.
struct Row {
    min: Option<Power>,
    max: Option<Power>,
    facts: Facts,
}

fn interval<'r>(line: u64, field: &impl Fn(&str) -> Option<&'r str>) -> Result<Option<i64>, ConfigError> {
    let Some(text) = field("interval") else { return Ok(None) };
    match Interval::parse(text) {
        Ok(interval) => Ok(Some(i64::from(interval.seconds()) * SECOND)),
        Err(problem) => {
            Err(broken(line, &format!("column interval: {problem}"), "write a length such as 15min or PT1H"))
        }
    }
}

fn places(reader: &mut csv::Reader<&[u8]>) -> Result<FxHashMap<&'static str, usize>, ConfigError> {
    let header = reader.headers().map_err(|error| broken(1, &error.to_string(), "begin with a header"))?;
    let mut places = FxHashMap::default();
    for (at, name) in header.iter().enumerate() {
        let known = COLUMNS
            .into_iter()
            .find(|column| column.eq_ignore_ascii_case(name.trim_start_matches('\u{feff}')));
        let hint = format!("the columns are {}", COLUMNS.join(", "));
        let Some(column) = known else { return Err(broken(1, &format!("unknown column {name:?}"), &hint)) };
        if places.insert(column, at).is_some() {
            return Err(broken(1, &format!("column {column} stands twice"), &hint));
        }
    }
    if !places.contains_key("meter_id") {
        return Err(broken(1, "there is no column meter_id", "begin with a header that names it"));
    }
    Ok(places)
}

fn power<'r>(
    line: u64,
    column: &str,
    field: &impl Fn(&str) -> Option<&'r str>,
) -> Result<Option<Power>, ConfigError> {
    field(column)
        .map(|text| {
            parse_kw(text).ok_or_else(|| {
                broken(
                    line,
                    &format!("column {column}: {text:?} is no power in kW"),
                    "write a number such as 12.5",
                )
            })
        })
        .transpose()
}

fn valid_from<'r>(
    line: u64,
    zone: &Zone,
    field: &impl Fn(&str) -> Option<&'r str>,
) -> Result<Ts, ConfigError> {
    let Some(text) = field("valid_from") else { return Ok(Ts::MIN) };
    let day = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == 10);
    let from = match day {
        Some(date) => i32::try_from(greenstream_core::days_from_civil(
            i64::from(date.year()),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        ))
        .ok()
        .map(|day| zone.day_bounds(day).0),
        None => parse_ts(text),
    };
    from.ok_or_else(|| {
        broken(
            line,
            &format!("column valid_from: {text:?} is no date"),
            "write 2026-03-02 or 2026-03-02T00:00:00Z",
        )
    })
}

/// A meter over time; what a row does not say is as in the row before it.
fn compile(meter: &str, mut rows: Vec<(Ts, Row)>, default: Range) -> Result<Registered, ConfigError> {
    rows.sort_by_key(|(from, _)| *from);
    let (mut range, mut facts) = (default, Facts::default());
    let mut changes = Vec::with_capacity(rows.len());
    let mut all_facts = Vec::with_capacity(rows.len());
    for (from, row) in rows {
        range = Range { min: row.min.unwrap_or(range.min), max: row.max.unwrap_or(range.max) };
        if range.min > range.max {
            return Err(ConfigError::new(
                ConfigProblem::Registry,
                format!("registry, meter {meter}"),
                format!("power_kw_min {} is above power_kw_max {}", range.min, range.max),
                "swap or correct the two",
            ));
        }
        changes.push((from, range));
        facts = Facts {
            interval: row.facts.interval.or(facts.interval),
            feeder: row.facts.feeder.or(facts.feeder),
        };
        all_facts.push((from, facts.clone()));
    }
    Ok(Registered { limits: Limits::changing(default, changes), facts: all_facts })
}

fn broken(line: u64, problem: &str, hint: &str) -> ConfigError {
    // a quoted field may hold line breaks, and whatever else steers a terminal
    let problem = problem.replace(char::is_control, "\u{fffd}");
    ConfigError::new(ConfigProblem::Registry, format!("registry, line {line}"), problem, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FxHashMap<String, Registered>, ConfigError> {
        meters(text, Range::default(), &Zone::utc())
    }

    #[test]
    fn limits_hold_from_their_date_and_keep_what_is_not_said() {
        let meters = read(
            "METER_ID,power_kw_max,power_kw_min,valid_from,feeder\n\
             M1,20,,,F1\n\
             M1,30,-5,2026-03-02,F1\n\
             M2,,-10,,\n",
        )
        .unwrap();
        let kw = |text: &str| parse_kw(text).unwrap();
        for (meter, at, min, max) in [
            ("M1", "2026-03-01T23:59:59Z", "0", "20"),
            ("M1", "2026-03-02T00:00:00Z", "-5", "30"),
            ("M2", "2026-03-02T00:00:00Z", "-10", "10"),
        ] {
            let range = meters[meter].limits.at(parse_ts(at).unwrap());
            assert_eq!((range.min, range.max), (kw(min), kw(max)), "{meter} at {at}");
        }
        assert!(!meters.contains_key("M3"));
    }

    #[test]
    fn interval_and_feeder_hold_from_their_date_and_keep_what_is_not_said() {
        let meters = read(
            "meter_id,interval,feeder,valid_from\n\
             M1,30min,F1,2026-03-02\n\
             M1,PT15M,,2026-03-03\n\
             M1,,F2,2026-03-04\n",
        )
        .unwrap();
        for (at, minutes, feeder) in [
            ("2026-03-01T23:59:59Z", None, None),
            ("2026-03-02T00:00:00Z", Some(30), Some("F1")),
            ("2026-03-02T23:59:59Z", Some(30), Some("F1")),
            ("2026-03-03T00:00:00Z", Some(15), Some("F1")),
            ("2026-03-04T00:00:00Z", Some(15), Some("F2")),
        ] {
            let facts = meters["M1"].facts_at(parse_ts(at).unwrap()).cloned().unwrap_or_default();
            let found = (facts.interval.map(|interval| interval / (60 * SECOND)), facts.feeder.as_deref());
            assert_eq!(found, (minutes, feeder), "{at}");
        }
    }

    #[test]
    fn a_registry_that_cannot_be_used_names_line_column_and_text() {
        for (text, place, words) in [
            ("power_kw_max\n1\n", "registry, line 1", "no column meter_id"),
            ("meter_id,x\n", "registry, line 1", "unknown column \"x\""),
            ("meter_id,Meter_Id\n", "registry, line 1", "stands twice"),
            ("meter_id,power_kw_max\nM1,much\n", "registry, line 2", "column power_kw_max: \"much\""),
            ("meter_id,valid_from\nM1,2026-02-30\n", "registry, line 2", "column valid_from"),
            ("meter_id,interval\nM1,soon\n", "registry, line 2", "column interval: interval `soon`"),
            ("meter_id,time_zone\nM1,Mars\n", "registry, line 2", "unknown zone \"Mars\""),
            ("meter_id,power_kw_max\nM1,1\nM2\n", "registry, line 3", "found record with 1 field"),
            ("meter_id,interval\nM1,\"a\nb\"\n", "registry, line 2", "interval `a\u{fffd}b`"),
            ("meter_id,power_kw_max\n,1\n", "registry, line 2", "meter_id is empty"),
            ("meter_id,power_kw_max\nM1,-1\n", "registry, meter M1", "is above"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.place, place, "{text}");
            assert!(error.problem.contains(words), "{} lacks {words}", error.problem);
        }
    }
}
