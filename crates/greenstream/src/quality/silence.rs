//! Silent meters: whole days without any reading, while the feed went on.
//!
//! Derived from the days on which meters have readings, so it is a function of the readings alone: neither
//! the clock nor the order of uploads plays a part. `docs/decisions/0006` says why it is not followed
//! upload by upload.

use greenstream_core::{DAY, Reading, Zone};
use rustc_hash::FxHashMap;

use super::landings::Landings;
use super::learn::{Learner, seen};
use super::survey::newest_readings;
use super::{registered, rules, share};
use crate::change::{Episode, EpisodeKind, Meter, Severity};
use crate::config::Rules;
use crate::store::{Reader, StoreError};

/// Days of silence up to which a fault is only suspected, as with rule 4's zero days.
const SUSPECTED_MAX: usize = 3;

/// The silent episodes of a state of the store, and the ids of their meters.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Silence {
    /// By meter number and first instant.
    pub episodes: Vec<Episode>,
    /// The ids of all meters by number.
    pub names: Vec<String>,
}

/// Days without readings after one with them.
struct Gap {
    meter: Meter,
    /// The last day with readings.
    last: i32,
    /// The next one; the newest day of the feed where there is none.
    next: i32,
    closed: bool,
}

/// All silent episodes. Reads the table of meters' days once, and readings only of meters with gaps.
///
/// # Errors
/// [`StoreError::Sqlite`] where the database cannot be read, [`StoreError::Rulebook`] where the
/// configuration it keeps cannot.
pub fn silence(reader: &Reader) -> Result<Silence, StoreError> {
    let rules = rules(reader)?;
    let names: Vec<String> = reader.meters()?.into_iter().map(|(_, name)| name).collect();
    let feeds = Feeds::of(reader, &rules.zone)?;
    let mut days = FeedDays::default();
    let mut gaps = Vec::new();
    let mut last_days: Vec<(Meter, i32)> = Vec::new();
    reader.each_day(|meter, day| {
        days.add(feeds.get(meter), day);
        match last_days.last_mut() {
            Some((same, last)) if *same == meter => {
                if *last + 1 < day {
                    gaps.push(Gap { meter, last: *last, next: day, closed: true });
                }
                *last = day;
            }
            _ => {
                days.meet(feeds.get(meter));
                last_days.push((meter, day));
            }
        }
    })?;
    let active = days.active();
    let of_feed = |meter: Meter| active.get(&feeds.get(meter)).map_or(&[][..], Vec::as_slice);
    gaps.extend(last_days.iter().filter_map(|(meter, last)| {
        let next = *of_feed(*meter).last()?;
        (*last + 1 < next).then_some(Gap { meter: *meter, last: *last, next, closed: false })
    }));
    gaps.sort_unstable_by_key(|gap| (gap.meter, gap.last));
    let mut episodes = Vec::new();
    for gap in gaps {
        let days = of_feed(gap.meter);
        let (from, to) =
            (days.partition_point(|day| *day <= gap.last), days.partition_point(|day| *day < gap.next));
        if from < to {
            let name = names.get(gap.meter.0 as usize).map_or("", String::as_str);
            episodes.extend(episode(reader, &rules, name, &gap, &days[from..to])?);
        }
    }
    Ok(Silence { episodes, names })
}

/// The episode of a gap, if a whole day of it is silent, from the end of the last interval on.
fn episode(
    reader: &Reader,
    rules: &Rules,
    name: &str,
    gap: &Gap,
    active: &[i32],
) -> Result<Option<Episode>, StoreError> {
    let of_day = readings(reader, &rules.zone, gap.meter, gap.last)?;
    let Some(last) = of_day.last() else { return Ok(None) };
    let interval = match registered(rules, name, last.ts) {
        Some(interval) => Some(interval),
        None => {
            let seen: Vec<_> = of_day.iter().map(seen).collect();
            Learner::new(reader, &rules.zone).interval(gap.meter, gap.last, &seen)?
        }
    };
    // a meter of one reading ever is taken for one that reports daily
    let first_ts = last.ts.plus(interval.unwrap_or(DAY));
    let silent = active.iter().filter(|day| first_ts <= rules.zone.day_bounds(**day).0);
    let severity = match silent.count() {
        0 => return Ok(None),
        1..=SUSPECTED_MAX => Severity::Suspected,
        _ => Severity::Confirmed,
    };
    let last_ts = if gap.closed {
        readings(reader, &rules.zone, gap.meter, gap.next)?.first().map(|reading| reading.ts)
    } else {
        Some(rules.zone.day_bounds(gap.next).0)
    };
    let (meter, kind, closed) = (gap.meter, EpisodeKind::Silent, gap.closed);
    Ok(last_ts.map(|last_ts| Episode { meter, kind, first_ts, last_ts, severity, closed }))
}

fn readings(reader: &Reader, zone: &Zone, meter: Meter, day: i32) -> Result<Vec<Reading>, StoreError> {
    let (from, to) = zone.day_bounds(day);
    let mut readings = Vec::new();
    reader.load(&[meter], from, to, |_, reading| readings.push(reading))?;
    Ok(readings)
}

/// The feed of each meter: that of the upload of its newest reading. Empty where there is one feed.
struct Feeds(FxHashMap<Meter, u16>);

impl Feeds {
    fn of(reader: &Reader, zone: &Zone) -> Result<Feeds, StoreError> {
        let landings = Landings::of(reader)?;
        let mut feeds = FxHashMap::default();
        if landings.feeds.len() > 1 {
            let newest = newest_readings(reader, zone)?.into_iter();
            let feed =
                |(meter, _, reading): (Meter, i32, Reading)| Some((meter, landings.feed(reading.upload)?));
            feeds.extend(newest.filter_map(feed));
        }
        Ok(Feeds(feeds))
    }

    fn get(&self, meter: Meter) -> u16 {
        self.0.get(&meter).copied().unwrap_or_default()
    }
}

/// How many meters of each feed have readings, in all and on each day.
#[derive(Default)]
struct FeedDays {
    meters: FxHashMap<u16, usize>,
    by_day: FxHashMap<(u16, i32), usize>,
}

impl FeedDays {
    fn meet(&mut self, feed: u16) {
        *self.meters.entry(feed).or_default() += 1;
    }

    fn add(&mut self, feed: u16, day: i32) {
        *self.by_day.entry((feed, day)).or_default() += 1;
    }

    /// The days on which each feed went on, in order: those with readings of at least one in a hundred of
    /// its meters. On others the feed was silent, and not the meter.
    fn active(&self) -> FxHashMap<u16, Vec<i32>> {
        let mut active: FxHashMap<u16, Vec<i32>> = FxHashMap::default();
        for ((feed, day), meters) in &self.by_day {
            if *meters >= share(self.meters.get(feed).copied().unwrap_or_default()) {
                active.entry(*feed).or_default().push(*day);
            }
        }
        active.values_mut().for_each(|days| days.sort_unstable());
        active
    }
}
