//! When uploads landed, and whose they are.

use greenstream_core::Ts;
use rustc_hash::FxHashMap;

use crate::store::{Reader, StoreError};

/// When each upload landed, and whose it is.
pub(super) struct Landings {
    /// By upload number; none for those that are not done.
    uploads: Vec<Option<(Ts, u16)>>,
    /// Their names, sorted.
    pub feeds: Vec<String>,
}

impl Landings {
    pub(super) fn of(reader: &Reader) -> Result<Landings, StoreError> {
        let landings = reader.landings()?;
        let mut feeds: Vec<String> = landings.iter().map(|(_, _, feed)| feed.clone()).collect();
        feeds.sort_unstable();
        feeds.dedup();
        let places: FxHashMap<&str, u16> = feeds.iter().map(String::as_str).zip(0..).collect();
        let last = landings.last().map_or(0, |(upload, _, _)| *upload as usize);
        let mut uploads = vec![None; last + 1];
        for (upload, at, feed) in &landings {
            uploads[*upload as usize] = places.get(feed.as_str()).map(|feed| (*at, *feed));
        }
        Ok(Landings { uploads, feeds })
    }

    /// When an upload landed; at the beginning of time where it has landed since.
    pub(super) fn landed_at(&self, upload: u32) -> Ts {
        self.get(upload).map_or(Ts::MIN, |(at, _)| at)
    }

    /// The feed of an upload; none where it has landed since.
    pub(super) fn feed(&self, upload: u32) -> Option<u16> {
        self.get(upload).map(|(_, feed)| feed)
    }

    fn get(&self, upload: u32) -> Option<(Ts, u16)> {
        self.uploads.get(upload as usize).copied().flatten()
    }
}
