//! Green Button: ESPI documents in XML. Times are seconds since the epoch in UTC, so that no change of
//! the clocks moves, repeats or skips a reading.

use rustc_hash::FxHashMap;

use super::espi::{Document, Held};
use super::espi_names::ReadingType;
use super::feed::Interval;
use super::meter_id::METER_ID_BYTES_MAX;
use super::plan::{ClockPlan, ZonePlan};
use super::quantity;
use super::records::{Form, Records};
use super::time::Stamp;
use super::unit::{Conversion, Unit};
use super::xml::Xml;
use super::{CONTENT_BYTES_MAX, Decoded, Refusal};
use crate::Reason;

/// Reads an upload of Green Button.
pub(crate) struct GreenButton {
    xml: Xml,
    document: Document,
    clock: ClockPlan,
    bytes: u64,
}

/// Whether an upload that begins so is Green Button.
pub(crate) fn fits(head: &[u8]) -> bool {
    let namespace = b"http://naesb.org/espi";
    head.trim_ascii_start().starts_with(b"<") && memchr::memmem::find(head, namespace).is_some()
}

/// What the readings of a meter reading are.
struct Series {
    meter: Vec<u8>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Electric energy or power, of values times ten to a power, over so many seconds where a reading
    /// does not say it.
    Active(Unit, i32, Option<u32>),
    /// Another quantity, or the count of a register.
    Other,
    /// There is no unit of measure.
    Unknown,
}

impl Kind {
    /// Units of measure and the like by their numbers in ESPI.
    fn of(says: &ReadingType) -> Kind {
        let unit = match says.uom {
            Some(72) => Unit::Wh,
            Some(38) => Unit::W,
            Some(_) => return Kind::Other,
            None => return Kind::Unknown,
        };
        // 1 and 2 are electricity, metered on either side of a transformer
        let is_electric = matches!(says.commodity, None | Some(0..=2));
        // 1 and 3 count from ever on
        let is_register = matches!(says.accumulation, Some(1 | 3));
        if is_electric && !is_register {
            Kind::Active(unit, says.multiplier, says.length)
        } else {
            Kind::Other
        }
    }
}

impl GreenButton {
    pub(crate) fn new(clock: ClockPlan) -> GreenButton {
        GreenButton { xml: Xml::default(), document: Document::default(), clock, bytes: 0 }
    }
}

impl Form for GreenButton {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.bytes += bytes.len() as u64;
        if self.bytes > CONTENT_BYTES_MAX {
            return Err(Refusal::TooLarge { limit: CONTENT_BYTES_MAX });
        }
        self.xml.push(bytes, &mut self.document)
    }

    fn finish(self: Box<Self>) -> Result<Decoded, Refusal> {
        let GreenButton { mut xml, mut document, clock, bytes } = *self;
        if bytes == 0 {
            return Err(Refusal::Empty);
        }
        xml.finish(&mut document)?;
        document.finish().map_err(|(problem, hint)| xml.refuse(0, problem, hint))?;
        let header =
            |problem, hint: &str| Err(Refusal::Header { line: xml.line(0), problem, hint: hint.to_owned() });
        if document.held.is_empty() {
            let problem = "the XML ends without an `IntervalReading` of ESPI".to_owned();
            return header(problem, "send Green Button data: a feed with interval blocks");
        }
        let mut rows =
            Rows { has_zone: !matches!(clock.zone, ZonePlan::Unknown), records: Records::new(clock) };
        rows.take(&document);
        let coverage = rows.records.coverage();
        rows.records.of_header(bytes - coverage.rows - coverage.skipped);
        rows.records.finish(&hint)
    }
}

/// The rows of a document.
struct Rows {
    has_zone: bool,
    records: Records,
}

impl Rows {
    fn take(&mut self, document: &Document) {
        let all = series(document);
        let firsts = document.runs.iter().map(|run| run.first);
        let ends = firsts.clone().skip(1).chain([document.held.len()]);
        for ((run, end), first) in document.runs.iter().zip(ends).zip(firsts) {
            if let Some(series) = all.get(run.meter_reading.as_slice()) {
                self.run(document, first..end, series);
            }
        }
    }

    fn run(&mut self, document: &Document, readings: std::ops::Range<usize>, series: &Series) {
        let mut known: Option<(Option<u32>, Option<Conversion>)> = None;
        for index in readings {
            let Some(held) = document.held.get(index) else { return };
            let bytes = u64::from(held.place.len);
            if series.kind == Kind::Other {
                self.records.of_nothing(bytes);
                continue;
            }
            self.records.begin(u64::from(held.place.start), held.place.len as usize);
            self.records.of_rows(bytes);
            let Kind::Active(unit, tens, length) = series.kind else {
                self.row(held, document.value(index), series, None);
                continue;
            };
            let seconds = held.duration.or(length);
            let interval = seconds.and_then(|seconds| Interval::of_record(i64::from(seconds)));
            if unit.is_energy() && interval.is_none() {
                self.records.malformed(1);
                continue;
            }
            if known.as_ref().is_none_or(|(of, _)| *of != seconds) {
                known = Some((seconds, Conversion::of(unit, interval, tens)));
            }
            let conversion = known.as_ref().and_then(|(_, conversion)| conversion.as_ref());
            self.row(held, document.value(index), series, conversion);
        }
    }

    fn row(&mut self, held: &Held, value: &[u8], series: &Series, conversion: Option<&Conversion>) {
        let stamp = held.start.map(|micros| {
            if self.has_zone { Stamp::Wall(micros) } else { Stamp::Instant { micros, shifted: false } }
        });
        self.records.row(&series.meter, "", stamp, quantity::read(value, conversion));
    }
}

/// What the meter readings of a document are, by their links.
fn series(document: &Document) -> FxHashMap<&[u8], Series> {
    let only_type = document.reading_types.values().next().filter(|_| document.reading_types.len() == 1);
    let mut all: FxHashMap<&[u8], Series> = FxHashMap::default();
    for run in &document.runs {
        let link = run.meter_reading.as_slice();
        if all.contains_key(link) {
            continue;
        }
        // a link to a type that is not there must not make another type its own
        let says = match document.meter_readings.get(link).filter(|link| !link.is_empty()) {
            Some(link) => document.reading_types.get(link),
            None => only_type,
        };
        let says = says.copied().unwrap_or_default();
        all.insert(link, Series { meter: meter(link, says.flow), kind: Kind::of(&says) });
    }
    tell_apart(&mut all);
    all
}

/// Meter readings of one usage point and direction differ in something else, such as their intervals:
/// then each is a meter of its own.
fn tell_apart(all: &mut FxHashMap<&[u8], Series>) {
    let mut counts: FxHashMap<Vec<u8>, u32> = FxHashMap::default();
    for series in all.values().filter(|series| series.kind != Kind::Other) {
        *counts.entry(series.meter.clone()).or_default() += 1;
    }
    for (link, series) in all {
        if counts.get(&series.meter).is_some_and(|count| *count > 1)
            && let Some(id) = after(link, b"MeterReading")
            && !series.meter.is_empty()
        {
            series.meter.push(b'-');
            series.meter.extend_from_slice(id);
        }
    }
}

/// The id of the meter: the customer's and the usage point's, and the direction where energy is not
/// delivered to the customer. Empty where the link names no usage point.
fn meter(link: &[u8], flow: Option<u32>) -> Vec<u8> {
    let Some(point) = after(link, b"UsagePoint") else { return Vec::new() };
    let owners: [&[u8]; 5] = [b"RetailCustomer", b"User", b"Subscription", b"Customer", b"BillingAccount"];
    let owner = owners.into_iter().find_map(|owner| after(link, owner));
    // two UUIDs are more than an id holds, and one is enough
    let owner = owner.filter(|owner| owner.len() + 1 + point.len() <= METER_ID_BYTES_MAX - SUFFIX_BYTES);
    let mut meter = owner.map_or_else(|| point.to_vec(), |owner| [owner, point].join(&b'-'));
    match flow {
        None | Some(0 | 1) => {}
        Some(4) => meter.extend_from_slice(b"-net"),
        Some(19) => meter.extend_from_slice(b"-received"),
        Some(20) => meter.extend_from_slice(b"-total"),
        Some(flow) => meter.extend_from_slice(format!("-flow{flow}").as_bytes()),
    }
    meter
}

/// Room for a direction and for what tells meter readings apart.
const SUFFIX_BYTES: usize = 20;

/// The part of a link after the part of this name.
fn after<'l>(link: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let mut parts = link.split(|byte| *byte == b'/');
    parts.find(|part| part.eq_ignore_ascii_case(name))?;
    parts.next().filter(|part| !part.is_empty())
}

fn hint(reason: Reason) -> String {
    let hint = match reason {
        Reason::RowMalformed => {
            "a reading of energy has a duration of 1 s to 400 days, or its reading type an interval length"
        }
        Reason::MeterIdInvalid => {
            "interval blocks are entries whose links name a usage point: ask the sender"
        }
        Reason::UnitUnknown => "meter readings link to a reading type with a unit of measure: ask the sender",
        Reason::TimestampInFuture => "rows are later than the upload: the sender's clock may be wrong",
        Reason::TimestampInvalid => "a reading starts at a number of seconds since 1970",
        _ => "see whether the file still is Green Button",
    };
    hint.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ts;

    #[test]
    fn a_document_is_at_most_as_long_as_spans_can_count() {
        let nearly_full = || GreenButton {
            bytes: CONTENT_BYTES_MAX - 1,
            ..GreenButton::new(ClockPlan::new(None, Ts::MAX).unwrap())
        };
        assert_eq!(nearly_full().push(b"\n"), Ok(()));
        assert_eq!(nearly_full().push(b"\n\n"), Err(Refusal::TooLarge { limit: CONTENT_BYTES_MAX }));
    }

    #[test]
    fn each_reason_has_its_own_way_out() {
        for (reason, words) in [
            (Reason::RowMalformed, "a duration of 1 s to 400 days"),
            (Reason::MeterIdInvalid, "links name a usage point"),
            (Reason::TimestampInFuture, "sender's clock"),
            (Reason::TimestampInvalid, "seconds since 1970"),
            (Reason::UnitUnknown, "a reading type with a unit"),
            (Reason::ValueInvalid, "still is Green Button"),
        ] {
            assert!(hint(reason).contains(words), "{reason:?}: {}", hint(reason));
        }
    }
}
