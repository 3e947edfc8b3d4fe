//! Lines of the default feed: the model, which shares no code, gives the same rows, rejects, texts and
//! dead letters; and however the upload is cut, the result is the same.

use std::sync::LazyLock;

use greenstream_core::decode::{Decoded, Decoder, Feed, Given, raw_line};
use greenstream_core::{Flags, Power, Ts};
use greenstream_model::{Feed as ModelFeed, Upload};

use super::laws;

const ZONES: [Option<&str>; 4] = [None, Some("UTC"), Some("Europe/London"), Some("Australia/Lord_Howe")];

static DECODERS: LazyLock<Vec<Decoder>> = LazyLock::new(|| {
    let given = |time_zone| Given { time_zone, name: "a.csv", landed_at: landed_at() };
    ZONES.iter().map(|zone| Feed::default_feed().compile(&given(*zone)).unwrap()).collect()
});

/// In the middle of what timestamps say, so that some lie in the future.
fn landed_at() -> Ts {
    Ts::from_micros(1_793_000_000_000_000)
}

/// The first byte chooses the zone, the rest is the upload. A header is put before it on every second
/// choice: random bytes seldom have one.
pub(crate) fn check(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let at = usize::from(choice % 4);
    let header: &[u8] = if choice & 4 == 0 { b"meter_id,timestamp,energy_value,energy_unit\n" } else { b"" };
    let content = [header, rest].concat();
    let decoder = &DECODERS[at];
    let decoded = laws::decode(decoder, &content);
    let layout = decoder.layout(&content);
    let chunked = layout.and_then(|layout| {
        let chunks = layout.chunks(&content, usize::from(choice >> 3) % 5 + 1);
        layout.join(chunks.into_iter().map(|chunk| layout.decode_chunk(chunk)).collect())
    });
    assert_eq!(chunked, decoded, "chunks change nothing");
    let feed = ModelFeed { time_zone: ZONES[at].map(str::to_owned), ..ModelFeed::default() };
    let upload =
        Upload { name: "a.csv".to_owned(), bytes: content.clone(), landed_at: landed_at().micros(), feed };
    let expected = greenstream_model::decoded(&upload);
    match (&decoded, &expected) {
        (Ok(decoded), Some(expected)) => compare(&content, decoder, decoded, expected),
        (Err(_), None) => {}
        _ => panic!("decode says {decoded:?}, the model {expected:?}"),
    }
}

fn compare(content: &[u8], decoder: &Decoder, decoded: &Decoded, expected: &[greenstream_model::Decoded]) {
    assert_eq!(decoded.row_count(), expected.len());
    for row in &decoded.rows {
        let expected = &expected[row.row_number as usize - 1];
        assert_eq!(expected.failure, None, "row {}", row.row_number);
        assert_eq!(decoded.meters[row.meter as usize], expected.meter);
        assert_eq!(Some(row.ts.micros()), expected.ts);
        assert_eq!(row.kw.map(Power::milliwatts), expected.value);
        assert_eq!(text(row.flags), expected.flags);
    }
    for reject in &decoded.rejects {
        let expected = &expected[reject.row_number as usize - 1];
        assert_eq!(Some(reject.reason.name()), expected.failure, "row {}", reject.row_number);
        assert_eq!((&reject.meter, reject.ts.map(Ts::micros)), (&expected.meter, expected.ts));
    }
    let layout = decoder.layout(content).unwrap();
    for (number, expected) in (1..).zip(expected) {
        let from = usize::try_from(decoded.index.offset_of(number).unwrap()).unwrap();
        let line = raw_line(&content[from..], number, layout.row_lines(), true).unwrap();
        assert_eq!(String::from_utf8_lossy(line), expected.raw, "the text of row {number}");
    }
}

fn text(flags: Flags) -> String {
    flags.iter().map(greenstream_core::Flag::name).collect::<Vec<_>>().join("|")
}
