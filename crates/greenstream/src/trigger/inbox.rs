//! The inbox: a folder into which senders put files, watched for files that are whole.
//!
//! A file is taken when its writer closes it or renames it into the folder, within a second. A listing at
//! the start and every minute finds what no event told of: files from before the start, from remote file
//! systems, from a time when events were lost. Nothing is taken while its writer has it open; a file
//! whose opening was not heard must keep its size and time for two seconds.

use super::settling::{Heard, Pace, Seen, Settling};
use crate::landing::{Error, Stamp, what_is};
use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most files offered at once, so that one group's landing stays short.
const BATCH_MAX: usize = 256;

const PACE: Pace = Pace { settled_after: Duration::from_secs(2), scan_every: Duration::from_secs(60) };

/// A watched inbox.
pub struct Inbox {
    folder: PathBuf,
    settling: Settling,
    pace: Pace,
    heard: Receiver<Heard>,
    tell: Sender<Heard>,
    /// None while the system gives no events; then the folder is listed more often.
    watcher: Option<RecommendedWatcher>,
    next_scan: Instant,
    /// Whether somebody has rung since the last call.
    rung: bool,
}

/// Ends a wait for files early: something else has come that its waiter should look at.
/// It hangs in one inbox at a time, and rings for nobody until then.
#[derive(Clone, Default)]
pub struct Bell(Arc<Mutex<Option<Sender<Heard>>>>);

impl Bell {
    /// Rings.
    pub fn ring(&self) {
        if let Some(tell) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // nobody waits any more if this fails
            let _ = tell.send(Heard::Rung);
        }
    }
}

impl Inbox {
    /// Begins to watch a folder. Where the system gives no events, it is listed every two seconds instead,
    /// with a warning. A folder that cannot be listed is told by [`Inbox::next`].
    #[must_use]
    pub fn watch(folder: &Path) -> Inbox {
        Inbox::watch_at(folder, PACE)
    }

    fn watch_at(folder: &Path, pace: Pace) -> Inbox {
        let (tell, heard) = channel();
        let mut inbox = Inbox {
            folder: folder.to_owned(),
            settling: Settling::new(pace),
            pace,
            heard,
            tell,
            watcher: None,
            next_scan: Instant::now(),
            rung: false,
        };
        inbox.listen();
        if inbox.scan(Instant::now()).is_err() {
            // the next call tries again, and says why
            inbox.next_scan = Instant::now();
        }
        inbox
    }

    /// Lets a bell end the waits of [`Inbox::next`] from now on.
    pub fn hang(&self, bell: &Bell) {
        *bell.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.tell.clone());
    }

    /// The next files that are whole, at most 256; none if there are none until the timeout or the bell. A file that is
    /// still there a minute after it was offered is offered again.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be listed; it will be tried again with the next call.
    pub fn next(&mut self, timeout: Duration) -> Result<Vec<PathBuf>, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            while let Ok(heard) = self.heard.try_recv() {
                self.hear(heard);
            }
            let now = Instant::now();
            if now >= self.next_scan {
                self.scan(now)?;
            }
            let files = self.take(now);
            if std::mem::take(&mut self.rung) || !files.is_empty() || now >= deadline {
                return Ok(files);
            }
            let wait = self.next_scan.min(deadline).saturating_duration_since(now);
            match self.heard.recv_timeout(wait) {
                Ok(heard) => self.hear(heard),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    /// The whole files that are still there and still regular.
    fn take(&mut self, now: Instant) -> Vec<PathBuf> {
        let names = self.settling.take(now, BATCH_MAX);
        let mut files: Vec<_> = names.into_iter().map(|name| self.folder.join(name)).collect();
        files.retain(|file| fs::symlink_metadata(file).is_ok_and(|found| found.is_file()));
        files
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Lost => self.next_scan = Instant::now(),
            Heard::Rung => self.rung = true,
            Heard::FolderGone => (self.watcher, self.next_scan) = (None, Instant::now()),
            _ => {}
        }
        self.settling.hear(heard);
    }

    fn scan(&mut self, now: Instant) -> Result<(), Error> {
        // first, so that the next call does not try at once what fails now
        self.next_scan = now + self.pace.settled_after;
        if self.watcher.is_none() {
            self.listen();
        }
        for (name, why) in self.settling.see(now, list(&self.folder)?) {
            tracing::warn!(file = %self.folder.join(name).display(), "not read: it is {why}");
        }
        if self.watcher.is_some() {
            self.next_scan = now + self.settling.scan_after();
        }
        Ok(())
    }

    fn listen(&mut self) {
        let (tell, folder) = (self.tell.clone(), self.folder.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            for heard in heard_in(&folder, event) {
                // the inbox is being dropped if nobody listens
                let _ = tell.send(heard);
            }
        });
        let watching = watcher.and_then(|mut watcher| {
            watcher.watch(&self.folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match watching {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => {
                tracing::warn!(%error, inbox = %self.folder.display(), "no events from the system: listing the inbox every few seconds");
            }
        }
    }
}

fn list(folder: &Path) -> Result<Vec<(std::ffi::OsString, Seen)>, Error> {
    let failed = |source| Error::Io { action: "list", path: folder.to_owned(), source };
    let mut listing = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let seen = match fs::symlink_metadata(entry.path()) {
            Ok(found) => what_is(found.file_type()).map_or(Seen::Regular(Stamp::of(&found)), Seen::Other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        listing.push((entry.file_name(), seen));
    }
    Ok(listing)
}

/// What an event means for the files of the folder.
fn heard_in(folder: &Path, event: notify::Result<notify::Event>) -> Vec<Heard> {
    let event = match event {
        Ok(event) if event.need_rescan() => return vec![Heard::Lost],
        Ok(event) => event,
        Err(_) => return vec![Heard::Lost],
    };
    let mean = match event.kind {
        EventKind::Create(CreateKind::File | CreateKind::Any) => Heard::Created,
        EventKind::Access(AccessKind::Open(_)) => Heard::Opened,
        EventKind::Modify(ModifyKind::Data(_)) => Heard::Written,
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Heard::Whole,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => Heard::Gone,
        _ => return Vec::new(),
    };
    let of_path = |path: &PathBuf| {
        if path == folder {
            let gone = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
            return gone.then_some(Heard::FolderGone);
        }
        path.file_name().map(|name| mean(name.to_owned()))
    };
    event.paths.iter().filter_map(of_path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    /// Long enough for a busy machine; a test that passes never waits so long.
    const LONG: Duration = Duration::from_secs(30);

    /// Nothing settles by being seen: what comes, comes by events.
    const HEARD_ONLY: Pace =
        Pace { settled_after: Duration::from_secs(3600), scan_every: Duration::from_secs(3600) };

    /// Everything settles by being seen.
    const QUICK: Pace =
        Pace { settled_after: Duration::from_millis(1), scan_every: Duration::from_millis(20) };

    fn names(files: &[PathBuf]) -> Vec<&str> {
        files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect()
    }

    /// The next files, each removed as if it had landed, until there are so many.
    fn taken(inbox: &mut Inbox, count: usize) -> Vec<PathBuf> {
        let (mut files, deadline) = (Vec::new(), Instant::now() + LONG);
        while files.len() < count {
            assert!(Instant::now() < deadline, "only {files:?}");
            for file in inbox.next(LONG).unwrap() {
                fs::remove_file(&file).unwrap();
                files.push(file);
            }
        }
        files
    }

    fn hurry(inbox: &mut Inbox) {
        (inbox.pace, inbox.next_scan) = (QUICK, Instant::now());
        inbox.settling.hurry(QUICK);
    }

    #[test]
    fn a_file_written_in_pieces_is_taken_when_it_is_closed_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut inbox = Inbox::watch_at(dir.path(), HEARD_ONLY);
        let mut file = fs::File::create(dir.path().join("slow.csv")).unwrap();
        while !inbox.settling.is_busy("slow.csv".as_ref()) {
            assert!(inbox.next(Duration::from_millis(10)).unwrap().is_empty());
        }
        hurry(&mut inbox);
        for piece in ["one,", "two,", "three"] {
            for _ in 0..5 {
                assert!(inbox.next(Duration::from_millis(10)).unwrap().is_empty());
            }
            file.write_all(piece.as_bytes()).unwrap();
        }
        drop(file);
        let files = inbox.next(LONG).unwrap();
        assert_eq!(names(&files), ["slow.csv"]);
        assert_eq!(fs::read(&files[0]).unwrap(), b"one,two,three");
    }

    #[test]
    fn files_closed_or_renamed_into_the_folder_are_heard_of_in_that_order() {
        let dir = tempfile::tempdir().unwrap();
        let (outside, inside) = (dir.path().join("outside"), dir.path().join("inbox"));
        fs::create_dir_all(&outside).unwrap();
        fs::create_dir_all(&inside).unwrap();
        let mut inbox = Inbox::watch_at(&inside, HEARD_ONLY);
        fs::write(inside.join("z.csv"), "closed").unwrap();
        fs::write(outside.join("a.csv"), "moved").unwrap();
        fs::rename(outside.join("a.csv"), inside.join("a.csv")).unwrap();
        fs::write(inside.join(".b.csv"), "hidden at first").unwrap();
        fs::rename(inside.join(".b.csv"), inside.join("b.csv")).unwrap();
        fs::write(inside.join("c.tmp"), "temporary at first").unwrap();
        fs::rename(inside.join("c.tmp"), inside.join("c.csv")).unwrap();
        assert_eq!(names(&taken(&mut inbox, 4)), ["z.csv", "a.csv", "b.csv", "c.csv"]);
        assert!(inbox.next(Duration::ZERO).unwrap().is_empty());
    }

    #[test]
    fn files_from_before_the_start_come_when_they_have_settled() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv"] {
            fs::write(dir.path().join(name), "x").unwrap();
            let at = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
            fs::File::options().append(true).open(dir.path().join(name)).unwrap().set_modified(at).unwrap();
        }
        let mut inbox = Inbox::watch_at(dir.path(), HEARD_ONLY);
        assert!(inbox.next(Duration::ZERO).unwrap().is_empty());
        hurry(&mut inbox);
        assert_eq!(names(&taken(&mut inbox, 2)), ["a.csv", "b.csv"]);
    }

    #[test]
    fn what_is_no_regular_file_is_never_offered() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("inbox");
        fs::create_dir(&inside).unwrap();
        let mut inbox = Inbox::watch_at(&inside, QUICK);
        fs::write(dir.path().join("secret"), "x").unwrap();
        symlink(dir.path().join("secret"), inside.join("link.csv")).unwrap();
        symlink(dir.path().join("secret"), dir.path().join("moved.csv")).unwrap();
        fs::rename(dir.path().join("moved.csv"), inside.join("moved.csv")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, inside.join("fifo.csv"), 0o600.into()).unwrap();
        fs::create_dir(inside.join("folder.csv")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(inside.join("socket.csv")).unwrap();
        for name in [".hidden.csv", "x.tmp", "x.part"] {
            fs::write(inside.join(name), "x").unwrap();
        }
        for _ in 0..10 {
            assert!(inbox.next(Duration::from_millis(10)).unwrap().is_empty());
        }
        fs::write(inside.join("good.csv"), "x").unwrap();
        assert_eq!(names(&taken(&mut inbox, 1)), ["good.csv"]);
    }

    #[test]
    fn a_bell_ends_the_wait_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut inbox = Inbox::watch_at(dir.path(), HEARD_ONLY);
        let bell = Bell::default();
        bell.ring();
        inbox.hang(&bell);
        bell.ring();
        let began = Instant::now();
        assert!(inbox.next(LONG).unwrap().is_empty());
        assert!(began.elapsed() < LONG);
        let began = Instant::now();
        assert!(inbox.next(Duration::from_millis(50)).unwrap().is_empty());
        assert!(began.elapsed() >= Duration::from_millis(50));
    }

    #[test]
    fn a_file_that_did_not_land_is_offered_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.csv"), "x").unwrap();
        let mut inbox = Inbox::watch_at(dir.path(), QUICK);
        for _ in 0..3 {
            assert_eq!(names(&inbox.next(LONG).unwrap()), ["a.csv"]);
        }
    }

    #[test]
    fn a_burst_comes_in_batches() {
        let dir = tempfile::tempdir().unwrap();
        let mut inbox = Inbox::watch_at(dir.path(), HEARD_ONLY);
        for i in 0..600 {
            fs::write(dir.path().join(format!("{i:03}")), "x").unwrap();
        }
        let mut files = Vec::new();
        while files.len() < 600 {
            let batch = inbox.next(LONG).unwrap();
            assert!(!batch.is_empty() && batch.len() <= BATCH_MAX, "{} after {}", batch.len(), files.len());
            files.extend(batch);
        }
        assert!(files.is_sorted());
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_and_watched_again_once_it_is_back() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("inbox");
        assert!(Inbox::watch(&inside).next(Duration::ZERO).is_err());
        fs::create_dir(&inside).unwrap();
        let mut inbox = Inbox::watch_at(&inside, QUICK);
        fs::remove_dir(&inside).unwrap();
        let deadline = Instant::now() + LONG;
        while inbox.next(Duration::from_millis(5)).is_ok() {
            assert!(Instant::now() < deadline);
        }
        fs::create_dir(&inside).unwrap();
        while inbox.watcher.is_none() || inbox.next(Duration::from_millis(5)).is_err() {
            assert!(Instant::now() < deadline);
            let _ = inbox.next(Duration::from_millis(5));
        }
        fs::write(inside.join("a.csv"), "x").unwrap();
        assert_eq!(names(&taken(&mut inbox, 1)), ["a.csv"]);
    }
}
