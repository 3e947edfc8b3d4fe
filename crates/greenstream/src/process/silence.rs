//! The silence of meters, brought up to the readings once a batch is through, with its alerts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::episodes::tell;
use super::error::ProcessError;
use crate::change::{Episode, EpisodeKind};
use crate::clock;
use crate::quality::{Silence, silence};
use crate::store::{Database, SilenceChange, Store};

/// How often a running service looks for silent meters. Silence is a matter of days, and a look costs some
/// tenths of a second in a home of 50,000 meters and 30 days.
const LOOK: Duration = Duration::from_secs(60);
/// How often the watcher looks whether it is to stop.
const PAUSE: Duration = Duration::from_millis(200);

/// Brings the silent episodes of a store up to its readings; `raising` says whether alerts are raised.
/// Does nothing where they are known already.
///
/// # Errors
/// When the database cannot be read or written.
pub fn refresh(store: &Mutex<Store>, raising: bool) -> Result<(), ProcessError> {
    let place = store.lock().unwrap_or_else(PoisonError::into_inner).database().clone();
    if let Some(change) = change(&place, raising)? {
        // the lock is not held while readings are looked at: the writer must not wait for it
        store.lock().unwrap_or_else(PoisonError::into_inner).silence(&change)?;
    }
    Ok(())
}

/// What has changed since silence was last looked at; none where the store is where it was.
fn change(database: &Database, raising: bool) -> Result<Option<SilenceChange>, ProcessError> {
    let reader = Store::reader(database)?;
    let snapshot = reader.snapshot()?;
    let entry = snapshot.position()?.entry;
    if snapshot.silence_entry()? == entry {
        return Ok(None);
    }
    let before = snapshot.episodes_of_kind(EpisodeKind::Silent)?;
    let Silence { episodes, names } = silence(&snapshot)?;
    let mut change = SilenceChange { entry, ..SilenceChange::default() };
    // both are sorted by meter, and a meter has few
    let meter = |episode: &Episode| episode.meter;
    let mut rest = (before.as_slice(), episodes.as_slice());
    while let Some(next) = rest.0.first().map(meter).into_iter().chain(rest.1.first().map(meter)).min() {
        let (old, others) = rest.0.split_at(rest.0.partition_point(|episode| episode.meter <= next));
        let (new, more) = rest.1.split_at(rest.1.partition_point(|episode| episode.meter <= next));
        rest = (others, more);
        if old == new {
            continue;
        }
        if raising {
            let name = names.get(next.0 as usize).map_or("", String::as_str);
            change.alerts.extend(tell(name, old, new, clock::now()));
        }
        change.episodes.extend(new.iter().filter(|episode| !old.contains(episode)));
        let gone = old.iter().filter(|old| new.iter().all(|new| new.first_ts != old.first_ts));
        change.gone.extend(gone.map(|old| (old.meter, old.kind, old.first_ts)));
    }
    Ok(Some(change))
}

/// Looks for silent meters from time to time until told to stop.
pub fn watch(store: &Mutex<Store>, stop: &AtomicBool) {
    let mut next = Instant::now() + LOOK;
    while !stop.load(Ordering::SeqCst) {
        std::thread::sleep(PAUSE);
        if Instant::now() < next {
            continue;
        }
        if let Err(error) = refresh(store, true) {
            tracing::warn!(%error, "silent meters cannot be looked for; trying again");
        }
        next = Instant::now() + LOOK;
    }
}
