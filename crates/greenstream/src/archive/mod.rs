//! The archive: two Delta Lake tables, a projection of the committed change sets with a position.
//!
//! `apply` takes each change set after its commit and keeps it in memory; `flush` writes what is due
//! and ends with one entry in each table's log, which names the journal position that the table then
//! reflects. What a crash loses from memory the store knows: a day of which the archive missed
//! something is written again from the store's snapshot.
//!
//! One process owns the archive (the lock of the home sees to it); readers need nothing but the files.

mod aside;
mod base;
mod buffer;
mod day;
mod depot;
mod error;
mod file;
mod flush;
mod layout;
mod log;
mod merge;
mod names;
mod narrow;
mod plan;
mod queue;
mod read;
mod roster;
mod source;
mod stats;
#[cfg(test)]
mod tests;
mod vacuum;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use greenstream_core::{Flag, Reading, Standing, Ts};
use rustc_hash::FxHashMap;
use tokio::runtime::{Builder, Runtime};

pub(crate) use self::aside::{clear_aside, is_own_volume, put_aside, unless_missing};
use self::buffer::{CHANGES, GONE, Pending};
use self::depot::Depot;
pub use self::error::{Cause, Error, Result};
pub use self::flush::Flushed;
pub use self::layout::Dataset;
pub use self::log::APP_ID;
use self::log::Table;
use self::names::Names;
pub use self::plan::Mode;
pub use self::read::DayFiles;
pub use self::source::{ErrorRow, MeterNames, ReadingRow, Source};
pub use self::vacuum::Vacuumed;
use crate::change::{ChangeSet, Meter};
use crate::failpoint::{self, Step};
use crate::fence::Fence;
use crate::objects::Place;

/// What the store knows when the archive is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// The store's journal position.
    pub position: u64,
    /// UTC days (since 1970-01-01) that hold readings or entries of the error queue.
    pub days: &'a [i64],
    /// Days that changed after the archive's position, as far as the store can tell; more do no harm.
    pub dirty: &'a [i64],
}

/// The archive, open for writing.
pub struct Archive {
    runtime: Runtime,
    readings: Table,
    errors: Table,
    names: Names,
    pending: BTreeMap<Option<i64>, Pending>,
    overlapping_since: BTreeMap<i64, Ts>,
    /// When files that are no longer live were replaced, or first seen.
    dead: FxHashMap<PathBuf, Ts>,
    /// The last change set that was applied, or the store's position at opening.
    applied: u64,
    buffered: usize,
    /// Files of one day that the flush at hand encodes at once.
    encoders: usize,
    fence: Fence,
}

impl Archive {
    /// Opens the archive in a folder or bucket, making the tables that are not there. Days that the
    /// store marks dirty, and days it knows and the archive does not, will be written from the store
    /// by the next flush.
    ///
    /// # Errors
    /// When the folder or a log cannot be read or written, or ([`Error::Ahead`]) when the archive
    /// reflects a later position than the store, which calls for [`Archive::create_fresh`].
    pub fn open(place: impl Into<Place>, known: &Known<'_>, now: Ts) -> Result<Archive> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|source| Error::Runtime { source })?;
        let place = place.into();
        if let Place::Folder(dir) = &place {
            fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        }
        let depot = found(&place)?;
        let table = |dataset: Dataset| {
            let table = depot.below(dataset.name());
            table.clear_aside().map_err(Error::io("remove what was put aside of", table.dir()))?;
            let open = || Table::open(&runtime, table, dataset, now);
            failpoint::around(Step::ArchiveOpen, Error::failing, open)
        };
        let (readings, errors) = (table(Dataset::Readings)?, table(Dataset::ErrorQueue)?);
        let position = readings.position.max(errors.position);
        if position > known.position {
            return Err(Error::Ahead { archive: position, store: known.position });
        }
        let mut archive = Archive::over(runtime, readings, errors, known.position);
        let next = archive.position() + 1;
        // where one table was lost, what the other knows says nothing
        let one_is_new = (archive.readings.position == 0) != (archive.errors.position == 0);
        let unknown = |day: &&i64| {
            let day = Some(**day);
            one_is_new || !archive.readings.live.contains_key(&day) && !archive.errors.live.contains_key(&day)
        };
        let mut days: Vec<Option<i64>> = known.dirty.iter().copied().map(Some).collect();
        days.extend(known.days.iter().filter(unknown).copied().map(Some));
        if archive.position() < known.position {
            days.push(None);
        }
        archive.pending.extend(days.into_iter().map(|day| (day, Pending::unwatched(next))));
        Ok(archive)
    }

    /// The archive as it is, for reading beside its owner: nothing is made, mended or removed.
    /// It does not know what waits.
    ///
    /// # Errors
    /// When a log is missing or cannot be read.
    pub fn look(place: impl Into<Place>) -> Result<Archive> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|source| Error::Runtime { source })?;
        let depot = found(&place.into())?;
        let table = |dataset: Dataset| Table::look(&runtime, depot.below(dataset.name()), dataset);
        let (readings, errors) = (table(Dataset::Readings)?, table(Dataset::ErrorQueue)?);
        let position = readings.position.max(errors.position);
        Ok(Archive::over(runtime, readings, errors, position))
    }

    fn over(runtime: Runtime, readings: Table, errors: Table, applied: u64) -> Archive {
        Archive {
            runtime,
            readings,
            errors,
            names: Names::default(),
            pending: BTreeMap::new(),
            overlapping_since: BTreeMap::new(),
            dead: FxHashMap::default(),
            applied,
            buffered: 0,
            encoders: 1,
            fence: Fence::NONE,
        }
    }

    /// The last entries of the two logs: another commit of either changes them.
    pub fn versions(&self) -> (u64, u64) {
        (self.readings.version(), self.errors.version())
    }

    /// Removes the archive with all its files and begins an empty one, into which the next
    /// flush writes every day that the store knows.
    ///
    /// # Errors
    /// As [`Archive::open`]. After a crash in between, `open` finds an archive that begins anew.
    pub fn create_fresh(place: impl Into<Place>, known: &Known<'_>, now: Ts) -> Result<Archive> {
        let place = place.into();
        Archive::remove(&place)?;
        Archive::open(place, known, now)
    }

    /// Removes the archive with all its files.
    ///
    /// # Errors
    /// [`Error::Io`]; the next [`Archive::open`] goes on with it.
    pub fn remove(place: &Place) -> Result<()> {
        for dataset in [Dataset::Readings, Dataset::ErrorQueue] {
            let table = Depot::of(place).below(dataset.name());
            table.take_away().map_err(Error::io("remove", table.dir()))?;
        }
        Ok(())
    }

    /// Lets every commit and every removal look first whether the home is still this process's.
    pub fn fenced_by(&mut self, fence: Fence) {
        self.fence = fence;
    }

    /// The journal position up to which both tables hold every change; 0 when they are new.
    pub fn position(&self) -> u64 {
        self.readings.position.min(self.errors.position)
    }

    /// The last change set that was applied, or the store's position at opening.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// What the changes that wait take in memory, in bytes.
    pub fn buffered_bytes(&self) -> usize {
        self.buffered
    }

    /// Forgets the changes that wait in memory, which the source will give: while the archive is away they
    /// would grow without a bound.
    pub fn leave_to_source(&mut self) {
        for pending in self.pending.values_mut() {
            self.buffered -= pending.leave_to_source();
        }
    }

    /// Days with changes that are not in the archive yet; `None` stands for the rows of the error
    /// queue without an instant.
    pub fn waiting_days(&self) -> impl Iterator<Item = Option<i64>> + '_ {
        self.pending.keys().copied()
    }

    /// Takes a change set that the store has committed; call it once for each, in their order. A set
    /// at or before the last one is ignored.
    pub fn apply(&mut self, set: &Arc<ChangeSet>, names: &dyn MeterNames) {
        if set.entry <= self.applied {
            return;
        }
        self.applied = set.entry;
        self.names.learn(set);
        self.take_inserted(set, names);
        for replaced in &set.replaced {
            let accepted = |reading: &Option<Reading>| reading.filter(|r| r.standing == Standing::Accepted);
            let (before, after) = (accepted(&replaced.before), accepted(&replaced.after));
            match (before, after) {
                (None, Some(after)) => self.put(set.entry, replaced.meter, &after, 0, names),
                (Some(_), Some(after)) => self.put(set.entry, replaced.meter, &after, CHANGES, names),
                (Some(before), None) => self.put(set.entry, replaced.meter, &before, GONE, names),
                (None, None) => {}
            }
            let both = [replaced.before, replaced.after];
            for reading in both.iter().flatten().filter(|reading| is_queued(reading)) {
                self.mark_errors(set.entry, Some(reading.ts));
            }
        }
        for ts in set.rejects.iter().map(|row| row.ts).chain(set.decisions.iter().map(|row| row.ts)) {
            self.mark_errors(set.entry, ts);
        }
    }

    /// The bulk of a change set: its readings are sorted by hour, so a day's stand together.
    fn take_inserted(&mut self, set: &ChangeSet, names: &dyn MeterNames) {
        for run in set.inserted.chunk_by(|(_, a), (_, b)| a.ts.day() == b.ts.day()) {
            let Some((_, first)) = run.first() else { continue };
            let day = Some(first.ts.day());
            let pending = self.pending.entry(day).or_insert_with(|| Pending::tracked(set.entry));
            for (meter, reading) in run {
                if pending.from_source {
                    break;
                }
                if self.names.knows(*meter, names) {
                    self.buffered += pending.overlay.push(*meter, reading, 0);
                } else {
                    self.buffered -= pending.leave_to_source();
                }
            }
        }
    }

    fn put(&mut self, entry: u64, meter: Meter, reading: &Reading, bits: u16, names: &dyn MeterNames) {
        let day = Some(reading.ts.day());
        let pending = self.pending.entry(day).or_insert_with(|| Pending::tracked(entry));
        if pending.from_source {
            return;
        }
        if self.names.knows(meter, names) {
            self.buffered += pending.overlay.push(meter, reading, bits);
        } else {
            self.buffered -= pending.leave_to_source();
        }
    }

    fn mark_errors(&mut self, entry: u64, ts: Option<Ts>) {
        let day = ts.map(Ts::day);
        self.pending.entry(day).or_insert_with(|| Pending::tracked(entry)).errors = true;
    }
}

/// Where the tables are; a folder by its whole path, as the library wants it.
fn found(place: &Place) -> Result<Depot> {
    match place {
        Place::Folder(dir) => {
            Ok(Depot::of(&Place::Folder(dir.canonicalize().map_err(Error::io("find", dir))?)))
        }
        Place::Bucket(_) => Ok(Depot::of(place)),
    }
}

/// Whether a reading's row stands in the error queue, or an operator's decision about it does.
fn is_queued(reading: &Reading) -> bool {
    let flags = reading.flags;
    reading.standing != Standing::Accepted || flags.has(Flag::Released) || flags.has(Flag::Edited)
}
