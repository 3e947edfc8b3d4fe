//! `verify` through the program: every damage of a real home is found and named, and an honest home, also in
//! the middle of its life, has none.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::{Home, files_below};
use rusqlite::Connection;

/// Quarter hours of one meter from an hour of 2 March 2026.
fn quarters(meter: &str, hour: usize, values: &[&str]) -> String {
    let mut text = String::new();
    for (at, value) in values.iter().enumerate() {
        let minutes = hour * 60 + at * 15;
        let time = format!("{:02}:{:02}:00", minutes / 60, minutes % 60);
        writeln!(text, "{meter},2026-03-02T{time}Z,{value},kW").unwrap();
    }
    text
}

/// A home with every disposition, decision and kind of upload in it.
fn home() -> Home {
    let home = Home::new();
    home.configure(
        "feeds/meter.toml",
        "name='meter'\nnames=['reg*']\nunit='kWh'\ninterval='15min'\nregisters=true\n\
         [columns]\nmeter='m'\ntimestamp='t'\nvalue='v'\n",
    );
    home.ingest("a.csv", &quarters("M1", 0, &["1", "2", "3", "-4", "50", "", "2", "x"]));
    home.ingest("b.csv", &quarters("M2", 0, &["1", "1", "", "1", "11", "1"]));
    // late, repeated, corrected
    home.ingest("c.csv", &(quarters("M1", 0, &["1", "2.5", "3"]) + &quarters("M3", 2, &["700 W", "1"])));
    let dead = home.file("dead.csv", "nonsense\n");
    home.run(&["ingest", &dead]).exits(65);
    let registers = home.file("reg1.csv", "m,t,v\nR,2026-03-02T00:00:00Z,10\nR,2026-03-02T00:15:00Z,10.5\n");
    home.ok(&["ingest", &registers]);
    let registers = home.file("reg2.csv", "m,t,v\nR,2026-03-02T00:30:00Z,11\nR,2026-03-02T00:45:00Z,11.5\n");
    home.ok(&["ingest", &registers]);
    home.ok(&["errors", "release", "2:5", "--reason", "seen"]);
    home.ok(&["errors", "edit", "1:4", "--kw", "4", "--reason", "sign"]);
    home.ok(&["errors", "discard", "1:8", "--reason", "noise"]);
    home.ingest("d.csv", &quarters("M4", 0, &["20", "1", "1"]));
    home
}

fn copy(from: &Home) -> Home {
    let to = Home::new();
    for (path, bytes) in files_below(&from.path()) {
        let path = to.path().join(path.strip_prefix(from.path()).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    to
}

/// The names of what is found.
#[track_caller]
fn found(home: &Home, exit: i32) -> BTreeSet<String> {
    let done = home.run(&["verify", "--json"]).exits(exit);
    let findings = done.json()["findings"].as_array().unwrap().clone();
    for finding in &findings {
        for part in ["place", "problem", "way_out"] {
            assert!(!finding[part].as_str().unwrap().is_empty(), "{finding}");
        }
    }
    findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// Damages a copy of the home; exactly these must be found.
#[track_caller]
fn check(home: &Home, what: &str, damage: impl FnOnce(&Path), expected: &[&str]) {
    let home = copy(home);
    damage(&home.path());
    let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    let code = i32::from(!expected.is_empty());
    assert_eq!(found(&home, code), expected, "{what}\n{}", home.run(&["verify"]).out);
}

#[track_caller]
fn sql(home: &Home, statement: &str, expected: &[&str]) {
    let damage = |path: &Path| {
        let database = Connection::open(path.join("greenstream.db")).unwrap();
        let changed = database.execute(statement, []).unwrap();
        assert!(changed > 0, "{statement} changes nothing");
        let _: i64 = database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    };
    check(home, statement, damage, expected);
}

const FIRST: &str = "(hour, meter, at) = (SELECT hour, meter, at FROM t_reading WHERE upload = 2 ORDER BY row_number LIMIT 1)";

#[test]
fn a_changed_removed_or_added_row_of_the_database_is_found_and_named() {
    let home = home();
    home.is_whole();
    for (change, expected) in [
        ("SET kw = kw + 1", &["archive_differs", "row_differs"][..]),
        ("SET flags = flags | 4", &["archive_differs", "row_differs"]),
        // what rules say is not decode's: the archive tells
        ("SET flags = flags | 512", &["archive_differs"]),
        ("SET at = at + 1", &["archive_differs", "row_differs"]),
        ("SET row_number = 99", &["archive_differs", "row_missing", "row_unknown"]),
        ("SET upload = 77", &["archive_differs", "row_missing", "row_unknown", "upload_miscounted"]),
        ("SET upload = 4", &["archive_differs", "row_missing", "upload_miscounted"]),
    ] {
        sql(&home, &format!("UPDATE t_reading {change} WHERE {FIRST}"), expected);
    }
    let gone = format!("DELETE FROM t_reading WHERE {FIRST}");
    sql(&home, &gone, &["archive_differs", "row_missing", "upload_miscounted"]);
    let twice = format!(
        "INSERT INTO t_reading SELECT hour, meter, at + 7, kw, flags, upload, row_number FROM t_reading WHERE {FIRST}"
    );
    sql(&home, &twice, &["archive_differs", "row_twice", "upload_miscounted"]);
    sql(
        &home,
        "UPDATE t_meter SET meter_id = 'M9' WHERE meter_id = 'M2'",
        &["archive_differs", "row_differs"],
    );
}

#[test]
fn a_changed_row_of_the_error_queue_or_a_superseded_one_is_found_and_named() {
    let home = home();
    let open = "WHERE upload = 7 AND row_number = 1";
    for (change, expected) in [
        ("SET kw = kw + 1", &["archive_differs", "row_differs"][..]),
        ("SET raw = 'other'", &["raw_differs"]),
        ("SET status = 3", &["archive_differs"]),
        ("SET status = 1", &["archive_differs", "row_missing", "upload_miscounted"]),
    ] {
        sql(&home, &format!("UPDATE t_error {change} {open}"), expected);
    }
    sql(
        &home,
        &format!("DELETE FROM t_error {open}"),
        &["archive_differs", "row_missing", "upload_miscounted"],
    );
    for (change, expected) in [
        ("SET kw = kw + 1", &["row_differs"][..]),
        ("SET ts = ts + 1", &["row_differs"]),
        ("SET upload = 99", &["row_missing", "row_unknown", "upload_miscounted"]),
    ] {
        let first = "(upload, row_number) = (SELECT upload, row_number FROM t_superseded LIMIT 1)";
        sql(&home, &format!("UPDATE t_superseded {change} WHERE {first}"), expected);
    }
    let all = "DELETE FROM t_superseded WHERE upload = 1";
    sql(&home, all, &["row_missing", "upload_miscounted"]);
}

#[test]
fn a_changed_upload_of_the_database_is_found_and_named() {
    let home = home();
    for (change, expected) in [
        ("SET stored = stored + 1 WHERE upload = 1", &["upload_miscounted", "upload_unbalanced"][..]),
        ("SET rows = rows + 1 WHERE upload = 1", &["upload_unbalanced"]),
        ("SET stored = stored + 1, superseded = superseded - 1 WHERE upload = 1", &["upload_miscounted"]),
        ("SET decoded_bytes = decoded_bytes + 1 WHERE upload = 2", &["bytes_uncovered"]),
        ("SET row_index = x'0000000000000000' WHERE upload = 2", &["index_differs"]),
        ("SET name = 'z.csv' WHERE upload = 2", &["upload_differs"]),
        ("SET bytes = bytes + 1 WHERE upload = 2", &["upload_differs"]),
        ("SET sha256 = upper(sha256) WHERE upload = 2", &["upload_differs"]),
        ("SET feed = 'meter' WHERE upload = 2", &["upload_differs", "verdict_differs"]),
        ("SET landed_at = landed_at + 1 WHERE upload = 2", &["upload_differs"]),
        ("SET status = 0 WHERE upload = 2", &["upload_unbalanced"]),
        ("SET status = 2, dead_code = NULL WHERE upload = 4", &["verdict_differs"]),
        ("SET dead_code = 'not_text' WHERE upload = 4", &["verdict_differs"]),
    ] {
        sql(&home, &format!("UPDATE t_upload {change}"), expected);
    }
    sql(&home, "DELETE FROM t_upload WHERE upload = 4", &["upload_missing"]);
    sql(
        &home,
        "INSERT INTO t_upload (upload, name, sha256, bytes, landed_at, feed) VALUES (99, 'x', 'y', 1, 1, 'default')",
        &["upload_unknown"],
    );
    // its halves in the other order: one of 64 digits may have none of a given one
    let turned = "UPDATE t_state SET entry_hash = substr(entry_hash, 33) || substr(entry_hash, 1, 32)";
    sql(&home, turned, &["journal_damaged"]);
    sql(&home, "UPDATE t_state SET entry = entry + 1", &["journal_missing"]);
}

#[test]
fn a_damaged_database_file_is_found_and_named() {
    let home = home();
    let torn = |path: &Path| {
        let database = path.join("greenstream.db");
        let mut bytes = fs::read(&database).unwrap();
        let end = bytes.len();
        // the middle pages, where the rows are
        bytes[end / 2..end / 2 + 4_096].fill(0xa5);
        fs::write(database, bytes).unwrap();
    };
    let home = copy(&home);
    torn(&home.path());
    let done = home.run(&["verify"]);
    assert!(done.code == 1 && done.out.contains("database_damaged") || done.code == 74, "{done:?}");
}

fn parquet(home: &Path, table: &str) -> PathBuf {
    let mut files = files_below(&home.join("archive").join(table)).into_keys();
    let is_part = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "parquet");
    files.find(|path| is_part(path) && !path.to_string_lossy().contains("_delta_log")).unwrap()
}

fn newest_commit(home: &Path, table: &str) -> PathBuf {
    let mut files = files_below(&home.join("archive").join(table).join("_delta_log")).into_keys();
    files.rfind(|path| path.extension().is_some_and(|ext| ext == "json")).unwrap()
}

#[test]
fn a_changed_archive_is_found_and_named() {
    let home = home();
    for table in ["readings", "error_queue"] {
        check(&home, "deleted", |h| fs::remove_file(parquet(h, table)).unwrap(), &["archive_file_damaged"]);
        let cut = |h: &Path| {
            let bytes = fs::read(parquet(h, table)).unwrap();
            fs::write(parquet(h, table), &bytes[..bytes.len() - 1]).unwrap();
        };
        check(&home, "cut", cut, &["archive_file_damaged"]);
        let flipped = |h: &Path| {
            let mut bytes = fs::read(parquet(h, table)).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(parquet(h, table), bytes).unwrap();
        };
        check(&home, "flipped", flipped, &["archive_file_damaged"]);
        let no_log = |h: &Path| {
            fs::remove_dir_all(newest_commit(h, table).parent().unwrap()).unwrap();
        };
        check(&home, "log gone", no_log, &["archive_unread"]);
        check(
            &home,
            "another table's file",
            |h| {
                let other = if table == "readings" { "error_queue" } else { "readings" };
                fs::copy(parquet(h, other), parquet(h, table)).unwrap();
            },
            &["archive_file_damaged"],
        );
    }
    // the newest commit takes what d.csv brought
    check(
        &home,
        "commit gone",
        |h| {
            let commit = newest_commit(h, "readings");
            // a checkpoint of it would tell the same
            let version = commit.file_stem().unwrap().to_str().unwrap().to_owned();
            for file in fs::read_dir(commit.parent().unwrap()).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                if name.starts_with(&version) || name == "_last_checkpoint" {
                    fs::remove_file(commit.with_file_name(name)).unwrap();
                }
            }
        },
        &["archive_file_damaged"],
    );
}

fn rewrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

fn objects(home: &Path) -> Vec<PathBuf> {
    files_below(&home.join("landing/objects")).into_keys().collect()
}

fn segments(home: &Path) -> Vec<PathBuf> {
    files_below(&home.join("landing/journal")).into_keys().collect()
}

#[test]
fn a_changed_landing_zone_is_found_and_named() {
    let home = home();
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[3] ^= 1;
        rewrite(path, &bytes);
    };
    for place in [0, 3, 6] {
        check(&home, "flipped", |h| flip(&objects(h)[place]), &["object_changed"]);
        check(&home, "cut", |h| rewrite(&objects(h)[place], b"m"), &["object_changed"]);
        check(&home, "gone", |h| fs::remove_file(&objects(h)[place]).unwrap(), &["object_missing"]);
    }
    let swap = |h: &Path| {
        let (a, b) = (fs::read(&objects(h)[0]).unwrap(), fs::read(&objects(h)[1]).unwrap());
        rewrite(&objects(h)[0], &b);
        rewrite(&objects(h)[1], &a);
    };
    check(&home, "swapped", swap, &["object_changed"]);
    check(&home, "added", |h| fs::write(objects(h)[0].with_extension("x"), "x").unwrap(), &["object_stray"]);
    let last = segments(&home.path()).len() - 1;
    // an entry that cannot be read names no object
    check(&home, "flipped", |h| flip(&segments(h)[0]), &["journal_damaged"]);
    for place in [1, last] {
        check(&home, "flipped", |h| flip(&segments(h)[place]), &["journal_damaged", "object_stray"]);
    }
    let newest_gone = |h: &Path| fs::remove_file(&segments(h)[last]).unwrap();
    check(&home, "newest gone", newest_gone, &["journal_missing", "object_stray", "upload_unknown"]);
    check(&home, "added", |h| fs::write(h.join("landing/journal/x"), "x").unwrap(), &["journal_stray"]);
}

#[test]
fn a_home_of_landing_alone_is_verified_as_far_as_it_goes() {
    let home = home();
    let backup = copy(&home);
    fs::remove_file(backup.path().join("greenstream.db")).unwrap();
    fs::remove_dir_all(backup.path().join("archive")).unwrap();
    assert_eq!(found(&backup, 0), BTreeSet::new());
    assert!(!backup.path().join("archive").exists(), "verify has made something");
}

#[test]
fn a_home_under_run_has_no_findings_while_uploads_arrive() {
    let home = home();
    let service = home.serve();
    for upload in 0..12 {
        let rows = quarters(&format!("S{}", upload % 3), upload, &["1", "2", "-3", "1"]);
        let bad = if upload % 4 == 0 { "nonsense" } else { crate::common::HEADER };
        fs::write(home.path().join("inbox").join(format!("{upload}.csv")), format!("{bad}{rows}")).unwrap();
        assert_eq!(found(&home, 0), BTreeSet::new());
    }
    service.terminate();
    home.is_whole();
}

#[test]
fn uploads_read_by_an_older_configuration_have_no_findings() {
    let home = home();
    home.configure(
        "feeds/meter.toml",
        "name='meter'\nnames=['reg*']\nunit='Wh'\ninterval='15min'\nregisters=true\nskip=['R,2026-03-02T00:15']\n\
         [columns]\nmeter='m'\ntimestamp='t'\nvalue='v'\n",
    );
    home.ingest("e.csv", &quarters("M5", 0, &["1", "1"]));
    assert_eq!(found(&home, 0), BTreeSet::new());
    home.ok(&["rebuild"]);
    home.is_whole();
}

#[test]
fn bytes_that_have_not_been_processed_count_as_held() {
    let home = home();
    let before = home.ok(&["verify", "--json"]).json();
    assert_eq!((before["uploads"].as_u64(), before["held"].as_u64()), (Some(7), Some(1)), "{before}");
    assert_eq!(before["held_bytes"], "nonsense\n".len());
    let rows = home.export("uploads").iter().map(|row| row["rows"].parse::<u64>().unwrap()).sum::<u64>();
    assert_eq!(before["rows"], rows);
}
