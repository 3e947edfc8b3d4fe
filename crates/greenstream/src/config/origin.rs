//! Where each key in force is from: a variable of the environment, a line of the file, or the default.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::environment::{self, Overrides};
use super::error::{ConfigError, ConfigProblem, without_secret};
use super::keys::{position, value_spans};

/// A configuration file's text and what the environment sets over it.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    path: PathBuf,
    text: String,
    spans: BTreeMap<String, Range<usize>>,
    overrides: Overrides,
}

impl Origins {
    pub(super) fn new(path: &Path, text: String, overrides: Overrides) -> Origins {
        Origins { path: path.to_owned(), spans: value_spans(&text), text, overrides }
    }

    /// Where the value of a key is from, in words: `line 3`, `default`, or the variable's name.
    #[must_use]
    pub fn of(&self, key: &str) -> String {
        let set = self.overrides.keys().find(|set| set.name == key);
        match (set, self.spans.get(key)) {
            (Some(set), _) => set.variable(),
            (None, Some(span)) => format!("line {}", position(&self.text, span.start).0),
            (None, None) => "default".to_owned(),
        }
    }

    /// Names the place of an error that only knows its key, with the text as it stands there; and the
    /// `registry`'s path, which a rulebook does not know.
    pub(super) fn locate(&self, mut error: ConfigError, registry: &Path) -> ConfigError {
        match error.kind {
            ConfigProblem::Value => self.locate_key(error),
            ConfigProblem::Registry => {
                error.place = error.place.replacen("registry", &registry.display().to_string(), 1);
                error
            }
            _ => error,
        }
    }

    fn locate_key(&self, mut error: ConfigError) -> ConfigError {
        // the two limits are wrong together: the place is the first that is set
        let section = format!("{}.", error.place);
        let is_meant = |key: &str| key == error.place || key.starts_with(&section);
        if let Some(key) = self.overrides.keys().find(|key| is_meant(key.name)) {
            error.place = environment::place(&key.variable());
        } else if let Some((key, span)) = self.spans.iter().find(|(key, _)| is_meant(key)) {
            let (line, column) = position(&self.text, span.start);
            let shown = self.text.lines().nth(line - 1).unwrap_or_default();
            error.excerpt = without_secret(&format!("{line} | {shown}"));
            error.place = format!("{}, line {line}, column {column}, key {key}", self.path.display());
        } else {
            error.place = format!("{}, key {}", self.path.display(), error.place);
        }
        error
    }
}
