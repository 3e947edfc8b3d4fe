//! Wall time to instants: what a clock in the feed's zone meant.
//!
//! Between two changes of a zone's clocks the offset is constant, so each such stretch is looked up
//! once; the hour that a change skips or repeats is looked up each time.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::{DAY, SECOND, Ts, civil_from_days};

/// Stretches held per chunk; a year has three.
const STRETCHES_MAX: usize = 32;

/// A local zone: not UTC, and none that never differs from it.
#[derive(Clone, Debug)]
pub(crate) struct Zone(TimeZone);

/// What a wall time stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Local {
    /// One instant, in microseconds.
    Once(i64),
    /// The clocks were put back: an earlier and a later instant.
    Twice(i64, i64),
    /// The clocks were put forward over it.
    Never,
}

/// A time without changes: wall times `from..to` lie `offset` after UTC. All in microseconds.
#[derive(Clone, Copy)]
struct Stretch {
    from: i64,
    to: i64,
    offset: i64,
}

/// The stretches that one chunk has met.
pub(crate) struct Stretches {
    last: Stretch,
    others: Vec<Stretch>,
}

impl Stretches {
    pub(crate) const fn new() -> Stretches {
        Stretches { last: Stretch { from: 0, to: 0, offset: 0 }, others: Vec::new() }
    }
}

impl Zone {
    /// The zone of this name in the compiled-in tables (`None` inside for one that is UTC for ever);
    /// nothing where there is no such zone.
    pub(crate) fn named(name: &str) -> Option<Option<Zone>> {
        let zone = TimeZone::get(name).ok()?;
        let never_changes = zone.preceding(Timestamp::MAX).next().is_none();
        let is_utc = never_changes && zone.to_offset(Timestamp::UNIX_EPOCH) == Offset::UTC;
        Some(if is_utc { None } else { Some(Zone(zone)) })
    }

    /// The instants of a wall time of the years 1 to 9999.
    #[inline]
    pub(crate) fn instants(&self, wall: i64, seen: &mut Stretches) -> Local {
        if (seen.last.from..seen.last.to).contains(&wall) {
            return Local::Once(wall - seen.last.offset);
        }
        self.look_up(wall, seen)
    }

    #[cold]
    fn look_up(&self, wall: i64, seen: &mut Stretches) -> Local {
        if let Some(stretch) = seen.others.iter().find(|stretch| (stretch.from..stretch.to).contains(&wall)) {
            seen.last = *stretch;
            return Local::Once(wall - stretch.offset);
        }
        match self.0.to_ambiguous_timestamp(civil(wall)).offset() {
            AmbiguousOffset::Unambiguous { offset } => {
                let instant = wall - micros(offset);
                if let Some(stretch) = self.stretch(instant, offset) {
                    if seen.others.len() == STRETCHES_MAX {
                        seen.others.clear();
                    }
                    seen.others.push(stretch);
                    seen.last = stretch;
                }
                Local::Once(instant)
            }
            AmbiguousOffset::Gap { .. } => Local::Never,
            AmbiguousOffset::Fold { before, after } => {
                Local::Twice(wall - micros(before), wall - micros(after))
            }
        }
    }

    /// The wall times around `instant` that stand for one instant each, up to the changes before and
    /// after it; none at the ends of jiff's time.
    fn stretch(&self, instant: i64, offset: Offset) -> Option<Stretch> {
        let at = Timestamp::from_microsecond(instant).ok()?;
        let tick = SignedDuration::from_nanos(1);
        let from = match self.0.preceding(at.checked_add(tick).ok()?).next() {
            Some(change) => {
                let before = self.0.to_offset(change.timestamp().checked_sub(tick).ok()?);
                change.timestamp().as_microsecond() + micros(before).max(micros(offset))
            }
            None => i64::MIN,
        };
        let to = match self.0.following(at).next() {
            Some(change) => change.timestamp().as_microsecond() + micros(change.offset()).min(micros(offset)),
            None => i64::MAX,
        };
        Some(Stretch { from, to, offset: micros(offset) })
    }

    /// What the clocks of the zone showed at an instant that [`Zone::instants`] gave.
    pub(crate) fn wall(&self, ts: Ts) -> i64 {
        let at = Timestamp::from_microsecond(ts.micros());
        ts.micros() + at.map_or(0, |at| micros(self.0.to_offset(at)))
    }
}

fn micros(offset: Offset) -> i64 {
    i64::from(offset.seconds()) * SECOND
}

/// A wall time for jiff, cut to the second: changes happen on whole seconds.
fn civil(wall: i64) -> DateTime {
    let (year, month, day) = civil_from_days(wall.div_euclid(DAY));
    let date = i16::try_from(year)
        .ok()
        .and_then(|year| Date::new(year, month.cast_signed(), day.cast_signed()).ok());
    let second = i32::try_from(wall.rem_euclid(DAY) / SECOND).unwrap_or(0);
    let part = |value: i32| i8::try_from(value).unwrap_or(0);
    let time = Time::new(part(second / 3_600), part(second / 60 % 60), part(second % 60), 0);
    date.unwrap_or(Date::MAX).to_datetime(time.unwrap_or(Time::MIN))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(zone: &str, wall: &str, expected: &[&str]) {
        let zone = Zone::named(zone).unwrap().unwrap();
        let utc = |text: &str| format!("{text}Z").parse::<Timestamp>().unwrap().as_microsecond();
        let expected = match expected {
            [] => Local::Never,
            [at] => Local::Once(utc(at)),
            [first, second] => Local::Twice(utc(first), utc(second)),
            _ => panic!("at most two"),
        };
        let mut seen = Stretches::new();
        for _ in 0..2 {
            assert_eq!(zone.instants(utc(wall), &mut seen), expected, "{wall}");
        }
    }

    #[test]
    fn both_sides_of_each_change() {
        for (zone, wall, expected) in [
            ("Europe/London", "2025-10-26T00:59:59.999999", &["2025-10-25T23:59:59.999999"][..]),
            ("Europe/London", "2025-10-26T01:00:00", &["2025-10-26T00:00:00", "2025-10-26T01:00:00"]),
            (
                "Europe/London",
                "2025-10-26T01:59:59.999999",
                &["2025-10-26T00:59:59.999999", "2025-10-26T01:59:59.999999"],
            ),
            ("Europe/London", "2025-10-26T02:00:00", &["2025-10-26T02:00:00"]),
            ("Europe/London", "2026-03-29T00:59:59.999999", &["2026-03-29T00:59:59.999999"]),
            ("Europe/London", "2026-03-29T01:00:00", &[]),
            ("Europe/London", "2026-03-29T01:59:59.999999", &[]),
            ("Europe/London", "2026-03-29T02:00:00", &["2026-03-29T01:00:00"]),
            ("Australia/Lord_Howe", "2025-04-06T01:45:00", &["2025-04-05T14:45:00", "2025-04-05T15:15:00"]),
            ("Australia/Lord_Howe", "2025-10-05T02:15:00", &[]),
            ("Asia/Kolkata", "2026-03-02T05:30:00", &["2026-03-02T00:00:00"]),
            ("Etc/GMT-10", "2026-03-02T10:00:00", &["2026-03-02T00:00:00"]),
            ("Pacific/Apia", "2011-12-30T12:00:00", &[]),
        ] {
            check(zone, wall, expected);
        }
    }

    #[test]
    fn utc_by_any_name_is_no_local_zone_and_unknown_names_are_none() {
        for name in ["UTC", "Etc/UTC", "Etc/GMT", "Zulu"] {
            assert!(Zone::named(name).unwrap().is_none(), "{name}");
        }
        for name in ["Europe/London", "Africa/Abidjan", "Etc/GMT-10"] {
            assert!(Zone::named(name).unwrap().is_some(), "{name}");
        }
        assert!(Zone::named("Europe/Nowhere").is_none());
    }

    proptest! {
        #[test]
        fn what_was_seen_before_changes_nothing(
            name in prop::sample::select(vec![
                "Europe/London", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia",
            ]),
            hours in prop::collection::vec(-700_000..1_200_000_i64, 1..40),
            day: bool,
        ) {
            let zone = Zone::named(name).unwrap().unwrap();
            let mut seen = Stretches::new();
            for hour in hours {
                // a quarter of an hour is finer than any change here; some walls close to one another
                let wall = if day { hour % 20_000 * 900 * SECOND } else { hour * 3_600 * SECOND };
                prop_assert_eq!(zone.instants(wall, &mut seen), zone.instants(wall, &mut Stretches::new()));
                if let Local::Once(at) = zone.instants(wall, &mut seen) {
                    prop_assert_eq!(zone.wall(Ts::from_micros(at)), wall);
                }
            }
        }
    }
}
