//! A queue between two threads that is bounded by weight, not by count: few large change sets or
//! many small ones.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A bounded first-in-first-out queue with one producer side and one consumer side.
#[derive(Debug)]
pub struct Queue<T> {
    inner: Mutex<Inner<T>>,
    changed: Condvar,
    limit: usize,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<(T, usize)>,
    weight: usize,
    closed: bool,
}

/// What [`Queue::pop_batch`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Popped<T> {
    /// At least one item, in order.
    Items(Vec<T>),
    /// Nothing came within the time given.
    Nothing,
    /// Closed and empty: nothing will come.
    Closed,
}

impl<T> Queue<T> {
    /// A queue that holds items of together at most `limit` (one heavier item is let in alone).
    pub fn new(limit: usize) -> Queue<T> {
        Queue {
            inner: Mutex::new(Inner { items: VecDeque::new(), weight: 0, closed: false }),
            changed: Condvar::new(),
            limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // a panic of the other side leaves the queue whole: every change is one statement
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item at the end, waiting for room. Gives it back if the queue is closed.
    pub fn push(&self, item: T, weight: usize) -> Result<(), T> {
        let weight = weight.max(1);
        let mut inner = self.lock();
        while !inner.closed && !inner.items.is_empty() && inner.weight + weight > self.limit {
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        if inner.closed {
            return Err(item);
        }
        inner.weight += weight;
        inner.items.push_back((item, weight));
        self.changed.notify_all();
        Ok(())
    }

    /// Takes items from the front, together at most `limit` in weight but at least one, waiting up
    /// to `patience` for the first.
    pub fn pop_batch(&self, limit: usize, patience: Duration) -> Popped<T> {
        let until = Instant::now() + patience;
        let mut inner = self.lock();
        while inner.items.is_empty() {
            if inner.closed {
                return Popped::Closed;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Popped::Nothing;
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut batch = Vec::new();
        let mut weight = 0;
        while let Some((_, next)) = inner.items.front() {
            if !batch.is_empty() && weight + next > limit {
                break;
            }
            let Some((item, next)) = inner.items.pop_front() else { break };
            weight += next;
            batch.push(item);
        }
        inner.weight -= weight;
        self.changed.notify_all();
        Popped::Items(batch)
    }

    /// Whether [`Queue::push`] would wait.
    pub fn is_full(&self) -> bool {
        let inner = self.lock();
        !inner.items.is_empty() && inner.weight >= self.limit
    }

    /// No more items: the producer gets its items back, the consumer takes what is left.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Whether it takes nothing more.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_batch_holds_at_most_the_limit_but_at_least_one_item() {
        let queue = Queue::new(100);
        for weight in [60, 10, 20, 5] {
            assert_eq!(queue.push(weight, weight), Ok(()));
        }
        assert_eq!(queue.pop_batch(30, LONG), Popped::Items(vec![60]));
        assert_eq!(queue.pop_batch(30, LONG), Popped::Items(vec![10, 20]));
        queue.close();
        assert_eq!(queue.push(1, 1), Err(1));
        assert_eq!(queue.pop_batch(30, LONG), Popped::Items(vec![5]));
        assert_eq!(queue.pop_batch(30, LONG), Popped::Closed);
    }

    #[test]
    fn a_full_queue_makes_the_producer_wait_and_an_empty_one_the_consumer() {
        let queue = Queue::new(10);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for item in 0..1_000_u32 {
                    assert_eq!(queue.push(item, 4), Ok(()));
                    assert!(queue.lock().weight <= 10);
                }
                queue.close();
            });
            let mut seen = Vec::new();
            while let Popped::Items(items) = queue.pop_batch(8, LONG) {
                seen.extend(items);
            }
            assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
        });
        let empty: Queue<u32> = Queue::new(10);
        assert_eq!(empty.pop_batch(1, Duration::from_millis(1)), Popped::Nothing);
    }

    #[test]
    fn an_item_heavier_than_the_queue_is_let_in_alone() {
        let queue = Queue::new(10);
        assert_eq!(queue.push("heavy", 99), Ok(()));
        assert_eq!(queue.pop_batch(1, LONG), Popped::Items(vec!["heavy"]));
    }
}
