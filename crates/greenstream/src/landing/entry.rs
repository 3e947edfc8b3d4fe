//! Journal entries: what is written about an upload, a retry, a decision, a configuration.
//!
//! A line is compact JSON with its fields in the order written here. Reading is strict: a line that
//! this code would not have written is damage, or the work of a later release, and never guessed.

use super::hash::Hash;
use greenstream_core::{Reason, Ts};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::io::Write as _;

/// One entry of the journal.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Its number, from 1.
    pub entry: u64,
    /// The hash of its line, which the next entry names.
    pub hash: Hash,
    /// When it was written: for an upload the landing time.
    pub at: Ts,
    /// What it says.
    pub body: Body,
}

/// What an entry says.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    /// Bytes have landed.
    Upload(UploadBody),
    /// A dead letter is tried again.
    Retry(RetryBody),
    /// An operator has decided about a row.
    Decision(DecisionBody),
    /// The configuration has changed.
    Configuration(ConfigurationBody),
}

/// Bytes have landed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadBody {
    /// The upload's sequence number, from 1.
    pub upload: u32,
    /// The hash of the bytes as received: the name of the object.
    pub sha256: Hash,
    /// The size as received, in bytes.
    pub bytes: u64,
    /// The name under which they came; never a path.
    pub name: String,
    /// The feed that reads them.
    pub feed: String,
    /// The zone of wall times without offset (an IANA name), where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The meter, where the feed takes it from the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<String>,
}

/// A dead letter is tried again; feed, zone and meter are what holds from now on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryBody {
    /// The upload.
    pub upload: u32,
    /// The feed that reads it now.
    pub feed: String,
    /// The zone of wall times without offset, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The meter, where the feed takes it from the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<String>,
}

/// An operator has decided about a row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionBody {
    /// The upload.
    pub upload: u32,
    /// The row, from 1.
    pub row_number: u32,
    /// What was decided.
    pub action: Action,
    /// The operator's value in kW as decimal text, for `edit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kw: Option<String>,
    /// Why the row was quarantined when it was decided.
    #[serde(with = "reason_name")]
    pub reason: Reason,
    /// Who decided.
    pub who: String,
    /// Why.
    pub why: String,
}

/// What an operator can decide about a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Accept it as it is.
    Release,
    /// Accept it with another value.
    Edit,
    /// Throw it out of the ranking.
    Discard,
    /// Take the last decision back.
    Undo,
}

/// The configuration has changed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigurationBody {
    /// Its version, from 1.
    pub version: u32,
    /// All of it, as a JSON object.
    pub content: Value,
}

mod reason_name {
    use super::{Deserialize, Deserializer, Reason, Serializer};
    use std::borrow::Cow;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(reason.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reason, D::Error> {
        let name = Cow::<'de, str>::deserialize(deserializer)?;
        Reason::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("no reason `{name}`")))
    }
}

impl Body {
    /// The kind as the journal names it. The names reach disk and may only grow.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Body::Upload(_) => "upload",
            Body::Retry(_) => "retry",
            Body::Decision(_) => "decision",
            Body::Configuration(_) => "configuration",
        }
    }

    fn json(&self) -> serde_json::Result<Vec<u8>> {
        match self {
            Body::Upload(body) => serde_json::to_vec(body),
            Body::Retry(body) => serde_json::to_vec(body),
            Body::Decision(body) => serde_json::to_vec(body),
            Body::Configuration(body) => serde_json::to_vec(body),
        }
    }

    fn parse(kind: &str, json: &[u8]) -> Result<Body, Unread> {
        let body = match kind {
            "upload" => serde_json::from_slice(json).map(Body::Upload),
            "retry" => serde_json::from_slice(json).map(Body::Retry),
            "decision" => serde_json::from_slice(json).map(Body::Decision),
            "configuration" => serde_json::from_slice(json).map(Body::Configuration),
            _ => {
                return Err(Unread::Unknown(format!("no kind of entry is called `{}`", kind.escape_debug())));
            }
        };
        body.map_err(|error| {
            let error = error.to_string();
            let is_unknown = error.starts_with("unknown ");
            // the error quotes the line, which may hold what steers a terminal
            let problem =
                format!("not a whole `{kind}` entry: {}", error.replace(char::is_control, "\u{fffd}"));
            if is_unknown { Unread::Unknown(problem) } else { Unread::Damaged(problem) }
        })
    }
}

/// Adds the line of an entry, with its newline, and gives its hash.
pub(super) fn write_line(
    out: &mut Vec<u8>,
    entry: u64,
    prev: &Hash,
    at: Ts,
    body: &Body,
) -> serde_json::Result<Hash> {
    let (start, json) = (out.len(), body.json()?);
    // writing to memory cannot fail
    let _ =
        write!(out, "{{\"entry\":{entry},\"prev\":\"{prev}\",\"at\":\"{at}\",\"kind\":\"{}\",", body.kind());
    out.extend_from_slice(json.strip_prefix(b"{").unwrap_or(&json));
    let hash = Hash::of(&out[start..]);
    out.push(b'\n');
    Ok(hash)
}

/// One line read back: its number, the hash it names as the one before it, and the rest.
pub(super) struct Line {
    pub(super) entry: u64,
    pub(super) prev: Hash,
    pub(super) at: Ts,
    pub(super) body: Body,
}

/// Why a line cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Unread {
    /// It is not as any release writes it.
    Damaged(String),
    /// It is whole, and says something that this release does not know.
    Unknown(String),
}

impl From<String> for Unread {
    fn from(problem: String) -> Unread {
        Unread::Damaged(problem)
    }
}

impl From<&str> for Unread {
    fn from(problem: &str) -> Unread {
        Unread::Damaged(problem.to_owned())
    }
}

impl From<Unread> for String {
    fn from(unread: Unread) -> String {
        match unread {
            Unread::Damaged(problem) | Unread::Unknown(problem) => problem,
        }
    }
}

/// Reads a line without its newline, or says what is wrong with it.
pub(super) fn parse_line(line: &[u8]) -> Result<Line, Unread> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    let mut rest = text;
    let mut field = |before: &str, after: char| -> Result<&str, String> {
        let value = rest.strip_prefix(before).and_then(|value| value.split_once(after));
        let (value, others) = value.ok_or_else(|| format!("no `{before}…` where it belongs"))?;
        rest = others;
        Ok(value)
    };
    let entry = field("{\"entry\":", ',')?;
    let prev = field("\"prev\":\"", '"')?;
    let at = field(",\"at\":\"", '"')?;
    let kind = field(",\"kind\":\"", '"')?;
    let fields = rest.strip_prefix(',').ok_or("no fields after the kind")?;
    Ok(Line {
        entry: entry.parse().map_err(|_| format!("`{}` is no entry number", entry.escape_debug()))?,
        prev: Hash::parse(prev).ok_or_else(|| format!("`{}` is no hash", prev.escape_debug()))?,
        at: parse_ts(at).ok_or_else(|| format!("`{}` is no instant", at.escape_debug()))?,
        body: Body::parse(kind, [b"{", fields.as_bytes()].concat().as_slice())?,
    })
}

/// An instant exactly as [`Ts`] writes it, and in no other way.
fn parse_ts(text: &str) -> Option<Ts> {
    let ts = Ts::from_micros(text.parse::<jiff::Timestamp>().ok()?.as_microsecond());
    (ts.to_string() == text).then_some(ts)
}
