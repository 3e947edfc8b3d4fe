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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flag, Flags, Power, Standing};

    const T: Ts = Ts::from_micros(1_000 * DAY);

    /// A judged reading this many hours from `T`.
    fn reading(hours: i64, mw: Option<i64>) -> Reading {
        Reading {
            ts: T.plus(hours * HOUR),
            kw: mw.map(Power::from_milliwatts),
            upload: 1,
            row_number: 1,
            flags: Flags::NONE.set(Flag::MissingValue, mw.is_none()),
            standing: Standing::Accepted,
        }
    }

    fn faulty(hours: i64) -> Reading {
        let reading = reading(hours, Some(0));
        Reading { flags: reading.flags.with(Flag::PotentiallyFaulty), ..reading }
    }

    const LIVE: Option<i64> = Some(10_000);
    const ZERO: Option<i64> = Some(9_999);

    /// What is needed when `T` alone is touched: "from to" in microseconds beyond the base need
    /// (or the window, where that is wider), with `<` and `>` for a measured reading more.
    #[track_caller]
    fn check(name: &str, series: &[Reading], known: Known, expected: &str) {
        let shown = need(series, (T, T), known).map_or("enough".to_owned(), |need| {
            let before = if need.measured_before { "<" } else { "" };
            let after = if need.measured_after { ">" } else { "" };
            format!("{before}{} {}{after}", need.from.since(T) / HOUR, need.to.since(T) as f64 / HOUR as f64)
        });
        assert_eq!(shown, expected, "{name}");
    }

    #[test]
    fn a_window_is_wide_enough_from_a_day_before_to_twenty_six_hours_after() {
        let live = [reading(-1, LIVE), reading(0, LIVE), reading(1, LIVE)];
        let known = |from: i64, to: i64| Known { from: T.plus(from), to: T.plus(to) };
        check("all", &live, Known::ALL, "enough");
        check("nothing at all", &[], Known::ALL, "enough");
        check("exactly", &live, known(-DAY, REACH), "enough");
        check("a microsecond less before", &live, known(-DAY + 1, REACH), "-24 26");
        check("a microsecond less after", &live, known(-DAY, REACH - 1), "-24 26");
        check("what is wider stays", &live, known(-2 * DAY, HOUR), "-48 26");
        let end = Known { to: Ts::MAX, ..known(-DAY, 0) };
        check("nothing after", &live[..2], end, "enough");
    }

    #[test]
    fn a_near_zero_run_is_followed_back_to_where_it_begins_or_is_long() {
        let known = Known { from: T.plus(-2 * DAY), to: Ts::MAX };
        check("nothing measured", &[reading(-1, None)], known, &format!("<-48 {}", far()));
        check("a run without beginning", &[reading(-24, ZERO)], known, &format!("<-48 {}", far()));
        check("one that begins", &[reading(-25, LIVE), reading(-24, ZERO)], known, "enough");
        check("one that is long by its time", &[reading(-25, ZERO), reading(-24, ZERO)], known, "enough");
        check("one that is long by its flag", &[faulty(-24), faulty(-1), reading(0, None)], known, "enough");
        check("all there is", &[reading(-1, ZERO)], Known::ALL, "enough");
    }

    /// The end of time in hours after `T`, as [`check`] shows it.
    fn far() -> String {
        (Ts::MAX.since(T) as f64 / HOUR as f64).to_string()
    }

    #[test]
    fn a_near_zero_run_is_followed_on_to_where_its_flags_are_settled() {
        let known = Known { from: Ts::MIN, to: T.plus(30 * HOUR) };
        let from = T.since(Ts::MIN) / HOUR;
        let wants = |to: f64| format!("-{from} {to}>");
        let just = 1.0 / HOUR as f64;
        check("nothing measured", &[reading(1, None)], known, &wants(30.0));
        check("a live meter", &[reading(1, LIVE)], known, "enough");
        check("a run that ends", &[reading(1, ZERO), reading(2, LIVE)], known, "enough");
        check("a run of 24 h", &[reading(1, ZERO), reading(25, ZERO)], known, &wants(30.0));
        check("a run of more", &[reading(1, ZERO), reading(26, ZERO)], known, "enough");
        check("a run into the unknown", &[reading(9, ZERO)], known, &wants(33.0 + just));
    }

    #[test]
    fn readings_a_day_old_are_spare_unless_a_run_leads_up_to_them() {
        let day: Vec<_> = (-30..=0).map(|hours| reading(hours, LIVE)).collect();
        assert_eq!(spare(&day), 7, "one exactly 24 h old is outside the next window");
        let dead: Vec<_> = (-30..=0).map(|hours| reading(hours, ZERO)).collect();
        assert_eq!(spare(&dead), 6, "one is kept to say that the run is long");
        let run: Vec<_> =
            (-30..=0).map(|hours| reading(hours, if hours < -26 { LIVE } else { ZERO })).collect();
        assert_eq!(spare(&run), 6);
        assert_eq!(spare(&run[5..]), 1);
        assert_eq!(spare(&dead[10..]), 0, "a run of less than a day is kept whole");
        assert_eq!(spare(&[]), 0);
    }
}
