//! Flags over time: rows by UTC hour, counted once and kept.
//!
//! An hour of 50,000 meters costs 30 ms to count, so a week costs seconds the first time. A request counts
//! for a short while, newest hour first, and says whether it came to the end; the page asks again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::{HourCounts, Reader, StoreError};

/// How long one request counts. Longer, and a page waits; shorter, and a week takes many requests.
const BUDGET: Duration = Duration::from_millis(300);
/// How long the counts of the newest day hold while uploads land: counting a day of 50,000 meters again
/// takes 0.7 s, 1 % of a core at this pace.
const NEW_HOLDS: Duration = Duration::from_secs(60);
/// The same for older hours, which late uploads and decisions change.
const OLD_HOLDS: Duration = Duration::from_secs(900);
/// Hours kept, of 300 bytes: a year. More are begun anew.
const KEPT: usize = 9_000;

/// The hours counted so far.
#[derive(Default)]
pub struct Hours(Mutex<BTreeMap<i64, Counted>>);

struct Counted {
    counts: HourCounts,
    /// The journal entry that the database reflected before it was counted.
    entry: u64,
    at: Instant,
}

impl Hours {
    /// The counts of each hour of `hours`; none for those that a later request will find.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of(&self, reader: &Reader, hours: Range<i64>) -> Result<Vec<Option<HourCounts>>, StoreError> {
        self.within(reader, hours, BUDGET)
    }

    fn within(
        &self,
        reader: &Reader,
        hours: Range<i64>,
        budget: Duration,
    ) -> Result<Vec<Option<HourCounts>>, StoreError> {
        let began = Instant::now();
        let entry = reader.position()?.entry;
        let newest = reader.horizon()?.hour();
        // an hour is put in whole, so that what a panic leaves is good
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() > KEPT {
            held.clear();
        }
        let holds = |hour: i64, counted: &Counted| {
            let age = if hour > newest - 24 { NEW_HOLDS } else { OLD_HOLDS };
            counted.entry == entry || counted.at.elapsed() < age
        };
        let (absent, stale): (Vec<i64>, Vec<i64>) = hours
            .clone()
            .rev()
            .filter(|hour| held.get(hour).is_none_or(|counted| !holds(*hour, counted)))
            .partition(|hour| !held.contains_key(hour));
        for hour in absent.into_iter().chain(stale) {
            if began.elapsed() > budget {
                break;
            }
            held.insert(hour, Counted { counts: reader.hour_counts(hour)?, entry, at: Instant::now() });
        }
        Ok(hours.map(|hour| held.get(&hour).map(|counted| counted.counts.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{ChangeSet, Landed, Meter, Outcome};
    use crate::store::Store;
    use greenstream_core::decode::RowIndex;
    use greenstream_core::{Flags, HOUR, Power, Reading, Standing, Ts};
    use std::sync::Arc;

    /// Commits one upload with one reading in each of these hours.
    fn commit(store: &mut Store, entry: u64, hours: Range<i64>) {
        let upload = u32::try_from(entry).unwrap();
        let reading = |(hour, row_number): (i64, u32)| {
            let reading = Reading {
                ts: Ts::from_micros(hour * HOUR + i64::from(upload)),
                kw: Some(Power::ZERO),
                flags: Flags::NONE,
                upload,
                row_number,
                standing: Standing::Accepted,
            };
            (Meter(1), reading)
        };
        let rows = u32::try_from(hours.end - hours.start).unwrap();
        let landed = Landed {
            upload,
            name: String::new(),
            sha256: String::new(),
            bytes: 0,
            landed_at: Ts::from_micros(0),
            feed: "default".to_owned(),
            time_zone: None,
        };
        let book = crate::change::BookEntry { upload, stored: i64::from(rows), ..Default::default() };
        let set = ChangeSet {
            entry,
            landed: vec![landed],
            meters: if entry == 1 { vec![(Meter(1), "M".to_owned())] } else { vec![] },
            inserted: hours.zip(1..).map(reading).collect(),
            books: vec![book],
            outcome: Some(Outcome {
                upload,
                rows,
                decoded_bytes: 0,
                index: RowIndex::default(),
                days: None,
                dead: None,
            }),
            ..ChangeSet::default()
        };
        store.commit(&[Arc::new(set)]).unwrap();
    }

    fn stored(counts: &[Option<HourCounts>]) -> Vec<Option<u64>> {
        counts.iter().map(|counts| counts.as_ref().map(|counts| counts.stored)).collect()
    }

    #[test]
    fn a_request_counts_from_the_newest_hour_until_its_time_is_up_and_the_next_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("greenstream.db");
        let mut store = Store::open(&path).unwrap();
        commit(&mut store, 1, 0..3);
        let (reader, hours) = (Store::reader(&path).unwrap(), Hours::default());
        assert_eq!(stored(&hours.within(&reader, 0..3, Duration::ZERO).unwrap()), [None; 3]);
        assert_eq!(stored(&hours.of(&reader, 1..3).unwrap()), [Some(1); 2]);
        assert_eq!(stored(&hours.within(&reader, 0..3, Duration::ZERO).unwrap()), [None, Some(1), Some(1)]);
        assert_eq!(stored(&hours.of(&reader, -1..4).unwrap()), [Some(0), Some(1), Some(1), Some(1), Some(0)]);
    }

    #[test]
    fn counts_hold_for_a_while_and_are_taken_anew_after_it_if_anything_was_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("greenstream.db");
        let mut store = Store::open(&path).unwrap();
        commit(&mut store, 1, 0..50);
        let (reader, hours) = (Store::reader(&path).unwrap(), Hours::default());
        let of = |hours: &Hours| {
            let counts = stored(&hours.of(&reader, 0..50).unwrap());
            [counts[0].unwrap(), counts[49].unwrap()]
        };
        let age = |hours: &Hours, by: Duration| {
            hours.0.lock().unwrap().values_mut().for_each(|counted| counted.at -= by);
        };
        assert_eq!(of(&hours), [1, 1]);
        commit(&mut store, 2, 0..50);
        assert_eq!(of(&hours), [1, 1], "new, and therefore not counted again");
        age(&hours, NEW_HOLDS);
        assert_eq!(of(&hours), [1, 2], "the newest day first");
        age(&hours, OLD_HOLDS);
        assert_eq!(of(&hours), [2, 2]);
    }
}
