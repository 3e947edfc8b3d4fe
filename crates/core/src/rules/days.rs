//! Rule 4, zero days: more than three running days at zero confirm a near-zero fault.

use crate::Reading;

/// What is known of a meter's day (of the reporting zone). The discriminant reaches disk and may
/// only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum DayState {
    /// Readings, but no measured one: skipped by rule 4.
    Unmeasured = 0,
    /// All measured readings are 0.
    Zero = 1,
    /// A measured reading other than 0.
    Live = 2,
    /// No reading any more: its rows were discarded. Such a day is as one that never was.
    Empty = 3,
}

impl DayState {
    /// The state with this number on disk.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<DayState> {
        match code {
            0 => Some(DayState::Unmeasured),
            1 => Some(DayState::Zero),
            2 => Some(DayState::Live),
            3 => Some(DayState::Empty),
            _ => None,
        }
    }
}

/// Zero days up to which a fault is only suspected.
const ZERO_DAYS_MAX: u32 = 3;

/// The state of a day whose readings, judged, are `day`; none where it has none.
#[must_use]
pub fn day_state(day: &[Reading]) -> Option<DayState> {
    let mut state = DayState::Unmeasured;
    for reading in day.iter().filter(|reading| reading.is_measured()) {
        match reading.kw.map(|kw| kw.milliwatts()) {
            Some(0) => state = DayState::Zero,
            _ => return Some(DayState::Live),
        }
    }
    (!day.is_empty()).then_some(state)
}

/// Whether more than three running zero days confirm the fault of a span, given the days (of the
/// reporting zone) of its first and last instant.
///
/// `days` are states of the meter's days in ascending order; days without readings may be left
/// out. It must hold every day of the span that has readings, and the days before it back to a
/// `Live` one, to the third `Zero` one or to the beginning, whichever comes first (`Unmeasured` ones
/// do not count); more than that does no harm.
///
/// Zero days that run on lie in one near-zero run, since a measured reading of 0.01 kW or more makes
/// its day `Live`; the fourth of them is more than 24 h into the run and so flagged. So a streak
/// that confirms the span has a zero day within the span's days, and one that has belongs to it.
#[must_use]
pub fn confirmed(span: (i32, i32), days: &[(i32, DayState)]) -> bool {
    let mut streak = 0;
    let mut within = false;
    for (day, state) in days {
        match state {
            DayState::Unmeasured | DayState::Empty => {}
            DayState::Live => (streak, within) = (0, false),
            DayState::Zero => {
                streak += 1;
                within |= (span.0..=span.1).contains(day);
                if within && streak > ZERO_DAYS_MAX {
                    return true;
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flag, Flags, Power, Standing, Ts};
    use DayState::{Empty, Live, Unmeasured, Zero};

    #[test]
    fn codes_on_disk_are_pinned() {
        for (code, state) in
            [(0, Some(Unmeasured)), (1, Some(Zero)), (2, Some(Live)), (3, Some(Empty)), (4, None)]
        {
            assert_eq!(DayState::from_code(code), state);
            assert!(state.is_none_or(|state| state as u8 == code));
        }
    }

    fn reading(mw: Option<i64>, standing: Standing) -> Reading {
        let flags = Flags::NONE.set(Flag::MissingValue, mw.is_none());
        let kw = mw.map(Power::from_milliwatts);
        Reading { ts: Ts::from_micros(0), kw, upload: 1, row_number: 1, flags, standing }
    }

    #[test]
    fn a_day_is_zero_when_all_that_is_measured_is_exactly_zero() {
        let (zero, milliwatt) = (reading(Some(0), Standing::Accepted), reading(Some(1), Standing::Accepted));
        let (negative, missing) = (reading(Some(-1), Standing::Negative), reading(None, Standing::Accepted));
        let outlier = reading(Some(5_000_000), Standing::Outlier);
        let filled = Reading { kw: Some(Power::ZERO), ..missing };
        for (name, day, state) in [
            ("a day without readings has no state", vec![], None),
            ("zeros", vec![zero, zero], Some(Zero)),
            ("a milliwatt is not zero", vec![zero, milliwatt], Some(Live)),
            ("a rejected value says nothing", vec![zero, negative], Some(Zero)),
            ("an outlier is measured", vec![zero, outlier], Some(Live)),
            ("a missing value says nothing", vec![missing, zero], Some(Zero)),
            ("a filled value is no measurement", vec![missing, filled, negative], Some(Unmeasured)),
        ] {
            assert_eq!(day_state(&day), state, "{name}");
        }
    }

    #[test]
    fn four_running_zero_days_confirm_and_three_do_not() {
        let span = (10, 12);
        for (name, days, expected) in [
            ("no days", vec![], false),
            ("three", vec![(10, Zero), (11, Zero), (12, Zero)], false),
            ("four, the first before the span", vec![(9, Zero), (10, Zero), (11, Zero), (12, Zero)], true),
            ("four with a silent day between", vec![(8, Zero), (10, Zero), (11, Zero), (12, Zero)], true),
            (
                "four with an unmeasured day between",
                vec![(8, Zero), (9, Zero), (10, Unmeasured), (11, Zero), (12, Zero)],
                true,
            ),
            ("a live day between", vec![(8, Zero), (9, Zero), (10, Live), (11, Zero), (12, Zero)], false),
            (
                "four of another run before",
                vec![(5, Zero), (6, Zero), (7, Zero), (8, Zero), (9, Live), (10, Zero)],
                false,
            ),
            (
                "four of another run after",
                vec![(12, Zero), (13, Live), (14, Zero), (15, Zero), (16, Zero), (17, Zero)],
                false,
            ),
        ] {
            assert_eq!(confirmed(span, &days), expected, "{name}");
        }
    }
}
