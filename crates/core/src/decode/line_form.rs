//! Formats whose records are lines: each line is handed on whole, however the upload is cut.

use super::records::{CutLine, Cutter, Form, Records};
use super::{CONTENT_BYTES_MAX, Decoded, Refusal};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads the lines of one upload.
pub(crate) trait LineReader: Send {
    /// Takes the next line, of this number from 1.
    ///
    /// # Errors
    /// As soon as it is certain that nothing of the upload can be loaded.
    fn line(&mut self, line: &CutLine<'_>, number: u64) -> Result<(), Refusal>;

    /// What the lines have come to so far.
    fn records(&mut self) -> &mut Records;

    /// Ends the upload after so many lines.
    ///
    /// # Errors
    /// [`Refusal`] where nothing of it can be loaded.
    fn finish(self, lines: u64) -> Result<Decoded, Refusal>;
}

/// A format of lines, as bytes arrive.
pub(crate) struct LineForm<L> {
    cutter: Cutter,
    reader: L,
    lines: u64,
    bytes: u64,
}

impl<L: LineReader> LineForm<L> {
    pub(crate) fn new(reader: L) -> LineForm<L> {
        LineForm { cutter: Cutter::default(), reader, lines: 0, bytes: 0 }
    }
}

/// Hands a line on without the byte-order mark of the upload.
fn hand_on(reader: &mut impl LineReader, mut line: CutLine<'_>, number: u64) -> Result<(), Refusal> {
    if line.start == 0
        && let Some(text) = line.text.and_then(|text| text.strip_prefix(BYTE_ORDER_MARK))
    {
        let mark = BYTE_ORDER_MARK.len() as u64;
        reader.records().of_header(mark);
        line = CutLine { text: Some(text), start: mark, bytes: line.bytes - mark };
    }
    reader.line(&line, number)
}

impl<L: LineReader> Form for LineForm<L> {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.bytes += bytes.len() as u64;
        if self.bytes > CONTENT_BYTES_MAX {
            return Err(Refusal::TooLarge { limit: CONTENT_BYTES_MAX });
        }
        self.cutter.push(bytes, &mut |line| {
            self.lines += 1;
            hand_on(&mut self.reader, line, self.lines)
        })?;
        self.reader.records().check_size()
    }

    fn finish(self: Box<Self>) -> Result<Decoded, Refusal> {
        let LineForm { mut cutter, mut reader, mut lines, bytes: _ } = *self;
        cutter.finish(&mut |line| {
            lines += 1;
            hand_on(&mut reader, line, lines)
        })?;
        reader.finish(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::super::nem::Nem;
    use super::super::plan::ClockPlan;
    use super::*;
    use crate::Ts;

    #[test]
    fn an_upload_is_at_most_as_long_as_spans_can_count() {
        let nearly_full = || LineForm {
            bytes: CONTENT_BYTES_MAX - 2,
            ..LineForm::new(Nem::new(ClockPlan::new(None, Ts::MAX).unwrap()))
        };
        assert_eq!(nearly_full().push(b"\n\n"), Ok(()));
        assert_eq!(nearly_full().push(b"\n\n\n"), Err(Refusal::TooLarge { limit: CONTENT_BYTES_MAX }));
    }
}
