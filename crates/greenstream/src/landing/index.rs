//! What landed before: every upload by its number, and by its bytes and meter.
//!
//! Held in memory, about 230 bytes an upload with its name and its place in the map (a million
//! uploads in 230 MB), so that a delivery costs no read from disk.

use super::entry::{Body, ConfigurationBody, UploadBody};
use super::hash::{Hash, Hasher};
use greenstream_core::Ts;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// One upload, with the feed, zone and meter that hold for it now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadEntry {
    /// The upload, from 1.
    pub upload: u32,
    /// The journal entry that landed it.
    pub entry: u64,
    /// When it landed.
    pub landed_at: Ts,
    /// The hash of its bytes as received.
    pub sha256: Hash,
    /// Its size as received, in bytes.
    pub bytes: u64,
    /// The name under which it came.
    pub name: Box<str>,
    /// The feed that reads it, after retries.
    pub feed: Arc<str>,
    /// The zone of wall times without offset, after retries.
    pub time_zone: Option<Arc<str>>,
    /// The meter, where the feed takes it from the name.
    pub meter: Option<Box<str>>,
}

/// Whether bytes are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// No upload has them.
    No,
    /// This upload has them, with the same meter, feed and zone.
    Same(u32),
    /// This upload has them under another feed or zone.
    Other(u32),
}

/// The first half of a hash over bytes and meter: 128 bits, so that nobody can make two collide.
type Key = [u8; 16];

#[derive(Default)]
pub(super) struct Index {
    /// Uploads before the first of these; 0 but for a group that is about to land.
    before: u32,
    uploads: Vec<UploadEntry>,
    keys: FxHashMap<Key, u32>,
    words: FxHashSet<Arc<str>>,
    configuration: Option<Arc<ConfigurationBody>>,
}

impl Index {
    /// An index of what comes after `self`, still empty.
    pub(super) fn after(&self) -> Index {
        Index { before: self.last(), configuration: self.configuration.clone(), ..Index::default() }
    }

    /// The number of the last upload; 0 without any.
    pub(super) fn last(&self) -> u32 {
        self.before.saturating_add(u32::try_from(self.uploads.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn uploads(&self) -> &[UploadEntry] {
        &self.uploads
    }

    pub(super) fn configuration(&self) -> Option<&Arc<ConfigurationBody>> {
        self.configuration.as_ref()
    }

    fn place(&self, upload: u32) -> Option<usize> {
        usize::try_from(upload.checked_sub(self.before)?.checked_sub(1)?).ok()
    }

    pub(super) fn get(&self, upload: u32) -> Option<&UploadEntry> {
        self.uploads.get(self.place(upload)?)
    }

    /// Whether an upload of these has such bytes, under any feed.
    pub(super) fn holds(&self, sha256: &Hash) -> bool {
        self.keys.contains_key(&key(sha256, None))
    }

    /// Whether the journal may say this next, and if not, why.
    pub(super) fn check(&self, body: &Body) -> Result<(), String> {
        let known = |upload: u32| match upload {
            upload if upload >= 1 && upload <= self.last() => Ok(()),
            _ => Err(format!("it is about upload {upload}, and the last one is {}", self.last())),
        };
        match body {
            Body::Upload(body) if Some(body.upload) != self.last().checked_add(1) => {
                Err(format!("upload {} follows upload {}", body.upload, self.last()))
            }
            Body::Upload(_) => Ok(()),
            Body::Retry(body) => known(body.upload),
            Body::Decision(body) => known(body.upload),
            Body::Configuration(body) => {
                let last = self.configuration.as_ref().map_or(0, |last| last.version);
                if Some(body.version) != last.checked_add(1) {
                    return Err(format!("configuration {} follows configuration {last}", body.version));
                }
                if body.content.is_object() {
                    Ok(())
                } else {
                    Err("its content is no JSON object".to_owned())
                }
            }
        }
    }

    /// Takes in an entry that [`check`](Index::check) has let pass.
    pub(super) fn add(&mut self, entry: u64, at: Ts, body: Body) {
        match body {
            Body::Upload(body) => self.add_upload(entry, at, body),
            Body::Retry(body) => {
                let (feed, time_zone) = (self.word(&body.feed), body.time_zone.map(|zone| self.word(&zone)));
                let Some(place) = self.place(body.upload) else { return };
                let Some(upload) = self.uploads.get_mut(place) else { return };
                (upload.feed, upload.time_zone) = (feed, time_zone);
                upload.meter = body.meter.map(String::into_boxed_str);
                if let Some(meter) = &upload.meter {
                    self.keys.insert(key(&upload.sha256, Some(meter)), body.upload);
                }
            }
            Body::Configuration(body) => self.configuration = Some(Arc::new(body)),
            Body::Decision(_) => {}
        }
    }

    fn add_upload(&mut self, entry: u64, landed_at: Ts, body: UploadBody) {
        self.keys.entry(key(&body.sha256, None)).or_insert(body.upload);
        if let Some(meter) = &body.meter {
            self.keys.insert(key(&body.sha256, Some(meter)), body.upload);
        }
        let upload = UploadEntry {
            upload: body.upload,
            entry,
            landed_at,
            sha256: body.sha256,
            bytes: body.bytes,
            name: body.name.into_boxed_str(),
            feed: self.word(&body.feed),
            time_zone: body.time_zone.map(|zone| self.word(&zone)),
            meter: body.meter.map(String::into_boxed_str),
        };
        self.uploads.push(upload);
    }

    /// One copy of a feed's or zone's name for all uploads.
    fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(word) = self.words.get(text) {
            return Arc::clone(word);
        }
        let word: Arc<str> = Arc::from(text);
        self.words.insert(Arc::clone(&word));
        word
    }

    fn with_key(&self, key: &Key) -> Option<&UploadEntry> {
        self.get(*self.keys.get(key)?)
    }
}

/// Whether one of these indexes, the older first, knows the bytes. The same bytes for another meter
/// are another upload, but only under the same feed and zone.
pub(super) fn find(
    indexes: [&Index; 2],
    sha256: &Hash,
    meter: Option<&str>,
    feed: &str,
    time_zone: Option<&str>,
) -> Known {
    let first = |key: Key| indexes.iter().find_map(|index| index.with_key(&key));
    let of_meter = meter.and_then(|meter| first(key(sha256, Some(meter))));
    let same_meter = of_meter.filter(|upload| upload.meter.as_deref() == meter);
    let Some(upload) = same_meter.or_else(|| first(key(sha256, None))) else { return Known::No };
    let same_feed = &*upload.feed == feed && upload.time_zone.as_deref() == time_zone;
    match (same_feed, same_meter.is_some() || meter.is_none()) {
        (false, _) => Known::Other(upload.upload),
        (true, true) => Known::Same(upload.upload),
        (true, false) => Known::No,
    }
}

fn key(sha256: &Hash, meter: Option<&str>) -> Key {
    let hash = match meter {
        None => *sha256,
        Some(meter) => {
            let mut hasher = Hasher::new();
            hasher.update(sha256.bytes());
            hasher.update(meter.as_bytes());
            hasher.finish()
        }
    };
    let mut key = Key::default();
    key.copy_from_slice(&hash.bytes()[..16]);
    key
}
