//! Tests of the landing zone, and what they share.

mod content;
mod crash;
mod journal;
mod land;
mod power;
mod remote;
mod verify;

use super::*;
use std::io::Read;

/// A folder to land in. In memory where there is such a place: these tests are about order and bytes, and
/// what a real disk does at a power loss is simulated in `power`.
pub(super) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub(super) fn at(second: i64) -> Ts {
    Ts::from_micros(1_772_409_600_000_000 + second * 1_000_000)
}

/// An upload of these bytes under the default feed.
pub(super) fn bytes(name: &str, text: &str) -> Incoming {
    Incoming {
        source: Source::Bytes(text.as_bytes().to_vec()),
        name: name.to_owned(),
        feed: "default".to_owned(),
        time_zone: None,
        meter: None,
        landed_at: at(0),
    }
}

/// The same bytes for a meter, or under another feed or zone.
pub(super) fn with(one: Incoming, feed: &str, time_zone: Option<&str>, meter: Option<&str>) -> Incoming {
    Incoming {
        feed: feed.to_owned(),
        time_zone: time_zone.map(str::to_owned),
        meter: meter.map(str::to_owned),
        ..one
    }
}

/// What became of uploads, for comparing.
pub(super) fn shown(landed: &[Landed]) -> Vec<String> {
    let show = |landed: &Landed| match landed {
        Landed::New { upload, entry } => format!("new {upload} in {entry}"),
        Landed::Delivered { upload } => format!("delivered {upload}"),
        Landed::Refused { upload, feed, time_zone: None } => format!("refused {upload}, {feed}"),
        Landed::Refused { upload, feed, time_zone: Some(zone) } => {
            format!("refused {upload}, {feed} in {zone}")
        }
        Landed::Unread(error) => format!("unread: {error}"),
    };
    landed.iter().map(show).collect()
}

/// The received bytes of all uploads, in order; panics where one cannot be read.
pub(super) fn contents(zone: &Zone) -> Vec<Vec<u8>> {
    let read = |upload: &UploadEntry| {
        let mut bytes = Vec::new();
        zone.content(upload.upload, u64::MAX).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    zone.uploads().iter().map(read).collect()
}

/// What verification finds, as text with paths below the landing zone.
pub(super) fn findings(folder: &Path, expected: Option<(u64, &str)>) -> Vec<String> {
    let prefix = format!("{}/", folder.display());
    let found = super::verify(folder, expected, &|_| {}).unwrap();
    found.iter().map(|finding| finding.to_string().replace(&prefix, "")).collect()
}

/// The names in a folder, sorted.
pub(super) fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| name_of(Path::new(&e.unwrap().file_name()))).collect();
    names.sort();
    names
}
