//! Uploads that are not lines of columns: records of their own shape, read piece by piece, each giving
//! as many rows as it says. What they share: the rows, the spans of their texts, every byte's account.

use super::chunk::Chunk;
use super::clock::{Clock, Moment};
use super::join;
use super::lines::LINE_BYTES_MAX;
use super::plan::ClockPlan;
use super::time::Stamp;
use super::{CONTENT_BYTES_MAX, Coverage, Decoded, Refusal, RowIndex, Span};
use crate::{Flags, Power, Reason};

/// Reads an upload of a format of its own.
pub(crate) trait Form: Send {
    /// Takes the next piece, of any length.
    ///
    /// # Errors
    /// As soon as it is certain that nothing of the upload can be loaded.
    fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal>;

    /// Ends the upload.
    ///
    /// # Errors
    /// [`Refusal`] where nothing of it can be loaded.
    fn finish(self: Box<Self>) -> Result<Decoded, Refusal>;
}

/// What a value came to: milliwatts (none where it is missing) and flags, or why it cannot be read.
pub(crate) type Value = Result<(Option<Power>, Flags), Reason>;

/// The rows of an upload as its records give them.
pub(crate) struct Records {
    chunk: Chunk,
    clock: Clock,
    plan: ClockPlan,
    spans: Vec<Span>,
    coverage: Coverage,
}

impl Records {
    pub(crate) fn new(plan: ClockPlan) -> Records {
        Records {
            chunk: Chunk::new(),
            clock: Clock::new(),
            plan,
            spans: Vec::new(),
            coverage: Coverage::default(),
        }
    }

    /// The rows that follow are those of the text at `start`, of `len` bytes.
    pub(crate) fn begin(&mut self, start: u64, len: usize) {
        let span = Span { first_row: self.rows() + 1, start, len: u32::try_from(len).unwrap_or(u32::MAX) };
        self.spans.push(span);
    }

    /// The text of the last rows goes on to `end`, whether they have been given or are still to come.
    pub(crate) fn extend(&mut self, end: u64) {
        if let Some(last) = self.spans.last_mut() {
            last.len = u32::try_from(end.saturating_sub(last.start)).unwrap_or(u32::MAX);
        }
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u32 {
        self.chunk.row_count
    }

    /// Timestamps name instants `micros` after the start of their rows' intervals.
    pub(crate) fn label(&mut self, micros: i64) {
        self.plan.label = micros;
    }

    /// The start of the interval that a timestamp names.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub(crate) fn moment(&mut self, stamp: Option<Stamp>) -> Result<Moment, Reason> {
        self.clock.moment(stamp, &self.plan)
    }

    /// Keeps or rejects the next row.
    pub(crate) fn row(&mut self, meter: &[u8], suffix: &str, stamp: Option<Stamp>, value: Value) {
        let moment = self.moment(stamp);
        self.row_at(meter, suffix, moment, value);
    }

    /// The same where it is known when the row is, or why not.
    pub(crate) fn row_at(
        &mut self,
        meter: &[u8],
        suffix: &str,
        moment: Result<Moment, Reason>,
        value: Value,
    ) {
        if self.make_room(1) {
            self.chunk.row(self.plan.latest, meter, suffix, moment, value);
        }
    }

    /// The place of the last row that was kept.
    pub(crate) fn last_kept(&self) -> Option<u32> {
        u32::try_from(self.chunk.rows.len().checked_sub(1)?).ok()
    }

    /// The row kept last takes its time from another: it is moved along with that.
    pub(crate) fn follows(&mut self, named: u32) {
        self.chunk.followers.extend(self.last_kept().map(|own| (named, own)));
    }

    /// Rejects the next rows, of which nothing can be read.
    pub(crate) fn malformed(&mut self, rows: u16) {
        if self.make_room(u32::from(rows)) {
            self.chunk.malformed_rows(u32::from(rows));
        }
    }

    fn make_room(&mut self, rows: u32) -> bool {
        self.chunk.too_large |= self.rows() > u32::MAX - rows;
        !self.chunk.too_large
    }

    /// Accounts for bytes of texts that hold rows.
    pub(crate) fn of_rows(&mut self, bytes: u64) {
        self.coverage.rows += bytes;
    }

    /// Accounts for bytes that say what the rows mean: headers and the like.
    pub(crate) fn of_header(&mut self, bytes: u64) {
        self.coverage.header += bytes;
    }

    /// Accounts for bytes that say nothing of rows.
    pub(crate) fn of_nothing(&mut self, bytes: u64) {
        self.coverage.skipped += bytes;
    }

    /// Bytes accounted for so far.
    pub(crate) fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// Whether there is more than one upload may hold.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] if so.
    pub(crate) fn check_size(&self) -> Result<(), Refusal> {
        let Coverage { header, rows, skipped } = self.coverage;
        if self.chunk.too_large || header + rows + skipped > CONTENT_BYTES_MAX {
            return Err(Refusal::TooLarge { limit: CONTENT_BYTES_MAX });
        }
        Ok(())
    }

    /// What it all comes to.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::FeedChanged`].
    pub(crate) fn finish(self, hint: &dyn Fn(Reason) -> String) -> Result<Decoded, Refusal> {
        self.check_size()?;
        let index = RowIndex { spans: self.spans, ..RowIndex::default() };
        let decoded = join::settle(self.chunk, &self.plan, hint)?;
        Ok(Decoded { coverage: self.coverage, index, ..decoded })
    }
}

/// Cuts an upload that arrives in pieces into its lines.
#[derive(Default)]
pub(crate) struct Cutter {
    /// The start of a line that is not whole yet; cut where it is too long.
    carry: Vec<u8>,
    /// Bytes of that line so far.
    carried: u64,
    /// Where it begins.
    start: u64,
}

/// One line, its line end included in `bytes` only.
pub(crate) struct CutLine<'l> {
    /// Without its line end; none where it is longer than a line may be.
    pub(crate) text: Option<&'l [u8]>,
    /// Where it begins.
    pub(crate) start: u64,
    /// Its length with its line end.
    pub(crate) bytes: u64,
}

impl Cutter {
    /// Hands each line that ends in `bytes` to `sink`.
    pub(crate) fn push<E>(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(CutLine<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            if self.carried == 0 {
                self.give(line, line.len() as u64, sink)?;
            } else {
                self.hold(line);
                self.give_held(sink)?;
            }
        }
        self.hold(rest);
        Ok(())
    }

    /// Hands over the last line where it lacks its line end.
    pub(crate) fn finish<E>(&mut self, sink: &mut impl FnMut(CutLine<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.carried > 0 { self.give_held(sink) } else { Ok(()) }
    }

    fn hold(&mut self, part: &[u8]) {
        let room = (LINE_BYTES_MAX + 2).saturating_sub(self.carry.len());
        self.carry.extend_from_slice(part.get(..room).unwrap_or(part));
        self.carried += part.len() as u64;
    }

    fn give_held<E>(&mut self, sink: &mut impl FnMut(CutLine<'_>) -> Result<(), E>) -> Result<(), E> {
        let (line, bytes) = (std::mem::take(&mut self.carry), std::mem::take(&mut self.carried));
        let given = self.give(&line, bytes, sink);
        self.carry = line;
        self.carry.clear();
        given
    }

    fn give<E>(
        &mut self,
        line: &[u8],
        bytes: u64,
        sink: &mut impl FnMut(CutLine<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        let text = (content.len() <= LINE_BYTES_MAX).then_some(content);
        let start = self.start;
        self.start += bytes;
        sink(CutLine { text, start, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ts;

    fn records() -> Records {
        Records::new(ClockPlan::new(None, Ts::MAX).unwrap())
    }

    #[test]
    fn records_have_as_many_bytes_as_spans_can_count_and_not_one_more() {
        for (more, expected) in [(0, Ok(())), (1, Err(Refusal::TooLarge { limit: CONTENT_BYTES_MAX }))] {
            let mut records = records();
            records.of_header(1);
            records.of_rows(2);
            records.of_nothing(CONTENT_BYTES_MAX - 3 + more);
            assert_eq!(records.check_size(), expected);
        }
    }

    #[test]
    fn records_have_as_many_rows_as_can_be_numbered_and_once_there_are_more_it_stays_so() {
        let mut records = records();
        records.chunk.row_count = u32::MAX - 2;
        assert!(records.make_room(2));
        assert_eq!(records.check_size(), Ok(()));
        assert!(!records.make_room(3));
        assert!(!records.make_room(1));
        assert_eq!(records.check_size(), Err(Refusal::TooLarge { limit: CONTENT_BYTES_MAX }));
    }

    #[test]
    fn lines_are_the_same_however_the_upload_is_cut() {
        let content = b"one\r\n\ntwo\nthree\rx\nfour";
        for size in 1..=content.len() {
            let (mut cutter, mut lines) = (Cutter::default(), Vec::new());
            let mut sink = |line: CutLine<'_>| {
                lines.push((line.text.unwrap().to_vec(), line.start, line.bytes));
                Ok::<(), ()>(())
            };
            for piece in content.chunks(size) {
                cutter.push(piece, &mut sink).unwrap();
            }
            cutter.finish(&mut sink).unwrap();
            let expected: [(&[u8], u64, u64); 5] =
                [(b"one", 0, 5), (b"", 5, 1), (b"two", 6, 4), (b"three\rx", 10, 8), (b"four", 18, 4)];
            assert!(lines.iter().map(|(t, s, b)| (t.as_slice(), *s, *b)).eq(expected), "pieces of {size}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_and_not_held() {
        let (mut cutter, mut lines) = (Cutter::default(), Vec::new());
        let mut sink = |line: CutLine<'_>| {
            lines.push((line.text.map(<[u8]>::len), line.bytes));
            Ok::<(), ()>(())
        };
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        for piece in [&long[1..], b"\r\n", &long, b"\n", &long, &long, b"\nend"] {
            cutter.push(piece, &mut sink).unwrap();
            assert!(cutter.carry.capacity() <= 2 * LINE_BYTES_MAX + 4);
        }
        cutter.finish(&mut sink).unwrap();
        let max = LINE_BYTES_MAX as u64;
        let expected = [(Some(LINE_BYTES_MAX), max + 2), (None, max + 2), (None, 2 * max + 3), (Some(3), 3)];
        assert_eq!(lines, expected);
    }
}
