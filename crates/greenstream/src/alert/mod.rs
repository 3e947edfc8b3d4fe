//! Alerts leave the outbox: to the log always, to a webhook where one is configured.
//!
//! At least once: an alert is marked as sent after the target took it, so a crash between the two
//! sends it again, under the same idempotency key.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use serde_json::{Value, json};

use crate::store::{AlertRow, Store, StoreError};
use crate::{clock, config::AlertKeys};

/// Longest pause between two tries to reach a target that is away.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// A target that has not answered by then counts as away; it must not hold up the others.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Alerts taken from the outbox at once.
const BATCH: u32 = 100;
/// How often the outbox is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Where alerts go.
pub struct Targets {
    webhook: Option<(String, ureq::Agent)>,
}

/// What a round of sending came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Alerts that every target took.
    pub sent: usize,
    /// Why the round ended early, in the target's words; the rest stays in the outbox.
    pub failed: Option<String>,
}

impl Targets {
    /// From the `[alerts]` section.
    pub fn new(keys: &AlertKeys) -> Targets {
        let agent = ureq::Agent::config_builder().timeout_global(Some(ANSWER_TIME_MAX)).build().into();
        Targets { webhook: keys.webhook.clone().map(|url| (url, agent)) }
    }

    /// Sends what waits in the outbox, oldest first, until it is empty or a target fails.
    pub fn send_waiting(&self, store: &Mutex<Store>) -> Result<Sent, StoreError> {
        // the lock is not held while a target is asked: the writer must not wait for it
        let store = || store.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sent = Sent::default();
        loop {
            let batch = store().alerts_to_send(BATCH)?;
            if batch.is_empty() {
                return Ok(sent);
            }
            for alert in batch {
                if let Err(problem) = self.send(&alert) {
                    store().mark_failed(alert.alert, clock::now())?;
                    sent.failed = Some(problem);
                    return Ok(sent);
                }
                store().mark_sent(alert.alert, clock::now())?;
                sent.sent += 1;
            }
        }
    }

    fn send(&self, alert: &AlertRow) -> Result<(), String> {
        if alert.attempts == 0 {
            tracing::warn!(
                kind = alert.kind,
                key = alert.key,
                meter = alert.meter_id,
                upload = alert.upload,
                "{}",
                alert.message
            );
        }
        let Some((url, agent)) = &self.webhook else { return Ok(()) };
        let answer = agent
            .post(url)
            .header("content-type", "application/json")
            .header("idempotency-key", &alert.key)
            .send(body(alert).to_string());
        answer
            .map(|_| ())
            .map_err(|error| format!("the alert webhook did not take an alert: {}", without_address(error)))
    }
}

/// An error in words. The address may carry a secret, and so may where it redirects to: those that hold
/// one are told without.
fn without_address(error: ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "its address is none that can be asked".to_owned(),
        ureq::Error::RequireHttpsOnly(_) => "its address is not of https".to_owned(),
        error => error.to_string(),
    }
}

/// The JSON that a webhook gets.
fn body(alert: &AlertRow) -> Value {
    json!({
        "alert": alert.alert,
        "kind": alert.kind,
        "key": alert.key,
        "meter_id": alert.meter_id,
        "upload": alert.upload,
        "at": alert.at.to_string(),
        "message": alert.message,
    })
}

/// Pauses between tries while a target is away: from one second, doubled, jittered, capped.
pub fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(PAUSE_MAX)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Sends from the outbox until told to stop: at once when something waits, with growing pauses
/// while a target is away.
pub fn run(targets: &Targets, store: &Mutex<Store>, stop: &AtomicBool) {
    let mut away = None;
    let mut next = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        std::thread::sleep(LOOK);
        if Instant::now() < next {
            continue;
        }
        match targets.send_waiting(store) {
            Ok(Sent { failed: None, .. }) => {
                away = None;
                next = Instant::now() + LOOK;
            }
            Ok(Sent { failed: Some(problem), .. }) => {
                let pause = away.get_or_insert_with(pauses).next().unwrap_or(PAUSE_MAX);
                tracing::error!(?pause, "{problem}; alerts wait in the outbox");
                next = Instant::now() + pause;
            }
            Err(error) => {
                tracing::warn!(%error, "the outbox cannot be read; trying again");
                next = Instant::now() + Duration::from_secs(5);
            }
        }
    }
}
