//! Decode by hand: the corners of lines, meters and times.

use greenstream_model::{Configuration, Entry, Feed, State, Upload, evaluate, read_instant};

fn state(time_zone: Option<&str>, rows: &[u8]) -> State {
    let bytes = [b"meter_id,timestamp,energy_value,energy_unit\n", rows].concat();
    let landed_at = read_instant("9999-12-31T23:59:59Z").unwrap_or(0);
    let feed = Feed { time_zone: time_zone.map(str::to_owned), ..Feed::default() };
    let upload = Upload { name: "a.csv".to_owned(), bytes, landed_at, feed };
    evaluate(&[Entry::Upload(upload)], &Configuration::default())
}

/// The time that a text means, with its flags, or the reason for which it is refused.
#[track_caller]
fn check_time(time_zone: Option<&str>, text: &str, expected: &str) {
    let state = state(time_zone, format!("M1,{text},1,kW").as_bytes());
    let mut seen = state.readings.select(&["ts", "flags"]);
    seen.extend(state.error_queue.select(&["reason"]));
    let seen: Vec<String> = seen.iter().map(|row| row.join(" ").trim_end().to_owned()).collect();
    assert_eq!(seen, [expected], "{text} in {time_zone:?}");
}

#[test]
fn times_are_iso_8601_or_epoch_and_nothing_else() {
    for (text, expected) in [
        ("2026-03-02T00:00Z", "2026-03-02T00:00:00Z"),
        ("2026-03-02 00:00:00.1234569Z", "2026-03-02T00:00:00.123456Z"),
        ("2026-03-02T00:00:00-00:00", "2026-03-02T00:00:00Z"),
        ("2026-03-02T00:00:00+23:59", "2026-03-01T00:01:00Z utc_normalized"),
        ("2026-03-02T00:00+05", "2026-03-01T19:00:00Z utc_normalized"),
        ("2026-03-02T00:00-0530", "2026-03-02T05:30:00Z utc_normalized"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ("1772409600", "2026-03-02T00:00:00Z"),
        ("1772409600001", "2026-03-02T00:00:00.001000Z"),
    ] {
        check_time(None, text, expected);
    }
    for text in [
        "0000-12-31T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "2026-03-02T00:00:00+24:00",
        "2026-03-02T00:00:00+5",
        "2026-03-02T00:00:00+05:",
        "2026-03-02T00:00:00.Z",
        "2026-03-02T00:00.5Z",
        "2026-03-02t00:00:00Z",
        "2026-03-02T00:00:00z",
        "2026-03-02T00:00:00 Z",
        "2026-3-2T00:00:00Z",
        "20260302T000000Z",
        "+2026-03-02T00:00:00Z",
        "2026-03-02T0é:00:00Z",
        "177240960",
        "17724096000",
        "-1772409600",
    ] {
        check_time(None, text, "timestamp_invalid");
    }
}

#[test]
fn times_without_an_offset_are_read_in_the_zone_of_the_feed() {
    for (time_zone, text, expected) in [
        (None, "2026-03-02T00:00:00", "timestamp_no_zone"),
        (Some("UTC"), "2026-03-02T00:00:00", "2026-03-02T00:00:00Z"),
        (Some("Europe/London"), "2026-03-02T00:00:00", "2026-03-02T00:00:00Z utc_normalized"),
        (Some("Europe/London"), "2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z"),
        (Some("Europe/London"), "2026-03-29T00:59:59", "2026-03-29T00:59:59Z utc_normalized"),
        (Some("Europe/London"), "2026-03-29T01:00:00", "timestamp_nonexistent"),
        (Some("Europe/London"), "2026-03-29T02:00:00", "2026-03-29T01:00:00Z utc_normalized"),
        (Some("Europe/London"), "2025-10-26T01:00:00", "2025-10-26T00:00:00Z utc_normalized|dst_resolved"),
        (Some("Europe/London"), "2025-10-26T02:00:00", "2025-10-26T02:00:00Z utc_normalized"),
        (
            Some("Australia/Lord_Howe"),
            "2026-04-05T01:45:00",
            "2026-04-04T14:45:00Z utc_normalized|dst_resolved",
        ),
    ] {
        check_time(time_zone, text, expected);
    }
}

/// The instants of rows of wall times on 26 October 2025 in London, in file order.
#[track_caller]
fn check_walls(rows: &[&str], expected: &[&str]) {
    let text: String = rows.iter().map(|row| format!("{row},kW\n")).collect();
    let state = state(Some("Europe/London"), text.replace('@', "2025-10-26T").as_bytes());
    let mut seen = state.readings.select(&["row_number", "ts"]);
    seen.extend(state.superseded.select(&["row_number", "ts"]));
    seen.extend(state.error_queue.select(&["row_number", "ts"]));
    seen.sort_by_key(|row| row[0].parse::<u32>().unwrap_or(0));
    let seen: Vec<String> = seen.iter().map(|row| row[1].replace("2025-10-26T", "")).collect();
    assert_eq!(seen, expected, "{rows:?}");
}

#[test]
fn repeated_wall_times_are_told_apart_by_their_occurrence() {
    let (early, late) = ("00:00:00Z", "01:00:00Z");
    check_walls(&["A,@01:00,1", "A,@01:00,2", "A,@01:00,3"], &[early, late, late]);
    check_walls(&["A,@01:00,1", "B,@01:00,2", "A,@01:00,3"], &[early, early, late]);
    check_walls(&["A,@01:00,bad", "A,@01:00,2"], &[early, late]);
    check_walls(&["A,@01:00+01:00,1", "A,@01:00,2"], &[early, early]);
    check_walls(&["A,@01:00,1,spoilt", "A,@01:00,2"], &["", early]);
    check_walls(&["\u{200b},@01:00,1", "A,@01:00,2"], &["", early]);
    // One step back and one forth: file order. Two back and one forth: reverse.
    check_walls(&["A,@01:00,1", "A,@00:30,1", "A,@01:00,2"], &[early, "2025-10-25T23:30:00Z", late]);
    check_walls(
        &["A,@01:00,1", "A,@00:30,1", "A,@01:00,2", "A,@00:15,2"],
        &[late, "2025-10-25T23:30:00Z", early, "2025-10-25T23:15:00Z"],
    );
}

#[test]
fn a_line_that_cannot_be_read_is_one_row_and_an_empty_line_none() {
    let rows = b"M1,2026-03-02T00:00:00Z,1,kW\r\n\r\n\nM1,2026-03-02T00:15:00Z,1,k\rW\n \nM1,\xff,1,kW\nM1,2026-03-02T00:30:00Z,\0,kW\n\"M1,2026-03-02T00:45:00Z,1,kW\nM1,2026-03-02T01:00:00Z,1,kW\r";
    let state = state(None, rows);
    assert_eq!(state.readings.select(&["row_number"]), [["1"]]);
    let reasons: Vec<String> = state.error_queue.select(&["row_number", "reason"]).concat();
    let expected = ["2", "3", "4", "5", "6", "7"].map(|row| [row, "row_malformed"]).concat();
    assert_eq!(reasons, expected);
}

#[test]
fn the_first_failure_names_the_reason() {
    for (row, expected) in [
        (",yesterday,bad,BTU", "meter_id_invalid,,,"),
        ("M1,yesterday,bad,BTU", "timestamp_invalid,M1,,"),
        ("M1,2026-03-02T00:00:00Z,bad,BTU", "value_invalid,M1,2026-03-02T00:00:00Z,"),
        ("M1,2026-03-02T00:00:00+01:00,1e400,BTU", "unit_unknown,M1,2026-03-01T23:00:00Z,"),
        ("M1,2026-03-02T00:00:00Z,1e400,W", "value_invalid,M1,2026-03-02T00:00:00Z,"),
    ] {
        let queue = state(None, row.as_bytes()).error_queue;
        let rows: Vec<String> =
            queue.select(&["reason", "meter_id", "ts", "flags"]).iter().map(|row| row.join(",")).collect();
        assert_eq!(rows, [expected], "{row}");
    }
}
