//! The specification, sentence by sentence and reading by reading: slow, naive, obviously right.

use super::HOUR;
use crate::rules::Span;
use crate::{DAY, Flag, Limits, Reading, Standing};

/// The readings as the rules must leave them, given the winning row of each instant, in order.
pub(super) fn judge(winners: &[Reading], limits: &Limits) -> Vec<Reading> {
    let model = Model { rows: winners, limits };
    (0..winners.len()).map(|i| model.reading(i)).collect()
}

/// The episodes of judged readings: the flagged ones, grouped by the measured reading of 0.01 kW
/// or more that comes next.
pub(super) fn spans(readings: &[Reading]) -> Vec<Span> {
    let end = |i: usize| {
        readings.iter().skip(i).find(|r| r.is_measured() && !r.is_near_zero()).map(|reading| reading.ts)
    };
    let flagged = (0..readings.len()).filter(|i| readings[*i].flags.has(Flag::PotentiallyFaulty));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for i in flagged {
        match groups.last_mut().filter(|group| end(group[0]) == end(i)) {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    let span = |group: Vec<usize>| Span {
        first_ts: readings[group[0]].ts,
        last_ts: readings[*group.last().unwrap()].ts,
        closed: end(group[0]).is_some(),
    };
    groups.into_iter().map(span).collect()
}

struct Model<'a> {
    rows: &'a [Reading],
    limits: &'a Limits,
}

impl Model<'_> {
    fn reading(&self, i: usize) -> Reading {
        let row = self.rows[i];
        let fill = if row.is_missing() { self.fill(i) } else { None };
        let flags = row
            .flags
            .set(Flag::ForwardFilled, fill.is_some())
            .set(Flag::PotentiallyFaulty, self.potentially_faulty(i));
        let kw = fill.map_or(row.own_kw(), |donor| self.rows[donor].kw);
        Reading { kw, flags, standing: self.standing(i), ..row }
    }

    fn mw(&self, i: usize) -> Option<i64> {
        self.rows[i].own_kw().map(|kw| kw.milliwatts())
    }

    fn standing(&self, i: usize) -> Standing {
        let row = &self.rows[i];
        let range = self.limits.at(row.ts);
        match row.own_kw() {
            _ if row.is_decided() => Standing::Accepted,
            None => Standing::Accepted,
            Some(kw) if kw < range.min => Standing::Negative,
            Some(kw) if kw > range.max => Standing::AboveLimit,
            Some(_) if self.outlier(i) => Standing::Outlier,
            Some(_) => Standing::Accepted,
        }
    }

    /// "a reading with a value inside its limits", or released or edited.
    fn measured(&self, i: usize) -> bool {
        let row = &self.rows[i];
        let range = self.limits.at(row.ts);
        row.own_kw().is_some_and(|kw| row.is_decided() || (range.min <= kw && kw <= range.max))
    }

    fn trusted(&self, i: usize) -> bool {
        self.measured(i) && self.standing(i) == Standing::Accepted
    }

    /// "(n·x − S1)² · (n − 1) > 9 · n · (n·S2 − S1²)" over the measured readings of (t − 24 h, t].
    fn outlier(&self, i: usize) -> bool {
        let t = self.rows[i].ts;
        let window = (0..=i).filter(|j| t.since(self.rows[*j].ts) < DAY && self.measured(*j));
        let values: Vec<i128> = window.filter_map(|j| self.mw(j)).map(i128::from).collect();
        let n = i128::try_from(values.len()).unwrap();
        let (s1, s2): (i128, i128) = (values.iter().sum(), values.iter().map(|x| x * x).sum());
        let x = values[values.len() - 1];
        (n * x - s1) * (n * x - s1) * (n - 1) > 9 * n * (n * s2 - s1 * s1)
    }

    /// The donor of a missing reading: "if n − g < 1 h and l − p < 1 h".
    fn fill(&self, i: usize) -> Option<usize> {
        let p = (0..i).rev().find(|j| self.trusted(*j))?;
        let n = (i..self.rows.len()).find(|j| self.trusted(*j))?;
        let g = p + 1;
        let l = (g..n).rev().find(|j| self.rows[*j].is_missing())?;
        let ts = |j: usize| self.rows[j].ts;
        (ts(n).since(ts(g)) < HOUR && ts(l).since(ts(p)) < HOUR).then_some(p)
    }

    fn near_zero(&self, i: usize) -> bool {
        self.mw(i).is_some_and(|mw| mw.abs() < 10_000)
    }

    fn potentially_faulty(&self, i: usize) -> bool {
        // What is not measured "takes the flag of the measured reading before it".
        let Some(last) = (0..=i).rev().find(|j| self.measured(*j)) else { return false };
        let run = (0..=last).rev().filter(|j| self.measured(*j)).take_while(|j| self.near_zero(*j));
        run.last().is_some_and(|first| self.rows[last].ts.since(self.rows[first].ts) > DAY)
    }
}
