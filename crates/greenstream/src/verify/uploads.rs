//! Upload by upload: decoded again from the landed bytes, and every byte and row accounted for.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Checks;
use super::finding::{Finding, Kind};
use super::journal::Version;
use super::rows::{self, Case};
use super::state::View;
use super::sum::Sum;
use crate::change::DeadLetter;
use crate::landing::{Hash, UploadEntry};
use crate::process::{DecodedUpload, Job, Preparer, ProcessError, Task, Upload};
use crate::store::{UploadRow, UploadStatus};

/// Uploads of more decoded bytes than this are decoded one at a time.
const LARGE_BYTES: u64 = 64 << 20;

/// Takes uploads until there are no more.
pub fn check(checks: &Checks<'_>, view: &View<'_>, next: &AtomicUsize) -> Result<(), ProcessError> {
    let landed = checks.zone().map_or(0, |zone| zone.uploads().len());
    let stored = usize::try_from(view.snapshot.last_upload()?).unwrap_or(usize::MAX);
    let last = landed.max(stored);
    loop {
        let place = next.fetch_add(1, Ordering::Relaxed);
        if place == last + 1 {
            // the thread that came first to the end looks at what is of no upload
            beyond(checks, view, u32::try_from(last).unwrap_or(u32::MAX))?;
        }
        let Some(upload) = u32::try_from(place).ok().filter(|_| place <= last) else { return Ok(()) };
        one(checks, view, upload)?;
        (checks.tell)("decoding again", place as u64, last as u64);
    }
}

/// Rows of uploads that there are not.
fn beyond(checks: &Checks<'_>, view: &View<'_>, last: u32) -> Result<(), ProcessError> {
    let stored = checks.stored.lock().unwrap_or_else(PoisonError::into_inner);
    let readings: u64 = stored.iter().filter(|(n, _)| **n < 1 || **n > last).map(|(_, sum)| sum.rows).sum();
    let rows = readings + view.snapshot.rows_beyond(last)?;
    if rows > 0 {
        let problem = format!("has {rows} rows of uploads that never landed");
        checks.find(Finding::new(Kind::RowUnknown, "the database", problem));
    }
    Ok(())
}

fn one(checks: &Checks<'_>, view: &View<'_>, upload: u32) -> Result<(), ProcessError> {
    let journal = checks.zone().and_then(|zone| zone.upload(upload));
    let row = view.snapshot.upload(upload)?;
    let place = || format!("upload {upload}");
    if checks.zone().is_none() {
        // the journal is damaged, which is found already: only the books can be checked
        return match &row {
            Some(row) => books(checks, view, row).map(drop),
            None => Ok(()),
        };
    }
    match (journal, row) {
        (None, None) => {}
        (None, Some(_)) => checks.find(Finding::new(
            Kind::UploadUnknown,
            place(),
            "is in the database and not in the journal",
        )),
        (Some(journal), None) => {
            hold(checks, journal);
            if journal.entry <= view.position {
                let problem = format!("is missing in the database, which stands at entry {}", view.position);
                checks.find(Finding::new(Kind::UploadMissing, place(), problem));
            }
        }
        (Some(journal), Some(row)) => both(checks, view, journal, &row)?,
    }
    Ok(())
}

fn hold(checks: &Checks<'_>, journal: &UploadEntry) {
    checks.held.fetch_add(1, Ordering::Relaxed);
    checks.held_bytes.fetch_add(journal.bytes, Ordering::Relaxed);
}

fn both(
    checks: &Checks<'_>,
    view: &View<'_>,
    journal: &UploadEntry,
    row: &UploadRow,
) -> Result<(), ProcessError> {
    identity(checks, journal, row);
    let counted = books(checks, view, row)?;
    if row.status != UploadStatus::Done {
        hold(checks, journal);
    }
    // what the file holds is hashed elsewhere; where that failed, what it decodes to says nothing more
    let is_whole = Hash::parse(&row.landed.sha256) == Some(journal.sha256);
    match row.status {
        UploadStatus::Landed | UploadStatus::Processing => Ok(()),
        _ if !is_whole || !is_decodable(checks, journal, row) => Ok(()),
        UploadStatus::Dead | UploadStatus::Done => decoded(checks, view, journal, row, counted),
    }
}

/// Whether decoding again can be expected to end as it did: not for what kills the process, nor for a limit
/// that is no part of the journal.
fn is_decodable(checks: &Checks<'_>, journal: &UploadEntry, row: &UploadRow) -> bool {
    let damaged = checks.findings.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|finding| {
        matches!(finding.kind, Kind::ObjectChanged | Kind::ObjectMissing)
            && finding.place.ends_with(&journal.sha256.to_string())
    });
    let code = row.dead.as_ref().map_or("", |dead| dead.code.as_str());
    !damaged && !matches!(code, "processing_failed" | "upload_too_large")
}

/// What the database says of the upload against what the journal says.
fn identity(checks: &Checks<'_>, journal: &UploadEntry, row: &UploadRow) {
    let place = format!("upload {}", journal.upload);
    let differs = |what: &str, expected: String, found: String| {
        if expected != found {
            let problem = format!("has another {what} in the database than in the journal");
            checks.find(Finding::differs(Kind::UploadDiffers, place.clone(), problem, expected, found));
        }
    };
    let landed = &row.landed;
    differs("name", format!("{:?}", journal.name), format!("{:?}", landed.name));
    differs("hash", journal.sha256.to_string(), landed.sha256.clone());
    differs("size", journal.bytes.to_string(), landed.bytes.to_string());
    differs("landing time", journal.landed_at.to_string(), landed.landed_at.to_string());
    let zone = landed.time_zone.as_deref();
    let is_first = !checks.journal().is_some_and(|known| known.was_retried(journal.upload));
    let is_given = checks.journal().is_some_and(|known| known.gave(journal.upload, &landed.feed, zone));
    if is_first && !is_given {
        let told = |feed: &str, zone: Option<&str>| format!("{feed} in {}", zone.unwrap_or("no zone"));
        differs("feed", told(&journal.feed, journal.time_zone.as_deref()), told(&landed.feed, zone));
    }
}

/// The books of an upload against the tables; what the tables have.
fn books(checks: &Checks<'_>, view: &View<'_>, row: &UploadRow) -> Result<Sum, ProcessError> {
    let upload = row.landed.upload;
    let place = format!("upload {upload}");
    let booked = [row.stored, row.quarantined, row.superseded];
    let total: u64 = booked.iter().sum();
    if row.rows != total || (row.status != UploadStatus::Done && total > 0) {
        let problem = format!("({}) does not balance", row.status.name());
        let rows = if row.status == UploadStatus::Done { row.rows } else { 0 };
        let found = format!("{} stored + {} quarantined + {} superseded", booked[0], booked[1], booked[2]);
        checks.find(Finding::differs(
            Kind::UploadUnbalanced,
            place.clone(),
            problem,
            format!("{rows} rows"),
            found,
        ));
    }
    let stored = checks.stored.lock().unwrap_or_else(PoisonError::into_inner).get(&upload).copied();
    let mut sum = stored.unwrap_or_default();
    let stored = sum.rows;
    let (quarantined, superseded) = rows::others(view, upload, &mut sum)?;
    for (what, booked, counted) in [
        ("stored", booked[0], stored),
        ("quarantined", booked[1], quarantined),
        ("superseded", booked[2], superseded),
    ] {
        if booked != counted {
            let problem = format!("has other {what} rows in its books than in the tables");
            checks.find(Finding::differs(Kind::UploadMiscounted, place.clone(), problem, booked, counted));
        }
    }
    Ok(sum)
}

/// Decodes the upload with the configuration that read it; findings count if none gives what is stored.
fn decoded(
    checks: &Checks<'_>,
    view: &View<'_>,
    journal: &UploadEntry,
    row: &UploadRow,
    counted: Sum,
) -> Result<(), ProcessError> {
    let _one = (row.decoded_bytes > LARGE_BYTES)
        .then(|| checks.large.lock().unwrap_or_else(PoisonError::into_inner));
    let versions =
        checks.journal().map(|known| known.candidates(journal.upload, journal.entry, view.rebuilt));
    let mut first = None;
    for version in versions.unwrap_or_default() {
        let Some(found) = under(checks, view, version, journal, row, counted)? else { continue };
        if found.is_empty() {
            checks.rows.fetch_add(row.rows, Ordering::Relaxed);
            return Ok(());
        }
        first.get_or_insert(found);
    }
    checks.find_all(first.unwrap_or_else(|| {
        let problem = "was read by a configuration that this release cannot use";
        vec![Finding::new(Kind::ConfigurationUnread, format!("upload {}", journal.upload), problem)]
    }));
    Ok(())
}

/// The findings under one version; none at all where this release cannot use it.
fn under(
    checks: &Checks<'_>,
    view: &View<'_>,
    version: &Version,
    journal: &UploadEntry,
    row: &UploadRow,
    counted: Sum,
) -> Result<Option<Vec<Finding>>, ProcessError> {
    let (Some(rules), Some(zone)) = (version.rules(), checks.zone()) else { return Ok(None) };
    let preparer = Preparer::new(zone.objects(), rules.clone(), u64::MAX);
    let upload = Upload { landed: row.landed.clone(), object: journal.sha256, retry: false };
    let job = Job { entry: 0, hash: String::new(), at: row.landed.landed_at, task: Task::Upload(upload) };
    let decoded = preparer.prepare(job)?.decoded;
    let place = format!("upload {}", journal.upload);
    let verdict = |expected: String, found: String| {
        let problem = "came to another end than its bytes do";
        Finding::differs(Kind::VerdictDiffers, place.clone(), problem, expected, found)
    };
    let ended =
        |dead: Option<&DeadLetter>| dead.map_or("done".to_owned(), |dead| format!("dead: {}", dead.code));
    Ok(Some(match (decoded, &row.dead) {
        (None, _) => Vec::new(),
        (Some(Err(letter)), Some(dead)) if letter.code == dead.code => Vec::new(),
        (Some(Err(letter)), dead) => vec![verdict(ended(Some(&letter)), ended(dead.as_ref()))],
        (Some(Ok(_)), Some(dead)) => vec![verdict(ended(None), ended(Some(dead)))],
        (Some(Ok(decoded)), None) => {
            let mut findings = coverage(view, row, &decoded, &place)?;
            let case = Case { zone, rules, journal, decoded: &decoded, counted };
            findings.extend(rows::check(checks, view, &case)?);
            findings
        }
    }))
}

/// Whether every byte is of the header, of a row or skipped, and rows are found where the index says.
fn coverage(
    view: &View<'_>,
    row: &UploadRow,
    decoded: &DecodedUpload,
    place: &str,
) -> Result<Vec<Finding>, ProcessError> {
    let mut findings = Vec::new();
    let of = &decoded.decoded.coverage;
    let covered = of.header + of.rows + of.skipped;
    if covered != decoded.bytes {
        let problem = "has bytes that are neither header nor row nor skipped";
        findings.push(Finding::differs(Kind::BytesUncovered, place, problem, decoded.bytes, covered));
    }
    if row.decoded_bytes != decoded.bytes {
        let problem = "has other decoded bytes in the database than its bytes come to";
        findings.push(Finding::differs(
            Kind::BytesUncovered,
            place,
            problem,
            decoded.bytes,
            row.decoded_bytes,
        ));
    }
    if view.snapshot.row_index(row.landed.upload)?.as_ref() != Some(&decoded.decoded.index) {
        let problem = "has another index of its rows' lines than its bytes give";
        findings.push(Finding::new(Kind::IndexDiffers, place, problem));
    }
    Ok(findings)
}
