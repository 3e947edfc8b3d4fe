//! Made-up suppliers in the manner of real ones (`testdata/detect/make.py`): the profile that is
//! proposed at once gives exactly the readings that a file was made of.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

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
    let proposal = check("lastgang.csv", None);
    let label = proposal.reasons.iter().find(|reason| reason.key == "label").unwrap();
    assert!(label.evidence.contains("`bis` says the end"), "{}", label.evidence);
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

/// A file in which something is easily taken for something else.
#[track_caller]
fn trapped(text: &str, kind: TrapKind) -> Proposal {
    let proposal = proposed(text.as_bytes(), &Asked { name: "M1.csv", ..Asked::default() });
    assert!(has(&proposal, kind), "{:#?}", proposal.traps);
    proposal
}

fn toml(proposal: &Proposal) -> &str {
    proposal.profile.as_ref().map_or("", |profile| profile.toml.as_str())
}

/// `count` rows of half hours, written by `row` from the day, the hour, the minute and the number.
fn half_hours(header: &str, count: u32, row: impl Fn(u32, u32, u32, u32) -> String) -> String {
    let line = |n: u32| row(1 + n / 48, n % 48 / 2, n % 2 * 30, n);
    format!("{header}\n{}", (0..count).map(line).collect::<String>())
}

#[test]
fn days_and_months_are_told_apart_by_the_steps_or_asked_for() {
    let row = |day: u32, hour: u32, minute: u32, n: u32| {
        format!("0{day}/02/2026 {hour:02}:{minute:02},0.{}\n", n * 7 % 90 + 10)
    };
    let decided = trapped(&half_hours("time,kWh", 200, row), TrapKind::DayMonth);
    assert!(toml(&decided).contains("time_format = \"%d/%m/%Y %H:%M\""), "{}", toml(&decided));
    assert!(decided.doubts.iter().all(|doubt| doubt.key != "time_format"));
    let open = trapped(&half_hours("time,kWh", 40, row), TrapKind::DayMonth);
    let doubt = open.doubts.iter().find(|doubt| doubt.key == "time_format").unwrap();
    assert_eq!(doubt.alternatives, ["time_format = \"%m/%d/%Y %H:%M\""]);
}

#[test]
fn days_and_months_that_a_spreadsheet_swapped_are_not_read() {
    // written month first, and read day first by a spreadsheet where that was possible
    let date = |day: u32| if day > 12 { format!("2/{day}/2026") } else { format!("{day}/2/2026") };
    let row = |day: u32, hour: u32| format!("{} {hour:02}:00,0.{}\n", date(day), (day * 7 + hour) % 90 + 10);
    let rows = (1..=28).flat_map(|day| (0..24).map(move |hour| row(day, hour)));
    let text = format!("time,kWh\n{}", rows.collect::<String>());
    let proposal = trapped(&text, TrapKind::DayMonth);
    assert!(proposal.profile.is_none() && !proposal.is_ready());
}

#[test]
fn energy_without_a_unit_is_not_taken_for_granted() {
    let row = |day: u32, hour: u32, minute: u32, n: u32| {
        format!("2026-02-0{day}T{hour:02}:{minute:02}:00Z,0.{}\n", n * 7 % 90 + 10)
    };
    let proposal = trapped(&half_hours("time,value", 96, row), TrapKind::EnergyPower);
    let doubt = proposal.doubts.iter().find(|doubt| doubt.key == "unit").unwrap();
    assert_eq!(doubt.alternatives, ["unit = \"kW\"", "unit = \"Wh\""]);
    let named = trapped(&half_hours("time,Leistung (kWh)", 96, row), TrapKind::EnergyPower);
    assert!(
        named.doubts.iter().any(|doubt| doubt.key == "unit" && doubt.question.contains("speaks of power"))
    );
}

#[test]
fn labels_at_interval_ends_are_seen_by_their_days() {
    let ends = half_hours("time,kWh", 96, |_, _, _, n| {
        let end = n + 1;
        format!(
            "2026-02-{:02}T{:02}:{:02}:00Z,0.{}\n",
            1 + end / 48,
            end % 48 / 2,
            end % 2 * 30,
            n * 7 % 90 + 10
        )
    });
    assert!(toml(&trapped(&ends, TrapKind::LabelAtEnd)).contains("label = \"end\""));
    let starts = half_hours("time,kWh", 96, |day, hour, minute, n| {
        format!("2026-02-0{day}T{hour:02}:{minute:02}:00Z,0.{}\n", n * 7 % 90 + 10)
    });
    let proposal = proposed(starts.as_bytes(), &Asked { name: "M1.csv", ..Asked::default() });
    assert!(!has(&proposal, TrapKind::LabelAtEnd) && !toml(&proposal).contains("label"));
}

#[test]
fn registers_are_found_and_become_differences_where_nothing_else_says_what_was_used() {
    let row = |day: u32, hour: u32, minute: u32, n: u32| {
        format!("2026-02-0{day}T{hour:02}:{minute:02}:00Z,{}.{}\n", 8_000 + n * 7 / 10, n * 7 % 10)
    };
    let proposal = trapped(&half_hours("time,Zählerstand [kWh]", 96, row), TrapKind::Register);
    assert_eq!((proposal.registers.len(), proposal.registers[0].position), (1, 2));
    assert!(proposal.is_ready() && toml(&proposal).contains("registers = true\n"), "{}", toml(&proposal));
    let both = |day, hour, minute, n: u32| {
        row(day, hour, minute, n).replace('\n', &format!(",0.{}\n", n * 7 % 90 + 10))
    };
    let proposal =
        trapped(&half_hours("time,Zählerstand [kWh],Verbrauch [kWh]", 96, both), TrapKind::Register);
    assert!(
        proposal.is_ready() && toml(&proposal).contains("value = \"Verbrauch [kWh]\""),
        "{}",
        toml(&proposal)
    );
}

#[test]
fn local_time_that_spans_a_change_of_the_clocks_without_one_is_not_the_walls() {
    let text = half_hours("time;Verbrauch [kWh];Zähler", 144, |day, hour, minute, n| {
        format!("{}.03.2026 {hour:02}:{minute:02};0,{};DE00\n", day + 27, n * 7 % 90 + 10)
    });
    let proposal = trapped(&text, TrapKind::NoZone);
    let doubt = proposal.doubts.iter().find(|doubt| doubt.key == "time_zone").unwrap();
    assert!(doubt.blocks && doubt.question.contains("standard time all year"), "{}", doubt.question);
    let asked = Asked { name: "M1.csv", time_zone: Some("Europe/Berlin"), feed: None };
    let given = proposed(text.as_bytes(), &asked);
    assert!(has(&given, TrapKind::ClockChange) && given.is_ready());
}

#[test]
fn renamed_reordered_and_translated_headers_change_nothing() {
    let row = |day: u32, hour: u32, minute: u32, n: u32| {
        (
            format!("2026-02-0{day}T{hour:02}:{minute:02}:00Z"),
            format!("MTR-00{}", n % 3 + 1),
            format!("0.{}", n * 7 % 90 + 10),
        )
    };
    let file = |header: &str, order: [usize; 3]| {
        half_hours(header, 96, |day, hour, minute, n| {
            let (time, meter, value) = row(day, hour, minute, n);
            let fields = [time, meter, value];
            format!("{},{},{}\n", fields[order[0]], fields[order[1]], fields[order[2]])
        })
    };
    let asked = Asked { name: "a.csv", ..Asked::default() };
    let all: Vec<String> = [
        file("time,meter,kWh", [0, 1, 2]),
        file("kWh used,When,Which", [2, 0, 1]),
        file("Zähler,Verbrauch kWh,Zeitstempel", [1, 2, 0]),
        file("compteur,horodate,consommation (kWh)", [1, 0, 2]),
        file("メーター,日時,使用量kWh", [1, 0, 2]),
    ]
    .iter()
    .map(|text| readings(&proposed(text.as_bytes(), &asked), text.as_bytes(), &asked))
    .collect();
    assert_eq!(all[0].lines().count(), 96);
    for (at, found) in all.iter().enumerate() {
        let differ = found.lines().zip(all[0].lines()).find(|(found, first)| found != first);
        assert!(*found == all[0], "file {at}: {differ:?}");
    }
}

#[test]
fn what_is_no_table_is_named() {
    for (content, what) in [
        (&b"100,NEM12,200301011534,MDP1,Retailer1\n200,NMI,E1,1,E1,N1,1,kWh,30,\n"[..], "NEM12"),
        (b"\n200,NMI,E1,1,E1,N1,1,kWh,30,\n300,20030101,1,2,3\n", "NEM12"),
        (b"100,NEM13,200301011534,MDP1,Retailer1\n", "NEM13"),
        (b"<?xml version=\"1.0\"?><feed xmlns:espi=\"http://naesb.org/espi\">", "Green Button"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"{\"readings\": []}", "JSON"),
        (b"PK\x03\x04\x14\0", "zip archive or a spreadsheet"),
        (b"UNB+UNOC:3+123", "EDIFACT"),
        (b"\xff\xfem\0e\0", "UTF-16"),
        (b" \n\n", "empty"),
        (b"Dear customer,\nplease find the readings attached.\n", "not lines of fields"),
    ] {
        match detect(content, &Asked::default()) {
            Detected::Foreign(foreign) => {
                assert!(foreign.what.contains(what), "{} lacks {what}", foreign.what)
            }
            Detected::Table(proposal) => panic!("{what}: {proposal:#?}"),
        }
    }
}

#[test]
fn the_date_of_an_export_and_a_flag_that_looks_like_a_unit_are_neither_time_nor_unit() {
    let header = "ESIID,USAGE_DATE,REVISION_DATE,START_TIME,USAGE_KWH,ESTIMATED_ACTUAL";
    let text = half_hours(header, 200, |day, hour, minute, n| {
        let value = n * 7 % 90 + 10;
        format!("'10443720001234567,02/1{day}/2026,02/20/2026 04:12:33, {hour:02}:{minute:02},0.{value},A\n")
    });
    let asked = Asked { name: "a.csv", time_zone: Some("America/Chicago"), feed: None };
    let proposal = proposed(text.as_bytes(), &asked);
    assert!(proposal.is_ready(), "{:#?}", proposal.doubts);
    let found = readings(&proposal, text.as_bytes(), &asked);
    assert_eq!(found.lines().count(), 200);
    assert!(found.starts_with("'10443720001234567,2026-02-11T06:00:00Z,0.2\n"), "{found}");
}

#[test]
fn power_in_the_thousands_is_watts() {
    let text = half_hours("device_id\tts_ms\tactive_power", 96, |_, _, _, n| {
        format!("a1b2c3\t{}\t{}.5\n", 1_772_409_600_000_u64 + u64::from(n) * 1_800_000, n * 37 % 3_000)
    });
    let proposal = trapped(&text, TrapKind::EnergyPower);
    assert!(toml(&proposal).contains("unit = \"W\"\n"), "{}", toml(&proposal));
    assert!(proposal.doubts.iter().any(|doubt| doubt.key == "unit"));
}

#[test]
fn times_that_stand_as_ranges_are_named() {
    let text = half_hours("period,kWh", 48, |day, hour, minute, n| {
        format!(
            "2026-02-0{day} {hour:02}:{minute:02}:00\u{a0}to 2026-02-0{day} {hour:02}:29:59,0.{}\n",
            n % 9 + 1
        )
    });
    let proposal = proposed(text.as_bytes(), &Asked { name: "M1.csv", ..Asked::default() });
    assert!(
        proposal.doubts[0].blocks && proposal.doubts[0].question.contains("ranges"),
        "{:#?}",
        proposal.doubts
    );
}
