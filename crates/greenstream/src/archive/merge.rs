//! Brings rows into the order of a file, (meter, time), without comparing names: each row goes
//! straight to its meter's place, and a meter's own rows are sorted only where they came out of order.

use std::ops::Range;

use super::buffer::{FLAG_BITS, GONE};

/// Rows of readings, column by column.
#[derive(Default, Debug)]
pub(super) struct Columns {
    pub(super) ts: Vec<i64>,
    /// Kilowatts, NaN when missing.
    pub(super) kw: Vec<f64>,
    pub(super) flags: Vec<u16>,
    pub(super) upload: Vec<u32>,
    pub(super) row: Vec<u32>,
}

/// One row of [`Columns`].
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) ts: i64,
    pub(super) kw: f64,
    pub(super) flags: u16,
    pub(super) upload: u32,
    pub(super) row: u32,
}

impl Columns {
    /// Room for `rows`, all of them 0.
    fn zeroed(rows: usize) -> Columns {
        Columns {
            ts: vec![0; rows],
            kw: vec![0.0; rows],
            flags: vec![0; rows],
            upload: vec![0; rows],
            row: vec![0; rows],
        }
    }

    /// Adds a row at the end.
    pub(super) fn push(&mut self, row: Row) {
        self.ts.push(row.ts);
        self.kw.push(row.kw);
        self.flags.push(row.flags);
        self.upload.push(row.upload);
        self.row.push(row.row);
    }

    /// The row at `at`.
    pub(super) fn get(&self, at: usize) -> Row {
        Row {
            ts: self.ts[at],
            kw: self.kw[at],
            flags: self.flags[at],
            upload: self.upload[at],
            row: self.row[at],
        }
    }

    fn set(&mut self, at: usize, row: Row) {
        self.ts[at] = row.ts;
        self.kw[at] = row.kw;
        self.flags[at] = row.flags;
        self.upload[at] = row.upload;
        self.row[at] = row.row;
    }

    fn copy_within(&mut self, from: Range<usize>, to: usize) {
        self.ts.copy_within(from.clone(), to);
        self.kw.copy_within(from.clone(), to);
        self.flags.copy_within(from.clone(), to);
        self.upload.copy_within(from.clone(), to);
        self.row.copy_within(from, to);
    }

    fn truncate(&mut self, rows: usize) {
        self.ts.truncate(rows);
        self.kw.truncate(rows);
        self.flags.truncate(rows);
        self.upload.truncate(rows);
        self.row.truncate(rows);
    }

    /// Rows held.
    pub(super) fn len(&self) -> usize {
        self.ts.len()
    }
}

/// Takes the rows of a range of meters in the order in which they were committed, oldest first.
pub(super) struct Merge {
    /// For each meter of the range where its next row goes.
    next: Vec<usize>,
    columns: Columns,
}

impl Merge {
    /// `rows[i]` is how many rows the range's `i`th meter will get, exactly.
    pub(super) fn new(rows: &[u64]) -> Merge {
        let mut next = Vec::with_capacity(rows.len());
        let mut total = 0;
        for rows in rows {
            next.push(total);
            total += usize::try_from(*rows).unwrap_or(usize::MAX);
        }
        Merge { next, columns: Columns::zeroed(total) }
    }

    /// Puts the next row of the range's `meter`th meter.
    pub(super) fn put(&mut self, meter: u32, row: Row) {
        let next = &mut self.next[meter as usize];
        self.columns.set(*next, row);
        *next += 1;
    }

    /// The last state of each reading, without those that have gone.
    pub(super) fn finish(mut self) -> Sorted {
        let mut ends = self.next;
        let columns = &mut self.columns;
        let (mut start, mut written) = (0, 0);
        let mut scratch = Vec::new();
        for end in &mut ends {
            let rows = start..*end;
            start = *end;
            if is_final(columns, rows.clone()) {
                if written != rows.start {
                    columns.copy_within(rows.clone(), written);
                }
                written += rows.len();
            } else {
                written = settle(columns, rows, written, &mut scratch);
            }
            *end = written;
        }
        columns.truncate(written);
        Sorted { ends, columns: self.columns }
    }
}

/// Whether the rows of a meter are in time order, each instant once, and none has gone.
fn is_final(columns: &Columns, rows: Range<usize>) -> bool {
    columns.ts[rows.clone()].is_sorted_by(|a, b| a < b)
        && columns.flags[rows].iter().fold(0, |all, flags| all | flags) & !FLAG_BITS == 0
}

/// Sorts one meter's rows by time, keeps the last of each instant unless it has gone, and puts them at
/// `to` (at or before where they stand). Returns the end of what it put.
fn settle(columns: &mut Columns, rows: Range<usize>, to: usize, scratch: &mut Vec<Row>) -> usize {
    scratch.clear();
    scratch.extend(rows.map(|at| columns.get(at)));
    scratch.sort_by_key(|row| row.ts);
    let mut written = to;
    for (at, row) in scratch.iter().enumerate() {
        let is_last = scratch.get(at + 1).is_none_or(|next| next.ts != row.ts);
        if is_last && row.flags & GONE == 0 {
            columns.set(written, Row { flags: row.flags & FLAG_BITS, ..*row });
            written += 1;
        }
    }
    written
}

/// Rows in the order of a file.
pub(super) struct Sorted {
    /// For each meter of the range where its rows end; they begin where the one before it ends.
    pub(super) ends: Vec<usize>,
    /// The rows.
    pub(super) columns: Columns,
}

#[cfg(test)]
mod tests {
    use super::super::buffer::CHANGES;
    use super::*;

    fn row(ts: i64, upload: u32, flags: u16) -> Row {
        Row { ts, kw: f64::from(upload), flags, upload, row: upload }
    }

    #[track_caller]
    fn check(name: &str, rows: &[(u32, Row)], expected: &[&[(i64, u32)]]) {
        let mut counts = vec![0; expected.len()];
        for (meter, _) in rows {
            counts[*meter as usize] += 1;
        }
        let mut merge = Merge::new(&counts);
        for (meter, row) in rows {
            merge.put(*meter, *row);
        }
        let sorted = merge.finish();
        let mut start = 0;
        for (end, expected) in sorted.ends.iter().zip(expected) {
            let columns = &sorted.columns;
            let found: Vec<_> = (start..*end).map(|at| (columns.ts[at], columns.upload[at])).collect();
            assert_eq!(found, *expected, "{name}");
            start = *end;
        }
        assert_eq!(start, sorted.columns.len(), "{name}");
        assert!(sorted.columns.flags.iter().all(|flags| flags & !FLAG_BITS == 0), "{name}");
    }

    #[test]
    fn the_last_state_of_a_reading_stands() {
        check("no meter", &[], &[]);
        check("a meter without rows", &[], &[&[]]);
        check(
            "two meters whose rows alternate",
            &[(1, row(10, 1, 0)), (0, row(10, 1, 0)), (1, row(20, 2, 0)), (0, row(20, 2, 0))],
            &[&[(10, 1), (20, 2)], &[(10, 1), (20, 2)]],
        );
        check(
            "rows that came late",
            &[(0, row(30, 1, 0)), (0, row(10, 2, 0)), (0, row(20, 3, 0))],
            &[&[(10, 2), (20, 3), (30, 1)]],
        );
        check(
            "a reading that changed twice",
            &[(0, row(10, 1, 0)), (0, row(20, 1, 0)), (0, row(10, 2, CHANGES)), (0, row(10, 3, CHANGES))],
            &[&[(10, 3), (20, 1)]],
        );
        check(
            "a reading that has gone",
            &[(0, row(10, 1, 0)), (0, row(20, 1, 0)), (0, row(20, 1, GONE)), (1, row(1, 1, 0))],
            &[&[(10, 1)], &[(1, 1)]],
        );
        check(
            "a reading that went and came back",
            &[(0, row(10, 1, 0)), (0, row(10, 1, GONE)), (0, row(10, 2, 0))],
            &[&[(10, 2)]],
        );
        check(
            "the removal of what was never there",
            &[(0, row(10, 1, GONE)), (1, row(9, 1, 0))],
            &[&[], &[(9, 1)]],
        );
        check("a changed row that is in order", &[(0, row(10, 1, CHANGES))], &[&[(10, 1)]]);
    }
}
