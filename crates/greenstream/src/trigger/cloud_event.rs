//! CloudEvents 1.0, read as hints: what Google Eventarc, Azure Event Grid and the sources of Knative send when
//! an object is there.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use greenstream_core::Ts;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::hint::{Hint, Unfit, bare_tag};
use super::message::{instant_of, json, key_of, of_record, text_of};
use crate::text;

/// An event, as far as it matters here.
#[derive(Clone, PartialEq, Debug)]
pub struct CloudEvent {
    kind: String,
    source: String,
    subject: Option<String>,
    at: Option<Ts>,
    /// None where it is not JSON, as with sources that send the object itself.
    data: Option<Value>,
}

impl CloudEvent {
    /// From an event in the structured mode.
    ///
    /// # Errors
    /// [`Unfit`] where an attribute that every event must have is not there.
    pub fn structured(event: &Value) -> Result<CloudEvent, Unfit> {
        let attribute = |name: &str| text_of(event, name).map(str::to_owned);
        let data = match (event.get("data"), text_of(event, "data_base64")) {
            (Some(Value::String(text)), _) => json(text.as_bytes()).ok(),
            (Some(data), _) => Some(data.clone()),
            (None, Some(text)) => BASE64_STANDARD.decode(text).ok().and_then(|bytes| json(&bytes).ok()),
            (None, None) => None,
        };
        CloudEvent::new(attribute, data)
    }

    /// From an event in the binary mode: the value of each `ce-` header, and the body.
    ///
    /// # Errors
    /// As [`CloudEvent::structured`].
    pub fn binary<'h>(header: impl Fn(&str) -> Option<&'h str>, body: &[u8]) -> Result<CloudEvent, Unfit> {
        let attribute = |name: &str| {
            // the binding for HTTP encodes what is not printable ASCII
            Some(percent_decode_str(header(&format!("ce-{name}"))?).decode_utf8_lossy().into_owned())
        };
        CloudEvent::new(attribute, json(body).ok())
    }

    fn new(attribute: impl Fn(&str) -> Option<String>, data: Option<Value>) -> Result<CloudEvent, Unfit> {
        let must = |name: &str| {
            let value = attribute(name).filter(|value| !value.is_empty());
            value.ok_or_else(|| Unfit::new(format!("the CloudEvent has no `{name}`")))
        };
        let version = must("specversion")?;
        if version != "1.0" && version != "0.3" {
            return Err(Unfit::new(format!("CloudEvents {} are not known", text::plain(&version))));
        }
        must("id")?;
        Ok(CloudEvent {
            kind: must("type")?,
            source: must("source")?,
            subject: attribute("subject"),
            at: attribute("time").as_deref().and_then(text::instant),
            data,
        })
    }

    /// The objects it tells of; none where it is of another kind that such a source sends too.
    ///
    /// # Errors
    /// [`Unfit`] for a type that no source of objects sends, or where the object is not named.
    pub fn hints(&self) -> Result<Vec<Hint>, Unfit> {
        let kind = self.kind.as_str();
        let hint = if let Some(kind) = kind.strip_prefix("google.cloud.storage.object.v1.") {
            if kind != "finalized" {
                return Ok(Vec::new());
            }
            self.of_google()?
        } else if let Some(kind) = kind.strip_prefix("Microsoft.Storage.") {
            if kind != "BlobCreated" || self.is_unfinished() {
                return Ok(Vec::new());
            }
            self.of_azure()?
        } else if let Some(record) = self.data.as_ref().filter(|data| data.get("s3").is_some()) {
            return Ok(of_record(record)?.into_iter().collect());
        } else if let Some(records) = self.data.as_ref().and_then(|data| data.get("Records")?.as_array()) {
            return records.iter().filter_map(|record| of_record(record).transpose()).collect();
        } else if is_of_camel(kind) {
            self.of_camel()?
        } else if kind.starts_with("com.greenstream.") {
            self.of_own()?
        } else {
            let kind = text::plain(kind);
            return Err(Unfit::new(format!(
                "a CloudEvent of type {kind:?} tells of no object that is known"
            )));
        };
        Ok(vec![hint])
    }

    /// Whether a data lake tells of a file that is not written yet: `FlushWithClose` follows.
    fn is_unfinished(&self) -> bool {
        self.data.as_ref().and_then(|data| text_of(data, "api")) == Some("CreateFile")
    }

    /// `source` ends in the bucket and `subject` is `objects/KEY`; the data say the same and the generation.
    fn of_google(&self) -> Result<Hint, Unfit> {
        let data = self.data.as_ref().unwrap_or(&Value::Null);
        let subject = self.subject.as_deref().and_then(|subject| subject.strip_prefix("objects/"));
        let key = text_of(data, "name").or(subject);
        let bucket = self.source.rsplit_once("/buckets/").map(|(_, bucket)| bucket);
        Ok(Hint {
            bucket: text_of(data, "bucket").or(bucket).map(str::to_owned),
            key: key_of(key.unwrap_or_default())?,
            version: text_of(data, "generation").map(str::to_owned),
            etag: text_of(data, "etag").map(bare_tag),
            at: instant_of(data, "timeCreated").or(self.at),
        })
    }

    /// `subject` is `/blobServices/default/containers/CONTAINER/blobs/KEY`.
    fn of_azure(&self) -> Result<Hint, Unfit> {
        let unfit = || Unfit::new("the subject of a BlobCreated event names no blob");
        let subject = self.subject.as_deref().ok_or_else(unfit)?;
        let (_, rest) = subject.split_once("/containers/").ok_or_else(unfit)?;
        let (container, key) = rest.split_once("/blobs/").ok_or_else(unfit)?;
        let data = self.data.as_ref().unwrap_or(&Value::Null);
        Ok(Hint {
            bucket: Some(container.to_owned()),
            key: key_of(key)?,
            version: text_of(data, "versionId").map(str::to_owned),
            etag: text_of(data, "eTag").map(bare_tag),
            at: self.at,
        })
    }

    /// `subject` is the key; the bucket ends the source, where it is there at all.
    fn of_camel(&self) -> Result<Hint, Unfit> {
        let bucket =
            ["aws.s3.bucket.", "arn:aws:s3:::"].iter().find_map(|start| self.source.strip_prefix(start));
        Ok(Hint {
            bucket: bucket.map(str::to_owned),
            key: key_of(self.subject.as_deref().unwrap_or_default())?,
            at: self.at,
            ..Hint::default()
        })
    }

    /// For those who write their own: `subject` is the key, or the data have it.
    fn of_own(&self) -> Result<Hint, Unfit> {
        let data = self.data.as_ref().unwrap_or(&Value::Null);
        let key = text_of(data, "key").or(self.subject.as_deref());
        Ok(Hint {
            bucket: text_of(data, "bucket").map(str::to_owned),
            key: key_of(key.unwrap_or_default())?,
            version: text_of(data, "version").map(str::to_owned),
            etag: text_of(data, "etag").map(bare_tag),
            at: self.at,
        })
    }
}

/// The source of Knative and the one of Camel that it is made of send the object itself as data.
fn is_of_camel(kind: &str) -> bool {
    [
        "dev.knative.connector.event.aws-s3",
        "dev.knative.connector.event.aws.s3",
        "org.apache.camel.event.aws.s3.",
    ]
    .iter()
    .any(|start| kind.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    const AT: &str = "2026-03-02T00:15:00Z";

    fn event(kind: &str, source: &str, subject: &str, data: &Value) -> Value {
        json!({ "specversion": "1.0", "id": "1", "type": kind, "source": source, "subject": subject, "time": AT, "data": data })
    }

    fn hint(bucket: &str, key: &str, version: Option<&str>, etag: Option<&str>) -> Hint {
        Hint {
            bucket: (!bucket.is_empty()).then(|| bucket.to_owned()),
            key: key.to_owned(),
            version: version.map(str::to_owned),
            etag: etag.map(str::to_owned),
            at: text::instant(AT),
        }
    }

    /// The same in both modes.
    #[track_caller]
    fn check(event: &Value, expected: &[Hint]) {
        let found = CloudEvent::structured(event).and_then(|event| event.hints());
        assert_eq!(found.as_deref(), Ok(expected), "structured: {event}");
        let mut headers = BTreeMap::new();
        for (name, value) in event.as_object().unwrap().iter().filter(|(name, _)| *name != "data") {
            let encoded =
                percent_encoding::utf8_percent_encode(value.as_str().unwrap(), percent_encoding::CONTROLS);
            headers.insert(format!("ce-{name}"), encoded.to_string());
        }
        let body = event.get("data").unwrap_or(&Value::Null).to_string();
        let header = |name: &str| headers.get(name).map(String::as_str);
        let found = CloudEvent::binary(header, body.as_bytes()).and_then(|event| event.hints());
        assert_eq!(found.as_deref(), Ok(expected), "binary: {event}");
    }

    #[test]
    fn eventarc_tells_of_an_object_that_is_whole() {
        let data = json!({
            "kind": "storage#object", "bucket": "meters", "name": "inbox/a b+ä.csv", "generation": "17",
            "metageneration": "1", "etag": "CLj=", "size": "5", "timeCreated": AT, "updated": AT,
        });
        let source = "//storage.googleapis.com/projects/_/buckets/meters";
        let of = |kind: &str, data: &Value| {
            event(&format!("google.cloud.storage.object.v1.{kind}"), source, "objects/inbox/a b+ä.csv", data)
        };
        check(&of("finalized", &data), &[hint("meters", "inbox/a b+ä.csv", Some("17"), Some("CLj="))]);
        check(&of("finalized", &Value::Null), &[hint("meters", "inbox/a b+ä.csv", None, None)]);
        for kind in ["deleted", "archived", "metadataUpdated"] {
            check(&of(kind, &data), &[]);
        }
    }

    #[test]
    fn event_grid_tells_of_a_blob_that_is_whole() {
        let data = |api: &str| {
            json!({
                "api": api, "requestId": "1", "eTag": "0x8D4BCC2E4835CD0", "contentType": "text/csv", "contentLength": 5,
                "blobType": "BlockBlob", "url": "https://account.blob.core.windows.net/meters/inbox/a%20b.csv", "sequencer": "0",
            })
        };
        let source = "/subscriptions/1/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/account";
        let subject = "/blobServices/default/containers/meters/blobs/inbox/a b.csv";
        let of = |kind: &str, api: &str| event(kind, source, subject, &data(api));
        let expected = [hint("meters", "inbox/a b.csv", None, Some("0x8D4BCC2E4835CD0"))];
        check(&of("Microsoft.Storage.BlobCreated", "PutBlockList"), &expected);
        check(&of("Microsoft.Storage.BlobCreated", "FlushWithClose"), &expected);
        check(&of("Microsoft.Storage.BlobCreated", "CreateFile"), &[]);
        check(&of("Microsoft.Storage.BlobDeleted", "DeleteBlob"), &[]);
        let bare = event("Microsoft.Storage.BlobCreated", source, "/blobServices/default", &data("PutBlob"));
        assert!(CloudEvent::structured(&bare).unwrap().hints().unwrap_err().to_string().contains("no blob"));
    }

    #[test]
    fn sources_of_knative_tell_of_s3_by_record_or_by_subject() {
        let record = json!({
            "eventName": "ObjectCreated:Put", "eventTime": AT,
            "s3": { "bucket": { "name": "meters" }, "object": { "key": "a+b", "eTag": "d41d8", "versionId": "v1" } },
        });
        let expected = [hint("meters", "a b", Some("v1"), Some("d41d8"))];
        check(&event("com.amazon.s3.objectcreated", "arn:aws:s3:::meters", "a b", &record), &expected);
        check(
            &event("com.amazonaws.s3.ObjectCreated:Put", "aws:s3.us-east-1.meters", "a b", &record),
            &expected,
        );
        check(&event("aws.notification", "x", "", &json!({ "Records": [record] })), &expected);
        let camel = "org.apache.camel.event.aws.s3.getObject";
        check(
            &event(camel, "aws.s3.bucket.meters", "a+b", &json!("the object")),
            &[hint("meters", "a+b", None, None)],
        );
        let knative = "dev.knative.connector.event.aws-s3";
        check(
            &event(knative, "dev.knative.eventing.aws-s3-source", "a", &Value::Null),
            &[hint("", "a", None, None)],
        );
    }

    #[test]
    fn events_of_ones_own_name_the_key_as_subject_or_in_the_data() {
        check(
            &event("com.greenstream.object.v1", "/sftp", "inbox/a", &Value::Null),
            &[hint("", "inbox/a", None, None)],
        );
        let data = json!({ "bucket": "meters", "key": "b", "etag": "\"x\"", "version": "2" });
        check(
            &event("com.greenstream.object.v1", "/sftp", "a", &data),
            &[hint("meters", "b", Some("2"), Some("x"))],
        );
    }

    #[test]
    fn data_may_be_text_or_base64() {
        let mut event = event("com.greenstream.object.v1", "/sftp", "a", &json!("{\"key\": \"b\"}"));
        let hints = |event: &Value| CloudEvent::structured(event).unwrap().hints().unwrap();
        assert_eq!(hints(&event)[0].key, "b");
        event.as_object_mut().unwrap().remove("data");
        event["data_base64"] = json!(BASE64_STANDARD.encode("{\"key\": \"c\"}"));
        assert_eq!(hints(&event)[0].key, "c");
    }

    #[test]
    fn an_event_that_lacks_what_every_event_has_is_unfit() {
        for name in ["specversion", "id", "type", "source"] {
            let mut event = event("com.greenstream.object.v1", "/sftp", "a", &Value::Null);
            event[name] = json!("");
            let unfit = CloudEvent::structured(&event).unwrap_err();
            assert_eq!(unfit.to_string(), format!("the CloudEvent has no `{name}`"));
        }
        let mut newer = event("com.greenstream.object.v1", "/sftp", "a", &Value::Null);
        newer["specversion"] = json!("2.0");
        assert!(CloudEvent::structured(&newer).is_err());
        let other = event("com.example.order.placed", "/shop", "a", &json!({ "key": "a" }));
        let unfit = CloudEvent::structured(&other).unwrap().hints().unwrap_err();
        assert!(unfit.to_string().contains("tells of no object that is known"), "{unfit}");
    }
}
