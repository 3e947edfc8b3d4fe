//! What is wrong with a configuration: which part, where, the text as it stands there, the way out.

use super::keys::position;

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
}

/// A line of a configuration as an error shows it: without the value of a key that may be a secret, and
/// without any address, which may have a password in it.
pub(super) fn without_secret(line: &str) -> String {
    let key = line.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let is_secret = ["token", "webhook", "secret", "password", "key"].iter().any(|word| key.contains(word));
    // an address that does not begin as one may be anything, such as a connection string
    let is_unclear = (key.contains("url") || key.contains("endpoint")) && !line.contains("://");
    match line.split_once('=') {
        Some((key, _)) if is_secret || is_unclear => format!("{key}= (not shown)"),
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
            ("3 | url = \"s3://canary@b\"", "3 | url = \"s3:// (not shown)"),
            ("3 | url = \"host=db password=canary\"", "3 | url = (not shown)"),
            ("3 | https://canary", "3 | https:// (not shown)"),
            ("  |   ^^^^", "  |   ^^^^"),
        ] {
            assert_eq!(without_secret(line), shown);
        }
    }
}
