//! How long the rules take, per reading: `cargo bench -p greenstream-core --bench rules`.
//!
//! Plain loops over a day of 50,000 meters, timed some meters at a time: the median of these
//! times, which a busy machine disturbs little, and the best.

use std::hint::black_box;
use std::time::{Duration, Instant};

use greenstream_core::rules::{Judge, Known, Merged, merge, need, spare};
use greenstream_core::{Flag, Flags, HOUR, Limits, Power, Reading, Standing, Ts};

const METERS: usize = 50_000;
const DAY: usize = 96;
const HOURLY: usize = 4;
/// Readings a window may grow to before it is cut down.
const WINDOW: usize = 120;
const ROUNDS: usize = 3;
/// Meters that are timed together, at most.
const BATCH: usize = 250;

/// A meter's `i`th quarter of an hour: steady with some spikes, some missing and some dead meters.
fn row(meter: usize, i: usize) -> Reading {
    let noise = (meter * 31 + i * 17) * 7_919 % 100_003;
    let dead = meter.is_multiple_of(100);
    let missing = noise.is_multiple_of(97);
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

fn report(what: &str, meters: usize, readings: usize, mut batches: Vec<Duration>) {
    batches.sort();
    let each = |time: Duration| time.as_secs_f64() * 1e9 / (meters.min(BATCH) * readings) as f64;
    let (median, best) = (each(batches[batches.len() / 2]), each(batches[0]));
    println!("{what:<54} {median:6.1} ns a reading, best {best:6.1}");
}

/// Whole days of all meters, judged from scratch.
fn days(meters: usize, days: usize) {
    let fresh: Vec<Vec<Reading>> =
        (0..meters).map(|meter| (0..days * DAY).map(|i| row(meter, i)).collect()).collect();
    let (limits, mut judge, mut changed) = (Limits::default(), Judge::new(), Vec::new());
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let mut series = fresh.clone();
        for batch in series.chunks_exact_mut(BATCH) {
            let begin = Instant::now();
            for readings in batch {
                changed.clear();
                judge.judge_all(readings, &limits, &mut changed);
                black_box(&changed);
            }
            times.push(begin.elapsed());
        }
    }
    report(&format!("judge_all, {meters} meters, {days} day(s)"), meters, days * DAY, times);
}

/// What is at hand to judge a meter's window.
#[derive(Default)]
struct Bench {
    limits: Limits,
    judge: Judge,
    merged: Merged,
    changed: Vec<(usize, Reading)>,
}

impl Bench {
    fn append(&mut self, series: &mut Vec<Reading>, known: &mut Known, rows: &mut Vec<Reading>) {
        let span = (rows[0].ts, rows[rows.len() - 1].ts);
        assert!(need(series, span, *known).is_none());
        self.merged.clear();
        merge(series, rows, &mut self.merged);
        self.changed.clear();
        if let Some(touched) = self.merged.touched {
            self.judge.judge(series, touched, &self.limits, &mut self.changed);
        }
        black_box(&self.changed);
        if series.len() > WINDOW
            && let Some(gone) = series.drain(..spare(series)).next_back()
        {
            known.from = gone.ts.plus(1);
        }
    }
}

/// Four rows a meter at a time, in time order, to windows that are cut down to what is needed.
fn appends(meters: usize) {
    let mut bench = Bench::default();
    let mut windows: Vec<_> =
        (0..meters).map(|_| (Vec::with_capacity(WINDOW + HOURLY), Known::ALL)).collect();
    let mut rows: Vec<Vec<Reading>> = vec![Vec::new(); meters];
    let mut times = Vec::new();
    let day = DAY / HOURLY;
    for hour in 0..(2 + ROUNDS) * day {
        for (meter, rows) in rows.iter_mut().enumerate() {
            rows.extend((0..HOURLY).map(|i| row(meter, hour * HOURLY + i)));
        }
        for (windows, rows) in windows.chunks_mut(BATCH).zip(rows.chunks_mut(BATCH)) {
            let begin = Instant::now();
            for ((series, known), rows) in windows.iter_mut().zip(rows) {
                bench.append(series, known, rows);
            }
            times.extend((hour >= 2 * day).then(|| begin.elapsed()));
        }
    }
    report(&format!("need, merge, judge, spare: 4 rows to {meters} meters"), meters, HOURLY, times);
}

fn main() {
    days(METERS, 1);
    days(METERS / 50, 30);
    appends(METERS);
    appends(BATCH);
}
