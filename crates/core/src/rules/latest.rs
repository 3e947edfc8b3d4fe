//! Rule 5, keep latest: of all rows of one reading one wins, and the others stay visible.

use super::first_at;
use crate::{Flag, Flags, Reading, Standing, Ts};

/// What merging rows into a series did. The caller clears it between meters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Merged {
    /// The state before of each reading of the series that lost its instant to a new row, or that
    /// kept it and is a `duplicate` from now on. By ascending instant.
    pub replaced: Vec<Reading>,
    /// The rows that lost, of the upload and of the series: each with its own value (none where
    /// it has none), only the flags that decode gave it, and standing `Unjudged`. In no order.
    ///
    /// The row of a reading that an operator `edited` carries the operator's value here: the
    /// caller, who knows the decision, puts the row's own value (and flags) back. The decision
    /// sleeps from now on.
    pub lost: Vec<Reading>,
    /// The first and last instant with a new winner, to be judged; none where no row won.
    pub touched: Option<(Ts, Ts)>,
}

impl Merged {
    /// Forgets the last merge, keeps the memory.
    pub fn clear(&mut self) {
        self.replaced.clear();
        self.lost.clear();
        self.touched = None;
    }

    fn touch(&mut self, ts: Ts) {
        let (first, last) = self.touched.unwrap_or((ts, ts));
        self.touched = Some((first.min(ts), last.max(ts)));
    }
}

/// Merges the rows of one upload into a meter's `series`, which is sorted by instant, each instant
/// once, and holds every stored reading from the first instant of `rows` to the last.
///
/// `rows` come in any order, `Unjudged`, with their own value and the flags of decode; none of
/// them is in the series yet. They are left empty. The greatest [`Reading::rank`] wins an instant,
/// whichever came first: an upload that was held up may have a smaller number than what is stored.
/// A winner is a `duplicate` where any other row of its instant exists; new winners stand in
/// `series` as `Unjudged`. Appends to `out`.
pub fn merge(series: &mut Vec<Reading>, rows: &mut Vec<Reading>, out: &mut Merged) {
    if !rows.is_sorted_by(|a, b| a.ts < b.ts) {
        rows.sort_unstable_by_key(|row| (row.ts, row.rank()));
        rows.dedup_by(|later, kept| {
            let same = later.ts == kept.ts;
            if same {
                out.lost.push(as_row(kept));
                *kept = duplicate(*later);
            }
            same
        });
    }
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
    if series.last().is_none_or(|end| end.ts < first.ts) {
        out.touch(first.ts);
        out.touch(last.ts);
        series.append(rows);
        return;
    }
    contest(series, rows, out);
    insert(series, rows);
}

/// Lets each row that meets a reading of its instant win or lose; leaves the others in `rows`.
fn contest(series: &mut [Reading], rows: &mut Vec<Reading>, out: &mut Merged) {
    let mut at = rows.first().map_or(0, |row| first_at(series, row.ts));
    rows.retain(|row| {
        while series.get(at).is_some_and(|held| held.ts < row.ts) {
            at += 1;
        }
        let Some(held) = series.get_mut(at).filter(|held| held.ts == row.ts) else {
            out.touch(row.ts);
            return true;
        };
        if row.rank() > held.rank() {
            out.touch(row.ts);
            out.replaced.push(*held);
            out.lost.push(as_row(held));
            *held = duplicate(*row);
        } else {
            out.lost.push(as_row(row));
            if !held.flags.has(Flag::Duplicate) {
                out.replaced.push(*held);
                *held = duplicate(*held);
            }
        }
        false
    });
}

/// Puts rows of new instants into their places, from the back, each reading moved at most once.
fn insert(series: &mut Vec<Reading>, rows: &mut Vec<Reading>) {
    let mut old = series.len();
    series.extend_from_slice(rows);
    let mut free = series.len();
    while let Some(row) = rows.last() {
        free -= 1;
        if old > 0 && series[old - 1].ts > row.ts {
            old -= 1;
            series[free] = series[old];
        } else {
            series[free] = *row;
            rows.pop();
        }
    }
}

fn duplicate(winner: Reading) -> Reading {
    Reading { flags: winner.flags.with(Flag::Duplicate), ..winner }
}

fn as_row(loser: &Reading) -> Reading {
    Reading {
        kw: loser.own_kw(),
        flags: loser.flags.only(Flags::DECODED),
        standing: Standing::Unjudged,
        ..*loser
    }
}
