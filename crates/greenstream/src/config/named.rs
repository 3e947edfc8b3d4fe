//! What the configuration file names and lies beside it: feed profiles and the registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use greenstream_core::decode::Feed;

use super::bounds::{self, is_of};
use super::table::HTTP_SCHEMES;
use super::{AlertKeys, ConfigError, ConfigProblem, File};

/// A profile from its TOML text.
pub fn parse_feed(place: &str, text: &str) -> Result<Feed, ConfigError> {
    let hint = "correct the profile; docs/feeds.md has every key";
    toml::from_str(text).map_err(|error| ConfigError::toml(ConfigProblem::Feed, place, text, &error, hint))
}

/// Adds the profiles of `folder`, `NAME.toml` each; a folder that is not there has none.
pub fn read_feeds(folder: &Path, feeds: &mut BTreeMap<String, String>) -> Result<(), ConfigError> {
    let unreadable = |path: &Path, error: &std::io::Error| {
        ConfigError::new(
            ConfigProblem::Feed,
            path.display().to_string(),
            format!("the profile cannot be read: {error}"),
            "make the profile readable UTF-8 text",
        )
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(folder, &error)),
    };
    let mut own = 0;
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        let (Some(stem), Some("toml")) =
            (path.file_stem().and_then(|s| s.to_str()), path.extension().and_then(|e| e.to_str()))
        else {
            continue;
        };
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        let place = path.display().to_string();
        bounds::check_length(ConfigProblem::Feed, &place, "profile", text.len(), bounds::FEED_BYTES_MAX)?;
        own += 1;
        if own > bounds::FEEDS_MAX {
            let problem = format!("there are more than {} profiles", bounds::FEEDS_MAX);
            let hint = "move away those that are not used";
            return Err(ConfigError::new(ConfigProblem::Feed, folder.display().to_string(), problem, hint));
        }
        parse_feed(&place, &text)?;
        feeds.insert(stem.to_owned(), text);
    }
    Ok(())
}

/// The text of the registry; empty where none is there and none is `named`.
pub fn read_registry(path: &Path, named: bool) -> Result<String, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let (place, limit) = (path.display().to_string(), bounds::REGISTRY_BYTES_MAX);
            bounds::check_length(ConfigProblem::Registry, &place, "registry", text.len(), limit)?;
            Ok(text)
        }
        Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(ConfigError::new(
            ConfigProblem::Registry,
            path.display().to_string(),
            error.to_string(),
            "name a readable UTF-8 file in `registry`, or leave the key out",
        )),
    }
}

/// One for each file with a password or credentials that is named and cannot be read.
pub fn check_secret_files(beside: &Path, file: &File) -> Vec<ConfigError> {
    let named = [
        ("store.password_file", &file.store.password_file),
        ("trigger.nats.credentials_file", &file.trigger.nats.credentials_file),
    ];
    let unreadable = |(key, path): (&str, &Option<PathBuf>)| {
        let path = beside.join(path.as_deref()?);
        let opened = std::fs::File::open(&path).and_then(|file| file.metadata());
        let problem = match opened {
            Ok(found) if found.is_file() => return None,
            Ok(_) => "it is no file".to_owned(),
            Err(error) => error.to_string(),
        };
        let problem = format!("{} cannot be read: {problem}", path.display());
        let hint = "correct the name, or write the secret there so that only this user may read it";
        Some(ConfigError::new(ConfigProblem::Value, key, problem, hint))
    };
    named.into_iter().filter_map(unreadable).collect()
}

/// Takes the webhook's address from the file that holds it, where one is named.
pub fn read_webhook(beside: &Path, alerts: &mut AlertKeys) -> Result<(), ConfigError> {
    let Some(path) = alerts.webhook_file.as_deref().map(|file| beside.join(file)) else { return Ok(()) };
    let refused = |problem: String, hint: &str| {
        Err(ConfigError::new(ConfigProblem::File, path.display().to_string(), problem, hint))
    };
    if alerts.webhook.is_some() {
        let hint = "leave one of the two out";
        return refused(
            "the webhook's address is set twice, by `webhook` and by `webhook_file`".to_owned(),
            hint,
        );
    }
    let hint = "write the address there, one line that only this user may read";
    match std::fs::read_to_string(&path) {
        Ok(text) if is_of(text.trim(), HTTP_SCHEMES) => alerts.webhook = Some(text.trim().to_owned()),
        Ok(_) => return refused("what it holds is no address of https:// or http://".to_owned(), hint),
        Err(error) => return refused(format!("the webhook's address cannot be read: {error}"), hint),
    }
    Ok(())
}
