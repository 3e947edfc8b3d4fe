//! Which columns hold the values, in what unit, and what in them is no value at all.

use super::analysis::Analysis;
use super::cell::Look;
use super::clock::Timing;
use super::column::values;
use super::draft::Values;
use super::finding::TrapKind;
use super::register;
use super::table::Table;
use super::what::value_groups;
use super::when::{Source, When};
use super::words::{Named, Role, Words, unit_of};
use crate::decode::Unit;

/// Where values stand and what they mean.
pub(super) struct Amount {
    pub(super) values: Values,
    pub(super) unit: Option<&'static str>,
    pub(super) unit_column: Option<String>,
    pub(super) units: Vec<&'static str>,
    pub(super) missing: Vec<String>,
}

/// Numbers that stand for "no value", if no other value is near them.
const SENTINELS: [&str; 12] = [
    "-1", "-99", "-999", "-9999", "-99999", "-999.0", "-9999.0", "999", "9999", "99999", "999999", "9999999",
];

/// Finds out about the values; none where there are none.
pub(super) fn amount(
    analysis: &mut Analysis<'_>,
    when: &When,
    taken: &[usize],
    keys: &[String],
    time: &Timing,
) -> Option<Amount> {
    let table = analysis.table;
    let (columns, values_found) = match when.source {
        Source::Wide { first, count, .. } => {
            let names = format!("{} and the {} columns after it", table.named(first), count - 1);
            analysis.found.because(
                "columns.slots",
                names,
                "as many columns of numbers as the day has intervals",
            );
            let more = analysis
                .columns
                .get(first + count)
                .filter(|column| column.is_number() && column.words.says(Role::Other) == 0);
            if let Some(more) = more.filter(|column| column.filled < table.rows.len()) {
                let text = format!(
                    "{} holds values on few days only, perhaps the hour that comes twice in autumn: it is not read",
                    table.named(more.index)
                );
                analysis.trap(TrapKind::ClockChange, text);
            }
            ((first..first + count).collect::<Vec<_>>(), Values::Slots(table.reference(first), count))
        }
        _ => several(analysis, taken, keys)?,
    };
    let missing = missing(analysis, &columns);
    let (unit, unit_column, units) = unit(analysis, &columns, time);
    if unit.is_some_and(|unit| unit.ends_with('h')) && time.interval.is_none() {
        analysis.found.lack(
            "interval",
            "energy needs the length of its interval to become power",
            "set `interval`",
        );
        return None;
    }
    Some(Amount { values: values_found, unit, unit_column, units, missing })
}

/// The value columns of a row of one time.
fn several(analysis: &mut Analysis<'_>, taken: &[usize], keys: &[String]) -> Option<(Vec<usize>, Values)> {
    let table = analysis.table;
    let (mut groups, left_out) = value_groups(table, &analysis.columns, taken, analysis.signs);
    for (at, why) in left_out {
        let place = table.named(at);
        // what may be a value after all is asked; what surely is none is said
        if analysis
            .columns
            .get(at)
            .is_some_and(|column| column.unit.is_some_and(|unit| unit != Named::Foreign))
        {
            let settle = "name it in `values` if it is what you want";
            analysis.found.doubt("columns.values", format!("{place} is left out: {why}"), &[], settle);
        } else {
            analysis.found.because("columns.values", format!("not {place}"), why);
        }
    }
    register::leave_out(analysis, &mut groups, keys);
    let Some(first) = groups.first().and_then(|group| group.first()).copied() else {
        analysis.found.lack(
            "columns.value",
            "no column holds values",
            "name the column of the values in the profile by hand",
        );
        return None;
    };
    let described =
        |group: &Vec<usize>| group.iter().map(|at| table.named(*at)).collect::<Vec<_>>().join(" plus ");
    if let [at] = groups.concat().as_slice() {
        analysis.found.because(
            "columns.value",
            table.named(*at),
            "the only column of numbers that may be readings",
        );
    }
    for group in groups.iter().filter(|group| group.len() > 1) {
        let question = format!("{} were added up, as tariffs or phases of one register", described(group));
        analysis.found.because(
            "columns.values",
            described(group),
            "tariffs or phases: their names differ in nothing else",
        );
        analysis.found.doubt(
            "columns.values",
            question,
            &["a value of its own for each"],
            "compare a day with its total",
        );
    }
    if groups.len() > 1 {
        let names = groups.iter().map(described).collect::<Vec<_>>().join("; ");
        analysis.found.because("columns.values", names, "each becomes a meter of its own, by a suffix");
    }
    let suffixes = suffixes(table, &groups);
    let columns = groups
        .iter()
        .zip(suffixes)
        .map(|(group, suffix)| {
            let reference = |at: &usize| table.reference(*at);
            let plus = group.iter().skip(1).map(reference).collect();
            (reference(group.first().unwrap_or(&first)), plus, suffix)
        })
        .collect();
    Some((groups.into_iter().flatten().collect(), Values::Columns(columns)))
}

/// What tells the series of several values apart: the words that their names do not share.
fn suffixes(table: &Table, groups: &[Vec<usize>]) -> Vec<String> {
    if groups.len() < 2 {
        return vec![String::new(); groups.len()];
    }
    let tokens: Vec<Vec<String>> = groups
        .iter()
        .map(|group| {
            group
                .first()
                .and_then(|at| table.names.get(*at))
                .map_or_else(Vec::new, |name| Words::of(name).tokens().to_vec())
        })
        .collect();
    let shared = |token: &String| tokens.iter().all(|others| others.contains(token));
    let mut found: Vec<String> = Vec::new();
    for (tokens, group) in tokens.iter().zip(groups) {
        let own: Vec<&str> = tokens
            .iter()
            .filter(|token| !shared(token) && unit_of(token).is_none())
            .map(String::as_str)
            .collect();
        let position = group.first().map_or(0, |at| at + 1);
        let mut suffix: String = format!("-{}", own.join("-")).chars().take(24).collect();
        if own.is_empty() || found.contains(&suffix) {
            suffix = format!("-{position}");
        }
        found.push(suffix);
    }
    found
}

/// Texts and numbers that stand for no value.
fn missing(analysis: &mut Analysis<'_>, columns: &[usize]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let (table, signs) = (analysis.table, analysis.signs);
    let texts = || columns.iter().flat_map(|at| values(table, *at));
    for text in texts().filter(|text| Look::of(text) == Look::Text) {
        if found.len() < 6 && text.len() <= 24 && !found.iter().any(|known| known == text) {
            found.push(text.to_owned());
        }
    }
    if !found.is_empty() {
        let all = found.join(", ");
        analysis.found.because("missing", all.clone(), "texts among the numbers");
        analysis.found.doubt(
            "missing",
            format!("`{all}` was taken for \"no value\""),
            &[],
            "leave out of `missing` what means something else",
        );
    }
    let mut sentinels: Vec<(&str, usize)> = Vec::new();
    for text in texts().filter(|text| SENTINELS.contains(text)) {
        match sentinels.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => sentinels.push((text, 1)),
        }
    }
    let others = || texts().filter(|text| !SENTINELS.contains(text)).filter_map(|text| signs.read(text));
    let (low, high) =
        others().fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    for (text, count) in sentinels {
        let Some(value) = signs.read(text) else { continue };
        let far = if value < 0.0 { low >= 0.0 } else { high < value / 20.0 };
        // a single -1 may be a reading
        if far && (text != "-1" || count > 2) {
            analysis.trap(
                TrapKind::Sentinel,
                format!(
                    "`{text}` stands {count} times, far from all other values: it was taken for \"no value\""
                ),
            );
            analysis.found.because("missing", text, format!("{count} times, far from all other values"));
            found.push(text.to_owned());
        }
    }
    found
}

type UnitKeys = (Option<&'static str>, Option<String>, Vec<&'static str>);

/// The unit: of a column, else of the values' names, else of other words, else by the size of the values.
fn unit(analysis: &mut Analysis<'_>, columns: &[usize], time: &Timing) -> UnitKeys {
    let table = analysis.table;
    let of_column = analysis.unit_columns().next().map(|(at, units)| (at, units.to_vec()));
    if let Some((at, units)) = of_column {
        return unit_column(analysis, at, &units);
    }
    let first = columns.first().and_then(|at| analysis.columns.get(*at));
    let words = Words::of(first.and_then(|column| table.names.get(column.index)).map_or("", String::as_str));
    let (power, energy) = (words.says(Role::Power), words.says(Role::Energy));
    let place = first.map_or_else(String::new, |column| table.named(column.index));
    let texts = || {
        table
            .preamble
            .iter()
            .map(String::as_str)
            .chain([analysis.asked.name])
            .chain(table.names.iter().map(String::as_str))
    };
    let near = || texts().find_map(|text| Some((Words::of(text).unit()?, text)));
    let (unit, is_said) = match (first.and_then(|column| column.unit), near()) {
        (Some(Named::Active(unit)), _) => {
            analysis.found.because("unit", unit.name(), format!("{place}: unit in the header"));
            (unit, true)
        }
        (_, Some((Named::Active(unit), text))) => {
            let text: String = text.chars().take(60).collect();
            analysis.found.because("unit", unit.name(), format!("`{text}` names it"));
            (unit, true)
        }
        _ => (by_size(analysis, columns, power > energy), false),
    };
    if unit.is_energy() && is_said && power > 0 && energy == 0
        || !unit.is_energy() && is_said && energy > 0 && power == 0
    {
        let text = format!(
            "{place}: the name speaks of {}, the unit is {}",
            if power > 0 { "power" } else { "energy" },
            unit.name()
        );
        analysis.trap(TrapKind::EnergyPower, text.clone());
        analysis.found.doubt(
            "unit",
            format!("{text}; the unit was believed"),
            &[other_kind(unit)],
            "compare a day with its total: power summed up must be divided by the intervals of an hour",
        );
    } else if let Some(times) = time
        .interval
        .filter(|length| is_said && unit.is_energy() && *length < 3_600 && !analysis.found.takes_registers)
        .map(|length| 3_600 / length)
    {
        let text = format!(
            "{place}: values are energy per interval; taken for power they would be {times} times too small. The profile converts them"
        );
        analysis.trap(TrapKind::EnergyPower, text);
    }
    (Some(unit.name()), None, Vec::new())
}

const fn other_kind(unit: Unit) -> &'static str {
    match unit {
        Unit::W => "unit = \"Wh\"",
        Unit::Kw => "unit = \"kWh\"",
        Unit::Mw => "unit = \"MWh\"",
        Unit::Wh => "unit = \"W\"",
        Unit::Kwh => "unit = \"kW\"",
        Unit::Mwh => "unit = \"MW\"",
    }
}

/// A guess where no word says the unit.
fn by_size(analysis: &mut Analysis<'_>, columns: &[usize], is_power: bool) -> Unit {
    let table = analysis.table;
    let mut sizes: Vec<f64> = columns
        .iter()
        .flat_map(|at| values(table, *at))
        .filter_map(|text| analysis.signs.read(text))
        .map(f64::abs)
        .filter(|size| *size > 0.0)
        .collect();
    sizes.sort_by(f64::total_cmp);
    let middle = sizes.get(sizes.len() / 2).map_or(0.0, |size| (size * 1e3).round() / 1e3);
    // a counter of kilowatt-hours is large, too
    let is_small_unit = middle > 30.0 && analysis.found.registers.is_empty();
    let unit = match (is_power, is_small_unit) {
        (true, true) => Unit::W,
        (true, false) => Unit::Kw,
        (false, true) => Unit::Wh,
        (false, false) => Unit::Kwh,
    };
    let word = if is_power { "the header's words for power" } else { "no word for power" };
    analysis.found.because("unit", unit.name(), format!("a guess: the middle value is {middle}, and {word}"));
    analysis.trap(
        TrapKind::EnergyPower,
        format!("nothing names the unit: {} was taken, and it may be {}", unit.name(), other_kind(unit)),
    );
    analysis.found.doubt(
        "unit",
        format!("nothing names the unit; by size (the middle value is {middle}) {} was taken", unit.name()),
        &[
            other_kind(unit),
            if matches!(unit, Unit::W | Unit::Wh) { "unit = \"kWh\"" } else { "unit = \"Wh\"" },
        ],
        "ask the sender, or compare a day with its bill",
    );
    unit
}

fn unit_column(analysis: &mut Analysis<'_>, at: usize, names: &[String]) -> UnitKeys {
    let table = analysis.table;
    let place = table.named(at);
    analysis.found.because("columns.unit", place.clone(), format!("it holds {}", names.join(", ")));
    let is_foreign = |text: &str| unit_of(text) == Some(Named::Foreign);
    let foreign = values(table, at).filter(|text| is_foreign(text)).count();
    if foreign > 0 {
        let list: Vec<&str> = names.iter().map(String::as_str).filter(|name| is_foreign(name)).collect();
        let text = format!(
            "{place}: {foreign} of {} rows are in {}, no active energy or power",
            table.rows.len(),
            list.join(", ")
        );
        analysis.trap(TrapKind::Foreign, text.clone());
        if foreign * 5 > table.rows.len() {
            let settle = format!(
                "profiles cannot leave out rows by the value of a column: send the rows of {} in a file of their own",
                list.join(", ")
            );
            analysis.found.lack(
                "columns.unit",
                format!("{text}: so many rows that do not decode make a dead letter"),
                settle,
            );
        } else {
            analysis.found.doubt(
                "columns.unit",
                format!("{text}: they go to the error queue"),
                &[],
                "nothing to do, or leave them out of the file",
            );
        }
    }
    let mut units: Vec<&'static str> = names
        .iter()
        .filter_map(|name| match unit_of(name) {
            Some(Named::Active(unit)) => Some(unit.name()),
            _ => None,
        })
        .filter(|name| !matches!(*name, "W" | "kW"))
        .collect();
    units.sort_unstable();
    units.dedup();
    (None, Some(table.reference(at)), units)
}
