//! The worked examples of the specification, as far as decode goes: rows and rejects.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use greenstream_core::decode::{Decoded, Feed, Given};
use greenstream_core::{Reason, Ts};

fn decode(folder: &Path) -> Decoded {
    let arguments = fs::read_to_string(folder.join("ARGS")).unwrap_or_default();
    let zone = arguments.trim().strip_prefix("--time-zone ");
    let given = Given { time_zone: zone, name: "upload-1.csv", landed_at: Ts::MAX };
    let content = fs::read(folder.join("upload-1.csv")).unwrap();
    let decoder = Feed::default_feed().compile(&given).unwrap();
    let layout = decoder.layout(&content).unwrap();
    let chunks = layout.chunks(&content, 3).into_iter().map(|chunk| layout.decode_chunk(chunk)).collect();
    layout.join(chunks).unwrap()
}

/// The lines of an expected file without its header.
fn lines(folder: &Path, name: &str) -> Vec<String> {
    fs::read_to_string(folder.join(name)).unwrap().lines().skip(1).map(str::to_owned).collect()
}

fn quoted(id: &str) -> String {
    if id.contains('"') { format!("\"{}\"", id.replace('"', "\"\"")) } else { id.to_owned() }
}

#[track_caller]
fn check(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden").join(name);
    let decoded = decode(&folder);
    let mut readings: BTreeSet<String> = lines(&folder, "readings.csv").into_iter().collect();
    let mut failures = Vec::new();
    for line in lines(&folder, "error_queue.csv") {
        // upload,row_number,meter_id,ts,kw,reason,flags
        let fields: Vec<&str> = line.split(',').collect();
        if Reason::from_name(fields[5]).unwrap().is_decode_failure() {
            failures.push(fields[1..6].join(","));
        } else {
            readings.insert([&fields[2..5], &fields[6..]].concat().join(","));
        }
    }
    let rows: Vec<String> = decoded
        .rows
        .iter()
        .map(|row| {
            let kw = row.kw.map(|kw| kw.to_string()).unwrap_or_default();
            format!("{},{},{kw},{}", quoted(&decoded.meters[row.meter as usize]), row.ts, row.flags)
        })
        .collect();
    let rejects: Vec<String> = decoded
        .rejects
        .iter()
        .map(|reject| {
            let ts = reject.ts.map(|ts| ts.to_string()).unwrap_or_default();
            format!("{},{},{ts},,{}", reject.row_number, quoted(&reject.meter), reject.reason.name())
        })
        .collect();
    assert_eq!(rows.len(), readings.len(), "{name}");
    assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), readings, "{name}");
    assert_eq!(rejects, failures, "{name}");
}

#[test]
fn each_case_without_duplicates_decodes_as_expected() {
    for name in [
        "01_units",
        "02_time",
        "05_values",
        "13_rounding",
        "15_malformed",
        "18_autumn_change",
        "19_autumn_backwards",
        "20_spring_change",
    ] {
        check(name);
    }
}
