//! NATS JetStream: a durable pull consumer whose messages name objects, acknowledged once these have landed.
//!
//! What passes comes again after a pause, what never works is ended, and a long landing is told of before the
//! server takes it for lost.

use std::path::Path;
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
use crate::outage::{Outages, Part, pauses};

/// How long the server waits for an answer before it sends a message again: so late is one whose service died.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Messages whose objects are landing at the same time.
const IN_HAND_MAX: i64 = 64;
/// How long a message rests whose object has not landed.
const REST: Duration = Duration::from_secs(10);
/// So often an object may be missing before its message is ended.
const MISSING_MAX: i64 = 5;

/// Receives for as long as it is awaited. A server that is away is tried again after growing pauses.
pub async fn keep_receiving(
    url: &str,
    keys: &NatsKeys,
    credentials: Option<&Path>,
    taker: &Taker,
    outages: &Outages,
) {
    let (mut waits, mut is_away) = (pauses(), false);
    loop {
        let problem = match open(url, keys, credentials).await {
            Ok(messages) => {
                if std::mem::take(&mut is_away) {
                    tracing::warn!("the stream can be read again");
                }
                waits = pauses();
                receive(messages, taker, outages).await
            }
            Err(problem) => problem,
        };
        if !std::mem::replace(&mut is_away, true) {
            let hint = "look at `[trigger.nats]`, the server and its stream; the scan of the inbox goes on";
            tracing::error!(hint, "the stream cannot be read: {problem}");
        }
        sleep(waits.next().unwrap_or_default()).await;
    }
}

/// Connects and takes up the durable consumer, which is made where it is not there. The stream is the
/// operator's: how long it keeps messages is not for this service to say.
async fn open(url: &str, keys: &NatsKeys, credentials: Option<&Path>) -> Result<Stream, String> {
    let mut options = ConnectOptions::new().name("greenstream");
    if let Some(file) = credentials {
        options = options.credentials_file(file).await.map_err(|error| error.to_string())?;
    }
    let client = options.connect(url).await.map_err(|error| error.to_string())?;
    let stream = jetstream::new(client).get_stream(&keys.stream).await.map_err(|error| error.to_string())?;
    let config = Config {
        durable_name: Some(keys.consumer.clone()),
        filter_subject: keys.subject.clone().unwrap_or_default(),
        ack_wait: ACK_WAIT,
        max_ack_pending: IN_HAND_MAX,
        ..Config::default()
    };
    let consumer =
        stream.get_or_create_consumer(&keys.consumer, config).await.map_err(|error| error.to_string())?;
    consumer.messages().await.map_err(|error| error.to_string())
}

/// Works until the stream breaks, and says why it did.
async fn receive(mut messages: Stream, taker: &Taker, outages: &Outages) -> String {
    let mut in_hand = JoinSet::new();
    while let Some(message) = messages.next().await {
        match message {
            Ok(message) => {
                let (taker, is_full) = (taker.clone(), outages.is_out(Part::Landing));
                in_hand.spawn(async move { work(&message, &taker, is_full).await });
            }
            Err(error) => return error.to_string(),
        }
        while in_hand.try_join_next().is_some() {}
    }
    "the server has ended it".to_owned()
}

async fn work(message: &Message, taker: &Taker, is_full: bool) {
    let answer = if is_full { AckKind::Nak(Some(REST)) } else { take(message, taker).await };
    if let Err(error) = message.ack_with(answer).await {
        tracing::warn!(%error, "a message comes again");
    }
}

async fn take(message: &Message, taker: &Taker) -> AckKind {
    let hints = match hints_of(message) {
        Ok(hints) => hints,
        Err(unfit) => {
            tracing::error!(subject = %message.subject, "a message is given up: {unfit}");
            return AckKind::Term;
        }
    };
    let mut taking = JoinSet::new();
    for hint in hints {
        let taker = taker.clone();
        taking.spawn(async move { taker.take(hint).await });
    }
    let delivered = message.info().map_or(1, |info| info.delivered);
    let mut beat = interval(ACK_WAIT / 3);
    // the first comes at once
    beat.tick().await;
    let mut answers = Vec::new();
    loop {
        tokio::select! {
            taken = taking.join_next() => match taken {
                Some(taken) => answers.push(taken.map_or(AckKind::Nak(Some(REST)), |taken| answer(&taken, delivered))),
                None => return together(answers),
            },
            _ = beat.tick() => {
                if let Err(error) = message.ack_with(AckKind::Progress).await {
                    tracing::warn!(%error, "a message may come again while its object lands");
                }
            }
        }
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
