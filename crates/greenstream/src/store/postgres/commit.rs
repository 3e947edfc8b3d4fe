//! One commit: change sets, in order, inside one transaction. What a file does row by row is done here by
//! whole sets: COPY straight into a day's partition for what is new, one statement for each kind of change
//! and day for what was known.

use std::collections::{BTreeMap, BTreeSet};

use greenstream_core::{Power, Reading, Standing, Ts};
use postgres::error::SqlState;
use rustc_hash::FxHashSet;

use super::bulk::{self, Columns, RowIds, int};
use super::session::{PostgresFault, Session};
use super::{copy, schema};
use crate::change::{ChangeSet, Decision, Meter, Replaced};
use crate::store::books::{self, Books};
use crate::store::db::{Db, Value};
use crate::store::error::{Doing, Fault, StoreError};
use crate::store::queue::{self, Entry, RowId};
use crate::store::types::ArchiveTable;
use crate::store::{episodes, outbox, reader, uploads};

/// The work of one transaction. Dropping it changes nothing; the transaction around it decides.
pub(in crate::store) struct Commit<'c> {
    /// The same connection twice: for what is written once for both databases, and for the rest.
    db: &'c Db,
    session: &'c Session,
    /// Where the store stood before.
    stored: u64,
    /// The entry being applied, for messages.
    entry: u64,
    entry_hash: String,
    /// Hours that this transaction has seen to.
    hours: FxHashSet<i32>,
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
    /// Rows that leave the queue.
    leaving: Vec<(Meter, Reading)>,
    /// Rows whose entry may be there, and is judged anew then; else they enter.
    judged: Vec<(Meter, Reading)>,
    /// Decided rows that win again.
    recalled: Vec<(Meter, Reading)>,
    entering: Vec<Entry<'s>>,
}

impl<'c> Commit<'c> {
    pub(in crate::store) fn begin(db: &'c Db, session: &'c Session) -> Result<Self, StoreError> {
        let stored = reader::position(db)?;
        Ok(Commit {
            db,
            session,
            stored: stored.entry,
            entry: stored.entry,
            entry_hash: stored.entry_hash,
            hours: FxHashSet::default(),
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
        let mut books = Books::of(set);
        uploads::land(self.db, &set.landed).doing("take an upload")?;
        self.meters(set)?;
        self.decide(set, &mut books).doing("take a decision")?;
        self.revive(set)?;
        self.insert(set)?;
        let entering = self.replace(set)?;
        self.quarantine(set, entering)?;
        self.lose(set)?;
        self.settle(set)?;
        bulk::days(self.session, &set.days).doing("take the days of meters")?;
        episodes::put(self.db, &set.episodes, &set.episodes_gone).doing("take episodes")?;
        bulk::registers(self.session, &set.registers).doing("take registers")?;
        bulk::revisions(self.session, &set.revisions).doing("take revisions")?;
        self.end(set)?;
        outbox::put(self.db, &set.deliveries, &set.alerts).doing("take alerts")?;
        if let Some(version) = &set.configuration {
            let sql = "UPDATE t_state SET configuration = ?1";
            self.db.execute(sql, &[version.into()]).doing("take a version")?;
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
        let sql = "UPDATE t_state SET entry = ?1, entry_hash = ?2";
        self.db.execute(sql, &[entry.into(), (&self.entry_hash).into()]).doing("take a commit")?;
        Ok(())
    }

    fn meters(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        if set.meters.is_empty() {
            return Ok(());
        }
        let done = self.unless_known(|| bulk::meters(self.session, &set.meters)).doing("take a meter")?;
        if done {
            return Ok(());
        }
        let known = "SELECT 1 FROM t_meter WHERE id = ?1 OR meter_id = ?2";
        for (meter, meter_id) in &set.meters {
            let params: [Value<'_>; 2] = [meter.0.into(), meter_id.into()];
            if self.db.one(known, &params, |_| Ok(())).doing("take a meter")?.is_some() {
                let number = meter.0;
                return Err(self
                    .broken(format!("meter {meter_id:?} is new, and its id or its number {number} is not")));
            }
        }
        Err(self.broken("a new meter comes twice".to_owned()))
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
        let gone = self.take_out("t_superseded", set.revived.iter().copied()).doing("revive a row")?;
        match set.revived.iter().find(|row| !gone.contains(row)) {
            None => Ok(()),
            Some((upload, row)) => {
                Err(self.broken(format!("row {row} of upload {upload} is revived and was not superseded")))
            }
        }
    }

    /// Removes rows by their ids; those that were there.
    fn take_out(&self, table: &str, rows: impl Iterator<Item = RowId>) -> Result<FxHashSet<RowId>, Fault> {
        let ids = RowIds::of(rows);
        if ids.rows.is_empty() {
            return Ok(FxHashSet::default());
        }
        let sql = format!(
            "DELETE FROM {table} t USING unnest($1::int4[], $2::int4[]) AS v (upload, row_number)
             WHERE t.upload = v.upload AND t.row_number = v.row_number RETURNING t.upload, t.row_number"
        );
        self.session.query_arrays(&sql, &[&ids.uploads, &ids.rows])?.iter().map(row_id).collect()
    }

    fn insert(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        if let Some((meter, reading)) = set.inserted.iter().find(|(_, r)| r.standing != Standing::Accepted) {
            return Err(self.misplaced(*meter, reading.ts, "is inserted and not accepted"));
        }
        self.store(&set.inserted)
    }

    /// Stores readings that were not known, sorted by hour: each day's straight into its partition.
    fn store(&mut self, readings: &[(Meter, Reading)]) -> Result<(), StoreError> {
        let days: Vec<_> = readings.chunk_by(|a, b| a.1.ts.day() == b.1.ts.day()).collect();
        self.see_hours(
            readings
                .chunk_by(|a, b| a.1.ts.hour() == b.1.ts.hour())
                .filter_map(|run| run.first())
                .map(|(_, r)| r.ts),
        )?;
        let numbers: Vec<i64> = days.iter().filter_map(|day| day.first()).map(|(_, r)| r.ts.day()).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        schema::make_partitions(self.session, &numbers).doing("make a partition")?;
        for (day, number) in days.into_iter().zip(numbers) {
            self.touch(ArchiveTable::Readings, day.first().map(|(_, reading)| reading.ts));
            let partition = schema::partition(number);
            let sql = format!("COPY {partition} ({}) FROM STDIN BINARY", copy::READING_COLUMNS);
            let put = || self.session.copy(&sql, |out| copy::rows(out, day.iter(), copy::reading)).map(drop);
            if !self.unless_known(put).doing("store readings")? {
                let first = Columns::of(day.iter()).first(self.session, &partition, true);
                let known = first.doing("store readings")?.and_then(|at| day.get(at)).or(day.first());
                let Some((meter, reading)) = known else { continue };
                return Err(self.misplaced(*meter, reading.ts, "is inserted and stored already"));
            }
        }
        Ok(())
    }

    fn see_hours(&mut self, instants: impl Iterator<Item = Ts>) -> Result<(), StoreError> {
        let hours: Vec<i32> =
            instants.map(|ts| int(ts.hour())).filter(|hour| self.hours.insert(*hour)).collect();
        if hours.is_empty() {
            return Ok(());
        }
        bulk::see_hours(self.session, &hours).doing("store readings")
    }

    /// Does `work`, and nothing where it meets a key that is there already; false then.
    fn unless_known(&self, work: impl FnOnce() -> Result<(), Fault>) -> Result<bool, Fault> {
        self.session.batch("SAVEPOINT known")?;
        match work() {
            Ok(()) => self.session.batch("RELEASE SAVEPOINT known").map(|()| true),
            Err(Fault::Postgres(PostgresFault::Server(error)))
                if error.code() == Some(&SqlState::UNIQUE_VIOLATION) =>
            {
                self.session.batch("ROLLBACK TO SAVEPOINT known")?;
                Ok(false)
            }
            Err(fault) => Err(fault),
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
        }
        self.known(updates, Columns::update, "is replaced and was not stored")?;
        self.known(deletes, Columns::delete, "is removed and was not stored")?;
        self.store(inserts)?;
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

    /// Changes readings that are stored, day by day.
    fn known(
        &mut self,
        readings: &[(Meter, Reading)],
        change: fn(&Columns, &Session, &str) -> Result<u64, Fault>,
        problem: &'static str,
    ) -> Result<(), StoreError> {
        let numbers: Vec<i64> = readings
            .chunk_by(|a, b| a.1.ts.day() == b.1.ts.day())
            .filter_map(|day| day.first())
            .map(|(_, reading)| reading.ts.day())
            .collect();
        if numbers.is_empty() {
            return Ok(());
        }
        schema::make_partitions(self.session, &numbers).doing("replace readings")?;
        for day in readings.chunk_by(|a, b| a.1.ts.day() == b.1.ts.day()) {
            let Some((_, first)) = day.first() else { continue };
            self.touch(ArchiveTable::Readings, Some(first.ts));
            let (columns, partition) = (Columns::of(day.iter()), schema::partition(first.ts.day()));
            // before it is changed: what is removed cannot be found afterwards
            let missing = columns.first(self.session, &partition, false).doing("replace readings")?;
            if let Some((meter, reading)) = missing.and_then(|at| day.get(at)) {
                return Err(self.misplaced(*meter, reading.ts, problem));
            }
            change(&columns, self.session, &partition).doing("replace readings")?;
        }
        Ok(())
    }

    /// The same for the queue: entries belong to rows, so another winner is another entry.
    fn requeue<'s>(&mut self, replacing: Replacing<'s>) -> Result<Vec<Entry<'s>>, StoreError> {
        let Replacing { leaving, judged, recalled, mut entering, .. } = replacing;
        let gone = self.take_out("t_error", leaving.iter().map(|(_, reading)| row(reading)));
        let gone = gone.doing("take a row out of the error queue")?;
        if let Some((meter, reading)) = leaving.iter().find(|(_, reading)| !gone.contains(&row(reading))) {
            return Err(self.misplaced(*meter, reading.ts, "leaves the error queue and was not in it"));
        }
        let there = self.judge_anew(&judged).doing("judge a row of the error queue anew")?;
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

    /// Writes verdicts anew into entries; those that were there.
    fn judge_anew(&self, judged: &[(Meter, Reading)]) -> Result<FxHashSet<RowId>, Fault> {
        if judged.is_empty() {
            return Ok(FxHashSet::default());
        }
        let ids = RowIds::of(judged.iter().map(|(_, reading)| row(reading)));
        let kw: Vec<_> = judged.iter().map(|(_, r)| r.own_kw().map(Power::milliwatts)).collect();
        let reason = |reading: &Reading| reading.standing.reason().map_or(0, |reason| reason.code());
        let reasons: Vec<i16> = judged.iter().map(|(_, reading)| reason(reading).into()).collect();
        let flags: Vec<i32> = judged.iter().map(|(_, reading)| reading.flags.bits().into()).collect();
        let sql = "UPDATE t_error e SET kw = v.kw, reason = v.reason, flags = v.flags, status = 0
            FROM unnest($1::int4[], $2::int4[], $3::int8[], $4::int2[], $5::int4[])
                AS v (upload, row_number, kw, reason, flags)
            WHERE e.upload = v.upload AND e.row_number = v.row_number RETURNING e.upload, e.row_number";
        let there = self.session.query_arrays(sql, &[&ids.uploads, &ids.rows, &kw, &reasons, &flags])?;
        there.iter().map(row_id).collect()
    }

    /// Puts rows into the queue, in the order of its key, which is that of their lines too.
    fn quarantine<'s>(&mut self, set: &'s ChangeSet, mut entering: Vec<Entry<'s>>) -> Result<(), StoreError> {
        if entering.is_empty() {
            return Ok(());
        }
        entering.sort_unstable_by_key(|entry| entry.row);
        let mut lines = set.raw.iter();
        for entry in &mut entering {
            self.touch(ArchiveTable::ErrorQueue, entry.ts);
            let Some((_, line)) =
                lines.find(|(row, _)| *row >= entry.row).filter(|(row, _)| *row == entry.row)
            else {
                return Err(self.entering(entry.row, "without its line"));
            };
            entry.raw = line;
        }
        let read = entering.iter().filter(|entry| entry.meter.is_some());
        self.see_hours(read.filter_map(|entry| entry.ts))?;
        let sql = format!("COPY t_error ({}) FROM STDIN BINARY", copy::ERROR_COLUMNS);
        let put = || self.session.copy(&sql, |out| copy::rows(out, entering.iter(), copy::entry)).map(drop);
        if self.unless_known(put).doing("quarantine a row")? {
            return Ok(());
        }
        let known = self.first_known("t_error", entering.iter().map(|entry| entry.row));
        let row = known.doing("quarantine a row")?.unwrap_or_default();
        Err(self.entering(row, "and is in it already"))
    }

    fn lose(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        if set.superseded.is_empty() {
            return Ok(());
        }
        let sql = format!("COPY t_superseded ({}) FROM STDIN BINARY", copy::SUPERSEDED_COLUMNS);
        let put =
            || self.session.copy(&sql, |out| copy::rows(out, set.superseded.iter(), copy::loser)).map(drop);
        if self.unless_known(put).doing("take a superseded row")? {
            return Ok(());
        }
        let rows = set.superseded.iter().map(|row| (row.upload, row.row_number));
        let known = self.first_known("t_superseded", rows).doing("take a superseded row")?;
        let (upload, row) = known.unwrap_or_default();
        Err(self.broken(format!("row {row} of upload {upload} is superseded and was so already")))
    }

    /// The first of these rows that a table has.
    fn first_known(&self, table: &str, rows: impl Iterator<Item = RowId>) -> Result<Option<RowId>, Fault> {
        let ids = RowIds::of(rows);
        let sql = format!(
            "SELECT v.upload, v.row_number FROM unnest($1::int4[], $2::int4[]) AS v (upload, row_number)
             JOIN {table} t ON t.upload = v.upload AND t.row_number = v.row_number ORDER BY 1, 2 LIMIT 1"
        );
        self.session.query_arrays(&sql, &[&ids.uploads, &ids.rows])?.first().map(row_id).transpose()
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
        let sql = "SELECT meter_id FROM t_meter WHERE id = ?1";
        let meter_id: Option<String> =
            self.db.one(sql, &[meter.0.into()], |row| row.get(0)).unwrap_or_default();
        let name = meter_id.unwrap_or_else(|| format!("number {}", meter.0));
        self.broken(format!("the reading of meter {name} at {ts} {what}"))
    }
}

fn row(reading: &Reading) -> RowId {
    (reading.upload, reading.row_number)
}

fn row_id(row: &postgres::Row) -> Result<RowId, Fault> {
    let number = |column: usize| -> Result<u32, Fault> {
        u32::try_from(row.try_get::<_, i32>(column)?).map_err(|_| Fault::Range { column })
    };
    Ok((number(0)?, number(1)?))
}
