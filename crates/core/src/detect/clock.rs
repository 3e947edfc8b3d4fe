//! How times are written, how long intervals are, and which end of them a label names.

use rustc_hash::FxHashMap;

use super::analysis::{Analysis, is_wide};
use super::column::values;
use super::draft::Label;
use super::finding::TrapKind;
use super::pace::{Pace, interval_text};
use super::when::{Source, When};
use super::words::Words;
use super::writing::{Reader, Writing, micros, swap};
use crate::SECOND;

/// What is known of the times.
pub(super) struct Timing {
    /// None: no `time_format` is needed.
    pub(super) pattern: Option<String>,
    /// In seconds; none where nothing tells.
    pub(super) interval: Option<i64>,
    pub(super) label: Label,
    /// Whether times have an offset, or are epochs: no zone is needed.
    pub(super) instants: bool,
}

/// Finds out about the times; none where they cannot be read.
pub(super) fn time(
    analysis: &mut Analysis<'_>,
    when: &When,
    texts: &[String],
    keys: &[String],
) -> Option<Timing> {
    let place = places(analysis, when.source);
    if when.writings.mixed {
        let text = "some dates can only be read day first and others only month first, as after a spreadsheet has \
                    swapped those that it could";
        analysis.trap(TrapKind::DayMonth, format!("{place}: {text}"));
        analysis.found.lack(
            "time_format",
            format!("{place}: {text}"),
            "get the file as it was before it was opened in a spreadsheet",
        );
        return None;
    }
    if when.writings.all.is_empty() {
        let example = texts.first().map_or("", String::as_str);
        let settle = "ask the sender for one timestamp in each row, best with its offset";
        analysis.found.lack(
            "time_format",
            format!("{place}: times such as `{example}` are written in no way that profiles can say"),
            settle,
        );
        return None;
    }
    let (writing, pace) = order(analysis, when, texts, keys, &place)?;
    let interval = interval(analysis, when, texts, &writing, &pace);
    if when.only_days && !is_wide(when.source) {
        let question = "rows have a date and no clock time: each is taken for a whole day or more";
        analysis.found.doubt(
            "columns.timestamp",
            question,
            &[],
            "if there is a clock time, name its column in `time`",
        );
    }
    let pattern = match (&writing.pattern, when.source) {
        // only a timestamp with its clock is ISO 8601 by itself
        (None, _) => None,
        (Some(pattern), _) => Some(pattern.clone()),
    };
    let evidence = texts.first().map_or("", String::as_str);
    match &pattern {
        Some(pattern) => analysis.found.because(
            "time_format",
            format!("`{pattern}`"),
            format!("{place} holds `{evidence}`"),
        ),
        None => analysis.found.because("columns.timestamp", place.clone(), format!("it holds `{evidence}`")),
    }
    let label = if is_wide(when.source) {
        Label::Start
    } else {
        label(analysis, when, texts, &pace, interval, &place)
    };
    Some(Timing { pattern, interval, label, instants: pace.instants })
}

fn places(analysis: &Analysis<'_>, source: Source) -> String {
    let table = analysis.table;
    match source {
        Source::Stamp(at) | Source::Wide { date: at, .. } => table.named(at),
        Source::Pair(date, time) | Source::Slot(date, time) => {
            format!("{} and {}", table.named(date), table.named(time))
        }
    }
}

/// Which of the patterns that read the times is right: the one by which they follow one another.
fn order(
    analysis: &mut Analysis<'_>,
    when: &When,
    texts: &[String],
    keys: &[String],
    place: &str,
) -> Option<(Writing, Pace)> {
    let breaks = &analysis.table.breaks;
    let mut all: Vec<(Writing, Pace)> = when
        .writings
        .all
        .iter()
        .map(|writing| (writing.clone(), Pace::of(writing, texts, keys, breaks)))
        .collect();
    all.sort_by(|(_, one), (_, other)| rank(other).total_cmp(&rank(one)));
    let (best, pace) = all.first()?.clone();
    let swapped = best.pattern.as_deref().map(swap).filter(|other| Some(other) != best.pattern.as_ref());
    let Some(pattern) = best.pattern.clone().zip(swapped) else { return Some((best, pace)) };
    let (pattern, swapped) = pattern;
    let Some((other, other_pace)) =
        all.iter().find(|(writing, _)| writing.pattern.as_ref() == Some(&swapped)).cloned()
    else {
        if swapped_in_part(analysis, &best, &pace, &swapped, texts, keys) {
            let text = format!(
                "{place}: dates up to the 12th have day and month the other way round than later ones, as after a \
                 spreadsheet has read those that it could"
            );
            analysis.trap(TrapKind::DayMonth, text.clone());
            analysis.found.lack(
                "time_format",
                text,
                "get the file as it was before it was opened in a spreadsheet",
            );
            return None;
        }
        let reader = Reader::new(&Writing { pattern: Some(swapped), has_clock: true });
        let only = |text: &&String| reader.as_ref().is_some_and(|reader| reader.read(text).is_none());
        if let Some(text) = texts.iter().find(only) {
            let evidence = format!("`{text}` can only be read so: a month ends at 12");
            analysis.found.because("time_format", format!("`{pattern}`"), evidence);
        }
        return Some((best, pace));
    };
    if rank(&pace) > rank(&other_pace) + 0.05 {
        let text = format!(
            "{place}: every date can be read as `{pattern}` and as `{swapped}`; by `{pattern}` rows follow one another \
             step by step, by `{swapped}` they jump by months"
        );
        analysis.trap(TrapKind::DayMonth, text);
        return Some((best, pace));
    }
    // a habit, not evidence: only months with English words or halves of days stand first
    let month_first = pattern.contains("%p") || swapped.contains("%p");
    let is_month_first = |text: &str| text.find("%m") < text.find("%d");
    let (chosen, pace) =
        if is_month_first(&pattern) == month_first { (best, pace) } else { (other, other_pace) };
    let pattern = chosen.pattern.clone().unwrap_or_default();
    let example = texts.first().map_or("", String::as_str);
    let text =
        format!("{place}: `{example}` can be read day first or month first, and nothing in the file decides");
    analysis.trap(TrapKind::DayMonth, text.clone());
    analysis.found.doubt(
        "time_format",
        format!("{text}; `{pattern}` was taken"),
        &[&format!("time_format = \"{}\"", swap(&pattern))],
        "look at a file that has a day after the 12th",
    );
    Some((chosen, pace))
}

/// How likely an order of day and month is: the right one spans days where the wrong one spans months.
fn rank(pace: &Pace) -> f64 {
    pace.regularity - 0.05 * pace.span_days().max(1.0).ln()
}

/// Whether times follow one another once those that can be read with day and month swapped are read so.
fn swapped_in_part(
    analysis: &Analysis<'_>,
    best: &Writing,
    pace: &Pace,
    swapped: &str,
    texts: &[String],
    keys: &[String],
) -> bool {
    let other = Writing { pattern: Some(swapped.to_owned()), has_clock: best.has_clock };
    let Some((best, other)) = Reader::new(best).zip(Reader::new(&other)) else { return false };
    let either = |text: &str| other.read(text).or_else(|| best.read(text));
    rank(&Pace::by(&either, texts, keys, &analysis.table.breaks)) > rank(pace) + 0.05
}

/// The length of an interval in seconds, and why.
fn interval(
    analysis: &mut Analysis<'_>,
    when: &When,
    texts: &[String],
    writing: &Writing,
    pace: &Pace,
) -> Option<i64> {
    let table = analysis.table;
    if let Source::Wide { first, count, .. } = when.source {
        let seconds = 86_400 / i64::try_from(count).ok()?;
        let evidence = format!("{count} columns from {} on make a day", table.named(first));
        analysis.found.because("interval", interval_text(seconds), evidence);
        return Some(seconds);
    }
    if let Source::Slot(_, slot) = when.source {
        let max = values(table, slot).filter_map(|text| text.parse::<i64>().ok()).max()?;
        let seconds = if max <= 25 {
            3_600
        } else if max <= 50 {
            1_800
        } else {
            900
        };
        analysis.found.because(
            "interval",
            interval_text(seconds),
            format!("{} counts to {max} a day", table.named(slot)),
        );
        return Some(seconds);
    }
    let ends = when.other_end.and_then(|end| lengths(writing, texts, &When::texts(table, end)));
    if let Some(seconds) = ends {
        analysis.found.because(
            "interval",
            interval_text(seconds),
            "from the start to the end that most rows name",
        );
        return Some(seconds);
    }
    let Some((step, share)) = pace.step else {
        let said = table.names.iter().chain(&table.preamble).find_map(|text| length_in(&Words::of(text)));
        match said {
            Some(seconds) => {
                analysis.found.because("interval", interval_text(seconds), "words of the header")
            }
            None => analysis.found.lack(
                "interval",
                "no meter has two rows: nothing tells the length of an interval",
                "set `interval`",
            ),
        }
        return said;
    };
    other_lengths(analysis, texts, writing, step);
    let percent = (share * 100.0).round();
    analysis.found.because(
        "interval",
        interval_text(step),
        format!("{percent} % of the steps from row to row"),
    );
    if let Some((other, also)) = pace.second.filter(|(_, also)| *also > 0.1 && share < 0.85) {
        let also = (also * 100.0).round();
        analysis.found.doubt(
            "interval",
            format!("{also} % of the steps are {}: the file may hold several interval lengths, and a profile has one", interval_text(other)),
            &[&format!("interval = \"{}\"", interval_text(other))],
            "if the values are power it does not matter; for energy split the file by interval length",
        );
    }
    (1..=31 * 86_400).contains(&step).then_some(step)
}

/// Notes parts of the file whose steps are of another length.
fn other_lengths(analysis: &mut Analysis<'_>, texts: &[String], writing: &Writing, step: i64) {
    let breaks = &analysis.table.breaks;
    let starts = std::iter::once(0).chain(breaks.iter().copied());
    let ends = breaks.iter().copied().chain([texts.len()]);
    let of_piece = |(start, end): (usize, usize)| {
        // whose the rows are is no matter: most rows of a piece are of one meter, or of one time
        let pace = Pace::of(writing, texts.get(start..end)?, &[], &[]);
        pace.step.filter(|(other, share)| *other != step && *share > 0.9).map(|(other, _)| other)
    };
    if let Some(other) = starts.zip(ends).find_map(of_piece) {
        analysis.found.doubt(
            "interval",
            format!("in a part of the file the steps are {}: it holds several interval lengths, and a profile has one", interval_text(other)),
            &[&format!("interval = \"{}\"", interval_text(other))],
            "if the values are power it does not matter; for energy split the file by interval length",
        );
    }
}

/// The commonest time from the starts to the ends of intervals, in seconds.
fn lengths(writing: &Writing, starts: &[String], ends: &[String]) -> Option<i64> {
    let reader = Reader::new(writing)?;
    let mut counts: FxHashMap<i64, usize> = FxHashMap::default();
    for (start, end) in starts.iter().zip(ends).take(5_000) {
        if let (Some(start), Some(end)) = (reader.read(start), reader.read(end)) {
            // an end of 00:00 may have the date of its start
            let seconds = ((micros(end) - micros(start)) / SECOND).rem_euclid(31 * 86_400);
            let seconds = if seconds > 30 * 86_400 { seconds - 30 * 86_400 } else { seconds };
            *counts.entry(seconds).or_default() += 1;
        }
    }
    let best = counts.into_iter().max_by_key(|(seconds, count)| (*count, -*seconds))?;
    // an end that includes its last second or minute
    let seconds = match best.0 {
        seconds if (seconds + 1) % 60 == 0 => seconds + 1,
        seconds if (seconds + 60) % 300 == 0 => seconds + 60,
        seconds => seconds,
    };
    (seconds > 0).then_some(seconds)
}

/// The length of an interval that words say.
fn length_in(words: &Words) -> Option<i64> {
    let tokens = words.tokens();
    let has = |all: &[&str]| tokens.iter().any(|token| all.contains(&token.as_str()));
    if has(&["15min", "15m", "15minute", "viertelstunde", "kwartier"]) {
        Some(900)
    } else if has(&["30min", "30m", "hh", "halfhour"]) {
        Some(1_800)
    } else if has(&["60min", "1h", "hourly", "stundenwert"]) {
        Some(3_600)
    } else {
        None
    }
}

fn label(
    analysis: &mut Analysis<'_>,
    when: &When,
    texts: &[String],
    pace: &Pace,
    interval: Option<i64>,
    place: &str,
) -> Label {
    let at_end = |analysis: &mut Analysis<'_>, evidence: String| {
        analysis.trap(
            TrapKind::LabelAtEnd,
            format!("{place}: labels name the ends of intervals ({evidence}); the profile says so"),
        );
        analysis.found.because("label", "end", evidence);
        Label::End
    };
    if let Some(end) = when.other_end {
        let evidence = format!("{} says the end, and the start was taken", places(analysis, end));
        analysis.found.because("label", "start", evidence);
        return Label::Start;
    }
    let days = interval.and_then(|interval| pace.label_at_end(interval));
    let midnight = texts.iter().find(|text| ends_a_day(text));
    if when.named_end {
        return at_end(analysis, format!("{place} says so by its name"));
    }
    if let Some(text) = midnight.filter(|_| !when.named_start) {
        return at_end(analysis, format!("`{text}` ends a day"));
    }
    match days {
        Some(true) if !when.named_start => {
            return at_end(
                analysis,
                "the first day begins one interval after 00:00, and the last ends at 00:00".to_owned(),
            );
        }
        Some(false) => {
            analysis.found.because("label", "start", "days go from 00:00 to one interval before midnight");
            return Label::Start;
        }
        _ => {}
    }
    if when.named_start {
        analysis.found.because("label", "start", format!("{place} says so by its name"));
    } else if interval.is_some_and(|interval| interval < 86_400) {
        analysis.found.doubt(
            "label",
            "do timestamps name the start of their interval? It was taken so; the file does not begin and end with whole days, which would tell",
            &["label = \"end\""],
            "ask the sender, or compare a day with its total",
        );
    }
    Label::Start
}

/// Whether a text names the end of a day: `24:00`, and not a minute 24.
fn ends_a_day(text: &str) -> bool {
    ["24:00", "24.00"].iter().any(|end| {
        let before = text.find(end).and_then(|at| text.get(..at));
        before.is_some_and(|before| before.is_empty() || before.ends_with([' ', 'T']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hour_24_ends_a_day() {
        for (text, expected) in [
            ("2026-03-02 24:00", true),
            ("24:00:00", true),
            ("16/12/2006 17:24:00", false),
            ("02.03.2026 23:24", false),
        ] {
            assert_eq!(ends_a_day(text), expected, "{text}");
        }
    }

    #[test]
    fn words_say_the_length_of_an_interval() {
        for (text, expected) in
            [("KWH/hh (per half hour)", Some(1_800)), ("kwh_15min", Some(900)), ("Wert", None)]
        {
            assert_eq!(length_in(&Words::of(text)), expected, "{text}");
        }
    }
}
