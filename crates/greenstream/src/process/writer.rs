//! The only thread that writes to the database: commits change sets, and waits out what passes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::error::ProcessError;
use crate::change::{Alert, ChangeSet};
use crate::clock;
use crate::store::{Store, StoreError};

/// The longest pause between two tries while the database is away.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A pause shorter than this is nobody's concern; a longer one is an outage.
const OUTAGE_AFTER: Duration = Duration::from_secs(5);

/// Commits to one store, which it shares with the outbox and the archivist's bookkeeping.
pub struct Writer {
    store: Arc<Mutex<Store>>,
}

impl Writer {
    /// A writer over the store's only writing connection.
    pub fn new(store: Arc<Mutex<Store>>) -> Writer {
        Writer { store }
    }

    /// Commits change sets of journal entries; deliveries belong to none and are recorded beside them.
    fn take(&self, sets: &[Arc<ChangeSet>]) -> Result<(), StoreError> {
        let (entries, others): (Vec<_>, Vec<_>) = sets.iter().cloned().partition(|set| set.entry > 0);
        let mut store = self.store();
        store.commit(&entries)?;
        let deliveries: Vec<_> = others.iter().flat_map(|set| set.deliveries.iter().cloned()).collect();
        if deliveries.is_empty() { Ok(()) } else { store.deliver(&deliveries) }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // a panic while it was held rolled its transaction back
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits `sets` in one transaction. What passes (a lock, a full disk) is waited out with
    /// growing, jittered, capped pauses, for as long as it takes; one alert tells of it afterwards.
    pub fn commit(&mut self, sets: &[Arc<ChangeSet>]) -> Result<(), ProcessError> {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(PAUSE_MAX)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times()
            .build();
        let began = clock::now();
        let mut waited = Duration::ZERO;
        loop {
            let outcome = self.take(sets);
            match outcome {
                Ok(()) => break,
                Err(error) if error.is_transient() => {
                    let pause = pauses.next().unwrap_or(PAUSE_MAX);
                    tell(&error, waited, pause);
                    waited += pause;
                    std::thread::sleep(pause);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if waited >= OUTAGE_AFTER {
            self.store().raise(&Alert {
                kind: "outage",
                key: format!("outage/database/{began}"),
                meter: None,
                upload: None,
                at: began,
                message: format!("the database could not be written for {} s; work waited", waited.as_secs()),
            })?;
        }
        Ok(())
    }
}

/// The first failure that matters is an error, the others are warnings.
fn tell(error: &StoreError, waited: Duration, pause: Duration) {
    if waited < OUTAGE_AFTER && waited + pause >= OUTAGE_AFTER {
        tracing::error!(%error, hint = error.hint(), "the database cannot be written; uploads land and wait");
    } else {
        tracing::warn!(%error, ?pause, "the database cannot be written; trying again");
    }
}
