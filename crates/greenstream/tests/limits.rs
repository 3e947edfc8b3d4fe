//! The limits of docs/limits.md through the program, each on both sides, and the memory that they bound.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use common::{HEADER, Home};

/// Rows of the default feed, as many bytes as asked for or a few less; meters take turns.
fn rows(bytes: usize, meters: usize) -> String {
    let mut text = HEADER.to_owned();
    let mut row = 0_usize;
    while text.len() < bytes {
        // seconds since 1970: the row's place in its meter's series
        let at = 1_600_000_000 + row / meters * 60;
        writeln!(text, "MTR-{:06},{at},{}.{:03},kW", row % meters, row % 7, row % 1_000).unwrap();
        row += 1;
    }
    text
}

fn home(limit: usize) -> Home {
    let home = Home::new();
    home.configure("greenstream.toml", &format!("[sizes]\nupload_bytes_max = {limit}\n"));
    home
}

#[test]
fn an_upload_as_large_as_the_limit_loads_and_one_byte_more_is_a_dead_letter() {
    let text = format!("{HEADER}M,2026-03-02T00:00:00Z,1,kW\n");
    for (limit, code, exit) in [(text.len(), "done", 0), (text.len() - 1, "dead", 65)] {
        let home = home(limit);
        let file = home.file("a.csv", &text);
        home.run(&["ingest", &file]).exits(exit);
        assert_eq!(home.export("uploads")[0]["status"], code);
        if exit != 0 {
            home.ok(&["dead-letters"]).says("upload_too_large").says(&limit.to_string());
        }
        home.is_whole();
    }
}

#[test]
fn a_meter_id_of_64_bytes_is_one_and_of_65_is_not() {
    let home = Home::new();
    for (length, reason) in [(64, None), (65, Some("meter_id_invalid"))] {
        home.ingest(&format!("{length}.csv"), &format!("{},2026-03-02T00:00:00Z,1,kW\n", "m".repeat(length)));
        let queue = home.export("error-queue");
        assert_eq!(queue.first().map(|row| row["reason"].as_str()), reason, "{length}");
    }
}

#[test]
fn a_line_of_a_mebibyte_is_read_and_a_longer_one_costs_itself() {
    let home = Home::new();
    let limit = 1 << 20;
    for (length, stored) in [(limit, "2"), (limit + 1, "1")] {
        let row = "M,2026-03-02T00:00:00Z,1,kW,";
        let filler = "x".repeat(length - row.len());
        let text = format!("{},note\n{row}{filler}\nN,2026-03-02T00:00:00Z,1,kW,\n", HEADER.trim_end());
        let file = home.file(&format!("{length}.csv"), text);
        home.ok(&["ingest", &file]);
        assert_eq!(home.export("uploads").last().unwrap()["stored"], stored, "{length}");
    }
}

#[test]
fn a_raw_line_is_kept_up_to_2048_bytes_and_said_to_be_cut_beyond() {
    let home = Home::new();
    for (length, is_cut) in [(2_048, false), (2_049, true)] {
        let row = "M,noon,1,kW";
        let text = format!("{row}{}\n", " ".repeat(length - row.len()));
        home.ingest(&format!("{length}.csv"), &text);
        let kept = home.export("error-queue").last().unwrap()["raw"].clone();
        assert_eq!(kept.contains(&format!("({length} bytes)")), is_cut, "{kept}");
    }
}

#[test]
fn a_key_outside_its_bounds_is_refused_with_its_line_and_the_bounds() {
    let home = Home::new();
    for (key, good, bad, bounds) in [
        ("workers", "64", "65", "1 to 64"),
        ("workers", "1", "0", "1 to 64"),
        ("upload_bytes_max", "4294967295", "4294967296", "1 to 4294967295"),
        ("commit_rows", "1", "0", "1 to 10000000"),
    ] {
        home.configure("greenstream.toml", &format!("[sizes]\n{key} = {good}\n"));
        home.ok(&["check-config"]);
        home.configure("greenstream.toml", &format!("[sizes]\n{key} = {bad}\n"));
        home.run(&["check-config"]).exits(78).says("E-CONFIG-VALUE").says(bounds).says("line 2");
    }
}

#[test]
fn profiles_and_registries_have_a_longest_length() {
    let home = Home::new();
    let profile = |bytes: usize| {
        let text = "name='x'\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'\n#";
        format!("{text}{}", "x".repeat(bytes - text.len()))
    };
    home.configure("feeds/x.toml", &profile(64 << 10));
    home.ok(&["check-config"]);
    home.configure("feeds/x.toml", &profile((64 << 10) + 1));
    home.run(&["check-config"]).exits(78).says("E-FEED-PROFILE").says("more than the limit of 65536");
    home.configure("feeds/x.toml", &profile(1_000));
    let registry = "meter_id,power_kw_max\n".to_owned();
    let long = (16 << 20) - registry.len();
    let line = format!("{:062},1\n", 0);
    let lines: String = (0..long / line.len()).map(|at| format!("{at:062},1\n")).collect();
    home.configure("meters.csv", &format!("{registry}{lines}"));
    home.ok(&["check-config"]);
    home.configure("meters.csv", &format!("{registry}{lines}{line}{line}"));
    home.run(&["check-config"]).exits(78).says("E-REGISTRY").says("more than the limit of 16777216");
}

#[test]
fn a_home_has_200_profiles_and_not_one_more() {
    let home = Home::new();
    let profile = |number: usize| {
        let text = "unit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'\n";
        home.configure(&format!("feeds/x{number}.toml"), &format!("name='x{number}'\n{text}"));
    };
    (0..200).for_each(profile);
    home.ok(&["check-config"]);
    profile(200);
    home.run(&["check-config"]).exits(78).says("E-FEED-PROFILE").says("more than 200 profiles");
}

/// The peak memory of an ingest, in bytes.
fn peak(home: &Home, file: &str) -> u64 {
    let mut child = home.command(&["ingest", file]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        // as long as the process lives its file tells the peak so far
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0) * 1_024);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    peak
}

/// What docs/limits.md states: so many times the limit, and what the program takes by itself.
fn ceiling(limit: usize, times_in_tenths: u64) -> u64 {
    limit as u64 * times_in_tenths / 10 + (384 << 20)
}

#[test]
fn memory_for_the_largest_upload_stays_under_the_ceiling_that_the_limit_sets() {
    let limit = 64 << 20;
    for (meters, times_in_tenths) in [(100_000, 30), (1, 40)] {
        let home = home(limit);
        let file = home.file("large.csv", rows(limit - 100, meters));
        let peak = peak(&home, &file);
        assert_eq!(home.export("uploads")[0]["status"], "done");
        let ceiling = ceiling(limit, times_in_tenths);
        assert!(peak < ceiling, "{meters} meters: {peak} bytes, more than {ceiling}");
        println!("{meters} meters: peak {} MiB of {} MiB", peak >> 20, ceiling >> 20);
    }
}

#[test]
fn memory_for_a_bomb_and_for_an_endless_line_does_not_grow_with_them() {
    let limit = 64 << 20;
    let zip = |text: &[u8]| {
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        zip.write_all(text).unwrap();
        zip.finish().unwrap()
    };
    let line = [HEADER.as_bytes(), &vec![b'x'; limit - 1_000]].concat();
    for (name, bytes) in [
        ("zeros.gz", zip(&vec![0; limit])),
        ("more-zeros.gz", zip(&vec![0; limit * 2])),
        ("blank.gz", zip(&[HEADER.as_bytes(), &vec![b'\n'; limit - 1_000]].concat())),
        ("line.csv", line),
    ] {
        let home = home(limit);
        let file = home.file(name, bytes);
        let peak = peak(&home, &file);
        assert!(peak < 384 << 20, "{name}: {peak} bytes");
    }
}

#[test]
fn several_large_uploads_in_a_row_take_no_more_memory_than_the_stages_hold() {
    let limit = 64 << 20;
    let home = home(limit);
    fs::create_dir(home.path().join("files")).unwrap();
    for upload in 0..3 {
        let text = rows(limit - 100, 100_000).replace("MTR-", &format!("M{upload}-"));
        fs::write(home.path().join(format!("files/{upload}.csv")), &text).unwrap();
    }
    let files = home.path().join("files");
    let peak = peak(&home, files.to_str().unwrap());
    // each stage on the way to database and archive may hold one while the next is decoded
    let ceiling = ceiling(limit, 80);
    assert!(peak < ceiling, "{peak} bytes, more than {ceiling}");
}
