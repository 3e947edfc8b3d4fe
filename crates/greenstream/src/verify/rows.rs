//! The rows of one upload: what its bytes say against what the tables hold, first by sums, then, where
//! these differ, row by row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use greenstream_core::decode::Decoded;

use super::Checks;
use super::finding::{Finding, Kind};
use super::state::View;
use super::sum::{RowSum, Sum, of_reject, of_row, of_text};
use crate::change::Status;
use crate::config::Rules;
use crate::landing::{UploadEntry, Zone};
use crate::process::{DecodedUpload, Library, Own, ProcessError};
use crate::store::StoredError;

/// Uploads of which rows are told one by one: each reads all readings once more.
const DETAILED_MAX: u32 = 8;
/// Rows told of one upload.
const TOLD_MAX: usize = 5;

/// An upload and what its bytes come to.
pub struct Case<'a> {
    /// The landing zone.
    pub zone: &'a Zone,
    /// By which it was decoded.
    pub rules: &'a Arc<Rules>,
    /// As the journal has it.
    pub journal: &'a UploadEntry,
    /// What its bytes come to.
    pub decoded: &'a DecodedUpload,
    /// What the tables hold of it.
    pub counted: Sum,
}

/// Adds the rows of an upload that are no accepted readings; how many are quarantined and superseded.
pub fn others(view: &View<'_>, upload: u32, sum: &mut Sum) -> Result<(u64, u64), ProcessError> {
    let mut quarantined = 0;
    for row in view.snapshot.errors_of(upload)? {
        // a released or edited row stands among the readings, or is superseded
        if matches!(row.status, Status::Open | Status::Discarded) {
            quarantined += 1;
            add(view, sum, (upload, row.row_number), of_error(view, &row));
        }
    }
    let superseded = view.snapshot.superseded_of(upload)?;
    for row in &superseded {
        let of = of_row(row.row_number, view.hash(row.meter), row.ts, row.kw, row.flags);
        add(view, sum, (upload, row.row_number), of);
    }
    Ok((quarantined, superseded.len() as u64))
}

fn add(view: &View<'_>, sum: &mut Sum, row: (u32, u32), of: RowSum) {
    if view.decided.contains(&row) {
        sum.rows += 1;
    } else {
        sum.add(of);
    }
}

fn of_error(view: &View<'_>, row: &StoredError) -> RowSum {
    match (row.meter, row.ts) {
        (Some(meter), Some(ts)) => of_row(row.row_number, view.hash(meter), ts, row.kw, row.flags),
        _ => of_reject(row.row_number, &row.meter_text, row.ts, row.reason),
    }
}

/// Every row that decode gives, by itself.
fn each(decoded: &Decoded, sink: &mut dyn FnMut(u32, RowSum)) {
    let meters: Vec<u64> = decoded.meters.iter().map(|meter| of_text(meter)).collect();
    for row in &decoded.rows {
        let meter = meters.get(row.meter as usize).copied().unwrap_or(0);
        sink(row.row_number, of_row(row.row_number, meter, row.ts, row.kw, row.flags));
    }
    for row in &decoded.rejects {
        sink(row.row_number, of_reject(row.row_number, &row.meter, row.ts, row.reason));
    }
}

/// Whether the tables hold exactly the rows of the upload.
pub fn check(checks: &Checks<'_>, view: &View<'_>, case: &Case<'_>) -> Result<Vec<Finding>, ProcessError> {
    let upload = case.journal.upload;
    let decoded = &case.decoded.decoded;
    let mut expected = Sum::default();
    let has_decided = !view.decided.is_empty();
    each(decoded, &mut |row, of| {
        if has_decided && view.decided.contains(&(upload, row)) {
            expected.rows += 1;
        } else {
            expected.add(of);
        }
    });
    if decoded.registers.is_some() {
        // values and their flags are told by other rows, also of later uploads
        expected.full = case.counted.full;
    }
    let mut findings = raw(view, case)?;
    if expected != case.counted {
        let is_told = checks.detailed.fetch_add(1, Ordering::Relaxed) < DETAILED_MAX;
        let told = if is_told { one_by_one(view, case)? } else { Vec::new() };
        if told.is_empty() {
            let problem = "has other rows in the tables than in its bytes";
            let (expected, found) = (expected.rows, case.counted.rows);
            let place = format!("upload {upload}");
            findings.push(Finding::differs(Kind::RowDiffers, place, problem, expected, found));
        }
        findings.extend(told);
    }
    Ok(findings)
}

/// Where a row stands, and as what.
type Held = (&'static str, RowSum, String);

/// The first rows that differ.
fn one_by_one(view: &View<'_>, case: &Case<'_>) -> Result<Vec<Finding>, ProcessError> {
    let upload = case.journal.upload;
    let is_register = case.decoded.decoded.registers.is_some();
    let mut expected: BTreeMap<u32, RowSum> = BTreeMap::new();
    each(&case.decoded.decoded, &mut |row, of| {
        expected.insert(row, of);
    });
    let mut findings = Vec::new();
    let mut find = |kind, row: u32, problem: String| {
        if findings.len() < TOLD_MAX {
            findings.push(Finding::new(kind, format!("upload {upload}, row {row},"), problem));
        }
    };
    let mut seen: BTreeMap<u32, &str> = BTreeMap::new();
    for (row, (table, of, what)) in held(view, upload)? {
        if let Some(other) = seen.insert(row, table) {
            find(Kind::RowTwice, row, format!("has two dispositions: {other} and {table}"));
            continue;
        }
        match expected.remove(&row) {
            None => find(Kind::RowUnknown, row, format!("stands in {table}, and its upload has no such row")),
            Some(_) if view.decided.contains(&(upload, row)) => {}
            Some(own) if own.keys == of.keys && (is_register || own.full == of.full) => {}
            Some(_) => find(Kind::RowDiffers, row, format!("is not in {table} as in its bytes: {what}")),
        }
    }
    for row in expected.keys() {
        find(
            Kind::RowMissing,
            *row,
            "has no disposition: neither stored nor quarantined nor superseded".to_owned(),
        );
    }
    Ok(findings)
}

/// Everything the tables hold of an upload, by row.
fn held(view: &View<'_>, upload: u32) -> Result<Vec<(u32, Held)>, ProcessError> {
    let mut held = Vec::new();
    let kw = |kw: Option<greenstream_core::Power>| kw.map_or("no value".to_owned(), |kw| format!("{kw} kW"));
    for (meter, r) in view.snapshot.readings_of(upload)? {
        let of = of_row(r.row_number, view.hash(meter), r.ts, r.kw, r.flags);
        let what = format!("meter {} at {}, {}", view.name(meter), r.ts, kw(r.kw));
        held.push((r.row_number, ("readings", of, what)));
    }
    for row in view.snapshot.errors_of(upload)? {
        if matches!(row.status, Status::Open | Status::Discarded) {
            let meter = row.meter.map_or(row.meter_text.as_str(), |meter| view.name(meter));
            let at = row.ts.map_or("no instant".to_owned(), |ts| ts.to_string());
            let what = format!("meter {meter} at {at}, {}, {}", kw(row.kw), row.reason.name());
            held.push((row.row_number, ("the error queue", of_error(view, &row), what)));
        }
    }
    for row in view.snapshot.superseded_of(upload)? {
        let of = of_row(row.row_number, view.hash(row.meter), row.ts, row.kw, row.flags);
        let what = format!("meter {} at {}, {}", view.name(row.meter), row.ts, kw(row.kw));
        held.push((row.row_number, ("superseded", of, what)));
    }
    held.sort_by_key(|(row, _)| *row);
    Ok(held)
}

/// Whether the lines kept in the error queue are those of the upload.
fn raw(view: &View<'_>, case: &Case<'_>) -> Result<Vec<Finding>, ProcessError> {
    let upload = case.journal.upload;
    let kept = view.snapshot.errors_of(upload)?;
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    let library = Library::new(case.zone.objects(), Arc::clone(case.rules));
    let own = Own {
        upload,
        content: case.decoded.content.as_deref(),
        index: &case.decoded.decoded.index,
        lines: &case.decoded.lines,
        object: case.journal.sha256,
    };
    let numbers: Vec<u32> = kept.iter().map(|row| row.row_number).collect();
    let texts: BTreeMap<u32, String> =
        library.texts_of(&own, &numbers)?.into_iter().map(|((_, row), text)| (row, text)).collect();
    let differing = kept.iter().filter(|row| texts.get(&row.row_number) != Some(&row.raw));
    Ok(differing
        .take(TOLD_MAX)
        .map(|row| {
            let place = format!("upload {upload}, row {},", row.row_number);
            let expected = texts.get(&row.row_number).map(String::as_str).unwrap_or_default();
            let problem = "has another line in the error queue than in its bytes";
            Finding::differs(Kind::RawDiffers, place, problem, shown(expected), shown(&row.raw))
        })
        .collect())
}

/// The start of a line, inert on a terminal.
fn shown(line: &str) -> String {
    let text: String = line.chars().take(80).collect();
    format!("{text:?}")
}
