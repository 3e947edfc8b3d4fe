//! One commit: change sets, in order, inside one transaction.

use std::collections::{BTreeMap, BTreeSet};

use greenstream_core::{Reading, Standing, Ts};
use rusqlite::{Connection, OptionalExtension, params};
use rustc_hash::FxHashSet;

use super::queue::Queue;
use super::readings::Readings;
use crate::change::{ChangeSet, DayState, Decision, Meter, Replaced, Status};
use crate::store::books::{self, Books};
use crate::store::db::Db;
use crate::store::error::{Doing, Fault, StoreError, is_conflict};
use crate::store::queue::{self, Entry, RowId};
use crate::store::types::ArchiveTable;
use crate::store::{episodes, outbox, reader, registers, revisions, uploads};

/// The work of one transaction. Dropping it changes nothing; the transaction around it decides.
pub(in crate::store) struct Commit<'c> {
    /// The same connection twice: for what is written once for both databases, and for the rest.
    db: &'c Db,
    conn: &'c Connection,
    /// Where the store stood before.
    stored: u64,
    /// The entry being applied, for messages.
    entry: u64,
    entry_hash: String,
    readings: Readings<'c>,
    queue: Queue<'c>,
    /// Partitions of the archive that were touched, and by which entry last.
    dirty: BTreeMap<(ArchiveTable, i64), u64>,
    /// Uploads whose books or outcome changed.
    touched: BTreeSet<u32>,
}

/// What is gathered while the readings of a set are replaced.
struct Replacing<'s> {
    /// Rows whose decision changes in this set: their entries are settled at its end.
    decided: FxHashSet<RowId>,
    /// Rows that enter the queue, once all readings are replaced.
    entering: Vec<Entry<'s>>,
}

impl<'c> Commit<'c> {
    pub(in crate::store) fn begin(db: &'c Db, conn: &'c Connection) -> Result<Self, StoreError> {
        let stored = reader::position(db)?;
        Ok(Commit {
            db,
            conn,
            stored: stored.entry,
            entry: stored.entry,
            entry_hash: stored.entry_hash,
            readings: Readings::new(conn).doing("take a commit")?,
            queue: Queue::new(conn).doing("take a commit")?,
            dirty: BTreeMap::new(),
            touched: BTreeSet::new(),
        })
    }

    /// Applies one set, unless the store held it before this commit began.
    pub(in crate::store) fn apply(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        if set.entry <= self.stored {
            return Ok(());
        }
        if set.entry <= self.entry {
            let problem = format!("it comes after entry {} in one commit", self.entry);
            return Err(StoreError::Broken { entry: set.entry, problem });
        }
        self.entry = set.entry;
        self.entry_hash.clone_from(&set.entry_hash);
        let mut replacing = Replacing {
            decided: set.decisions.iter().map(|decision| (decision.upload, decision.row_number)).collect(),
            entering: set.rejects.iter().map(Entry::reject).collect(),
        };
        let mut books = Books::of(set);
        uploads::land(self.db, &set.landed).doing("take an upload")?;
        self.meters(set)?;
        self.decide(set, &mut books).doing("take a decision")?;
        self.revive(set)?;
        self.insert(set)?;
        for replaced in &set.replaced {
            self.replace(replaced, &mut replacing)?;
        }
        self.quarantine(set, replacing.entering)?;
        self.lose(set)?;
        self.settle(set)?;
        self.days(set).doing("take the days of meters")?;
        episodes::put(self.db, &set.episodes, &set.episodes_gone).doing("take episodes")?;
        registers::put(self.db, &set.registers).doing("take registers")?;
        revisions::put(self.db, &set.revisions).doing("take revisions")?;
        self.end(set)?;
        outbox::put(self.db, &set.deliveries, &set.alerts).doing("take alerts")?;
        if let Some(version) = &set.configuration {
            self.conn.execute("UPDATE t_state SET configuration = ?1", [version]).doing("take a version")?;
        }
        self.account(set, books)
    }

    /// Checks the books, and says which partitions are dirty and which entry this is.
    pub(in crate::store) fn finish(self) -> Result<(), StoreError> {
        for upload in &self.touched {
            books::check_balance(self.db, *upload)?;
        }
        outbox::mark_dirty(self.db, &self.dirty).doing("take a commit")?;
        let entry =
            i64::try_from(self.entry).map_err(|_| self.broken("its number is above 2^63".to_owned()))?;
        self.conn
            .prepare_cached("UPDATE t_state SET entry = ?1, entry_hash = ?2")
            .and_then(|mut update| update.execute(params![entry, self.entry_hash]))
            .doing("take a commit")?;
        Ok(())
    }

    fn meters(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        let mut insert =
            self.conn.prepare_cached("INSERT INTO t_meter VALUES (?1, ?2)").doing("take a meter")?;
        for (meter, meter_id) in &set.meters {
            match insert.execute(params![meter.0, meter_id]) {
                Err(error) if is_conflict(&error) => {
                    let problem =
                        format!("meter {meter_id:?} is new, and its id or its number {} is not", meter.0);
                    return Err(self.broken(problem));
                }
                result => result.doing("take a meter")?,
            };
        }
        Ok(())
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
        for (upload, row_number) in &set.revived {
            if !self.queue.revive((*upload, *row_number)).doing("revive a row")? {
                let problem =
                    format!("row {row_number} of upload {upload} is revived and was not superseded");
                return Err(self.broken(problem));
            }
        }
        Ok(())
    }

    fn insert(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        if let Some((meter, reading)) = set.inserted.iter().find(|(_, r)| r.standing != Standing::Accepted) {
            return Err(self.misplaced(*meter, reading.ts, "is inserted and not accepted"));
        }
        for day in set.inserted.chunk_by(|a, b| a.1.ts.day() == b.1.ts.day()) {
            self.touch(ArchiveTable::Readings, day.first().map(|(_, reading)| reading.ts));
        }
        let known = self.readings.insert_all(&set.inserted).doing("store readings")?;
        match known.and_then(|known| set.inserted.get(known)) {
            Some((meter, reading)) => {
                Err(self.misplaced(*meter, reading.ts, "is inserted and stored already"))
            }
            None => Ok(()),
        }
    }

    fn store(&mut self, meter: Meter, reading: &Reading) -> Result<(), StoreError> {
        match self.readings.insert(meter, reading) {
            Err(error) if is_conflict(&error) => {
                Err(self.misplaced(meter, reading.ts, "is inserted and stored already"))
            }
            result => result.doing("store a reading"),
        }
    }

    /// Moves one reading from what stood there to what stands there now.
    fn replace(&mut self, replaced: &Replaced, replacing: &mut Replacing<'_>) -> Result<(), StoreError> {
        let Replaced { meter, before, after } = *replaced;
        if before.zip(after).is_some_and(|(before, after)| before.ts != after.ts) {
            return Err(self.misplaced(
                meter,
                after.or(before).map_or(Ts::MIN, |r| r.ts),
                "changes its instant",
            ));
        }
        let accepted = |reading: &Option<Reading>| reading.filter(|r| r.standing == Standing::Accepted);
        match (accepted(&before), accepted(&after)) {
            (Some(_), Some(after)) => {
                if !self.readings.update(meter, &after).doing("replace a reading")? {
                    return Err(self.misplaced(meter, after.ts, "is replaced and was not stored"));
                }
                self.touch(ArchiveTable::Readings, Some(after.ts));
            }
            (Some(before), None) => {
                if !self.readings.delete(meter, before.ts).doing("remove a reading")? {
                    return Err(self.misplaced(meter, before.ts, "is removed and was not stored"));
                }
                self.touch(ArchiveTable::Readings, Some(before.ts));
            }
            (None, Some(after)) => {
                self.store(meter, &after)?;
                self.touch(ArchiveTable::Readings, Some(after.ts));
            }
            (None, None) => {}
        }
        self.replace_entry(replaced, replacing)
    }

    /// The same for the queue: entries belong to rows, so another winner is another entry.
    fn replace_entry(
        &mut self,
        replaced: &Replaced,
        replacing: &mut Replacing<'_>,
    ) -> Result<(), StoreError> {
        let entered = |reading: &Option<Reading>| {
            reading.filter(|r| r.standing != Standing::Accepted || r.is_decided())
        };
        let (before, after) = (entered(&replaced.before), entered(&replaced.after));
        let row = |reading: &Reading| (reading.upload, reading.row_number);
        let same = before.zip(after).is_some_and(|(before, after)| row(&before) == row(&after));
        if let Some(before) = before.filter(|_| !same) {
            self.touch(ArchiveTable::ErrorQueue, Some(before.ts));
            // a row that is decided in this set comes back when its decision is settled
            if !self.queue.delete(row(&before)).doing("take a row out of the error queue")? {
                return Err(self.misplaced(
                    replaced.meter,
                    before.ts,
                    "leaves the error queue and was not in it",
                ));
            }
        }
        let Some(after) = after else { return Ok(()) };
        self.touch(ArchiveTable::ErrorQueue, Some(after.ts));
        if let Some(reason) = after.standing.reason() {
            let updated = (same || replacing.decided.contains(&row(&after)))
                && self
                    .queue
                    .update(row(&after), after.own_kw(), reason, after.flags, Status::Open)
                    .doing("judge a row of the error queue anew")?;
            if !updated {
                replacing.entering.push(Entry::quarantined(replaced.meter, &after, reason));
            }
        } else if !after.is_decided() {
            return Err(self.misplaced(replaced.meter, after.ts, "is not judged"));
        } else if !same && !replacing.decided.contains(&row(&after)) {
            let recalled = queue::recall(self.db, row(&after)).doing("recall a decision")?;
            if !recalled {
                return Err(self.misplaced(replaced.meter, after.ts, "is released or edited by no decision"));
            }
        }
        Ok(())
    }

    /// Puts rows into the queue, in the order of its key, which is that of their lines too.
    fn quarantine<'s>(&mut self, set: &'s ChangeSet, mut entering: Vec<Entry<'s>>) -> Result<(), StoreError> {
        entering.sort_unstable_by_key(|entry| entry.row);
        let mut lines = set.raw.iter();
        for entry in &mut entering {
            self.touch(ArchiveTable::ErrorQueue, entry.ts);
            if let (Some(_), Some(ts)) = (entry.meter, entry.ts) {
                self.readings.see_hour(ts.hour()).doing("quarantine a row")?;
            }
            let Some((_, line)) =
                lines.find(|(row, _)| *row >= entry.row).filter(|(row, _)| *row == entry.row)
            else {
                return Err(self.entering(entry.row, "without its line"));
            };
            entry.raw = line;
        }
        match self.queue.insert_all(&entering).doing("quarantine a row")? {
            Some(row) => Err(self.entering(row, "and is in it already")),
            None => Ok(()),
        }
    }

    fn lose(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        for row in &set.superseded {
            match self.queue.lose(row) {
                Err(error) if is_conflict(&error) => {
                    let problem = format!(
                        "row {} of upload {} is superseded and was so already",
                        row.row_number, row.upload
                    );
                    return Err(self.broken(problem));
                }
                result => result.doing("take a superseded row")?,
            }
        }
        Ok(())
    }

    fn settle(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        for decision in &set.decisions {
            let Decision { ts, .. } = *decision;
            self.touch(ArchiveTable::ErrorQueue, ts);
            let settled = queue::settle(self.db, decision).doing("take a decision")?;
            settled.map_err(|problem| self.broken(problem))?;
        }
        Ok(())
    }

    fn days(&mut self, set: &ChangeSet) -> rusqlite::Result<()> {
        let mut put = self.conn.prepare_cached(
            "INSERT INTO t_day VALUES (?1, ?2, ?3) ON CONFLICT (meter, day) DO UPDATE SET state = ?3",
        )?;
        let mut remove = self.conn.prepare_cached("DELETE FROM t_day WHERE meter = ?1 AND day = ?2")?;
        for (meter, day, state) in &set.days {
            match state {
                DayState::Empty => remove.execute(params![meter.0, day])?,
                state => put.execute(params![meter.0, day, *state as u8])?,
            };
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

    fn entering(&self, (upload, row_number): RowId, how: &str) -> StoreError {
        self.broken(format!("row {row_number} of upload {upload} enters the error queue {how}"))
    }

    fn broken(&self, problem: String) -> StoreError {
        StoreError::Broken { entry: self.entry, problem }
    }

    /// A broken invariant about one reading, by the name of its meter.
    fn misplaced(&self, meter: Meter, ts: Ts, what: &str) -> StoreError {
        let meter_id: Option<String> = self
            .conn
            .query_row("SELECT meter_id FROM t_meter WHERE id = ?1", [meter.0], |row| row.get(0))
            .optional()
            .unwrap_or_default();
        let name = meter_id.unwrap_or_else(|| format!("number {}", meter.0));
        self.broken(format!("the reading of meter {name} at {ts} {what}"))
    }
}
