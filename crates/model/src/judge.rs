//! The rules over all readings of one meter, in the words of the specification.

use num_bigint::BigInt;

use crate::entry::Configuration;
use crate::reading::{Flag, Reading, Reason};
use crate::time::{DAY, HOUR, day_of, zone};

/// A fault of a meter over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Episode {
    pub(crate) first_ts: i64,
    pub(crate) last_ts: i64,
    pub(crate) is_confirmed: bool,
}

/// Judges the readings of one meter, sorted by time, and gives its episodes.
pub(crate) fn judge(meter: &str, readings: &mut [Reading], configuration: &Configuration) -> Vec<Episode> {
    for reading in readings.iter_mut().filter(|reading| !reading.is_decided) {
        let limits = configuration.limits_of(meter, reading.ts);
        reading.reason = match reading.own {
            Some(own) if own < limits.min => Some(Reason::ValueNegative),
            Some(own) if own > limits.max => Some(Reason::ValueAboveLimit),
            _ => None,
        };
    }
    let outliers: Vec<bool> = readings.iter().map(|reading| is_outlier(readings, reading)).collect();
    for (reading, is_outlier) in readings.iter_mut().zip(outliers) {
        if is_outlier && !reading.is_decided {
            reading.reason = Some(Reason::Outlier);
        }
    }
    let fills: Vec<Option<i64>> = (0..readings.len()).map(|index| fill(readings, index)).collect();
    let faults: Vec<bool> = (0..readings.len()).map(|index| is_faulty(readings, index)).collect();
    for ((reading, fill), is_faulty) in readings.iter_mut().zip(fills).zip(faults) {
        if fill.is_some() {
            reading.kw = fill;
            reading.flags.insert(Flag::ForwardFilled);
        }
        if is_faulty {
            reading.flags.insert(Flag::PotentiallyFaulty);
        }
    }
    episodes(readings, configuration)
}

/// Rule 3: |z| > 3 over the measured readings in (t - 24 h, t], with the sample standard deviation.
fn is_outlier(readings: &[Reading], reading: &Reading) -> bool {
    if !reading.is_measured() {
        return false;
    }
    let window: Vec<BigInt> = readings
        .iter()
        .filter(|other| other.is_measured() && other.ts > reading.ts - DAY && other.ts <= reading.ts)
        .filter_map(|other| other.own.map(BigInt::from))
        .collect();
    let n = BigInt::from(window.len());
    let x = BigInt::from(reading.own.unwrap_or(0));
    let s1: BigInt = window.iter().sum();
    let s2: BigInt = window.iter().map(|value| value * value).sum();
    (&n * &x - &s1).pow(2) * (&n - 1) > BigInt::from(9) * &n * (&n * &s2 - &s1 * &s1)
}

/// Rule 2: the donor's value for the reading at `index`, if it is missing and its gap is filled.
fn fill(readings: &[Reading], index: usize) -> Option<i64> {
    if readings[index].own.is_some() {
        return None;
    }
    let p = (0..index).rev().find(|at| readings[*at].is_trusted())?;
    let n = (index..readings.len()).find(|at| readings[*at].is_trusted())?;
    let g = p + 1;
    let l = (p + 1..n).rev().find(|at| readings[*at].own.is_none())?;
    let is_short = readings[n].ts - readings[g].ts < HOUR && readings[l].ts - readings[p].ts < HOUR;
    if is_short { readings[p].own } else { None }
}

/// Rule 4: the instant of the first reading of the near-zero run that the reading at `index` is in, or
/// that the measured reading before it is in, where it is not measured itself.
fn run_start(readings: &[Reading], index: usize) -> Option<i64> {
    let mut start = None;
    for reading in readings[..=index].iter().rev().filter(|reading| reading.is_measured()) {
        if !reading.is_near_zero() {
            break;
        }
        start = Some(reading.ts);
    }
    start
}

/// Rule 4: whether the reading at `index`, or the measured reading before it where it is not measured,
/// is more than 24 h after the first reading of its near-zero run.
fn is_faulty(readings: &[Reading], index: usize) -> bool {
    let judged = readings[..=index].iter().rev().find(|reading| reading.is_measured());
    match (judged, run_start(readings, index)) {
        (Some(judged), Some(start)) => judged.ts - start > DAY,
        _ => false,
    }
}

/// Rule 4: one episode for each run with flagged readings, from the first to the last of them.
fn episodes(readings: &[Reading], configuration: &Configuration) -> Vec<Episode> {
    let flagged: Vec<(i64, i64)> = (0..readings.len())
        .filter(|index| is_faulty(readings, *index))
        .filter_map(|index| Some((run_start(readings, index)?, readings[index].ts)))
        .collect();
    let mut starts: Vec<i64> = flagged.iter().map(|(start, _)| *start).collect();
    starts.dedup();
    let confirmed = confirmed_runs(readings, configuration);
    let mut episodes = Vec::new();
    for start in starts {
        let of_run: Vec<i64> = flagged.iter().filter(|(of, _)| *of == start).map(|(_, ts)| *ts).collect();
        if let (Some(first_ts), Some(last_ts)) = (of_run.first(), of_run.last()) {
            let is_confirmed = confirmed.contains(&start);
            episodes.push(Episode { first_ts: *first_ts, last_ts: *last_ts, is_confirmed });
        }
    }
    episodes
}

/// Rule 4: the runs (by the instant of their first reading) with more than three zero days running.
fn confirmed_runs(readings: &[Reading], configuration: &Configuration) -> Vec<i64> {
    let Some(zone) = zone(&configuration.reporting_zone) else { return Vec::new() };
    let measured: Vec<usize> = (0..readings.len()).filter(|index| readings[*index].is_measured()).collect();
    let day = |index: usize| day_of(readings[index].ts, &zone);
    let mut days: Vec<i64> = measured.iter().map(|index| day(*index)).collect();
    days.dedup();
    let is_zero_day = |wanted: &i64| {
        measured.iter().filter(|index| day(**index) == *wanted).all(|index| readings[*index].own == Some(0))
    };
    let mut confirmed = Vec::new();
    for four in days.windows(4).filter(|four| four.iter().all(is_zero_day)) {
        // All readings of these days are zero, so they are in one run; any of them names it.
        let last = measured.iter().rev().find(|index| day(**index) == four[3]);
        confirmed.extend(last.and_then(|index| run_start(readings, *index)));
    }
    confirmed
}
