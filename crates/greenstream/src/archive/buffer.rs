//! Changes that wait to be written, per UTC day: 18 bytes a reading, 26 where its numbers are wide.
//!
//! A day's changes are kept in the order in which they were committed, so that the last state of a
//! reading wins when they are merged with what the archive already holds.

use greenstream_core::{DAY, Flag, Power, Reading, Ts};

use super::narrow::Narrow;
use crate::change::Meter;

/// Bit of a row's flags: the reading has left the day (contract flags use the lower ten bits).
pub(super) const GONE: u16 = 1 << 15;
/// Bit of a row's flags: the archive may hold an older state of this reading.
pub(super) const CHANGES: u16 = 1 << 14;
/// The bits that are flags of the contract.
pub(super) const FLAG_BITS: u16 = (1 << Flag::ALL.len()) - 1;

/// In microseconds.
const SECOND: i64 = 1_000_000;
/// Rows of one block. Blocks never grow beyond it, so adding a row never copies many.
const BLOCK_ROWS_MAX: usize = 1 << 16;
/// Rows of a day's first block; small, because a backfill may touch thousands of days.
const BLOCK_ROWS_MIN: usize = 1 << 7;

/// Up to [`BLOCK_ROWS_MAX`] changes, column by column.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) meter: Vec<u32>,
    ts: Narrow,
    /// Milliwatts.
    kw: Narrow,
    pub(super) flags: Vec<u16>,
    pub(super) row: Vec<u32>,
    /// (end of the run, upload): rows of one upload stand together.
    pub(super) uploads: Vec<(usize, u32)>,
}

impl Block {
    fn with_capacity(first: Ts, rows: usize) -> Block {
        Block {
            meter: Vec::with_capacity(rows),
            ts: Narrow::with_capacity(first.micros() - first.micros().rem_euclid(DAY), SECOND, rows),
            kw: Narrow::with_capacity(0, 1, rows),
            flags: Vec::with_capacity(rows),
            row: Vec::with_capacity(rows),
            uploads: Vec::new(),
        }
    }

    fn bytes(&self) -> usize {
        self.meter.capacity() * (4 + 2 + 4) + self.ts.bytes() + self.kw.bytes() + self.uploads.capacity() * 16
    }

    /// Microseconds since 1970.
    pub(super) fn ts(&self, at: usize) -> i64 {
        self.ts.get(at).unwrap_or_default()
    }

    /// Kilowatts, NaN when missing: what the file will hold.
    pub(super) fn kw(&self, at: usize) -> f64 {
        self.kw.get(at).map_or(f64::NAN, |mw| Power::from_milliwatts(mw).kw())
    }

    fn push(&mut self, meter: Meter, reading: &Reading, bits: u16) {
        self.meter.push(meter.0);
        self.ts.push(Some(reading.ts.micros()));
        self.kw.push(reading.kw.map(Power::milliwatts));
        self.flags.push(reading.flags.bits() | bits);
        self.row.push(reading.row_number);
        let end = self.meter.len();
        match self.uploads.last_mut() {
            Some((last, upload)) if *upload == reading.upload => *last = end,
            _ => self.uploads.push((end, reading.upload)),
        }
    }
}

/// The changes of one day, oldest first.
#[derive(Default, Debug)]
pub(super) struct Overlay {
    blocks: Vec<Block>,
    rows: usize,
    bytes: usize,
}

impl Overlay {
    /// Puts a state of a reading (`bits` of 0 or [`CHANGES`]) or its removal (with [`GONE`]).
    /// Returns by how many bytes the buffer grew.
    pub(super) fn push(&mut self, meter: Meter, reading: &Reading, bits: u16) -> usize {
        let before = self.bytes;
        if self.blocks.last().is_none_or(|block| block.meter.len() == block.meter.capacity()) {
            let rows = self.rows.next_power_of_two().clamp(BLOCK_ROWS_MIN, BLOCK_ROWS_MAX);
            let block = Block::with_capacity(reading.ts, rows);
            self.bytes += block.bytes();
            self.blocks.push(block);
        }
        if let Some(block) = self.blocks.last_mut() {
            let bytes = block.bytes();
            block.push(meter, reading, bits);
            self.bytes = self.bytes - bytes + block.bytes();
            self.rows += 1;
        }
        self.bytes - before
    }

    /// The changes in the order in which they were committed.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Changes, removals included.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// What the changes cost in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// For each meter number the changes it has; as long as the largest number needs.
    pub(super) fn rows_by_meter(&self) -> Vec<u32> {
        let mut rows: Vec<u32> = Vec::new();
        for meter in self.blocks.iter().flat_map(|block| &block.meter) {
            let at = *meter as usize;
            if at >= rows.len() {
                rows.resize(at + 1, 0);
            }
            rows[at] += 1;
        }
        rows
    }
}

/// What is to be done for one day (or for the rows without an instant).
#[derive(Debug)]
pub(super) struct Pending {
    /// The first journal entry that is not in the archive yet.
    pub(super) first_entry: u64,
    /// When a flush first passed it by; the clock of its lag.
    pub(super) waiting_since: Option<Ts>,
    /// The buffer does not hold every change: the day's readings come from the store.
    pub(super) from_source: bool,
    /// The day's error queue has changed.
    pub(super) errors: bool,
    /// A flush that held these changes failed after it began: the archive may or may not hold them.
    pub(super) unsure: bool,
    /// The changes of readings.
    pub(super) overlay: Overlay,
}

impl Pending {
    /// Nothing yet, of a day whose changes the buffer will hold from `entry` on.
    pub(super) fn tracked(entry: u64) -> Pending {
        Pending {
            first_entry: entry,
            waiting_since: None,
            from_source: false,
            errors: false,
            unsure: false,
            overlay: Overlay::default(),
        }
    }

    /// A day that changed while nobody watched, at `entry` or after it.
    pub(super) fn unwatched(entry: u64) -> Pending {
        Pending { from_source: true, errors: true, ..Pending::tracked(entry) }
    }

    /// Forgets the changes of readings, which the store will give; returns the bytes freed.
    pub(super) fn leave_to_source(&mut self) -> usize {
        self.from_source = true;
        std::mem::take(&mut self.overlay).bytes()
    }

    /// Whether readings have changed.
    pub(super) fn has_readings(&self) -> bool {
        self.from_source || self.overlay.rows() > 0
    }
}

#[cfg(test)]
mod tests {
    use greenstream_core::{Flags, Standing};

    use super::*;

    fn reading(upload: u32, row_number: u32) -> Reading {
        Reading {
            ts: Ts::from_micros(i64::from(row_number)),
            kw: None,
            upload,
            row_number,
            flags: Flags::NONE,
            standing: Standing::Accepted,
        }
    }

    fn whole_second(row: u32) -> Reading {
        let ts = Ts::from_micros(i64::from(row % 86_400) * SECOND);
        Reading { ts, ..reading(1 + row / 50_000, row) }
    }

    #[test]
    fn a_million_readings_of_whole_seconds_take_at_most_20_bytes_each() {
        let mut overlay = Overlay::default();
        let mut grown = 0;
        for row in 0..1_000_000 {
            grown += overlay.push(Meter(row % 50_000), &whole_second(row), 0);
        }
        assert_eq!(grown, overlay.bytes());
        assert!(overlay.bytes() <= 20_000_000, "{} bytes", overlay.bytes());
    }

    #[test]
    fn a_day_with_a_single_change_takes_less_than_four_kibibytes() {
        let mut overlay = Overlay::default();
        overlay.push(Meter(1), &reading(1, 1), 0);
        assert!(overlay.bytes() < 4096, "{} bytes", overlay.bytes());
    }

    #[test]
    fn runs_of_uploads_cover_every_row_across_blocks() {
        let mut overlay = Overlay::default();
        for row in 0..300_000_u32 {
            overlay.push(Meter(0), &reading(row / 1_000, row), 0);
        }
        let mut next = 0_u32;
        for block in overlay.blocks() {
            let mut start = 0;
            for (end, upload) in &block.uploads {
                for row in &block.row[start..*end] {
                    assert_eq!((*row, *upload), (next, next / 1_000));
                    next += 1;
                }
                start = *end;
            }
        }
        assert_eq!(next, 300_000);
        assert_eq!(overlay.rows_by_meter(), [300_000]);
    }
}
