//! Every file operation of a command fails once: the Nth one, counted up until none is left to fail.
//!
//! Each time a copy of a small home is taken, a command runs over it with the fault, and then again without. In
//! between, what had landed is still there and readers see nothing half done; after it, the home is what it
//! would have been without the fault.
//!
//! A quick run takes a sample, the same distance apart; `GREENSTREAM_IO_FAULTS=all` takes every operation, `more` those of
//! one scenario, and `more/eio/17` is one fault again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

mod common;
mod faults;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Done, HEADER, Home, files_below};
use faults::Fault;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// Faults of one kind in one scenario that a quick run makes.
const SAMPLE: u64 = 4;

/// Something that is done to a home, with what the home is before and what it must be in the end.
struct Scenario {
    name: &'static str,
    before: PathBuf,
    args: Vec<String>,
    /// Exit codes of the same command after the fault: a decision may have been taken by then.
    heals_with: &'static [i32],
    after: State,
}

/// What readers see of a home: every dataset that is a function of the landing zone, as lines.
type State = BTreeMap<&'static str, Vec<String>>;

/// The files of two deliveries, and how the home was before each of the things that are done to it.
struct World {
    folder: TempDir,
    scenarios: Vec<Scenario>,
}

fn rows(meter: &str, day: u32, values: &[&str]) -> String {
    let row = |(at, value): (usize, &&str)| {
        format!("{meter},2026-03-{day:02}T{:02}:{:02}:00Z,{value},kW\n", at / 4, at % 4 * 15)
    };
    HEADER.to_owned() + &values.iter().enumerate().map(row).collect::<String>()
}

/// Uploads of some days: late, superseded and quarantined rows, the same bytes twice, dead letters. The first
/// few are synced one by one, the others with the whole file system.
fn deliveries() -> [Vec<(&'static str, String)>; 2] {
    let good: Vec<String> = (0..24).map(|at| format!("{}.{}", at % 5, at % 7)).collect();
    let good: Vec<&str> = good.iter().map(String::as_str).collect();
    let first = vec![
        ("a1.csv", rows("A", 3, &good)),
        ("a2.csv", rows("B", 3, &["1", "11", "-1", "much", "1"])),
        ("a3.csv", "no header at all\n".to_owned()),
    ];
    let second = vec![
        ("b1.csv", rows("A", 4, &good)),
        ("b2.csv", rows("A", 2, &good)),
        ("b3.csv", rows("A", 3, &["4", "3", "2", "99"])),
        ("b4.csv", rows("A", 3, &good)),
        ("b5.csv", rows("C", 3, &["1", "", "1", "oops"])),
        ("b6.csv", "nothing: to; read\n".to_owned()),
    ];
    [first, second]
}

impl World {
    fn new() -> World {
        let folder = TempDir::new().unwrap();
        let ingest = deliveries().map(|files| {
            let mut args = vec!["ingest".to_owned()];
            for (name, text) in files {
                let path = folder.path().join(name);
                fs::write(&path, text).unwrap();
                args.push(path.to_str().unwrap().to_owned());
            }
            args
        });
        let [begin, more] = ingest;
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let home = Home::new();
        let mut world = World { folder, scenarios: Vec::new() };
        world.add(&home, "begin", begin, 65, &[65]);
        world.add(&home, "more", more, 65, &[65]);
        world.add(&home, "decide", words(&["errors", "release", "2:2", "2:3"]), 0, &[0, 2]);
        world.add(&home, "rebuild", words(&["rebuild"]), 0, &[0]);
        home.is_whole();
        world
    }

    /// Keeps the home as it is, does something to it, and keeps what readers see then.
    fn add(&mut self, home: &Home, name: &'static str, args: Vec<String>, code: i32, heals: &'static [i32]) {
        let before = self.folder.path().join(name);
        copy(&home.path(), &before);
        home.run(&words(&args)).exits(code);
        self.scenarios.push(Scenario { name, before, args, heals_with: heals, after: state(&home.path()) });
    }
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Reads with SQLite alone, as a dashboard would. None where there is no database yet: also where its maker
/// died, and SQLite would have to roll back what it began.
fn open(home: &Path) -> Option<Connection> {
    let path = home.join("greenstream.db");
    if !fs::metadata(&path).is_ok_and(|found| found.len() > 0) {
        return None;
    }
    let database = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let tables = |database: &Connection| {
        database.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0))
    };
    match tables(&database) {
        Ok(_) => Some(database),
        Err(rusqlite::Error::SqliteFailure(error, _))
            if error.extended_code == rusqlite::ffi::SQLITE_READONLY_ROLLBACK =>
        {
            // tried on a copy, as the program must heal it by itself
            let elsewhere = tempfile::tempdir().unwrap();
            for name in ["greenstream.db", "greenstream.db-journal"] {
                fs::copy(home.join(name), elsewhere.path().join(name)).unwrap();
            }
            let rolled_back = Connection::open(elsewhere.path().join("greenstream.db")).unwrap();
            assert_eq!(tables(&rolled_back), Ok(0), "a database that was in use needs no rolling back");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn lines(database: &Connection, query: &str) -> Vec<String> {
    let mut statement = database.prepare(query).unwrap();
    let columns = statement.column_count();
    let line = |row: &rusqlite::Row<'_>| {
        let cells =
            (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at).map(|cell| format!("{cell:?}")));
        Ok(cells.collect::<Result<Vec<_>, _>>()?.join(" "))
    };
    statement.query_map([], line).unwrap().map(Result::unwrap).collect()
}

fn state(home: &Path) -> State {
    let database = open(home).unwrap();
    [
        ("readings", "SELECT * FROM readings ORDER BY meter_id, ts"),
        ("error_queue", "SELECT * FROM error_queue ORDER BY upload, row_number"),
        ("superseded", "SELECT * FROM superseded ORDER BY upload, row_number"),
        ("episodes", "SELECT * FROM episodes ORDER BY meter_id, first_ts, kind"),
        (
            "uploads",
            "SELECT upload, name, sha256, bytes, status, rows, stored, quarantined, superseded FROM uploads",
        ),
    ]
    .map(|(name, query)| (name, lines(&database, query)))
    .into()
}

/// The lines that one of two states has and the other has not.
fn differences(found: &State, wanted: &State) -> String {
    let mut text = String::new();
    for (name, wanted) in wanted {
        let found = &found[name];
        let only = |these: &[String], those: &[String], sign: char| -> String {
            let lines = these.iter().filter(|line| !those.contains(line));
            lines.map(|line| format!("\n{sign} {name} {line}")).collect()
        };
        text += &(only(found, wanted, '+') + &only(wanted, found, '-'));
    }
    text
}

/// What SQL readers see right after a fault: of every upload all rows or none.
fn see_no_part_of_an_upload(home: &Path) {
    let Some(database) = open(home) else { return };
    if lines(&database, "SELECT 1 FROM sqlite_master WHERE name = 'uploads'").is_empty() {
        return;
    }
    let torn = lines(
        &database,
        "SELECT u.upload, u.status, u.rows, stored, (SELECT count(*) FROM readings r WHERE r.upload = u.upload),
                superseded, (SELECT count(*) FROM superseded s WHERE s.upload = u.upload)
         FROM uploads u
         WHERE u.rows <> CASE status WHEN 'done' THEN stored + quarantined + superseded ELSE 0 END
            OR stored <> (SELECT count(*) FROM readings r WHERE r.upload = u.upload)
            OR superseded <> (SELECT count(*) FROM superseded s WHERE s.upload = u.upload)",
    );
    assert!(torn.is_empty(), "SQL readers see parts of uploads: {torn:?}");
}

/// What readers of the archive see right after a fault: every file that the log names is there, whole.
fn see_only_whole_files(home: &Path) {
    for table in ["readings", "error_queue"] {
        let folder = home.join("archive").join(table);
        let Ok(log) = fs::read_dir(folder.join("_delta_log")) else { continue };
        let mut entries: Vec<PathBuf> = log.map(|entry| entry.unwrap().path()).collect();
        entries.retain(|path| path.extension().is_some_and(|found| found == "json"));
        entries.sort();
        let mut live = BTreeMap::new();
        for entry in entries {
            for line in fs::read_to_string(&entry).unwrap().lines() {
                let action: serde_json::Value = serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("{} is torn: {error}", entry.display()));
                if let Some(add) = action.get("add") {
                    live.insert(add["path"].as_str().unwrap().to_owned(), add["size"].as_u64().unwrap());
                } else if let Some(remove) = action.get("remove") {
                    live.remove(remove["path"].as_str().unwrap());
                }
            }
        }
        for (path, size) in live {
            let path = folder.join(path.replace("%3D", "="));
            let found = fs::metadata(&path).map(|found| found.len()).ok();
            assert_eq!(found, Some(size), "{} is in the log", path.display());
        }
    }
}

/// A command that failed says what is wrong, where, and the way out; what did not fail has done its work.
fn speaks_clearly(done: &Done, fault: Fault, usual: &[i32]) {
    let Done { code, err, .. } = done;
    assert!(!err.contains("panicked") && !err.contains("E-INTERNAL"), "{err}");
    match code {
        // what was to be told could not be
        _ if usual.contains(code) => {}
        -1 => assert!(matches!(fault, Fault::Crash | Fault::Torn), "ended by a signal:\n{err}"),
        69 | 74 | 78 => {
            let told = |line: &&str| line.starts_with("error[E-") || line.starts_with("   at: ");
            let message: String = err.lines().filter(told).collect();
            assert!(message.contains('/') || message.contains("database"), "names no file: {err}");
            assert!(err.contains(" help: "), "has no way out: {err}");
        }
        other => panic!("exit code {other}:\n{err}"),
    }
}

/// One fault; false if the run ended before it.
fn fail(world: &World, scenario: &Scenario, fault: Fault, at: u64) -> bool {
    let home = Home::new();
    copy(&scenario.before, &home.path());
    let log = world.folder.path().join(format!("{}-{fault:?}-{at}.log", scenario.name));
    let landed = below(&home.path().join("landing"));
    let mut command = home.command(&words(&scenario.args));
    faults::put_before(&mut command, &home.path(), fault);
    command.env("IO_FAULT_AT", at.to_string()).env("IO_FAULT_LOG", &log);
    let done = common::finish(&mut command);
    let fired = fs::read_to_string(&log).unwrap_or_default();
    if fired.is_empty() {
        return false;
    }
    let what = format!(
        "GREENSTREAM_IO_FAULTS={}/{}/{at}: {}exit {}\n{}",
        scenario.name,
        fault.name(),
        fired.replace(&*home.path().to_string_lossy(), "HOME"),
        done.code,
        done.err
    );
    let judged = std::panic::catch_unwind(|| {
        speaks_clearly(&done, fault, scenario.heals_with);
        let still = below(&home.path().join("landing"));
        for (path, bytes) in &landed {
            assert_eq!(still.get(path), Some(bytes), "landed and is not as it was: {}", path.display());
        }
        see_no_part_of_an_upload(&home.path());
        see_only_whole_files(&home.path());
        let healed = home.run(&words(&scenario.args));
        assert!(scenario.heals_with.contains(&healed.code), "healing: {}\n{}", healed.code, healed.err);
        assert_eq!(differences(&state(&home.path()), &scenario.after), "");
        home.is_whole();
        let left = ["landing/tmp", "inbox"].map(|folder| below(&home.path().join(folder)).len());
        assert_eq!(left, [0, 0], "left behind in landing/tmp and inbox");
        see_only_whole_files(&home.path());
    });
    if let Err(panic) = judged {
        println!("\nFAILED {what}");
        std::panic::resume_unwind(panic);
    }
    true
}

/// All files below a folder, which a fault may have left unmade.
fn below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    if folder.is_dir() { files_below(folder) } else { BTreeMap::new() }
}

/// How many operations of each kind a run has.
fn counts(world: &World, scenario: &Scenario) -> BTreeMap<String, u64> {
    let home = Home::new();
    copy(&scenario.before, &home.path());
    let counts = world.folder.path().join(format!("{}.counts", scenario.name));
    let mut command = home.command(&words(&scenario.args));
    faults::put_before(&mut command, &home.path(), Fault::None);
    command.env("IO_FAULT_COUNTS", &counts);
    let done = common::finish(&mut command);
    assert!(scenario.heals_with.contains(&done.code), "{}", done.err);
    let text = fs::read_to_string(counts).unwrap();
    text.lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, count)| (name.to_owned(), count.parse().unwrap()))
        .collect()
}

/// The shim must see what it is to fail, of each kind and in each scenario where there is any.
#[test]
fn the_shim_sees_every_kind_of_operation() {
    let world = World::new();
    let mut all = BTreeMap::<String, u64>::new();
    for scenario in &world.scenarios {
        let counts = counts(&world, scenario);
        println!("{}: {counts:?}", scenario.name);
        counts.into_iter().for_each(|(name, count)| *all.entry(name).or_default() += count);
    }
    for kind in [
        "open",
        "create",
        "read",
        "pread",
        "write",
        "pwrite",
        "truncate",
        "fsync",
        "fdatasync",
        "syncfs",
        "rename",
        "link",
        "unlink",
        "mkdir",
        "rmdir",
    ] {
        assert!(all[kind] > 0, "no {kind} was seen: {all:?}");
    }
}

/// Fails operations of one kind of fault, counted up until none is left; how many, and which did not heal.
fn sweep(world: &World, scenario: &Scenario, fault: Fault, asked: &str) -> (u64, Vec<String>) {
    let here = format!("{}/{}/", scenario.name, fault.name());
    let (from, stride) = if let Some(at) = asked.strip_prefix(&here) {
        (at.parse().unwrap(), u64::MAX)
    } else if asked.contains('/')
        || world.scenarios.iter().any(|one| one.name == asked) && asked != scenario.name
    {
        return (0, Vec::new());
    } else if asked == "all" || asked == scenario.name {
        (1, 1)
    } else {
        let hit =
            counts(world, scenario).iter().filter(|(name, _)| fault.hits(name)).map(|(_, n)| n).sum::<u64>();
        let stride = hit.div_ceil(SAMPLE).max(1);
        (1 + fastrand::u64(..stride), stride)
    };
    let (mut made, mut failed, mut at) = (0, Vec::new(), from);
    loop {
        let outcome = std::panic::catch_unwind(|| fail(world, scenario, fault, at));
        match outcome {
            Ok(false) => break,
            Ok(true) => {}
            Err(_) => failed.push(format!("{here}{at}")),
        }
        made += 1;
        let Some(next) = at.checked_add(stride) else { break };
        at = next;
    }
    println!("{here}: {made} faults, from {from} by {stride}, until none was left");
    (made, failed)
}

/// Which faults to make, where not a sample.
#[expect(clippy::disallowed_methods, reason = "a test's size is chosen by its caller")]
fn asked() -> String {
    std::env::var("GREENSTREAM_IO_FAULTS").unwrap_or_default()
}

#[test]
fn whichever_operation_fails_the_next_run_makes_it_good() {
    let world = World::new();
    let asked = asked();
    let kinds = [Fault::Eio, Fault::Enospc, Fault::Short, Fault::Crash, Fault::Torn];
    let swept: Vec<_> = std::thread::scope(|scope| {
        // the kinds beside one another: each mostly waits for the disk
        let run = |fault| {
            let (world, asked) = (&world, &asked);
            scope.spawn(move || {
                world.scenarios.iter().map(|one| sweep(world, one, fault, asked)).collect::<Vec<_>>()
            })
        };
        kinds.map(run).into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let made: u64 = swept.iter().map(|(made, _)| made).sum();
    let failed: Vec<_> = swept.into_iter().flat_map(|(_, failed)| failed).collect();
    println!("{made} faults, {} of them not healed", failed.len());
    assert!(failed.is_empty() && made > 0, "run again with GREENSTREAM_IO_FAULTS= one of {failed:?}");
}
