//! Times that are digits only: `YYYYMMDD`, `YYYYMMDDhhmm`, `YYYYMMDDhhmmss`.

use super::time::date_micros;
use crate::SECOND;

/// The wall time that 8, 12 or 14 digits name, in microseconds as if the clock hung in UTC; `2400`
/// ends a day. None where they name no time.
pub(crate) fn wall(text: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, m1, m2, d1, d2, clock @ ..] = text else { return None };
    let day = date_micros(&[*y1, *y2, *y3, *y4, b'-', *m1, *m2, b'-', *d1, *d2])?;
    let (hour, minute, second) = match clock {
        [] => (0, 0, 0),
        [h1, h2, m1, m2] => (two(*h1, *h2)?, two(*m1, *m2)?, 0),
        [h1, h2, m1, m2, s1, s2] => (two(*h1, *h2)?, two(*m1, *m2)?, two(*s1, *s2)?),
        _ => return None,
    };
    let exists = hour < 24 && minute < 60 && second < 60 || (hour, minute, second) == (24, 0, 0);
    exists.then(|| day + ((hour * 60 + minute) * 60 + second) * SECOND)
}

/// A whole number from 0 of at most nine digits.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0')))
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    number(&[tens, ones]).map(i64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ts;

    #[test]
    fn digits_name_times_that_exist() {
        for (text, expected) in [
            ("20040229", Some("2004-02-29T00:00:00Z")),
            ("200402292330", Some("2004-02-29T23:30:00Z")),
            ("20040229233059", Some("2004-02-29T23:30:59Z")),
            ("200402292400", Some("2004-03-01T00:00:00Z")),
            ("200402292401", None),
            ("20030229", None),
            ("200402", None),
            ("2004022923", None),
            ("200402292360", None),
            ("200402292399", None),
            ("20040229235960", None),
            ("20040229235999", None),
            ("200402299900", None),
            ("20040229240001", None),
            ("20040229233a", None),
            ("+0040229", None),
        ] {
            let found = wall(text.as_bytes()).map(|micros| Ts::from_micros(micros).to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_number_is_digits_only() {
        assert_eq!(number(b"000048"), Some(48));
        assert_eq!(number(b"999999999"), Some(999_999_999));
        for text in ["", "+1", "-1", " 1", "1.0", "1234567890"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }
}
