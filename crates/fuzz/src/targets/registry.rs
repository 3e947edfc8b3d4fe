//! The registry of meters: any text is read, or refused with the line that is wrong.

use greenstream::config::registry::meters;
use greenstream_core::{Range, Ts, Zone};

pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match meters(&text, Range::default(), &Zone::utc()) {
        Ok(read) => {
            for (meter, registered) in &read {
                assert!(!meter.is_empty() && unquoted(&text).contains(&unquoted(meter)), "{meter:?}");
                for at in [Ts::MIN, Ts::from_micros(1_772_409_600_000_000), Ts::MAX] {
                    let range = registered.limits.at(at);
                    assert!(range.min <= range.max, "{meter:?} at {at}");
                    let _ = registered.facts_at(at);
                }
            }
            // a line that is empty says nothing, wherever it stands
            let spaced = format!("\n{text}\n\n");
            assert_eq!(meters(&spaced, Range::default(), &Zone::utc()).unwrap(), read);
        }
        Err(error) => {
            assert!(!error.problem.is_empty() && !error.problem.contains('\n'), "{:?}", error.problem);
            let line = error.place.strip_prefix("registry, line ").map(|line| line.parse::<usize>().unwrap());
            // a quoted field may hold line breaks, so a record may begin before the line where it is noticed
            assert!(line.is_none_or(|line| line >= 1 && line <= text.lines().count() + 1), "{}", error.place);
        }
    }
}

/// Quotes may stand around a field, and twice within.
fn unquoted(text: &str) -> String {
    text.replace('"', "")
}
