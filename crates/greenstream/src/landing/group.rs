//! A group of uploads on its way to the disk, which all land together or not at all.
//!
//! Objects are written under their hash in `tmp/` and linked to their name from there. The name in
//! `tmp/` stays until the journal names the upload, so whoever finds it after a crash knows which
//! object has no entry.

use super::disk::{Disk, Draft};
use super::error::Error;
use super::hash::{Hash, Hasher};
use super::numbering::Numbering;
use super::source::{BLOCK, Reading, Source, Stamp};
use super::{Incoming, Landed, Zone};
use crate::failpoint::{self, Step};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Up to so many files, each is synced alone; above, one sync of the file system is quicker. Alone
/// costs a wait for each file and each folder, but does not wait for what others have written.
const SYNC_EACH_MAX: usize = 4;

/// The draft of a source whose hash is not known yet.
const LARGE: &str = "large";

pub(super) struct Group<'a> {
    zone: &'a Zone,
    disk: &'a Disk,
    pub(super) numbering: Numbering<'a>,
    /// Second names in `tmp/`, to be removed once the group has landed.
    pub(super) drafts: Vec<PathBuf>,
    /// What is to be synced, where each is synced alone.
    unsynced: Vec<Draft>,
    folders: BTreeSet<PathBuf>,
    sync_each: bool,
    block: Vec<u8>,
}

/// The bytes of one source, read: small ones in memory, large ones in a draft.
struct Read {
    sha256: Hash,
    bytes: u64,
    stamp: Option<Stamp>,
    draft: Option<Draft>,
}

/// Which side failed: the source, which concerns one upload, or the landing zone, which concerns all.
enum Failed {
    Source(Error),
    Zone(Error),
}

impl<'a> Group<'a> {
    pub(super) fn new(zone: &'a Zone, disk: &'a Disk, size: usize) -> Group<'a> {
        Group {
            zone,
            disk,
            numbering: Numbering::new(zone),
            drafts: Vec::new(),
            unsynced: Vec::new(),
            folders: BTreeSet::new(),
            sync_each: size <= SYNC_EACH_MAX,
            block: Vec::new(),
        }
    }

    /// Takes one upload in: its bytes are written and named, nothing is durable yet. Gives what will
    /// become of it, and the state of the file it was read from.
    pub(super) fn take(&mut self, incoming: Incoming) -> Result<(Landed, Option<Stamp>), Error> {
        let read = match self.read(&incoming.source) {
            Ok(read) => read,
            Err(Failed::Source(error)) => return Ok((Landed::Unread(error), None)),
            Err(Failed::Zone(error)) => return Err(error),
        };
        let (stamp, sha256, bytes) = (read.stamp, read.sha256, read.bytes);
        if !self.numbering.holds(&sha256) && !self.has_landed_whole(&sha256, bytes) {
            let tmp = self.zone.tmp();
            let failed = |source| Error::Io { action: "stage an upload in", path: tmp.clone(), source };
            failpoint::around(Step::LandingStage, failed, || self.place(read, &incoming.source))?;
        } else if read.draft.is_some() {
            self.disk.remove(&self.zone.tmp().join(LARGE))?;
        }
        Ok((self.numbering.enter(&incoming, sha256, bytes), stamp))
    }

    /// Whether an object has landed and is still there with its size. If it is not, a delivery of the
    /// same bytes mends it.
    fn has_landed_whole(&self, sha256: &Hash, bytes: u64) -> bool {
        if !self.zone.index.holds(sha256) {
            return false;
        }
        let path = self.zone.objects.path_of(sha256);
        let whole = self.zone.files.is_whole(&path, bytes).unwrap_or(false);
        if !whole {
            tracing::warn!(object = %path.display(), "a landed object was missing or cut; a delivery mends it");
        }
        whole
    }

    /// Reads a source to its end. What is larger than a block goes to a draft as it is read.
    fn read(&mut self, source: &Source) -> Result<Read, Failed> {
        let mut block = std::mem::take(&mut self.block);
        let read = self.read_into(&mut block, source);
        self.block = block;
        if let Err(Failed::Source(_)) = &read {
            self.disk.remove(&self.zone.tmp().join(LARGE)).map_err(Failed::Zone)?;
        }
        read
    }

    fn read_into(&self, block: &mut Vec<u8>, source: &Source) -> Result<Read, Failed> {
        let mut reading = Reading::open(source).map_err(Failed::Source)?;
        let (mut hasher, mut bytes, mut draft) = (Hasher::new(), 0, None);
        loop {
            let next = reading.next(block).map_err(Failed::Source)?;
            hasher.update(next);
            bytes += next.len() as u64;
            let is_last = next.len() < BLOCK;
            let is_small = is_last && draft.is_none() || matches!(source, Source::Bytes(_));
            if !is_small {
                let draft = match &mut draft {
                    Some(draft) => draft,
                    none => {
                        none.insert(self.disk.create(&self.zone.tmp().join(LARGE)).map_err(Failed::Zone)?)
                    }
                };
                self.disk.write(draft, next).map_err(Failed::Zone)?;
            }
            if is_last {
                break;
            }
        }
        let stamp = reading.finish(bytes).map_err(Failed::Source)?;
        Ok(Read { sha256: hasher.finish(), bytes, stamp, draft })
    }

    /// Gives the bytes that were read last their name among the objects.
    fn place(&mut self, read: Read, source: &Source) -> Result<(), Error> {
        let name = self.zone.tmp().join(read.sha256.to_string());
        let draft = match read.draft {
            Some(draft) => {
                let large = self.zone.tmp().join(LARGE);
                self.disk.remove(&name)?;
                self.disk.link(&large, &name)?;
                self.disk.remove(&large)?;
                draft
            }
            None => {
                let mut draft = self.disk.create(&name)?;
                let bytes = if let Source::Bytes(bytes) = source { bytes } else { &self.block };
                self.disk.write(&mut draft, bytes)?;
                draft
            }
        };
        let object = self.zone.objects.path_of(&read.sha256);
        // What stands there is no landed object: it was left by a crash, and its bytes may be gone.
        self.disk.remove(&object)?;
        self.disk.link(&name, &object)?;
        self.drafts.push(name);
        if self.sync_each {
            self.unsynced.push(draft);
            self.folders.insert(self.zone.objects.folder_of(&read.sha256));
        }
        Ok(())
    }

    /// Makes everything taken in durable, contents and names, with the lines of its entries in a draft whose
    /// path is given. Everything is written and named before the first sync, so that a file system with
    /// one log has little left to do for the others.
    pub(super) fn settle(&mut self, lines: &[u8]) -> Result<PathBuf, Error> {
        let (segment, path) = write_segment(self.zone, self.disk, lines)?;
        if !self.sync_each {
            self.disk.sync_all()?;
            return Ok(path);
        }
        for draft in self.unsynced.iter().chain([&segment]) {
            self.disk.sync(draft)?;
        }
        for folder in &self.folders {
            self.disk.sync_folder(folder)?;
        }
        Ok(path)
    }
}

/// Writes the lines of a segment to its draft.
pub(super) fn write_segment(zone: &Zone, disk: &Disk, lines: &[u8]) -> Result<(Draft, PathBuf), Error> {
    let segment = zone.journal.next_segment();
    let path = zone.tmp().join(segment.file_name().unwrap_or(segment.as_os_str()));
    let mut draft = disk.create(&path)?;
    disk.write(&mut draft, lines)?;
    Ok((draft, path))
}
