//! What completeness measures by: when each meter began, how far its feed has come, when uploads landed.

use std::ops::{Deref, RangeInclusive};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use greenstream_core::{HOUR, Reading, Ts, Zone};
use rustc_hash::FxHashMap;

use super::landings::Landings;
use super::{MeterDay, day, reached, rules};
use crate::change::Meter;
use crate::config::Rules;
use crate::store::{Database, Reader, Store, StoreError};

/// Meter days that are held at once to bring them into order: about 200 MB.
const HELD: usize = 2_000_000;

/// Days before the newest of a feed that are counted, ten years: one reading from a clock that was reset
/// must not make every day since then a day of its meter.
const DAYS_MAX: i32 = 3_660;

/// Fewer meters than this are not worth a thread.
const METERS_MIN: usize = 2_000;
/// Meter days sent from thread to thread at once.
const BATCH: usize = 1_024;
/// How far back the newest readings of all meters are looked for at once.
const NEAR: i64 = 2 * HOUR;

/// A meter's series, from end to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// The first day with readings, or [`DAYS_MAX`] days ago.
    pub first_day: i32,
    /// The last one.
    pub last_day: i32,
    /// The newest reading.
    pub newest: Ts,
    /// The feed of its upload.
    pub feed: u16,
}

/// A state of the store, ready to be asked about completeness; dereferences to what it knows of the fleet.
pub struct Survey<'r> {
    pub(super) reader: &'r Reader,
    fleet: Arc<Fleet>,
}

/// What all meters are measured by.
pub struct Fleet {
    pub(super) rules: Rules,
    /// Ids by meter number.
    pub(super) names: Vec<String>,
    /// By meter number; none for those without readings.
    extents: Vec<Option<Extent>>,
    pub(super) landings: Landings,
    /// How far each feed has come.
    reached: Vec<Option<Ts>>,
}

impl Deref for Survey<'_> {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl<'r> Survey<'r> {
    /// Looks at every meter's ends. Hold a snapshot where the answers are to be of one state.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read, [`StoreError::Rulebook`] where the
    /// configuration it keeps cannot.
    pub fn of(reader: &'r Reader) -> Result<Survey<'r>, StoreError> {
        let rules = rules(reader)?;
        let names: Vec<String> = reader.meters()?.into_iter().map(|(_, name)| name).collect();
        let landings = Landings::of(reader)?;
        let mut extents = vec![None; names.len()];
        for (meter, first_day, newest) in newest_readings(reader, &rules.zone)? {
            let (last_day, feed) =
                (rules.zone.day(newest.ts), landings.feed(newest.upload).unwrap_or_default());
            if let Some(place) = extents.get_mut(meter.0 as usize) {
                *place = Some(Extent { first_day, last_day, newest: newest.ts, feed });
            }
        }
        let reached = (0..landings.feeds.len())
            .map(|feed| {
                let of_feed = extents.iter().flatten().filter(|extent| usize::from(extent.feed) == feed);
                reached(&mut of_feed.map(|extent| extent.newest).collect::<Vec<_>>())
            })
            .collect();
        let mut fleet = Fleet { rules, names, extents, landings, reached };
        for at in 0..fleet.extents.len() {
            if let Some(extent) = fleet.extents[at] {
                let first = fleet.zone().day(fleet.until(&extent)).saturating_sub(DAYS_MAX);
                let first_day = extent.first_day.max(first);
                fleet.extents[at] = Some(Extent { first_day, ..extent });
            }
        }
        Ok(Survey { reader, fleet: Arc::new(fleet) })
    }

    /// Counts the days of `meters` (sorted by number), in no order; days on which nothing is expected are
    /// left out. Many meters are shared out among threads with a reader of their own each: while the
    /// service runs, meters may then be counted at states some commits apart.
    ///
    /// # Errors
    /// `sink`'s own, and [`StoreError::Sqlite`] where the database cannot be read.
    pub fn count<E: From<StoreError>>(
        &self,
        meters: &[Meter],
        days: RangeInclusive<i32>,
        sink: &mut dyn FnMut(MeterDay) -> Result<(), E>,
    ) -> Result<(), E> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let part = meters.len().div_ceil(threads).max(METERS_MIN);
        if meters.len() <= part {
            return day::count(self, meters, days, sink);
        }
        let (send, receive) = sync_channel::<Vec<MeterDay>>(2 * threads);
        std::thread::scope(|scope| {
            let workers: Vec<_> = meters
                .chunks(part)
                .map(|part| {
                    let (fleet, place) = (Arc::clone(&self.fleet), self.reader.database().clone());
                    let (days, send) = (days.clone(), send.clone());
                    scope.spawn(move || count_part(fleet, &place, part, days, &send))
                })
                .collect();
            drop(send);
            // on an error the receiver goes, and with it the workers' reason to go on
            receive.into_iter().flatten().try_for_each(sink)?;
            for worker in workers {
                worker.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))?;
            }
            Ok(())
        })
    }

    /// The same in the order of the dataset: by meter id and day.
    ///
    /// # Errors
    /// As [`Survey::count`].
    pub fn in_order<E: From<StoreError>>(
        &self,
        mut meters: Vec<Meter>,
        days: &RangeInclusive<i32>,
        sink: &mut dyn FnMut(MeterDay) -> Result<(), E>,
    ) -> Result<(), E> {
        meters.sort_unstable_by(|a, b| self.meter(*a).cmp(self.meter(*b)));
        let length = |meter: &Meter| {
            let first = self.extent(*meter).map_or(*days.end(), |extent| extent.first_day.max(*days.start()));
            usize::try_from(days.end().saturating_sub(first)).unwrap_or(0) + 1
        };
        let mut rest = meters.as_slice();
        while !rest.is_empty() {
            let mut held = 0;
            let fits = rest.iter().take_while(|meter| {
                held += length(meter);
                held <= HELD
            });
            let (part, after) = rest.split_at(fits.count().max(1));
            rest = after;
            let mut numbers = part.to_vec();
            numbers.sort_unstable();
            let mut held: Vec<MeterDay> = Vec::new();
            self.count::<E>(&numbers, days.clone(), &mut |row| {
                held.push(row);
                Ok(())
            })?;
            held.sort_unstable_by(|a, b| (self.meter(a.meter), a.day).cmp(&(self.meter(b.meter), b.day)));
            held.into_iter().try_for_each(&mut *sink)?;
        }
        Ok(())
    }
}

impl Fleet {
    /// The zone whose days are counted.
    pub fn zone(&self) -> &Zone {
        &self.rules.zone
    }

    /// The id of a meter.
    pub fn meter(&self, meter: Meter) -> &str {
        self.names.get(meter.0 as usize).map_or("", String::as_str)
    }

    /// The name of a feed.
    pub fn feed(&self, feed: u16) -> &str {
        self.landings.feeds.get(usize::from(feed)).map_or("", String::as_str)
    }

    /// The feeder of a meter on a day, as the registry has it; empty where it has none.
    pub fn feeder(&self, meter: Meter, day: i32) -> &str {
        let registered = self.rules.meters.get(self.meter(meter));
        let facts = registered.and_then(|registered| registered.facts_at(self.zone().day_bounds(day).0));
        facts.and_then(|facts| facts.feeder.as_deref()).unwrap_or_default()
    }

    /// The ends of a meter's series; none without readings.
    pub(super) fn extent(&self, meter: Meter) -> Option<Extent> {
        self.extents.get(meter.0 as usize).copied().flatten()
    }

    /// How far a feed has come: the newest instant that one in a hundred of its meters has reached.
    pub(super) fn reached(&self, feed: u16) -> Option<Ts> {
        self.reached.get(usize::from(feed)).copied().flatten()
    }

    /// The last instant at which a reading of a meter is expected.
    pub(super) fn until(&self, extent: &Extent) -> Ts {
        self.reached(extent.feed).map_or(extent.newest, |reached| reached.max(extent.newest))
    }

    /// The newest day that a feed has come to; none where there are no readings.
    pub fn newest_day(&self) -> Option<i32> {
        self.reached.iter().flatten().max().map(|ts| self.zone().day(*ts))
    }

    /// The days on which anything is expected that overlap `from <= ts < to`; none where there are none.
    pub fn days(&self, from: Option<Ts>, to: Option<Ts>) -> Option<RangeInclusive<i32>> {
        let mut first = self.extents.iter().flatten().map(|extent| extent.first_day).min()?;
        let newest = self.extents.iter().flatten().map(|extent| self.until(extent)).max()?;
        let mut last = self.zone().day(newest);
        if let Some(from) = from {
            first = first.max(self.zone().day(from));
        }
        if let Some(to) = to {
            last = last.min(self.zone().day(to.plus(-1)));
        }
        (first <= last).then_some(first..=last)
    }

    /// Every meter that has readings, or that with this id, by number.
    pub fn meters_of(&self, id: Option<&str>) -> Vec<Meter> {
        let known = self.extents.iter().zip(0..).filter(|(extent, _)| extent.is_some());
        let wanted = |meter: &Meter| id.is_none_or(|id| self.meter(*meter) == id);
        known.map(|(_, number)| Meter(number)).filter(wanted).collect()
    }
}

/// One thread's share of the meters, sent in batches.
fn count_part(
    fleet: Arc<Fleet>,
    place: &Database,
    meters: &[Meter],
    days: RangeInclusive<i32>,
    send: &SyncSender<Vec<MeterDay>>,
) -> Result<(), StoreError> {
    let reader = Store::reader(place)?;
    let snapshot = reader.snapshot()?;
    let survey = Survey { reader: &snapshot, fleet };
    let mut batch = Vec::with_capacity(BATCH);
    let counted = day::count(&survey, meters, days, &mut |row| {
        batch.push(row);
        if batch.len() < BATCH {
            return Ok(());
        }
        send.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).map_err(|_| Ended::Unheard)
    });
    match counted {
        Ok(()) => {
            let _ = send.send(batch);
            Ok(())
        }
        Err(Ended::Unheard) => Ok(()),
        Err(Ended::Store(error)) => Err(error),
    }
}

/// Why a share was not counted to its end.
enum Ended {
    /// Nobody listens any more.
    Unheard,
    Store(StoreError),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Ended {
        Ended::Store(error)
    }
}

/// Each meter that has readings, with the first day on which it has, and its newest reading. Meters that
/// are up to date cost one pass over the last hours, the others a seek each.
pub(super) fn newest_readings(
    reader: &Reader,
    zone: &Zone,
) -> Result<Vec<(Meter, i32, Reading)>, StoreError> {
    let extents = reader.day_extents()?;
    let meters: Vec<Meter> = extents.iter().map(|(meter, _, _)| *meter).collect();
    let horizon = reader.horizon()?;
    let mut newest: FxHashMap<Meter, Reading> = FxHashMap::default();
    reader.load(&meters, horizon.plus(-NEAR), horizon, |meter, reading| {
        newest.insert(meter, reading);
    })?;
    let mut found = Vec::with_capacity(extents.len());
    for (meter, first_day, last_day) in extents {
        let (from, to) = zone.day_bounds(last_day);
        let reading = match newest.remove(&meter) {
            Some(reading) => Some(reading),
            None => reader.newest_reading(meter, from, to)?,
        };
        found.extend(reading.map(|reading| (meter, first_day, reading)));
    }
    Ok(found)
}
