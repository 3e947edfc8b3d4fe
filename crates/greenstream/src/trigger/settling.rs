//! Which files of the inbox are whole: a state machine over what is heard and what is seen.
//!
//! Heard: the system says when a writer opens, writes and closes a file, and when a file is renamed into
//! the folder. Seen: a listing says size and time of each file. What is heard decides at once; what was
//! only seen must stay the same for a while. No file, no clock and no waiting in here.

use super::unfit_name;
use crate::landing::Stamp;
use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// A file that was only seen is whole once it has stayed the same for so long. Shorter takes files
    /// of slow senders in two parts.
    pub(super) settled_after: Duration,
    /// From one listing to the next. It finds what no event told of, and offers again what did not land.
    pub(super) scan_every: Duration,
}

/// What was heard about one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// The name is new: a file begun, or a second name of a file that may be whole.
    Created(OsString),
    /// Somebody has opened it.
    Opened(OsString),
    /// Somebody has written to it.
    Written(OsString),
    /// A writer has closed it, or it was renamed to this name: it is whole.
    Whole(OsString),
    /// The name is gone.
    Gone(OsString),
    /// Events were lost.
    Lost,
    /// The folder itself is gone, and events with it.
    FolderGone,
}

/// What was seen of one file.
pub(super) enum Seen {
    Regular(Stamp),
    /// Not a regular file, but this.
    Other(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Writer {
    #[default]
    Unknown,
    /// The name was created, and nobody was heard to open it: a hard link.
    Created,
    /// Open for writing; only its closing ends this.
    Busy,
}

#[derive(Default)]
struct File {
    writer: Writer,
    seen: Option<(Stamp, Instant)>,
    queued: bool,
    offered: Option<Instant>,
}

pub(super) struct Settling {
    pace: Pace,
    files: HashMap<OsString, File>,
    queue: VecDeque<OsString>,
    /// Names that are never read, and since when they are there.
    unfit: HashMap<OsString, Instant>,
    warned: HashSet<OsString>,
}

impl Settling {
    pub(super) fn new(pace: Pace) -> Settling {
        Settling {
            pace,
            files: HashMap::new(),
            queue: VecDeque::new(),
            unfit: HashMap::new(),
            warned: HashSet::new(),
        }
    }

    pub(super) fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Created(name) => {
                self.with(name, |file| *file = File { writer: Writer::Created, ..File::default() })
            }
            Heard::Opened(name) => self.with(name, |file| {
                if file.writer == Writer::Created {
                    file.writer = Writer::Busy;
                }
            }),
            Heard::Written(name) => self.with(name, |file| {
                (file.writer, file.queued) = (Writer::Busy, false);
            }),
            Heard::Whole(name) => {
                if unfit_name(&name).is_none() {
                    let file = self.files.entry(name.clone()).or_default();
                    (file.writer, file.offered) = (Writer::Unknown, None);
                    self.queue(name);
                }
            }
            Heard::Gone(name) => {
                self.files.remove(&name);
            }
            // any file may have a writer, so what was seen before counts no more
            Heard::Lost | Heard::FolderGone => {
                self.files.retain(|_, file| file.queued);
                self.files.values_mut().for_each(|file| file.writer = Writer::Unknown);
            }
        }
    }

    fn with(&mut self, name: OsString, change: impl FnOnce(&mut File)) {
        if unfit_name(&name).is_none() {
            change(self.files.entry(name).or_default());
        }
    }

    fn queue(&mut self, name: OsString) {
        if let Some(file) = self.files.get_mut(&name).filter(|file| !file.queued) {
            file.queued = true;
            self.queue.push_back(name);
        }
    }

    /// Takes in a listing of the folder; gives the names to warn of, each once, with the reason.
    pub(super) fn see(
        &mut self,
        now: Instant,
        listing: Vec<(OsString, Seen)>,
    ) -> Vec<(OsString, &'static str)> {
        let (mut whole, mut unfit, mut names) = (Vec::new(), Vec::new(), HashSet::new());
        for (name, seen) in listing {
            match (unfit_name(&name), seen) {
                (Some(why), _) | (None, Seen::Other(why)) => unfit.push((name, why)),
                (None, Seen::Regular(stamp)) => {
                    if self.see_file(now, &name, stamp) {
                        whole.push((stamp.modified(), name.clone()));
                    }
                    names.insert(name);
                }
            }
        }
        self.files.retain(|name, _| names.contains(name));
        whole.sort();
        whole.into_iter().for_each(|(_, name)| self.queue(name));
        self.see_unfit(now, unfit)
    }

    fn see_file(&mut self, now: Instant, name: &OsStr, stamp: Stamp) -> bool {
        if !self.files.contains_key(name) {
            self.files.insert(name.to_owned(), File::default());
        }
        let Some(file) = self.files.get_mut(name) else { return false };
        let since = match file.seen {
            Some((before, since)) if before == stamp => since,
            _ => {
                file.seen = Some((stamp, now));
                now
            }
        };
        let settled = now.duration_since(since) >= self.pace.settled_after;
        let again = file.offered.is_none_or(|at| now.duration_since(at) >= self.pace.scan_every);
        file.writer != Writer::Busy && settled && again
    }

    /// Senders write under such names and rename, so a warning waits until the name has stayed.
    fn see_unfit(
        &mut self,
        now: Instant,
        unfit: Vec<(OsString, &'static str)>,
    ) -> Vec<(OsString, &'static str)> {
        let names: HashMap<_, _> = unfit.iter().cloned().collect();
        self.unfit.retain(|name, _| names.contains_key(name));
        self.warned.retain(|name| names.contains_key(name));
        let mut warnings = unfit;
        warnings.retain(|(name, _)| {
            let since = *self.unfit.entry(name.clone()).or_insert(now);
            now.duration_since(since) >= self.pace.settled_after && self.warned.insert(name.clone())
        });
        warnings.sort();
        warnings
    }

    /// The next whole files, at most `limit`: those heard of in the order of their closing, those seen by
    /// time and name.
    pub(super) fn take(&mut self, now: Instant, limit: usize) -> Vec<OsString> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            let Some(name) = self.queue.pop_front() else { break };
            if let Some(file) = self.files.get_mut(&name).filter(|file| file.queued) {
                (file.queued, file.offered) = (false, Some(now));
                taken.push(name);
            }
        }
        taken
    }

    /// How long until the next listing: a short while if some file may have settled by then.
    pub(super) fn scan_after(&self) -> Duration {
        let waits = |file: &File| file.writer != Writer::Busy && !file.queued && file.offered.is_none();
        if self.files.values().any(waits) { self.pace.settled_after } else { self.pace.scan_every }
    }
}
