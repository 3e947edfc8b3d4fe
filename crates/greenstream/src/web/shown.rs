//! Instants, links and episodes as the pages show them.

use greenstream_core::{DAY, Ts};

use super::api::{DAYS, Days};
use crate::change::Episode;

/// An instant without the marks of the standard: `2026-03-02 00:15`, with seconds where there are any.
pub fn time(ts: Ts) -> String {
    let text = ts.to_string().replace('T', " ");
    let text = text.trim_end_matches('Z');
    text.strip_suffix(":00").unwrap_or(text).to_owned()
}

/// An instant of ours to the second: when something landed or was sent.
pub fn second(ts: Ts) -> String {
    ts.to_string().replace('T', " ").chars().take("2026-03-02 00:15:00".len()).collect()
}

/// A route and one more segment, whatever is in it.
pub fn link(route: &str, segment: &str) -> String {
    let mut link = route.to_owned();
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            link.push(char::from(byte));
        } else {
            link.push_str(&format!("%{byte:02X}"));
        }
    }
    link
}

/// Where a chart's range can go.
pub struct RangeLinks {
    pub shown: String,
    pub earlier: String,
    pub later: String,
    /// Name, link, and whether it is this one.
    pub choices: Vec<(String, String, bool)>,
}

impl RangeLinks {
    /// The links of a page at `route` that shows `days`; `place` is where on the page to go.
    pub fn new(route: &str, days: Days, place: &str) -> RangeLinks {
        let date = |ts: Ts| ts.to_string().chars().take(10).collect::<String>();
        let count = days.count();
        let at = |to: Ts, days: i64| format!("{route}?to={}&days={days}{place}", date(to));
        let last = date(days.to.plus(-DAY));
        RangeLinks {
            shown: if count == 1 { last } else { format!("{} to {last}", date(days.from)) },
            earlier: at(days.from, count),
            later: at(days.to.plus(days.to.since(days.from)), count),
            choices: [1, DAYS, super::api::DAYS_MAX]
                .map(|days_there| {
                    let name =
                        if days_there == 1 { "1 day".to_owned() } else { format!("{days_there} days") };
                    (name, at(days.to, days_there), days_there == count)
                })
                .into(),
        }
    }
}

/// An episode in a list.
pub struct EpisodeLine {
    pub meter: String,
    pub link: String,
    pub kind: &'static str,
    pub severity: &'static str,
    pub first: String,
    pub last: String,
    pub state: &'static str,
}

/// Episodes in a list.
pub type Episodes = Vec<EpisodeLine>;

/// One of them.
pub fn episode(meter: &str, row: &Episode) -> EpisodeLine {
    EpisodeLine {
        meter: meter.to_owned(),
        link: link("/meters/", meter),
        kind: row.kind.name(),
        severity: row.severity.name(),
        first: time(row.first_ts),
        last: time(row.last_ts),
        state: if row.closed { "ended" } else { "open" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_shown_to_the_minute_unless_they_have_more() {
        for (micros, shown) in [
            (1_772_410_500_000_000, "2026-03-02 00:15"),
            (1_772_410_501_000_000, "2026-03-02 00:15:01"),
            (1_772_410_500_250_000, "2026-03-02 00:15:00.250000"),
        ] {
            assert_eq!(time(Ts::from_micros(micros)), shown);
        }
    }

    #[test]
    fn a_link_holds_any_id_in_one_segment() {
        assert_eq!(link("/meters/", "MTR-1"), "/meters/MTR-1");
        assert_eq!(link("/meters/", "a/b?c#d\"<é"), "/meters/a%2Fb%3Fc%23d%22%3C%C3%A9");
    }
}
