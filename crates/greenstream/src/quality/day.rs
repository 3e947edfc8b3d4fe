//! Days counted one after the other: the readings of a day, then meter by meter.

use std::ops::RangeInclusive;

use greenstream_core::Ts;
use greenstream_core::quality::{Seen, Span, count as count_day};
use rustc_hash::FxHashMap;

use super::learn::{Learner, seen};
use super::survey::{Extent, Survey};
use super::{MeterDay, registered};
use crate::change::Meter;
use crate::store::StoreError;

/// Where more than one meter in this many needs the day before to know its interval, that day is read for
/// all of them at once: in the first minutes of a day no meter has told its interval yet.
const LOOK_BACK_SHARE: usize = 16;

/// Counts days for [`Survey::count`].
pub(super) fn count<E: From<StoreError>>(
    survey: &Survey<'_>,
    meters: &[Meter],
    days: RangeInclusive<i32>,
    sink: &mut dyn FnMut(MeterDay) -> Result<(), E>,
) -> Result<(), E> {
    let mut learner = Learner::new(survey.reader, survey.zone());
    let mut feeds: FxHashMap<Meter, u16> = FxHashMap::default();
    let mut due = Due::new(survey, meters);
    let mut readings: Vec<Vec<Seen>> = Vec::new();
    let first = due.first_day().map_or(*days.end(), |first| first.max(*days.start()));
    for day in first..=*days.end() {
        let bounds = survey.zone().day_bounds(day);
        let meters = due.on(survey, day, bounds.0);
        readings.resize(meters.len(), Vec::new());
        load(survey, meters, bounds, &mut readings)?;
        if day == first {
            prepare(survey, &mut learner, meters, day, &readings)?;
        }
        for (meter, of_day) in meters.iter().zip(&readings) {
            let Some(extent) = survey.extent(*meter) else { continue };
            if let Some(last) = of_day.last() {
                feeds.insert(*meter, survey.landings.feed(last.upload).unwrap_or(extent.feed));
            }
            let span = span(survey, &mut learner, *meter, &extent, day, bounds, of_day)?;
            let counts = count_day(&span, of_day, |upload| survey.landings.landed_at(upload));
            if counts.expected == 0 {
                continue;
            }
            let feed = match feeds.get(meter) {
                Some(feed) => *feed,
                None => *feeds.entry(*meter).or_insert(feed_before(survey, *meter, &extent, day)?),
            };
            sink(MeterDay { meter: *meter, day, feed, interval: span.interval, counts })?;
        }
    }
    Ok(())
}

/// The meters of which anything is expected, from day to day: a single reading of the year 1 must not
/// cost more than its own meter's days.
struct Due {
    /// Those to come, with their first days, the latest first.
    to_come: Vec<(i32, Meter)>,
    /// Sorted.
    now: Vec<Meter>,
}

impl Due {
    fn new(survey: &Survey<'_>, meters: &[Meter]) -> Due {
        let first = |meter: &Meter| Some((survey.extent(*meter)?.first_day, *meter));
        let mut to_come: Vec<(i32, Meter)> = meters.iter().filter_map(first).collect();
        to_come.sort_unstable_by(|a, b| b.cmp(a));
        Due { to_come, now: Vec::new() }
    }

    /// The first day of any of them.
    fn first_day(&self) -> Option<i32> {
        self.to_come.last().map(|(first, _)| *first)
    }

    fn on(&mut self, survey: &Survey<'_>, day: i32, begin: Ts) -> &[Meter] {
        let before = self.now.len();
        while let Some((_, meter)) = self.to_come.pop_if(|(first, _)| *first <= day) {
            self.now.push(meter);
        }
        if self.now.len() > before {
            self.now.sort_unstable();
        }
        self.now.retain(|meter| survey.extent(*meter).is_some_and(|extent| survey.until(&extent) >= begin));
        &self.now
    }
}

/// Reads a day's readings of each meter.
fn load(
    survey: &Survey<'_>,
    meters: &[Meter],
    (from, to): (Ts, Ts),
    readings: &mut [Vec<Seen>],
) -> Result<(), StoreError> {
    readings.iter_mut().for_each(Vec::clear);
    let mut place = 0;
    survey.reader.load(meters, from, to, |meter, reading| {
        // meters ascend within an hour, and begin again with the next
        if meters.get(place) != Some(&meter) {
            let next = place + 1;
            place = if meters.get(next) == Some(&meter) {
                next
            } else {
                meters.binary_search(&meter).unwrap_or(place)
            };
        }
        readings[place].push(seen(&reading));
    })
}

/// What of a day is expected of a meter that is due.
fn span(
    survey: &Survey<'_>,
    learner: &mut Learner<'_>,
    meter: Meter,
    extent: &Extent,
    day: i32,
    bounds: (Ts, Ts),
    of_day: &[Seen],
) -> Result<Span, StoreError> {
    let until = survey.until(extent);
    // learned in any case: the learner follows the days
    let learned = learner.interval(meter, day, of_day)?;
    let interval = registered(&survey.rules, survey.meter(meter), bounds.0).or(learned);
    let until = (until < bounds.1).then_some(until);
    Ok(Span { bounds, is_first: day == extent.first_day, until, interval })
}

/// Tells the learner the day before the first one, where many meters need it.
fn prepare(
    survey: &Survey<'_>,
    learner: &mut Learner<'_>,
    meters: &[Meter],
    day: i32,
    readings: &[Vec<Seen>],
) -> Result<(), StoreError> {
    let unready = |(meter, seen): &(&Meter, &Vec<Seen>)| !learner.is_ready(**meter, seen);
    let wanted: Vec<Meter> = meters.iter().zip(readings).filter(unready).map(|(meter, _)| *meter).collect();
    if wanted.len() * LOOK_BACK_SHARE <= survey.names.len() {
        return Ok(());
    }
    let mut before = vec![Vec::new(); wanted.len()];
    load(survey, &wanted, survey.zone().day_bounds(day - 1), &mut before)?;
    for (meter, seen) in wanted.into_iter().zip(&before) {
        learner.note(meter, seen);
    }
    Ok(())
}

/// The feed of a meter's last reading before a day on which it has none.
fn feed_before(survey: &Survey<'_>, meter: Meter, extent: &Extent, day: i32) -> Result<u16, StoreError> {
    if extent.last_day < day {
        return Ok(extent.feed);
    }
    let Some(last) = survey.reader.latest_days(meter, day, 1)?.first().copied() else {
        return Ok(extent.feed);
    };
    let (from, to) = survey.zone().day_bounds(last);
    let newest = survey.reader.newest_reading(meter, from, to)?;
    Ok(newest.and_then(|reading| survey.landings.feed(reading.upload)).unwrap_or(extent.feed))
}
