//! The archive against a model that keeps every row in a map: whatever changes come, after each
//! flush the live files say what the model said at that position.

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

#[test]
fn a_new_archive_is_two_empty_tables_at_position_zero() {
    let mut bed = Bed::new();
    assert_eq!(bed.archive.position(), 0);
    let flushed = bed.flush(Mode::All);
    assert_eq!(flushed, Flushed::default());
    assert_eq!(bed.archive.readings.live.len() + bed.archive.errors.live.len(), 0);
    assert!(on_disk(bed.dir.path()).is_empty());
}

#[test]
fn a_fresh_day_is_written_from_memory_without_asking_the_store() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 1), insert(1, 0, 0), insert(0, 0, 0), insert(2, 1, 0)]);
    bed.model.is_away = true;
    let flushed = bed.archive.flush(&bed.model, Mode::All, now()).unwrap();
    assert_eq!((flushed.files, flushed.rows, flushed.position), (2, 4, 1));
    bed.model.is_away = false;
    bed.check_at_rest();
}

#[test]
fn an_open_day_grows_by_a_file_a_flush_and_is_compacted_some_time_after_it_has_closed() {
    let mut bed = Bed::new();
    let lag = Mode::Lag { closed_wait: 10 };
    for quarter in 0..3 {
        bed.apply(&[insert(0, 0, quarter), insert(1, 0, quarter)]);
        bed.flush(lag);
    }
    assert_eq!(files(&bed.archive, 0), 3);
    bed.apply(&[insert(0, 1, 0)]);
    bed.flush(lag);
    assert_eq!((files(&bed.archive, 0), files(&bed.archive, 1)), (3, 1));
    bed.archive.flush(&bed.model, lag, now().plus(9)).unwrap();
    assert_eq!((files(&bed.archive, 0), files(&bed.archive, 1)), (3, 1));
    bed.archive.flush(&bed.model, lag, now().plus(10)).unwrap();
    assert_eq!((files(&bed.archive, 0), files(&bed.archive, 1)), (1, 1));
    bed.check_at_rest();
}

#[test]
fn many_small_files_of_an_open_day_are_merged_before_it_closes() {
    let mut bed = Bed::new();
    let most = (0..40)
        .map(|quarter| {
            bed.apply(&[insert(0, 0, quarter), insert(1, 0, quarter)]);
            bed.flush(Mode::Lag { closed_wait: 0 });
            files(&bed.archive, 0)
        })
        .max();
    assert_eq!(most, Some(16));
    bed.check_at_rest();
}

#[test]
fn a_correction_in_an_open_day_replaces_only_the_file_that_holds_the_reading() {
    let mut bed = Bed::new();
    for quarter in [0, 10, 20] {
        bed.apply(&[insert(0, 0, quarter), insert(1, 0, quarter)]);
        bed.flush(Mode::Lag { closed_wait: 0 });
    }
    let before = live(&bed.archive);
    bed.apply(&[Touch { mw: 7, ..insert(1, 0, 10) }, insert(0, 0, 30)]);
    bed.flush(Mode::Lag { closed_wait: 0 });
    assert_eq!(files(&bed.archive, 0), 3);
    assert_eq!(live(&bed.archive).intersection(&before).count(), 2);
    bed.check_at_rest();
}

#[test]
fn corrections_of_closed_days_wait_and_hold_the_position_back() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0), insert(0, 1, 0)]);
    bed.flush(Mode::All);
    bed.apply(&[Touch { mw: 7, ..insert(0, 0, 0) }]);
    bed.apply(&[insert(0, 1, 1)]);
    let wait = 900 * 1_000_000;
    let lag = Mode::Lag { closed_wait: wait };
    let flushed = bed.flush(lag);
    assert_eq!(flushed.waiting, [Some(FIRST_DAY)]);
    assert_eq!((flushed.position, bed.archive.position()), (1, 1));
    let one_less = bed.archive.flush(&bed.model, lag, now().plus(wait - 1)).unwrap();
    assert_eq!((one_less.position, one_less.waiting.len()), (1, 1));
    let done = bed.archive.flush(&bed.model, lag, now().plus(wait)).unwrap();
    assert_eq!((done.position, done.waiting.len()), (3, 0));
    bed.check_at_rest();
}

#[test]
fn a_full_buffer_is_relieved_of_its_oldest_days_first() {
    let mut bed = Bed::new();
    for day in 0..4 {
        bed.apply(&[insert(0, day, 0)]);
    }
    let one_day = bed.archive.buffered_bytes() / 4;
    let flushed = bed.flush(Mode::Bytes(2 * one_day));
    assert_eq!(flushed.days, [Some(FIRST_DAY), Some(FIRST_DAY + 1)]);
    assert_eq!(flushed.position, 2);
    assert_eq!(bed.archive.buffered_bytes(), 2 * one_day);
    assert_eq!(bed.flush(Mode::Bytes(2 * one_day)).days, []);
    bed.check_at_rest();
}

#[test]
fn a_flush_names_its_position_and_says_nothing_twice() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0)]);
    bed.flush(Mode::All);
    let log = bed.dir.path().join("readings/_delta_log/00000000000000000001.json");
    let text = fs::read_to_string(log).unwrap();
    assert!(text.contains(r#""txn":{"appId":"greenstream","version":1"#), "{text}");
    assert!(text.contains(r#""greenstreamPosition":1"#), "{text}");
    bed.flush(Mode::All);
    assert!(!bed.dir.path().join("readings/_delta_log/00000000000000000002.json").exists());
    // An entry that changes no row (a delivery) moves the position all the same.
    bed.apply(&[]);
    assert_eq!(bed.flush(Mode::Lag { closed_wait: 0 }).position, 2);
    bed.reopen();
    assert_eq!(bed.archive.position(), 2);
}

#[test]
fn a_snapshot_elsewhere_than_the_changes_is_refused() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0)]);
    for entry in [0, 2] {
        let model = Model { entry, ..bed.model.clone() };
        let error = bed.archive.flush(&model, Mode::All, now()).unwrap_err();
        assert!(matches!(error, Error::Position { snapshot, applied: 1 } if snapshot == entry));
        assert!(!error.is_transient());
    }
    bed.check_at_rest();
}

#[test]
fn a_store_that_is_away_loses_nothing() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0), Touch { kind: 7, ..insert(1, 0, 0) }]);
    bed.model.is_away = true;
    let error = bed.archive.flush(&bed.model, Mode::All, now()).unwrap_err();
    assert!(error.is_transient());
    assert_eq!(bed.archive.position(), 0);
    let written = fs::read_dir(bed.dir.path().join("readings/date=2026-03-02")).unwrap().count();
    assert_eq!(written, 0, "files of a failed flush are removed");
    bed.model.is_away = false;
    bed.apply(&[insert(2, 0, 0)]);
    bed.check_at_rest();
}

#[test]
fn days_that_changed_while_the_archive_was_closed_come_from_the_store() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0), insert(0, 1, 0)]);
    bed.flush(Mode::All);
    bed.apply(&[
        Touch { mw: 7, ..insert(0, 0, 0) },
        insert(1, 2, 5),
        Touch { kind: 9, mw: 1, ..insert(0, 0, 0) },
    ]);
    bed.reopen();
    assert_eq!(bed.archive.position(), 1);
    bed.apply(&[insert(3, 2, 6)]);
    assert_eq!(bed.archive.buffered_bytes(), 0);
    bed.check_at_rest();
}

#[test]
fn a_meter_without_a_name_leaves_its_day_to_the_store() {
    let mut bed = Bed::new();
    let set = bed.model.change(&[insert(0, 0, 0), insert(1, 0, 1)]);
    bed.archive.apply(&set, &Nobody);
    assert_eq!(bed.archive.buffered_bytes(), 0);
    bed.check_at_rest();
}

#[test]
fn names_come_with_the_change_set_that_sees_a_meter_first() {
    let mut bed = Bed::new();
    let mut set = ChangeSet::clone(&bed.model.change(&[insert(4, 0, 0)]));
    set.meters.push((Meter(4), NAMES[4].to_owned()));
    bed.archive.apply(&Arc::new(set), &Nobody);
    assert!(bed.archive.buffered_bytes() > 0);
    bed.check_at_rest();
}

#[test]
fn a_change_set_that_comes_again_is_ignored() {
    let mut bed = Bed::new();
    let set = bed.model.change(&[insert(0, 0, 0)]);
    for _ in 0..2 {
        bed.archive.apply(&set, &bed.model);
    }
    bed.check_at_rest();
}

#[test]
fn files_without_their_log_entry_are_removed_after_a_crash() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0)]);
    bed.flush(Mode::All);
    let before = live(&bed.archive);
    bed.apply(&[insert(0, 0, 1), insert(0, 5, 0)]);
    let days = BTreeMap::from([
        (Some(FIRST_DAY), plan::Shape::Disjoint),
        (Some(FIRST_DAY + 5), plan::Shape::Disjoint),
    ]);
    bed.archive.write_days(&days, &bed.model).unwrap();
    assert_eq!(on_disk(bed.dir.path()).len(), 3);
    bed.reopen();
    assert_eq!((live(&bed.archive), bed.archive.position()), (before, 1));
    let vacuumed = bed.archive.vacuum(now(), 1).unwrap();
    assert_eq!((vacuumed.files, vacuumed.kept), (0, 2), "young orphans stay");
    let vacuumed = bed.archive.vacuum(now().plus(1), 1).unwrap();
    assert_eq!((vacuumed.files, vacuumed.kept), (2, 0));
    bed.check_at_rest();
}

/// Stands where the next entry of the errors' log is written first, so that it cannot be.
fn block_entry(bed: &Bed, version: u64) -> PathBuf {
    let name = format!(".{version:020}.{}.json.tmp", std::process::id());
    let in_the_way = bed.dir.path().join("error_queue/_delta_log").join(name);
    fs::create_dir(&in_the_way).unwrap();
    in_the_way
}

#[test]
fn a_crash_between_the_two_commits_leaves_the_earlier_position() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0), Touch { kind: 7, ..insert(1, 0, 0) }]);
    let in_the_way = block_entry(&bed, 1);
    let error = bed.archive.flush(&bed.model, Mode::All, now()).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!((bed.archive.readings.position, bed.archive.errors.position), (1, 0));
    fs::remove_dir(&in_the_way).unwrap();
    bed.reopen();
    assert_eq!(bed.archive.position(), 0);
    bed.check_at_rest();
}

#[test]
fn a_commit_that_was_not_noticed_is_not_made_twice() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0), insert(1, 0, 0)]);
    bed.flush(Mode::Lag { closed_wait: 0 });
    // The errors' log refuses, so the flush fails after the readings' entry has its name.
    let in_the_way = block_entry(&bed, 2);
    bed.apply(&[insert(0, 0, 1), Touch { mw: 9, ..insert(1, 0, 0) }]);
    assert!(bed.archive.flush(&bed.model, Mode::Lag { closed_wait: 0 }, now()).is_err());
    fs::remove_dir(&in_the_way).unwrap();
    bed.archive.readings.stale = true;
    bed.apply(&[insert(0, 0, 2)]);
    bed.flush(Mode::Lag { closed_wait: 0 });
    assert_eq!(bed.archive.position(), 3);
    bed.check_at_rest();
}

#[test]
fn a_damaged_file_is_written_anew_from_the_store_and_named_when_read() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0)]);
    bed.flush(Mode::All);
    let path = live(&bed.archive).pop_first().unwrap();
    fs::write(&path, b"PAR1 no more").unwrap();
    let error = bed.archive.read_readings(FIRST_DAY, |_| {}).unwrap_err();
    assert!(matches!(&error, Error::Damaged { path: named, .. } if *named == path), "{error}");
    fs::remove_file(&path).unwrap();
    let error = bed.archive.read_readings(FIRST_DAY, |_| {}).unwrap_err();
    assert!(error.to_string().ends_with("is damaged: the file is missing"), "{error}");
    bed.apply(&[insert(0, 0, 1)]);
    bed.check_at_rest();
}

#[test]
fn an_archive_ahead_of_its_store_is_refused_and_can_begin_anew() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0)]);
    bed.apply(&[insert(0, 1, 0)]);
    bed.flush(Mode::All);
    let days = [FIRST_DAY, FIRST_DAY + 1];
    let behind = Known { position: 1, days: &days, dirty: &[] };
    let error = Archive::open(bed.dir.path(), &behind, now()).err().unwrap();
    assert!(matches!(error, Error::Ahead { archive: 2, store: 1 }), "{error}");
    let known = Known { position: 2, ..behind };
    bed.archive = Archive::create_fresh(bed.dir.path(), &known, now()).unwrap();
    assert_eq!(bed.archive.position(), 0);
    assert!(on_disk(bed.dir.path()).is_empty());
    bed.check_at_rest();
}

/// It was emptied under its own name once; a crash in between left a log without its first entries, which
/// can be neither read nor begun anew.
#[test]
fn an_archive_whose_removal_was_cut_short_begins_anew() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0)]);
    bed.archive.flush(&bed.model, Mode::All, now()).unwrap();
    let table = bed.dir.path().join("readings");
    super::put_aside(&table).unwrap();
    // the process dies with the removal half done
    let old = bed.dir.path().join("readings.old");
    fs::remove_file(old.join("_delta_log/00000000000000000000.json")).unwrap();
    bed.reopen();
    assert!(!old.exists());
    bed.check_at_rest();
}

#[test]
fn checkpoints_come_and_a_torn_one_does_no_harm() {
    let mut bed = Bed::new();
    for quarter in 0..51 {
        bed.apply(&[insert(0, 0, quarter), Touch { kind: 9, mw: quarter, ..insert(0, 0, quarter) }]);
        bed.archive.flush(&bed.model, Mode::Lag { closed_wait: 0 }, now()).unwrap();
    }
    let checkpoint = bed.dir.path().join("readings/_delta_log/00000000000000000050.checkpoint.parquet");
    assert!(checkpoint.exists());
    bed.reopen();
    check(&bed.archive, &bed.model, &[]);
    assert_eq!(bed.archive.position(), 51);
    let whole = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, &whole[..whole.len() / 2]).unwrap();
    bed.reopen();
    assert!(!checkpoint.exists());
    bed.check_at_rest();
}

#[test]
fn values_come_back_to_the_milliwatt() {
    let mut bed = Bed::new();
    let values = [0, 1, -1, 9_999_999, 10_000_000, 123_456_789_012, 4_000_000_000_000_000, 333_333];
    let touches: Vec<Touch> =
        (0..).zip(values).map(|(quarter, mw)| Touch { mw, ..insert(0, 0, quarter) }).collect();
    bed.apply(&touches);
    bed.check_at_rest();
}

fn touch() -> impl Strategy<Value = Touch> {
    let meters = 0..u32::try_from(NAMES.len()).unwrap();
    (meters, 0..4_i64, 0..8_i64, 0..20_000_000_i64, 0..11_u8)
        .prop_map(|(meter, day, quarter, mw, kind)| Touch { meter, day, quarter, mw, kind })
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<Touch>),
    Flush(u8),
    Reopen,
    Vacuum,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => prop::collection::vec(touch(), 0..30).prop_map(Step::Apply),
        4 => (0..4_u8).prop_map(Step::Flush),
        1 => Just(Step::Reopen),
        1 => Just(Step::Vacuum),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_changes_come_each_snapshot_is_the_models_state(
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let mut bed = Bed::new();
        for step in steps {
            match step {
                Step::Apply(touches) => bed.apply(&touches),
                Step::Flush(0) => drop(bed.flush(Mode::All)),
                Step::Flush(1) => drop(bed.flush(Mode::Lag { closed_wait: 0 })),
                Step::Flush(2) => drop(bed.flush(Mode::Lag { closed_wait: 1 })),
                Step::Flush(_) => drop(bed.flush(Mode::Bytes(10_000))),
                Step::Reopen => bed.reopen(),
                Step::Vacuum => drop(bed.archive.vacuum(now(), 0).unwrap()),
            }
        }
        bed.check_at_rest();
    }
}

#[test]
fn an_archive_in_a_bucket_is_what_one_in_a_folder_is() {
    let store = Arc::new(InMemory::new());
    let mut bed = Bed::in_bucket(&store);
    for entry in 0..60 {
        bed.apply(&[insert(0, entry / 20, entry), insert(1, entry / 20, entry), insert(2, 0, entry)]);
        bed.flush(Mode::All);
        if entry % 25 == 0 {
            bed.reopen();
        }
    }
    let checkpoint = "s3://meters/landing/readings/_delta_log/_last_checkpoint";
    let bucket = bed.place.bucket().unwrap();
    assert!(bucket.head(&bucket.key_of(Path::new(checkpoint)).unwrap()).unwrap().is_some());
    bed.check_at_rest();
    let seen = Archive::look(bed.place.clone()).unwrap();
    check(&seen, &bed.model, &[]);
    assert_eq!(seen.versions(), bed.archive.versions());
}

#[test]
fn a_table_whose_removal_from_a_bucket_was_broken_off_is_begun_anew() {
    let store = Arc::new(InMemory::new());
    let mut bed = Bed::in_bucket(&store);
    bed.apply(&[insert(0, 0, 0), insert(1, 1, 0)]);
    bed.flush(Mode::All);
    let bucket = bed.place.bucket().unwrap().clone();
    // as a process that died after the mark and the first removal leaves it
    bucket.put("readings/_going", b"".as_slice().into()).unwrap();
    bucket.delete("readings/_delta_log/00000000000000000000.json").unwrap();
    bed.reopen();
    bed.check_at_rest();
    assert_eq!(bucket.head("readings/_going").unwrap(), None);
}

#[test]
fn a_bucket_that_fails_is_away_and_no_archive_is_damaged_by_it() {
    let store = Arc::new(InMemory::new());
    let mut bed = Bed::in_bucket(&store);
    bed.apply(&[insert(0, 0, 0)]);
    bed.flush(Mode::All);
    let random = std::sync::Mutex::new(fastrand::Rng::with_seed(5));
    let faults = [Fault::Lost, Fault::Unanswered, Fault::Cut];
    let bucket = Flaky::new(&store, move |_| {
        let mut random = random.lock().unwrap();
        if random.u8(..3) == 0 { faults[random.usize(..3)] } else { Fault::None }
    })
    .bucket(2);
    bed.place = Place::Bucket(bucket);
    for quarter in 1..12 {
        let days: Vec<i64> = bed.model.days().into_iter().collect();
        let known = Known { position: bed.model.entry, days: &days, dirty: &days };
        match Archive::open(bed.place.clone(), &known, now()) {
            Ok(archive) => bed.archive = archive,
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
        bed.apply(&[insert(0, 0, quarter)]);
        if let Err(error) = bed.archive.flush(&bed.model, Mode::All, now()) {
            assert!(error.is_transient(), "{error:?}");
        }
    }
    bed.place = sound(&store);
    bed.reopen();
    bed.check_at_rest();
}
