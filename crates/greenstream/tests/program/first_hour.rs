//! The first hour with the program: every mistake a newcomer makes is answered with its code, its
//! place and the way out.

use std::fs;

use crate::common::{HEADER, Home, files_below};

const ROWS: &str = "M,2026-03-02T00:00:00Z,1,kW\nM,2026-03-02T00:15:00Z,11,kW\n";

/// Fails unless the command ends so, with this code, these words about what and where, and a way out.
#[track_caller]
fn check(home: &Home, args: &[&str], exit: i32, code: &str, words: &[&str]) {
    let done = home.run(args).exits(exit);
    assert!(done.err.starts_with(&format!("error[{code}]: ")), "{args:?}: {}", done.err);
    let help = done.err.lines().find_map(|line| line.trim().strip_prefix("help: "));
    let usage = done.err.contains("For more information, try '--help'");
    assert!(usage || help.is_some_and(|help| help.len() > 10), "{args:?} says no way out: {}", done.err);
    assert!(done.out.is_empty(), "standard output is for data: {}", done.out);
    for word in words {
        assert!(done.err.contains(word), "{word:?} is not in: {}", done.err);
    }
    home.ok(&["explain-code", code]).says("way out");
    if usage {
        return;
    }
    let json = home.run(&[args, &["--json"]].concat()).exits(exit);
    let told: serde_json::Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!((&told["error"]["code"], &told["error"]["exit"]), (&code.into(), &exit.into()), "{told}");
    assert!(told["error"]["help"].as_str().is_some_and(|help| !help.is_empty()), "{told}");
}

#[test]
fn what_is_not_there_is_named_with_the_way_out() {
    let home = Home::new();
    let file = home.file("a.csv", format!("{HEADER}{ROWS}"));
    check(&home, &["ingest", "/nowhere/a.csv"], 74, "E-NOT-FOUND", &["/nowhere/a.csv", "check the path"]);
    check(&home, &["feeds", "test", "/nowhere/a.csv"], 74, "E-NOT-FOUND", &["/nowhere/a.csv"]);
    check(&home, &["ingest", "/dev/null"], 74, "E-NOT-A-FILE", &["/dev/null is a device"]);
    let place = home.path().display().to_string();
    for command in ["status", "errors", "verify", "rebuild"] {
        check(&home, &[command], 69, "E-HOME-EMPTY", &[&place, "greenstream ingest"]);
    }
    assert!(files_below(&home.path()).is_empty(), "a wrong home is left as it is");
    check(&home, &["--home", "/nowhere/home", "status"], 69, "E-HOME-MISSING", &["/nowhere/home", "--home"]);
    for command in ["status", "run", "init"] {
        check(&home, &["--home", &file, command], 74, "E-NOT-A-FILE", &[&file, "--home DIR"]);
    }
    let below = format!("{file}/home");
    check(&home, &["--home", &below, "ingest", &file], 74, "E-NOT-A-FILE", &[&below]);
    let absent = ["--config", "/nowhere/greenstream.toml", "check-config"];
    check(&home, &absent, 78, "E-CONFIG-FILE", &["/nowhere/greenstream.toml"]);
    home.ok(&["ingest", &file]);
    check(&home, &["export", "readings", "-o", "/nowhere/x.csv"], 74, "E-NOT-FOUND", &["/nowhere/x.csv"]);
    check(&home, &["explain", "M", "2026-03-03"], 1, "E-NO-READING", &["2026-03-03T00:00:00Z"]);
    let unclear =
        home.file("unclear.csv", "Meter;Time;kWh\nA;02.03.2026 00:00;1,5\nA;02.03.2026 00:15;1,25\n");
    home.run(&["feeds", "detect", &unclear, "--write", "new"])
        .exits(1)
        .says("E-UNSETTLED")
        .says("not settled");
    check(&home, &["errors", "release", "1:1"], 2, "E-ROW-UNKNOWN", &["row 1 of upload 1"]);
    check(&home, &["dead-letters", "retry", "1"], 2, "E-NOT-DEAD", &["upload 1"]);
}

#[test]
fn what_is_out_of_reach_is_named_with_the_way_out() {
    let home = Home::new();
    home.configure("greenstream.toml", "[serve]\nlisten = \"127.0.0.1:1\"\n");
    check(&home, &["health"], 69, "E-UNHEALTHY", &["http://127.0.0.1:1/readyz", "does not answer"]);
    home.configure("greenstream.toml", "[alerts]\nwebhook = \"http://127.0.0.1:1/\"\n");
    home.ok(&["check-config"]);
    let reach = ["check-config", "--level", "reachability"];
    check(&home, &reach, 78, "E-UNREACHABLE", &["webhook", "does not answer"]);
}

#[test]
fn what_the_command_line_cannot_mean_is_named_with_the_way_out() {
    let home = Home::new();
    let file = home.file("a.csv", format!("{HEADER}{ROWS}"));
    home.ok(&["ingest", &file]);
    check(&home, &["frobnicate"], 2, "E-ARGUMENTS", &["frobnicate"]);
    check(&home, &["ingest"], 2, "E-ARGUMENTS", &["<PATH>"]);
    check(&home, &["errors", "--reason", "spite"], 2, "E-VALUE", &["spite", "outlier"]);
    check(&home, &["explain", "M", "noon"], 2, "E-VALUE", &["noon", "2026-03-02T00:15:00Z"]);
    check(&home, &["explain-code", "E-NOTHING"], 2, "E-VALUE", &["E-NOTHING", "E-HOME-BUSY"]);
    check(&home, &["ingest", "--feed", "nobody", &file], 2, "E-FEED-UNKNOWN", &["nobody", "feeds list"]);
    check(&home, &["ingest", "--time-zone", "Mars", &file], 2, "E-ZONE-UNKNOWN", &["Mars", "Europe/London"]);
    home.ok(&["errors", "release", "1:2"]);
    check(&home, &["errors", "discard", "1:2"], 2, "E-DECISION", &["1:2", "errors undo"]);
    home.run(&["ingest", "--time-zone", "Europe/Paris", &file]).exits(2).says("E-SAME-BYTES");
    home.ok(&["explain-code", "E-SAME-BYTES"]).says("greenstream rebuild");
    home.ok(&["init"]);
    check(&home, &["init"], 2, "E-EXISTS", &["greenstream.toml"]);
    let folder = home.path();
    check(&home, &["simulate", "--out", folder.to_str().unwrap()], 2, "E-EXISTS", &["is not empty"]);
    let told = home.run(&["frobnicate", "--json"]).exits(2).err;
    assert!(told.starts_with("{\"error\":{\"code\":\"E-ARGUMENTS\""), "{told}");
}

#[test]
fn a_wrong_configuration_is_shown_with_file_line_column_and_text() {
    let profile = "name = \"x\"\n[columns]\nmeter = \"m\"\ntimestamp = \"t\"\n";
    for (name, text, code, words) in [
        (
            "greenstream.toml",
            "# mine\n[sizes]\nupload_byte_max = 5\n",
            "E-CONFIG-KEY",
            &["greenstream.toml, line 3, column 1", "3 | upload_byte_max = 5", "`upload_bytes_max`"][..],
        ),
        (
            "greenstream.toml",
            "reporting_zone = Mars\n",
            "E-CONFIG-SYNTAX",
            &["greenstream.toml, line 1, column 18", "1 | reporting_zone = Mars"],
        ),
        (
            "greenstream.toml",
            "[limits]\npower_kw_max = \"ten\"\n",
            "E-CONFIG-VALUE",
            &["greenstream.toml, line 2, column 16", "power_kw_max = \"ten\""],
        ),
        (
            "greenstream.toml",
            "reporting_zone = \"Mars\"\n",
            "E-CONFIG-VALUE",
            &["greenstream.toml, line 1, column 18, key reporting_zone", "1 | reporting_zone = \"Mars\""],
        ),
        (
            "greenstream.toml",
            "[limits]\npower_kw_max = -1\n",
            "E-CONFIG-VALUE",
            &["greenstream.toml, line 2, column 16, key limits.power_kw_max", "is above power_kw_max"],
        ),
        (
            "greenstream.toml",
            "default_feed = \"nobody\"\n",
            "E-CONFIG-VALUE",
            &["greenstream.toml, line 1, column 16, key default_feed", "nobody", "london"],
        ),
        (
            "greenstream.toml",
            "[serve]\nlisten = \"0.0.0.0:80\"\n",
            "E-LISTEN",
            &["greenstream.toml", "listen = \"0.0.0.0:80\"", "127.0.0.1"],
        ),
        (
            "feeds/x.toml",
            "delimeter = ';'\n",
            "E-FEED-PROFILE",
            &["feeds/x.toml, line 1, column 1", "delimeter"],
        ),
        ("feeds/x.toml", profile, "E-FEED-PROFILE", &["feeds/x.toml", "docs/feeds.md"]),
        ("meters.csv", "meter_id,power_kw_max\nM,lots\n", "E-REGISTRY", &["meters.csv, line 2", "\"lots\""]),
    ] {
        let home = Home::new();
        home.configure(name, text);
        check(&home, &["check-config"], 78, code, words);
    }
    let home = Home::new();
    home.configure("greenstream.toml", "[serve]\nlisten = \"0.0.0.0:80\"\n");
    check(&home, &["run"], 78, "E-LISTEN", &["0.0.0.0:80", "127.0.0.1"]);
}

#[test]
fn what_others_did_to_a_home_is_named_with_the_way_out() {
    let home = Home::new();
    let file = home.file("a.csv", format!("{HEADER}{ROWS}"));
    home.ok(&["ingest", &file]);
    let segments = files_below(&home.path().join("landing/journal"));
    let (segment, bytes) =
        segments.iter().find(|(_, bytes)| bytes.windows(5).any(|part| part == b"a.csv")).unwrap();
    let damaged = String::from_utf8_lossy(bytes).replacen('{', "x", 1);
    fs::remove_file(segment).unwrap();
    fs::write(segment, damaged).unwrap();
    check(
        &home,
        &["ingest", &file],
        74,
        "E-JOURNAL",
        &[segment.to_str().unwrap(), "line ", "greenstream verify"],
    );
    let home = Home::new();
    home.configure("greenstream.db", &"no database at all ".repeat(100));
    check(&home, &["status"], 74, "E-DATABASE", &["damaged"]);
    let home = Home::new();
    rusqlite::Connection::open(home.path().join("greenstream.db"))
        .unwrap()
        .execute_batch("create table t (x)")
        .unwrap();
    check(&home, &["status"], 74, "E-NOT-A-DATABASE", &["greenstream.db", "move that file away"]);
}

#[test]
fn a_taken_home_and_a_taken_port_name_who_has_them_and_what_to_do() {
    let home = Home::new();
    let service = home.serve();
    let file = home.file("a.csv", format!("{HEADER}{ROWS}"));
    check(&home, &["ingest", &file], 69, "E-HOME-BUSY", &["greenstream run", "/inbox"]);
    let other = Home::new();
    // the error comes first: the libraries beneath do not tell their steps to who has not asked
    check(&other, &["demo", "--listen", &service.address], 74, "E-PORT", &[&service.address, "--listen"]);
    assert!(files_below(&other.path()).is_empty(), "it is told before the work");
    check(&other, &["run", "--listen", &service.address], 74, "E-PORT", &[&service.address, "--listen"]);
}

#[test]
fn a_folder_without_files_and_a_foreign_layout_say_what_comes_next() {
    let home = Home::new();
    let folder = home.path().parent().unwrap().join("files");
    fs::create_dir(folder.join("deeper")).unwrap();
    let folder = folder.to_str().unwrap().to_owned();
    home.ok(&["ingest", &folder]).says(&folder).says("are not entered").says("next:");
    let file = home.file("a.csv", "Zähler;Zeit;kWh\nA;01.03.2026 00:00;0,5\n");
    let told = home.run(&["ingest", &file]).exits(65).says("no `timestamp`");
    told.says("next:").says("dead-letters retry 1 --feed NAME").says("feeds test");
    home.ok(&["ingest", &home.file("b.csv", format!("{HEADER}{ROWS}"))]).says("errors` shows");
}
