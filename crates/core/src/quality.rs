//! Completeness: how many readings a meter's day should hold, and how many it does.
//!
//! A day (of the reporting zone) is cut into slots of the meter's expected interval, from its first
//! instant on. A slot expects one reading, and holds it when any stands in it, whatever its value:
//! `expected = present + absent` and `present = trusted + filled + missing + quarantined`, for every
//! day. `docs/quality.md` is the reference.

use crate::{DAY, Reading, SECOND, Standing, Ts};

/// A row that landed more than this after the end of its interval is late, in microseconds. Two days:
/// a feed that delivers once a day, a day late at worst, is in time. Smaller, and every such feed is
/// late always; greater, and a week's backlog shows only once it is nearly complete.
pub const LATE: i64 = 2 * DAY;

/// Running equal steps that a day must have before it says its interval by itself.
const STEPS_MIN: usize = 3;

/// What a reading holds, as completeness sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// A value of its own that the rules accepted, or an operator.
    Trusted,
    /// The value of the reading before a short gap.
    Filled,
    /// No value.
    Missing,
    /// A value that waits in the error queue.
    Quarantined,
}

impl Holds {
    /// What a judged reading holds.
    #[must_use]
    pub const fn of(reading: &Reading) -> Holds {
        match (reading.standing, reading.is_missing(), reading.kw) {
            (Standing::Accepted, false, _) => Holds::Trusted,
            (Standing::Accepted, true, Some(_)) => Holds::Filled,
            (Standing::Accepted, true, None) => Holds::Missing,
            _ => Holds::Quarantined,
        }
    }
}

/// A reading of the day that is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The start of its interval.
    pub ts: Ts,
    /// The upload of its winning row, from 1.
    pub upload: u32,
    /// What it holds.
    pub holds: Holds,
}

/// The day of a meter that is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The day's first instant, and that of the next day.
    pub bounds: (Ts, Ts),
    /// Whether the meter's first reading of all is in this day: nothing is expected before it.
    pub is_first: bool,
    /// The last instant at which a reading is expected, where that lies in this day.
    pub until: Option<Ts>,
    /// The expected interval in microseconds; none where there is nothing to learn it from.
    pub interval: Option<i64>,
}

/// What a day of a meter should hold, and what it does; sums of such days, too.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Slots that expect a reading.
    pub expected: u64,
    /// Those with at least one; the next four add up to it, by the first reading of each.
    pub present: u64,
    /// Accepted with a value of its own.
    pub trusted: u64,
    /// Forward-filled.
    pub filled: u64,
    /// Without a value.
    pub missing: u64,
    /// Waiting in the error queue.
    pub quarantined: u64,
    /// Those of `present` that landed more than [`LATE`] after their interval ended.
    pub late: u64,
    /// Readings beyond the first of their slot: many mean a shorter interval than is expected.
    pub extra: u64,
}

impl Counts {
    /// Slots without any reading.
    #[must_use]
    pub const fn absent(&self) -> u64 {
        self.expected.saturating_sub(self.present)
    }

    /// Slots with a value to work with: trusted or filled.
    #[must_use]
    pub const fn usable(&self) -> u64 {
        self.trusted + self.filled
    }

    /// The usable share of what is expected in hundredths of a percent, rounded down, so that only a
    /// complete day has 10,000; none where nothing is expected.
    #[must_use]
    pub const fn completeness(&self) -> Option<u64> {
        (self.usable() * 10_000).checked_div(self.expected)
    }

    /// Adds another day's counts.
    pub const fn add(&mut self, other: &Counts) {
        self.expected += other.expected;
        self.present += other.present;
        self.trusted += other.trusted;
        self.filled += other.filled;
        self.missing += other.missing;
        self.quarantined += other.quarantined;
        self.late += other.late;
        self.extra += other.extra;
    }

    /// Counts the reading that a slot is held by.
    fn hold(&mut self, holds: Holds) {
        self.present += 1;
        match holds {
            Holds::Trusted => self.trusted += 1,
            Holds::Filled => self.filled += 1,
            Holds::Missing => self.missing += 1,
            Holds::Quarantined => self.quarantined += 1,
        }
    }
}

/// Counts a day. `seen` are its readings in time order; `landed_at` tells when an upload landed.
///
/// With no interval, or one of more than a day, a slot is what holds a reading: nothing is absent.
#[must_use]
pub fn count(span: &Span, seen: &[Seen], landed_at: impl Fn(u32) -> Ts) -> Counts {
    let mut counts = Counts::default();
    let slots = span.interval.filter(|interval| (1..=DAY).contains(interval)).map(|interval| Slots {
        start: span.bounds.0,
        interval,
        count: rounded(span.bounds.1.since(span.bounds.0), interval).max(1),
    });
    // a day that the zone skipped
    let slots = slots.filter(|_| span.bounds.0 < span.bounds.1);
    let slot = |index: usize, ts: Ts| slots.map_or(i64::try_from(index).unwrap_or(i64::MAX), |s| s.of(ts));
    let mut last = None;
    for (index, reading) in seen.iter().enumerate() {
        let slot = slot(index, reading.ts);
        if last == Some(slot) {
            counts.extra += 1;
            continue;
        }
        last = Some(slot);
        counts.hold(reading.holds);
        let end = reading.ts.plus(span.interval.unwrap_or(0));
        counts.late += u64::from(landed_at(reading.upload).since(end) > LATE);
    }
    counts.expected = slots.map_or(counts.present, |slots| {
        let first = if span.is_first { seen.first().map_or(0, |first| slots.of(first.ts)) } else { 0 };
        let end = span.until.map_or(slots.count, |until| slots.end(until).max(last.map_or(0, |l| l + 1)));
        u64::try_from(end - first).unwrap_or(0)
    });
    counts
}

/// The slots of a day.
#[derive(Clone, Copy)]
struct Slots {
    start: Ts,
    interval: i64,
    count: i64,
}

impl Slots {
    /// The slot of a reading. Slots begin a quarter of an interval early, so that a clock that is a
    /// little fast does not leave one of them empty and the one before it with two.
    fn of(self, ts: Ts) -> i64 {
        (ts.since(self.start).saturating_add(self.interval / 4) / self.interval).min(self.count - 1)
    }

    /// How many slots have begun by an instant: to the letter, for that is another meter's reading.
    fn end(self, until: Ts) -> i64 {
        (until.since(self.start) / self.interval + 1).clamp(0, self.count)
    }
}

/// The interval that a day says by itself: the step between neighbouring readings that more than half
/// of its steps have, and at least three. None where there is no such step.
#[must_use]
pub fn plain_interval(day: &[Seen]) -> Option<i64> {
    // nearly all days have one step only, and need no sorting
    let apart = |pair: &[Seen]| pair[1].ts.since(pair[0].ts);
    let first = day.get(..2)?;
    if day.len() > STEPS_MIN && day.windows(2).all(|pair| apart(pair) == apart(first)) {
        return Some(step(first));
    }
    let (step, count) = commonest(day)?;
    (count >= STEPS_MIN && 2 * count > day.len() - 1).then_some(step)
}

/// The commonest step between neighbouring readings, of equally common ones the shortest; none for
/// fewer than two readings. `readings` are in time order, and of as many days as there are.
#[must_use]
pub fn commonest_interval(readings: &[Seen]) -> Option<i64> {
    commonest(readings).map(|(step, _)| step)
}

fn commonest(readings: &[Seen]) -> Option<(i64, usize)> {
    let mut steps: Vec<i64> = readings.windows(2).map(step).collect();
    steps.sort_unstable();
    let runs = steps.chunk_by(|a, b| a == b).filter_map(|run| Some((*run.first()?, run.len())));
    // the last of equal ones would win
    runs.rev().max_by_key(|(_, count)| *count)
}

/// The step from one reading to the next, without the jitter of a clock: whole minutes from five
/// minutes on, whole seconds below, at least one.
fn step(pair: &[Seen]) -> i64 {
    let step = match pair {
        [a, b] => b.ts.since(a.ts),
        _ => 0,
    };
    let unit = if step >= 300 * SECOND { 60 * SECOND } else { SECOND };
    rounded(step, unit).max(1) * unit
}

/// `part / whole`, rounded to the nearest, half up.
const fn rounded(part: i64, whole: i64) -> i64 {
    part.saturating_add(whole / 2).div_euclid(whole)
}

#[cfg(test)]
mod tests;
