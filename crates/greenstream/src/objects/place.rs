//! Where landing zone and archive are: a folder, or a bucket.

use super::address::Address;
use super::bucket::Bucket;
use super::{Error, Settings};
use std::fmt;
use std::path::{Path, PathBuf};

/// A folder, or a place in an object store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A folder of this machine, also one that was given as `file://`.
    Folder(PathBuf),
    /// A prefix in a bucket.
    Bucket(Bucket),
}

impl Place {
    /// The place that a URL names. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// As [`Bucket::open`].
    pub fn open(url: &str, settings: &Settings) -> Result<Place, Error> {
        match Address::parse(url)?.folder() {
            // the landing zone's and the archive's own way with folders survives a power cut
            Some(folder) if settings.object_lock_days.is_none() => Ok(Place::Folder(folder)),
            _ => Ok(Place::Bucket(Bucket::open(url, settings)?)),
        }
    }

    /// Whether a URL names a place that this build can use, without making anything of it.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Feature`].
    pub fn check(url: &str) -> Result<(), Error> {
        let scheme = Address::parse(url)?.scheme();
        match scheme.feature() {
            Some(feature) if !scheme.is_built_in() => Err(Error::Feature { scheme: scheme.name(), feature }),
            _ => Ok(()),
        }
    }

    /// The bucket, where it is one.
    #[must_use]
    pub const fn bucket(&self) -> Option<&Bucket> {
        if let Place::Bucket(bucket) = self { Some(bucket) } else { None }
    }

    /// What paths within it begin with: the folder, or the URL.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        match self {
            Place::Folder(folder) => folder.clone(),
            Place::Bucket(bucket) => PathBuf::from(bucket.url()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root().display().fmt(f)
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Place {
    fn from(folder: &P) -> Place {
        Place::Folder(folder.as_ref().to_owned())
    }
}
