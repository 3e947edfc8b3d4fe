//! Completeness and silence over all readings, in the words of `docs/quality.md`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan;
use jiff::civil::date;
use jiff::tz::TimeZone;

use crate::entry::Configuration;
use crate::reading::{Reading, Reason};
use crate::time::{DAY, MINUTE, SECOND, day_of, instant_text, zone};

/// All readings by meter, sorted by time. All meters are of one feed.
pub(crate) type Series<'a> = BTreeMap<&'a str, &'a [Reading]>;

/// Days without readings of a meter while its feed went on.
pub(crate) struct Silent {
    pub(crate) meter: String,
    pub(crate) first_ts: i64,
    pub(crate) last_ts: i64,
    pub(crate) is_confirmed: bool,
}

/// What all questions here begin with.
struct Fleet<'a> {
    series: &'a Series<'a>,
    configuration: &'a Configuration,
    zone: TimeZone,
}

/// Every silent episode.
pub(crate) fn silent(series: &Series<'_>, configuration: &Configuration) -> Vec<Silent> {
    let Some(fleet) = Fleet::of(series, configuration) else { return Vec::new() };
    let enough = series.len().div_ceil(100);
    let mut meters_of_day: BTreeMap<i64, usize> = BTreeMap::new();
    for readings in series.values() {
        for day in fleet.days(readings) {
            *meters_of_day.entry(day).or_default() += 1;
        }
    }
    meters_of_day.retain(|_, meters| *meters >= enough);
    let newest_day = meters_of_day.keys().max().copied();
    let mut found = Vec::new();
    for (meter, readings) in series {
        for (index, last) in readings.iter().enumerate() {
            let next = readings.get(index + 1).map(|next| next.ts);
            let Some(end) = next.or(newest_day.map(|day| fleet.start(day))) else { continue };
            let first_ts =
                last.ts + fleet.interval(meter, day_of(last.ts, &fleet.zone), last.ts).unwrap_or(DAY);
            let is_silent = |day: &&i64| {
                day_of(last.ts, &fleet.zone) < **day
                    && **day < day_of(end, &fleet.zone)
                    && first_ts <= fleet.start(**day)
            };
            let days = meters_of_day.keys().filter(is_silent).count();
            if days > 0 {
                let meter = (*meter).to_owned();
                found.push(Silent { meter, first_ts, last_ts: end, is_confirmed: days > 3 });
            }
        }
    }
    found
}

/// Every row of the dataset `quality`. `landed_at` tells when an upload landed.
pub(crate) fn quality(
    series: &Series<'_>,
    configuration: &Configuration,
    landed_at: &dyn Fn(u32) -> i64,
) -> Vec<Vec<String>> {
    let Some(fleet) = Fleet::of(series, configuration) else { return Vec::new() };
    let mut newest: Vec<i64> =
        series.values().filter_map(|readings| readings.last()).map(|last| last.ts).collect();
    newest.sort_unstable();
    let reached = newest.iter().rev().nth(series.len().div_ceil(100).saturating_sub(1));
    let mut rows = Vec::new();
    for (meter, readings) in series {
        let (Some(first), Some(last)) = (readings.first(), readings.last()) else { continue };
        let until = last.ts.max(reached.copied().unwrap_or(last.ts));
        for day in day_of(first.ts, &fleet.zone)..=day_of(until, &fleet.zone) {
            let interval = fleet.interval(meter, day, fleet.start(day));
            let counts = fleet.counts(readings, day, interval, until, landed_at);
            if counts[0] > 0 {
                let interval = interval.map(|interval| (interval / SECOND).to_string());
                let day = instant_text(day * DAY)[..10].to_owned();
                let mut row = vec![(*meter).to_owned(), day, String::new(), "default".to_owned()];
                row.push(interval.unwrap_or_default());
                row.extend(counts.map(|count| count.to_string()));
                rows.push(row);
            }
        }
    }
    rows
}

impl Fleet<'_> {
    fn of<'a>(series: &'a Series<'a>, configuration: &'a Configuration) -> Option<Fleet<'a>> {
        Some(Fleet { series, configuration, zone: zone(&configuration.reporting_zone)? })
    }

    /// The first instant of a day.
    fn start(&self, day: i64) -> i64 {
        let day = date(1970, 1, 1).saturating_add(day.days());
        day.to_zoned(self.zone.clone()).map_or(0, |start| start.timestamp().as_microsecond())
    }

    fn days(&self, readings: &[Reading]) -> BTreeSet<i64> {
        readings.iter().map(|reading| day_of(reading.ts, &self.zone)).collect()
    }

    fn of_day<'r>(&self, readings: &'r [Reading], day: i64) -> Vec<&'r Reading> {
        readings.iter().filter(|reading| day_of(reading.ts, &self.zone) == day).collect()
    }

    /// The registry's interval at `at`, else the one learned for `day`.
    fn interval(&self, meter: &str, day: i64, at: i64) -> Option<i64> {
        let named = self.configuration.registry.iter().filter(|row| {
            row.meter == meter && row.interval.is_some() && row.valid_from.is_none_or(|from| from <= at)
        });
        let named = named.max_by_key(|row| row.valid_from).and_then(|row| row.interval);
        named.or_else(|| self.learned(self.series.get(meter)?, day))
    }

    /// Of the last eight days with readings, the nearest that says it plainly; else the commonest of all.
    fn learned(&self, readings: &[Reading], day: i64) -> Option<i64> {
        let mut days: Vec<i64> = self.days(readings).into_iter().filter(|known| *known <= day).collect();
        days = days.split_off(days.len().saturating_sub(8));
        let plain = |day: &i64| {
            let steps = steps(&self.of_day(readings, *day));
            let (step, count) = commonest(&steps)?;
            (count >= 3 && 2 * count > steps.len()).then_some(step)
        };
        let all: Vec<&Reading> = days.iter().flat_map(|day| self.of_day(readings, *day)).collect();
        days.iter().rev().find_map(plain).or_else(|| Some(commonest(&steps(&all))?.0))
    }

    /// expected, present, absent, trusted, filled, missing, quarantined, late, extra
    fn counts(
        &self,
        readings: &[Reading],
        day: i64,
        interval: Option<i64>,
        until: i64,
        landed_at: &dyn Fn(u32) -> i64,
    ) -> [usize; 9] {
        let (start, end) = (self.start(day), self.start(day + 1));
        let of_day = self.of_day(readings, day);
        let length = interval.unwrap_or(0);
        let (expected, held) = match interval.filter(|interval| *interval <= DAY) {
            None => (of_day.len(), of_day.iter().map(|reading| vec![*reading]).collect()),
            Some(interval) => {
                let count = ((2 * (end - start) + interval) / (2 * interval)).max(1);
                let is_in = |slot: i64, ts: i64| {
                    let begin = start + slot * interval - interval / 4;
                    begin <= ts && (ts < begin + interval || slot == count - 1)
                };
                let slots: Vec<Vec<&Reading>> = (0..count)
                    .map(|slot| of_day.iter().filter(|r| is_in(slot, r.ts)).copied().collect())
                    .collect();
                let is_first_day = readings.first().is_some_and(|first| start <= first.ts);
                let first = slots.iter().position(|slot| !slot.is_empty()).filter(|_| is_first_day);
                let last = slots.iter().rposition(|slot| !slot.is_empty()).map_or(0, |last| last + 1);
                let begun = (0..count).filter(|slot| start + slot * interval <= until).count();
                let to = if until < end { begun.max(last) } else { slots.len() };
                (to - first.unwrap_or(0), slots.into_iter().filter(|slot| !slot.is_empty()).collect())
            }
        };
        let held: Vec<Vec<&Reading>> = held;
        let number = |is: &dyn Fn(&Reading) -> bool| held.iter().filter(|slot| is(slot[0])).count();
        let late = |r: &Reading| landed_at(r.row.upload) - (r.ts + length) > 2 * DAY;
        [
            expected,
            held.len(),
            expected - held.len(),
            number(&|r| r.is_trusted()),
            number(&|r| r.own.is_none() && r.kw.is_some()),
            number(&|r| r.own.is_none() && r.kw.is_none()),
            number(&|r| r.own.is_some() && r.reason.is_some_and(Reason::is_judged)),
            number(&late),
            of_day.len() - held.len(),
        ]
    }
}

/// From each reading to the next, without the jitter of a clock.
fn steps(readings: &[&Reading]) -> Vec<i64> {
    let step = |pair: &[&Reading]| {
        let step = pair[1].ts - pair[0].ts;
        let unit = if step < 5 * MINUTE { SECOND } else { MINUTE };
        ((2 * step + unit) / (2 * unit) * unit).max(SECOND)
    };
    readings.windows(2).map(step).collect()
}

/// The commonest step and how often it comes; of equally common ones the shortest.
fn commonest(steps: &[i64]) -> Option<(i64, usize)> {
    let count = |step: i64| steps.iter().filter(|other| **other == step).count();
    let most = steps.iter().map(|step| count(*step)).max()?;
    steps.iter().filter(|step| count(**step) == most).min().map(|step| (*step, most))
}
