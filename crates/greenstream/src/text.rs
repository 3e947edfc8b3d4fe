//! Numbers and foreign text as people see them, and instants as people write them.

use greenstream_core::decode::parse_ts;
use greenstream_core::{DAY, Ts, days_from_civil};

/// `text` with control characters escaped, cut at 120 characters: text from uploads cannot steer a
/// terminal.
pub fn plain(text: &str) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == 120 {
            shown.push('…');
            break;
        }
        if is_hidden(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// Whether a sign steers what shows it and is not seen itself: controls, line and paragraph separators, and
/// those that turn the direction of text, so that it reads as another.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `text` with control characters escaped, whole: for messages that say the way out.
pub fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, c| {
        if is_hidden(c) {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
        shown
    })
}

/// A whole number with thousands separated: `4,800,000`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An instant as people write it: `2026-03-02`, its midnight in UTC, or a timestamp with an offset.
pub fn instant(text: &str) -> Option<Ts> {
    date(text).or_else(|| parse_ts(text))
}

fn date(text: &str) -> Option<Ts> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if year.len() != 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let (year, month, day) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    let midnight = Ts::from_micros(days_from_civil(year, month, day).checked_mul(DAY)?);
    (midnight.date() == (year, month, day)).then_some(midnight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        for (number, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (4_800_000, "4,800,000")] {
            assert_eq!(count(number), shown);
        }
    }

    #[test]
    fn text_from_uploads_cannot_steer_a_terminal() {
        for show in [plain, escaped] {
            assert_eq!(show("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\nc");
            assert_eq!(show("\u{202e}vsc.exe\u{2028}\u{9b}"), "\\u{202e}vsc.exe\\u{2028}\\u{9b}");
            assert_eq!(show("Z\u{e4}hler \u{7535}\u{8868}"), "Z\u{e4}hler \u{7535}\u{8868}");
        }
        assert_eq!(plain(&"x".repeat(121)), format!("{}…", "x".repeat(120)));
    }

    #[test]
    fn a_date_is_its_midnight_in_utc_and_must_exist() {
        assert_eq!(date("2026-03-02").map(|ts| ts.to_string()).as_deref(), Some("2026-03-02T00:00:00Z"));
        for text in ["2026-02-30", "2026-3-02", "20260302", "x", "2026-03-02T"] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}
