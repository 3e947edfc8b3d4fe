//! What landed lately and has left the inbox, so that an event that comes again is known for what it is.

use std::collections::{HashMap, VecDeque};

use object_store::ObjectMeta;

use super::hint::{Hint, bare_tag};

/// Keys remembered. Fewer lets more events that come again ask the database; each takes about 200 bytes.
const KEYS_MAX: usize = 20_000;

/// What tells one content of a key from another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stand {
    /// Without quotes.
    pub etag: Option<String>,
    /// In a bucket that keeps versions.
    pub version: Option<String>,
    /// When it was put, in milliseconds: the same bytes may be put again.
    pub modified: i64,
    /// In bytes.
    pub size: u64,
}

impl Stand {
    /// Of an object as it was found.
    pub fn of(found: &ObjectMeta) -> Stand {
        Stand {
            etag: found.e_tag.as_deref().map(bare_tag),
            version: found.version.clone(),
            modified: found.last_modified.timestamp_millis(),
            size: found.size,
        }
    }
}

/// What became of an object that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Its bytes are this upload.
    Landed(u32),
    /// It never lands as it is, for this reason and with this way out.
    Never(String, String),
}

/// The last objects that were read, by key.
#[derive(Default)]
pub struct Recent {
    held: HashMap<String, (Stand, Fate)>,
    order: VecDeque<String>,
}

impl Recent {
    /// Notes what became of an object.
    pub fn note(&mut self, key: &str, stand: Stand, fate: Fate) {
        if self.held.insert(key.to_owned(), (stand, fate)).is_none() {
            self.order.push_back(key.to_owned());
        }
        if self.order.len() > KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.held.remove(&oldest);
        }
    }

    /// What became of the object that stands there now, if it was read.
    pub fn fate(&self, key: &str, stand: &Stand) -> Option<Fate> {
        self.held.get(key).filter(|(held, _)| held == stand).map(|(_, fate)| fate.clone())
    }

    /// The upload that an object was which is no longer there: by its version, else by its tag.
    pub fn landed(&self, hint: &Hint) -> Option<u32> {
        let (stand, Fate::Landed(upload)) = self.held.get(&hint.key)? else { return None };
        let same = match (&hint.version, &stand.version) {
            (Some(hinted), Some(held)) => hinted == held,
            _ => hint.etag.is_some() && hint.etag == stand.etag,
        };
        same.then_some(*upload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand(etag: &str, version: Option<&str>) -> Stand {
        Stand { etag: Some(etag.to_owned()), version: version.map(str::to_owned), modified: 1, size: 2 }
    }

    fn hint(key: &str, etag: Option<&str>, version: Option<&str>) -> Hint {
        let (etag, version) = (etag.map(str::to_owned), version.map(str::to_owned));
        Hint { key: key.to_owned(), etag, version, ..Hint::default() }
    }

    #[test]
    fn an_object_that_has_left_is_known_by_its_version_or_else_by_its_tag() {
        let mut recent = Recent::default();
        recent.note("a", stand("x", Some("1")), Fate::Landed(7));
        recent.note("b", stand("x", None), Fate::Landed(8));
        recent.note("c", stand("x", None), Fate::Never(String::new(), String::new()));
        for (hint, upload) in [
            (hint("a", None, Some("1")), Some(7)),
            (hint("a", Some("x"), Some("2")), None),
            (hint("a", Some("x"), None), Some(7)),
            (hint("b", Some("x"), None), Some(8)),
            (hint("b", Some("y"), None), None),
            (hint("b", None, None), None),
            (hint("c", Some("x"), None), None),
            (hint("d", Some("x"), None), None),
        ] {
            assert_eq!(recent.landed(&hint), upload, "{hint:?}");
        }
    }

    #[test]
    fn the_same_bytes_put_again_are_another_object() {
        let mut recent = Recent::default();
        recent.note("a", stand("x", None), Fate::Landed(7));
        assert_eq!(recent.fate("a", &stand("x", None)), Some(Fate::Landed(7)));
        assert_eq!(recent.fate("a", &Stand { modified: 2, ..stand("x", None) }), None);
    }

    #[test]
    fn as_many_keys_are_remembered_as_the_limit_says_and_not_one_more() {
        let mut recent = Recent::default();
        for key in 0..=KEYS_MAX {
            recent.note(&key.to_string(), stand("x", None), Fate::Landed(1));
            recent.note(&key.to_string(), stand("x", None), Fate::Landed(1));
        }
        assert_eq!(recent.landed(&hint("0", Some("x"), None)), None);
        assert_eq!(recent.landed(&hint("1", Some("x"), None)), Some(1));
        assert_eq!((recent.held.len(), recent.order.len()), (KEYS_MAX, KEYS_MAX));
    }
}
