//! One invocation, from the event to the answer.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use greenstream::config::Config;
use greenstream::home::{Home, HomeError};
use greenstream::outage::pauses;
use greenstream::process::{Service, with_causes};
use greenstream::trigger::Once;
use lambda_runtime::Error;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::event::{Event, Message, failures};

/// How long an invocation waits for the home while another has it. Longer is paid for without work; shorter
/// lets more messages come again.
const HOME_WAIT_MAX: Duration = Duration::from_secs(60);

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

/// Carries out an invocation. An error lets all of it come again.
pub async fn answer(places: &Places, event: Value) -> Result<Value, Error> {
    let (places, runtime) = (places.clone(), Handle::current());
    // processing has threads of its own, and waits for disks
    tokio::task::spawn_blocking(move || carry_out(&places, &event, &runtime)).await?
}

fn carry_out(places: &Places, event: &Value, runtime: &Handle) -> Result<Value, Error> {
    match Event::of(event)? {
        Event::Messages(messages) => Ok(take(places, messages, runtime)),
        Event::Direct(hints) => {
            let mut service = open(places)?;
            match Once::new(&mut service, runtime.clone()).take(vec![hints])?.as_slice() {
                [true] => Ok(json!({ "settled": true })),
                _ => Err("an object has not landed; the log says why".into()),
            }
        }
        Event::Reconcile => {
            let mut service = open(places)?;
            let scanned = Once::new(&mut service, runtime.clone()).reconcile()?;
            let scanned = scanned.map_err(|refused| format!("{}; {}", refused.problem, refused.hint))?;
            service.send_alerts()?;
            Ok(json!({ "landed": scanned.landed, "refused": scanned.refused, "waiting": scanned.waiting }))
        }
    }
}

/// Takes messages of a queue. Whatever goes wrong, the answer says which are to come again.
fn take(places: &Places, messages: Vec<Message>, runtime: &Handle) -> Value {
    let (mut ids, mut hints, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for message in messages {
        match message.hints {
            Ok(some) => {
                ids.push(message.id);
                hints.push(some);
            }
            Err(unfit) => {
                tracing::error!(message = message.id, "a message is left to the dead-letter queue: {unfit}");
                failed.push(message.id);
            }
        }
    }
    if hints.iter().all(Vec::is_empty) {
        return failures(failed);
    }
    let taken = open(places).and_then(|mut service| {
        let taken = Once::new(&mut service, runtime.clone()).take(hints)?;
        // what does not go out now waits in the outbox
        service.send_alerts()?;
        Ok(taken)
    });
    match taken {
        Ok(settled) => {
            failed.extend(ids.into_iter().zip(settled).filter_map(|(id, settled)| (!settled).then_some(id)));
        }
        Err(error) => {
            tracing::error!("nothing is acknowledged: {error}");
            failed.extend(ids);
        }
    }
    failures(failed)
}

/// Opens the home for one invocation; it is given back when the service is dropped.
fn open(places: &Places) -> Result<Service, Error> {
    let config = Config::read(&places.config)
        .map_err(|error| format!("{}: {}; {}", error.place, error.problem, error.hint))?;
    let home = home(places).map_err(|error| format!("{}; {}", with_causes(&error), error.hint()))?;
    let service =
        Service::open(home, config).map_err(|error| format!("{}; {}", with_causes(&error), error.hint()))?;
    if let Some(notice) = service.configuration_notice()? {
        tracing::warn!("{notice}");
    }
    Ok(service)
}

/// The home, once the invocation that has it now gives it back.
fn home(places: &Places) -> Result<Home, HomeError> {
    let (began, mut waits) = (Instant::now(), pauses());
    loop {
        match Home::open(&places.home, "greenstream-lambda") {
            Err(HomeError::HomeBusy { .. }) if began.elapsed() < HOME_WAIT_MAX => {
                std::thread::sleep(waits.next().unwrap_or_default());
            }
            outcome => return outcome,
        }
    }
}
