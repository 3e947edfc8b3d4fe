//! How much of a meter's readings a judgement must see to be exact.
//!
//! Let the readings from t0 to t1 be touched, and the others be judged as they stood before.
//! - **Measured or not** is each reading's own affair (limits), so it changes within [t0, t1] only.
//! - **Outliers**: the window (t − 24 h, t] holds a touched instant for t in [t0, t1 + 24 h) only,
//!   and reaches back beyond t0 − 24 h for none of them.
//! - **Fill**: trust changes from t0 to some b < t1 + 24 h only. Take a missing reading m whose fill
//!   changes, so that its gap (p, n) was or is filled, and t0 or b or what is between lies in
//!   [p, n]. Then n − g < 1 h and l − p < 1 h. Forward: m > b means p ≤ b, so g ≤ l < b + 1 h and
//!   n < b + 2 h (an hour from the donor to l, an hour from g to n). Backward: m < t0 means n ≥ t0,
//!   so m ≥ g > t0 − 1 h and p > t0 − 2 h. A gap that leaves these two hours is not filled, before
//!   or now, so its rest need not be seen.
//! - **Near zero, back**: whether a reading at t ≥ t0 is more than 24 h into its run needs the run's
//!   first reading f only if t − f ≤ 24 h. Walk back over the measured readings before t0: the
//!   first that is not near zero fixes f; one that is flagged, or lies before t0 − 24 h, says that
//!   every reading of the run from t0 on is flagged. So 24 h back, and one measured reading more
//!   where all of those are near zero. The walk begins at the last measured reading before t0,
//!   wherever that is: what is not measured at t0 takes its flag.
//! - **Near zero, forward**: let k be the first measured reading after t1. If it is not near zero,
//!   nothing after it changes. Else the run that holds k begins at k or earlier, before and now,
//!   so its readings after k + 24 h are flagged, before and now: flags change up to the first
//!   measured reading after k + 24 h (not included: those between that are not measured take
//!   theirs from before it), or up to one that is not near zero.

use super::faulty::{Start, run_start};
use super::first_at;
use crate::{DAY, HOUR, Reading, Ts};

/// How far beyond the last touched instant verdicts and fills change (exclusive), flags apart:
/// 24 h for outliers and 2 h for the gap that the last of them can open or close.
pub(super) const REACH: i64 = DAY + 2 * HOUR;

/// What a window knows of its meter: every stored reading with `from <= ts < to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// The first instant known; `Ts::MIN` where the meter has nothing before the window.
    pub from: Ts,
    /// The first instant not known; `Ts::MAX` where the meter has nothing after the window.
    pub to: Ts,
}

impl Known {
    /// All there is of a meter.
    pub const ALL: Known = Known { from: Ts::MIN, to: Ts::MAX };
}

/// What a window must know in addition; it includes what the window knows already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Need {
    /// Every reading at or after this instant,
    pub from: Ts,
    /// and before this one.
    pub to: Ts,
    /// Also every reading before `from` back to the last measured one, included. Where there is
    /// none the window then knows from `Ts::MIN`.
    pub measured_before: bool,
    /// Also every reading from `to` on up to the first measured one, included. Where there is none
    /// the window then knows to `Ts::MAX`.
    pub measured_after: bool,
}

/// What `series`, of which `known` is known, lacks for an exact judgement of `touched`: none when
/// it is wide enough. The caller loads what it lacks and asks again; four answers suffice.
///
/// Looks at readings outside `touched` only, so it may be asked before [`super::merge`] with the
/// span of the rows (merging may touch less than that, never more), and it must: a window that
/// does not know a stored reading of a row's instant would let the row win unopposed.
#[must_use]
pub fn need(series: &[Reading], touched: (Ts, Ts), known: Known) -> Option<Need> {
    let (first, last) = touched;
    let (from, to) = (first.plus(-DAY), last.plus(REACH));
    if known.from > from || known.to < to {
        return Some(Need {
            from: known.from.min(from),
            to: known.to.max(to),
            measured_before: false,
            measured_after: false,
        });
    }
    let measured_before = known.from > Ts::MIN && run_begins(series, first).is_none();
    let after = if known.to < Ts::MAX { settled_after(series, last, known.to) } else { None };
    (measured_before || after.is_some()).then(|| Need {
        from: known.from,
        to: after.unwrap_or(known.to),
        measured_before,
        measured_after: after.is_some(),
    })
}

/// How many readings at the front of `series` no upload of later rows will ask for. Once they are
/// dropped the window is known from the instant after the last of them.
#[must_use]
pub fn spare(series: &[Reading]) -> usize {
    let Some(last) = series.last() else { return 0 };
    let next = last.ts.plus(1);
    run_begins(series, next).map_or(0, |begin| begin.min(first_at(series, next.plus(-DAY))))
}

/// The index of the measured reading that decides where a near-zero run that leads up to `next`
/// begins, as far as that matters; none where `series` does not reach back to it.
fn run_begins(series: &[Reading], next: Ts) -> Option<usize> {
    let past = &series[..first_at(series, next)];
    past.iter()
        .rposition(|reading| reading.is_measured() && !matches!(run_start(reading, next), Start::Earlier))
}

/// None where flags after `last` are settled within `series`; else the instant from which on the
/// next measured reading is wanted.
fn settled_after(series: &[Reading], last: Ts, to: Ts) -> Option<Ts> {
    let mut after = series[first_at(series, last.plus(1))..].iter().filter(|r| r.is_measured());
    let Some(next) = after.next() else { return Some(to) };
    if !next.is_near_zero() {
        return None;
    }
    let long = next.ts.plus(DAY);
    let settled = after.any(|reading| !reading.is_near_zero() || reading.ts > long);
    (!settled).then(|| to.max(long.plus(1)))
}
