//! Which services this build can talk to. A key that names another is refused: to go on without it would
//! put data elsewhere than the configuration says.

use super::table::{KEYS, Kind};
use super::{ConfigError, ConfigProblem, File};

/// The cargo feature that a key's address needs, and whether this build has it.
fn part(key: &str, scheme: &str) -> Option<(&'static str, bool)> {
    Some(match (key, scheme) {
        ("store.url", _) => ("postgres", true),
        ("trigger.sqs.queue_url", _) => ("sqs", cfg!(feature = "sqs")),
        ("trigger.nats.url", _) => ("nats", cfg!(feature = "nats")),
        ("landing.url" | "archive.url" | "inbox.url", "s3") => ("s3", cfg!(feature = "s3")),
        ("landing.url" | "archive.url" | "inbox.url", "gs") => ("gcs", cfg!(feature = "gcs")),
        ("landing.url" | "archive.url" | "inbox.url", "az") => ("azure", cfg!(feature = "azure")),
        _ => return None,
    })
}

/// One for each service that is named and that this build cannot talk to.
pub fn check(file: &File) -> Vec<ConfigError> {
    refused(file, part)
}

/// The same for any build: `part` says what is in it.
fn refused(file: &File, part: impl Fn(&str, &str) -> Option<(&'static str, bool)>) -> Vec<ConfigError> {
    let file = serde_json::to_value(file).unwrap_or_default();
    let mut problems = Vec::new();
    for key in KEYS.iter().filter(|key| matches!(key.kind, Kind::Address(_))) {
        let text = file.pointer(&key.pointer()).and_then(serde_json::Value::as_str).unwrap_or_default();
        let Some((scheme, _)) = text.split_once("://") else { continue };
        if let Some((feature, false)) = part(key.name, scheme) {
            let problem = format!("{} names {scheme}://, and this build cannot talk to that", key.name);
            let hint = format!("build it with `--features {feature}`, or leave the key out");
            problems.push(ConfigError::new(ConfigProblem::Value, key.name, problem, hint));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    #[test]
    fn a_service_that_this_build_cannot_talk_to_is_refused_and_no_other() {
        for (key, scheme) in [("store.url", "postgresql"), ("landing.url", "s3"), ("trigger.nats.url", "tls")]
        {
            let mut file = File::default();
            let address = Some(Address::new(format!("{scheme}://canary")));
            match key {
                "store.url" => file.store.url = address,
                "landing.url" => file.landing.url = address,
                _ => file.trigger.nats.url = address,
            }
            let (feature, is_there) = part(key, scheme).unwrap();
            let found = check(&file);
            assert_eq!(found.is_empty(), is_there, "{found:?}");
            let without = |key: &str, scheme: &str| part(key, scheme).map(|(feature, _)| (feature, false));
            let refused = refused(&file, without);
            assert_eq!(refused.len(), 1, "a build without it");
            assert!(refused.iter().all(|error| error.place == key && error.hint.contains(feature)));
        }
        assert!(check(&File::default()).is_empty());
        assert!(part("objects.endpoint", "http").is_none());
    }
}
