//! Detection: an answer whatever the bytes, and what it proposes compiles and reads the file.

use greenstream_core::Ts;
use greenstream_core::decode::{Feed, Given};
use greenstream_core::detect::{Asked, Detected, detect};

pub(crate) fn check(bytes: &[u8]) {
    let name = "a.csv";
    let Detected::Table(proposal) = detect(bytes, &Asked { name, ..Asked::default() }) else { return };
    let Some(profile) = &proposal.profile else { return };
    let feed: Feed = toml::from_str(&profile.toml).unwrap();
    assert_eq!(feed, profile.feed);
    // of other bytes the header may have been read as Latin-1, and the proposal says so
    if std::str::from_utf8(bytes).is_err() {
        return;
    }
    let decoder = feed.compile(&Given { time_zone: Some("UTC"), name, landed_at: Ts::MAX }).unwrap();
    assert!(decoder.layout(bytes).is_ok(), "{}", profile.toml);
    super::laws::decode(&decoder, bytes).ok();
}
