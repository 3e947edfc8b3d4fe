//! Verification: is the landing zone still what was landed? Reads everything, changes nothing.
//!
//! It does not trust what [`Landing`](super::Landing) holds in memory and does not stop at the first
//! damage. It may run beside the owner of the zone: what lands meanwhile is no finding.

use super::entry::{Body, ConfigurationBody, Entry};
use super::error::{Doing, Error};
use super::files::{FETCHES, Files};
use super::hash::{Hash, Hasher};
use super::journal::{Head, Segment, list, misplaced, segment_first, segment_name};
use super::object::Objects;
use super::source::BLOCK;
use crate::objects::{self, Place};
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
/// [`Error::Io`] if a folder cannot be listed or a segment cannot be read, and where the bucket is away while
/// objects are read. Damage is a finding.
pub fn verify(
    place: impl Into<Place>,
    expected: Option<(u64, &str)>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<Finding>, Error> {
    let objects = Objects::new(Files::of(place.into()));
    let mut walk = Walk::new(objects.files().clone(), expected);
    walk.foreign_files()?;
    walk.segments()?;
    let mut findings = std::mem::take(&mut walk.findings);
    let mut named = std::mem::take(&mut walk.named);
    named.sort_by_key(|named| (named.sha256, named.upload));
    named.dedup_by_key(|named| named.sha256);
    let strangers = strangers(&objects, &named, &mut findings)?;
    findings.append(&mut still_strange(&objects, &mut walk, strangers)?);
    findings.append(&mut read_objects(&objects, &named, progress)?);
    findings.sort();
    Ok(findings)
}

/// Whether anything lies among the objects.
pub(super) fn has_objects(objects: &Objects) -> Result<bool, Error> {
    let files = objects.files();
    let folders = files.list(objects.folder())?;
    if files.bucket().is_some() {
        return Ok(!folders.is_empty());
    }
    for folder in folders {
        if folder.is_dir() && !files.list(&folder)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The walk along the chain.
struct Walk<'a> {
    files: Files,
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
    fn new(files: Files, expected: Option<(u64, &'a str)>) -> Walk<'a> {
        Walk {
            folder: files.root().join("journal"),
            files,
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
        for path in self.files.list(&self.folder)? {
            if path.file_name().and_then(|name| name.to_str()).and_then(segment_first).is_none() {
                self.find(path, Damage::JournalStray, "does not belong into the journal".to_owned());
            }
        }
        Ok(())
    }

    fn segments(&mut self) -> Result<(), Error> {
        let firsts = list(&self.files, &self.folder)?;
        let folder = self.folder.clone();
        let paths = firsts.clone().into_iter().map(move |first| folder.join(segment_name(first)));
        for (first, opened) in firsts.into_iter().zip(self.files.open_each(paths)) {
            let (path, file) = opened?;
            let fits = first == self.head.entry + 1;
            if !fits {
                let problem = format!("is out of place: {}", misplaced(first, self.head.entry));
                self.find(path.clone(), Damage::JournalMissing, problem);
                (self.last_upload, self.last_configuration) = (None, None);
            }
            let segment = if fits {
                Segment::over(path, file, self.head)
            } else {
                Segment::anywhere(path, file, first)
            };
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
            if !self.files.exists(&path)? {
                return Ok(self.named.drain(..).map(|named| named.sha256).collect());
            }
            self.segment(Segment::open(&self.files, path, self.head)?)?;
        }
    }
}

/// Lists the objects, marks those the journal names, and gives the others.
fn strangers(objects: &Objects, named: &[Named], findings: &mut Vec<Finding>) -> Result<Vec<PathBuf>, Error> {
    let mut strangers = Vec::new();
    let files = objects.files();
    let mut known = |path: PathBuf| {
        let hash = path.file_name().and_then(|name| name.to_str()).and_then(Hash::parse);
        let place = hash
            .filter(|hash| objects.path_of(hash) == path)
            .and_then(|hash| named.binary_search_by_key(&hash, |named| named.sha256).ok());
        match place.and_then(|place| named.get(place)) {
            Some(named) => named.found.store(true, Ordering::Relaxed),
            None => strangers.push(path),
        }
    };
    for path in files.list(objects.folder())? {
        if files.bucket().is_some() {
            known(path);
        } else if path.is_dir() {
            files.list(&path)?.into_iter().for_each(&mut known);
        } else {
            let problem = "does not belong among the objects".to_owned();
            findings.push(Finding { path, damage: Damage::ObjectStray, problem });
        }
    }
    Ok(strangers)
}

/// Those that are not about to land and have not landed since. A group's objects have a second name in
/// `tmp/` until their entries are in the journal, so looking in that order misses none.
///
/// In a bucket an interrupted landing leaves an object without an entry, which nobody may have the right to
/// remove: one that holds what its name says is no damage, and the entry of its next delivery names it.
fn still_strange(
    objects: &Objects,
    walk: &mut Walk<'_>,
    mut paths: Vec<PathBuf>,
) -> Result<Vec<Finding>, Error> {
    let files = objects.files();
    if files.bucket().is_some() {
        let mut strange = Vec::new();
        for path in paths {
            if !is_left_over(objects, &path)? {
                strange.push(path);
            }
        }
        paths = strange;
    } else {
        let tmp = files.root().join("tmp");
        paths.retain(|path| path.file_name().is_none_or(|name| !tmp.join(name).exists()));
    }
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let newer = walk.newer()?;
    let mut findings = std::mem::take(&mut walk.findings);
    for path in paths {
        let hash = path.file_name().and_then(|name| name.to_str()).and_then(Hash::parse);
        let is_there = || files.bucket().is_some() || fs::symlink_metadata(&path).is_ok();
        if hash.is_none_or(|hash| !newer.contains(&hash)) && is_there() {
            let problem = "is named by no journal entry".to_owned();
            findings.push(Finding { path, damage: Damage::ObjectStray, problem });
        }
    }
    Ok(findings)
}

/// Hashes every object on all cores, smallest hash first. A store that is away ends it: what could not be read
/// for that is not damaged.
fn read_objects(
    objects: &Objects,
    named: &[Named],
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<Finding>, Error> {
    let (next, done, total) = (AtomicUsize::new(0), AtomicUsize::new(0), named.len());
    let (findings, failed) = (Mutex::new(Vec::new()), Mutex::new(None));
    let work = || {
        let mut block = vec![0; BLOCK];
        while let Some(named) = named.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = objects.path_of(&named.sha256);
            let problem = match problem_of(objects.files(), &path, named, &mut block) {
                Ok(problem) => problem,
                Err(error) => {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    // the others end with what they have in hand
                    return next.store(total, Ordering::Relaxed);
                }
            };
            if let Some(problem) = problem {
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
    // what comes from a bucket is waited for
    let threads = if objects.files().bucket().is_some() { FETCHES } else { cores };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(findings.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

fn problem_of(files: &Files, path: &Path, named: &Named, block: &mut [u8]) -> Result<Option<String>, Error> {
    if !named.found.load(Ordering::Relaxed) {
        return Ok(Some("is missing".to_owned()));
    }
    let (sha256, bytes) = match hash_of(files, path, block)? {
        Ok(read) => read,
        Err(problem) => return Ok(Some(problem)),
    };
    if bytes != named.bytes {
        return Ok(Some(format!("has {bytes} bytes, but {} had landed", named.bytes)));
    }
    Ok((sha256 != named.sha256).then(|| "does not hold the bytes that had landed".to_owned()))
}

/// Whether it is the store that is away, rather than the object that is damaged.
fn is_away(error: &io::Error) -> bool {
    objects::Error::of_io(error).is_some_and(objects::Error::is_transient)
}

/// The hash and the size of a file, or what is wrong with it.
///
/// # Errors
/// [`Error::Io`] where the bucket is away.
fn hash_of(files: &Files, path: &Path, block: &mut [u8]) -> Result<Result<(Hash, u64), String>, Error> {
    let mut file = match files.open_regular(path) {
        Ok(file) => file,
        Err(Error::NotRegular { what, .. }) => return Ok(Err(format!("is {what}"))),
        Err(Error::Io { source, .. }) if is_away(&source) => return Err(source).doing("read", path),
        Err(_) => return Ok(Err("cannot be opened".to_owned())),
    };
    let (mut hasher, mut bytes) = (Hasher::new(), 0);
    loop {
        match file.read(block) {
            Ok(0) => return Ok(Ok((hasher.finish(), bytes))),
            Ok(count) => {
                hasher.update(&block[..count]);
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_away(&error) => return Err(error).doing("read", path),
            Err(error) => return Ok(Err(format!("cannot be read after {bytes} bytes: {error}"))),
        }
    }
}

/// Whether an object of a bucket has the name of what is in it.
fn is_left_over(objects: &Objects, path: &Path) -> Result<bool, Error> {
    let hash = path.file_name().and_then(|name| name.to_str()).and_then(Hash::parse);
    let Some(hash) = hash.filter(|hash| objects.path_of(hash) == path) else { return Ok(false) };
    let read = hash_of(objects.files(), path, &mut vec![0; BLOCK])?;
    Ok(read.is_ok_and(|(found, _)| found == hash))
}
