//! One batch of hints with a service that lives no longer than that: a function in the cloud. The path is the
//! same as that of a running service, and its time is limited: when the service's outages are told to stop, nothing
//! new is begun, and what is not done by then is left to the next one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::hint::Hint;
use super::intake::intake;
use super::scan::scan;
use super::sources::{TriggerError, taker};
use super::take::{Disposition, TURNS, Taker};
use super::{Bell, Scanned};
use crate::outage::{Outages, Part};
use crate::process::{Arrivals, ProcessError, Refused, Service, with_causes};

/// How long landing waits for the next object before it looks what else is to do; and how often who takes objects
/// looks whether there is time for more.
const WAIT: Duration = Duration::from_millis(200);
/// How long objects that have just landed may take to leave the inbox when the time is over. The others are given
/// up then, however much of them has come.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);

/// Why a batch was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// What the configuration says cannot be used.
    #[error(transparent)]
    Trigger(#[from] TriggerError),
    /// Taking objects has failed. What had landed by then is processed by the next call.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// What a look at the whole inbox has come to.
#[derive(Debug)]
pub struct Reconciled {
    /// What was in the bucket, or why it could not be listed to its end. Where the time was over first, what has
    /// landed by then.
    pub scanned: Result<Scanned, Refused>,
    /// Whether database and archive have what landed, or why not: then the next call goes on.
    pub processed: Result<(), ProcessError>,
    /// Whether there was time for all of it.
    pub is_whole: bool,
}

/// Takes objects of the inbox bucket while a service is at hand.
pub struct Once<'s> {
    service: &'s mut Service,
    runtime: Handle,
}

/// What came of taking objects and of processing what landed.
struct Worked<T> {
    taken: T,
    /// Whether the database has all that landed, and that known bytes came again.
    is_committed: bool,
    /// True where there was time for all of it.
    processed: Result<bool, ProcessError>,
}

/// What became of the hints of one message.
struct Standing {
    /// Hints whose object has not landed.
    open: usize,
    /// What landed.
    uploads: Vec<u32>,
    /// Whether the journal alone does not say what became of it: an object had landed before.
    had_landed: bool,
}

impl<'s> Once<'s> {
    /// With a service, on a runtime of several threads; not to be called from one of them.
    pub fn new(service: &'s mut Service, runtime: Handle) -> Once<'s> {
        Once { service, runtime }
    }

    /// Takes the objects of some messages; for each message, whether it has done its work: its objects have landed
    /// and are in the database. What keeps others from that, or the archive from being written, is logged, and is
    /// made good by the next call.
    ///
    /// # Errors
    /// [`OnceError`]; then no message has done its work, and all may come again.
    pub fn take(&mut self, messages: Vec<Vec<Hint>>) -> Result<Vec<bool>, OnceError> {
        let before = self.service.uploads();
        let Worked { taken, is_committed, processed } =
            self.with(|taker, outages| take_all(taker, messages, outages))?;
        match processed {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("the time is over; what has landed is processed by the next invocation")
            }
            Err(error) => {
                let (hint, problem) = (error.hint(), with_causes(&error));
                tracing::error!(hint, "what has landed is not all processed and archived: {problem}");
            }
        }
        // what had landed before is committed, and nobody knows whether that it came again is
        let is_new = |upload: u32| usize::try_from(upload).is_ok_and(|upload| upload > before);
        let is_in_database = |upload: &u32| is_new(*upload) && self.service.has_committed(*upload);
        let is_settled = |one: &Standing| {
            one.open == 0 && (is_committed || !one.had_landed && one.uploads.iter().all(is_in_database))
        };
        Ok(taken.iter().map(is_settled).collect())
    }

    /// Takes everything in the bucket, and brings database and archive up to date.
    ///
    /// # Errors
    /// [`OnceError`].
    pub fn reconcile(&mut self) -> Result<Reconciled, OnceError> {
        let before = self.service.uploads();
        let Worked { taken, processed, .. } = self.with(scan_in_time)?;
        let is_cut = self.service.outages().is_stopping();
        let scanned = match taken {
            // what it found is of no use where its objects were refused for want of time
            Some(scanned) if !is_cut => scanned,
            _ => {
                let landed = self.service.uploads().saturating_sub(before);
                Ok(Scanned { landed, ..Scanned::default() })
            }
        };
        let is_whole = !is_cut && matches!(processed, Ok(true));
        Ok(Reconciled { scanned, processed: processed.map(drop), is_whole })
    }

    fn with<T, F>(&mut self, work: impl FnOnce(Taker, Arc<Outages>) -> F) -> Result<Worked<T>, OnceError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let config = self.service.config().clone();
        let Some(url) = &config.file.inbox.url else {
            let (key, problem) = ("inbox.url", "there is no bucket to look for objects".to_owned());
            return Err(TriggerError::Key { key, problem, hint: "set it".to_owned() }.into());
        };
        let outages = self.service.outages();
        let (intake, mut posts) = intake(Bell::default());
        let taker = taker(url, self.service.home(), &config, intake, self.runtime.clone())?;
        let working = self.runtime.spawn(work(taker, Arc::clone(&outages)));
        // ends when the last taker is gone, and with it the last sender; or when there is no time for more
        let served = self.service.serve_in_time(&mut || {
            let posted = posts.next(&self.runtime, WAIT).filter(|_| !outages.is_stopping())?;
            Some(Arrivals { posted, ..Arrivals::default() })
        });
        // whoever waits to land hears that nobody lands any more
        drop(posts);
        if served.is_err() {
            outages.stop();
        }
        let taken = self.runtime.block_on(working);
        let archived = self.archive();
        let taken =
            taken.map_err(|error| ProcessError::Internal(format!("taking objects was given up: {error}")))?;
        let is_committed = matches!(served, Ok(true));
        Ok(Worked { taken, is_committed, processed: served.and_then(|is_whole| archived.map(|()| is_whole)) })
    }

    /// Brings the archive up to the database, as far as that is there and the time is: the next one goes on.
    fn archive(&mut self) -> Result<(), ProcessError> {
        let outages = self.service.outages();
        if outages.is_stopping() || outages.is_out(Part::Database) { Ok(()) } else { self.service.finish() }
    }
}

/// Takes the objects of all messages until there is no time for more.
async fn take_all(taker: Taker, messages: Vec<Vec<Hint>>, outages: Arc<Outages>) -> Vec<Standing> {
    let standing = |hints: &Vec<Hint>| Standing { open: hints.len(), uploads: Vec::new(), had_landed: false };
    let mut standings: Vec<_> = messages.iter().map(standing).collect();
    let hints = messages.into_iter().enumerate();
    let hints = hints.flat_map(|(index, hints)| hints.into_iter().map(move |hint| (index, hint)));
    let until = Arc::clone(&outages);
    let take = move |(index, hint)| {
        let (taker, outages) = (taker.clone(), Arc::clone(&outages));
        async move {
            // who waited for a turn may come too late
            let disposition = if outages.is_stopping() { None } else { Some(taker.take(hint).await) };
            (index, disposition)
        }
    };
    let taken = stream::iter(hints).map(take).buffer_unordered(TURNS);
    let mut taken = pin!(taken.take_until(no_time_is_left(&until)));
    while let Some((index, disposition)) = taken.next().await {
        let disposition = disposition.filter(Disposition::is_settled);
        let (Some(disposition), Some(standing)) = (disposition, standings.get_mut(index)) else { continue };
        standing.open -= 1;
        match disposition {
            Disposition::Landed(upload) => standing.uploads.push(upload),
            Disposition::Before => standing.had_landed = true,
            _ => {}
        }
    }
    standings
}

/// The scan; none where there was no time for all of it.
async fn scan_in_time(taker: Taker, outages: Arc<Outages>) -> Option<Result<Scanned, Refused>> {
    match select(pin!(scan(&taker)), pin!(no_time_is_left(&outages))).await {
        Either::Left((scanned, _)) => Some(scanned),
        Either::Right(_) => None,
    }
}

/// Ends when the service is to stop and what has just landed has left the inbox.
async fn no_time_is_left(outages: &Outages) {
    while !outages.is_stopping() {
        sleep(WAIT).await;
    }
    sleep(LEAVE_TIME_MAX).await;
}

impl OnceError {
    /// The way out.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            OnceError::Trigger(error) => error.hint().to_owned(),
            OnceError::Process(error) => error.hint(),
        }
    }
}
