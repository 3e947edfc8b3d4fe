//! Crashes, failures and delays at every step of the real process, and a process that was stopped while
//! another took over: afterwards the state is that of a run in which nothing happened (G4).
//!
//! The points are those of [`Step::all`], before and after each; which story passes which is found by
//! running it once, and a point that none passes fails the test.

mod common;
#[path = "common/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use greenstream::failpoint::{SIDES, Step};
use greenstream::store::{Store, UploadStatus};

use common::{Done, Home, eventually, finish, finished, signal};
use world::{check, copy, first_files, in_parallel, new_home, number, second_files, state, write_files};

/// How often a process dies at a point before it is healed: more often than an upload may kill it.
const DEATHS: u32 = 7;
/// The same where nothing tells an upload that kills from a world that does.
const DEATHS_OF_AN_UPLOAD: u32 = 4;

/// What a user does, whose steps are failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Story {
    /// The first uploads, into an empty home.
    First,
    /// Late ones, duplicates and redeliveries after them.
    Second,
    /// A decision about a row.
    Decision,
    /// Everything built again.
    Rebuild,
    /// The service takes a file from its inbox.
    Service,
}

const STORIES: [Story; 5] = [Story::First, Story::Second, Story::Decision, Story::Rebuild, Story::Service];

/// A home before a story, and what the story makes of it when nothing happens.
struct Scene {
    story: Story,
    home: Home,
    expected: Vec<String>,
    /// How often each point was passed.
    passed: BTreeMap<String, u32>,
}

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

fn plan(home: &Home) -> PathBuf {
    home.path().with_file_name("plan")
}

/// The command with fail points by this plan.
fn armed(home: &Home, args: &[&str], text: &str) -> Command {
    fs::write(plan(home), text).unwrap();
    let mut command = home.command(args);
    command.env("GREENSTREAM_FAILPOINTS", plan(home));
    command
}

/// How often each point has been passed in processes with this plan.
fn passed(home: &Home) -> BTreeMap<String, u32> {
    let mut passed = BTreeMap::new();
    for point in fs::read_to_string(home.path().with_file_name("plan.hits")).unwrap_or_default().lines() {
        *passed.entry(point.to_owned()).or_default() += 1;
    }
    passed
}

impl Story {
    fn args(self, home: &Home) -> Vec<String> {
        let beside = |name: &str| home.path().with_file_name(name).to_str().unwrap().to_owned();
        match self {
            Story::First => vec!["ingest".to_owned(), beside("first")],
            Story::Second => vec!["ingest".to_owned(), beside("second")],
            Story::Decision => ["errors", "release", "1:13"].map(str::to_owned).to_vec(),
            Story::Rebuild => vec!["rebuild".to_owned()],
            Story::Service => ["run", "--listen", "127.0.0.1:0"].map(str::to_owned).to_vec(),
        }
    }

    /// Goes on after a failure as a user would: the same again, or (a decision, a rebuild) any command,
    /// and the decision again if it was not taken.
    fn go_on(self, home: &Home) {
        match self {
            Story::First | Story::Second => {
                let args = self.args(home);
                let done = home.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
                assert!([0, 65].contains(&done.code), "{done:?}");
            }
            Story::Decision | Story::Rebuild => {
                home.ok(&["ingest", &write_files(home, "none", &[])]);
                if self == Story::Decision
                    && !home.ok(&["errors", "--status", "released"]).out.contains("1:13")
                {
                    home.ok(&["errors", "release", "1:13"]);
                }
            }
            Story::Service => {
                let child = home.command(&["run", "--listen", "127.0.0.1:0"]).spawn().unwrap();
                end_service(home, child, &mut home.command(&["run"]));
            }
        }
    }
}

/// Waits until the service has taken everything, ends it, and gives its output.
fn end_service(home: &Home, mut child: Child, command: &mut Command) -> Done {
    eventually("the inbox is empty and everything in it processed, or the service ended", || {
        (is_through(home) || child.try_wait().unwrap().is_some()).then_some(())
    });
    if child.try_wait().unwrap().is_none() {
        signal(&child, "TERM");
    }
    finished(&mut child, command)
}

fn is_through(home: &Home) -> bool {
    let is_done = || -> Option<bool> {
        let reader = Store::reader(&home.path().join("greenstream.db")).ok()?;
        let status = reader.upload(13).ok()??.status;
        Some(matches!(status, UploadStatus::Done | UploadStatus::Dead))
    };
    fs::read_dir(home.path().join("inbox")).unwrap().next().is_none() && is_done() == Some(true)
}

fn scenes() -> &'static [Scene] {
    static SCENES: OnceLock<Vec<Scene>> = OnceLock::new();
    SCENES.get_or_init(|| {
        let mut home = new_home();
        write_files(&home, "first", &first_files());
        write_files(&home, "second", &second_files());
        let mut scenes = Vec::new();
        for story in STORIES {
            let after = copy(&home);
            if story == Story::Service {
                fill_inbox(&home);
                fill_inbox(&after);
            }
            let args = story.args(&after);
            let mut command = armed(&after, &args.iter().map(String::as_str).collect::<Vec<_>>(), "");
            let done = match story {
                Story::Service => end_service(&after, command.spawn().unwrap(), &mut command),
                _ => finish(&mut command),
            };
            assert!([0, 65].contains(&done.code), "{story:?}: {done:?}");
            let (expected, passed) = (state(&after), passed(&after));
            check(&after, &expected, "undisturbed");
            let before = std::mem::replace(&mut home, after);
            fs::remove_file(plan(&home)).unwrap();
            fs::remove_file(home.path().with_file_name("plan.hits")).unwrap();
            scenes.push(Scene { story, home: before, expected, passed });
        }
        scenes
    })
}

fn fill_inbox(home: &Home) {
    let row = "meter_id,timestamp,energy_value,energy_unit\nA,2026-03-10T00:00:00Z,12,kW\n";
    fs::write(home.path().join("inbox/new.csv"), row).unwrap();
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
            assert_eq!(done.code, -1, "{case}: it was to die\n{}\n{}", done.out, done.err);
            false
        }
        Fault::DiesForEver => {
            let blames = ["attempt_note:after", "decode:before", "decode:after", "judge:before"];
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
        eventually("the point is passed twice", || (passed(&home).get(point) >= Some(&2)).then_some(()));
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
    let scene = &scenes()[Story::Second as usize];
    let mut random = fastrand::Rng::with_seed(number("GREENSTREAM_SEED", 1));
    let mut cases = Vec::new();
    for point in ["log_sync:before", "archive_clean:before", "alert_record:after"] {
        let home = copy(&scene.home);
        let args = scene.story.args(&home);
        let line = format!("{point} abort {} 1", scene.passed[point]);
        let done = finish(&mut armed(&home, &args.iter().map(String::as_str).collect::<Vec<_>>(), &line));
        assert_eq!(done.code, -1, "{done:?}");
        let log = fs::metadata(home.path().join("greenstream.db-wal")).unwrap().len();
        assert!(log > 32, "the log has frames");
        // its header has 32 bytes, a frame 24 and a page of 8 KiB
        let frames = (log - 32) / 8216;
        let home = std::sync::Arc::new(home);
        let cuts = number("GREENSTREAM_CUTS", 8);
        let lengths = (0..cuts)
            .map(|_| random.u64(0..log))
            .chain((0..cuts).map(|_| 32 + 8216 * random.u64(0..=frames)));
        cases.extend(lengths.map(|length| (point, std::sync::Arc::clone(&home), Some(length))));
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
    let scene = &scenes()[Story::Second as usize];
    // within a transaction it would hold the database, and the other would wait
    let without = ["transaction:", "swap_", "source_removal:", "landing_recovery:before", "archive_open:"];
    let points: Vec<_> = scene
        .passed
        .iter()
        .filter(|(point, _)| !without.iter().any(|without| point.starts_with(without)))
        .collect();
    assert!(points.len() > 30, "{}", points.len());
    in_parallel(&points, |(point, times)| {
        let home = copy(&scene.home);
        let args = scene.story.args(&home);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let nth = times.div_ceil(2);
        let mut command = armed(&home, &args, &format!("{point} delay {nth} 1"));
        let mut stopped = command.spawn().unwrap();
        eventually("the point is passed", || {
            (passed(&home).get(*point).is_some_and(|passed| *passed >= nth)).then_some(())
        });
        signal(&stopped, "STOP");
        fs::remove_file(home.path().join("lock")).unwrap();
        scene.story.go_on(&home);
        check(&home, &scene.expected, &format!("{point}: the one that took over"));
        let before = common::files_below(&home.path().join("landing"));
        signal(&stopped, "CONT");
        let done = finished(&mut stopped, &command);
        let case = format!("{point}: the one that woke\n{}\n{}", done.out, done.err);
        assert_eq!(done.code, 69, "{case}");
        assert!(done.err.contains("E-TAKEN-OVER"), "{case}");
        assert!(common::files_below(&home.path().join("landing")) == before, "{case}: it changed landing/");
        check(&home, &scene.expected, &case);
    });
}
