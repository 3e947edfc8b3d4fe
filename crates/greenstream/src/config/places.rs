//! Where landing zone, archive and queues are, as the configuration names them.

use std::path::PathBuf;

use super::{Address, Config, ConfigError, ConfigProblem, File, NatsKeys, ObjectsKeys, SqsKeys};
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

    /// The queue, with the region that it is in.
    #[must_use]
    pub fn sqs(&self) -> SqsKeys {
        let mut keys = self.file.trigger.sqs.clone();
        keys.region = keys.region.or_else(|| self.file.objects.region.clone());
        keys
    }

    /// The NATS server, with the whole path of its credentials.
    #[must_use]
    pub fn nats(&self) -> NatsKeys {
        let mut keys = self.file.trigger.nats.clone();
        keys.credentials_file = keys.credentials_file.map(|file| self.beside(&file));
        keys
    }
}

/// One for each place whose address cannot be one of an object store, for a lock where there is no bucket, and for a
/// queue that tells of objects where no bucket is named. Nothing is asked of the store.
pub(super) fn check(file: &File) -> Vec<ConfigError> {
    let places = [
        ("landing.url", &file.landing.url),
        ("archive.url", &file.archive.url),
        ("inbox.url", &file.inbox.url),
    ];
    let problem = |(key, url): (&str, &Option<Address>)| match Place::check(url.as_ref()?) {
        Err(error @ ObjectsError::Url { .. }) => Some(unplaced(key, &error)),
        _ => None,
    };
    let mut problems: Vec<_> = places.into_iter().filter_map(problem).collect();
    if file.landing.url.is_none() && file.landing.object_lock_days.is_some() {
        let (key, problem) = ("landing.object_lock_days", "a folder cannot lock what has landed");
        problems.push(ConfigError::new(
            ConfigProblem::Value,
            key,
            problem,
            "set `url` in [landing], or remove it",
        ));
    }
    if file.inbox.url.is_none() {
        let queues = [
            ("trigger.sqs.queue_url", &file.trigger.sqs.queue_url),
            ("trigger.nats.url", &file.trigger.nats.url),
        ];
        problems.extend(queues.into_iter().filter(|(_, url)| url.is_some()).map(|(key, _)| {
            let problem = "a queue tells of objects, and there is no bucket to look for them";
            ConfigError::new(ConfigProblem::Value, key, problem, "set `url` in [inbox] too")
        }));
    }
    problems
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
