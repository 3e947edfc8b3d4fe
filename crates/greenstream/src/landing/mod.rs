//! The landing zone: the bytes of every upload exactly as received, and the journal beside them.
//!
//! It is the only source of truth; all else can be built from it again. It needs no database.
//! ```text
//! landing/objects/ab/<sha256>      put once, mode 0444, named by what is in it
//! landing/journal/000000000001.jsonl  put once, named by its first entry, each line chained to the last
//! landing/tmp/                     what is being written; emptied at every start
//! ```
//! An upload has landed when its object, the object's name and its journal entry are on stable
//! storage. A crash leaves either nothing of a group or all of it.
//!
//! In a bucket (`remote`) the keys are the same; there is no `tmp/`, for a put is whole or nothing.

mod content;
mod disk;
mod entry;
mod error;
mod files;
mod group;
mod hash;
mod index;
mod journal;
mod numbering;
mod object;
mod remote;
mod source;
#[cfg(test)]
mod tests;
mod verify;
mod watch;

pub use content::{Content, DECODED_BYTES_MAX, Failure, head_of};
pub(crate) use disk::create_folder;
pub use entry::{Action, Body, ConfigurationBody, DecisionBody, Entry, RetryBody, UploadBody};
pub use error::Error;
pub use hash::{Hash, Hasher};
pub use index::{Known, UploadEntry};
pub use journal::Entries;
pub use object::Objects;
pub(crate) use source::Stamp;
pub use source::{
    NAME_BYTES_MAX, Source, UPLOAD_BYTES_MAX, hash_of, name_as_text, name_of, open_regular, what_is,
};
pub use verify::{Damage, Finding, Progress, verify};

use crate::failpoint::{self, Step};
use crate::fence::Fence;
use crate::objects::Place;
use disk::Disk;
use error::Doing;
use files::Files;
use greenstream_core::Ts;
use group::{Group, write_segment};
use index::Index;
use journal::Journal;
use std::fs;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Threads that take files out of the inbox: they wait for the disk, not for a core.
const REMOVERS: usize = 16;

/// An upload that is to land.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incoming {
    /// Where its bytes are.
    pub source: Source,
    /// Its name, for people; cut at [`NAME_BYTES_MAX`] bytes. See [`name_of`].
    pub name: String,
    /// The feed that reads it.
    pub feed: String,
    /// The zone of wall times without offset, where one was given.
    pub time_zone: Option<String>,
    /// The meter, where the feed takes it from the name.
    pub meter: Option<String>,
    /// The landing time.
    pub landed_at: Ts,
}

/// What became of an upload.
#[derive(Debug)]
pub enum Landed {
    /// It has landed.
    New {
        /// Its sequence number.
        upload: u32,
        /// Its journal entry.
        entry: u64,
    },
    /// The same bytes (and meter) landed before, under the same feed and zone: another delivery.
    Delivered {
        /// The upload they are.
        upload: u32,
    },
    /// The same bytes landed before under another feed or zone. Nothing changed, and a file of the
    /// inbox is still there: the caller decides, for a dead letter by [`Body::Retry`].
    Refused {
        /// The upload they are.
        upload: u32,
        /// The feed that holds for it.
        feed: String,
        /// The zone that holds for it.
        time_zone: Option<String>,
    },
    /// The source could not be read: gone, no regular file, too large, written while it was read.
    /// Nothing of it landed; the others of the group did.
    Unread(Error),
}

/// A landing zone for reading. Any number of readers may look at one while its owner lands.
pub struct Zone {
    files: Files,
    objects: Objects,
    journal: Journal,
    index: Index,
}

impl Zone {
    /// Reads the journal of a landing zone and checks its chain; changes nothing.
    ///
    /// # Errors
    /// [`Error::Journal`] naming file and line of the first damage, [`Error::Io`].
    pub fn look(place: impl Into<Place>) -> Result<Zone, Error> {
        let files = Files::of(place.into());
        let mut zone = Zone {
            objects: Objects::new(files.clone()),
            journal: Journal::new(files.clone()),
            files,
            index: Index::default(),
        };
        zone.journal.read_all(into(&mut zone.index))?;
        Ok(zone)
    }

    /// Takes in what landed since the journal was read.
    ///
    /// # Errors
    /// As [`Zone::look`].
    pub fn refresh(&mut self) -> Result<(), Error> {
        self.journal.read_new(Duration::MAX, into(&mut self.index)).map(drop)
    }

    /// The journal at `place` as it is now: what is `held` is read on, and stays held also where that fails, so that it
    /// need not be read again from its begin.
    ///
    /// # Errors
    /// As [`Zone::look`].
    pub fn read_on<'held>(held: &'held mut Option<Zone>, place: &Place) -> Result<&'held Zone, Error> {
        let zone = match held.take() {
            Some(zone) => zone,
            None => Zone::look(place.clone())?,
        };
        let zone = held.insert(zone);
        zone.refresh()?;
        Ok(zone)
    }

    /// The number and the hash of the last entry; 0 and 64 zeros where there is none.
    #[must_use]
    pub fn head(&self) -> (u64, String) {
        let head = self.journal.head();
        (head.entry, head.hash.to_string())
    }

    /// The entries after `entry` up to the head as it is now, from disk. The iterator stands alone: the
    /// zone may land more while it is read.
    #[must_use]
    pub fn entries_after(&self, entry: u64) -> Entries {
        self.journal.entries_after(entry)
    }

    /// One upload, from 1.
    #[must_use]
    pub fn upload(&self, upload: u32) -> Option<&UploadEntry> {
        self.index.get(upload)
    }

    /// All uploads, in the order in which they landed.
    #[must_use]
    pub fn uploads(&self) -> &[UploadEntry] {
        self.index.uploads()
    }

    /// The configuration that holds, as the journal has it.
    #[must_use]
    pub fn configuration(&self) -> Option<&Arc<ConfigurationBody>> {
        self.index.configuration()
    }

    /// Its version; 0 before the first.
    #[must_use]
    pub fn configuration_version(&self) -> u32 {
        self.configuration().map_or(0, |held| held.version)
    }

    /// Whether an upload has these bytes: what landing them would find.
    #[must_use]
    pub fn known(&self, sha256: &Hash, meter: Option<&str>, feed: &str, time_zone: Option<&str>) -> Known {
        index::find([&self.index, &Index::default()], sha256, meter, feed, time_zone)
    }

    /// The objects, for workers that read contents while the zone lands more.
    #[must_use]
    pub fn objects(&self) -> Objects {
        self.objects.clone()
    }

    /// The decoded bytes of an upload, at most `limit` of them.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], [`Error::Io`]; damage shows while reading.
    pub fn content(&self, upload: u32, limit: u64) -> Result<Content, Error> {
        self.objects.content(&self.get(upload)?.sha256, limit)
    }

    /// Decoded bytes of an upload from `offset` on, `len` of them, or fewer where it ends.
    ///
    /// # Errors
    /// [`Failure::World`] as [`Zone::content`], [`Failure::Refused`] where it is damaged before that.
    pub fn range(&self, upload: u32, offset: u64, len: usize) -> Result<Vec<u8>, Failure> {
        self.objects.range(&self.get(upload)?.sha256, offset, len)
    }

    fn get(&self, upload: u32) -> Result<&UploadEntry, Error> {
        self.upload(upload).ok_or(Error::NoSuchUpload { upload })
    }

    /// Whether the journal may say this next, all of it.
    fn check_all(&self, bodies: &[(Ts, Body)]) -> Result<(), Error> {
        let mut ahead = self.index.after();
        for (at, body) in bodies {
            if matches!(body, Body::Upload(_)) {
                return Err(Error::Unfit { problem: "uploads land with their bytes".to_owned() });
            }
            ahead.check(body).map_err(|problem| Error::Unfit { problem })?;
            ahead.add(0, *at, body.clone());
        }
        Ok(())
    }

    fn tmp(&self) -> PathBuf {
        self.files.root().join("tmp")
    }
}

/// Takes entries that were read into an index, if they fit what came before.
fn into(index: &mut Index) -> impl FnMut(Entry) -> Result<(), String> + '_ {
    |entry| {
        index.check(&entry.body)?;
        index.add(entry.entry, entry.at, entry.body);
        Ok(())
    }
}

/// A landing zone and the right to land in it. One process holds it: see [`crate::home::Home`].
pub struct Landing {
    zone: Zone,
    disk: Disk,
    /// Whether a group failed half-way, so that the disk may hold more or less than is known here.
    in_doubt: bool,
}

impl Deref for Landing {
    type Target = Zone;

    fn deref(&self) -> &Zone {
        &self.zone
    }
}

impl Landing {
    /// Opens a landing zone, or begins one; clears away what a crash left half done.
    ///
    /// # Errors
    /// As [`Zone::look`]; also [`Error::Journal`] where there are objects and no journal, for to begin a
    /// new one beside them would bury the loss.
    pub fn open(place: impl Into<Place>) -> Result<Landing, Error> {
        match place.into() {
            Place::Folder(folder) => Landing::open_on(&folder, |_| {}),
            Place::Bucket(bucket) => {
                // a store that replaces what it should keep must not be landed in
                bucket.ping().map_err(io::Error::from).doing("land in", Path::new(&bucket.url()))?;
                let zone = Zone::look(Place::Bucket(bucket))?;
                Landing::over(zone, Disk::none())
            }
        }
    }

    /// Opens on a disk that `prepare` has changed: tests make its steps fail.
    fn open_on(folder: &Path, prepare: impl FnOnce(&mut Disk)) -> Result<Landing, Error> {
        for name in ["tmp", "journal"] {
            create_folder(&folder.join(name)).doing("create", &folder.join(name))?;
        }
        let zone = Zone::look(folder)?;
        zone.objects.create_folders()?;
        let mut disk = Disk::open(folder)?;
        prepare(&mut disk);
        Landing::over(zone, disk)
    }

    fn over(zone: Zone, disk: Disk) -> Result<Landing, Error> {
        let mut landing = Landing { zone, disk, in_doubt: true };
        landing.clear_up()?;
        let is_new = |landing: &Landing| landing.journal.head().entry == 0;
        if is_new(&landing) && verify::has_objects(&landing.objects)? {
            // in a bucket another process may have begun it meanwhile
            landing.zone.refresh()?;
        } else {
            return Ok(landing);
        }
        if is_new(&landing) {
            return Err(Error::Journal {
                path: landing.journal.next_segment(),
                line: 1,
                problem: "there are objects, but the journal is gone".to_owned(),
            });
        }
        Ok(landing)
    }

    /// Writes a small file, makes it durable and takes it away again: whether uploads can land.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::TakenOver`] as for an upload.
    pub fn probe(&self) -> Result<(), Error> {
        if let Some(bucket) = self.zone.files.bucket() {
            return bucket.ping().map_err(io::Error::from).doing("land in", self.zone.files.root());
        }
        let path = self.tmp().join("probe");
        let mut draft = self.disk.create(&path)?;
        let written = self.disk.write(&mut draft, b"probe\n").and_then(|()| self.disk.sync(&draft));
        self.disk.remove(&path)?;
        written
    }

    /// Takes in what other processes have landed in the same bucket.
    ///
    /// # Errors
    /// As [`Zone::look`].
    pub fn refresh(&mut self) -> Result<(), Error> {
        self.zone.refresh()
    }

    /// As [`Landing::refresh`], but begins no new segment after `limit`; false where some may be left.
    ///
    /// # Errors
    /// As [`Zone::look`].
    pub fn refresh_within(&mut self, limit: Duration) -> Result<bool, Error> {
        self.zone.journal.read_new(limit, into(&mut self.zone.index))
    }

    /// Lets every change of a name look first whether the home is still this process's.
    pub fn fenced_by(&mut self, fence: Fence) {
        self.disk.fence = fence;
    }

    /// What a fail point's error becomes.
    fn failing(&self, action: &'static str) -> impl Fn(std::io::Error) -> Error + use<> {
        let path = self.zone.files.root().to_owned();
        move |source| Error::Io { action, path: path.clone(), source }
    }

    /// Lands a group: when this returns, all of it is on stable storage. Files of the inbox are then
    /// removed, but for those refused or unread. The answers stand in the order given.
    ///
    /// # Errors
    /// An error means that nothing of the group was acknowledged; it may be landed again as it is.
    /// What had become durable all the same then answers as delivered.
    pub fn land(&mut self, incoming: Vec<Incoming>) -> Result<Vec<Landed>, Error> {
        self.clear_up()?;
        self.in_doubt = true;
        let inbox: Vec<Option<PathBuf>> = incoming.iter().map(|one| inbox_path(&one.source)).collect();
        let landed = self.land_group(incoming);
        if landed.is_err() {
            // gives the space back now if it can; else the next call tries again
            let _ = self.clear_up();
        }
        let landed = landed?;
        let taken = landed.iter().zip(inbox).filter_map(|((landed, stamp), path)| match landed {
            Landed::New { .. } | Landed::Delivered { .. } => (*stamp).zip(path),
            Landed::Refused { .. } | Landed::Unread(_) => None,
        });
        self.remove_sources(&taken.collect::<Vec<_>>());
        Ok(landed.into_iter().map(|(landed, _)| landed).collect())
    }

    fn land_group(&mut self, incoming: Vec<Incoming>) -> Result<Vec<(Landed, Option<Stamp>)>, Error> {
        if let Some(bucket) = self.zone.files.bucket().cloned() {
            return self.land_remotely(&bucket, incoming);
        }
        let mut group = Group::new(&self.zone, &self.disk, incoming.len());
        let landed = incoming.into_iter().map(|one| group.take(one)).collect::<Result<Vec<_>, Error>>()?;
        let (lines, hashes) = self.zone.journal.lines(&group.numbering.bodies)?;
        if !group.drafts.is_empty() || !group.numbering.bodies.is_empty() {
            let failed = self.failing("sync");
            let segment = failpoint::around(Step::LandingSync, failed, || group.settle(&lines))?;
            let (bodies, drafts) = (group.numbering.bodies, group.drafts);
            if !bodies.is_empty() {
                self.publish(&segment, &hashes, bodies)?;
            }
            self.discard(drafts.into_iter().chain([segment]));
        } else {
            self.in_doubt = false;
        }
        Ok(landed)
    }

    /// Writes decisions, retries or a configuration to the journal, all of them or none.
    ///
    /// # Errors
    /// [`Error::Unfit`] for an entry that no reader would accept, and for uploads: they come by
    /// [`Landing::land`]. Otherwise as there.
    pub fn append(&mut self, bodies: Vec<(Ts, Body)>) -> Result<Vec<Entry>, Error> {
        self.clear_up()?;
        self.zone.check_all(&bodies)?;
        if bodies.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(bucket) = self.zone.files.bucket().cloned() {
            return self.append_remotely(&bucket, &bodies);
        }
        let (lines, hashes) = self.zone.journal.lines(&bodies)?;
        let first = self.zone.journal.head().entry + 1;
        self.in_doubt = true;
        let failed = self.failing("append to");
        let append = || self.append_lines(&lines, &hashes, bodies.clone());
        let written = failpoint::around(Step::JournalAppend, failed, append);
        if written.is_err() {
            let _ = self.clear_up();
        }
        written?;
        let numbered = (first..).zip(hashes).zip(bodies);
        Ok(numbered.map(|((entry, hash), (at, body))| Entry { entry, hash, at, body }).collect())
    }

    fn append_lines(&mut self, lines: &[u8], hashes: &[Hash], bodies: Vec<(Ts, Body)>) -> Result<(), Error> {
        let (draft, segment) = write_segment(&self.zone, &self.disk, lines)?;
        self.disk.sync(&draft)?;
        self.publish(&segment, hashes, bodies)?;
        self.discard([segment]);
        Ok(())
    }

    fn publish(&mut self, segment: &Path, hashes: &[Hash], bodies: Vec<(Ts, Body)>) -> Result<(), Error> {
        let first = self.zone.journal.head().entry + 1;
        failpoint::around(Step::JournalPublish, self.failing("publish in"), || {
            self.zone.journal.publish(&self.disk, segment, hashes)?;
            for (entry, (at, body)) in (first..).zip(bodies) {
                self.zone.index.add(entry, at, body);
            }
            Ok(())
        })
    }

    /// Ends a group that has landed: removes second names that are no longer needed. What stays is cleared
    /// away before the next group.
    fn discard(&mut self, drafts: impl IntoIterator<Item = PathBuf>) {
        self.in_doubt = false;
        for draft in drafts {
            let failed = self.failing("tidy");
            let removed = failpoint::around(Step::LandingTidy, failed, || self.disk.remove(&draft));
            if let Err(error) = removed {
                tracing::warn!(%error, "a temporary file stays until the next group");
                self.in_doubt = true;
            }
        }
    }

    /// Takes files out of the inbox, several at a time: some disks take milliseconds to free a file's
    /// space, and one after the other would then be the slowest part of landing (on one such disk 280
    /// files a second, and 3,200 so).
    fn remove_sources(&self, sources: &[(Stamp, PathBuf)]) {
        let remove = |some: &[(Stamp, PathBuf)]| {
            for (stamp, path) in some {
                if let Err(error) = self.disk.remove_source(path, stamp) {
                    tracing::warn!(%error, hint = error.hint(), "a file has landed and stays in the inbox");
                }
            }
        };
        std::thread::scope(|scope| {
            let mut shares = sources.chunks(sources.len().div_ceil(REMOVERS).max(1));
            let own = shares.next().unwrap_or_default();
            for share in shares {
                scope.spawn(move || remove(share));
            }
            remove(own);
        });
    }

    /// Brings memory and disk together after a crash or a failure: takes in a segment that did reach
    /// its name, then removes objects that no entry names and everything in `tmp/`.
    fn clear_up(&mut self) -> Result<(), Error> {
        if !self.in_doubt {
            return Ok(());
        }
        self.disk.fence.check()?;
        failpoint::around(Step::LandingRecovery, self.failing("clear up"), || self.reconcile())?;
        self.in_doubt = false;
        Ok(())
    }

    fn reconcile(&mut self) -> Result<(), Error> {
        if self.zone.files.bucket().is_some() {
            return self.zone.refresh();
        }
        self.disk.sync_folder(self.zone.journal.folder())?;
        self.zone.refresh()?;
        let tmp = self.zone.tmp();
        for found in fs::read_dir(&tmp).doing("list", &tmp)? {
            let path = found.doing("list", &tmp)?.path();
            let hash = path.file_name().and_then(|name| name.to_str()).and_then(Hash::parse);
            if let Some(hash) = hash.filter(|hash| !self.zone.index.holds(hash)) {
                self.disk.remove(&self.zone.objects.path_of(&hash))?;
            }
            self.disk.remove(&path)?;
        }
        Ok(())
    }
}

fn inbox_path(source: &Source) -> Option<PathBuf> {
    if let Source::Inbox(path) = source { Some(path.clone()) } else { None }
}
