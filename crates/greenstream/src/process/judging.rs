//! One upload's rows become one change set: merged into what is known of their meters, judged,
//! and compared with what stood there before.

use std::collections::BTreeMap;
use std::sync::Arc;

use greenstream_core::decode::Decoded;
use greenstream_core::rules::{Judge, Merged, merge};
use greenstream_core::{Flag, Flags, Reading, Standing, Ts};

use super::books::Books;
use super::episodes::Episodes;
use super::error::ProcessError;
use super::names::MeterNames;
use super::past::Past;
use super::registers::{Amendment, Amendments};
use super::texts::{Library, Own};
use super::window::{Window, Windows};
use crate::change::{ChangeSet, Meter, Outcome, RejectRow, Replaced, SupersededRow};
use crate::config::Rules;

/// Rows of an upload that are judged and still take memory. Fewer cost calls of the system, more cost 32
/// bytes each.
const FREE_ROWS_MAX: usize = 1 << 20;
/// Readings that are brought into the store's order beside the old order: it is faster, and takes as much
/// memory again. More are sorted where they are.
const ORDERED_BESIDE_MAX: usize = 1 << 22;

/// Everything that judging remembers between journal entries. All of it is a cache of the store.
pub struct Judging {
    /// All meters of the store and of change sets on their way there.
    pub names: MeterNames,
    pub(super) windows: Windows,
    pub(super) episodes: Episodes,
    pub(super) past: Past,
    pub(super) rules: Arc<Rules>,
    pub(super) books: Books,
    pub(super) library: Library,
    pub(super) merged: Merged,
    /// Whether alerts are raised: not by a rebuild.
    pub(super) raising: bool,
    /// Uploads judged, in the store and since.
    pub(super) uploads_judged: u64,
    judge: Judge,
    changed: Vec<(usize, Reading)>,
    /// Readings that windows may hold room for.
    window_readings: usize,
}

/// The rows of one upload, grouped by meter.
pub(super) struct Grouped {
    /// Meters of the upload in the order of their numbers, each with its part of `rows`.
    pub meters: Vec<(Meter, std::ops::Range<usize>)>,
    /// Rows by meter, those of the first meter last, in file order within one.
    pub rows: Vec<Reading>,
    /// Stored rows whose value the upload's registers tell.
    pub amendments: Amendments,
}

impl Grouped {
    /// Lets go of the rows from `start` on, which are judged.
    fn let_go(&mut self, start: usize) {
        self.rows.truncate(start);
        if self.rows.capacity() - self.rows.len() > FREE_ROWS_MAX {
            self.rows.shrink_to_fit();
        }
    }
}

impl Judging {
    /// Starts from what the store holds.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(
        past: Past,
        rules: Arc<Rules>,
        library: Library,
        window_readings: usize,
        raising: bool,
    ) -> Result<Judging, ProcessError> {
        let names = MeterNames::new(past.meters()?);
        let episodes = Episodes::new(past.episodes()?);
        Ok(Judging {
            uploads_judged: past.uploads_done()?,
            names,
            windows: Windows::default(),
            episodes,
            past,
            rules,
            books: Books::default(),
            library,
            merged: Merged::default(),
            raising,
            judge: Judge::default(),
            changed: Vec::new(),
            window_readings,
        })
    }

    /// Forgets everything remembered, and begins again from what the store holds once all that is on
    /// its way has arrived there.
    pub(super) fn reset(&mut self) -> Result<(), ProcessError> {
        self.past.settle()?;
        self.names = MeterNames::new(self.past.meters()?);
        self.episodes = Episodes::new(self.past.episodes()?);
        self.windows.clear();
        self.books = Books::default();
        self.merged = Merged::default();
        Ok(())
    }

    /// Judges the rows of an upload, landed at `at`, and says in `set` what changes. What is no longer needed
    /// is let go at once: an upload may be most of what is in memory.
    pub(super) fn upload(
        &mut self,
        set: &mut ChangeSet,
        own: &Own<'_>,
        at: Ts,
        mut decoded: Decoded,
    ) -> Result<(), ProcessError> {
        let number = own.upload;
        let amendments = match decoded.registers {
            None => Amendments::default(),
            Some(interval) => self.difference(set, number, interval, &mut decoded)?,
        };
        let mut grouped = Grouped { amendments, ..self.group(set, number, &decoded) };
        self.note_revisions(set, number, &decoded);
        let outcome = outcome(own, &decoded);
        decoded.rows = Vec::new();
        let row_count = grouped.rows.len();
        let revised = !set.revisions.is_empty() || self.past.has_revisions()?;
        self.bring_context(&grouped)?;
        let mut quarantined = Vec::new();
        let (mut rows, mut held) = (Vec::new(), 0);
        for (meter, range) in std::mem::take(&mut grouped.meters) {
            rows.extend_from_slice(&grouped.rows[range.clone()]);
            grouped.let_go(range.start);
            let amendments = grouped.amendments.get(&meter).map_or(&[][..], Vec::as_slice);
            self.merged.clear();
            if revised {
                self.contest(set, meter, &mut rows)?;
            }
            self.meter(set, meter, &mut rows, amendments, at, &mut quarantined)?;
            rows.shrink_to(FREE_ROWS_MAX);
            held += self.windows.get(meter).rows.len();
            if held > self.window_readings {
                // more than all windows may hold: those of the meters that follow are not kept
                *self.windows.get(meter) = Window::unknown();
            }
        }
        drop((grouped, rows));
        self.rejects(set, number, &decoded);
        quarantined.extend(decoded.rejects.iter().map(|reject| (number, reject.row_number)));
        set.raw = self.library.texts(&mut self.past, Some(own), quarantined)?;
        by_hour(&mut set.inserted);
        set.books = self.books.take();
        set.outcome = Some(outcome);
        self.windows.settle(row_count, self.window_readings);
        Ok(())
    }

    /// Numbers the upload's meters and sorts its rows by meter, file order kept (counting sort).
    fn group(&mut self, set: &mut ChangeSet, upload: u32, decoded: &Decoded) -> Grouped {
        let mut counts = vec![0_usize; decoded.meters.len()];
        for row in &decoded.rows {
            counts[row.meter as usize] += 1;
        }
        let mut meters: Vec<(Meter, usize)> = Vec::with_capacity(counts.len());
        for (local, name) in decoded.meters.iter().enumerate().filter(|(local, _)| counts[*local] > 0) {
            meters.push((self.meet(set, name), local));
        }
        meters.sort_unstable();
        let mut starts = vec![0_usize; counts.len()];
        let mut ranges = Vec::with_capacity(meters.len());
        let mut end = 0;
        // the first meter stands last, so that its rows can be let go first
        for (meter, local) in meters.into_iter().rev() {
            starts[local] = end;
            ranges.push((meter, end..end + counts[local]));
            end += counts[local];
        }
        ranges.reverse();
        let blank = Reading {
            ts: Ts::MIN,
            kw: None,
            upload,
            row_number: 0,
            flags: Flags::NONE,
            standing: Standing::Unjudged,
        };
        let mut rows = vec![blank; end];
        for row in &decoded.rows {
            let place = &mut starts[row.meter as usize];
            rows[*place] =
                Reading { ts: row.ts, kw: row.kw, row_number: row.row_number, flags: row.flags, ..blank };
            *place += 1;
        }
        Grouped { meters: ranges, rows, amendments: Amendments::default() }
    }

    /// Merges and judges one meter's rows (left empty) and says what changes.
    fn meter(
        &mut self,
        set: &mut ChangeSet,
        meter: Meter,
        rows: &mut Vec<Reading>,
        amendments: &[Amendment],
        at: Ts,
        quarantined: &mut Vec<(u32, u32)>,
    ) -> Result<(), ProcessError> {
        self.amend(set, meter, amendments)?;
        let window = self.windows.get(meter);
        merge(&mut window.rows, rows, &mut self.merged);
        if !self.merged.replaced.is_sorted_by(|a, b| a.ts < b.ts) {
            // what stood there first is what is stored
            self.merged.replaced.sort_by_key(|before| before.ts);
            self.merged.replaced.dedup_by_key(|before| before.ts);
        }
        self.lose(set, meter)?;
        self.settle_meter(set, meter, self.merged.touched, at, quarantined)
    }

    /// Enters the rows that lost in the books. One that an operator had decided about loses as it came,
    /// and the decision sleeps.
    pub(super) fn lose(&mut self, set: &mut ChangeSet, meter: Meter) -> Result<(), ProcessError> {
        for at in 0..self.merged.lost.len() {
            let mut lost = self.merged.lost[at];
            let row = (lost.upload, lost.row_number);
            let held = self.merged.replaced.iter().find(|r| (r.upload, r.row_number) == row);
            if held.is_some_and(Reading::is_decided)
                && let Some(decision) = self.past.decision(row.0, row.1)?
            {
                lost = Reading { kw: decision.kw, flags: decision.flags.only(Flags::DECODED), ..lost };
            }
            self.books.superseded(lost.upload, 1);
            set.superseded.push(superseded(meter, &lost));
        }
        Ok(())
    }

    /// Makes sure that a meter named by a row has its number.
    pub(super) fn meet(&mut self, set: &mut ChangeSet, name: &str) -> Meter {
        let (meter, new) = self.names.intern(name);
        if new {
            set.meters.push((meter, name.to_owned()));
            *self.windows.get(meter) = Window::blank();
        }
        meter
    }

    /// Judges what `touched` touches of one meter and reports every reading that differs from what
    /// is stored, its days and its episodes. `self.merged` says which were replaced.
    pub(super) fn settle_meter(
        &mut self,
        set: &mut ChangeSet,
        meter: Meter,
        touched: Option<(Ts, Ts)>,
        at: Ts,
        quarantined: &mut Vec<(u32, u32)>,
    ) -> Result<(), ProcessError> {
        let window = self.windows.get(meter);
        self.changed.clear();
        if let Some(touched) = touched {
            let limits = self.rules.limits_of(self.names.name(meter));
            self.judge.judge(&mut window.rows, touched, limits, &mut self.changed);
        }
        let (inserted_from, replaced_from) = (set.inserted.len(), set.replaced.len());
        report(set, meter, &window.rows, &self.changed, &self.merged.replaced);
        let inserted = &set.inserted[inserted_from..];
        if let Some((_, first)) = inserted.first() {
            self.books.stored(first.upload, i64::try_from(inserted.len()).unwrap_or(i64::MAX));
        }
        for replaced in &set.replaced[replaced_from..] {
            if let Some(before) = &replaced.before {
                self.books.holds(before, -1);
            }
            if let Some(after) = &replaced.after {
                self.books.holds(after, 1);
                if enters_queue(replaced.before.as_ref(), after) {
                    quarantined.push((after.upload, after.row_number));
                }
            }
        }
        let faulty = |reading: &Reading| reading.flags.has(Flag::PotentiallyFaulty);
        let flagged = inserted.iter().any(|(_, reading)| faulty(reading))
            || set.replaced[replaced_from..]
                .iter()
                .any(|r| r.before.as_ref().is_some_and(faulty) || r.after.as_ref().is_some_and(faulty));
        let only_inserted = set.replaced.len() == replaced_from;
        self.days(set, meter, inserted_from, replaced_from, only_inserted);
        if flagged || self.episodes.knows(meter) {
            self.follow_episodes(set, meter, at)?;
        }
        if let Some((_, newest)) = touched {
            self.windows.get(meter).trim(newest);
        }
        Ok(())
    }

    /// Rows that did not decode: quarantined, part of no reading.
    fn rejects(&mut self, set: &mut ChangeSet, upload: u32, decoded: &Decoded) {
        self.books.quarantined(upload, i64::try_from(decoded.rejects.len()).unwrap_or(i64::MAX));
        set.rejects.extend(decoded.rejects.iter().map(|reject| RejectRow {
            upload,
            row_number: reject.row_number,
            meter: reject.meter.clone(),
            ts: reject.ts,
            reason: reject.reason,
        }));
    }
}

/// Says in `set` how each reading of `rows` differs from what is stored. `changed` are the readings
/// that judging changed, with their state before; `replaced` those whose row changed before it.
/// Both ascend in time.
fn report(
    set: &mut ChangeSet,
    meter: Meter,
    rows: &[Reading],
    changed: &[(usize, Reading)],
    replaced: &[Reading],
) {
    let mut stored = replaced.iter().peekable();
    let now = |ts: Ts| rows.binary_search_by_key(&ts, |reading| reading.ts).ok().map(|index| rows[index]);
    let kept = |before: &Reading| Replaced { meter, before: Some(*before), after: now(before.ts) };
    for (index, was) in changed {
        let after = rows[*index];
        while let Some(before) = stored.next_if(|before| before.ts < after.ts) {
            set.replaced.push(kept(before));
        }
        let before = match stored.next_if(|before| before.ts == after.ts) {
            Some(before) => Some(*before),
            None if was.standing == Standing::Unjudged => None,
            None => Some(*was),
        };
        if before.is_none() && after.standing == Standing::Accepted {
            set.inserted.push((meter, after));
        } else {
            set.replaced.push(Replaced { meter, before, after: Some(after) });
        }
    }
    set.replaced.extend(stored.map(kept));
}

/// Brings readings that stand by (meter, time) into the order of the store, (hour, meter, time). Nearly
/// all are of one hour or of few, so each goes straight to its hour's place.
fn by_hour(readings: &mut Vec<(Meter, Reading)>) {
    let hour = |(_, reading): &(Meter, Reading)| reading.ts.hour();
    if readings.len() > ORDERED_BESIDE_MAX {
        readings.sort_unstable_by_key(|one| (hour(one), one.0, one.1.ts));
        return;
    }
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for run in readings.chunk_by(|a, b| hour(a) == hour(b)) {
        *counts.entry(run.first().map_or(0, hour)).or_default() += run.len();
    }
    if counts.len() < 2 {
        return;
    }
    let mut next = 0;
    for count in counts.values_mut() {
        next += std::mem::replace(count, next);
    }
    let mut sorted = readings.clone();
    for run in readings.chunk_by(|a, b| hour(a) == hour(b)) {
        if let Some(next) = run.first().and_then(|first| counts.get_mut(&hour(first))) {
            sorted[*next..*next + run.len()].copy_from_slice(run);
            *next += run.len();
        }
    }
    *readings = sorted;
}

/// Whether `after` stands in the error queue with a row that did not stand there before.
fn enters_queue(before: Option<&Reading>, after: &Reading) -> bool {
    let row = |reading: &Reading| (reading.upload, reading.row_number);
    after.standing.reason().is_some()
        && before.is_none_or(|before| before.standing.reason().is_none() || row(before) != row(after))
}

fn superseded(meter: Meter, lost: &Reading) -> SupersededRow {
    SupersededRow {
        upload: lost.upload,
        row_number: lost.row_number,
        meter,
        ts: lost.ts,
        kw: lost.kw,
        flags: lost.flags,
    }
}

fn outcome(own: &Own<'_>, decoded: &Decoded) -> Outcome {
    let days = decoded.rows.iter().map(|row| row.ts.day());
    Outcome {
        upload: own.upload,
        rows: u32::try_from(decoded.row_count()).unwrap_or(u32::MAX),
        decoded_bytes: decoded.coverage.header + decoded.coverage.rows + decoded.coverage.skipped,
        index: own.index.clone(),
        days: days.clone().min().zip(days.max()),
        dead: None,
    }
}
