//! New readings that are sent to the server before it is their turn: while one commit is under way, those of the
//! next are copied over another connection, in the transaction that the rest of that commit will be in. Copying is
//! most of what an upload costs a server, and one connection uses one of its cores.
//!
//! It may fail for any reason, also while it waits: what was sent is undone then, and the commit sends its readings
//! itself, finds what is wrong and tells it. It must not hold up the commit before it: so it is only for readings
//! that the commit before it does not touch, and takes no other lock that this one wants. (Where others queue for a
//! lock between the two, the commit fails in time and has what was sent ahead undone.) The owner is asked for at the
//! end, by [`Session::finish`], for the answer holds up everybody else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use greenstream_core::Ts;
use rustc_hash::FxHashSet;

use super::session::{PostgresFault, Session};
use super::{copy, schema};
use crate::change::{ChangeSet, Meter};
use crate::fence::Fence;
use crate::store::db::Db;
use crate::store::error::{Doing, Fault, StoreError};

/// How long nothing is sent after it failed: where it cannot work (a server that has no connection to spare), each
/// try only costs time.
const REST: Duration = Duration::from_secs(60);

/// The connections of a writer that send readings ahead: two, for one transaction is finished while the next gets
/// its readings.
#[derive(Debug)]
pub struct Courier {
    free: Mutex<Vec<Session>>,
    rests_until: Mutex<Option<Instant>>,
    fence: Fence,
}

/// A transaction that has the new readings of a commit. Dropping it undoes them.
#[derive(Debug)]
pub struct Ahead {
    /// None once it has gone back to the courier.
    db: Option<Db>,
    entries: Vec<u64>,
    courier: Arc<Courier>,
}

impl Courier {
    /// Beside a writer's session. It connects when it is needed.
    pub(in crate::store) fn beside(session: &Session, fence: Fence) -> Courier {
        let free = Mutex::new(vec![session.beside(), session.beside()]);
        Courier { free, rests_until: Mutex::default(), fence }
    }

    /// Sends the new readings of the next commit, while the one `before` it may still be under way. None where
    /// there are none, where they have to wait for the other, where two are on their way, or where anything fails.
    #[must_use]
    pub fn send(self: &Arc<Self>, sets: &[Arc<ChangeSet>], before: &[Arc<ChangeSet>]) -> Option<Ahead> {
        let is_new = sets.iter().any(|set| !set.inserted.is_empty());
        if !is_new || self.rests() || !are_apart(sets, before) {
            return None;
        }
        let session = lock(&self.free).pop()?;
        let sent = self.send_over(&session, sets);
        // undoes what was sent if that failed
        let ahead =
            Ahead { db: Some(Db::Postgres(session)), entries: entries(sets), courier: Arc::clone(self) };
        match sent {
            Ok(()) => Some(ahead),
            Err(error) => {
                let problem = crate::process::with_causes(&error);
                tracing::warn!(
                    "readings are sent with their commits for the next minute, which is slower: {problem}"
                );
                *lock(&self.rests_until) = Some(Instant::now() + REST);
                None
            }
        }
    }

    fn rests(&self) -> bool {
        lock(&self.rests_until).is_some_and(|until| Instant::now() < until)
    }

    fn send_over(&self, session: &Session, sets: &[Arc<ChangeSet>]) -> Result<(), StoreError> {
        let doing = "take readings ahead";
        let mut days: Vec<i64> = inserted(sets).map(|(_, ts)| ts.day()).collect();
        days.sort_unstable();
        days.dedup();
        // a partition is made in a transaction of its own, for whoever makes another waits for its end
        let missing = schema::without_partition(session, &days).doing(doing)?;
        if !missing.is_empty() {
            session.change_soon(|| {
                self.fence.check()?;
                schema::make_partitions(session, &missing).doing(doing)
            })?;
        }
        session.begin_ahead().doing(doing)?;
        for set in sets {
            for day in set.inserted.chunk_by(|a, b| a.1.ts.day() == b.1.ts.day()) {
                let Some((_, first)) = day.first() else { continue };
                let into = copy::readings_into(&schema::partition(first.ts.day()));
                copy::all(session, &into, day, copy::reading).doing(doing)?;
            }
        }
        Ok(())
    }
}

impl Ahead {
    /// Whether it has the readings of these sets, and has not lost them with its connection while it waited.
    pub(in crate::store) fn stands_for(&self, sets: &[Arc<ChangeSet>]) -> bool {
        let Some(Db::Postgres(session)) = &self.db else { return false };
        self.entries == entries(sets) && session.batch("SELECT").is_ok()
    }

    /// Does the rest of the commit and ends the transaction, which an error undoes.
    pub(in crate::store) fn commit(
        self,
        rest: impl FnOnce(&Db) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match &self.db {
            Some(db @ Db::Postgres(session)) => session.finish(|| rest(db)),
            _ => Err(Fault::from(PostgresFault::Lost).doing("take a commit")),
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(Db::Postgres(session)) = self.db.take() {
            session.roll_back();
            lock(&self.courier.free).push(session);
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // every change is one statement
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is recorded beside entries of the journal has no readings.
fn entries(sets: &[Arc<ChangeSet>]) -> Vec<u64> {
    sets.iter().map(|set| set.entry).filter(|entry| *entry > 0).collect()
}

/// Whether no new reading of `sets` stands where they themselves or a commit `before` them replace or remove one,
/// or where that one brings one.
fn are_apart(sets: &[Arc<ChangeSet>], before: &[Arc<ChangeSet>]) -> bool {
    let (mut first, mut last) = (Ts::MAX, Ts::MIN);
    for (_, ts) in inserted(sets) {
        (first, last) = (first.min(ts), last.max(ts));
    }
    let touched = inserted(before).chain(replaced(before)).chain(replaced(sets));
    let touched: FxHashSet<(Meter, Ts)> = touched.filter(|(_, ts)| first <= *ts && *ts <= last).collect();
    touched.is_empty() || inserted(sets).all(|place| !touched.contains(&place))
}

fn inserted(sets: &[Arc<ChangeSet>]) -> impl Iterator<Item = (Meter, Ts)> {
    sets.iter().flat_map(|set| set.inserted.iter().map(|(meter, reading)| (*meter, reading.ts)))
}

fn replaced(sets: &[Arc<ChangeSet>]) -> impl Iterator<Item = (Meter, Ts)> {
    let all = sets.iter().flat_map(|set| &set.replaced);
    all.filter_map(|one| Some((one.meter, one.after.or(one.before)?.ts)))
}
