//! The store as the archive asks for it, and the two compared.

use greenstream_core::{Reading, Ts};
use rustc_hash::FxHashMap;

use super::error::ProcessError;
use crate::archive::{Archive, Cause, ErrorRow, ReadingRow, Source};
use crate::change::Meter;
use crate::store::{Snapshot, StoreError};

/// One state of the store with its journal position.
pub struct StoreSource<'s> {
    snapshot: &'s Snapshot<'s>,
    position: u64,
    names: Vec<String>,
}

impl<'s> StoreSource<'s> {
    /// A snapshot as the archive's source.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(snapshot: &'s Snapshot<'s>) -> Result<StoreSource<'s>, StoreError> {
        let position = snapshot.position()?.entry;
        Ok(StoreSource { snapshot, position, names: names(snapshot)? })
    }

    fn name(&self, meter: Meter) -> &str {
        self.names.get(meter.0 as usize).map_or("", String::as_str)
    }
}

/// Names of all meters, by number.
pub(super) fn names(reader: &crate::store::Reader) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for (meter, name) in reader.meters()? {
        names.resize(meter.0 as usize + 1, String::new());
        names[meter.0 as usize] = name;
    }
    Ok(names)
}

impl Source for StoreSource<'_> {
    fn position(&self) -> u64 {
        self.position
    }

    fn readings(
        &self,
        day: i64,
        from_meter: Option<&str>,
        to_meter: Option<&str>,
        sink: &mut dyn FnMut(ReadingRow<'_>),
    ) -> Result<(), Cause> {
        self.snapshot.day_rows(day, from_meter, to_meter, |meter, r| sink(row(self.name(meter), &r)))?;
        Ok(())
    }

    fn errors(&self, day: Option<i64>, sink: &mut dyn FnMut(ErrorRow<'_>)) -> Result<(), Cause> {
        self.snapshot.day_errors(day, |row| {
            sink(ErrorRow {
                upload: row.upload,
                row_number: row.row_number,
                meter: row.meter.map_or(&row.meter_text, |meter| self.name(meter)),
                ts: row.ts,
                kw: row.kw,
                reason: row.reason,
                flags: row.flags,
                status: row.status,
            });
        })?;
        Ok(())
    }
}

fn row<'a>(meter: &'a str, reading: &Reading) -> ReadingRow<'a> {
    ReadingRow {
        meter,
        ts: reading.ts,
        kw: reading.kw,
        flags: reading.flags,
        upload: reading.upload,
        row_number: reading.row_number,
    }
}

/// Compares one archived UTC day with the database, reading by reading; says how many differ, and which
/// is the first.
///
/// # Errors
/// When either cannot be read.
pub fn compare_day(
    snapshot: &Snapshot<'_>,
    archive: &Archive,
    day: i64,
) -> Result<Option<(u64, String)>, ProcessError> {
    let names = names(snapshot)?;
    let mut stored: FxHashMap<(u32, Ts), Reading> = FxHashMap::default();
    snapshot.day_rows(day, None, None, |meter, reading| {
        stored.insert((meter.0, reading.ts), reading);
    })?;
    let numbers: FxHashMap<&str, u32> =
        (0..).zip(&names).map(|(number, name)| (name.as_str(), number)).collect();
    let (mut differing, mut first) = (0_u64, None);
    archive.read_readings(day, |archived| {
        let held = numbers.get(archived.meter).and_then(|number| stored.remove(&(*number, archived.ts)));
        if held.is_none_or(|held| row(archived.meter, &held) != archived) {
            differing += 1;
            first.get_or_insert_with(|| format!("meter {} at {}", archived.meter, archived.ts));
        }
    })?;
    differing += stored.len() as u64;
    if let Some((number, ts)) = stored.keys().min() {
        let name = names.get(*number as usize).map_or("", String::as_str);
        first.get_or_insert_with(|| format!("meter {name} at {ts}"));
    }
    Ok(first.map(|first| (differing, first)))
}
