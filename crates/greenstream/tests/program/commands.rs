//! The life of a home through the real program: what lands, what operators decide, what is checked,
//! and what the service does.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::{HEADER, Home, Row, eventually, files_below};

/// Rows of meter M at quarters of 2 March 2026, one for each value.
fn quarters(values: &[&str]) -> String {
    let row = |(index, value): (usize, &&str)| {
        format!("M,2026-03-02T{:02}:{:02}:00Z,{value},kW\n", index / 4, index % 4 * 15)
    };
    values.iter().enumerate().map(row).collect()
}

/// The columns `names` of every row, joined by blanks.
fn columns(rows: &[Row], names: &[&str]) -> Vec<String> {
    rows.iter()
        .map(|row| names.iter().map(|name| row[*name].as_str()).collect::<Vec<_>>().join(" "))
        .collect()
}

fn readings(home: &Home) -> Vec<String> {
    columns(&home.export("readings"), &["upload", "row_number", "kw", "flags"])
}

fn queue(home: &Home) -> Vec<String> {
    columns(&home.export("error-queue"), &["upload", "row_number", "kw", "reason", "status"])
}

/// The datasets that a rebuild must give again.
fn datasets(home: &Home) -> Vec<String> {
    let names = ["readings", "measured", "error-queue", "superseded", "uploads", "episodes"];
    names.iter().map(|name| home.text(name)).collect()
}

/// Rebuilds for real and fails where anything is other than before.
#[track_caller]
fn survives_a_rebuild(home: &Home) {
    home.is_whole();
    let before = datasets(home);
    home.ok(&["rebuild"]);
    assert_eq!(datasets(home), before);
    home.is_whole();
}

#[test]
fn the_same_bytes_under_another_name_are_a_delivery() {
    let home = Home::new();
    home.ingest("a.csv", &quarters(&["1", "2"]));
    home.ingest("b.csv", &quarters(&["1", "2"]));
    assert_eq!(columns(&home.export("uploads"), &["upload", "name", "rows"]), ["1 a.csv 2"]);
    assert!(columns(&home.export("deliveries"), &["upload", "name"]).contains(&"1 b.csv".to_owned()));
    assert_eq!(home.books(), [2, 2, 0, 0]);
    home.is_whole();
}

#[test]
fn the_same_bytes_under_another_zone_are_refused_with_the_way_out() {
    let home = Home::new();
    let path = home.file("a.csv", format!("{HEADER}M,2026-07-01T12:00:00,1,kW\n"));
    home.ok(&["ingest", "--time-zone", "Europe/London", &path]);
    let before = datasets(&home);
    assert_eq!(home.export("readings")[0]["ts"], "2026-07-01T11:00:00Z");
    let refused = home.run(&["ingest", "--time-zone", "Europe/Paris", &path]).exits(2);
    refused.says("refused").says("Europe/London").says("greenstream rebuild");
    assert_eq!(datasets(&home), before);
    home.ok(&["ingest", "--time-zone", "Europe/London", &path]).says("delivery recorded");
    survives_a_rebuild(&home);
}

#[test]
fn formats_of_their_own_are_found_by_their_content_and_show_their_records() {
    let home = Home::new();
    let day = "300,20260301,1.5,-9,V,,,20260302010000,\n400,1,1,A,,\n400,2,2,S14,61,\"a, <b>\"";
    let nem = format!("100,NEM12,202603020100,MDP,RET\n200,N1,E1,1,E1,,S,kWh,720,\n{day}\n900\n");
    let reading = "<IntervalReading><timePeriod><duration>900</duration><start>1772323200</start></timePeriod>\
        <value>-250</value></IntervalReading>";
    let xml = format!(
        "<?xml version=\"1.0\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n<entry>\
         <link rel=\"self\" href=\"User/7/UsagePoint/1/MeterReading/1/IntervalBlock/1\"/>\
         <content><IntervalBlock xmlns=\"http://naesb.org/espi\">{reading}</IntervalBlock></content></entry>\n\
         <entry><link rel=\"self\" href=\"ReadingType/1\"/><content><ReadingType><uom>72</uom></ReadingType>\
         </content></entry></feed>\n"
    );
    let record =
        "MEPMD01,19970819,UTILITY,,RET,,202603020100,C1,OK,E,KWH,1,00000015,2,202603010015,,-1,,R,0.25";
    home.ok(&["ingest", &home.file("anything.txt", &nem), &home.file("data.xml", &xml)]);
    let cmep = home.file("week.dat", format!("{record}\n"));
    home.ok(&["ingest", "--time-zone", "America/Los_Angeles", &cmep]);
    let found = columns(&home.export("readings"), &["meter_id", "ts", "kw", "row_number"]);
    assert_eq!(found, ["C1 2026-03-01T08:15:00Z 1 2", "N1-E1 2026-02-28T14:00:00Z 0.125 1"]);
    let queue = home.export("error-queue");
    let shown = columns(&queue, &["meter_id", "row_number", "reason"]);
    assert_eq!(shown, ["N1-E1 2 value_negative", "7-1 1 value_negative", "C1 1 value_negative"]);
    let raw: Vec<_> = queue.iter().map(|row| row["raw"].as_str()).collect();
    assert_eq!(raw, [day, reading, record]);
    home.ok(&["explain", "N1-E1", "2026-02-28T14:00:00Z"]).says("400,2,2,S14,61");
    survives_a_rebuild(&home);
}

/// A profile for files delimited by semicolons.
const SEMICOLONS: &str = "name = \"semi\"\ndelimiter = \";\"\n[columns]\nmeter = \"meter_id\"\n\
    timestamp = \"timestamp\"\nvalue = \"energy_value\"\nunit = \"energy_unit\"\n";

#[test]
fn a_header_that_one_supplier_has_chooses_its_profile() {
    let zappi = "Serial Number,Timestamp,Diverter Energy (L1) (Wh),Diverter Energy (L2) (Wh),Diverter Energy (L3) (Wh)\n\
                 Z1,2025-07-30T13:00:00.000Z,1000,200,50\n";
    let home = Home::new();
    let (known, default) = (home.file("july.csv", zappi), home.file("plain.csv", HEADER));
    // a header that fits nothing stays with the default feed, which says what is missing
    let unknown = home.file("unknown.csv", "a,b\n1,2\n");
    home.ok(&["feeds", "test", &known]).says("myenergi_zappi");
    home.run(&["ingest", &known, &default, &unknown]).exits(65).says("no `meter_id`");
    let feeds: Vec<_> = home.export("uploads").iter().map(|upload| upload["rows"].clone()).collect();
    assert_eq!(feeds, ["1", "0", "0"]);
    assert_eq!(home.export("readings")[0]["kw"], "1.25");
    // a header that anyone may write says no unit, zone or interval
    home.run(&["ingest", &home.file("house.csv", "start,value\n2026-03-02 00:00:00,1\n")]).exits(65);
    // what two profiles claim is nobody's
    let twin = "name='twin'\nby_header=true\nunit='kW'\n[columns]\nmeter='Serial Number'\ntimestamp='Timestamp'\n\
                value='Diverter Energy (L1) (Wh)'";
    let other = Home::new();
    other.configure("feeds/twin.toml", twin);
    let known = other.file("july.csv", zappi);
    other.run(&["ingest", &known]).exits(65).says("no `meter_id`");
}

#[test]
fn of_the_profiles_that_a_name_means_the_header_chooses() {
    let home = Home::new();
    for (name, column) in [("one", "a"), ("two", "b"), ("zwei", "b")] {
        let profile = format!(
            "name='{name}'\nnames=['x*']\nunit='kW'\nmeter={{fixed='{name}'}}\n[columns]\ntimestamp='t'\nvalue='{column}'"
        );
        home.configure(&format!("feeds/{name}.toml"), &profile);
    }
    for (column, hour) in [("a", 1), ("b", 2)] {
        let row = format!("t,{column}\n2026-03-02T0{hour}:00:00Z,1\n");
        home.ok(&["ingest", &home.file(&format!("x{hour}.csv"), row)]);
    }
    // what fits none is the first's, which says what is missing
    home.run(&["ingest", &home.file("x3.csv", "t,c\n1,2\n")]).exits(65).says("no `a`");
    assert_eq!(columns(&home.export("readings"), &["meter_id"]), ["one", "two"]);
    home.is_whole();
}

#[test]
fn a_greater_revision_wins_against_later_uploads_and_among_those_that_lost() {
    let home = Home::new();
    let profile =
        "name='rev'\nnames=['r*']\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'\nrevision='r'";
    home.configure("feeds/rev.toml", profile);
    let row = |value, revision| format!("m,t,v,r\nM,2026-03-02T00:00:00Z,{value},{revision}\n");
    for (name, value, revision) in
        [("r1.csv", "1", 2), ("r2.csv", "11", 3), ("r3.csv", "3", 1), ("r4.csv", "4", 0)]
    {
        home.ok(&["ingest", &home.file(name, row(value, revision))]);
    }
    assert_eq!(queue(&home), ["2 1 11 value_above_limit open"]);
    home.ok(&["errors", "discard", "2:1"]);
    assert_eq!(readings(&home), ["1 1 1 duplicate"]);
    home.ok(&["errors", "undo", "2:1"]);
    assert_eq!(queue(&home), ["2 1 11 value_above_limit open"]);
    // a file of another feed wins by landing later
    home.ingest("default.csv", "M,2026-03-02T00:00:00Z,5,kW\n");
    assert_eq!(readings(&home), ["5 1 5 duplicate"]);
    assert_eq!(home.books(), [5, 1, 0, 4]);
    survives_a_rebuild(&home);
}

#[test]
fn of_two_profiles_for_a_name_ones_own_goes_before_one_that_ships() {
    let home = Home::new();
    let shelly = "Date/time UTC,Active energy Wh (A),Returned energy Wh (A)\n2025-01-11 00:10,30,0\n";
    let own = "name='zz'\nnames=['shelly_em*']\nunit='W'\ntime_zone='UTC'\ntime_format='%Y-%m-%d %H:%M'\n\
               meter={fixed='M'}\n[columns]\ntimestamp='Date/time UTC'\nvalue='Active energy Wh (A)'";
    home.configure("feeds/zz.toml", own);
    home.ok(&["ingest", &home.file("shelly_em3_a.csv", shelly)]);
    assert_eq!(columns(&home.export("readings"), &["meter_id", "kw"]), ["M 0.03"]);
    // and where its header is another, the shipped one reads it
    home.ok(&["ingest", &home.file("shelly_em3_b.csv", shelly.replace("(A)", "(B)"))]);
    assert_eq!(home.export("readings")[1]["meter_id"], "shelly_em3_b");
}

#[test]
fn text_in_another_encoding_is_read_shown_and_judged_as_any() {
    let lines =
        "Zähler;Zeit;Leistung\nÄ1;2026-03-02T00:00:00Z;1,5\nÄ1;2026-03-02T00:15:00Z;11,25\nÄ1;spät;1\n";
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let latin: Vec<u8> = lines.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    for (encoding, bytes) in [("utf-16", utf16(lines)), ("latin-1", latin)] {
        let home = Home::new();
        let profile = format!(
            "name='z'\nnames=['z*']\nencoding='{encoding}'\ndelimiter=';'\nunit='kW'\ndecimal=','\n\
             [columns]\nmeter='Zähler'\ntimestamp='Zeit'\nvalue='Leistung'"
        );
        home.configure("feeds/z.toml", &profile);
        let file = home.file("z.csv", &bytes);
        home.ok(&["feeds", "test", &file]).says("timestamp_invalid 1");
        home.ok(&["ingest", &file]);
        assert_eq!(columns(&home.export("readings"), &["meter_id", "kw"]), ["Ä1 1.5"]);
        let raw = columns(&home.export("error-queue"), &["row_number", "kw", "raw"]);
        assert_eq!(raw, ["2 11.25 Ä1;2026-03-02T00:15:00Z;11,25", "3  Ä1;spät;1"]);
        home.ok(&["explain", "Ä1", "2026-03-02T00:15:00Z"]).says("Ä1;2026-03-02T00:15:00Z;11,25");
        // what lands is what was sent
        assert!(files_below(&home.path().join("landing/objects")).values().any(|object| *object == bytes));
        survives_a_rebuild(&home);
    }
}

#[test]
fn a_dead_letter_is_tried_again_under_another_feed() {
    for by_ingest in [false, true] {
        let home = Home::new();
        home.configure("feeds/semi.toml", SEMICOLONS);
        let path = home.file("a.csv", format!("{HEADER}{}", quarters(&["1", "2"])).replace(',', ";"));
        home.run(&["ingest", &path]).exits(65).says("delimited by `;`");
        home.run(&["dead-letters", "retry", "1"]).exits(65).says("still dead");
        home.ok(&["dead-letters", "retry", "1", "--feed", "semi", "--dry-run"]).says("1 dead letters would");
        home.run(&["dead-letters", "retry", "7"]).exits(2).says("upload 7 is no dead letter");
        home.run(&["dead-letters", "retry", "1", "--feed", "sem"]).exits(2).says("no feed is named \"sem\"");
        assert_eq!(home.export("uploads")[0]["status"], "dead");
        if by_ingest {
            home.ok(&["ingest", &path, "--feed", "semi"]).says("tried again");
        } else {
            home.ok(&["dead-letters", "retry", "1", "--feed", "semi"]).says("2 rows");
        }
        assert_eq!(columns(&home.export("uploads"), &["status", "stored"]), ["done 2"]);
        home.run(&["dead-letters", "retry", "1"]).exits(2).says("no dead letter");
        survives_a_rebuild(&home);
    }
}

#[test]
fn decisions_reach_readings_queue_and_books_and_survive_a_rebuild() {
    let home = Home::new();
    home.ingest("a.csv", &quarters(&["1", "11", "-1", "much", "12"]));
    let before = datasets(&home);
    assert_eq!(home.books(), [5, 1, 4, 0]);

    home.ok(&["errors", "release", "1:2", "--dry-run"]).says("1 rows would be released");
    home.ok(&["errors", "discard", "--meter", "M", "--dry-run"]).says("4 rows would be");
    assert_eq!(datasets(&home), before);

    home.ok(&["errors", "release", "1:2", "--reason", "a workshop"]).says("1 rows released");
    home.ok(&["errors", "edit", "1:3", "--kw", "0.25"]).says("1 rows edited");
    home.ok(&["errors", "edit", "1:4", "--kw", "2.5"]).says("1 rows edited");
    home.ok(&["errors", "discard", "--quarantined-for", "value_above_limit"]).says("1 rows discarded");
    let decided = ["1 1 1 ", "1 2 11 released", "1 3 0.25 edited", "1 4 2.5 edited"];
    assert_eq!(readings(&home), decided);
    assert_eq!(
        columns(&home.export("error-queue"), &["row_number", "status"]),
        ["2 released", "3 edited", "4 edited", "5 discarded"]
    );
    assert_eq!(home.books(), [5, 4, 1, 0]);
    survives_a_rebuild(&home);

    home.run(&["errors", "release", "1:2"]).exits(2).says("released already").says("errors undo");
    home.ok(&["errors", "undo", "--upload", "1"]).says("4 rows taken back");
    assert_eq!(datasets(&home), before);
    survives_a_rebuild(&home);
}

#[test]
fn a_decision_that_fits_no_row_is_refused_and_changes_nothing() {
    let home = Home::new();
    home.ingest("a.csv", &(quarters(&["1", "much"]) + "M,yesterday,1,kW\n"));
    let before = datasets(&home);
    for (args, words) in [
        (vec!["release", "1:1"], "is not in the error queue"),
        (vec!["release", "1:2"], "failed to decode (value_invalid)"),
        (vec!["edit", "1:3", "--kw", "1"], "no meter or no time"),
        (vec!["undo", "1:2"], "nothing has been decided"),
        (vec!["edit", "1:2", "--kw", "a lot"], "is no power in kW"),
        (vec!["release", "one"], "is no row"),
        (vec!["discard"], "name rows, or a filter"),
        (vec!["discard", "1:2", "--meter", "M"], "name rows, or a filter"),
        (vec!["discard", "--quarantined-for", "spite"], "no reason is called"),
    ] {
        home.run(&[&["errors"], args.as_slice()].concat()).exits(2).says(words);
    }
    assert_eq!(datasets(&home), before);
    home.is_whole();
}

#[test]
fn a_row_named_twice_is_decided_once() {
    let home = Home::new();
    home.ingest("a.csv", &quarters(&["1", "11"]));
    home.ok(&["errors", "release", "1:2", "1:2"]);
    assert_eq!(home.books(), [2, 2, 0, 0]);
    survives_a_rebuild(&home);
}

#[test]
fn discarding_a_winner_lets_the_superseded_row_win_until_it_is_undone() {
    let home = Home::new();
    home.ingest("a.csv", &quarters(&["5"]));
    home.ingest("b.csv", &quarters(&["50"]));
    assert_eq!(home.books(), [2, 0, 1, 1]);
    let before = datasets(&home);
    home.ok(&["errors", "discard", "2:1"]);
    assert_eq!(readings(&home), ["1 1 5 "]);
    assert_eq!(queue(&home), ["2 1 50 value_above_limit discarded"]);
    assert_eq!(home.books(), [2, 1, 1, 0]);
    survives_a_rebuild(&home);
    home.ok(&["errors", "undo", "2:1"]);
    assert_eq!(datasets(&home), before);
    survives_a_rebuild(&home);
}

#[test]
fn a_decode_failure_edited_meets_the_other_rows_of_its_reading() {
    let home = Home::new();
    home.ingest("a.csv", &quarters(&["much"]));
    home.ingest("b.csv", &quarters(&["3"]));
    home.ingest("c.csv", "NEW,2026-03-02T00:00:00Z,?!,kW\n");
    home.ok(&["errors", "edit", "1:1", "--kw", "2"]);
    assert_eq!(readings(&home), ["2 1 3 duplicate"], "the later upload wins");
    assert_eq!(home.books(), [3, 1, 1, 1]);
    survives_a_rebuild(&home);
    home.ok(&["errors", "edit", "3:1", "--kw", "4"]);
    assert_eq!(home.export("readings")[1]["meter_id"], "NEW");
    survives_a_rebuild(&home);
    home.ok(&["errors", "undo", "1:1", "3:1"]);
    assert_eq!(readings(&home), ["2 1 3 "]);
    assert_eq!(home.books(), [3, 1, 2, 0]);
    survives_a_rebuild(&home);
}

/// Decisions in an order nobody planned, on readings of which several rows compete.
#[test]
fn any_sequence_of_decisions_is_what_a_rebuild_gives() {
    let home = Home::new();
    home.ingest("a.csv", &quarters(&["11", "much", "5", "-1"]));
    home.ingest("b.csv", &quarters(&["12", "14", "-3", ""]));
    home.ingest("c.csv", &quarters(&["13", "?!", "15", "15"]));
    let mut state = 20_260_302_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for step in 0..60 {
        let rows = home.export("error-queue");
        let row = &rows[next(rows.len())];
        let id = format!("{}:{}", row["upload"], row["row_number"]);
        let action: &[&str] = match next(4) {
            _ if row["status"] != "open" => &["errors", "undo", &id],
            0 if row["kw"].is_empty() => &["errors", "discard", &id],
            0 | 1 => &["errors", "edit", &id, "--kw", "0.5"],
            2 if !row["kw"].is_empty() => &["errors", "release", &id],
            _ => &["errors", "discard", &id],
        };
        home.ok(action);
        home.books();
        if step % 4 == 3 {
            home.is_whole();
        }
    }
    survives_a_rebuild(&home);
}

#[test]
fn explain_shows_raw_lines_hashes_and_rules() {
    let home = Home::new();
    home.ingest("a.csv", &quarters(&["5", "6"]));
    home.ingest("b.csv", &quarters(&["50"]));
    let told = home.ok(&["explain", "M", "2026-03-02T00:00:00Z"]);
    let uploads = home.export("uploads");
    for words in [
        "M,2026-03-02T00:00:00Z,5,kW",
        "M,2026-03-02T00:00:00Z,50,kW",
        "a.csv",
        "b.csv",
        "3 limits",
        "5 keep latest",
    ] {
        assert!(told.out.contains(words), "{words:?} is not in:\n{}", told.out);
    }
    let told = told.says(&uploads[0]["sha256"]).says(&uploads[1]["sha256"]);
    told.says("50 kW is above 0 to 10 kW").says("value_above_limit").says("superseded");
    let json = home.ok(&["explain", "M", "2026-03-02T00:15:00Z", "--json"]).json();
    assert_eq!(json["rows"][0]["raw"], "M,2026-03-02T00:15:00Z,6,kW");
    home.run(&["explain", "M", "2026-03-03T00:00:00Z"]).exits(1).says("no row of any upload");
    home.run(&["explain", "N", "2026-03-02T00:00:00Z"]).exits(1).says("no row of any upload");
    home.run(&["explain", "M", "noon"]).exits(2).says("is no instant");
}

#[test]
fn verify_names_the_object_of_which_a_bit_flipped() {
    let home = Home::new();
    home.ingest("a.csv", &quarters(&["5", "6"]));
    home.ok(&["verify"]).says("no findings");
    let hash = home.export("uploads")[0]["sha256"].clone();
    let object = home.path().join("landing/objects").join(&hash[..2]).join(&hash);
    let mut bytes = fs::read(&object).unwrap();
    bytes[70] ^= 1;
    fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&object, &bytes).unwrap();
    home.run(&["verify"]).exits(1).says("finding:").says(&hash);
    fs::remove_file(&object).unwrap();
    home.run(&["verify"]).exits(1).says("finding:").says(&hash);
}

#[test]
fn verify_finds_a_changed_journal_and_a_changed_archive() {
    let home = Home::new();
    home.ingest("a.csv", &quarters(&["5", "6"]));
    let part = files_below(&home.path().join("archive/readings"))
        .into_keys()
        .find(|path| path.extension().is_some_and(|ext| ext == "parquet"))
        .unwrap();
    let bytes = fs::read(&part).unwrap();
    fs::remove_file(&part).unwrap();
    home.run(&["verify"]).exits(1).says("finding: archive_file_damaged:");
    fs::write(&part, bytes).unwrap();
    home.ok(&["verify"]);
    let journal = files_below(&home.path().join("landing/journal"));
    let (segment, bytes) = journal.iter().find(|(_, bytes)| bytes.windows(5).any(|w| w == b"a.csv")).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap().replace("a.csv", "b.csv");
    fs::set_permissions(segment, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(segment, text).unwrap();
    home.run(&["verify"]).exits(1).says("finding:").says(segment.to_str().unwrap());
}

#[test]
fn the_service_takes_the_inbox_serves_and_ends_with_everything_archived() {
    let home = Home::new();
    let service = home.serve();
    assert_eq!(service.get("/livez"), ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    assert_eq!(service.get("/readyz").0, "HTTP/1.1 200 OK");

    let path = home.file("x.csv", format!("{HEADER}{}", quarters(&["1"])));
    home.run(&["ingest", &path]).exits(69).says("greenstream run").says("--home");
    home.ok(&["verify"]).says("no findings");
    home.run(&["rebuild"]).exits(69);

    let drop = |name: &str, text: String| fs::write(home.path().join("inbox").join(name), text).unwrap();
    drop("good.csv", format!("{HEADER}{}", quarters(&["1", "11"])));
    drop("bad.csv", String::from("nonsense\n"));
    let statuses = eventually("both uploads are processed", || {
        let mut rows = columns(&home.export("uploads"), &["name", "status"]);
        rows.sort();
        (rows.len() == 2 && rows.iter().all(|row| !row.ends_with("landed"))).then_some(rows)
    });
    assert_eq!(statuses, ["bad.csv dead", "good.csv done"]);
    assert_eq!(home.books(), [2, 1, 1, 0]);
    eventually("the inbox is empty", || files_below(&home.path().join("inbox")).is_empty().then_some(()));

    let (status, metrics) = service.get("/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in
        ["greenstream_rows_stored 1\n", "greenstream_rows_unaccounted 0\n", "greenstream_uploads_dead 1\n"]
    {
        assert!(metrics.contains(line), "{line:?} is not in:\n{metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"), "OpenMetrics ends with its mark");
    assert_eq!(service.get("/").0, "HTTP/1.1 200 OK");
    assert_eq!(service.get("/nowhere").0, "HTTP/1.1 404 Not Found");

    let (code, said) = service.terminate();
    assert_eq!(code, 0, "{said}");
    survives_a_rebuild(&home);
    home.ok(&["ingest", &path]);
}

#[test]
fn a_service_killed_without_warning_loses_nothing() {
    let home = Home::new();
    let service = home.serve();
    fs::write(home.path().join("inbox/a.csv"), format!("{HEADER}{}", quarters(&["1", "11"]))).unwrap();
    eventually("the file has left the inbox", || {
        files_below(&home.path().join("inbox")).is_empty().then_some(())
    });
    drop(service);
    let other = home.file("b.csv", format!("{HEADER}{}", quarters(&["2"])));
    home.ok(&["ingest", &other]);
    assert_eq!(home.books(), [3, 1, 1, 1]);
    survives_a_rebuild(&home);
}

#[test]
fn a_listener_that_others_could_reach_is_refused() {
    let home = Home::new();
    let refused = home.run(&["run", "--listen", "0.0.0.0:0"]);
    assert_ne!(refused.code, 0);
    refused.says("reachable from other machines");
}

#[test]
fn check_config_names_the_key_that_is_wrong() {
    for (name, text, words) in [
        ("greenstream.toml", "[sizes]\nupload_byte_max = 5\n", "upload_byte_max"),
        ("greenstream.toml", "[limits]\npower_kw_max = \"ten\"\n", "power_kw_max"),
        ("greenstream.toml", "[limits]\npower_kw_max = -1.0\n", "power_kw_max"),
        ("greenstream.toml", "reporting_zone = \"Mars\"\n", "reporting_zone"),
        ("greenstream.toml", "default_feed = \"nobody\"\n", "default_feed"),
        ("greenstream.toml", "registry = \"nowhere.csv\"\n", "nowhere.csv"),
        ("greenstream.toml", "[limits\n", "greenstream.toml"),
        ("feeds/x.toml", "name = \"x\"\ndelimeter = \";\"\n", "delimeter"),
        (
            "feeds/x.toml",
            "name = \"x\"\nunit = \"kWh\"\n[columns]\nmeter = \"m\"\ntimestamp = \"t\"\nvalue = \"v\"\n",
            "interval",
        ),
        (
            "feeds/x.toml",
            "name = \"x\"\ntime_zone = \"Mars\"\n[columns]\nmeter = \"m\"\ntimestamp = \"t\"\nvalue = \"v\"\nunit = \"u\"\n",
            "Mars",
        ),
        ("meters.csv", "meter_id,power_kw_max\nM,lots\n", "line 2"),
    ] {
        let home = Home::new();
        home.configure(name, text);
        let path = home.file("a.csv", HEADER);
        for args in [vec!["check-config"], vec!["ingest", &path], vec!["run", "--listen", "127.0.0.1:0"]] {
            home.run(&args).exits(78).says(words).says("help:");
        }
        assert!(!home.path().join("landing").exists(), "a home must not be begun under {text:?}");
    }
    Home::new().ok(&["check-config"]).says("the configuration is good");
}

#[test]
fn init_writes_a_good_file_once() {
    let home = Home::new();
    home.ok(&["init"]);
    home.ok(&["check-config"]);
    home.configure("greenstream.toml", "# mine\n");
    home.run(&["init"]).exits(2).says("is there already");
    assert_eq!(fs::read_to_string(home.path().join("greenstream.toml")).unwrap(), "# mine\n");
}

#[test]
fn a_dry_run_writes_nothing() {
    let home = Home::new();
    let good = home.file("a.csv", format!("{HEADER}{}", quarters(&["1", "much"])));
    let bad = home.file("b.csv", "nonsense\n");
    home.ok(&["ingest", "--dry-run", &good]).says("value_invalid 1");
    assert!(files_below(&home.path()).is_empty());
    home.run(&["ingest", "--dry-run", &good, &bad]).exits(65).says("would be a dead letter");
    home.ok(&["feeds", "test", &good]);
    assert!(files_below(&home.path()).is_empty());
    home.ok(&["ingest", &good]);
    let before = files_below(&home.path().join("landing"));
    let more = home.file("c.csv", format!("{HEADER}{}", quarters(&["3"])));
    home.ok(&["ingest", "--dry-run", &more]);
    assert_eq!(files_below(&home.path().join("landing")), before);
    assert_eq!(home.books(), [2, 1, 1, 0]);
}

#[test]
fn wrong_arguments_exit_2_and_missing_things_say_so() {
    let home = Home::new();
    let path = home.file("a.csv", format!("{HEADER}{}", quarters(&["1"])));
    home.run(&["status"]).exits(69).says("help:");
    home.run(&["ingest", "/nowhere/at/all.csv"]).exits(74).says("/nowhere/at/all.csv").says("help:");
    assert!(files_below(&home.path()).is_empty(), "nothing is begun for a path that is not there");
    home.ok(&["ingest", &path]);
    for args in [
        &["frobnicate"][..],
        &[],
        &["ingest"],
        &["ingest", "--feed", "nobody", &path],
        &["ingest", "--time-zone", "Mars", &path],
        &["export", "secrets"],
        &["export", "readings", "--format", "xml"],
        &["export", "readings", "--from", "soon"],
        &["explain", "M"],
        &["errors", "--reason", "spite"],
        &["errors", "--status", "fine"],
        &["uploads", "--status", "fine"],
        &["errors", "edit", "1:1"],
        &["dead-letters", "retry"],
    ] {
        let done = home.run(args).exits(2);
        assert!(!done.err.is_empty(), "{args:?} says nothing");
    }
    home.ok(&["--help"]).says("ingest");
    home.ok(&["--version"]);
}

#[test]
fn limits_of_the_registry_are_applied_from_their_date() {
    let home = Home::new();
    home.configure(
        "meters.csv",
        "meter_id,power_kw_min,power_kw_max,valid_from\nM,,20,\nM,-5,12,2026-03-03\n",
    );
    let rows = "M,2026-03-02T23:45:00Z,20,kW\nM,2026-03-02T23:50:00Z,20.000001,kW\n\
        M,2026-03-03T00:00:00Z,12.5,kW\nM,2026-03-03T00:15:00Z,-5,kW\nN,2026-03-03T00:00:00Z,10.5,kW\n";
    home.ingest("a.csv", rows);
    assert_eq!(readings(&home), ["1 1 20 ", "1 4 -5 "]);
    assert_eq!(
        columns(&home.export("error-queue"), &["row_number", "reason"]),
        ["2", "3", "5"].map(|row| format!("{row} value_above_limit"))
    );
    survives_a_rebuild(&home);

    // a changed registry holds for all data, once a rebuild has judged it again
    home.configure("meters.csv", "meter_id,power_kw_max\nN,11\n");
    let path = home.file("b.csv", format!("{HEADER}N,2026-03-03T00:15:00Z,10.75,kW\n"));
    home.ok(&["ingest", &path]).says("greenstream rebuild");
    home.ok(&["rebuild"]);
    assert_eq!(readings(&home), ["1 5 10.5 ", "2 1 10.75 "]);
    assert_eq!(home.books(), [6, 2, 4, 0]);
    home.is_whole();
}

#[test]
fn export_gives_the_same_rows_in_every_format() {
    let home = Home::new();
    home.ingest("a.csv", &quarters(&["1", "", "11", "2"]));
    for dataset in
        ["readings", "measured", "error-queue", "superseded", "uploads", "deliveries", "episodes", "alerts"]
    {
        let rows = home.export(dataset).len();
        let json = home.ok(&["export", dataset, "--format", "json"]).out;
        let lines = json.lines().filter(|line| line.starts_with(['{', '['])).count();
        assert!(lines > 0 || rows == 0, "{dataset}: {json}");
        let path = home.file("out.parquet", "");
        home.ok(&["export", dataset, "--format", "parquet", "-o", &path]).says(&format!("{rows} rows in"));
        assert!(fs::read(&path).unwrap().starts_with(b"PAR1"), "{dataset}");
    }
}

#[test]
fn an_upload_that_killed_the_process_five_times_is_a_dead_letter_and_the_others_go_on() {
    use greenstream::landing::{Incoming, Landing, Source};
    let home = Home::new();
    home.ingest("before.csv", &quarters(&["1"]));
    // it landed, and the process died five times before anything of it was committed
    let incoming = |name: &str, rows: &str| Incoming {
        source: Source::Bytes(format!("{HEADER}{rows}").into_bytes()),
        name: name.to_owned(),
        feed: "default".to_owned(),
        time_zone: None,
        meter: None,
        landed_at: greenstream::clock::now(),
    };
    let mut landing = Landing::open(&home.path().join("landing")).unwrap();
    let entry = landing.head().0 + 1;
    landing.land(vec![incoming("killer.csv", "K,2026-03-02T00:00:00Z,1,kW\n")]).unwrap();
    landing.land(vec![incoming("after.csv", "N,2026-03-02T00:00:00Z,2,kW\n")]).unwrap();
    drop(landing);
    fs::write(home.path().join("processing"), format!("{entry} 5\n")).unwrap();
    let last = home.file("last.csv", format!("{HEADER}O,2026-03-02T00:00:00Z,3,kW\n"));
    home.ok(&["ingest", &last]);
    assert_eq!(
        columns(&home.export("uploads"), &["name", "status"]),
        ["before.csv done", "killer.csv dead", "after.csv done", "last.csv done"]
    );
    home.run(&["dead-letters"]).exits(0).says("processing failed 5 times");
    // tried again, it may live
    home.ok(&["dead-letters", "retry", "2"]);
    assert_eq!(readings(&home), ["2 1 1 ", "1 1 1 ", "3 1 2 ", "4 1 3 "]);
    home.is_whole();
}

/// Until now a service that had begun with nothing to do took what the judge waited for to be given up, ended
/// with exit code 0, and said that everything was processed.
#[test]
fn a_service_that_looks_back_at_what_is_not_committed_yet_goes_on() {
    let home = Home::new();
    let service = home.serve();
    for day in 1..=20 {
        let mut rows = HEADER.to_owned();
        for meter in 0..50 {
            for hour in 0..24 {
                rows += &format!("M{meter},2026-03-{day:02}T{hour:02}:00:00Z,0,kW\n");
            }
        }
        fs::write(home.path().join(format!("inbox/{day:02}.csv")), rows).unwrap();
    }
    eventually("all is done", || {
        let status: serde_json::Value = serde_json::from_str(&service.get("/api/status").1).unwrap();
        (status["uploads"]["done"] == 20).then_some(())
    });
    assert_eq!(service.terminate().0, 0);
    assert_eq!(home.export("uploads").len(), 20);
    home.is_whole();
}

/// Until now each time that the home was opened anew counted as a death of the process.
#[test]
fn an_upload_whose_bytes_cannot_be_read_for_a_while_is_no_dead_letter() {
    use greenstream::landing::{Incoming, Landing, Source};
    let home = Home::new();
    home.ingest("before.csv", &quarters(&["1"]));
    let mut landing = Landing::open(&home.path().join("landing")).unwrap();
    let entry = landing.head().0 + 1;
    let incoming = Incoming {
        source: Source::Bytes(format!("{HEADER}K,2026-03-02T00:00:00Z,1,kW\n").into_bytes()),
        name: "good.csv".to_owned(),
        feed: "default".to_owned(),
        time_zone: None,
        meter: None,
        landed_at: greenstream::clock::now(),
    };
    landing.land(vec![incoming]).unwrap();
    drop(landing);
    // the process was killed twice, and what stalled it lasts
    fs::write(home.path().join("processing"), format!("{entry} 2\n")).unwrap();
    let objects = home.path().join("landing/objects");
    let away = home.path().join("landing/objects-away");
    fs::rename(&objects, &away).unwrap();
    let service = home.serve();
    std::thread::sleep(std::time::Duration::from_secs(3));
    let _ = fs::remove_dir_all(&objects);
    fs::rename(&away, &objects).unwrap();
    eventually("it is done", || {
        let status: serde_json::Value = serde_json::from_str(&service.get("/api/status").1).unwrap();
        (status["uploads"]["done"] == 2).then_some(())
    });
    assert_eq!(service.terminate().0, 0);
    home.is_whole();
}
