//! `quality` as a dataset: a row for each meter and day on which anything was expected.

use greenstream_core::{SECOND, civil_from_days};

use super::{Cell, Kind};
use crate::quality::Survey;
use crate::store::{Filter, Reader, StoreError};

/// A row's cells.
pub(super) const COLUMNS: [(&str, Kind); 14] = [
    ("meter_id", Kind::Text),
    ("day", Kind::Text),
    ("feeder", Kind::Text),
    ("feed", Kind::Text),
    ("interval_s", Kind::Int),
    ("expected", Kind::Int),
    ("present", Kind::Int),
    ("absent", Kind::Int),
    ("trusted", Kind::Int),
    ("filled", Kind::Int),
    ("missing", Kind::Int),
    ("quarantined", Kind::Int),
    ("late", Kind::Int),
    ("extra", Kind::Int),
];

/// The rows, by meter id and day. Filters: meter, from and to (days that overlap), limit.
pub(super) fn rows<E: From<StoreError>>(
    reader: &Reader,
    filter: &Filter,
    sink: &mut dyn FnMut(Vec<Cell>) -> Result<(), E>,
) -> Result<(), E> {
    let survey = Survey::of(reader)?;
    let Some(days) = survey.days(filter.from, filter.to) else { return Ok(()) };
    let mut left = filter.limit.unwrap_or(u64::MAX);
    survey.in_order(survey.meters_of(filter.meter.as_deref()), &days, &mut |row| {
        if left == 0 {
            return Ok(());
        }
        left -= 1;
        let text = |text: &str| Cell::Text(text.to_owned());
        let int = |number: u64| Cell::Int(i64::try_from(number).ok());
        let counts = row.counts;
        sink(vec![
            text(survey.meter(row.meter)),
            Cell::Text(day_text(row.day)),
            text(survey.feeder(row.meter, row.day)),
            text(survey.feed(row.feed)),
            Cell::Int(row.interval.map(|interval| interval / SECOND)),
            int(counts.expected),
            int(counts.present),
            int(counts.absent()),
            int(counts.trusted),
            int(counts.filled),
            int(counts.missing),
            int(counts.quarantined),
            int(counts.late),
            int(counts.extra),
        ])
    })
}

/// A day since 1970-01-01 as `2026-03-02`.
pub fn day_text(day: i32) -> String {
    let (year, month, day) = civil_from_days(i64::from(day));
    format!("{year:04}-{month:02}-{day:02}")
}
