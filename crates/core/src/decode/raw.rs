//! Back from a row to its line, without reading the whole upload.
//! Both ways must agree on which lines hold rows: [`RowLines`] says it to decode and here.

use super::encoding::Encoding;
use super::lines::split_line;
use super::{RowIndex, Span};

/// Which lines of a feed hold rows, and how many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowLines {
    /// What the upload's text is written in, where that is not UTF-8.
    pub encoding: Option<Encoding>,
    /// Rows of each such line, at least 1.
    pub(crate) per_line: u32,
    /// How lines begin that hold none.
    pub(crate) skip: Vec<Vec<u8>>,
}

impl RowLines {
    /// Whether the line at the start of `bytes` is passed over, whatever it holds.
    #[inline]
    pub(crate) fn skips(&self, bytes: &[u8]) -> bool {
        !self.skip.is_empty() && self.skip.iter().any(|start| bytes.starts_with(start))
    }
}

impl RowLines {
    /// Rows of each line that holds any, at least 1.
    #[must_use]
    pub fn per_line(&self) -> u32 {
        self.per_line
    }

    /// Whether a line (without its line end) holds rows: it is neither empty nor passed over.
    #[must_use]
    pub fn hold(&self, line: &[u8]) -> bool {
        !line.is_empty() && !self.skips(line)
    }
}

impl Default for RowLines {
    fn default() -> RowLines {
        RowLines { encoding: None, per_line: 1, skip: Vec::new() }
    }
}

impl RowIndex {
    /// Where to begin to read for the line of a row (from 1), in bytes from the start of the decoded
    /// content; none where there is no such row. [`raw_line`] takes what stands there.
    #[must_use]
    pub fn offset_of(&self, row_number: u32) -> Option<u64> {
        let entry = row_number.checked_sub(1)? / RowIndex::STEP;
        self.offsets.get(usize::try_from(entry).ok()?).copied()
    }

    /// Where the text of a row is, for an upload that has spans; none where there is no such row.
    #[must_use]
    pub fn span_of(&self, row_number: u32) -> Option<Span> {
        let after = self.spans.partition_point(|span| span.first_row <= row_number);
        self.spans.get(after.checked_sub(1)?).copied()
    }
}

impl Span {
    /// The text, without its line end, where `content` begins at the byte `from` of the decoded content.
    #[must_use]
    pub fn text<'c>(&self, content: &'c [u8], from: u64) -> Option<&'c [u8]> {
        let start = usize::try_from(self.start.checked_sub(from)?).ok()?;
        let text = content.get(start..start.checked_add(usize::try_from(self.len).ok()?)?)?;
        let Some(line) = text.strip_suffix(b"\n") else { return Some(text) };
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// The line of a row, without its line end: the same bytes as landed, whatever they are.
///
/// `content` begins at [`RowIndex::offset_of`] the row; `to_end` says that it goes to the end of the
/// upload. `lines` are the feed's ([`super::Feed::row_lines`]). None where `content` ends
/// before the line does: then read on. 64 KiB mostly do, 1,024 lines always.
#[must_use]
pub fn raw_line<'c>(content: &'c [u8], row_number: u32, lines: &RowLines, to_end: bool) -> Option<&'c [u8]> {
    let per_line = lines.per_line.max(1);
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
        if lines.hold(line) {
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
/// `sink`. `content` is all of the decoded content, `index` the upload's, `lines` the feed's.
/// Rows that the upload does not have are left out.
pub fn raw_lines<'c>(
    content: &'c [u8],
    index: &RowIndex,
    rows: &[u32],
    lines: &RowLines,
    sink: &mut dyn FnMut(u32, &'c [u8]),
) {
    if !index.spans.is_empty() {
        for row in rows {
            if let Some(text) = index.span_of(*row).and_then(|span| span.text(content, 0)) {
                sink(*row, text);
            }
        }
        return;
    }
    let place = |row: u32| row.saturating_sub(1) / RowIndex::STEP;
    for part in rows.chunk_by(|a, b| place(*a) == place(*b)) {
        let Some(first) = part.first() else { continue };
        let from = index.offset_of(*first).and_then(|offset| usize::try_from(offset).ok());
        if let Some(content) = from.and_then(|from| content.get(from..)) {
            raw_lines_from(content, part, lines, sink);
        }
    }
}

/// The same for rows of one entry of the index (those with one [`RowIndex::offset_of`]), where
/// `content` begins at that offset. Rows whose lines lie beyond its end are left out.
pub fn raw_lines_from<'c>(
    content: &'c [u8],
    rows: &[u32],
    lines: &RowLines,
    sink: &mut dyn FnMut(u32, &'c [u8]),
) {
    let per_line = lines.per_line.max(1);
    let Some(first) = rows.first() else { return };
    // the line that holds the first row of this entry of the index
    let mut line_number = first.saturating_sub(1) / RowIndex::STEP * RowIndex::STEP / per_line;
    let mut wanted = rows.iter().copied().peekable();
    let mut rest = content;
    while !rest.is_empty() && wanted.peek().is_some() {
        let (line, after) = split_line(rest);
        rest = after;
        if !lines.hold(line) {
            continue;
        }
        while let Some(row) = wanted.next_if(|row| (row - 1) / per_line == line_number) {
            sink(row, line);
        }
        line_number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_are_found_in_one_pass_as_they_are_one_by_one() {
        for per_line in [1_u32, 2, 3] {
            let lines: Vec<String> = (0..3_000).map(|n| format!("line {n}")).collect();
            let content = format!("header\n\n{}\n", lines.join("\n\n# line\n"));
            let offsets = (0..)
                .map(|k: u32| k * RowIndex::STEP / per_line)
                .take_while(|line| *line < 3_000)
                .map(|line| content.find(&format!("line {line}\n")).unwrap() as u64)
                .collect();
            let index = RowIndex { offsets, ..RowIndex::default() };
            let rows = [1, 2, 3, 1_024, 1_025, 1_026, 2_047, 2_900, 3_000 * per_line, 3_000 * per_line + 1];
            let mut found = Vec::new();
            let row_lines = RowLines { per_line, skip: vec![b"#".to_vec()], ..RowLines::default() };
            raw_lines(content.as_bytes(), &index, &rows, &row_lines, &mut |row, line| {
                found.push((row, line))
            });
            let expected: Vec<(u32, &[u8])> = rows
                .iter()
                .filter(|row| **row <= 3_000 * per_line)
                .map(|row| (*row, lines[((row - 1) / per_line) as usize].as_bytes()))
                .collect();
            assert_eq!(found, expected, "{per_line} rows a line");
            for (row, line) in expected {
                let from = usize::try_from(index.offset_of(row).unwrap()).unwrap();
                assert_eq!(raw_line(&content.as_bytes()[from..], row, &row_lines, true), Some(line));
            }
        }
    }

    #[test]
    fn a_line_is_told_once_its_end_is_there_or_the_uploads() {
        let lines = RowLines { per_line: 1, ..RowLines::default() };
        for (content, row, to_end, told) in [
            (&b"one\ntwo"[..], 1, false, Some(&b"one"[..])),
            (b"one\ntwo", 2, false, None),
            (b"one\ntwo", 2, true, Some(b"two")),
            (b"one\ntwo\n", 2, false, Some(b"two")),
            (b"one\ntwo\n", 3, true, None),
            (b"", 1, true, None),
        ] {
            assert_eq!(
                raw_line(content, row, &lines, to_end),
                told,
                "row {row} of {}",
                content.escape_ascii()
            );
        }
    }
}
