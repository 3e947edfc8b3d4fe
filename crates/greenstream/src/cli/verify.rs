//! `verify`: journal, landed bytes, books, and database against archive; exit 1 with each finding.

use std::process::ExitCode;

use super::failure::exit;
use super::{Cli, Failure, open};
use crate::archive::{Archive, Known};
use crate::clock;
use crate::home::Home;
use crate::landing::{self, Zone};
use crate::store::{Filter, Reader, Store, StoreError, UploadStatus};
use crate::text::count;

/// Carries out `verify`.
pub fn verify(cli: &Cli) -> Result<ExitCode, Failure> {
    open::check_landed(cli)?;
    let home = Home::open(&cli.home, "greenstream verify")?;
    let mut findings: Vec<String> = Vec::new();
    let reader = home.database().exists().then(|| Store::reader(&home.database())).transpose()?;
    let head = reader.as_ref().map(Reader::position).transpose()?.filter(|position| position.entry > 0);
    let expected = head.map(|position| (position.entry, position.entry_hash));
    let objects = verify_landing(&home, expected.as_ref(), &mut findings)?;
    if let Some(reader) = &reader {
        verify_books(reader, &mut findings)?;
        let days = verify_archive(&home, reader, &mut findings)?;
        println!("{} uploads, {} archived days checked", count(objects), count(days));
    }
    for finding in &findings {
        println!("finding: {finding}");
    }
    if findings.is_empty() {
        println!("no findings: journal, landed bytes, books and archive are whole");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(exit::FINDING))
}

fn verify_landing(
    home: &Home,
    expected: Option<&(u64, String)>,
    findings: &mut Vec<String>,
) -> Result<u64, Failure> {
    let uploads = Zone::look(&home.landing()).map_or(0, |zone| zone.uploads().len() as u64);
    let bar = open::bar(0, "verifying");
    let found = landing::verify(
        &home.landing(),
        expected.map(|(entry, hash)| (*entry, hash.as_str())),
        &|progress| {
            bar.set_length(progress.total as u64);
            bar.set_position(progress.done as u64);
        },
    );
    bar.finish_and_clear();
    findings.extend(found?.into_iter().map(|finding| finding.to_string()));
    Ok(uploads)
}

/// rows = stored + quarantined + superseded, by the counters and by counting.
fn verify_books(reader: &Reader, findings: &mut Vec<String>) -> Result<(), Failure> {
    reader.uploads::<StoreError>(&Filter::default(), &mut |row| {
        let sum = row.stored + row.quarantined + row.superseded;
        if row.status == UploadStatus::Done && row.rows != sum {
            findings.push(format!(
                "upload {}: {} rows, but {} stored + {} quarantined + {} superseded",
                row.landed.upload, row.rows, row.stored, row.quarantined, row.superseded
            ));
        }
        Ok(())
    })?;
    let totals = reader.totals()?;
    let counted = reader.count_rows()?;
    for (what, booked, counted) in [
        ("stored", totals.stored, counted.stored),
        ("quarantined", totals.quarantined, counted.quarantined),
        ("superseded", totals.superseded, counted.superseded),
    ] {
        if booked != counted {
            findings.push(format!("the books have {booked} {what} rows, the tables {counted}"));
        }
    }
    Ok(())
}

/// Every archived day against the database, reading by reading.
fn verify_archive(home: &Home, reader: &Reader, findings: &mut Vec<String>) -> Result<u64, Failure> {
    let snapshot = reader.snapshot()?;
    let days = snapshot.utc_days()?;
    let dirty: Vec<i64> = snapshot.archive_dirty()?.into_iter().filter_map(|dirty| dirty.day).collect();
    let known = Known { position: snapshot.position()?.entry, days: &days, dirty: &dirty };
    let archive = Archive::open(&home.archive(), &known, clock::now())?;
    if archive.position() < known.position && dirty.is_empty() {
        findings.push(format!(
            "the archive stands at journal entry {}, the database at {}",
            archive.position(),
            known.position
        ));
    }
    let bar = open::bar(days.len() as u64, "comparing the archive");
    for day in &days {
        if !dirty.contains(day) {
            findings.extend(crate::process::compare_day(&snapshot, &archive, *day)?);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(days.len() as u64)
}
