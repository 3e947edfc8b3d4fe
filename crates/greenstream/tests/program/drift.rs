//! `feeds drift` and `feeds accept` through the real program: a supplier changes its files, they are held,
//! the change is shown, and one command takes the new version.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::common::{Home, files_below};

/// The profile of a supplier whose files change.
const ACME: &str = "name = \"acme\" # since spring\nnames = [\"acme_*.csv\"]\ndelimiter = \";\"\ndecimal = \",\"\n\
    unit = \"kWh\"\ninterval = \"15min\"\ntime_zone = \"Europe/Berlin\"\n# the clock on the wall\n\
    time_format = \"%d.%m.%Y %H:%M\"\n\n[columns]\nmeter = \"Meter\"  # their number\ntimestamp = \"Time\"\n\
    value = \"Energy kWh\"\n";

const HEADER: &str = "Meter;Time;Energy kWh";

/// One day in March of two meters, every quarter of an hour, as the profile says.
fn day(day: u32) -> String {
    let mut text = format!("{HEADER}\n");
    for meter in ["DE0001234567", "DE0001234568"] {
        for quarter in 0..96 {
            let (hour, minute) = (quarter / 4, quarter % 4 * 15);
            let energy = 100 + (quarter * 7 + day) % 90;
            text += &format!("{meter};{day:02}.03.2026 {hour:02}:{minute:02};0,{energy}\n");
        }
    }
    text
}

/// The same day under another header.
fn renamed(number: u32, header: &str) -> String {
    day(number).replacen(HEADER, header, 1)
}

/// A home with the profile and the files of 2 March and before; returns it after `held` came, too.
fn home(held: &[(&str, String)]) -> Home {
    let home = Home::new();
    home.configure("feeds/acme.toml", ACME);
    home.ok(&["ingest", &home.file("acme_02.csv", day(2))]);
    for (name, text) in held {
        home.run(&["ingest", &home.file(name, text)]).exits(65).says("greenstream feeds drift");
    }
    home
}

fn profile(home: &Home, name: &str) -> String {
    fs::read_to_string(home.path().join(format!("feeds/{name}.toml"))).unwrap()
}

/// What only a command that changes something may touch: profiles, landed bytes and journal.
fn facts(home: &Home) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = files_below(&home.path().join("landing"));
    all.extend(files_below(&home.path().join("feeds")));
    all
}

/// Uploads as `status rows`, in landing order.
fn uploads(home: &Home) -> Vec<String> {
    home.export("uploads").iter().map(|row| format!("{} {}", row["status"], row["rows"])).collect()
}

/// Meter, instant and power of all readings.
fn readings(home: &Home) -> Vec<String> {
    let row = |row: &crate::common::Row| format!("{} {} {}", row["meter_id"], row["ts"], row["kw"]);
    home.export("readings").iter().map(row).collect()
}

/// What the home would hold if the supplier had changed nothing.
fn unchanged(days: &[u32]) -> Vec<String> {
    let home = Home::new();
    home.configure("feeds/acme.toml", ACME);
    for number in days {
        home.ok(&["ingest", &home.file(&format!("acme_{number:02}.csv"), day(*number))]);
    }
    readings(&home)
}

/// Fails unless the home is whole, and a rebuild by the new version changes nothing.
#[track_caller]
fn survives_a_rebuild(home: &Home) {
    let before = (uploads(home), readings(home));
    home.is_whole();
    home.ok(&["rebuild"]);
    assert_eq!((uploads(home), readings(home)), before);
    let configuration = home.ok(&["status", "--json"]).json()["configuration"].clone();
    let version = |side: &str| configuration[side].to_string().replace('"', "");
    assert_eq!(version("journal"), version("database"), "a rebuild judges by the last version");
    home.is_whole();
}

#[test]
fn several_held_uploads_go_through_with_one_accept_and_old_files_still_fit() {
    let held =
        [3, 4].map(|number| (format!("acme_0{number}.csv"), renamed(number, "Zähler;Zeit;Verbrauch kWh")));
    let home = home(&held.each_ref().map(|(name, text)| (name.as_str(), text.clone())));
    let said = home.ok(&["feeds", "drift", "2"]).says("compared with upload 1 acme_02.csv");
    let said = said.says("renamed (by role)").says("- meter = \"Meter\"  # their number");
    said.says("+ meter = [\"Meter\", \"Zähler\"]  # their number").says("192 rows, and 0 do not decode");

    let json = home.ok(&["feeds", "drift", "3", "--json"]).json();
    assert_eq!((json["settled"].as_bool(), json["compared_with"].as_u64()), (Some(true), Some(1)));
    assert_eq!(json["columns"][0]["before"], "Meter");
    assert_eq!(json["columns"][0]["now"], "Zähler");
    assert_eq!(json["now"]["interval_seconds"], 900);
    assert_eq!(
        (json["before"]["rows"].as_u64(), json["version"]["decoded"].as_u64()),
        (Some(192), Some(192))
    );

    let before = facts(&home);
    home.ok(&["feeds", "accept", "2", "--dry-run"])
        .says("2 dead letters would be tried again under feed acme");
    assert_eq!(facts(&home), before, "a dry run changes nothing");

    let said = home.ok(&["feeds", "accept", "2", "--reason", "their mail of 2 March"]);
    said.says("upload 2 acme_03.csv: 192 rows").says("upload 3 acme_04.csv: 192 rows");
    assert_eq!(uploads(&home), ["done 192", "done 192", "done 192"]);
    assert_eq!(readings(&home), unchanged(&[2, 3, 4]));
    let text = profile(&home, "acme");
    for kept in ["their mail of 2 March", "# since spring", "# the clock on the wall", "# their number"] {
        assert!(text.contains(kept), "{kept} is not in {text}");
    }
    survives_a_rebuild(&home);
    home.ok(&["ingest", &home.file("acme_01.csv", day(1))]);
    home.ok(&["ingest", &home.file("acme_05.csv", renamed(5, "Zähler;Zeit;Verbrauch kWh"))]);
    home.run(&["feeds", "accept", "2"]).exits(2).says("E-NOT-DEAD");
}

#[test]
fn a_name_that_ends_with_a_blank_of_another_kind_is_another_name() {
    let home = home(&[("acme_03.csv", renamed(3, "Meter;Time;Energy kWh\u{a0}"))]);
    home.ok(&["feeds", "drift", "2"]).says("- value = \"Energy kWh\"").says("192 rows, and 0 do not decode");
    home.ok(&["feeds", "accept", "2"]).says("upload 2 acme_03.csv: 192 rows");
    assert_eq!(readings(&home), unchanged(&[2, 3]));
}

#[test]
fn columns_in_another_order_never_were_a_problem() {
    let home = home(&[]);
    let reordered: String =
        day(3).lines().map(|line| line.split(';').rev().collect::<Vec<_>>().join(";") + "\n").collect();
    home.ok(&["ingest", &home.file("acme_03.csv", reordered)]);
    assert_eq!(readings(&home), unchanged(&[2, 3]));
}

#[test]
fn another_delimiter_and_decimal_sign_become_a_profile_beside_the_old_one() {
    let change = |text: String| text.replace(',', ".").replace(';', ",");
    let home = home(&[("acme_03.csv", change(day(3)))]);
    let said = home.ok(&["feeds", "drift", "2"]).says("delimiter").says("the files before do not read by it");
    said.says("- decimal = \",\"").says("192 rows, and 0 do not decode");
    home.ok(&["feeds", "accept", "2"]).says("acme_2.toml").says("upload 2 acme_03.csv: 192 rows");
    assert_eq!(profile(&home, "acme"), ACME, "stored uploads stay with the profile that reads them");
    assert!(profile(&home, "acme_2").contains("name = \"acme_2\" # since spring"));
    assert_eq!(readings(&home), unchanged(&[2, 3]));
    survives_a_rebuild(&home);
    // the header tells the versions apart, whatever their files are called
    home.ok(&["ingest", &home.file("acme_04.csv", change(day(4)))]);
    home.ok(&["ingest", &home.file("acme_05.csv", day(5))]);
    assert_eq!(readings(&home), unchanged(&[2, 3, 4, 5]));
    // and the next change of the new version is the third
    let third = change(day(6)).replacen("Meter,Time,Energy kWh", "Zähler,Zeit,Energy Wh", 1);
    home.run(&["ingest", &home.file("acme_06.csv", third), "--feed", "acme_2"]).exits(65);
}

#[test]
fn what_the_header_does_not_show_is_found_in_the_rows() {
    let change = |text: String| text.replace("0,", "0.");
    let home = home(&[("acme_03.csv", change(day(3)))]);
    home.ok(&["dead-letters"]).says("feed_changed");
    home.ok(&["feeds", "drift", "2"]).says("decimal");
    home.ok(&["feeds", "accept", "2"]).says("acme_2.toml").says("192 rows");
    assert_eq!(readings(&home), unchanged(&[2, 3]));
    survives_a_rebuild(&home);
    // the two headers are the same, so new files are of the new version
    home.ok(&["ingest", &home.file("acme_04.csv", change(day(4)))]);
    assert_eq!(readings(&home), unchanged(&[2, 3, 4]));
}

#[test]
fn times_written_otherwise_and_longer_intervals_are_followed() {
    // ISO times, and two quarters in one
    let mut lines = vec!["Meter;Start;Energy kWh".to_owned()];
    for meter in ["DE0001234567", "DE0001234568"] {
        for half in 0..48 {
            let (hour, minute) = (half / 2, half % 2 * 30);
            lines.push(format!("{meter};2026-03-15 {hour:02}:{minute:02};0,{}", 210 + half * 7 % 160));
        }
    }
    let home = home(&[("acme_15.csv", lines.join("\n"))]);
    let said = home.ok(&["feeds", "drift", "2"]).says("time_format").says("\"30min\"");
    said.says("rows are 1800 s apart; it was 900 s");
    home.ok(&["feeds", "accept", "2"]).says("96 rows");
    assert!(readings(&home).contains(&"DE0001234567 2026-03-14T23:00:00Z 0.42".to_owned()));
    survives_a_rebuild(&home);
}

#[test]
fn a_unit_that_the_header_names_is_taken_and_values_stay_what_they_were() {
    let wh = renamed(3, "Meter;Time;Energy Wh").replace(";0,", ";");
    let home = home(&[("acme_03.csv", wh)]);
    home.ok(&["feeds", "drift", "2"]).says("unit").says("\"Wh\"");
    home.ok(&["feeds", "accept", "2"]).says("acme_2.toml");
    assert_eq!(readings(&home), unchanged(&[2, 3]));
    survives_a_rebuild(&home);
}

#[test]
fn a_unit_that_only_the_values_show_is_not_taken() {
    let wh = renamed(3, "Meter;Time;Consumption").replace(";0,", ";");
    let home = home(&[("acme_03.csv", wh)]);
    let before = facts(&home);
    let said = home.run(&["feeds", "drift", "2"]).exits(1).says("not settled");
    let said = said.says("times larger than before, as another unit, such as Wh for kWh");
    said.says("nothing in the file names the unit");
    home.run(&["feeds", "accept", "2"]).exits(1).says("E-UNSETTLED").says("--profile FILE");
    assert_eq!(facts(&home), before);
    // a person settles it
    let bad = home.file("bad.toml", "name = \"acme\"\nunit = \"kg\"\n");
    home.run(&["feeds", "accept", "2", "--profile", &bad]).exits(78).says("E-FEED-PROFILE");
    let unfit = home.file("unfit.toml", ACME);
    home.run(&["feeds", "accept", "2", "--profile", &unfit]).exits(1).says("E-UNSETTLED").says("has no");
    assert_eq!(facts(&home), before);
    let by_hand = ACME.replace("Energy kWh", "Consumption").replace("\"kWh\"", "\"Wh\"");
    let by_hand = home.file("by_hand.toml", by_hand);
    home.ok(&["feeds", "accept", "2", "--profile", &by_hand]).says("192 rows");
    assert_eq!(readings(&home), unchanged(&[2, 3]));
    survives_a_rebuild(&home);
}

#[test]
fn a_column_that_is_gone_is_not_made_up() {
    let text: String = day(3).lines().map(|line| format!("{}\n", line.split_once(';').unwrap().1)).collect();
    let home = home(&[("acme_03.csv", text)]);
    home.run(&["feeds", "drift", "2"]).exits(1).says("`Meter` (columns.meter) is not there");
    home.run(&["feeds", "accept", "2"]).exits(1).says("E-UNSETTLED");
    assert_eq!(
        (uploads(&home), profile(&home, "acme")),
        (vec!["done 192".into(), "dead 0".into()], ACME.into())
    );
}

#[test]
fn each_layout_is_accepted_by_itself_and_nothing_while_the_home_is_in_use() {
    let home = home(&[
        ("acme_03.csv", renamed(3, "Meter;Zeit;Energy kWh")),
        ("acme_04.csv", renamed(4, "Meter;Horodate;Energy kWh")),
    ]);
    let before = profile(&home, "acme");
    let serving = home.serve();
    home.ok(&["feeds", "drift", "2"]);
    home.run(&["feeds", "accept", "2"]).exits(69).says("E-HOME-BUSY");
    assert_eq!(profile(&home, "acme"), before);
    serving.terminate();
    home.ok(&["feeds", "accept", "2"]).says("upload 2 acme_03.csv: 192 rows").says("acme_04.csv: still held");
    assert_eq!(uploads(&home), ["done 192", "done 192", "dead 0"]);
    home.ok(&["feeds", "accept", "3"]).says("upload 3 acme_04.csv: 192 rows");
    assert!(profile(&home, "acme").contains("[\"Time\", \"Zeit\", \"Horodate\"]"));
    assert_eq!(readings(&home), unchanged(&[2, 3, 4]));
    survives_a_rebuild(&home);
}

#[test]
fn what_is_no_change_of_a_named_feed_is_refused_with_the_way_out() {
    let home = home(&[]);
    home.run(&["ingest", &home.file("other.csv", "a;b\n1;2\n"), &home.file("acme_09.csv", "")]).exits(65);
    home.run(&["feeds", "drift", "1"]).exits(2).says("E-NOT-DEAD");
    home.run(&["feeds", "drift", "2"]).exits(2).says("default feed").says("feeds detect FILE --write NAME");
    home.run(&["feeds", "accept", "3"]).exits(2).says("upload_empty");
}

#[test]
fn text_of_a_header_cannot_steer_the_terminal_or_break_the_profile() {
    let home = home(&[("acme_03.csv", renamed(3, "Zähler \u{1b}[31m\\\"';Zeit;Verbrauch kWh"))]);
    let said = home.run(&["feeds", "drift", "2"]);
    assert!(!said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'), "{}", said.out);
    home.run(&["feeds", "accept", "2", "--reason", "line\nname = \"x\""]);
    home.ok(&["check-config"]);
}
