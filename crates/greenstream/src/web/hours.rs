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
