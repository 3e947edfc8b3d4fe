//! Variables of the environment that set keys: `GREENSTREAM__SECTION__KEY`, before the file.

use std::collections::BTreeMap;
use std::ffi::OsString;

use toml::{Table, Value};

use super::table::{KEYS, Key, Kind, VARIABLE_PREFIX};
use super::{ConfigError, ConfigProblem};

/// The keys that the environment sets, by their names, with their values of the right type.
#[derive(Clone, Debug, Default)]
pub struct Overrides(BTreeMap<&'static str, Value>);

impl Overrides {
    /// What the environment of this process sets.
    ///
    /// # Errors
    /// One for each variable that names no key, or whose value is none of its key. None of them tells a value.
    pub fn of_environment() -> Result<Overrides, Vec<ConfigError>> {
        Overrides::of(std::env::vars_os())
    }

    fn of(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Overrides, Vec<ConfigError>> {
        let (mut overrides, mut problems) = (Overrides::default(), Vec::new());
        for (name, value) in variables {
            let name = name.to_string_lossy();
            if !name.starts_with(VARIABLE_PREFIX) {
                continue;
            }
            let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
                problems.push(unknown(&name));
                continue;
            };
            match value.to_str().map(|text| typed(key, text.trim())) {
                // compose and charts pass on what is not set as what is empty
                Some(Ok(None)) => {}
                Some(Ok(Some(value))) => {
                    overrides.0.insert(key.name, value);
                }
                Some(Err(problem)) => problems.push(unfit(key, problem)),
                None => problems.push(unfit(key, "the value is not text")),
            }
        }
        if problems.is_empty() { Ok(overrides) } else { Err(problems) }
    }

    /// Whether it sets nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that it sets.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(|key| self.0.contains_key(key.name))
    }

    /// Puts its values over those of a file.
    pub fn apply(&self, file: &mut Table) {
        for (name, value) in &self.0 {
            let mut table = &mut *file;
            let mut parts = name.split('.').peekable();
            while let Some(part) = parts.next() {
                if parts.peek().is_none() {
                    table.insert(part.to_owned(), value.clone());
                    break;
                }
                let section = table.entry(part).or_insert_with(|| Table::new().into());
                let Value::Table(section) = section else { break };
                table = section;
            }
        }
    }
}

/// The value that a text is for a key; none where it is empty.
fn typed(key: &Key, text: &str) -> Result<Option<Value>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let value = match key.kind {
        Kind::Text | Kind::Address(_) => Value::String(text.to_owned()),
        Kind::Decimal => Value::Float(text.parse().map_err(|_| "the value is no number")?),
        Kind::Whole(..) => {
            let number = text.replace('_', "").parse::<u64>().ok();
            // what TOML cannot hold is out of any key's bounds
            let number = number.and_then(|number| i64::try_from(number).ok());
            Value::Integer(number.ok_or("the value is no whole number")?)
        }
    };
    Ok(Some(value))
}

fn unfit(key: &Key, problem: &str) -> ConfigError {
    let hint = format!("{} takes {}; unset the variable to have the file's value", key.name, key.unit);
    ConfigError::new(ConfigProblem::Value, place(&key.variable()), problem, hint)
}

fn unknown(variable: &str) -> ConfigError {
    let mut nearest: Vec<(usize, String)> =
        KEYS.iter().map(|key| (distance(variable, &key.variable()), key.variable())).collect();
    nearest.sort();
    let hint = match nearest.first() {
        Some((_, name)) => format!("did you mean {name}? docs/configuration.md has every key; or unset it"),
        None => "unset it".to_owned(),
    };
    ConfigError::new(ConfigProblem::Key, place(variable), "no key of the configuration has this name", hint)
}

/// The place of an error in a variable.
pub fn place(variable: &str) -> String {
    format!("environment, variable {variable}")
}

/// How many letters must be put in, taken out or exchanged to make one of the other, whatever their case.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_uppercase().chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.to_uppercase().chars().enumerate() {
        let mut corner = row[0];
        row[0] = line + 1;
        for (column, against) in other.iter().enumerate() {
            let exchanged = corner + usize::from(letter != *against);
            corner = row[column + 1];
            row[column + 1] = exchanged.min(row[column] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;

    fn overrides(variables: &[(&str, &str)]) -> Result<Overrides, Vec<ConfigError>> {
        Overrides::of(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    fn file(text: &str, variables: &[(&str, &str)]) -> File {
        let mut table: Table = toml::from_str(text).unwrap();
        overrides(variables).unwrap().apply(&mut table);
        table.try_into().unwrap()
    }

    #[test]
    fn a_variable_goes_before_the_file_and_the_file_before_the_default() {
        let text = "reporting_zone = \"Europe/London\"\n[limits]\npower_kw_max = 12\n[trigger.sqs]\nregion = \"a\"\n";
        let file = file(
            text,
            &[
                ("GREENSTREAM__LIMITS__POWER_KW_MAX", "12.5"),
                ("GREENSTREAM__TRIGGER__SQS__REGION", " b "),
                ("GREENSTREAM__TRIGGER__NATS__STREAM", "S"),
                ("GREENSTREAM__SIZES__COMMIT_ROWS", "50_000"),
                ("GREENSTREAM__DEFAULT_FEED", "london"),
                ("GREENSTREAM__STORE__URL", ""),
                ("GREENSTREAM_HOME", "not a key"),
            ],
        );
        assert_eq!(file.reporting_zone, "Europe/London");
        assert!((file.limits.power_kw_max - 12.5).abs() < 1e-9);
        assert_eq!(file.trigger.sqs.region.as_deref(), Some("b"));
        assert_eq!((file.trigger.nats.stream.as_str(), file.sizes.commit_rows), ("S", 50_000));
        assert_eq!((file.default_feed.as_str(), file.store.url.is_none()), ("london", true));
        assert_eq!(file.archive.lag_seconds, 60);
    }

    #[test]
    fn every_key_can_be_set_by_its_variable() {
        for key in KEYS {
            let value = match key.kind {
                Kind::Text => "canary".to_owned(),
                Kind::Address(schemes) => format!("{}://canary", schemes[0]),
                Kind::Decimal => "7.25".to_owned(),
                Kind::Whole(min, _) => (min + 1).to_string(),
            };
            let set = serde_json::to_value(file("", &[(&key.variable(), &value)])).unwrap();
            let found = set.pointer(&key.pointer()).unwrap();
            assert_eq!(found.to_string().trim_matches('"'), value, "{}", key.name);
        }
    }

    #[test]
    fn what_names_no_key_or_fits_it_not_is_refused_with_the_way_out_and_without_its_value() {
        for (name, value, problem, hint) in [
            ("GREENSTREAM__STORE__ULR", "canary", "no key", "GREENSTREAM__STORE__URL?"),
            ("GREENSTREAM__limits__power_kw_max", "1", "no key", "GREENSTREAM__LIMITS__POWER_KW_MAX?"),
            ("GREENSTREAM__LIMIT__POWER_MAX", "canary", "no key", "GREENSTREAM__LIMITS__POWER_KW_MAX?"),
            ("GREENSTREAM__", "canary", "no key", "docs/configuration.md"),
            ("GREENSTREAM__SIZES__WORKERS", "canary", "no whole number", "threads"),
            ("GREENSTREAM__SIZES__WORKERS", "2.5", "no whole number", "threads"),
            ("GREENSTREAM__SIZES__WORKERS", "-2", "no whole number", "threads"),
            ("GREENSTREAM__LIMITS__POWER_KW_MIN", "canary", "no number", "kW"),
        ] {
            let problems = overrides(&[(name, value)]).unwrap_err();
            let [error] = problems.as_slice() else { panic!("{problems:?}") };
            assert!(error.problem.contains(problem) && error.hint.contains(hint), "{error:?}");
            assert!(error.place.contains(name) && !format!("{error:?}").contains("canary"), "{error:?}");
        }
        let both = [("GREENSTREAM__A", "1"), ("GREENSTREAM__SIZES__WORKERS", "x")];
        assert_eq!(overrides(&both).unwrap_err().len(), 2, "every one is told");
    }

    #[test]
    fn distances_are_of_letters_whatever_their_case() {
        for (one, other, letters) in
            [("", "", 0), ("a", "A", 0), ("url", "ulr", 2), ("ab", "", 2), ("abc", "xabd", 2)]
        {
            assert_eq!(distance(one, other), letters, "{one} {other}");
            assert_eq!(distance(other, one), letters, "{other} {one}");
        }
    }
}
