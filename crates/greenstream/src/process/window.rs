//! What the service remembers of the past: for each meter the stored readings around the place
//! where its uploads land. A cache of the store, never a second truth: it can be dropped at any time.

use greenstream_core::rules::{Known, spare};
use greenstream_core::{HOUR, Reading, Ts};

use crate::change::{DayState, Meter};

/// How far back from the newest touched reading a window is kept. The rules need 24 h; the rest
/// lets slightly late rows find their context without asking the store. At 15 minutes a window is
/// then at most 120 readings (under 4 KiB): a longer one costs memory for each meter, a shorter one more
/// look-ups.
const KEPT: i64 = 26 * HOUR;

/// A window longer than this is trimmed to `KEPT`; the slack makes trimming rare.
const TRIM_AT: usize = 116;

/// Windows grow by this many readings: doubling would leave half of each empty, and once most are too
/// long for the budget, each upload drops and loads windows again.
const STEP: usize = 8;

/// One meter's stored readings over an interval of time without holes.
#[derive(Clone, Debug)]
pub struct Window {
    /// Sorted by instant, unique.
    pub rows: Vec<Reading>,
    /// All stored readings with `known.from <= ts < known.to` are in `rows`.
    pub known: Known,
    /// The day last touched and its state as stored, to spare writing it again.
    pub day: Option<(i32, DayState)>,
    used: u32,
}

impl Window {
    /// Nothing known.
    pub fn unknown() -> Window {
        Window { rows: Vec::new(), known: Known { from: Ts::MAX, to: Ts::MIN }, day: None, used: 0 }
    }

    /// Known to be without any reading at any time.
    pub fn blank() -> Window {
        Window { known: Known { from: Ts::MIN, to: Ts::MAX }, ..Window::unknown() }
    }

    /// Forgets what is known, and begins to know at `ts`.
    pub fn give_up(&mut self, ts: Ts) {
        *self = Window { known: Known { from: ts, to: ts }, used: self.used, ..Window::unknown() };
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        self.known.from >= self.known.to
    }

    /// Takes in everything stored with `from <= ts < to` (sorted), which must lie beside or around
    /// what the window knows; what it knew stays as it was.
    pub fn join(&mut self, found: impl Iterator<Item = Reading>, from: Ts, to: Ts) {
        let known = self.known;
        if self.is_unknown() {
            self.rows = found.collect();
            self.known = Known { from, to };
            return;
        }
        let mut before: Vec<Reading> = Vec::new();
        for reading in found {
            if reading.ts < known.from {
                before.push(reading);
            } else if reading.ts >= known.to {
                self.rows.push(reading);
            }
        }
        self.rows.splice(0..0, before);
        self.known = Known { from: known.from.min(from), to: known.to.max(to) };
    }

    /// Makes room for `more` readings.
    pub fn make_room(&mut self, more: usize) {
        let wanted = self.rows.len() + more;
        if wanted > self.rows.capacity() {
            self.rows.reserve_exact(wanted.next_multiple_of(STEP) - self.rows.len());
        }
    }

    /// Drops what lies further back than the rules and slightly late rows need.
    pub fn trim(&mut self, newest_touched: Ts) {
        if self.rows.len() < TRIM_AT {
            return;
        }
        let keep_from = newest_touched.plus(-KEPT);
        let old = self.rows.partition_point(|reading| reading.ts < keep_from);
        let cut = old.min(spare(&self.rows));
        if cut > 0 {
            self.known.from = self.rows[cut - 1].ts.plus(1);
            self.rows.drain(..cut);
            let room = self.rows.len() + self.rows.len() / 8;
            self.rows.shrink_to(room.next_multiple_of(STEP).max(TRIM_AT + STEP / 2));
        }
    }
}

/// The windows of all meters that uploads touched lately, within a budget.
#[derive(Debug, Default)]
pub struct Windows {
    /// By meter number.
    all: Vec<Window>,
    tick: u32,
    /// Readings judged since windows were last counted against the budget.
    since: usize,
}

impl Windows {
    /// The window of `meter`, unknown where there was none.
    pub fn get(&mut self, meter: Meter) -> &mut Window {
        let index = meter.0 as usize;
        if index >= self.all.len() {
            self.all.resize_with(index + 1, Window::unknown);
        }
        let window = &mut self.all[index];
        window.used = self.tick;
        window
    }

    /// Forgets everything: after a failed commit the store is asked again.
    pub fn clear(&mut self) {
        self.all.clear();
    }

    /// Ends the work on one upload of `rows` readings: while the windows hold room for more than
    /// `budget` readings, those unused for longest are dropped. Counting costs a walk over all
    /// windows, so tiny uploads are counted together.
    pub fn settle(&mut self, rows: usize, budget: usize) {
        self.tick += 1;
        self.since += rows;
        if self.since < budget / 32 {
            return;
        }
        self.since = 0;
        let mut held: usize = self.all.iter().map(cost).sum();
        if held <= budget {
            return;
        }
        let mut by_use: Vec<(u32, usize)> =
            self.all.iter().enumerate().map(|(index, window)| (window.used, index)).collect();
        by_use.sort_unstable();
        for (_, index) in by_use {
            if held <= budget {
                break;
            }
            held -= cost(&self.all[index]);
            self.all[index] = Window::unknown();
        }
    }
}

/// Readings that a window takes room for.
fn cost(window: &Window) -> usize {
    window.rows.capacity()
}
