//! Alerts leave the outbox: to the log always, to a webhook where one is configured.
//!
//! At least once: an alert is marked as sent after the target took it, so a crash between the two
//! sends it again, under the same idempotency key.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::change::Alert;
use crate::failpoint::{self, Step};
use crate::outage::{Outages, Part, pauses};
use crate::store::{AlertRow, Store, StoreError};
use crate::{clock, config::AlertKeys};

/// A target that has not answered by then counts as away; it must not hold up the others.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Alerts taken from the outbox at once.
const BATCH: u32 = 100;
/// How often the outbox is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Where alerts go.
pub struct Targets {
    webhook: Option<(String, ureq::Agent)>,
    /// Alerts that were taken and could not be marked so: they are not sent again, only marked.
    unmarked: Mutex<BTreeSet<i64>>,
}

/// Why an alert was not taken.
enum Untaken {
    /// The target is away; others will not be taken either.
    Away(String),
    /// The target refuses this one.
    Refused(String),
}

/// What a round of sending came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Alerts that the target took.
    pub sent: usize,
    /// Why some were not taken, in the target's words; they stay in the outbox.
    pub failed: Option<String>,
}

impl Targets {
    /// From the `[alerts]` section.
    pub fn new(keys: &AlertKeys) -> Targets {
        // an answer from elsewhere is no answer of the target: redirects are not followed
        let agent = ureq::Agent::config_builder().timeout_global(Some(ANSWER_TIME_MAX)).max_redirects(0);
        let agent = agent.build().into();
        Targets { webhook: keys.webhook.clone().map(|url| (url, agent)), unmarked: Mutex::default() }
    }

    /// Sends what waits in the outbox, oldest first, until all were tried or a target is away. One that the
    /// target refuses does not hold up the others, and a target that answers slowly does not hold up `stop`.
    pub fn send_waiting(&self, store: &Mutex<Store>, stop: &AtomicBool) -> Result<Sent, StoreError> {
        // the lock is not held while a target is asked: the writer must not wait for it
        let store = || store.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sent = Sent::default();
        let mut after = 0;
        loop {
            let batch = store().alerts_to_send(after, BATCH)?;
            let Some(last) = batch.last() else { return Ok(sent) };
            after = last.alert;
            for alert in batch {
                if stop.load(Ordering::SeqCst) {
                    return Ok(sent);
                }
                // what another process has taken over, it sends
                store().check_owner()?;
                match self.send_once(&alert) {
                    Ok(()) => {
                        let record = || store().mark_sent(alert.alert, clock::now());
                        failpoint::around(Step::AlertRecord, StoreError::failing, record)?;
                        self.unmarked().remove(&alert.alert);
                        sent.sent += 1;
                    }
                    Err(untaken) => {
                        store().mark_failed(alert.alert, clock::now())?;
                        let (is_away, problem) = match untaken {
                            Untaken::Away(problem) => (true, problem),
                            Untaken::Refused(problem) => (false, problem),
                        };
                        sent.failed = Some(problem);
                        if is_away {
                            return Ok(sent);
                        }
                    }
                }
            }
        }
    }

    /// Sends an alert unless it was taken before.
    fn send_once(&self, alert: &AlertRow) -> Result<(), Untaken> {
        if self.unmarked().contains(&alert.alert) {
            return Ok(());
        }
        if alert.attempts == 0 {
            log(&alert.kind, &alert.key, alert.meter_id.as_deref(), alert.upload, &alert.message);
        }
        let failing = |error: std::io::Error| Untaken::Away(error.to_string());
        failpoint::around(Step::AlertSend, failing, || self.post(&alert.key, &body(alert)))?;
        self.unmarked().insert(alert.alert);
        Ok(())
    }

    fn unmarked(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        self.unmarked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, key: &str, body: &Value) -> Result<(), Untaken> {
        let Some((url, agent)) = &self.webhook else { return Ok(()) };
        let answer = agent
            .post(url)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .send(body.to_string());
        let problem =
            |error: &dyn std::fmt::Display| format!("the alert webhook did not take an alert: {error}");
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(Untaken::Refused(problem(&format!("it answered {}", answer.status())))),
            // too many requests and a time-out concern all alerts, other refusals this one
            Err(error @ ureq::Error::StatusCode(400..=407 | 409..=428 | 430..=499)) => {
                Err(Untaken::Refused(problem(&error)))
            }
            Err(error) => Err(Untaken::Away(problem(&without_address(error)))),
        }
    }

    /// Puts the alerts about outages into the outbox; those already sent are marked so.
    ///
    /// # Errors
    /// When the database cannot be written; then they are still with `outages`.
    pub fn record(&self, outages: &Outages, store: &Mutex<Store>) -> Result<(), StoreError> {
        for untold in outages.untold() {
            let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
            store.raise(&untold.alert)?;
            if untold.sent {
                store.mark_sent_by_key(&untold.alert.key, clock::now())?;
            }
            outages.settle(&untold.alert.key);
        }
        Ok(())
    }

    /// Sends the alerts about outages past the outbox, which is away itself, under the keys that they will
    /// have there.
    ///
    /// # Errors
    /// The target's words where it did not take one; it is to be tried again.
    pub fn send_directly(&self, outages: &Outages) -> Result<(), String> {
        for untold in outages.untold().into_iter().filter(|untold| !untold.sent) {
            let Alert { kind, key, at, message, .. } = &untold.alert;
            log(kind, key, None, None, message);
            let body = json!({
                "alert": null, "kind": kind, "key": key, "meter_id": null, "upload": null, "at": at.to_string(),
                "message": message,
            });
            let (Untaken::Away(problem) | Untaken::Refused(problem)) = match self.post(key, &body) {
                Ok(()) => {
                    outages.sent(key);
                    continue;
                }
                Err(untaken) => untaken,
            };
            return Err(problem);
        }
        Ok(())
    }
}

/// An error in words. The address may carry a secret, and so may where it redirects to: those that hold
/// one are told without.
pub fn without_address(error: ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "its address is none that can be asked".to_owned(),
        ureq::Error::RequireHttpsOnly(_) => "its address is not of https".to_owned(),
        error => error.to_string(),
    }
}

fn log(kind: &str, key: &str, meter: Option<&str>, upload: Option<u32>, message: &str) {
    tracing::warn!(kind, key, meter, upload, "{message}");
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

/// Sends alerts until told to stop: at once when something waits, with growing pauses while a target is away.
/// The outbox is in the database: while that cannot be written, only outages are told, past the outbox.
///
/// # Errors
/// Where it `yields`: that another process has the database by now.
pub fn run(
    targets: &Targets,
    store: &Mutex<Store>,
    outages: &Outages,
    yields: bool,
    stop: &AtomicBool,
) -> Result<(), StoreError> {
    let mut away = None;
    let mut next = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        std::thread::sleep(LOOK);
        if Instant::now() < next {
            continue;
        }
        let failed = if outages.is_out(Part::Database) {
            targets.send_directly(outages).err()
        } else {
            match targets.record(outages, store).and_then(|()| targets.send_waiting(store, stop)) {
                Ok(sent) => sent.failed,
                Err(error) if yields && error.is_elsewhere() => return Err(error),
                Err(error) => {
                    let unused = format!("the outbox cannot be used: {error}");
                    Some(targets.send_directly(outages).err().unwrap_or(unused))
                }
            }
        };
        if let Some(problem) = failed {
            let pause = away.get_or_insert_with(pauses).next().unwrap_or_default().max(LOOK);
            tracing::error!(?pause, "{problem}; alerts wait");
            next = Instant::now() + pause;
        } else {
            away = None;
        }
    }
    Ok(())
}
