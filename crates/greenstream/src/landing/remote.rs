//! Landing in a bucket: objects first, then one segment of the journal, each put once.
//!
//! Several processes may land in one bucket. The conditional put of the next segment decides between them: who
//! loses reads what the other has landed, numbers anew and tries the next place. An upload has landed when its
//! object and its segment are put, which the store has acknowledged. What a crash leaves is an object without
//! an entry; it stays, for nobody may need the right to remove, and its next delivery finds it there.

use super::entry::{Body, Entry};
use super::error::{Doing, Error};
use super::files::Files;
use super::hash::{Hash, Hasher};
use super::numbering::Numbering;
use super::source::{BLOCK, Reading, Source, Stamp};
use super::{Incoming, Landed, Landing, Zone};
use crate::failpoint::{self, Step};
use crate::fence::Fence;
use crate::objects::{Bucket, Error as StoreError, PART_BYTES, Put};
use bytes::Bytes;
use greenstream_core::Ts;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Objects that are put at once. Each waits for its answer, some 30 ms; each may hold a part in memory.
const PUTS: usize = 8;

/// How often others may be quicker before landing is given up for now. Each time one of them has landed.
const CONTESTS_MAX: usize = 100;

/// A source that was read, and whose object is in the bucket.
struct Staged {
    sha256: Hash,
    bytes: u64,
    stamp: Option<Stamp>,
}

/// Which side failed: the source, which concerns one upload, or the store, which concerns all.
enum Failed {
    Source(Error),
    Store(Error),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        let path = PathBuf::from("an upload");
        Failed::Store(Error::Io { action: "put", path, source: error.into() })
    }
}

impl Landing {
    /// Lands a group in a bucket.
    pub(super) fn land_remotely(
        &mut self,
        bucket: &Bucket,
        incoming: Vec<Incoming>,
    ) -> Result<Vec<(Landed, Option<Stamp>)>, Error> {
        let stage = || stage_all(&self.zone, bucket, &self.disk.fence, &incoming);
        let staged = failpoint::around(Step::LandingStage, self.failing("stage uploads in"), stage)?;
        let version = self.zone.configuration_version();
        for _ in 0..CONTESTS_MAX {
            if self.zone.configuration_version() != version {
                // it chooses the feeds anew
                break;
            }
            let mut numbering = Numbering::new(&self.zone);
            let whole =
                incoming.iter().zip(&staged).filter_map(|(one, staged)| Some((one, staged.as_ref().ok()?)));
            let landed: Vec<Landed> =
                whole.map(|(one, staged)| numbering.enter(one, staged.sha256, staged.bytes)).collect();
            let bodies = numbering.bodies;
            if bodies.is_empty() || self.publish_remotely(bucket, bodies)?.is_some() {
                self.in_doubt = false;
                let mut landed = landed.into_iter();
                let told = |staged: Result<Staged, Error>| match staged {
                    Ok(staged) => landed.next().map(|landed| (landed, staged.stamp)),
                    Err(error) => Some((Landed::Unread(error), None)),
                };
                return Ok(staged.into_iter().filter_map(told).collect());
            }
        }
        Err(contended(&self.zone))
    }

    /// Puts the next segment; none where another process was quicker, whose entries are known then.
    pub(super) fn publish_remotely(
        &mut self,
        bucket: &Bucket,
        bodies: Vec<(Ts, Body)>,
    ) -> Result<Option<Vec<Entry>>, Error> {
        let (lines, hashes) = self.zone.journal.lines(&bodies)?;
        let segment = self.zone.journal.next_segment();
        let first = self.zone.journal.head().entry + 1;
        self.disk.fence.check()?;
        let put = || put_new(bucket, &segment, lines.into());
        if failpoint::around(Step::JournalPublish, self.failing("publish in"), put)? == Put::Other {
            self.zone.refresh()?;
            return Ok(None);
        }
        self.zone.journal.advance(&hashes);
        let mut entries = Vec::with_capacity(bodies.len());
        for ((entry, hash), (at, body)) in (first..).zip(hashes).zip(bodies) {
            self.zone.index.add(entry, at, body.clone());
            entries.push(Entry { entry, hash, at, body });
        }
        Ok(Some(entries))
    }

    /// Appends to the journal in a bucket.
    pub(super) fn append_remotely(
        &mut self,
        bucket: &Bucket,
        bodies: &[(Ts, Body)],
    ) -> Result<Vec<Entry>, Error> {
        self.in_doubt = true;
        for contest in 0..CONTESTS_MAX {
            match self.zone.check_all(bodies) {
                // what another process has just said may be the same, which its caller finds out
                Err(Error::Unfit { .. }) if contest > 0 => break,
                checked => checked?,
            }
            if let Some(entries) = self.publish_remotely(bucket, bodies.to_vec())? {
                self.in_doubt = false;
                return Ok(entries);
            }
        }
        Err(contended(&self.zone))
    }
}

fn contended(zone: &Zone) -> Error {
    let source = io::Error::other("other processes have appended to the journal meanwhile");
    Error::Io { action: "append to the journal of", path: zone.files.root().to_owned(), source }
}

fn put_new(bucket: &Bucket, path: &Path, bytes: Bytes) -> Result<Put, Error> {
    bucket.put_new(&Files::key(bucket, path)?, bytes).map_err(io::Error::from).doing("put", path)
}

/// Puts the objects of a group that are not there yet, several at a time. A source that cannot be read is an
/// error of its own.
fn stage_all(
    zone: &Zone,
    bucket: &Bucket,
    fence: &Fence,
    incoming: &[Incoming],
) -> Result<Vec<Result<Staged, Error>>, Error> {
    fence.check()?;
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(incoming.len()));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = incoming.get(at) else { return };
            let staged = stage(zone, bucket, &one.source);
            let is_over = matches!(staged, Err(Failed::Store(_)));
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, staged));
            if is_over {
                // nothing of the group lands
                next.store(incoming.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..PUTS.min(incoming.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter()
        .map(|(_, staged)| match staged {
            Ok(staged) => Ok(Ok(staged)),
            Err(Failed::Source(error)) => Ok(Err(error)),
            Err(Failed::Store(error)) => Err(error),
        })
        .collect()
}

/// Reads a source and puts its object, if it is not there. A large source is read twice: its name among the
/// objects is its hash, and it is never held whole.
fn stage(zone: &Zone, bucket: &Bucket, source: &Source) -> Result<Staged, Failed> {
    let mut held = Vec::new();
    let staged = read(source, |bytes, total| {
        if total <= PART_BYTES as u64 {
            held.extend_from_slice(bytes);
        }
    })?;
    let path = zone.objects.path_of(&staged.sha256);
    if zone.index.holds(&staged.sha256) && zone.files.is_whole(&path, staged.bytes).map_err(Failed::Store)? {
        return Ok(staged);
    }
    let key = Files::key(bucket, &path).map_err(Failed::Store)?;
    if staged.bytes > PART_BYTES as u64 {
        drop(held);
        put_large(bucket, &key, source, &staged)?;
        return Ok(staged);
    }
    let bytes = Bytes::from(held);
    if put_new(bucket, &path, bytes.clone()).map_err(Failed::Store)? == Put::Other {
        tracing::warn!(object = %path.display(), "an object did not hold what its name says; a delivery mends it");
        bucket.put(&key, bytes)?;
    }
    Ok(staged)
}

/// Reads a source to its end, a block at a time; `take` is told how many bytes there were with it.
fn read(source: &Source, mut take: impl FnMut(&[u8], u64)) -> Result<Staged, Failed> {
    let mut reading = Reading::open(source).map_err(Failed::Source)?;
    let (mut hasher, mut total, mut block) = (Hasher::new(), 0, Vec::new());
    loop {
        let next = reading.next(&mut block).map_err(Failed::Source)?;
        hasher.update(next);
        total += next.len() as u64;
        take(next, total);
        if next.len() < BLOCK {
            break;
        }
    }
    let stamp = reading.finish(total).map_err(Failed::Source)?;
    Ok(Staged { sha256: hasher.finish(), bytes: total, stamp })
}

/// Puts a source in parts, and lets it be no object where it is not what it was.
fn put_large(bucket: &Bucket, key: &str, source: &Source, staged: &Staged) -> Result<(), Failed> {
    let mut reading = Reading::open(source).map_err(Failed::Source)?;
    let (mut hasher, mut block) = (Hasher::new(), Vec::new());
    bucket.put_large(key, || {
        let mut part = Vec::with_capacity(PART_BYTES);
        while part.len() < PART_BYTES {
            let next = reading.next(&mut block).map_err(Failed::Source)?;
            part.extend_from_slice(next);
            if next.len() < BLOCK {
                break;
            }
        }
        hasher.update(&part);
        let is_last = part.len() < PART_BYTES;
        if is_last && std::mem::take(&mut hasher).finish() != staged.sha256 {
            let path = if let Source::File(path) | Source::Inbox(path) = source {
                path.clone()
            } else {
                PathBuf::new()
            };
            return Err(Failed::Source(Error::Changed { path }));
        }
        Ok(Bytes::from(part))
    })
}
