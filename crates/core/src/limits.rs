//! The limits of a meter: rule 3's range, as the registry gives it over time.

use crate::{Power, Ts};

/// The valid range of a meter's power, both ends valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// Below this a value is `value_negative`.
    pub min: Power,
    /// Above this a value is `value_above_limit`.
    pub max: Power,
}

impl Default for Range {
    /// 0 to 10 kW.
    fn default() -> Self {
        Range { min: Power::ZERO, max: Power::from_milliwatts(10_000_000) }
    }
}

/// The ranges of one meter, each from an instant on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Sorted by instant; the first holds from the beginning of time.
    from: Vec<(Ts, Range)>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits::constant(Range::default())
    }
}

impl Limits {
    /// One range for all time.
    #[must_use]
    pub fn constant(range: Range) -> Limits {
        Limits { from: vec![(Ts::MIN, range)] }
    }

    /// `before` until the first of `changes`, then each change from its instant on. Changes may
    /// come in any order; of two at one instant the later in the list holds.
    #[must_use]
    pub fn changing(before: Range, mut changes: Vec<(Ts, Range)>) -> Limits {
        changes.insert(0, (Ts::MIN, before));
        changes.sort_by_key(|(at, _)| *at);
        changes.reverse();
        changes.dedup_by_key(|(at, _)| *at);
        changes.reverse();
        Limits { from: changes }
    }

    /// The range that holds at `ts`.
    #[must_use]
    pub fn at(&self, ts: Ts) -> Range {
        let after = self.from.partition_point(|(at, _)| *at <= ts);
        self.from.get(after.saturating_sub(1)).map_or_else(Range::default, |(_, range)| *range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(max: i64) -> Range {
        Range { max: Power::from_milliwatts(max), ..Range::default() }
    }

    #[test]
    fn a_change_holds_from_its_instant_on_and_the_later_of_two_at_once_wins() {
        let at = |s: i64| Ts::from_micros(s);
        let limits =
            Limits::changing(range(1), vec![(at(20), range(3)), (at(10), range(2)), (at(20), range(4))]);
        for (ts, max) in [(0, 1), (9, 1), (10, 2), (19, 2), (20, 4), (99, 4)] {
            assert_eq!(limits.at(at(ts)), range(max), "at {ts}");
        }
    }

    #[test]
    fn a_constant_range_holds_at_all_times() {
        for at in [Ts::MIN, Ts::from_micros(0), Ts::MAX] {
            assert_eq!(Limits::constant(range(7)).at(at), range(7));
            assert_eq!(Limits::default().at(at), Range::default());
        }
    }
}
