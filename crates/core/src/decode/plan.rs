//! A feed made ready for one upload: checked once, so that no row has to ask.

use std::sync::Arc;

use super::feed::{Column, Feed, FileFormat, Interval, Label, MeterSource};
use super::form::FormPlan;
use super::format::Format;
use super::lines::BLANKS;
use super::meter_id::is_meter_id;
use super::name;
use super::numeral::Numerals;
use super::raw::RowLines;
use super::unit::{Conversion, Units};
use super::zone::Zone;
use crate::{SECOND, Ts};

/// What is known of an upload before it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Given<'a> {
    /// The zone given with the upload; it goes before the feed's.
    pub time_zone: Option<&'a str>,
    /// The upload's name, for feeds that take the meter from it.
    pub name: &'a str,
    /// When it landed: rows more than 15 minutes after it are in the future.
    pub landed_at: Ts,
}

/// Why a feed cannot be used (for this upload).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FeedError {
    /// No such zone in the compiled-in tables.
    #[error("time zone `{zone}` is not in the IANA tables, expected a name like `Europe/London`")]
    Zone {
        /// The name as given.
        zone: String,
    },
    /// The upload's name does not tell a meter.
    #[error("upload name `{name}` tells no meter id, expected `{pattern}`")]
    Name {
        /// The name, without folders.
        name: String,
        /// The feed's pattern.
        pattern: String,
    },
    /// The profile contradicts itself.
    #[error("feed `{feed}`: {problem}")]
    Profile {
        /// The feed's name.
        feed: String,
        /// The key and what is wrong with it.
        problem: String,
    },
}

/// Reads uploads of one feed under one zone, name and landing time.
#[derive(Clone, Debug)]
pub struct Decoder {
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Lines of columns.
    Lines(Arc<Plan>),
    /// A format of its own.
    Form(FormPlan),
}

/// Everything but the positions of the columns, which the header tells.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) header: bool,
    pub(crate) delimiter: u8,
    pub(crate) meter: MeterPlan,
    /// The timestamp or date.
    pub(crate) timestamp: Column,
    /// The value columns with what each appends to the meter's id; at least one, or `rich` has slots.
    pub(crate) values: Vec<(Column, String)>,
    pub(crate) unit: UnitPlan,
    pub(crate) missing: Vec<String>,
    pub(crate) clock: ClockPlan,
    pub(crate) preamble: u32,
    pub(crate) lines: RowLines,
    /// What plain feeds have no use for.
    pub(crate) rich: Option<RichPlan>,
    /// What makes power of values that are energy of no known interval.
    pub(crate) energy: EnergyPlan,
}

/// How energy becomes power.
#[derive(Clone, Debug)]
pub(crate) enum EnergyPlan {
    /// By the unit, row by row.
    Fixed,
    /// By the register an interval later.
    Registers(Interval),
    /// By the distance to the next row: one of these, ascending.
    Spread(Vec<Interval>),
}

/// How the lines of a feed are put together that are more than a column for each thing.
#[derive(Clone, Debug)]
pub(crate) struct RichPlan {
    /// The second part of the timestamp.
    pub(crate) time: Option<Column>,
    /// The number of the interval.
    pub(crate) slot: Option<Column>,
    /// The parts of a meter's id after the first.
    pub(crate) meter_parts: Vec<Column>,
    /// What is added to each of the values.
    pub(crate) plus: Vec<Vec<Column>>,
    /// The first of the columns that follow one another in time, and how many they are.
    pub(crate) slots: Option<(Column, usize)>,
    /// What the values are multiplied by.
    pub(crate) factor: Option<Column>,
    /// Which version of its reading a line is.
    pub(crate) revision: Option<Column>,
    /// The offset from UTC of timestamps without one.
    pub(crate) offset: Option<Column>,
    /// What tells a repeated wall time's occurrences apart, and its texts of summer.
    pub(crate) season: Option<(Column, Vec<String>)>,
    /// What the columns of a line that holds rows hold.
    pub(crate) only: Vec<(Column, Vec<String>)>,
    /// From one interval to the next in microseconds; 0 where no slot needs it.
    pub(crate) step: i64,
    pub(crate) numerals: Numerals,
    pub(crate) guarded: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum MeterPlan {
    Column(Column),
    Fixed(String),
}

#[derive(Clone, Debug)]
pub(crate) enum UnitPlan {
    Column(Column, Units),
    Fixed(Conversion),
}

/// How timestamps become instants.
#[derive(Clone, Debug)]
pub(crate) struct ClockPlan {
    pub(crate) zone: ZonePlan,
    /// How timestamps are written, where not as the specification says.
    pub(crate) format: Option<Format>,
    /// From the start of an interval to the instant that its timestamp names, in microseconds.
    pub(crate) label: i64,
    /// From the wall time of its start to the wall time that its timestamp names.
    pub(crate) wall_label: i64,
    /// The last instant that is not in the future.
    pub(crate) latest: Ts,
}

/// What a timestamp without an offset means.
#[derive(Clone, Debug)]
pub(crate) enum ZonePlan {
    Unknown,
    Utc,
    Local(Zone),
}

impl ClockPlan {
    /// How far after its landing time an upload may still tell of.
    const FUTURE_MAX: i64 = 15 * 60 * SECOND;

    pub(super) fn new(zone: Option<&str>, landed_at: Ts) -> Result<ClockPlan, FeedError> {
        let zone = match zone {
            None => ZonePlan::Unknown,
            Some(name) => match Zone::named(name) {
                None => return Err(FeedError::Zone { zone: name.to_owned() }),
                Some(None) => ZonePlan::Utc,
                Some(Some(zone)) => ZonePlan::Local(zone),
            },
        };
        Ok(ClockPlan {
            zone,
            format: None,
            label: 0,
            wall_label: 0,
            latest: landed_at.plus(ClockPlan::FUTURE_MAX),
        })
    }
}

impl Feed {
    /// Checks the profile and makes it ready for an upload.
    ///
    /// # Errors
    /// [`FeedError`] where the profile contradicts itself, the zone is unknown, or the upload's name
    /// does not tell the meter that the feed takes from it.
    pub fn compile(&self, given: &Given<'_>) -> Result<Decoder, FeedError> {
        self.check()?;
        let mut clock = ClockPlan::new(given.time_zone.or(self.time_zone.as_deref()), given.landed_at)?;
        if self.format != FileFormat::Csv {
            return Ok(Decoder { kind: Kind::Form(FormPlan { format: self.format, clock }) });
        }
        let columns = &self.columns;
        let meter = match (columns.meter.as_ref().or(columns.meter_parts.first()), &self.meter) {
            (Some(column), _) => MeterPlan::Column(column.clone()),
            (None, Some(source)) => MeterPlan::Fixed(self.meter_from(source, given.name)?),
            (None, None) => return Err(self.problem("no meter column and no `meter`")),
        };
        let factor = self.factor_tens().unwrap_or(0);
        let unit = match (&columns.unit, self.unit) {
            (Some(column), _) => {
                UnitPlan::Column(column.clone(), Units::new(&self.units, self.interval, factor))
            }
            (None, unit) => UnitPlan::Fixed(
                unit.and_then(|unit| match self.energy() {
                    EnergyPlan::Fixed => Conversion::of(unit, self.interval, factor),
                    EnergyPlan::Registers(_) | EnergyPlan::Spread(_) => Conversion::energy(unit, factor),
                })
                .ok_or_else(|| self.problem("no unit column and no `unit`"))?,
            ),
        };
        let single = columns.value.iter().map(|column| (column.clone(), String::new()));
        let several = columns.values.iter().map(|v| (v.column.clone(), v.meter_suffix.clone()));
        let timestamp = columns.timestamp.as_ref().or(columns.date.as_ref());
        clock.format = self.time_pattern().map_err(|problem| self.problem(problem))?;
        let length = self.interval.map_or(0, |interval| i64::from(interval.seconds()) * SECOND);
        match self.label {
            Label::Start => {}
            Label::End => clock.label = length,
            Label::WallEnd => clock.wall_label = length,
        }
        let plan = Plan {
            header: self.header,
            delimiter: u8::try_from(self.delimiter).unwrap_or(b','),
            meter,
            timestamp: timestamp.cloned().ok_or_else(|| self.problem("no `columns.timestamp`"))?,
            values: single.chain(several).collect(),
            unit,
            missing: trimmed(&self.missing),
            clock,
            preamble: self.preamble,
            lines: self.row_lines(),
            rich: self.rich(length),
            energy: self.energy(),
        };
        Ok(Decoder { kind: Kind::Lines(Arc::new(plan)) })
    }

    /// What the lines take beyond a column for each thing; none for a plain feed.
    fn rich(&self, length: i64) -> Option<RichPlan> {
        let columns = &self.columns;
        let byte = |sign: char| u8::try_from(sign).unwrap_or(b'.');
        let has_slots = columns.slot.is_some() || columns.slots.is_some();
        let rich = RichPlan {
            time: columns.time.clone(),
            slot: columns.slot.clone(),
            meter_parts: columns.meter_parts.iter().skip(1).cloned().collect(),
            plus: columns.values.iter().map(|value| value.plus.clone()).collect(),
            slots: columns.slots.as_ref().map(|slots| (slots.first.clone(), slots.count as usize)),
            factor: columns.factor.clone(),
            revision: columns.revision.clone(),
            offset: columns.offset.clone(),
            season: columns.season.as_ref().map(|season| (season.column.clone(), trimmed(&season.summer))),
            only: columns.only.iter().map(|only| (only.column.clone(), trimmed(&only.is))).collect(),
            step: if has_slots { length } else { 0 },
            numerals: Numerals { decimal: byte(self.decimal), thousands: self.thousands.map(byte) },
            guarded: self.guarded,
        };
        let is_plain = rich.time.is_none()
            && !has_slots
            && rich.meter_parts.is_empty()
            && rich.plus.iter().all(Vec::is_empty)
            && rich.factor.is_none()
            && rich.revision.is_none()
            && rich.offset.is_none()
            && rich.season.is_none()
            && rich.only.is_empty()
            && rich.numerals.are_plain()
            && !rich.guarded;
        (!is_plain).then_some(rich)
    }

    pub(super) fn time_pattern(&self) -> Result<Option<Format>, &'static str> {
        match &self.time_format {
            Some(pattern) => Format::compile(pattern, self.year).map(Some),
            None if self.year.is_some() => Err("`year` needs a `time_format`"),
            None if self.columns.timestamp.is_none() && self.columns.time.is_none() => {
                Err("a date without a time needs a `time_format`")
            }
            None => Ok(None),
        }
    }

    fn energy(&self) -> EnergyPlan {
        let mut lengths = self.intervals.clone();
        lengths.sort_unstable();
        match self.interval {
            Some(interval) if self.registers => EnergyPlan::Registers(interval),
            _ if lengths.is_empty() => EnergyPlan::Fixed,
            _ => EnergyPlan::Spread(lengths),
        }
    }

    /// The factor as a power of ten.
    pub(super) fn factor_tens(&self) -> Option<i32> {
        let Some(factor) = self.factor else { return Some(0) };
        [(-3, 0.001), (-2, 0.01), (-1, 0.1), (0, 1.0), (1, 10.0), (2, 100.0), (3, 1000.0)]
            .into_iter()
            .find(|(_, known)| (factor - known).abs() < known * 1e-9)
            .map(|(tens, _)| tens)
    }

    fn meter_from(&self, source: &MeterSource, upload_name: &str) -> Result<String, FeedError> {
        let id = match source {
            MeterSource::Fixed(id) => id.trim_matches([' ', '\t']),
            MeterSource::FromName(pattern) => {
                let base = name::base(upload_name);
                let id = name::meter(pattern, base).map(|id| id.trim_matches([' ', '\t']));
                return id.filter(|id| is_meter_id(id)).map(str::to_owned).ok_or_else(|| FeedError::Name {
                    name: base.chars().take(200).collect(),
                    pattern: pattern.clone(),
                });
            }
        };
        if is_meter_id(id) {
            Ok(id.to_owned())
        } else {
            Err(self.problem("`meter.fixed` is no meter id of 1 to 64 bytes"))
        }
    }

    /// The meter that the upload's name tells, for a feed that takes it from there; none otherwise.
    #[must_use]
    pub fn meter_of(&self, upload_name: &str) -> Option<String> {
        match &self.meter {
            Some(source @ MeterSource::FromName(_)) => self.meter_from(source, upload_name).ok(),
            _ => None,
        }
    }

    pub(super) fn problem(&self, problem: &str) -> FeedError {
        FeedError::Profile { feed: self.name.clone(), problem: problem.to_owned() }
    }
}

fn trimmed(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| text.trim_matches(BLANKS).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: Given<'static> = Given { time_zone: None, name: "dfM1.csv", landed_at: Ts::MAX };

    fn feed(text: &str) -> Feed {
        toml::from_str(text).unwrap()
    }

    #[track_caller]
    fn check(text: &str, problem: &str) {
        let error = feed(text).compile(&GIVEN).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }

    #[test]
    fn a_profile_that_contradicts_itself_says_how() {
        let columns = "[columns]\nmeter = 'm'\ntimestamp = 't'\nvalue = 'v'\nunit = 'u'";
        for (text, problem) in [
            (format!("name='f'\ndelimiter='x'\n{columns}"), "`delimiter`"),
            (format!("name='f'\ndelimiter='.'\n{columns}"), "`delimiter`"),
            (format!("name='f'\nmeter={{fixed='M'}}\n{columns}"), "the meter must"),
            (format!("name='f'\nunit='kW'\n{columns}"), "the unit must"),
            (format!("name='f'\nunits=['kWh']\n{columns}"), "`interval`"),
            (format!("name='f'\nheader=false\n{columns}"), "by position"),
            (format!("name='f'\ntime_zone='Mars'\n{columns}"), "`Mars`"),
            (format!("name='f'\n{columns}\nvalues=[{{column='a'}}]"), "the value must"),
            ("name='f'\nunit='kW'\n[columns]\ntimestamp='t'\nvalue='v'".to_owned(), "the meter must"),
            ("name='f'\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'".to_owned(), "the value must"),
            (
                "name='f'\nunit='kW'\nmeter={from_name='a.csv'}\n[columns]\ntimestamp=1\nvalue=2".to_owned(),
                "`{meter}` once",
            ),
            (
                "name='f'\nunit='kW'\nmeter={from_name='x{meter}.csv'}\n[columns]\ntimestamp=1\nvalue=2"
                    .to_owned(),
                "tells no meter id, expected `x{meter}.csv`",
            ),
            (
                "name='f'\nunit='kW'\n[columns]\nmeter=1\ntimestamp=2\nvalues=[{column=3},{column=4}]"
                    .to_owned(),
                "`meter_suffix` of its own",
            ),
        ] {
            check(&text, problem);
        }
    }

    #[test]
    fn built_in_profiles_are_whole_and_named_as_listed() {
        for (name, text) in Feed::built_in() {
            let feed = feed(text);
            assert_eq!(feed.name, name);
            let given = ["x.csv", "x.txt", "SCE_Usage_x.csv"].map(|name| Given { name, ..GIVEN });
            assert!(given.iter().any(|given| feed.compile(given).is_ok()), "{name}");
        }
        assert_eq!(Feed::default_feed().compile(&GIVEN).map(drop), Ok(()));
    }

    #[test]
    fn unknown_keys_and_columns_without_name_are_refused() {
        for text in [
            "name='f'\nzone='UTC'\n[columns]\ntimestamp='t'",
            "name='f'\n[columns]\ntimestamp=0",
            "name='f'\n[columns]\ntimestamp=[]",
            "name='f'\ninterval='soon'\n[columns]\ntimestamp=1",
            "name='f'\ninterval='745h'\n[columns]\ntimestamp=1",
            "name='f'\nunit='BTU'\n[columns]\ntimestamp=1",
        ] {
            assert!(toml::from_str::<Feed>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_tells_the_meter_only_of_a_feed_that_takes_it_from_there() {
        let rest = "name='f'\nunit='kW'\n[columns]\ntimestamp=1\nvalue=2";
        for (meter, name, told) in [
            ("meter={from_name='x{meter}.csv'}", "in/xM1.csv", Some("M1")),
            ("meter={from_name='x{meter}.csv'}", "M1.csv", None),
            ("meter={from_name='x{meter}.csv'}", "x .csv", None),
            ("meter={fixed='M1'}", "xM1.csv", None),
        ] {
            assert_eq!(feed(&format!("{meter}\n{rest}")).meter_of(name).as_deref(), told, "{meter} {name}");
        }
    }

    #[test]
    fn an_interval_is_whole_seconds_up_to_a_month() {
        for (text, seconds) in [
            ("30min", Some(1_800)),
            ("1h", Some(3_600)),
            ("PT15M", Some(900)),
            ("1s", Some(1)),
            ("744h", Some(2_678_400)),
            ("0s", None),
            ("744h 1s", None),
            ("1500ms", None),
            ("-30min", None),
            ("half an hour", None),
        ] {
            assert_eq!(
                crate::decode::feed::Interval::parse(text).ok().map(|i| i.seconds()),
                seconds,
                "{text}"
            );
        }
    }
}
