//! What decides verdicts: the part of the configuration that goes into the journal, and what it is
//! once it is checked and ready for use.

use std::collections::BTreeMap;

use greenstream_core::decode::Feed;
use greenstream_core::{Limits, Power, Range, Zone};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::named::parse_feed;
use super::registry::{self, Registered};
use super::{ConfigError, ConfigProblem};

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
