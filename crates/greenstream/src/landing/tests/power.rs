//! Power loss at every step: what was acknowledged is there, with its bytes; the rest is whole or absent.
//!
//! The steps of a landing are recorded. For each point in time a disk is built as a power loss might leave
//! it: contents that were not synced are gone, cut, whole, or as long as they were and full of zeros; names
//! that were not synced are there or not, in the order in which they were given. The landing zone is then
//! opened there.

use super::super::disk::{Probe, Step};
use super::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A step, remembered.
#[derive(Clone, Debug)]
enum Done {
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    SyncFile(PathBuf),
    SyncFolder(PathBuf),
    SyncAll,
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
    /// The entries up to this one are acknowledged.
    Acknowledge(u64),
}

impl From<&Step<'_>> for Done {
    fn from(step: &Step<'_>) -> Done {
        match *step {
            Step::Create(path) => Done::Create(path.to_owned()),
            Step::Write(path, bytes) => Done::Write(path.to_owned(), bytes.to_owned()),
            Step::SyncFile(path) => Done::SyncFile(path.to_owned()),
            Step::SyncFolder(path) => Done::SyncFolder(path.to_owned()),
            Step::SyncAll => Done::SyncAll,
            Step::Link(from, to) => Done::Link(from.to_owned(), to.to_owned()),
            Step::Remove(path) => Done::Remove(path.to_owned()),
        }
    }
}

#[derive(Clone, Default)]
struct Inode {
    bytes: Vec<u8>,
    synced: usize,
}

/// A change of a name, not yet surely on the disk.
#[derive(Clone)]
struct Naming {
    path: PathBuf,
    inode: Option<usize>,
}

/// A disk and what it would remember.
#[derive(Clone, Default)]
struct Model {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    pending: Vec<Naming>,
    /// Inodes by the path under which they were created, for writes after that name is gone.
    drafts: BTreeMap<PathBuf, usize>,
    acknowledged: u64,
}

/// How much a file system promises about names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Names {
    /// They reach the disk in the order given, as on ext4, XFS and others with one log.
    InOrder,
    /// Only within a folder: the least that POSIX can be read to promise.
    InOrderOfEachFolder,
}

impl Model {
    fn name(&mut self, path: &Path, inode: Option<usize>) {
        match inode {
            Some(inode) => self.names.insert(path.to_owned(), inode),
            None => self.names.remove(path),
        };
        self.pending.push(Naming { path: path.to_owned(), inode });
    }

    fn settle(&mut self, is_durable: impl Fn(&Path) -> bool) {
        let pending = std::mem::take(&mut self.pending);
        for naming in pending {
            if is_durable(&naming.path) {
                naming.apply(&mut self.durable);
            } else {
                self.pending.push(naming);
            }
        }
    }

    fn apply(&mut self, done: &Done) {
        match done {
            Done::Create(path) => {
                self.inodes.push(Inode::default());
                self.drafts.insert(path.clone(), self.inodes.len() - 1);
                self.name(path, Some(self.inodes.len() - 1));
            }
            Done::Write(path, bytes) => self.inodes[self.drafts[path]].bytes.extend(bytes),
            Done::SyncFile(path) => {
                let inode = &mut self.inodes[self.drafts[path]];
                inode.synced = inode.bytes.len();
            }
            Done::SyncFolder(folder) => self.settle(|path| path.parent() == Some(folder)),
            Done::SyncAll => {
                self.settle(|_| true);
                self.inodes.iter_mut().for_each(|inode| inode.synced = inode.bytes.len());
            }
            Done::Link(from, to) => self.name(to, Some(self.names[from])),
            Done::Remove(path) => self.name(path, None),
            Done::Acknowledge(entry) => self.acknowledged = *entry,
        }
    }

    /// What a power loss might leave, by the given choices: `keep` of so many, for names and bytes.
    fn after_power_loss(
        &self,
        names: Names,
        keep: &mut dyn FnMut(usize) -> usize,
    ) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut left = self.durable.clone();
        match names {
            Names::InOrder => {
                let count = keep(self.pending.len());
                self.pending[..count].iter().for_each(|naming| naming.apply(&mut left));
            }
            Names::InOrderOfEachFolder => {
                let mut folders: Vec<_> = self.pending.iter().map(|naming| naming.path.parent()).collect();
                folders.sort();
                folders.dedup();
                for folder in folders {
                    let of_folder = self.pending.iter().filter(|naming| naming.path.parent() == folder);
                    let count = keep(of_folder.clone().count());
                    of_folder.take(count).for_each(|naming| naming.apply(&mut left));
                }
            }
        }
        let cut: Vec<usize> =
            self.inodes.iter().map(|inode| inode.synced + keep(inode.bytes.len() - inode.synced)).collect();
        // a file system may have written the length and not yet the bytes
        let zeroed: Vec<bool> = self.inodes.iter().map(|_| keep(3) == 1).collect();
        let content = |inode: usize| {
            let Inode { bytes, synced } = &self.inodes[inode];
            let mut content = bytes[..cut[inode]].to_vec();
            if zeroed[inode] {
                content[*synced..].fill(0);
            }
            content
        };
        left.into_iter().map(|(path, inode)| (path, content(inode))).collect()
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self.inode {
            Some(inode) => names.insert(self.path.clone(), inode),
            None => names.remove(&self.path),
        };
    }
}

/// Every file below a folder with its bytes.
fn files_below(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

/// A home with one upload landed and files in its inbox, and the steps done since.
struct Record {
    home: tempfile::TempDir,
    start: Model,
    done: Arc<Mutex<Vec<Done>>>,
}

impl Record {
    fn new(files: usize) -> Record {
        let home = folder();
        fs::create_dir(home.path().join("inbox")).unwrap();
        Landing::open(&home.path().join("landing")).unwrap().land(vec![bytes("first", "first")]).unwrap();
        for i in 0..files {
            fs::write(home.path().join("inbox").join(i.to_string()), i.to_string()).unwrap();
        }
        let mut start = Model { acknowledged: 1, ..Model::default() };
        let mut before = BTreeMap::new();
        files_below(home.path(), &mut before);
        for (path, bytes) in before {
            start.inodes.push(Inode { synced: bytes.len(), bytes });
            start.names.insert(path, start.inodes.len() - 1);
        }
        start.durable = start.names.clone();
        Record { home, start, done: Arc::default() }
    }

    /// Opens the zone; the process dies before the first step for which `dies` is true.
    fn open(&self, dies: impl Fn(&Step<'_>) -> bool + Send + Sync + 'static) -> Landing {
        let (done, dead) = (Arc::clone(&self.done), AtomicBool::new(false));
        let probe: Probe = Arc::new(move |step: &Step<'_>| {
            if dead.load(Ordering::Relaxed) || dies(step) {
                dead.store(true, Ordering::Relaxed);
                return Err(std::io::ErrorKind::Other.into());
            }
            done.lock().unwrap().push(Done::from(step));
            Ok(())
        });
        Landing::open_on(&self.home.path().join("landing"), |disk| disk.probe = Some(probe)).unwrap()
    }

    /// Lands files of the inbox, and notes what is acknowledged.
    fn land(&self, landing: &mut Landing, files: std::ops::Range<usize>) {
        let incoming = |i: usize| {
            let name = i.to_string();
            Incoming { source: Source::Inbox(self.home.path().join("inbox").join(&name)), ..bytes(&name, "") }
        };
        if landing.land(files.map(incoming).collect()).is_ok() {
            self.acknowledge(landing);
        }
    }

    fn acknowledge(&self, landing: &Landing) {
        self.done.lock().unwrap().push(Done::Acknowledge(landing.head().0));
    }

    /// A power loss after each step, left over in several ways.
    fn check_every_power_loss(&self, names: Names) {
        let mut random = fastrand::Rng::with_seed(1);
        let mut model = self.start.clone();
        for step in &*self.done.lock().unwrap() {
            model.apply(step);
            check(&model, names, self.home.path(), &mut |_| 0);
            check(&model, names, self.home.path(), &mut |of| of);
            for _ in 0..4 {
                check(&model, names, self.home.path(), &mut |of| random.usize(..=of));
            }
        }
    }
}

#[track_caller]
fn check(model: &Model, names: Names, home: &Path, keep: &mut dyn FnMut(usize) -> usize) {
    let disk = folder();
    for (path, bytes) in model.after_power_loss(names, keep) {
        let path = disk.path().join(path.strip_prefix(home).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let zone = disk.path().join("landing");
    let mut landing = Landing::open(&zone).unwrap();
    let entries = landing.head().0;
    assert!(entries >= model.acknowledged, "{entries} of {} acknowledged", model.acknowledged);
    for (upload, content) in landing.uploads().iter().zip(contents(&landing)) {
        assert_eq!(*upload.name, *String::from_utf8(content).unwrap(), "half an upload is there");
    }
    let inbox = disk.path().join("inbox");
    let left = if inbox.is_dir() { names_in(&inbox) } else { Vec::new() };
    let again =
        left.iter().map(|name| Incoming { source: Source::Inbox(inbox.join(name)), ..bytes(name, "") });
    landing.land(again.collect()).unwrap();
    let mut landed = contents(&landing);
    landed.sort();
    let mut all: Vec<_> = model.inodes.iter().map(|inode| inode.bytes.clone()).collect();
    all.retain(|bytes| bytes.len() < 6 && !bytes.is_empty() && bytes != b"first");
    all.push(b"first".to_vec());
    all.sort();
    all.dedup();
    assert_eq!(landed, all, "an upload is neither in the inbox nor landed");
    if names == Names::InOrder {
        assert_eq!(findings(&zone, None), [""; 0]);
    }
}

#[test]
fn power_loss_at_any_step_takes_nothing_that_was_acknowledged() {
    let record = Record::new(8);
    let mut landing = record.open(|_| false);
    record.land(&mut landing, 0..2);
    let retry = RetryBody { upload: 2, feed: "default".to_owned(), time_zone: None, meter: None };
    landing.append(vec![(at(1), Body::Retry(retry))]).unwrap();
    record.acknowledge(&landing);
    record.land(&mut landing, 2..8);
    assert!(record.done.lock().unwrap().len() > 60);
    record.check_every_power_loss(Names::InOrder);
    record.check_every_power_loss(Names::InOrderOfEachFolder);
}

#[test]
fn an_entry_that_a_crash_left_named_but_not_synced_is_synced_before_it_is_acknowledged() {
    let record = Record::new(2);
    let is_journal = |step: &Step<'_>| matches!(step, Step::SyncFolder(path) if path.ends_with("journal"));
    let links = AtomicBool::new(false);
    let mut landing = record.open(move |step| {
        links.fetch_or(matches!(step, Step::Link(..)), Ordering::Relaxed);
        links.load(Ordering::Relaxed) && is_journal(step)
    });
    record.land(&mut landing, 0..2);
    drop(landing);
    let mut landing = record.open(|_| false);
    assert_eq!(landing.uploads().len(), 3);
    record.land(&mut landing, 0..2);
    assert!(matches!(record.done.lock().unwrap().last(), Some(Done::Acknowledge(3))));
    record.check_every_power_loss(Names::InOrder);
    record.check_every_power_loss(Names::InOrderOfEachFolder);
}
