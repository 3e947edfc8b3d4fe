//! NEM12 and NEM13, Green Button and CMEP, by example: what their records come to, and why some do not.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use greenstream_core::Ts;
use greenstream_core::decode::{Decoded, Feed, Given, Refusal, parse_ts};

fn feed(name: &str) -> Feed {
    let (_, text) = Feed::built_in().into_iter().find(|(known, _)| *known == name).unwrap();
    toml::from_str(text).unwrap()
}

fn decode(name: &str, time_zone: Option<&str>, content: &str) -> Result<Decoded, Refusal> {
    let given = Given { time_zone, name: "upload", landed_at: Ts::MAX };
    let decoder = feed(name).compile(&given).unwrap();
    let mut stream = decoder.stream();
    stream.push(content.as_bytes())?;
    stream.finish()
}

/// Each row as `number meter time kw flags`, or `number meter time reason`.
fn rows(decoded: &Decoded) -> Vec<String> {
    let meter = |index: u32| &decoded.meters[index as usize];
    let mut rows: Vec<(u32, String)> = Vec::new();
    for row in &decoded.rows {
        let kw = row.kw.map_or("-".to_owned(), |kw| kw.to_string());
        let flags: Vec<_> = row.flags.iter().map(|flag| flag.name()).collect();
        let text = format!("{} {} {} {kw} {}", row.row_number, meter(row.meter), row.ts, flags.join("|"));
        rows.push((row.row_number, text));
    }
    for reject in &decoded.rejects {
        let ts = reject.ts.map_or("-".to_owned(), |ts| ts.to_string());
        let text = format!("{} {} {ts} {}", reject.row_number, reject.meter, reject.reason.name());
        rows.push((reject.row_number, text));
    }
    rows.sort();
    rows.into_iter().map(|(_, text)| text).collect()
}

#[track_caller]
fn check(name: &str, time_zone: Option<&str>, content: &str, expected: &[&str]) -> Decoded {
    let decoded = decode(name, time_zone, content).expect("it decodes");
    assert_eq!(rows(&decoded), expected);
    assert!(feed(name).fits(content.as_bytes(), "upload"));
    decoded
}

#[track_caller]
fn refused(name: &str, content: &str, problem: &str, hint: &str) {
    let refusal = decode(name, None, content).expect_err("it is refused");
    assert!(refusal.to_string().contains(problem), "{refusal}");
    assert!(refusal.hint().contains(hint), "{}", refusal.hint());
}

fn raw<'c>(decoded: &Decoded, content: &'c str, row: u32) -> &'c str {
    let text = decoded.index.span_of(row).unwrap().text(content.as_bytes(), 0).unwrap();
    std::str::from_utf8(text).unwrap()
}

const NEM: &str = "100,NEM12,202603020100,MDP,RETAILER\n";

#[test]
fn a_nem12_day_is_mean_power_in_the_time_of_the_market() {
    let content = format!(
        "{NEM}200,6001234567,E1B1,1,E1,N1,SER1,kWh,720,\n300,20260301,1.5,24,A,,,20260302010000,20260302010000\n\
         200,6001234567,E1B1,1,B1,,SER1,Wh,720,20260401\n300,20260301,6000,0,S14,61,why,20260302010000\n900\n"
    );
    let decoded = check(
        "nem12",
        None,
        &content,
        &[
            "1 6001234567-E1 2026-02-28T14:00:00Z 0.125 energy_to_power|utc_normalized",
            "2 6001234567-E1 2026-03-01T02:00:00Z 2 energy_to_power|utc_normalized",
            "3 6001234567-B1 2026-02-28T14:00:00Z 0.5 energy_to_power|utc_normalized",
            "4 6001234567-B1 2026-03-01T02:00:00Z 0 energy_to_power|utc_normalized",
        ],
    );
    assert_eq!(raw(&decoded, &content, 4), "300,20260301,6000,0,S14,61,why,20260302010000");
    assert_eq!(decoded.coverage.skipped, 0);
}

#[test]
fn a_byte_order_mark_is_of_the_header_where_an_upload_begins_and_nowhere_else() {
    let day = "200,N,E1,1,E1,,S,kW,1440,\n300,20260701,1,A,,,20260702010000\n";
    let content = format!("\u{feff}{NEM}{day}900\n");
    let decoded = check("nem12", None, &content, &["1 N-E1 2026-06-30T14:00:00Z 1 utc_normalized"]);
    assert_eq!(raw(&decoded, &content, 1), "300,20260701,1,A,,,20260702010000");
    let within = format!("{NEM}\u{feff}{day}900\n");
    let found = decode("nem12", None, &within).map_or_else(|_| Vec::new(), |decoded| rows(&decoded));
    assert!(!found.iter().any(|row| row.contains(" N-E1 ")), "{found:?}");
}

#[test]
fn a_zone_goes_before_the_time_of_the_market() {
    let content = "200,N,E1,1,E1,,S,kW,1440,\n300,20260701,1,A,,,20260702010000\n";
    check("nem12", Some("Australia/Brisbane"), content, &["1 N-E1 2026-06-30T14:00:00Z 1 utc_normalized"]);
    check("nem12", Some("Australia/Perth"), content, &["1 N-E1 2026-06-30T16:00:00Z 1 utc_normalized"]);
    check("nem12", Some("UTC"), content, &["1 N-E1 2026-07-01T00:00:00Z 1 "]);
}

#[test]
fn events_tell_null_data_and_stand_in_the_text_of_the_day() {
    let day = "300,20260301,1,2,3,V,,,20260302010000\r\n400,1,1,A,,\r\n400,2,2,N,,\r\n400,3,3,F14,76,\"a, b\"\r\n\
               500,O,S01,20260301120000,001";
    let content = format!("{NEM}200,N,E1,1,E1,,S,kWh,480,\r\n{day}\r\n900\r\n");
    let decoded = check(
        "nem12",
        None,
        &content,
        &[
            "1 N-E1 2026-02-28T14:00:00Z 0.125 energy_to_power|utc_normalized",
            "2 N-E1 2026-02-28T22:00:00Z - utc_normalized|missing_value",
            "3 N-E1 2026-03-01T06:00:00Z 0.375 energy_to_power|utc_normalized",
        ],
    );
    for row in 1..=3 {
        assert_eq!(raw(&decoded, &content, row), day);
    }
    let null = format!("{NEM}200,N,E1,1,E1,,S,kWh,1440,\n300,20260301,5,N,,,20260302010000\n900\n");
    check("nem12", None, &null, &["1 N-E1 2026-02-28T14:00:00Z - utc_normalized|missing_value"]);
}

#[test]
fn a_day_that_does_not_fit_its_channel_rejects_the_rows_it_should_have() {
    let good = "300,20260301,1,2,A,,,20260302010000\n";
    for (case, bad) in [
        ("a value too few", "300,20260301,1,A,,,20260302010000,\n"),
        ("a value too many", "300,20260301,1,2,3,A,,,20260302010000,\n"),
        ("no quality", "300,20260301,1,2,,,,20260302010000\n"),
        ("unknown quality", "300,20260301,1,2,X,,,20260302010000\n"),
        ("fields left out", "300,20260301,1,2,A,\n"),
        ("variable without events", "300,20260301,1,2,V,,,20260302010000\n"),
        ("events for a part", "300,20260301,1,2,V,,,20260302010000\n400,1,1,A,,\n"),
        ("an event beyond the day", "300,20260301,1,2,A,,,20260302010000\n400,1,3,A,,\n"),
        ("an event backwards", "300,20260301,1,2,A,,,20260302010000\n400,2,1,A,,\n"),
        ("an event from nought", "300,20260301,1,2,A,,,20260302010000\n400,0,1,A,,\n"),
        ("a variable event", "300,20260301,1,2,A,,,20260302010000\n400,1,2,V,,\n"),
    ] {
        let content = format!("{NEM}200,N,E1,1,E1,,S,kW,720,\n{bad}{good}900\n");
        let decoded = decode("nem12", None, &content).unwrap();
        let rows = rows(&decoded);
        assert_eq!(rows[..2], ["1  - row_malformed", "2  - row_malformed"], "{case}");
        assert_eq!((rows.len(), raw(&decoded, &content, 2)), (4, bad.trim_end()), "{case}");
    }
}

#[test]
fn records_that_say_too_little_are_rejected_with_a_reason() {
    for (record, expected) in [
        (
            "200,N,E1,1,E1,,S,kWh,7,\n300,20260301,1,2,A,,,20260302010000\n",
            &["row_malformed", "row_malformed"][..],
        ),
        ("200,N,E1\n", &["row_malformed"]),
        ("300,20260301,1,2,A,,,20260302010000\n", &["row_malformed"]),
        ("400,1,2,A,,\n", &["row_malformed"]),
        // a quote is out of place, so nothing that stands in the line is certain
        ("200,N,E1,1,E1,,S,kWh,360,\n300,20260301,1,\"2\"3,4,A,,,20260302010000\n", &["row_malformed"]),
        ("12,34\n", &["row_malformed"]),
        ("200,,E1,1,E1,,S,kW,1440,\n300,20260301,1,A,,,20260302010000\n", &["meter_id_invalid"]),
        ("200,N,E1,1,E1,,S,BTU,1440,\n300,20260301,1,A,,,20260302010000\n", &["unit_unknown"]),
        ("200,N,E1,1,E1,,S,kW,1440,\n300,20260229,1,A,,,20260302010000\n", &["timestamp_invalid"]),
        ("200,N,E1,1,E1,,S,kW,1440,\n300,20260301,l,A,,,20260302010000\n", &["value_invalid"]),
    ] {
        let decoded = decode("nem12", None, &format!("{NEM}{record}900\n")).unwrap();
        let reasons: Vec<_> = decoded.rejects.iter().map(|reject| reject.reason.name()).collect();
        assert_eq!((decoded.rows.len(), reasons.as_slice()), (0, expected), "{record}");
    }
}

#[test]
fn channels_of_other_quantities_are_passed_over() {
    let reactive = "300,20260301,1,2,V,,,20260302010000\n400,1,2,A,,\n500,O,,20260301120000,\n";
    let content = format!(
        "{NEM}200,N,Q1E1,1,Q1,,S,kVArh,720,\n{reactive}200,N,Q1E1,1,E1,,S,MW,1440,\n300,20260301,0.001,A,,,20260302010000\n900\n"
    );
    let expected = ["1 N-E1 2026-02-28T14:00:00Z 1 unit_converted|utc_normalized"];
    let decoded = check("nem12", None, &content, &expected);
    assert_eq!(decoded.coverage.skipped, reactive.len() as u64);
    let only = format!("{NEM}200,N,Q1,1,Q1,,S,kVArh,720,\n{reactive}900\n");
    // a file of the market as good as any, with nothing in it for us
    let decoded = decode("nem12", None, &only).unwrap();
    assert_eq!((decoded.row_count(), decoded.coverage.skipped), (0, reactive.len() as u64));
}

#[test]
fn a_register_reading_is_mean_power_from_the_reading_before() {
    let content = "100,NEM13,202603020100,MDP,RETAILER\n\
        250,N,11,1,11,,S,E,100,20260101000000,A,,,340,20260111000000,A,,,240,kWh,20260401,20260112010000,\n\
        550,N,,A,\n\
        250,N,11,1,11,,S,E,340,20260111000000,A,,,0,20260211000000,N,,,0,kWh,20260401,20260112010000,\n\
        250,N,11,1,11,,S,E,1,20240101000000,A,,,2,20260211000000,A,,,1,kWh,,,\n900\n";
    let decoded = check(
        "nem12",
        None,
        content,
        &[
            "1 N-11 2025-12-31T14:00:00Z 1 energy_to_power|utc_normalized",
            "2 N-11 2026-01-10T14:00:00Z - utc_normalized|missing_value",
            "3  - row_malformed",
        ],
    );
    assert!(raw(&decoded, content, 1).ends_with("20260112010000,\n550,N,,A,"));
}

#[test]
fn a_register_may_be_read_400_days_after_the_reading_before_and_not_a_second_later() {
    for (end, row) in [
        ("20250204000000", "1 N-11 2023-12-31T14:00:00Z 0.000104 energy_to_power|utc_normalized"),
        ("20250204000001", "1  - row_malformed"),
    ] {
        let content = format!(
            "100,NEM13,202603020100,MDP,RETAILER\n\
             250,N,11,1,11,,S,E,1,20240101000000,A,,,2,{end},A,,,1,kWh,,,\n900\n"
        );
        check("nem12", None, &content, &[row]);
    }
}

#[test]
fn a_register_record_may_end_with_its_unit_and_not_before() {
    let record = "250,N,11,1,11,,S,E,1,20260101000000,A,,,2,20260111000000,A,,,240,kWh";
    for (record, row) in [
        (record, "1 N-11 2025-12-31T14:00:00Z 1 energy_to_power|utc_normalized"),
        (record.strip_suffix(",kWh").unwrap(), "1  - row_malformed"),
    ] {
        let content = format!("100,NEM13,202603020100,MDP,RETAILER\n{record}\n900\n");
        check("nem12", None, &content, &[row]);
    }
}

#[test]
fn uploads_that_are_no_nem_are_refused_with_the_way_out() {
    refused("nem12", "", "empty", "again");
    refused("nem12", "\n\n", "empty", "again");
    refused("nem12", "meter_id,timestamp\n", "line 1: the upload begins with `meter_id,timestamp`", "--feed");
    refused("nem12", "\n100,NEM14,1,A,B\n", "line 2: the record `100,NEM14,1,A,B`", "--feed");
    refused(
        "nem12",
        "100,NEM12,1,A,B\n900\n",
        "line 2: the upload ends without a 300 or 250 record",
        "again",
    );
}

fn cmep(units: &str, constant: &str, interval: &str, count: u8, triplets: &str) -> String {
    format!(
        "MEPMD01,19970819,UTILITY,,RETAILER,,202603020100,M7,OK,E,{units},{constant},{interval},{count},{triplets}\n"
    )
}

#[test]
fn a_cmep_time_ends_its_interval_and_may_be_left_out_after_the_first() {
    let content = cmep("KWH", "1", "00000015", 3, "202603010015,,0.25,,E,0.5,,N0,0");
    check(
        "cmep",
        Some("UTC"),
        &content,
        &[
            "1 M7 2026-03-01T00:00:00Z 1 energy_to_power",
            "2 M7 2026-03-01T00:15:00Z 2 energy_to_power",
            "3 M7 2026-03-01T00:30:00Z - missing_value",
        ],
    );
    let content = cmep("kwh", "2.5", "00000100", 1, "202603012400,R,0.3");
    check("cmep", Some("UTC"), &content, &["1 M7 2026-03-01T23:00:00Z 0.75 energy_to_power"]);
    let content = cmep("kwh", "1", "00020130", 1, "202603030130,R,99");
    check("cmep", Some("UTC"), &content, &["1 M7 2026-03-01T00:00:00Z 2 energy_to_power"]);
    let content = cmep("KW", "", "", 1, "202603010000,R,0.3");
    check("cmep", Some("UTC"), &content, &["1 M7-kW 2026-03-01T00:00:00Z 0.3 "]);
}

#[test]
fn cmep_times_that_are_left_out_go_with_the_repeated_hour_they_follow() {
    // ends from 01:00 to 01:45, the first time with each of them, the second with the first only
    let first = "202510260100,,1,202510260115,,1,202510260130,,1,202510260145,,1";
    let content = cmep("KWH", "1", "00000015", 4, "202510260100,,1,,,1,,,1,,,1");
    let both = format!("{}{content}", cmep("KWH", "1", "00000015", 4, first));
    let decoded = decode("cmep", Some("Europe/London"), &both).unwrap();
    let mut instants: Vec<_> = decoded.rows.iter().map(|row| row.ts.to_string()).collect();
    instants.sort();
    instants.dedup();
    let expected = ["5T23:45", "6T00:00", "6T00:15", "6T00:30", "6T00:45", "6T01:00", "6T01:15", "6T01:30"];
    assert_eq!(instants, expected.map(|time| format!("2025-10-2{time}:00Z")));
}

#[test]
fn cmep_times_that_are_named_do_not_go_with_the_repeated_hour_of_the_time_before() {
    let again = cmep("KWH", "1", "00000015", 2, "202510260115,,1,202510260100,,1");
    let both = cmep("KWH", "1", "00000015", 1, "202510260100,,1") + &again;
    let decoded = decode("cmep", Some("Europe/London"), &both).unwrap();
    let instants: Vec<_> = decoded.rows.iter().map(|row| row.ts.to_string()).collect();
    assert_eq!(instants, ["2025-10-25T23:45:00Z", "2025-10-26T00:00:00Z", "2025-10-26T00:45:00Z"]);
    // the second 01:45 is an hour later, and 02:15 is what it is
    let again = cmep("KWH", "1", "00000015", 2, "202510260145,,1,202510260215,,1");
    let both = cmep("KWH", "1", "00000015", 1, "202510260145,,1") + &again;
    let decoded = decode("cmep", Some("Europe/London"), &both).unwrap();
    let instants: Vec<_> = decoded.rows.iter().map(|row| row.ts.to_string()).collect();
    assert_eq!(instants, ["2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z", "2025-10-26T02:00:00Z"]);
}

#[test]
fn both_changes_of_the_clocks_lose_no_cmep_reading() {
    let hours = |times: &[&str]| times.iter().map(|time| format!("{time},,1")).collect::<Vec<_>>().join(",");
    let autumn = ["202610250100", "202610250100", "202610250200", "202610250300"];
    let content = cmep("KWH", "1", "00000100", 4, &hours(&autumn));
    let decoded = decode("cmep", Some("Europe/London"), &content).unwrap();
    let times: Vec<_> = decoded.rows.iter().map(|row| row.ts.to_string()).collect();
    let expected =
        ["2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"];
    assert_eq!(times, expected);
    let spring = ["202603290100", "202603290300", "202603290400"];
    let content = cmep("KWH", "1", "00000100", 3, &hours(&spring));
    let decoded = decode("cmep", Some("Europe/London"), &content).unwrap();
    let times: Vec<_> = decoded.rows.iter().map(|row| row.ts.to_string()).collect();
    assert_eq!(times, ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]);
}

#[test]
fn cmep_records_that_are_spoiled_are_rejected_and_others_passed_over() {
    let good = cmep("KWH", "1", "00000015", 1, "202603010015,,1");
    for (record, expected) in [
        (cmep("KWH", "1", "00000015", 2, "202603010015,,1"), &["row_malformed"][..]),
        (
            cmep("KWH", "1", "00000015", 1, "202603010015,,1,202603010030,,1"),
            &["row_malformed", "row_malformed"],
        ),
        (cmep("KWH", "1", "01000000", 1, "202603010015,,1"), &["row_malformed"]),
        (cmep("KWH", "1", "", 1, "202603010015,,1"), &["row_malformed"]),
        (cmep("KWHH", "1", "00000015", 1, "202603010015,,1"), &["unit_unknown"]),
        (cmep("", "1", "00000015", 1, "202603010015,,1"), &["unit_unknown"]),
        (cmep("KWH", "x", "00000015", 1, "202603010015,,1"), &["value_invalid"]),
        (cmep("KWH", "1", "00000015", 1, "2026030100,,1"), &["timestamp_invalid"]),
        (cmep("KWH", "1", "00000015", 1, ",,1"), &["timestamp_invalid"]),
        ("nonsense\n".to_owned(), &["row_malformed"]),
        (cmep("KVARH", "1", "00000015", 1, "202603010015,,1"), &[]),
        (cmep("KWHREG", "1", "00000000", 1, "202603010015,,1"), &[]),
        (cmep("KWH", "1", "00000015", 1, "202603010015,,1").replace(",OK,", ",SUMMARY,"), &[]),
        (cmep("CF", "1", "00000015", 1, "202603010015,,1").replace(",E,", ",G,"), &[]),
        ("MEPAD01,19970912,UTILITY\n".to_owned(), &[]),
    ] {
        let decoded = decode("cmep", Some("UTC"), &format!("{good}{record}")).unwrap();
        let reasons: Vec<_> = decoded.rejects.iter().map(|reject| reject.reason.name()).collect();
        assert_eq!((decoded.rows.len(), reasons.as_slice()), (1, expected), "{record}");
        let skipped = if expected.is_empty() { record.len() as u64 } else { 0 };
        assert_eq!(decoded.coverage.skipped, skipped, "{record}");
    }
    let decoded = decode("cmep", None, &good).unwrap();
    assert_eq!(rows(&decoded), ["1 M7 - timestamp_no_zone"]);
    refused("cmep", "meter,time\n", "line 1: the upload begins with `meter,time`", "--feed");
    assert_eq!(
        decode("cmep", None, &cmep("KVARH", "1", "00000015", 1, "202603010015,,1")).unwrap().row_count(),
        0
    );
    refused("cmep", "\n", "empty", "again");
}

/// An entry of a feed, with its links and what it says.
fn entry(own: &str, related: &str, content: &str) -> String {
    format!(
        "<entry><link rel=\"self\" href=\"{own}\"/><link rel=\"related\" href='{related}'/>\
         <content>{content}</content></entry>\n"
    )
}

fn reading(start: &str, duration: &str, value: &str) -> String {
    format!(
        "<IntervalReading><cost>1</cost><timePeriod><duration>{duration}</duration><start>{start}</start>\
         </timePeriod><value>{value}</value></IntervalReading>"
    )
}

const POINT: &str = "/espi/1_1/resource/RetailCustomer/C9/UsagePoint/P1";

fn block(meter_reading: &str, readings: &str) -> String {
    let own = format!("{POINT}/MeterReading/{meter_reading}/IntervalBlock/1");
    entry(&own, "", &format!("<IntervalBlock xmlns=\"http://naesb.org/espi\">{readings}</IntervalBlock>"))
}

fn meter_reading(id: &str, kind: &str) -> String {
    entry(
        &format!("{POINT}/MeterReading/{id}"),
        &format!("/espi/1_1/resource/ReadingType/{kind}"),
        "<MeterReading/>",
    )
}

fn reading_type(id: &str, says: &str) -> String {
    entry(&format!("espi/1_1/resource/ReadingType/{id}/"), "", &format!("<ReadingType>{says}</ReadingType>"))
}

fn document(entries: &[String]) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n{}</feed>\n",
        entries.concat()
    )
}

const DELIVERED: &str = "<uom>72</uom><flowDirection>1</flowDirection><intervalLength>3600</intervalLength>";

#[test]
fn a_green_button_reading_is_mean_power_at_its_instant_and_its_type_may_come_last() {
    let first = reading("1772323200", "3600", "1500");
    let content = document(&[
        block("01", &format!("{first}{}", reading(" 1772326800\n", "900", "250"))),
        meter_reading("01", "7"),
        reading_type("7", &format!("{DELIVERED}<powerOfTenMultiplier>-1</powerOfTenMultiplier>")),
    ]);
    let decoded = check(
        "green_button",
        None,
        &content,
        &[
            "1 C9-P1 2026-03-01T00:00:00Z 0.15 energy_to_power",
            "2 C9-P1 2026-03-01T01:00:00Z 0.1 energy_to_power",
        ],
    );
    assert_eq!(raw(&decoded, &content, 1), first);
}

#[test]
fn the_type_tells_the_length_of_readings_that_do_not() {
    let reading = reading("1772323200", "", "1500").replacen("<duration></duration>", "", 1);
    for (kind, row) in [
        (DELIVERED.to_owned(), "1 C9-P1 2026-03-01T00:00:00Z 1.5 energy_to_power"),
        (DELIVERED.replace("3600", "900"), "1 C9-P1 2026-03-01T00:00:00Z 6 energy_to_power"),
    ] {
        let content = document(&[block("01", &reading), meter_reading("01", "7"), reading_type("7", &kind)]);
        check("green_button", None, &content, &[row]);
    }
}

#[test]
fn a_meter_reading_may_be_related_to_more_than_its_type() {
    let block = block("01", &reading("1772323200", "3600", "1500"));
    let kind = reading_type("7", DELIVERED);
    let other = format!("<link rel=\"related\" href=\"{POINT}/MeterReading/01/IntervalBlock/of/all/days\"/>");
    for before in ["<link rel=\"related\"", "<content>"] {
        let meter_reading = meter_reading("01", "7").replacen(before, &format!("{other}{before}"), 1);
        let content = document(&[block.clone(), meter_reading, kind.clone()]);
        check("green_button", None, &content, &["1 C9-P1 2026-03-01T00:00:00Z 1.5 energy_to_power"]);
    }
}

#[test]
fn a_reading_within_a_reading_is_part_of_it() {
    let outer = reading("1772323200", "3600", "1500").replacen(
        "<cost>1</cost>",
        "<IntervalReading></IntervalReading>",
        1,
    );
    let content = document(&[block("01", &outer), meter_reading("01", "7"), reading_type("7", DELIVERED)]);
    let row = "1 C9-P1 2026-03-01T00:00:00Z 1.5 energy_to_power";
    let decoded = check("green_button", None, &content, &[row]);
    assert_eq!(raw(&decoded, &content, 1), outer);
}

#[test]
fn prefixes_do_not_matter_nor_does_the_order_of_links() {
    let content = "<a:feed xmlns:a='http://www.w3.org/2005/Atom' xmlns:n='http://naesb.org/espi'><a:entry><a:content>\
        <n:IntervalBlock><n:interval><n:duration>5</n:duration><n:start>9</n:start></n:interval><n:IntervalReading>\
        <n:timePeriod><n:duration/><n:start>1772323200.25</n:start></n:timePeriod><n:value>&#50;0</n:value>\
        </n:IntervalReading></n:IntervalBlock></a:content>\
        <a:link href='User/5/UsagePoint/1/MeterReading/1/IntervalBlock' rel='up'/></a:entry><a:entry><a:content>\
        <n:ReadingType><n:uom>38</n:uom></n:ReadingType></a:content><a:link rel='self' href='ReadingType/7'/>\
        </a:entry></a:feed>";
    check("green_button", None, content, &["1 5-1 2026-03-01T00:00:00.250000Z 0.02 unit_converted"]);
}

#[test]
fn directions_and_several_meter_readings_of_one_usage_point_are_told_apart() {
    let one = |id: &str| block(id, &reading("1772323200", "3600", "1000"));
    let received = DELIVERED.replace(">1<", ">19<");
    let content = document(&[
        reading_type("1", DELIVERED),
        reading_type("2", &received),
        meter_reading("a", "1"),
        meter_reading("b", "2"),
        one("a"),
        one("b"),
    ]);
    check(
        "green_button",
        None,
        &content,
        &[
            "1 C9-P1 2026-03-01T00:00:00Z 1 energy_to_power",
            "2 C9-P1-received 2026-03-01T00:00:00Z 1 energy_to_power",
        ],
    );
    let content = document(&[
        reading_type("1", DELIVERED),
        meter_reading("a", "1"),
        meter_reading("b", "1"),
        one("a"),
        one("b"),
    ]);
    let decoded = decode("green_button", None, &content).unwrap();
    assert_eq!(decoded.meters, ["C9-P1-a", "C9-P1-b"]);
    // two UUIDs do not fit into one id
    let uuid = "123e4567-e89b-12d3-a456-426614174000";
    let long = document(&[reading_type("1", DELIVERED), one("a")]).replace("C9", uuid).replace("P1", uuid);
    assert_eq!(decode("green_button", None, &long).unwrap().meters, [uuid]);
}

#[test]
fn a_year_with_both_changes_of_the_clocks_has_each_of_its_hours_once() {
    // 2026 in New York, from midnight to midnight: a day of 23 hours, one of 25
    let (from, to) = (parse_ts("2026-01-01T05:00:00Z").unwrap(), parse_ts("2027-01-01T05:00:00Z").unwrap());
    let seconds = (from.micros() / 1_000_000..to.micros() / 1_000_000).step_by(3_600);
    let readings: String = seconds.map(|second| reading(&second.to_string(), "3600", "1")).collect();
    let content = document(&[reading_type("1", DELIVERED), block("1", &readings)]);
    let decoded = decode("green_button", None, &content).unwrap();
    assert_eq!((decoded.rows.len(), decoded.rejects.len()), (8_760, 0));
    assert!(decoded.rows.windows(2).all(|pair| pair[1].ts.since(pair[0].ts) == greenstream_core::HOUR));
}

#[test]
fn a_zone_reads_the_clock_on_the_wall_that_some_senders_write() {
    // 00:30, 01:30, 01:30, 02:30 of the day on which New York's clocks go back, as if in UTC
    let walls = ["1793493000", "1793496600", "1793496600", "1793500200"];
    let readings: String = walls.iter().map(|start| reading(start, "3600", "1000")).collect();
    let content = document(&[reading_type("1", DELIVERED), block("1", &readings)]);
    check(
        "green_button",
        Some("America/New_York"),
        &content,
        &[
            "1 C9-P1 2026-11-01T04:30:00Z 1 energy_to_power|utc_normalized",
            "2 C9-P1 2026-11-01T05:30:00Z 1 energy_to_power|utc_normalized|dst_resolved",
            "3 C9-P1 2026-11-01T06:30:00Z 1 energy_to_power|utc_normalized|dst_resolved",
            "4 C9-P1 2026-11-01T07:30:00Z 1 energy_to_power|utc_normalized",
        ],
    );
}

#[test]
fn the_five_entities_of_xml_are_signs_which_no_number_has() {
    for (entity, row) in [
        ("&lt;", "value_invalid"),
        ("&gt;", "value_invalid"),
        ("&amp;", "value_invalid"),
        ("&apos;", "value_invalid"),
        ("&quot;", "value_invalid"),
        ("&#48;", "0.01 energy_to_power"),
        ("&#x30;", "0.01 energy_to_power"),
    ] {
        let content = document(&[
            reading_type("1", DELIVERED),
            block("1", &reading("1772323200", "3600", &format!("1{entity}"))),
        ]);
        check("green_button", None, &content, &[&format!("1 C9-P1 2026-03-01T00:00:00Z {row}")]);
    }
}

#[test]
fn green_button_reads_texts_of_256_bytes_and_links_of_2048_and_none_that_are_longer() {
    let content = |value: usize, link: usize| {
        let kind = "x".repeat(link - "ReadingType/".len());
        let types =
            entry(&format!("ReadingType/{kind}"), "", &format!("<ReadingType>{DELIVERED}</ReadingType>"));
        let point =
            entry(&format!("{POINT}/MeterReading/1"), &format!("ReadingType/{kind}"), "<MeterReading/>");
        let value = format!("{:0>value$}", 1_000);
        document(&[
            types,
            reading_type("2", DELIVERED),
            point,
            block("1", &reading("1772323200", "3600", &value)),
        ])
    };
    for (value, link, row) in [
        (256, 2_048, "1 C9-P1 2026-03-01T00:00:00Z 1 energy_to_power"),
        (257, 2_048, "1 C9-P1 2026-03-01T00:00:00Z value_invalid"),
        (256, 2_049, "1 C9-P1 2026-03-01T00:00:00Z unit_unknown"),
    ] {
        check("green_button", None, &content(value, link), &[row]);
    }
}

#[test]
fn green_button_readings_that_say_too_little_are_rejected_with_a_reason() {
    let types = |says: &str| reading_type("1", says);
    let good = reading("1772323200", "3600", "1");
    for (kind, reading, expected) in [
        (types(DELIVERED), reading("yesterday", "3600", "1"), "1 C9-P1 - timestamp_invalid"),
        (types(DELIVERED), reading("1772323200", "3600", "x"), "1 C9-P1 2026-03-01T00:00:00Z value_invalid"),
        (types(DELIVERED), reading("1772323200", "x", "1"), "1  - row_malformed"),
        (types("<uom>72</uom>"), good.replace("<duration>3600</duration>", ""), "1  - row_malformed"),
        (types(""), good.clone(), "1 C9-P1 2026-03-01T00:00:00Z unit_unknown"),
        (
            types(&format!("{DELIVERED}<powerOfTenMultiplier>9</powerOfTenMultiplier>")),
            good.clone(),
            "1 C9-P1 2026-03-01T00:00:00Z unit_unknown",
        ),
        (types(DELIVERED), reading("1772323200", "3600", ""), "1 C9-P1 2026-03-01T00:00:00Z - missing_value"),
    ] {
        check(
            "green_button",
            None,
            &document(&[kind, block("1", &reading)]).replace("<feed ", "<feed x='http://naesb.org/espi' "),
            &[expected],
        );
    }
    let dangling = document(&[types(DELIVERED), meter_reading("1", "2"), block("1", &good)]);
    let decoded = decode("green_button", None, &dangling).unwrap();
    assert_eq!(rows(&decoded), ["1 C9-P1 2026-03-01T00:00:00Z unit_unknown"]);
    let orphan = document(&[types(DELIVERED), good]);
    assert_eq!(
        rows(&decode("green_button", None, &orphan).unwrap()),
        ["1  2026-03-01T00:00:00Z meter_id_invalid"]
    );
}

#[test]
fn other_quantities_and_registers_of_green_button_are_passed_over() {
    let one = |id: &str| block(id, &reading("1772323200", "3600", "1000"));
    for says in [
        "<uom>169</uom>",
        "<uom>72</uom><commodity>7</commodity>",
        "<uom>72</uom><accumulationBehaviour>3</accumulationBehaviour>",
    ] {
        let (gas, power) = (reading_type("1", says), reading_type("2", DELIVERED));
        let all = [gas.clone(), power, meter_reading("a", "1"), meter_reading("b", "2"), one("a"), one("b")];
        let decoded = decode("green_button", None, &document(&all)).unwrap();
        assert_eq!(rows(&decoded), ["1 C9-P1 2026-03-01T00:00:00Z 1 energy_to_power"], "{says}");
        assert_eq!(decoded.coverage.skipped, decoded.coverage.rows);
        assert_eq!(decode("green_button", None, &document(&[gas, one("a")])).unwrap().row_count(), 0);
    }
}

#[test]
fn documents_that_are_broken_or_dangerous_are_refused_with_their_line() {
    let good = document(&[reading_type("1", DELIVERED), block("1", &reading("1772323200", "3600", "1"))]);
    let bomb = format!("<!DOCTYPE lolz [<!ENTITY lol \"lol\">]>\n{good}");
    refused("green_button", &bomb, "line 1: the XML has a document type", "plain ESPI");
    refused("green_button", &good.replace(">1<", ">&lol;<"), "line 3: the XML has the entity `lol`", "five");
    refused("green_button", &good[..good.len() - 9], "breaks off within the element `feed`", "whole");
    refused("green_button", &good.replace("</value>", "</wert>"), "`value` ends as `wert`", "again");
    refused("green_button", &good.replace("</feed>", "</feed></feed>"), "ends and has not begun", "again");
    refused("green_button", &good.replace("<value>", "<value"), "", "again");
    refused("green_button", &"<a>".repeat(65), "more than 64 elements", "again");
    refused("green_button", "meter_id,timestamp\n", "outside of its elements", "--feed");
    refused("green_button", "<feed/>", "without an `IntervalReading`", "interval blocks");
    refused("green_button", "", "empty", "again");
}
