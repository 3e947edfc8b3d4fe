//! The journal on disk: put-once segments, one for each group, each line chained to the one before.
//!
//! A segment is named by the number of its first entry. It is written whole, synced, and only then
//! linked to its name, so a reader sees all of it or nothing.

use super::disk::Disk;
use super::entry::{Body, Entry, Unread, parse_line, write_line};
use super::error::{Doing, Error};
use super::files::{Files, Opened, Opening};
use super::hash::Hash;
use greenstream_core::Ts;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest line read, in bytes with its newline. A configuration is the longest entry; anything above this is
/// damage, and must not fill the memory.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Where the journal stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    /// The last entry; 0 without any.
    pub(super) entry: u64,
    /// Its hash; zeros without any.
    pub(super) hash: Hash,
}

impl Head {
    pub(super) const START: Head = Head { entry: 0, hash: Hash::ZERO };
}

pub(super) struct Journal {
    files: Files,
    folder: PathBuf,
    /// The first entries of all segments, ascending.
    segments: Vec<u64>,
    head: Head,
}

/// The name of the segment that begins with this entry. Twelve digits keep names in order for a
/// thousand years of a hundred entries a second.
pub(super) fn segment_name(first: u64) -> String {
    format!("{first:012}.jsonl")
}

/// The first entry of the segment with this name, if it is one.
pub(super) fn segment_first(name: &str) -> Option<u64> {
    let first = name.strip_suffix(".jsonl")?.parse().ok()?;
    (first > 0 && segment_name(first) == name).then_some(first)
}

/// The first entries of the segments in a folder, ascending; names that are none are left out.
pub(super) fn list(files: &Files, folder: &Path) -> Result<Vec<u64>, Error> {
    let paths = files.list(folder)?;
    let first = |path: &PathBuf| segment_first(path.strip_prefix(folder).ok()?.to_str()?);
    let mut firsts: Vec<u64> = paths.iter().filter_map(first).collect();
    firsts.sort_unstable();
    Ok(firsts)
}

impl Journal {
    /// The journal of a landing zone, with nothing of it read yet.
    pub(super) fn new(files: Files) -> Journal {
        let folder = files.root().join("journal");
        Journal { files, folder, segments: Vec::new(), head: Head::START }
    }

    pub(super) const fn head(&self) -> Head {
        self.head
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads every segment from the start, checks the chain, and hands each entry to `visit`, whose
    /// objection is damage too.
    pub(super) fn read_all(
        &mut self,
        mut visit: impl FnMut(Entry) -> Result<(), String>,
    ) -> Result<(), Error> {
        let files = self.files.clone();
        let firsts = list(&files, &self.folder)?;
        for (first, opened) in firsts.clone().into_iter().zip(files.open_each(self.paths(firsts))) {
            if first != self.head.entry + 1 {
                return Err(Error::Journal {
                    path: self.folder.join(segment_name(first)),
                    line: 1,
                    problem: misplaced(first, self.head.entry),
                });
            }
            let (path, file) = opened?;
            self.read_segment(first, Segment::over(path, file, self.head), &mut visit)?;
        }
        Ok(())
    }

    /// Reads the segments that came after the head; false where some are left once `limit` is over.
    pub(super) fn read_new(
        &mut self,
        limit: Duration,
        mut visit: impl FnMut(Entry) -> Result<(), String>,
    ) -> Result<bool, Error> {
        let begun = Instant::now();
        while self.files.exists(&self.next_segment())? {
            let segment = Segment::open(&self.files, self.next_segment(), self.head)?;
            self.read_segment(self.head.entry + 1, segment, &mut visit)?;
            if begun.elapsed() > limit {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where segments are, one after the other.
    fn paths(&self, firsts: Vec<u64>) -> impl Iterator<Item = PathBuf> + Send + use<> {
        let folder = self.folder.clone();
        firsts.into_iter().map(move |first| folder.join(segment_name(first)))
    }

    /// Where the next group goes.
    pub(super) fn next_segment(&self) -> PathBuf {
        self.folder.join(segment_name(self.head.entry + 1))
    }

    fn read_segment(
        &mut self,
        first: u64,
        mut segment: Segment,
        visit: &mut impl FnMut(Entry) -> Result<(), String>,
    ) -> Result<(), Error> {
        let mut entries = Vec::new();
        while let Some(entry) = segment.next_entry()? {
            entries.push(entry);
        }
        if entries.is_empty() {
            return Err(segment.damage("the segment is empty".to_owned()));
        }
        // only now, so that a segment that could not be read to its end can be read again
        for (line, entry) in (1..).zip(entries) {
            visit(entry).map_err(|problem| Error::Journal { path: segment.path.clone(), line, problem })?;
        }
        self.segments.push(first);
        self.head = segment.head;
        Ok(())
    }

    /// The lines of entries to follow the head, and the head after them.
    pub(super) fn lines(&self, bodies: &[(Ts, Body)]) -> Result<(Vec<u8>, Vec<Hash>), Error> {
        let (mut text, mut head, mut hashes) = (Vec::new(), self.head, Vec::with_capacity(bodies.len()));
        for (at, body) in bodies {
            let start = text.len();
            let hash = write_line(&mut text, head.entry + 1, &head.hash, *at, body)
                .map_err(|error| Error::Unfit { problem: error.to_string() })?;
            let bytes = text.len() - start;
            if bytes as u64 > LINE_BYTES_MAX {
                // it could be written, and never be read again
                let problem = format!("its line has {bytes} bytes, more than the limit of {LINE_BYTES_MAX}");
                return Err(Error::Unfit { problem });
            }
            head = Head { entry: head.entry + 1, hash };
            hashes.push(hash);
        }
        Ok((text, hashes))
    }

    /// Links a synced draft of [`lines`](Journal::lines) to its name and makes the name durable: the
    /// instant at which a group has landed.
    pub(super) fn publish(&mut self, disk: &Disk, draft: &Path, hashes: &[Hash]) -> Result<(), Error> {
        disk.link(draft, &self.next_segment())?;
        disk.sync_folder(&self.folder)?;
        self.advance(hashes);
        Ok(())
    }

    /// Moves the head over a segment that has its name.
    pub(super) fn advance(&mut self, hashes: &[Hash]) {
        if let Some(hash) = hashes.last() {
            self.segments.push(self.head.entry + 1);
            self.head = Head { entry: self.head.entry + hashes.len() as u64, hash: *hash };
        }
    }

    /// The entries after `entry`, up to the head as it is now, read as they are asked for.
    pub(super) fn entries_after(&self, entry: u64) -> Entries {
        let from = self.segments.partition_point(|first| *first <= entry + 1).saturating_sub(1);
        let segments = if entry < self.head.entry { self.segments[from..].to_vec() } else { Vec::new() };
        Entries {
            opening: self.files.open_each(self.paths(segments.clone())),
            segments: segments.into_iter(),
            open: None,
            after: entry,
            last: self.head.entry,
        }
    }
}

/// What is wrong when a segment begins with `first` and the one before ends with `last`.
pub(super) fn misplaced(first: u64, last: u64) -> String {
    if first > last + 1 {
        format!("entries {} to {} are missing before this segment", last + 1, first - 1)
    } else {
        format!("the segment begins with entry {first}, but the one before ends with {last}")
    }
}

/// Entries of the journal, in order. An error ends it.
pub struct Entries {
    opening: Opening,
    segments: std::vec::IntoIter<u64>,
    open: Option<Segment>,
    after: u64,
    last: u64,
}

impl Entries {
    fn advance(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            if let Some(segment) = &mut self.open {
                while let Some(entry) = segment.next_entry()? {
                    if entry.entry > self.after {
                        return Ok(Some(entry));
                    }
                }
            }
            let (Some(first), Some(opened)) = (self.segments.next(), self.opening.next()) else {
                return Ok(None);
            };
            let (path, file) = opened?;
            self.open = Some(match self.open.take() {
                Some(before) => Segment::over(path, file, before.head),
                None => Segment::anywhere(path, file, first),
            });
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.after >= self.last {
            return None;
        }
        let next = self.advance().transpose();
        self.after = match &next {
            Some(Ok(entry)) => entry.entry,
            _ => self.last,
        };
        next
    }
}

/// A segment being read, line by line, its chain checked.
pub(super) struct Segment {
    path: PathBuf,
    lines: BufReader<Opened>,
    buffer: Vec<u8>,
    pub(super) line: u64,
    pub(super) head: Head,
    /// Whether the first line's `prev` is not known from outside.
    trusts_first: bool,
}

impl Segment {
    /// The segment that follows `head`.
    pub(super) fn open(files: &Files, path: PathBuf, head: Head) -> Result<Segment, Error> {
        let file = files.open(&path)?;
        Ok(Segment::over(path, file, head))
    }

    pub(super) fn over(path: PathBuf, file: Opened, head: Head) -> Segment {
        let lines = BufReader::with_capacity(64 << 10, file);
        Segment { path, lines, buffer: Vec::new(), line: 0, head, trusts_first: false }
    }

    /// A segment whose chain was checked up to its first entry when the journal was opened.
    pub(super) fn anywhere(path: PathBuf, file: Opened, first: u64) -> Segment {
        let segment = Segment::over(path, file, Head { entry: first - 1, hash: Hash::ZERO });
        Segment { trusts_first: true, ..segment }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn damage(&self, problem: String) -> Error {
        Error::Journal { path: self.path.clone(), line: self.line.max(1), problem }
    }

    /// The next entry; none at the end.
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        match self.step()? {
            Some((_, Some(problem))) => Err(self.damage(problem)),
            Some((entry, None)) => Ok(Some(entry)),
            None => Ok(None),
        }
    }

    /// The next entry, and what is wrong with its place in the chain. After damage the chain goes on from
    /// the damaged line's own bytes and number, so that verification finds each damage once.
    pub(super) fn step(&mut self) -> Result<Option<(Entry, Option<String>)>, Error> {
        self.buffer.clear();
        self.lines
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut self.buffer)
            .doing("read", &self.path)?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        let whole = self.buffer.pop_if(|byte| *byte == b'\n').is_some();
        let (before, hash) = (self.head, Hash::of(&self.buffer));
        let number = before.entry + 1;
        self.head = Head { entry: number, hash };
        let trusted = std::mem::take(&mut self.trusts_first);
        if !whole {
            return Err(self.damage("the line is torn: it has no end".to_owned()));
        }
        let line = parse_line(&self.buffer).map_err(|unread| match unread {
            Unread::Damaged(problem) => self.damage(problem),
            Unread::Unknown(problem) => Error::Newer { path: self.path.clone(), line: self.line, problem },
        })?;
        self.head.entry = line.entry;
        let problem = if line.entry != number {
            Some(format!("entry {} stands where entry {number} belongs", line.entry))
        } else if line.prev != before.hash && !trusted {
            Some("the chain is broken: the line before is not the one it was".to_owned())
        } else {
            None
        };
        Ok(Some((Entry { entry: line.entry, hash, at: line.at, body: line.body }, problem)))
    }
}
