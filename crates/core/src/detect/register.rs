//! Columns of cumulative registers: the meter's counter, where what was used is the difference of two.

use rustc_hash::{FxHashMap, FxHashSet};

use super::analysis::Analysis;
use super::column::{Column, values};
use super::finding::{Register, TrapKind};
use super::numbers::Signs;
use super::table::Table;
use super::what::Groups;
use super::words::Role;

/// Steps that must not fall before a column is a register by that alone: fewer may be a morning.
const STEPS: usize = 24;

/// How often a register has been seen to move, and which way.
#[derive(Default)]
struct Steps {
    up: usize,
    down: usize,
    same: usize,
    /// The different steps up.
    rises: FxHashSet<u64>,
    largest: f64,
    /// The value nearest to zero.
    least: f64,
}

impl Steps {
    fn of(table: &Table, column: &Column, keys: &[String], signs: Signs) -> Steps {
        let mut steps = Steps { least: f64::INFINITY, ..Steps::default() };
        let mut last: FxHashMap<&str, f64> = FxHashMap::default();
        for (row, text) in values(table, column.index).enumerate() {
            if table.breaks.contains(&row) {
                last.clear();
            }
            let Some(value) = signs.read(text) else { continue };
            steps.least = steps.least.min(value.abs());
            let Some(before) = last.insert(keys.get(row).map_or("", String::as_str), value) else { continue };
            let step = value - before;
            steps.largest = steps.largest.max(step.abs());
            if step > 0.0 {
                steps.up += 1;
            } else if step < 0.0 {
                steps.down += 1;
            } else {
                steps.same += 1;
            }
            steps.rises.insert(step.abs().to_bits());
        }
        // newest first, it falls all the time
        if steps.down > steps.up {
            std::mem::swap(&mut steps.up, &mut steps.down);
        }
        steps
    }

    fn all(&self) -> usize {
        self.up + self.down + self.same
    }

    /// Whether it never goes back, but for an exchange of the meter.
    fn never_falls(&self) -> bool {
        self.down * 200 <= self.all()
    }

    fn is_register(&self, column: &Column) -> bool {
        let named = column.words.says(Role::Register) > 0;
        // thousands of kilowatt-hours that grow by little: no interval is like that
        let is_high = self.up > 0 && self.least > 20.0 * self.largest;
        let enough = self.all() >= if named || is_high { 4 } else { STEPS };
        enough && self.never_falls() && self.up * 4 >= self.all() && self.rises.len() > 1
    }
}

/// Notes the columns that are cumulative registers, and leaves them out where others hold what was used.
pub(super) fn leave_out(analysis: &mut Analysis<'_>, groups: &mut Groups, keys: &[String]) {
    let table = analysis.table;
    let columns = groups.iter().flatten().filter_map(|at| analysis.columns.get(*at));
    let (mut found, mut never_fall) = (Vec::new(), Vec::new());
    for column in columns {
        let steps = Steps::of(table, column, keys, analysis.signs);
        if steps.never_falls() {
            never_fall.push(column.index);
        }
        if steps.is_register(column) {
            found.push(Register {
                position: column.index + 1,
                name: table.names.get(column.index).cloned().unwrap_or_default(),
                evidence: format!(
                    "of {} steps {} go up, {} down, {} stay",
                    steps.all(),
                    steps.up,
                    steps.down,
                    steps.same
                ),
            });
        }
    }
    if found.is_empty() {
        return;
    }
    let places: Vec<String> = found
        .iter()
        .map(|register| format!("{} ({})", table.named(register.position - 1), register.evidence))
        .collect();
    let text = format!("cumulative registers, the meter's counters: {}", places.join(", "));
    analysis.trap(TrapKind::Register, text.clone());
    // beside a counter that rises, one that stands still is a counter, too
    let is_used = |group: &Vec<usize>| !group.iter().any(|at| never_fall.contains(at));
    if groups.iter().any(is_used) {
        groups.retain(is_used);
        analysis.found.because(
            "columns.value",
            "no register",
            format!("{text}; other columns hold what was used"),
        );
    } else {
        analysis.found.takes_registers = true;
        analysis.found.because("registers", "true", text);
        analysis.found.doubt(
            "registers",
            "the values were taken for the meter's counters, of which a reading is the difference to the next",
            &["without `registers`: values of intervals that grew all the time"],
            "look whether the first readings are as large as they should be",
        );
    }
    analysis.found.registers = found;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], name: &str, expected: bool) {
        let rows = values.iter().map(|value| vec![(*value).to_owned()]).collect();
        let table = Table { names: vec![name.to_owned()], has_header: true, rows, ..Table::default() };
        let column = Column::all(&table).remove(0);
        let signs = Signs { decimal: '.', thousands: None, unsure: false };
        let steps = Steps::of(&table, &column, &vec![String::new(); values.len()], signs);
        assert_eq!(steps.is_register(&column), expected, "{name} {values:?}");
    }

    #[test]
    fn a_counter_never_falls_and_an_interval_value_does() {
        let counter: Vec<String> = (0..40).map(|n: u32| format!("{}", n * n)).collect();
        let counter: Vec<&str> = counter.iter().map(String::as_str).collect();
        check(&counter, "value", true);
        check(&counter[..20], "value", false);
        check(&counter[..20], "Zählerstand", true);
        let backwards: Vec<&str> = counter.iter().rev().copied().collect();
        check(&backwards, "value", true);
        check(&["6199.529", "6199.557", "6199.565", "6199.565", "6199.6", "6199.7"], "Import kWh", true);
        check(&["0.2", "0.3", "0.1", "0.4", "0.2", "0.3"].repeat(8), "value", false);
        check(&["1"; 40], "value", false);
    }
}
