//! Configuration: one TOML file, everything with a default, and the registry of meters.
//!
//! What decides verdicts (feeds, registry, thresholds, reporting zone, time-zone tables) is a
//! [`Rulebook`]: it goes into the journal as a configuration entry, so that the result stays a
//! function of the landing zone. The rest (addresses, intervals, sizes) only moves work about.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use greenstream_core::Zone;
use greenstream_core::decode::Feed;
use toml::Table;

use crate::store::Database;

mod address;
mod bounds;
mod environment;
mod error;
mod file;
mod keys;
mod named;
mod origin;
mod parts;
mod places;
#[cfg(test)]
mod reference;
pub mod registry;
mod rulebook;
mod secrets;
mod services;
mod store;
mod table;
mod token;

use environment::Overrides;

pub use address::Address;
pub use error::{ConfigError, ConfigProblem};
pub use file::{AlertKeys, File, LimitsKeys, ServeKeys, SizeKeys, UploadKeys};
pub use keys::{position, value_spans};
pub use origin::Origins;
pub use rulebook::{Rulebook, Rules};
pub use services::{
    ArchiveKeys, InboxKeys, LandingKeys, NatsKeys, ObjectsKeys, SqsKeys, StoreKeys, TriggerKeys,
};
pub use table::{KEYS, Key, Kind};
pub use token::{TOKEN_VARIABLE, Token};

/// A configuration file, read together with what it names.
#[derive(Clone, Debug)]
pub struct Config {
    /// The keys.
    pub file: File,
    /// What goes into the journal.
    pub rulebook: Rulebook,
    /// The folder of the file, which the names in it start from.
    beside: PathBuf,
}

/// The keys alone: read, and nothing that they name or mean looked at.
#[derive(Clone, Debug)]
pub struct Keys {
    /// In force: the environment before the file before the defaults.
    pub file: File,
    /// Where each is from.
    pub origins: Origins,
    /// The file alone, as it is written.
    written: Table,
}

impl Keys {
    /// Reads `path` if it is there (a missing file sets nothing) and what the environment sets over it.
    ///
    /// # Errors
    /// All that is no TOML, no key, or of another type than its key.
    pub fn read(path: &Path) -> Result<Keys, Vec<ConfigError>> {
        let one = |error| vec![error];
        let text = read_text(path).map_err(one)?;
        let place = path.display().to_string();
        let (overrides, mut problems) = match Overrides::of_environment() {
            Ok(overrides) => (overrides, Vec::new()),
            Err(problems) => (Overrides::default(), problems),
        };
        let file = match parse_file(&place, &text) {
            Ok(file) if problems.is_empty() => file,
            Ok(_) => return Err(problems),
            Err(error) => {
                problems.insert(0, error);
                return Err(problems);
            }
        };
        let unread = |error: toml::de::Error| one(syntax(&place, &text, &error));
        let written: Table = toml::from_str(&text).map_err(unread)?;
        let file = if overrides.is_empty() {
            file
        } else {
            let mut table = written.clone();
            overrides.apply(&mut table);
            table.try_into().map_err(unread)?
        };
        Ok(Keys { file, origins: Origins::new(path, text, overrides), written })
    }
}

impl Config {
    /// The token that callers of the service must show, if one is set.
    ///
    /// # Errors
    /// As [`Token::read`].
    pub fn token(&self) -> Result<Option<Token>, ConfigError> {
        Token::read(&self.beside, self.file.serve.token_file.as_deref())
    }

    /// Where the database is; none for the file of the home.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the key, and never the password.
    pub fn database(&self) -> Result<Option<Database>, ConfigError> {
        store::database(&self.file.store, &self.beside)
    }

    /// The same of a configuration of which nothing but the keys is read.
    ///
    /// # Errors
    /// As [`Config::database`], and where the file is none.
    pub fn database_of(path: &Path) -> Result<Option<Database>, ConfigError> {
        let keys = Keys::read(path).map_err(|problems| first(path, problems))?;
        store::database(&keys.file.store, path.parent().unwrap_or(Path::new(".")))
    }

    /// A path of the configuration, which starts beside the file.
    #[must_use]
    pub fn beside(&self, path: &Path) -> PathBuf {
        self.beside.join(path)
    }

    /// Reads `path` if it is there (a missing file is the default configuration), the environment, the
    /// profiles in its feeds folder and the registry.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        Keys::read(path).and_then(|keys| Config::of(path, keys)).map_err(|problems| first(path, problems))
    }

    /// Looks at what the keys mean, and reads what they name.
    ///
    /// # Errors
    /// Everything that is wrong with single keys, and the first thing that is wrong with profiles, registry
    /// and zone together.
    pub fn of(path: &Path, keys: Keys) -> Result<Config, Vec<ConfigError>> {
        let Keys { mut file, origins, written } = keys;
        let beside = path.parent().unwrap_or(Path::new("."));
        let mut problems = secrets::check(&written);
        let unfit = bounds::check(&file);
        if unfit.is_empty() {
            problems.extend(parts::check(&file));
            problems.extend(places::check(&file));
        }
        problems.extend(unfit);
        problems.extend(named::check_secret_files(beside, &file));
        // what was found of its keys one by one is not told again
        if problems.iter().all(|problem| !problem.place.starts_with("store.")) {
            problems.extend(store::database(&file.store, beside).err());
        }
        if let Err(error) = named::read_webhook(beside, &mut file.alerts) {
            problems.push(error);
        }
        let registry_path = beside.join(file.registry.as_deref().unwrap_or(Path::new("meters.csv")));
        let rulebook = rulebook(beside, &file, &registry_path);
        let rulebook = rulebook.map_err(|error| problems.push(error));
        match rulebook {
            Ok(rulebook) if problems.is_empty() => Ok(Config { file, rulebook, beside: beside.to_owned() }),
            _ => Err(problems.into_iter().map(|error| origins.locate(error, &registry_path)).collect()),
        }
    }
}

/// The first of several problems.
fn first(path: &Path, problems: Vec<ConfigError>) -> ConfigError {
    let nothing = || ConfigError::new(ConfigProblem::File, path.display().to_string(), "it is wrong", "");
    problems.into_iter().next().unwrap_or_else(nothing)
}

/// What decides verdicts, of the keys and the files that they name.
fn rulebook(beside: &Path, file: &File, registry_path: &Path) -> Result<Rulebook, ConfigError> {
    let mut feeds: BTreeMap<String, String> =
        Feed::built_in().into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    named::read_feeds(&beside.join(&file.feeds), &mut feeds)?;
    let registry = named::read_registry(registry_path, file.registry.is_some())?;
    let limits = &file.limits;
    let rulebook = Rulebook {
        reporting_zone: file.reporting_zone.clone(),
        power_mw_min: milliwatts("limits.power_kw_min", limits.power_kw_min)?,
        power_mw_max: milliwatts("limits.power_kw_max", limits.power_kw_max)?,
        feeds,
        registry,
        tzdb: Zone::tables_version().to_owned(),
    };
    let rules = rulebook.compile()?;
    for (name, feed) in &rules.feeds {
        feed.check().map_err(|error| {
            let place = beside.join(&file.feeds).join(format!("{name}.toml"));
            let hint = "correct the profile; docs/feeds.md has every key";
            ConfigError::new(ConfigProblem::Feed, place.display().to_string(), error.to_string(), hint)
        })?;
    }
    if !rules.feeds.contains_key(&file.default_feed) {
        let problem = format!("no feed is named {:?}", file.default_feed);
        let hint = format!("there are {}", rules.feeds.keys().cloned().collect::<Vec<_>>().join(", "));
        return Err(ConfigError::new(ConfigProblem::Value, "default_feed", problem, hint));
    }
    Ok(rulebook)
}

/// The text of the configuration file; none where it is not there.
fn read_text(path: &Path) -> Result<String, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(ConfigError::new(
            ConfigProblem::File,
            path.display().to_string(),
            format!("the configuration cannot be read: {error}"),
            "make the file readable to this user, or name another with `--config FILE`",
        )),
    }
}

fn parse_file(place: &str, text: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error| syntax(place, text, &error))
}

/// What is wrong with the text of a configuration file, and the way out.
fn syntax(place: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let named = error.span().and_then(|span| text.get(span)).unwrap_or_default();
    let (kind, hint) = if toml::from_str::<Table>(text).is_err() {
        (ConfigProblem::Syntax, "write it as in the file that `greenstream init --config NEW.toml` makes")
    } else if error.message().starts_with("unknown field") {
        let hint = "correct the name, or remove the key; docs/configuration.md has every key";
        (ConfigProblem::Key, secrets::hint_for_unknown(named).unwrap_or(hint))
    } else {
        (ConfigProblem::Value, "correct the value, or remove the key to have its default")
    };
    ConfigError::toml(kind, place, text, error, hint)
}

/// Kilowatts from a configuration file as whole milliwatts.
#[expect(clippy::cast_possible_truncation, reason = "checked to be within ±1e12 kW")]
fn milliwatts(key: &str, kw: f64) -> Result<i64, ConfigError> {
    if kw.is_finite() && kw.abs() <= 1e12 {
        return Ok((kw * 1e6).round() as i64);
    }
    Err(ConfigError::new(
        ConfigProblem::Value,
        key,
        format!("{kw:e} kW is no power"),
        "give a number of kW between -1e12 and 1e12",
    ))
}
