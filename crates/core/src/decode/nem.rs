//! NEM12 and NEM13, the meter data file format of the Australian market (AEMO): records of kinds
//! 100 to 900, a line each.
//!
//! A 200 record names a channel, a 300 record holds a day of it, 400 records tell the quality of
//! some of its intervals; a 250 record is what a register counted between two readings.

use super::feed::Interval;
use super::header::shown;
use super::line_form::LineReader;
use super::lines::Fields;
use super::nem_day::{Day, Length};
use super::plan::{ClockPlan, ZonePlan};
use super::quantity::{self, MISSING, Quantity};
use super::records::{CutLine, Records};
use super::time::Stamp;
use super::unit::Conversion;
use super::{Decoded, Refusal, digits};
use crate::{HOUR, Reason, SECOND};

/// The market's time, all year and in all its regions: ten hours before UTC.
const MARKET_OFFSET: i64 = 10 * HOUR;

/// Fields of a 200 record up to the interval length, and of a 250 record up to the unit.
const CHANNEL_FIELDS: usize = 9;
const REGISTER_FIELDS: usize = 20;

const HINT: &str = "NEM12 and NEM13 begin with a record `100,NEM12,…` or `100,NEM13,…`: choose the feed that \
                    fits with --feed";

/// Reads an upload of NEM12 or NEM13.
pub(crate) struct Nem {
    records: Records,
    fields: Fields,
    /// Whether a zone was given; else times are the market's.
    has_zone: bool,
    has_begun: bool,
    channel: Channel,
    /// The day whose 400 and 500 records may still come.
    day: Option<Day>,
    /// Whether 400, 500 and 550 records belong to the rows given last.
    follows: bool,
    /// Whether there was a 300 or 250 record, of any quantity.
    has_data: bool,
}

/// What the last 200 record says of those that follow.
enum Channel {
    /// There is none, or it cannot be read.
    Unknown,
    /// It measures no active energy or power.
    PassedOver,
    Read {
        meter: Vec<u8>,
        conversion: Option<Box<Conversion>>,
        length: Length,
    },
}

/// Whether an upload that begins so is NEM12 or NEM13. It may lack its 100 record.
pub(crate) fn fits(head: &[u8]) -> bool {
    let lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let Some(first) = lines.into_iter().find(|line| !line.trim_ascii().is_empty()) else { return false };
    let mut fields = Fields::default();
    // a long record may be cut within a character
    let whole = std::str::from_utf8(first).map_or_else(|error| error.valid_up_to(), |_| first.len());
    fields.split(first.get(..whole).unwrap_or(first), b',')
        && match fields.get(0) {
            b"100" => is_version(fields.get(1)),
            b"200" => fields.len() >= CHANNEL_FIELDS && Length::parse(fields.get(8)).is_some(),
            b"250" => fields.len() >= REGISTER_FIELDS && digits::wall(fields.get(9)).is_some(),
            _ => false,
        }
}

fn is_version(text: &[u8]) -> bool {
    [b"NEM12", b"NEM13"].iter().any(|version| text.eq_ignore_ascii_case(*version))
}

/// Whether this is a quality method: A actual, E estimated, F final substitute, S substitute, N null,
/// V variable; with a method of at most two digits.
pub(crate) fn is_quality(text: &[u8]) -> bool {
    let [kind, method @ ..] = text else { return false };
    b"AEFNSV".contains(&kind.to_ascii_uppercase())
        && method.len() <= 2
        && method.iter().all(u8::is_ascii_digit)
}

impl Nem {
    pub(crate) fn new(clock: ClockPlan) -> Nem {
        Nem {
            has_zone: !matches!(clock.zone, ZonePlan::Unknown),
            records: Records::new(clock),
            fields: Fields::default(),
            has_begun: false,
            channel: Channel::Unknown,
            day: None,
            follows: false,
            has_data: false,
        }
    }

    /// One record, its fields split.
    fn record(&mut self, line: &CutLine<'_>, text: &[u8], number: u64) -> Result<(), Refusal> {
        let fields = std::mem::take(&mut self.fields);
        match fields.get(0) {
            b"400" | b"500" | b"550" => self.detail(&fields, line, text),
            kind => {
                self.end_day();
                self.has_data |= matches!(kind, b"300" | b"250");
                match kind {
                    b"100" if is_version(fields.get(1)) => self.records.of_header(line.bytes),
                    b"100" => {
                        let problem = format!("the record {} is of neither NEM12 nor NEM13", shown(text));
                        return Err(refuse(number, problem, HINT));
                    }
                    b"200" => self.channel(&fields, line, text),
                    b"300" => self.interval_data(&fields, line, text),
                    b"250" => self.register(&fields, line, text),
                    b"900" => {
                        self.channel = Channel::Unknown;
                        self.records.of_header(line.bytes);
                    }
                    _ => self.malformed(line, text.len(), 1),
                }
            }
        }
        self.fields = fields;
        Ok(())
    }

    /// 200: the channel of the 300 records that follow.
    fn channel(&mut self, fields: &Fields, line: &CutLine<'_>, text: &[u8]) {
        let quantity = Quantity::of(fields.get(7));
        let is_whole = fields.len() >= CHANNEL_FIELDS;
        self.channel = match Length::parse(fields.get(8)) {
            _ if is_whole && quantity == Quantity::Other => Channel::PassedOver,
            None => {
                self.channel = Channel::Unknown;
                return self.malformed(line, text.len(), 1);
            }
            Some(length) => Channel::Read {
                meter: meter(fields),
                conversion: quantity.conversion(length.interval()).map(Box::new),
                length,
            },
        };
        self.records.of_header(line.bytes);
    }

    /// 300: a day of the channel.
    fn interval_data(&mut self, fields: &Fields, line: &CutLine<'_>, text: &[u8]) {
        match &self.channel {
            Channel::Unknown => self.malformed(line, text.len(), 1),
            Channel::PassedOver => self.records.of_nothing(line.bytes),
            Channel::Read { conversion, length, .. } => {
                let rows = u16::try_from(length.per_day()).unwrap_or(u16::MAX);
                self.day = Day::read(fields, *length, conversion.as_deref());
                if self.day.is_none() {
                    return self.malformed(line, text.len(), rows);
                }
                self.begin(line, text.len());
            }
        }
    }

    /// 400, 500 and 550: more of the rows before, and part of their text.
    fn detail(&mut self, fields: &Fields, line: &CutLine<'_>, text: &[u8]) {
        let is_event = fields.get(0) == b"400";
        match &mut self.day {
            Some(day) if is_event => day.event(fields),
            _ => {}
        }
        if self.follows {
            self.records.extend(line.start + text.len() as u64);
            self.records.of_rows(line.bytes);
        } else if is_event && !matches!(self.channel, Channel::PassedOver) {
            self.malformed(line, text.len(), 1);
        } else {
            self.records.of_nothing(line.bytes);
        }
    }

    /// 250: what a register counted from one reading to the next, as mean power from the first.
    fn register(&mut self, fields: &Fields, line: &CutLine<'_>, text: &[u8]) {
        if fields.len() < REGISTER_FIELDS {
            return self.malformed(line, text.len(), 1);
        }
        let quantity = Quantity::of(fields.get(19));
        if quantity == Quantity::Other {
            return self.records.of_nothing(line.bytes);
        }
        let (from, to) = (digits::wall(fields.get(9)), digits::wall(fields.get(14)));
        let interval = match from.zip(to) {
            Some((from, to)) => match Interval::of_record((to - from) / SECOND) {
                None => return self.malformed(line, text.len(), 1),
                length => length,
            },
            None => None,
        };
        self.begin(line, text.len());
        let is_null = fields.get(15).eq_ignore_ascii_case(b"N");
        let value = match quantity.conversion(interval) {
            _ if is_null => MISSING,
            conversion => quantity::read(fields.get(18), conversion.as_ref()),
        };
        let stamp = to.and(from).map(|wall| stamp(self.has_zone, wall));
        self.records.row(&meter(fields), "", stamp, value);
    }

    /// The rows that follow are of this record.
    fn begin(&mut self, line: &CutLine<'_>, len: usize) {
        self.records.begin(line.start, len);
        self.records.of_rows(line.bytes);
        self.follows = true;
    }

    /// Rejects a record with the rows that it should have.
    fn malformed(&mut self, line: &CutLine<'_>, len: usize, rows: u16) {
        self.begin(line, len);
        self.records.malformed(rows);
    }

    /// Gives the rows of the day, now that no record of it can come any more.
    fn end_day(&mut self) {
        self.follows = false;
        let Some(day) = self.day.take() else { return };
        let Channel::Read { meter, .. } = &self.channel else { return };
        if !day.is_whole() {
            return self.records.malformed(day.rows());
        }
        for (wall, value) in day.intervals() {
            self.records.row(meter, "", wall.map(|wall| stamp(self.has_zone, wall)), value);
        }
    }
}

impl LineReader for Nem {
    fn line(&mut self, line: &CutLine<'_>, number: u64) -> Result<(), Refusal> {
        let is_blank = line.text.is_some_and(|text| text.trim_ascii().is_empty());
        if is_blank {
            self.records.of_nothing(line.bytes);
            return Ok(());
        }
        let splits = line.text.is_some_and(|text| self.fields.split(text, b','));
        if !self.has_begun {
            self.has_begun = true;
            if !splits || ![&b"100"[..], b"200", b"250"].contains(&self.fields.get(0)) {
                let problem =
                    format!("the upload begins with {}", shown(line.text.unwrap_or(b"a long line")));
                return Err(refuse(number, problem, HINT));
            }
        }
        match line.text {
            Some(text) if splits => self.record(line, text, number),
            _ => {
                self.end_day();
                let len = line.text.map_or(usize::try_from(line.bytes).unwrap_or(usize::MAX), <[u8]>::len);
                self.malformed(line, len, 1);
                Ok(())
            }
        }
    }

    fn records(&mut self) -> &mut Records {
        &mut self.records
    }

    fn finish(mut self, lines: u64) -> Result<Decoded, Refusal> {
        self.end_day();
        if !self.has_begun {
            return Err(Refusal::Empty);
        }
        if !self.has_data && self.records.rows() == 0 {
            let problem = "the upload ends without a 300 or 250 record".to_owned();
            return Err(refuse(lines, problem, "send the file again with its readings"));
        }
        self.records.finish(&hint)
    }
}

/// The id of the meter: the NMI and its suffix, which tells the channel; empty where one is missing.
fn meter(fields: &Fields) -> Vec<u8> {
    let (nmi, suffix) = (fields.get(1), fields.get(4));
    if nmi.is_empty() || suffix.is_empty() { Vec::new() } else { [nmi, suffix].join(&b'-') }
}

fn stamp(has_zone: bool, wall: i64) -> Stamp {
    if has_zone { Stamp::Wall(wall) } else { Stamp::Instant { micros: wall - MARKET_OFFSET, shifted: true } }
}

fn refuse(line: u64, problem: String, hint: &str) -> Refusal {
    Refusal::Header { line, problem, hint: hint.to_owned() }
}

fn hint(reason: Reason) -> String {
    let hint = match reason {
        Reason::RowMalformed => {
            "a 300 record has a value for each interval of its 200 record, then quality, reason, description and \
             times, and 400 records for all intervals of quality V: ask the sender"
        }
        Reason::MeterIdInvalid => "200 and 250 records name an NMI and a suffix: ask the sender",
        Reason::TimestampInFuture => "rows are later than the upload: the sender's clock may be wrong",
        Reason::UnitUnknown => "the unit is one of Wh, kWh, MWh, W, kW and MW",
        _ => "see whether the file still is NEM12 or NEM13",
    };
    hint.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_way_out() {
        for (reason, words) in [
            (Reason::RowMalformed, "a 300 record has"),
            (Reason::MeterIdInvalid, "NMI and a suffix"),
            (Reason::TimestampInFuture, "sender's clock"),
            (Reason::UnitUnknown, "Wh, kWh, MWh"),
            (Reason::ValueInvalid, "still is NEM12"),
        ] {
            assert!(hint(reason).contains(words), "{reason:?}: {}", hint(reason));
        }
    }
}
