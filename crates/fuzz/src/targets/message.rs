//! Messages of queues and webhooks: any bytes are read as hints at objects, or refused in one line.

use greenstream::trigger::{Hint, hints};
use serde_json::{Value, json};

pub(crate) fn check(bytes: &[u8]) {
    let read = hints(bytes);
    match &read {
        Ok(hints) => {
            for hint in hints {
                assert!(!hint.key.is_empty());
                // what was read can be said again in this program's own words
                let Hint { bucket, key, version, .. } = hint;
                let own = json!({ "bucket": bucket, "key": key, "version": version }).to_string();
                let again = self::hints(own.as_bytes()).unwrap();
                assert_eq!(again, [Hint { etag: None, at: None, ..hint.clone() }]);
            }
        }
        Err(unfit) => {
            let problem = unfit.to_string();
            assert!(!problem.is_empty() && !problem.contains('\n'), "{problem:?}");
        }
    }
    // an envelope changes nothing, unless there is one within
    if let Ok(text) = std::str::from_utf8(bytes) {
        let is_envelope = |message: Value| message["Type"] == "Notification";
        if !serde_json::from_str(text).is_ok_and(is_envelope) {
            let envelope = json!({ "Type": "Notification", "Message": text }).to_string();
            assert_eq!(hints(envelope.as_bytes()), read);
        }
    }
}
