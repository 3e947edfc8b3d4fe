//! The triggers of a running service: the scan of the inbox bucket and the queues that tell of new objects, on
//! a thread of their own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{AbortHandle, JoinHandle};

use super::bucket::{BLOCK, Bucket};
use super::history::History;
use super::intake::Intake;
use super::scan::keep_scanning;
use super::take::Taker;
use crate::config::{Address, Config};
use crate::home::Layout;
use crate::objects;
use crate::outage::{Outages, Part};
use crate::process::with_causes;
use crate::web::Receiver;

/// How long the service waits at its end for what the triggers are doing; what is cut off comes again.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// Why the triggers cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum TriggerError {
    /// A key is missing, or what it says cannot be used.
    #[error("{key}: {problem}")]
    Key {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        problem: String,
        /// The way out.
        hint: String,
    },
    /// There is no place for objects on their way.
    #[error("cannot begin to fetch objects")]
    Io(#[from] std::io::Error),
}

impl TriggerError {
    /// The way out.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            TriggerError::Key { hint, .. } => hint,
            TriggerError::Io(_) => "give this user the right to write in the home",
        }
    }
}

/// The running triggers.
pub struct Sources {
    taker: Option<Taker>,
    runtime: Option<Runtime>,
    outages: Arc<Outages>,
    scanning: Mutex<Option<AbortHandle>>,
}

impl Sources {
    /// Starts the queues that the configuration names; nothing where it names no inbox bucket. The bucket is not
    /// scanned yet.
    ///
    /// # Errors
    /// [`TriggerError`] as it says.
    pub fn start(
        layout: &Layout,
        config: &Config,
        intake: Intake,
        outages: &Arc<Outages>,
    ) -> Result<Sources, TriggerError> {
        let Some(url) = &config.file.inbox.url else { return Ok(Sources::new(None, None, outages)) };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let taker = taker(url, layout, config, intake, runtime.handle().clone())?;
        // a queue whose part is not in this build is refused with the configuration
        #[cfg(feature = "sqs")]
        start_sqs(&runtime, config, &taker, outages);
        #[cfg(feature = "nats")]
        start_nats(&runtime, config, &taker, outages);
        Ok(Sources::new(Some(taker), Some(runtime), outages))
    }

    fn new(taker: Option<Taker>, runtime: Option<Runtime>, outages: &Arc<Outages>) -> Sources {
        Sources { taker, runtime, outages: Arc::clone(outages), scanning: Mutex::default() }
    }

    /// Scans the inbox bucket from now on, or no longer: of several processes with one inbox one does.
    pub fn scan(&self, scans: bool) {
        let mut scanning = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        if !scans {
            if let Some(stopped) = scanning.take() {
                stopped.abort();
                // whoever scans tells
                self.outages.leave(Part::Inbox);
            }
            return;
        }
        let (Some(taker), Some(runtime), None) = (&self.taker, &self.runtime, &*scanning) else { return };
        let (taker, outages) = (taker.clone(), Arc::clone(&self.outages));
        let scan = runtime.spawn(async move { keep_scanning(&taker, &outages).await });
        *scanning = Some(scan.abort_handle());
        runtime.spawn(told_of_end("the scan of the inbox bucket", scan));
    }

    /// What takes objects; none where there is no inbox bucket.
    #[must_use]
    pub fn taker(&self) -> Option<Taker> {
        self.taker.clone()
    }

    /// Ends them all.
    pub fn stop(self) {
        if let Some(runtime) = self.runtime {
            runtime.shutdown_timeout(END_TIME_MAX);
        }
    }
}

/// What takes objects of the bucket at `url` to `intake`.
pub(super) fn taker(
    url: &Address,
    layout: &Layout,
    config: &Config,
    intake: Intake,
    runtime: Handle,
) -> Result<Taker, TriggerError> {
    let mut keys = config.file.upload;
    // an object comes in blocks, whose time is limited by its requests and not by the pace of a sender: four
    // tries, of which each may take the time of a request and then one more
    let block_seconds = config.file.objects.settings(None).request_seconds.saturating_mul(8);
    keys.gap_seconds = keys.gap_seconds.max(block_seconds);
    keys.body_seconds = keys.body_seconds.max(block_seconds.saturating_mul(keys.bytes_max / BLOCK + 1));
    keys.rate_min = 0;
    let receiver = Receiver::new(layout.fetching(), keys)?;
    Ok(Taker::new(open(url, config)?, intake, receiver, History::of(layout.clone()), runtime))
}

/// Says so where a trigger ends that is to go on as long as the service: nobody is to believe that it listens.
async fn told_of_end(trigger: &'static str, running: JoinHandle<()>) {
    let why = match running.await {
        // it was stopped
        Err(error) if error.is_cancelled() => return,
        Err(error) => error.to_string(),
        Ok(()) => "nobody told it to".to_owned(),
    };
    let hint = "start the service again, and report it with this message";
    tracing::error!(hint, "{trigger} has ended, and takes nothing any more: {why}");
}

#[cfg(feature = "sqs")]
fn start_sqs(runtime: &Runtime, config: &Config, taker: &Taker, outages: &Arc<Outages>) {
    let keys = config.sqs();
    if let Some(url) = keys.queue_url.clone() {
        let (taker, outages) = (taker.clone(), Arc::clone(outages));
        let queue =
            runtime.spawn(async move { super::sqs::keep_receiving(&url, &keys, &taker, &outages).await });
        runtime.spawn(told_of_end("`[trigger.sqs]`", queue));
    }
}

#[cfg(feature = "nats")]
fn start_nats(runtime: &Runtime, config: &Config, taker: &Taker, outages: &Arc<Outages>) {
    let keys = config.nats();
    if let Some(url) = keys.url.clone() {
        let (taker, outages) = (taker.clone(), Arc::clone(outages));
        let stream =
            runtime.spawn(async move { super::nats::keep_receiving(&url, &keys, &taker, &outages).await });
        runtime.spawn(told_of_end("`[trigger.nats]`", stream));
    }
}

fn open(url: &Address, config: &Config) -> Result<Bucket, TriggerError> {
    let settings = config.file.objects.settings(None);
    let place = objects::Bucket::open(url, &settings).map_err(|error| {
        let (problem, hint) = (with_causes(&error), error.hint().to_owned());
        TriggerError::Key { key: "inbox.url", problem, hint }
    })?;
    let (address, prefix) = (place.address(), place.full_key(""));
    let name = (!address.bucket().is_empty()).then(|| address.bucket().to_owned());
    Ok(Bucket::new(place.store(), name, prefix))
}
