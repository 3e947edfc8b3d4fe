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
