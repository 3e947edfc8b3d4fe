//! The thread that keeps the archive: takes committed change sets, and decides when to write.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use greenstream_core::SECOND;

use super::error::{ProcessError, with_causes};
use super::mirror::{self, StoreSource};
use crate::archive::{Archive, Error as ArchiveError, Known, MeterNames, Mode};
use crate::change::{ChangeSet, Meter};
use crate::clock;
use crate::config::File;
use crate::fence::Fence;
use crate::objects::Place;
use crate::outage::{Outages, Part, pauses, room};
use crate::queue::{Popped, Queue};
use crate::store::{Database, Reader, Store};

/// How long a set that is committed may take to arrive.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

/// Owns the archive of one home.
pub struct Archivist {
    place: Place,
    archive: Archive,
    reader: Reader,
    store: Arc<Mutex<Store>>,
    names: Names,
    /// Longest time from a commit to the archive.
    lag: Duration,
    closed_wait_micros: i64,
    retention: Duration,
    buffer_bytes: usize,
    /// When the first change that is not in the archive was taken.
    waiting_since: Option<Instant>,
    /// After a failure: when to try again, and the pauses from there on.
    retry: Option<(Instant, Pauses)>,
    outages: Arc<Outages>,
    /// When to look for replaced files; none while nothing has been replaced since the last look.
    vacuum_at: Option<Instant>,
}

type Pauses = Box<dyn Iterator<Item = Duration> + Send>;

/// Names of the meters that the store knew when the archive was opened.
struct Names(Vec<String>);

impl MeterNames for Names {
    fn name(&self, meter: Meter) -> Option<&str> {
        self.0.get(meter.0 as usize).map(String::as_str).filter(|name| !name.is_empty())
    }
}

impl Archivist {
    /// Opens (or begins) the archive at `place` beside the database at `database`.
    ///
    /// # Errors
    /// When either cannot be read. An archive that is ahead of its database is begun anew.
    pub fn open(
        place: &Place,
        database: &Database,
        store: Arc<Mutex<Store>>,
        config: &File,
        fence: Fence,
        outages: Arc<Outages>,
    ) -> Result<Archivist, ProcessError> {
        let reader = Store::reader(database)?;
        let archive = open_archive(place, &reader, &fence)?;
        let waiting_since = archive.waiting_days().next().map(|_| Instant::now());
        let names = mirror::names(&reader)?;
        Ok(Archivist {
            place: place.clone(),
            waiting_since,
            archive,
            reader,
            store,
            names: Names(names),
            lag: Duration::from_secs(config.archive.lag_seconds),
            closed_wait_micros: micros(config.archive.closed_day_lag_seconds),
            retention: Duration::from_secs(config.archive.retention_seconds),
            buffer_bytes: config.sizes.archive_buffer_bytes,
            retry: None,
            outages,
            // whoever had the archive before may have left some
            vacuum_at: Some(Instant::now() + Duration::from_secs(config.archive.lag_seconds.max(1))),
        })
    }

    /// Takes a committed change set.
    pub fn take(&mut self, set: &Arc<ChangeSet>) {
        self.archive.apply(set, &self.names);
        if self.waiting_since.is_none() && self.archive.waiting_days().next().is_some() {
            self.waiting_since = Some(Instant::now());
        }
    }

    /// Writes what is due. `sets` holds what is committed and not taken yet.
    ///
    /// # Errors
    /// Only what no retry mends; a target that is away is tried again later.
    pub fn tend(&mut self, sets: &Queue<Arc<ChangeSet>>) -> Result<(), ProcessError> {
        if self.retry.as_ref().is_some_and(|(at, _)| Instant::now() < *at) {
            return Ok(());
        }
        let full = self.archive.buffered_bytes() > self.buffer_bytes;
        let due = self.waiting_since.is_some_and(|since| since.elapsed() >= self.lag);
        if full {
            // three quarters: a flush that frees little would be due again at once
            self.attempt(sets, Mode::Bytes(self.buffer_bytes / 4 * 3))?;
        } else if due {
            self.attempt(sets, Mode::Lag { closed_wait: self.closed_wait_micros })?;
        }
        if self.vacuum_at.is_some_and(|at| Instant::now() >= at) {
            self.vacuum();
        }
        Ok(())
    }

    /// Removes replaced files whose time is over. A look lists everything, which costs where the archive is a
    /// bucket: there is none before it can find something to remove.
    fn vacuum(&mut self) {
        self.vacuum_at = match self.archive.vacuum(clock::now(), micros(self.retention.as_secs())) {
            Ok(vacuumed) => {
                (vacuumed.kept > 0).then(|| Instant::now() + self.look_wait().max(self.retention))
            }
            Err(error) => {
                tracing::warn!(%error, "old files of the archive stay for now");
                Some(Instant::now() + self.look_wait())
            }
        };
    }

    /// From a write to a look for what it replaced: as often as is written, not more than once a second.
    fn look_wait(&self) -> Duration {
        self.lag.max(Duration::from_secs(1))
    }

    /// Writes everything, and removes every file that is not live: the state at rest.
    ///
    /// # Errors
    /// The archive's and the database's own.
    pub fn finish(&mut self) -> Result<(), ProcessError> {
        let none = Queue::new(1);
        none.close();
        self.flush(&none, Mode::All)?;
        self.archive.vacuum(clock::now(), 0)?;
        Ok(())
    }

    fn attempt(&mut self, sets: &Queue<Arc<ChangeSet>>, mode: Mode) -> Result<(), ProcessError> {
        match self.flush(sets, mode) {
            Ok(()) => {
                self.retry = None;
                self.outages.works(Part::Archive);
                Ok(())
            }
            Err(error) if error.is_transient() => {
                if error.part() == Part::Archive {
                    let needed = match &self.place {
                        Place::Folder(folder) => room(folder, self.archive.buffered_bytes() as u64),
                        Place::Bucket(_) => String::new(),
                    };
                    self.outages.fail(Part::Archive, with_causes(&error) + &needed, &error.hint());
                } else {
                    tracing::warn!(%error, "the state of the archive cannot be noted; trying again");
                }
                let mut pauses =
                    self.retry.take().map_or_else(|| Box::new(pauses()) as Pauses, |(_, rest)| rest);
                let pause = pauses.next().unwrap_or_default();
                self.retry = Some((Instant::now() + pause, pauses));
                if self.archive.buffered_bytes() > 2 * self.buffer_bytes {
                    // the store knows what the buffer holds
                    self.archive.leave_to_source();
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Holds a snapshot of the store, takes every change set up to it, and writes.
    fn flush(&mut self, sets: &Queue<Arc<ChangeSet>>, mode: Mode) -> Result<(), ProcessError> {
        let snapshot = self.reader.snapshot()?;
        let position = snapshot.position()?.entry;
        while self.archive.applied() < position {
            match sets.pop_batch(1, ARRIVAL_MAX) {
                Popped::Items(items) => {
                    for set in items {
                        self.archive.apply(&set, &self.names);
                    }
                }
                Popped::Nothing | Popped::Closed => {
                    return Err(ProcessError::Internal(format!(
                        "committed changes up to journal entry {position} did not reach the archive"
                    )));
                }
            }
        }
        let flushed = self.archive.flush(&StoreSource::new(&snapshot)?, mode, clock::now());
        drop(snapshot);
        // one that broke off may have left files, too
        if !flushed.as_ref().is_ok_and(|flushed| flushed.days.is_empty()) {
            let at = Instant::now() + self.look_wait();
            self.vacuum_at.get_or_insert(at);
        }
        let flushed = flushed?;
        tracing::debug!(
            position = flushed.position,
            days = flushed.days.len(),
            files = flushed.files,
            rows = flushed.rows,
            bytes = flushed.bytes,
            "archive written"
        );
        self.waiting_since = (!flushed.waiting.is_empty()).then(Instant::now);
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(store.archive_clean(flushed.position)?)
    }
}

fn open_archive(place: &Place, reader: &Reader, fence: &Fence) -> Result<Archive, ProcessError> {
    let snapshot = reader.snapshot()?;
    let dirty: Vec<i64> = snapshot.archive_dirty()?.into_iter().filter_map(|dirty| dirty.day).collect();
    let days = snapshot.utc_days()?;
    let known = Known { position: snapshot.position()?.entry, days: &days, dirty: &dirty };
    fence.check()?;
    let mut archive = match Archive::open(place.clone(), &known, clock::now()) {
        Err(ArchiveError::Ahead { archive, store }) => {
            tracing::warn!(archive, store, "the archive is ahead of the database; it is written anew");
            Archive::create_fresh(place.clone(), &known, clock::now())?
        }
        opened => opened?,
    };
    archive.fenced_by(fence.clone());
    Ok(archive)
}

fn micros(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(SECOND)
}
