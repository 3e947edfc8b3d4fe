//! What the meters of a small world measure, and what goes wrong at the meter.

use super::random::Random;
use crate::time::{DAY, HOUR, MINUTE, SECOND};

/// One row before it becomes text: a meter, an instant and what the meter says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Draft {
    pub(crate) meter: String,
    pub(crate) ts: i64,
    pub(crate) said: Said,
}

/// What a meter says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// A value in milliwatts.
    Milliwatts(i64),
    /// That there is none.
    Missing,
}

const METERS: [&str; 7] = [
    "M1",
    "m1",
    "Métér 1",
    "M\"2\"",
    "A,7",
    "0012",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

/// The rows of two to five meters over some days from `start` on, by meter and time, each reading once.
pub(crate) fn fleet(random: &mut Random, start: i64) -> Vec<Draft> {
    let mut meters = METERS.to_vec();
    random.shuffle(&mut meters);
    meters.truncate(random.place(4) + 2);
    let mut drafts = Vec::new();
    for meter in meters {
        let times = times(random, start);
        let mut values = load(random, times.len());
        fall_silent(random, &times, &mut values);
        let rate = random.pick(&[0, 10, 30, 60]);
        drafts.extend(with_defects(random, meter, &times, &values, rate));
    }
    drafts
}

/// The instants of a meter: every 5, 15, 30 or 60 minutes, or as it pleases; at most 300.
fn times(random: &mut Random, start: i64) -> Vec<i64> {
    let minutes = random.pick(&[5, 15, 15, 30, 60, 60, 60, 0]);
    let count = if minutes == 5 { random.between(100, 300) } else { random.between(80, 200) };
    let skew = random.pick(&[0, 0, 0, 0, 17 * SECOND, 250_000, 1]);
    let mut ts = start + random.between(0, 24) * HOUR + skew;
    let mut times = Vec::new();
    for _ in 0..count {
        times.push(ts);
        let step = if minutes == 0 { random.pick(&[1, 7, 20, 59, 60, 61, 90, 240, 600]) } else { minutes };
        ts += step * MINUTE;
    }
    times
}

/// Values of ordinary life: steady, restless or flat.
fn load(random: &mut Random, count: usize) -> Vec<i64> {
    let base = random.between(100_000, 3_000_000);
    let spread = random.pick(&[0, base / 50, base / 50, base - 1]);
    (0..count).map(|_| base + random.between(-spread, spread)).collect()
}

/// Lays stretches near zero over the values: around 24 hours, or around three to four whole days.
fn fall_silent(random: &mut Random, times: &[i64], values: &mut [i64]) {
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return };
    for _ in 0..random.pick(&[0, 1, 1, 2]) {
        let from = random.pick(times);
        let length = DAY + random.pick(&[-HOUR, 0, 1, MINUTE, HOUR, 6 * HOUR]);
        cover(random, times, values, from, from + length);
    }
    if random.chance(600) {
        let from = random.between(first.div_euclid(DAY), last.div_euclid(DAY)) * DAY;
        let from = from + random.pick(&[0, 0, HOUR, -HOUR]);
        let length = random.between(3, 5) * DAY + random.pick(&[0, 0, -HOUR, HOUR]);
        cover(random, times, values, from, from + length);
    }
}

/// Sets the values from `from` to `until` (both included) to nothing, or to nearly nothing.
fn cover(random: &mut Random, times: &[i64], values: &mut [i64], from: i64, until: i64) {
    let nearly = random.pick(&[0, 0, 5, 300]);
    for (ts, value) in times.iter().zip(values) {
        if (from..=until).contains(ts) {
            *value = if random.chance(nearly) { random.pick(&[1, 9_999, 5_000]) } else { 0 };
        }
    }
}

/// The drafts of a meter, `rate` in a thousand with each kind of defect.
fn with_defects(random: &mut Random, meter: &str, times: &[i64], values: &[i64], rate: i64) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let mut missing = 0;
    for (ts, value) in times.iter().zip(values) {
        if random.chance(rate / 2) {
            continue;
        }
        if random.chance(rate) {
            missing = random.between(1, 6);
        }
        let said = if missing > 0 {
            missing -= 1;
            Said::Missing
        } else {
            Said::Milliwatts(distorted(random, *value, rate))
        };
        drafts.push(Draft { meter: meter.to_owned(), ts: *ts, said });
    }
    drafts
}

/// A value, or in its place a spike, a negative value, one above the limit or one beside a threshold.
pub(crate) fn distorted(random: &mut Random, value: i64, rate: i64) -> i64 {
    if random.chance(rate) {
        return random.pick(&[9_999_999, 10_000_000, 5_000_000, 7_654_321]);
    }
    if random.chance(rate / 2) {
        return random.pick(&[-1, -9_999, -10_000, -3_200_000]);
    }
    if random.chance(rate / 2) {
        return random.pick(&[10_000_001, 12_000_000, 123_456_789_012, 1_000_000_000_000_000_000]);
    }
    if random.chance(rate / 2) {
        return random.pick(&[0, 1, 9_999, 10_000, 10_001]);
    }
    value
}
