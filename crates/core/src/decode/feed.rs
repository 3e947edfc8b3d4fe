//! A feed profile: what the files of one sender look like. Configuration, not code.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Visitor};

use super::encoding::Encoding;
use super::header::Header;
use super::name;
use super::plan::Given;
use super::raw::RowLines;
use super::unit::Unit;
use crate::Ts;

/// How to read the files of one sender; as TOML, see `feeds/`.
///
/// Plain data: [`Feed::compile`] says what does not fit together.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// What operators call it.
    pub name: String,
    /// Upload names that mean this feed; `*` stands for any characters. Empty: never by name.
    #[serde(default)]
    pub names: Vec<String>,
    /// Whether a header that has all the profile's columns means it, where no name does. For headers
    /// that no other sender has: a profile also says the unit, the zone and the interval.
    #[serde(default)]
    pub by_header: bool,
    /// What the text is written in; UTF-8 where it is left out.
    #[serde(default)]
    pub encoding: Option<Encoding>,
    /// What the file is: lines of columns, or a format that says by itself where to find what.
    #[serde(default)]
    pub format: FileFormat,
    /// Whether the first line names the columns.
    #[serde(default = "yes")]
    pub header: bool,
    /// One ASCII character between fields: a comma, a semicolon, a tab, …
    #[serde(default = "comma")]
    pub delimiter: char,
    /// The meter of all rows, where no column says it.
    #[serde(default)]
    pub meter: Option<MeterSource>,
    /// The unit of all values, where no column says it.
    #[serde(default)]
    pub unit: Option<Unit>,
    /// What the unit column may hold beside `W` and `kW`.
    #[serde(default)]
    pub units: Vec<Unit>,
    /// How long the interval of an energy value is.
    #[serde(default)]
    pub interval: Option<Interval>,
    /// The lengths that intervals may have, where they differ within a file: a row's is the distance to
    /// the meter's next row.
    #[serde(default)]
    pub intervals: Vec<Interval>,
    /// Whether values are cumulative registers, one an interval: a reading is the difference to the
    /// register an interval later, also across uploads, and missing where that is lower or unknown.
    #[serde(default)]
    pub registers: bool,
    /// The IANA zone of timestamps without an offset. None: such rows are rejected.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// Texts that mean a missing value here, in any case, beside the usual ones.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Lines before the header, or before the first row where there is none.
    #[serde(default)]
    pub preamble: u32,
    /// How lines begin that hold no rows: comments, totals, units. They may stand anywhere.
    #[serde(default)]
    pub skip: Vec<String>,
    /// How timestamps are written where they are not ISO 8601, as in `%d/%m/%Y %H:%M`: of the parts
    /// %Y %y %m %b %d %V (ISO week) %H %I %p %M %S %z %%.
    #[serde(default)]
    pub time_format: Option<String>,
    /// The year of all rows, where `time_format` has none.
    #[serde(default)]
    pub year: Option<i64>,
    /// Which end of its interval a timestamp names.
    #[serde(default)]
    pub label: Label,
    /// The decimal sign, `.` or `,`.
    #[serde(default = "point")]
    pub decimal: char,
    /// The sign between thousands, where numbers have one.
    #[serde(default)]
    pub thousands: Option<char>,
    /// What values are multiplied by: 0.001, 0.01, 0.1, 10, 100 or 1000.
    #[serde(default)]
    pub factor: Option<f64>,
    /// Whether ids and numbers may be guarded from spreadsheets, as in `="0123"`.
    #[serde(default)]
    pub guarded: bool,
    /// Where in a line to find what.
    #[serde(default)]
    pub columns: Columns,
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// Lines of columns.
    #[default]
    Csv,
    /// AEMO's meter data file format, NEM12 (intervals) and NEM13 (register readings).
    Nem12,
    /// The XML of Green Button (ESPI).
    GreenButton,
    /// The interval records of the California Metering Exchange Protocol.
    Cmep,
}

/// Which end of its interval a timestamp names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Its start, as readings are kept.
    #[default]
    Start,
    /// Its end: what the clock showed when the interval was over.
    End,
    /// The clock when the interval began, and its length added, as if clocks never changed. Differs
    /// from `End` in the hours around a change.
    WallEnd,
}

/// The columns of a feed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// The meter's id; or else [`Feed::meter`].
    #[serde(default)]
    pub meter: Option<Column>,
    /// The parts of an id that takes several columns, joined by `-`; instead of `meter`.
    #[serde(default)]
    pub meter_parts: Vec<Column>,
    /// When the row is; or else `date`.
    #[serde(default)]
    pub timestamp: Option<Column>,
    /// The day of the row, or with `time` the first part of its timestamp.
    #[serde(default)]
    pub date: Option<Column>,
    /// What follows the date after a blank, to be read together with it.
    #[serde(default)]
    pub time: Option<Column>,
    /// The number of the interval, from 1, counted from the timestamp or date.
    #[serde(default)]
    pub slot: Option<Column>,
    /// The only value of a line; or else `values` or `slots`.
    #[serde(default)]
    pub value: Option<Column>,
    /// The values of a line: one row each, numbered in the order of their columns.
    #[serde(default)]
    pub values: Vec<ValueColumn>,
    /// The values of a line that follow one another in time: one row each.
    #[serde(default)]
    pub slots: Option<SlotColumns>,
    /// The unit; or else [`Feed::unit`].
    #[serde(default)]
    pub unit: Option<Column>,
    /// What the values of the line are multiplied by, exactly.
    #[serde(default)]
    pub factor: Option<Column>,
    /// Which version of its reading the line is, a whole number: the greater goes before later uploads.
    #[serde(default)]
    pub revision: Option<Column>,
    /// The offset from UTC of a timestamp that has none: `Z`, `+02`, `+0200` or `+02:00`.
    #[serde(default)]
    pub offset: Option<Column>,
    /// What tells the two occurrences of a repeated wall time apart.
    #[serde(default)]
    pub season: Option<SeasonColumn>,
    /// Which lines hold rows: those that fulfil all of these.
    #[serde(default)]
    pub only: Vec<OnlyColumn>,
}

/// A column that says whether a wall time is of summer.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeasonColumn {
    /// Where it is.
    pub column: Column,
    /// What it holds in summer, in any case: `1`, `CEST`, … Anything else is winter.
    pub summer: Vec<String>,
}

/// A column that says whether a line holds rows.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnlyColumn {
    /// Where it is.
    pub column: Column,
    /// What it holds in such lines, in any case: one of these.
    pub is: Vec<String>,
}

/// One of several values of a line.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueColumn {
    /// Where it is.
    pub column: Column,
    /// What to add to it; where one of them is missing, the sum is.
    #[serde(default)]
    pub plus: Vec<Column>,
    /// What to append to the meter's id, so that each value is a meter of its own.
    #[serde(default)]
    pub meter_suffix: String,
}

/// Columns beside one another, each an interval later than the one before, by the clock on the wall.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotColumns {
    /// The first interval of the row's date or timestamp.
    pub first: Column,
    /// How many there are.
    pub count: u32,
}

/// How to find a column. In TOML: a name, a list of names, or a position.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Column {
    /// By its name in the header, in any case; one of these.
    Named(Vec<String>),
    /// By its position, from 1.
    At(usize),
}

/// Where the meter's id comes from, if not from a column.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeterSource {
    /// All rows of the feed are of this meter.
    Fixed(String),
    /// What stands for `{meter}` in the upload's name, as in `df{meter}.csv`.
    FromName(String),
}

/// The length of an interval: whole seconds, 1 s to 31 days. In TOML: `"30min"`, `"1h"`, `"PT15M"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Interval(u32);

impl Interval {
    /// An hour.
    pub(crate) const HOUR: Interval = Interval(3_600);

    /// The longest in seconds: a month's register reading.
    pub const SECONDS_MAX: u32 = 31 * 86_400;

    /// Reads `30min`, `1h`, `900s`, `PT15M`.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Interval, String> {
        let length: jiff::SignedDuration =
            text.parse().map_err(|_| format!("interval `{text}` is no length of time like `30min`"))?;
        match u32::try_from(length.as_secs()) {
            Ok(seconds @ 1..=Interval::SECONDS_MAX) if length.subsec_nanos() == 0 => Ok(Interval(seconds)),
            _ => Err(format!("interval `{text}` is not a whole number of seconds from 1 s to 31 days")),
        }
    }

    /// The longest that a record may say by itself, in seconds: a register that is read once a year.
    /// More than 416 days would take [`super::number`] beyond its range.
    const RECORD_SECONDS_MAX: u32 = 400 * 86_400;

    /// The length that a record says; none where that is nothing or more than 400 days.
    pub(crate) fn of_record(seconds: i64) -> Option<Interval> {
        let seconds = u32::try_from(seconds).ok()?;
        (1..=Interval::RECORD_SECONDS_MAX).contains(&seconds).then_some(Interval(seconds))
    }

    /// The length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl Feed {
    /// The feed of uploads that no profile claims: `meter_id`, `timestamp`, `energy_value`, `energy_unit`.
    #[must_use]
    pub fn default_feed() -> Feed {
        let column = |name: &str| Column::Named(vec![name.to_owned()]);
        Feed {
            name: "default".to_owned(),
            names: Vec::new(),
            by_header: false,
            encoding: None,
            format: FileFormat::Csv,
            header: true,
            delimiter: ',',
            meter: None,
            unit: None,
            units: Vec::new(),
            interval: None,
            intervals: Vec::new(),
            registers: false,
            time_zone: None,
            missing: Vec::new(),
            preamble: 0,
            skip: Vec::new(),
            time_format: None,
            year: None,
            label: Label::Start,
            decimal: '.',
            thousands: None,
            factor: None,
            guarded: false,
            columns: Columns {
                meter: Some(column("meter_id")),
                meter_parts: Vec::new(),
                timestamp: Some(column("timestamp")),
                date: None,
                time: None,
                slot: None,
                value: Some(column("energy_value")),
                values: Vec::new(),
                slots: None,
                unit: Some(column("energy_unit")),
                factor: None,
                revision: None,
                offset: None,
                season: None,
                only: Vec::new(),
            },
        }
    }

    /// Profiles of public data sets, as (name, TOML): to use, and to copy from.
    #[must_use]
    pub const fn built_in() -> [(&'static str, &'static str); 23] {
        [
            ("london", include_str!("feeds/london.toml")),
            ("sgsc", include_str!("feeds/sgsc.toml")),
            ("ausgrid", include_str!("feeds/ausgrid.toml")),
            ("dsmr_reader", include_str!("feeds/dsmr_reader.toml")),
            ("eemeter", include_str!("feeds/eemeter.toml")),
            ("energie_manager", include_str!("feeds/energie_manager.toml")),
            ("engie", include_str!("feeds/engie.toml")),
            ("enphase", include_str!("feeds/enphase.toml")),
            ("esb_networks", include_str!("feeds/esb_networks.toml")),
            ("esb_networks_kwh", include_str!("feeds/esb_networks_kwh.toml")),
            ("fluvius", include_str!("feeds/fluvius.toml")),
            ("homewizard", include_str!("feeds/homewizard.toml")),
            ("homewizard_1phase", include_str!("feeds/homewizard_1phase.toml")),
            ("myenergi_zappi", include_str!("feeds/myenergi_zappi.toml")),
            ("pge", include_str!("feeds/pge.toml")),
            ("sce", include_str!("feeds/sce.toml")),
            ("shelly_em", include_str!("feeds/shelly_em.toml")),
            ("smart_meter_texas", include_str!("feeds/smart_meter_texas.toml")),
            ("swiss_slots", include_str!("feeds/swiss_slots.toml")),
            ("uci_household", include_str!("feeds/uci_household.toml")),
            ("nem12", include_str!("feeds/nem12.toml")),
            ("green_button", include_str!("feeds/green_button.toml")),
            ("cmep", include_str!("feeds/cmep.toml")),
        ]
    }

    /// Whether an upload of this name is of this feed. Folders before the name do not count, nor
    /// does `.gz` or `.zst` after it.
    #[must_use]
    pub fn claims(&self, upload_name: &str) -> bool {
        let base = name::base(upload_name);
        self.names.iter().any(|pattern| name::matches(pattern, base))
    }

    /// What bytes as they were sent say in UTF-8; `at_end` says that nothing follows them.
    #[must_use]
    pub fn text_of<'b>(&self, sent: &'b [u8], at_end: bool) -> Cow<'b, [u8]> {
        let Some(encoding) = self.encoding else { return Cow::Borrowed(sent) };
        let mut text = Vec::new();
        encoding.transcoder().push(sent, at_end, &mut text);
        Cow::Owned(text)
    }

    /// Whether an upload of this name that begins with `head` could be read: its header has the columns.
    #[must_use]
    pub fn fits(&self, head: &[u8], upload_name: &str) -> bool {
        let head = &*self.text_of(head, false);
        let given = Given { time_zone: None, name: upload_name, landed_at: Ts::MAX };
        self.compile(&given).is_ok_and(|decoder| decoder.fits(head))
    }

    /// The names in the header of an upload that begins with `head`, as far as this feed knows where the
    /// header is and what delimits it; whether they fit is no matter. None where the feed or the upload
    /// has no header.
    #[must_use]
    pub fn header_names(&self, head: &[u8]) -> Option<Vec<String>> {
        let head = &*self.text_of(head, false);
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        let preamble = usize::try_from(self.preamble).ok()?;
        let lines = head.split(|byte| *byte == b'\n').skip(preamble);
        let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = lines.find(|line| {
            !line.is_empty() && !self.skip.iter().any(|start| line.starts_with(start.as_bytes()))
        })?;
        let delimiter = u8::try_from(self.delimiter).ok()?;
        (self.header && self.format == FileFormat::Csv).then_some(())?;
        Header::read(line, 1, delimiter).ok().map(Header::into_names)
    }

    /// How rows are found again: the text's encoding, which lines hold rows, and how many each.
    #[must_use]
    pub fn row_lines(&self) -> RowLines {
        let values = u32::try_from(self.columns.values.len()).unwrap_or(u32::MAX);
        let per_line = self.columns.slots.as_ref().map_or(values, |slots| slots.count).max(1);
        let skip = self.skip.iter().map(|start| start.as_bytes().to_vec()).collect();
        RowLines { encoding: self.encoding, per_line, skip }
    }
}

const fn yes() -> bool {
    true
}

const fn point() -> char {
    '.'
}

const fn comma() -> char {
    ','
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Interval, D::Error> {
        Interval::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Column, D::Error> {
        deserializer.deserialize_any(ColumnVisitor)
    }
}

struct ColumnVisitor;

impl<'de> Visitor<'de> for ColumnVisitor {
    type Value = Column;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name, a list of names, or its position from 1")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Column, E> {
        Ok(Column::Named(vec![name.to_owned()]))
    }

    fn visit_i64<E: de::Error>(self, position: i64) -> Result<Column, E> {
        match usize::try_from(position) {
            Ok(position) if position > 0 => Ok(Column::At(position)),
            _ => Err(E::invalid_value(de::Unexpected::Signed(position), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, position: u64) -> Result<Column, E> {
        i64::try_from(position)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(position), &self))
            .and_then(|position| self.visit_i64(position))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut names: A) -> Result<Column, A::Error> {
        let mut all = Vec::new();
        while let Some(name) = names.next_element::<String>()? {
            all.push(name);
        }
        if all.is_empty() { Err(de::Error::invalid_length(0, &self)) } else { Ok(Column::Named(all)) }
    }
}
