//! The archive beside the database: each day of each table must hold the same rows, unless it waits to be
//! written.

use rustc_hash::{FxHashMap, FxHashSet};

use super::days::{DaySums, of_day};
use super::finding::{Finding, Kind};
use super::state::View;
use super::sum::{Sum, of_all, of_text};
use super::{Checks, is_damage};
use crate::archive::{Archive, Dataset, Error as ArchiveError};
use crate::home::Layout;
use crate::process::{ProcessError, compare_day};
use crate::store::{ArchiveTable, Snapshot, Store};

/// How often a difference is looked at again while the service writes the archive.
const TRIES: usize = 20;

/// A table's day that waits to be written.
pub type Dirty = FxHashSet<(ArchiveTable, Option<i64>)>;

/// Days that wait.
pub fn dirty(snapshot: &Snapshot<'_>) -> Result<Dirty, ProcessError> {
    Ok(snapshot.archive_dirty()?.into_iter().map(|dirty| (dirty.table, dirty.day)).collect())
}

/// Days of either table.
pub fn days(archive: &Archive) -> impl Iterator<Item = Option<i64>> {
    let of = |dataset| archive.days(dataset).into_iter().map(|files| files.day);
    of(Dataset::Readings).chain(of(Dataset::ErrorQueue))
}

/// The archive that cannot be read.
pub fn unread(home: &Layout, error: &ArchiveError) -> Finding {
    let problem = format!("cannot be read: {}", with_cause(error));
    Finding::new(Kind::ArchiveUnread, home.archive_place().to_string(), problem)
}

fn with_cause(error: &ArchiveError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// How a day of the archive differs from the database.
pub fn differs(
    view: &View<'_>,
    archive: &Archive,
    day: Option<i64>,
    dirty: &Dirty,
    sums: DaySums,
) -> Result<Option<Finding>, ProcessError> {
    if let Some(utc_day) = day.filter(|_| !dirty.contains(&(ArchiveTable::Readings, day))) {
        let mut sum = Sum::default();
        let mut meters = Meters::default();
        let read = archive.read_readings(utc_day, |row| {
            let hash = meters.hash(row.meter);
            sum.add(of_all(hash, Some(row.ts), row.kw, row.flags, (row.upload, row.row_number), 0));
        });
        if let Some(finding) = found(day, "readings", read, sums.readings, sum)? {
            let detail = compare_day(view.snapshot, archive, utc_day);
            return Ok(Some(detailed(finding, detail)));
        }
    }
    if dirty.contains(&(ArchiveTable::ErrorQueue, day)) {
        return Ok(None);
    }
    let mut sum = Sum::default();
    let read = archive.read_errors(day, |row| {
        let codes = (row.reason as u64) << 8 | row.status as u64;
        sum.add(of_all(of_text(row.meter), row.ts, row.kw, row.flags, (row.upload, row.row_number), codes));
    });
    found(day, "error_queue", read, sums.errors, sum)
}

/// Hashes of meters; rows of one stand together.
#[derive(Default)]
struct Meters {
    last: String,
    hash: u64,
}

impl Meters {
    fn hash(&mut self, meter: &str) -> u64 {
        if self.last != meter || self.hash == 0 {
            self.last.clear();
            self.last.push_str(meter);
            self.hash = of_text(meter);
        }
        self.hash
    }
}

fn found(
    day: Option<i64>,
    table: &str,
    read: Result<(), ArchiveError>,
    stored: Sum,
    archived: Sum,
) -> Result<Option<Finding>, ProcessError> {
    let place = format!("archive/{table}/date={}", date(day));
    match read {
        Err(error) if is_damage(&error) => Ok(Some(Finding::new(
            Kind::ArchiveFileDamaged,
            place,
            format!("has a file that is not whole: {error}"),
        ))),
        Err(error) => Err(error.into()),
        Ok(()) if stored == archived => Ok(None),
        Ok(()) => {
            let (expected, found) = (format!("{} rows", stored.rows), format!("{} rows", archived.rows));
            let problem = "does not hold the rows of the database";
            Ok(Some(Finding::differs(Kind::ArchiveDiffers, place, problem, expected, found)))
        }
    }
}

/// Adds the first reading that differs, where it can be told.
fn detailed(finding: Finding, detail: Result<Option<(u64, String)>, ProcessError>) -> Finding {
    match detail {
        Ok(Some((differing, first))) if finding.kind == Kind::ArchiveDiffers => {
            let problem = format!("{}: {differing} readings differ, the first: {first}", finding.problem);
            Finding { problem, ..finding }
        }
        _ => finding,
    }
}

fn date(day: Option<i64>) -> String {
    let Some(day) = day else { return "__HIVE_DEFAULT_PARTITION__".to_owned() };
    let (year, month, date) = greenstream_core::civil_from_days(day);
    format!("{year:04}-{month:02}-{date:02}")
}

/// Looks at a day again, in a state of the database that lies between two looks at an archive that did not
/// change meanwhile: what the service wrote since the first look is no finding.
pub fn confirm(checks: &Checks<'_>, day: Option<i64>) -> Result<Option<Finding>, ProcessError> {
    let look = || Archive::look(checks.home.archive_place().clone());
    let mut last = None;
    for _ in 0..TRIES {
        let before = match look() {
            Ok(archive) => archive,
            Err(error) => return Ok(Some(unread(checks.home, &error))),
        };
        let reader = Store::reader(checks.home.database())?;
        let snapshot = reader.snapshot()?;
        let view = super::state::view(&snapshot)?;
        let sums = of_day(&view, day, &mut FxHashMap::default())?;
        last = differs(&view, &before, day, &dirty(&snapshot)?, sums)?;
        let is_settled = look().is_ok_and(|after| after.versions() == before.versions());
        if last.is_none() || is_settled {
            return Ok(last);
        }
    }
    Ok(last)
}
