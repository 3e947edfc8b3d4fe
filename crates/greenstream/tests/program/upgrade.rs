//! Homes of earlier releases (`testdata/homes/`, one for each schema of the database) under this one, homes of
//! later releases, and a backup of `landing/` alone.
//!
//! `GREENSTREAM_BLESS=1` writes the hashes of what a stored landing zone gives anew; a change of them is a
//! change of results (G12) and has to be meant.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::{Home, files_below};
use greenstream::landing::Hash;
use rusqlite::Connection;

/// Everything that is a function of the landing zone.
const DATASETS: [&str; 7] =
    ["readings", "measured", "error-queue", "superseded", "uploads", "episodes", "quality"];
/// The schemas that homes were made with; the last is this release's.
const SCHEMAS: [u32; 5] = [1, 2, 3, 4, 5];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/homes")
}

/// A home as the release with this schema left it.
fn stored(schema: u32) -> Home {
    let home = Home::new();
    let packed = fs::read(fixtures().join(format!("v{schema}.tar.zst"))).unwrap();
    let unpacked = home.file("home.tar", zstd::decode_all(packed.as_slice()).unwrap());
    let status = std::process::Command::new("tar")
        .args(["-x", "--strip-components=1", "-f", &unpacked, "-C"])
        .arg(home.path())
        .status();
    assert!(status.unwrap().success());
    home
}

fn exports(home: &Home) -> Vec<(&'static str, String)> {
    DATASETS.into_iter().map(|dataset| (dataset, home.text(dataset))).collect()
}

fn version_of(home: &Home) -> i32 {
    let database = Connection::open(home.path().join("greenstream.db")).unwrap();
    database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[test]
fn a_home_of_every_earlier_release_opens_migrates_and_has_the_same_state() {
    for schema in SCHEMAS {
        let home = stored(schema);
        assert_eq!(version_of(&home), i32::try_from(schema).unwrap());
        if schema < 5 {
            // reading commands change nothing, and say what does
            home.run(&["status"]).exits(74).says("E-SCHEMA").says("open it for writing once");
        }
        home.ingest("new.csv", "M1,2026-03-02T00:15:00Z,3.5,kW\nN,2026-03-02T00:15:00Z,1,kW\n");
        assert_eq!(version_of(&home), 5, "schema {schema}");
        home.is_whole();
        let before = exports(&home);
        home.ok(&["rebuild"]);
        home.is_whole();
        for ((dataset, before), (_, after)) in before.iter().zip(exports(&home)) {
            assert!(*before == after, "schema {schema}: {dataset} is another after a rebuild");
        }
    }
}

#[test]
fn landing_alone_restores_everything() {
    for schema in SCHEMAS {
        let home = stored(schema);
        home.ingest("new.csv", "M1,2026-03-02T00:15:00Z,3.5,kW\n");
        let backup = Home::new();
        for (path, bytes) in files_below(&home.path().join("landing")) {
            let path = backup.path().join(path.strip_prefix(home.path()).unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        backup.ok(&["verify"]).says("no findings");
        backup.run(&["rebuild", "--check"]).exits(69).says("E-HOME-EMPTY");
        // profiles and registry come back from the journal
        backup.ok(&["rebuild"]).says("feeds/berlin.toml").says("meters.csv");
        backup.ok(&["rebuild", "--check"]);
        for ((dataset, original), (_, restored)) in exports(&home).iter().zip(exports(&backup)) {
            assert!(*original == restored, "schema {schema}: {dataset} is another when restored");
        }
        backup.ok(&["verify"]).says("no findings");
    }
}

#[test]
fn a_stored_landing_zone_gives_what_it_always_gave() {
    let mut hashes = String::new();
    for schema in SCHEMAS {
        let home = stored(schema);
        home.ok(&["rebuild"]);
        for (dataset, text) in exports(&home) {
            writeln!(hashes, "v{schema} {dataset} {}", Hash::of(text.as_bytes())).unwrap();
        }
    }
    let golden = fixtures().join("exports.sha256");
    if std::env::var_os("GREENSTREAM_BLESS").is_some() {
        fs::write(&golden, &hashes).unwrap();
    }
    assert_eq!(hashes, fs::read_to_string(golden).unwrap());
}

/// Every file of a home but its lock and what SQLite keeps beside a database that is being read.
fn everything(home: &Home) -> Vec<(PathBuf, Vec<u8>)> {
    let passes = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name == "lock" || name.ends_with("-wal") || name.ends_with("-shm")
    };
    files_below(&home.path()).into_iter().filter(|(path, _)| !passes(path)).collect()
}

/// Every command refuses a home of a later release by its code and the way out, and changes nothing.
#[track_caller]
fn check_refused(what: &str, later: impl FnOnce(&Home), code: &str, way_out: &str, writing: &[&[&str]]) {
    let home = Home::new();
    // one that waits in the error queue, so that there is something to decide
    home.ingest("a.csv", "M1,2026-03-02T00:15:00Z,30,kW\n");
    later(&home);
    let before = everything(&home);
    for command in writing {
        let done = home.run(command);
        assert!(done.code >= 69, "{what}: {command:?} {done:?}");
        assert!(done.err.contains(code) && done.err.contains(way_out), "{what}: {command:?} {}", done.err);
        let names =
            |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
        let after = everything(&home);
        assert_eq!(names(&after), names(&before), "{what}: {command:?}");
        assert!(after == before, "{what}: {command:?} has changed the home");
    }
}

#[test]
fn a_home_of_a_later_release_is_refused_and_not_changed() {
    let file = Home::new();
    let csv =
        file.file("b.csv", "meter_id,timestamp,energy_value,energy_unit\nM1,2026-03-02T00:30:00Z,1,kW\n");
    let writing: [&[&str]; 5] = [
        &["ingest", &csv],
        &["rebuild"],
        &["rebuild", "--check"],
        &["errors", "release", "1:1", "--reason", "x"],
        &["run", "--listen", "127.0.0.1:0"],
    ];
    let database = |home: &Home| {
        let database = Connection::open(home.path().join("greenstream.db")).unwrap();
        database.pragma_update(None, "user_version", 6).unwrap();
        // as closed: no log beside it
        database.close().unwrap();
    };
    check_refused("database", database, "E-SCHEMA", "release", &writing);
    check_refused("database, read", database, "E-SCHEMA", "release", &[&["status"], &["verify"]]);
    for (from, to) in
        [("\"kind\":\"upload\"", "\"kind\":\"vote\""), ("\"bytes\":", "\"colour\":1,\"bytes\":")]
    {
        let journal = |home: &Home| edit_newest_segment(home, from, to);
        check_refused("journal", journal, "E-SCHEMA", "release", &writing);
    }
    let configuration = |home: &Home| {
        // a configuration that is the newest entry, so that the chain holds
        home.configure("meters.csv", "meter_id,power_kw_max\nM9,5\n");
        home.ingest("again.csv", "M1,2026-03-02T00:15:00Z,30,kW\n");
        edit_newest_segment(home, "\"tzdb\":", "\"later\":1,\"tzdb\":");
    };
    check_refused("configuration", configuration, "E-CONFIG-JOURNAL", "release", &writing);
}

fn edit_newest_segment(home: &Home, from: &str, to: &str) {
    let segments = files_below(&home.path().join("landing/journal")).len() as u64;
    edit_segment(home, segments, from, to);
}

/// Changes one segment of one entry each, as a later release might have written it.
fn edit_segment(home: &Home, number: u64, from: &str, to: &str) {
    let path = home.path().join(format!("landing/journal/{number:012}.jsonl"));
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
}
