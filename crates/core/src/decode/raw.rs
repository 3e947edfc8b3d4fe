//! Back from a row to its line, without reading the whole upload.

use super::RowIndex;
use super::lines::split_line;

impl RowIndex {
    /// Where to begin to read for the line of a row (from 1), in bytes from the start of the decoded
    /// content; none where there is no such row. [`raw_line`] takes what stands there.
    #[must_use]
    pub fn offset_of(&self, row_number: u32) -> Option<u64> {
        let entry = row_number.checked_sub(1)? / RowIndex::STEP;
        self.offsets.get(usize::try_from(entry).ok()?).copied()
    }
}

/// The line of a row, without its line end: the same bytes as landed, whatever they are.
///
/// `content` begins at [`RowIndex::offset_of`] the row; `to_end` says that it goes to the end of the
/// upload. `rows_per_line` is the feed's ([`super::Feed::rows_per_line`]). None where `content` ends
/// before the line does: then read on. 64 KiB mostly do, 1,024 lines always.
#[must_use]
pub fn raw_line(content: &[u8], row_number: u32, rows_per_line: u32, to_end: bool) -> Option<&[u8]> {
    let per_line = rows_per_line.max(1);
    let row = row_number.checked_sub(1)?;
    let entry = row / RowIndex::STEP * RowIndex::STEP;
    let mut lines_before = row / per_line - entry / per_line;
    let mut rest = content;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        let has_end = rest.get(rest.len() - after.len() - 1) == Some(&b'\n');
        if !has_end && !to_end {
            return None;
        }
        if !line.is_empty() {
            match lines_before.checked_sub(1) {
                None => return Some(line),
                Some(less) => lines_before = less,
            }
        }
        rest = after;
    }
    None
}

/// The lines of many rows in one pass: hands each of `rows` (ascending, each once) with its line to
/// `sink`. `content` is all of the decoded content, `index` the upload's, `rows_per_line` the feed's.
/// Rows that the upload does not have are left out.
pub fn raw_lines<'c>(
    content: &'c [u8],
    index: &RowIndex,
    rows: &[u32],
    rows_per_line: u32,
    sink: &mut dyn FnMut(u32, &'c [u8]),
) {
    let per_line = rows_per_line.max(1);
    let place = |row: u32| row.saturating_sub(1) / RowIndex::STEP;
    for part in rows.chunk_by(|a, b| place(*a) == place(*b)) {
        let Some(first) = part.first() else { continue };
        let from = index.offset_of(*first).and_then(|offset| usize::try_from(offset).ok());
        let Some(mut rest) = from.and_then(|from| content.get(from..)) else { continue };
        // the line that holds the first row of this entry of the index
        let mut line_number = place(*first) * RowIndex::STEP / per_line;
        let mut wanted = part.iter().copied().peekable();
        while !rest.is_empty() && wanted.peek().is_some() {
            let (line, after) = split_line(rest);
            rest = after;
            if line.is_empty() {
                continue;
            }
            while let Some(row) = wanted.next_if(|row| (row - 1) / per_line == line_number) {
                sink(row, line);
            }
            line_number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_are_found_in_one_pass_as_they_are_one_by_one() {
        for per_line in [1_u32, 2, 3] {
            let lines: Vec<String> = (0..3_000).map(|n| format!("line {n}")).collect();
            let content = format!("header\n\n{}\n", lines.join("\n\n"));
            let offsets = (0..)
                .map(|k: u32| k * RowIndex::STEP / per_line)
                .take_while(|line| *line < 3_000)
                .map(|line| content.find(&format!("line {line}\n")).unwrap() as u64)
                .collect();
            let index = RowIndex { offsets };
            let rows = [1, 2, 3, 1_024, 1_025, 1_026, 2_047, 2_900, 3_000 * per_line, 3_000 * per_line + 1];
            let mut found = Vec::new();
            raw_lines(content.as_bytes(), &index, &rows, per_line, &mut |row, line| found.push((row, line)));
            let expected: Vec<(u32, &[u8])> = rows
                .iter()
                .filter(|row| **row <= 3_000 * per_line)
                .map(|row| (*row, lines[((row - 1) / per_line) as usize].as_bytes()))
                .collect();
            assert_eq!(found, expected, "{per_line} rows a line");
            for (row, line) in expected {
                let from = usize::try_from(index.offset_of(row).unwrap()).unwrap();
                assert_eq!(raw_line(&content.as_bytes()[from..], row, per_line, true), Some(line));
            }
        }
    }
}
