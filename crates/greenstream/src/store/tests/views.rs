//! The views are the contract: columns, their order, and the text in them.

use super::database::server;
use super::*;
use crate::change::{Alert, Episode, EpisodeKind, Severity};

const FLAGS: &str = "unit_converted energy_to_power utc_normalized dst_resolved duplicate missing_value \
    forward_filled released edited potentially_faulty";

#[test]
fn the_columns_are_those_of_the_contract_then_the_flags_then_helpers() {
    let home = Home::new();
    for (view, contract, flags, helpers) in [
        ("readings", "meter_id ts kw flags upload row_number", true, " date"),
        ("newest", "meter_id ts kw flags upload row_number", true, " date"),
        ("measured", "meter_id ts kw flags under_review upload row_number", true, " date"),
        ("error_queue", "upload row_number meter_id ts kw reason flags raw status", true, " date"),
        ("superseded", "upload row_number meter_id ts kw", true, " date"),
        (
            "uploads",
            "upload name sha256 bytes landed_at status rows stored quarantined superseded",
            false,
            " feed time_zone decoded_bytes attempts dead_code dead_message dead_hint",
        ),
        ("deliveries", "upload name delivered_at", false, ""),
        ("episodes", "meter_id kind severity first_ts last_ts", false, " closed"),
        ("alerts", "alert kind meter_id upload at message", false, " sent_at attempts"),
    ] {
        let flags = if flags { format!(" {FLAGS}") } else { String::new() };
        let columns = home.database.columns(view);
        assert_eq!(columns.join(" "), format!("{contract}{flags}{helpers}"), "{view}");
    }
}

/// One reading in, one row of `readings` out.
#[track_caller]
fn check(micros: i64, mw: Option<i64>, flags: &[Flag], expected: &str) {
    let mut home = Home::with_meters();
    let kw = mw.map(Power::from_milliwatts);
    let row = flagged(Reading { ts: Ts::from_micros(micros), kw, ..reading(0, 1, 1) }, flags);
    let outlier = standing(Standing::Outlier, row);
    home.commit(ChangeSet { inserted: vec![(A, row)], outcome: done(1, 1), ..ChangeSet::default() });
    home.commit(ChangeSet {
        replaced: vec![replaced(B, None, Some(Reading { upload: 2, ..outlier }))],
        raw: vec![raw(&Reading { upload: 2, ..row })],
        superseded: vec![SupersededRow { row_number: 2, ..superseded(B, Reading { upload: 2, ..row }) }],
        outcome: done(2, 2),
        ..ChangeSet::default()
    });
    home.expect("SELECT ts, kw, flags FROM readings", &[expected]);
    // the queue's and the losers' instants are stored in another way
    let own_kw = if flags.contains(&Flag::MissingValue) { None } else { kw };
    let kw_text = own_kw.map_or("-".to_owned(), |kw| format!("{:?}", kw.kw()));
    let ts = expected.split(' ').next().unwrap();
    home.expect("SELECT ts, kw, date FROM error_queue", &[&format!("{ts} {kw_text} {}", &ts[..10])]);
    home.expect("SELECT ts, date FROM superseded", &[&format!("{ts} {}", &ts[..10])]);
    home.expect("SELECT date FROM readings", &[&ts[..10]]);
    home.expect("SELECT date FROM newest", &[&ts[..10]]);
}

#[test]
fn instants_power_and_flags_are_written_as_the_contract_says() {
    let quarter = at(15).micros();
    check(quarter, Some(1_500_000), &[], "2026-03-02T00:15:00Z 1.5 []");
    check(quarter + 250_000, Some(1), &[], "2026-03-02T00:15:00.250000Z 1e-6 []");
    check(
        quarter + 1,
        Some(0),
        &[Flag::UnitConverted],
        "2026-03-02T00:15:00.000001Z 0.0 [\"unit_converted\"]",
    );
    check(-1, Some(-3_200_000), &[], "1969-12-31T23:59:59.999999Z -3.2 []");
    check(-3_600_000_000, Some(99_999_999_000_000), &[], "1969-12-31T23:00:00Z 99999999.0 []");
    check(quarter, None, &[Flag::MissingValue], "2026-03-02T00:15:00Z - [\"missing_value\"]");
    let first = days_from_civil(1, 1, 1) * greenstream_core::DAY;
    check(first, Some(7), &[], "0001-01-01T00:00:00Z 7e-6 []");
    let last = days_from_civil(9999, 12, 31) * greenstream_core::DAY + greenstream_core::DAY - 1;
    check(last, Some(7), &[], "9999-12-31T23:59:59.999999Z 7e-6 []");
    let all: Vec<_> = FLAGS.split_whitespace().map(|name| format!("\"{name}\"")).collect();
    check(quarter, Some(1), &Flag::ALL, &format!("2026-03-02T00:15:00Z 1e-6 [{}]", all.join(",")));
}

#[test]
fn each_flag_has_a_boolean_column_that_where_understands() {
    let mut home = Home::with_meters();
    let inserted = Flag::ALL
        .iter()
        .zip(1..)
        .map(|(flag, row)| (A, flagged(reading(i64::from(row), 1, row), &[*flag])))
        .collect();
    home.commit(ChangeSet { inserted, outcome: done(1, 10), ..ChangeSet::default() });
    for (flag, row) in Flag::ALL.iter().zip(1..) {
        let name = flag.name();
        home.expect(&format!("SELECT row_number FROM readings WHERE {name}"), &[&row.to_string()]);
        home.expect(&format!("SELECT count(*) FROM readings WHERE NOT {name}"), &["9"]);
        if server().is_some() {
            // flags are an array there
            continue;
        }
        home.expect(
            &format!("SELECT flags ->> 0, json_array_length(flags) FROM readings WHERE {name}"),
            &[&format!("{name} 1")],
        );
    }
}

#[test]
fn measured_holds_values_and_open_outliers_and_newest_the_last_of_each_meter() {
    let mut home = Home::with_meters();
    let missing = flagged(Reading { kw: None, ..reading(30, 1, 3) }, &[Flag::MissingValue]);
    let filled = flagged(reading(45, 1, 4), &[Flag::MissingValue, Flag::ForwardFilled]);
    let outlier = standing(Standing::Outlier, reading(60, 1, 5));
    let negative = standing(Standing::Negative, reading(75, 1, 6));
    home.commit(ChangeSet {
        inserted: vec![(A, reading(0, 1, 1)), (A, reading(15, 1, 2)), (A, missing), (A, filled)],
        replaced: vec![replaced(A, None, Some(outlier)), replaced(A, None, Some(negative))],
        raw: vec![raw(&outlier), raw(&negative)],
        outcome: done(1, 6),
        ..ChangeSet::default()
    });
    home.commit(ChangeSet {
        inserted: vec![(B, reading(-600, 2, 1)), (B, reading(-10_000, 2, 2))],
        outcome: done(2, 2),
        ..ChangeSet::default()
    });
    home.expect(
        "SELECT row_number, under_review FROM measured WHERE meter_id = 'A' ORDER BY ts",
        &["1 0", "2 0", "5 1"],
    );
    home.expect(
        "SELECT meter_id, ts FROM newest ORDER BY 1",
        &["A 2026-03-02T00:45:00Z", "B 2026-03-01T14:00:00Z"],
    );
}

#[test]
fn the_error_queue_shows_rows_as_far_as_they_can_be_read() {
    let mut home = Home::with_meters();
    let above = standing(Standing::AboveLimit, flagged(reading(0, 1, 1), &[Flag::UnitConverted]));
    home.commit(ChangeSet {
        replaced: vec![replaced(A, None, Some(above))],
        rejects: vec![
            reject(1, 2, Reason::RowMalformed, "", None),
            reject(1, 3, Reason::ValueInvalid, "O'Hara \"1\"", Some(at(15))),
        ],
        raw: vec![
            raw(&above),
            ((1, 2), "a\u{0}b,\"open".to_owned()),
            ((1, 3), "O'Hara \"1\",2026-03-02T00:15:00Z,x,kW".to_owned()),
        ],
        outcome: done(1, 3),
        ..ChangeSet::default()
    });
    home.expect("SELECT row_number, meter_id, ts, kw, reason, flags, raw, status FROM error_queue ORDER BY 1", &[
        "1 A 2026-03-02T00:00:00Z 1.0 value_above_limit [\"unit_converted\"] line of 1/1 open",
        "2  - - row_malformed [] a\u{0}b,\"open open",
        "3 O'Hara \"1\" 2026-03-02T00:15:00Z - value_invalid [] O'Hara \"1\",2026-03-02T00:15:00Z,x,kW open",
    ]);
    home.expect("SELECT row_number FROM error_queue WHERE date IS NULL", &["2"]);
}

#[test]
fn uploads_deliveries_episodes_and_alerts_are_shown() {
    let mut home = Home::with_meters();
    home.commit(ChangeSet {
        deliveries: vec![(1, "again.csv".to_owned(), at(0))],
        episodes: vec![Episode {
            meter: B,
            kind: EpisodeKind::NearZero,
            first_ts: at(0),
            last_ts: at(15),
            severity: Severity::Confirmed,
            closed: true,
        }],
        alerts: vec![Alert {
            kind: "episode_opened",
            key: "k".to_owned(),
            meter: Some("B".to_owned()),
            upload: None,
            at: at(30),
            message: "meter B stands still".to_owned(),
        }],
        ..ChangeSet::default()
    });
    let sha = landed(1).sha256;
    home.expect(
        "SELECT * FROM uploads WHERE upload = 1",
        &[&format!("1 upload 1.csv {sha} 100 2026-03-05T11:20:00Z landed 0 0 0 0 default - 0 0 - - -")],
    );
    home.expect("SELECT * FROM deliveries", &["1 again.csv 2026-03-02T00:00:00Z"]);
    home.expect(
        "SELECT * FROM episodes",
        &["B near_zero confirmed 2026-03-02T00:00:00Z 2026-03-02T00:15:00Z 1"],
    );
    home.expect(
        "SELECT * FROM alerts",
        &["1 episode_opened B - 2026-03-02T00:30:00Z meter B stands still - 0"],
    );
}
