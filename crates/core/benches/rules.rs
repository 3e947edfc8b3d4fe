//! How long the rules take, per reading: `cargo bench -p greenstream-core --bench rules`.
//!
//! Plain loops over a day of 50,000 meters; the best of some rounds, since other work on the
//! machine only ever adds to it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use greenstream_core::rules::{Judge, Known, Merged, merge, need, spare};
use greenstream_core::{Flag, Flags, HOUR, Limits, Power, Reading, Standing, Ts};

const METERS: usize = 50_000;
const DAY: usize = 96;
const HOURLY: usize = 4;
/// Readings a window may grow to before it is cut down.
const WINDOW: usize = 120;
const ROUNDS: usize = 5;

/// A meter's `i`th quarter of an hour: steady with some spikes, some missing and some dead meters.
fn row(meter: usize, i: usize) -> Reading {
    let noise = (meter * 31 + i * 17) * 7_919 % 100_003;
    let dead = meter.is_multiple_of(100);
    let missing = noise % 97 == 0;
    let milliwatts = match noise % 1_000 {
        _ if dead => 0,
        1 => 9_000_000,
        size => 400_000 + size * 200,
    };
    let kw = i64::try_from(milliwatts).ok().filter(|_| !missing).map(Power::from_milliwatts);
    Reading {
        ts: Ts::from_micros(1_772_409_600_000_000 + i64::try_from(i).unwrap_or(0) * HOUR / 4),
        kw,
        upload: 1 + u32::try_from(i / HOURLY).unwrap_or(0),
        row_number: 1,
        flags: Flags::NONE.set(Flag::MissingValue, kw.is_none()),
        standing: Standing::Unjudged,
    }
}

fn report(what: &str, readings: usize, rounds: &[Duration]) {
    let best = rounds.iter().min().copied().unwrap_or_default();
    let each = best.as_secs_f64() * 1e9 / readings as f64;
    println!("{what:<58} {each:6.1} ns a reading");
}

/// Whole days of all meters, judged from scratch.
fn days(meters: usize, days: usize) {
    let fresh: Vec<Vec<Reading>> =
        (0..meters).map(|meter| (0..days * DAY).map(|i| row(meter, i)).collect()).collect();
    let (limits, mut judge, mut changed) = (Limits::default(), Judge::new(), Vec::new());
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut series = fresh.clone();
        let begin = Instant::now();
        for readings in &mut series {
            changed.clear();
            judge.judge_all(readings, &limits, &mut changed);
            black_box(&changed);
        }
        rounds.push(begin.elapsed());
    }
    report(&format!("judge_all, {meters} meters, {days} day(s)"), meters * days * DAY, &rounds);
}

/// Four rows a meter at a time, in time order, to windows that are cut down to what is needed.
fn appends(meters: usize) {
    let (limits, mut judge, mut changed) = (Limits::default(), Judge::new(), Vec::new());
    let (mut merged, mut rows) = (Merged::default(), Vec::new());
    let mut windows = vec![(Vec::with_capacity(2 * WINDOW), Known::ALL); meters];
    let mut hour = |windows: &mut Vec<(Vec<Reading>, Known)>, hour: usize| {
        for (meter, (series, known)) in windows.iter_mut().enumerate() {
            rows.extend((0..HOURLY).map(|i| row(meter, hour * HOURLY + i)));
            let begin = (rows[0].ts, rows[HOURLY - 1].ts);
            assert!(need(series, begin, *known).is_none());
            merged.clear();
            merge(series, &mut rows, &mut merged);
            changed.clear();
            if let Some(touched) = merged.touched {
                judge.judge(series, touched, &limits, &mut changed);
            }
            black_box(&changed);
            if series.len() > WINDOW {
                if let Some(gone) = series.drain(..spare(series)).next_back() {
                    known.from = gone.ts.plus(1);
                }
            }
        }
    };
    let day = DAY / HOURLY;
    (0..2 * day).for_each(|time| hour(&mut windows, time));
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let begin = Instant::now();
        (0..day).for_each(|time| hour(&mut windows, (2 + round) * day + time));
        rounds.push(begin.elapsed());
    }
    report(&format!("need, merge, judge, spare: 4 rows to {meters} meters"), meters * DAY, &rounds);
}

fn main() {
    days(METERS, 1);
    days(METERS / 30, 30);
    appends(METERS);
    appends(METERS / 500);
}
