//! The keys that are being taken just now, each by one: who comes second waits and finds it done.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Keys in hand.
#[derive(Default)]
pub struct InHand {
    keys: Mutex<HashSet<String>>,
    freed: Notify,
}

/// The right to take the object of one key, given back when dropped.
pub struct Hand<'a> {
    all: &'a InHand,
    key: String,
}

impl InHand {
    /// Waits until nobody else has the key.
    pub async fn claim(&self, key: &str) -> Hand<'_> {
        loop {
            let mut freed = pin!(self.freed.notified());
            // heard from here on, so that none given back before the wait is missed
            freed.as_mut().enable();
            if self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned()) {
                return Hand { all: self, key: key.to_owned() };
            }
            freed.await;
        }
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.all.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.all.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn one_at_a_time_has_a_key_and_all_have_it_in_the_end() {
        let (all, now, done) = (Arc::new(InHand::default()), Arc::new(AtomicU32::new(0)), 50);
        let _other = all.claim("b").await;
        let tasks = (0..done).map(|_| {
            let (all, now) = (Arc::clone(&all), Arc::clone(&now));
            tokio::spawn(async move {
                let _hand = all.claim("a").await;
                assert_eq!(now.fetch_add(1, Ordering::SeqCst), 0);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    }
}
