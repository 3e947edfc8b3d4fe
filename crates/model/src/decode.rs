//! An upload to its rows.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::entry::{Feed, Upload};
use crate::line::{fields, lines};
use crate::number::{Unit, Value, milliwatts, read_value};
use crate::reading::{Flag, Reason, Row, flags_text};
use crate::time::{MINUTE, Meaning, Stamp, is_utc, meaning, read_stamp, zone};

/// Where the four columns stand, and how many columns there are.
struct Header {
    width: usize,
    meter: usize,
    time: usize,
    value: usize,
    unit: usize,
}

/// A line cut up: the four fields, or none where it is spoilt.
struct Cut {
    raw: String,
    fields: Option<Fields>,
}

struct Fields {
    meter: String,
    stamp: Option<Stamp>,
    value: String,
    unit: String,
}

/// One row of an upload as decode alone sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded {
    /// The line, without its end.
    pub raw: String,
    /// The meter, as far as it can be read.
    pub meter: String,
    /// The instant in microseconds, as far as it can be read.
    pub ts: Option<i64>,
    /// The value in milliwatts; none where it is missing or the row failed.
    pub value: Option<i64>,
    /// What decode noticed, as the datasets write it.
    pub flags: String,
    /// The name of the reason for which it failed, if it did.
    pub failure: Option<&'static str>,
}

/// The rows of an upload, in file order, without any rule; none where it is a dead letter.
#[must_use]
pub fn decoded(upload: &Upload) -> Option<Vec<Decoded>> {
    let seen = |row: Row| Decoded {
        raw: row.raw,
        meter: row.meter,
        ts: row.ts,
        value: row.value,
        flags: flags_text(&row.flags),
        failure: row.failure.map(Reason::name),
    };
    Some(decode(1, upload, &upload.feed)?.into_iter().map(seen).collect())
}

/// The rows of the upload with this sequence number; none where it is a dead letter.
pub(crate) fn decode(upload: u32, content: &Upload, feed: &Feed) -> Option<Vec<Row>> {
    let mut lines = lines(&content.bytes).into_iter();
    let header = read_header(lines.next()?)?;
    let cuts: Vec<Cut> = lines.map(|line| cut(line, &header)).collect();
    let zone = feed.time_zone.as_deref().and_then(zone);
    let mut rows = Vec::new();
    for index in 0..cuts.len() {
        let row_number = u32::try_from(index + 1).ok()?;
        let mut row = Row {
            upload,
            row_number,
            raw: cuts[index].raw.clone(),
            meter: String::new(),
            ts: None,
            value: None,
            flags: BTreeSet::new(),
            failure: None,
        };
        row.failure = fill(&mut row, &cuts, index, zone.as_ref(), content.landed_at, feed).err();
        if row.failure.is_some() {
            row.flags.clear();
        }
        rows.push(row);
    }
    let failed = rows.iter().filter(|row| row.failure.is_some()).count();
    let feed_changed = rows.len() >= 100 && failed * 5 > rows.len();
    (!feed_changed).then_some(rows)
}

/// The header; none where it is spoilt, or a required column is missing or repeated.
fn read_header(line: &[u8]) -> Option<Header> {
    let names: Vec<String> = fields(line)?.iter().map(|name| name.to_ascii_lowercase()).collect();
    let place = |wanted: &str| {
        let places: Vec<usize> = (0..names.len()).filter(|at| names[*at] == wanted).collect();
        if places.len() == 1 { Some(places[0]) } else { None }
    };
    Some(Header {
        width: names.len(),
        meter: place("meter_id")?,
        time: place("timestamp")?,
        value: place("energy_value")?,
        unit: place("energy_unit")?,
    })
}

fn cut(line: &[u8], header: &Header) -> Cut {
    let fields = fields(line).filter(|fields| fields.len() == header.width).map(|fields| Fields {
        meter: fields[header.meter].clone(),
        stamp: read_stamp(&fields[header.time]),
        value: fields[header.value].clone(),
        unit: fields[header.unit].clone(),
    });
    Cut { raw: String::from_utf8_lossy(line).into_owned(), fields }
}

/// Fills in what the row at `index` says, up to its first failure.
fn fill(
    row: &mut Row,
    cuts: &[Cut],
    index: usize,
    zone: Option<&TimeZone>,
    landed_at: i64,
    feed: &Feed,
) -> Result<(), Reason> {
    let fields = cuts[index].fields.as_ref().ok_or(Reason::RowMalformed)?;
    row.meter = shown_meter(&fields.meter);
    let time = resolve(cuts, index, zone);
    if let Ok((ts, _)) = time {
        row.ts = Some(ts);
    }
    if !is_valid_meter(&fields.meter) {
        return Err(Reason::MeterIdInvalid);
    }
    let (ts, is_resolved) = time?;
    if ts > landed_at + 15 * MINUTE {
        return Err(Reason::TimestampInFuture);
    }
    match fields.stamp {
        Some(Stamp::Instant { moved: true, .. }) => {
            row.flags.insert(Flag::UtcNormalized);
        }
        Some(Stamp::Wall(_)) if !feed.time_zone.as_deref().is_some_and(is_utc) => {
            row.flags.insert(Flag::UtcNormalized);
        }
        _ => {}
    }
    if is_resolved {
        row.flags.insert(Flag::DstResolved);
    }
    let (value, flag) = read_power(&fields.value, &fields.unit, feed)?;
    row.value = value;
    row.flags.extend(flag);
    Ok(())
}

/// The instant of the row at `index`, and whether its wall time comes twice.
fn resolve(cuts: &[Cut], index: usize, zone: Option<&TimeZone>) -> Result<(i64, bool), Reason> {
    let fields = cuts[index].fields.as_ref().ok_or(Reason::RowMalformed)?;
    let wall = match fields.stamp.ok_or(Reason::TimestampInvalid)? {
        Stamp::Instant { ts, .. } => return Ok((ts, false)),
        Stamp::Wall(wall) => wall,
    };
    let zone = zone.ok_or(Reason::TimestampNoZone)?;
    match meaning(wall, zone).ok_or(Reason::TimestampInvalid)? {
        Meaning::Once(ts) => Ok((ts, false)),
        Meaning::Never => Err(Reason::TimestampNonexistent),
        Meaning::Twice { .. } if !is_valid_meter(&fields.meter) => Err(Reason::MeterIdInvalid),
        Meaning::Twice { earlier, later } => {
            let is_first = first_occurrence(cuts, &fields.meter, wall, zone) == Some(index);
            Ok((if is_first { earlier } else { later }, true))
        }
    }
}

/// The row that has the first occurrence of `wall` among the rows of `meter`: in file order, or in reverse
/// if more steps from row to row go back in wall time than forth.
fn first_occurrence(cuts: &[Cut], meter: &str, wall: DateTime, zone: &TimeZone) -> Option<usize> {
    let mut walls: Vec<(usize, DateTime)> = Vec::new();
    for (index, cut) in cuts.iter().enumerate() {
        if let Some(Fields { meter: other, stamp: Some(Stamp::Wall(wall)), .. }) = &cut.fields
            && other == meter
            && !matches!(meaning(*wall, zone), None | Some(Meaning::Never))
        {
            walls.push((index, *wall));
        }
    }
    let steps = |back: bool| {
        let is_step = |pair: &&[(usize, DateTime)]| {
            if back { pair[1].1 < pair[0].1 } else { pair[1].1 > pair[0].1 }
        };
        walls.windows(2).filter(is_step).count()
    };
    if steps(true) > steps(false) {
        walls.reverse();
    }
    walls.iter().find(|(_, other)| *other == wall).map(|(index, _)| *index)
}

/// At most 256 bytes of a meter id, cut between characters.
fn shown_meter(meter: &str) -> String {
    let mut end = meter.len().min(256);
    while !meter.is_char_boundary(end) {
        end -= 1;
    }
    meter[..end].to_owned()
}

/// 1 to 64 bytes, without control and format characters and line and paragraph separators.
fn is_valid_meter(meter: &str) -> bool {
    (1..=64).contains(&meter.len()) && !meter.chars().any(|c| c.is_control() || is_format_or_separator(c))
}

/// The characters of the Unicode categories Cf, Zl and Zp.
fn is_format_or_separator(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
        | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}' | '\u{2029}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// The value in milliwatts, if any, and the flag that it earns.
fn read_power(value: &str, unit: &str, feed: &Feed) -> Result<(Option<i64>, Option<Flag>), Reason> {
    let decimal = match read_value(value) {
        Value::Missing => return Ok((None, Some(Flag::MissingValue))),
        Value::Invalid => return Err(Reason::ValueInvalid),
        Value::Number(decimal) => decimal,
    };
    let (unit, flag) = read_unit(unit, feed).ok_or(Reason::UnitUnknown)?;
    let value = milliwatts(&decimal, unit).ok_or(Reason::ValueInvalid)?;
    Ok((Some(value), flag))
}

/// A unit that the feed knows, and the flag that a value in it earns.
fn read_unit(text: &str, feed: &Feed) -> Option<(Unit, Option<Flag>)> {
    let unit = |numerator, denominator| Unit { numerator, denominator };
    let energy = |numerator: u64, denominator: u64| {
        let seconds = u64::from(feed.interval_seconds.filter(|seconds| *seconds > 0)?);
        Some((unit(numerator * 3600, denominator * seconds), Some(Flag::EnergyToPower)))
    };
    match text.to_ascii_lowercase().as_str() {
        "kw" => Some((unit(1, 1), None)),
        "w" => Some((unit(1, 1000), Some(Flag::UnitConverted))),
        "mw" if feed.megawatts => Some((unit(1000, 1), Some(Flag::UnitConverted))),
        "wh" => energy(1, 1000),
        "kwh" => energy(1, 1),
        "mwh" => energy(1000, 1),
        _ => None,
    }
}
