//! Whether objects can be taken at all just now. While they cannot, nothing is received from a queue: each message
//! would use up its deliveries in vain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::bucket::Bucket;
use crate::outage::{Outages, Part, pauses};

/// How often who waits for the landing zone looks.
const LOOK: Duration = Duration::from_secs(1);

/// So long an answer holds where nothing has failed since that others are likely to meet.
const FRESH: Duration = Duration::from_secs(5);

/// What the triggers of one inbox know of it together.
#[derive(Default)]
pub struct Gate {
    /// Something failed that the others are likely to meet, and the store was not asked since.
    is_shut: AtomicBool,
    /// When the store was asked last, and whether it answered.
    asked: Mutex<Option<(Instant, bool)>>,
    /// Of all that wait for the store one asks.
    waiting: Mutex<()>,
}

impl Gate {
    /// Notes that something failed which the others are likely to meet.
    pub fn shut(&self) {
        self.is_shut.store(true, Ordering::SeqCst);
    }

    /// Whether the store answers at all. An answer counts if it was asked for after the call: of many who call at
    /// once few ask.
    pub async fn answers(&self, bucket: &Bucket) -> bool {
        let called = Instant::now();
        let mut asked = self.asked.lock().await;
        if let Some((at, answered)) = *asked
            && at >= called
        {
            return answered;
        }
        let at = Instant::now();
        let answer = bucket.ask().await;
        if let Err(error) = &answer {
            tracing::debug!("the inbox bucket does not answer: {}", crate::objects::told(error));
        }
        *asked = Some((at, answer.is_ok()));
        answer.is_ok()
    }

    async fn has_answered_lately(&self) -> bool {
        self.asked.lock().await.is_some_and(|(at, answered)| answered && at.elapsed() < FRESH)
    }

    /// Waits until something keeps all objects from being taken, as far as is known without asking.
    pub async fn until_in_doubt(&self, outages: &Outages) {
        while !self.is_shut.load(Ordering::SeqCst) && !outages.is_out(Part::Landing) {
            sleep(LOOK).await;
        }
    }

    /// Waits while nothing can land.
    pub async fn until_landing(outages: &Outages) {
        while outages.is_out(Part::Landing) {
            sleep(LOOK).await;
        }
    }

    /// Waits while nothing can land, or something failed and the store does not answer. One key that stops the
    /// listing is an outage of the inbox too, and no reason to wait.
    pub async fn until_open(&self, bucket: &Bucket, outages: &Outages) {
        let _first = self.waiting.lock().await;
        let mut waits = pauses();
        loop {
            Gate::until_landing(outages).await;
            let is_shut = self.is_shut.load(Ordering::SeqCst);
            // one key that stops the listing is such an outage, and may last for weeks
            if !is_shut && (!outages.is_out(Part::Inbox) || self.has_answered_lately().await) {
                return;
            }
            // what fails from here on shuts it again
            self.is_shut.store(false, Ordering::SeqCst);
            if self.answers(bucket).await {
                return;
            }
            self.shut();
            sleep(waits.next().unwrap_or(LOOK)).await;
        }
    }
}
