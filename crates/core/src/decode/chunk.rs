//! Lines to rows: the loop that every byte goes through.
//!
//! Blocks of plain lines are cut into fields all at once; a block that holds a quote, a lone CR, a
//! NUL or invalid text is read line by line. The result does not depend on where blocks end.

mod rich;

use self::rich::holds_rows;
use super::clock::{Clock, Moment};
use super::layout::{Layout, MeterAt, UnitAt};
use super::lines::{self, FieldEnds, Fields, LINE_BYTES_MAX, trim};
use super::meters::Meters;
use super::number;
use super::rejects::{Failure, Rejects, When};
use super::value::is_missing;
use super::{CONTENT_BYTES_MAX, Row};
use crate::{Flag, Flags, Power, Reason, Ts};

/// Some lines of an upload, decoded: rows, meters and offsets are counted from the chunk's start.
/// Only [`Layout::join`] can make sense of it.
pub struct Chunk {
    pub(crate) meters: Meters,
    pub(crate) rows: Vec<Row>,
    pub(crate) rejects: Rejects,
    /// Where each line that holds rows begins.
    pub(crate) line_starts: Vec<u32>,
    /// How long each is with its line end, where the layout wants spans.
    pub(crate) line_lens: Vec<u32>,
    /// Rows whose wall time stands for two instants: index into `rows`, and from the earlier
    /// instant (which the row has) to the later in microseconds.
    pub(crate) folds: Vec<(u32, i64)>,
    /// Rows whose time is told from another row's: index into `rows` of that one, and their own.
    pub(crate) followers: Vec<(u32, u32)>,
    /// Row numbers, first and last, of stretches of lines with an offset of their own in a local zone.
    pub(crate) with_offset: Vec<(u32, u32)>,
    pub(crate) row_count: u32,
    pub(crate) bytes: u64,
    pub(crate) skipped: u64,
    /// More bytes or rows than one upload may have; nothing of them is kept.
    pub(crate) too_large: bool,
    /// Of the line that is being read, as rows have it.
    revision: u32,
    clock: Clock,
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    ends: FieldEnds,
    fields: Fields,
    meter: Vec<u8>,
    /// A meter's id of several columns, a timestamp of two, numbers in their plain form, or multiplied.
    base: Vec<u8>,
    time: Vec<u8>,
    number: Vec<u8>,
    other: Vec<u8>,
    product: Vec<u8>,
}

/// The fields of one line, trimmed.
trait Line {
    fn field(&self, index: usize) -> &[u8];
}

impl Line for Fields {
    fn field(&self, index: usize) -> &[u8] {
        self.get(index)
    }
}

/// A line of a plain block. `ends` are its field ends, doubled.
struct Plain<'b> {
    block: &'b [u8],
    start: usize,
    ends: &'b [u32],
}

impl Line for Plain<'_> {
    #[inline]
    fn field(&self, index: usize) -> &[u8] {
        let start = match index.checked_sub(1) {
            None => self.start,
            Some(before) => self.ends.get(before).map_or(0, |end| (end >> 1) as usize + 1),
        };
        let end = self.ends.get(index).copied().unwrap_or(0);
        let mut text = self.block.get(start..(end >> 1) as usize).unwrap_or(&[]);
        if end & 1 != 0 {
            text = text.strip_suffix(b"\r").unwrap_or(text);
        }
        trim(text)
    }
}

impl Chunk {
    pub(crate) fn new() -> Chunk {
        Chunk {
            meters: Meters::new(),
            rows: Vec::new(),
            rejects: Rejects::default(),
            line_starts: Vec::new(),
            line_lens: Vec::new(),
            folds: Vec::new(),
            followers: Vec::new(),
            with_offset: Vec::new(),
            row_count: 0,
            bytes: 0,
            skipped: 0,
            too_large: false,
            revision: 0,
            clock: Clock::new(),
            scratch: Scratch::default(),
        }
    }

    /// Decodes further whole lines; only the last of all may lack its line end.
    pub(crate) fn extend(&mut self, layout: &Layout, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (block, after) = lines::split_block(rest);
            self.too_large |= self.bytes + block.len() as u64 > CONTENT_BYTES_MAX;
            if self.too_large {
                return;
            }
            if block.len() <= LINE_BYTES_MAX && lines::is_plain(block) {
                self.plain_lines(layout, block);
            } else {
                self.lines_one_by_one(layout, block);
            }
            rest = after;
            self.make_room(rest.len());
        }
    }

    /// Reserves what `bytes` more bytes will take if they are like those before.
    fn make_room(&mut self, bytes: usize) {
        let seen = usize::try_from(self.bytes).unwrap_or(usize::MAX).max(1);
        let more = |count: usize| bytes / seen * count + bytes % seen * count / seen;
        let rows = more(self.rows.len());
        if self.rows.capacity() - self.rows.len() < rows {
            self.rows.reserve(rows + rows / 64);
            self.line_starts.reserve(more(self.line_starts.len()));
        }
    }

    /// Counts bytes of a line that holds no rows.
    pub(crate) fn pass_over(&mut self, bytes: u64) {
        self.skipped += bytes;
        self.bytes += bytes;
        self.too_large |= self.bytes > CONTENT_BYTES_MAX;
    }

    /// Counts a line that is too long to be held, `bytes` with its line end.
    pub(crate) fn overlong(&mut self, layout: &Layout, bytes: u64) {
        self.begin_line(layout, bytes);
        self.malformed(layout);
        self.bytes += bytes;
        self.too_large |= self.bytes > CONTENT_BYTES_MAX;
    }

    fn lines_one_by_one(&mut self, layout: &Layout, block: &[u8]) {
        let mut rest = block;
        while !rest.is_empty() {
            let (content, after) = lines::split_line(rest);
            let line = rest.get(..rest.len() - after.len()).unwrap_or(rest);
            if layout.plan.lines.skips(line) {
                self.pass_over(line.len() as u64);
            } else if line.strip_suffix(b"\n").unwrap_or(line).len() > LINE_BYTES_MAX {
                self.overlong(layout, line.len() as u64);
            } else if lines::is_plain(line) {
                self.plain_lines(layout, line);
            } else {
                let mut fields = std::mem::take(&mut self.scratch.fields);
                if !fields.split(content, layout.plan.delimiter) || fields.len() != layout.fields {
                    self.begin_line(layout, line.len() as u64);
                    self.malformed(layout);
                } else if holds_rows(layout, &fields) {
                    self.begin_line(layout, line.len() as u64);
                    self.line(layout, &fields);
                } else {
                    self.skipped += line.len() as u64;
                }
                self.scratch.fields = fields;
                self.bytes += line.len() as u64;
            }
            rest = after;
        }
    }

    fn plain_lines(&mut self, layout: &Layout, block: &[u8]) {
        let mut all = std::mem::take(&mut self.scratch.ends);
        let mut rest = all.find(block, layout.plan.delimiter);
        let mut start = 0;
        while let Some(first_end) = rest.first() {
            let is_empty = first_end & 1 != 0
                && matches!(block.get(start..(first_end >> 1) as usize), Some([] | [b'\r']))
                || layout.plan.lines.skips(block.get(start..).unwrap_or(&[]));
            let (ends, after) = match rest.split_at_checked(layout.fields) {
                Some((ends, after)) if ends_one_line(ends) => (ends, after),
                _ => (&rest[..0], rest),
            };
            if is_empty || ends.is_empty() {
                let len = 1 + rest.iter().position(|end| end & 1 != 0).unwrap_or(rest.len());
                let end = rest.get(len - 1).map_or(block.len(), |end| (end >> 1) as usize + 1);
                let len_bytes = end.min(block.len()) - start;
                if is_empty {
                    self.skipped += len_bytes as u64;
                } else {
                    self.begin_line(layout, len_bytes as u64);
                    self.malformed(layout);
                }
                self.bytes += len_bytes as u64;
                start += len_bytes;
                rest = rest.get(len..).unwrap_or(&[]);
                continue;
            }
            let end = ends.last().map_or(block.len(), |end| (end >> 1) as usize + 1).min(block.len());
            let line = Plain { block, start, ends };
            if holds_rows(layout, &line) {
                self.begin_line(layout, (end - start) as u64);
                self.line(layout, &line);
            } else {
                self.skipped += (end - start) as u64;
            }
            self.bytes += (end - start) as u64;
            start = end;
            rest = after;
        }
        self.scratch.ends = all;
    }

    /// Begins a line that holds rows, of so many bytes with its line end.
    fn begin_line(&mut self, layout: &Layout, bytes: u64) {
        self.line_starts.push(u32::try_from(self.bytes).unwrap_or(u32::MAX));
        if layout.has_spans() {
            self.line_lens.push(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
        if self.row_count > u32::MAX - layout.rows_per_line() {
            self.too_large = true;
            self.row_count = 0;
        }
    }

    #[cold]
    fn malformed(&mut self, layout: &Layout) {
        self.malformed_rows(layout.rows_per_line());
    }

    /// Rejects the next rows, of which nothing can be read.
    pub(crate) fn malformed_rows(&mut self, rows: u32) {
        self.rejects.malformed(self.row_count + 1, rows);
        self.row_count += rows;
    }

    #[inline]
    fn line(&mut self, layout: &Layout, line: &impl Line) {
        if let Some(rich) = &layout.rich {
            return self.rich_line(layout, rich, line);
        }
        let moment = self.clock.read(line.field(layout.timestamp), &layout.plan.clock);
        if layout.is_local && moment.is_ok_and(|moment| !moment.is_wall) {
            self.note_offset(layout.rows_per_line());
        }
        let base = match &layout.meter {
            MeterAt::Column(index) => line.field(*index),
            MeterAt::Fixed(id) => id.as_bytes(),
        };
        for (index, suffix) in &layout.values {
            let value = read_value(layout, line, line.field(*index));
            self.row(layout.plan.clock.latest, base, suffix, moment, value);
        }
    }

    /// Keeps or rejects the next row.
    #[inline]
    pub(crate) fn row(
        &mut self,
        latest: Ts,
        base: &[u8],
        suffix: &str,
        moment: Result<Moment, Reason>,
        value: Result<(Option<Power>, Flags), Reason>,
    ) {
        self.row_count += 1;
        if let (Ok(moment), Ok((kw, flags))) = (moment, value)
            && moment.ts <= latest
            && let Some(meter) = self.intern(base, suffix)
        {
            if moment.shift != 0 {
                self.folds.push((u32::try_from(self.rows.len()).unwrap_or(u32::MAX), moment.shift));
            }
            let flags = Flags::from_bits(moment.flags.bits() | flags.bits());
            let revision = self.revision;
            self.rows.push(Row { meter, row_number: self.row_count, ts: moment.ts, kw, flags, revision });
        } else {
            self.reject(latest, base, suffix, moment, value.err());
        }
    }

    #[inline]
    fn intern(&mut self, base: &[u8], suffix: &str) -> Option<u32> {
        if suffix.is_empty() {
            return self.meters.intern(base);
        }
        self.scratch.join_meter(base, suffix);
        if base.is_empty() { None } else { self.meters.intern(&self.scratch.meter) }
    }

    /// Logs a row with the first of its failures.
    #[cold]
    fn reject(
        &mut self,
        latest: Ts,
        base: &[u8],
        suffix: &str,
        moment: Result<Moment, Reason>,
        value: Option<Reason>,
    ) {
        self.scratch.join_meter(base, suffix);
        let meter = self.scratch.meter.as_slice();
        let is_valid = !base.is_empty() && std::str::from_utf8(meter).is_ok_and(super::meter_id::is_meter_id);
        let in_future = moment.is_ok_and(|moment| moment.ts > latest);
        let reason = match moment {
            _ if !is_valid => Reason::MeterIdInvalid,
            Err(reason) => reason,
            Ok(_) if in_future => Reason::TimestampInFuture,
            Ok(_) => value.unwrap_or(Reason::ValueInvalid),
        };
        // whose clock it was is unknown without a meter, so of two instants none is shown
        let when = match moment {
            Err(_) => When::Unknown,
            Ok(moment) if !is_valid && moment.shift != 0 => When::Unknown,
            Ok(moment) if !is_valid || !moment.is_wall => When::Instant,
            Ok(moment) if moment.shift != 0 => When::Twice,
            Ok(_) => When::Wall,
        };
        let (ts, shift) = moment.map_or((Ts::MIN, 0), |moment| (moment.ts, moment.shift));
        let meter = if base.is_empty() { &[] } else { meter };
        self.rejects.push(&Failure { row_number: self.row_count, meter, when, ts, shift, reason });
    }

    /// Notes that the rows of this line do not go by the local clock.
    fn note_offset(&mut self, rows: u32) {
        let (first, last) = (self.row_count + 1, self.row_count + rows);
        match self.with_offset.last_mut() {
            Some(run) if run.1 + 1 == first => run.1 = last,
            _ => self.with_offset.push((first, last)),
        }
    }
}

impl Scratch {
    fn join_meter(&mut self, base: &[u8], suffix: &str) {
        self.meter.clear();
        self.meter.extend_from_slice(base);
        self.meter.extend_from_slice(suffix.as_bytes());
    }
}

/// Whether the last of `ends`, and no other, ends a line.
#[inline]
fn ends_one_line(ends: &[u32]) -> bool {
    match ends {
        [others @ .., last] => others.iter().fold(0, |any, end| any | end) & 1 == 0 && last & 1 != 0,
        [] => false,
    }
}

/// The value in milliwatts (none where it is missing) with its flags, or why it cannot be read.
#[inline]
fn read_value(layout: &Layout, line: &impl Line, text: &[u8]) -> Result<(Option<Power>, Flags), Reason> {
    if is_missing(text, &layout.plan.missing) {
        return Ok((None, Flags::NONE.with(Flag::MissingValue)));
    }
    convert(layout, line, text)
}

/// The value of a number in its plain form.
#[inline]
fn convert(layout: &Layout, line: &impl Line, text: &[u8]) -> Result<(Option<Power>, Flags), Reason> {
    let conversion = match &layout.unit {
        UnitAt::Fixed(conversion) => conversion,
        UnitAt::Column(index, units) => match units.find(line.field(*index)) {
            Some(conversion) => conversion,
            None if number::is_number(text) => return Err(Reason::UnitUnknown),
            None => return Err(Reason::ValueInvalid),
        },
    };
    match number::milliwatts(text, &conversion.scale) {
        Some(mw) => Ok((Some(Power::from_milliwatts(mw)), conversion.flags)),
        None => Err(Reason::ValueInvalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ts;
    use crate::decode::{Feed, Given};

    const HEADER: &[u8] = b"meter_id,timestamp,energy_value,energy_unit\n";
    const LINE: &[u8] = b"M,2026-03-02T00:00:00Z,1,kW\n";

    fn layout() -> Layout {
        let given = Given { time_zone: None, name: "a.csv", landed_at: Ts::MAX };
        Feed::default_feed().compile(&given).unwrap().layout(HEADER).unwrap()
    }

    /// A chunk that may take so many bytes more.
    fn with_room(bytes: u64) -> Chunk {
        Chunk { bytes: CONTENT_BYTES_MAX - bytes, ..Chunk::new() }
    }

    #[test]
    fn a_chunk_takes_as_many_bytes_as_spans_can_count_and_not_one_more() {
        let (layout, len) = (layout(), LINE.len() as u64);
        for (room, too_large) in [(len, false), (len - 1, true)] {
            let (mut read, mut passed, mut long) = (with_room(room), with_room(room), with_room(room));
            read.extend(&layout, LINE);
            passed.pass_over(len);
            long.overlong(&layout, len);
            assert_eq!([read.too_large, passed.too_large, long.too_large], [too_large; 3], "room for {room}");
        }
    }

    #[test]
    fn a_chunk_that_was_too_large_stays_so() {
        let mut chunk = Chunk { too_large: true, ..Chunk::new() };
        chunk.pass_over(1);
        chunk.overlong(&layout(), 1);
        chunk.extend(&layout(), LINE);
        assert!(chunk.too_large);
        assert_eq!(chunk.rows.len(), 0);
    }

    #[test]
    fn chunks_come_to_as_many_bytes_as_spans_can_count_and_not_one_more() {
        let layout = layout();
        assert!(layout.join(vec![with_room(layout.data_start())]).is_ok());
        assert!(layout.join(vec![with_room(layout.data_start() - 1)]).is_err());
        let chunk = Chunk { too_large: true, ..Chunk::new() };
        assert!(layout.join(vec![Chunk::new(), chunk]).is_err());
    }

    #[test]
    fn chunks_hold_as_many_rows_as_can_be_numbered_and_not_one_more() {
        let text = "name='f'\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\n\
                    values=[{column='a',meter_suffix='-a'},{column='b',meter_suffix='-b'}]";
        let feed: Feed = toml::from_str(text).unwrap();
        let given = Given { time_zone: None, name: "", landed_at: Ts::MAX };
        let layout = feed.compile(&given).unwrap().layout(b"m,t,a,b\n").unwrap();
        for (rows, too_large) in [(3, true), (4, false), (5, false), (u32::MAX / 2, false)] {
            let mut chunk = Chunk { row_count: u32::MAX - rows, ..Chunk::new() };
            chunk.extend(&layout, b"M,1772415000,1,2\nM,1772415000,1,2\n");
            assert_eq!(chunk.too_large, too_large, "room for {rows}");
        }
        let of = |row_count| Chunk { row_count, ..Chunk::new() };
        assert!(layout.join(vec![of(u32::MAX - 2), of(2)]).is_ok());
        assert!(layout.join(vec![of(u32::MAX - 2), of(3)]).is_err());
        assert!(layout.join(vec![of(u32::MAX - 2), of(u32::MAX)]).is_err());
    }
}
