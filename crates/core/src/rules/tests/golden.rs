//! The worked examples of the specification, judged at once, row by row and in random order.

use std::collections::BTreeMap;
use std::fs;

use super::meter::Meter;
use super::random::Random;
use super::{MINUTE, at};
use crate::{Flag, Flags, HOUR, Limits, Power, Reading, SECOND, Standing, Ts, days_from_civil};

/// The examples that exercise the rules; the others are about decoding.
const EXAMPLES: [&str; 11] = [
    "03_duplicates",
    "04_range",
    "06_zscore",
    "07_forward_fill",
    "08_fill_across_uploads",
    "09_near_zero",
    "10_zero_days",
    "11_out_of_order",
    "12_late_upload",
    "14_gaps",
    "17_faulty_more",
];

/// The rows of an example by meter, each meter's in landing order.
type Example = BTreeMap<String, Vec<Reading>>;

fn lines(example: &str, file: &str) -> Option<Vec<Vec<String>>> {
    let path = format!("{}/../../testdata/golden/{example}/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).ok()?;
    let fields = |line: &str| line.split(',').map(str::to_owned).collect();
    Some(text.lines().skip(1).map(fields).collect())
}

/// `2026-03-02T00:15:00Z`, or with another offset of whole hours.
fn instant(text: &str) -> Ts {
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    let day = days_from_civil(
        number(0, 4),
        u8::try_from(number(5, 7)).unwrap(),
        u8::try_from(number(8, 10)).unwrap(),
    );
    let second = number(17, 19) * SECOND;
    let offset = if text.ends_with('Z') { 0 } else { number(19, 22) };
    Ts::from_micros(day * 24 * HOUR + (number(11, 13) - offset) * HOUR + number(14, 16) * MINUTE + second)
}

/// One row; none where it does not decode.
fn decode(fields: &[String], upload: u32, row_number: u32) -> Option<(String, Reading)> {
    let [meter, ts, value, unit] = fields else { return None };
    let mut flags = Flags::NONE.set(Flag::MissingValue, value.is_empty());
    let kw = if value.is_empty() {
        None
    } else {
        let milliwatts = if unit == "W" { 1e3 } else { 1e6 };
        flags = flags.set(Flag::UnitConverted, unit == "W");
        let mw: i64 = format!("{:.0}", value.parse::<f64>().ok()? * milliwatts).parse().ok()?;
        (mw.abs() <= 1_000_000_000_000_000_000).then_some(())?;
        Some(Power::from_milliwatts(mw))
    };
    flags = flags.set(Flag::UtcNormalized, !ts.ends_with('Z'));
    let ts = instant(ts);
    Some((meter.clone(), Reading { ts, kw, upload, row_number, flags, standing: Standing::Unjudged }))
}

fn rows(example: &str) -> Example {
    let mut rows = Example::new();
    for upload in 1.. {
        let Some(lines) = lines(example, &format!("upload-{upload}.csv")) else { break };
        for (fields, row_number) in lines.iter().zip(1..) {
            if let Some((meter, row)) = decode(fields, upload, row_number) {
                rows.entry(meter).or_default().push(row);
            }
        }
    }
    assert!(!rows.is_empty(), "{example} is there");
    rows
}

fn kw(reading: &Reading) -> String {
    reading.kw.map_or(String::new(), |kw| kw.to_string())
}

/// Readings, error queue and superseded rows as the example's files show them.
fn show(meters: &BTreeMap<String, Meter>) -> [Vec<String>; 3] {
    let mut shown = [Vec::new(), Vec::new(), Vec::new()];
    for (meter, stored) in meters {
        for reading in stored.readings.values() {
            let (ts, kw, flags) = (reading.ts, kw(reading), reading.flags);
            let (upload, row) = (reading.upload, reading.row_number);
            match reading.standing.reason() {
                None => shown[0].push(format!("{meter},{ts},{kw},{flags}")),
                Some(reason) => {
                    shown[1].push(format!("{upload},{row},{meter},{ts},{kw},{},{flags}", reason.name()));
                }
            }
        }
        for lost in &stored.superseded {
            shown[2].push(format!("{},{},{meter},{}", lost.upload, lost.row_number, lost.ts));
        }
    }
    shown.iter_mut().for_each(|lines| lines.sort());
    shown
}

fn expected(example: &str) -> [Vec<String>; 3] {
    ["readings.csv", "error_queue.csv", "superseded.csv"].map(|file| {
        let lines = lines(example, file).unwrap();
        // What did not decode is none of the rules' business.
        let decoded = |line: &&Vec<String>| {
            file != "error_queue.csv"
                || ["value_negative", "value_above_limit", "outlier"].contains(&&*line[5])
        };
        let mut lines: Vec<_> = lines.iter().filter(decoded).map(|line| line.join(",")).collect();
        lines.sort();
        lines
    })
}

/// Lands an example's rows batch by batch and compares the outcome.
#[track_caller]
fn check(example: &str, how: &str, batches: impl Fn(Vec<Reading>) -> Vec<Vec<Reading>>) {
    let mut meters = BTreeMap::new();
    for (name, rows) in rows(example) {
        let mut meter = Meter::new(Limits::default());
        batches(rows).into_iter().for_each(|batch| meter.upload(batch));
        meters.insert(name, meter);
    }
    assert_eq!(show(&meters), expected(example), "{example}, {how}");
}

#[test]
fn examples_judged_at_once() {
    for example in EXAMPLES {
        check(example, "upload by upload", |rows| {
            rows.chunk_by(|a, b| a.upload == b.upload).map(<[Reading]>::to_vec).collect()
        });
    }
}

#[test]
fn examples_judged_row_by_row() {
    for example in EXAMPLES {
        check(example, "row by row", |rows| rows.into_iter().map(|row| vec![row]).collect());
        check(example, "row by row from the end", |rows| {
            rows.into_iter().rev().map(|row| vec![row]).collect()
        });
    }
}

#[test]
fn examples_judged_in_random_order() {
    for (example, seed) in EXAMPLES.into_iter().flat_map(|example| [1, 2, 3].map(|seed| (example, seed))) {
        check(example, &format!("seed {seed}"), |mut rows| {
            let mut random = Random(seed);
            random.shuffle(&mut rows);
            let mut batches = Vec::new();
            while !rows.is_empty() {
                let size = (1 + random.below(30)).min(rows.len());
                batches.push(rows.drain(..size).collect());
            }
            batches
        });
    }
}

#[test]
fn instants_are_read_as_they_are_written() {
    assert_eq!(instant("2026-03-02T01:02:03Z"), at(62).plus(3 * SECOND));
    assert_eq!(instant("2026-03-02T01:02:03+01:00"), at(2).plus(3 * SECOND));
}
