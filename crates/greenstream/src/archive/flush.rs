//! Writes what is due: data files first, then one entry in each table's log.

use std::collections::BTreeMap;

use greenstream_core::Ts;

use super::buffer::Overlay;
use super::day::{self, Target};
use super::error::{Error, Result};
use super::file::DataFile;
use super::layout::folder;
use super::log::{Commit, Table};
use super::plan::{self, Mode, Shape};
use super::source::Source;
use super::{Archive, queue};
use crate::failpoint::{self, Step};
use crate::fence::Fence;

/// What a flush has done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Flushed {
    /// The journal position up to which the archive holds every change.
    pub position: u64,
    /// Days written; `None` stands for the rows of the error queue without an instant.
    pub days: Vec<Option<i64>>,
    /// Days whose changes still wait.
    pub waiting: Vec<Option<i64>>,
    /// Files written.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Archive {
    /// Writes what `mode` asks for and commits it to both tables. Every change set up to
    /// `source.position()` must have been applied, and none after it.
    ///
    /// Days that wait keep the tables' position below theirs; each log entry names them.
    ///
    /// # Errors
    /// When the store cannot be read or the archive cannot be written. Nothing is lost then: the
    /// changes stay in memory, and the next flush writes them (files of a failed one are left to
    /// [`Archive::vacuum`]).
    pub fn flush(&mut self, source: &dyn Source, mode: Mode, now: Ts) -> Result<Flushed> {
        let (snapshot, applied) = (source.position(), self.applied);
        if snapshot != applied {
            return Err(Error::Position { snapshot, applied });
        }
        for table in [&mut self.readings, &mut self.errors] {
            if table.stale {
                table.reload(&self.runtime)?;
            }
        }
        self.encoders = mode.encoders();
        let live = &self.readings.live;
        let days = plan::choose(mode, &mut self.pending, live, &mut self.overlapping_since, now);
        let write = || self.write_days(&days, source);
        let (mut readings, mut errors) = failpoint::around(Step::ArchiveWrite, Error::failing, write)?;
        let waiting: Vec<_> = self.pending.keys().filter(|day| !days.contains_key(*day)).copied().collect();
        let first = waiting.iter().filter_map(|day| self.pending.get(day)).map(|day| day.first_entry).min();
        let position = first.map_or(applied, |entry| entry - 1).max(self.position());
        let mut flushed = Flushed { position, waiting, ..Flushed::default() };
        if days.is_empty() && position == self.position() {
            return Ok(flushed);
        }
        for commit in [&mut readings, &mut errors] {
            commit.position = position;
            commit.reaches = applied;
            commit.waiting.clone_from(&flushed.waiting);
        }
        if let Err(lost) = self.fence.check() {
            self.discard(&readings, &errors);
            return Err(lost.into());
        }
        self.mark_unsure(&days);
        commit(&mut self.readings, &readings, &self.fence, now)?;
        commit(&mut self.errors, &errors, &self.fence, now)?;
        self.forget(&days, [&readings, &errors], now);
        flushed.days = days.into_keys().collect();
        for (_, file) in readings.adds.iter().chain(&errors.adds) {
            flushed.files += 1;
            flushed.rows += file.stats.rows;
            flushed.bytes += file.size;
        }
        self.fence.check()?;
        for table in [&self.readings, &self.errors] {
            if let Err(error) = table.checkpoint(&self.runtime, now) {
                // Only readers' speed depends on it, and the next one is not far.
                tracing::warn!(table = table.dataset.name(), %error, "no checkpoint of the archive");
            }
        }
        Ok(flushed)
    }

    /// Writes the files of all days; removes them again where one fails. Readings that are in memory are
    /// merged by a thread of their own, while this one asks the source for the error queue.
    pub(super) fn write_days(
        &self,
        days: &BTreeMap<Option<i64>, Shape>,
        source: &dyn Source,
    ) -> Result<(Commit, Commit)> {
        let (mut readings, mut errors) = (Commit::default(), Commit::default());
        let (merged, queued) = std::thread::scope(|scope| {
            let merging = scope.spawn(|| self.merge_days(days, &mut readings));
            let queued = days.keys().try_for_each(|day| self.write_errors(*day, source, &mut errors));
            let merged = merging.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (merged, queued)
        });
        let result = queued.and(merged).and_then(|left| {
            left.into_iter().try_for_each(|day| self.write_from_source(day, source, &mut readings))
        });
        if let Err(error) = result {
            self.discard(&readings, &errors);
            return Err(error);
        }
        Ok((readings, errors))
    }

    /// Removes files that no commit will name.
    fn discard(&self, readings: &Commit, errors: &Commit) {
        for (table, commit) in [(&self.readings, readings), (&self.errors, errors)] {
            for (_, file) in &commit.adds {
                // What stays is an orphan for the vacuum.
                let _ = table.depot.remove(&table.dir().join(&file.path));
            }
        }
    }

    /// Writes the readings of the days whose changes are in memory. Returns the others, which the source
    /// has to give.
    fn merge_days(&self, days: &BTreeMap<Option<i64>, Shape>, commit: &mut Commit) -> Result<Vec<i64>> {
        let mut left = Vec::new();
        for (day, shape) in days {
            let Some(number) = *day else { continue };
            if self.pending.get(day).is_some_and(|pending| pending.from_source) {
                left.push(number);
                continue;
            }
            match self.merge_day(number, *shape, commit) {
                Err(error @ Error::Damaged { .. }) => {
                    tracing::error!(%error, "a damaged file of the archive is written anew");
                    left.push(number);
                }
                result => result?,
            }
        }
        Ok(left)
    }

    /// Writes what changed of a day's readings over the files that held them.
    fn merge_day(&self, number: i64, shape: Shape, commit: &mut Commit) -> Result<()> {
        let day = Some(number);
        let none = Overlay::default();
        let pending = self.pending.get(&day);
        let live = self.readings.live.get(&day).map_or(&[][..], Vec::as_slice);
        let overlay = pending.map_or(&none, |pending| &pending.overlay);
        let unsure = pending.is_some_and(|pending| pending.unsure);
        let taken = plan::replaced(live, overlay, &self.names, shape, unsure);
        if taken.is_empty() && overlay.rows() == 0 {
            return Ok(());
        }
        let removes: Vec<DataFile> = taken.iter().map(|at| live[*at].clone()).collect();
        let stays = |(at, _): &(usize, &DataFile)| shape == Shape::Disjoint && !taken.contains(at);
        let borders: Vec<&str> = live.iter().enumerate().filter(stays).filter_map(begins).collect();
        let target = self.target(number);
        let adds = day::merge(&target, &removes, &borders, overlay, &self.names)?;
        commit.rows_change |= overlay.rows() > 0;
        replace(commit, day, removes, adds);
        Ok(())
    }

    fn target(&self, day: i64) -> Target<'_> {
        Target { depot: &self.readings.depot, day, position: self.applied, encoders: self.encoders }
    }

    /// Writes a day's readings as the source has them.
    fn write_from_source(&self, number: i64, source: &dyn Source, commit: &mut Commit) -> Result<()> {
        let target = self.target(number);
        let adds = day::from_source(&target, source)?;
        let removes = self.readings.live.get(&Some(number)).cloned().unwrap_or_default();
        commit.rows_change = true;
        replace(commit, Some(number), removes, adds);
        Ok(())
    }

    fn write_errors(&self, day: Option<i64>, source: &dyn Source, commit: &mut Commit) -> Result<()> {
        if !self.pending.get(&day).is_some_and(|pending| pending.errors) {
            return Ok(());
        }
        let adds = queue::write(&self.errors.depot, day, self.applied, source)?;
        let removes = self.errors.live.get(&day).cloned().unwrap_or_default();
        commit.rows_change = true;
        replace(commit, day, removes, adds);
        Ok(())
    }

    /// From here on a failure leaves it open whether the archive holds these changes.
    fn mark_unsure(&mut self, days: &BTreeMap<Option<i64>, Shape>) {
        for (day, pending) in &mut self.pending {
            pending.unsure |= days.contains_key(day);
        }
    }

    /// Drops what is in the archive now, and remembers which files are no longer live.
    fn forget(&mut self, days: &BTreeMap<Option<i64>, Shape>, commits: [&Commit; 2], now: Ts) {
        self.pending.retain(|day, _| !days.contains_key(day));
        self.buffered = self.pending.values().map(|pending| pending.overlay.bytes()).sum();
        for (table, commit) in [&self.readings, &self.errors].into_iter().zip(commits) {
            for (_, file) in &commit.removes {
                self.dead.insert(table.dir().join(&file.path), now);
            }
        }
    }
}

/// Puts a day's new files in the place of others.
fn replace(commit: &mut Commit, day: Option<i64>, removes: Vec<DataFile>, adds: Vec<DataFile>) {
    commit.adds.extend(adds.into_iter().map(|file| (day, file)));
    commit.removes.extend(removes.into_iter().map(|file| (day, file)));
}

fn begins((_, file): (usize, &DataFile)) -> Option<&str> {
    file.stats.meters.as_ref().map(|(first, _)| first.as_str())
}

/// Makes the names of new files durable, then the entry that makes them count.
fn commit(table: &mut Table, commit: &Commit, fence: &Fence, now: Ts) -> Result<()> {
    let mut folders: Vec<String> = commit.adds.iter().map(|(day, _)| folder(*day)).collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in &folders {
        table.depot.sync_folder(&table.dir().join(folder))?;
    }
    if !folders.is_empty() {
        table.depot.sync_folder(table.dir())?;
    }
    fence.check()?;
    failpoint::around(Step::ArchiveCommit, Error::failing, || table.commit(commit, now))
}
