//! A small world with everything that can happen to an upload, and the state that it must come to,
//! whatever happens to the process.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use greenstream::dataset::{Cell, Dataset, rows};
use greenstream::store::{Filter, Store, StoreError};

use crate::common::{HEADER, Home, files_below};

/// Small transactions, so that one upload's commit is not another's; the archive soon.
const CONFIGURATION: &str =
    "[archive]\nlag_seconds = 1\nclosed_day_lag_seconds = 1\n[sizes]\ncommit_rows = 40\nworkers = 2\n";
const REGISTRY: &str = "meter_id,power_kw_max\nR,20\n";

/// A home under the world's configuration, in which nothing has landed.
pub fn new_home() -> Home {
    let mut home = Home::in_memory();
    home.configure_on_test_store(CONFIGURATION);
    home.configure("meters.csv", REGISTRY);
    home
}

/// Quarter-hours of a day of March 2026 for one meter; an empty value is missing.
fn quarters(meter: &str, day: u32, first: usize, values: &[&str]) -> String {
    let mut text = String::new();
    for (at, value) in (first..).zip(values) {
        let (hour, minute) = (at / 4, at % 4 * 15);
        writeln!(text, "{meter},2026-03-{day:02}T{hour:02}:{minute:02}:00Z,{value},kW").unwrap();
    }
    text
}

fn upload(parts: &[String]) -> String {
    format!("{HEADER}{}", parts.concat())
}

/// What comes first: outliers, values out of range, missing ones, a redelivery, a dead letter.
pub fn first_files() -> Vec<(&'static str, String)> {
    let steady = ["1", "1.01", "0.99", "1.02", "1", "0.98", "1.01", "1", "0.99", "1", "1.02", "1.01"];
    let mut spiky = steady.to_vec();
    spiky.extend(["9.5", "1", "-2", "11", "", "", "1"]);
    let day_one =
        upload(&[quarters("A", 2, 0, &spiky), quarters("B", 2, 0, &steady), quarters("S", 2, 0, &["1"])]);
    vec![
        ("01_day.csv", day_one.clone()),
        ("02_zeros.csv", upload(&[quarters("Z", 2, 0, &["0"; 96]), quarters("Z", 3, 0, &["0"; 40])])),
        ("03_again.csv", day_one),
        ("04_bad.csv", "nonsense\n".to_owned()),
        ("05_rows.csv", upload(&[quarters("B", 3, 0, &["1", "much", "2"]), "C,noon,1,kW\n".to_owned()])),
        ("06_evening.csv", upload(&[quarters("A", 2, 80, &["1", "1.2", "", "1.1"])])),
    ]
}

/// What comes later: late rows, duplicates of stored readings, a meter of the registry, the end of an
/// episode, a meter that falls silent, and uploads that are known.
pub fn second_files() -> Vec<(&'static str, String)> {
    let first = first_files();
    vec![
        ("11_late.csv", upload(&[quarters("A", 2, 20, &["1.3"; 30])])),
        ("12_twice.csv", upload(&[quarters("B", 2, 2, &["1.5", "", "1.6"]), quarters("A", 2, 3, &["1"])])),
        ("13_registry.csv", upload(&[quarters("R", 4, 0, &["15", "21", "16"])])),
        ("14_alive.csv", upload(&[quarters("Z", 3, 40, &["2", "2", "0", "1"])])),
        ("15_known.csv", first[4].1.clone()),
        ("16_silent.csv", upload(&[quarters("S", 9, 0, &["1"]), quarters("A", 9, 0, &["1"; 8])])),
        ("17_before.csv", upload(&[quarters("A", 1, 0, &["1"; 12])])),
    ]
}

/// Writes files into a folder beside the home, in their order; gives the folder.
pub fn write_files(home: &Home, folder: &str, files: &[(&str, String)]) -> String {
    let folder = home.path().with_file_name(folder);
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

/// Every dataset that is a function of the landing zone, but for the landing times; and the alerts of
/// journal entries, which are raised once each. Silence is looked at between batches, and how those are
/// cut is not the landing zone's.
pub fn state(home: &Home) -> Vec<String> {
    let reader = Store::reader(home.database()).unwrap();
    let mut state = Vec::new();
    for dataset in Dataset::ALL {
        let columns = dataset.columns();
        let mut lines = Vec::new();
        if dataset == Dataset::Deliveries {
            continue;
        }
        rows::<StoreError>(&reader, dataset, &Filter::default(), &mut |cells: Vec<Cell>| {
            let cells: Vec<_> = columns
                .iter()
                .zip(&cells)
                .filter(|((name, _), _)| !["landed_at", "alert", "at"].contains(name))
                .map(|(_, cell)| cell.text())
                .collect();
            let line = format!("{}: {}", dataset.name(), cells.join(","));
            if dataset != Dataset::Alerts || !line.contains("silent") {
                lines.push(line);
            }
            Ok(())
        })
        .unwrap();
        if dataset == Dataset::Alerts {
            lines.sort();
        }
        state.extend(lines);
    }
    state
}

/// Fails unless the home has come to this state, all of its parts agree, and nothing is left over.
#[track_caller]
pub fn check(home: &Home, expected: &[String], case: &str) {
    let state = state(home);
    if state != expected {
        let (has, wants): (BTreeSet<_>, BTreeSet<_>) = (state.iter().collect(), expected.iter().collect());
        let more: Vec<_> = has.difference(&wants).collect();
        let less: Vec<_> = wants.difference(&has).collect();
        panic!(
            "{case}: another state\ntoo much: {more:#?}\nmissing: {less:#?}\nin all {} and {}",
            state.len(),
            expected.len()
        );
    }
    for args in [&["verify"][..], &["rebuild", "--check"]] {
        let done = home.run(args);
        assert_eq!(done.code, 0, "{case}: {args:?}\n{}\n{}", done.out, done.err);
    }
    let left: Vec<_> = files_below(&home.path()).into_keys().filter(|path| is_leftover(path)).collect();
    assert!(left.is_empty(), "{case}: left over: {left:?}");
}

fn is_leftover(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    let within = |name: &str| parts.iter().any(|part| part == name);
    parts.iter().any(|part| part.contains(".rebuilt") || part.ends_with(".old") || part.ends_with(".tmp"))
        || (within("landing") && within("tmp"))
        || within("processing")
}

/// A copy of a home as it stands, with the files beside it.
pub fn copy(home: &Home) -> Home {
    let mut other = Home::in_memory();
    let (from, to) = (home.path(), other.path());
    copy_folder(from.parent().unwrap(), to.parent().unwrap());
    other.configure_on_copy_of(home, CONFIGURATION);
    other
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below the home's landing zone and database state that a stopped process could change.
pub fn landed_files(home: &Home) -> Vec<(PathBuf, Vec<u8>)> {
    files_below(&home.path().join("landing")).into_iter().collect()
}

/// Does all cases, a few at a time, and fails with the first that failed. Most of a case is waiting.
pub fn in_parallel<T: Sync>(cases: &[T], work: impl Fn(&T) + Sync) {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(case)));
                    if let Err(panic) = done {
                        failed.lock().unwrap().get_or_insert(panic);
                        return;
                    }
                }
            });
        }
    });
    if let Some(panic) = failed.into_inner().unwrap() {
        std::panic::resume_unwind(panic);
    }
}

/// A number from the environment: how long the long set is.
pub fn number(variable: &str, usual: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test's own knob")]
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap())
}
