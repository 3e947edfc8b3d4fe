//! The order of an analysis: shape, time, meter, values, unit, zone; and the profile that comes of it.

use super::column::{Column, Kind, values};
use super::draft::{Draft, Label, Time};
use super::finding::{Findings, TrapKind};
use super::numbers::{Signs, signs};
use super::sample::Sample;
use super::table::Table;
use super::trial::Trial;
use super::what::{meter, part, taken};
use super::when::{Source, When};
use super::whose::feed_name;
use super::{Asked, Profile, Proposal, clock, measure, zones};
use crate::decode::Refusal;

/// A file under analysis.
pub(super) struct Analysis<'a> {
    pub(super) table: &'a Table,
    pub(super) columns: Vec<Column>,
    pub(super) sample: &'a Sample,
    pub(super) asked: &'a Asked<'a>,
    pub(super) signs: Signs,
    pub(super) found: Findings,
}

/// The order in which reasons are told: as a profile has its keys.
const KEYS: [&str; 23] = [
    "delimiter",
    "header",
    "preamble",
    "skip",
    "meter",
    "columns.meter",
    "columns.meter_parts",
    "time_zone",
    "time_format",
    "columns.timestamp",
    "interval",
    "registers",
    "label",
    "unit",
    "columns.unit",
    "decimal",
    "thousands",
    "missing",
    "guarded",
    "columns.value",
    "columns.values",
    "columns.slot",
    "columns.slots",
];

/// Puts a profile together and tries it.
pub(super) fn propose(table: &Table, sample: &Sample, asked: &Asked<'_>) -> Proposal {
    let columns = Column::all(table);
    let numbers = columns.iter().filter(|column| column.is_number());
    let signs = signs(numbers.flat_map(|column| values(table, column.index)), table.delimiter);
    let mut analysis = Analysis { table, columns, sample, asked, signs, found: Findings::default() };
    analysis.shape();
    analysis.other_meters();
    let profile = analysis.profile();
    let mut found = analysis.found;
    found.doubts.sort_by_key(|doubt| !doubt.blocks);
    found.reasons.sort_by_key(|reason| KEYS.iter().position(|key| *key == reason.key));
    Proposal {
        profile,
        reasons: found.reasons,
        doubts: found.doubts,
        traps: found.traps,
        registers: found.registers,
    }
}

impl Analysis<'_> {
    fn profile(&mut self) -> Option<Profile> {
        let table = self.table;
        let Some(when) = When::find(table, &self.columns) else {
            let (question, settle) = match self.range() {
                Some(range) => (
                    format!(
                        "times stand as ranges in one field, such as `{range}`: profiles read one time a field"
                    ),
                    "put start and end into columns of their own",
                ),
                None => (
                    "no column holds dates or times".to_owned(),
                    "a reading needs its time: ask the sender for it, or name the column in the profile by hand",
                ),
            };
            self.found.lack("columns.timestamp", question, settle);
            return None;
        };
        let used = taken(&when);
        let ids = meter(table, &self.columns, &used).map(|column| column.index);
        let texts = When::texts(table, when.source);
        let mut not_part = used.clone();
        not_part.extend(ids);
        let (keys, part) = self.series(&when, ids, &texts, &not_part);
        let whose = self.whose(ids, part)?;
        let time = clock::time(self, &when, &texts, &keys)?;
        not_part.extend(part.map(|(at, _)| at));
        let amount = measure::amount(self, &when, &not_part, &keys, &time)?;
        let is_energy = amount.unit.is_some_and(|unit| unit.ends_with('h'));
        if self.found.takes_registers && !is_energy {
            self.found.lack("unit", "registers count energy, and the unit is none of energy", "set `unit`");
        }
        let registers = self.found.takes_registers && is_energy;
        let mut draft = Draft {
            name: self.asked.feed.map_or_else(|| feed_name(self.asked.name), str::to_owned),
            delimiter: table.delimiter,
            header: table.has_header,
            preamble: table.preamble.len(),
            skip: table.skip.clone(),
            guarded: table.guarded,
            decimal: self.signs.decimal,
            thousands: self.signs.thousands,
            missing: amount.missing,
            time_zone: None,
            time_format: time.pattern.clone(),
            // a register is read at an instant, whatever its label says
            label: if registers { Label::Start } else { time.label },
            registers,
            interval: time.interval.map(super::pace::interval_text),
            unit: amount.unit,
            unit_column: amount.unit_column,
            units: amount.units,
            meter: whose,
            time: time_columns(table, when.source, time.pattern.is_some()),
            values: amount.values,
        };
        zones::settle(self, &when, &time, &mut draft, keys.first().map(String::as_str));
        self.finish(&draft)
    }

    /// What tells each row's series from others, and the column beside the meter that it takes, with the
    /// number of rows that it tells apart.
    fn series(
        &self,
        when: &When,
        ids: Option<usize>,
        texts: &[String],
        not_part: &[usize],
    ) -> (Vec<String>, Option<(usize, usize)>) {
        let table = self.table;
        let mut keys: Vec<String> = match ids {
            Some(at) => values(table, at).map(str::to_owned).collect(),
            None => vec![String::new(); table.rows.len()],
        };
        let slot = match when.source {
            Source::Slot(_, slot) => Some(slot),
            _ => None,
        };
        let moments: Vec<String> = (0..table.rows.len())
            .map(|row| {
                let number = slot.and_then(|at| table.rows.get(row)?.get(at)).map_or("", String::as_str);
                let text = |all: &[String]| all.get(row).cloned().unwrap_or_default();
                format!("{}\u{1f}{}\u{1f}{number}", text(&keys), text(texts))
            })
            .collect();
        let part =
            part(table, &self.columns, not_part, &moments).map(|(column, count)| (column.index, count));
        if let Some((at, _)) = part {
            for (key, more) in keys.iter_mut().zip(values(table, at)) {
                key.push('-');
                key.push_str(more);
            }
        }
        (keys, part)
    }

    /// Tries the profile on the sample and says what fails.
    fn finish(&mut self, draft: &Draft) -> Option<Profile> {
        let blocking: Vec<String> = self
            .found
            .doubts
            .iter()
            .filter(|doubt| doubt.blocks)
            .map(|doubt| format!("NOT READY: {}", doubt.question))
            .collect();
        let toml = draft.toml(&blocking);
        let sample = self.sample.joined();
        let trial = match Trial::run(&toml, self.asked.name, &sample, self.asked.time_zone) {
            Ok(trial) => trial,
            Err(problem) => {
                let settle = "write the profile by hand: `docs/feeds.md` has every key";
                self.found.lack("profile", format!("the profile does not hold together: {problem}"), settle);
                return None;
            }
        };
        let mut counts: Vec<(String, u64)> = Vec::new();
        let whole = match &trial.decoded {
            Ok(decoded) => {
                for reason in crate::Reason::ALL {
                    let count =
                        decoded.rejects.iter().filter(|reject| reject.reason == reason).count() as u64;
                    counts.extend((count > 0).then(|| (reason.name().to_owned(), count)));
                }
                decoded.row_count() as u64
            }
            Err(Refusal::FeedChanged { rows, reasons, .. }) => {
                counts.extend(reasons.iter().map(|(reason, count)| (reason.name().to_owned(), *count)));
                *rows
            }
            Err(refusal) => {
                self.found.lack(
                    "profile",
                    format!("the sample cannot be read by it: {refusal}"),
                    refusal.hint(),
                );
                0
            }
        };
        counts.retain(|(name, _)| name != "timestamp_no_zone");
        let failed: u64 = counts.iter().map(|(_, count)| count).sum();
        if failed > 0 {
            let list: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
            let question = format!("of {whole} rows looked at, {} do not decode", list.join(", "));
            let settle = "see the rows with `greenstream feeds test FILE` or in the error queue";
            if failed * 5 > whole {
                self.found.lack("profile", question, settle);
            } else {
                self.found.doubt("profile", question, &[], settle);
            }
        }
        Some(Profile { toml, feed: trial.feed })
    }

    /// Whether a column is a unit's, and which names it has.
    pub(super) fn unit_columns(&self) -> impl Iterator<Item = (usize, &[String])> {
        self.columns.iter().filter_map(|column| match &column.kind {
            Kind::Units(units) => Some((column.index, units.as_slice())),
            _ => None,
        })
    }

    pub(super) fn trap(&mut self, kind: TrapKind, text: impl Into<String>) {
        self.found.trap(kind, text);
    }
}

impl Time {
    fn one(column: String, is_date: bool) -> Time {
        if is_date { Time::Date(column) } else { Time::Stamp(column) }
    }
}

fn time_columns(table: &Table, source: Source, has_pattern: bool) -> Time {
    match source {
        Source::Stamp(at) => Time::one(table.reference(at), false),
        Source::Pair(date, time) => Time::Pair(table.reference(date), table.reference(time)),
        Source::Slot(date, slot) => Time::Slot(table.reference(date), table.reference(slot)),
        Source::Wide { date, .. } => Time::one(table.reference(date), has_pattern),
    }
}

/// Labels that name starts need no interval; a wide row always does.
pub(super) const fn is_wide(source: Source) -> bool {
    matches!(source, Source::Wide { .. } | Source::Slot(..))
}
