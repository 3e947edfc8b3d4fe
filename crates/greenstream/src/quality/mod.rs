//! Completeness: what each meter's day should hold and what it does, counted at read time from the
//! readings as they stand. `docs/quality.md` is the reference, `greenstream_core::quality` the rule.
//!
//! Nothing is kept between questions: a day of all meters reads the hours of that day, a meter seeks
//! its own readings, and what they are to be measured by comes from a few seeks a meter.

mod day;
mod landings;
mod learn;
mod silence;
mod survey;

pub use greenstream_core::quality::Counts;
pub use silence::{Silence, silence};
pub use survey::Survey;

use greenstream_core::Ts;

use crate::change::Meter;
use crate::config::{Rulebook, Rules};
use crate::store::{Reader, StoreError};

/// One day of one meter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MeterDay {
    /// Whose.
    pub meter: Meter,
    /// Which day of the reporting zone, in days since 1970-01-01.
    pub day: i32,
    /// The feed of its last reading by then: an index into [`Survey::feed`].
    pub feed: u16,
    /// The expected interval in microseconds; none where nothing says it.
    pub interval: Option<i64>,
    /// What it should hold, and what it does.
    pub counts: Counts,
}

/// The rules in force when the store was last opened for writing.
fn rules(reader: &Reader) -> Result<Rules, StoreError> {
    let broken = |error: &dyn std::fmt::Display| StoreError::Rulebook { problem: error.to_string() };
    let rulebook = match reader.rulebook()? {
        Some(content) => serde_json::from_str(&content).map_err(|error| broken(&error))?,
        None => Rulebook::default(),
    };
    rulebook.compile().map_err(|error| broken(&error))
}

/// How many of a feed's meters speak for it: one in a hundred, at least one. Fewer, and a clock that is
/// years ahead makes all other meters incomplete and silent.
fn share(meters: usize) -> usize {
    meters.div_ceil(100).max(1)
}

/// The newest instant that enough meters have reached. `newest` is sorted here.
fn reached(newest: &mut [Ts]) -> Option<Ts> {
    newest.sort_unstable_by(|a, b| b.cmp(a));
    newest.get(share(newest.len()) - 1).copied()
}

/// The expected interval that the registry names for a meter at an instant.
fn registered(rules: &Rules, meter: &str, at: Ts) -> Option<i64> {
    rules.meters.get(meter)?.facts_at(at)?.interval
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_hundred_says_how_far_a_feed_has_come() {
        for (name, count, ahead, expected) in [
            ("no meter", 0, 0, None),
            ("a few meters go by the newest", 99, 1, Some(9)),
            ("a hundred too", 100, 1, Some(9)),
            ("of more, one far ahead does not count", 101, 1, Some(5)),
            ("two do", 101, 2, Some(9)),
        ] {
            let mut newest: Vec<Ts> =
                (0..count).map(|n| Ts::from_micros(if n < ahead { 9 } else { 5 })).collect();
            assert_eq!(reached(&mut newest).map(Ts::micros), expected, "{name}");
        }
    }
}
