//! Configuration: one TOML file, everything with a default, and the registry of meters.
//!
//! What decides verdicts (feeds, registry, thresholds, reporting zone, time-zone tables) is a
//! [`Rulebook`]: it goes into the journal as a configuration entry, so that the result stays a
//! function of the landing zone. The rest (addresses, intervals, sizes) only moves work about.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use greenstream_core::decode::Feed;
use greenstream_core::{Limits, Power, Range, Zone};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::landing::UPLOAD_BYTES_MAX;
use crate::objects::{Error as ObjectsError, Place, Settings};

mod bounds;
mod error;
mod keys;
pub mod registry;
mod token;

use registry::Registered;

pub use error::{ConfigError, ConfigProblem};
pub use keys::{position, value_spans};
pub use token::{TOKEN_VARIABLE, Token};

/// `greenstream.toml`, every key optional.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// The zone whose days rule 4 counts and reports use; an IANA name. Default `UTC`.
    pub reporting_zone: String,
    /// The feed of files that no profile's name pattern takes. Default `default`.
    pub default_feed: String,
    /// Folder of further feed profiles, `NAME.toml` each, beside the configuration file. Default `feeds`.
    pub feeds: PathBuf,
    /// The registry of meters, beside the configuration file. Default `meters.csv`, if it is there.
    pub registry: Option<PathBuf>,
    /// Limits of meters that the registry does not name.
    pub limits: LimitsKeys,
    /// Where raw bytes and journal are.
    pub landing: LandingKeys,
    /// The Delta tables.
    pub archive: ArchiveKeys,
    /// What all object stores share.
    pub objects: ObjectsKeys,
    /// Where alerts go besides the log.
    pub alerts: AlertKeys,
    /// The service's pages, API and metrics.
    pub serve: ServeKeys,
    /// What an upload over HTTP may take.
    pub upload: UploadKeys,
    /// Sizes.
    pub sizes: SizeKeys,
}

/// `[limits]`
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsKeys {
    /// Lowest valid power in kW. Default 0.
    pub power_kw_min: f64,
    /// Highest valid power in kW. Default 10.
    pub power_kw_max: f64,
}

/// `[landing]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LandingKeys {
    /// A bucket or folder by its URL. Default none: `landing/` of the home.
    pub url: Option<String>,
    /// Days for which what has landed may not be changed or removed, in a bucket with Object Lock. Default none:
    /// what the bucket itself says.
    pub object_lock_days: Option<u32>,
}

/// `[objects]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectsKeys {
    /// Address of the server, where it is not the cloud's own. Default none.
    pub endpoint: Option<String>,
    /// The region of the buckets. Default none: that of the environment.
    pub region: Option<String>,
    /// How often a request is tried again before the outage is one. Default 5.
    pub retries_max: u32,
    /// Longest time for one request, in seconds; after as much in all no try begins. Default 30.
    pub request_seconds: u64,
}

/// `[archive]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveKeys {
    /// A bucket or folder by its URL. Default none: `archive/` of the home.
    pub url: Option<String>,
    /// Longest time from a commit to the archive, in seconds, for days still open. Default 60.
    pub lag_seconds: u64,
    /// The same for corrections of closed days. Default 900.
    pub closed_day_lag_seconds: u64,
    /// How long replaced files stay for readers of an older snapshot. Default 600.
    pub retention_seconds: u64,
}

/// `[alerts]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertKeys {
    /// `http://` or `https://` address that takes a POST of JSON for each alert.
    pub webhook: Option<String>,
}

/// `[serve]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeKeys {
    /// Address to listen on. Default `127.0.0.1:8321`; only loopback is accepted without a token.
    pub listen: String,
    /// The file with the token that callers must show, beside the configuration file. Default none; the
    /// variable `GREENSTREAM_TOKEN` goes before it.
    pub token_file: Option<PathBuf>,
    /// Connections open at the same time. Default 2,048; further ones are told to come again.
    pub connections_max: usize,
    /// Longest time for the head of a request, and from one request to the next, in seconds. Default 10.
    pub head_seconds: u64,
}

/// `[upload]`
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct UploadKeys {
    /// Largest body in bytes as sent. Default 4 GiB, which is also the most that lands.
    pub bytes_max: u64,
    /// Longest silence within a body, in seconds. Default 10.
    pub gap_seconds: u64,
    /// Longest time for a whole body, in seconds. Default 3,600.
    pub body_seconds: u64,
    /// Slowest body in bytes a second, counted after the first `gap_seconds`. Default 1,000.
    pub rate_min: u64,
    /// Bytes of the disk that an upload must leave free. Default 256 MiB.
    pub free_bytes_min: u64,
}

/// `[sizes]`
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SizeKeys {
    /// Largest decoded content of one upload in bytes. Default 1 GiB; more is a dead letter.
    pub upload_bytes_max: u64,
    /// Readings held in memory as context of the rules, 16 bytes each. Default 7,000,000.
    pub window_readings: usize,
    /// Bytes of readings held for the archive before a closed day is written early. Default 96 MiB: a day of 50,000 meters, and what comes late for the day before.
    pub archive_buffer_bytes: usize,
    /// Rows in one database transaction of several uploads. Default 200,000.
    pub commit_rows: usize,
    /// Threads that decode. Default: one for each core, at most 8.
    pub workers: usize,
}

impl Default for File {
    fn default() -> Self {
        File {
            reporting_zone: "UTC".to_owned(),
            default_feed: "default".to_owned(),
            feeds: PathBuf::from("feeds"),
            registry: None,
            limits: LimitsKeys::default(),
            landing: LandingKeys::default(),
            archive: ArchiveKeys::default(),
            objects: ObjectsKeys::default(),
            alerts: AlertKeys::default(),
            serve: ServeKeys::default(),
            upload: UploadKeys::default(),
            sizes: SizeKeys::default(),
        }
    }
}

impl Default for LimitsKeys {
    fn default() -> Self {
        LimitsKeys { power_kw_min: 0.0, power_kw_max: 10.0 }
    }
}

impl Default for ArchiveKeys {
    fn default() -> Self {
        ArchiveKeys { url: None, lag_seconds: 60, closed_day_lag_seconds: 900, retention_seconds: 600 }
    }
}

impl Default for ObjectsKeys {
    fn default() -> Self {
        ObjectsKeys { endpoint: None, region: None, retries_max: 5, request_seconds: 30 }
    }
}

impl ObjectsKeys {
    /// For a place in a store, whose objects are locked for so many days (or as its bucket says).
    #[must_use]
    pub fn settings(&self, object_lock_days: Option<u32>) -> Settings {
        Settings {
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            retries_max: self.retries_max,
            request_seconds: self.request_seconds,
            object_lock_days,
        }
    }
}

impl Default for ServeKeys {
    fn default() -> Self {
        ServeKeys {
            listen: "127.0.0.1:8321".to_owned(),
            token_file: None,
            connections_max: 2_048,
            head_seconds: 10,
        }
    }
}

impl Default for UploadKeys {
    fn default() -> Self {
        UploadKeys {
            bytes_max: UPLOAD_BYTES_MAX,
            gap_seconds: 10,
            body_seconds: 3_600,
            rate_min: 1_000,
            free_bytes_min: 256 << 20,
        }
    }
}

impl Default for SizeKeys {
    fn default() -> Self {
        SizeKeys {
            upload_bytes_max: 1 << 30,
            window_readings: 7_000_000,
            archive_buffer_bytes: 96 << 20,
            commit_rows: 200_000,
            workers: std::thread::available_parallelism().map_or(1, |n| n.get().min(8)),
        }
    }
}

/// Everything that decides verdicts. Two equal rulebooks give equal results, so a key that this release
/// does not know is refused: a later release wrote it, and its verdicts depend on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rulebook {
    /// An IANA name.
    pub reporting_zone: String,
    /// In milliwatts.
    pub power_mw_min: i64,
    /// In milliwatts.
    pub power_mw_max: i64,
    /// The profiles' TOML texts by name, shipped ones included.
    pub feeds: BTreeMap<String, String>,
    /// The text of the registry; empty where there is none.
    pub registry: String,
    /// The version of the compiled-in time-zone tables.
    pub tzdb: String,
}

/// No profile but the default one, no registry, days of UTC.
impl Default for Rulebook {
    fn default() -> Self {
        let range = Range::default();
        Rulebook {
            reporting_zone: "UTC".to_owned(),
            power_mw_min: range.min.milliwatts(),
            power_mw_max: range.max.milliwatts(),
            feeds: BTreeMap::new(),
            registry: String::new(),
            tzdb: Zone::tables_version().to_owned(),
        }
    }
}

impl Rulebook {
    /// As the content of a configuration entry.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_else(|_| json!({}))
    }

    /// From the content of a configuration entry.
    pub fn from_json(content: &Value) -> Result<Rulebook, ConfigError> {
        serde_json::from_value(content.clone()).map_err(|error| {
            ConfigError::new(
                ConfigProblem::Journal,
                "journal",
                format!("configuration entry cannot be read: {error}"),
                "it was written by another release; use that release, or restore landing/ from a backup",
            )
        })
    }

    /// Checked and ready for use.
    pub fn compile(&self) -> Result<Rules, ConfigError> {
        let zone = Zone::parse(&self.reporting_zone).map_err(|_| {
            ConfigError::new(
                ConfigProblem::Value,
                "reporting_zone",
                format!("unknown time zone {:?}", self.reporting_zone),
                "use an IANA name such as `Europe/London`",
            )
        })?;
        let range = Range {
            min: Power::from_milliwatts(self.power_mw_min),
            max: Power::from_milliwatts(self.power_mw_max),
        };
        if range.min > range.max {
            return Err(ConfigError::new(
                ConfigProblem::Value,
                "limits",
                format!("power_kw_min {} is above power_kw_max {}", range.min, range.max),
                "swap or correct the two",
            ));
        }
        let mut feeds = BTreeMap::from([("default".to_owned(), Feed::default_feed())]);
        for (name, text) in &self.feeds {
            feeds.insert(name.clone(), parse_feed(&format!("feed {name}"), text)?);
        }
        let meters = registry::meters(&self.registry, range, &zone)?;
        Ok(Rules { zone, default_limits: Limits::constant(range), meters, feeds })
    }
}

/// A compiled [`Rulebook`].
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whose days rule 4 counts.
    pub zone: Zone,
    /// For meters that the registry does not name.
    pub default_limits: Limits,
    /// Those it does.
    pub meters: FxHashMap<String, Registered>,
    /// Profiles by name.
    pub feeds: BTreeMap<String, Feed>,
}

impl Rules {
    /// The limits of a meter.
    pub fn limits_of(&self, meter: &str) -> &Limits {
        if self.meters.is_empty() {
            return &self.default_limits;
        }
        self.meters.get(meter).map_or(&self.default_limits, |registered| &registered.limits)
    }

    /// The meter that an upload's name tells, where its feed takes it from there.
    pub fn meter_from_name(&self, feed: &str, upload_name: &str) -> Option<String> {
        self.feeds.get(feed)?.meter_of(upload_name)
    }

    /// The profile for an upload of this name when none is given: one whose pattern takes it, of several
    /// the first that its header fits (those that do not ship before those that do, each in name order);
    /// else the default feed where the header fits it, or else the only profile that goes by its header;
    /// else the default feed. `head` gives the first bytes of the content.
    pub fn feed_for<'a>(
        &'a self,
        upload_name: &str,
        default_feed: &'a str,
        head: impl FnOnce() -> Vec<u8>,
    ) -> &'a str {
        let is_shipped = |name: &str| Feed::built_in().iter().any(|(shipped, _)| *shipped == name);
        let mut claiming: Vec<_> = self.feeds.iter().filter(|(_, feed)| feed.claims(upload_name)).collect();
        if claiming.len() > 1 {
            claiming.sort_by_key(|(name, _)| is_shipped(name));
        }
        if let [(name, _)] = claiming.as_slice() {
            return name;
        }
        let head = head();
        let fits = |feed: &Feed| feed.fits(&head, upload_name);
        let fitting = claiming.iter().find(|(_, feed)| fits(feed)).or(claiming.first());
        if let Some((name, _)) = fitting {
            return name;
        }
        if self.feeds.get(default_feed).is_none_or(fits) {
            return default_feed;
        }
        let mut others = self.feeds.iter().filter(|(_, feed)| feed.by_header && fits(feed));
        match (others.next(), others.next()) {
            (Some((name, _)), None) => name,
            _ => default_feed,
        }
    }
}

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

impl Config {
    /// Where the landing zone is, for a home that would have it in `folder`.
    ///
    /// # Errors
    /// A [`ConfigError`] where the URL or the settings cannot be used.
    pub fn landing(&self, folder: PathBuf) -> Result<Place, ConfigError> {
        let keys = &self.file.landing;
        let settings = self.file.objects.settings(keys.object_lock_days);
        place("landing.url", keys.url.as_deref(), &settings, folder)
    }

    /// Where the archive is, for a home that would have it in `folder`.
    ///
    /// # Errors
    /// As [`Config::landing`].
    pub fn archive(&self, folder: PathBuf) -> Result<Place, ConfigError> {
        let settings = self.file.objects.settings(None);
        place("archive.url", self.file.archive.url.as_deref(), &settings, folder)
    }

    /// The token that callers of the service must show, if one is set.
    ///
    /// # Errors
    /// As [`Token::read`].
    pub fn token(&self) -> Result<Option<Token>, ConfigError> {
        Token::read(&self.beside, self.file.serve.token_file.as_deref())
    }

    /// Reads `path` if it is there (a missing file is the default configuration), the profiles in
    /// its feeds folder and the registry.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let (file, text) = read_file(path)?;
        let in_file = |error: ConfigError| error.in_file(path, &text, path);
        bounds::check(&file).map_err(in_file)?;
        for (key, url) in [("landing.url", &file.landing.url), ("archive.url", &file.archive.url)] {
            let checked = url.as_deref().map_or(Ok(()), Place::check);
            checked.map_err(|error| in_file(unplaced(key, &error)))?;
        }
        let beside = path.parent().unwrap_or(Path::new("."));
        let mut feeds: BTreeMap<String, String> =
            Feed::built_in().into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        read_feeds(&beside.join(&file.feeds), &mut feeds)?;
        let registry_path = beside.join(file.registry.as_deref().unwrap_or(Path::new("meters.csv")));
        let registry = read_registry(&registry_path, file.registry.is_some())?;
        let placed = |error: ConfigError| error.in_file(path, &text, &registry_path);
        let limits = &file.limits;
        let rulebook = Rulebook {
            reporting_zone: file.reporting_zone.clone(),
            power_mw_min: milliwatts("limits.power_kw_min", limits.power_kw_min).map_err(placed)?,
            power_mw_max: milliwatts("limits.power_kw_max", limits.power_kw_max).map_err(placed)?,
            feeds,
            registry,
            tzdb: Zone::tables_version().to_owned(),
        };
        let rules = rulebook.compile().map_err(placed)?;
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
            return Err(placed(ConfigError::new(ConfigProblem::Value, "default_feed", problem, hint)));
        }
        Ok(Config { file, rulebook, beside: beside.to_owned() })
    }
}

/// The keys, and the text they stand in.
fn read_file(path: &Path) -> Result<(File, String), ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((parse_file(&path.display().to_string(), &text)?, text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((File::default(), String::new())),
        Err(error) => {
            let hint = "make the file readable to this user, or name another with `--config FILE`";
            Err(ConfigError::new(
                ConfigProblem::File,
                path.display().to_string(),
                format!("the configuration cannot be read: {error}"),
                hint,
            ))
        }
    }
}

fn parse_file(place: &str, text: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let (kind, hint) = if toml::from_str::<toml::Table>(text).is_err() {
            (ConfigProblem::Syntax, "write it as in the file that `greenstream init --config NEW.toml` makes")
        } else if error.message().starts_with("unknown field") {
            (ConfigProblem::Key, "correct the name, or remove the key; `greenstream check-config` lists all keys once the file is good")
        } else {
            (ConfigProblem::Value, "correct the value, or remove the key to have its default")
        };
        ConfigError::toml(kind, place, text, &error, hint)
    })
}

fn parse_feed(place: &str, text: &str) -> Result<Feed, ConfigError> {
    let hint = "correct the profile; docs/feeds.md has every key";
    toml::from_str(text).map_err(|error| ConfigError::toml(ConfigProblem::Feed, place, text, &error, hint))
}

fn read_feeds(folder: &Path, feeds: &mut BTreeMap<String, String>) -> Result<(), ConfigError> {
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

fn read_registry(path: &Path, named: bool) -> Result<String, ConfigError> {
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

/// Kilowatts from a configuration file as whole milliwatts.
#[expect(clippy::cast_possible_truncation, reason = "checked to be within ±1e12 kW")]
fn milliwatts(key: &str, kw: f64) -> Result<i64, ConfigError> {
    if kw.is_finite() && kw.abs() <= 1e12 {
        return Ok((kw * 1e6).round() as i64);
    }
    Err(ConfigError::new(
        ConfigProblem::Value,
        key,
        format!("{kw} kW is no power"),
        "give a number of kW between -1e12 and 1e12",
    ))
}

fn place(key: &str, url: Option<&str>, settings: &Settings, folder: PathBuf) -> Result<Place, ConfigError> {
    let Some(url) = url else { return Ok(Place::Folder(folder)) };
    Place::open(url, settings).map_err(|error| unplaced(key, &error))
}

fn unplaced(key: &str, error: &ObjectsError) -> ConfigError {
    ConfigError::new(ConfigProblem::Value, key, crate::process::with_causes(error), error.hint())
}
