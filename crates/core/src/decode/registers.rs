//! Energy whose interval no row tells by itself: cumulative registers, of which a reading is the
//! difference to the next, and intervals of several lengths, told by the distance to the next row.
//! Until then a row's value is micro-watt-hours.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::feed::Interval;
use super::{Decoded, Row};
use crate::{Flag, Flags, Power, SECOND, Ts};

/// What the register of a meter showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Index into [`Decoded::meters`].
    pub meter: u32,
    /// When.
    pub ts: Ts,
    /// The energy since the register's beginning, in micro-watt-hours.
    pub energy: i64,
    /// The row that says so.
    pub row_number: u32,
}

/// The mean power of an interval between two register readings, half a milliwatt rounded away from
/// zero. None where the register went back: it was reset or exchanged, and the energy is not known.
#[must_use]
pub fn mean_power(from: i64, to: i64, interval: Interval) -> Option<Power> {
    let energy = i128::from(to) - i128::from(from);
    (energy >= 0).then(|| power(energy, i128::from(interval.seconds()))).flatten()
}

/// Micro-watt-hours over so many seconds.
fn power(energy: i128, seconds: i128) -> Option<Power> {
    // 1 µWh in an hour is a thousandth of a milliwatt
    let (over, under) = (energy * 3_600, seconds * 1_000);
    let size = (over.abs() * 2 + under) / (under * 2);
    i64::try_from(size * over.signum()).ok().map(Power::from_milliwatts)
}

/// The flags of a row with such a value: those of its time, and what the value adds.
#[must_use]
pub fn flags_with(flags: Flags, kw: Option<Power>) -> Flags {
    flags.set(Flag::EnergyToPower, kw.is_some()).set(Flag::MissingValue, kw.is_none())
}

impl Decoded {
    /// Makes readings of register readings, for a feed of which [`super::Feed::registers`] tells the
    /// `interval`: each row becomes the mean power from its time to an interval later, by what the
    /// register shows then in this upload (the last of several rows) or else by `known`; without
    /// either, its value is missing. Returns what the registers showed, by meter and time.
    pub fn difference(
        &mut self,
        interval: Interval,
        known: &mut dyn FnMut(u32, Ts) -> Option<i64>,
    ) -> Vec<Shown> {
        let mut shown: Vec<Shown> = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            if let Some(kw) = row.kw {
                let (meter, ts, row_number) = (row.meter, row.ts, row.row_number);
                shown.push(Shown { meter, ts, energy: kw.milliwatts(), row_number });
            }
        }
        shown.sort_unstable_by_key(|shown| (shown.meter, shown.ts, std::cmp::Reverse(shown.row_number)));
        shown.dedup_by_key(|shown| (shown.meter, shown.ts));
        let places: FxHashMap<(u32, Ts), i64> =
            shown.iter().map(|shown| ((shown.meter, shown.ts), shown.energy)).collect();
        let step = i64::from(interval.seconds()) * SECOND;
        for row in &mut self.rows {
            // of several rows of an instant the last has the word for all
            let Some(from) = row.kw.and_then(|_| places.get(&(row.meter, row.ts)).copied()) else { continue };
            let next = row.ts.plus(step);
            let to = places.get(&(row.meter, next)).copied().or_else(|| known(row.meter, next));
            row.kw = to.and_then(|to| mean_power(from, to, interval));
            row.flags = flags_with(row.flags, row.kw);
        }
        shown
    }

    /// Makes mean power of the energy of intervals whose lengths are among `lengths` (ascending): a
    /// row's is the distance to the meter's next row in time; where that is none of them, the length of
    /// the row before, or else the shortest.
    pub(crate) fn spread(&mut self, lengths: &[Interval]) {
        let Some(shortest) = lengths.first() else { return };
        let mut times: BTreeMap<u32, Vec<(Ts, u32)>> = BTreeMap::new();
        for (index, row) in (0..).zip(&self.rows) {
            times.entry(row.meter).or_default().push((row.ts, index));
        }
        for mut times in times.into_values() {
            times.sort_unstable();
            let mut length = *shortest;
            // rows of one instant share its interval
            let mut instants = times.chunk_by(|a, b| a.0 == b.0).peekable();
            while let Some(rows) = instants.next() {
                let ts = |rows: &[(Ts, u32)]| rows.first().map_or(0, |(ts, _)| ts.micros());
                let step = instants.peek().map(|next| ts(next).saturating_sub(ts(rows)));
                let told = lengths.iter().find(|length| Some(i64::from(length.seconds()) * SECOND) == step);
                length = told.copied().unwrap_or(length);
                for (_, index) in rows {
                    self.rows.get_mut(*index as usize).into_iter().for_each(|row| spread_row(row, length));
                }
            }
        }
    }
}

fn spread_row(row: &mut Row, length: Interval) {
    let Some(energy) = row.kw else { return };
    row.kw = power(i128::from(energy.milliwatts()), i128::from(length.seconds()));
    row.flags = flags_with(row.flags, row.kw);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(text: &str) -> Interval {
        Interval::parse(text).unwrap()
    }

    #[test]
    fn a_difference_is_rounded_once_and_a_step_back_is_not_known() {
        let quarter = interval("15min");
        let kwh = |kwh: i64| kwh * 1_000_000_000;
        for (from, to, expected) in [
            (0, kwh(1), Some(4_000_000)),
            (kwh(6_199), kwh(6_199) + 28_000_000, Some(112_000)),
            (5, 5, Some(0)),
            (0, 125, Some(1)),
            (0, 124, Some(0)),
            (kwh(2), kwh(1), None),
            (1, 0, None),
        ] {
            let mw = mean_power(from, to, quarter).map(Power::milliwatts);
            assert_eq!(mw, expected, "{from} to {to}");
        }
        assert_eq!(mean_power(i64::MIN, i64::MAX, interval("1s")), None);
    }
}
