//! A stretch of a file: lines of some meters over some intervals, with what is remarkable in them.

use std::ops::Range;

use crate::fleet::{Fleet, state_of};
use crate::kind::Kind;
use crate::line::{defective, plain};
use crate::random::Dice;
use crate::slots::Slot;

/// One entry of the ground truth, its line still counted from the start of its part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) kind: Kind,
    pub(crate) meter: u32,
    pub(crate) slot: u32,
    /// From 1; 0 where there is no line.
    pub(crate) row: u32,
    /// What the home drew, in tenths of a watt.
    pub(crate) truth: i32,
}

/// A row that comes in a later upload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Later {
    pub(crate) slot: u32,
    pub(crate) meter: u32,
    pub(crate) kind: Kind,
    /// Minutes from the start of the interval to its delivery.
    pub(crate) delay: u32,
}

/// Lines, ready to be appended to a file.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) bytes: Vec<u8>,
    pub(crate) rows: u32,
    pub(crate) marks: Vec<Mark>,
    pub(crate) later: Vec<Later>,
}

/// The ids of all meters, side by side.
pub(crate) struct Ids {
    text: Vec<u8>,
    width: usize,
}

impl Ids {
    pub(crate) fn new(meters: u32) -> Ids {
        let digits = meters.saturating_sub(1).to_string().len().max(6);
        let text = (0..meters).flat_map(|n| format!("MTR-{n:0digits$}").into_bytes()).collect();
        Ids { text, width: digits + 4 }
    }

    pub(crate) fn get(&self, meter: u32) -> &[u8] {
        let from = meter as usize * self.width;
        self.text.get(from..from + self.width).unwrap_or_default()
    }
}

impl Part {
    /// The lines `range` of the table of `slots` by all meters, in order of time.
    pub(crate) fn of_table(fleet: &Fleet, ids: &Ids, slots: &Range<u32>, range: Range<u64>) -> Part {
        let meters = fleet.meters();
        let mut part = Part::default();
        let mut at = range.start;
        while at < range.end {
            let (row, first) = (narrow(at / u64::from(meters)), narrow(at % u64::from(meters)));
            let last = u64::from(first).saturating_add(range.end - at).min(u64::from(meters));
            let slot = fleet.slots.slot(slots.start + row);
            for meter in first..narrow(last) {
                part.push(fleet, ids, meter, &slot);
            }
            at += last - u64::from(first);
        }
        part
    }

    /// The line of one reading, or none, or two.
    pub(crate) fn push(&mut self, fleet: &Fleet, ids: &Ids, meter: u32, slot: &Slot) {
        let reading = fleet.reading(meter, slot);
        let id = ids.get(meter);
        let mark = |kind, row| Mark { kind, meter, slot: slot.number, row, truth: reading.truth };
        let Some(defect) = reading.defect else {
            plain(&mut self.bytes, id, slot, reading.value);
            self.rows += 1;
            self.marks.extend(reading.state.map(|kind| mark(kind, self.rows)));
            return;
        };
        let mut dice = reading.dice;
        match defect {
            Kind::Absent => return self.marks.push(mark(Kind::Absent, 0)),
            Kind::Late => return self.send_later(Kind::Late, meter, slot, &mut dice),
            Kind::Duplicate => plain(&mut self.bytes, id, slot, reading.value),
            _ => {
                defective(&mut self.bytes, id, slot, reading.value, defect, dice);
                self.marks.push(mark(defect, self.rows + 1));
            }
        }
        self.rows += 1;
        if shows_value(defect) {
            self.marks.extend(reading.state.map(|kind| mark(kind, self.rows)));
        }
        match defect {
            Kind::Duplicate if dice.below(2) == 0 => {
                plain(&mut self.bytes, id, slot, reading.value);
                self.rows += 1;
                self.marks.push(mark(Kind::Duplicate, self.rows));
            }
            Kind::Duplicate => self.send_later(Kind::Duplicate, meter, slot, &mut dice),
            Kind::Estimated => self.send_later(Kind::Corrected, meter, slot, &mut dice),
            _ => {}
        }
    }

    /// The line of a row that comes late.
    pub(crate) fn push_later(&mut self, fleet: &Fleet, ids: &Ids, later: &Later) {
        let slot = fleet.slots.slot(later.slot);
        let reading = fleet.reading(later.meter, &slot);
        let (value, state) = match later.kind {
            Kind::Late => (reading.value, reading.state),
            Kind::Corrected => (reading.truth, state_of(reading.truth)),
            _ => (reading.value, None),
        };
        plain(&mut self.bytes, ids.get(later.meter), &slot, value);
        self.rows += 1;
        for kind in std::iter::once(later.kind).chain(state) {
            let (meter, slot, row) = (later.meter, later.slot, self.rows);
            self.marks.push(Mark { kind, meter, slot, row, truth: reading.truth });
        }
    }

    /// 80 % come within 1 to 6 hours, 18 % within a day, 2 % within three days.
    fn send_later(&mut self, kind: Kind, meter: u32, slot: &Slot, dice: &mut Dice) {
        let delay = match dice.below(100) {
            0..80 => dice.range(60, 360),
            80..98 => dice.range(361, 1_440),
            _ => dice.range(1_441, 4_320),
        };
        self.later.push(Later { slot: slot.number, meter, kind, delay });
    }
}

/// Whether the line still says what its meter or home does.
fn shows_value(defect: Kind) -> bool {
    defect != Kind::Missing && !defect.breaks_decoding()
}

/// Row and meter numbers are below 2^32 by the bounds of a plan.
fn narrow(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
