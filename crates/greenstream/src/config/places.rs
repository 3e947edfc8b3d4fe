//! Where landing zone and archive are, as the configuration names them.

use std::path::PathBuf;

use super::{Address, Config, ConfigError, ConfigProblem, File, ObjectsKeys};
use crate::objects::{Error as ObjectsError, Place, Settings};

impl ObjectsKeys {
    /// For a place in a store, whose objects are locked for so many days (or as its bucket says).
    #[must_use]
    pub fn settings(&self, object_lock_days: Option<u32>) -> Settings {
        Settings {
            endpoint: self.endpoint.as_deref().map(str::to_owned),
            region: self.region.clone(),
            retries_max: self.retries_max,
            request_seconds: self.request_seconds,
            object_lock_days,
        }
    }
}

impl Config {
    /// Where the landing zone is, for a home that would have it in `folder`.
    ///
    /// # Errors
    /// A [`ConfigError`] where the URL or the settings cannot be used.
    pub fn landing(&self, folder: PathBuf) -> Result<Place, ConfigError> {
        let keys = &self.file.landing;
        let settings = self.file.objects.settings(keys.object_lock_days);
        place("landing.url", keys.url.as_ref(), &settings, folder)
    }

    /// Where the archive is, for a home that would have it in `folder`.
    ///
    /// # Errors
    /// As [`Config::landing`].
    pub fn archive(&self, folder: PathBuf) -> Result<Place, ConfigError> {
        let settings = self.file.objects.settings(None);
        place("archive.url", self.file.archive.url.as_ref(), &settings, folder)
    }
}

/// One for each place whose address cannot be one of an object store. Nothing is asked of the store.
pub(super) fn check(file: &File) -> Vec<ConfigError> {
    let places = [("landing.url", &file.landing.url), ("archive.url", &file.archive.url)];
    let problem = |(key, url): (&str, &Option<Address>)| match Place::check(url.as_ref()?) {
        Err(error @ ObjectsError::Url { .. }) => Some(unplaced(key, &error)),
        _ => None,
    };
    places.into_iter().filter_map(problem).collect()
}

fn place(
    key: &str,
    url: Option<&Address>,
    settings: &Settings,
    folder: PathBuf,
) -> Result<Place, ConfigError> {
    let Some(url) = url else { return Ok(Place::Folder(folder)) };
    Place::open(url, settings).map_err(|error| unplaced(key, &error))
}

/// What is wrong with the address of a place.
pub(super) fn unplaced(key: &str, error: &ObjectsError) -> ConfigError {
    ConfigError::new(ConfigProblem::Value, key, crate::process::with_causes(error), error.hint())
}
