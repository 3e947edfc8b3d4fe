//! Bad files through the real program, each together with a good one: nothing hangs, nothing is lost,
//! the sender is told what is wrong and what to do, and the good file is loaded. What a person reads is kept in
//! `testdata/hostile/`, a file for each case.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::common::{HEADER, Home, snapshot};
use flate2::Compression;
use flate2::write::GzEncoder;

/// The longest that one bad file may hold the program, with others on the same cores.
const HELD_MAX: Duration = Duration::from_secs(30);

/// The largest decoded upload of these tests' homes.
const LIMIT: usize = 64 << 20;

/// A file, and its name: only compression and feeds look at a name, so it says little.
struct File<'a> {
    name: &'a str,
    bytes: Vec<u8>,
}

fn file(bytes: impl Into<Vec<u8>>) -> File<'static> {
    File { name: "bad.csv", bytes: bytes.into() }
}

/// The default feed's header before these rows.
fn table(rows: impl AsRef<[u8]>) -> File<'static> {
    file([HEADER.as_bytes(), rows.as_ref()].concat())
}

fn good_rows() -> String {
    (0..24).map(|hour| format!("GOOD,2026-03-02T{hour:02}:00:00Z,1.{hour:02},kW\n")).collect()
}

/// `count` rows of meter M, a minute apart, the first `bad` of them with a value that is no number.
fn some_bad(count: usize, bad: usize) -> String {
    let value = |row| if row < bad { "much" } else { "1.5" };
    (0..count)
        .map(|row| format!("M,2026-03-02T{:02}:{:02}:00Z,{},kW\n", row / 60, row % 60, value(row)))
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn utf16(text: &str, little: bool) -> Vec<u8> {
    text.encode_utf16()
        .flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() })
        .collect()
}

/// Ingests the bad file before the good one, and checks what holds whatever the bad file is.
/// Gives the home and the row of the bad file's upload.
#[track_caller]
fn ingest(case: &str, bad: &File<'_>, limit: usize) -> (Home, crate::common::Row, i32) {
    let home = Home::new();
    home.configure("greenstream.toml", &format!("[sizes]\nupload_bytes_max = {limit}\n"));
    let is_compressed = bad.bytes.starts_with(b"\x1f\x8b") || bad.bytes.starts_with(b"\x28\xb5\x2f\xfd");
    let bad = home.file(bad.name, &bad.bytes);
    let good = home.file("good.csv", format!("{HEADER}{}", good_rows()));
    let began = Instant::now();
    let done = home.run(&["ingest", &bad, &good]);
    assert!(began.elapsed() < HELD_MAX, "{case}: took {:?}", began.elapsed());
    assert!(!done.err.contains("panicked"), "{case}: {}", done.err);
    let mut uploads = home.export("uploads");
    assert_eq!(uploads.len(), 2, "{case}: {uploads:?}");
    let (good, bad) = (uploads.pop().unwrap(), uploads.pop().unwrap());
    assert_eq!((good["status"].as_str(), good["stored"].as_str()), ("done", "24"), "{case}: the good file");
    let number = |column: &str| bad[column].parse::<u64>().unwrap();
    assert_eq!(
        number("rows"),
        number("stored") + number("quarantined") + number("superseded"),
        "{case}: {bad:?}"
    );
    home.books();
    home.is_whole();
    snapshot::check(case, &snapshot::of_ingest(&home, &bad, is_compressed, &done));
    (home, bad, done.code)
}

/// Nothing of the file is loaded, and the dead letter says why and what to do.
#[track_caller]
fn dead(case: &str, bad: &File<'_>, code: &str, problem: &str, way_out: &str) {
    dead_above(LIMIT, case, bad, code, problem, way_out);
}

#[track_caller]
fn dead_above(limit: usize, case: &str, bad: &File<'_>, code: &str, problem: &str, way_out: &str) {
    let (home, upload, exit) = ingest(case, bad, limit);
    assert_eq!((exit, upload["status"].as_str(), upload["rows"].as_str()), (65, "dead", "0"), "{case}");
    let letters = home.ok(&["dead-letters", "--json"]).json();
    let letter = &letters[0];
    assert_eq!(letter["code"], code, "{case}: {letter}");
    for (column, words) in [("problem", problem), ("way_out", way_out)] {
        let said = letter[column].as_str().unwrap();
        assert!(said.contains(words), "{case}: {words:?} is not in the {column} {said:?}");
        assert!(said.len() < 600, "{case}: a {column} of {} bytes", said.len());
        assert!(!said.contains(char::is_control), "{case}: {said:?}");
    }
    let readings = home.export("readings");
    assert!(readings.iter().all(|row| row["meter_id"] == "GOOD"), "{case}: something was loaded");
}

/// The file is loaded: so many rows stored, and these reasons in the error queue, in row order.
#[track_caller]
fn loaded(case: &str, bad: &File<'_>, stored: usize, reasons: &[&str]) -> Home {
    let (home, upload, exit) = ingest(case, bad, LIMIT);
    assert_eq!((exit, upload["status"].as_str()), (0, "done"), "{case}");
    assert_eq!(upload["stored"], stored.to_string(), "{case}: {upload:?}");
    let queue = home.export("error-queue");
    let found: Vec<_> = queue.iter().map(|row| row["reason"].as_str()).collect();
    assert_eq!(found, reasons, "{case}");
    assert_eq!(upload["quarantined"], reasons.len().to_string(), "{case}: {upload:?}");
    home
}

const ROW: &str = "M,2026-03-02T00:00:00Z,1.5,kW\n";
const NEXT: &str = "M,2026-03-02T00:15:00Z,1.5,kW\n";

#[test]
fn uploads_without_rows() {
    let again = "send the file again with its rows";
    dead("an empty file", &file(""), "upload_empty", "the upload is empty", again);
    dead("blank lines only", &file("\n\r\n\n"), "upload_empty", "the upload is empty", again);
    dead("a byte-order mark only", &file("\u{feff}"), "upload_empty", "the upload is empty", again);
    dead("an empty gzip stream", &file(gzip(b"")), "upload_empty", "the upload is empty", again);
    loaded("a header only", &file(HEADER), 0, &[]);
    loaded("a header without a line end", &file(HEADER.trim_end()), 0, &[]);
}

#[test]
fn formats_of_their_own_that_are_broken_name_the_place_and_the_way_out() {
    let no_energy = "100,NEM12,202603020100,MDP,RET\n900\n";
    dead(
        "an empty NEM12",
        &file(no_energy),
        "header_unfit",
        "line 2: the upload ends without",
        "its readings",
    );
    let xml = "<?xml version=\"1.0\"?>\n<feed xmlns=\"http://naesb.org/espi\">\n";
    dead(
        "an XML that breaks off",
        &file(xml),
        "not_well_formed",
        "breaks off within the element `feed`",
        "whole",
    );
    let bomb = format!("<!DOCTYPE a [<!ENTITY b \"c\">]>{xml}</feed>");
    dead(
        "an XML with a document type",
        &file(bomb),
        "not_well_formed",
        "line 1: the XML has a document type",
        "ESPI",
    );
    let other = "<?xml version=\"1.0\"?>\n<html/>\n";
    dead("another XML", &file(other), "not_text", "an XML document", "--feed green_button");
}

#[test]
fn headers_that_do_not_fit_name_what_they_miss_and_the_way_out() {
    let unfit = |case: &str, header: &str, problem: &str, way_out: &str| {
        dead(case, &file(format!("{header}\n{ROW}")), "header_unfit", problem, way_out);
    };
    unfit("a wrong header", "id,when,kw,u", "line 1: the header `id,when,kw,u` has no", "--feed");
    unfit(
        "a name misspelt",
        "meter-id,timestamp,energy_value,energy_unit",
        "has no",
        "`meter-id` looks like",
    );
    unfit("semicolons", &HEADER.trim_end().replace(',', ";"), "has no", "delimited by `;`");
    unfit("tabs", &HEADER.trim_end().replace(',', "\t"), "has no", "delimited by tabs");
    unfit("pipes", &HEADER.trim_end().replace(',', "|"), "has no", "delimited by `|`");
    unfit("no header", "M,2026-03-02T00:00:00Z,1,kW", "has no", "the first line looks like a row");
    unfit("a name twice", &format!("{},Timestamp", HEADER.trim_end()), "twice", "leave one of them");
    unfit("an open quote in the header", "\"meter_id,timestamp", "a quote is out of place", "quoted whole");
    unfit("an error page", "<html><body>502 Bad Gateway</body></html>", "has no", "feed profile");
    unfit("JSON", "{\"meter_id\": \"M\"}", "line 1: the header", "feed profile");
    let old_mac = format!("{HEADER}{ROW}{NEXT}").replace('\n', "\r");
    dead("CR-only line ends", &file(old_mac), "header_unfit", "holds a CR", "save with LF or CRLF");
}

#[test]
fn bytes_that_are_no_text_are_named() {
    let text = format!("{HEADER}{ROW}{NEXT}");
    let to_utf8 = "save it as UTF-8";
    let named = |case: &str, bytes: Vec<u8>, problem: &str, way_out: &str| {
        dead(case, &file(bytes), "not_text", problem, way_out);
    };
    named("UTF-16 LE with its mark", utf16(&format!("\u{feff}{text}"), true), "UTF-16", to_utf8);
    named("UTF-16 BE with its mark", utf16(&format!("\u{feff}{text}"), false), "UTF-16", to_utf8);
    named("UTF-16 LE without a mark", utf16(&text, true), "UTF-16", to_utf8);
    named(
        "a Latin-1 header",
        b"meter_id,timestamp,energy_value,energy_unit,z\xe4hler\n".to_vec(),
        "not UTF-8",
        to_utf8,
    );
    named("NULs", vec![0; 4096], "the upload is binary", "send CSV text in UTF-8");
    named("a picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), "a picture", "ask the sender for the CSV");
    named(
        "a zip archive",
        b"PK\x03\x04\x14\0\0\0\x08\0".to_vec(),
        "zip archive or a spreadsheet",
        "unpack it",
    );
    named("xz", b"\xfd7zXZ\0\0\x04\xe6\xd6".to_vec(), "xz-compressed", "compress with gzip or zstd");
    named("Parquet", b"PAR1\x15\x04\x15\x20".to_vec(), "a Parquet file", "export it as CSV");
    named("PDF", b"%PDF-1.7\n%\xe2\xe3".to_vec(), "a PDF document", "CSV");
    named("gzip within gzip", gzip(&gzip(text.as_bytes())), "gzip data inside", "compress once only");
}

#[test]
fn compressed_uploads_load_whole_or_not_at_all() {
    let (first, second) = (format!("{HEADER}{ROW}"), NEXT.as_bytes());
    loaded("gzip", &file(gzip(first.as_bytes())), 1, &[]);
    loaded("zstd", &file(zstd(first.as_bytes())), 1, &[]);
    loaded(
        "gzip under the name of a CSV in two members",
        &file([gzip(first.as_bytes()), gzip(second)].concat()),
        2,
        &[],
    );
    loaded("zstd in two frames", &file([zstd(first.as_bytes()), zstd(second)].concat()), 2, &[]);

    let text = format!("{HEADER}{}", some_bad(1_000, 0));
    let (gzipped, zstded) = (gzip(text.as_bytes()), zstd(text.as_bytes()));
    let damaged = |case: &str, bytes: Vec<u8>, format: &str| {
        let problem = format!("the {format} stream breaks off after");
        dead(case, &file(bytes), "compression_damaged", &problem, "send the file again, whole");
    };
    damaged("gzip cut short", gzipped[..gzipped.len() / 2].to_vec(), "gzip");
    damaged("gzip without its checksum", gzipped[..gzipped.len() - 8].to_vec(), "gzip");
    damaged("gzip of two bytes", vec![0x1f, 0x8b], "gzip");
    damaged("zstd cut short", zstded[..zstded.len() / 2].to_vec(), "zstd");
    damaged("gzip with garbage behind it", [gzipped.as_slice(), b"garbage"].concat(), "gzip");
    let mut wrong_sum = gzipped.clone();
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    damaged("gzip with a wrong checksum", wrong_sum, "gzip");
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let limit = 64 << 10;
    let bomb = [HEADER.as_bytes(), &vec![b'\n'; 32 << 20]].concat();
    for (case, bytes) in [("a gzip bomb", gzip(&bomb)), ("a zstd bomb", zstd(&bomb))] {
        assert!(bytes.len() < limit, "{case}: {} bytes", bytes.len());
        let problem = "larger than the limit of 65536 bytes";
        dead_above(limit, case, &file(bytes), "upload_too_large", problem, "split the file");
    }
    let plain = file(bomb[..=limit].to_vec());
    dead_above(
        limit,
        "one byte too many",
        &plain,
        "upload_too_large",
        "limit of 65536 bytes",
        "split the file",
    );
    let whole = File { name: "bad.csv", bytes: bomb[..limit].to_vec() };
    let (_, upload, exit) = ingest("exactly the limit", &whole, limit);
    assert_eq!((exit, upload["status"].as_str()), (0, "done"));
}

#[test]
fn a_changed_feed_is_refused_above_a_fifth_of_a_hundred_rows() {
    loaded("a fifth of 100 rows", &table(some_bad(100, 20)), 80, &["value_invalid"; 20]);
    loaded("most of 99 rows", &table(some_bad(99, 90)), 9, &["value_invalid"; 90]);
    let changed = |case: &str, rows: String, problem: &str, way_out: &str| {
        dead(case, &table(rows), "feed_changed", problem, way_out);
    };
    changed(
        "more than a fifth of 100 rows",
        some_bad(100, 21),
        "21 of 100 rows do not decode",
        "columns and formats",
    );
    changed("no offsets", some_bad(100, 0).replace("Z,", ","), "100 of 100 rows", "give --time-zone");
    changed("another unit", some_bad(100, 0).replace("kW", "GW"), "100 of 100 rows", "declare the unit");
    changed(
        "a column more",
        some_bad(100, 0).replace("kW", "kW,x"),
        "100 of 100 rows",
        "4 fields of the header",
    );
}

#[test]
fn a_spoiled_line_costs_itself_only() {
    let malformed = ["row_malformed"];
    let between = |line: &[u8]| table([ROW.as_bytes(), line, b"\n", NEXT.as_bytes()].concat());
    loaded("a line cut short", &table(format!("{ROW}M,2026-03-02T00:1")), 1, &malformed);
    loaded("a last line without an end", &table(format!("{ROW}{}", NEXT.trim_end())), 2, &[]);
    loaded("a NUL in a row", &between(b"M,2026-03-02T01:00:00Z,1\0,kW"), 2, &malformed);
    loaded("an open quote", &between(b"\"M,2026-03-02T01:00:00Z,1,kW"), 2, &malformed);
    loaded("invalid UTF-8", &between(b"M\xff,2026-03-02T01:00:00Z,1,kW"), 2, &malformed);
    loaded("a CR within", &between(b"M,2026-03-02T01:00:00Z,1\r,kW"), 2, &malformed);
    loaded("a field too few", &between(b"M,2026-03-02T01:00:00Z,1"), 2, &malformed);
    loaded("a field too many", &between(b"M,2026-03-02T01:00:00Z,1,kW,"), 2, &malformed);
    // the first line has an open quote; in the second the quote stands within a field and is literal
    loaded(
        "a quoted line break",
        &between(
            b"\"M
M\",2026-03-02T01:00:00Z,1,kW",
        ),
        3,
        &malformed,
    );
    loaded("the header again", &between(HEADER.trim_end().as_bytes()), 2, &["timestamp_invalid"]);
    loaded("no meter", &between(b",2026-03-02T01:00:00Z,1,kW"), 2, &["meter_id_invalid"]);
    loaded(
        "an escape sequence as a meter",
        &between(b"\x1b[2J,2026-03-02T01:00:00Z,1,kW"),
        2,
        &["meter_id_invalid"],
    );
    loaded("a day that does not exist", &between(b"M,2026-02-30T01:00:00Z,1,kW"), 2, &["timestamp_invalid"]);
    loaded("the year 9999", &between(b"M,9999-12-31T23:59:59Z,1,kW"), 2, &["timestamp_in_future"]);
    loaded(
        "an endless exponent",
        &between(b"M,2026-03-02T01:00:00Z,1e999999999999999999999,kW"),
        2,
        &["value_invalid"],
    );
    loaded("infinity", &between(b"M,2026-03-02T01:00:00Z,inf,kW"), 2, &["value_invalid"]);
    loaded("another unit in one row", &between(b"M,2026-03-02T01:00:00Z,1,GW"), 2, &["unit_unknown"]);
}

#[test]
fn harmless_oddities_load_whole() {
    let text = format!("{HEADER}{ROW}{NEXT}");
    loaded("CRLF", &file(text.replace('\n', "\r\n")), 2, &[]);
    loaded("a byte-order mark", &file(format!("\u{feff}{text}")), 2, &[]);
    loaded("blank lines", &file(text.replace('\n', "\n\n\r\n")), 2, &[]);
    let names = " Energy_Unit ,x,TIMESTAMP,\"meter_id\",energy_value\n";
    loaded(
        "names in another order and case",
        &file(format!("{names}kW,,2026-03-02T00:00:00Z,M,1\n")),
        1,
        &[],
    );
    let home = loaded("the same row twice", &table(format!("{ROW}{ROW}")), 1, &[]);
    assert_eq!(home.export("superseded").len(), 1);
}

#[test]
fn any_name_will_do() {
    for name in
        ["two words.csv", "two\nlines.csv", "..csv", "-o.csv", "'; drop table readings;--", "ü\u{1b}[2J"]
    {
        let bytes = format!("{HEADER}{ROW}").into_bytes();
        let home = loaded(name, &File { name, bytes }, 1, &[]);
        // text that a spreadsheet would take for a formula or a quoted text has a quote before it
        let shown = if name.starts_with(['-', '\'']) { format!("'{name}") } else { name.to_owned() };
        assert_eq!(home.export("uploads")[0]["name"], shown);
        let listed = home.ok(&["uploads"]).out;
        assert_eq!(listed.lines().count(), 3, "a name must not break the listing:\n{listed}");
        assert!(!listed.contains('\u{1b}'), "a name must not steer the terminal");
    }
    let home = Home::new();
    let path = home.file("x.csv", format!("{HEADER}{ROW}"));
    let around = path.replace("/x.csv", "/../files/x.csv");
    home.ok(&["ingest", &around]);
    assert_eq!(home.export("uploads")[0]["name"], "x.csv");
}

#[test]
fn a_line_of_50_megabytes_costs_itself_only() {
    let long = vec![b'x'; 50_000_000];
    let rows = [ROW.as_bytes(), &long, b"\n", NEXT.as_bytes()].concat();
    let home = loaded("a long line between rows", &table(rows), 2, &["row_malformed"]);
    let raw = &home.export("error-queue")[0]["raw"];
    assert!(raw.starts_with("xxx") && raw.len() <= 1 << 20, "{} bytes of raw text", raw.len());
    dead("one long line", &file(long), "header_unfit", "longer than 1 MiB", "LF or CRLF");
}

#[test]
fn a_meter_id_of_a_megabyte_is_shown_in_part() {
    let row = format!("{},2026-03-02T01:00:00Z,1,kW\n", "m".repeat(1_000_000));
    let home = loaded("a long meter id", &table(format!("{ROW}{row}{NEXT}")), 2, &["meter_id_invalid"]);
    let shown = &home.export("error-queue")[0]["meter_id"];
    assert!(shown.starts_with("mmm") && shown.len() <= 256, "{} bytes of a meter id", shown.len());
    let listed = home.ok(&["errors"]).out;
    assert!(listed.len() < 4_096, "{} bytes of listing", listed.len());
}

#[test]
fn two_hundred_thousand_meters_in_one_file() {
    let rows: String = (0..200_000).map(|meter| format!("M-{meter},2026-03-02T00:00:00Z,1.5,kW\n")).collect();
    let home = loaded("many meters", &table(rows), 200_000, &[]);
    assert_eq!(home.books(), [200_024, 200_024, 0, 0]);
}
