//! Rule 3, outliers: more than three sample standard deviations from the mean of the measured
//! readings in the 24 hours that end with the reading, itself included.
//!
//! `|x - mean| / sd > 3` with the sample standard deviation is, in whole numbers,
//! `(n·x - S1)² · (n - 1) > 9 · n · (n·S2 - S1²)`: no division, no root, no rounding.

use super::wide::U256;
use crate::{DAY, Reading, Standing, Ts};

/// With so few readings the inequality cannot hold: `|z|` is at most `(n - 1) / √n`.
const NEVER_WITH: u64 = 10;

/// Judges the readings from index `from` to less than 24 hours after `last`: all whose window
/// holds a touched instant. Standings must say which readings are measured. Returns the last
/// instant whose trust may have changed: `last`, or the last reading after it whose verdict did.
pub(super) fn judge(series: &mut [Reading], from: usize, last: Ts) -> Ts {
    let Some(first) = series.get(from) else { return last };
    let cut = first.ts.plus(-DAY);
    // Counting first, by instants alone, fetches the window from memory faster than adding does.
    let head = from - series[..from].iter().rev().take_while(|reading| reading.ts > cut).count();
    let (past, size) = add_up(&series[head..from]);
    let end = last.plus(DAY);
    let size = series[from..]
        .iter()
        .take_while(|reading| reading.ts < end)
        .fold(size, |bits, reading| bits | reading.kw.map_or(0, |kw| kw.milliwatts().unsigned_abs()));
    if Narrow::fits(series.len() - head, size) {
        return slide(series, head, from, last, past);
    }
    let mut past = Wide::default();
    series[head..from].iter().filter_map(measured).for_each(|x| past.add(x));
    slide(series, head, from, last, past)
}

/// The sums of a window, right where they fit, and the bits of its values' sizes. Without branches:
/// this is most of the work where a few readings follow a day of others.
fn add_up(window: &[Reading]) -> (Narrow, u64) {
    let mut sums = Narrow::default();
    let mut size = 0;
    for reading in window {
        let value = measured(reading);
        let x = value.unwrap_or(0);
        size |= x.unsigned_abs();
        sums.n += u64::from(value.is_some());
        sums.sum = sums.sum.wrapping_add(x);
        sums.squares = sums.squares.wrapping_add(square(x));
    }
    (sums, size)
}

/// Slides a window over the readings from index `from` on; before them it begins with index `head`
/// and holds `sums`.
fn slide<S: Sums>(series: &mut [Reading], mut head: usize, from: usize, last: Ts, mut sums: S) -> Ts {
    let (end, mut shaken) = (last.plus(DAY), last);
    for at in from..series.len() {
        let reading = series[at];
        if reading.ts >= end {
            break;
        }
        let Some(x) = measured(&reading) else { continue };
        sums.add(x);
        let cut = reading.ts.plus(-DAY);
        while series[head].ts <= cut {
            if let Some(gone) = measured(&series[head]) {
                sums.remove(gone);
            }
            head += 1;
        }
        let outlier = !reading.is_decided() && sums.count() > NEVER_WITH && sums.is_outlier(x);
        let standing = if outlier { Standing::Outlier } else { Standing::Accepted };
        if standing != reading.standing {
            series[at].standing = standing;
            shaken = shaken.max(reading.ts);
        }
    }
    shaken
}

/// A measured reading's value in milliwatts.
fn measured(reading: &Reading) -> Option<i64> {
    if reading.is_measured() { reading.kw.map(|kw| kw.milliwatts()) } else { None }
}

/// Count, sum and sum of squares of a window, exact in the range that the implementation names.
trait Sums: Default {
    fn add(&mut self, x: i64);
    fn remove(&mut self, x: i64);
    fn count(&self) -> u64;
    /// Whether `x`, one of the window, lies more than three standard deviations from its mean.
    fn is_outlier(&self, x: i64) -> bool;
}

/// For every real meter: 128 bits hold each term.
#[derive(Default)]
struct Narrow {
    n: u64,
    sum: i64,
    squares: u128,
}

impl Narrow {
    /// Whether windows of at most `count` values with the bits of `size` fit. With `count < 2^k`
    /// and `|x| < 2^r` both sides are below `2^(3k + 2r + 4)`: `|n·x - S1| < 2^(k + r + 1)`, and
    /// `n·S2 <= n²·x²max`. `3k + 2r <= 123` also keeps `|n·x - S1|` below `2^63`.
    fn fits(count: usize, size: u64) -> bool {
        let (k, r) = (usize::BITS - count.leading_zeros(), u64::BITS - size.leading_zeros());
        3 * k + 2 * r <= 123
    }
}

impl Sums for Narrow {
    fn add(&mut self, x: i64) {
        self.n += 1;
        self.sum += x;
        self.squares += square(x);
    }

    fn remove(&mut self, x: i64) {
        self.n -= 1;
        self.sum -= x;
        self.squares -= square(x);
    }

    fn count(&self) -> u64 {
        self.n
    }

    fn is_outlier(&self, x: i64) -> bool {
        let n = u128::from(self.n);
        let distance = x * self.n.cast_signed() - self.sum;
        square(distance) * (n - 1) > 9 * n * (n * self.squares - square(self.sum))
    }
}

fn square(x: i64) -> u128 {
    let size = u128::from(x.unsigned_abs());
    size * size
}

/// For whatever else a feed, a registry and an operator may bring together: any `i64`, up to 2^32
/// of them, in 256 bits. `|n·x - S1| < 2^97`, so both sides are below `2^230`.
#[derive(Default)]
struct Wide {
    n: u64,
    sum: i128,
    squares: U256,
}

impl Sums for Wide {
    fn add(&mut self, x: i64) {
        self.n += 1;
        self.sum += i128::from(x);
        self.squares = self.squares.plus(U256::from(square(x)));
    }

    fn remove(&mut self, x: i64) {
        self.n -= 1;
        self.sum -= i128::from(x);
        self.squares = self.squares.minus(U256::from(square(x)));
    }

    fn count(&self) -> u64 {
        self.n
    }

    fn is_outlier(&self, x: i64) -> bool {
        let (distance, sum) =
            ((i128::from(x) * i128::from(self.n) - self.sum).unsigned_abs(), self.sum.unsigned_abs());
        let spread = self.squares.times(self.n).minus(U256::product(sum, sum));
        U256::product(distance, distance).times(self.n - 1) > spread.times(self.n).times(9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flags, Power};

    /// Whether the last of `values`, a second apart, is an outlier, by both arithmetics.
    #[track_caller]
    fn check(name: &str, values: &[i64], expected: bool) {
        assert_eq!(last_is_outlier::<Wide>(values), expected, "{name}, in 256 bits");
        let size = values.iter().fold(0, |bits, x| bits | x.unsigned_abs());
        if Narrow::fits(values.len(), size) {
            assert_eq!(last_is_outlier::<Narrow>(values), expected, "{name}, in 128 bits");
        }
    }

    fn last_is_outlier<S: Sums>(values: &[i64]) -> bool {
        let mut sums = S::default();
        values.iter().for_each(|x| sums.add(*x));
        sums.is_outlier(*values.last().unwrap())
    }

    /// Eighteen values `±spread` around `mean`, and a last one.
    fn around(mean: i64, spread: i64, last: i64) -> Vec<i64> {
        let mut values: Vec<_> = (0..18).map(|i| mean + if i % 2 == 0 { spread } else { -spread }).collect();
        values.push(last);
        values
    }

    #[test]
    fn the_verdict_turns_once_and_at_the_same_value_in_both_arithmetics_and_at_any_offset() {
        // The smallest outlier above the mean, by bisection in the wide arithmetic.
        let turn = |mean: i64, spread: i64| {
            let (mut low, mut high) = (mean, mean + 100 * spread);
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                let outlier = last_is_outlier::<Wide>(&around(mean, spread, middle));
                if outlier { high = middle } else { low = middle }
            }
            high
        };
        for (mean, spread) in [(500_000, 1_000), (0, 7), (-3, 1), (1 << 40, 1 << 20), (1 << 60, 1 << 50)] {
            let high = turn(mean, spread);
            assert_eq!(high - mean, turn(0, spread), "moving every value changes nothing");
            check("the smallest outlier", &around(mean, spread, high), true);
            check("one milliwatt less", &around(mean, spread, high - 1), false);
            check("its mirror image", &around(mean, spread, 2 * mean - high), true);
            check("one milliwatt more", &around(mean, spread, 2 * mean - high + 1), false);
        }
    }

    #[test]
    fn ten_readings_never_hold_an_outlier_and_eleven_can() {
        for n in 2..=40 {
            let mut values = vec![0; n - 1];
            values.push(1_000);
            check(&format!("{n} readings"), &values, n > 10);
        }
    }

    #[test]
    fn a_flat_window_holds_no_outlier() {
        check("flat at zero", &[0; 50], false);
        check("flat at a kilowatt", &[1_000_000; 50], false);
        check("flat at the largest value", &[i64::MAX; 50], false);
    }

    #[test]
    fn the_largest_values_are_judged_exactly() {
        let mut values = vec![-i64::MAX; 86_400];
        values.push(i64::MAX);
        check("one end against the other", &values, true);
        let halves: Vec<_> = (0..86_400).map(|i| if i % 2 == 0 { i64::MAX } else { -i64::MAX }).collect();
        check("half and half", &halves, false);
    }

    #[test]
    fn a_window_that_does_not_fit_is_judged_in_256_bits() {
        // 3k + 2r: the last that fits, and one bit more.
        for (count, size, fits) in [
            (96, 10_000_000, true),
            (96, (1 << 51) - 1, true),
            (96, 1 << 51, false),
            (86_400, (1 << 36) - 1, true),
            (86_400, 1 << 36, false),
        ] {
            assert_eq!(Narrow::fits(count, size), fits, "{count} values of size {size}");
        }
    }

    #[test]
    fn values_too_large_for_128_bits_are_judged_all_the_same() {
        let reading = |i: i64, mw: i64| Reading {
            ts: Ts::from_micros(i),
            kw: Some(Power::from_milliwatts(mw)),
            upload: 1,
            row_number: 1,
            flags: Flags::NONE,
            standing: Standing::Accepted,
        };
        let top = 1_000_000_000_000_000_000;
        for last in [-top, 0, top / 2, top] {
            let values: Vec<_> = (0..99).map(|i| top - i % 2).chain([last]).collect();
            let mut series: Vec<_> = (0..).zip(&values).map(|(i, mw)| reading(i, *mw)).collect();
            let outliers = |series: &[Reading]| -> Vec<usize> {
                (0..100).filter(|i| series[*i].standing == Standing::Outlier).collect()
            };
            let end = series[99].ts;
            assert_eq!(judge(&mut series, 0, end), end);
            let expected: &[usize] = if last_is_outlier::<Wide>(&values) { &[99] } else { &[] };
            assert_eq!(outliers(&series), expected, "{last} mW, all at once");
            assert_eq!(expected.is_empty(), last == top);
            series[99].standing = Standing::Accepted;
            judge(&mut series, 99, end);
            assert_eq!(outliers(&series), expected, "{last} mW, the last by itself");
        }
    }

    /// Three days of values half an hour apart, the verdicts against windows that are added up anew.
    #[track_caller]
    fn check_three_days(name: &str, value: impl Fn(i64) -> i64) {
        let mut series: Vec<_> = (0..144)
            .map(|i| Reading {
                ts: Ts::from_micros(i * DAY / 48),
                kw: Some(Power::from_milliwatts(value(i))),
                upload: 1,
                row_number: 1,
                flags: Flags::NONE,
                standing: Standing::Accepted,
            })
            .collect();
        let end = series[143].ts;
        judge(&mut series, 0, end);
        let mut outliers = 0;
        for (i, reading) in (0..).zip(&series) {
            let window: Vec<i64> = ((i - 47).max(0)..=i).map(&value).collect();
            let expected = last_is_outlier::<Wide>(&window);
            assert_eq!(reading.standing == Standing::Outlier, expected, "{name}, reading {i}");
            outliers += usize::from(expected);
        }
        assert!((1..144).contains(&outliers), "{name}: {outliers} outliers");
    }

    #[test]
    fn values_too_large_for_128_bits_leave_the_window_after_24_hours() {
        let top = 1_000_000_000_000_000_000;
        check_three_days("every fiftieth far off", |i| if i % 50 == 49 { -top + i } else { top - i * i });
        check_three_days("small ones after great ones", |i| match i {
            49 => -top,
            140 => 5_000,
            0..70 => top - i * i,
            _ => 1_000 + i % 3,
        });
    }
}
