//! What is wrong with a configuration: which part, where, the text as it stands there, the way out.

use std::path::Path;

use super::keys::{position, value_spans};

/// A configuration that cannot be used. Exit code 78.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// Which part cannot be used.
    pub kind: ConfigProblem,
    /// File, and line or key where known.
    pub place: String,
    /// The offending lines with a mark under the text, where they are known; else empty.
    pub excerpt: String,
    /// What is wrong, with the offending text.
    pub problem: String,
    /// The way out.
    pub hint: String,
}

/// Which part of a configuration cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConfigProblem {
    /// The file cannot be read.
    File,
    /// It is no TOML.
    Syntax,
    /// It has a key that there is not.
    Key,
    /// A key has a value that cannot be used.
    Value,
    /// A feed profile.
    Feed,
    /// The registry of meters.
    Registry,
    /// The configuration that the journal holds.
    Journal,
}

impl ConfigError {
    pub(crate) fn new(
        kind: ConfigProblem,
        place: impl Into<String>,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> ConfigError {
        ConfigError {
            kind,
            place: place.into(),
            excerpt: String::new(),
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    /// What is wrong with a TOML text: its line, its column, and the text itself with a mark under it.
    pub(super) fn toml(
        kind: ConfigProblem,
        place: &str,
        text: &str,
        error: &toml::de::Error,
        hint: &str,
    ) -> ConfigError {
        // its words are `TOML parse error at line 2, column 1`, the excerpt, and the message
        let told = error.to_string();
        let excerpt: Vec<String> =
            told.lines().filter(|line| line.contains('|')).map(without_secret).collect();
        let (line, column) = error.span().map_or((1, 1), |span| position(text, span.start));
        let place = format!("{place}, line {line}, column {column}");
        ConfigError { excerpt: excerpt.join("\n"), ..ConfigError::new(kind, place, error.message(), hint) }
    }

    /// Names the files that a rulebook, which only knows their content, was made of, and where a key's
    /// value stands in `text`, the configuration file.
    pub(super) fn in_file(mut self, file: &Path, text: &str, registry: &Path) -> ConfigError {
        match self.kind {
            ConfigProblem::Value => {
                let spans = value_spans(text);
                // the two limits are wrong together: the place is the first that is set
                let section = format!("{}.", self.place);
                let span = spans.iter().find(|(key, _)| **key == self.place || key.starts_with(&section));
                self.place = match span {
                    Some((key, span)) => {
                        let (line, column) = position(text, span.start);
                        let shown = text.lines().nth(line - 1).unwrap_or_default();
                        self.excerpt = without_secret(&format!("{line} | {shown}"));
                        format!("{}, line {line}, column {column}, key {key}", file.display())
                    }
                    None => format!("{}, key {}", file.display(), self.place),
                };
            }
            ConfigProblem::Registry => {
                self.place = self.place.replacen("registry", &registry.display().to_string(), 1);
            }
            _ => {}
        }
        self
    }
}

/// A line of a configuration as an error shows it: without the value of a key that may be a secret, and
/// without any address, which may have a password in it.
fn without_secret(line: &str) -> String {
    let key = line.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let is_secret = ["token", "webhook", "secret", "password", "key"].iter().any(|word| key.contains(word));
    match line.split_once('=') {
        Some((key, _)) if is_secret => format!("{key}= (not shown)"),
        _ => match line.find("://") {
            Some(at) => format!("{}:// (not shown)", &line[..at]),
            None => line.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_shows_no_secret() {
        for (line, shown) in [
            ("3 | workers = \"two\"", "3 | workers = \"two\""),
            ("3 | token = \"canary\"", "3 | token = (not shown)"),
            ("3 | webhok = \"https://a:canary@b\"", "3 | webhok = \"https:// (not shown)"),
            ("3 | https://canary", "3 | https:// (not shown)"),
            ("  |   ^^^^", "  |   ^^^^"),
        ] {
            assert_eq!(without_secret(line), shown);
        }
    }
}
