//! CMEP, the California Metering Exchange Protocol: interval data in records `MEPMD01`, a line each,
//! with a count and as many triplets of time, quality and value.

use super::clock::Moment;
use super::feed::Interval;
use super::header::shown;
use super::line_form::LineReader;
use super::lines::Fields;
use super::number;
use super::plan::ClockPlan;
use super::quantity::{self, MISSING, Quantity};
use super::records::{CutLine, Records, Value};
use super::time::Stamp;
use super::unit::{Conversion, Unit};
use super::{Decoded, Refusal, digits};
use crate::{Reason, SECOND};

/// Fields of a record before its triplets.
const METER: usize = 7;
const PURPOSE: usize = 8;
const COMMODITY: usize = 9;
const UNITS: usize = 10;
const CONSTANT: usize = 11;
const INTERVAL: usize = 12;
const COUNT: usize = 13;
const TRIPLETS: usize = 14;

/// Purposes of records that hold no measured intervals: sums, profiles, answers.
const PURPOSES_PASSED_OVER: [&str; 5] = ["SUMMARY", "HISTORY", "PROFILE", "TEMPLATE", "REJECT"];

const HINT: &str = "CMEP is lines that begin with `MEPMD01,`: choose the feed that fits with --feed";

/// Reads an upload of CMEP.
pub(crate) struct Cmep {
    records: Records,
    fields: Fields,
    /// A value times its constant.
    number: Vec<u8>,
    has_begun: bool,
}

/// Whether an upload that begins so is CMEP.
pub(crate) fn fits(head: &[u8]) -> bool {
    head.trim_ascii_start().starts_with(b"MEPMD0")
}

/// What the start of a record says of its triplets.
struct Series {
    meter: Vec<u8>,
    conversion: Option<Conversion>,
    /// What the values are multiplied by.
    constant: Option<Vec<u8>>,
    /// In microseconds; 0 where it is not told.
    step: i64,
    count: usize,
}

impl Cmep {
    pub(crate) fn new(clock: ClockPlan) -> Cmep {
        Cmep { records: Records::new(clock), fields: Fields::default(), number: Vec::new(), has_begun: false }
    }

    fn record(&mut self, fields: &Fields, line: &CutLine<'_>, len: usize) {
        let is = |index: usize, name: &str| fields.get(index).eq_ignore_ascii_case(name.as_bytes());
        if !is(0, "MEPMD01") {
            // registers, loads, administration: other records of the protocol
            if fields.get(0).starts_with(b"MEP") {
                return self.records.of_nothing(line.bytes);
            }
            return self.malformed(line, len, 1);
        }
        if fields.len() <= TRIPLETS {
            return self.malformed(line, len, 1);
        }
        if PURPOSES_PASSED_OVER.iter().any(|purpose| is(PURPOSE, purpose)) {
            return self.records.of_nothing(line.bytes);
        }
        if !is(COMMODITY, "E") {
            return self.records.of_nothing(line.bytes);
        }
        let quantity = quantity(fields.get(UNITS));
        if quantity == Quantity::Other {
            return self.records.of_nothing(line.bytes);
        }
        match series(fields, quantity) {
            None => {
                // as many rows as there are triplets, for the count may be what is wrong
                let rows = ((fields.len() - TRIPLETS) / 3).max(1);
                self.malformed(line, len, u16::try_from(rows).unwrap_or(u16::MAX));
            }
            Some(series) => {
                self.records.begin(line.start, len);
                self.records.of_rows(line.bytes);
                self.triplets(fields, &series);
            }
        }
    }

    fn triplets(&mut self, fields: &Fields, series: &Series) {
        // times name the ends of intervals
        self.records.label(series.step);
        let mut before: Option<Moment> = None;
        // of a repeated wall time the place in the upload decides, and those told from it go with it
        let mut named: Option<u32> = None;
        for at in 0..series.count {
            let time = fields.get(TRIPLETS + 3 * at);
            let kept = self.records.last_kept();
            let is_told = time.is_empty() && series.step > 0 && before.is_some();
            let moment = match before {
                Some(before) if is_told => Ok(Moment { ts: before.ts.plus(series.step), shift: 0, ..before }),
                _ => self.records.moment(digits::wall(time).filter(|_| time.len() == 12).map(Stamp::Wall)),
            };
            before = moment.ok();
            let value =
                self.value(fields.get(TRIPLETS + 3 * at + 1), fields.get(TRIPLETS + 3 * at + 2), series);
            self.records.row_at(&series.meter, "", moment, value);
            let last = self.records.last_kept().filter(|last| Some(*last) != kept);
            match named {
                Some(named) if is_told && last.is_some() => self.records.follows(named),
                _ if is_told => {}
                _ => named = last.filter(|_| moment.is_ok_and(|moment| moment.shift != 0)),
            }
        }
    }

    /// A value with its quality: `N` (with or without a number after it) is no entry.
    fn value(&mut self, quality: &[u8], text: &[u8], series: &Series) -> Value {
        if quality.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'N')) {
            return MISSING;
        }
        let plain = quantity::read(text, series.conversion.as_ref());
        match (&series.constant, plain) {
            (Some(constant), Ok((Some(_), _))) => {
                if number::multiply(text, constant, &mut self.number).is_some() {
                    quantity::read(&self.number, series.conversion.as_ref())
                } else {
                    Err(Reason::ValueInvalid)
                }
            }
            (_, plain) => plain,
        }
    }

    fn malformed(&mut self, line: &CutLine<'_>, len: usize, rows: u16) {
        self.records.begin(line.start, len);
        self.records.of_rows(line.bytes);
        self.records.malformed(rows);
    }
}

/// What a unit stands for; `KWHREG` and the like are the counts of registers, which are no intervals.
fn quantity(text: &[u8]) -> Quantity {
    let upper = text.to_ascii_uppercase();
    match Quantity::of(&upper) {
        Quantity::Unknown if upper.ends_with(b"REG") => Quantity::Other,
        Quantity::Other if upper.is_empty() => Quantity::Unknown,
        quantity => quantity,
    }
}

/// Reads the start of a record; none where its parts do not fit together.
fn series(fields: &Fields, quantity: Quantity) -> Option<Series> {
    let count = digits::number(fields.get(COUNT))? as usize;
    let end = TRIPLETS + count.checked_mul(3)?;
    if count == 0 || fields.len() < end || (end..fields.len()).any(|index| !fields.get(index).is_empty()) {
        return None;
    }
    let seconds = interval_seconds(fields.get(INTERVAL))?;
    let interval = Interval::of_record(seconds);
    let is_energy = matches!(quantity, Quantity::Active(unit) if unit.is_energy());
    if is_energy && interval.is_none() {
        return None;
    }
    let mut meter = fields.get(METER).to_vec();
    // the power of a meter beside its energy is a series of its own
    if let Quantity::Active(Unit::W | Unit::Kw | Unit::Mw) = quantity
        && !meter.is_empty()
    {
        meter.extend_from_slice(b"-kW");
    }
    let constant = Some(fields.get(CONSTANT)).filter(|text| !matches!(text, [] | [b'1']));
    Some(Series {
        meter,
        conversion: quantity.conversion(interval),
        constant: constant.map(<[u8]>::to_vec),
        step: seconds * SECOND,
        count,
    })
}

/// The length of an interval, `MMDDhhmm`; 0 where it is left out. None where it is in months, whose
/// length differs.
fn interval_seconds(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let ([m1, m2, d1, d2, h1, h2, n1, n2], []) = text.split_first_chunk()? else { return None };
    let part = |tens, ones| digits::number(&[tens, ones]).map(i64::from);
    let (months, days) = (part(*m1, *m2)?, part(*d1, *d2)?);
    let (hours, minutes) = (part(*h1, *h2)?, part(*n1, *n2)?);
    (months == 0).then_some(((days * 24 + hours) * 60 + minutes) * 60)
}

impl LineReader for Cmep {
    fn line(&mut self, line: &CutLine<'_>, number: u64) -> Result<(), Refusal> {
        if line.text.is_some_and(|text| text.trim_ascii().is_empty()) {
            self.records.of_nothing(line.bytes);
            return Ok(());
        }
        if !self.has_begun {
            self.has_begun = true;
            if !line.text.is_some_and(|text| text.starts_with(b"MEP")) {
                let problem =
                    format!("the upload begins with {}", shown(line.text.unwrap_or(b"a long line")));
                return Err(refuse(number, problem, HINT));
            }
        }
        match line.text {
            Some(text) if self.fields.split(text, b',') => {
                let fields = std::mem::take(&mut self.fields);
                self.record(&fields, line, text.len());
                self.fields = fields;
            }
            text => {
                let len = text.map_or(usize::try_from(line.bytes).unwrap_or(usize::MAX), <[u8]>::len);
                self.malformed(line, len, 1);
            }
        }
        Ok(())
    }

    fn records(&mut self) -> &mut Records {
        &mut self.records
    }

    fn finish(self, _lines: u64) -> Result<Decoded, Refusal> {
        if !self.has_begun {
            return Err(Refusal::Empty);
        }
        self.records.finish(&hint)
    }
}

fn refuse(line: u64, problem: String, hint: &str) -> Refusal {
    Refusal::Header { line, problem, hint: hint.to_owned() }
}

fn hint(reason: Reason) -> String {
    let hint = match reason {
        Reason::RowMalformed => {
            "a record has 14 fields and as many triplets as its count says, energy with an interval `MMDDhhmm` of \
             days, hours and minutes: ask the sender"
        }
        Reason::TimestampNoZone => {
            "CMEP says no time zone: give --time-zone, or `time_zone` in a feed profile"
        }
        Reason::TimestampNonexistent => "times that the zone's clocks skip: the time zone may be wrong",
        Reason::TimestampInFuture => "rows are later than the upload: the time zone may be wrong",
        Reason::UnitUnknown => "the unit is one of WH, KWH, MWH, W, KW and MW",
        _ => "see whether the file still is CMEP",
    };
    hint.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_way_out() {
        for (reason, words) in [
            (Reason::RowMalformed, "14 fields"),
            (Reason::TimestampNoZone, "--time-zone"),
            (Reason::TimestampNonexistent, "clocks skip"),
            (Reason::TimestampInFuture, "later than the upload"),
            (Reason::UnitUnknown, "WH, KWH, MWH"),
            (Reason::ValueInvalid, "still is CMEP"),
        ] {
            assert!(hint(reason).contains(words), "{reason:?}: {}", hint(reason));
        }
    }
}
