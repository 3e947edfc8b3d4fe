//! Formats of their own: NEM12, Green Button and CMEP. Every byte and row is accounted for, in whatever
//! pieces it comes.

use std::sync::LazyLock;

use greenstream_core::Ts;
use greenstream_core::decode::{Decoder, Feed, Given};

use super::laws;

static NEM12: LazyLock<Decoder> = LazyLock::new(|| compile("nem12", None));
static GREEN_BUTTON: LazyLock<Decoder> = LazyLock::new(|| compile("green_button", None));
static GREEN_BUTTON_WALL: LazyLock<Decoder> =
    LazyLock::new(|| compile("green_button", Some("America/Los_Angeles")));
static CMEP: LazyLock<Decoder> = LazyLock::new(|| compile("cmep", Some("Europe/London")));

fn compile(name: &str, time_zone: Option<&str>) -> Decoder {
    let (_, text) = Feed::built_in().into_iter().find(|(known, _)| *known == name).unwrap();
    let feed: Feed = toml::from_str(text).unwrap();
    feed.compile(&Given { time_zone, name: "upload", landed_at: Ts::MAX }).unwrap()
}

pub(crate) fn nem12(bytes: &[u8]) {
    let _ = laws::decode(&NEM12, bytes);
}

pub(crate) fn green_button(bytes: &[u8]) {
    let read = laws::decode(&GREEN_BUTTON, bytes);
    let read_in_zone = laws::decode(&GREEN_BUTTON_WALL, bytes);
    // a zone moves instants; it makes no rows and loses none
    if let (Ok(one), Ok(other)) = (read, read_in_zone) {
        assert_eq!(one.row_count(), other.row_count());
        assert_eq!(one.coverage, other.coverage);
    }
}

pub(crate) fn cmep(bytes: &[u8]) {
    let _ = laws::decode(&CMEP, bytes);
}
