//! How a column of times is written: every pattern that reads it, for the evidence to choose from.

use crate::decode::format::Format;
use crate::decode::time::{DateMemo, Stamp};
use crate::{DAY, days_from_civil};

const DATES: [&str; 24] = [
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%m.%d.%Y",
    "%d.%m.%y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d-%m-%y",
    "%m-%d-%y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d %b %Y",
    "%d/%b/%Y",
    "%b %d, %Y",
    "%b %d %Y",
    "%Y%m%d",
    "%d%m%Y",
    "%d. %m. %Y",
    "%Y年%m月%d日",
];

const CLOCKS: [&str; 14] = [
    "%H:%M",
    "%H:%M:%S",
    "%I:%M %p",
    "%I:%M:%S %p",
    "%I:%M%p",
    "%H.%M",
    "%H.%M.%S",
    "%H%M",
    "%H%M%S",
    "%H:%M:%S%z",
    "%H:%M:%S %z",
    "%H:%M%z",
    "%H時%M分",
    "%Hh%M",
];

/// What stands between date and clock.
const BETWEEN: [&str; 6] = [" ", "T", "", ", ", " - ", "-"];

/// How many values of a column are read to find its pattern.
const VALUES: usize = 400;

/// A way to read a column of times.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Writing {
    /// None: ISO 8601 or an epoch, which take no `time_format`.
    pub(super) pattern: Option<String>,
    pub(super) has_clock: bool,
}

/// How a column of times is written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Writings {
    /// All that read as many values as any; empty where none reads nearly all.
    pub(super) all: Vec<Writing>,
    /// Whether some values can only be read day first and others only month first.
    pub(super) mixed: bool,
}

/// A compiled writing.
pub(super) struct Reader(Option<Format>);

impl Reader {
    pub(super) fn new(writing: &Writing) -> Option<Reader> {
        match &writing.pattern {
            None => Some(Reader(None)),
            Some(pattern) => Format::compile(pattern, None).ok().map(|format| Reader(Some(format))),
        }
    }

    /// A moment of the years in which there are smart meters.
    pub(super) fn read(&self, text: &str) -> Option<Stamp> {
        let stamp = match &self.0 {
            None => DateMemo::default().parse(text.as_bytes()),
            Some(format) => format.parse(text.as_bytes()),
        }?;
        const FIRST: i64 = days_from_civil(1995, 1, 1) * DAY;
        const LAST: i64 = days_from_civil(2070, 1, 1) * DAY;
        (FIRST..LAST).contains(&micros(stamp)).then_some(stamp)
    }
}

/// The microseconds of a stamp, whatever clock it goes by.
pub(super) const fn micros(stamp: Stamp) -> i64 {
    match stamp {
        Stamp::Instant { micros, .. } | Stamp::Wall(micros) => micros,
    }
}

/// The ways in which `texts` can be read as dates or times with a date.
pub(super) fn writings(texts: &[String]) -> Writings {
    let texts = spread(texts);
    let Some(first) = texts.first() else { return Writings::default() };
    let counts = candidates(first, texts.last().unwrap_or(first))
        .into_iter()
        .filter_map(|writing| {
            let reader = Reader::new(&writing)?;
            let read: Vec<bool> = texts.iter().map(|text| reader.read(text).is_some()).collect();
            Some((read.iter().filter(|read| **read).count(), writing, read))
        })
        .collect::<Vec<_>>();
    let most = counts.iter().map(|(count, ..)| *count).max().unwrap_or(0);
    if most * 10 >= texts.len() * 9 {
        let mut all: Vec<Writing> =
            counts.into_iter().filter(|(count, ..)| *count == most).map(|(_, writing, _)| writing).collect();
        // what takes no key goes before what takes one
        if all.iter().any(|writing| writing.pattern.is_none()) {
            all.retain(|writing| writing.pattern.is_none());
        }
        return Writings { all, mixed: false };
    }
    let mixed = counts.iter().any(|(_, one, read)| {
        let swapped = one.pattern.as_deref().map(swap);
        counts.iter().filter(|(_, other, _)| other.pattern == swapped).any(|(_, _, other)| {
            let either = read.iter().zip(other).filter(|(one, other)| **one || **other).count();
            either * 50 >= texts.len() * 49
        })
    });
    Writings { all: Vec::new(), mixed }
}

/// The pattern with day and month swapped.
pub(super) fn swap(pattern: &str) -> String {
    pattern.replace("%d", "%!").replace("%m", "%d").replace("%!", "%m")
}

/// The pattern of a column of clock times without dates.
pub(super) fn clock_writing(texts: &[String]) -> Option<&'static str> {
    let texts = spread(texts);
    let reads = |clock: &str| {
        let writing = Writing { pattern: Some(format!("%Y-%m-%d {clock}")), has_clock: true };
        let Some(reader) = Reader::new(&writing) else { return 0 };
        texts.iter().filter(|text| reader.read(&format!("2020-01-01 {text}")).is_some()).count()
    };
    let best = CLOCKS.iter().map(|clock| (reads(clock), *clock)).rev().max_by_key(|(count, _)| *count);
    best.filter(|(count, _)| !texts.is_empty() && count * 10 >= texts.len() * 9).map(|(_, clock)| clock)
}

/// All ways to read the one or the other text.
fn candidates(one: &str, other: &str) -> Vec<Writing> {
    let mut all = Vec::new();
    let mut offer = |pattern: Option<String>, has_clock| {
        let writing = Writing { pattern, has_clock };
        let reader = Reader::new(&writing);
        if reader.is_some_and(|reader| reader.read(one).is_some() || reader.read(other).is_some()) {
            all.push(writing);
        }
    };
    offer(None, true);
    for date in DATES {
        offer(Some(date.to_owned()), false);
        for clock in CLOCKS {
            for between in BETWEEN {
                offer(Some(format!("{date}{between}{clock}")), true);
            }
        }
    }
    all
}

/// At most [`VALUES`] values, from the first to the last, without empty ones.
fn spread(texts: &[String]) -> Vec<&str> {
    let step = texts.len() / VALUES + 1;
    let filled = |text: &&str| !crate::decode::value::is_missing(text.as_bytes(), &[]);
    let last = texts.last().into_iter();
    texts.iter().step_by(step).chain(last).map(String::as_str).filter(filled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let all = writings(&texts).all;
        all.into_iter().map(|writing| writing.pattern.unwrap_or_else(|| "ISO".to_owned())).collect()
    }

    #[test]
    fn every_pattern_that_reads_all_values_is_found() {
        for (texts, expected) in [
            (&["2026-03-02T00:15:00Z"][..], &["ISO"][..]),
            (&["1772415000"], &["ISO"]),
            (&["2026-03-02 24:00"], &["%Y-%m-%d %H:%M"]),
            (&["31.12.2026 00:15"], &["%d.%m.%Y %H:%M"]),
            (&["02.03.2026"], &["%d.%m.%Y", "%m.%d.%Y"]),
            (&["1/2/26 12:15 AM"], &["%d/%m/%y %I:%M %p", "%m/%d/%y %I:%M %p"]),
            (&["1/2/2026", "1/13/2026"], &["%m/%d/%Y"]),
            (&["20260302"], &["%Y%m%d"]),
            (&["202603020015"], &["%Y%m%d%H%M"]),
            (&["2026年3月2日"], &["%Y年%m月%d日"]),
            (&["02-Mar-26 00:15"], &["%d-%b-%y %H:%M"]),
            (&["kWh"], &[]),
            (&["12.5"], &[]),
        ] {
            assert_eq!(patterns(texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn days_and_months_that_a_spreadsheet_swapped_are_noticed() {
        let mixed: Vec<String> = (1..=28)
            .map(|day| format!("{day}/1/2026"))
            .chain((13..=28).map(|day| format!("1/{day}/2026")))
            .collect();
        assert_eq!(writings(&mixed), Writings { all: Vec::new(), mixed: true });
    }

    #[test]
    fn clocks_without_dates() {
        for (text, expected) in [
            ("00:15", Some("%H:%M")),
            ("24:00", Some("%H:%M")),
            ("1:15:00 PM", Some("%I:%M:%S %p")),
            ("0015", Some("%H%M")),
            ("kWh", None),
        ] {
            assert_eq!(clock_writing(&[text.to_owned()]), expected, "{text}");
        }
    }
}
