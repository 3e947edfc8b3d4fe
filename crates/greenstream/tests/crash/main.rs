//! Crashes, failures and delays at every step of the real process, and a process that was stopped while
//! another took over: afterwards the state is that of a run in which nothing happened (G4).
//!
//! The points are those of [`Step::all`], before and after each; which story passes which is found by
//! running it once, and a point that none passes fails the test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod scene;
#[path = "../common/world.rs"]
mod world;

use std::fs;
use std::time::{Duration, Instant};

use greenstream::failpoint::{SIDES, Step};

use common::{Home, eventually, finish, finished, signal};
use scene::{Scene, Story, armed, end_service, is_through, passed, plan, scenes};
use world::{check, copy, in_parallel, number};

/// How often a process dies at a point before it is healed: more often than an upload may kill it.
const DEATHS: u32 = 8;
/// The same where nothing tells an upload that kills from a world that does.
const DEATHS_OF_AN_UPLOAD: u32 = 4;

/// What happens at a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// The process dies there, the first time or at a later passing.
    Dies(u32),
    /// It dies there again and again.
    DiesForEver,
    /// The step fails once.
    Fails,
    /// It fails until it is healed, while the process runs.
    FailsForEver,
    /// It takes longer.
    Delays,
}

/// One case: a copy of the scene, the fault, what a user does then, and the comparison.
fn play(scene: &Scene, point: &str, fault: Fault) {
    let home = copy(&scene.home);
    let case = format!("{:?}, {point}, {fault:?}", scene.story);
    let args = scene.story.args(&home);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let is_service = scene.story == Story::Service;
    let run = |line: String| {
        let mut command = armed(&home, &args, &line);
        let child = command.spawn().unwrap();
        if is_service { end_service(&home, child, &mut command) } else { finished(&mut { child }, &command) }
    };
    let is_fine = match fault {
        Fault::Dies(nth) => {
            let done = run(format!("{point} abort {nth} 1"));
            // commits of several sets are cut as they come, so a later passing may be one too many
            assert!(done.code == -1 || nth > 1, "{case}: it was to die\n{}\n{}", done.out, done.err);
            false
        }
        Fault::DiesForEver => {
            let blames =
                ["attempt_note:after", "decode:before", "decode:after", "judge:before", "judge:after"];
            let deaths = if blames.contains(&point) { DEATHS_OF_AN_UPLOAD } else { DEATHS };
            assert_eq!(run(format!("{point} abort 1 0")).code, -1, "{case}: it was to die");
            // a step that was done is not always passed again
            (1..deaths).for_each(|_| drop(run(format!("{point} abort 1 0"))));
            false
        }
        Fault::Fails => run(format!("{point} error 1 1")).code == 0,
        Fault::FailsForEver => {
            let mut command = armed(&home, &args, &format!("{point} error 1 0"));
            let mut child = command.spawn().unwrap();
            eventually("the point is passed, or the process ends", || {
                (passed(&home).contains_key(point) || child.try_wait().unwrap().is_some()).then_some(())
            });
            let began = Instant::now();
            while child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_millis(300) {
                std::thread::sleep(Duration::from_millis(10));
            }
            fs::remove_file(plan(&home)).unwrap();
            let done = if is_service {
                end_service(&home, child, &mut command)
            } else {
                finished(&mut child, &command)
            };
            done.code == 0
        }
        Fault::Delays => {
            let done = run(format!("{point} delay 1 0"));
            assert!([0, 65].contains(&done.code), "{case}: {done:?}");
            true
        }
    };
    assert!(passed(&home).contains_key(point), "{case}: the point was not passed");
    if !is_fine {
        scene.story.go_on(&home);
    }
    check(&home, &scene.expected, &case);
}

/// Every point by the first story that passes it, and how often that does.
fn points() -> Vec<(&'static Scene, String, u32)> {
    let names = Step::all().flat_map(|step| SIDES.map(|side| format!("{}:{side}", step.name())));
    let found = |point: String| {
        let scene = scenes().iter().find(|scene| scene.passed.contains_key(&point));
        let scene = scene.unwrap_or_else(|| panic!("no story passes {point}"));
        let times = scene.passed[&point];
        (scene, point, times)
    };
    names.map(found).collect()
}

fn play_all(faults: impl Fn(u32) -> Vec<Fault>) {
    let mut cases = Vec::new();
    for (scene, point, times) in points() {
        cases.extend(faults(times).into_iter().map(|fault| (scene, point.clone(), fault)));
    }
    assert!(cases.len() >= 2 * Step::all().count(), "{} cases", cases.len());
    in_parallel(&cases, |(scene, point, fault)| play(scene, point, *fault));
    eprintln!("{} cases", cases.len());
}

#[test]
fn after_a_death_at_any_point_the_state_is_as_if_nothing_had_happened() {
    play_all(|times| {
        let mut faults = vec![Fault::Dies(1)];
        faults.extend((times > 1).then_some(Fault::Dies(times.div_ceil(2).max(2))));
        faults
    });
}

#[test]
fn after_many_deaths_at_any_point_the_state_is_as_if_nothing_had_happened() {
    play_all(|_| vec![Fault::DiesForEver]);
}

#[test]
fn after_a_failure_at_any_point_once_or_until_healed_the_state_is_as_if_nothing_had_happened() {
    play_all(|_| vec![Fault::Fails, Fault::FailsForEver]);
}

/// The decoder of the first upload fails after the other has decoded as far ahead as it may. Once it waited for ever
/// for leave to go on, as the judge did for the upload that failed.
#[test]
fn a_decoder_that_fails_behind_the_others_ends_the_command() {
    let scene = &scenes()[Story::First as usize];
    let home = copy(&scene.home);
    let args = scene.story.args(&home);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    // of two decoders one may take two uploads while the first is not judged: the third to be done is the first
    let done = finish(&mut armed(&home, &args, "decode:before delay 1 1\ndecode:after error 3 1"));
    assert!(done.err.contains("fail point decode:after"), "{done:?}");
    scene.story.go_on(&home);
    check(&home, &scene.expected, "a decoder failed");
}

#[test]
fn a_delay_at_any_point_changes_nothing() {
    play_all(|_| vec![Fault::Delays]);
}

/// Late rows change what is stored; so the same once more where every point meets them.
#[test]
fn after_a_death_at_any_point_of_late_uploads_the_state_is_as_if_nothing_had_happened() {
    let scene = &scenes()[Story::Second as usize];
    let cases: Vec<_> = scene.passed.iter().collect();
    in_parallel(&cases, |(point, times)| play(scene, point, Fault::Dies(times.div_ceil(2))));
}

/// Once the old database was deleted before the new one had its name, and a start after that raised every
/// alert anew.
#[test]
fn a_rebuild_that_dies_between_old_and_new_keeps_deliveries_and_alerts() {
    let scene = &scenes()[Story::Rebuild as usize];
    let history = |home: &Home| ["deliveries", "alerts"].map(|dataset| home.text(dataset));
    let before = history(&scene.home);
    assert!(before.iter().all(|text| text.lines().count() > 2), "{before:?}");
    for step in [Step::SwapOut, Step::SwapDatabase, Step::SwapArchive] {
        for side in SIDES {
            let home = copy(&scene.home);
            let done = finish(&mut armed(&home, &["rebuild"], &format!("{}:{side} abort 1 1", step.name())));
            assert_eq!(done.code, -1, "{done:?}");
            assert_eq!(history(&home), before, "{step:?} {side}, as it died");
            scene.story.go_on(&home);
            assert_eq!(history(&home), before, "{step:?} {side}, after the next start");
        }
    }
}

/// A database that is away until a supervisor kills the process, again and again, is not the upload's fault;
/// once the upload became a dead letter after the fifth death.
#[test]
fn an_upload_is_not_blamed_for_deaths_after_it_was_judged() {
    let scene = &scenes()[Story::Second as usize];
    in_parallel(&["commit:before", "transaction:before", "transaction:after"], |point| {
        play(scene, point, Fault::DiesForEver);
    });
}

/// While the service runs, a step that fails for a while costs no restart where waiting can mend it.
#[test]
fn the_service_waits_out_a_failure_and_goes_on_by_itself() {
    let scene = &scenes()[Story::Service as usize];
    let steps = ["landing_stage", "landing_sync", "journal_publish", "landing_tidy", "commit", "transaction"];
    let points: Vec<_> = steps.iter().flat_map(|step| SIDES.map(|side| format!("{step}:{side}"))).collect();
    in_parallel(&points, |point| {
        let home = copy(&scene.home);
        let mut command = armed(&home, &["run", "--listen", "127.0.0.1:0"], &format!("{point} error 1 0"));
        let child = command.spawn().unwrap();
        eventually("the point is passed twice, or it went on after all", || {
            (passed(&home).get(point) >= Some(&2) || is_through(&home)).then_some(())
        });
        fs::remove_file(plan(&home)).unwrap();
        let done = end_service(&home, child, &mut command);
        assert_eq!(done.code, 0, "{point}: {}\n{}", done.out, done.err);
        check(&home, &scene.expected, point);
    });
}

/// The loss of power takes the end of the database's log, at any byte, or the whole database: the next
/// run takes the rest from the journal.
#[test]
fn after_the_database_lost_its_end_or_all_of_it_the_state_is_as_if_nothing_had_happened() {
    if common::store::server().is_some() {
        // a server keeps its own log
        return;
    }
    let scene = &scenes()[Story::Second as usize];
    let mut random = fastrand::Rng::with_seed(number("GREENSTREAM_SEED", 1));
    let mut cases = Vec::new();
    for point in ["log_sync:before", "archive_clean:before", "alert_record:after"] {
        let home = copy(&scene.home);
        let args = scene.story.args(&home);
        let line = format!("{point} abort 1 1");
        let done = finish(&mut armed(&home, &args.iter().map(String::as_str).collect::<Vec<_>>(), &line));
        assert_eq!(done.code, -1, "{done:?}");
        let log = fs::metadata(home.path().join("greenstream.db-wal")).unwrap().len();
        assert!(log > 32, "the log has frames");
        // its header has 32 bytes, a frame 24 and a page of 8 KiB
        let frames = (log - 32) / 8216;
        let home = std::sync::Arc::new(home);
        let cuts = number("GREENSTREAM_CUTS", 8);
        let mut lengths: Vec<u64> = (0..cuts).map(|_| random.u64(0..log)).collect();
        lengths.extend((0..cuts).map(|_| 32 + 8216 * random.u64(0..=frames)));
        cases.extend(lengths.into_iter().map(|length| (point, std::sync::Arc::clone(&home), Some(length))));
        cases.push((point, home, None));
    }
    in_parallel(&cases, |(point, crashed, length)| {
        let home = copy(crashed);
        let database = home.path().join("greenstream.db");
        let log = home.path().join("greenstream.db-wal");
        // what SQLite keeps in shared memory is gone after a power loss
        fs::remove_file(home.path().join("greenstream.db-shm")).unwrap();
        match length {
            Some(length) => {
                fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(*length).unwrap();
            }
            None => [&database, &log].into_iter().for_each(|file| fs::remove_file(file).unwrap()),
        }
        scene.story.go_on(&home);
        check(&home, &scene.expected, &format!("{point}, log cut at {length:?}"));
    });
}

/// A process stands still at a step, its lock is taken away, another does the work, and it wakes.
#[test]
fn a_stopped_process_that_wakes_after_another_took_over_changes_nothing() {
    if common::store::server().is_some() {
        // as long as it is stopped it has the server's lock: tests/postgres/owners.rs takes that away
        return;
    }
    let scene = &scenes()[Story::Second as usize];
    // within a transaction it would hold the database, and the other would wait
    let without = ["transaction:", "swap_", "source_removal:", "landing_recovery:before", "archive_open:"];
    let points: Vec<_> = scene
        .passed
        .iter()
        .filter(|(point, _)| !without.iter().any(|without| point.starts_with(without)))
        .collect();
    assert!(points.len() > 30, "{}", points.len());
    in_parallel(&points, |(point, _)| {
        let home = copy(&scene.home);
        let args = scene.story.args(&home);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let mut command = armed(&home, &args, &format!("{point} stop 1 1"));
        let mut stopped = command.spawn().unwrap();
        eventually("the process stands still", || {
            // each of its threads
            let mut tasks = fs::read_dir(format!("/proc/{}/task", stopped.id())).unwrap();
            tasks
                .all(|task| {
                    let told = fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
                    told.rsplit(") ").next().unwrap().starts_with('T')
                })
                .then_some(())
        });
        fs::remove_file(home.path().join("lock")).unwrap();
        // another of its threads may stand within a transaction, and then holds the database
        let is_held = home.run(&args).err.contains("database is locked");
        if !is_held {
            check(&home, &scene.expected, &format!("{point}: the one that took over"));
        }
        let before = common::files_below(&home.path().join("landing"));
        signal(&stopped, "CONT");
        let done = finished(&mut stopped, &command);
        let case = format!("{point}: the one that woke\n{}\n{}", done.out, done.err);
        assert_eq!(done.code, 69, "{case}");
        assert!(done.err.contains("E-TAKEN-OVER"), "{case}");
        let after = common::files_below(&home.path().join("landing"));
        let paths = before.keys().chain(after.keys());
        let changed: Vec<_> = paths.filter(|path| before.get(*path) != after.get(*path)).collect();
        assert!(changed.is_empty(), "{case}: it changed {changed:?}");
        if is_held {
            scene.story.go_on(&home);
        }
        check(&home, &scene.expected, &case);
    });
}
