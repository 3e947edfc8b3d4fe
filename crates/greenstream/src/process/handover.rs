//! What the thread that sends readings ahead hands to the writer: one commit at a time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::change::ChangeSet;

/// Change sets of one commit, and what was done ahead of it, where something was; dropping that undoes it.
pub type Batch<A> = (Vec<Arc<ChangeSet>>, Option<A>);

/// See the module. Who gives waits until the other has taken, so that of what was given before all but the last is
/// committed.
pub struct Handover<A> {
    inner: Mutex<Inner<A>>,
    changed: Condvar,
}

struct Inner<A> {
    batch: Option<Batch<A>>,
    /// Whether what was taken last is being worked on.
    is_busy: bool,
    /// Whether what comes next is to be undone, for the commit before it is in trouble.
    is_undone: bool,
    is_closed: bool,
}

impl<A> Handover<A> {
    /// With nothing to take yet.
    pub fn new() -> Handover<A> {
        let inner = Inner { batch: None, is_busy: false, is_undone: false, is_closed: false };
        Handover { inner: Mutex::new(inner), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<A>> {
        // every change leaves it whole
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'i>(&self, inner: MutexGuard<'i, Inner<A>>) -> MutexGuard<'i, Inner<A>> {
        self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a commit is under way that another can be got ready behind: it is in no trouble as far as is known.
    pub fn is_busy(&self) -> bool {
        let inner = self.lock();
        inner.is_busy && !inner.is_undone && !inner.is_closed
    }

    /// Hands a commit over, and waits until it is taken; false where it will not be, and then it is undone.
    pub fn give(&self, (sets, mut ahead): Batch<A>) -> bool {
        let mut inner = self.lock();
        if inner.is_undone {
            // not under the lock: a server may be slow to answer
            drop(inner);
            ahead = None;
            inner = self.lock();
        }
        inner.batch = Some((sets, ahead));
        self.changed.notify_all();
        while inner.batch.is_some() && !inner.is_closed {
            inner = self.wait(inner);
        }
        let left = inner.batch.take();
        drop(inner);
        left.is_none()
    }

    /// The next commit; none once nobody gives any more.
    pub fn take(&self) -> Option<Batch<A>> {
        let mut inner = self.lock();
        inner.is_undone = false;
        inner.is_busy = false;
        loop {
            if inner.is_closed {
                return None;
            }
            if let Some(batch) = inner.batch.take() {
                inner.is_busy = true;
                self.changed.notify_all();
                return Some(batch);
            }
            inner = self.wait(inner);
        }
    }

    /// Undoes what was done ahead of the next commit, now or when it comes: the one before it is in trouble, and must
    /// not meet its locks.
    pub fn undo(&self) {
        let mut inner = self.lock();
        inner.is_undone = true;
        let ahead = inner.batch.as_mut().and_then(|(_, ahead)| ahead.take());
        drop(inner);
        drop(ahead);
    }

    /// Nothing more is given or taken.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::time::Duration;

    use super::*;

    /// A commit, and whether what was done ahead of it still stands.
    fn batch() -> (Batch<Arc<()>>, Weak<()>) {
        let ahead = Arc::new(());
        let stands = Arc::downgrade(&ahead);
        ((vec![Arc::default()], Some(ahead)), stands)
    }

    #[test]
    fn who_gives_waits_until_it_is_taken() {
        let handover = Handover::new();
        std::thread::scope(|scope| {
            let given = scope.spawn(|| handover.give(batch().0));
            std::thread::sleep(Duration::from_millis(50));
            let waits = !given.is_finished() && !handover.is_busy();
            // taken before anything is asserted, or who gives would wait for ever behind a failed assertion
            let (_, ahead) = handover.take().unwrap();
            assert!(given.join().unwrap() && handover.is_busy());
            assert!(waits && ahead.is_some());
        });
        std::thread::scope(|scope| {
            let (left, stands) = batch();
            let given = scope.spawn(|| handover.give(left));
            while handover.lock().batch.is_none() {
                std::thread::yield_now();
            }
            let stood = stands.upgrade().is_some() && handover.is_busy();
            handover.close();
            assert!(!given.join().unwrap(), "nobody takes it");
            assert!(stood);
            assert!(stands.upgrade().is_none() && !handover.is_busy());
        });
        assert!(handover.take().is_none());
        assert!(!handover.give(batch().0));
    }

    #[test]
    fn what_was_done_ahead_is_undone_whether_it_came_before_the_trouble_or_comes_then() {
        for is_there in [true, false] {
            let handover = Handover::new();
            let (first, stands) = batch();
            std::thread::scope(|scope| {
                if !is_there {
                    handover.undo();
                }
                let given = scope.spawn(|| handover.give(first));
                while handover.lock().batch.is_none() {
                    std::thread::yield_now();
                }
                if is_there {
                    handover.undo();
                }
                let undone = stands.upgrade().is_none();
                let (sets, ahead) = handover.take().unwrap();
                assert!(given.join().unwrap());
                assert_eq!((undone, sets.len(), ahead), (true, 1, None), "{is_there}");
                // the trouble is over with the commit that had it
                let (next, stands) = batch();
                let given = scope.spawn(|| handover.give(next));
                let (_, ahead) = handover.take().unwrap();
                assert!(ahead.is_some() && stands.upgrade().is_some());
                assert!(given.join().unwrap());
            });
        }
    }
}
