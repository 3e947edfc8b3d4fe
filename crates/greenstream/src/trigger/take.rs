//! Takes one object that a hint or the scan names: reads it, lands it, and takes it out of the inbox.
//!
//! All triggers come through here and differ only in their transport, so that an event that comes twice, late
//! or never changes nothing: what lands is what stands in the bucket, and known bytes are known.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error, ObjectMeta};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::bucket::{Bucket, Unplaced};
use super::gate::Gate;
use super::hint::Hint;
use super::history::History;
use super::in_hand::InHand;
use super::intake::{Intake, Unlanded};
use super::recent::{Fate, Recent, Stand};
use crate::objects::told;
use crate::outage::{Outages, Part, pauses};
use crate::process::{Note, Receipt, Refused, with_causes};
use crate::web::{Digests, Receiver};

/// Objects read at the same time. Fewer leave the link idle between small ones, more hold more of the disk.
pub const TURNS: usize = 16;

/// What to do about a store that does not answer.
const AGAIN: &str = "it is tried again; look whether the object store can be reached";
/// What to do about an object that makes the program fail.
const REPORT: &str = "report it with this message; the others go on";

/// What became of a hint.
#[derive(Debug)]
pub enum Disposition {
    /// The object is this upload, on stable storage.
    Landed(u32),
    /// It landed before, and has left the inbox.
    Before,
    /// It is nothing that this inbox takes.
    NoConcern(String),
    /// It has not landed, and may when it is tried again.
    Later {
        /// Why, and what helps.
        refused: Refused,
        /// Whether the others are likely to meet the same: a store that is away, a full disk.
        is_general: bool,
    },
    /// It is not there, and nothing says that it ever landed.
    Missing(Refused),
    /// It stays as it is, however often it is tried.
    Never(Refused),
}

impl Disposition {
    /// Whether the message that brought the hint has done its work.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Disposition::Landed(_) | Disposition::Before | Disposition::NoConcern(_))
    }

    /// Whether it has not landed for a reason that passes with an outage, and will by itself.
    fn is_of_outage(&self, outages: &Outages) -> bool {
        match self {
            Disposition::Later { is_general, .. } => *is_general || outages.is_out(Part::Database),
            _ => false,
        }
    }

    /// Why it is not settled.
    #[must_use]
    pub const fn refused(&self) -> Option<&Refused> {
        match self {
            Disposition::Later { refused, .. }
            | Disposition::Missing(refused)
            | Disposition::Never(refused) => Some(refused),
            _ => None,
        }
    }
}

/// Takes objects of one inbox bucket; shared by all triggers of a process.
#[derive(Clone)]
pub struct Taker(Arc<Inner>);

struct Inner {
    bucket: Bucket,
    intake: Intake,
    receiver: Receiver,
    history: History,
    recent: Mutex<Recent>,
    in_hand: InHand,
    turns: Semaphore,
    gate: Gate,
    runtime: Handle,
}

impl Taker {
    /// Takes objects of `bucket` to `intake`. The store's connections belong to `runtime`, wherever a hint
    /// comes from.
    pub fn new(
        bucket: Bucket,
        intake: Intake,
        receiver: Receiver,
        history: History,
        runtime: Handle,
    ) -> Taker {
        Taker(Arc::new(Inner {
            bucket,
            intake,
            receiver,
            history,
            recent: Mutex::default(),
            in_hand: InHand::default(),
            turns: Semaphore::new(TURNS),
            gate: Gate::default(),
            runtime,
        }))
    }

    /// The bucket.
    pub(super) fn bucket(&self) -> &Bucket {
        &self.0.bucket
    }

    /// Takes the object of a hint; the answer says whether its message has done its work.
    pub async fn take(&self, hint: Hint) -> Disposition {
        let named = hint.key.clone();
        let disposition = self.take_listed(hint).await;
        tell(&named, &disposition);
        disposition
    }

    /// Takes the objects of several hints, each once and [`TURNS`] at the same time.
    pub async fn take_all(&self, mut hints: Vec<Hint>) -> Vec<(Hint, Disposition)> {
        let mut known = HashSet::with_capacity(hints.len());
        hints.retain(|hint| known.insert(hint.clone()));
        drop(known);
        let take = |hint: Hint| async {
            let disposition = self.take(hint.clone()).await;
            (hint, disposition)
        };
        stream::iter(hints).map(take).buffer_unordered(TURNS).collect().await
    }

    /// Takes the objects of one message, and tries again by itself what only an outage keeps from landing, until
    /// that is over or `hold_max` has passed: a message given back uses up a delivery. Whoever awaits keeps it from
    /// others.
    pub async fn take_patiently(
        &self,
        hints: Vec<Hint>,
        outages: &Outages,
        hold_max: Duration,
    ) -> Vec<Disposition> {
        let (until, mut waits) = (Instant::now() + hold_max, pauses());
        let (mut settled, mut left) = (Vec::new(), hints);
        while !left.is_empty() {
            if timeout_at(until, self.until_open(outages)).await.is_err() {
                settled.extend(left.iter().map(|_| later("nothing can be taken just now", AGAIN)));
                break;
            }
            for (hint, disposition) in self.take_all(std::mem::take(&mut left)).await {
                if disposition.is_of_outage(outages) && Instant::now() < until {
                    left.push(hint);
                } else {
                    settled.push(disposition);
                }
            }
            if !left.is_empty() {
                sleep(waits.next().unwrap_or_default()).await;
            }
        }
        settled
    }

    /// Waits until something keeps all objects from being taken.
    pub async fn until_in_doubt(&self, outages: &Outages) {
        self.0.gate.until_in_doubt(outages).await;
    }

    /// Waits while nothing can be taken: landing is out, or the bucket does not answer.
    pub async fn until_open(&self, outages: &Outages) {
        self.0.gate.until_open(&self.0.bucket, outages).await;
    }

    /// The same as [`Taker::take`] for the scan, which looks again every minute and says less. Who no longer awaits
    /// it ends it.
    pub(super) async fn take_listed(&self, hint: Hint) -> Disposition {
        let inner = Arc::clone(&self.0);
        let mut taking = JoinSet::new();
        taking.spawn_on(async move { inner.take(&hint).await }, &self.0.runtime);
        let disposition = match taking.join_next().await {
            Some(Ok(disposition)) => disposition,
            // what this object does to the program it does alone
            Some(Err(error)) if error.is_panic() => later_alone(format!("it was given up: {error}"), REPORT),
            Some(Err(_)) | None => later("the service is stopping", "it is tried again"),
        };
        if matches!(disposition, Disposition::Later { is_general: true, .. }) {
            self.0.gate.shut();
        }
        disposition
    }
}

/// Logs what is not settled. What landed has a line of its own.
fn tell(key: &str, disposition: &Disposition) {
    match disposition {
        Disposition::Landed(_) | Disposition::Before => {}
        Disposition::NoConcern(why) => tracing::debug!(key, "an event is of no concern: {why}"),
        Disposition::Later { refused: Refused { problem, hint }, .. } => {
            tracing::warn!(key, hint, "not yet landed: {problem}")
        }
        Disposition::Missing(Refused { problem, hint }) | Disposition::Never(Refused { problem, hint }) => {
            tracing::error!(key, hint, "{problem}");
        }
    }
}

impl Inner {
    async fn take(&self, hint: &Hint) -> Disposition {
        let (path, name) = match self.bucket.place(hint) {
            Ok(place) => place,
            Err(Unplaced::Elsewhere(why)) => return Disposition::NoConcern(why),
            Err(Unplaced::Unfit(problem)) => return never(problem, "put it again under another key"),
        };
        let _hand = self.in_hand.claim(&hint.key).await;
        let Ok(_turn) = self.turns.acquire().await else {
            return later("the service is stopping", "it is tried again");
        };
        match self.bucket.look(&path, None).await {
            Ok(found) => self.land(&path, name, &found, None).await,
            Err(Error::NotFound { .. }) => self.missing(&path, name, hint).await,
            Err(error) => self.away(&error).await,
        }
    }

    /// An object that is not there: it landed before, or stands below the mark of a removal, or is lost.
    async fn missing(&self, path: &Path, name: String, hint: &Hint) -> Disposition {
        if self.recent().landed(hint).is_some() {
            return Disposition::Before;
        }
        match self.history.has_landed(&name, hint.at).await {
            Ok(true) => return Disposition::Before,
            Ok(false) => {}
            Err(error) => return later(with_causes(&error), "it is tried again"),
        }
        if hint.version.is_some() {
            match self.bucket.look(path, hint.version.clone()).await {
                Ok(found) => return self.land(path, name, &found, hint.version.clone()).await,
                // some stores call a version that they cannot read a bad request
                Err(error) => {
                    tracing::debug!(error = %told(&error), key = hint.key, "the version is not there either")
                }
            }
        }
        // nothing is there either where the bucket itself is gone
        if !self.gate.answers(&self.bucket).await {
            return later("the inbox bucket does not answer", AGAIN);
        }
        let problem = "the object is not there, and none of its name has landed since the event";
        let hint = "put it again; or, where somebody has withdrawn it, remove the event";
        Disposition::Missing(Refused { problem: problem.to_owned(), hint: hint.to_owned() })
    }

    async fn land(
        &self,
        path: &Path,
        name: String,
        found: &ObjectMeta,
        version: Option<String>,
    ) -> Disposition {
        let (key, stand): (&str, _) = (path.as_ref(), Stand::of(found));
        let known = self.recent().fate(key, &stand);
        match known {
            Some(Fate::Landed(upload)) => return self.leave(path, &stand, upload).await,
            Some(Fate::Never(problem, hint)) => return never(problem, hint),
            None => {}
        }
        let Ok(no_digests) = Digests::of(&HeaderMap::new()) else {
            return later("the object was given up", "it is tried again");
        };
        let failed: Arc<Mutex<Option<Error>>> = Arc::default();
        let body = Body::from_stream(self.bucket.read(found, version).map_err(noting(&failed)));
        let received = self.receiver.receive(body, Some(stand.size), no_digests).await;
        let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let bytes = match received {
            Ok(bytes) => bytes,
            Err(_) if let Some(error) = &failed => return self.away(error).await,
            Err(problem) if problem.is_for_ever() => {
                return self.refuse(key, stand, problem.detail(), problem.help());
            }
            Err(problem) => {
                // one that is too slow or too large for the room that is left says nothing of the others
                let (problem, hint) = (problem.detail().to_owned(), problem.help().to_owned());
                let is_general = self.receiver.is_full();
                return Disposition::Later { refused: Refused { problem, hint }, is_general };
            }
        };
        match self.intake.land(name, bytes).await {
            Ok(Receipt { note: Note::Refused { upload, feed, .. }, .. }) => {
                let problem = format!("these bytes are upload {upload}, which landed under feed {feed}");
                let hint = "change feed or zone in the supplier's profile and run `greenstream rebuild`; then remove the object";
                self.refuse(key, stand, &problem, hint)
            }
            Ok(Receipt {
                note: Note::Landed(upload) | Note::Known(upload) | Note::Retried(upload), ..
            }) => {
                self.recent().note(key, stand.clone(), Fate::Landed(upload));
                self.leave(path, &stand, upload).await
            }
            Ok(Receipt { note: Note::Unread { problem, hint }, .. }) => later_alone(problem, hint),
            Err(Unlanded::Refused(refused)) => Disposition::Later { refused, is_general: true },
            Err(Unlanded::Busy) => later("too many uploads wait to land", "it is tried again"),
            Err(Unlanded::Stopping) => later("the service is stopping", "it is tried again"),
        }
    }

    /// Takes an object that has landed out of the inbox; what fails there is made good by the next scan.
    async fn leave(&self, path: &Path, stand: &Stand, upload: u32) -> Disposition {
        match self.bucket.remove_if_same(path, stand).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!(key = %path, upload, "another object has taken its place in the inbox")
            }
            Err(error) => {
                tracing::warn!(key = %path, upload, "an object has landed and stays in the inbox: {}", told(&error));
            }
        }
        Disposition::Landed(upload)
    }

    /// An object that cannot be read now. What the store says of one (a missing right, an archived class, a bad
    /// request, a change meanwhile) is no reason to leave the others; that it answers nobody is.
    async fn away(&self, error: &Error) -> Disposition {
        let hint = match error {
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                "give the service the right to read, list and remove the objects of the inbox"
            }
            Error::Precondition { .. } => "it is tried again; a sender should put an object once",
            _ => AGAIN,
        };
        let refused = Refused { problem: told(error).to_string(), hint: hint.to_owned() };
        let has_answered = matches!(error, Error::Precondition { .. });
        let is_general = !has_answered && !self.gate.answers(&self.bucket).await;
        Disposition::Later { refused, is_general }
    }

    /// Notes that an object is not to be read again as it is.
    fn refuse(&self, key: &str, stand: Stand, problem: &str, hint: &str) -> Disposition {
        tracing::error!(key, hint, "an object stays in the inbox: {problem}");
        self.recent().note(key, stand, Fate::Never(problem.to_owned(), hint.to_owned()));
        never(problem, hint)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        // every change is one statement
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn later(problem: impl Into<String>, hint: impl Into<String>) -> Disposition {
    let refused = Refused { problem: problem.into(), hint: hint.into() };
    Disposition::Later { refused, is_general: true }
}

/// What says nothing of the others.
fn later_alone(problem: impl Into<String>, hint: impl Into<String>) -> Disposition {
    let refused = Refused { problem: problem.into(), hint: hint.into() };
    Disposition::Later { refused, is_general: false }
}

fn never(problem: impl Into<String>, hint: impl Into<String>) -> Disposition {
    Disposition::Never(Refused { problem: problem.into(), hint: hint.into() })
}

/// Keeps the error that ends a body, which its reader knows only for cut.
fn noting(failed: &Arc<Mutex<Option<Error>>>) -> impl Fn(Error) -> io::Error + Send + use<> {
    let failed = Arc::clone(failed);
    move |error| {
        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other("the object could not be read to its end")
    }
}
