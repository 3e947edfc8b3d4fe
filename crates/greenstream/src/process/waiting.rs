//! Files of the inbox that could not land, and when they are tried again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::outage::pauses;

/// So many files one after the other that cannot land, and the rest is not tried: it is not the files.
pub(super) const FAILURES_MAX: usize = 3;

/// Files that wait in the inbox, in the order in which they came.
pub(super) struct Waiting {
    files: Vec<PathBuf>,
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    again: Instant,
}

impl Waiting {
    pub(super) fn new() -> Waiting {
        Waiting { files: Vec::new(), pauses: Box::new(pauses()), again: Instant::now() }
    }

    /// Adds files; the inbox offers one again while it is there.
    pub(super) fn add(&mut self, files: Vec<PathBuf>) {
        for file in files {
            if !self.files.contains(&file) {
                self.files.push(file);
            }
        }
    }

    /// The files to try now; none while a pause lasts.
    pub(super) fn take(&mut self) -> Vec<PathBuf> {
        if self.is_due() { std::mem::take(&mut self.files) } else { Vec::new() }
    }

    /// Keeps what could not land for after a pause, which grows until everything has landed.
    pub(super) fn keep(&mut self, files: Vec<PathBuf>) {
        if files.is_empty() {
            *self = Waiting { files: std::mem::take(&mut self.files), ..Waiting::new() };
            return;
        }
        self.files.splice(0..0, files);
        self.pause();
    }

    /// Begins a pause, longer than the last.
    pub(super) fn pause(&mut self) {
        self.again = Instant::now() + self.pauses.next().unwrap_or_default();
    }

    /// Whether no pause lasts.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.again
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// The bytes of files together, as far as they say it.
pub(super) fn bytes_of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> u64 {
    files.into_iter().map(|path| size(path)).sum()
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_land_is_tried_again_first_and_only_after_a_pause() {
        let path = |name: &str| PathBuf::from(name);
        let mut waiting = Waiting::new();
        waiting.add(vec![path("a"), path("b")]);
        assert_eq!(waiting.take(), [path("a"), path("b")]);
        waiting.keep(vec![path("b")]);
        waiting.add(vec![path("c"), path("b")]);
        assert!(waiting.take().is_empty(), "no pause");
        waiting.again = Instant::now();
        assert_eq!(waiting.take(), [path("b"), path("c")]);
        waiting.keep(Vec::new());
        waiting.add(vec![path("d")]);
        assert_eq!(waiting.take(), [path("d")], "all has landed, and a new file waits for a pause");
    }
}
