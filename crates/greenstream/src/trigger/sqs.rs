//! S3 notifications through SQS: long polling, a heartbeat while an object lands, and only what has landed is
//! removed from the queue.
//!
//! What cannot land stays, comes again when its visibility ends, and is moved to the dead-letter queue by the
//! queue's own policy. While the landing zone is out or the inbox does not answer nothing is received, and what was
//! is held, so that no message uses up its receives in vain.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::Message;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use super::message::hints;
use super::take::{Disposition, Taker};
use crate::config::SqsKeys;
use crate::outage::{Outages, pauses};

/// How long a receive waits for messages, in seconds: the most that SQS allows, and the fewest requests.
const WAIT_SECONDS: i32 = 20;
/// The most messages of one receive, by SQS's own limit.
const BATCH_MAX: i32 = 10;
/// Messages whose objects are landing at the same time. More would be invisible to other receivers in vain.
const IN_HAND_MAX: usize = 40;
/// How long an outage may keep a message: SQS ends its visibility after 12 hours, whatever we ask.
const HOLD_MAX: Duration = Duration::from_secs(11 * 3_600);

/// A queue and how it is used.
#[derive(Clone)]
struct Queue {
    client: Client,
    url: String,
    /// In seconds.
    visibility: i32,
}

/// Receives for as long as it is awaited. A queue that is away is tried again after growing pauses.
pub async fn keep_receiving(url: &str, keys: &SqsKeys, taker: &Taker, outages: &Arc<Outages>) {
    let queue = Queue::open(url, keys).await;
    let (mut waits, mut is_away) = (pauses(), false);
    let mut in_hand = JoinSet::new();
    loop {
        taker.until_open(outages).await;
        while in_hand.len() + usize::try_from(BATCH_MAX).unwrap_or_default() > IN_HAND_MAX {
            in_hand.join_next().await;
        }
        // what is done makes room
        while in_hand.try_join_next().is_some() {}
        match queue.receive().await {
            Ok(messages) => {
                if std::mem::take(&mut is_away) {
                    tracing::warn!("the queue can be read again");
                    waits = pauses();
                }
                for message in messages {
                    let (queue, taker, outages) = (queue.clone(), taker.clone(), Arc::clone(outages));
                    in_hand.spawn(async move { queue.work(&message, &taker, &outages).await });
                }
            }
            Err(problem) => {
                let hint = "look at `[trigger.sqs]`, the service's rights and the network; the scan of the inbox goes on";
                if !std::mem::replace(&mut is_away, true) {
                    tracing::error!(hint, "the queue cannot be read: {problem}");
                }
                sleep(waits.next().unwrap_or_default()).await;
            }
        }
    }
}

/// Whether the queue is there and lets us in. No message is taken.
pub async fn ask(url: &str, keys: &SqsKeys) -> Result<(), String> {
    let queue = Queue::open(url, keys).await;
    let asked = queue.client.get_queue_attributes().queue_url(url).send().await;
    asked.map(|_| ()).map_err(|error| DisplayErrorContext(error).to_string())
}

impl Queue {
    /// Credentials come from where AWS's own tools find them.
    async fn open(url: &str, keys: &SqsKeys) -> Queue {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = &keys.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let mut builder = Builder::from(&loader.load().await);
        if let Some(endpoint) = &keys.endpoint {
            builder = builder.endpoint_url(&**endpoint);
        }
        let visibility = i32::try_from(keys.visibility_seconds).unwrap_or(i32::MAX);
        Queue { client: Client::from_conf(builder.build()), url: url.to_owned(), visibility }
    }

    async fn receive(&self) -> Result<Vec<Message>, String> {
        let received = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(BATCH_MAX)
            .wait_time_seconds(WAIT_SECONDS)
            .visibility_timeout(self.visibility)
            .send()
            .await;
        received
            .map(|received| received.messages.unwrap_or_default())
            .map_err(|error| DisplayErrorContext(error).to_string())
    }

    /// Lands what a message tells of, and removes the message if all of it has landed. Others are not given it
    /// meanwhile, however long an outage keeps it.
    async fn work(&self, message: &Message, taker: &Taker, outages: &Outages) {
        let Some(receipt) = message.receipt_handle() else { return };
        let id = message.message_id().unwrap_or_default();
        let hints = match hints(message.body().unwrap_or_default().as_bytes()) {
            Ok(hints) => hints,
            Err(unfit) => {
                tracing::error!(message = id, "a message stays in the queue: {unfit}");
                return;
            }
        };
        let mut taking = pin!(taker.take_patiently(hints, outages, HOLD_MAX));
        let mut beat = interval(Duration::from_secs(self.visibility.unsigned_abs().into()) / 3);
        // the first comes at once
        beat.tick().await;
        let taken = loop {
            tokio::select! {
                taken = &mut taking => break taken,
                _ = beat.tick() => self.hold(receipt).await,
            }
        };
        if taken.iter().all(Disposition::is_settled) {
            self.remove(receipt, id).await;
        }
    }

    /// Keeps a message from others for as long again.
    async fn hold(&self, receipt: &str) {
        let held = self
            .client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt)
            .visibility_timeout(self.visibility)
            .send()
            .await;
        if let Err(error) = held {
            tracing::warn!("a message may come again while its object lands: {}", DisplayErrorContext(error));
        }
    }

    async fn remove(&self, receipt: &str, id: &str) {
        let removed = self.client.delete_message().queue_url(&self.url).receipt_handle(receipt).send().await;
        if let Err(error) = removed {
            tracing::warn!(
                message = id,
                "a message that is done comes again: {}",
                DisplayErrorContext(error)
            );
        }
    }
}
