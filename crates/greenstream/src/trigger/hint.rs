//! What an event says: that an object is there. It is a hint; what lands is decided by looking at the bucket.

use greenstream_core::Ts;

/// An object that somebody says was put.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Hint {
    /// The bucket or container; none where the message does not name one.
    pub bucket: Option<String>,
    /// The key, decoded, as the bucket has it.
    pub key: String,
    /// Which version of the object, in a bucket that keeps them.
    pub version: Option<String>,
    /// The tag of its content, without quotes.
    pub etag: Option<String>,
    /// When it was put, as the message says.
    pub at: Option<Ts>,
}

/// A message that nobody can make sense of, however often it comes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

impl Unfit {
    pub(super) fn new(problem: impl Into<String>) -> Unfit {
        Unfit(problem.into())
    }
}

/// An entity tag as all sides write it: without quotes and without the mark of a weak one.
pub(super) fn bare_tag(tag: &str) -> String {
    tag.trim_start_matches("W/").trim_matches('"').to_owned()
}
