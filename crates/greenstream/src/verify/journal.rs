//! What the journal says that its index does not keep: every configuration, every feed an upload was given.

use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;

use crate::config::{Rulebook, Rules};
use crate::landing::{Body, Zone};
use crate::process::ProcessError;

/// A configuration version of the journal.
pub struct Version {
    /// Its number, from 1.
    pub number: u32,
    /// The entry that brought it.
    entry: u64,
    content: serde_json::Value,
    rules: OnceLock<Option<Arc<Rules>>>,
}

impl Version {
    /// Ready for use; none where this release cannot read it.
    pub fn rules(&self) -> Option<&Arc<Rules>> {
        let compile = || Some(Arc::new(Rulebook::from_json(&self.content).ok()?.compile().ok()?));
        self.rules.get_or_init(compile).as_ref()
    }
}

/// A feed and a zone that an upload was given.
type Given = (String, Option<String>);

/// What there is beside the index.
#[derive(Default)]
pub struct Journal {
    /// In their order.
    pub versions: Vec<Version>,
    /// Feeds and zones given by retries.
    retries: FxHashMap<u32, Vec<(u64, Given)>>,
}

impl Journal {
    /// Reads it once more from its start.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn read(zone: &Zone) -> Result<Journal, ProcessError> {
        let mut journal = Journal::default();
        for entry in zone.entries_after(0) {
            let entry = entry?;
            match entry.body {
                Body::Configuration(body) => journal.versions.push(Version {
                    number: body.version,
                    entry: entry.entry,
                    content: body.content,
                    rules: OnceLock::new(),
                }),
                Body::Retry(body) => {
                    let given = (body.feed, body.time_zone);
                    journal.retries.entry(body.upload).or_default().push((entry.entry, given));
                }
                Body::Upload(_) | Body::Decision(_) => {}
            }
        }
        Ok(journal)
    }

    /// Whether a retry gave an upload this feed and zone.
    pub fn gave(&self, upload: u32, feed: &str, time_zone: Option<&str>) -> bool {
        let given = self.retries.get(&upload).into_iter().flatten();
        given.into_iter().any(|(_, (f, z))| f == feed && z.as_deref() == time_zone)
    }

    /// Whether an upload was ever tried again.
    pub fn was_retried(&self, upload: u32) -> bool {
        self.retries.contains_key(&upload)
    }

    /// The versions that may have read an upload, the likeliest first: the one in force when it landed (or
    /// was tried again last) or, if later, that of the last rebuild; then the others, the newest first.
    pub fn candidates(&self, upload: u32, landed: u64, rebuilt: Option<u32>) -> Vec<&Version> {
        let retried = self.retries.get(&upload).and_then(|retries| retries.last()).map(|(entry, _)| *entry);
        let last = landed.max(retried.unwrap_or(0));
        let in_force = self.versions.iter().rev().find(|version| version.entry < last);
        let first = in_force.map(|version| version.number).max(rebuilt);
        let mut versions: Vec<&Version> = self.versions.iter().rev().collect();
        versions.sort_by_key(|version| Some(version.number) != first);
        versions
    }
}
