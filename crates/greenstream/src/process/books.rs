//! The books: how a change set moves rows between stored, quarantined and superseded.

use greenstream_core::{Reading, Standing};
use rustc_hash::FxHashMap;

use crate::change::BookEntry;

/// Differences of the books of each upload that a change set touches.
#[derive(Debug, Default)]
pub struct Books {
    by_upload: FxHashMap<u32, BookEntry>,
}

impl Books {
    fn entry(&mut self, upload: u32) -> &mut BookEntry {
        self.by_upload.entry(upload).or_insert(BookEntry { upload, ..BookEntry::default() })
    }

    /// `count` rows of `upload` are stored that had no disposition before.
    pub fn stored(&mut self, upload: u32, count: i64) {
        self.entry(upload).stored += count;
    }

    /// `count` rows of `upload` are quarantined (less, if negative).
    pub fn quarantined(&mut self, upload: u32, count: i64) {
        self.entry(upload).quarantined += count;
    }

    /// `count` rows of `upload` are superseded (less, if negative).
    pub fn superseded(&mut self, upload: u32, count: i64) {
        self.entry(upload).superseded += count;
    }

    /// The row that holds `reading` takes its disposition (`count` 1) or gives it up (-1).
    pub fn holds(&mut self, reading: &Reading, count: i64) {
        match reading.standing {
            Standing::Accepted | Standing::Unjudged => self.stored(reading.upload, count),
            Standing::Negative | Standing::AboveLimit | Standing::Outlier => {
                self.quarantined(reading.upload, count);
            }
        }
    }

    /// The differences, by upload; those that cancel out are left out.
    pub fn take(&mut self) -> Vec<BookEntry> {
        let mut entries: Vec<BookEntry> = self
            .by_upload
            .drain()
            .map(|(_, entry)| entry)
            .filter(|e| (e.stored, e.quarantined, e.superseded) != (0, 0, 0))
            .collect();
        entries.sort_unstable_by_key(|entry| entry.upload);
        entries
    }
}
