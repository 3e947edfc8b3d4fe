//! Rule 4, faulty meters: the flag on measured readings more than 24 hours into a near-zero run.
//!
//! A run is consecutive measured readings below 0.01 kW in size. What is not measured neither
//! breaks nor extends it, and takes the flag of the measured reading before it.

use crate::{DAY, Flag, Reading, Ts};

/// Flags the readings from index `from` (the first at or after `touched.0`) on, as far as their
/// flags may have changed. Calls `visit` with each reading before its flag is set.
///
/// After `touched.1` no reading is more or less near zero than before; only the first instant of
/// the run may have moved. So the first measured reading that is not near zero ends the work, and
/// so does one that was and is flagged: the run began more than 24 hours earlier, before and now.
pub(super) fn judge(
    series: &mut [Reading],
    from: usize,
    touched: (Ts, Ts),
    mut visit: impl FnMut(usize, &Reading),
) {
    let mut run = Run::before(&series[..from], touched.0);
    for (index, reading) in series.iter_mut().enumerate().skip(from) {
        visit(index, reading);
        let was = reading.flags.has(Flag::PotentiallyFaulty);
        run.step(reading);
        reading.flags = reading.flags.set(Flag::PotentiallyFaulty, run.flagged);
        let settled = run.first.is_none() || (was && run.flagged);
        if reading.ts > touched.1 && reading.is_measured() && settled {
            return;
        }
    }
}

/// The near-zero run at a point of a series.
struct Run {
    /// Its first reading (or one more than 24 hours before all that follow); none outside a run.
    first: Option<Ts>,
    /// Whether the last measured reading is flagged.
    flagged: bool,
}

impl Run {
    /// The run that the readings `past`, all before `next` and all judged, lead up to.
    fn before(past: &[Reading], next: Ts) -> Run {
        let mut measured = past.iter().rev().filter(|reading| reading.is_measured()).peekable();
        let flagged = measured.peek().is_some_and(|last| last.flags.has(Flag::PotentiallyFaulty));
        let mut first = None;
        for reading in measured {
            match run_start(reading, next) {
                Start::Broken => break,
                Start::Long => {
                    first = Some(Ts::MIN);
                    break;
                }
                Start::Earlier => first = Some(reading.ts),
            }
        }
        Run { first, flagged }
    }

    fn step(&mut self, reading: &Reading) {
        if !reading.is_measured() {
            return;
        }
        self.first = if reading.is_near_zero() { self.first.or(Some(reading.ts)) } else { None };
        self.flagged = self.first.is_some_and(|first| reading.ts.since(first) > DAY);
    }
}

/// What a measured reading says about the first instant of a near-zero run that leads up to it,
/// as far as it matters from `next` on.
pub(super) enum Start {
    /// The run begins after it, or there is none.
    Broken,
    /// The run began more than 24 hours before `next`.
    Long,
    /// The run holds it, and may hold more before it.
    Earlier,
}

/// See [`Start`].
pub(super) fn run_start(measured: &Reading, next: Ts) -> Start {
    if !measured.is_near_zero() {
        Start::Broken
    } else if measured.flags.has(Flag::PotentiallyFaulty) || next.since(measured.ts) > DAY {
        Start::Long
    } else {
        Start::Earlier
    }
}
