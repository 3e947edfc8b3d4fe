//! What a landing zone is read from: a folder, or a bucket. Paths name its files in both; they begin with the
//! folder, or with the bucket's URL.

use super::error::{Doing, Error};
use super::hash::Hash;
use super::source::open_regular;
use super::watch::Watched;
use crate::objects::{Bucket, Place, Reader};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread;

/// Files of a bucket that are fetched at once: at an assumed 30 ms a request a journal of 10,000 would take
/// five minutes one after the other, and so 20 s.
pub(super) const FETCHES: usize = 16;

/// Files that are opened as they are asked for.
pub(super) type Opening = Box<dyn Iterator<Item = Result<(PathBuf, Opened), Error>> + Send>;

/// The files of one landing zone. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Files {
    place: Place,
    root: PathBuf,
}

/// A file being read.
pub(super) enum Opened {
    File(File),
    Object(Box<Reader>),
    /// An object whose bytes must be what its name says.
    Upload(Box<Watched<Reader>>),
}

impl Files {
    pub(super) fn of(place: Place) -> Files {
        Files { root: place.root(), place }
    }

    /// What every path begins with.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The bucket, where it is one.
    pub(super) const fn bucket(&self) -> Option<&Bucket> {
        self.place.bucket()
    }

    /// The key of a path, in a bucket.
    pub(super) fn key(bucket: &Bucket, path: &Path) -> Result<String, Error> {
        let outside = || io::Error::other("it is not below the bucket's prefix");
        bucket.key_of(path).ok_or_else(outside).doing("find", path)
    }

    /// Opens a file that the landing zone has written.
    pub(super) fn open(&self, path: &Path) -> Result<Opened, Error> {
        match self.bucket() {
            None => Ok(Opened::File(File::open(path).doing("open", path)?)),
            Some(bucket) => fetched(bucket, path),
        }
    }

    /// Opens a file that may be anything, also no file: see [`open_regular`].
    pub(super) fn open_regular(&self, path: &Path) -> Result<Opened, Error> {
        match self.bucket() {
            None => Ok(Opened::File(open_regular(path)?)),
            Some(bucket) => fetched(bucket, path),
        }
    }

    /// Opens the bytes of an upload. Those of a bucket have come a long way: what was put together of several
    /// answers is hashed as it passes.
    pub(super) fn open_upload(&self, path: &Path, sha256: &Hash) -> Result<Opened, Error> {
        match self.open_regular(path)? {
            Opened::Object(object) => {
                let size = object.size();
                Ok(Opened::Upload(Box::new(Watched::new(*object, size, *sha256))))
            }
            opened => Ok(opened),
        }
    }

    /// Opens files one after the other. Those of a bucket are fetched ahead, the more the longer this goes on:
    /// who only looks at the first has not paid for many.
    pub(super) fn open_each(&self, mut paths: impl Iterator<Item = PathBuf> + Send + 'static) -> Opening {
        let files = self.clone();
        let Some(bucket) = self.bucket().cloned() else {
            return Box::new(paths.map(move |path| files.open(&path).map(|file| (path, file))));
        };
        let mut ahead = 1;
        let next = move || {
            let group: Vec<PathBuf> = paths.by_ref().take(ahead).collect();
            ahead = FETCHES.min(ahead * 2);
            (!group.is_empty()).then(|| fetch_all(&bucket, group))
        };
        Box::new(std::iter::from_fn(next).flatten())
    }

    /// Whether a file is there.
    pub(super) fn exists(&self, path: &Path) -> Result<bool, Error> {
        match self.bucket() {
            None => path.try_exists().doing("read", path),
            Some(bucket) => Ok(self.size(bucket, path)?.is_some()),
        }
    }

    fn size(&self, bucket: &Bucket, path: &Path) -> Result<Option<u64>, Error> {
        let found = bucket.head(&Files::key(bucket, path)?).map_err(io::Error::from);
        Ok(found.doing("read", path)?.map(|found| found.bytes))
    }

    /// Whether a regular file of so many bytes is there.
    pub(super) fn is_whole(&self, path: &Path, bytes: u64) -> Result<bool, Error> {
        match self.bucket() {
            None => Ok(fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == bytes)),
            Some(bucket) => Ok(self.size(bucket, path)? == Some(bytes)),
        }
    }

    /// What a folder holds, sorted; nothing if it is not there. In a bucket it holds everything below it.
    pub(super) fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let Some(bucket) = self.bucket() else { return entries_of(folder) };
        let found = bucket.list(&Files::key(bucket, folder)?, None).map_err(io::Error::from);
        Ok(found.doing("list", folder)?.into_iter().map(|found| self.root.join(found.key)).collect())
    }
}

fn fetched(bucket: &Bucket, path: &Path) -> Result<Opened, Error> {
    let reader = bucket.reader(&Files::key(bucket, path)?).map_err(io::Error::from);
    Ok(Opened::Object(Box::new(reader.doing("open", path)?)))
}

fn fetch_all(bucket: &Bucket, paths: Vec<PathBuf>) -> Vec<Result<(PathBuf, Opened), Error>> {
    thread::scope(|scope| {
        let fetch = |path: PathBuf| scope.spawn(move || fetched(bucket, &path).map(|file| (path, file)));
        let fetches: Vec<_> = paths.into_iter().map(fetch).collect();
        let join = |fetch: thread::ScopedJoinHandle<'_, _>| {
            fetch.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        fetches.into_iter().map(join).collect()
    })
}

/// What a folder of this machine holds, sorted; nothing if it is not there.
fn entries_of(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing("list", folder)?,
    };
    let paths = entries.map(|entry| Ok(entry.doing("list", folder)?.path()));
    let mut paths = paths.collect::<Result<Vec<_>, Error>>()?;
    paths.sort();
    Ok(paths)
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Opened::File(file) => file.read(buffer),
            Opened::Object(object) => object.read(buffer),
            Opened::Upload(object) => object.read(buffer),
        }
    }
}

impl Seek for Opened {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Opened::File(file) => file.seek(to),
            Opened::Object(object) => object.seek(to),
            Opened::Upload(object) => object.seek(to),
        }
    }
}
