//! The ground truth names exactly the lines that differ from what the fleet really drew.

use std::collections::{BTreeMap, BTreeSet};

use greenstream_simulator::{Kind, Layout, Plan};

use crate::read::{Entry, Written, fields, flawless, frequent, minute, spelled, written};

/// (meter, instant) to the line of the flawless fleet.
type Real = BTreeMap<(String, String), Vec<u8>>;

fn real(plan: &Plan) -> Real {
    let mut real = Real::new();
    for line in written(&flawless(plan)).files.into_values().flatten() {
        let [meter, ts, _, _] = fields(&line).unwrap();
        real.insert((meter.to_owned(), ts.to_owned()), line);
    }
    real
}

#[test]
fn the_truth_names_exactly_the_injected_lines() {
    for (layout, seed) in [(Layout::Hourly, 1), (Layout::Daily, 2), (Layout::Tiny, 3)] {
        let plan =
            Plan { meters: 120, days: 5, seed, layout, defects: frequent(1.0, 0.01), ..Plan::default() };
        let (w, real) = (written(&plan), real(&plan));
        let mut marked: BTreeMap<(&str, usize), Vec<&Entry>> = BTreeMap::new();
        for entry in &w.truth {
            if entry.kind != Kind::RepeatedUpload {
                assert_true_power(entry, &real);
            }
            if entry.line > 0 {
                marked.entry((&entry.file, entry.line)).or_default().push(entry);
                assert_shows(entry, &w, &real);
            }
        }
        let mut seen = BTreeSet::new();
        for (name, lines) in w.first_deliveries() {
            for (at, line) in lines.iter().enumerate() {
                if let Some(entries) = marked.get(&(name.as_str(), at + 2)) {
                    seen.insert((entries[0].meter.clone(), entries[0].ts.clone()));
                    continue;
                }
                let [meter, ts, _, _] = fields(line).unwrap();
                let key = (meter.to_owned(), ts.to_owned());
                assert_eq!(real.get(&key), Some(line), "line {} of {name} is marked by no entry", at + 2);
                assert!(seen.insert(key), "line {} of {name} is an unmarked duplicate", at + 2);
            }
        }
        let absent = w.of(Kind::Absent).map(|e| (e.meter.clone(), e.ts.clone()));
        assert!(absent.into_iter().all(|key| seen.insert(key)), "an absent row is there");
        assert_eq!(seen.len(), real.len(), "every reading is there or absent");
    }
}

fn assert_true_power(entry: &Entry, real: &Real) {
    let line = &real[&(entry.meter.clone(), entry.ts.clone())];
    assert_eq!(fields(line).unwrap()[2], entry.true_kw, "{entry:?}");
}

/// Whether the line that an entry names shows the defect, and nothing but it.
fn assert_shows(entry: &Entry, w: &Written, real: &Real) {
    let line = w.line(entry);
    let text = String::from_utf8_lossy(line);
    let clean = &real[&(entry.meter.clone(), entry.ts.clone())];
    let truth: f64 = entry.true_kw.parse().unwrap();
    let [meter, ts, kw, unit] = fields(line).unwrap_or_default();
    let number = kw.trim().parse::<f64>().ok().filter(|n| n.is_finite());
    let same = |fields: [bool; 4]| {
        fields == [meter == entry.meter, ts == entry.ts, kw == entry.true_kw, unit == "kW"]
    };
    let ok = match entry.kind {
        Kind::Spike => same([true, true, false, true]) && (7.0..=9.5).contains(&number.unwrap()),
        Kind::AboveLimit => same([true, true, false, true]) && number > Some(10.0),
        Kind::Negative => same([true, true, false, true]) && number < Some(0.0) && truth > 0.0,
        Kind::Estimated => {
            same([true, true, false, true]) && (number.unwrap() - truth).abs() <= truth.abs() * 0.2 + 0.001
        }
        Kind::NearZero => meter.contains(&entry.meter) && number < Some(0.01) || looks_other(entry, w),
        Kind::ZeroDay => text.contains("0.0") || looks_other(entry, w),
        Kind::Missing => {
            let known = ["", "NULL", "NAN", "NA", "N/A", "-", "?"];
            meter == entry.meter && ts == entry.ts && known.contains(&kw.to_uppercase().as_str())
        }
        Kind::Late | Kind::Duplicate => meter == entry.meter && ts == entry.ts && unit == "kW",
        Kind::Corrected => line == clean,
        Kind::SolarExport => truth < 0.0 && (line == clean || looks_other(entry, w)),
        Kind::TruePeak => truth > 10.0 && (line == clean || looks_other(entry, w)),
        Kind::UnitWatts => unit.eq_ignore_ascii_case("W") && meter == entry.meter && ts == entry.ts,
        Kind::UnitCase => unit.eq_ignore_ascii_case("kW") && unit != "kW",
        Kind::LocalOffset => ts != entry.ts && instant(ts).as_ref() == Some(&entry.ts),
        Kind::TimestampForm => ts != entry.ts && instant(ts).as_ref() == Some(&entry.ts),
        Kind::Quoted => text.contains('"') && text.replace('"', "").starts_with(&entry.meter),
        Kind::Blanks => {
            meter.trim() == entry.meter && ts.trim() == entry.ts && unit.trim() == "kW" && text.contains(' ')
        }
        Kind::Malformed => is_malformed(line),
        Kind::BadMeterId => meter.is_empty() || meter.len() > 64 || meter.contains(['\u{7}', '\u{200b}']),
        Kind::BadTimestamp => meter == entry.meter && is_no_instant(ts),
        Kind::NoZone => format!("{ts}Z") == entry.ts,
        Kind::BadValue => {
            text.starts_with(&format!("{},{}", entry.meter, entry.ts))
                && (number.is_none() || number > Some(1e12))
        }
        Kind::UnknownUnit => !["W", "KW"].contains(&unit.to_uppercase().as_str()) && ts == entry.ts,
        Kind::Future => {
            meter == entry.meter && ts[..4].parse::<i32>().unwrap() > 2049 && ts[10..] == entry.ts[10..]
        }
        Kind::Absent | Kind::RepeatedUpload => false,
    };
    assert!(ok, "{entry:?} does not show in: {text}");
}

/// Whether another entry says that the text of the same line is written in another way.
fn looks_other(entry: &Entry, w: &Written) -> bool {
    let text =
        [Kind::UnitWatts, Kind::Quoted, Kind::LocalOffset, Kind::TimestampForm, Kind::Blanks, Kind::UnitCase];
    let mut others = w.truth.iter().filter(|e| e.file == entry.file && e.line == entry.line);
    others.any(|e| text.contains(&e.kind))
}

/// The instant of any valid spelling in the contract's one.
fn instant(ts: &str) -> Option<String> {
    if let Ok(epoch) = ts.parse::<i64>() {
        return Some(spelled(if ts.len() == 13 { epoch / 60_000 } else { epoch / 60 }));
    }
    let wall = minute(ts)?;
    let after = &ts[16..];
    let offset = match after.find(['+', '-']) {
        None => 0,
        Some(at) => {
            let digits: String = after[at + 1..].chars().filter(char::is_ascii_digit).collect();
            let of = |from: usize| digits.get(from..from + 2).map_or(0, |d| d.parse::<i64>().unwrap());
            (of(0) * 60 + of(2)) * if after[at..].starts_with('-') { -1 } else { 1 }
        }
    };
    Some(spelled(wall - offset))
}

fn is_malformed(line: &[u8]) -> bool {
    let commas = line.iter().filter(|b| **b == b',').count();
    let quotes = line.iter().filter(|b| **b == b'"').count();
    commas != 3
        || quotes % 2 == 1
        || line.contains(&b'\r')
        || line.contains(&0)
        || std::str::from_utf8(line).is_err()
}

fn is_no_instant(ts: &str) -> bool {
    let epoch = ts.parse::<i64>().is_ok() && (ts.len() == 10 || ts.len() == 13);
    let day = ts.get(5..10).is_some_and(|day| day != "02-30");
    let clock = minute(ts).is_some_and(|m| ts.get(11..16) == Some(&spelled(m)[11..16]));
    !(epoch || day && clock)
}
