//! The order of an analysis: shape, time, meter, values, unit, zone; and the profile that comes of it.

use super::column::{Column, Kind, values};
use super::draft::{Draft, Meter, Time};
use super::finding::{Findings, TrapKind};
use super::numbers::{Signs, signs};
use super::sample::Sample;
use super::table::Table;
use super::trial::Trial;
use super::what::{meter, part, taken};
use super::when::{Source, When};
use super::words::{Role, Words};
use super::{Asked, Profile, Proposal, clock, measure, zones};
use crate::decode::{Refusal, is_meter_id};

/// A file under analysis.
pub(super) struct Analysis<'a> {
    pub(super) table: &'a Table,
    pub(super) columns: Vec<Column>,
    pub(super) sample: &'a Sample,
    pub(super) asked: &'a Asked<'a>,
    pub(super) signs: Signs,
    pub(super) found: Findings,
}

/// Puts a profile together and tries it.
pub(super) fn propose(table: &Table, sample: &Sample, asked: &Asked<'_>) -> Proposal {
    let columns = Column::all(table);
    let numbers = columns.iter().filter(|column| column.is_number());
    let signs = signs(numbers.flat_map(|column| values(table, column.index)), table.delimiter);
    let mut analysis = Analysis { table, columns, sample, asked, signs, found: Findings::default() };
    analysis.shape();
    let profile = analysis.profile();
    let mut found = analysis.found;
    found.doubts.sort_by_key(|doubt| !doubt.blocks);
    Proposal {
        profile,
        reasons: found.reasons,
        doubts: found.doubts,
        traps: found.traps,
        registers: found.registers,
    }
}

impl Analysis<'_> {
    fn shape(&mut self) {
        let (table, found) = (self.table, &mut self.found);
        let delimiter = char::from(table.delimiter);
        if delimiter != ',' {
            let shown = if delimiter == '\t' { "a tab".to_owned() } else { format!("`{delimiter}`") };
            found.because(
                "delimiter",
                shown,
                format!("it cuts the rows into {} fields each", table.names.len()),
            );
        }
        if let Some(first) = table.preamble.first() {
            let shown: String = first.chars().take(40).collect();
            let lines = table.preamble.len();
            found.because(
                "preamble",
                lines.to_string(),
                format!("{lines} lines before the header, from `{shown}` on"),
            );
        }
        if let Some(why) = table.names_unused {
            found.because("header", "false", format!("{why}: columns are found by position"));
        } else if !table.has_header {
            found.because("header", "false", "the first line is a row already");
            found.doubt(
                "header",
                "nothing names the columns: what each is for was guessed from its values",
                &[],
                "compare the first readings with the file, or ask the sender for a header",
            );
        }
        if !table.skip.is_empty() {
            found.because("skip", table.skip.join(" | "), "lines that begin so are no rows");
        }
        if let Some(line) = table.odd_lines.first() {
            let count = table.odd_lines.len();
            found.doubt(
                "skip",
                format!(
                    "{count} lines are no rows like the others, such as `{line}`: they go to the error queue"
                ),
                &[],
                "if they are totals or comments, say in `skip` how they begin",
            );
        }
        if table.guarded {
            found.because("guarded", "true", "fields are written =\"…\" to keep spreadsheets off");
        }
        if !self.sample.is_utf8 {
            found.lack(
                "encoding",
                "the bytes are not UTF-8, perhaps Latin-1 or Windows-1252: letters with accents are not read as they are",
                "save the file as UTF-8",
            );
        }
        self.numerals();
    }

    fn numerals(&mut self) {
        let found = &mut self.found;
        if self.signs.decimal == ',' {
            found.because("decimal", "`,`", "numbers such as 0,25");
        }
        if let Some(sign) = self.signs.thousands {
            found.because("thousands", format!("`{sign}`"), "groups of three digits");
        }
        if self.signs.unsure {
            let (this, other) = if self.signs.decimal == ',' { (",", ".") } else { (".", ",") };
            found.doubt(
                "decimal",
                format!(
                    "`{this}` was taken for the decimal sign, but every number has three digits after it"
                ),
                &[&format!("`{this}` stands between thousands, `decimal = \"{other}\"`")],
                "look at the size of the first readings",
            );
        }
    }

    fn profile(&mut self) -> Option<Profile> {
        let table = self.table;
        let Some(when) = When::find(table, &self.columns) else {
            self.found.lack(
                "columns.timestamp",
                "no column holds dates or times",
                "a reading needs its time: ask the sender for it, or name the column in the profile by hand",
            );
            return None;
        };
        let used = taken(&when);
        let ids = meter(table, &self.columns, &used).map(|column| column.index);
        let texts = When::texts(table, when.source);
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
                format!("{}\u{1f}{}\u{1f}{number}", text(&keys), text(&texts))
            })
            .collect();
        let mut not_part = used.clone();
        not_part.extend(ids);
        let part =
            part(table, &self.columns, &not_part, &moments).map(|(column, count)| (column.index, count));
        if let Some((at, _)) = part {
            for (key, more) in keys.iter_mut().zip(values(table, at)) {
                key.push('-');
                key.push_str(more);
            }
        }
        let whose = self.whose(ids, part)?;
        let time = clock::time(self, &when, &texts, &keys)?;
        not_part.extend(part.map(|(at, _)| at));
        let amount = measure::amount(self, &when, &not_part, &keys, &time)?;
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
            label: time.label,
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

    /// Whose the readings are.
    fn whose(&mut self, ids: Option<usize>, part: Option<(usize, usize)>) -> Option<Meter> {
        let table = self.table;
        let evidence = |at: usize| {
            let first = values(table, at).find(|id| !id.is_empty()).unwrap_or("");
            format!("{} holds ids such as `{first}`", table.named(at))
        };
        match (ids, part) {
            (Some(at), Some((more, twice))) => {
                self.found.because(
                    "columns.meter_parts",
                    format!("{}, {}", table.named(at), table.named(more)),
                    format!(
                        "{}; {twice} rows have the meter and time of another, and {} tells them apart",
                        evidence(at),
                        table.named(more)
                    ),
                );
                return Some(Meter::Parts(vec![table.reference(at), table.reference(more)]));
            }
            (Some(at), None) => {
                self.found.because("columns.meter", table.named(at), evidence(at));
                return Some(Meter::Column(table.reference(at)));
            }
            (None, Some((more, twice))) => {
                self.found.because(
                    "columns.meter",
                    table.named(more),
                    format!("{twice} rows have the time of another, and it tells them apart"),
                );
                self.found.doubt(
                    "columns.meter",
                    format!("{} is all that tells series apart: is it the meter?", table.named(more)),
                    &[],
                    "name the meter's column, or give each meter a file of its own",
                );
                return Some(Meter::Column(table.reference(more)));
            }
            (None, None) => {}
        }
        if let Some((key, id)) = self.meter_in_preamble() {
            self.found.because("meter", format!("fixed `{id}`"), format!("`{key}` before the header"));
            self.found.doubt(
                "meter",
                format!("`{id}` stands in the lines before the header, which profiles do not read: the profile is for this meter only"),
                &["meter = { from_name = \"{meter}.csv\" }, with the id in the file's name"],
                "for files of several meters put the id into their names",
            );
            return Some(Meter::Fixed(id));
        }
        let (pattern, id) = name_pattern(self.asked.name)?;
        self.found.because(
            "meter",
            format!("from_name `{pattern}`"),
            format!("no column holds ids; the file's name says `{id}`"),
        );
        self.found.doubt(
            "meter",
            format!("is `{id}`, from the file's name, the meter?"),
            &["meter = { fixed = \"…\" } for one meter"],
            "rename the file after its meter, or set `meter`",
        );
        Some(Meter::FromName(pattern))
    }

    /// An id in the lines before the header, with what it is called: beside its name, or below it.
    fn meter_in_preamble(&self) -> Option<(String, String)> {
        let names = |key: &str| Words::of(key).says(Role::Meter) > 0;
        let is_id =
            |id: &str| id.len() >= 4 && is_meter_id(id) && id.bytes().any(|byte| byte.is_ascii_digit());
        let found = |key: &str, id: &str| (names(key) && is_id(id)).then(|| (key.to_owned(), id.to_owned()));
        let split = |line: &str| -> Vec<String> {
            let parts = line.split([char::from(self.table.delimiter), ':', '=']);
            parts.map(|part| part.trim().trim_matches('"').to_owned()).collect()
        };
        let lines: Vec<Vec<String>> = self.table.preamble.iter().map(|line| split(line)).collect();
        let beside =
            |line: &Vec<String>| line.iter().zip(line.iter().skip(1)).find_map(|(key, id)| found(key, id));
        let below = |(above, line): (&Vec<String>, &Vec<String>)| {
            if above.len() != line.len() {
                return None;
            }
            above.iter().zip(line).find_map(|(key, id)| found(key, id))
        };
        lines.iter().find_map(beside).or_else(|| lines.iter().zip(lines.iter().skip(1)).find_map(below))
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

/// What to call a profile for files of this name.
fn feed_name(name: &str) -> String {
    let base = crate::decode::name::base(name);
    let stem = base.split('.').next().unwrap_or(base).to_lowercase();
    let words = stem.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 1);
    let name = words.take(3).collect::<Vec<_>>().join("_");
    if name.is_empty() { "supplier".to_owned() } else { name }
}

/// How a file's name tells its meter, and which it is: the only part of it that looks like an id, or all.
fn name_pattern(name: &str) -> Option<(String, String)> {
    let base = crate::decode::name::base(name);
    let (stem, suffix) = base.rsplit_once('.').map_or((base, ""), |(stem, _)| base.split_at(stem.len()));
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let ids = stem.split(['_', ' ', '-']).filter(|part| part.len() >= 6 && digits(part) >= 4);
    let id = match ids.collect::<Vec<_>>().as_slice() {
        [id] if digits(stem) == digits(id) => *id,
        _ => stem,
    };
    let (before, after) = stem.split_once(id)?;
    let fits = is_meter_id(id) && !before.contains('{') && !after.contains('{');
    fits.then(|| (format!("{before}{{meter}}{after}{suffix}"), id.to_owned()))
}

/// Labels that name starts need no interval; a wide row always does.
pub(super) const fn is_wide(source: Source) -> bool {
    matches!(source, Source::Wide { .. } | Source::Slot(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_tells_its_meter_and_a_name_for_the_profile() {
        for (name, feed, pattern, meter) in [
            ("lastgang_1EMH0012345.csv", "lastgang_emh", "lastgang_{meter}.csv", "1EMH0012345"),
            ("Export-2026-03.csv", "export", "{meter}.csv", "Export-2026-03"),
            ("in/2026.txt.gz", "supplier", "{meter}.txt", "2026"),
        ] {
            assert_eq!(feed_name(name), feed, "{name}");
            assert_eq!(name_pattern(name), Some((pattern.to_owned(), meter.to_owned())), "{name}");
        }
    }
}
