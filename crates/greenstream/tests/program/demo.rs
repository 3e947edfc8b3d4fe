//! The demo's story against the data it tells of.

use std::collections::BTreeMap;
use std::fs;

use crate::common::{Home, rows};

/// The comparison's lines: what was injected, how often, how it shows, found, recall, in all, precision.
fn comparison(told: &str) -> Vec<Vec<String>> {
    let (_, table) = told.split_once("precision\n").unwrap();
    let cells = |line: &str| {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    table.lines().take_while(|line| !line.starts_with("recall:")).map(cells).collect()
}

#[test]
fn the_demo_counts_what_was_injected_and_what_stands_in_the_result() {
    let home = Home::new();
    let told = home.ok(&["demo", "--meters", "150", "--days", "3", "--exit"]).out;
    let demo = home.path().join("demo");
    let summary = fs::read_to_string(demo.join("uploads.summary.json")).unwrap();
    let injected: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let queue = home.ok(&["--home", demo.join("home").to_str().unwrap(), "export", "error-queue"]).out;
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows(&queue) {
        *reasons.entry(row["reason"].clone()).or_default() += 1;
    }
    let lines = comparison(&told);
    assert_eq!(lines.len(), 18, "{told}");
    for (line, kind) in
        [("spike", "spike"), ("value above 10 kW", "above_limit"), ("broken line", "malformed")]
    {
        let line = lines.iter().find(|cells| cells[0] == line).unwrap();
        assert_eq!(line[1], injected["defects"][kind].to_string(), "{line:?}");
    }
    for cells in &lines {
        if let Some(reason) = cells[2].strip_prefix("quarantined: ") {
            let all = reasons.get(reason).copied().unwrap_or(0);
            assert_eq!(cells.get(5).map_or("0", String::as_str), all.to_string(), "{cells:?}");
        }
        let recall = cells.get(4).map_or("", String::as_str);
        match cells[0].as_str() {
            // a spike beside another is no outlier to the rule, and a load may jump by itself
            "spike" => {
                assert!(recall.starts_with("9") && cells[6].trim_end_matches(" %") < "90", "{cells:?}")
            }
            // a meter that dies on the last day is not found before 24 h
            "dead meter" => {}
            _ => assert!(recall == "100.0 %" || cells[1] == "0", "{cells:?}"),
        }
    }
    for words in ["the books balance", "z-score", "greenstream explain MTR-", "scan_delta(", "duckdb -c"] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
}
