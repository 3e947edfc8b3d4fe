//! Timestamps in forms of a sender's own: a pattern such as `%d/%m/%Y %H:%M`, compiled once.

use super::time::Stamp;
use crate::{DAY, SECOND, days_from_civil};

/// English names, by their first three letters.
const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// A compiled pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Format {
    parts: Vec<Part>,
    /// The year of all dates, where the pattern has none.
    year: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Literal(u8),
    Year,
    ShortYear,
    Month,
    MonthName,
    Day,
    Week,
    Hour,
    HalfDayHour,
    HalfDay,
    Minute,
    Second,
    Offset,
    Rest,
}

/// What a text says, part by part.
#[derive(Default)]
struct Said {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    week: Option<i64>,
    hour: i64,
    half_day_hour: Option<i64>,
    afternoon: bool,
    minute: i64,
    second: i64,
    micros: i64,
    offset: Option<i64>,
}

impl Format {
    /// Compiles a pattern; `year` is the year of its dates where it has none.
    ///
    /// # Errors
    /// Says what is wrong with the pattern.
    pub(crate) fn compile(pattern: &str, year: Option<i64>) -> Result<Format, &'static str> {
        let mut parts = Vec::new();
        let mut bytes = pattern.bytes();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                parts.push(Part::Literal(byte));
                continue;
            }
            parts.push(match bytes.next() {
                Some(b'Y') => Part::Year,
                Some(b'y') => Part::ShortYear,
                Some(b'm') => Part::Month,
                Some(b'b') => Part::MonthName,
                Some(b'd') => Part::Day,
                Some(b'V') => Part::Week,
                Some(b'H') => Part::Hour,
                Some(b'I') => Part::HalfDayHour,
                Some(b'p') => Part::HalfDay,
                Some(b'M') => Part::Minute,
                Some(b'S') => Part::Second,
                Some(b'z') => Part::Offset,
                Some(b'%') => Part::Literal(b'%'),
                Some(b'*') => Part::Rest,
                _ => return Err("`time_format` knows %Y %y %m %b %d %V %H %I %p %M %S %z %* and %%"),
            });
        }
        let has = |part| parts.contains(&part);
        let has_year = has(Part::Year) || has(Part::ShortYear);
        if year.is_some_and(|year| !(1..=9_999).contains(&year)) {
            return Err("`year` is 1 to 9999");
        }
        if has_year == year.is_some() {
            return Err("the year must come from `time_format` or from `year`, from one of them");
        }
        let has_day = (has(Part::Month) || has(Part::MonthName)) && has(Part::Day);
        if has_day == has(Part::Week) {
            return Err("`time_format` needs a month and a day, or a week");
        }
        if has(Part::HalfDayHour) != has(Part::HalfDay) {
            return Err("`time_format` needs %I and %p together");
        }
        Ok(Format { parts, year: year.unwrap_or(0) })
    }

    /// Reads a text (trimmed); none where it does not fit the pattern or names no moment.
    pub(crate) fn parse(&self, text: &[u8]) -> Option<Stamp> {
        let mut said = Said::default();
        let mut rest = text;
        for part in &self.parts {
            rest = said.take(*part, rest)?;
        }
        if rest.is_empty() { said.stamp(self.year) } else { None }
    }
}

impl Said {
    /// Takes one part from the front of a text.
    fn take<'t>(&mut self, part: Part, text: &'t [u8]) -> Option<&'t [u8]> {
        let (value, rest) = match part {
            Part::Literal(byte) => return text.strip_prefix(&[byte]),
            Part::Rest => return Some(&[]),
            Part::MonthName => {
                let (name, rest) = text.split_first_chunk::<3>()?;
                let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
                self.month = Some(at as i64 + 1);
                return Some(rest);
            }
            Part::HalfDay => {
                let (half, rest) = text.split_first_chunk::<2>()?;
                self.afternoon = half.eq_ignore_ascii_case(b"pm");
                return (self.afternoon || half.eq_ignore_ascii_case(b"am")).then_some(rest);
            }
            Part::Offset => {
                let (offset, rest) = offset(text)?;
                self.offset = Some(offset);
                return Some(rest);
            }
            Part::Year => number(text, 4, 4)?,
            Part::ShortYear => number(text, 2, 2)?,
            _ => number(text, 1, 2)?,
        };
        match part {
            Part::Year => self.year = Some(value),
            Part::ShortYear => self.year = Some(2_000 + value),
            Part::Month => self.month = Some(value),
            Part::Day => self.day = Some(value),
            Part::Week => self.week = Some(value),
            Part::Hour => self.hour = value,
            Part::HalfDayHour => self.half_day_hour = Some(value),
            Part::Minute => self.minute = value,
            Part::Second => {
                self.second = value;
                return self.fraction(rest);
            }
            _ => {}
        }
        Some(rest)
    }

    /// A fraction after the seconds, cut at microseconds.
    fn fraction<'t>(&mut self, text: &'t [u8]) -> Option<&'t [u8]> {
        let Some(digits) = text.strip_prefix(b".") else { return Some(text) };
        let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = digits.split_at(len);
        let six = digits.iter().chain(std::iter::repeat(&b'0')).take(6);
        self.micros = six.fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
        (len > 0).then_some(rest)
    }

    fn stamp(&self, year: i64) -> Option<Stamp> {
        let year = self.year.unwrap_or(year);
        let day = match self.week {
            Some(week) => monday(year, week)?,
            None => date(year, self.month?, self.day?)?,
        };
        let hour = match self.half_day_hour {
            Some(hour @ 1..=12) => hour % 12 + if self.afternoon { 12 } else { 0 },
            Some(_) => return None,
            None => self.hour,
        };
        // 24:00 ends a day, as labels of interval ends do
        let ends_day = hour == 24 && self.minute == 0 && self.second == 0 && self.micros == 0;
        if (hour > 23 && !ends_day) || self.minute > 59 || self.second > 59 {
            return None;
        }
        let wall = day * DAY + ((hour * 60 + self.minute) * 60 + self.second) * SECOND + self.micros;
        Some(match self.offset {
            Some(offset) => Stamp::Instant { micros: wall - offset * SECOND, shifted: offset != 0 },
            None => Stamp::Wall(wall),
        })
    }
}

/// A number of so many digits, and what follows it.
fn number(text: &[u8], min: usize, max: usize) -> Option<(i64, &[u8])> {
    let len = text.iter().take(max).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(len);
    (len >= min).then(|| (digits.iter().fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0')), rest))
}

/// `Z`, `±hh`, `±hhmm` or `±hh:mm` in seconds, and what follows it.
fn offset(text: &[u8]) -> Option<(i64, &[u8])> {
    let (sign, rest) = match text {
        [b'Z', rest @ ..] => return Some((0, rest)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = number(rest, 2, 2)?;
    let after = rest.strip_prefix(b":").unwrap_or(rest);
    let (minutes, rest) = match number(after, 2, 2) {
        Some(found) => found,
        None if after.len() == rest.len() => (0, rest),
        None => return None,
    };
    (hours < 24 && minutes < 60).then_some((sign * (hours * 60 + minutes) * 60, rest))
}

/// The day of a date that exists, in days since 1970-01-01.
fn date(year: i64, month: i64, day: i64) -> Option<i64> {
    let month = u8::try_from(month).ok().filter(|month| (1..=12).contains(month))?;
    let number = u8::try_from(day).ok()?;
    let days = days_from_civil(year, month, number);
    let same = crate::civil_from_days(days);
    (year > 0 && (i64::from(same.1), i64::from(same.2)) == (i64::from(month), day)).then_some(days)
}

/// The Monday of an ISO week, in days since 1970-01-01.
fn monday(year: i64, week: i64) -> Option<i64> {
    // the week with 4 January is the first; 1970-01-01 was a Thursday
    let first = |year: i64| {
        let fourth = days_from_civil(year, 1, 4);
        fourth - (fourth + 3).rem_euclid(7)
    };
    let monday = first(year) + (week - 1) * 7;
    (week > 0 && monday < first(year + 1)).then_some(monday)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: Option<&str>) {
        let year = (!pattern.contains("%Y") && !pattern.contains("%y")).then_some(2018);
        let stamp = Format::compile(pattern, year).unwrap().parse(text.as_bytes());
        let utc = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let expected = expected.map(|expected| match expected.strip_suffix(" wall") {
            Some(wall) => Stamp::Wall(utc(&format!("{wall}Z"))),
            None => Stamp::Instant { micros: utc(expected), shifted: true },
        });
        assert_eq!(stamp, expected, "{text} by {pattern}");
    }

    #[test]
    fn a_text_that_fits_its_pattern_is_a_wall_time_or_an_instant() {
        for (pattern, text, expected) in [
            ("%d/%m/%Y %H:%M:%S", "16/12/2006 17:24:00", "2006-12-16T17:24:00 wall"),
            ("%d/%m/%Y %H:%M:%S", "6/2/2006 7:04:00.25", "2006-02-06T07:04:00.25 wall"),
            ("%m/%d/%Y %H:%M", "10/12/2022 00:00", "2022-10-12T00:00:00 wall"),
            ("%Y%m%d%H%M", "202603291530", "2026-03-29T15:30:00 wall"),
            ("%Y%m%d%H%M", "202603292400", "2026-03-30T00:00:00 wall"),
            ("%d-%b-%y %I:%M %p", "02-Mar-26 12:15 AM", "2026-03-02T00:15:00 wall"),
            ("%d-%b-%y %I:%M %p", "02-MAR-26 1:15 pm", "2026-03-02T13:15:00 wall"),
            ("%d.%m.%Y", "29.02.2024", "2024-02-29T00:00:00 wall"),
            ("w%V", "w47", "2018-11-19T00:00:00 wall"),
            ("%V/%Y", "1/2021", "2021-01-04T00:00:00 wall"),
            ("%V/%Y", "53/2020", "2020-12-28T00:00:00 wall"),
            ("%Y/%m/%d %H:%M %z", "2026/03/02 00:15 +0100", "2026-03-01T23:15:00Z"),
            ("%Y/%m/%d %H:%M%z", "2026/03/02 00:15-05:30", "2026-03-02T05:45:00Z"),
            ("%Y/%m/%d %H:%M %z", "2026/03/02 00:15 +01", "2026-03-01T23:15:00Z"),
            ("%z %Y/%m/%d %H:%M", "-11 2026/03/02 00:15", "2026-03-02T11:15:00Z"),
        ] {
            check(pattern, text, Some(expected));
        }
    }

    #[test]
    fn everything_else_is_no_timestamp() {
        for (pattern, text) in [
            ("%d/%m/%Y", "16/13/2006"),
            ("%d/%m/%Y", "30/02/2024"),
            ("%d/%m/%Y", "29/02/2023"),
            ("%d/%m/%Y", "0/1/2023"),
            ("%d/%m/%Y", "1/1/0000"),
            ("%d/%m/%Y", "1/1/23"),
            ("%d/%m/%Y", "1/1/2023 "),
            ("%d/%m/%Y", "1-1-2023"),
            ("%d/%m/%Y", ""),
            ("%d/%m/%Y %H:%M", "1/1/2023 24:01"),
            ("%d/%m/%Y %H:%M", "1/1/2023 25:00"),
            ("%d/%m/%Y %H:%M", "1/1/2023 10:60"),
            ("%d/%m/%Y %H:%M:%S", "1/1/2023 10:00:60"),
            ("%d/%m/%Y %H:%M:%S", "1/1/2023 10:00:00."),
            ("%d/%m/%Y %I:%M %p", "1/1/2023 13:00 pm"),
            ("%d/%m/%Y %I:%M %p", "1/1/2023 0:00 am"),
            ("%d/%m/%Y %I:%M %p", "1/1/2023 1:00 xm"),
            ("%d-%b-%Y", "1-Mai-2023"),
            ("%d/%m/%Y %z", "1/1/2023 +24:00"),
            ("%d/%m/%Y %z", "1/1/2023 +01:"),
            ("%d/%m/%Y %z", "1/1/2023 +1"),
            ("%d/%m/%Y %z", "1/1/2023 +01:60"),
            ("%d/%m/%Y %z", "1/1/2023 01"),
            ("w%V", "w0"),
            ("w%V", "w53"),
        ] {
            check(pattern, text, None);
        }
    }

    #[test]
    fn a_pattern_that_names_no_moment_is_refused() {
        for (pattern, year) in [
            ("%d/%m", None),
            ("%d/%m/%Y", Some(2018)),
            ("%H:%M", Some(2018)),
            ("%Y %V %m %d", None),
            ("%d/%m/%Y %I:%M", None),
            ("%d/%m/%Y %H:%M %p", None),
            ("%d/%m", Some(0)),
            ("%d/%m", Some(10_000)),
            ("w%V", Some(i64::MAX)),
            ("%d/%m/%Q", None),
            ("%", None),
        ] {
            assert!(Format::compile(pattern, year).is_err(), "{pattern}");
        }
    }
}
