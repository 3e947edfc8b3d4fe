//! Numbers: exact digits and one rounding, as the model's arithmetic of unbounded integers gives them.

use std::sync::LazyLock;

use greenstream_core::decode::{Decoder, Feed, Given, parse_kw};
use greenstream_core::{Power, Ts};
use greenstream_model::{kw_text, read_milliwatts};

/// Units by name, with their kilowatts as a fraction. Seven minutes give factors that do not end.
const UNITS: [(&str, u64, u64); 5] =
    [("W", 1, 1_000), ("MW", 1_000, 1), ("Wh", 60, 7_000), ("kWh", 60, 7), ("MWh", 60_000, 7)];

static DECODER: LazyLock<Decoder> = LazyLock::new(|| {
    let text = "name = 'n'\ninterval = '7min'\nunits = ['MW', 'Wh', 'kWh', 'MWh']\ndelimiter = '|'\n\
                [columns]\nmeter = 'm'\ntimestamp = 't'\nvalue = 'v'\nunit = 'u'\n";
    let feed: Feed = toml::from_str(text).unwrap();
    feed.compile(&Given { time_zone: None, name: "n", landed_at: Ts::MAX }).unwrap()
});

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = text.trim();
    let read = parse_kw(text);
    assert_eq!(read.map(Power::milliwatts), read_milliwatts(text, 1, 1), "{text:?}");
    if let Some(power) = read {
        let written = power.to_string();
        assert_eq!(written, kw_text(power.milliwatts()));
        assert_eq!(parse_kw(&written), read, "{text:?} is written as {written:?}");
    }
    // the same text as the value of a row, in every other unit
    if text.is_empty() || text.contains(['|', '"', '\n', '\r', '\0']) || text.len() > 200 {
        return;
    }
    if text.starts_with('-') && text.len() == 1 || text == "?" || text.starts_with(['n', 'N']) {
        return; // missing, in words
    }
    for (unit, numerator, denominator) in UNITS {
        let content = format!("m|t|v|u\nM|1772415000|{text}|{unit}\n");
        let decoded = super::laws::streamed(&DECODER, content.as_bytes(), &[]).unwrap();
        let value = decoded.rows.first().and_then(|row| row.kw).map(Power::milliwatts);
        assert_eq!(value, read_milliwatts(text, numerator, denominator), "{text:?} {unit}");
    }
}
