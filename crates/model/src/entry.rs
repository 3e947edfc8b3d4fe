//! What goes in: the entries of the journal, and the configuration.

/// One entry of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Bytes that land.
    Upload(Upload),
    /// An operator's decision about one row.
    Decide(Decision),
    /// `dead-letters retry` of the upload with this sequence number.
    Retry(u32),
}

/// One delivery. Its sequence number is its place among the uploads with bytes not seen before, from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upload {
    /// The name of the file.
    pub name: String,
    /// The content, uncompressed.
    pub bytes: Vec<u8>,
    /// When it lands, in microseconds since the Unix epoch.
    pub landed_at: i64,
    /// How to read it.
    pub feed: Feed,
}

/// The parts of a feed profile that the model knows; the default is the default feed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Feed {
    /// The IANA name of the zone of times without an offset.
    pub time_zone: Option<String>,
    /// Whether the unit `MW` is declared.
    pub megawatts: bool,
    /// The length of an interval in seconds, where `Wh`, `kWh` and `MWh` are declared.
    pub interval_seconds: Option<u32>,
}

/// An operator's decision about one row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The upload of the row, from 1.
    pub upload: u32,
    /// The row within it, from 1.
    pub row_number: u32,
    /// What is decided.
    pub action: Action,
}

/// What an operator can decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The value is right.
    Release,
    /// The value is this one, in milliwatts.
    Edit(i64),
    /// The row is worthless.
    Discard,
    /// The decision in force is taken back: the row is open again, whatever was decided before.
    Undo,
}

/// Valid values, both ends included, in milliwatts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Below it a value is `value_negative`.
    pub min: i64,
    /// Above it a value is `value_above_limit`.
    pub max: i64,
}

/// One row of the meter registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    /// The meter it is about.
    pub meter: String,
    /// From which instant it holds, in microseconds since the Unix epoch; none from the beginning.
    pub valid_from: Option<i64>,
    /// What is valid from then on.
    pub limits: Limits,
    /// The expected interval from then on, in microseconds; none where this row does not say it.
    pub interval: Option<i64>,
}

/// What holds for all data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configuration {
    /// The limits of meters without a row in the registry.
    pub limits: Limits,
    /// The meter registry; of two rows that hold, the one that is valid from later on counts.
    pub registry: Vec<Registered>,
    /// The IANA name of the zone whose days count as zero days.
    pub reporting_zone: String,
}

impl Default for Configuration {
    /// 0 to 10 kW, no registry, days in UTC.
    fn default() -> Self {
        let limits = Limits { min: 0, max: 10_000_000 };
        Configuration { limits, registry: Vec::new(), reporting_zone: "UTC".to_owned() }
    }
}

impl Configuration {
    /// The limits of `meter` at the instant `ts`.
    #[must_use]
    pub fn limits_of(&self, meter: &str, ts: i64) -> Limits {
        self.registry
            .iter()
            .filter(|row| row.meter == meter && row.valid_from.is_none_or(|from| from <= ts))
            .max_by_key(|row| row.valid_from)
            .map_or(self.limits, |row| row.limits)
    }
}
