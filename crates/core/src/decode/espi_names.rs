//! The elements of ESPI that say something of readings, and what their texts mean.

use super::digits;
use crate::SECOND;

/// Elements that say something of readings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tag {
    Entry,
    Link,
    MeterReading,
    ReadingType,
    IntervalReading,
    TimePeriod,
    /// What holds one of the texts below.
    Leaf(Leaf),
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leaf {
    Start,
    Duration,
    Value,
    Uom,
    Multiplier,
    Flow,
    Accumulation,
    Commodity,
    Length,
}

impl Tag {
    /// By its name without a prefix.
    pub(crate) fn of(local_name: &[u8]) -> Tag {
        match local_name {
            b"entry" => Tag::Entry,
            b"link" => Tag::Link,
            b"MeterReading" => Tag::MeterReading,
            b"ReadingType" => Tag::ReadingType,
            b"IntervalReading" => Tag::IntervalReading,
            b"timePeriod" => Tag::TimePeriod,
            b"start" => Tag::Leaf(Leaf::Start),
            b"duration" => Tag::Leaf(Leaf::Duration),
            b"value" => Tag::Leaf(Leaf::Value),
            b"uom" => Tag::Leaf(Leaf::Uom),
            b"powerOfTenMultiplier" => Tag::Leaf(Leaf::Multiplier),
            b"flowDirection" => Tag::Leaf(Leaf::Flow),
            b"accumulationBehaviour" => Tag::Leaf(Leaf::Accumulation),
            b"commodity" => Tag::Leaf(Leaf::Commodity),
            b"intervalLength" => Tag::Leaf(Leaf::Length),
            _ => Tag::Other,
        }
    }
}

/// What is measured; none where the document does not say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ReadingType {
    pub(crate) uom: Option<u32>,
    /// Values are multiplied by ten to this power.
    pub(crate) multiplier: i32,
    pub(crate) flow: Option<u32>,
    pub(crate) accumulation: Option<u32>,
    pub(crate) commodity: Option<u32>,
    /// Seconds.
    pub(crate) length: Option<u32>,
}

impl ReadingType {
    /// Takes the text of one of its elements.
    pub(crate) fn hear(&mut self, leaf: Leaf, text: &[u8]) {
        let number = digits::number(text);
        match leaf {
            Leaf::Uom => self.uom = number,
            // one that is no number takes the unit out of its range
            Leaf::Multiplier => self.multiplier = signed(text).unwrap_or(i32::MAX),
            Leaf::Flow => self.flow = number,
            Leaf::Accumulation => self.accumulation = number,
            Leaf::Commodity => self.commodity = number,
            Leaf::Length => self.length = number,
            Leaf::Start | Leaf::Duration | Leaf::Value => {}
        }
    }
}

/// Seconds since the epoch, with a fraction cut at microseconds.
pub(crate) fn epoch(text: &[u8]) -> Option<i64> {
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let (whole, fraction) = text.split_at(point);
    if whole.is_empty() || whole.len() > 12 || !whole.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = whole.iter().fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    let fraction = match fraction {
        [] => &[],
        [_point, digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return None,
    };
    let micros = fraction.iter().chain(std::iter::repeat(&b'0')).take(6);
    Some(seconds * SECOND + micros.fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0')))
}

fn signed(text: &[u8]) -> Option<i32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_since_the_epoch_may_have_a_fraction() {
        for (text, expected) in [
            ("1772323200", Some(1_772_323_200_000_000)),
            ("0", Some(0)),
            ("1721154384.66136", Some(1_721_154_384_661_360)),
            ("1.0000009", Some(1_000_000)),
            ("", None),
            ("-1", None),
            ("1.", None),
            (".5", None),
            ("1e9", None),
            ("2026-03-01", None),
            ("123456789012", Some(123_456_789_012_000_000)),
            ("1234567890123", None),
        ] {
            assert_eq!(epoch(text.as_bytes()), expected, "{text}");
        }
    }
}
