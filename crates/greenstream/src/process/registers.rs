//! Cumulative registers across uploads: a reading is the difference to the register an interval later,
//! which an upload before or after may tell.

use greenstream_core::decode::{Decoded, Interval, flags_with, mean_power};
use greenstream_core::{Flag, Flags, Power, Reading, SECOND, Standing, Ts};
use rustc_hash::FxHashMap;

use super::error::ProcessError;
use super::judging::Judging;
use crate::change::{ChangeSet, Meter, Register};

/// A row of an upload before, whose value this upload tells or changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amendment {
    pub ts: Ts,
    upload: u32,
    row_number: u32,
    /// None where the register went back.
    kw: Option<Power>,
}

/// Amendments by meter, by ascending instant.
pub(super) type Amendments = FxHashMap<Meter, Vec<Amendment>>;

impl Judging {
    /// Makes readings of an upload's register readings, by what is known of the registers, and says
    /// which stored rows have another value from now on.
    pub(super) fn difference(
        &mut self,
        set: &mut ChangeSet,
        upload: u32,
        interval: Interval,
        decoded: &mut Decoded,
    ) -> Result<Amendments, ProcessError> {
        let meters: Vec<Meter> = decoded.meters.iter().map(|name| self.meet(set, name)).collect();
        let mut failed = None;
        let past = &mut self.past;
        let shown = decoded.difference(interval, &mut |meter, ts| {
            let found = past.register(meters[meter as usize], ts);
            found
                .unwrap_or_else(|error| {
                    failed = Some(error);
                    None
                })
                .map(|register| register.energy)
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let step = i64::from(interval.seconds()) * SECOND;
        let mut amendments = Amendments::default();
        let mut own = shown.iter().peekable();
        for at in &shown {
            // rows of this upload have their value already; both ascend
            let before = (at.meter, at.ts.plus(-step));
            let meter = meters[at.meter as usize];
            let mut change = |held: Register, kw: Option<Power>| {
                let Register { ts, upload, row_number, .. } = held;
                amendments.entry(meter).or_default().push(Amendment { ts, upload, row_number, kw });
            };
            // what a register is said to show anew, it always showed
            if let Some(held) = self.past.register(meter, at.ts)? {
                let row = decoded.rows.binary_search_by_key(&at.row_number, |row| row.row_number);
                change(held, row.ok().and_then(|index| decoded.rows[index].kw));
            }
            while own.next_if(|own| (own.meter, own.ts) < before).is_some() {}
            if own.peek().is_some_and(|own| (own.meter, own.ts) == before) {
                continue;
            }
            if let Some(held) = self.past.register(meter, before.1)? {
                change(held, mean_power(held.energy, at.energy, interval));
            }
        }
        amendments.values_mut().for_each(|amended| amended.sort_unstable_by_key(|amendment| amendment.ts));
        set.registers = shown
            .iter()
            .map(|at| Register {
                meter: meters[at.meter as usize],
                ts: at.ts,
                energy: at.energy,
                upload,
                row_number: at.row_number,
            })
            .collect();
        set.registers.sort_unstable_by_key(|register| (register.meter, register.ts));
        Ok(amendments)
    }

    /// Gives rows of uploads before the value that this upload tells, as if they had had it when they
    /// landed. Before the upload's own rows are merged.
    pub(super) fn amend(
        &mut self,
        set: &mut ChangeSet,
        meter: Meter,
        amendments: &[Amendment],
    ) -> Result<(), ProcessError> {
        for amendment in amendments {
            let rows = &self.windows.get(meter).rows;
            let Ok(index) = rows.binary_search_by_key(&amendment.ts, |reading| reading.ts) else { continue };
            let held = rows[index];
            let row = (amendment.upload, amendment.row_number);
            let (row_flags, lost) = if (held.upload, held.row_number) == row {
                (held.flags.only(Flags::DECODED), None)
            } else if held.is_missing() && amendment.kw.is_some() {
                // without its value it lost to a later row that has none at all
                let losers = self.past.superseded(meter, amendment.ts)?;
                let Some(row) = losers.iter().find(|lost| (lost.upload, lost.row_number) == row) else {
                    continue;
                };
                (row.flags, Some(held))
            } else {
                continue;
            };
            if held.is_decided() || (lost.is_none() && held.own_kw() == amendment.kw) {
                continue;
            }
            if let Some(held) = lost {
                set.revived.push(row);
                self.books.superseded(row.0, -1);
                let flags = held.flags.only(Flags::DECODED);
                let kw = held.own_kw();
                self.merged.lost.push(Reading { kw, flags, standing: Standing::Unjudged, ..held });
            }
            let flags = flags_with(row_flags, amendment.kw);
            let flags = flags.set(Flag::Duplicate, held.flags.has(Flag::Duplicate));
            let (upload, row_number) = row;
            let standing = Standing::Unjudged;
            self.windows.get(meter).rows[index] =
                Reading { ts: held.ts, kw: amendment.kw, flags, upload, row_number, standing };
            self.merged.replaced.push(held);
            let (first, last) = self.merged.touched.unwrap_or((held.ts, held.ts));
            self.merged.touched = Some((first.min(held.ts), last.max(held.ts)));
        }
        Ok(())
    }
}
