//! The start of an upload: byte-order mark, empty lines, header; and the layout that follows from it.

use std::sync::Arc;

use memchr::memchr;

use super::Refusal;
use super::chunk::Chunk;
use super::feed::Column;
use super::header::{Header, shown};
use super::lines::LINE_BYTES_MAX;
use super::plan::{Decoder, MeterPlan, Plan, UnitPlan, ZonePlan};
use super::sniff::sniff;
use super::unit::{Conversion, Units};

/// Where in the lines of one upload to find what. Decodes any number of chunks at once.
#[derive(Clone, Debug)]
pub struct Layout {
    pub(crate) plan: Arc<Plan>,
    /// Fields of each line.
    pub(crate) fields: usize,
    pub(crate) meter: MeterAt,
    pub(crate) timestamp: usize,
    /// Value columns from left to right, with what each appends to the meter's id.
    pub(crate) values: Vec<(usize, String)>,
    pub(crate) unit: UnitAt,
    /// Whether times without an offset are of a zone other than UTC.
    pub(crate) is_local: bool,
    /// Byte-order mark and header line.
    pub(crate) header_bytes: u64,
    /// Empty lines before the header.
    pub(crate) blank_bytes: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum MeterAt {
    Column(usize),
    Fixed(String),
}

#[derive(Clone, Debug)]
pub(crate) enum UnitAt {
    Column(usize, Units),
    Fixed(Conversion),
}

/// What has been seen of an upload before its header.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opening {
    begun: bool,
    mark_bytes: u64,
    blank_bytes: u64,
    blank_lines: u64,
}

/// What the opening of an upload led to.
pub(crate) enum Opened {
    /// The layout, and how many of the bytes given come before the first line of rows.
    Layout(Box<Layout>, usize),
    /// So many of the bytes given are done with; more are needed.
    NeedsMore(usize),
}

impl Decoder {
    /// Reads the start of an upload: `content` holds its first lines up to the header's end at
    /// least, or the whole upload.
    ///
    /// # Errors
    /// [`Refusal`] where nothing of the upload can be read.
    pub fn layout(&self, content: &[u8]) -> Result<Layout, Refusal> {
        match Opening::default().read(&self.plan, content, true)? {
            Opened::Layout(layout, _) => Ok(*layout),
            Opened::NeedsMore(_) => Err(Refusal::Empty),
        }
    }
}

impl Opening {
    /// Reads on in `bytes`; `at_end` says that nothing follows them.
    pub(crate) fn read(&mut self, plan: &Arc<Plan>, bytes: &[u8], at_end: bool) -> Result<Opened, Refusal> {
        let mut rest = bytes;
        if !self.begun {
            if bytes.len() < 3 && !at_end {
                return Ok(Opened::NeedsMore(0));
            }
            self.begun = true;
            if let Some(after) = rest.strip_prefix(b"\xef\xbb\xbf") {
                self.mark_bytes = 3;
                rest = after;
            }
        }
        while let Some(after) = rest.strip_prefix(b"\n").or_else(|| rest.strip_prefix(b"\r\n")) {
            self.blank_bytes += (rest.len() - after.len()) as u64;
            self.blank_lines += 1;
            rest = after;
        }
        let before = bytes.len() - rest.len();
        let end = memchr(b'\n', rest.get(..=LINE_BYTES_MAX).unwrap_or(rest));
        let line = match end {
            Some(at) => rest.get(..=at).unwrap_or(rest),
            None if rest.len() > LINE_BYTES_MAX => return Err(self.overlong(rest)),
            None if rest.is_empty() && at_end => return Err(Refusal::Empty),
            None if !at_end => return Ok(Opened::NeedsMore(before)),
            None => rest,
        };
        let layout = self.layout(plan, line)?;
        let done = if plan.header { before + line.len() } else { before };
        Ok(Opened::Layout(Box::new(layout), done))
    }

    fn overlong(&self, line: &[u8]) -> Refusal {
        let line = line.get(..LINE_BYTES_MAX).unwrap_or(line);
        if let Some(refusal) = sniff(line) {
            return refusal;
        }
        let hint = if line.contains(&0) {
            "it may be a binary file: send CSV text in UTF-8"
        } else if line.contains(&b'\r') {
            "lines that end in CR alone are not read: save with LF or CRLF line ends"
        } else {
            "send lines that end in LF or CRLF"
        };
        self.refuse(&format!("the first line {} is longer than 1 MiB", shown(line)), hint)
    }

    fn refuse(&self, problem: &str, hint: &str) -> Refusal {
        let line = self.blank_lines + 1;
        Refusal::Header { line, problem: problem.to_owned(), hint: hint.to_owned() }
    }

    /// Reads the first line that is not empty, with its line end.
    fn layout(&self, plan: &Arc<Plan>, first_line: &[u8]) -> Result<Layout, Refusal> {
        if let Some(refusal) = sniff(first_line) {
            return Err(refusal);
        }
        let mut line = first_line;
        if let Some(content) = first_line.strip_suffix(b"\n") {
            line = content.strip_suffix(b"\r").unwrap_or(content);
        }
        let header = if plan.header {
            Header::read(line, self.blank_lines + 1, plan.delimiter)?
        } else {
            Header::of_rows(line, self.blank_lines + 1, plan.delimiter)
        };
        let mut columns: Vec<&Column> = vec![&plan.timestamp];
        columns.extend(plan.values.iter().map(|(column, _)| column));
        if let MeterPlan::Column(column) = &plan.meter {
            columns.push(column);
        }
        if let UnitPlan::Column(column, _) = &plan.unit {
            columns.push(column);
        }
        let mut found = header.find_all(&columns)?.into_iter();
        let mut next = || found.next().unwrap_or(0);
        let timestamp = next();
        let mut values: Vec<_> = plan.values.iter().map(|(_, suffix)| (next(), suffix.clone())).collect();
        values.sort_unstable_by_key(|(index, _)| *index);
        if values.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other)) {
            let problem = format!("two values of the feed are the same column of the header {}", shown(line));
            return Err(self.refuse(&problem, "give each of `columns.values` a column of its own"));
        }
        Ok(Layout {
            plan: Arc::clone(plan),
            fields: header.len(),
            meter: match &plan.meter {
                MeterPlan::Column(_) => MeterAt::Column(next()),
                MeterPlan::Fixed(id) => MeterAt::Fixed(id.clone()),
            },
            timestamp,
            values,
            unit: match &plan.unit {
                UnitPlan::Column(_, units) => UnitAt::Column(next(), units.clone()),
                UnitPlan::Fixed(conversion) => UnitAt::Fixed(conversion.clone()),
            },
            is_local: matches!(plan.clock.zone, ZonePlan::Local(_)),
            header_bytes: self.mark_bytes + if plan.header { first_line.len() as u64 } else { 0 },
            blank_bytes: self.blank_bytes,
        })
    }
}

impl Layout {
    /// Where the lines that hold rows begin, in bytes from the start of the upload.
    #[must_use]
    pub const fn data_start(&self) -> u64 {
        self.header_bytes + self.blank_bytes
    }

    /// How many rows each line holds. At least 1.
    #[must_use]
    pub fn rows_per_line(&self) -> u32 {
        u32::try_from(self.values.len()).unwrap_or(u32::MAX)
    }

    /// Cuts the lines of an upload, all of which `content` holds, into at most `count` chunks of
    /// about equal size.
    #[must_use]
    pub fn chunks<'c>(&self, content: &'c [u8], count: usize) -> Vec<&'c [u8]> {
        let start = usize::try_from(self.data_start()).unwrap_or(usize::MAX);
        let mut rest = content.get(start..).unwrap_or(&[]);
        let mut chunks = Vec::with_capacity(count.max(1));
        for left in (1..=count.max(1)).rev() {
            let share = rest.len() / left;
            let cut = match rest.get(share..).and_then(|after| memchr(b'\n', after)) {
                Some(at) if left > 1 => share + at + 1,
                _ => rest.len(),
            };
            let (chunk, after) = rest.split_at(cut);
            if !chunk.is_empty() {
                chunks.push(chunk);
            }
            rest = after;
        }
        chunks
    }

    /// Decodes whole lines, on any thread and in any order; only the upload's last line may lack its
    /// line end.
    #[must_use]
    pub fn decode_chunk(&self, lines: &[u8]) -> Chunk {
        let mut chunk = Chunk::new();
        chunk.extend(self, lines);
        chunk
    }
}
