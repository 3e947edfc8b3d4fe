//! Decisions, dead letters and deliveries, by hand.

use greenstream_model::{
    Action, Configuration, Decision, Entry, Feed, State, Table, Upload, evaluate, read_instant,
};

fn upload(rows: &str) -> Entry {
    upload_in(None, rows)
}

fn upload_in(time_zone: Option<&str>, rows: &str) -> Entry {
    let bytes = format!("meter_id,timestamp,energy_value,energy_unit\n{rows}").into_bytes();
    let landed_at = read_instant("2026-03-10T00:00:00Z").unwrap_or(0);
    let feed = Feed { time_zone: time_zone.map(str::to_owned), ..Feed::default() };
    Entry::Upload(Upload { name: "a.csv".to_owned(), bytes, landed_at, feed })
}

fn decide(upload: u32, row_number: u32, action: Action) -> Entry {
    Entry::Decide(Decision { upload, row_number, action })
}

fn state(journal: &[Entry]) -> State {
    evaluate(journal, &Configuration::default())
}

#[track_caller]
fn check(table: &Table, columns: &[&str], expected: &[&str]) {
    let rows: Vec<String> = table.select(columns).iter().map(|row| row.join(",")).collect();
    assert_eq!(rows, expected);
}

const READING: [&str; 5] = ["ts", "kw", "flags", "upload", "row_number"];
const ENTRY: [&str; 6] = ["upload", "row_number", "kw", "reason", "flags", "status"];
const BOOKS: [&str; 5] = ["status", "rows", "stored", "quarantined", "superseded"];
const ROW: &str = "M1,2026-03-02T00:00:00Z,12,kW\n";

#[test]
fn a_released_row_is_stored_and_listed() {
    let state = state(&[upload(ROW), decide(1, 1, Action::Release)]);
    check(&state.readings, &READING, &["2026-03-02T00:00:00Z,12,released,1,1"]);
    check(&state.error_queue, &ENTRY, &["1,1,12,value_above_limit,,released"]);
    check(&state.measured, &["kw", "flags", "under_review"], &["12,released,false"]);
    check(&state.uploads, &BOOKS, &["done,1,1,0,0"]);
}

#[test]
fn an_edited_row_is_stored_with_the_value_of_the_operator_and_not_judged() {
    let state = state(&[upload(ROW), decide(1, 1, Action::Edit(-2_500_000))]);
    check(&state.readings, &READING, &["2026-03-02T00:00:00Z,-2.5,edited,1,1"]);
    check(&state.error_queue, &ENTRY, &["1,1,12,value_above_limit,,edited"]);
}

#[test]
fn a_discarded_row_stays_quarantined_and_the_next_row_of_its_reading_wins() {
    let rows = "M1,2026-03-02T00:00:00Z,3,kW\nM1,2026-03-02T00:00:00Z,12,kW\n";
    let state = state(&[upload(rows), decide(1, 2, Action::Discard)]);
    check(&state.readings, &READING, &["2026-03-02T00:00:00Z,3,,1,1"]);
    check(&state.error_queue, &ENTRY, &["1,2,12,value_above_limit,duplicate,discarded"]);
    check(&state.uploads, &BOOKS, &["done,2,1,1,0"]);
}

#[test]
fn a_decision_sleeps_while_its_row_is_superseded_and_awakes_with_it() {
    let better = upload("M1,2026-03-02T00:00:00Z,11,kW\n");
    let journal = [upload(ROW), decide(1, 1, Action::Release), better, decide(2, 1, Action::Discard)];
    let asleep = state(&journal[..3]);
    check(&asleep.readings, &READING, &[]);
    check(&asleep.error_queue, &ENTRY, &["2,1,11,value_above_limit,duplicate,open"]);
    check(&asleep.superseded, &["upload", "row_number", "kw"], &["1,1,12"]);
    let awake = state(&journal);
    check(&awake.readings, &READING, &["2026-03-02T00:00:00Z,12,released,1,1"]);
    check(
        &awake.error_queue,
        &ENTRY,
        &["1,1,12,value_above_limit,,released", "2,1,11,value_above_limit,duplicate,discarded"],
    );
}

#[test]
fn an_undone_decision_leaves_the_row_open() {
    for action in [Action::Release, Action::Edit(0), Action::Discard] {
        let state = state(&[upload(ROW), decide(1, 1, action), decide(1, 1, Action::Undo)]);
        check(&state.readings, &READING, &[]);
        check(&state.error_queue, &ENTRY, &["1,1,12,value_above_limit,,open"]);
    }
}

#[test]
fn a_row_that_failed_to_decode_is_edited_or_discarded_but_not_released() {
    let rows = "M1,2026-03-02T01:00:00+01:00,bad,kW\nM1,yesterday,1,kW\n";
    let mut journal = vec![upload(rows), decide(1, 1, Action::Release), decide(1, 2, Action::Edit(1))];
    let open = ["1,1,,value_invalid,,open", "1,2,,timestamp_invalid,,open"];
    check(&state(&journal).error_queue, &ENTRY, &open);
    journal.extend([decide(1, 1, Action::Edit(4_000_000)), decide(1, 2, Action::Discard)]);
    check(&state(&journal).readings, &READING, &["2026-03-02T00:00:00Z,4,edited,1,1"]);
    let decided = ["1,1,,value_invalid,,edited", "1,2,,timestamp_invalid,,discarded"];
    check(&state(&journal).error_queue, &ENTRY, &decided);
    check(&state(&journal).uploads, &BOOKS, &["done,2,1,1,0"]);
}

#[test]
fn only_rows_in_the_error_queue_can_be_decided() {
    let rows = "M1,2026-03-02T00:00:00Z,3,kW\nM1,2026-03-02T00:15:00Z,,kW\n";
    let journal = [upload(rows), decide(1, 1, Action::Discard), decide(1, 2, Action::Edit(1))];
    assert_eq!(state(&journal), state(&journal[..1]));
    assert_eq!(state(&[decide(1, 1, Action::Discard), upload(ROW)]), state(&[upload(ROW)]));
}

#[test]
fn a_released_outlier_keeps_its_reason_when_late_data_would_acquit_it() {
    let mut rows = String::new();
    for minute in 10..30 {
        rows.push_str(&format!("M1,2026-03-02T00:{minute}:00Z,1,kW\n"));
    }
    rows.push_str("M1,2026-03-02T01:00:00Z,9,kW\n");
    let acquitting = |minute: i32| format!("M1,2026-03-01T12:{minute}:00Z,{},kW\n", 1 + minute % 2 * 8);
    let acquitting: String = (10..60).map(acquitting).collect();
    let journal = [upload(&rows), decide(1, 21, Action::Release), upload(&acquitting)];
    check(&state(&journal[..1]).error_queue, &ENTRY, &["1,21,9,outlier,,open"]);
    check(&state(&journal).error_queue, &ENTRY, &["1,21,9,outlier,,released"]);
    let undone = [&journal[..], &[decide(1, 21, Action::Undo)]].concat();
    check(&state(&undone).error_queue, &ENTRY, &[]);
}

#[test]
fn an_upload_is_dead_above_20_per_cent_of_at_least_100_rows() {
    for (rows, failing, status) in
        [(100, 20, "done"), (100, 21, "dead"), (99, 99, "done"), (104, 21, "dead"), (105, 21, "done")]
    {
        let row = |at: usize| {
            format!("M1,2026-03-02T00:00:{:02}Z,{},kW\n", at % 60, if at < failing { "bad" } else { "1" })
        };
        let text: String = (0..rows).map(row).collect();
        check(&state(&[upload(&text)]).uploads, &["status"], &[status]);
    }
}

#[test]
fn the_bytes_of_a_dead_letter_are_tried_again_under_another_zone_and_others_are_refused() {
    let rows: String = (10..60)
        .map(|at| format!("M1,2026-03-02T00:{at}:00,1,kW\nm1,2026-03-02T00:{at}:00,1,kW\n"))
        .collect();
    let mut journal = vec![upload(&rows), Entry::Retry(1), upload(ROW)];
    check(&state(&journal).uploads, &BOOKS, &["dead,0,0,0,0", "done,1,0,1,0"]);
    journal.push(upload_in(Some("Europe/Berlin"), &rows));
    journal.push(upload_in(Some("Europe/Berlin"), ROW));
    let tried = state(&journal);
    check(&tried.uploads, &BOOKS, &["done,100,100,0,0", "done,1,0,1,0"]);
    journal.push(upload(&rows));
    assert_eq!(state(&journal), tried);
}

#[test]
fn a_header_that_does_not_fit_makes_a_dead_letter() {
    let landed_at = 0;
    for (text, status) in [
        ("", "dead"),
        ("\u{feff}\n\r\n", "dead"),
        ("meter_id,timestamp,energy_value\n", "dead"),
        ("meter_id,timestamp,energy_value,energy_unit,METER_ID\n", "dead"),
        ("meter_id,timestamp,energy_value,\"energy_unit\n", "dead"),
        ("\n Meter_ID ,timestamp,\"ENERGY_VALUE\",note,energy_unit,note", "done"),
    ] {
        let upload = Upload { name: "a".to_owned(), bytes: text.into(), landed_at, feed: Feed::default() };
        check(&state(&[Entry::Upload(upload)]).uploads, &["status", "rows"], &[&format!("{status},0")]);
    }
}

#[test]
fn a_time_15_minutes_after_landing_is_valid_and_a_microsecond_more_is_not() {
    let rows = "M1,2026-03-10T00:15:00Z,1,kW\nM1,2026-03-10T00:15:00.000001Z,1,kW\n";
    let state = state(&[upload(rows)]);
    check(&state.readings, &READING, &["2026-03-10T00:15:00Z,1,,1,1"]);
    check(&state.error_queue, &["reason", "ts"], &["timestamp_in_future,2026-03-10T00:15:00.000001Z"]);
}

#[test]
fn energy_and_megawatts_count_where_the_feed_declares_them() {
    let rows = "M1,2026-03-02T00:00:00Z,1,kWh\nM1,2026-03-02T00:15:00Z,500,wh\nM1,2026-03-02T00:30:00Z,.002,MW\n\
        M1,2026-03-02T00:45:00Z,2,kW\nM1,2026-03-02T01:00:00Z,NaN,kWh\n";
    let mut entry = upload(rows);
    check(&state(&[entry.clone()]).error_queue, &["reason"], &["unit_unknown"; 3]);
    if let Entry::Upload(upload) = &mut entry {
        upload.feed = Feed { time_zone: None, megawatts: true, interval_seconds: Some(900) };
    }
    let expected = ["4,energy_to_power", "2,energy_to_power", "2,unit_converted", "2,", ",missing_value"];
    check(&state(&[entry]).readings, &["kw", "flags"], &expected);
}
