//! Bytes to rows: what an upload says, row by row, with every byte accounted for.
//!
//! Nothing here fails on data. A row that cannot be read becomes a [`Reject`] with its reason; an
//! upload that cannot be read at all becomes a [`Refusal`] with its evidence.
//!
//! The path: a [`Feed`] is compiled into a [`Decoder`] for one upload, which reads the header into a
//! [`Layout`], which decodes chunks of lines (as many at once as there are cores) and joins them. A
//! [`Stream`] does the same for bytes that arrive piece by piece.

mod check;
mod chunk;
mod clock;
mod cmep;
mod digits;
mod encoding;
mod espi;
mod espi_names;
mod feed;
mod folds;
mod form;
pub(crate) mod format;
mod green_button;
mod header;
mod invisible;
mod join;
mod layout;
mod line_form;
pub(crate) mod lines;
mod meter_id;
mod meters;
pub(crate) mod name;
mod nem;
mod nem_day;
mod number;
pub(crate) mod numeral;
mod plan;
mod quantity;
mod raw;
mod records;
mod registers;
mod rejects;
pub(crate) mod sniff;
mod stream;
pub(crate) mod time;
mod unit;
pub(crate) mod value;
mod xml;
mod zone;

pub use chunk::Chunk;
pub use encoding::{Encoding, Transcoder};
pub use feed::{
    Column, Columns, Feed, FileFormat, Interval, Label, MeterSource, OnlyColumn, SeasonColumn, SlotColumns,
    ValueColumn,
};
pub use layout::Layout;
pub use lines::{BLANKS, LINE_BYTES_MAX};
pub use meter_id::{METER_ID_BYTES_MAX, is_meter_id};
pub use plan::{Decoder, FeedError, Given};
pub use raw::{RowLines, raw_line, raw_lines, raw_lines_from};
pub use registers::{Shown, flags_with, mean_power};
pub use stream::Stream;
pub use unit::Unit;

use crate::{Flags, Power, Reason, Ts};

/// The most decoded bytes of one upload: offsets within it take 32 bits. A service may set less.
pub const CONTENT_BYTES_MAX: u64 = u32::MAX as u64;

/// One row that decoded: a value, or the news that there is none, of one meter at one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Index into [`Decoded::meters`].
    pub meter: u32,
    /// From 1, in file order.
    pub row_number: u32,
    /// Start of the interval.
    pub ts: Ts,
    /// The value in milliwatts; none where it is missing (then `flags` has `missing_value`).
    pub kw: Option<Power>,
    /// Of `unit_converted`, `energy_to_power`, `utc_normalized`, `dst_resolved`, `missing_value`.
    pub flags: Flags,
    /// What the feed's revision column says, plus one; 0 where the feed has none.
    pub revision: u32,
}

/// One row that did not decode. It takes part in no rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reject {
    /// From 1, in file order; counted together with the rows that decoded.
    pub row_number: u32,
    /// The meter as far as it can be read (at most 256 bytes of it); empty where it cannot.
    pub meter: String,
    /// The instant as far as it can be read.
    pub ts: Option<Ts>,
    /// The first failure.
    pub reason: Reason,
}

/// Where the bytes of an upload went: the three add up to its decoded size (guarantee G1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Coverage {
    /// Byte-order mark, preamble and header line.
    pub header: u64,
    /// Lines that hold rows, with their line ends.
    pub rows: u64,
    /// Empty lines, comments and footers, with their line ends.
    pub skipped: u64,
}

/// Finds the text of a row without reading the whole upload. Offsets count the decoded content.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RowIndex {
    /// `offsets[i]` is where the line with row `1 + i * STEP` begins. Empty where there are `spans`.
    pub offsets: Vec<u64>,
    /// Where the text of each row is, for uploads whose lines do not all hold as many rows; ascending.
    pub spans: Vec<Span>,
}

/// The text of some rows that stand together: those from `first_row` to the next span's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// The first of its rows.
    pub first_row: u32,
    /// Where it begins.
    pub start: u64,
    /// Its bytes.
    pub len: u32,
}

impl RowIndex {
    /// Rows from one entry to the next. Smaller costs storage, larger costs a longer read for the
    /// raw text of one row (about 40 KiB at 40 bytes a row).
    pub const STEP: u32 = 1024;
}

/// Everything one upload says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decoded {
    /// The meters of the upload, in the order of their first row.
    pub meters: Vec<String>,
    /// The rows that decoded, in file order.
    pub rows: Vec<Row>,
    /// The rows that did not, in file order.
    pub rejects: Vec<Reject>,
    /// Where the bytes went.
    pub coverage: Coverage,
    /// How to find a row's line again.
    pub index: RowIndex,
    /// Where the values are what cumulative registers showed, in micro-watt-hours: how long after each
    /// the next one is. [`Decoded::difference`] makes readings of them.
    pub registers: Option<Interval>,
}

impl Decoded {
    /// All rows, decoded or not.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.rows.len() + self.rejects.len()
    }
}

/// Why nothing of an upload is loaded: it becomes a dead letter with this evidence.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// No bytes, or nothing but blank lines.
    #[error("the upload is empty")]
    Empty,
    /// The header does not fit the feed.
    #[error("line {line}: {problem}")]
    Header {
        /// The line of the header, from 1.
        line: u64,
        /// What does not fit, with the offending text and what was expected.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// Not text in an encoding the feed knows: UTF-16, a binary file, an unknown compression.
    #[error("{problem}")]
    NotText {
        /// What it looks like instead.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// XML that is not well-formed, breaks off, or holds what is not read.
    #[error("line {line}: {problem}")]
    NotWellFormed {
        /// The line, from 1.
        line: u64,
        /// What is wrong there.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// More than 20 % of at least 100 rows failed to decode: the feed has changed.
    #[error("{failed} of {rows} rows do not decode: the feed has changed")]
    FeedChanged {
        /// Rows that failed.
        failed: u64,
        /// All rows.
        rows: u64,
        /// The three commonest reasons with their counts, most frequent first.
        reasons: Vec<(Reason, u64)>,
        /// What to do about it.
        hint: String,
    },
    /// The decoded content is larger than the limit.
    #[error("the decoded content is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The compressed stream is cut short or damaged.
    #[error("the {format} stream breaks off after {bytes} decoded bytes: {problem}")]
    Damaged {
        /// `gzip` or `zstd`.
        format: &'static str,
        /// Decoded bytes before the damage.
        bytes: u64,
        /// The decoder's words.
        problem: String,
    },
}

impl Refusal {
    /// The stable code of the refusal, for datasets, alerts and filters.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Refusal::Empty => "upload_empty",
            Refusal::Header { .. } => "header_unfit",
            Refusal::NotText { .. } => "not_text",
            Refusal::NotWellFormed { .. } => "not_well_formed",
            Refusal::FeedChanged { .. } => "feed_changed",
            Refusal::TooLarge { .. } => "upload_too_large",
            Refusal::Damaged { .. } => "compression_damaged",
        }
    }

    /// The way out, in one sentence.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Refusal::Empty => "send the file again with its rows".to_owned(),
            Refusal::Header { hint, .. }
            | Refusal::NotText { hint, .. }
            | Refusal::NotWellFormed { hint, .. }
            | Refusal::FeedChanged { hint, .. } => hint.clone(),
            Refusal::TooLarge { .. } => "split the file into smaller uploads".to_owned(),
            Refusal::Damaged { .. } => "send the file again, whole".to_owned(),
        }
    }
}

/// Decimal kilowatts as whole milliwatts, by the same rules as a value in an upload: exact, rounded
/// once, at most 1e12 kW. None for anything else.
#[must_use]
pub fn parse_kw(text: &str) -> Option<Power> {
    let text = text.trim().as_bytes();
    if !number::is_number(text) {
        return None;
    }
    number::milliwatts(text, &number::Scale::power(6)).map(Power::from_milliwatts)
}

/// A timestamp with an offset, or epoch seconds or milliseconds, by the same rules as in an upload.
/// None for anything else, also for a time without an offset.
#[must_use]
pub fn parse_ts(text: &str) -> Option<Ts> {
    match time::DateMemo::default().parse(text.trim().as_bytes())? {
        time::Stamp::Instant { micros, .. } => Some(Ts::from_micros(micros)),
        time::Stamp::Wall(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kilowatts_and_instants_of_settings_are_read_as_in_an_upload() {
        for (text, milliwatts) in [
            (" 1.5 ", Some(1_500_000)),
            ("-1e-6", Some(-1)),
            ("1e12", Some(1_000_000_000_000_000_000)),
            ("1000000000000.1", None),
            ("", None),
            ("much", None),
        ] {
            assert_eq!(parse_kw(text).map(Power::milliwatts), milliwatts, "{text:?}");
        }
        for (text, seconds) in [
            (" 2026-03-02T01:00:00+01:00 ", Some(1_772_409_600)),
            ("1772409600", Some(1_772_409_600)),
            ("2026-03-02T01:00:00", None),
            ("soon", None),
        ] {
            assert_eq!(parse_ts(text).map(|ts| ts.micros() / crate::SECOND), seconds, "{text:?}");
        }
    }
}
