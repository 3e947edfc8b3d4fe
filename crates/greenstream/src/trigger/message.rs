//! The messages of queues and webhooks, read as hints: S3 notifications, bare, in an envelope of SNS or as
//! EventBridge writes them; CloudEvents; and `{"key": …}` for those who write their own.

use greenstream_core::Ts;
use serde_json::Value;

use super::cloud_event::CloudEvent;
use super::hint::{Hint, Unfit, bare_tag};
use crate::text;

/// The hints in a message. None where it tells of something else than a new object, such as a removal or the
/// test that S3 sends when a notification is set up.
///
/// # Errors
/// [`Unfit`] where nobody can make sense of it.
pub fn hints(message: &[u8]) -> Result<Vec<Hint>, Unfit> {
    of_value(&json(message)?, Envelope::Allowed)
}

/// Whether a message may hold another one. Only one envelope is opened: more have no sender.
#[derive(PartialEq, Eq)]
enum Envelope {
    Allowed,
    Opened,
}

fn of_value(message: &Value, envelope: Envelope) -> Result<Vec<Hint>, Unfit> {
    if !message.is_object() {
        return Err(Unfit::new("the message is no JSON object"));
    }
    if message.get("specversion").is_some() {
        return CloudEvent::structured(message)?.hints();
    }
    if let Some(records) = message.get("Records") {
        return of_records(records);
    }
    if text_of(message, "Event") == Some("s3:TestEvent") {
        return Ok(Vec::new());
    }
    if message.get("detail-type").is_some() {
        return of_event_bridge(message);
    }
    if text_of(message, "Type") == Some("Notification") && envelope == Envelope::Allowed {
        let inner = text_of(message, "Message").ok_or_else(|| Unfit::new("an SNS envelope is empty"))?;
        return of_value(&json(inner.as_bytes())?, Envelope::Opened);
    }
    match text_of(message, "key") {
        Some(key) => Ok(vec![Hint {
            bucket: owned(message, "bucket"),
            key: key_of(key)?,
            version: owned(message, "version"),
            etag: text_of(message, "etag").map(bare_tag),
            at: instant_of(message, "time"),
        }]),
        None => Err(Unfit::new(
            "the message is none of S3 notification, CloudEvent and `{\"key\": …}`: it has no `Records`, `specversion` or `key`",
        )),
    }
}

/// The records of an S3 notification, or of MinIO's, which puts `s3:` before the names of its events.
fn of_records(records: &Value) -> Result<Vec<Hint>, Unfit> {
    let records = records.as_array().ok_or_else(|| Unfit::new("`Records` is no list"))?;
    let mut hints = Vec::new();
    for record in records {
        hints.extend(of_record(record)?);
    }
    Ok(hints)
}

/// One record; none where it tells of no new object.
pub(super) fn of_record(record: &Value) -> Result<Option<Hint>, Unfit> {
    let object = record.pointer("/s3/object").ok_or_else(|| Unfit::new("a record has no `s3.object`"))?;
    let event = text_of(record, "eventName").unwrap_or_default();
    let event = event.strip_prefix("s3:").unwrap_or(event);
    if !event.starts_with("ObjectCreated:") {
        return Ok(None);
    }
    let key = text_of(object, "key").ok_or_else(|| Unfit::new("a record has no `s3.object.key`"))?;
    Ok(Some(Hint {
        bucket: record.pointer("/s3/bucket/name").and_then(Value::as_str).map(str::to_owned),
        key: key_of(&form_decoded(key)?)?,
        version: owned(object, "versionId"),
        etag: text_of(object, "eTag").map(bare_tag),
        at: instant_of(record, "eventTime"),
    }))
}

/// As EventBridge tells of S3; here keys are not encoded.
fn of_event_bridge(message: &Value) -> Result<Vec<Hint>, Unfit> {
    let (source, kind) = (text_of(message, "source"), text_of(message, "detail-type"));
    if source != Some("aws.s3") {
        return Err(Unfit::new(format!("an event of {:?} tells of no object", source.unwrap_or_default())));
    }
    if kind != Some("Object Created") {
        return Ok(Vec::new());
    }
    let detail = message.get("detail").unwrap_or(&Value::Null);
    let object = detail.get("object").unwrap_or(&Value::Null);
    let key = text_of(object, "key").ok_or_else(|| Unfit::new("an event has no `detail.object.key`"))?;
    Ok(vec![Hint {
        bucket: detail.pointer("/bucket/name").and_then(Value::as_str).map(str::to_owned),
        key: key_of(key)?,
        version: owned(object, "version-id"),
        etag: text_of(object, "etag").map(bare_tag),
        at: instant_of(message, "time"),
    }])
}

/// JSON, or why it is none. What surrounds it in the error is the parser's, never the message's text.
pub(super) fn json(bytes: &[u8]) -> Result<Value, Unfit> {
    serde_json::from_slice(bytes).map_err(|error| Unfit::new(format!("the message is no JSON: {error}")))
}

pub(super) fn text_of<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

fn owned(value: &Value, key: &str) -> Option<String> {
    text_of(value, key).map(str::to_owned)
}

/// A key as it may stand in a bucket.
pub(super) fn key_of(key: &str) -> Result<String, Unfit> {
    if key.is_empty() { Err(Unfit::new("the key is empty")) } else { Ok(key.to_owned()) }
}

/// The instant in a text, if there is one.
pub(super) fn instant_of(value: &Value, key: &str) -> Option<Ts> {
    text_of(value, key).and_then(text::instant)
}

/// A key as S3 writes it in notifications: `+` for a space and `%XX` for other bytes.
fn form_decoded(key: &str) -> Result<String, Unfit> {
    let spaced = key.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
    decoded.map(|key| key.into_owned()).map_err(|_| Unfit::new("a key is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hint(bucket: &str, key: &str) -> Hint {
        let bucket = (!bucket.is_empty()).then(|| bucket.to_owned());
        Hint { bucket, key: key.to_owned(), ..Hint::default() }
    }

    #[track_caller]
    fn check(message: &Value, expected: &[Hint]) {
        assert_eq!(hints(message.to_string().as_bytes()).as_deref(), Ok(expected), "{message}");
    }

    #[track_caller]
    fn check_unfit(message: &str, why: &str) {
        let unfit = hints(message.as_bytes()).unwrap_err();
        assert!(unfit.to_string().contains(why), "{message}: {unfit}");
    }

    /// As S3 writes it.
    fn record(event: &str, key: &str) -> Value {
        json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": event,
            "eventTime": "2026-03-02T00:15:00.123Z",
            "s3": {
                "bucket": { "name": "meters", "arn": "arn:aws:s3:::meters" },
                "object": { "key": key, "size": 5, "eTag": "d41d8", "versionId": "v1", "sequencer": "0A" },
            },
        })
    }

    fn of_record(key: &str) -> Hint {
        let at = text::instant("2026-03-02T00:15:00.123Z");
        let (version, etag) = (Some("v1".to_owned()), Some("d41d8".to_owned()));
        Hint { version, etag, at, ..hint("meters", key) }
    }

    #[test]
    fn a_key_in_a_notification_is_decoded_as_s3_encodes_it() {
        for (encoded, key) in [
            ("inbox/a.csv", "inbox/a.csv"),
            ("inbox/a+b.csv", "inbox/a b.csv"),
            ("inbox/a%2Bb%25.csv", "inbox/a+b%.csv"),
            ("inbox/%C3%A4%F0%9F%92%A1.csv", "inbox/ä💡.csv"),
            ("inbox%2Fa.csv", "inbox/a.csv"),
            ("inbox/100%.csv", "inbox/100%.csv"),
        ] {
            check(&json!({ "Records": [record("ObjectCreated:Put", encoded)] }), &[of_record(key)]);
        }
        check_unfit(&json!({ "Records": [record("ObjectCreated:Put", "%ff")] }).to_string(), "no UTF-8");
        check_unfit(&json!({ "Records": [record("ObjectCreated:Put", "")] }).to_string(), "key is empty");
    }

    #[test]
    fn every_way_to_create_an_object_counts_and_nothing_else_does() {
        let records = [
            record("ObjectCreated:CompleteMultipartUpload", "a"),
            record("ObjectRemoved:Delete", "b"),
            record("s3:ObjectCreated:Copy", "c"),
            record("s3:ObjectAccessed:Get", "d"),
            record("ObjectRestore:Completed", "e"),
        ];
        check(&json!({ "Records": records }), &[of_record("a"), of_record("c")]);
        check(
            &json!({ "EventName": "s3:ObjectCreated:Put", "Key": "meters/a", "Records": [record("s3:ObjectCreated:Put", "a")] }),
            &[of_record("a")],
        );
        check(&json!({ "Records": [] }), &[]);
    }

    #[test]
    fn the_test_of_a_notification_tells_of_nothing() {
        check(
            &json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-03-02T00:15:00Z", "Bucket": "meters", "RequestId": "5", "HostId": "8" }),
            &[],
        );
    }

    #[test]
    fn an_envelope_of_sns_is_opened_once() {
        let sns = |inner: &Value| json!({ "Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": inner.to_string() });
        let notification = json!({ "Records": [record("ObjectCreated:Put", "a+b")] });
        check(&sns(&notification), &[of_record("a b")]);
        check(&sns(&json!({ "Event": "s3:TestEvent" })), &[]);
        check_unfit(&sns(&sns(&notification)).to_string(), "none of S3 notification");
        check_unfit(&json!({ "Type": "Notification" }).to_string(), "envelope is empty");
    }

    #[test]
    fn event_bridge_tells_of_keys_as_they_are() {
        let event = |kind: &str| {
            json!({
                "version": "0", "id": "1", "detail-type": kind, "source": "aws.s3", "time": "2026-03-02T00:15:00.123Z",
                "detail": { "version": "0", "bucket": { "name": "meters" }, "reason": "PutObject",
                    "object": { "key": "a+b%20.csv", "size": 5, "etag": "d41d8", "version-id": "v1", "sequencer": "0A" } },
            })
        };
        check(&event("Object Created"), &[of_record("a+b%20.csv")]);
        check(&event("Object Deleted"), &[]);
        check_unfit(
            &json!({ "detail-type": "Scheduled Event", "source": "aws.events" }).to_string(),
            "aws.events",
        );
        check_unfit(
            &json!({ "detail-type": "Object Created", "source": "aws.s3" }).to_string(),
            "detail.object.key",
        );
    }

    #[test]
    fn a_message_of_ones_own_names_a_key_and_what_else_it_knows() {
        check(&json!({ "key": "inbox/a+b.csv" }), &[hint("", "inbox/a+b.csv")]);
        let whole = json!({ "bucket": "meters", "key": "a", "version": "v1", "etag": "\"d41d8\"", "time": "2026-03-02T00:15:00.123Z" });
        check(&whole, &[of_record("a")]);
        check_unfit("{\"key\": \"\"}", "key is empty");
        check_unfit("{\"key\": 5}", "none of S3 notification");
    }

    #[test]
    fn what_is_no_message_is_unfit_and_says_why() {
        check_unfit("", "no JSON");
        check_unfit("{\"Records\": [", "no JSON");
        check_unfit("[]", "no JSON object");
        check_unfit("{}", "no `Records`, `specversion` or `key`");
        check_unfit("{\"Records\": {}}", "no list");
        check_unfit("{\"Records\": [{}]}", "no `s3.object`");
        check_unfit("{\"specversion\": \"1.0\"}", "no `id`");
    }
}
