//! NATS JetStream: a durable pull consumer whose messages name objects, acknowledged once these have landed.
//!
//! What passes comes again after a pause, what never works is ended, and a long landing, or an outage that keeps
//! objects from landing, is told of before the server takes a message for lost.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::pull::{Config, Stream};
use async_nats::jetstream::{self, AckKind, Message};
use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use super::cloud_event::CloudEvent;
use super::hint::{Hint, Unfit};
use super::message::hints;
use super::take::{Disposition, Taker};
use crate::config::NatsKeys;
use crate::outage::{Outages, pauses};

/// How long the server waits for an answer before it sends a message again: so late is one whose service died.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Messages whose objects are landing at the same time.
const IN_HAND_MAX: usize = 64;
/// How long a message rests whose object has not landed.
const REST: Duration = Duration::from_secs(10);
/// So often an object may be missing before its message is ended.
const MISSING_MAX: i64 = 5;
/// The server hears no more often than that of a message in hand, whatever its consumer asks for.
const BEAT_MIN: Duration = Duration::from_secs(1);
/// A consumer that was read for so long works, also where it has no message.
const STEADY: Duration = Duration::from_secs(10);
/// How long an outage may keep a message from the other processes of the consumer, who may not have it.
const HOLD_MAX: Duration = Duration::from_secs(300);

/// Messages as they come, and how often the server hears that one is still in hand.
struct Coming {
    messages: Stream,
    beat: Duration,
}

/// Receives for as long as it is awaited. A server that is away, or ends what it began, is tried again after growing
/// pauses.
pub async fn keep_receiving(url: &str, keys: &NatsKeys, taker: &Taker, outages: &Arc<Outages>) {
    let (mut waits, mut is_away, mut in_hand) = (pauses(), false, JoinSet::new());
    loop {
        taker.until_open(outages).await;
        let problem = match open(url, keys).await {
            Ok(coming) => {
                let works = || {
                    if std::mem::take(&mut is_away) {
                        tracing::warn!("the stream can be read again");
                    }
                    waits = pauses();
                };
                match receive(coming, (taker, outages), &mut in_hand, works).await {
                    Some(problem) => problem,
                    None => continue,
                }
            }
            Err(problem) => problem,
        };
        if !std::mem::replace(&mut is_away, true) {
            let hint = "look at `[trigger.nats]`, the server and its stream; the scan of the inbox goes on";
            tracing::error!(hint, "the stream cannot be read: {problem}");
        }
        sleep(waits.next().unwrap_or_default()).await;
        // what was begun is taken to its end, and does not grow with each time that the server goes away
        while in_hand.len() >= IN_HAND_MAX {
            in_hand.join_next().await;
        }
    }
}

/// Whether the server lets us in and has the stream. Nothing is made and nothing taken.
pub async fn ask(url: &str, keys: &NatsKeys) -> Result<(), String> {
    stream(url, keys).await.map(|_| ())
}

/// Connects and takes up the durable consumer, which is made where it is not there. One that is there keeps its own
/// limits.
async fn open(url: &str, keys: &NatsKeys) -> Result<Coming, String> {
    let stream = stream(url, keys).await?;
    let config = Config {
        durable_name: Some(keys.consumer.clone()),
        filter_subject: keys.subject.clone().unwrap_or_default(),
        ack_wait: ACK_WAIT,
        max_ack_pending: i64::try_from(IN_HAND_MAX).unwrap_or(i64::MAX),
        ..Config::default()
    };
    let consumer =
        stream.get_or_create_consumer(&keys.consumer, config).await.map_err(|error| error.to_string())?;
    let beat = (consumer.cached_info().config.ack_wait / 3).max(BEAT_MIN);
    let messages = consumer.messages().await.map_err(|error| error.to_string())?;
    Ok(Coming { messages, beat })
}

/// The stream, which is the operator's: how long it keeps messages is not for this service to say.
async fn stream(url: &str, keys: &NatsKeys) -> Result<jetstream::stream::Stream, String> {
    let mut options = ConnectOptions::new().name("greenstream");
    if let Some(file) = &keys.credentials_file {
        options = options.credentials_file(file).await.map_err(|error| error.to_string())?;
    }
    let client = options.connect(url).await.map_err(|error| error.to_string())?;
    jetstream::new(client).get_stream(&keys.stream).await.map_err(|error| error.to_string())
}

/// Receives until the stream breaks, and says why it did; or until nothing can be taken, so that others get the
/// messages. `works` hears of the first message, or of none for a while.
async fn receive(
    coming: Coming,
    (taker, outages): (&Taker, &Arc<Outages>),
    in_hand: &mut JoinSet<()>,
    works: impl FnOnce(),
) -> Option<String> {
    let Coming { mut messages, beat } = coming;
    let (mut steady, mut works) = (pin!(sleep(STEADY)), Some(works));
    let mut doubt = pin!(taker.until_in_doubt(outages));
    loop {
        while in_hand.len() >= IN_HAND_MAX {
            in_hand.join_next().await;
        }
        let message = tokio::select! {
            message = messages.next() => message,
            () = &mut doubt => return None,
            () = &mut steady, if works.is_some() => {
                if let Some(works) = works.take() {
                    works();
                }
                continue;
            }
        };
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Some(error.to_string()),
            None => return Some("the server has ended it".to_owned()),
        };
        if let Some(works) = works.take() {
            works();
        }
        let (taker, outages) = (taker.clone(), Arc::clone(outages));
        in_hand.spawn(async move { work(&message, beat, &taker, &outages).await });
        while in_hand.try_join_next().is_some() {}
    }
}

/// Takes what a message tells of, and answers it. The server does not send it again meanwhile, however long an outage
/// keeps it.
async fn work(message: &Message, beat: Duration, taker: &Taker, outages: &Outages) {
    let hints = match hints_of(message) {
        Ok(hints) => hints,
        Err(unfit) => {
            tracing::error!(subject = %message.subject, "a message is given up: {unfit}");
            return tell(message, AckKind::Term, "a message comes again").await;
        }
    };
    let delivered = message.info().map_or(1, |info| info.delivered);
    let mut taking = pin!(taker.take_patiently(hints, outages, HOLD_MAX));
    let mut beat = interval(beat);
    // the first comes at once
    beat.tick().await;
    let taken = loop {
        tokio::select! {
            taken = &mut taking => break taken,
            _ = beat.tick() => {
                tell(message, AckKind::Progress, "a message may come again while its object lands").await;
            }
        }
    };
    let answers = taken.iter().map(|taken| answer(taken, delivered)).collect();
    tell(message, together(answers), "a message comes again").await;
}

async fn tell(message: &Message, answer: AckKind, otherwise: &str) {
    if let Err(error) = message.ack_with(answer).await {
        tracing::warn!(%error, "{otherwise}");
    }
}

/// What the server is told of one object.
fn answer(disposition: &Disposition, delivered: i64) -> AckKind {
    match disposition {
        Disposition::Missing(_) if delivered < MISSING_MAX => AckKind::Nak(Some(REST)),
        Disposition::Missing(_) | Disposition::Never(_) => AckKind::Term,
        Disposition::Later { .. } => AckKind::Nak(Some(REST)),
        Disposition::Landed(_) | Disposition::Before | Disposition::NoConcern(_) => AckKind::Ack,
    }
}

/// What it is told of a message with several: it comes again while any of them may land.
fn together(answers: Vec<AckKind>) -> AckKind {
    let rank = |answer: &AckKind| match answer {
        AckKind::Nak(_) => 2,
        AckKind::Term => 1,
        _ => 0,
    };
    answers.into_iter().max_by_key(rank).unwrap_or(AckKind::Ack)
}

/// A CloudEvent in its headers, or whatever the payload is.
fn hints_of(message: &Message) -> Result<Vec<Hint>, Unfit> {
    let header = |name: &str| Some(message.headers.as_ref()?.get(name)?.as_str());
    if header("ce-specversion").is_some() {
        return CloudEvent::binary(header, &message.payload)?.hints();
    }
    hints(&message.payload)
}
