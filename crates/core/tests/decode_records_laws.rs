//! Laws of formats of their own that hold for any bytes: nothing panics, every byte and row is
//! accounted for, and how an upload is cut changes nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use greenstream_core::Ts;
use greenstream_core::decode::{Decoded, Decoder, Feed, Given, LINE_BYTES_MAX, Refusal};
use proptest::prelude::*;

fn compile(name: &str, time_zone: Option<&str>) -> Decoder {
    let (_, text) = Feed::built_in().into_iter().find(|(known, _)| *known == name).unwrap();
    let feed: Feed = toml::from_str(text).unwrap();
    feed.compile(&Given { time_zone, name: "upload", landed_at: Ts::MAX }).unwrap()
}

fn streamed(decoder: &Decoder, content: &[u8], cuts: &[usize]) -> Result<Decoded, Refusal> {
    let mut stream = decoder.stream();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([content.len()]) {
        let to = cut.clamp(from, content.len());
        stream.push(&content[from..to])?;
        from = to;
    }
    stream.finish()
}

#[track_caller]
fn check(name: &str, zone: Option<&str>, content: &[u8], cuts: &[usize]) -> Result<Decoded, Refusal> {
    let decoder = compile(name, zone);
    let decoded = streamed(&decoder, content, &[]);
    assert_eq!(streamed(&decoder, content, cuts), decoded);
    let every: Vec<usize> = if content.len() < 4_000 { (0..content.len()).collect() } else { Vec::new() };
    assert_eq!(streamed(&decoder, content, &every), decoded);
    if let Ok(decoded) = &decoded {
        check_accounts(content, decoded);
    }
    decoded
}

fn check_accounts(content: &[u8], decoded: &Decoded) {
    let coverage = decoded.coverage;
    assert_eq!(coverage.header + coverage.rows + coverage.skipped, content.len() as u64);
    let rows = decoded.rows.iter().map(|row| row.row_number);
    let mut numbers: Vec<u32> = rows.chain(decoded.rejects.iter().map(|reject| reject.row_number)).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=u32::try_from(decoded.row_count()).unwrap()));
    assert!(decoded.index.spans.is_sorted_by(|a, b| a.first_row < b.first_row));
    let spanned: u64 = decoded.index.spans.iter().map(|span| u64::from(span.len)).sum();
    assert!(spanned <= content.len() as u64);
    for number in numbers {
        let text = decoded.index.span_of(number).unwrap().text(content, 0).unwrap();
        assert!(!text.is_empty());
    }
}

fn nem_line() -> impl Strategy<Value = Vec<u8>> {
    let channel = prop::sample::select(vec![
        "200,NMI1,E1,1,E1,N1,S1,kWh,720,\n",
        "200,NMI1,E1,1,E1,N1,S1,kWh,480,20260101\r\n",
        "200,NMI1,Q1,1,Q1,N1,S1,kVArh,720,\n",
        "200,NMI2,E1,1,E1,N1,S1,BTU,720,\n",
        "200,,E1,1,E1,N1,S1,W,720,\n",
        "200,NMI1,E1,1,E1,N1,S1,kWh,7,\n",
        "200,short\n",
    ]);
    let day = prop::sample::select(vec![
        "300,20260301,1.5,2.5,A,,,20260302000000,\n",
        "300,20260301,1.5,2.5,V,,,20260302000000,\n",
        "300,20260405,1.5,x,3,V,,,20260302000000,20260302000000\r\n",
        "300,20261004,,2.5,3,S14,61,\"a, b\",20260302000000\n",
        "300,20260231,1,2,3,A,,,20260302000000,\n",
        "300,20260301,1.5,2.5\n",
        "300,20260301,1,2,N,,,20260302000000,\n",
    ]);
    let other = prop::sample::select(vec![
        "400,1,1,A,,\n",
        "400,2,3,N,,\n",
        "400,2,2,F14,76,\n",
        "400,0,9,A,,\n",
        "400,2,1,A,,\n",
        "500,O,S01,20260301120000,\n",
        "250,NMI1,11,1,11,11,S,E,1,20260101000000,A,,,2,20260301000000,A,,,59,KWH,20260601,20260301000000,\n",
        "250,NMI1,11,1,11,11,S,E,1,20260301000000,A,,,2,20260101000000,A,,,59,KWH,20260601,,\n",
        "550,N,,A,\n",
        "100,NEM12,202603010000,A,B\n",
        "900\n",
        "\n",
        "11,33,21\n",
        "\"\n",
        "\u{feff}\n",
        "900",
    ]);
    prop_oneof![
        2 => channel.prop_map(Into::into),
        4 => day.prop_map(Into::into),
        4 => other.prop_map(Into::into),
        1 => prop::collection::vec(any::<u8>(), 0..30),
    ]
}

fn cmep_line() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "MEPMD01,19970819,S,,R,,202603010000,M1,OK,E,KWH,1,00000015,2,202603010015,,0.25,,E,0.5\n",
        "MEPMD01,19970819,S,,R,,202603010000,M1,OK,E,KWH,2.5,00000100,2,202610250100,R,1,202610250200,R,1\r\n",
        "MEPMD01,19970819,S,,R,,202603010000,M1,OK,E,KWH,1,00000100,1,202603290200,N,0\n",
        "MEPMD01,19970819,S,,R,,202603010000,M1,OK,E,KVARH,1,00000015,1,202603010015,,1\n",
        "MEPMD01,19970819,S,,R,,202603010000,M1,OK,W,CF,1,00000100,1,202603010100,,1\n",
        "MEPMD01,19970819,S,,R,,202603010000,M1,OK,E,KWH,1,01000000,1,202603010100,,1\n",
        "MEPMD01,19970819,S,,R,,202603010000,M1,OK,E,KW,1,,2,202603010100,,1,,,2\n",
        "MEPMD01,19970819,S,,R,,202603010000,M1,OK,E,KWHH,1,00000015,1,202603010100,,1\n",
        "MEPMD01,19970819,S,,R,,202603010000,,OK,E,KWH,1,00000015,9,202603010100,,1\n",
        "MEPAD01,1,2\n",
        "MEPMD01,x\n",
        "\n",
        "nonsense,\"\n",
    ]);
    prop_oneof![8 => line.prop_map(Into::into), 1 => prop::collection::vec(any::<u8>(), 0..30)]
}

/// Pieces of XML, most of which fit together.
fn xml_piece() -> impl Strategy<Value = Vec<u8>> {
    let entry = |links: &str, content: &str| {
        format!("<entry>{links}<content>{content}</content></entry>\n").into_bytes()
    };
    let reading = |start: &str, duration: &str, value: &str| {
        format!(
            "<e:IntervalReading>\n <e:timePeriod><e:duration>{duration}</e:duration><e:start>{start}</e:start>\
             </e:timePeriod><e:value>{value}</e:value></e:IntervalReading>"
        )
    };
    let point = "User/U1/UsagePoint/P1/MeterReading";
    let block = |id: u8, readings: &str| {
        let links = format!("<link rel=\"self\" href='{point}/{id}/IntervalBlock/9'/>");
        entry(&links, &format!("<e:IntervalBlock>{readings}</e:IntervalBlock>"))
    };
    let kind = |id: u8, uom: &str| {
        let links = format!("<link rel=\"self\" href=\"/ReadingType/{id}\"/>");
        entry(
            &links,
            &format!(
                "<e:ReadingType><e:uom>{uom}</e:uom><e:intervalLength>900</e:intervalLength></e:ReadingType>"
            ),
        )
    };
    let meter = |id: u8, kind: u8| {
        let links = format!(
            "<link rel='self' href='{point}/{id}'/><link rel='related' href='ReadingType/{kind}'></link>"
        );
        entry(&links, "<e:MeterReading/>")
    };
    let two =
        format!("{}{}", reading("1772415000", "900", "250"), reading(" 1772415900 ", "0", "&#50;5&lt;"));
    let pieces = vec![
        block(1, &two),
        block(2, &reading("1792915200", "3600", "<![CDATA[7]]>")),
        block(1, &reading("x", "86400", "")),
        block(1, &reading("1772415000", "900", "\u{feff}5")),
        kind(1, "72"),
        kind(2, "169"),
        kind(2, "38"),
        meter(1, 1),
        meter(2, 2),
        b"<!-- a < comment > -->".to_vec(),
        b"<?pi x?>\xef\xbb\xbf ".to_vec(),
        b"<a b=\"1 > 2\">text\xef\xbb\xbf</a>".to_vec(),
    ];
    let bad = vec!["</entry>", "<!DOCTYPE a>", "&x;", "& ", "<a", "<entry>", "text"];
    prop_oneof![
        40 => prop::sample::select(pieces),
        1 => prop::sample::select(bad).prop_map(Into::into),
        1 => prop::collection::vec(any::<u8>(), 0..9),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_nem_is_accounted_for_however_it_is_cut(
        lines in prop::collection::vec(nem_line(), 0..40), has_header: bool,
        zone in prop::sample::select(vec![None, Some("Australia/Brisbane"), Some("Australia/Sydney")]),
        mut cuts in prop::collection::vec(0..2_000_usize, 0..9),
    ) {
        let start: &[u8] = if has_header { b"\xef\xbb\xbf100,NEM12,202603010000,A,B\n" } else { b"" };
        let _ = { cuts.sort_unstable(); check("nem12", zone, &[start, &lines.concat()].concat(), &cuts) };
    }

    #[test]
    fn any_cmep_is_accounted_for_however_it_is_cut(
        lines in prop::collection::vec(cmep_line(), 0..40),
        zone in prop::sample::select(vec![None, Some("UTC"), Some("Europe/London")]),
        mut cuts in prop::collection::vec(0..2_000_usize, 0..9),
    ) {
        cuts.sort_unstable();
        let _ = check("cmep", zone, &lines.concat(), &cuts);
    }

    #[test]
    fn any_green_button_is_accounted_for_however_it_is_cut(
        pieces in prop::collection::vec(xml_piece(), 0..12), mark: bool,
        zone in prop::sample::select(vec![None, Some("America/Los_Angeles")]),
        mut cuts in prop::collection::vec(0..5_000_usize, 0..9),
    ) {
        cuts.sort_unstable();
        let start: &[u8] = if mark { b"\xef\xbb\xbf<?xml version='1.0'?>\n" } else { b"" };
        let feed = [start, b"<feed xmlns:e=\"http://naesb.org/espi\">", &pieces.concat(), b"</feed>\n"].concat();
        let _ = check("green_button", zone, &feed, &cuts);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..300), mut cuts in prop::collection::vec(0..300_usize, 0..4),
    ) {
        cuts.sort_unstable();
        for name in ["nem12", "cmep", "green_button"] {
            let _ = check(name, None, &bytes, &cuts);
        }
    }
}

#[test]
fn a_line_of_more_than_a_mebibyte_is_one_malformed_row() {
    let before =
        "100,NEM12,202603010000,A,B\n200,N,E1,1,E1,,S,kWh,720,\n300,20260301,1,2,A,,,20260302000000,\n";
    for length in [LINE_BYTES_MAX, LINE_BYTES_MAX + 1, 3 * LINE_BYTES_MAX] {
        let content = format!("{before}{}\n900\n", "3".repeat(length));
        let decoded = check("nem12", None, content.as_bytes(), &[70, 1 << 20, 1_600_000]).unwrap();
        assert_eq!((decoded.rows.len(), decoded.rejects.len()), (2, 1), "{length}");
    }
}

#[test]
fn a_tag_or_text_of_more_than_a_mebibyte_is_refused_however_it_comes() {
    for (open, close) in [("<!--", "-->"), ("<a b='", "'/>"), ("<a>", "</a>")] {
        let content = format!("<feed>\n{open}{}{close}</feed>", "x".repeat(LINE_BYTES_MAX + 1));
        for cuts in [vec![], vec![9, 900_000], (0..content.len()).step_by(65_536).collect()] {
            let refusal = check("green_button", None, content.as_bytes(), &cuts).unwrap_err().to_string();
            assert!(refusal.starts_with("line 2: a tag, comment or text"), "{refusal}");
        }
    }
    for (room, is_read) in [(0, true), (1, false)] {
        let comment = format!("<!--{}-->", "x".repeat(LINE_BYTES_MAX + room - 7));
        let content = format!("<feed>{comment}<a></b></feed>");
        let refusal = check("green_button", None, content.as_bytes(), &[9]).unwrap_err().to_string();
        assert_eq!(!refusal.contains("a tag, comment or text"), is_read, "{refusal}");
    }
}
