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
    /// Somebody rang: nothing about files.
    Rung,
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

/// When a file that its writer holds open is worth a warning. It is not taken even then: what the writer
/// still adds would be lost.
const STUCK_AFTER: Duration = Duration::from_secs(600);

/// What a listing means for one file.
enum Sight {
    Whole,
    Wait,
    Stuck,
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
            Heard::Rung => {}
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
        let stuck = "unchanged for ten minutes and still open for writing";
        for (name, seen) in listing {
            match (unfit_name(&name), seen) {
                (Some(why), _) | (None, Seen::Other(why)) => unfit.push((name, why)),
                (None, Seen::Regular(stamp)) => {
                    match self.see_file(now, &name, stamp) {
                        Sight::Whole => whole.push((stamp.modified(), name.clone())),
                        Sight::Stuck => unfit.push((name.clone(), stuck)),
                        Sight::Wait => {}
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

    fn see_file(&mut self, now: Instant, name: &OsStr, stamp: Stamp) -> Sight {
        if !self.files.contains_key(name) {
            self.files.insert(name.to_owned(), File::default());
        }
        let Some(file) = self.files.get_mut(name) else { return Sight::Wait };
        let since = match file.seen {
            Some((before, since)) if before == stamp => since,
            _ => {
                file.seen = Some((stamp, now));
                now
            }
        };
        let unchanged = now.duration_since(since);
        let again = file.offered.is_none_or(|at| now.duration_since(at) >= self.pace.scan_every);
        match file.writer {
            Writer::Busy if unchanged >= STUCK_AFTER => Sight::Stuck,
            Writer::Unknown | Writer::Created if unchanged >= self.pace.settled_after && again => {
                Sight::Whole
            }
            _ => Sight::Wait,
        }
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

    #[cfg(test)]
    pub(super) fn hurry(&mut self, pace: Pace) {
        self.pace = pace;
    }

    #[cfg(test)]
    pub(super) fn is_busy(&self, name: &OsStr) -> bool {
        self.files.get(name).is_some_and(|file| file.writer == Writer::Busy)
    }

    /// How long until the next listing: a short while if some file may have settled by then, or some name
    /// that is never read is to be warned of.
    pub(super) fn scan_after(&self) -> Duration {
        let waits = |file: &File| file.writer != Writer::Busy && !file.queued && file.offered.is_none();
        let is_soon = self.files.values().any(waits) || self.unfit.len() > self.warned.len();
        if is_soon { self.pace.settled_after } else { self.pace.scan_every }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { settled_after: Duration::from_secs(2), scan_every: Duration::from_secs(60) };

    /// A settling inbox with a time of its own.
    struct Scene {
        settling: Settling,
        start: Instant,
        now: Instant,
    }

    impl Scene {
        fn new() -> Scene {
            let now = Instant::now();
            Scene { settling: Settling::new(PACE), start: now, now }
        }

        fn at(&mut self, millis: u64) -> &mut Scene {
            self.now = self.start + Duration::from_millis(millis);
            self
        }

        fn hear(&mut self, heard: Heard) -> &mut Scene {
            self.settling.hear(heard);
            self
        }

        /// Lists files as (name, bytes, time of the last change).
        fn see(&mut self, files: &[(&str, u64, i64)]) -> &mut Scene {
            let seen = |&(name, bytes, at): &(&str, u64, i64)| {
                (OsString::from(name), Seen::Regular(Stamp::made_up(bytes, at)))
            };
            let warnings = self.settling.see(self.now, files.iter().map(seen).collect());
            assert_eq!(warnings, []);
            self
        }

        #[track_caller]
        fn takes(&mut self, expected: &[&str]) -> &mut Scene {
            assert_eq!(self.settling.take(self.now, 100), expected);
            self
        }
    }

    fn name(name: &str) -> OsString {
        name.into()
    }

    #[test]
    fn a_file_that_was_only_seen_is_whole_after_two_seconds_without_change() {
        let a = [("a", 5, 1)];
        Scene::new().see(&a).takes(&[]).at(1999).see(&a).takes(&[]).at(2000).see(&a).takes(&["a"]);
    }

    #[test]
    fn a_change_of_size_or_time_starts_the_two_seconds_anew() {
        for changed in [("a", 6, 1), ("a", 5, 2)] {
            let mut scene = Scene::new();
            scene.see(&[("a", 5, 1)]).at(1500).see(&[changed]).at(3499).see(&[changed]).takes(&[]);
            scene.at(3500).see(&[changed]).takes(&["a"]);
        }
    }

    #[test]
    fn a_closed_or_renamed_file_is_taken_at_once_in_the_order_of_closing() {
        let mut scene = Scene::new();
        scene.hear(Heard::Whole(name("b"))).hear(Heard::Whole(name("a"))).hear(Heard::Whole(name("b")));
        scene.takes(&["b", "a"]).takes(&[]);
    }

    #[test]
    fn a_file_is_not_taken_while_its_writer_has_it_open_however_long_that_is() {
        let mut scene = Scene::new();
        scene.hear(Heard::Created(name("a"))).hear(Heard::Opened(name("a")));
        for millis in [0, 2000, 60_000, 599_000] {
            scene.at(millis).see(&[("a", 0, 1)]).takes(&[]);
        }
        scene.hear(Heard::Written(name("a"))).hear(Heard::Whole(name("a"))).takes(&["a"]);
    }

    #[test]
    fn a_file_that_stays_open_for_ten_minutes_is_warned_of_and_still_not_taken() {
        let mut scene = Scene::new();
        scene.hear(Heard::Created(name("a"))).hear(Heard::Opened(name("a"))).see(&[("a", 0, 1)]);
        let mut warned = Vec::new();
        for millis in [599_999, 600_000, 602_000, 660_000] {
            let seen = vec![(name("a"), Seen::Regular(Stamp::made_up(0, 1)))];
            let now = scene.at(millis).now;
            warned.extend(scene.settling.see(now, seen).into_iter().map(|_| millis));
            scene.takes(&[]);
        }
        assert_eq!(warned, [602_000]);
    }

    #[test]
    fn a_file_that_is_written_again_before_it_was_taken_waits_for_the_second_closing() {
        let mut scene = Scene::new();
        scene.hear(Heard::Whole(name("a"))).hear(Heard::Written(name("a"))).takes(&[]);
        scene.see(&[("a", 1, 1)]).at(5000).see(&[("a", 1, 1)]).takes(&[]);
        scene.hear(Heard::Whole(name("a"))).takes(&["a"]);
    }

    #[test]
    fn a_file_linked_into_the_folder_is_never_opened_and_settles_by_being_seen() {
        let a = [("a", 5, 1)];
        Scene::new().hear(Heard::Created(name("a"))).see(&a).at(2000).see(&a).takes(&["a"]);
    }

    #[test]
    fn a_file_that_a_reader_opens_is_still_whole() {
        let a = [("a", 5, 1)];
        Scene::new().see(&a).hear(Heard::Opened(name("a"))).at(2000).see(&a).takes(&["a"]);
    }

    #[test]
    fn a_file_that_is_gone_is_not_taken_and_its_name_starts_anew() {
        let a = [("a", 5, 1)];
        Scene::new().hear(Heard::Whole(name("a"))).hear(Heard::Gone(name("a"))).takes(&[]);
        Scene::new().see(&a).at(1000).see(&[]).at(2000).see(&a).takes(&[]).at(4000).see(&a).takes(&["a"]);
    }

    #[test]
    fn after_lost_events_every_file_must_settle_by_being_seen() {
        let a = [("a", 5, 1)];
        let mut scene = Scene::new();
        scene.hear(Heard::Written(name("a"))).see(&a).at(1000).hear(Heard::Lost).see(&a);
        scene.at(2999).see(&a).takes(&[]).at(3000).see(&a).takes(&["a"]);
    }

    #[test]
    fn a_file_that_did_not_land_is_offered_again_after_a_minute() {
        let a = [("a", 5, 1)];
        let mut scene = Scene::new();
        scene.hear(Heard::Whole(name("a"))).takes(&["a"]);
        scene.at(1000).see(&a).at(59_999).see(&a).takes(&[]).at(60_000).see(&a).takes(&["a"]).takes(&[]);
        scene.at(60_500).hear(Heard::Whole(name("a"))).takes(&["a"]);
    }

    #[test]
    fn files_that_were_seen_come_by_time_and_name() {
        let files = [("c", 1, 2), ("b", 1, 2), ("z", 1, 1), ("a", 1, 3)];
        Scene::new().see(&files).at(2000).see(&files).takes(&["z", "b", "c", "a"]);
    }

    #[test]
    fn batches_are_limited_and_the_rest_comes_next() {
        let mut scene = Scene::new();
        for i in 0..5 {
            scene.hear(Heard::Whole(name(&i.to_string())));
        }
        assert_eq!(scene.settling.take(scene.now, 3), ["0", "1", "2"]);
        assert_eq!(scene.settling.take(scene.now, 3), ["3", "4"]);
    }

    #[test]
    fn names_that_are_hidden_or_not_final_are_never_taken_and_warned_of_once_if_they_stay() {
        let mut scene = Scene::new();
        let listing = || {
            let regular = || Seen::Regular(Stamp::made_up(1, 1));
            vec![
                (name(".a"), regular()),
                (name("b.tmp"), regular()),
                (name("c.part"), regular()),
                (name("d"), Seen::Other("a folder")),
            ]
        };
        for heard in [".a", "b.tmp", "c.part"] {
            scene.hear(Heard::Whole(name(heard)));
        }
        assert_eq!(scene.settling.see(scene.now, listing()), []);
        scene.at(2000).takes(&[]);
        let warned = scene.settling.see(scene.now, listing());
        let warned: Vec<_> = warned.iter().map(|(name, why)| (name.to_str().unwrap(), *why)).collect();
        let expected = [
            (".a", "hidden"),
            ("b.tmp", "marked as temporary by `.tmp`"),
            ("c.part", "marked as incomplete by `.part`"),
            ("d", "a folder"),
        ];
        assert_eq!(warned, expected);
        scene.at(90_000);
        assert_eq!(scene.settling.see(scene.now, listing()), []);
    }

    #[test]
    fn what_is_no_file_was_told_of_a_minute_late() {
        let (soon, later) = (PACE.settled_after, PACE.scan_every);
        let mut scene = Scene::new();
        let fifo = || vec![(name("f"), Seen::Other("a FIFO"))];
        assert_eq!(scene.settling.see(scene.now, fifo()), []);
        assert_eq!(scene.settling.scan_after(), soon);
        scene.at(2000);
        assert_eq!(scene.settling.see(scene.now, fifo()).len(), 1);
        assert_eq!(scene.settling.scan_after(), later);
    }

    #[test]
    fn the_next_listing_is_soon_only_while_a_file_may_settle() {
        let (soon, later) = (PACE.settled_after, PACE.scan_every);
        let mut scene = Scene::new();
        assert_eq!(scene.settling.scan_after(), later);
        assert_eq!(scene.see(&[("a", 5, 1)]).settling.scan_after(), soon);
        assert_eq!(scene.hear(Heard::Written(name("a"))).settling.scan_after(), later);
        assert_eq!(scene.hear(Heard::Whole(name("a"))).takes(&["a"]).settling.scan_after(), later);
    }
}
