//! The past as judging sees it: what the store holds, with the change sets on their way there laid
//! over it, so that judging need not wait for the writer.

use std::collections::VecDeque;
use std::sync::Arc;

use greenstream_core::decode::RowIndex;
use greenstream_core::{HOUR, Reading, Ts};

use super::committed::Committed;
use super::error::ProcessError;
use crate::change::{
    ChangeSet, DayState, Decision, Episode, Landed, Meter, Register, Revision, SupersededRow,
};
use crate::store::{ErrorRow, Reader, UploadStatus};

/// A store's reader and the change sets that it may not show yet.
pub struct Past {
    reader: Reader,
    pending: VecDeque<Arc<ChangeSet>>,
    committed: Arc<Committed>,
    /// Whether any row ever had a revision, once that has been asked.
    revised: Option<bool>,
}

impl Past {
    /// The past of a store whose writer reports to `committed`.
    pub fn new(reader: Reader, committed: Arc<Committed>) -> Past {
        Past { reader, pending: VecDeque::new(), committed, revised: None }
    }

    /// Names of all meters, by number from 0.
    pub fn meters(&self) -> Result<Vec<String>, ProcessError> {
        Ok(self.reader.meters()?.into_iter().map(|(_, name)| name).collect())
    }

    /// Episodes of all meters.
    pub fn episodes(&self) -> Result<Vec<Episode>, ProcessError> {
        Ok(self.reader.all_episodes()?)
    }

    /// A change set is on its way to the store.
    pub fn remember(&mut self, set: Arc<ChangeSet>) {
        self.forget_committed();
        if !set.revisions.is_empty() {
            self.revised = Some(true);
        }
        self.pending.push_back(set);
    }

    fn forget_committed(&mut self) {
        let committed = self.committed.entry();
        while self.pending.front().is_some_and(|set| set.entry <= committed) {
            self.pending.pop_front();
        }
    }

    /// Waits until the store shows everything. Rare: it makes judging wait for the writer.
    pub(super) fn settle(&mut self) -> Result<(), ProcessError> {
        if let Some(last) = self.pending.back()
            && !self.committed.wait_for(last.entry)
        {
            return Err(ProcessError::Stopped);
        }
        self.pending.clear();
        Ok(())
    }

    /// All readings of `meters` (sorted) with `from <= ts < to`, sorted by meter and instant.
    pub fn load(
        &mut self,
        meters: &[Meter],
        from: Ts,
        to: Ts,
    ) -> Result<Vec<(Meter, Reading)>, ProcessError> {
        self.forget_committed();
        let mut found = Vec::new();
        // pending sets are states, not steps: laying one over a store that has it already changes nothing
        self.reader.load(meters, from, to, |meter, reading| found.push((meter, reading)))?;
        let overlay = overlay(&self.pending, meters, from, to);
        if overlay.is_empty() {
            found.sort_unstable_by_key(|(meter, reading)| (*meter, reading.ts));
            return Ok(found);
        }
        let mut order: Vec<(Meter, Ts, u32, Option<Reading>)> =
            found.into_iter().map(|(meter, reading)| (meter, reading.ts, 0, Some(reading))).collect();
        order.extend((1..).zip(overlay).map(|(step, (meter, ts, state))| (meter, ts, step, state)));
        order.sort_unstable_by_key(|(meter, ts, step, _)| (*meter, *ts, *step));
        let mut merged: Vec<(Meter, Ts, Option<Reading>)> = Vec::with_capacity(order.len());
        for (meter, ts, _, state) in order {
            match merged.last_mut() {
                Some(last) if (last.0, last.1) == (meter, ts) => last.2 = state,
                _ => merged.push((meter, ts, state)),
            }
        }
        Ok(merged.into_iter().filter_map(|(meter, _, state)| Some((meter, state?))).collect())
    }

    /// As [`Past::load`], handed on as it is read: by meter and instant, or by hour, meter and instant;
    /// a meter's readings come in order either way. False, with nothing handed on, where a change set
    /// on its way to the store touches the range.
    pub fn stream(
        &mut self,
        meters: &[Meter],
        from: Ts,
        to: Ts,
        sink: &mut dyn FnMut(Meter, Reading),
    ) -> Result<bool, ProcessError> {
        self.forget_committed();
        if !overlay(&self.pending, meters, from, to).is_empty() {
            return Ok(false);
        }
        self.reader.load(meters, from, to, sink)?;
        Ok(true)
    }

    /// An instant after which no meter has any reading.
    pub fn horizon(&mut self) -> Result<Ts, ProcessError> {
        self.forget_committed();
        let stored = self.reader.horizon()?;
        let inserted =
            self.pending.iter().filter_map(|set| set.inserted.last()).map(|(_, reading)| reading.ts);
        let replaced = self.pending.iter().flat_map(|set| &set.replaced).filter_map(|r| Some(r.after?.ts));
        // inserted readings are sorted by hour first
        let newest = inserted.map(|ts| ts.plus(HOUR)).chain(replaced.map(|ts| ts.plus(1))).max();
        Ok(newest.map_or(stored, |newest| stored.max(newest)))
    }

    /// The last measured reading of a meter before `before`, if any.
    pub fn measured_before(&mut self, meter: Meter, before: Ts) -> Result<Option<Reading>, ProcessError> {
        let found = self.reader.previous_measured(meter, before)?;
        let from = found.map_or(Ts::MIN, |reading| reading.ts);
        if !self.touches(meter, from, before) {
            return Ok(found);
        }
        self.settle()?;
        Ok(self.reader.previous_measured(meter, before)?)
    }

    /// The first measured reading of a meter at or after `from`, if any.
    pub fn measured_after(&mut self, meter: Meter, from: Ts) -> Result<Option<Reading>, ProcessError> {
        let found = self.reader.next_measured(meter, from)?;
        let to = found.map_or(Ts::MAX, |reading| reading.ts.plus(1));
        if !self.touches(meter, from, to) {
            return Ok(found);
        }
        self.settle()?;
        Ok(self.reader.next_measured(meter, from)?)
    }

    /// Whether a change set on its way to the store touches readings of `meter` in `from <= ts < to`.
    fn touches(&mut self, meter: Meter, from: Ts, to: Ts) -> bool {
        self.forget_committed();
        !overlay(&self.pending, &[meter], from, to).is_empty()
    }

    /// States of a meter's days, sorted: `from..=to`, and before them as many as hold `before`
    /// days with measured readings.
    pub fn days(
        &mut self,
        meter: Meter,
        from: i32,
        to: i32,
        before: u32,
    ) -> Result<Vec<(i32, DayState)>, ProcessError> {
        self.forget_committed();
        if self.pending.iter().any(|set| set.days.iter().any(|(changed, _, _)| *changed == meter)) {
            self.settle()?;
        }
        let mut days = self.reader.days_before(meter, from, before)?;
        days.reverse();
        days.extend(self.reader.days(meter, from, to)?);
        Ok(days)
    }

    /// What the register of a meter showed at an instant.
    pub fn register(&mut self, meter: Meter, ts: Ts) -> Result<Option<Register>, ProcessError> {
        self.forget_committed();
        for set in self.pending.iter().rev() {
            let found = set.registers.binary_search_by_key(&(meter, ts), |shown| (shown.meter, shown.ts));
            if let Ok(index) = found {
                return Ok(set.registers.get(index).copied());
            }
        }
        Ok(self.reader.register(meter, ts)?)
    }

    /// The revisions of the rows of a meter and instant, with the feeds of their uploads.
    pub fn revisions(&mut self, meter: Meter, ts: Ts) -> Result<Vec<(Revision, String)>, ProcessError> {
        self.forget_committed();
        let mut known = self.reader.revisions(meter, ts)?;
        for set in &self.pending {
            for (revision, feed) in Revision::of_set(set, meter, ts) {
                if !known.iter().any(|(other, _)| *other == revision) {
                    known.push((revision, feed));
                }
            }
        }
        Ok(known)
    }

    /// Whether any feed has had revisions.
    pub fn has_revisions(&mut self) -> Result<bool, ProcessError> {
        // only this process writes: once asked, the change sets tell
        match self.revised {
            Some(revised) => Ok(revised),
            None => Ok(*self.revised.insert(self.reader.has_revisions()?)),
        }
    }

    /// Rows that lost the reading of `meter` at `ts`.
    pub fn superseded(&mut self, meter: Meter, ts: Ts) -> Result<Vec<SupersededRow>, ProcessError> {
        self.settle()?;
        Ok(self.reader.losers(meter, ts)?)
    }

    /// An entry of the error queue.
    pub fn error(&mut self, upload: u32, row_number: u32) -> Result<Option<ErrorRow>, ProcessError> {
        self.settle()?;
        Ok(self.reader.error(upload, row_number)?)
    }

    /// An upload that has ended, and where its rows' lines begin.
    pub fn upload(&mut self, upload: u32) -> Result<Option<(Landed, RowIndex)>, ProcessError> {
        self.forget_committed();
        for set in self.pending.iter().rev() {
            let landed = set.landed.iter().find(|landed| landed.upload == upload);
            if let Some((landed, outcome)) = landed.zip(set.outcome.as_ref()) {
                return Ok(Some((landed.clone(), outcome.index.clone())));
            }
        }
        let row = self.reader.upload(upload)?;
        Ok(row.map(|row| row.landed).zip(self.reader.row_index(upload)?))
    }

    /// How far an upload has come.
    pub fn status(&mut self, upload: u32) -> Result<Option<UploadStatus>, ProcessError> {
        self.settle()?;
        Ok(self.reader.upload(upload)?.map(|row| row.status))
    }

    /// How many uploads the store has judged.
    pub fn uploads_done(&self) -> Result<u64, ProcessError> {
        Ok(self.reader.totals()?.done)
    }

    /// The decision about a row, if there is one.
    pub fn decision(&mut self, upload: u32, row_number: u32) -> Result<Option<Decision>, ProcessError> {
        self.settle()?;
        Ok(self.reader.decision(upload, row_number)?)
    }
}

/// What pending sets say of readings of `meters` in `from <= ts < to`, oldest set first.
fn overlay(
    pending: &VecDeque<Arc<ChangeSet>>,
    meters: &[Meter],
    from: Ts,
    to: Ts,
) -> Vec<(Meter, Ts, Option<Reading>)> {
    let mut states = Vec::new();
    for set in pending {
        inserted(set, meters, from, to, &mut states);
        for meter in meters {
            let first = set.replaced.partition_point(|r| r.meter < *meter);
            for replaced in set.replaced[first..].iter().take_while(|r| r.meter == *meter) {
                let Some(key) = replaced.after.or(replaced.before) else { continue };
                if from <= key.ts && key.ts < to {
                    states.push((*meter, key.ts, replaced.after));
                }
            }
        }
    }
    states
}

/// The inserted readings of a set, which is sorted by (hour, meter, ts), in a range.
fn inserted(
    set: &ChangeSet,
    meters: &[Meter],
    from: Ts,
    to: Ts,
    states: &mut Vec<(Meter, Ts, Option<Reading>)>,
) {
    let mut rest = &set.inserted[set.inserted.partition_point(|(_, r)| r.ts.hour() < from.hour())..];
    while let Some((_, first)) = rest.first() {
        let hour = first.ts.hour();
        if hour > to.hour() {
            break;
        }
        let (same_hour, later) = rest.split_at(rest.partition_point(|(_, r)| r.ts.hour() == hour));
        for meter in meters {
            let start = same_hour.partition_point(|(m, _)| m < meter);
            for (_, reading) in same_hour[start..].iter().take_while(|(m, _)| m == meter) {
                if from <= reading.ts && reading.ts < to {
                    states.push((*meter, reading.ts, Some(*reading)));
                }
            }
        }
        rest = later;
    }
}
