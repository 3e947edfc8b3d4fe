//! `feeds detect` through the real program: what it says of a file, and that its profile is fit to ingest by.

use std::fs;
use std::path::PathBuf;

use crate::common::{HEADER, Home};

fn supplier(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/detect").join(name)).unwrap()
}

#[test]
fn a_file_of_an_unknown_supplier_is_ingested_in_two_commands() {
    let home = Home::new();
    let path = home.file("lastgang.csv", supplier("lastgang.csv"));
    let said = home.ok(&["feeds", "detect", &path]);
    let said = said.says("Europe/Berlin was taken").says("label is start").says("unit is kWh");
    said.says("time_format is `%d.%m.%Y %H:%M`").says("2026-10-23T22:00:00Z  2.388").says("--write lastgang");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "a look leaves nothing");
    home.ok(&["feeds", "detect", &path, "--write", "netz"]).says("next: greenstream ingest");
    home.ok(&["feeds", "test", &path, "--feed", "netz"]).says(" 292 ");
    home.ok(&["ingest", &path, "--feed", "netz"]);
    let found: String = home
        .export("measured")
        .iter()
        .map(|row| format!("{},{},{}\n", row["meter_id"], row["ts"], row["kw"]))
        .collect();
    let expected = String::from_utf8(supplier("lastgang.readings")).unwrap();
    let expected: String =
        expected.lines().filter(|line| !line.ends_with(',')).map(|line| format!("{line}\n")).collect();
    let found: String =
        found.lines().filter(|line| !line.ends_with(',')).map(|line| format!("{line}\n")).collect();
    assert_eq!(found, expected);
    home.is_whole();
}

#[test]
fn what_is_not_settled_is_not_written_and_exits_1() {
    let home = Home::new();
    let path = home.file("electric_usage.csv", supplier("electric_usage.csv"));
    home.run(&["feeds", "detect", &path]).exits(1).says("not settled").says("--time-zone America/New_York");
    home.run(&["feeds", "detect", &path, "--write", "usage"]).exits(1).says("the profile was not written");
    assert!(!home.path().join("feeds/usage.toml").exists());
    let zone = ["feeds", "detect", &path, "--time-zone", "America/Los_Angeles", "--write", "usage"];
    home.ok(&zone).says("feeds/usage.toml");
    let written = fs::read_to_string(home.path().join("feeds/usage.toml")).unwrap();
    assert!(written.contains("name = \"usage\"\n") && written.contains("America/Los_Angeles"), "{written}");
    // never twice under one name, never a shipped one, never outside the folder
    home.run(&zone).exits(2).says("already");
    for name in ["london", "default", "../x", ""] {
        home.run(&["feeds", "detect", &path, "--write", name]).exits(2);
    }
    assert_eq!(fs::read_to_string(home.path().join("feeds/usage.toml")).unwrap(), written);
}

#[test]
fn profiles_that_fit_are_named_first_and_json_says_the_same() {
    let home = Home::new();
    let path =
        home.file("a.csv", format!("{HEADER}M1,2026-03-02T00:00:00Z,1,kW\nM1,2026-03-02T00:15:00Z,2,kW\n"));
    let said = home.ok(&["feeds", "detect", &path]).out;
    assert!(said.starts_with("`default` reads it already: 2 of 2 rows"), "{said}");
    let json = home.ok(&["feeds", "detect", &path, "--json"]).json();
    assert_eq!((json["ready"].as_bool(), json["fits"][0]["feed"].as_str()), (Some(true), Some("default")));
    assert_eq!(
        (json["readings"][1]["kw"].as_str(), json["accounting"]["rows"].as_u64()),
        (Some("2"), Some(2))
    );
    assert!(json["profile"].as_str().unwrap().contains("value = \"energy_value\""));
}

#[test]
fn what_is_no_table_says_what_it_looks_like() {
    let home = Home::new();
    let nem12 = home.file("nem.csv", "100,NEM12,202603020000,A,B\n200,NMI,E1,1,E1,N1,1,kWh,30,\n");
    home.run(&["feeds", "detect", &nem12]).exits(1).says("looks like NEM12");
    home.run(&["feeds", "detect", &nem12, "--json"]).exits(1).says("\"looks_like\":\"NEM12");
    // a header cannot steer the terminal
    let escapes =
        home.file("x.csv", "time,\u{1b}[31mkWh\n2026-03-02T00:00:00Z,1\n2026-03-02T00:15:00Z,0.5\n");
    let said = home.run(&["feeds", "detect", &escapes]).out;
    assert!(!said.contains('\u{1b}') && said.contains("31mkWh"), "{said}");
}
