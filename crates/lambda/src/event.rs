//! The events that the function is invoked with.

use greenstream::trigger::{Hint, Unfit, hints};
use serde_json::{Value, json};

/// What an invocation is to do.
#[derive(Debug)]
pub enum Event {
    /// Messages of a queue; only those that failed come again.
    Messages(Vec<Message>),
    /// One message without a queue, such as S3 sends it: it comes again if the invocation fails.
    Direct(Vec<Hint>),
    /// The time has come to look at the whole inbox.
    Reconcile,
}

/// A message of a queue.
#[derive(Debug)]
pub struct Message {
    /// What the queue calls it.
    pub id: String,
    /// What it tells of, if it can be read.
    pub hints: Result<Vec<Hint>, Unfit>,
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// [`Unfit`] for one that the function was not made for.
    pub fn of(event: &Value) -> Result<Event, Unfit> {
        let source = event.get("source").and_then(Value::as_str).unwrap_or_default();
        if matches!(source, "aws.events" | "aws.scheduler") {
            return Ok(Event::Reconcile);
        }
        let of_queue = |record: &Value| {
            let from = record.get("eventSource").and_then(Value::as_str);
            from == Some("aws:sqs")
        };
        match event.get("Records").and_then(Value::as_array) {
            Some(records) if records.iter().any(of_queue) => {
                Ok(Event::Messages(records.iter().map(Message::of).collect()))
            }
            _ => Ok(Event::Direct(hints(event.to_string().as_bytes())?)),
        }
    }
}

impl Message {
    fn of(record: &Value) -> Message {
        let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
        Message { id: text("messageId").to_owned(), hints: hints(text("body").as_bytes()) }
    }
}

/// The answer that lets only these messages come again.
pub fn failures(ids: impl IntoIterator<Item = String>) -> Value {
    let failures: Vec<_> = ids.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
    json!({ "batchItemFailures": failures })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, body: &str) -> Value {
        json!({ "messageId": id, "receiptHandle": "x", "body": body, "eventSource": "aws:sqs", "awsRegion": "eu-central-1" })
    }

    #[test]
    fn a_batch_of_a_queue_is_read_message_by_message() {
        let batch = json!({ "Records": [record("1", "{\"key\": \"a\"}"), record("2", "no JSON"), record("3", "{\"Event\": \"s3:TestEvent\"}")] });
        let Ok(Event::Messages(messages)) = Event::of(&batch) else { panic!("{batch}") };
        let read: Vec<_> =
            messages.iter().map(|one| (one.id.as_str(), one.hints.as_ref().map(Vec::len).ok())).collect();
        assert_eq!(read, [("1", Some(1)), ("2", None), ("3", Some(0))]);
    }

    #[test]
    fn a_schedule_reconciles_and_s3_itself_is_heard_too() {
        let schedule =
            json!({ "version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
        assert!(matches!(Event::of(&schedule), Ok(Event::Reconcile)));
        let direct = json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": { "object": { "key": "a" } } }] });
        assert!(matches!(Event::of(&direct), Ok(Event::Direct(hints)) if hints.len() == 1));
        assert!(Event::of(&json!({ "warm": true })).is_err());
    }

    #[test]
    fn the_answer_names_the_messages_that_are_to_come_again() {
        assert_eq!(failures([]).to_string(), r#"{"batchItemFailures":[]}"#);
        let some = failures(["a".to_owned()]);
        assert_eq!(some.to_string(), r#"{"batchItemFailures":[{"itemIdentifier":"a"}]}"#);
    }
}
