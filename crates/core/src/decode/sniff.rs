//! What an upload is, where it is no text in an encoding a feed knows.

use super::Refusal;

/// First bytes of formats that are sent by mistake, and what they are.
const MAGIC: [(&[u8], &str, &str); 16] = [
    (b"PK\x03\x04", "a zip archive or a spreadsheet", "unpack it, or save the sheet as CSV UTF-8"),
    (b"\xfd7zXZ\0", "xz-compressed", "unpack it, or compress with gzip or zstd"),
    (b"BZh", "bzip2-compressed", "unpack it, or compress with gzip or zstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it, or compress with gzip or zstd"),
    (b"\x04\x22\x4d\x18", "lz4-compressed", "unpack it, or compress with gzip or zstd"),
    (b"Rar!\x1a\x07", "a rar archive", "unpack it, or compress with gzip or zstd"),
    (b"\x1f\x8b", "gzip data inside", "compress once only"),
    (b"\x28\xb5\x2f\xfd", "zstd data inside", "compress once only"),
    (b"\x1f\x9d", "compress data (.Z)", "unpack it, or compress with gzip or zstd"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV UTF-8"),
    (b"PAR1\x15", "a Parquet file", "export it as CSV"),
    (b"%PDF-", "a PDF document", "ask the sender for the CSV"),
    (b"\x89PNG\r\n", "a picture", "ask the sender for the CSV"),
    (b"\xff\xd8\xff", "a picture", "ask the sender for the CSV"),
    (b"SQLite format 3\0", "a SQLite database", "export the table as CSV"),
    (
        b"<?xml",
        "an XML document",
        "if it is Green Button, choose its feed: --feed green_button; else ask the sender for CSV",
    ),
];

/// Looks at the first line (or as much of it as there may be) of an upload.
pub(crate) fn sniff(first_line: &[u8]) -> Option<Refusal> {
    let refuse = |problem: &str, hint: &str| {
        Some(Refusal::NotText { problem: format!("the upload is {problem}"), hint: hint.to_owned() })
    };
    for (magic, problem, hint) in MAGIC {
        let is_bzip = magic != b"BZh" || first_line.get(4..10) == Some(b"1AY&SY");
        if first_line.starts_with(magic) && is_bzip {
            return refuse(problem, hint);
        }
    }
    let to_utf8 = "say `encoding = \"utf-16\"` in a feed profile, or save it as UTF-8 (in Excel: CSV UTF-8)";
    if first_line.starts_with(b"\xff\xfe\0\0") || first_line.starts_with(b"\0\0\xfe\xff") {
        return refuse("UTF-32 text", "save it as UTF-8 (in Excel: CSV UTF-8)");
    }
    if first_line.starts_with(b"\xff\xfe") || first_line.starts_with(b"\xfe\xff") || is_utf16(first_line) {
        return refuse("UTF-16 text", to_utf8);
    }
    None
}

/// NULs at every second byte of a start that could be ASCII in UTF-16.
fn is_utf16(line: &[u8]) -> bool {
    let (pairs, _) = line.get(..line.len().min(64)).unwrap_or(&[]).as_chunks::<2>();
    let little = pairs.iter().filter(|pair| pair[0] != 0 && pair[1] == 0).count();
    let big = pairs.iter().filter(|pair| pair[0] == 0 && pair[1] != 0).count();
    pairs.len() >= 2 && little.max(big) * 10 >= pairs.len() * 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(first_line: &[u8], expected: Option<&str>) {
        let problem = sniff(first_line).map(|refusal| refusal.to_string());
        assert_eq!(problem.is_some(), expected.is_some(), "{problem:?}");
        assert!(problem.unwrap_or_default().contains(expected.unwrap_or_default()));
    }

    #[test]
    fn formats_sent_by_mistake_are_named() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let utf16_big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
        for (first_line, expected) in [
            (&b"PK\x03\x04\x14"[..], Some("zip")),
            (b"\xfd7zXZ\0\0", Some("xz")),
            (b"BZh91AY&SY\x01", Some("bzip2")),
            (b"\x1f\x8b\x08", Some("gzip")),
            (b"\x28\xb5\x2f\xfd", Some("zstd")),
            (b"\xff\xfem\0", Some("UTF-16")),
            (b"\xfe\xff\0m", Some("UTF-16")),
            (b"\xff\xfe\0\0", Some("UTF-32")),
            (&utf16("meter_id,\n"), Some("UTF-16")),
            (&utf16_big("meter_id,\n"), Some("UTF-16")),
            (b"BZh,timestamp\n", None),
            (b"PAR1,2026-03-02T00:15:00Z\n", None),
            (b"meter_id,timestamp\n", None),
            (b"\n", None),
            (b"", None),
            (b"a\0", None),
        ] {
            check(first_line, expected);
        }
    }
}
