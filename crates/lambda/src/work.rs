//! One invocation, from the event to the answer.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use greenstream::config::Config;
use greenstream::home::{Home, HomeError};
use greenstream::outage::pauses;
use greenstream::process::{ProcessError, Service, with_causes};
use greenstream::trigger::{Hint, Once};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::event::{Event, Message, failures};
use crate::time::Clock;

/// How long an invocation waits for the home while another has it, if its time is so long. Longer is paid for
/// without work; shorter lets more messages come again.
const HOME_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long an invocation waits at its end for requests that are under way and wanted no more.
const END_TIME_MAX: Duration = Duration::from_millis(500);

/// Where the home and its configuration are.
#[derive(Clone, Debug)]
pub struct Places {
    /// A folder that outlives the invocation: a file system of EFS.
    pub home: PathBuf,
    /// The configuration file.
    pub config: PathBuf,
}

impl Places {
    /// From `GREENSTREAM_HOME` and `GREENSTREAM_CONFIG`; else `/mnt/greenstream` and the file in it.
    pub fn of_environment() -> Places {
        #[expect(clippy::disallowed_methods, reason = "a function has no command line")]
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = PathBuf::from(var("GREENSTREAM_HOME").unwrap_or_else(|| "/mnt/greenstream".to_owned()));
        let config = var("GREENSTREAM_CONFIG").map_or_else(|| home.join("greenstream.toml"), PathBuf::from);
        Places { home, config }
    }
}

/// Carries out an invocation, before its deadline. An error lets all of it come again.
pub async fn answer(places: &Places, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let places = places.clone();
    // processing has threads of its own, and waits for disks
    tokio::task::spawn_blocking(move || carry_out(places, &event)).await?
}

fn carry_out(places: Places, event: &LambdaEvent<Value>) -> Result<Value, Error> {
    let what = Event::of(&event.payload)?;
    // ends with the invocation, and with it all that was begun for it
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let clock = Clock::until(event.context.deadline(), runtime.handle());
    let invocation = Invocation { places, runtime, clock };
    let answer = match what {
        Event::Messages(messages) => Ok(invocation.take_messages(messages)),
        Event::Direct(hints) => invocation.take_one(hints),
        Event::Reconcile => invocation.reconcile(),
    };
    invocation.runtime.shutdown_timeout(END_TIME_MAX);
    answer
}

/// One invocation while it lasts.
struct Invocation {
    places: Places,
    runtime: Runtime,
    clock: Clock,
}

impl Invocation {
    /// Takes messages of a queue. Whatever goes wrong, the answer says which are to come again.
    fn take_messages(&self, messages: Vec<Message>) -> Value {
        let (mut ids, mut hints, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for message in messages {
            match message.hints {
                Ok(some) => {
                    ids.push(message.id);
                    hints.push(some);
                }
                Err(unfit) => {
                    tracing::error!(
                        message = message.id,
                        "a message is left to the dead-letter queue: {unfit}"
                    );
                    failed.push(message.id);
                }
            }
        }
        if hints.iter().all(Vec::is_empty) {
            return failures(failed);
        }
        match self.take(hints) {
            Ok(settled) => {
                failed.extend(
                    ids.into_iter().zip(settled).filter_map(|(id, settled)| (!settled).then_some(id)),
                );
            }
            Err(error) => {
                tracing::error!("nothing is acknowledged: {error}");
                failed.extend(ids);
            }
        }
        failures(failed)
    }

    /// Takes what S3 itself tells of.
    fn take_one(&self, hints: Vec<Hint>) -> Result<Value, Error> {
        match self.take(vec![hints])?.as_slice() {
            [true] => Ok(json!({ "settled": true })),
            _ => Err("an object has not landed, or is not processed; the log says why".into()),
        }
    }

    /// For each message, whether it has done its work.
    fn take(&self, messages: Vec<Vec<Hint>>) -> Result<Vec<bool>, Error> {
        let mut service = self.open()?;
        let taken = Once::new(&mut service, self.runtime.handle().clone()).take(messages);
        // what does not go out now waits in the outbox
        if let Err(error) = self.send_alerts(&service) {
            tracing::error!("alerts were not sent: {error}");
        }
        taken.map_err(|error| format!("{}; {}", with_causes(&error), error.hint()).into())
    }

    /// Takes all that is in the inbox, and sends what waits, whatever else goes wrong.
    fn reconcile(&self) -> Result<Value, Error> {
        let mut service = self.open()?;
        let done = Once::new(&mut service, self.runtime.handle().clone()).reconcile();
        let sent = self.send_alerts(&service);
        let done = done.map_err(|error| format!("{}; {}", with_causes(&error), error.hint()))?;
        done.processed.map_err(worded)?;
        let scanned = done.scanned.map_err(|refused| format!("{}; {}", refused.problem, refused.hint))?;
        sent?;
        let mut answer =
            json!({ "landed": scanned.landed, "refused": scanned.refused, "waiting": scanned.waiting });
        if !done.is_whole {
            tracing::warn!("the time is over; the rest is left to the next invocation");
            answer["unfinished"] = json!(true);
        }
        Ok(answer)
    }

    fn send_alerts(&self, service: &Service) -> Result<(), Error> {
        Ok(service.send_alerts_until(&self.clock.is_due).map_err(worded)?)
    }

    /// Opens the home; it is given back when the service is dropped.
    fn open(&self) -> Result<Service, Error> {
        let config = Config::read(&self.places.config)
            .map_err(|error| format!("{}: {}; {}", error.place, error.problem, error.hint))?;
        let home = self.home().map_err(|error| format!("{}; {}", with_causes(&error), error.hint()))?;
        let service = Service::open_telling(home, config, self.clock.outages.clone()).map_err(worded)?;
        if let Some(notice) = service.configuration_notice().map_err(worded)? {
            tracing::warn!("{notice}");
        }
        Ok(service)
    }

    /// The home, once the invocation that has it now gives it back.
    fn home(&self) -> Result<Home, HomeError> {
        let (began, mut waits) = (Instant::now(), pauses());
        loop {
            let opened = Home::open(&self.places.home, "greenstream-lambda");
            let may_wait =
                matches!(opened, Err(HomeError::HomeBusy { .. })) && began.elapsed() < HOME_WAIT_MAX;
            if !may_wait || !self.clock.outages.pause(waits.next().unwrap_or_default()) {
                return opened;
            }
        }
    }
}

/// An error with its causes and the way out.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn worded(error: ProcessError) -> String {
    format!("{}; {}", with_causes(&error), error.hint())
}
