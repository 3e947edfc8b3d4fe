//! Power loss at every step: what was acknowledged is there, with its bytes; the rest is whole or absent.
//!
//! The steps of a landing are recorded. For each point in time a disk is built as a power loss might leave
//! it: contents that were not synced are gone, cut or whole; names that were not synced are there or not,
//! in the order in which they were given. The landing zone is then opened there.

use super::super::disk::{Probe, Step};
use super::*;
use std::collections::BTreeMap;
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
    /// So many uploads are acknowledged.
    Acknowledge(usize),
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
    acknowledged: usize,
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
            Done::Acknowledge(count) => self.acknowledged = *count,
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
        left.into_iter()
            .map(|(path, inode)| (path, self.inodes[inode].bytes[..cut[inode]].to_vec()))
            .collect()
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

/// Lands one upload, then records the landing of groups from the inbox.
fn record(home: &Path, groups: &[usize]) -> (Model, Vec<Done>) {
    let (zone, inbox) = (home.join("landing"), home.join("inbox"));
    fs::create_dir_all(&inbox).unwrap();
    let mut landing = Landing::open(&zone).unwrap();
    landing.land(vec![bytes("first", "first")]).unwrap();
    for (group, size) in groups.iter().enumerate() {
        for i in 0..*size {
            fs::write(inbox.join(format!("{group}-{i}")), format!("{group}-{i}")).unwrap();
        }
    }
    let mut model = Model { acknowledged: 1, ..Model::default() };
    let mut before = BTreeMap::new();
    files_below(home, &mut before);
    for (path, bytes) in before {
        model.inodes.push(Inode { synced: bytes.len(), bytes });
        model.names.insert(path, model.inodes.len() - 1);
    }
    model.durable = model.names.clone();
    let done = Arc::new(Mutex::new(Vec::new()));
    let recorder = Arc::clone(&done);
    let probe: Probe = Arc::new(move |step: &Step<'_>| {
        recorder.lock().unwrap().push(Done::from(step));
        Ok(())
    });
    landing.disk.probe = Some(probe);
    for (group, size) in groups.iter().enumerate() {
        let incoming = |i: usize| {
            let name = format!("{group}-{i}");
            Incoming { source: Source::Inbox(inbox.join(&name)), ..bytes(&name, "") }
        };
        landing.land((0..*size).map(incoming).collect()).unwrap();
        done.lock().unwrap().push(Done::Acknowledge(landing.uploads().len()));
    }
    let done = done.lock().unwrap().clone();
    (model, done)
}

fn check(model: &Model, names: Names, home: &Path, keep: &mut dyn FnMut(usize) -> usize) {
    let disk = folder();
    for (path, bytes) in model.after_power_loss(names, keep) {
        let path = disk.path().join(path.strip_prefix(home).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let zone = disk.path().join("landing");
    let mut landing = Landing::open(&zone).unwrap();
    let uploads = landing.uploads().len();
    assert!(uploads >= model.acknowledged, "{uploads} of {} acknowledged", model.acknowledged);
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
    let home = folder();
    let (start, steps) = record(home.path(), &[2, 6]);
    assert!(steps.len() > 60, "{}", steps.len());
    let mut random = fastrand::Rng::with_seed(1);
    for names in [Names::InOrder, Names::InOrderOfEachFolder] {
        let mut model = start.clone();
        for step in &steps {
            model.apply(step);
            check(&model, names, home.path(), &mut |_| 0);
            check(&model, names, home.path(), &mut |of| of);
            check(&model, names, home.path(), &mut |of| random.usize(..=of));
            check(&model, names, home.path(), &mut |of| random.usize(..=of));
        }
    }
}
