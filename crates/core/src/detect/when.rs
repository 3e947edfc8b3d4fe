//! Which columns say when a row is.

use super::cell::is_number;
use super::column::{Column, Kind, values};
use super::table::Table;
use super::words::{Role, Words};
use super::writing::{Writing, Writings, writings};

/// The columns of a row's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// One column with all of it.
    Stamp(usize),
    /// A date, and a clock time after it.
    Pair(usize, usize),
    /// A date, and the number of the interval.
    Slot(usize, usize),
    /// A date, and a column for each interval of the day.
    Wide {
        /// The date.
        date: usize,
        /// The first interval.
        first: usize,
        /// How many there are.
        count: usize,
    },
}

/// How the file says when its rows are.
pub(super) struct When {
    pub(super) source: Source,
    pub(super) writings: Writings,
    /// The column of the end of the interval, where the source says its start.
    pub(super) other_end: Option<Source>,
    /// Whether the name of a column says that it is the end of the interval.
    pub(super) named_end: bool,
    /// Whether the name of a column says that it is the start.
    pub(super) named_start: bool,
    /// Whether the name of a column says UTC.
    pub(super) named_utc: bool,
    /// Dates that no other column completes: a row is a whole day or more.
    pub(super) only_days: bool,
}

impl When {
    /// The texts of a source, row by row, as the decoder joins them.
    pub(super) fn texts(table: &Table, source: Source) -> Vec<String> {
        match source {
            Source::Stamp(at) | Source::Slot(at, _) | Source::Wide { date: at, .. } => {
                values(table, at).map(str::to_owned).collect()
            }
            Source::Pair(date, time) => values(table, date)
                .zip(values(table, time))
                .map(|(date, time)| format!("{date} {time}"))
                .collect(),
        }
    }

    /// Finds the columns; none where no column holds dates or times.
    pub(super) fn find(table: &Table, columns: &[Column]) -> Option<When> {
        let stamps =
            ranked(columns, table, |column| matches!(&column.kind, Kind::When(found) if has_clock(found)));
        let dates =
            ranked(columns, table, |column| matches!(&column.kind, Kind::When(found) if !has_clock(found)));
        let clocks = ranked(columns, table, |column| matches!(column.kind, Kind::Clock(_)));
        // a stamp that changes less often than a clock beside it is that of the export
        let distinct = |at: usize| columns.get(at).map_or(0, |column| column.distinct);
        let clock_distinct = clocks.first().filter(|_| !dates.is_empty()).map_or(0, |(at, _)| distinct(*at));
        if let Some((stamp, _)) = stamps.first().filter(|(at, _)| distinct(*at) >= clock_distinct) {
            let is_late = |at: usize| columns.get(at).is_some_and(ends);
            let end = stamps.iter().map(|(at, _)| *at).find(|at| is_late(*at) && at != stamp);
            return Some(When::new(table, columns, Source::Stamp(*stamp), end.map(Source::Stamp), *stamp));
        }
        let (date, _) = *dates.first()?;
        if let Some((clock, _)) = clocks.first() {
            let late =
                clocks.iter().map(|(at, _)| *at).find(|at| columns.get(*at).is_some_and(ends) && at != clock);
            let end_date = dates.iter().map(|(at, _)| *at).find(|at| columns.get(*at).is_some_and(ends));
            let end = late.map(|late| Source::Pair(end_date.unwrap_or(date), late));
            return Some(When::new(table, columns, Source::Pair(date, *clock), end, *clock));
        }
        if let Some((first, count)) = wide(table, columns, date) {
            return Some(When::new(table, columns, Source::Wide { date, first, count }, None, date));
        }
        let slot = columns.iter().find(|column| is_slot(table, column));
        if let Some(slot) = slot {
            let from_zero = values(table, slot.index).any(|text| text.parse() == Ok(0));
            if !from_zero {
                return Some(When::new(table, columns, Source::Slot(date, slot.index), None, date));
            }
            // an hour of the day is a clock time, too
            let max = values(table, slot.index).filter_map(|text| text.parse::<u32>().ok()).max();
            if max.is_some_and(|max| max <= 24) {
                return Some(When::new(table, columns, Source::Pair(date, slot.index), None, slot.index));
            }
        }
        let mut when = When::new(table, columns, Source::Stamp(date), None, date);
        when.only_days = true;
        Some(when)
    }

    fn new(table: &Table, columns: &[Column], source: Source, end: Option<Source>, main: usize) -> When {
        let writings = match source {
            Source::Stamp(at) | Source::Slot(at, _) | Source::Wide { date: at, .. } => {
                match columns.get(at).map(|column| &column.kind) {
                    Some(Kind::When(found)) => found.clone(),
                    _ => Writings::default(),
                }
            }
            Source::Pair(date, time) => {
                let joined = writings(&When::texts(table, source));
                if joined.all.is_empty() { hours(columns, date, time) } else { joined }
            }
        };
        let named = |role| columns.get(main).is_some_and(|column| column.words.says(role) > 0);
        let named_end = columns.get(main).is_some_and(ends);
        When {
            source,
            writings,
            other_end: end,
            named_end,
            named_start: !named_end && named(Role::Start),
            named_utc: columns.get(main).is_some_and(|column| says_utc(&column.words)),
            only_days: false,
        }
    }
}

/// Dates with a column of whole hours after them.
fn hours(columns: &[Column], date: usize, time: usize) -> Writings {
    let Some(Kind::When(dates)) = columns.get(date).map(|column| &column.kind) else {
        return Writings::default();
    };
    let hour =
        if columns.get(time).is_some_and(Column::is_number) { "%H" } else { return Writings::default() };
    let all = dates.all.iter().filter_map(|writing| writing.pattern.as_ref());
    let all = all.map(|date| Writing { pattern: Some(format!("{date} {hour}")), has_clock: true }).collect();
    Writings { all, mixed: dates.mixed }
}

fn has_clock(found: &Writings) -> bool {
    found.all.iter().any(|writing| writing.has_clock)
}

/// Whether a column's name says the end of something, and not the start.
pub(super) fn ends(column: &Column) -> bool {
    column.words.says(Role::End) >= 2 && column.words.says(Role::Start) < 2
}

fn says_utc(words: &Words) -> bool {
    words.tokens().iter().any(|token| matches!(token.as_str(), "utc" | "gmt" | "epoch" | "unix"))
}

/// The columns of a kind, the likeliest time of the rows first, with their scores.
fn ranked(columns: &[Column], table: &Table, is: impl Fn(&Column) -> bool) -> Vec<(usize, i64)> {
    let mut found: Vec<(usize, i64)> = columns
        .iter()
        .filter(|column| is(column))
        .map(|column| {
            let says = |role| i64::from(column.words.says(role));
            let has_offset = values(table, column.index).take(5).any(|text| {
                text.ends_with('Z')
                    || text.rfind(['+', '-']).is_some_and(|at| at > 15)
                    || is_number(text) && text.len() >= 10
            });
            let mut score =
                says(Role::Timestamp) + says(Role::Start).max(says(Role::Date)).max(says(Role::Time));
            score += 4 * i64::from(has_offset || says_utc(&column.words));
            score -= 4 * i64::from(ends(column)) + 2 * says(Role::Quality);
            // the date of the export is the same in every row
            score -= 6 * i64::from(column.distinct == 1 && table.rows.len() > 96);
            score -= 6 * i64::from(column.filled * 10 < table.rows.len() * 9);
            (column.index, score)
        })
        .collect();
    found.sort_by_key(|(index, score)| (-score, *index));
    found
}

/// The columns of a day's intervals: beside one another, all numbers, as many as a day has of some length.
fn wide(table: &Table, columns: &[Column], date: usize) -> Option<(usize, usize)> {
    let has_names = table.names.iter().any(|name| !name.is_empty());
    let is_interval = |column: &Column| {
        let name = table.names.get(column.index).map_or("", String::as_str);
        let numbered = !has_names || name.bytes().any(|byte| byte.is_ascii_digit());
        matches!(column.kind, Kind::Number | Kind::Empty) && numbered && column.index != date
    };
    let runs = columns.chunk_by(|one, other| is_interval(one) && is_interval(other));
    let run = runs
        .filter(|run| run.len() >= 23 && run.first().is_some_and(is_interval))
        .max_by_key(|run| run.len())?;
    let count = match run.len() {
        23..=25 => run.len().min(24),
        46..=50 => run.len().min(48),
        92..=100 => run.len().min(96),
        144 | 288 | 1_440 => run.len(),
        _ => return None,
    };
    run.first().map(|first| (first.index, count))
}

/// Whether a column numbers the intervals of a day.
fn is_slot(table: &Table, column: &Column) -> bool {
    let numbers: Vec<i64> = values(table, column.index).filter_map(|text| text.parse().ok()).collect();
    let within = numbers.iter().all(|number| (0..=100).contains(number));
    let steps =
        numbers.windows(2).filter(|pair| matches!(pair, [one, other] if other - one == 1 || other < one));
    let repeats = numbers.windows(2).filter(|pair| matches!(pair, [one, other] if other == one)).count();
    column.is_number()
        && within
        && numbers.len() == table.rows.len()
        && column.distinct >= 3.min(numbers.len())
        && (steps.count() * 10 >= numbers.len() * 7 || column.words.says(Role::Slot) > 0)
        && (repeats * 2 < numbers.len() || column.words.says(Role::Slot) > 0)
}
