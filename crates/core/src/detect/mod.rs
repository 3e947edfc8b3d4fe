//! A feed profile for a file that nobody has seen before: what it would be, why, and what is unsure.
//!
//! Pure: it takes bytes and a name. It looks at the head and some lines of the middle and end, finds the
//! shape ([`table`]), what each column holds ([`column`]), which say when ([`when`]), whose and how much
//! ([`what`]), and tries the profile on what it has seen ([`trial`]).

mod analysis;
mod cell;
mod clock;
mod column;
mod draft;
mod finding;
mod foreign;
mod measure;
mod numbers;
mod pace;
mod place;
mod register;
mod sample;
mod shape;
mod table;
mod trial;
mod what;
mod when;
mod whose;
mod words;
mod writing;
mod zones;

pub use finding::{Doubt, Reason, Register, Trap, TrapKind};

use crate::decode::Feed;
use sample::Sample;

/// What is known of a file beside its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asked<'a> {
    /// The file's name: it may tell the meter or the unit.
    pub name: &'a str,
    /// The IANA zone of its local times, where a person gave it.
    pub time_zone: Option<&'a str>,
    /// What to call the profile; else it is called after the file.
    pub feed: Option<&'a str>,
}

/// What a file turned out to be.
#[derive(Clone, PartialEq, Debug)]
pub enum Detected {
    /// No table of readings.
    Foreign(Foreign),
    /// A table, and what can be said of it.
    Table(Box<Proposal>),
}

/// A file that is no table of readings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Foreign {
    /// What it looks like.
    pub what: String,
    /// What to do about it.
    pub way_out: String,
}

/// A profile, with everything that speaks for and against it.
#[derive(Clone, PartialEq, Debug)]
pub struct Proposal {
    /// The profile, where there is one: it has been compiled, and the sample decoded with it.
    pub profile: Option<Profile>,
    /// Why its keys are as they are.
    pub reasons: Vec<Reason>,
    /// What is unsure, the gravest first.
    pub doubts: Vec<Doubt>,
    /// What a hasty reader would get wrong.
    pub traps: Vec<Trap>,
    /// Columns whose values are those of cumulative registers.
    pub registers: Vec<Register>,
}

/// A profile as text and made.
#[derive(Clone, PartialEq, Debug)]
pub struct Profile {
    /// TOML, as `docs/feeds.md` says.
    pub toml: String,
    /// The same, parsed.
    pub feed: Feed,
}

impl Proposal {
    /// Whether the profile can be used, and its readings be trusted: there is one, and no doubt that blocks.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.profile.is_some() && !self.doubts.iter().any(|doubt| doubt.blocks)
    }
}

/// Looks at a file's decoded bytes, all of them or its first megabyte at least. Time and memory do not
/// grow with the file.
#[must_use]
pub fn detect(content: &[u8], asked: &Asked<'_>) -> Detected {
    if let Some(foreign) = foreign::foreign(content) {
        return Detected::Foreign(foreign);
    }
    let no_table = || Foreign {
        what: "text, but not lines of fields with times and numbers in them".to_owned(),
        way_out: "send one line for each reading or day, with the same fields in each".to_owned(),
    };
    let Some(sample) = Sample::of(content) else { return Detected::Foreign(no_table()) };
    match table::Table::read(&sample.pieces) {
        Some(table) => Detected::Table(Box::new(analysis::propose(&table, &sample, asked))),
        None => Detected::Foreign(no_table()),
    }
}
