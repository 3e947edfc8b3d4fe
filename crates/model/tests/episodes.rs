//! Episodes by hand: each threshold of rule 4 from both sides.

use greenstream_model::{Configuration, Entry, Feed, Upload, evaluate, read_instant};

/// Readings of one meter as `TIME VALUE`, and its episodes as `severity first last`.
#[track_caller]
fn check(readings: &[String], expected: &[&str]) {
    check_in("UTC", readings, expected);
}

#[track_caller]
fn check_in(reporting_zone: &str, readings: &[String], expected: &[&str]) {
    let mut text = "timestamp,energy_value,meter_id,energy_unit\n".to_owned();
    for reading in readings {
        text.push_str(&format!("{},M1,kW\n", reading.replace(' ', ",")));
    }
    let landed_at = read_instant("2030-01-01T00:00:00Z").unwrap_or(0);
    let upload =
        Upload { name: "a.csv".to_owned(), bytes: text.into_bytes(), landed_at, feed: Feed::default() };
    let reporting_zone = reporting_zone.to_owned();
    let configuration = Configuration { reporting_zone, ..Configuration::default() };
    let state = evaluate(&[Entry::Upload(upload)], &configuration);
    let columns = ["meter_id", "kind", "severity", "first_ts", "last_ts"];
    let expected: Vec<String> = expected.iter().map(|episode| format!("M1 near_zero {episode}")).collect();
    let episodes: Vec<String> = state.episodes.select(&columns).iter().map(|row| row.join(" ")).collect();
    assert_eq!(episodes, expected);
}

/// The given readings, each `DAY HH:MM VALUE`, in March 2026.
fn march(readings: &[&str]) -> Vec<String> {
    let full = |reading: &&str| {
        let parts: Vec<&str> = reading.split(' ').collect();
        format!("2026-03-{}T{}:00Z {}", parts[0], parts[1], parts[2])
    };
    readings.iter().map(full).collect()
}

#[test]
fn a_run_of_exactly_24_hours_is_no_episode_and_a_minute_more_is_one() {
    check(&march(&["02 00:00 0", "03 00:00 0", "03 00:01 1"]), &[]);
    check(
        &march(&["02 00:00 0", "03 00:01 0", "03 00:02 1"]),
        &["suspected 2026-03-03T00:01:00Z 2026-03-03T00:01:00Z"],
    );
}

#[test]
fn just_below_10_watts_is_near_zero_and_10_watts_are_not() {
    check(
        &march(&["02 00:00 0.009999", "02 12:00 0.009999", "03 01:00 0.009999"]),
        &["suspected 2026-03-03T01:00:00Z 2026-03-03T01:00:00Z"],
    );
    check(&march(&["02 00:00 0.009999", "02 12:00 0.01", "03 01:00 0.009999"]), &[]);
    check(&march(&["02 00:00 0.01", "02 12:00 0.009999", "03 01:00 0.009999"]), &[]);
}

#[test]
fn an_episode_goes_from_the_first_flagged_reading_to_the_last_before_the_run_ends() {
    check(
        &march(&["02 00:00 0", "03 01:00 0", "03 02:00 0", "03 03:00 ", "03 04:00 -5", "03 05:00 0.01"]),
        &["suspected 2026-03-03T01:00:00Z 2026-03-03T04:00:00Z"],
    );
    check(
        &march(&["02 00:00 0", "03 01:00 0", "03 05:00 ", "03 06:00 1", "03 07:00 ", "03 08:00 0"]),
        &["suspected 2026-03-03T01:00:00Z 2026-03-03T05:00:00Z"],
    );
}

#[test]
fn an_open_episode_ends_with_the_last_reading_so_far() {
    check(
        &march(&["02 00:00 0", "03 01:00 0", "03 02:00 "]),
        &["suspected 2026-03-03T01:00:00Z 2026-03-03T02:00:00Z"],
    );
}

#[test]
fn readings_that_are_not_measured_neither_begin_nor_extend_a_run() {
    check(&march(&["02 00:00 ", "02 01:00 0", "03 01:00 0", "03 02:00 "]), &[]);
    check(&march(&["02 00:00 -1", "02 01:00 0", "03 01:00 0", "03 02:00 -1", "03 02:01 1"]), &[]);
}

#[test]
fn each_run_has_an_episode_of_its_own() {
    check(
        &march(&["02 00:00 0", "03 01:00 0", "03 02:00 1", "03 03:00 0", "04 04:00 0"]),
        &[
            "suspected 2026-03-03T01:00:00Z 2026-03-03T01:00:00Z",
            "suspected 2026-03-04T04:00:00Z 2026-03-04T04:00:00Z",
        ],
    );
}

#[test]
fn three_zero_days_are_suspected_and_four_confirmed() {
    check(
        &march(&["02 12:00 0", "03 12:00 0", "04 12:00 0", "05 12:00 1"]),
        &["suspected 2026-03-04T12:00:00Z 2026-03-04T12:00:00Z"],
    );
    check(
        &march(&["02 12:00 0", "03 12:00 0", "04 12:00 0", "05 12:00 0", "06 12:00 1"]),
        &["confirmed 2026-03-04T12:00:00Z 2026-03-05T12:00:00Z"],
    );
}

#[test]
fn a_day_with_any_other_value_is_no_zero_day() {
    let ends = "suspected 2026-03-04T12:00:00Z 2026-03-05T23:00:00Z";
    check(&march(&["02 12:00 0", "03 12:00 0", "04 12:00 0", "05 12:00 0", "05 23:00 0.000001"]), &[ends]);
    let ends = "suspected 2026-03-03T12:00:00Z 2026-03-05T12:00:00Z";
    check(&march(&["02 01:00 1", "02 02:00 0", "03 12:00 0", "04 12:00 0", "05 12:00 0"]), &[ends]);
    let ends = "suspected 2026-03-04T12:00:00Z 2026-03-08T12:00:00Z";
    let twice_three = [
        "02 12:00 0",
        "03 12:00 0",
        "04 12:00 0",
        "05 12:00 0.001",
        "06 12:00 0",
        "07 12:00 0",
        "08 12:00 0",
    ];
    check(&march(&twice_three), &[ends]);
}

#[test]
fn days_without_measured_readings_are_skipped_not_counted() {
    check(
        &march(&["02 12:00 0", "04 12:00 0", "05 12:00 ", "07 12:00 0", "08 12:00 -1", "20 12:00 0"]),
        &["confirmed 2026-03-04T12:00:00Z 2026-03-20T12:00:00Z"],
    );
    check(
        &march(&["02 12:00 0", "04 12:00 0", "05 12:00 ", "07 12:00 0", "08 12:00 -1"]),
        &["suspected 2026-03-04T12:00:00Z 2026-03-08T12:00:00Z"],
    );
}

#[test]
fn zero_days_are_those_of_the_reporting_zone() {
    // In Berlin (an hour ahead) the reading at 23:30 belongs to the next day, so that four days are zero.
    let readings = march(&["02 12:00 0", "03 12:00 0", "04 12:00 0", "04 23:30 0"]);
    check_in("UTC", &readings, &["suspected 2026-03-04T12:00:00Z 2026-03-04T23:30:00Z"]);
    check_in("Europe/Berlin", &readings, &["confirmed 2026-03-04T12:00:00Z 2026-03-04T23:30:00Z"]);
}
