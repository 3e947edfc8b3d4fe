//! Where a table's files are: a folder, or a bucket. Paths name them in both; they begin with the folder, or with
//! the URL.
//!
//! Files of a bucket pass through a file without a name in the system's folder for temporary ones: the Parquet
//! writer needs no store then, the reader may go to and fro, and memory stays bounded.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::aside::{clear_aside, take_away};
use super::error::{Error, Result};
use crate::objects::{Bucket, PART_BYTES, Place, Put};

/// Bytes copied at once.
const COPY_BYTES: usize = 256 << 10;

/// A folder, or a place in a bucket.
#[derive(Clone, Debug)]
pub(super) struct Depot {
    dir: PathBuf,
    bucket: Option<Bucket>,
}

impl Depot {
    pub(super) fn of(place: &Place) -> Depot {
        Depot { dir: place.root(), bucket: place.bucket().cloned() }
    }

    /// A folder within it.
    pub(super) fn below(&self, name: &str) -> Depot {
        Depot { dir: self.dir.join(name), bucket: self.bucket.as_ref().map(|bucket| bucket.below(name)) }
    }

    /// What paths begin with.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) const fn bucket(&self) -> Option<&Bucket> {
        self.bucket.as_ref()
    }

    /// The bucket and the key of a path in it.
    fn key(&self, path: &Path) -> io::Result<Option<(&Bucket, String)>> {
        let Some(bucket) = &self.bucket else { return Ok(None) };
        let key = bucket.key_of(path).ok_or_else(|| io::Error::other("it is not in the table"))?;
        Ok(Some((bucket, key)))
    }

    /// Begins a file that must be new, with its folder.
    pub(super) fn create(&self, path: &Path) -> Result<File> {
        if self.bucket.is_some() {
            return scratch().map_err(Error::io("create a temporary file for", path));
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
        }
        File::create_new(path).map_err(Error::io("create", path))
    }

    /// Ends a file that was begun here: its content is on stable storage, or in the bucket. Gives its size.
    pub(super) fn finish(&self, file: &mut File, path: &Path) -> Result<u64> {
        match self.key(path).map_err(Error::io("find", path))? {
            None => file.sync_all().map_err(Error::io("sync", path))?,
            Some((bucket, key)) => upload(bucket, &key, file).map_err(Error::io("put", path))?,
        }
        Ok(file.metadata().map_err(Error::io("measure", path))?.len())
    }

    /// Opens a file for reading.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        let Some((bucket, key)) = self.key(path)? else { return File::open(path) };
        let (mut reader, mut file) = (bucket.reader(&key)?, scratch()?);
        let mut block = vec![0; COPY_BYTES];
        loop {
            let count = reader.read(&mut block)?;
            if count == 0 {
                break;
            }
            file.write_all(&block[..count])?;
        }
        file.rewind()?;
        Ok(file)
    }

    /// Puts a small file under a name that is not taken; says in a bucket also yes to what is one's own already.
    pub(super) fn put_new(&self, path: &Path, bytes: Vec<u8>) -> io::Result<()> {
        let Some((bucket, key)) = self.key(path)? else { return Err(io::ErrorKind::Unsupported.into()) };
        match bucket.put_new(&key, bytes.into())? {
            Put::New | Put::Same => Ok(()),
            Put::Other => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    /// Takes a file away.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        match self.key(path)? {
            None => fs::remove_file(path),
            Some((bucket, key)) => Ok(bucket.delete(&key)?),
        }
    }

    /// What lies in a folder of it. In a bucket that is everything below, with its size.
    pub(super) fn list(&self, folder: &Path) -> io::Result<Vec<(PathBuf, Option<u64>)>> {
        let Some((bucket, key)) = self.key(folder)? else {
            return fs::read_dir(folder)?.map(|entry| entry.map(|entry| (entry.path(), None))).collect();
        };
        let found = bucket.list(&key, None)?;
        Ok(found.into_iter().map(|found| (self.dir.join(found.key), Some(found.bytes))).collect())
    }

    /// Waits until the names in a folder are on stable storage; a bucket's are.
    pub(super) fn sync_folder(&self, folder: &Path) -> Result<()> {
        if self.bucket.is_some() {
            return Ok(());
        }
        File::open(folder).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", folder))
    }

    /// Removes it with all that is in it, so that a crash in between is made good by [`Depot::clear_aside`].
    pub(super) fn take_away(&self) -> io::Result<()> {
        let Some(bucket) = &self.bucket else { return take_away(&self.dir) };
        // a table of which some entries are left can be neither read nor begun anew
        bucket.put(GOING, Bytes::from_static(b"this table is being removed\n"))?;
        self.clear_aside()
    }

    /// Removes what a [`Depot::take_away`] that broke off has left.
    pub(super) fn clear_aside(&self) -> io::Result<()> {
        let Some(bucket) = &self.bucket else { return clear_aside(&self.dir) };
        if bucket.head(GOING)?.is_none() {
            return Ok(());
        }
        for found in bucket.list("", None)?.into_iter().filter(|found| found.key != GOING) {
            bucket.delete(&found.key)?;
        }
        Ok(bucket.delete(GOING)?)
    }
}

/// Says in a bucket that a table is being removed.
const GOING: &str = "_going";

/// A file without a name.
fn scratch() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("greenstream-{:016x}", fastrand::u64(..)));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Puts the whole of a file under a name that no other has.
fn upload(bucket: &Bucket, key: &str, file: &mut File) -> io::Result<()> {
    file.rewind()?;
    let mut next = || -> io::Result<Bytes> {
        let mut part = Vec::new();
        Read::take(&mut *file, PART_BYTES as u64).read_to_end(&mut part)?;
        Ok(part.into())
    };
    let first = next()?;
    if first.len() < PART_BYTES {
        return match bucket.put_new(key, first)? {
            Put::New | Put::Same => Ok(()),
            Put::Other => Err(io::ErrorKind::AlreadyExists.into()),
        };
    }
    let mut first = Some(first);
    bucket.put_large(key, || first.take().map_or_else(&mut next, Ok))
}
