//! The archive against a model that keeps every row in a map: whatever changes come, after each
//! flush the live files say what the model said at that position.

mod flushes;
mod random;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use greenstream_core::{DAY, Flag, Flags, HOUR, Power, Reading, Reason, Standing, Ts};
use object_store::memory::InMemory;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::change::{Decision, RejectRow, Replaced, Status};
use crate::objects::flaky::{Fault, Flaky};

/// Meter ids as bad as they may be; numbers are not in the order of names.
const NAMES: [&str; 8] = ["m2", "m10", "it's \"q\"", "50%/../x", "zähler-✓", "M1", "a=b&c", "m1"];
const FIRST_DAY: i64 = 20_514;

fn now() -> Ts {
    Ts::from_micros((FIRST_DAY + 30) * DAY)
}

#[derive(Clone, PartialEq, Debug)]
struct OwnedError {
    meter: String,
    ts: Option<Ts>,
    kw: Option<Power>,
    reason: Reason,
    flags: Flags,
    status: Status,
}

/// The database, slow and obviously right.
#[derive(Clone, Default)]
struct Model {
    entry: u64,
    readings: BTreeMap<(Meter, Ts), Reading>,
    errors: BTreeMap<(u32, u32), OwnedError>,
    /// The store fails while this is set.
    is_away: bool,
}

impl MeterNames for Model {
    fn name(&self, meter: Meter) -> Option<&str> {
        NAMES.get(meter.0 as usize).copied()
    }
}

/// Knows no meter but those that change sets introduce.
struct Nobody;

impl MeterNames for Nobody {
    fn name(&self, _: Meter) -> Option<&str> {
        None
    }
}

impl Source for Model {
    fn position(&self) -> u64 {
        self.entry
    }

    fn readings(
        &self,
        day: i64,
        from_meter: Option<&str>,
        to_meter: Option<&str>,
        sink: &mut dyn FnMut(ReadingRow<'_>),
    ) -> std::result::Result<(), Cause> {
        if self.is_away {
            return Err("the store is away".into());
        }
        for ((meter, ts), reading) in &self.readings {
            let name = NAMES[meter.0 as usize];
            let wanted = from_meter.is_none_or(|from| from <= name) && to_meter.is_none_or(|to| name < to);
            if ts.day() == day && wanted {
                sink(reading_row(name, reading));
            }
        }
        Ok(())
    }

    fn errors(&self, day: Option<i64>, sink: &mut dyn FnMut(ErrorRow<'_>)) -> std::result::Result<(), Cause> {
        if self.is_away {
            return Err("the store is away".into());
        }
        for ((upload, row_number), error) in &self.errors {
            if error.ts.map(Ts::day) == day {
                sink(error_row(*upload, *row_number, error));
            }
        }
        Ok(())
    }
}

fn reading_row<'a>(meter: &'a str, reading: &Reading) -> ReadingRow<'a> {
    let Reading { ts, kw, flags, upload, row_number, .. } = *reading;
    ReadingRow { meter, ts, kw, flags, upload, row_number }
}

fn error_row(upload: u32, row_number: u32, error: &OwnedError) -> ErrorRow<'_> {
    let OwnedError { meter, ts, kw, reason, flags, status } = error;
    ErrorRow { upload, row_number, meter, ts: *ts, kw: *kw, reason: *reason, flags: *flags, status: *status }
}

fn reading(ts: Ts, mw: Option<i64>, upload: u32, row_number: u32) -> Reading {
    Reading {
        ts,
        kw: mw.map(Power::from_milliwatts),
        upload,
        row_number,
        flags: Flags::NONE
            .set(Flag::MissingValue, mw.is_none())
            .set(Flag::UtcNormalized, row_number.is_multiple_of(3)),
        standing: Standing::Accepted,
    }
}

/// One random change: a reading of a meter at an instant becomes what `kind` says.
#[derive(Clone, Copy, Debug)]
struct Touch {
    meter: u32,
    day: i64,
    quarter: i64,
    mw: i64,
    kind: u8,
}

impl Model {
    /// Carries out the changes and says them as a change set.
    fn change(&mut self, touches: &[Touch]) -> Arc<ChangeSet> {
        self.entry += 1;
        let upload = u32::try_from(self.entry).unwrap();
        let mut set = ChangeSet { entry: self.entry, ..ChangeSet::default() };
        let mut seen = BTreeSet::new();
        for (row, touch) in (1..).zip(touches) {
            let ts = Ts::from_micros((FIRST_DAY + touch.day) * DAY + touch.quarter * HOUR / 4);
            let key = (Meter(touch.meter), ts);
            if !seen.insert(key) {
                continue;
            }
            match touch.kind {
                0..6 => self.store(&mut set, key, reading(ts, Some(touch.mw), upload, row)),
                6 => self.store(&mut set, key, reading(ts, None, upload, row)),
                7 => self.quarantine(&mut set, key, reading(ts, Some(touch.mw), upload, row)),
                8 => self.discard(&mut set, key),
                _ => self.reject(&mut set, touch, upload, row),
            }
        }
        set.inserted.sort_by_key(|(meter, reading)| (reading.ts.hour(), *meter, reading.ts));
        set.replaced.sort_by_key(|replaced| {
            (replaced.meter, replaced.before.or(replaced.after).map(|reading| reading.ts))
        });
        Arc::new(set)
    }

    fn queued(&self, key: (Meter, Ts)) -> Option<(u32, u32)> {
        let of_key = |error: &OwnedError| {
            error.meter == NAMES[key.0.0 as usize]
                && error.ts == Some(key.1)
                && error.status == Status::Open
                && error.reason == Reason::Outlier
        };
        self.errors.iter().find(|(_, error)| of_key(error)).map(|(row, _)| *row)
    }

    fn before(&mut self, key: (Meter, Ts)) -> Option<Reading> {
        if let Some(row) = self.queued(key) {
            let error = self.errors.remove(&row)?;
            let mw = error.kw.map(Power::milliwatts);
            return Some(Reading { standing: Standing::Outlier, ..reading(key.1, mw, row.0, row.1) });
        }
        self.readings.remove(&key)
    }

    fn store(&mut self, set: &mut ChangeSet, key: (Meter, Ts), after: Reading) {
        match self.before(key) {
            None => set.inserted.push((key.0, after)),
            before => set.replaced.push(Replaced { meter: key.0, before, after: Some(after) }),
        }
        self.readings.insert(key, after);
    }

    fn quarantine(&mut self, set: &mut ChangeSet, key: (Meter, Ts), after: Reading) {
        let after = Reading { standing: Standing::Outlier, ..after };
        let before = self.before(key);
        set.replaced.push(Replaced { meter: key.0, before, after: Some(after) });
        let error = OwnedError {
            meter: NAMES[key.0.0 as usize].to_owned(),
            ts: Some(key.1),
            kw: after.kw,
            reason: Reason::Outlier,
            flags: after.flags,
            status: Status::Open,
        };
        self.errors.insert((after.upload, after.row_number), error);
    }

    /// An operator throws out the row that stands in the queue, or the reading goes.
    fn discard(&mut self, set: &mut ChangeSet, key: (Meter, Ts)) {
        if let Some(row) = self.queued(key) {
            let error = self.errors.get_mut(&row).unwrap();
            error.status = Status::Discarded;
            set.decisions.push(decision(row, error));
        } else if let Some(before) = self.before(key) {
            set.replaced.push(Replaced { meter: key.0, before: Some(before), after: None });
        }
    }

    fn reject(&mut self, set: &mut ChangeSet, touch: &Touch, upload: u32, row_number: u32) {
        let ts = (touch.mw % 2 == 0)
            .then(|| Ts::from_micros((FIRST_DAY + touch.day) * DAY + touch.quarter * 1_000_003));
        let meter = if touch.mw % 3 == 0 { "\u{0}bad\n\"" } else { "" };
        let reason = if ts.is_some() { Reason::ValueInvalid } else { Reason::RowMalformed };
        set.rejects.push(RejectRow { upload, row_number, meter: meter.to_owned(), ts, reason });
        let (flags, status) = (Flags::NONE, Status::Open);
        let error = OwnedError { meter: meter.to_owned(), ts, kw: None, reason, flags, status };
        self.errors.insert((upload, row_number), error);
    }

    /// The days that hold readings or errors.
    fn days(&self) -> BTreeSet<i64> {
        let errors = self.errors.values().filter_map(|error| error.ts);
        self.readings.keys().map(|(_, ts)| *ts).chain(errors).map(Ts::day).collect()
    }
}

fn decision(row: (u32, u32), error: &OwnedError) -> Decision {
    Decision {
        upload: row.0,
        row_number: row.1,
        status: error.status,
        reason: error.reason,
        meter: None,
        ts: error.ts,
        kw: error.kw,
        flags: error.flags,
        edited: None,
        who: String::new(),
        why: String::new(),
        at: now(),
    }
}

/// Every data file on disk, as a bare glob sees them.
fn on_disk(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for table in ["readings", "error_queue"] {
        for folder in fs::read_dir(dir.join(table)).unwrap() {
            let folder = folder.unwrap().path();
            if folder.file_name().unwrap() == "_delta_log" {
                continue;
            }
            let files: Vec<PathBuf> =
                fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!files.is_empty(), "{} is empty", folder.display());
            found.extend(files);
        }
    }
    found
}

fn live(archive: &Archive) -> BTreeSet<PathBuf> {
    [&archive.readings, &archive.errors]
        .into_iter()
        .flat_map(|table| table.live.values().flatten().map(|file| table.dir().join(&file.path)))
        .collect()
}

/// Value, flags, upload and row of a reading.
type State = (Option<Power>, Flags, u32, u32);

/// The live snapshot, but for days that wait, is the model's state.
#[track_caller]
fn check(archive: &Archive, model: &Model, waiting: &[Option<i64>]) {
    let mut found: BTreeMap<(String, Ts), State> = BTreeMap::new();
    for files in archive.days(Dataset::Readings) {
        let day = files.day.expect("a reading has an instant");
        let mut rows = 0;
        archive
            .read_readings(day, |row| {
                rows += 1;
                assert_eq!(row.ts.day(), day);
                let value = (row.kw, row.flags, row.upload, row.row_number);
                assert_eq!(found.insert((row.meter.to_owned(), row.ts), value), None, "{row:?} twice");
            })
            .unwrap();
        assert_eq!(rows, files.rows);
    }
    let waits = |ts: Option<Ts>| waiting.contains(&ts.map(Ts::day));
    found.retain(|(_, ts), _| !waits(Some(*ts)));
    let wanted: BTreeMap<_, _> = model
        .readings
        .iter()
        .filter(|((_, ts), _)| !waits(Some(*ts)))
        .map(|((meter, ts), r)| {
            ((NAMES[meter.0 as usize].to_owned(), *ts), (r.kw, r.flags, r.upload, r.row_number))
        })
        .collect();
    assert_eq!(found, wanted);
    let mut found: BTreeMap<(u32, u32), OwnedError> = BTreeMap::new();
    for files in archive.days(Dataset::ErrorQueue) {
        archive
            .read_errors(files.day, |row| {
                assert_eq!(row.ts.map(Ts::day), files.day);
                let ErrorRow { ts, kw, reason, flags, status, .. } = row;
                let error = OwnedError { meter: row.meter.to_owned(), ts, kw, reason, flags, status };
                assert_eq!(found.insert((row.upload, row.row_number), error), None);
            })
            .unwrap();
    }
    found.retain(|_, error| !waits(error.ts));
    let mut wanted = model.errors.clone();
    wanted.retain(|_, error| !waits(error.ts));
    assert_eq!(found, wanted);
}

struct Bed {
    dir: TempDir,
    place: Place,
    archive: Archive,
    model: Model,
}

impl Bed {
    fn new() -> Bed {
        let dir = TempDir::new().unwrap();
        let place = Place::from(dir.path());
        Bed::at(dir, place)
    }

    /// The same in a bucket.
    fn in_bucket(store: &Arc<InMemory>) -> Bed {
        Bed::at(TempDir::new().unwrap(), sound(store))
    }

    fn at(dir: TempDir, place: Place) -> Bed {
        let archive = Archive::open(place.clone(), &Known::default(), now()).unwrap();
        Bed { dir, place, archive, model: Model::default() }
    }

    /// Every data file that is there.
    fn there(&self) -> BTreeSet<PathBuf> {
        let Place::Bucket(bucket) = &self.place else { return on_disk(self.dir.path()) };
        let found = bucket.list("", None).unwrap().into_iter();
        let is_data = |key: &String| !key.contains("/_delta_log/");
        found.map(|found| found.key).filter(is_data).map(|key| self.place.root().join(key)).collect()
    }

    fn apply(&mut self, touches: &[Touch]) {
        let set = self.model.change(touches);
        self.archive.apply(&set, &self.model);
    }

    #[track_caller]
    fn flush(&mut self, mode: Mode) -> Flushed {
        let flushed = self.archive.flush(&self.model, mode, now()).unwrap();
        check(&self.archive, &self.model, &flushed.waiting);
        assert_eq!(flushed.position, self.archive.position());
        flushed
    }

    /// Ends the process in effect, and opens the archive as the store finds it.
    fn reopen(&mut self) {
        let days: Vec<i64> = self.model.days().into_iter().collect();
        let position = self.model.entry;
        // The store would name fewer; here every day counts as dirty when the archive is behind.
        let dirty = if self.archive.position() < position { &days[..] } else { &[] };
        let known = Known { position, days: &days, dirty };
        self.archive = Archive::open(self.place.clone(), &known, now()).unwrap();
    }

    #[track_caller]
    fn check_at_rest(&mut self) {
        self.flush(Mode::All);
        assert!(self.archive.waiting_days().next().is_none());
        assert_eq!(self.archive.buffered_bytes(), 0);
        assert_eq!(self.archive.position(), self.model.entry);
        self.archive.vacuum(now(), 0).unwrap();
        assert_eq!(self.there(), live(&self.archive));
        check(&self.archive, &self.model, &[]);
        for (day, files) in &self.archive.readings.live {
            assert!(plan::is_disjoint(files), "day {day:?} has more than one generation");
        }
    }
}

/// A bucket that never fails.
fn sound(store: &Arc<InMemory>) -> Place {
    Place::Bucket(Flaky::new(store, |_| Fault::None).bucket(0))
}

fn insert(meter: u32, day: i64, quarter: i64) -> Touch {
    Touch { meter, day, quarter, mw: 1_500_000 + quarter, kind: 0 }
}

fn files(archive: &Archive, day: i64) -> usize {
    archive.readings.live.get(&Some(FIRST_DAY + day)).map_or(0, Vec::len)
}
