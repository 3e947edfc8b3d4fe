//! One state of the database, seen by several threads: each has a snapshot of its own, all at one position.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::{Barrier, Mutex, PoisonError};

use rustc_hash::FxHashSet;

use super::{Checks, days, uploads};
use crate::process::ProcessError;
use crate::store::{Reader, Snapshot, Store};

/// How often threads look for one state before they give up. The service commits a few times a second at
/// most for longer than a snapshot takes.
const TRIES: usize = 1_000;

/// Where the threads meet.
struct Meeting {
    barrier: Barrier,
    positions: Mutex<Vec<Option<u64>>>,
    day: AtomicUsize,
    upload: AtomicUsize,
}

/// What one thread sees.
pub struct View<'s> {
    /// The state.
    pub snapshot: &'s Snapshot<'s>,
    /// Its journal position.
    pub position: u64,
    /// Meters' ids by their numbers.
    pub names: Vec<String>,
    /// The ids as numbers.
    pub hashes: Vec<u64>,
    /// Rows about which a decision stands: they are not what decode says of them.
    pub decided: FxHashSet<(u32, u32)>,
    /// The configuration that everything was judged by at the last rebuild.
    pub rebuilt: Option<u32>,
}

impl View<'_> {
    /// A meter's id; empty for a number that was never given.
    pub fn name(&self, meter: crate::change::Meter) -> &str {
        self.names.get(meter.0 as usize).map_or("", String::as_str)
    }

    /// A meter's id as a number; 0 for a meter's number that was never given.
    pub fn hash(&self, meter: crate::change::Meter) -> u64 {
        self.hashes.get(meter.0 as usize).copied().unwrap_or(0)
    }
}

/// Connections to a server at the most: Debian's takes 97, of all programs.
const CONNECTIONS_MAX: usize = 8;

/// Checks days, then uploads, on all cores.
pub fn check(checks: &Checks<'_>) -> Result<(), ProcessError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let database = checks.home.database();
    // a server has connections for others, too
    let cores = if database.file().is_some() { cores } else { cores.min(CONNECTIONS_MAX) };
    let readers = (0..cores).map(|_| Store::reader(database)).collect::<Result<Vec<_>, _>>()?;
    let meeting = Meeting {
        barrier: Barrier::new(cores),
        positions: Mutex::new(vec![None; cores]),
        day: AtomicUsize::new(0),
        upload: AtomicUsize::new(1),
    };
    std::thread::scope(|scope| {
        let meeting = &meeting;
        let threads: Vec<_> = readers
            .into_iter()
            .enumerate()
            .map(|(place, reader)| scope.spawn(move || one_thread(checks, meeting, place, &reader)))
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(panicked())))
    })
}

fn panicked() -> ProcessError {
    ProcessError::Internal("verification panicked".to_owned())
}

/// Every thread comes to every meeting, whatever befalls it, or the others would wait for ever.
fn one_thread(
    checks: &Checks<'_>,
    meeting: &Meeting,
    place: usize,
    reader: &Reader,
) -> Result<(), ProcessError> {
    let snapshot = agree(meeting, place, reader)?;
    // the journal comes after the state, so that it knows all that the database knows
    let looked = if place == 0 { guarded(|| checks.look()) } else { Ok(()) };
    meeting.barrier.wait();
    let view = looked.and_then(|()| guarded(|| view(&snapshot)));
    let days = match &view {
        Ok(view) => guarded(|| days::check(checks, view, &meeting.day)),
        Err(_) => Ok(()),
    };
    meeting.barrier.wait();
    days?;
    let view = view?;
    guarded(|| uploads::check(checks, &view, &meeting.upload))
}

fn guarded<T>(work: impl FnOnce() -> Result<T, ProcessError>) -> Result<T, ProcessError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked()))
}

/// A snapshot at the position at which every other thread has one.
fn agree<'r>(meeting: &Meeting, place: usize, reader: &'r Reader) -> Result<Snapshot<'r>, ProcessError> {
    for _ in 0..TRIES {
        let found = reader.snapshot().and_then(|snapshot| Ok((snapshot.position()?.entry, snapshot)));
        let position = found.as_ref().ok().map(|(position, _)| *position);
        if let Some(own) = meeting.positions.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place) {
            *own = position;
        }
        meeting.barrier.wait();
        let all = meeting.positions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // until all have looked, no one tries again
        meeting.barrier.wait();
        if all.iter().any(Option::is_none) {
            found?;
            return Err(ProcessError::Stopped);
        }
        if all.iter().all(|other| *other == position) {
            return Ok(found?.1);
        }
    }
    Err(ProcessError::Internal(
        "the database changes too fast to be verified; stop the service first".to_owned(),
    ))
}

/// What a snapshot shows that every check needs.
pub fn view<'s>(snapshot: &'s Snapshot<'s>) -> Result<View<'s>, ProcessError> {
    let mut names = Vec::new();
    for (meter, name) in snapshot.meters()? {
        names.resize(meter.0 as usize + 1, String::new());
        if let Some(place) = names.get_mut(meter.0 as usize) {
            *place = name;
        }
    }
    Ok(View {
        snapshot,
        position: snapshot.position()?.entry,
        hashes: names.iter().map(|name| super::sum::of_text(name)).collect(),
        names,
        decided: snapshot.all_decided_rows()?.into_iter().collect(),
        rebuilt: snapshot.configuration()?.and_then(|version| version.parse().ok()),
    })
}
