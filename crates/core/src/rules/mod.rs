//! The five rules over one meter's readings.
//!
//! The caller keeps a window of a meter's stored readings, sorted by instant, each instant once.
//! For each upload it asks [`need`] whether the window is wide enough, lets [`merge`] put the
//! upload's rows into it (rule 5), and lets [`Judge::judge`] judge what they touch. The outcome is
//! what a judgement of all readings from scratch would give, to the last bit, whatever the order
//! in which they came. [`refresh`] and [`confirmed`] turn the flags of rule 4 into episodes.

mod context;
mod days;
mod episode;
mod faulty;
mod fill;
mod latest;
mod limits;
mod wide;
mod zscore;

#[cfg(test)]
mod tests;

pub use context::{Known, Need, need, spare};
pub use days::{DayState, confirmed, day_state};
pub use episode::{Span, refresh};
pub use latest::{Merged, merge};

use crate::{Limits, Reading, Ts};

/// Judges one meter's readings after another; holds the memory that this takes.
#[derive(Debug, Default)]
pub struct Judge {
    /// The readings that a judgement may change, as they were before it.
    before: Vec<Reading>,
}

impl Judge {
    /// A judge without memory of anything.
    #[must_use]
    pub fn new() -> Judge {
        Judge::default()
    }

    /// Judges in place everything that a change of the readings from `touched.0` to `touched.1`
    /// (both inclusive; new, replaced or removed ones) can change, before and after it too.
    ///
    /// `series` is sorted by instant, each instant once; readings outside `touched` carry the
    /// verdicts of an earlier judgement under the same limits. It must reach as far as [`need`]
    /// asks. Appends to `changed` the (index, state before) of each reading that differs
    /// afterwards, by ascending index; a reading that was `Unjudged` always does. Judging twice
    /// changes nothing.
    pub fn judge(
        &mut self,
        series: &mut [Reading],
        touched: (Ts, Ts),
        limits: &Limits,
        changed: &mut Vec<(usize, Reading)>,
    ) {
        let (first, last) = touched;
        let from = first_at(series, first);
        let gap = fill::gap_before(series, from, first);
        let reach = first_at(series, last.plus(context::REACH));
        self.before.clear();
        self.before.extend_from_slice(&series[gap..reach]);

        limits::judge(&mut series[from..], last, limits);
        let shaken = zscore::judge(series, from, last);
        fill::judge(series, gap, shaken);
        faulty::judge(series, from, touched, |index, reading| {
            if index >= gap + self.before.len() {
                self.before.push(*reading);
            }
        });

        let judged = series[gap..].iter().zip(&self.before).enumerate();
        changed.extend(judged.filter(|(_, (now, was))| now != was).map(|(i, (_, was))| (gap + i, *was)));
    }

    /// Judges every reading of `series`, which must be all there is of the meter: the case that
    /// everything is touched.
    pub fn judge_all(
        &mut self,
        series: &mut [Reading],
        limits: &Limits,
        changed: &mut Vec<(usize, Reading)>,
    ) {
        if let (Some(first), Some(last)) = (series.first(), series.last()) {
            self.judge(series, (first.ts, last.ts), limits, changed);
        }
    }
}

/// The index of the first reading at or after `ts`. Gallops from the end, where uploads land.
fn first_at(series: &[Reading], ts: Ts) -> usize {
    let mut back = 1;
    while back <= series.len() && series[series.len() - back].ts > ts {
        back *= 2;
    }
    let low = series.len().saturating_sub(back);
    low + series[low..].partition_point(|reading| reading.ts < ts)
}
