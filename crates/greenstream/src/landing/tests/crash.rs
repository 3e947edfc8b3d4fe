//! Crashes and errors at every step of landing: all of a group lands, or nothing of it.

use super::super::disk::{Probe, Step};
use super::*;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Fails the steps from the `nth` on, as many as `times`.
struct Fault {
    steps: AtomicUsize,
    nth: usize,
    times: usize,
    kind: io::ErrorKind,
    fired: AtomicBool,
}

impl Fault {
    fn new(nth: usize, times: usize, kind: io::ErrorKind) -> Arc<Fault> {
        Arc::new(Fault { steps: AtomicUsize::new(0), nth, times, kind, fired: AtomicBool::new(false) })
    }

    fn probe(self: &Arc<Fault>) -> Option<Probe> {
        let fault = Arc::clone(self);
        Some(Arc::new(move |_: &Step<'_>| {
            let step = fault.steps.fetch_add(1, Ordering::Relaxed);
            if step >= fault.nth && step - fault.nth < fault.times {
                fault.fired.store(true, Ordering::Relaxed);
                return Err(fault.kind.into());
            }
            Ok(())
        }))
    }

    fn fired(&self) -> bool {
        self.fired.load(Ordering::Relaxed)
    }
}

/// A landing zone with one upload, and an inbox with more files than it has: two of them the same, one of
/// them larger than a block, one known already.
struct World {
    zone: tempfile::TempDir,
    inbox: tempfile::TempDir,
    files: Vec<(String, Vec<u8>)>,
}

impl World {
    fn new(small: usize) -> World {
        let mut files = vec![
            ("known".to_owned(), b"known".to_vec()),
            ("large".to_owned(), vec![7; super::super::source::BLOCK + 9]),
            ("twin".to_owned(), b"small 0".to_vec()),
        ];
        files.extend((0..small).map(|i| (format!("small {i}"), format!("small {i}").into_bytes())));
        let world = World { zone: folder(), inbox: folder(), files };
        for (name, content) in &world.files {
            fs::write(world.inbox.path().join(name), content).unwrap();
        }
        world.open().land(vec![bytes("known", "known")]).unwrap();
        world
    }

    fn open(&self) -> Landing {
        Landing::open(self.zone.path()).unwrap()
    }

    fn group(&self) -> Vec<Incoming> {
        let names = names_in(self.inbox.path());
        let incoming = |name: String| Incoming {
            source: Source::Inbox(self.inbox.path().join(&name)),
            ..bytes(&name, "")
        };
        names.into_iter().map(incoming).collect()
    }

    /// Whole or nothing, and nothing left over.
    fn check(&self, landing: &Landing) {
        let all = self.files.len() - 1;
        let count = landing.uploads().len();
        assert!(count == 1 || count == all, "{count} of {all}");
        let landed = contents(landing);
        for (name, content) in &self.files {
            assert!(landed.contains(content) || self.inbox.path().join(name).exists(), "{name} is lost");
        }
        assert_eq!(findings(self.zone.path(), None), [""; 0]);
        assert_eq!(names_in(&self.zone.path().join("tmp")), [""; 0]);
    }

    /// Lands what is left; then everything is there once.
    fn finish(&self, landing: &mut Landing) {
        landing.land(self.group()).unwrap();
        assert_eq!(names_in(self.inbox.path()), [""; 0]);
        assert_eq!(landing.uploads().len(), self.files.len() - 1);
        self.check(landing);
        assert_eq!(self.open().head(), landing.head());
    }
}

/// Repeats a scenario with a fault one step later each time, until it no longer fires.
fn at_every_step(mut scenario: impl FnMut(usize) -> bool) {
    let mut nth = 0;
    while scenario(nth) {
        nth += 1;
    }
    assert!(nth > 10, "only {nth} steps were failed");
}

#[test]
fn after_a_crash_at_any_step_all_of_a_group_is_there_or_nothing() {
    for small in [1, 5] {
        at_every_step(|nth| {
            let world = World::new(small);
            let crash = Fault::new(nth, usize::MAX, io::ErrorKind::Other);
            let mut landing = world.open();
            landing.disk.probe = crash.probe();
            let landed = landing.land(world.group());
            assert!(landed.is_ok() || crash.fired());
            drop(landing);
            let mut landing = world.open();
            world.check(&landing);
            world.finish(&mut landing);
            crash.fired()
        });
    }
}

#[test]
fn after_a_second_crash_while_recovering_it_is_the_same() {
    at_every_step(|nth| {
        let mut again = 0;
        loop {
            let world = World::new(2);
            let crash = Fault::new(nth, usize::MAX, io::ErrorKind::Other);
            let mut landing = world.open();
            landing.disk.probe = crash.probe();
            let _ = landing.land(world.group());
            drop(landing);
            let second = Fault::new(again, usize::MAX, io::ErrorKind::Other);
            drop(Landing::open_on(world.zone.path(), |disk| disk.probe = second.probe()));
            let mut landing = world.open();
            world.check(&landing);
            world.finish(&mut landing);
            if !second.fired() {
                return crash.fired();
            }
            again += 1;
        }
    });
}

#[test]
fn after_an_error_at_any_step_the_same_process_lands_the_group_again() {
    for (small, times) in [(1, 1), (5, 1), (1, usize::MAX), (5, usize::MAX)] {
        at_every_step(|nth| {
            let world = World::new(small);
            let full = Fault::new(nth, times, io::ErrorKind::StorageFull);
            let mut landing = world.open();
            landing.disk.probe = full.probe();
            match landing.land(world.group()) {
                Ok(_) => {}
                Err(error) => {
                    assert!(
                        full.fired()
                            && error.is_full()
                            && error.is_transient()
                            && error.hint().contains("space")
                    );
                    assert!(times > 1 || landing.land(Vec::new()).is_ok());
                }
            }
            landing.disk.probe = None;
            world.finish(&mut landing);
            landing.land(vec![bytes("next", "next")]).unwrap();
            assert_eq!(findings(world.zone.path(), None), [""; 0]);
            full.fired()
        });
    }
}

#[test]
fn decisions_are_written_all_or_none_whatever_step_fails() {
    let body = || {
        let retry = RetryBody { upload: 1, feed: "b".to_owned(), time_zone: None, meter: None };
        (at(1), Body::Retry(retry))
    };
    let mut nth = 0;
    loop {
        let zone = folder();
        let mut landing = Landing::open(zone.path()).unwrap();
        landing.land(vec![bytes("a", "1")]).unwrap();
        let fault = Fault::new(nth, 1, io::ErrorKind::Other);
        landing.disk.probe = fault.probe();
        let appended = landing.append(vec![body(), body()]);
        landing.disk.probe = None;
        // an error may come after the entries were named, so they may stand there, but never half
        let count = landing.append(vec![body()]).unwrap()[0].entry;
        assert!(if appended.is_ok() { count == 4 } else { count == 2 || count == 4 }, "{count}");
        assert_eq!(Landing::open(zone.path()).unwrap().head(), landing.head());
        assert_eq!(findings(zone.path(), None), [""; 0]);
        if !fault.fired() {
            break;
        }
        nth += 1;
    }
    assert!(nth >= 5, "{nth}");
}

#[test]
fn leftovers_of_any_kind_are_cleared_away_at_the_start() {
    let zone = folder();
    Landing::open(zone.path()).unwrap().land(vec![bytes("a", "1")]).unwrap();
    let tmp = zone.path().join("tmp");
    let objects = Objects::new(Files::of(zone.path().into()));
    // a second name of a landed object, which must survive
    fs::hard_link(objects.path_of(&Hash::of(b"1")), tmp.join(Hash::of(b"1").to_string())).unwrap();
    // an object without an entry
    fs::write(tmp.join(Hash::of(b"2").to_string()), "2").unwrap();
    fs::hard_link(tmp.join(Hash::of(b"2").to_string()), objects.path_of(&Hash::of(b"2"))).unwrap();
    fs::write(tmp.join("large"), "half a fi").unwrap();
    fs::write(tmp.join("000000000002.jsonl"), "{\"entry\":2,\"pr").unwrap();
    let landing = Landing::open(zone.path()).unwrap();
    assert_eq!(contents(&landing), [b"1"]);
    assert!(!objects.path_of(&Hash::of(b"2")).exists());
    assert_eq!(names_in(&tmp), [""; 0]);
    assert_eq!(findings(zone.path(), None), [""; 0]);
}
