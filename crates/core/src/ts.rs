//! Instants in UTC, to the microsecond.

use std::fmt;

/// An instant: microseconds since 1970-01-01T00:00:00Z. The start of a reading's interval.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ts(i64);

/// One second in microseconds.
pub const SECOND: i64 = 1_000_000;
/// One hour in microseconds.
pub const HOUR: i64 = 3_600 * SECOND;
/// Twenty-four hours in microseconds.
pub const DAY: i64 = 24 * HOUR;

impl Ts {
    /// Before every instant a feed can carry.
    pub const MIN: Ts = Ts(i64::MIN);
    /// After every instant a feed can carry.
    pub const MAX: Ts = Ts(i64::MAX);

    /// The instant `micros` microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Ts {
        Ts(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole hours since the epoch, rounded down: the hour that holds this instant.
    #[must_use]
    pub const fn hour(self) -> i64 {
        self.0.div_euclid(HOUR)
    }

    /// Whole UTC days since the epoch, rounded down.
    #[must_use]
    pub const fn day(self) -> i64 {
        self.0.div_euclid(DAY)
    }

    /// This instant moved by `micros`, held at the ends of time.
    #[must_use]
    pub const fn plus(self, micros: i64) -> Ts {
        Ts(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this instant, held at the ends of time.
    #[must_use]
    pub const fn since(self, earlier: Ts) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Year, month and day of the proleptic Gregorian calendar, in UTC.
    #[must_use]
    pub const fn date(self) -> (i64, u8, u8) {
        civil_from_days(self.day())
    }
}

/// Days since 1970-01-01 to (year, month, day), after Howard Hinnant's `civil_from_days`.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1..=12 and 1..=31")]
pub const fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u8;
    let month = (if mp < 10 { mp + 3 } else { mp - 9 }) as u8;
    (yoe + era * 400 + (month <= 2) as i64, month, day)
}

/// (year, month, day) to days since 1970-01-01; the inverse of [`civil_from_days`] for real dates.
#[must_use]
pub const fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let y = year - (month <= 2) as i64;
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = (month as i64 + 9) % 12;
    let doy = (153 * mp + 2) / 5 + day as i64 - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// `2026-03-02T00:15:00Z`, with six digits of fraction where there is one.
impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let second = self.0.rem_euclid(DAY) / SECOND;
        let micro = self.0.rem_euclid(SECOND);
        let (h, m, s) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}")?;
        if micro != 0 {
            write!(f, ".{micro:06}")?;
        }
        f.write_str("Z")
    }
}

impl fmt::Debug for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_the_contract_says() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_772_410_500_000_000, "2026-03-02T00:15:00Z"),
            (1_772_410_500_250_000, "2026-03-02T00:15:00.250000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00Z"),
        ] {
            assert_eq!(Ts::from_micros(micros).to_string(), text);
        }
    }

    #[test]
    fn dates_and_day_numbers_are_inverse_over_ten_thousand_years() {
        for days in (days_from_civil(1, 1, 1)..=days_from_civil(9999, 12, 31)).step_by(13) {
            let (y, m, d) = civil_from_days(days);
            assert_eq!(days_from_civil(y, m, d), days);
        }
    }
}
