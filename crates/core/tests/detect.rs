//! Made-up suppliers in the manner of real ones (`testdata/detect/make.py`): the profile that is
//! proposed at once gives exactly the readings that a file was made of.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use greenstream_core::Ts;
use greenstream_core::decode::Given;
use greenstream_core::detect::{Asked, Detected, Proposal, TrapKind, detect};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/detect")
}

fn content(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

#[track_caller]
fn proposed(content: &[u8], asked: &Asked<'_>) -> Proposal {
    match detect(content, asked) {
        Detected::Table(proposal) => *proposal,
        Detected::Foreign(foreign) => panic!("{}: {}", asked.name, foreign.what),
    }
}

/// What the proposal makes of the whole file, as `make.py` writes readings.
fn readings(proposal: &Proposal, content: &[u8], asked: &Asked<'_>) -> String {
    let profile = proposal.profile.as_ref().unwrap_or_else(|| panic!("{:#?}", proposal.doubts));
    let given = Given { time_zone: None, name: asked.name, landed_at: Ts::MAX };
    let decoder = profile.feed.compile(&given).unwrap();
    let mut stream = decoder.stream();
    stream.push(content).unwrap();
    let decoded = stream.finish().unwrap();
    assert!(
        decoded.rejects.iter().all(|row| row.reason.name() == "timestamp_nonexistent"),
        "{}",
        profile.toml
    );
    let line = |row: &greenstream_core::decode::Row| {
        let kw = row.kw.map(|kw| kw.to_string()).unwrap_or_default();
        format!("{},{},{kw}\n", decoded.meters[row.meter as usize], row.ts)
    };
    let mut lines: Vec<String> = decoded.rows.iter().map(line).collect();
    lines.sort();
    lines.concat()
}

#[track_caller]
fn check(name: &str, time_zone: Option<&str>) -> Proposal {
    let content = content(name);
    let asked = Asked { name, time_zone, ..Asked::default() };
    let proposal = proposed(&content, &asked);
    let found = readings(&proposal, &content, &asked);
    let stem = name.rsplit_once('.').unwrap().0;
    let expected = fs::read_to_string(folder().join(format!("{stem}.readings"))).unwrap();
    let differ = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    let mut why = String::new();
    let _ = write!(why, "{}\n{:#?}", proposal.profile.as_ref().unwrap().toml, proposal.doubts);
    assert!(
        found == expected,
        "{name}: {differ:?}, {} of {}\n{why}",
        found.lines().count(),
        expected.lines().count()
    );
    proposal
}

fn has(proposal: &Proposal, kind: TrapKind) -> bool {
    proposal.traps.iter().any(|trap| trap.kind == kind)
}

#[track_caller]
fn check_ready(name: &str, traps: &[TrapKind]) {
    let proposal = check(name, None);
    assert!(proposal.is_ready(), "{:#?}", proposal.doubts);
    for kind in traps {
        assert!(has(&proposal, *kind), "{kind:?} in {:#?}", proposal.traps);
    }
}

#[test]
fn a_french_load_curve_is_right_at_once() {
    check_ready("courbe_charge.csv", &[TrapKind::LabelAtEnd]);
}

#[test]
fn a_german_lastgang_is_right_at_once() {
    check_ready("lastgang.csv", &[TrapKind::NoZone, TrapKind::EnergyPower]);
}

#[test]
fn swedish_hours_are_right_at_once() {
    check_ready("timvarden.txt", &[TrapKind::NoZone]);
}

#[test]
fn an_italian_row_a_day_is_right_at_once() {
    check_ready("curva_di_carico.csv", &[TrapKind::NoZone]);
}

#[test]
fn polish_hours_up_to_24_are_right_at_once() {
    check_ready("dane_godzinowe.csv", &[TrapKind::LabelAtEnd, TrapKind::NoZone]);
}

#[test]
fn japanese_half_hours_beside_one_another_are_right_at_once() {
    check_ready("shiyouryo.csv", &[TrapKind::NoZone]);
}

#[test]
fn danish_meter_data_are_right_at_once() {
    check_ready("meterdata.csv", &[TrapKind::NoZone]);
}

#[test]
fn norwegian_quoted_offsets_are_right_at_once() {
    check_ready("plusportal.csv", &[TrapKind::Sentinel]);
}

#[test]
fn spanish_hours_numbered_to_25_are_said_to_be_lacking() {
    let proposal = proposed(&content("consumos.csv"), &Asked { name: "consumos.csv", ..Asked::default() });
    assert!(!proposal.is_ready());
    let blocking: Vec<_> = proposal.doubts.iter().filter(|doubt| doubt.blocks).collect();
    assert_eq!(blocking.len(), 1, "{blocking:#?}");
    assert_eq!(blocking[0].key, "columns.slot");
    assert!(blocking[0].question.contains("counts to 25 on 25/10/2026"), "{}", blocking[0].question);
}

#[test]
fn an_american_download_lacks_its_zone_and_nothing_else() {
    let name = "electric_usage.csv";
    let proposal = proposed(&content(name), &Asked { name, ..Asked::default() });
    let blocking: Vec<_> = proposal.doubts.iter().filter(|doubt| doubt.blocks).collect();
    assert_eq!(blocking.len(), 1, "{blocking:#?}");
    assert_eq!(blocking[0].key, "time_zone");
    let likely = &blocking[0].alternatives;
    assert!(likely.iter().all(|zone| zone.contains("America/")) && likely.len() > 1, "{likely:?}");
    assert!(check(name, Some("America/Los_Angeles")).is_ready());
}
