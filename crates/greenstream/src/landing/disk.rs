//! The few operations by which the landing zone changes the disk, each a step that tests can fail.

use super::error::{Doing, Error};
use super::source::{Stamp, remove_if_same};
use crate::failpoint::{self, Step as Point};
use crate::fence::Fence;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// One step, as tests see it before it is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step<'a> {
    Create(&'a Path),
    Write(&'a Path, &'a [u8]),
    SyncFile(&'a Path),
    SyncFolder(&'a Path),
    SyncAll,
    Link(&'a Path, &'a Path),
    Remove(&'a Path),
}

#[cfg(test)]
pub(super) type Probe = std::sync::Arc<dyn Fn(&Step<'_>) -> io::Result<()> + Send + Sync>;

/// The disk under one landing zone.
pub(super) struct Disk {
    root: PathBuf,
    /// Open since before the first write: `syncfs` tells of every write error since then.
    handle: Option<File>,
    /// Looked at before a name is given or taken away: what has no name yet disturbs nobody.
    pub(super) fence: Fence,
    #[cfg(test)]
    pub(super) probe: Option<Probe>,
}

/// A new file on its way to the disk.
pub(super) struct Draft {
    file: File,
    path: PathBuf,
}

impl Disk {
    pub(super) fn open(root: &Path) -> Result<Disk, Error> {
        let handle = File::open(root).doing("open", root)?;
        Ok(Disk {
            root: root.to_owned(),
            handle: Some(handle),
            fence: Fence::NONE,
            #[cfg(test)]
            probe: None,
        })
    }

    /// No disk: the landing zone is in a bucket, and only sources are taken away here.
    pub(super) fn none() -> Disk {
        Disk {
            root: PathBuf::new(),
            handle: None,
            fence: Fence::NONE,
            #[cfg(test)]
            probe: None,
        }
    }

    /// Where tests let a step fail; nothing otherwise.
    fn step(&self, step: &Step<'_>) -> io::Result<()> {
        #[cfg(test)]
        if let Some(probe) = &self.probe {
            return probe(step);
        }
        let _ = step;
        Ok(())
    }

    /// Begins a file that nobody may write again (mode 0444). What a failed attempt left under
    /// this name is unlinked first and never truncated: it may be a second name of a landed object.
    pub(super) fn create(&self, path: &Path) -> Result<Draft, Error> {
        self.fence.check()?;
        let open = || OpenOptions::new().write(true).create_new(true).mode(0o444).open(path);
        let file = self.step(&Step::Create(path)).and_then(|()| match open() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(path)?;
                open()
            }
            other => other,
        });
        Ok(Draft { file: file.doing("create", path)?, path: path.to_owned() })
    }

    pub(super) fn write(&self, draft: &mut Draft, bytes: &[u8]) -> Result<(), Error> {
        self.step(&Step::Write(&draft.path, bytes))
            .and_then(|()| draft.file.write_all(bytes))
            .doing("write", &draft.path)
    }

    pub(super) fn sync(&self, draft: &Draft) -> Result<(), Error> {
        self.step(&Step::SyncFile(&draft.path))
            .and_then(|()| draft.file.sync_all())
            .doing("sync", &draft.path)
    }

    /// Makes the names in a folder durable.
    pub(super) fn sync_folder(&self, path: &Path) -> Result<(), Error> {
        self.step(&Step::SyncFolder(path)).and_then(|()| File::open(path)?.sync_all()).doing("sync", path)
    }

    /// Makes everything written to this file system so far durable, contents and names.
    ///
    /// For a group of files this is one wait in place of two for each file. Linux (from 5.8 on)
    /// waits for all of it and reports every write error since `handle` was opened, so it promises
    /// what `fsync` of each file and folder would. After an error no page can be trusted to be written
    /// by a second sync, so the caller removes the group's files and writes them anew. The error may be
    /// that of a file which is none of ours; then the group is written twice, which harms nothing.
    pub(super) fn sync_all(&self) -> Result<(), Error> {
        self.step(&Step::SyncAll)
            .and_then(|()| match &self.handle {
                Some(handle) => Ok(rustix::fs::syncfs(handle)?),
                None => Err(io::ErrorKind::Unsupported.into()),
            })
            .doing("sync the file system of", &self.root)
    }

    /// Gives a file a second name; never replaces one.
    pub(super) fn link(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.fence.check()?;
        self.step(&Step::Link(from, to)).and_then(|()| fs::hard_link(from, to)).doing("create", to)
    }

    /// Removes a source that has landed, unless it is no longer the file that was read.
    pub(super) fn remove_source(&self, path: &Path, stamp: &Stamp) -> Result<(), Error> {
        let remove = || self.step(&Step::Remove(path)).and_then(|()| remove_if_same(path, stamp));
        failpoint::around_io(Point::SourceRemoval, remove).doing("remove", path)
    }

    /// Takes a name away; a name that is not there is no error.
    pub(super) fn remove(&self, path: &Path) -> Result<(), Error> {
        self.fence.check()?;
        match self.step(&Step::Remove(path)).and_then(|()| fs::remove_file(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.doing("remove", path),
        }
    }
}

/// Creates a folder with all above it, each name durable before this returns.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_folder(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    File::open(parent)?.sync_all()
}
