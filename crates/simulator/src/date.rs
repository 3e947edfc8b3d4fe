//! The calendar day on which a simulation begins.

use std::fmt;
use std::str::FromStr;

use greenstream_core::{civil_from_days, days_from_civil};

/// A day of the years 2000 to 2099, in UTC.
///
/// The bounds keep every timestamp, also those of skewed clocks, within four-digit years and
/// ten-digit epoch seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Date {
    days: i64,
}

impl Date {
    /// Monday, 2 March 2026: where simulations begin unless told otherwise.
    pub const DEFAULT: Date = Date { days: days_from_civil(2026, 3, 2) };

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn days(self) -> i64 {
        self.days
    }
}

/// `2026-03-02`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.days);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// From `2026-03-02`; the error says what is wrong with the text.
impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Date, String> {
        let bad = || format!("`{text}` is no date of the years 2000 to 2099, such as 2026-03-02");
        let digits = |part: Option<&str>| part.and_then(|p| p.parse::<u8>().ok());
        let (year, rest) = text.split_once('-').ok_or_else(bad)?;
        let (month, day) = rest.split_once('-').ok_or_else(bad)?;
        let year: i64 = year.parse().map_err(|_| bad())?;
        let (month, day) = (digits(Some(month)).ok_or_else(bad)?, digits(Some(day)).ok_or_else(bad)?);
        if !(2000..=2099).contains(&year) || !(1..=12).contains(&month) {
            return Err(bad());
        }
        let date = Date { days: days_from_civil(year, month, day) };
        // Only a real date in its one spelling comes back as it was.
        if date.to_string() == text { Ok(date) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_dates_are_read_and_others_refused() {
        for text in ["2026-03-02", "2000-01-01", "2099-12-31", "2028-02-29"] {
            assert_eq!(text.parse::<Date>().unwrap().to_string(), text);
        }
        for text in ["", "2026-02-29", "2026-13-01", "1999-12-31", "2100-01-01", "26-03-02", "2026-3-2", "x"]
        {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
        assert_eq!(Date::DEFAULT.to_string(), "2026-03-02");
    }
}
