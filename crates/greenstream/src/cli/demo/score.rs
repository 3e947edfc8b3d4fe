//! Injected against found: the ground truth of a simulation beside what the pipeline made of it.

use std::collections::BTreeMap;
use std::path::Path;

use greenstream_core::decode::{parse_kw, parse_ts};
use greenstream_core::{Flag, Flags, Power, Reason, Ts};
use greenstream_simulator::Kind;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::cli::Failure;
use crate::cli::code::Code;
use crate::store::{Filter, Reader, StoreError};

/// How a kind of defect shows in the result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// The reading, or the row, is in the error queue for this reason.
    Reason(Reason),
    /// The reading carries this flag.
    Flag(Flag),
    /// Its meter has a faulty-meter episode; counted in meters.
    Episode,
    /// The upload is known as a delivery of bytes that have landed.
    Delivery,
    /// The reading has the value that the home really drew.
    TrueValue,
    /// There is no such reading: nothing is made up.
    NoReading,
}

/// What each kind of defect must show as. Kinds that are no defects (solar export, true peaks) are in none.
const SIGNS: [(&str, &[Kind], Sign); 18] = [
    ("spike", &[Kind::Spike], Sign::Reason(Reason::Outlier)),
    ("value above 10 kW", &[Kind::AboveLimit], Sign::Reason(Reason::ValueAboveLimit)),
    ("sign turned round", &[Kind::Negative], Sign::Reason(Reason::ValueNegative)),
    ("dead meter", &[Kind::NearZero, Kind::ZeroDay], Sign::Episode),
    ("no value", &[Kind::Missing], Sign::Flag(Flag::MissingValue)),
    ("row sent again, or corrected", &[Kind::Duplicate, Kind::Corrected], Sign::Flag(Flag::Duplicate)),
    ("value in W", &[Kind::UnitWatts], Sign::Flag(Flag::UnitConverted)),
    ("time with an offset", &[Kind::LocalOffset], Sign::Flag(Flag::UtcNormalized)),
    ("broken line", &[Kind::Malformed], Sign::Reason(Reason::RowMalformed)),
    ("bad meter id", &[Kind::BadMeterId], Sign::Reason(Reason::MeterIdInvalid)),
    ("bad timestamp", &[Kind::BadTimestamp], Sign::Reason(Reason::TimestampInvalid)),
    ("time without zone", &[Kind::NoZone], Sign::Reason(Reason::TimestampNoZone)),
    ("clock decades ahead", &[Kind::Future], Sign::Reason(Reason::TimestampInFuture)),
    ("value no number", &[Kind::BadValue], Sign::Reason(Reason::ValueInvalid)),
    ("unknown unit", &[Kind::UnknownUnit], Sign::Reason(Reason::UnitUnknown)),
    ("upload sent again", &[Kind::RepeatedUpload], Sign::Delivery),
    (
        "late, corrected, oddly written",
        &[Kind::Late, Kind::Corrected, Kind::UnitCase, Kind::TimestampForm, Kind::Quoted, Kind::Blanks],
        Sign::TrueValue,
    ),
    ("no row at all", &[Kind::Absent], Sign::NoReading),
];

/// One line of the comparison.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The defect in words.
    pub defect: &'static str,
    /// How it shows.
    pub sign: Sign,
    /// How often it was injected.
    pub injected: u64,
    /// How often that shows in the result.
    pub found: u64,
    /// How often the sign stands in the result at all, for signs that mean a defect.
    pub signed: Option<u64>,
}

/// The comparison, and a reading to look at.
pub struct Score {
    /// Line by line.
    pub lines: Vec<Line>,
    /// The first spike that was found, if one was.
    pub spike: Option<(String, Ts)>,
    /// The first reading that a later upload corrected, if one was.
    pub corrected: Option<(String, Ts)>,
    /// Readings above 10 kW or below zero that the homes really drew.
    pub real: u64,
}

/// One line of the ground truth.
struct Entry {
    kind: Kind,
    meter: String,
    ts: Option<Ts>,
    file: String,
    row_number: Option<u32>,
    true_kw: Option<Power>,
}

/// What became of a reading.
#[derive(Clone, Copy)]
struct Fate {
    kw: Option<Power>,
    flags: Flags,
    reason: Option<Reason>,
}

/// What the result holds, as far as the truth asks for it.
#[derive(Default)]
struct Found {
    fates: FxHashMap<String, FxHashMap<Ts, Fate>>,
    rows: FxHashMap<(String, u32), Reason>,
    faulty: FxHashSet<String>,
    repeated: FxHashSet<String>,
    reasons: FxHashMap<Reason, u64>,
    flags: BTreeMap<Flag, u64>,
}

/// Compares the ground truth at `path` with what the database holds.
///
/// # Errors
/// Where the truth or the database cannot be read.
pub fn score(path: &Path, reader: &Reader) -> Result<Score, Failure> {
    let truth = truth(path)?;
    let mut found = Found::default();
    for entry in &truth {
        // only what is asked for is kept
        found.fates.entry(entry.meter.clone()).or_default();
    }
    found.read(reader)?;
    // what a dead meter reports is not what its home draws, whatever else happens to the row
    let dead: FxHashSet<(&str, Option<Ts>)> =
        truth.iter().filter(|e| of_meter(e.kind)).map(|e| (e.meter.as_str(), e.ts)).collect();
    let lines = SIGNS.iter().map(|(defect, kinds, sign)| {
        let wanted = |e: &&Entry| {
            kinds.contains(&e.kind) && (*sign != Sign::TrueValue || !dead.contains(&(e.meter.as_str(), e.ts)))
        };
        let entries: Vec<&Entry> = truth.iter().filter(wanted).collect();
        found.line(defect, *sign, &entries)
    });
    let lines = lines.collect();
    let first = |kind, sign| {
        let entry = truth.iter().find(|e| e.kind == kind && found.shows(e, sign))?;
        Some((entry.meter.clone(), entry.ts?))
    };
    let real = truth.iter().filter(|e| matches!(e.kind, Kind::SolarExport | Kind::TruePeak)).count();
    Ok(Score {
        lines,
        spike: first(Kind::Spike, Sign::Reason(Reason::Outlier)),
        corrected: first(Kind::Corrected, Sign::TrueValue),
        real: real as u64,
    })
}

const fn of_meter(kind: Kind) -> bool {
    matches!(kind, Kind::NearZero | Kind::ZeroDay)
}

fn truth(path: &Path) -> Result<Vec<Entry>, Failure> {
    let unreadable = |error: csv::Error| {
        Failure::new(Code::Io, format!("{}: {error}", path.display()), "run the demo again")
    };
    let mut reader = csv::Reader::from_path(path).map_err(unreadable)?;
    let mut entries = Vec::new();
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let field = |at: usize| record.get(at).unwrap_or_default();
        let Some(kind) = Kind::from_name(field(2)) else { continue };
        entries.push(Entry {
            kind,
            meter: field(0).to_owned(),
            ts: parse_ts(field(1)),
            file: field(3).to_owned(),
            row_number: field(4).parse::<u32>().ok().map(|line| line - 1),
            true_kw: parse_kw(field(5)),
        });
    }
    Ok(entries)
}

impl Found {
    fn read(&mut self, reader: &Reader) -> Result<(), Failure> {
        let all = Filter::default();
        reader.readings::<StoreError>(&all, &mut |meter, reading| {
            for flag in Flag::ALL.into_iter().filter(|flag| reading.flags.has(*flag)) {
                *self.flags.entry(flag).or_default() += 1;
            }
            if let Some(fates) = self.fates.get_mut(meter) {
                let (kw, flags) = (reading.own_kw(), reading.flags);
                fates.insert(reading.ts, Fate { kw, flags, reason: None });
            }
            Ok(())
        })?;
        let mut names = FxHashMap::default();
        reader.uploads::<StoreError>(&all, &mut |row| {
            names.insert(row.landed.upload, row.landed.name.to_string());
            Ok(())
        })?;
        reader.errors::<StoreError>(&all, &mut |row| {
            *self.reasons.entry(row.reason).or_default() += 1;
            if row.reason.is_decode_failure() {
                let name = names.get(&row.upload).cloned().unwrap_or_default();
                self.rows.insert((name, row.row_number), row.reason);
            } else if let (Some(fates), Some(ts)) = (self.fates.get_mut(&row.meter_id), row.ts) {
                for flag in Flag::ALL.into_iter().filter(|flag| row.flags.has(*flag)) {
                    *self.flags.entry(flag).or_default() += 1;
                }
                fates.insert(ts, Fate { kw: row.kw, flags: row.flags, reason: Some(row.reason) });
            }
            Ok(())
        })?;
        reader.episodes::<StoreError>(&all, &mut |(meter, _)| {
            self.faulty.insert(meter);
            Ok(())
        })?;
        reader.deliveries::<StoreError>(&all, &mut |delivery| {
            if names.get(&delivery.upload) != Some(&delivery.name) {
                self.repeated.insert(delivery.name);
            }
            Ok(())
        })?;
        Ok(())
    }

    fn line(&self, defect: &'static str, sign: Sign, entries: &[&Entry]) -> Line {
        let (mut injected, mut found) = (0, 0);
        let mut meters = FxHashSet::default();
        for entry in entries {
            // a meter that is dead for days is one defect
            if sign != Sign::Episode || meters.insert(entry.meter.as_str()) {
                injected += 1;
                found += u64::from(self.shows(entry, sign));
            }
        }
        let signed = match sign {
            Sign::Reason(reason) => Some(self.reasons.get(&reason).copied().unwrap_or(0)),
            Sign::Flag(flag) => Some(self.flags.get(&flag).copied().unwrap_or(0)),
            Sign::Episode => Some(self.faulty.len() as u64),
            Sign::Delivery => Some(self.repeated.len() as u64),
            Sign::TrueValue | Sign::NoReading => None,
        };
        Line { defect, sign, injected, found, signed }
    }

    /// Whether the result shows a defect by its sign.
    fn shows(&self, entry: &Entry, sign: Sign) -> bool {
        let fate = || self.fates.get(&entry.meter)?.get(&entry.ts?);
        match sign {
            Sign::Reason(reason) if reason.is_decode_failure() => {
                let row = entry.row_number.map(|row| (entry.file.clone(), row));
                row.and_then(|row| self.rows.get(&row)) == Some(&reason)
            }
            Sign::Reason(reason) => fate().is_some_and(|fate| fate.reason == Some(reason)),
            Sign::Flag(flag) => fate().is_some_and(|fate| fate.flags.has(flag)),
            Sign::Episode => self.faulty.contains(&entry.meter),
            Sign::Delivery => self.repeated.contains(&entry.file),
            Sign::TrueValue => fate().is_some_and(|fate| fate.kw.is_some() && fate.kw == entry.true_kw),
            Sign::NoReading => fate().is_none(),
        }
    }
}
