//! One commit: change sets, in order, inside one transaction. What must hold of a set is checked here, once
//! for both databases; how its rows are written, each does in its own way ([`Tables`]).

use std::collections::{BTreeMap, BTreeSet};

use greenstream_core::{Reading, Standing, Ts};
use rustc_hash::FxHashSet;

use super::books::{self, Books};
use super::db::{Db, params};
use super::error::{Doing, Fault, StoreError};
use super::queue::{self, Entry, RowId};
use super::types::ArchiveTable;
use super::{episodes, outbox, reader, uploads};
use crate::change::{ChangeSet, DayState, Meter, Register, Replaced, Revision, SupersededRow};

/// What is wrong with a reading that was to be new.
const STORED: &str = "is inserted and stored already";

/// Writes rows, many at once. Readings come sorted by (hour, meter, ts), rows of uploads by their ids. What
/// contradicts the tables is named by its place in what came, and leaves the rest undone.
pub(super) trait Tables {
    /// Gives meters their numbers; the first that is known, by its id or its number.
    fn name_meters(&mut self, meters: &[(Meter, String)]) -> Result<Option<usize>, Fault>;

    /// Stores the readings that a set brings, unless the transaction has them already; the first whose key is
    /// stored already.
    fn insert_new(&mut self, readings: &[(Meter, Reading)]) -> Result<Option<usize>, Fault> {
        self.insert(readings)
    }

    /// Stores readings; the first whose key is stored already.
    fn insert(&mut self, readings: &[(Meter, Reading)]) -> Result<Option<usize>, Fault>;

    /// Replaces stored readings; the first whose key is not stored.
    fn update(&mut self, readings: &[(Meter, Reading)]) -> Result<Option<usize>, Fault>;

    /// Removes stored readings; the first whose key is not stored.
    fn delete(&mut self, readings: &[(Meter, Reading)]) -> Result<Option<usize>, Fault>;

    /// Puts entries into the error queue; the first that is in it already.
    fn enter(&mut self, entries: &[Entry<'_>]) -> Result<Option<usize>, Fault>;

    /// Takes entries out of the error queue, in any order; those that were in it.
    fn leave(&mut self, rows: &[RowId]) -> Result<FxHashSet<RowId>, Fault>;

    /// Opens entries of the error queue with their verdicts of now, in any order; those that are in it.
    fn judge_anew(&mut self, readings: &[(Meter, Reading)]) -> Result<FxHashSet<RowId>, Fault>;

    /// Writes down rows that lost, in any order; the first that had lost already.
    fn lose(&mut self, rows: &[SupersededRow]) -> Result<Option<usize>, Fault>;

    /// Forgets that rows lost, in any order; those that had.
    fn revive(&mut self, rows: &[RowId]) -> Result<FxHashSet<RowId>, Fault>;

    /// What days of meters hold.
    fn days(&mut self, days: &[(Meter, i32, DayState)]) -> Result<(), Fault>;

    /// What registers showed; a later word replaces an earlier one.
    fn registers(&mut self, registers: &[Register]) -> Result<(), Fault>;

    /// Revisions of rows; a dead letter that is tried again gives the same.
    fn revisions(&mut self, revisions: &[Revision]) -> Result<(), Fault>;
}

/// The work of one transaction. Dropping it changes nothing; the transaction around it decides.
pub(super) struct Commit<'c, T> {
    db: &'c Db,
    tables: T,
    /// Where the store stood before.
    stored: u64,
    /// The entry being applied, for messages.
    entry: u64,
    entry_hash: String,
    /// Partitions of the archive that were touched, and by which entry last.
    dirty: BTreeMap<(ArchiveTable, i64), u64>,
    /// Uploads whose books or outcome changed.
    touched: BTreeSet<u32>,
}

/// What the replaced readings of a set come to.
#[derive(Default)]
struct Replacing<'s> {
    inserts: Vec<(Meter, Reading)>,
    updates: Vec<(Meter, Reading)>,
    deletes: Vec<(Meter, Reading)>,
    /// Readings whose rows leave the queue.
    leaving: Vec<(Meter, Reading)>,
    /// Readings whose entry may be there, and is judged anew then; else they enter.
    judged: Vec<(Meter, Reading)>,
    /// Decided rows that win again.
    recalled: Vec<(Meter, Reading)>,
    entering: Vec<Entry<'s>>,
}

impl<'c, T: Tables> Commit<'c, T> {
    pub(super) fn begin(db: &'c Db, tables: T) -> Result<Self, StoreError> {
        let stored = reader::position(db)?;
        Ok(Commit {
            db,
            tables,
            stored: stored.entry,
            entry: stored.entry,
            entry_hash: stored.entry_hash,
            dirty: BTreeMap::new(),
            touched: BTreeSet::new(),
        })
    }

    /// Applies one set, unless the store held it before this commit began.
    pub(super) fn apply(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        if set.entry <= self.stored {
            return Ok(());
        }
        if set.entry <= self.entry {
            let problem = format!("it comes after entry {} in one commit", self.entry);
            return Err(StoreError::Broken { entry: set.entry, problem });
        }
        self.entry = set.entry;
        self.entry_hash.clone_from(&set.entry_hash);
        let mut books = Books::of(set);
        uploads::land(self.db, &set.landed).doing("take an upload")?;
        self.meters(set)?;
        self.decide(set, &mut books).doing("take a decision")?;
        self.revive(set)?;
        if let Some((meter, reading)) = set.inserted.iter().find(|(_, r)| r.standing != Standing::Accepted) {
            return Err(self.misplaced(*meter, reading.ts, "is inserted and not accepted"));
        }
        self.touch_days(&set.inserted);
        let known = self.tables.insert_new(&set.inserted).doing("store readings")?;
        self.unless(&set.inserted, known, STORED)?;
        let entering = self.replace(set)?;
        self.quarantine(set, entering)?;
        self.lose(set)?;
        self.settle(set)?;
        self.tables.days(&set.days).doing("take the days of meters")?;
        episodes::put(self.db, &set.episodes, &set.episodes_gone).doing("take episodes")?;
        self.tables.registers(&set.registers).doing("take registers")?;
        self.tables.revisions(&set.revisions).doing("take revisions")?;
        self.end(set)?;
        outbox::put(self.db, &set.deliveries, &set.alerts).doing("take alerts")?;
        if let Some(version) = &set.configuration {
            let sql = "UPDATE t_state SET configuration = ?1";
            self.db.execute(sql, params![version]).doing("take a version")?;
        }
        self.account(set, books)
    }

    /// Checks the books, and says which partitions are dirty and which entry this is.
    pub(super) fn finish(self) -> Result<(), StoreError> {
        for upload in &self.touched {
            books::check_balance(self.db, *upload)?;
        }
        outbox::mark_dirty(self.db, &self.dirty).doing("take a commit")?;
        let entry =
            i64::try_from(self.entry).map_err(|_| self.broken("its number is above 2^63".to_owned()))?;
        let sql = "UPDATE t_state SET entry = ?1, entry_hash = ?2";
        self.db.execute(sql, params![entry, &self.entry_hash]).doing("take a commit")?;
        Ok(())
    }

    fn meters(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        let known = self.tables.name_meters(&set.meters).doing("take a meter")?;
        let Some((meter, meter_id)) = known.and_then(|at| set.meters.get(at)) else { return Ok(()) };
        let number = meter.0;
        Err(self.broken(format!("meter {meter_id:?} is new, and its id or its number {number} is not")))
    }

    /// Writes decisions down; what they do to the queue comes last, in [`Commit::settle`].
    fn decide(&mut self, set: &ChangeSet, books: &mut Books) -> Result<(), Fault> {
        for decision in &set.decisions {
            let row = (decision.upload, decision.row_number);
            let raw =
                set.raw.binary_search_by_key(&row, |(row, _)| *row).ok().map(|at| set.raw[at].1.as_str());
            let before = queue::decide(self.db, decision, raw)?;
            books.decided(decision.upload, decision.reason, before, decision.status);
        }
        Ok(())
    }

    fn revive(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        let had_lost = self.tables.revive(&set.revived).doing("revive a row")?;
        match set.revived.iter().find(|row| !had_lost.contains(row)) {
            None => Ok(()),
            Some((upload, row)) => {
                Err(self.broken(format!("row {row} of upload {upload} is revived and was not superseded")))
            }
        }
    }

    /// Moves readings from what stood there to what stands there now; the rows that enter the queue.
    fn replace<'s>(&mut self, set: &'s ChangeSet) -> Result<Vec<Entry<'s>>, StoreError> {
        let decided: FxHashSet<RowId> =
            set.decisions.iter().map(|decision| (decision.upload, decision.row_number)).collect();
        let mut replacing =
            Replacing { entering: set.rejects.iter().map(Entry::reject).collect(), ..Replacing::default() };
        for replaced in &set.replaced {
            self.sort(replaced, &decided, &mut replacing)?;
        }
        let Replacing { inserts, updates, deletes, .. } = &mut replacing;
        for readings in [&mut *inserts, &mut *updates, &mut *deletes] {
            readings.sort_unstable_by_key(|(meter, reading)| (reading.ts.hour(), *meter, reading.ts));
            self.touch_days(readings);
        }
        let unknown = self.tables.update(updates).doing("replace readings")?;
        self.unless(updates, unknown, "is replaced and was not stored")?;
        let unknown = self.tables.delete(deletes).doing("remove readings")?;
        self.unless(deletes, unknown, "is removed and was not stored")?;
        let known = self.tables.insert(inserts).doing("store readings")?;
        self.unless(inserts, known, STORED)?;
        self.requeue(replacing)
    }

    /// What becomes of one reading, in its place.
    fn sort(
        &mut self,
        replaced: &Replaced,
        decided: &FxHashSet<RowId>,
        replacing: &mut Replacing<'_>,
    ) -> Result<(), StoreError> {
        let Replaced { meter, before, after } = *replaced;
        if before.zip(after).is_some_and(|(before, after)| before.ts != after.ts) {
            let ts = after.or(before).map_or(Ts::MIN, |r| r.ts);
            return Err(self.misplaced(meter, ts, "changes its instant"));
        }
        let accepted = |reading: &Option<Reading>| reading.filter(|r| r.standing == Standing::Accepted);
        match (accepted(&before), accepted(&after)) {
            (Some(_), Some(after)) => replacing.updates.push((meter, after)),
            (Some(before), None) => replacing.deletes.push((meter, before)),
            (None, Some(after)) => replacing.inserts.push((meter, after)),
            (None, None) => {}
        }
        // entries belong to rows, so another winner is another entry
        let entered = |reading: &Option<Reading>| {
            reading.filter(|r| r.standing != Standing::Accepted || r.is_decided())
        };
        let (before, after) = (entered(&before), entered(&after));
        let same = before.zip(after).is_some_and(|(before, after)| row(&before) == row(&after));
        if let Some(before) = before.filter(|_| !same) {
            self.touch(ArchiveTable::ErrorQueue, Some(before.ts));
            // a row that is decided in this set comes back when its decision is settled
            replacing.leaving.push((meter, before));
        }
        let Some(after) = after else { return Ok(()) };
        self.touch(ArchiveTable::ErrorQueue, Some(after.ts));
        let is_there = same || decided.contains(&row(&after));
        if let Some(reason) = after.standing.reason() {
            if is_there {
                replacing.judged.push((meter, after));
            } else {
                replacing.entering.push(Entry::quarantined(meter, &after, reason));
            }
        } else if !after.is_decided() {
            return Err(self.misplaced(meter, after.ts, "is not judged"));
        } else if !is_there {
            replacing.recalled.push((meter, after));
        }
        Ok(())
    }

    /// The same for the queue.
    fn requeue<'s>(&mut self, replacing: Replacing<'s>) -> Result<Vec<Entry<'s>>, StoreError> {
        let Replacing { leaving, judged, recalled, mut entering, .. } = replacing;
        let rows: Vec<RowId> = leaving.iter().map(|(_, reading)| row(reading)).collect();
        let gone = self.tables.leave(&rows).doing("take a row out of the error queue")?;
        if let Some((meter, reading)) = leaving.iter().find(|(_, reading)| !gone.contains(&row(reading))) {
            return Err(self.misplaced(*meter, reading.ts, "leaves the error queue and was not in it"));
        }
        let there = self.tables.judge_anew(&judged).doing("judge a row of the error queue anew")?;
        for (meter, reading) in judged.iter().filter(|(_, reading)| !there.contains(&row(reading))) {
            let Some(reason) = reading.standing.reason() else { continue };
            entering.push(Entry::quarantined(*meter, reading, reason));
        }
        for (meter, reading) in &recalled {
            if !queue::recall(self.db, row(reading)).doing("recall a decision")? {
                return Err(self.misplaced(*meter, reading.ts, "is released or edited by no decision"));
            }
        }
        Ok(entering)
    }

    /// Puts rows into the queue, in the order of its key, which is that of their lines too.
    fn quarantine<'s>(&mut self, set: &'s ChangeSet, mut entering: Vec<Entry<'s>>) -> Result<(), StoreError> {
        entering.sort_unstable_by_key(|entry| entry.row);
        let mut lines = set.raw.iter();
        for entry in &mut entering {
            self.touch(ArchiveTable::ErrorQueue, entry.ts);
            let line = lines.find(|(row, _)| *row >= entry.row).filter(|(row, _)| *row == entry.row);
            let Some((_, line)) = line else { return Err(self.entering(entry.row, "without its line")) };
            entry.raw = line;
        }
        let known = self.tables.enter(&entering).doing("quarantine a row")?;
        match known.and_then(|at| entering.get(at)) {
            Some(entry) => Err(self.entering(entry.row, "and is in it already")),
            None => Ok(()),
        }
    }

    fn lose(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        let known = self.tables.lose(&set.superseded).doing("take a superseded row")?;
        let Some(row) = known.and_then(|at| set.superseded.get(at)) else { return Ok(()) };
        let (upload, row) = (row.upload, row.row_number);
        Err(self.broken(format!("row {row} of upload {upload} is superseded and was so already")))
    }

    fn settle(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        for decision in &set.decisions {
            self.touch(ArchiveTable::ErrorQueue, decision.ts);
            let settled = queue::settle(self.db, decision).doing("take a decision")?;
            settled.map_err(|problem| self.broken(problem))?;
        }
        Ok(())
    }

    fn end(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        let Some(outcome) = &set.outcome else { return Ok(()) };
        if !uploads::end(self.db, outcome).doing("end an upload")? {
            return Err(self.broken(format!("upload {} ends and never landed", outcome.upload)));
        }
        self.touched.insert(outcome.upload);
        Ok(())
    }

    fn account(&mut self, set: &ChangeSet, books: Books) -> Result<(), StoreError> {
        books.check(&set.books).map_err(|problem| self.broken(problem))?;
        for entry in &set.books {
            if !books::add(self.db, entry).doing("add to the books")? {
                return Err(self.broken(format!("upload {} has books and never landed", entry.upload)));
            }
            self.touched.insert(entry.upload);
        }
        Ok(())
    }

    fn touch(&mut self, table: ArchiveTable, ts: Option<Ts>) {
        self.dirty.insert((table, ts.map_or(ArchiveTable::NO_DAY, Ts::day)), self.entry);
    }

    fn touch_days(&mut self, readings: &[(Meter, Reading)]) {
        for day in readings.chunk_by(|a, b| a.1.ts.day() == b.1.ts.day()) {
            self.touch(ArchiveTable::Readings, day.first().map(|(_, reading)| reading.ts));
        }
    }

    /// An error where one of the readings, by its place, contradicts what is stored.
    fn unless(&self, readings: &[(Meter, Reading)], at: Option<usize>, what: &str) -> Result<(), StoreError> {
        match at.and_then(|at| readings.get(at)) {
            Some((meter, reading)) => Err(self.misplaced(*meter, reading.ts, what)),
            None => Ok(()),
        }
    }

    fn entering(&self, (upload, row_number): RowId, how: &str) -> StoreError {
        self.broken(format!("row {row_number} of upload {upload} enters the error queue {how}"))
    }

    fn broken(&self, problem: String) -> StoreError {
        StoreError::Broken { entry: self.entry, problem }
    }

    /// A broken invariant about one reading, by the name of its meter.
    fn misplaced(&self, meter: Meter, ts: Ts, what: &str) -> StoreError {
        let sql = "SELECT meter_id FROM t_meter WHERE id = ?1";
        let meter_id: Option<String> =
            self.db.one(sql, params![meter.0], |row| row.get(0)).unwrap_or_default();
        let name = meter_id.unwrap_or_else(|| format!("number {}", meter.0));
        self.broken(format!("the reading of meter {name} at {ts} {what}"))
    }
}

/// The row of a reading.
pub(super) fn row(reading: &Reading) -> RowId {
    (reading.upload, reading.row_number)
}
