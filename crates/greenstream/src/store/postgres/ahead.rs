//! New readings that are sent to the server before it is their turn: while one commit is under way, those of the
//! next are copied over another connection, in the transaction that the rest of that commit will be in. Copying is
//! most of what an upload costs a server, and one connection uses one of its cores.
//!
//! It may fail for any reason, also while it waits: what was sent is undone then, and the commit sends its readings
//! itself, finds what is wrong and tells it. It must not hold up the commit before it: so it is only for readings that the commit before it
//! does not touch, and takes no other lock that this one might want. The owner is asked for at the end, by
//! [`Session::finish`], for the answer holds up everybody else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashSet;

use super::session::Session;
use super::{copy, schema};
use crate::change::{ChangeSet, Meter};
use crate::store::db::Db;
use crate::store::error::{Doing, StoreError};
use greenstream_core::Ts;

/// The connections of a writer that send readings ahead: two, for one transaction is finished while the next gets
/// its readings.
#[derive(Debug)]
pub struct Courier {
    free: Arc<Mutex<Vec<Session>>>,
}

/// A transaction that has the new readings of a commit. Dropping it undoes them.
#[derive(Debug)]
pub struct Ahead {
    /// None once it has gone back to the courier's.
    db: Option<Db>,
    entries: Vec<u64>,
    free: Arc<Mutex<Vec<Session>>>,
}

impl Courier {
    /// Beside a writer's session. It connects when it is needed.
    pub(in crate::store) fn beside(session: &Session) -> Courier {
        Courier { free: Arc::new(Mutex::new(vec![session.beside(), session.beside()])) }
    }

    /// Sends the new readings of the next commit, while the one `before` it may still be under way. None where
    /// there are none, where they have to wait for the other, or where anything fails.
    #[must_use]
    pub fn send(&self, sets: &[Arc<ChangeSet>], before: &[Arc<ChangeSet>]) -> Option<Ahead> {
        let is_new = sets.iter().any(|set| !set.inserted.is_empty());
        if !is_new || !are_apart(sets, before) {
            return None;
        }
        let session = lock(&self.free).pop()?;
        let sent = send(&session, sets);
        // undoes what was sent if that failed
        let ahead =
            Ahead { db: Some(Db::Postgres(session)), entries: entries(sets), free: Arc::clone(&self.free) };
        match sent {
            Ok(()) => Some(ahead),
            Err(error) => {
                tracing::debug!(%error, "readings are sent with their commit");
                None
            }
        }
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
            _ => Ok(()),
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(Db::Postgres(session)) = self.db.take() {
            session.roll_back();
            lock(&self.free).push(session);
        }
    }
}

fn lock(free: &Mutex<Vec<Session>>) -> MutexGuard<'_, Vec<Session>> {
    // every change is one statement
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is recorded beside entries of the journal has no readings.
fn entries(sets: &[Arc<ChangeSet>]) -> Vec<u64> {
    sets.iter().map(|set| set.entry).filter(|entry| *entry > 0).collect()
}

fn send(session: &Session, sets: &[Arc<ChangeSet>]) -> Result<(), StoreError> {
    let doing = "take readings ahead";
    let mut days: Vec<i64> =
        sets.iter().flat_map(|set| set.inserted.iter().map(|(_, reading)| reading.ts.day())).collect();
    days.sort_unstable();
    days.dedup();
    // a partition is made in a transaction of its own, for whoever makes another waits for its end
    let missing = schema::without_partition(session, &days).doing(doing)?;
    if !missing.is_empty() {
        session.change_soon(|| schema::make_partitions(session, &missing).doing(doing))?;
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

/// Whether no new reading of `sets` stands where a commit `before` them puts or removes one.
fn are_apart(sets: &[Arc<ChangeSet>], before: &[Arc<ChangeSet>]) -> bool {
    let new = || sets.iter().flat_map(|set| set.inserted.iter().map(|(meter, reading)| (*meter, reading.ts)));
    let (mut first, mut last) = (Ts::MAX, Ts::MIN);
    for (_, ts) in new() {
        (first, last) = (first.min(ts), last.max(ts));
    }
    let touched: FxHashSet<(Meter, Ts)> =
        before.iter().flat_map(|set| touched(set)).filter(|(_, ts)| first <= *ts && *ts <= last).collect();
    touched.is_empty() || new().all(|place| !touched.contains(&place))
}

fn touched(set: &ChangeSet) -> impl Iterator<Item = (Meter, Ts)> {
    let new = set.inserted.iter().map(|(meter, reading)| (*meter, reading.ts));
    let replaced = set.replaced.iter();
    let replaced = replaced.filter_map(|one| Some((one.meter, one.after.or(one.before)?.ts)));
    new.chain(replaced)
}
