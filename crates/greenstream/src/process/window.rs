//! What the service remembers of the past: for each meter the stored readings around the place
//! where its uploads land. A cache of the store, never a second truth: it can be dropped at any time.

use greenstream_core::rules::{Known, spare};
use greenstream_core::{HOUR, Reading, Ts};

use super::packed::Packed;
use crate::change::{DayState, Meter};

/// How far back from the newest touched reading a window is kept. The rules need 24 h; the rest
/// lets slightly late rows find their context without asking the store. At 15 minutes a window is
/// then at most 120 readings (under 2 KiB): a longer one costs memory for each meter, a shorter one more
/// look-ups.
const KEPT: i64 = 26 * HOUR;

/// A window longer than this is trimmed to `KEPT`; the slack makes trimming rare.
const TRIM_AT: usize = 116;

/// One meter's stored readings over an interval of time without holes, open to be changed.
#[derive(Clone, Debug)]
pub struct Window {
    /// Sorted by instant, unique.
    pub rows: Vec<Reading>,
    /// All stored readings with `known.from <= ts < known.to` are in `rows`.
    pub known: Known,
    /// The day last touched and its state as stored, to spare writing it again.
    pub day: Option<(i32, DayState)>,
}

impl Window {
    /// Nothing known.
    pub fn unknown() -> Window {
        Window { rows: Vec::new(), known: Known { from: Ts::MAX, to: Ts::MIN }, day: None }
    }

    /// Known to be without any reading at any time.
    pub fn blank() -> Window {
        Window { known: Known { from: Ts::MIN, to: Ts::MAX }, ..Window::unknown() }
    }

    /// Forgets what is known, and begins to know at `ts`.
    pub fn give_up(&mut self, ts: Ts) {
        *self = Window { known: Known { from: ts, to: ts }, ..Window::unknown() };
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
        }
    }
}

/// A window at rest.
#[derive(Clone, Debug)]
struct Slot {
    known: Known,
    day: Option<(i32, DayState)>,
    rows: Packed,
    /// The last instant, where it holds a measured reading that is not near zero: no run of rule 4 leads
    /// beyond it.
    live_to: Option<Ts>,
    used: u32,
}

impl Slot {
    fn unknown() -> Slot {
        let Window { known, day, .. } = Window::unknown();
        Slot { known, day, rows: Packed::default(), live_to: None, used: 0 }
    }
}

/// The windows of all meters that uploads touched lately, within a budget: packed, but for the one
/// that is open.
#[derive(Debug)]
pub struct Windows {
    /// By meter number; that of the open window waits for it.
    all: Vec<Slot>,
    open: Option<Meter>,
    window: Window,
    tick: u32,
    /// Readings judged since windows were last counted against the budget.
    since: usize,
}

impl Default for Windows {
    fn default() -> Windows {
        Windows { all: Vec::new(), open: None, window: Window::unknown(), tick: 0, since: 0 }
    }
}

impl Windows {
    /// The window of `meter`, unknown where there was none. It stays open until another is asked for.
    pub fn get(&mut self, meter: Meter) -> &mut Window {
        if self.open != Some(meter) {
            self.close();
            let slot = slot(&mut self.all, meter);
            slot.rows.unpack(&mut self.window.rows);
            (self.window.known, self.window.day) = (slot.known, slot.day);
            self.open = Some(meter);
        }
        slot(&mut self.all, meter).used = self.tick;
        &mut self.window
    }

    /// What is known of `meter`, and whether rows from `ts` on follow a live end of it: then no near-zero
    /// run leads up to them. Opens nothing.
    pub fn known(&mut self, meter: Meter, ts: Ts) -> (Known, bool) {
        let slot = if self.open == Some(meter) { None } else { self.all.get(meter.0 as usize) };
        match slot {
            Some(slot) => (slot.known, slot.live_to.is_some_and(|live| live < ts)),
            None => {
                let window = self.get(meter);
                (window.known, live_to(window.rows.last()).is_some_and(|live| live < ts))
            }
        }
    }

    /// Whether nothing is known of `meter`. Opens nothing.
    pub fn is_unknown(&mut self, meter: Meter) -> bool {
        let known = self.known(meter, Ts::MIN).0;
        known.from >= known.to
    }

    /// Adds a reading of `meter` after all others, when many meters' readings come by the hour.
    pub fn push(&mut self, meter: Meter, reading: Reading) {
        if self.open == Some(meter) {
            self.window.rows.push(reading);
            return;
        }
        let slot = slot(&mut self.all, meter);
        slot.live_to = live_to(Some(&reading));
        slot.rows.push(reading);
    }

    /// Packs the open window.
    fn close(&mut self) {
        if let Some(meter) = self.open.take() {
            let slot = slot(&mut self.all, meter);
            slot.rows.pack(&self.window.rows);
            slot.live_to = live_to(self.window.rows.last());
            (slot.known, slot.day) = (self.window.known, self.window.day);
        }
        self.window.rows.clear();
    }

    /// Forgets everything: after a failed commit the store is asked again.
    pub fn clear(&mut self) {
        self.open = None;
        self.window = Window::unknown();
        self.all = Vec::new();
    }

    /// Ends the work on one upload of `rows` readings: while the windows hold room for more than
    /// `budget` readings, those unused for longest are dropped. Counting costs a walk over all
    /// windows, so tiny uploads are counted together.
    pub fn settle(&mut self, rows: usize, budget: usize) {
        self.close();
        self.tick += 1;
        self.since += rows;
        if self.since < budget / 32 {
            return;
        }
        self.since = 0;
        let mut held: usize = self.all.iter().map(|slot| slot.rows.room()).sum();
        if held <= budget {
            return;
        }
        let mut by_use: Vec<(u32, usize)> =
            self.all.iter().enumerate().map(|(index, slot)| (slot.used, index)).collect();
        by_use.sort_unstable();
        for (_, index) in by_use {
            if held <= budget {
                break;
            }
            held -= self.all[index].rows.room();
            self.all[index] = Slot::unknown();
        }
    }
}

/// The slot of `meter`.
fn slot(all: &mut Vec<Slot>, meter: Meter) -> &mut Slot {
    let index = meter.0 as usize;
    if index >= all.len() {
        all.resize_with(index + 1, Slot::unknown);
    }
    &mut all[index]
}

fn live_to(last: Option<&Reading>) -> Option<Ts> {
    last.filter(|reading| reading.is_measured() && !reading.is_near_zero()).map(|reading| reading.ts)
}
