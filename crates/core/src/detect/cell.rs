//! What one field looks like by itself.

use crate::decode::numeral::unguarded;
use crate::decode::value::is_missing;

/// The look of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// Nothing, or a usual word for no value.
    Empty,
    Number,
    /// Digits with the signs of dates or times between them.
    When,
    Text,
}

impl Look {
    pub(super) fn of(text: &str) -> Look {
        let text = plain(text);
        if is_missing(text.as_bytes(), &[]) {
            Look::Empty
        } else if is_number(text) {
            Look::Number
        } else if is_when(text) {
            Look::When
        } else {
            Look::Text
        }
    }
}

/// `text` without the guard that keeps spreadsheets from reading it as a number.
pub(super) fn plain(text: &str) -> &str {
    std::str::from_utf8(unguarded(text.as_bytes())).unwrap_or(text)
}

/// Whether it is a number in some country: `-1.234,5`, `0.5`, `1e-3`, `1 234,5`.
pub(super) fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if exponent.is_empty() || !exponent.bytes().all(|byte| byte.is_ascii_digit()) || digits.len() > 40 {
        return false;
    }
    if !digits.bytes().any(|byte| byte.is_ascii_digit())
        || digits.starts_with(['\'', ' '])
        || !digits.bytes().all(|byte| byte.is_ascii_digit() || b".,' ".contains(&byte))
    {
        return false;
    }
    // the last sign may be the decimal one; every other stands between groups of three
    let groups: Vec<&str> = digits.split(['.', ',', '\'', ' ']).collect();
    match groups.as_slice() {
        [_] | [_, _] => true,
        [first, middle @ .., _] => {
            (1..=3).contains(&first.len())
                && middle.iter().all(|group| group.len() == 3)
                && !is_dotted_date(&groups)
        }
        [] => false,
    }
}

/// `01.02.2026` is no number, `1.234.567` is.
fn is_dotted_date(groups: &[&str]) -> bool {
    groups.len() == 3 && groups.get(1).is_some_and(|month| month.len() < 3)
}

fn is_when(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let count = |sign: char| text.chars().filter(|c| *c == sign).count();
    let signs = count(':') >= 1 || count('/') >= 2 || count('-') >= 2 || count('.') >= 2;
    let words = text.chars().filter(|c| c.is_alphabetic()).count();
    // several fields of another delimiter are none
    let is_one = !text.contains([';', '\t', '|']);
    is_one && digits >= 3 && (signs || text.contains('年')) && words <= 9 && text.len() <= 48
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_looks_like_a_number_a_time_or_a_text() {
        for (text, look) in [
            ("", Look::Empty),
            ("null", Look::Empty),
            ("-0.25", Look::Number),
            ("1.234,5", Look::Number),
            ("1 234,5", Look::Number),
            ("0,125", Look::Number),
            ("1e-3", Look::Number),
            ("=\"0123\"", Look::Number),
            ("01.02.2026", Look::When),
            ("1/2/26", Look::When),
            ("00:15", Look::When),
            ("2026-03-02T00:15:00+01:00", Look::When),
            ("12:15:00 AM", Look::When),
            ("2026年3月2日", Look::When),
            ("02-Mar-26", Look::When),
            ("kWh", Look::Text),
            ("MTR-1", Look::Text),
            ("'10443720001234567", Look::Text),
            ("Total", Look::Text),
            ("DE-0001;02.03.2026;00:00;0", Look::Text),
        ] {
            assert_eq!(Look::of(text), look, "{text}");
        }
    }
}
