//! Timestamps as feeds write them: ISO 8601 to the microsecond, or epoch seconds or milliseconds.

use crate::{DAY, SECOND, days_from_civil};

/// 0001-01-01T00:00:00Z in microseconds: no instant and no wall time lies before it.
pub(crate) const FIRST: i64 = days_from_civil(1, 1, 1) * DAY;
/// The last microsecond of the year 9999.
pub(crate) const LAST: i64 = days_from_civil(10_000, 1, 1) * DAY - 1;

/// What a timestamp says by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stamp {
    /// An instant in microseconds since the epoch, and whether it came with an offset other than zero.
    Instant {
        /// Microseconds since the epoch.
        micros: i64,
        /// Whether the offset is not zero.
        shifted: bool,
    },
    /// The clock on a wall somewhere, as if it hung in UTC.
    Wall(i64),
}

/// The date of the row before: rows of one upload share few dates.
#[derive(Clone, Copy, Default)]
pub(crate) struct DateMemo {
    text: [u8; 10],
    micros: i64,
}

impl DateMemo {
    /// Reads a timestamp (trimmed); none where it has no form that the specification names.
    #[inline]
    pub(crate) fn parse(&mut self, text: &[u8]) -> Option<Stamp> {
        if let [_, _, _, _, b'-', ..] = text
            && let Some((date, [b'T' | b' ', clock @ ..])) = text.split_first_chunk::<10>()
        {
            if *date != self.text {
                *self = DateMemo { text: *date, micros: date_micros(date)? };
            }
            let (clock, rest) = clock_micros(clock)?;
            return with_offset(self.micros + clock, rest);
        }
        epoch(text)
    }
}

/// Ten digits are seconds, thirteen are milliseconds.
fn epoch(text: &[u8]) -> Option<Stamp> {
    let unit = match text.len() {
        10 => SECOND,
        13 => SECOND / 1_000,
        _ => return None,
    };
    let mut number = 0;
    for byte in text {
        number = number * 10 + digit(*byte)?;
    }
    Some(Stamp::Instant { micros: number * unit, shifted: false })
}

/// `YYYY-MM-DD` of a day that exists, as midnight.
pub(crate) fn date_micros(text: &[u8; 10]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let (month, day) = (two(m1, m2)?, two(d1, d2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if year == 0 || day == 0 || day > days {
        return None;
    }
    let (month, day) = (u8::try_from(month).ok()?, u8::try_from(day).ok()?);
    Some(days_from_civil(year, month, day) * DAY)
}

/// `hh:mm[:ss[.fraction]]`, and what follows it.
#[inline]
fn clock_micros(text: &[u8]) -> Option<(i64, &[u8])> {
    if let Some((clock, rest)) = text.split_first_chunk::<8>()
        && let Some(seconds) = seconds_of(*clock)
    {
        let [b'.', fraction @ ..] = rest else { return Some((seconds * SECOND, rest)) };
        let (micros, rest) = fraction_micros(fraction)?;
        return Some((seconds * SECOND + micros, rest));
    }
    let ([h1, h2, b':', m1, m2], rest) = text.split_first_chunk()? else { return None };
    let (hour, minute) = (two(*h1, *h2)?, two(*m1, *m2)?);
    if hour > 23 || minute > 59 || rest.first() == Some(&b':') {
        return None;
    }
    Some(((hour * 60 + minute) * 60 * SECOND, rest))
}

/// `hh:mm:ss` as seconds, all eight bytes judged at once.
#[inline]
fn seconds_of(text: [u8; 8]) -> Option<i64> {
    // digits become 0..=9 and colons 0; then whatever is above sets its byte's high bit
    let x = u64::from_be_bytes(text) ^ u64::from_be_bytes(*b"00:00:00");
    let above = (x & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7f76_767f_7676;
    if (above | x) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let [h1, h2, _, m1, m2, _, s1, s2] = x.to_be_bytes().map(i64::from);
    let (hour, minute, second) = (h1 * 10 + h2, m1 * 10 + m2, s1 * 10 + s2);
    if hour > 23 || minute > 59 || second > 59 { None } else { Some((hour * 60 + minute) * 60 + second) }
}

/// One digit or more after the point, cut at microseconds, and what follows them.
fn fraction_micros(text: &[u8]) -> Option<(i64, &[u8])> {
    let len = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(len);
    if digits.is_empty() {
        return None;
    }
    let digits = digits.iter().chain(std::iter::repeat(&b'0')).take(6);
    Some((digits.fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0')), rest))
}

/// Nothing, `Z`, `±hh`, `±hhmm` or `±hh:mm`.
#[inline]
pub(crate) fn with_offset(wall: i64, text: &[u8]) -> Option<Stamp> {
    let (sign, h1, h2, m1, m2) = match *text {
        [] => return Some(Stamp::Wall(wall)),
        [b'Z'] => return Some(Stamp::Instant { micros: wall, shifted: false }),
        [sign, h1, h2] => (sign, h1, h2, b'0', b'0'),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, h1, h2, m1, m2),
        _ => return None,
    };
    let (hour, minute) = (two(h1, h2)?, two(m1, m2)?);
    if hour > 23 || minute > 59 {
        return None;
    }
    let offset = (hour * 60 + minute) * 60 * SECOND;
    let micros = match sign {
        b'+' => wall - offset,
        b'-' => wall + offset,
        _ => return None,
    };
    (FIRST..=LAST).contains(&micros).then_some(Stamp::Instant { micros, shifted: offset != 0 })
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    Some(digit(tens)? * 10 + digit(ones)?)
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Option<Stamp> {
        DateMemo::default().parse(text.as_bytes())
    }

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, bool)>) {
        let expected = expected.map(|(utc, shifted)| {
            let micros = utc.parse::<jiff::Timestamp>().unwrap().as_microsecond();
            Stamp::Instant { micros, shifted }
        });
        assert_eq!(parse(text), expected, "{text}");
    }

    #[test]
    fn instants_with_an_offset_or_an_epoch() {
        for (text, utc, shifted) in [
            ("2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z", false),
            ("2026-03-02 00:00:00Z", "2026-03-02T00:00:00Z", false),
            ("2026-03-02T00:00Z", "2026-03-02T00:00:00Z", false),
            ("2026-03-02T23:59:59Z", "2026-03-02T23:59:59Z", false),
            ("2026-03-02T23:59Z", "2026-03-02T23:59:00Z", false),
            ("2026-03-02T01:15:00+01:00", "2026-03-02T00:15:00Z", true),
            ("2026-03-02T01:15:00+0100", "2026-03-02T00:15:00Z", true),
            ("2026-03-02T01:15:00+01", "2026-03-02T00:15:00Z", true),
            ("2026-03-02T01:15+01", "2026-03-02T00:15:00Z", true),
            ("2026-03-01T19:00:00-05:30", "2026-03-02T00:30:00Z", true),
            ("2026-03-02T00:45:00+00:00", "2026-03-02T00:45:00Z", false),
            ("2026-03-02T00:45:00-00", "2026-03-02T00:45:00Z", false),
            ("2026-03-02T23:59:00+23:59", "2026-03-02T00:00:00Z", true),
            ("2026-03-02T01:15:00.250Z", "2026-03-02T01:15:00.25Z", false),
            ("2026-03-02T05:30:00.1234567Z", "2026-03-02T05:30:00.123456Z", false),
            ("2026-03-02T05:30:00.9999999+01:00", "2026-03-02T04:30:00.999999Z", true),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z", false),
            ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z", false),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", false),
            ("0001-01-01T01:00:00+01:00", "0001-01-01T00:00:00Z", true),
            ("1772415000", "2026-03-02T01:30:00Z", false),
            ("1772415900000", "2026-03-02T01:45:00Z", false),
            ("1772415900001", "2026-03-02T01:45:00.001Z", false),
            ("0000000000", "1970-01-01T00:00:00Z", false),
        ] {
            check(text, Some((utc, shifted)));
        }
        // beyond the last instant of jiff
        for (text, shifted) in
            [("9999-12-31T23:59:59.999999Z", false), ("9999-12-31T22:59:59.999999-01:00", true)]
        {
            assert_eq!(parse(text), Some(Stamp::Instant { micros: LAST, shifted }), "{text}");
        }
    }

    #[test]
    fn everything_else_is_no_timestamp() {
        for text in [
            "",
            "yesterday",
            "2026-03-02",
            "2026-03-02T00",
            "2026-03-02T00:00:",
            "2026-03-02T00:00:0Z",
            "2026-03-02T0:00:00Z",
            "2026-03-02T24:00:00Z",
            "2026-03-02T24:00Z",
            "2026-03-02T99:00Z",
            "2026-03-02T05:60Z",
            "2026-03-02T05:99Z",
            "2026-03-02T25:00:00Z",
            "2026-03-02T05:60:00Z",
            "2026-03-02T05:15:60Z",
            "2026-03-02T05:15:00.Z",
            "2026-03-02T05:15:00,5Z",
            "2026-03-02T05:15.5Z",
            "2026-03-02t05:15:00Z",
            "2026-03-02T05:15:00z",
            "2026-03-02  05:45:00Z",
            "2026-03-02\t05:45:00Z",
            "2026-03-02T05:45:00 Z",
            "2026-03-02T06:00:00+01:99",
            "2026-03-02T06:00:00+24:00",
            "2026-03-02T06:00:00+1",
            "2026-03-02T06:00:00+010",
            "2026-03-02T06:00:00+01:0",
            "2026-03-02T06:00:00+01:",
            "2026-03-02T06:00:00*01:00",
            "2026-03-02T06:00:00Z ",
            "2026-13-02T00:00:00Z",
            "2026-00-02T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-02-00T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "10000-01-01T00:00:00Z",
            "+2026-03-02T00:00:00Z",
            "2026/03/02T00:00:00Z",
            "20260302T000000Z",
            "177241500",
            "17724150000",
            "177241590000",
            "17724159000000",
            "-772415000",
            "1772415.00",
            "２０２６-03-02T00:00:00Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn without_an_offset_it_is_a_wall_time() {
        for text in ["2026-03-02T00:15:00", "2026-03-02 00:15", "2026-03-02 00:15:00.000"] {
            let micros = jiff::civil::date(2026, 3, 2).at(0, 15, 0, 0);
            let micros = jiff::tz::TimeZone::UTC.to_timestamp(micros).unwrap().as_microsecond();
            assert_eq!(parse(text), Some(Stamp::Wall(micros)), "{text}");
        }
    }

    #[test]
    fn only_digits_and_colons_are_a_time_of_day_whatever_bit_of_them_is_another() {
        let good = *b"12:34:56";
        assert_eq!(seconds_of(good), Some((12 * 60 + 34) * 60 + 56));
        for at in 0..good.len() {
            for byte in 0..=u8::MAX {
                let mut text = good;
                text[at] = byte;
                let fits = if at % 3 == 2 { byte == b':' } else { byte.is_ascii_digit() };
                let in_range = match at {
                    0 => byte <= b'2',
                    3 | 6 => byte <= b'5',
                    _ => true,
                };
                assert_eq!(seconds_of(text).is_some(), fits && in_range, "{}", text.escape_ascii());
            }
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_jiff(
            seconds in FIRST / SECOND..=(LAST / SECOND - 86_400),
            micros in 0..SECOND,
            minutes in -1_439..1_440_i64,
            blank: bool,
        ) {
            let at = jiff::Timestamp::from_microsecond(seconds * SECOND + micros).unwrap();
            let offset = jiff::tz::Offset::from_seconds(i32::try_from(minutes * 60).unwrap()).unwrap();
            let text = at.display_with_offset(offset).to_string();
            prop_assume!(!text.starts_with('-') && !text.starts_with("0000"));
            let text = if blank { text.replace('T', " ") } else { text };
            let micros = at.as_microsecond();
            prop_assert_eq!(parse(&text), Some(Stamp::Instant { micros, shifted: minutes != 0 }), "{}", text);
        }

        #[test]
        fn one_changed_byte_never_panics_and_the_memo_changes_nothing(
            at in 0..25_usize, byte: u8, other in "[0-9]{4}-[0-1][0-9]-[0-3][0-9]",
        ) {
            let mut text = b"2026-03-02T00:15:00+01:30".to_vec();
            text[at] = byte;
            let mut memo = DateMemo::default();
            let _ = memo.parse(format!("{other} 00:00").as_bytes());
            prop_assert_eq!(memo.parse(&text), DateMemo::default().parse(&text));
        }
    }
}
