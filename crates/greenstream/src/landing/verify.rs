//! Verification: is the landing zone still what was landed? Reads everything, changes nothing.
//!
//! It does not trust what [`Landing`](super::Landing) holds in memory and does not stop at the first
//! damage. It may run beside the owner of the zone: what lands meanwhile is no finding.

use super::entry::{Body, ConfigurationBody, Entry};
use super::error::{Doing, Error};
use super::hash::{Hash, Hasher};
use super::journal::{Head, Segment, list, misplaced, segment_first, segment_name};
use super::object::Objects;
use super::source::{BLOCK, open_regular};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What kind of damage a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Damage {
    /// A line of the journal is not what was written.
    JournalDamaged,
    /// A line of the journal says something that this release does not know.
    JournalUnknown,
    /// Entries of the journal are not there.
    JournalMissing,
    /// A file lies in the journal's folder that is not the journal's.
    JournalStray,
    /// The bytes of an upload are not there.
    ObjectMissing,
    /// The bytes of an upload are not those that landed.
    ObjectChanged,
    /// A file lies among the objects that no journal entry names.
    ObjectStray,
}

/// Something that is not as it was landed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// The file it is about.
    pub path: PathBuf,
    /// What kind of damage it is.
    pub damage: Damage,
    /// What is wrong, as the rest of a sentence that begins with the file.
    pub problem: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.path.display(), self.problem)
    }
}

/// How far verification is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Objects read.
    pub done: usize,
    /// Objects to read.
    pub total: usize,
}

/// An object that the journal names.
struct Named {
    sha256: Hash,
    bytes: u64,
    upload: u32,
    found: AtomicBool,
}

/// Reads the journal and every object, and tells what is not as it was landed, sorted by file.
///
/// `expected` is a head (entry and hash) seen before, such as the database's position. Only it can show
/// that the newest entries were cut off or changed, for nothing after them vouches for them.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be listed or a segment cannot be read. Damage is a finding.
pub fn verify(
    folder: &Path,
    expected: Option<(u64, &str)>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<Finding>, Error> {
    let objects = Objects::new(folder);
    let mut walk = Walk::new(folder.join("journal"), expected);
    walk.foreign_files()?;
    walk.segments()?;
    let mut findings = std::mem::take(&mut walk.findings);
    let mut named = std::mem::take(&mut walk.named);
    named.sort_by_key(|named| (named.sha256, named.upload));
    named.dedup_by_key(|named| named.sha256);
    let strangers = strangers(&objects, &named, &mut findings)?;
    findings.append(&mut still_strange(folder, &mut walk, strangers)?);
    findings.append(&mut read_objects(&objects, &named, progress));
    findings.sort();
    Ok(findings)
}

/// Whether anything lies among the objects.
pub(super) fn has_objects(objects: &Objects) -> Result<bool, Error> {
    for folder in entries_of(objects.folder())? {
        if folder.is_dir() && !entries_of(&folder)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The walk along the chain.
struct Walk<'a> {
    folder: PathBuf,
    expected: Option<(u64, &'a str)>,
    head: Head,
    /// The last upload, unless damage hides which it is.
    last_upload: Option<u32>,
    /// The last version of the configuration, unless damage hides it.
    last_configuration: Option<u32>,
    named: Vec<Named>,
    findings: Vec<Finding>,
}

impl<'a> Walk<'a> {
    fn new(folder: PathBuf, expected: Option<(u64, &'a str)>) -> Walk<'a> {
        Walk {
            folder,
            expected: expected.filter(|(entry, _)| *entry > 0),
            head: Head::START,
            last_upload: Some(0),
            last_configuration: Some(0),
            named: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn find(&mut self, path: PathBuf, damage: Damage, problem: String) {
        self.findings.push(Finding { path, damage, problem });
    }

    fn damage(&mut self, segment: &Segment, problem: &str) {
        let problem = format!("is damaged in line {}: {problem}", segment.line);
        self.find(segment.path().to_owned(), Damage::JournalDamaged, problem);
        (self.last_upload, self.last_configuration) = (None, None);
    }

    fn foreign_files(&mut self) -> Result<(), Error> {
        for path in entries_of(&self.folder)? {
            if path.file_name().and_then(|name| name.to_str()).and_then(segment_first).is_none() {
                self.find(path, Damage::JournalStray, "does not belong into the journal".to_owned());
            }
        }
        Ok(())
    }

    fn segments(&mut self) -> Result<(), Error> {
        for first in list(&self.folder)? {
            let path = self.folder.join(segment_name(first));
            let fits = first == self.head.entry + 1;
            if !fits {
                let problem = format!("is out of place: {}", misplaced(first, self.head.entry));
                self.find(path.clone(), Damage::JournalMissing, problem);
                (self.last_upload, self.last_configuration) = (None, None);
            }
            let segment =
                if fits { Segment::open(path, self.head)? } else { Segment::open_anywhere(path, first)? };
            self.segment(segment)?;
        }
        if let Some((entry, _)) = self.expected.filter(|(entry, _)| *entry > self.head.entry) {
            let missing = self.folder.join(segment_name(self.head.entry + 1));
            let problem = format!("is missing: entries {} to {entry} were there", self.head.entry + 1);
            self.find(missing, Damage::JournalMissing, problem);
        }
        Ok(())
    }

    fn segment(&mut self, mut segment: Segment) -> Result<(), Error> {
        loop {
            match segment.step() {
                Ok(Some((entry, problem))) => {
                    if let Some(problem) = problem {
                        self.damage(&segment, &problem);
                    }
                    self.entry(&segment, entry);
                }
                Ok(None) => break,
                Err(Error::Journal { problem, .. }) => self.damage(&segment, &problem),
                Err(Error::Newer { path, line, problem }) => {
                    self.find(
                        path,
                        Damage::JournalUnknown,
                        format!("cannot be read in line {line}: {problem}"),
                    );
                    (self.last_upload, self.last_configuration) = (None, None);
                }
                Err(error) => return Err(error),
            }
        }
        if segment.line == 0 {
            self.find(segment.path().to_owned(), Damage::JournalDamaged, "is empty".to_owned());
        }
        self.head = segment.head;
        Ok(())
    }

    fn entry(&mut self, segment: &Segment, entry: Entry) {
        if let Some((_, hash)) = self.expected.filter(|(number, _)| *number == entry.entry)
            && entry.hash.to_string() != hash
        {
            self.damage(segment, &format!("entry {} has changed", entry.entry));
        }
        let body = match entry.body {
            Body::Upload(body) => body,
            Body::Retry(body) => return self.about(segment, body.upload),
            Body::Decision(body) => return self.about(segment, body.upload),
            Body::Configuration(body) => return self.configuration(segment, &body),
        };
        if let Some(last) = self.last_upload.filter(|last| last.checked_add(1) != Some(body.upload)) {
            self.damage(segment, &format!("upload {} follows upload {last}", body.upload));
        }
        self.last_upload = Some(body.upload);
        let found = AtomicBool::new(false);
        self.named.push(Named { sha256: body.sha256, bytes: body.bytes, upload: body.upload, found });
    }

    /// A retry or a decision must be about an upload that was there.
    fn about(&mut self, segment: &Segment, upload: u32) {
        if let Some(last) = self.last_upload.filter(|last| !(1..=*last).contains(&upload)) {
            self.damage(segment, &format!("it is about upload {upload}, and the last one is {last}"));
        }
    }

    fn configuration(&mut self, segment: &Segment, body: &ConfigurationBody) {
        if let Some(last) = self.last_configuration.filter(|last| last.checked_add(1) != Some(body.version)) {
            self.damage(segment, &format!("configuration {} follows configuration {last}", body.version));
        } else if !body.content.is_object() {
            self.damage(segment, "its content is no JSON object");
        }
        self.last_configuration = Some(body.version);
    }

    /// The objects named by segments that came since.
    fn newer(&mut self) -> Result<Vec<Hash>, Error> {
        loop {
            let path = self.folder.join(segment_name(self.head.entry + 1));
            if !path.try_exists().doing("read", &path)? {
                return Ok(self.named.drain(..).map(|named| named.sha256).collect());
            }
            self.segment(Segment::open(path, self.head)?)?;
        }
    }
}

/// Lists the objects, marks those the journal names, and gives the others.
fn strangers(objects: &Objects, named: &[Named], findings: &mut Vec<Finding>) -> Result<Vec<PathBuf>, Error> {
    let mut strangers = Vec::new();
    for folder in entries_of(objects.folder())? {
        if !folder.is_dir() {
            let problem = "does not belong among the objects".to_owned();
            findings.push(Finding { path: folder, damage: Damage::ObjectStray, problem });
            continue;
        }
        for path in entries_of(&folder)? {
            let hash = path.file_name().and_then(|name| name.to_str()).and_then(Hash::parse);
            let place = hash
                .filter(|hash| objects.path_of(hash) == path)
                .and_then(|hash| named.binary_search_by_key(&hash, |named| named.sha256).ok());
            match place.and_then(|place| named.get(place)) {
                Some(named) => named.found.store(true, Ordering::Relaxed),
                None => strangers.push(path),
            }
        }
    }
    Ok(strangers)
}

/// Those that are not about to land and have not landed since. A group's objects have a second name in
/// `tmp/` until their entries are in the journal, so looking in that order misses none.
fn still_strange(folder: &Path, walk: &mut Walk<'_>, mut paths: Vec<PathBuf>) -> Result<Vec<Finding>, Error> {
    let tmp = folder.join("tmp");
    paths.retain(|path| path.file_name().is_none_or(|name| !tmp.join(name).exists()));
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let newer = walk.newer()?;
    let mut findings = std::mem::take(&mut walk.findings);
    for path in paths {
        let hash = path.file_name().and_then(|name| name.to_str()).and_then(Hash::parse);
        if hash.is_none_or(|hash| !newer.contains(&hash)) && fs::symlink_metadata(&path).is_ok() {
            let problem = "is named by no journal entry".to_owned();
            findings.push(Finding { path, damage: Damage::ObjectStray, problem });
        }
    }
    Ok(findings)
}

/// Hashes every object on all cores, smallest hash first.
fn read_objects(objects: &Objects, named: &[Named], progress: &(dyn Fn(Progress) + Sync)) -> Vec<Finding> {
    let (next, done, total) = (AtomicUsize::new(0), AtomicUsize::new(0), named.len());
    let findings = Mutex::new(Vec::new());
    let work = || {
        let mut block = vec![0; BLOCK];
        while let Some(named) = named.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = objects.path_of(&named.sha256);
            if let Some(problem) = problem_of(&path, named, &mut block) {
                let is_found = named.found.load(Ordering::Relaxed);
                let damage = if is_found { Damage::ObjectChanged } else { Damage::ObjectMissing };
                let problem = format!("{problem} (upload {})", named.upload);
                let finding = Finding { path, damage, problem };
                findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
            }
            progress(Progress { done: done.fetch_add(1, Ordering::Relaxed) + 1, total });
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    findings.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn problem_of(path: &Path, named: &Named, block: &mut [u8]) -> Option<String> {
    if !named.found.load(Ordering::Relaxed) {
        return Some("is missing".to_owned());
    }
    let mut file = match open_regular(path) {
        Ok(file) => file,
        Err(Error::NotRegular { what, .. }) => return Some(format!("is {what}")),
        Err(_) => return Some("cannot be opened".to_owned()),
    };
    let (mut hasher, mut bytes) = (Hasher::new(), 0);
    loop {
        match file.read(block) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(&block[..count]);
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Some(format!("cannot be read after {bytes} bytes: {error}")),
        }
    }
    if bytes != named.bytes {
        return Some(format!("has {bytes} bytes, but {} had landed", named.bytes));
    }
    (hasher.finish() != named.sha256).then(|| "does not hold the bytes that had landed".to_owned())
}

/// What a folder holds, sorted; nothing if it is not there.
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
