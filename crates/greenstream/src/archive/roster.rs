//! The meters of one day in the order of their names, and where to cut the day into files.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Rows at which a file is cut in two: about 3 MB at the field's usual density. Larger files make a
/// late reading dearer (it rewrites one file), smaller ones cost every reader an open and a footer. Two of them are in memory at once while a day is written.
pub(super) const FILE_ROWS_MAX: u64 = 800_000;

/// Collects meters and their rows, in any order.
#[derive(Default)]
pub(super) struct Roster {
    ids: FxHashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
    rows: Vec<u64>,
}

impl Roster {
    /// The day's number for this meter; the same name always gets the same.
    pub(super) fn id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        self.insert(Arc::from(name))
    }

    /// As [`Roster::id`], for a name that is shared already.
    pub(super) fn id_of(&mut self, name: &Arc<str>) -> u32 {
        match self.ids.get(name) {
            Some(id) => *id,
            None => self.insert(Arc::clone(name)),
        }
    }

    fn insert(&mut self, name: Arc<str>) -> u32 {
        let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.ids.insert(Arc::clone(&name), id);
        self.names.push(name);
        self.rows.push(0);
        id
    }

    /// Counts rows of a meter.
    pub(super) fn add_rows(&mut self, id: u32, rows: u64) {
        self.rows[id as usize] += rows;
    }

    /// The name behind a number.
    pub(super) fn name(&self, id: u32) -> &Arc<str> {
        &self.names[id as usize]
    }

    /// Sorts the meters by the bytes of their names.
    pub(super) fn rank(self) -> Ranking {
        let mut order: Vec<u32> = (0..).take(self.names.len()).collect();
        order.sort_unstable_by(|a, b| self.names[*a as usize].cmp(&self.names[*b as usize]));
        let mut rank_of = vec![0; order.len()];
        for (rank, id) in (0..).zip(&order) {
            rank_of[*id as usize] = rank;
        }
        let names = order.iter().map(|id| Arc::clone(&self.names[*id as usize])).collect();
        let rows = order.iter().map(|id| self.rows[*id as usize]).collect();
        Ranking { rank_of, names, rows }
    }
}

/// The meters of a day, sorted.
pub(super) struct Ranking {
    /// From a meter's number in the roster to its place by name.
    pub(super) rank_of: Vec<u32>,
    /// Names by rank.
    pub(super) names: Vec<Arc<str>>,
    /// Rows by rank, as counted before equal keys are merged.
    pub(super) rows: Vec<u64>,
}

impl Ranking {
    /// Cuts the day into ranges of ranks of at most [`FILE_ROWS_MAX`] rows and about equal size, where
    /// no range spans one of `borders` (ranks at which another file begins). A meter stands in one
    /// range only, so a meter with more rows than that makes a larger file.
    pub(super) fn cut(&self, borders: &[u32]) -> Vec<Range<u32>> {
        let end = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let mut borders: Vec<u32> = borders.iter().copied().filter(|at| *at > 0 && *at < end).collect();
        borders.push(end);
        borders.sort_unstable();
        let mut ranges = Vec::new();
        let mut start = 0;
        for border in borders {
            self.cut_evenly(start..border, &mut ranges);
            start = border;
        }
        ranges
    }

    fn cut_evenly(&self, range: Range<u32>, ranges: &mut Vec<Range<u32>>) {
        let rows = |range: &Range<u32>| &self.rows[range.start as usize..range.end as usize];
        let total: u64 = rows(&range).iter().sum();
        if total == 0 {
            return;
        }
        let target = total.div_ceil(total.div_ceil(FILE_ROWS_MAX));
        let (mut start, mut held) = (range.start, 0);
        for (rank, rows) in (range.start..).zip(rows(&range)) {
            if held > 0 && held + rows > target.min(FILE_ROWS_MAX) {
                ranges.push(start..rank);
                (start, held) = (rank, 0);
            }
            held += rows;
        }
        ranges.push(start..range.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(rows: &[(&str, u64)]) -> Ranking {
        let mut roster = Roster::default();
        for (name, rows) in rows {
            let id = roster.id(name);
            roster.add_rows(id, *rows);
        }
        roster.rank()
    }

    #[track_caller]
    fn check(rows: &[u64], borders: &[u32], expected: &[Range<u32>]) {
        let names: Vec<String> = (0..rows.len()).map(|i| format!("m{i:03}")).collect();
        let rows: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(rows.iter().copied()).collect();
        assert_eq!(ranking(&rows).cut(borders), expected);
    }

    #[test]
    fn meters_are_ranked_by_the_bytes_of_their_names() {
        let ranking = ranking(&[("b", 1), ("é", 2), ("a", 3), ("B", 4), ("b", 5)]);
        let names: Vec<&str> = ranking.names.iter().map(AsRef::as_ref).collect();
        assert_eq!(names, ["B", "a", "b", "é"]);
        assert_eq!(ranking.rows, [4, 3, 6, 2]);
        assert_eq!(ranking.rank_of, [2, 3, 1, 0]);
    }

    #[test]
    fn a_day_is_cut_where_a_file_would_grow_too_large() {
        const HALF: u64 = FILE_ROWS_MAX / 2;
        check(&[], &[], &[]);
        check(&[0, 0], &[], &[]);
        check(&[HALF, HALF], &[], std::slice::from_ref(&(0..2)));
        check(&[HALF, HALF + 1], &[], &[0..1, 1..2]);
        check(&[HALF, HALF, HALF, HALF, 1], &[], &[0..1, 1..2, 2..3, 3..5]);
        check(&[3 * FILE_ROWS_MAX, 1], &[], &[0..1, 1..2]);
    }

    #[test]
    fn no_file_spans_a_border() {
        check(&[1, 1, 1], &[1], &[0..1, 1..3]);
        check(&[1, 0, 1], &[1, 2, 2, 0, 9], &[0..1, 2..3]);
    }
}
