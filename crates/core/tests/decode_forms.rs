//! What decode makes of each form of row, header and feed, with both sides of each threshold.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use greenstream_core::decode::{Decoded, Feed, FeedError, Given, Refusal};
use greenstream_core::{Reason, Ts};

const HEADER: &str = "meter_id,timestamp,energy_value,energy_unit\n";
/// 2026-03-02T12:00:00Z.
const LANDED: Ts = Ts::from_micros(1_772_452_800_000_000);

fn decode(feed: &Feed, zone: Option<&str>, name: &str, content: &[u8]) -> Result<Decoded, Refusal> {
    let decoder = feed.compile(&Given { time_zone: zone, name, landed_at: LANDED }).unwrap();
    let mut stream = decoder.stream();
    stream.push(content)?;
    stream.finish()
}

fn default(content: &str) -> Result<Decoded, Refusal> {
    decode(&Feed::default_feed(), None, "upload.csv", content.as_bytes())
}

fn built_in(name: &str) -> Feed {
    let (_, text) = Feed::built_in().into_iter().find(|(known, _)| *known == name).unwrap();
    toml::from_str(text).unwrap()
}

/// `number meter ts kw flags` or `number meter ts reason` of each row, in file order.
fn shown(decoded: &Decoded) -> Vec<String> {
    let rows = decoded.rows.iter().map(|row| {
        let kw = row.kw.map_or("none".to_owned(), |kw| kw.to_string());
        let meter = &decoded.meters[row.meter as usize];
        (row.row_number, format!("{} {meter} {} {kw} {}", row.row_number, row.ts, row.flags))
    });
    let rejects = decoded.rejects.iter().map(|reject| {
        let ts = reject.ts.map_or("?".to_owned(), |ts| ts.to_string());
        let text = format!("{} {} {ts} {}", reject.row_number, reject.meter, reject.reason.name());
        (reject.row_number, text)
    });
    let mut all: Vec<_> = rows.chain(rejects).collect();
    all.sort();
    all.into_iter().map(|(_, text)| text.trim_end().to_owned()).collect()
}

#[track_caller]
fn check(content: &str, expected: &[&str]) {
    assert_eq!(shown(&default(content).unwrap()), expected);
}

#[track_caller]
fn check_row(zone: Option<&str>, row: &str, expected: &str) {
    let content = format!("{HEADER}{row}\n");
    let decoded = decode(&Feed::default_feed(), zone, "upload.csv", content.as_bytes()).unwrap();
    assert_eq!(shown(&decoded), [format!("1 {expected}").trim_end()], "{row}");
}

#[test]
fn short_lines_never_come_together_to_one_row() {
    let malformed =
        |rows: u32| -> Vec<String> { (1..=rows).map(|row| format!("{row}  ? row_malformed")).collect() };
    for (lines, rows) in [("a\nb\nc,d\n", 3), ("a\nb,c\nd\n", 3), ("a,b\nc,d\n", 2), ("a\nb\nc\nd\n", 4)] {
        assert_eq!(shown(&default(&format!("{HEADER}{lines}")).unwrap()), malformed(rows), "{lines:?}");
    }
}

#[test]
fn an_interval_lies_within_the_years_1_to_9999_of_utc_whatever_its_clock_shows() {
    for (zone, row, expected) in [
        ("Asia/Tokyo", "0001-01-01T09:18:59", "0001-01-01T00:00:00Z 1 utc_normalized"),
        ("Asia/Tokyo", "0001-01-01T09:18:58", "? timestamp_invalid"),
        ("America/New_York", "9999-12-31T18:59:59", "9999-12-31T23:59:59Z timestamp_in_future"),
        ("America/New_York", "9999-12-31T18:59:59.999999", "9999-12-31T23:59:59.999999Z timestamp_in_future"),
        ("America/New_York", "9999-12-31T19:00:00", "? timestamp_invalid"),
    ] {
        check_row(Some(zone), &format!("M,{row},1,kW"), &format!("M {expected}"));
    }
    check_row(
        None,
        "M,9999-12-31T23:59:59.999999Z,1,kW",
        "M 9999-12-31T23:59:59.999999Z timestamp_in_future",
    );
    let ends = "label='end'\ninterval='15min'";
    let digits = "time_format='%Y%m%d%H%M'\ntime_zone='UTC'";
    for (says, at, expected) in [
        (ends, "0001-01-01T00:15:00Z", "0001-01-01T00:00:00Z 1"),
        (ends, "0001-01-01T00:14:59Z", "? timestamp_invalid"),
        (digits, "999912312359", "9999-12-31T23:59:00Z timestamp_in_future"),
        (digits, "999912312400", "? timestamp_invalid"),
    ] {
        let columns = "unit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'\n";
        let feed: Feed = toml::from_str(&format!("name='f'\n{says}\n{columns}")).unwrap();
        let decoded = decode(&feed, None, "", format!("m,t,v\nM,{at},1\n").as_bytes()).unwrap();
        assert_eq!(shown(&decoded), [format!("1 M {expected}")], "{at}");
    }
}

#[test]
fn the_first_failure_names_the_reason_and_the_rest_is_shown_as_far_as_it_can_be_read() {
    for (row, expected) in [
        ("M,2026-03-02T00:00:00Z,1,kW", "M 2026-03-02T00:00:00Z 1"),
        ("\u{200b},nonsense,x,BTU,", " ? row_malformed"),
        ("\u{200b},nonsense,x,BTU", "\u{200b} ? meter_id_invalid"),
        ("M,nonsense,x,BTU", "M ? timestamp_invalid"),
        ("M,2026-03-02T00:00:00,x,BTU", "M ? timestamp_no_zone"),
        ("M,2026-03-03T00:00:00Z,x,BTU", "M 2026-03-03T00:00:00Z timestamp_in_future"),
        ("M,2026-03-02T00:00:00Z,x,BTU", "M 2026-03-02T00:00:00Z value_invalid"),
        ("M,2026-03-02T00:00:00Z,1e99,BTU", "M 2026-03-02T00:00:00Z unit_unknown"),
        ("M,2026-03-02T00:00:00Z,1e99,kW", "M 2026-03-02T00:00:00Z value_invalid"),
        ("M,2026-03-02T00:00:00Z,1,", "M 2026-03-02T00:00:00Z unit_unknown"),
        ("M,2026-03-02T00:00:00Z,,BTU", "M 2026-03-02T00:00:00Z none missing_value"),
        ("M,2026-03-02T00:00:00Z,NULL,W", "M 2026-03-02T00:00:00Z none missing_value"),
        (",2026-03-03T00:00:00Z,1,kW", " 2026-03-03T00:00:00Z meter_id_invalid"),
        ("M,2026-03-02T00:00:00Z,1,kWh", "M 2026-03-02T00:00:00Z unit_unknown"),
        ("M,2026-03-02T00:00:00Z,1,MW", "M 2026-03-02T00:00:00Z unit_unknown"),
    ] {
        check_row(None, row, expected);
    }
    for (row, expected) in [
        ("M,2026-03-29T01:30:00,x,BTU", "M ? timestamp_nonexistent"),
        ("M,2025-10-26T01:30:00,x,BTU", "M 2025-10-26T00:30:00Z value_invalid"),
        ("\u{200b},2025-10-26T01:30:00,x,BTU", "\u{200b} ? meter_id_invalid"),
        ("\u{200b},2025-10-26T00:30:00,x,BTU", "\u{200b} 2025-10-25T23:30:00Z meter_id_invalid"),
        ("M,0001-01-01T00:00:00,1,kW", "M 0001-01-01T00:01:15Z 1 utc_normalized"),
        ("M,2026-03-02T00:00:00Z,1,kW", "M 2026-03-02T00:00:00Z 1"),
        ("M,2026-01-02T00:00:00,2,kW", "M 2026-01-02T00:00:00Z 2 utc_normalized"),
    ] {
        check_row(Some("Europe/London"), row, expected);
    }
    check_row(Some("Europe/Berlin"), "M,0001-01-01T00:00:00,1,kW", "M ? timestamp_invalid");
    check_row(Some("UTC"), "M,2026-01-02T00:00:00,2,kW", "M 2026-01-02T00:00:00Z 2");
}

#[test]
fn a_long_or_unreadable_meter_is_shown_cut() {
    let long = "é".repeat(300);
    let decoded = default(&format!("{HEADER}{long},2026-03-02T00:00:00Z,1,kW\n")).unwrap();
    assert_eq!(decoded.rejects[0].meter, "é".repeat(128));
}

#[test]
fn the_future_begins_more_than_a_quarter_of_an_hour_after_landing() {
    check_row(None, "M,2026-03-02T12:15:00Z,1,kW", "M 2026-03-02T12:15:00Z 1");
    check_row(
        None,
        "M,2026-03-02T12:15:00.000001Z,1,kW",
        "M 2026-03-02T12:15:00.000001Z timestamp_in_future",
    );
}

#[test]
fn a_repeated_wall_time_may_mean_an_instant_in_the_future() {
    // landed between the two hours that 01:30 may mean
    let landed_at =
        Ts::from_micros("2025-10-26T01:00:00Z".parse::<jiff::Timestamp>().unwrap().as_microsecond());
    let given = Given { time_zone: Some("Europe/London"), name: "", landed_at };
    let decoder = Feed::default_feed().compile(&given).unwrap();
    let content = format!(
        "{HEADER}L,2025-10-26T01:30:00,x,kW\nL,2025-10-26T01:30:00,1,kW\nM,2025-10-26T01:30:00,1,kW\n\
         L,2025-10-26T01:30:00,x,kW\n"
    );
    let layout = decoder.layout(content.as_bytes()).unwrap();
    let chunks = layout.chunks(content.as_bytes(), 4);
    let decoded = layout.join(chunks.into_iter().map(|chunk| layout.decode_chunk(chunk)).collect()).unwrap();
    assert_eq!(
        shown(&decoded),
        [
            "1 L 2025-10-26T00:30:00Z value_invalid",
            "2 L 2025-10-26T01:30:00Z timestamp_in_future",
            "3 M 2025-10-26T00:30:00Z 1 utc_normalized|dst_resolved",
            "4 L 2025-10-26T01:30:00Z timestamp_in_future",
        ]
    );
    assert_eq!(decoded.meters, ["M"]);
}

#[test]
fn rows_with_an_offset_of_their_own_do_not_count_as_occurrences() {
    let feed = Feed::default_feed();
    let content = format!(
        "{HEADER}M,2025-10-26T01:30:00+01:00,1,kW\nM,1761442200,2,kW\nM,2025-10-26T01:30:00,3,kW\n\
         M,2025-10-26T01:30:00,4,kW\nM,2025-10-26T01:30:00,5,kW\n"
    );
    let decoded = decode(&feed, Some("Europe/London"), "", content.as_bytes()).unwrap();
    assert_eq!(
        shown(&decoded),
        [
            "1 M 2025-10-26T00:30:00Z 1 utc_normalized",
            "2 M 2025-10-26T01:30:00Z 2",
            "3 M 2025-10-26T00:30:00Z 3 utc_normalized|dst_resolved",
            "4 M 2025-10-26T01:30:00Z 4 utc_normalized|dst_resolved",
            "5 M 2025-10-26T01:30:00Z 5 utc_normalized|dst_resolved",
        ]
    );
}

#[test]
fn columns_stand_in_any_order_and_case_and_others_are_ignored() {
    let row = "M 2026-03-02T00:00:00Z 1";
    for (header, line) in [
        ("meter_id,timestamp,energy_value,energy_unit", "M,2026-03-02T00:00:00Z,1,kW"),
        ("\u{feff}METER_ID,Timestamp,energy_value,ENERGY_UNIT", "M,2026-03-02T00:00:00Z,1,kW"),
        ("energy_unit,x,energy_value,,timestamp, meter_id ,", "kW,a,1,b,2026-03-02T00:00:00Z,M,"),
        (
            "\n\r\n\"meter_id\",timestamp,energy_value,energy_unit,a,a\r",
            "M,2026-03-02T00:00:00Z,1,kW,\"x,y\",\r",
        ),
    ] {
        check(&format!("{header}\n{line}\n"), &[&format!("1 {row}")]);
        check(&format!("{header}\n{}", line.trim_end_matches('\r')), &[&format!("1 {row}")]);
    }
}

#[test]
fn empty_lines_are_no_rows_and_lines_of_blanks_are() {
    let row = "M,2026-03-02T00:00:00Z,1,kW";
    check(
        &format!("{HEADER}\n{row}\n\r\n \n{row}\n\r"),
        &[
            "1 M 2026-03-02T00:00:00Z 1",
            "2  ? row_malformed",
            "3 M 2026-03-02T00:00:00Z 1",
            "4  ? row_malformed",
        ],
    );
    for content in
        [HEADER, HEADER.trim_end(), "\u{feff}meter_id,timestamp,energy_value,energy_unit\r\n\n\r\n"]
    {
        let decoded = default(content).unwrap();
        assert_eq!(decoded.row_count(), 0);
        let coverage = decoded.coverage;
        assert_eq!(coverage.header + coverage.skipped, content.len() as u64);
    }
}

#[test]
fn coverage_tells_header_rows_and_empty_lines_apart() {
    let decoded = default("\u{feff}\r\nmeter_id,timestamp,energy_value,energy_unit\r\na,b\n\nc").unwrap();
    let coverage = decoded.coverage;
    assert_eq!((coverage.header, coverage.rows, coverage.skipped), (3 + 45, 5, 3));
    assert_eq!(decoded.index.offsets, [3 + 2 + 45]);
}

#[track_caller]
fn check_refused(content: &[u8], code: &str, problem: &str, hint: &str) {
    let refusal = decode(&Feed::default_feed(), None, "upload.csv", content).unwrap_err();
    assert_eq!(refusal.code(), code, "{refusal}");
    assert!(refusal.to_string().contains(problem), "{refusal}");
    assert!(refusal.hint().contains(hint), "{}", refusal.hint());
    let decoder =
        Feed::default_feed().compile(&Given { time_zone: None, name: "", landed_at: LANDED }).unwrap();
    assert_eq!(decoder.layout(content).unwrap_err(), refusal);
}

#[test]
fn what_has_no_fitting_header_is_refused_with_a_way_out() {
    for (content, code, problem, hint) in [
        (&b""[..], "upload_empty", "empty", "again"),
        (b"\n\r\n\n", "upload_empty", "empty", "again"),
        (b"\xef\xbb\xbf", "upload_empty", "empty", "again"),
        (b"\n\nmeter_id,timestamp\n", "header_unfit", "line 3: the header `meter_id,timestamp`", "profile"),
        (b"meter_id,timestamp\n", "header_unfit", "no `energy_value`, no `energy_unit`; expected", "profile"),
        (
            b"meter_id;timestamp;energy_value;energy_unit\n",
            "header_unfit",
            "has no `timestamp`",
            "delimited by `;`",
        ),
        (b"meter_id\ttimestamp\tenergy_value\tenergy_unit\n", "header_unfit", "has no", "delimited by tabs"),
        (b"M1,2026-03-02T00:00:00Z,1,kW\n", "header_unfit", "has no", "the first line looks like a row"),
        (
            b"MeterID,timestamp,energy_value,energy_unit\n",
            "header_unfit",
            "has no `meter_id`",
            "`MeterID` looks like `meter_id`",
        ),
        (
            b"meter_id,timestamp,energy_value,energy_unit,METER_ID\n",
            "header_unfit",
            "has `meter_id` twice",
            "leave one",
        ),
        (b"meter_id,timestamp,energy_value,energy_unit\rM,", "header_unfit", "holds a CR", "LF or CRLF"),
        (b"\"meter_id,timestamp\n", "header_unfit", "a quote is out of place", "quoted whole"),
        (b"meter_id,gr\xf6sse\n", "not_text", "not UTF-8", "Latin-1"),
        (b"a\0b\n", "not_text", "binary", "UTF-8"),
        (b"PK\x03\x04\x14\0\n", "not_text", "zip", "unpack"),
        (b"\xff\xfem\0\n\0", "not_text", "UTF-16", "UTF-8"),
    ] {
        check_refused(content, code, problem, hint);
    }
    let mut endless = vec![b'x'; 1 << 20];
    check_refused(&endless, "header_unfit", "has no", "profile");
    endless.push(b'x');
    check_refused(&endless, "header_unfit", "longer than 1 MiB", "LF");
    endless[500] = b'\r';
    check_refused(&endless, "header_unfit", "longer than 1 MiB", "CR alone");
}

fn rows(good: usize, bad: &[(&str, usize)]) -> String {
    let mut content = HEADER.to_owned() + &"M,1772415000,1,kW\n".repeat(good);
    for (line, count) in bad {
        content.push_str(&format!("{line}\n").repeat(*count));
    }
    content
}

#[test]
fn more_than_a_fifth_of_at_least_a_hundred_rows_means_that_the_feed_changed() {
    for (good, bad, refused) in
        [(80, 20, false), (79, 21, true), (0, 99, false), (0, 100, true), (799, 200, true)]
    {
        let result = default(&rows(good, &[("x", bad)]));
        assert_eq!(result.is_err(), refused, "{good} {bad}");
    }
    let bad = [("x", 5), ("M,x,1,kW", 30), (",1772415000,1,kW", 10), ("M,1772415000,1,BTU", 20)];
    let Err(Refusal::FeedChanged { failed, rows, reasons, hint }) = default(&rows(100, &bad)) else {
        panic!("not refused");
    };
    assert_eq!((failed, rows), (65, 165));
    let expected = [(Reason::TimestampInvalid, 30), (Reason::UnitUnknown, 20), (Reason::MeterIdInvalid, 10)];
    assert_eq!(reasons, expected);
    assert!(!hint.is_empty());
}

#[test]
fn rows_that_become_future_when_resolved_count_as_failures() {
    let landed_at =
        Ts::from_micros("2025-10-26T01:00:00Z".parse::<jiff::Timestamp>().unwrap().as_microsecond());
    let given = Given { time_zone: Some("Europe/London"), name: "", landed_at };
    let decoder = Feed::default_feed().compile(&given).unwrap();
    for (again, refused) in [(20, false), (21, true)] {
        let good = "A,1761400000,1,kW\n".repeat(99 - again);
        let content = format!("{HEADER}{good}{}", "M,2025-10-26T01:30:00,1,kW\n".repeat(again + 1));
        let mut stream = decoder.stream();
        stream.push(content.as_bytes()).unwrap();
        let told = match stream.finish() {
            Ok(_) => None,
            Err(Refusal::FeedChanged { reasons, .. }) => Some(reasons),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(told, refused.then(|| vec![(Reason::TimestampInFuture, 21)]));
    }
}

#[test]
fn what_failed_most_says_what_to_do() {
    let hint = |line: &str, zone| {
        let content = rows(0, &[(line, 100)]);
        let refusal = decode(&Feed::default_feed(), zone, "upload.csv", content.as_bytes()).unwrap_err();
        assert_eq!(refusal.code(), "feed_changed");
        refusal.hint()
    };
    for (line, zone, expected) in [
        ("M,1772415000,1", None, "the 4 fields of the header"),
        (",1772415000,1,kW", None, "the meter column"),
        ("M,2026-03-02T00:00:00,1,kW", None, "give --time-zone"),
        ("M,2026-03-29T01:30:00,1,kW", Some("Europe/London"), "the time zone may be wrong"),
        ("M,2026-03-02T13:00:00Z,1,kW", None, "later than the upload"),
        ("M,1772415000,1,BTU", None, "declare the unit"),
        ("M,1772415000,x,kW", None, "columns and formats"),
    ] {
        assert!(hint(line, zone).contains(expected), "{line}: {}", hint(line, zone));
    }
}

#[test]
fn repeated_times_of_rejected_rows_are_told_apart_too() {
    // no row of these meters is kept, and no other row has a repeated time
    let content = format!(
        "{HEADER}A,2025-10-25T12:00:00,1,kW\nL,2025-10-26T01:30:00,x,kW\nM,2025-10-26T01:30:00,x,kW\n\
         L,2025-10-26T01:30:00,x,kW\nM,2025-10-26T01:30:00,x,kW\n"
    );
    let decoded = decode(&Feed::default_feed(), Some("Europe/London"), "", content.as_bytes()).unwrap();
    assert_eq!(
        shown(&decoded),
        [
            "1 A 2025-10-25T11:00:00Z 1 utc_normalized",
            "2 L 2025-10-26T00:30:00Z value_invalid",
            "3 M 2025-10-26T00:30:00Z value_invalid",
            "4 L 2025-10-26T01:30:00Z value_invalid",
            "5 M 2025-10-26T01:30:00Z value_invalid",
        ]
    );
}

#[test]
fn a_repeated_time_that_is_resolved_to_a_quarter_of_an_hour_after_landing_is_not_in_the_future() {
    let landed_at =
        Ts::from_micros("2025-10-26T01:15:00Z".parse::<jiff::Timestamp>().unwrap().as_microsecond());
    let given = Given { time_zone: Some("Europe/London"), name: "", landed_at };
    let decoder = Feed::default_feed().compile(&given).unwrap();
    let row = |time: &str| format!("M,2025-10-26T{time},1,kW\n").repeat(2);
    let bad = "L,2025-10-26T01:30:00,x,kW\n".repeat(2);
    let times = [row("01:30:00"), row("01:30:00.000001"), bad];
    let mut stream = decoder.stream();
    stream.push(format!("{HEADER}{}", times.concat()).as_bytes()).unwrap();
    let last = shown(&stream.finish().unwrap());
    assert_eq!(last[1], "2 M 2025-10-26T01:30:00Z 1 utc_normalized|dst_resolved");
    assert_eq!(last[3], "4 M 2025-10-26T01:30:00.000001Z timestamp_in_future");
    assert_eq!(last[5], "6 L 2025-10-26T01:30:00Z value_invalid");
}

#[test]
fn a_quoted_line_has_the_fields_of_the_header_and_no_other() {
    check(
        &format!(
            "{HEADER}\"M\",1772415000,1,kW\n\"M\",1772415000,1,kW,\n\"M\",1772415000,1\nM,\"1772415000,1,kW\n"
        ),
        &["1 M 2026-03-02T01:30:00Z 1", "2  ? row_malformed", "3  ? row_malformed", "4  ? row_malformed"],
    );
}

#[test]
fn a_feed_fits_what_it_can_read_and_nothing_else() {
    let text = "name='f'\nencoding='utf-16'\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'";
    let utf16: Feed = toml::from_str(text).unwrap();
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    assert!(utf16.fits(&wide("m,t,v\n"), "") && !utf16.fits(&wide("m,t\n"), ""));
    assert!(!utf16.fits(b"m,t,v\n", ""));
    let default = Feed::default_feed();
    assert!(
        default.fits(HEADER.as_bytes(), "")
            && default.fits(b"energy_unit,meter_id,timestamp,energy_value", "")
    );
    for head in ["", "\n", "meter_id,timestamp,energy_value\n", "M,1772415000,1,kW\n"] {
        assert!(!default.fits(head.as_bytes(), ""), "{head}");
    }
    let nem = built_in("nem12");
    for (head, fits) in [
        ("100,NEM12,202603020100,MDP,RETAILER\n", true),
        ("\r\n100,nem13,", true),
        ("100,NEM14,202603020100,MDP,RETAILER\n", false),
        ("200,NMI,E1,1,E1,N1,01009,kWh,30,\n", true),
        ("200,NMI,E1,1,E1,N1,01009,kWh,x,\n", false),
        ("200,NMI,E1\n", false),
        ("250,N,11,1,11,,S,E,1,20240101000000,A,,,2,20250204000000,A,,,1,kWh,,,\n", true),
        ("250,N,11,1,11,,S,E,1,yesterday,A,,,2,20250204000000,A,,,1,kWh,,,\n", false),
        ("250,N,11,1,11,,S,E,1,20240101000000\n", false),
        ("900\n", false),
        ("", false),
    ] {
        assert_eq!(nem.fits(head.as_bytes(), ""), fits, "{head}");
    }
    let green_button = built_in("green_button");
    for (head, fits) in [
        ("\n <feed xmlns:espi=\"http://naesb.org/espi\">", true),
        ("<feed xmlns=\"http://www.w3.org/2005/Atom\">", false),
        ("see http://naesb.org/espi", false),
    ] {
        assert_eq!(green_button.fits(head.as_bytes(), ""), fits, "{head}");
    }
    let cmep = built_in("cmep");
    assert!(cmep.fits(b"MEPMD01,19970819,", "") && !cmep.fits(b"M1,2026-03-02T00:00:00Z,1,kW\n", ""));
}

#[test]
fn a_header_that_never_ends_is_refused_before_it_fills_the_memory() {
    let decoder =
        Feed::default_feed().compile(&Given { time_zone: None, name: "", landed_at: LANDED }).unwrap();
    let mut stream = decoder.stream();
    let piece = [b'x'; 1 << 16];
    let taken = (0..64).take_while(|_| stream.push(&piece).is_ok()).count();
    assert_eq!(taken, 16, "one mebibyte");
}

#[test]
fn a_line_before_the_header_may_have_a_mebibyte() {
    let feed: Feed =
        toml::from_str("name='f'\npreamble=1\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'")
            .unwrap();
    let decoder = feed.compile(&Given { time_zone: None, name: "", landed_at: LANDED }).unwrap();
    let code = |text: &str| decoder.layout(text.as_bytes()).map_err(|refusal| refusal.code()).err();
    for (extra, expected, alone) in
        [(0, None, Some("upload_empty")), (1, Some("header_unfit"), Some("header_unfit"))]
    {
        let line = "x".repeat((1 << 20) + extra);
        assert_eq!(code(&format!("{line}\nm,t,v\n")), expected);
        assert_eq!(code(&line), alone);
    }
}

#[test]
fn an_upload_is_cut_into_as_many_chunks_as_asked_for_of_about_equal_size() {
    let content = format!("{HEADER}{}", "M,1772415000,1,kW\n".repeat(1_000));
    let decoder =
        Feed::default_feed().compile(&Given { time_zone: None, name: "", landed_at: LANDED }).unwrap();
    let layout = decoder.layout(content.as_bytes()).unwrap();
    for count in 1..9 {
        let chunks = layout.chunks(content.as_bytes(), count);
        assert_eq!(chunks.len(), count);
        assert_eq!([HEADER.as_bytes(), &chunks.concat()].concat(), content.as_bytes());
        let share = 18_000 / count;
        assert!(chunks.iter().all(|chunk| chunk.len().abs_diff(share) <= 18 * count), "{count}");
    }
    assert_eq!(layout.chunks(HEADER.as_bytes(), 4), [b""; 0]);
}

#[test]
fn london_rows_are_energy_per_half_hour_in_utc() {
    let feed = built_in("london");
    assert!(feed.claims("lcl/dfMAC1.csv.gz") && !feed.claims("smart_meter10.csv"));
    let content = b",mac,datetime,kwhh\n7,MAC1,2013-03-31 01:30:00,0.25\n8,MAC1,2013-03-31 02:00:00,Null\n";
    assert_eq!(
        shown(&decode(&feed, None, "dfMAC1.csv", content).unwrap()),
        ["1 MAC1 2013-03-31T01:30:00Z 0.5 energy_to_power", "2 MAC1 2013-03-31T02:00:00Z none missing_value",]
    );
}

#[test]
fn sgsc_rows_are_eastern_standard_time_all_year() {
    let content = b"customer_id,reading_datetime,general_supply_kwh\n\
        10,2012-10-07 01:30:00,0.055\n10,2012-10-07 02:00:00,0.1\n10,2012-04-01 02:30:00,1\n";
    assert_eq!(
        shown(&decode(&built_in("sgsc"), None, "smart_meter10.csv", content).unwrap()),
        [
            "1 10 2012-10-06T15:30:00Z 0.11 energy_to_power|utc_normalized",
            "2 10 2012-10-06T16:00:00Z 0.2 energy_to_power|utc_normalized",
            "3 10 2012-03-31T16:30:00Z 2 energy_to_power|utc_normalized",
        ]
    );
}

#[test]
fn ausgrid_lines_are_two_meters_each_named_by_the_upload() {
    let feed = built_in("ausgrid");
    let content = b",GC,GG\n2011-07-01 00:00:00,0.392,0.0\n2011-10-02 02:00:00,0.0,0.0\nspoiled\n\
        2011-07-01 00:30:00,0.48200000000000004,\n";
    assert_eq!(
        shown(&decode(&feed, None, "2026/c12.csv", content).unwrap()),
        [
            "1 c12-GC 2011-06-30T14:00:00Z 0.784 energy_to_power|utc_normalized",
            "2 c12-GG 2011-06-30T14:00:00Z 0 energy_to_power|utc_normalized",
            "3 c12-GC ? timestamp_nonexistent",
            "4 c12-GG ? timestamp_nonexistent",
            "5  ? row_malformed",
            "6  ? row_malformed",
            "7 c12-GC 2011-06-30T14:30:00Z 0.964 energy_to_power|utc_normalized",
            "8 c12-GG 2011-06-30T14:30:00Z none utc_normalized|missing_value",
        ]
    );
    let given = Given { time_zone: None, name: "c12.txt", landed_at: LANDED };
    assert!(matches!(feed.compile(&given), Err(FeedError::Name { .. })));
}

#[test]
fn a_profile_may_lack_a_header_and_declare_units_and_sentinels() {
    let text = "name='f'\nheader=false\ndelimiter=';'\nunits=['MW','kWh']\ninterval='15min'\nmissing=['-999']\n\
        time_zone='UTC'\n[columns]\nmeter=2\ntimestamp=1\nvalue=4\nunit=5";
    let feed: Feed = toml::from_str(text).unwrap();
    let content =
        b"2026-03-02 00:00;M;a;1;MW\n2026-03-02 00:15;M;;0.25;kWh\n2026-03-02 00:30;M;\"x;y\";-999;\n\
        2026-03-02 00:45;M;;1;mW\n2026-03-02 01:00;M;;1,5;kW\n2026-03-02 01:15;M;1;kW\n";
    assert_eq!(
        shown(&decode(&feed, None, "", content).unwrap()),
        [
            "1 M 2026-03-02T00:00:00Z 1000 unit_converted",
            "2 M 2026-03-02T00:15:00Z 1 energy_to_power",
            "3 M 2026-03-02T00:30:00Z none missing_value",
            "4 M 2026-03-02T00:45:00Z unit_unknown",
            "5 M 2026-03-02T01:00:00Z value_invalid",
            "6  ? row_malformed",
        ]
    );
    let refusal = decode(&feed, None, "", b"2026-03-02 00:00;M;a\n").unwrap_err();
    assert!(
        refusal.to_string().contains("the first line `2026-03-02 00:00;M;a` has no column 4"),
        "{refusal}"
    );
    // a spoiled first line is one bad row
    let decoded = decode(&feed, None, "", b"\"x;M;a;1;MW\n2026-03-02 00:00;M;a;1;MW\n").unwrap();
    assert_eq!(shown(&decoded), ["1  ? row_malformed", "2 M 2026-03-02T00:00:00Z 1000 unit_converted"]);
}

#[test]
fn values_are_numbered_in_the_order_of_their_columns() {
    let text = "name='f'\nunit='W'\n[columns]\nmeter='m'\ntimestamp='t'\n\
        values=[{column='b',meter_suffix='-b'},{column='a',meter_suffix='-a'}]";
    let feed: Feed = toml::from_str(text).unwrap();
    let long = "x".repeat(63);
    let content = format!("t,a,m,b\n1772415000,1,M,2\n1772415000,x,{long},3\n1772415000,1,,2\n");
    assert_eq!(
        shown(&decode(&feed, None, "", content.as_bytes()).unwrap()),
        [
            "1 M-a 2026-03-02T01:30:00Z 0.001 unit_converted".to_owned(),
            "2 M-b 2026-03-02T01:30:00Z 0.002 unit_converted".to_owned(),
            format!("3 {long}-a 2026-03-02T01:30:00Z meter_id_invalid"),
            format!("4 {long}-b 2026-03-02T01:30:00Z meter_id_invalid"),
            "5  2026-03-02T01:30:00Z meter_id_invalid".to_owned(),
            "6  2026-03-02T01:30:00Z meter_id_invalid".to_owned(),
        ]
    );
    let both = "name='f'\nunit='W'\n[columns]\nmeter='m'\ntimestamp='t'\n\
        values=[{column='a',meter_suffix='-b'},{column=['a','c'],meter_suffix='-a'}]";
    let refusal = decode(&toml::from_str(both).unwrap(), None, "", b"t,a,m\n").unwrap_err();
    assert!(refusal.to_string().contains("the same column"), "{refusal}");
}

#[test]
fn content_of_four_gibibytes_is_too_large() {
    let limit = u64::from(u32::MAX);
    let piece = vec![b'x'; 64 << 20];
    let decoder =
        Feed::default_feed().compile(&Given { time_zone: None, name: "", landed_at: LANDED }).unwrap();
    for (total, refused) in [(limit, false), (limit + 1, true)] {
        let mut stream = decoder.stream();
        stream.push(HEADER.as_bytes()).unwrap();
        let mut left = total - HEADER.len() as u64;
        while left > 0 {
            let some = usize::try_from(left.min(piece.len() as u64)).unwrap();
            left -= some as u64;
            if stream.push(&piece[..some]).is_err() {
                break;
            }
        }
        match stream.finish() {
            Ok(decoded) => assert_eq!((decoded.row_count(), refused), (1, false)),
            Err(refusal) => assert_eq!((refusal.code(), refused), ("upload_too_large", true)),
        }
    }
}

#[test]
fn a_refused_stream_stays_refused() {
    let decoder =
        Feed::default_feed().compile(&Given { time_zone: None, name: "", landed_at: LANDED }).unwrap();
    let mut stream = decoder.stream();
    let refusal = stream.push(b"meter_id\n").unwrap_err();
    assert_eq!(stream.push(HEADER.as_bytes()).unwrap_err(), refusal);
    assert_eq!(stream.finish().unwrap_err(), refusal);
}
