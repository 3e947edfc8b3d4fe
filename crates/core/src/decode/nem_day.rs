//! One day of one NEM12 channel: a 300 record, and the 400 records that say more of its intervals.

use super::feed::Interval;
use super::lines::Fields;
use super::quantity::{self, MISSING};
use super::records::Value;
use super::unit::Conversion;
use super::{digits, nem};
use crate::SECOND;

/// Minutes of a day; an interval is a whole part of them.
const DAY_MINUTES: u32 = 1_440;

/// Fields after the values of a 300 record: quality method, reason code, reason description and the
/// time of the update; the time of the load may be left out.
const FIELDS_AFTER: usize = 4;

/// The length of a channel's intervals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Length {
    minutes: u32,
}

impl Length {
    /// What a 200 record says; none where a day is no whole number of such intervals.
    pub(crate) fn parse(text: &[u8]) -> Option<Length> {
        let minutes = digits::number(text)?;
        DAY_MINUTES.is_multiple_of(minutes).then_some(Length { minutes })
    }

    /// Intervals of a day.
    pub(crate) fn per_day(self) -> usize {
        (DAY_MINUTES / self.minutes) as usize
    }

    pub(crate) fn interval(self) -> Option<Interval> {
        Interval::of_record(i64::from(self.minutes) * 60)
    }

    fn micros(self) -> i64 {
        i64::from(self.minutes) * 60 * SECOND
    }
}

/// A day that is being read. Its rows come once the records that belong to it are all there.
pub(crate) struct Day {
    /// Midnight by the clock of the file; none where the date names no day.
    midnight: Option<i64>,
    length: Length,
    values: Vec<Value>,
    /// Intervals whose quality a 400 record has told.
    told: Vec<bool>,
    /// The qualities stand in 400 records, all of them.
    is_variable: bool,
    /// A record that belongs to the day cannot be read.
    is_spoiled: bool,
}

impl Day {
    /// Reads a 300 record; none where it has not as many fields as its channel's intervals ask for,
    /// or no quality after its values.
    pub(crate) fn read(fields: &Fields, length: Length, conversion: Option<&Conversion>) -> Option<Day> {
        let count = length.per_day();
        let after = 2 + count + FIELDS_AFTER;
        let quality = fields.get(2 + count);
        let has_more = (after + 1..fields.len()).any(|index| !fields.get(index).is_empty());
        if fields.len() < after || has_more || !nem::is_quality(quality) {
            return None;
        }
        let is_null = is_null(quality);
        let value = |index| if is_null { MISSING } else { quantity::read(fields.get(index), conversion) };
        Some(Day {
            midnight: digits::wall(fields.get(1)).filter(|_| fields.get(1).len() == 8),
            length,
            values: (2..2 + count).map(value).collect(),
            told: vec![false; count],
            is_variable: quality.eq_ignore_ascii_case(b"V"),
            is_spoiled: false,
        })
    }

    /// Reads a 400 record: the quality of some intervals, from 1. Null data are missing values.
    pub(crate) fn event(&mut self, fields: &Fields) {
        let bounds = digits::number(fields.get(1)).zip(digits::number(fields.get(2)));
        let range = bounds.and_then(|(first, last)| Some((first as usize).checked_sub(1)?..last as usize));
        let quality = fields.get(3);
        let told = range.clone().and_then(|range| self.told.get_mut(range));
        let (Some(told), Some(range)) = (told.filter(|told| !told.is_empty()), range) else {
            self.is_spoiled = true;
            return;
        };
        told.fill(true);
        self.is_spoiled |= !nem::is_quality(quality) || quality.eq_ignore_ascii_case(b"V");
        if is_null(quality) {
            self.values.get_mut(range).into_iter().for_each(|values| values.fill(MISSING));
        }
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> u16 {
        u16::try_from(self.values.len()).unwrap_or(u16::MAX)
    }

    /// Whether all its records fit together.
    pub(crate) fn is_whole(&self) -> bool {
        !self.is_spoiled && (!self.is_variable || self.told.iter().all(|told| *told))
    }

    /// Its intervals in order: the time by the clock of the file at which each begins, and its value.
    pub(crate) fn intervals(&self) -> impl Iterator<Item = (Option<i64>, Value)> {
        let starts = (0..).map(|at| self.midnight.map(|midnight| midnight + at * self.length.micros()));
        starts.zip(self.values.iter().copied())
    }
}

fn is_null(quality: &[u8]) -> bool {
    quality.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'N'))
}
