//! Which columns say whose a row is, how much, and in what unit.

use rustc_hash::FxHashMap;

use super::column::{Column, Kind, values};
use super::numbers::Signs;
use super::table::Table;
use super::when::{Source, When};
use super::words::{Named, Role};
use crate::decode::is_meter_id;

/// The columns of values: of each group the first is the value, the others are added to it.
pub(super) type Groups = Vec<Vec<usize>>;

/// The columns that a time takes up.
pub(super) fn taken(when: &When) -> Vec<usize> {
    let of = |source: Source| match source {
        Source::Stamp(at) => vec![at],
        Source::Pair(one, other) | Source::Slot(one, other) => vec![one, other],
        Source::Wide { date, first, count } => std::iter::once(date).chain(first..first + count).collect(),
    };
    of(when.source).into_iter().chain(when.other_end.into_iter().flat_map(of)).collect()
}

/// The column of the meter's id, if there is one.
pub(super) fn meter<'c>(table: &Table, columns: &'c [Column], taken: &[usize]) -> Option<&'c Column> {
    let rows = table.rows.len();
    let may_be = |column: &&Column| {
        let is_id = match column.kind {
            Kind::Text => true,
            Kind::Number => {
                column.is_whole
                    && match column.words.says(Role::Meter) {
                        0 => column.len_max >= 8,
                        1 => column.len_max >= 4,
                        _ => true,
                    }
            }
            // ids of eight digits may look like dates
            Kind::When(_) => column.words.says(Role::Meter) >= 2,
            _ => false,
        };
        is_id
            && !taken.contains(&column.index)
            && column.filled * 10 >= rows * 9
            && values(table, column.index).all(|id| id.is_empty() || is_meter_id(id))
            && !column.counts_rows(table)
    };
    let score = |column: &Column| {
        let others = [Role::Quality, Role::Unit, Role::Part, Role::Other].map(|role| column.words.says(role));
        let other = i64::from(others.into_iter().max().unwrap_or(0));
        let values = [Role::Value, Role::Energy, Role::Power]
            .map(|role| column.words.says(role))
            .into_iter()
            .max()
            .unwrap_or(0);
        // an id is long and has digits; a flag is short
        let looks = i64::from(column.len_max >= 5) + i64::from(values_have_digits(table, column));
        let repeats = i64::from(rows < 4 || column.distinct * 2 <= rows);
        i64::from(column.words.says(Role::Meter)) * 3 + looks + repeats - other * 2 - i64::from(values) * 2
    };
    columns
        .iter()
        .filter(may_be)
        .map(|column| (score(column), column))
        .filter(|(score, column)| *score >= if column.words.says(Role::Meter) > 0 { 1 } else { 3 })
        .max_by_key(|(score, column)| (*score, std::cmp::Reverse(column.index)))
        .map(|(_, column)| column)
}

fn values_have_digits(table: &Table, column: &Column) -> bool {
    values(table, column.index)
        .take(50)
        .filter(|text| !text.is_empty())
        .all(|text| text.bytes().any(|byte| byte.is_ascii_digit()))
}

/// The columns that hold values, as groups to be added up; and those left out, with why.
pub(super) fn value_groups(
    table: &Table,
    columns: &[Column],
    taken: &[usize],
    signs: Signs,
) -> (Groups, Vec<(usize, &'static str)>) {
    let mut left_out = Vec::new();
    let mut found: Vec<&Column> = Vec::new();
    for column in columns.iter().filter(|column| column.is_number() && !taken.contains(&column.index)) {
        // a type or a factor that is the same in all rows is no measurement
        if column.distinct == 1
            && table.rows.len() > 24
            && column.unit.is_none()
            && columns.iter().filter(|c| c.is_number()).count() > 1
        {
            continue;
        }
        if column.unit == Some(Named::Foreign)
            || (column.unit.is_none() && column.words.says(Role::Other) >= 2)
        {
            left_out.push((column.index, "it is named as something else than energy or power"));
        } else if column.counts_rows(table) {
            left_out.push((column.index, "it counts the rows"));
        } else {
            found.push(column);
        }
    }
    let score = |column: &Column| {
        let says =
            [Role::Value, Role::Energy, Role::Power, Role::Register].map(|role| column.words.says(role));
        let names = says.into_iter().max().unwrap_or(0);
        let other =
            [Role::Quality, Role::Meter, Role::Part].map(|role| column.words.says(role)).into_iter().max();
        i64::from(column.unit.is_some()) * 4 + i64::from(names) * 2 - i64::from(other.unwrap_or(0)) * 2
    };
    let best = found.iter().map(|column| score(column)).max().unwrap_or(0);
    let keep = |column: &&&Column| {
        if best >= 4 {
            score(column) >= 2
        } else {
            score(column) >= best.min(0) && (best > 0 || column.distinct > 1 || found.len() == 1)
        }
    };
    let kept: Vec<&Column> = found.iter().filter(keep).copied().collect();
    for column in found.iter().filter(|column| !kept.iter().any(|kept| kept.index == column.index)) {
        left_out.push((column.index, "its name does not say energy or power, and that of another does"));
    }
    let has_unit = kept.iter().any(|column| column.unit.is_some());
    let (kept, unnamed): (Vec<&Column>, Vec<&Column>) =
        kept.into_iter().partition(|column| !has_unit || column.unit.is_some());
    left_out
        .extend(unnamed.iter().map(|column| (column.index, "its name has no unit, and that of another has")));
    let first = kept.first().and_then(|column| column.unit);
    let (kept, others): (Vec<&Column>, Vec<&Column>) =
        kept.into_iter().partition(|column| column.unit == first);
    left_out.extend(others.iter().map(|column| (column.index, "it has another unit, and a profile has one")));
    (group(table, &kept, signs), left_out)
}

/// Puts together the tariffs of one register and the phases of one meter.
fn group(table: &Table, columns: &[&Column], signs: Signs) -> Groups {
    let mut stems: Vec<(String, Vec<usize>)> = Vec::new();
    for column in columns {
        let stem = stem(column);
        match stems.iter_mut().find(|(other, _)| *other == stem) {
            Some((_, group)) => group.push(column.index),
            None => stems.push((stem, vec![column.index])),
        }
    }
    let mut groups = Groups::new();
    for (_, group) in stems {
        let is_phase = |at: &usize| {
            columns.iter().any(|c| {
                c.index == *at
                    && c.words.tokens().iter().any(|t| matches!(t.as_str(), "l1" | "l2" | "l3" | "phase"))
            })
        };
        if group.len() > 1 && (group.iter().all(is_phase) || alternate(table, &group, signs)) {
            groups.push(group);
        } else {
            groups.extend(group.into_iter().map(|column| vec![column]));
        }
    }
    groups
}

/// The name without what tells tariffs and phases apart.
fn stem(column: &Column) -> String {
    const TARIFFS: [&str; 30] = [
        "low", "high", "normal", "night", "day", "peak", "off", "offpeak", "shoulder", "tariff", "hp", "hc",
        "ht", "nt", "tag", "nacht", "nuit", "jour", "heures", "pleines", "creuses", "phase", "users",
        "dutch", "hoog", "laag", "dag", "punta", "llano", "valle",
    ];
    let tokens = column.words.tokens().iter().filter(|token| {
        let is_number =
            token.trim_start_matches(['t', 'l', 'p', 'f']).bytes().all(|byte| byte.is_ascii_digit());
        !is_number && !TARIFFS.contains(&token.as_str())
    });
    tokens.cloned().collect::<Vec<_>>().join(" ")
}

/// Whether of these columns one at most counts in each row, and each in some: registers of tariffs.
fn alternate(table: &Table, group: &[usize], signs: Signs) -> bool {
    let (mut counted, mut both) = (vec![false; group.len()], 0);
    for row in &table.rows {
        let read = |at: &usize| row.get(*at).and_then(|text| signs.read(text)).unwrap_or(0.0);
        let counting: Vec<usize> =
            (0..group.len()).filter(|i| group.get(*i).is_some_and(|at| read(at).abs() > 0.0)).collect();
        match counting.as_slice() {
            [] => {}
            [one] => counted.iter_mut().skip(*one).take(1).for_each(|seen| *seen = true),
            _ => both += 1,
        }
    }
    // the tariff may change within an interval
    both * 10 <= table.rows.len() && counted.into_iter().filter(|seen| *seen).count() > 1
}

/// The column that tells rows apart that have the same meter and time: a register, channel or direction.
pub(super) fn part<'c>(
    table: &Table,
    columns: &'c [Column],
    taken: &[usize],
    keys: &[String],
) -> Option<(&'c Column, usize)> {
    let twice = |more: Option<usize>| {
        let mut seen: FxHashMap<(&str, &str), usize> = FxHashMap::default();
        for (key, row) in keys.iter().zip(&table.rows) {
            *seen
                .entry((key.as_str(), more.and_then(|at| row.get(at)).map_or("", String::as_str)))
                .or_default() += 1;
        }
        keys.len() - seen.len()
    };
    let before = twice(None);
    if before * 5 < keys.len() || before < 3 {
        return None;
    }
    columns
        .iter()
        .filter(|column| !taken.contains(&column.index) && (2..=16).contains(&column.distinct))
        .filter(|column| {
            matches!(column.kind, Kind::Text | Kind::Units(_)) || column.is_number() && column.is_whole
        })
        .map(|column| (twice(Some(column.index)), column))
        .filter(|(after, _)| after * 4 <= before)
        .min_by_key(|(after, column)| {
            (*after, std::cmp::Reverse(column.words.says(Role::Part)), column.distinct)
        })
        .map(|(_, column)| (column, before))
}
