//! Laws of decode that hold for any bytes: nothing panics, every byte and line is accounted for, and
//! how an upload is cut changes nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use greenstream_core::decode::{
    Decoded, Decoder, Feed, Given, LINE_BYTES_MAX, Refusal, RowIndex, Span, raw_line,
};
use greenstream_core::{Flag, Reason, Ts};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use proptest::prelude::*;

const HEADER: &str = "meter_id,timestamp,energy_value,energy_unit\n";

fn compile(feed: &str, zone: Option<&str>) -> Decoder {
    let feed = if feed.is_empty() { Feed::default_feed() } else { toml::from_str(feed).unwrap() };
    feed.compile(&Given { time_zone: zone, name: "M1.csv", landed_at: Ts::MAX }).unwrap()
}

/// Decodes in one go.
fn whole(decoder: &Decoder, content: &[u8]) -> Result<Decoded, Refusal> {
    let layout = decoder.layout(content)?;
    let start = usize::try_from(layout.data_start()).unwrap();
    layout.join(vec![layout.decode_chunk(&content[start..])])
}

fn in_chunks(decoder: &Decoder, content: &[u8], count: usize) -> Result<Decoded, Refusal> {
    let layout = decoder.layout(content)?;
    let chunks = layout.chunks(content, count);
    assert!(chunks.len() <= count.max(1));
    layout.join(chunks.into_iter().map(|chunk| layout.decode_chunk(chunk)).collect())
}

fn streamed(decoder: &Decoder, content: &[u8], cuts: &[usize]) -> Result<Decoded, Refusal> {
    let mut stream = decoder.stream();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([content.len()]) {
        stream.push(&content[from..cut.clamp(from, content.len())])?;
        from = cut.clamp(from, content.len());
    }
    stream.finish()
}

/// The lines that are not empty, without their line ends, the plain way.
fn lines(content: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = content.split(|byte| *byte == b'\n').collect();
    let last = lines.pop().unwrap();
    let mut lines: Vec<_> = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    lines.push(last);
    lines.retain(|line| !line.is_empty());
    lines
}

/// What holds for each upload that is not refused.
fn check_laws(decoder: &Decoder, content: &[u8], decoded: &Decoded) {
    let coverage = decoded.coverage;
    assert_eq!(coverage.header + coverage.rows + coverage.skipped, content.len() as u64);
    let layout = decoder.layout(content).unwrap();
    let data = &content[usize::try_from(layout.data_start()).unwrap()..];
    let row_lines = layout.row_lines();
    let mut lines = lines(data);
    lines.retain(|line| row_lines.hold(line));
    let per_line = layout.rows_per_line();
    assert_eq!(per_line, row_lines.per_line());
    let spans = &decoded.index.spans;
    let by_column = !spans.is_empty() || decoded.row_count() == 0 && decoded.index.offsets.is_empty();
    if by_column {
        // the texts of rows are whole lines: in their order, none twice, and all that counts as rows
        let text = |span: &Span| span.text(content, 0).unwrap();
        assert!(
            spans.iter().map(|span| span.first_row).eq((1..).step_by(per_line as usize).take(spans.len()))
        );
        assert_eq!(spans.iter().map(|span| u64::from(span.len)).sum::<u64>(), coverage.rows);
        assert!(spans.is_sorted_by(|a, b| a.start + u64::from(a.len) <= b.start));
        let mut all = lines.iter();
        assert!(spans.iter().all(|span| all.any(|line| *line == text(span))));
        lines = spans.iter().map(text).collect();
    }
    assert_eq!(decoded.row_count(), lines.len() * per_line as usize);
    let rows = decoded.rows.iter().map(|row| row.row_number);
    let mut numbers: Vec<u32> = rows.chain(decoded.rejects.iter().map(|reject| reject.row_number)).collect();
    assert!(decoded.rows.is_sorted_by_key(|row| row.row_number));
    assert!(decoded.rejects.is_sorted_by_key(|reject| reject.row_number));
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=u32::try_from(decoded.row_count()).unwrap()));
    // each meter has a row, and they stand in the order of their first one
    let mut known = 0;
    for row in &decoded.rows {
        assert!(row.meter <= known);
        known = known.max(row.meter + 1);
        assert_eq!(row.kw.is_none(), row.flags.has(Flag::MissingValue));
    }
    assert_eq!(known as usize, decoded.meters.len());
    for number in numbers {
        let line = lines[((number - 1) / per_line) as usize];
        if let Some(span) = decoded.index.span_of(number) {
            assert_eq!(span.text(content, 0), Some(line));
            continue;
        }
        let from = usize::try_from(decoded.index.offset_of(number).unwrap()).unwrap();
        assert_eq!(raw_line(&content[from..], number, row_lines, true), Some(line));
    }
    let entries = if spans.is_empty() { decoded.row_count().div_ceil(RowIndex::STEP as usize) } else { 0 };
    assert_eq!(decoded.index.offsets.len(), entries);
}

#[track_caller]
fn check_every_way(decoder: &Decoder, content: &[u8], count: usize, cuts: &[usize]) {
    let decoded = whole(decoder, content);
    if let Ok(decoded) = &decoded {
        check_laws(decoder, content, decoded);
    }
    assert_eq!(in_chunks(decoder, content, count), decoded);
    assert_eq!(streamed(decoder, content, cuts), decoded);
}

/// Lines that are good, bad, quoted, blank, or torn.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let meter = prop::sample::select(vec![
        "M1",
        "M2",
        " M3 ",
        "\"M1\"",
        "Métér",
        "M\u{200b}",
        "",
        "\"M",
        "a-long-meter-id-1",
    ]);
    let time = prop::sample::select(vec![
        "2026-03-02T00:15:00Z",
        "2026-03-02 00:15",
        "2025-10-26 01:30:00",
        "2025-10-26 00:30:00",
        "2026-03-29T01:30:00",
        "2025-10-26T01:30:00+01:00",
        "1772415000",
        "nonsense",
    ]);
    let value = prop::sample::select(vec!["0.412", "1e-3", "", "NULL", "\"2.5\"", "x", "1e99", "-0.0000005"]);
    let unit = prop::sample::select(vec!["kW", "W", " kw", "BTU", ""]);
    let end = prop::sample::select(vec!["\n", "\n", "\n", "\r\n", "\r\r\n", ",\n"]);
    let row = (meter, time, value, unit, end).prop_map(|(m, t, v, u, e)| format!("{m},{t},{v},{u}{e}"));
    prop_oneof![
        8 => row.prop_map(String::into_bytes),
        1 => prop::sample::select(vec!["\n", "\r\n", " \n", "\r", "\"\n", "\0\n", "a,b\n"]).prop_map(|s| s.into()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_are_accounted_for_however_they_are_cut(
        lines in prop::collection::vec(line(), 0..90), start in prop::sample::select(vec!["", "\u{feff}", "\n\r\n"]),
        zone in prop::sample::select(vec![None, Some("UTC"), Some("Europe/London")]),
        count in 1..9_usize, mut cuts in prop::collection::vec(0..6_000_usize, 0..12),
    ) {
        let content = [start.as_bytes(), HEADER.as_bytes(), &lines.concat()].concat();
        cuts.sort_unstable();
        check_every_way(&compile("", zone), &content, count, &cuts);
    }

    #[test]
    fn wide_lines_are_accounted_for_too(
        lines in prop::collection::vec(line(), 0..90), count in 1..9_usize, step in 1..50_usize,
    ) {
        let feed = "name='w'\ntime_zone='Europe/London'\n[columns]\nmeter=1\ntimestamp=2\nunit=4\n\
            values=[{column=4,meter_suffix='-b'},{column=3,meter_suffix='-a'}]";
        let content = [HEADER.as_bytes(), &lines.concat()].concat();
        let cuts: Vec<_> = (0..content.len()).step_by(step).collect();
        check_every_way(&compile(feed, None), &content, count, &cuts);
    }

    #[test]
    fn rich_lines_are_accounted_for_too(
        lines in prop::collection::vec(line(), 0..90), count in 1..9_usize, step in 1..50_usize,
        skip in prop::sample::select(vec!["M1", "M", "2", "#"]), start in prop::sample::select(vec!["", "\n", "M\n#\n"]),
    ) {
        let rich = "name='r'\ndelimiter=','\ndecimal=','\nthousands='.'\nguarded=true\npreamble=2\n\
            interval='30min'\ntime_format='%Y-%m-%d %H:%M'\ntime_zone='Europe/London'\nunit='kW'\nfactor=0.1\n\
            header=false\n";
        let columns = [
            "meter_parts=[1,4]\ntimestamp=2\nslot=3\nvalue=3",
            "meter=1\ndate=2\ntime=3\nvalues=[{column=4,plus=[3,1],meter_suffix='-b'},{column=3}]",
            "meter=4\ntimestamp=2\nslots={first=1,count=3}",
            "meter=1\ntimestamp=2\nvalue=3\nfactor=4\nonly=[{column=1,is=['M1','m2']}]",
            "meter=1\ndate=2\ntime=4\noffset=3\nvalues=[{column=3,meter_suffix='-b'},{column=4}]\n\
             only=[{column=4,is=['kW','']}]",
            "meter=1\ntimestamp=2\nvalue=3\nseason={column=4,summer=['kW']}",
        ];
        let content = [b"# a\n\n", start.as_bytes(), &lines.concat()].concat();
        let cuts: Vec<_> = (0..content.len()).step_by(step).collect();
        for columns in columns {
            let label = if columns.contains("slot") { "start" } else { "end" };
            let feed = format!("{rich}label='{label}'\nskip=['{skip}','#']\n[columns]\n{columns}");
            check_every_way(&compile(&feed, None), &content, count, &cuts);
        }
    }

    #[test]
    fn any_bytes_at_all(
        bytes in prop::collection::vec(prop::sample::select(b"aM1,;\n\r\"\0\t .Z\xef\xbb\xbf\xc3\xff-".to_vec()), 0..300),
        with_header: bool, count in 1..5_usize, step in 1..9_usize,
    ) {
        let header = if with_header { HEADER.as_bytes() } else { &[] };
        let content = [header, &bytes].concat();
        let cuts: Vec<_> = (0..content.len()).step_by(step).collect();
        check_every_way(&compile("", None), &content, count, &cuts);
        let feed = "name='p'\nheader=false\nunit='kW'\nmeter={fixed='M'}\n[columns]\ntimestamp=1\nvalue=2";
        check_every_way(&compile(feed, Some("Europe/London")), &content, count, &cuts);
    }
}

#[test]
fn a_line_of_a_mebibyte_is_read_and_a_longer_one_is_one_malformed_row() {
    let decoder = compile("", None);
    let rest = ",2026-03-02T00:15:00Z,0.5,kW";
    for (length, end, reads) in [
        (LINE_BYTES_MAX - 1, "\n", true),
        (LINE_BYTES_MAX, "\n", true),
        (LINE_BYTES_MAX - 1, "\r\n", true),
        (LINE_BYTES_MAX, "", true),
        (LINE_BYTES_MAX + 1, "\n", false),
        (LINE_BYTES_MAX, "\r\n", false),
        (LINE_BYTES_MAX + 1, "", false),
        (3 * LINE_BYTES_MAX, "\n", false),
    ] {
        // blanks before the id are trimmed, so that the line is good whatever its length
        let line = format!("{}M1{rest}{end}", " ".repeat(length - 2 - rest.len()));
        let after = if end.is_empty() { String::new() } else { format!("M2{rest}\n") };
        let content = format!("{HEADER}M0{rest}\n{line}{after}");
        let decoded = whole(&decoder, content.as_bytes()).unwrap();
        let expected = if reads { vec![] } else { vec![(2, Reason::RowMalformed)] };
        let rejects: Vec<_> = decoded.rejects.iter().map(|r| (r.row_number, r.reason)).collect();
        assert_eq!(rejects, expected, "{length} {end:?}");
        for step in [1 << 16, 777_777, LINE_BYTES_MAX] {
            let cuts: Vec<_> = (0..content.len()).step_by(step).collect();
            check_every_way(&decoder, content.as_bytes(), 3, &cuts);
        }
    }
}

#[test]
fn lines_before_the_header_may_come_in_any_pieces() {
    let decoder =
        compile("name='p'\npreamble=2\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'", None);
    let content = b"\xef\xbb\xbfReport\nof today\nm,t,v\nM,1772415000,1\n";
    assert_eq!(whole(&decoder, content).unwrap().row_count(), 1);
    for cut in 0..content.len() {
        check_every_way(&decoder, content, 2, &[cut]);
        let cuts: Vec<usize> = (0..content.len()).step_by(cut.max(1)).collect();
        check_every_way(&decoder, content, 2, &cuts);
    }
}

#[test]
fn a_comment_of_more_than_a_mebibyte_is_passed_over_however_it_comes() {
    let feed = "name='c'\nskip=['# ']\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'";
    let decoder = compile(feed, None);
    for end in ["", "\n", "\r\n", "\nM,1772415900,2\n"] {
        // longer by more than a piece, so that its end comes after the limit has been passed
        let comment = format!("# {}", "x".repeat(2 * LINE_BYTES_MAX));
        let content = format!("m,t,v\nM,1772415000,1\n{comment}{end}");
        let decoded = whole(&decoder, content.as_bytes()).unwrap();
        assert_eq!(decoded.row_count(), if end.len() > 2 { 2 } else { 1 });
        for step in [1 << 16, 777_777, LINE_BYTES_MAX, LINE_BYTES_MAX + 20] {
            let cuts: Vec<_> = (0..content.len()).step_by(step).collect();
            check_every_way(&decoder, content.as_bytes(), 3, &cuts);
        }
        let before = format!("{comment}\nm,t,v\nM,1772415000,1\n");
        assert!(whole(&decoder, before.as_bytes()).is_err());
        assert!(streamed(&decoder, before.as_bytes(), &[5, 99_999]).is_err());
    }
}

#[test]
fn more_rows_than_an_index_step_and_a_block_are_accounted_for() {
    let mut content = HEADER.to_owned();
    for i in 0..5_000 {
        content.push_str(&format!("MTR-{:06},2026-03-02T{:02}:15:00Z,0.{i},kW\n", i % 700, i % 24));
        if i % 911 == 0 {
            content.push_str("\"M,open\n\n");
        }
    }
    let cuts: Vec<_> = (0..content.len()).step_by(4_999).collect();
    check_every_way(&compile("", None), content.as_bytes(), 4, &cuts);

    // lines of three rows, so that steps of the index begin within lines
    let feed = "name='w'\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalues=[{column='a',meter_suffix='-a'},\
        {column='b',meter_suffix='-b'},{column='c',meter_suffix='-c'}]";
    let mut content = "m,t,a,b,c\n".to_owned();
    for i in 0..2_000 {
        let line = if i % 50 == 7 { "torn".to_owned() } else { format!("M{},1772415000,1,2,{i}", i % 300) };
        content.push_str(&format!("{line}\n"));
    }
    check_every_way(&compile(feed, None), content.as_bytes(), 7, &[1, 10, 11, 5_000]);
}

/// Which instants the rows of one meter mean, the plain way: (earlier and later instant of each wall
/// time, in order) to instants.
fn model(walls: &[(i64, i64, i64)]) -> Vec<i64> {
    let steps: i64 = walls.windows(2).map(|pair| (pair[1].0 - pair[0].0).signum()).sum();
    let mut seen = BTreeMap::new();
    let resolve = |(wall, earlier, later): &(i64, i64, i64)| {
        if std::mem::replace(seen.entry(*wall).or_insert(false), true) { *later } else { *earlier }
    };
    if steps < 0 {
        let mut instants: Vec<_> = walls.iter().rev().map(resolve).collect();
        instants.reverse();
        instants
    } else {
        walls.iter().map(resolve).collect()
    }
}

proptest! {
    #[test]
    fn repeated_wall_times_mean_the_earlier_instant_first(
        // meter, quarter of an hour of 26 October 2025 from midnight, good value, own offset
        rows in prop::collection::vec((0..3_usize, 0..16_i64, 0..8_u8, 0..8_u8), 1..60),
        shape in 0..3_u8, zone in prop::sample::select(vec!["Europe/London", "Europe/Berlin"]), count in 1..5_usize,
    ) {
        let mut rows = rows;
        match shape {
            0 => rows.sort_by_key(|row| row.1),
            1 => rows.sort_by_key(|row| -row.1),
            _ => {}
        }
        let tz = TimeZone::get(zone).unwrap();
        let mut content = HEADER.to_owned();
        let mut walls: Vec<Vec<(i64, i64, i64)>> = vec![Vec::new(); 3];
        let mut places = Vec::new();
        for (meter, quarter, good, own) in &rows {
            let wall = format!("2025-10-26T{:02}:{:02}:00", quarter / 4, quarter % 4 * 15);
            let offset = if *own == 0 { "+07:00" } else { "" };
            let value = if *good == 0 { "bad" } else { "1" };
            content.push_str(&format!("M{meter},{wall}{offset},{value},kW\n"));
            let ambiguous = tz.to_ambiguous_timestamp(wall.parse::<DateTime>().unwrap());
            if *own != 0 {
                let earlier = ambiguous.earlier().unwrap().as_microsecond();
                let later = ambiguous.later().unwrap().as_microsecond();
                places.push(Some((*meter, walls[*meter].len())));
                walls[*meter].push((*quarter, earlier, later));
            } else {
                places.push(None);
            }
        }
        let instants: Vec<_> = walls.iter().map(|walls| model(walls)).collect();
        // so many failures that the upload might be refused are diluted
        for _ in 0..400 {
            content.push_str("X,1772415000,1,kW\n");
        }
        let decoder = compile("", Some(zone));
        let decoded = in_chunks(&decoder, content.as_bytes(), count).unwrap();
        prop_assert_eq!(&streamed(&decoder, content.as_bytes(), &[100, 101, 500]).unwrap(), &decoded);
        let mut found: BTreeMap<u32, i64> =
            decoded.rows.iter().map(|row| (row.row_number, row.ts.micros())).collect();
        found.extend(decoded.rejects.iter().map(|reject| (reject.row_number, reject.ts.unwrap().micros())));
        for (number, place) in (1..).zip(places) {
            if let Some((meter, at)) = place {
                prop_assert_eq!(found[&number], instants[meter][at], "row {} of\n{}", number, &content);
            }
        }
    }
}
