//! Laws that hold in every world, and the proof that the worlds hold what they should.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;

use greenstream_model::fleet::{configured_world, resplit, world};
use greenstream_model::{Configuration, Entry, State, Upload, evaluate};

const WORLDS: u64 = 40;

#[test]
fn the_books_of_every_upload_balance() {
    for seed in 0..WORLDS {
        let state = state(seed);
        for row in state.uploads.select(&["rows", "stored", "quarantined", "superseded", "status"]) {
            let [rows, stored, quarantined, superseded] =
                [0, 1, 2, 3].map(|column| row[column].parse::<usize>().unwrap());
            assert_eq!(rows, stored + quarantined + superseded, "seed {seed}: {row:?}");
            assert!(row[4] == "done" || rows == 0, "seed {seed}: {row:?}");
        }
        let stored: usize = sum(&state, "stored");
        let held = state.error_queue.select(&["status"]);
        let held = held.iter().filter(|row| row[0] == "open" || row[0] == "discarded").count();
        assert_eq!(stored, state.readings.rows.len(), "seed {seed}");
        assert_eq!(sum(&state, "quarantined"), held, "seed {seed}");
        assert_eq!(sum(&state, "superseded"), state.superseded.rows.len(), "seed {seed}");
    }
}

#[test]
fn delivering_every_upload_again_changes_nothing() {
    for seed in 0..WORLDS {
        let world = world(seed);
        let mut journal = Vec::new();
        for entry in &world.journal {
            journal.push(entry.clone());
            journal.extend(again(entry));
        }
        // A dead letter that was tried again with a zone would be dead again under its first feed, so the
        // whole log comes again with the feed that each upload has at the end.
        assert!(evaluate(&journal, &world.configuration) == state(seed), "seed {seed}");
        let alive = world.journal.iter().filter(|entry| !is_tried_again(&world.journal, entry));
        journal.extend(alive.filter_map(again).collect::<Vec<_>>());
        assert!(evaluate(&journal, &world.configuration) == state(seed), "seed {seed}");
    }
}

#[test]
fn the_split_over_uploads_changes_no_reading() {
    for seed in 0..WORLDS {
        let (whole, split) = resplit(seed);
        let configuration = Configuration::default();
        let (whole, split) = (evaluate(&whole, &configuration), evaluate(&split, &configuration));
        assert!(split.uploads.rows.len() > 1 && split.readings.rows.len() > 50, "seed {seed}");
        let reading = ["meter_id", "ts", "kw", "flags"];
        check_same(seed, &whole.readings.select(&reading), &split.readings.select(&reading));
        check_same(seed, &whole.episodes.rows, &split.episodes.rows);
        let rejected = ["meter_id", "ts", "kw", "reason", "flags"];
        let sorted = |state: &State| {
            let mut rows = state.error_queue.select(&rejected);
            rows.sort();
            rows
        };
        check_same(seed, &sorted(&whole), &sorted(&split));
    }
}

#[test]
fn the_same_seed_gives_the_same_world_and_landing_times_never_go_back() {
    for seed in 0..WORLDS {
        assert!(world(seed) == world(seed), "seed {seed}");
        let mut last = i64::MIN;
        for entry in world(seed).journal {
            if let Entry::Upload(Upload { landed_at, .. }) = entry {
                assert!(landed_at >= last, "seed {seed}");
                last = landed_at;
            }
        }
    }
}

/// A law that is never put to the test proves nothing.
#[test]
fn the_worlds_hold_every_defect_flag_status_and_severity() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..WORLDS {
        let configured = configured_world(seed);
        for state in [state(seed), evaluate(&configured.journal, &configured.configuration)] {
            let mut cells = state.readings.select(&["flags"]);
            cells.extend(state.error_queue.select(&["reason"]));
            cells.extend(state.error_queue.select(&["status"]));
            cells.extend(state.episodes.select(&["severity"]));
            cells.extend(state.uploads.select(&["status"]));
            for name in cells.iter().flat_map(|row| row[0].split('|')).filter(|name| !name.is_empty()) {
                *seen.entry(name.to_owned()).or_default() += 1;
            }
        }
    }
    let names = "unit_converted utc_normalized dst_resolved duplicate missing_value forward_filled released \
        edited potentially_faulty row_malformed meter_id_invalid timestamp_invalid timestamp_no_zone \
        timestamp_nonexistent timestamp_in_future value_invalid unit_unknown value_negative \
        value_above_limit outlier open discarded suspected confirmed done dead";
    for name in names.split_whitespace() {
        assert!(seen.contains_key(name), "{name} is in no world: {seen:?}");
    }
}

fn state(seed: u64) -> State {
    let world = world(seed);
    evaluate(&world.journal, &world.configuration)
}

#[track_caller]
fn check_same(seed: u64, left: &[Vec<String>], right: &[Vec<String>]) {
    for (left, right) in left.iter().zip(right) {
        assert_eq!(left, right, "seed {seed}");
    }
    assert_eq!(left.len(), right.len(), "seed {seed}");
}

fn sum(state: &State, column: &str) -> usize {
    state.uploads.select(&[column]).iter().map(|row| row[0].parse::<usize>().unwrap()).sum()
}

fn again(entry: &Entry) -> Option<Entry> {
    match entry {
        Entry::Upload(upload) => Some(Entry::Upload(Upload { name: "again".to_owned(), ..upload.clone() })),
        _ => None,
    }
}

fn is_tried_again(journal: &[Entry], entry: &Entry) -> bool {
    let Entry::Upload(upload) = entry else { return false };
    journal.iter().any(|other| {
        matches!(other, Entry::Upload(other) if other.bytes == upload.bytes && other.feed != upload.feed)
    })
}
