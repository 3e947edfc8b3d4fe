//! Timestamps: the fast reader and the model's slow one, which share no code, give the same instant.

use greenstream_core::Ts;
use greenstream_core::decode::parse_ts;
use greenstream_model::{instant_text, read_instant};

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = text.trim();
    let read = parse_ts(text).map(Ts::micros);
    assert_eq!(read, read_instant(text), "{text:?}");
    if let Some(micros) = read {
        let written = Ts::from_micros(micros).to_string();
        assert_eq!(written, instant_text(micros));
        assert_eq!(parse_ts(&written).map(Ts::micros), read, "{text:?} is written as {written:?}");
    }
}
