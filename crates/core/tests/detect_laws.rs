//! Whatever the bytes: an answer, no panic, within bounded time; and a profile that is proposed
//! compiles and names columns that are there.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use greenstream_core::Ts;
use greenstream_core::decode::{Feed, Given};
use greenstream_core::detect::{Asked, Detected, detect};
use proptest::prelude::*;

#[track_caller]
fn answers(content: &[u8], name: &str) {
    let asked = Asked { name, ..Asked::default() };
    if let Detected::Table(proposal) = detect(content, &asked) {
        let Some(profile) = &proposal.profile else { return };
        let feed: Feed = toml::from_str(&profile.toml).unwrap();
        assert_eq!(feed, profile.feed);
        // of other bytes the header may have been read as Latin-1, and the proposal says so
        if std::str::from_utf8(content).is_err() {
            return;
        }
        let given = Given { time_zone: Some("UTC"), name, landed_at: Ts::MAX };
        assert!(
            feed.compile(&given).is_ok_and(|decoder| decoder.layout(content).is_ok()),
            "{}",
            profile.toml
        );
    }
}

/// Fields as files have them, and as they should not.
fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[0-9]{1,3}[.,][0-9]{1,4}",
        "-?[0-9]{1,13}",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9]( [0-2][0-9]:[0-5][0-9])?",
        "[0-3]?[0-9][./][01]?[0-9][./]20[0-9]{2}",
        "[0-2]?[0-9]:[0-5][0-9]( [AP]M)?",
        "(kWh|W|NULL|meter|Datum|value|\"|\"\"|=\"01\"|\\x00|é|\\r)",
        "\\PC{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_bytes_have_an_answer(content in proptest::collection::vec(any::<u8>(), 0..2_000), name in "\\PC{0,20}") {
        answers(&content, &name);
    }

    #[test]
    fn any_table_has_an_answer(
        rows in proptest::collection::vec(proptest::collection::vec(field(), 1..9), 0..40),
        delimiter in prop_oneof![Just(","), Just(";"), Just("\t"), Just("|")],
        end in prop_oneof![Just("\n"), Just("\r\n")],
        latin: bool,
    ) {
        let lines: Vec<String> = rows.iter().map(|row| row.join(delimiter)).collect();
        let text = lines.join(end);
        let latin_1 = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
        answers(&if latin { latin_1 } else { text.into_bytes() }, "a.csv");
    }

    #[test]
    fn any_damage_to_a_file_has_an_answer(
        file in 0..10_usize, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let names = [
            "consumos.csv", "courbe_charge.csv", "curva_di_carico.csv", "dane_godzinowe.csv", "electric_usage.csv",
            "lastgang.csv", "meterdata.csv", "plusportal.csv", "shiyouryo.csv", "timvarden.txt",
        ];
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/detect/");
        let mut content = std::fs::read(format!("{folder}{}", names[file])).unwrap();
        for (at, byte) in changes {
            let at = at.index(content.len());
            content[at] = byte;
        }
        content.truncate(cut.index(content.len()) + 1);
        answers(&content, names[file]);
    }
}

#[test]
fn time_does_not_grow_with_the_file() {
    let wide = format!("{}\n", "1;".repeat(30_000)).repeat(40);
    let long = "2026-03-02 00:00;M1;0.5\n".repeat(400_000);
    let commas = ",".repeat(3_000_000);
    let columns = format!("{}\n", vec!["01/02/2026 00:15"; 1_400].join(";")).repeat(30);
    for content in [wide, long, commas, columns] {
        let begun = Instant::now();
        answers(content.as_bytes(), "a.csv");
        let spent = begun.elapsed();
        assert!(spent < Duration::from_secs(20), "{spent:?} for {} bytes", content.len());
    }
}
