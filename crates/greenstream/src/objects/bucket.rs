//! One place in an object store, and what can be asked of it.

use super::address::Address;
use super::connect::connect;
use super::error::{Error, Kind};
use super::put::Put;
use super::wait::wait;
use super::{Reader, Settings};
use bytes::Bytes;
use futures_util::TryStreamExt;
use greenstream_core::Ts;
use object_store::path::Path as Key;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A listing takes as many requests as it has thousands of objects, each with its own limit.
const LIST_SECONDS: u64 = 3_600;

/// What [`Bucket::ping`] puts and never removes: putting it again proves that nothing is replaced.
const PROBE: &str = "probe";

/// A prefix in a bucket. Cheap to clone; any thread may use it and waits until the store has answered.
#[derive(Clone)]
pub struct Bucket {
    address: Address,
    settings: Settings,
    pub(super) store: Arc<dyn ObjectStore>,
}

/// An object as a listing has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its key below the place's prefix.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was put.
    pub put_at: Ts,
    /// The store's name for its content and version, where it gives one.
    pub e_tag: Option<String>,
}

impl Bucket {
    /// The place that a URL names. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Feature`], [`Error::Settings`]: the configuration is at fault.
    pub fn open(url: &str, settings: &Settings) -> Result<Bucket, Error> {
        let address = Address::parse(url)?;
        let store = connect(&address, settings)?;
        Ok(Bucket { address, settings: settings.clone(), store })
    }

    /// Puts another store under the place, for tests of one that fails.
    #[cfg(test)]
    pub(crate) fn over(store: Arc<dyn ObjectStore>, url: &str, settings: &Settings) -> Bucket {
        let address = Address::parse(url).unwrap();
        Bucket { address, settings: settings.clone(), store }
    }

    /// The store itself, for libraries that take one.
    #[must_use]
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Its URL, without `/` at the end.
    #[must_use]
    pub fn url(&self) -> String {
        self.address.to_string()
    }

    /// The same store, at a prefix below this one.
    #[must_use]
    pub fn below(&self, part: &str) -> Bucket {
        let url = format!("{}/{part}", self.url());
        // what is not a prefix stays as it was: parts are names of this program
        let address = Address::parse(&url).unwrap_or_else(|_| self.address.clone());
        Bucket { address, ..self.clone() }
    }

    /// A key below the prefix, as the store knows it.
    #[must_use]
    pub fn full_key(&self, key: &str) -> Key {
        let parts = self.address.prefix().split('/').chain(key.split('/'));
        Key::from_iter(parts.filter(|part| !part.is_empty()))
    }

    /// The URL of a key.
    #[must_use]
    pub fn url_of(&self, key: &str) -> String {
        format!("{}/{key}", self.url())
    }

    /// The key of a path that begins with [`Bucket::url`].
    #[must_use]
    pub fn key_of(&self, path: &Path) -> Option<String> {
        path.strip_prefix(self.url()).ok()?.to_str().map(str::to_owned)
    }

    /// Longest time for a request with its repetitions.
    pub(super) fn limit(&self) -> Duration {
        Duration::from_secs(self.settings.request_seconds.saturating_mul(2))
    }

    /// Tries again what the client library does not: requests of which it cannot know whether they were carried
    /// out, and bodies that end too soon.
    pub(super) fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        let (began, limit) = (Instant::now(), Duration::from_secs(self.settings.request_seconds));
        for pause in crate::outage::pauses().take(usize::try_from(self.settings.retries_max).unwrap_or(0)) {
            match attempt() {
                Err(Error::Store { kind: Kind::Away | Kind::Changed, .. })
                    if began.elapsed() + pause < limit =>
                {
                    std::thread::sleep(pause);
                }
                other => return other,
            }
        }
        attempt()
    }

    /// The object's size and age; none where it is not there.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn head(&self, key: &str) -> Result<Option<Found>, Error> {
        let asked = self.patiently(|| {
            let (store, full) = (self.store(), self.full_key(key));
            wait("look at", || self.url_of(key), self.limit(), async move { store.head(&full).await })
        });
        match asked {
            Ok(meta) => Ok(Some(found(key.to_owned(), &meta))),
            Err(error) if error.kind() == Some(Kind::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All bytes of an object of at most `limit` bytes; none where it is not there.
    ///
    /// # Errors
    /// [`Error::Store`], also where it is larger.
    pub fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let read = self.patiently(|| {
            let (store, full) = (self.store(), self.full_key(key));
            let (bytes, read) = wait("get", || self.url_of(key), self.limit(), async move {
                let answer = store.get(&full).await?;
                let bytes = answer.meta.size;
                Ok((bytes, if bytes <= limit { answer.bytes().await? } else { Default::default() }))
            })?;
            if bytes > limit {
                let problem = format!("it has {bytes} bytes, more than the limit of {limit}");
                return Err(Error::of_kind("get", self.url_of(key), Kind::Unsupported, &problem));
            }
            self.whole(key, read, bytes)
        });
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == Some(Kind::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Some bytes of an object, cut at its end, and its size. What is cut on the way is asked for again.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn range(&self, key: &str, range: Range<u64>) -> Result<(Vec<u8>, u64), Error> {
        self.patiently(|| {
            let (store, full, wanted) = (self.store(), self.full_key(key), range.clone());
            let (read, bytes) = wait("get", || self.url_of(key), self.limit(), async move {
                let answer = store.get_opts(&full, GetOptions::new().with_range(Some(wanted))).await?;
                let bytes = answer.meta.size;
                Ok((answer.bytes().await?, bytes))
            })?;
            let due = range.end.min(bytes).saturating_sub(range.start);
            Ok((self.whole(key, read, due)?, bytes))
        })
    }

    /// A body, if it is not cut.
    fn whole(&self, key: &str, read: Bytes, due: u64) -> Result<Vec<u8>, Error> {
        if read.len() as u64 == due {
            return Ok(read.into());
        }
        let problem = format!("{} bytes came instead of {due}", read.len());
        Err(Error::of_kind("get", self.url_of(key), Kind::Changed, &problem))
    }

    /// Reads an object from its first byte, a few megabytes in memory.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn reader(&self, key: &str) -> Result<Reader, Error> {
        Reader::open(self.clone(), key.to_owned())
    }

    /// The objects below a part of the prefix, by key; those after `after` only.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn list(&self, under: &str, after: Option<&str>) -> Result<Vec<Found>, Error> {
        let listed = self.patiently(|| {
            let (store, full) = (self.store(), self.full_key(under));
            let after = after.map(|after| self.full_key(after));
            let limit = Duration::from_secs(LIST_SECONDS);
            wait("list", || self.url_of(under), limit, async move {
                let listing = match &after {
                    Some(after) => store.list_with_offset(Some(&full), after),
                    None => store.list(Some(&full)),
                };
                listing.try_collect::<Vec<ObjectMeta>>().await
            })
        })?;
        let prefix = self.full_key("");
        let below = |meta: &ObjectMeta| {
            let key = meta.location.as_ref().strip_prefix(prefix.as_ref())?;
            Some(found(key.trim_start_matches('/').to_owned(), meta))
        };
        let mut found: Vec<Found> = listed.iter().filter_map(below).collect();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// Takes an object away; one that is not there is no error.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        let gone = self.patiently(|| {
            let (store, full) = (self.store(), self.full_key(key));
            wait("remove", || self.url_of(key), self.limit(), async move { store.delete(&full).await })
        });
        match gone {
            Err(error) if error.kind() == Some(Kind::Missing) => Ok(()),
            other => other,
        }
    }

    /// Whether the store can be reached, read and written, and replaces nothing on a conditional put: what a
    /// landing zone needs. Leaves an object `probe`, which is put once and never again.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn ping(&self) -> Result<(), Error> {
        let probe = || self.put_new(PROBE, b"probe\n".as_slice().into());
        if probe()? == Put::New && probe()? == Put::New {
            let problem = "it was put twice: the store does not keep conditional puts (If-None-Match)";
            return Err(Error::of_kind("put", self.url_of(PROBE), Kind::Unsupported, problem));
        }
        self.list(PROBE, None).map(|_| ())
    }
}

fn found(key: String, meta: &ObjectMeta) -> Found {
    let put_at = Ts::from_micros(meta.last_modified.timestamp_micros());
    Found { key, bytes: meta.size, put_at, e_tag: meta.e_tag.clone() }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.address)
    }
}

impl PartialEq for Bucket {
    fn eq(&self, other: &Bucket) -> bool {
        (&self.address, &self.settings) == (&other.address, &other.settings)
    }
}

impl Eq for Bucket {}
