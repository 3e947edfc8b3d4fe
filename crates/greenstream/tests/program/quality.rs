//! Completeness and silent meters through the real program.

use std::fmt::Write as _;
use std::ops::Range;

use crate::common::{Home, Row};

/// Hourly readings of a meter on a day of March 2026.
fn hourly(meter: &str, day: u32, hours: Range<u32>) -> String {
    hours.fold(String::new(), |mut rows, hour| {
        writeln!(rows, "{meter},2026-03-{day:02}T{hour:02}:00:00Z,1.{},kW", hour % 7).unwrap();
        rows
    })
}

/// Whole days of a meter.
fn days(meter: &str, days: Range<u32>) -> String {
    days.map(|day| hourly(meter, day, 0..24)).collect()
}

fn columns(rows: &[Row], names: &[&str]) -> Vec<String> {
    rows.iter()
        .map(|row| names.iter().map(|name| row[*name].as_str()).collect::<Vec<_>>().join(" "))
        .collect()
}

/// meter, day and the counts that are asked for; checks the identities of every row.
#[track_caller]
fn quality(home: &Home, names: &[&str]) -> Vec<String> {
    let rows = home.export("quality");
    for row in &rows {
        let number = |name: &str| row[name].parse::<u64>().unwrap();
        assert_eq!(number("expected"), number("present") + number("absent"), "{row:?}");
        let parts = ["trusted", "filled", "missing", "quarantined"].map(number);
        assert_eq!(number("present"), parts.iter().sum::<u64>(), "{row:?}");
        assert!(number("late") <= number("present"), "{row:?}");
    }
    columns(&rows, &[&["meter_id", "day"], names].concat())
}

fn silent(home: &Home) -> Vec<String> {
    let episodes = home.export("episodes").into_iter().filter(|row| row["kind"] == "silent");
    columns(&episodes.collect::<Vec<_>>(), &["meter_id", "severity", "first_ts", "last_ts"])
}

fn alerts(home: &Home) -> Vec<String> {
    columns(&home.export("alerts"), &["kind", "meter_id"])
}

#[test]
fn a_reading_of_a_reset_clock_makes_no_day_since_then_a_day_of_its_meter() {
    let home = Home::new();
    let reset = hourly("B", 2, 0..5).replace("2026-03-02", "1970-01-02");
    home.ingest("a.csv", &format!("{}{reset}A,0001-01-02T00:00:00Z,1,kW\n", days("B", 2..4)));
    let rows = quality(&home, &["expected"]);
    // ten years before the newest day of the feed are counted
    assert_eq!(rows.len(), 3_661);
    assert!(rows[0].as_str() > "B 2016" && rows[0].ends_with(" 24"), "{}", rows[0]);
    home.ok(&["rebuild", "--check"]);
}

#[test]
fn each_slot_of_a_day_is_counted_by_what_it_holds() {
    let home = Home::new();
    // from noon on: a gap filled, one not, a value below the limits, a duplicate, and two slots absent
    home.ingest(
        "a.csv",
        "A,2026-03-02T12:00:00Z,1,kW\nA,2026-03-02T12:15:00Z,,kW\nA,2026-03-02T12:30:00Z,1,kW\n\
         A,2026-03-02T12:45:00Z,-1,kW\nA,2026-03-02T13:00:00Z,1,kW\nA,2026-03-02T13:00:00Z,2,kW\n\
         A,2026-03-02T13:45:00Z,1,kW\nA,2026-03-02T14:00:00Z,,kW\nA,2026-03-02T14:15:00Z,1x,kW\n",
    );
    let names =
        ["interval_s", "expected", "present", "absent", "trusted", "filled", "missing", "quarantined"];
    // what failed to decode at 14:15 is no reading; nothing is expected before the first and after the newest
    assert_eq!(quality(&home, &names), ["A 2026-03-02 900 9 7 2 4 1 1 1"]);
    assert_eq!(quality(&home, &["late", "extra", "feed", "feeder"]), ["A 2026-03-02 7 0 default "]);
    let shown = home.ok(&["quality", "--json"]).json();
    assert_eq!(shown["rows"][0]["meter_id"], "A");
    assert_eq!(shown["total"]["complete_percent"].as_f64().unwrap().to_string(), "55.55");
    home.is_whole();
}

#[test]
fn a_meter_is_expected_until_the_newest_reading_of_its_feed() {
    let home = Home::new();
    home.ingest("a.csv", &(days("A", 2..5) + &hourly("A", 5, 0..6)));
    home.ingest("b.csv", &(hourly("B", 2, 18..24) + &hourly("B", 3, 0..4)));
    assert_eq!(
        quality(&home, &["expected", "present"])[4..],
        ["B 2026-03-02 6 6", "B 2026-03-03 24 4", "B 2026-03-04 24 0", "B 2026-03-05 6 0"]
    );
    let worst = home.ok(&["quality", "--json"]).json();
    assert_eq!(worst["rows"][0]["meter_id"], "B");
    assert_eq!(worst["rows"][0]["absent"], 50);
    let of_days =
        home.ok(&["quality", "--meter", "B", "--from", "2026-03-03", "--to", "2026-03-05", "--json"]);
    assert_eq!(of_days.json()["rows"].as_array().unwrap().len(), 2);
    home.ok(&["quality", "--by", "day", "--limit", "1"]).says("the first 1 of 4");
    home.run(&["quality", "--meter", "C"]).exits(2).says("no reading of a meter \"C\"");
    home.run(&["quality", "--from", "2027-01-01"]).exits(0).says("no readings in these days");
}

#[test]
fn the_registry_says_interval_and_feeder_from_a_date_on() {
    let home = Home::new();
    home.configure(
        "meters.csv",
        "meter_id,interval,feeder,valid_from\nA,30min,F1,\nA,15min,F2,2026-03-03\nB,,F1,\n",
    );
    home.ingest("a.csv", &(days("A", 2..4) + &days("B", 2..4)));
    assert_eq!(
        quality(&home, &["interval_s", "feeder", "expected"]),
        [
            "A 2026-03-02 1800 F1 48",
            "A 2026-03-03 900 F2 93",
            "B 2026-03-02 3600 F1 24",
            "B 2026-03-03 3600 F1 24"
        ]
    );
    let feeders = home.ok(&["quality", "--by", "feeder", "--json"]).json();
    assert_eq!(feeders["rows"][0]["feeder"], "F2");
    assert_eq!(feeders["rows"][1]["expected"], 48 + 48);
    home.is_whole();
}

#[test]
fn days_are_those_of_the_reporting_zone() {
    let home = Home::new();
    home.configure("greenstream.toml", "reporting_zone = \"Europe/Berlin\"\n");
    home.ingest("a.csv", &days("A", 27..32));
    assert_eq!(
        quality(&home, &["expected", "present"]),
        [
            "A 2026-03-27 23 23",
            "A 2026-03-28 24 24",
            "A 2026-03-29 23 23",
            "A 2026-03-30 24 24",
            "A 2026-03-31 24 24",
            "A 2026-04-01 2 2"
        ]
    );
}

#[test]
fn a_learned_interval_follows_the_meter_and_outlives_a_thin_day() {
    let home = Home::new();
    let half_hours =
        |day: u32| hourly("A", day, 0..24) + &hourly("A", day, 0..24).replace(":00:00Z", ":30:00Z");
    // hours, then half hours, then two readings, then nothing but the other meter
    home.ingest(
        "a.csv",
        &(days("A", 2..4) + &half_hours(4) + &hourly("A", 5, 0..1) + &hourly("A", 5, 18..19)),
    );
    home.ingest("b.csv", &days("B", 2..7));
    assert_eq!(
        quality(&home, &["interval_s", "expected", "present"])[..5],
        [
            "A 2026-03-02 3600 24 24",
            "A 2026-03-03 3600 24 24",
            "A 2026-03-04 1800 48 48",
            "A 2026-03-05 1800 48 2",
            "A 2026-03-06 1800 47 0"
        ]
    );
    // asked for one day alone, the answer is the same
    let alone = home.ok(&["quality", "--meter", "A", "--from", "2026-03-06", "--json"]).json();
    assert_eq!(alone["rows"][0]["expected"], 47);
}

#[test]
fn one_reading_a_day_is_expected_of_a_daily_meter_also_when_clocks_change() {
    let home = Home::new();
    home.configure("greenstream.toml", "reporting_zone = \"Europe/Berlin\"\n");
    let rows: String = (24..32)
        .filter(|day| *day != 30)
        .map(|day| format!("A,2026-03-{day}T00:00:00+0{}:00,1,kW\n", 1 + u32::from(day > 29)))
        .collect();
    home.ingest("a.csv", &rows);
    let counts = quality(&home, &["expected", "present"]);
    assert_eq!(counts.len(), 8);
    assert_eq!(counts[5..], ["A 2026-03-29 1 1", "A 2026-03-30 1 0", "A 2026-03-31 1 1"]);
}

#[test]
fn a_silent_meter_is_an_episode_from_one_whole_day_on_until_it_wakes() {
    let home = Home::new();
    home.ingest("1.csv", &(days("A", 2..4) + &hourly("B", 2, 0..20)));
    assert_eq!(silent(&home), [""; 0], "the third is not over");
    home.ingest("2.csv", &hourly("A", 4, 0..1));
    assert_eq!(silent(&home), ["B suspected 2026-03-02T20:00:00Z 2026-03-04T00:00:00Z"]);
    assert_eq!(alerts(&home), ["episode_opened B"]);
    home.ingest("3.csv", &(hourly("A", 4, 1..24) + &days("A", 5..6) + &hourly("A", 6, 0..2)));
    assert_eq!(silent(&home), ["B suspected 2026-03-02T20:00:00Z 2026-03-06T00:00:00Z"], "three days");
    home.ingest("4.csv", &(hourly("A", 6, 2..24) + &hourly("A", 7, 0..2)));
    assert_eq!(silent(&home), ["B confirmed 2026-03-02T20:00:00Z 2026-03-07T00:00:00Z"], "four");
    assert_eq!(alerts(&home), ["episode_opened B", "episode_confirmed B"]);
    home.ingest("5.csv", &hourly("B", 7, 5..6));
    assert_eq!(silent(&home), ["B confirmed 2026-03-02T20:00:00Z 2026-03-07T05:00:00Z"]);
    assert_eq!(alerts(&home)[2..], ["episode_closed B"]);
    home.ok(&["episodes", "--meter", "B"]).says("silent");
    // late data leaves two silent days, then none
    home.ingest("6.csv", &hourly("B", 4, 0..1));
    assert_eq!(
        silent(&home),
        [
            "B suspected 2026-03-02T20:00:00Z 2026-03-04T00:00:00Z",
            "B suspected 2026-03-04T01:00:00Z 2026-03-07T05:00:00Z"
        ]
    );
    home.is_whole();
    home.ingest(
        "7.csv",
        &["03T00", "05T00", "06T00"].map(|at| format!("B,2026-03-{at}:00:00Z,1,kW\n")).concat(),
    );
    assert_eq!(silent(&home), [""; 0]);
    assert_eq!(alerts(&home).last().unwrap(), "episode_changed B");
    let told = alerts(&home);
    home.ok(&["rebuild"]);
    assert_eq!(alerts(&home), told, "a rebuild raises none");
    home.is_whole();
}

#[test]
fn a_day_is_silent_only_from_the_end_of_the_last_interval_on() {
    let home = Home::new();
    // once a day at noon: the reading of the second speaks for the third until noon
    let noons: String = [2, 3, 4, 6, 9].map(|day| hourly("D", day, 12..13)).concat();
    home.ingest("a.csv", &(days("A", 2..10) + &noons));
    assert_eq!(silent(&home), ["D suspected 2026-03-07T12:00:00Z 2026-03-09T12:00:00Z"]);
    home.is_whole();
}

#[test]
fn a_day_on_which_the_whole_feed_is_silent_makes_no_meter_silent() {
    let home = Home::new();
    let both = |range: Range<u32>| days("A", range.clone()) + &days("B", range);
    home.ingest("a.csv", &(both(2..4) + &both(6..8)));
    assert_eq!(silent(&home), [""; 0]);
    home.ingest("b.csv", &hourly("A", 5, 3..4));
    assert_eq!(silent(&home), ["B suspected 2026-03-04T00:00:00Z 2026-03-06T00:00:00Z"]);
    home.is_whole();
}

#[test]
fn a_meter_is_measured_by_its_own_feed() {
    let home = Home::new();
    home.configure(
        "feeds/slow.toml",
        "name = \"slow\"\nnames = [\"slow*\"]\n[columns]\nmeter = \"meter_id\"\ntimestamp = \"timestamp\"\n\
         value = \"energy_value\"\nunit = \"energy_unit\"\n",
    );
    home.ingest("slow.csv", &days("S", 2..4));
    home.ingest("a.csv", &days("A", 2..8));
    assert_eq!(silent(&home), [""; 0]);
    let feeds = home.ok(&["quality", "--by", "feed", "--from", "2026-03-02", "--json"]).json();
    let rows = feeds["rows"].as_array().unwrap();
    let expected: Vec<_> = rows.iter().map(|row| (row["feed"].as_str().unwrap(), &row["expected"])).collect();
    assert_eq!(expected, [("default", &(6 * 24).into()), ("slow", &(2 * 24).into())]);
    home.ingest("slow2.csv", &(days("T", 2..6)));
    assert_eq!(silent(&home), ["S suspected 2026-03-04T00:00:00Z 2026-03-05T00:00:00Z"]);
    home.is_whole();
}

#[test]
fn a_day_whose_only_row_is_discarded_is_silent_until_that_is_undone() {
    let home = Home::new();
    home.ingest("a.csv", &(days("A", 2..6) + &days("B", 2..3) + "B,2026-03-03T07:00:00Z,-5,kW\n"));
    home.ingest("b.csv", &hourly("B", 4, 0..1));
    assert_eq!(silent(&home), [""; 0]);
    home.ok(&["errors", "discard", "--meter", "B", "--reason", "not a meter"]);
    assert_eq!(silent(&home), ["B suspected 2026-03-03T00:00:00Z 2026-03-04T00:00:00Z"]);
    home.is_whole();
    home.ok(&["errors", "undo", "--meter", "B", "--reason", "it was"]);
    assert_eq!(silent(&home), [""; 0]);
    home.is_whole();
}

#[test]
fn the_order_of_uploads_plays_no_part() {
    let parts =
        [days("A", 2..5), hourly("B", 2, 5..9), days("A", 5..9), hourly("B", 7, 0..9), hourly("B", 4, 3..5)];
    let ingest = |order: [usize; 5]| {
        let home = Home::new();
        for part in order {
            home.ingest(&format!("{part}.csv"), &parts[part]);
        }
        let counts =
            ["interval_s", "expected", "present", "trusted", "filled", "missing", "quarantined", "extra"];
        (quality(&home, &counts), silent(&home))
    };
    let first = ingest([0, 1, 2, 3, 4]);
    assert_eq!(first.1.len(), 2);
    assert_eq!(ingest([4, 3, 2, 1, 0]), first);
    assert_eq!(ingest([2, 4, 0, 3, 1]), first);
}

/// Enough meters for several threads to share.
#[test]
fn many_meters_come_in_the_order_of_their_ids_each_once() {
    let home = Home::new();
    let ids: Vec<String> = (0..4_500).map(|n| format!("M{}", (n * 7_919) % 4_500)).collect();
    let rows =
        |hour: &str| ids.iter().map(|id| format!("{id},2026-03-02T{hour}:00:00Z,1,kW\n")).collect::<String>();
    home.ingest("a.csv", &(rows("05") + &rows("06") + &rows("08")));
    let mut expected: Vec<String> = ids.iter().map(|id| format!("{id} 2026-03-02 4 3")).collect();
    expected.sort();
    assert_eq!(quality(&home, &["expected", "present"]), expected);
    let total = home.ok(&["quality", "--json"]).json();
    assert_eq!(total["total"]["expected"], 4 * 4_500);
    assert_eq!(total["groups"], 4_500);
}

#[test]
fn a_clock_years_ahead_does_not_choose_the_days_that_are_shown() {
    let home = Home::new();
    let rows: String = (0..150).map(|meter| format!("M{meter},2025-03-02T07:00:00Z,1,kW\n")).collect();
    home.ingest("a.csv", &(rows + &hourly("AHEAD", 9, 0..2)));
    let shown = home.ok(&["quality", "--by", "day", "--json"]).json();
    assert_eq!((&shown["first_day"], &shown["last_day"]), (&"2025-03-02".into(), &"2025-03-02".into()));
    assert_eq!(shown["total"]["expected"], 150);
    assert_eq!(silent(&home), [""; 0]);
}

#[test]
fn one_reading_ever_expects_itself_only() {
    let home = Home::new();
    home.ingest("a.csv", "A,2026-03-02T07:00:00Z,1,kW\n");
    assert_eq!(quality(&home, &["interval_s", "expected", "present"]), ["A 2026-03-02  1 1"]);
}
