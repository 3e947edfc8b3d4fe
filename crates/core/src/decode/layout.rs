//! The start of an upload: byte-order mark, empty lines, header; and the layout that follows from it.

use std::sync::Arc;

use memchr::memchr;

use super::Refusal;
use super::chunk::Chunk;
use super::feed::Column;
use super::header::{Header, shown};
use super::lines::LINE_BYTES_MAX;
use super::numeral::Numerals;
use super::plan::{Decoder, Kind, MeterPlan, Plan, RichPlan, UnitPlan, ZonePlan};
use super::raw::RowLines;
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
    /// What plain lines have no use for.
    pub(crate) rich: Option<Rich>,
    /// Whether times without an offset are of a zone other than UTC.
    pub(crate) is_local: bool,
    /// Byte-order mark and header line.
    pub(crate) header_bytes: u64,
    /// Empty lines before the header.
    pub(crate) blank_bytes: u64,
}

/// Where to find what of lines that are more than a column for each thing.
#[derive(Clone, Debug)]
pub(crate) struct Rich {
    pub(crate) time: Option<usize>,
    pub(crate) slot: Option<usize>,
    pub(crate) meter_parts: Vec<usize>,
    /// What is added to each of the layout's values, in their order.
    pub(crate) plus: Vec<Vec<usize>>,
    pub(crate) factor: Option<usize>,
    pub(crate) revision: Option<usize>,
    pub(crate) offset: Option<usize>,
    /// The column that tells summer, and what it holds then.
    pub(crate) season: Option<(usize, Vec<String>)>,
    /// What the columns of a line that holds rows hold.
    pub(crate) only: Vec<(usize, Vec<String>)>,
    /// From one value of a line to the next in microseconds of wall time; 0 where all are of one time.
    pub(crate) step: i64,
    /// From one slot to the next in microseconds of wall time.
    pub(crate) slot_step: i64,
    pub(crate) numerals: Numerals,
    pub(crate) guarded: bool,
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
    /// Byte-order mark and preamble.
    mark_bytes: u64,
    /// Lines of the preamble that have been passed.
    preamble_lines: u32,
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
    /// Reads the start of an upload of lines of columns: `content` holds its first lines up to the header's end at
    /// least, or the whole upload.
    ///
    /// # Errors
    /// [`Refusal`] where nothing of the upload can be read.
    pub fn layout(&self, content: &[u8]) -> Result<Layout, Refusal> {
        let Kind::Lines(plan) = &self.kind else {
            let problem = "the feed's format has no lines of columns".to_owned();
            return Err(Refusal::NotText { problem, hint: "read it as a stream".to_owned() });
        };
        match Opening::default().read(plan, content, true)? {
            Opened::Layout(layout, _) => Ok(*layout),
            Opened::NeedsMore(_) => Err(Refusal::Empty),
        }
    }

    /// Whether an upload that begins with `head` is what the feed says.
    pub(crate) fn fits(&self, head: &[u8]) -> bool {
        match &self.kind {
            Kind::Lines(_) => self.layout(head).is_ok(),
            Kind::Form(form) => form.fits(head),
        }
    }
}

impl Opening {
    /// Reads on in `bytes`; `at_end` says that nothing follows them.
    pub(crate) fn read(&mut self, plan: &Arc<Plan>, bytes: &[u8], at_end: bool) -> Result<Opened, Refusal> {
        let mut rest = bytes;
        if !self.begun {
            self.begun = true;
            if let Some(after) = rest.strip_prefix(b"\xef\xbb\xbf") {
                self.mark_bytes = 3;
                rest = after;
            }
        }
        while self.preamble_lines < plan.preamble {
            let Some(end) = memchr(b'\n', rest.get(..=LINE_BYTES_MAX).unwrap_or(rest)) else {
                if rest.len() > LINE_BYTES_MAX {
                    return Err(self.overlong(rest));
                }
                let done = bytes.len() - rest.len();
                return if at_end { Err(Refusal::Empty) } else { Ok(Opened::NeedsMore(done)) };
            };
            self.preamble_lines += 1;
            self.mark_bytes += end as u64 + 1;
            rest = rest.get(end + 1..).unwrap_or(&[]);
        }
        loop {
            if let Some(after) = rest.strip_prefix(b"\n").or_else(|| rest.strip_prefix(b"\r\n")) {
                self.blank_bytes += (rest.len() - after.len()) as u64;
                self.blank_lines += 1;
                rest = after;
            } else if plan.lines.skips(rest)
                && let Some(end) = memchr(b'\n', rest.get(..=LINE_BYTES_MAX).unwrap_or(rest))
            {
                self.blank_bytes += end as u64 + 1;
                self.blank_lines += 1;
                rest = rest.get(end + 1..).unwrap_or(&[]);
            } else {
                break;
            }
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
        let line = self.line_number();
        Refusal::Header { line, problem: problem.to_owned(), hint: hint.to_owned() }
    }

    /// Of the header, from 1.
    fn line_number(&self) -> u64 {
        u64::from(self.preamble_lines) + self.blank_lines + 1
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
            Header::read(line, self.line_number(), plan.delimiter)?
        } else {
            Header::of_rows(line, self.line_number(), plan.delimiter)
        };
        let mut columns: Vec<&Column> = vec![&plan.timestamp];
        columns.extend(plan.values.iter().map(|(column, _)| column));
        if let MeterPlan::Column(column) = &plan.meter {
            columns.push(column);
        }
        if let UnitPlan::Column(column, _) = &plan.unit {
            columns.push(column);
        }
        if let Some(rich) = &plan.rich {
            columns.extend(rich.columns());
        }
        let mut found = header.find_all(&columns)?.into_iter();
        let mut next = || found.next().unwrap_or(0);
        let timestamp = next();
        let places: Vec<_> = plan.values.iter().map(|(_, suffix)| (next(), suffix.clone())).collect();
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_unstable_by_key(|at| places.get(*at).map(|(index, _)| *index));
        let mut values: Vec<_> = order.iter().filter_map(|at| places.get(*at).cloned()).collect();
        if values.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other)) {
            let problem = format!("two values of the feed are the same column of the header {}", shown(line));
            return Err(self.refuse(&problem, "give each of `columns.values` a column of its own"));
        }
        let meter = match &plan.meter {
            MeterPlan::Column(_) => MeterAt::Column(next()),
            MeterPlan::Fixed(id) => MeterAt::Fixed(id.clone()),
        };
        let unit = match &plan.unit {
            UnitPlan::Column(_, units) => UnitAt::Column(next(), units.clone()),
            UnitPlan::Fixed(conversion) => UnitAt::Fixed(conversion.clone()),
        };
        let rich = plan.rich.as_ref().map(|rich| {
            let (found, first) = Rich::new(rich, &order, &mut next);
            if let Some((first, count)) = first {
                values = (first..first + count).map(|index| (index, String::new())).collect();
            }
            found
        });
        if let Some((last, _)) = values.last().filter(|(last, _)| *last >= header.len()) {
            let problem =
                format!("the first line {} has {} columns, not {}", shown(line), header.len(), last + 1);
            return Err(self.refuse(&problem, "see `columns.slots`: its first column and how many follow"));
        }
        Ok(Layout {
            plan: Arc::clone(plan),
            fields: header.len(),
            meter,
            timestamp,
            values,
            unit,
            rich,
            is_local: matches!(plan.clock.zone, ZonePlan::Local(_)),
            header_bytes: self.mark_bytes + if plan.header { first_line.len() as u64 } else { 0 },
            blank_bytes: self.blank_bytes,
        })
    }
}

impl RichPlan {
    /// Its columns, in the order in which [`Rich::new`] takes their places.
    fn columns(&self) -> impl Iterator<Item = &Column> {
        let whose = self.time.iter().chain(&self.slot).chain(&self.meter_parts);
        let told = self
            .factor
            .iter()
            .chain(&self.revision)
            .chain(&self.offset)
            .chain(self.season.iter().map(|(column, _)| column));
        let told = told.chain(self.only.iter().map(|(column, _)| column));
        whose.chain(self.plus.iter().flatten()).chain(self.slots.iter().map(|(first, _)| first)).chain(told)
    }
}

impl Rich {
    /// Takes the places of a plan's columns; `order` is that of the values from left to right. Also
    /// the first slot's column and how many there are.
    fn new(
        plan: &RichPlan,
        order: &[usize],
        next: &mut dyn FnMut() -> usize,
    ) -> (Rich, Option<(usize, usize)>) {
        let time = plan.time.as_ref().map(|_| next());
        let slot = plan.slot.as_ref().map(|_| next());
        let meter_parts = plan.meter_parts.iter().map(|_| next()).collect();
        let plus: Vec<Vec<usize>> =
            plan.plus.iter().map(|plus| plus.iter().map(|_| next()).collect()).collect();
        let slots = plan.slots.as_ref().map(|(_, count)| (next(), *count));
        let factor = plan.factor.as_ref().map(|_| next());
        let revision = plan.revision.as_ref().map(|_| next());
        let offset = plan.offset.as_ref().map(|_| next());
        let season = plan.season.as_ref().map(|(_, summer)| (next(), summer.clone()));
        let only = plan.only.iter().map(|(_, texts)| (next(), texts.clone())).collect();
        let rich = Rich {
            factor,
            revision,
            offset,
            season,
            only,
            time,
            slot,
            meter_parts,
            plus: order.iter().map(|at| plus.get(*at).cloned().unwrap_or_default()).collect(),
            step: if slots.is_some() { plan.step } else { 0 },
            slot_step: plan.step,
            numerals: plan.numerals,
            guarded: plan.guarded,
        };
        (rich, slots)
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

    /// Whether the texts of rows are found by spans: a column decides which lines hold any.
    pub(crate) fn has_spans(&self) -> bool {
        self.rich.as_ref().is_some_and(|rich| !rich.only.is_empty())
    }

    /// Which lines hold rows.
    #[must_use]
    pub fn row_lines(&self) -> &RowLines {
        &self.plan.lines
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
                Some(at) => share + at + 1,
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
