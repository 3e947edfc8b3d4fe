//! What each column holds, by its values and its name.

use rustc_hash::FxHashSet;

use super::cell::{Look, is_number};
use super::table::Table;
use super::words::{Named, Role, Words, unit_of};
use super::writing::{Writings, clock_writing, writings};

/// What most values of a column are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Empty,
    /// Dates, with or without a clock; an epoch.
    When(Writings),
    /// A clock without a date, by this pattern.
    Clock(&'static str),
    Number,
    /// Units by their names, and nothing else.
    Units(Vec<String>),
    Text,
}

/// A column.
pub(super) struct Column {
    pub(super) index: usize,
    pub(super) kind: Kind,
    pub(super) words: Words,
    /// The unit in its name, or in the line of units.
    pub(super) unit: Option<Named>,
    /// How many values are not empty.
    pub(super) filled: usize,
    /// How many different values there are.
    pub(super) distinct: usize,
    /// Whether all numbers are whole.
    pub(super) is_whole: bool,
    /// The longest value in bytes.
    pub(super) len_max: usize,
}

impl Column {
    pub(super) fn all(table: &Table) -> Vec<Column> {
        (0..table.names.len()).map(|index| Column::new(table, index)).collect()
    }

    fn new(table: &Table, index: usize) -> Column {
        let name = table.names.get(index).map_or("", String::as_str);
        let words = Words::of(name);
        let below = table.units.get(index).and_then(|unit| Words::of(unit).unit());
        let values: Vec<String> =
            values(table, index).filter(|text| Look::of(text) != Look::Empty).map(str::to_owned).collect();
        let distinct = values.iter().collect::<FxHashSet<_>>().len();
        Column {
            index,
            kind: kind(&values, &words),
            unit: words.unit().or(below),
            words,
            filled: values.len(),
            distinct,
            is_whole: values
                .iter()
                .filter(|text| is_number(text))
                .all(|text| !text.contains(['.', ',', 'e', 'E'])),
            len_max: values.iter().map(String::len).max().unwrap_or(0),
        }
    }

    pub(super) fn is_number(&self) -> bool {
        self.kind == Kind::Number
    }

    /// Whether it counts rows: whole numbers, each one more than the last.
    pub(super) fn counts_rows(&self, table: &Table) -> bool {
        let numbers: Vec<i64> = values(table, self.index).filter_map(|text| text.parse().ok()).collect();
        let steps = numbers
            .windows(2)
            .filter(|pair| matches!(pair, [one, other] if other.checked_sub(*one) == Some(1)));
        self.is_number()
            && self.is_whole
            && numbers.len() > 2
            && steps.count() * 10 >= (numbers.len() - 1) * 9
            && self.distinct * 10 >= numbers.len() * 9
    }
}

/// The values of a column, row by row.
pub(super) fn values(table: &Table, index: usize) -> impl Iterator<Item = &str> {
    table.rows.iter().map(move |row| row.get(index).map_or("", String::as_str))
}

fn kind(values: &[String], words: &Words) -> Kind {
    if values.is_empty() {
        return Kind::Empty;
    }
    // `A` and `V` are flags as often as they are units
    let may_be_units = words.says(Role::Unit) > 0 || values.iter().any(|text| text.len() > 1);
    if may_be_units && values.iter().all(|text| unit_of(text).is_some()) {
        let mut units: Vec<String> = values.to_vec();
        units.sort();
        units.dedup();
        return Kind::Units(units);
    }
    let numbers = values.iter().filter(|text| is_number(text)).count();
    let is_whole = values.iter().all(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let len = values.first().map_or(0, String::len);
    // whole numbers of these lengths may be epochs or dates without signs
    let may_be_date =
        is_whole && matches!(len, 8 | 10 | 12 | 13 | 14) && values.iter().all(|text| text.len() == len);
    if numbers < values.len() || may_be_date {
        let found = writings(values);
        if !found.all.is_empty() || found.mixed {
            return Kind::When(found);
        }
    }
    let is_time = words.says(Role::Time) > 0 || words.says(Role::Start) > 0 || words.says(Role::End) > 0;
    // `1.30` is a time by its column's name only
    let may_be_clock = numbers == 0 || (is_time && (numbers < values.len() || !is_whole || len == 4));
    if let Some(clock) = Some(values).filter(|_| may_be_clock).and_then(clock_writing) {
        return Kind::Clock(clock);
    }
    if numbers * 10 >= values.len() * 7 { Kind::Number } else { Kind::Text }
}
