//! The only thread that commits change sets: it waits out what passes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::{ProcessError, with_causes};
use super::unrecorded::Unrecorded;
use crate::change::ChangeSet;
use crate::outage::{Outages, Part, pauses, room};
use crate::store::{Ahead, Courier, Store, StoreError};

/// What a row takes of the database and its log, in bytes, as far as an outage tells how much is missing.
const ROW_BYTES: u64 = 200;

/// Commits to one store, which it shares with the outbox and the archivist's bookkeeping.
pub struct Writer {
    store: Arc<Mutex<Store>>,
    courier: Option<Arc<Courier>>,
    outages: Arc<Outages>,
    /// Hears of deliveries that are recorded.
    unrecorded: Arc<Unrecorded>,
    /// Whether it gives up a database that another process has by now.
    yields: bool,
    /// Whether it begins no commit any more once the service is to stop, though nothing fails.
    hurries: bool,
    /// Whether there was a commit that it did not begin for that.
    has_left: bool,
}

impl Writer {
    /// A writer to a store that nobody else writes to. Where another process has the database after all, it waits
    /// for it too, unless it `yields`.
    pub fn new(
        store: Arc<Mutex<Store>>,
        outages: Arc<Outages>,
        unrecorded: Arc<Unrecorded>,
        yields: bool,
    ) -> Writer {
        let courier = store.lock().unwrap_or_else(PoisonError::into_inner).courier();
        Writer { store, courier, outages, unrecorded, yields, hurries: false, has_left: false }
    }

    /// Leaves what is not committed when the service is to stop to the next start, from now on.
    pub fn hurry(&mut self) {
        self.hurries = true;
    }

    /// Whether it has left anything.
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    /// Lets `unrecorded` hear of deliveries from now on.
    pub fn tells(&mut self, unrecorded: Arc<Unrecorded>) {
        self.unrecorded = unrecorded;
    }

    /// What sends the new readings of the next commit while this one is under way, where that makes it faster.
    pub fn courier(&self) -> Option<Arc<Courier>> {
        self.courier.clone()
    }

    /// Commits change sets of journal entries; deliveries belong to none and are recorded beside them.
    fn take(&self, sets: &[Arc<ChangeSet>], ahead: Option<Ahead>) -> Result<(), StoreError> {
        let (entries, others): (Vec<_>, Vec<_>) = sets.iter().cloned().partition(|set| set.entry > 0);
        let mut store = self.store();
        match ahead {
            Some(ahead) => store.commit_sent(&entries, ahead)?,
            None => store.commit(&entries)?,
        }
        let deliveries: Vec<_> = others.iter().flat_map(|set| set.deliveries.iter().cloned()).collect();
        if !deliveries.is_empty() {
            store.deliver(&deliveries)?;
            self.unrecorded.recorded(&deliveries);
        }
        Ok(())
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // a panic while it was held rolled its transaction back
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits `sets` in one transaction. What passes (a lock, a full disk) is waited out with growing,
    /// jittered, capped pauses, for as long as it takes, unless the service is to stop: what has landed then
    /// waits for the next start. `ahead` has their new readings already; `in_trouble` hears of each try that failed.
    pub fn commit(
        &mut self,
        sets: &[Arc<ChangeSet>],
        mut ahead: Option<Ahead>,
        in_trouble: &dyn Fn(),
    ) -> Result<(), ProcessError> {
        if self.hurries && self.outages.is_stopping() {
            self.has_left = true;
            return Err(ProcessError::Stopped);
        }
        let mut pauses = pauses();
        loop {
            // a try that was begun after that is the last
            let is_last = self.outages.is_stopping();
            match self.take(sets, ahead.take()) {
                Ok(()) => {
                    self.outages.works(Part::Database);
                    return Ok(());
                }
                Err(error) if error.is_transient() && !(self.yields && error.is_held()) => {
                    in_trouble();
                    self.tell(&error, sets);
                    if is_last {
                        return Err(error.into());
                    }
                    let _ = self.outages.pause(pauses.next().unwrap_or_default());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn tell(&self, error: &StoreError, sets: &[Arc<ChangeSet>]) {
        let mut problem = with_causes(error);
        if error.is_full() {
            let rows: usize = sets.iter().map(|set| set.weight()).sum();
            if let Some(file) = self.store().database().file() {
                problem += &room(file, rows as u64 * ROW_BYTES);
            }
        }
        self.outages.fail(Part::Database, problem, error.hint());
    }
}
