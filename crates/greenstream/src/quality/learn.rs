//! The expected interval of a meter on a day, where the registry does not name it: learned from the
//! readings of that day, or of the nearest days before it that say it plainly.

use greenstream_core::quality::{Holds, Seen, commonest_interval, plain_interval};
use greenstream_core::{Reading, Zone};
use rustc_hash::FxHashMap;

use crate::change::Meter;
use crate::store::{Reader, StoreError};

/// Days with readings, the day itself included, that an interval is learned from. More would let
/// a meter that changed its interval long ago be measured by the old one; fewer, and a meter of one
/// reading a day is known by too few steps.
const DAYS: u32 = 8;

/// What is remembered of a meter while days are counted in their order.
#[derive(Clone, Copy)]
struct Known {
    /// What was learned for the last day with readings.
    interval: Option<i64>,
    /// The interval of the nearest day that says it plainly, and how many days with readings ago
    /// that was.
    plain: Option<(i64, u32)>,
}

/// Learns intervals; asked in the order of days it hardly ever has to look back. What it answers does
/// not depend on what it was asked before.
pub(super) struct Learner<'r> {
    reader: &'r Reader,
    zone: &'r Zone,
    known: FxHashMap<Meter, Known>,
}

impl<'r> Learner<'r> {
    pub(super) fn new(reader: &'r Reader, zone: &'r Zone) -> Learner<'r> {
        Learner { reader, zone, known: FxHashMap::default() }
    }

    /// Takes note of the interval that a day's readings say plainly, if they do.
    pub(super) fn note(&mut self, meter: Meter, seen: &[Seen]) -> Option<i64> {
        let interval = plain_interval(seen)?;
        let known = Known { interval: Some(interval), plain: Some((interval, 0)) };
        self.known.insert(meter, known);
        Some(interval)
    }

    /// Whether the interval of this day is known without looking back.
    pub(super) fn is_ready(&self, meter: Meter, seen: &[Seen]) -> bool {
        plain_interval(seen).is_some() || self.known.contains_key(&meter)
    }

    /// The interval of a meter on a day with these readings (all of the day, or none). Days of one
    /// meter must be asked for in their order, none with readings left out once one was asked for.
    ///
    /// It is that of the nearest of the last eight days with readings, this one included, that says
    /// it plainly; else the commonest step within all of them; else none.
    pub(super) fn interval(
        &mut self,
        meter: Meter,
        day: i32,
        seen: &[Seen],
    ) -> Result<Option<i64>, StoreError> {
        if let Some(interval) = self.note(meter, seen) {
            return Ok(Some(interval));
        }
        let before = self.known.get(&meter).copied();
        if seen.is_empty()
            && let Some(known) = before
        {
            return Ok(known.interval);
        }
        let near = before.and_then(|known| known.plain).filter(|(_, ago)| ago + 1 < DAYS);
        let known = match near {
            Some((interval, ago)) => Known { interval: Some(interval), plain: Some((interval, ago + 1)) },
            None => self.look_back(meter, day)?,
        };
        self.known.insert(meter, known);
        Ok(known.interval)
    }

    fn look_back(&self, meter: Meter, day: i32) -> Result<Known, StoreError> {
        let mut all: Vec<Seen> = Vec::new();
        let days = self.reader.latest_days(meter, day, DAYS)?;
        for (day, ago) in days.into_iter().zip(0..) {
            let (from, to) = self.zone.day_bounds(day);
            let mut of_day = Vec::new();
            self.reader.load(&[meter], from, to, |_, reading| of_day.push(seen(&reading)))?;
            if let Some(interval) = plain_interval(&of_day) {
                return Ok(Known { interval: Some(interval), plain: Some((interval, ago)) });
            }
            of_day.append(&mut all);
            all = of_day;
        }
        Ok(Known { interval: commonest_interval(&all), plain: None })
    }
}

/// A reading as completeness sees it.
pub(super) fn seen(reading: &Reading) -> Seen {
    Seen { ts: reading.ts, upload: reading.upload, holds: Holds::of(reading) }
}
