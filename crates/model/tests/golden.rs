//! The worked examples of the specification, byte for byte.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::{Path, PathBuf};

use greenstream_model::{Configuration, Entry, Feed, Table, Upload, evaluate, read_instant};

#[test]
fn every_golden_case_comes_out_byte_for_byte() {
    let cases = sorted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden"));
    assert!(cases.len() >= 20, "found {} cases", cases.len());
    for case in cases {
        let state = evaluate(&journal(&case), &Configuration::default());
        check(&case, "readings.csv", &state.readings);
        check(&case, "error_queue.csv", &state.error_queue);
        check(&case, "superseded.csv", &state.superseded);
        assert!(state.uploads.select(&["status"]).iter().all(|row| row[0] == "done"), "{}", case.display());
    }
}

/// The columns that a case knows are named in the header of its file.
#[track_caller]
fn check(case: &Path, name: &str, table: &Table) {
    let expected = fs::read_to_string(case.join(name)).unwrap();
    let header: Vec<&str> = expected.lines().next().unwrap().split(',').collect();
    assert_eq!(table.csv(&header), expected, "{} of {}", name, case.display());
}

fn journal(case: &Path) -> Vec<Entry> {
    let arguments = fs::read_to_string(case.join("ARGS")).unwrap_or_default();
    let time_zone = arguments.trim().strip_prefix("--time-zone ").map(str::to_owned);
    let landed_at = read_instant("2030-01-01T00:00:00Z").unwrap();
    let uploads = sorted(case).into_iter().filter(|path| name(path).starts_with("upload-"));
    uploads
        .map(|path| {
            let feed = Feed { time_zone: time_zone.clone(), ..Feed::default() };
            Entry::Upload(Upload { name: name(&path), bytes: fs::read(&path).unwrap(), landed_at, feed })
        })
        .collect()
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
