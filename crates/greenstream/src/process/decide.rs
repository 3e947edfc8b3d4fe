//! An operator's decision about one row becomes a change set, by the same judgement as an upload.

use greenstream_core::decode::parse_kw;
use greenstream_core::rules::merge;
use greenstream_core::{Flag, Flags, Reading, Reason, Standing, Ts};

use super::error::ProcessError;
use super::judging::Judging;
use crate::change::{ChangeSet, Decision, Meter, Status, SupersededRow};
use crate::landing::{Action, DecisionBody};
use crate::store::ErrorRow;

impl Judging {
    /// Carries out a decision that the journal holds. One that does not fit the row as it stands
    /// (it was checked before it was written) changes nothing but the position.
    pub(super) fn decide(
        &mut self,
        set: &mut ChangeSet,
        body: &DecisionBody,
        at: Ts,
    ) -> Result<(), ProcessError> {
        let (upload, row_number) = (body.upload, body.row_number);
        let entry = self.past.error(upload, row_number)?;
        let standing = self.past.decision(upload, row_number)?;
        let decided = standing.as_ref().map_or(Status::Open, |decision| decision.status);
        let base = match (standing, &entry) {
            (Some(decision), _) => decision,
            (None, Some(entry)) => self.undecided(set, entry),
            (None, None) => return Ok(()),
        };
        let status = match body.action {
            Action::Release => Status::Released,
            Action::Edit => Status::Edited,
            Action::Discard => Status::Discarded,
            Action::Undo => Status::Open,
        };
        let edited = body.kw.as_deref().and_then(parse_kw);
        if (decided == Status::Open) == (status == Status::Open)
            || (status == Status::Edited) != edited.is_some()
        {
            return Ok(());
        }
        let decision = Decision { status, edited, who: body.who.clone(), why: body.why.clone(), at, ..base };
        if let Some((meter, ts)) = decision.meter.zip(decision.ts) {
            self.widen_all(vec![(meter, (ts, ts))])?;
            self.merged.clear();
            self.carry_out(set, &decision, decided, (meter, ts))?;
            let mut quarantined = Vec::new();
            self.settle_meter(set, meter, Some((ts, ts)), at, &mut quarantined)?;
            set.raw = self.library.texts(&mut self.past, None, quarantined)?;
        }
        set.decisions.push(decision);
        set.books = self.books.take();
        Ok(())
    }

    /// The row as the error queue has it, before any decision.
    fn undecided(&mut self, set: &mut ChangeSet, entry: &ErrorRow) -> Decision {
        let readable = entry.reason != Reason::MeterIdInvalid && !entry.meter_id.is_empty();
        let meter = match entry.meter {
            Some(meter) => Some(meter),
            None if readable && entry.ts.is_some() => Some(self.meet(set, &entry.meter_id)),
            None => None,
        };
        Decision {
            upload: entry.upload,
            row_number: entry.row_number,
            status: Status::Open,
            reason: entry.reason,
            meter,
            ts: entry.ts,
            kw: entry.kw,
            flags: entry.flags.only(Flags::DECODED),
            edited: None,
            who: String::new(),
            why: String::new(),
            at: Ts::MIN,
        }
    }

    /// Changes the window and the books as `decision` says; `was` is what had been decided before.
    /// What the rules make of it is settled afterwards.
    fn carry_out(
        &mut self,
        set: &mut ChangeSet,
        decision: &Decision,
        was: Status,
        (meter, ts): (Meter, Ts),
    ) -> Result<(), ProcessError> {
        let rejected = decision.reason.is_decode_failure();
        let wins = self.wins(decision, meter, ts);
        match (was, decision.status) {
            // accepted as it is or with another value
            (Status::Open, Status::Released | Status::Edited) if wins => self.replace(decision, meter, ts),
            (Status::Open, Status::Edited) if rejected => {
                self.books.quarantined(decision.upload, -1);
                self.enter(set, decision, meter, ts)?;
            }
            // out of the ranking: the next row wins
            (Status::Open, Status::Discarded) if wins => {
                self.books.quarantined(decision.upload, 1);
                self.leave(set, meter, ts)?;
            }
            // taken back
            (Status::Released | Status::Edited, Status::Open) if wins && rejected => {
                self.books.quarantined(decision.upload, 1);
                self.leave(set, meter, ts)?;
            }
            (Status::Released | Status::Edited, Status::Open) if wins => self.replace(decision, meter, ts),
            (Status::Edited, Status::Open) if rejected => {
                self.books.superseded(decision.upload, -1);
                self.books.quarantined(decision.upload, 1);
                set.revived.push((decision.upload, decision.row_number));
                if self.past.superseded(meter, ts)?.len() == 1 {
                    self.alone(meter, ts);
                }
            }
            (Status::Discarded, Status::Open) if !rejected => {
                self.books.quarantined(decision.upload, -1);
                self.enter(set, decision, meter, ts)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the row holds its reading.
    fn wins(&mut self, decision: &Decision, meter: Meter, ts: Ts) -> bool {
        let rows = &self.windows.get(meter).rows;
        rows.binary_search_by_key(&ts, |reading| reading.ts).is_ok_and(|index| {
            (rows[index].upload, rows[index].row_number) == (decision.upload, decision.row_number)
        })
    }

    /// The row holds its reading already; its value and flags change.
    fn replace(&mut self, decision: &Decision, meter: Meter, ts: Ts) {
        let rows = &mut self.windows.get(meter).rows;
        let Ok(index) = rows.binary_search_by_key(&ts, |reading| reading.ts) else { return };
        self.merged.replaced.push(rows[index]);
        let duplicate = rows[index].flags.has(Flag::Duplicate);
        let row = as_decided(decision, ts);
        rows[index] = Reading { flags: row.flags.set(Flag::Duplicate, duplicate), ..row };
    }

    /// No other row of the reading is left: it is no duplicate any more.
    fn alone(&mut self, meter: Meter, ts: Ts) {
        let rows = &mut self.windows.get(meter).rows;
        let Ok(index) = rows.binary_search_by_key(&ts, |reading| reading.ts) else { return };
        self.merged.replaced.push(rows[index]);
        rows[index].flags = rows[index].flags.without(Flag::Duplicate);
    }

    /// The row takes part in the ranking of its reading (again).
    fn enter(
        &mut self,
        set: &mut ChangeSet,
        decision: &Decision,
        meter: Meter,
        ts: Ts,
    ) -> Result<(), ProcessError> {
        let mut rows = vec![as_decided(decision, ts)];
        self.contest(set, meter, &mut rows)?;
        merge(&mut self.windows.get(meter).rows, &mut rows, &mut self.merged);
        // one that loses at once is superseded as it came, and the decision sleeps
        for lost in &mut self.merged.lost {
            if (lost.upload, lost.row_number) == (decision.upload, decision.row_number) {
                (lost.kw, lost.flags) = (decision.kw, decision.flags.only(Flags::DECODED));
            }
        }
        self.lose(set, meter)
    }

    /// The reading's row leaves; the greatest of those that lost to it wins, under the decision
    /// that may have been asleep on it.
    fn leave(&mut self, set: &mut ChangeSet, meter: Meter, ts: Ts) -> Result<(), ProcessError> {
        let mut losers: Vec<Reading> = Vec::new();
        for loser in self.past.superseded(meter, ts)? {
            losers.push(match self.past.decision(loser.upload, loser.row_number)? {
                Some(asleep) => as_decided(&asleep, ts),
                None => as_row(&loser),
            });
        }
        let greatest = self.greatest(set, meter, ts, &losers)?;
        let window = self.windows.get(meter);
        let Ok(index) = window.rows.binary_search_by_key(&ts, |reading| reading.ts) else { return Ok(()) };
        self.merged.replaced.push(window.rows[index]);
        match greatest {
            Some(next) => {
                set.revived.push((next.upload, next.row_number));
                self.books.superseded(next.upload, -1);
                let flags = next.flags.set(Flag::Duplicate, losers.len() > 1);
                window.rows[index] = Reading { flags, ..next };
            }
            None => {
                window.rows.remove(index);
            }
        }
        Ok(())
    }
}

/// The decided row as it enters its reading; undone, it is as decode gave it.
fn as_decided(decision: &Decision, ts: Ts) -> Reading {
    let flags = decision.flags;
    let (kw, flags) = match decision.status {
        Status::Released => (decision.kw, flags.with(Flag::Released)),
        Status::Edited => (decision.edited, flags.without(Flag::MissingValue).with(Flag::Edited)),
        Status::Open | Status::Discarded => (decision.kw, flags),
    };
    let (upload, row_number) = (decision.upload, decision.row_number);
    Reading { ts, kw, upload, row_number, flags, standing: Standing::Unjudged }
}

fn as_row(row: &SupersededRow) -> Reading {
    Reading {
        ts: row.ts,
        kw: row.kw,
        upload: row.upload,
        row_number: row.row_number,
        flags: row.flags,
        standing: Standing::Unjudged,
    }
}
