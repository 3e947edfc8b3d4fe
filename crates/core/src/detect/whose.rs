//! Whose the readings are: a column, several, a line before the header, or the file's name.

use super::analysis::Analysis;
use super::column::values;
use super::draft::Meter;
use super::words::{Role, Words};
use crate::decode::is_meter_id;

impl Analysis<'_> {
    /// Whose the readings are.
    pub(super) fn whose(&mut self, ids: Option<usize>, part: Option<(usize, usize)>) -> Option<Meter> {
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
        let found = |key: &str, id: &str| {
            // `EAN 859182400400012345` is a name and an id
            let last = id.rsplit(' ').next().filter(|last| last.len() >= 6 && is_id(last)).unwrap_or(id);
            (names(key) && is_id(last)).then(|| (key.to_owned(), last.to_owned()))
        };
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
}

/// What to call a profile for files of this name.
pub(super) fn feed_name(name: &str) -> String {
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
