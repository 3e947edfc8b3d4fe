//! Brings each meter's window to where its rows land, wide enough for an exact judgement.

use greenstream_core::rules::{Known, Need, need};
use greenstream_core::{DAY, Ts};
use rustc_hash::FxHashMap;

use super::error::ProcessError;
use super::judging::{Grouped, Judging};
use crate::change::Meter;

/// A window further away from the rows than this is given up rather than joined: loading what lies
/// between would cost more than loading the window again when rows land there.
const JOIN_MAX: i64 = 3 * DAY;

/// Meters asked for in one query: what they hold is in memory twice for a moment.
const AT_ONCE: usize = 8_192;

/// What the store is asked for: readings of some meters over one range.
type Asked = FxHashMap<(Ts, Ts), Vec<Meter>>;

impl Judging {
    /// Widens the windows of all meters of `grouped`. In-order uploads ask the store for nothing.
    pub(super) fn bring_context(&mut self, grouped: &Grouped) -> Result<(), ProcessError> {
        let mut wanting: Vec<(Meter, (Ts, Ts))> = Vec::new();
        for (meter, range) in &grouped.meters {
            let rows = &grouped.rows[range.clone()];
            // amended readings come before those whose register tells them
            let amended = grouped.amendments.get(meter).and_then(|amended| amended.first()).map(|a| a.ts);
            let first = rows.iter().map(|row| row.ts).chain(amended).min();
            let Some(span) = first.zip(rows.iter().map(|row| row.ts).max()) else { continue };
            if self.lacks(*meter, span).is_some() {
                wanting.push((*meter, span));
            }
        }
        self.widen_all(wanting)
    }

    /// Widens windows until each is wide enough for its span.
    pub(super) fn widen_all(&mut self, mut wanting: Vec<(Meter, (Ts, Ts))>) -> Result<(), ProcessError> {
        while !wanting.is_empty() {
            let mut asked = Asked::default();
            for (meter, span) in &wanting {
                let Some(need) = self.lacks(*meter, *span) else { continue };
                for range in self.missing(*meter, &need)? {
                    asked.entry(range).or_default().push(*meter);
                }
            }
            self.answer(asked)?;
            wanting.retain(|(meter, span)| self.lacks(*meter, *span).is_some());
        }
        Ok(())
    }

    /// What the window of `meter` lacks for judging `span`: the rules' need, and whole days of the
    /// reporting zone, whose states are told too. A window too far away is given up.
    fn lacks(&mut self, meter: Meter, span: (Ts, Ts)) -> Option<Need> {
        let (known, follows_live) = self.windows.known(meter, span.0);
        if known == Known::ALL {
            return None;
        }
        let zone = &self.rules.zone;
        let (day_from, day_to) = (zone.day_bounds(zone.day(span.0)).0, zone.day_bounds(zone.day(span.1)).1);
        // nearly every meter of an upload in order, without a look at its readings
        if follows_live && known.from <= day_from.min(span.0.plus(-DAY)) && known.to == Ts::MAX {
            return None;
        }
        let window = self.windows.get(meter);
        if window.is_unknown() || known.from > span.1.plus(JOIN_MAX) || known.to < span.0.plus(-JOIN_MAX) {
            window.give_up(span.0);
        }
        let known = window.known;
        let (from, to) = (day_from.min(known.from), day_to.max(known.to));
        if (from, to) != (known.from, known.to) {
            let (from, to) = (from.min(span.0.plus(-DAY)), to.max(span.1.plus(DAY)));
            return Some(Need { from, to, measured_before: false, measured_after: false });
        }
        need(&window.rows, span, known)
    }

    /// Loads all ranges asked for and joins them to the windows.
    fn answer(&mut self, asked: Asked) -> Result<(), ProcessError> {
        let horizon = self.past.horizon()?;
        let mut asked: Vec<_> = asked.into_iter().collect();
        asked.sort_unstable_by_key(|(range, _)| *range);
        for ((from, to), mut meters) in asked {
            meters.sort_unstable();
            // beyond the horizon there is nothing: known without asking for each meter
            let known = Known { from, to: if to >= horizon { Ts::MAX } else { to } };
            if meters.iter().all(|meter| self.windows.is_unknown(*meter)) {
                let windows = &mut self.windows;
                let mut put = |meter, reading| windows.push(meter, reading);
                if self.past.stream(&meters, from, to, &mut put)? {
                    for meter in &meters {
                        self.windows.get(*meter).known = known;
                    }
                    continue;
                }
            }
            for meters in meters.chunks(AT_ONCE) {
                let found = self.past.load(meters, from, to)?;
                let mut rest = found.as_slice();
                for meter in meters {
                    let (own, others) = rest.split_at(rest.partition_point(|(m, _)| m <= meter));
                    let own = own.iter().map(|(_, reading)| *reading);
                    self.windows.get(*meter).join(own, known.from, known.to);
                    rest = others;
                }
            }
        }
        Ok(())
    }

    /// The ranges that the window of `meter` does not know of what `need` asks for: before what it
    /// knows, after it, or both.
    fn missing(&mut self, meter: Meter, need: &Need) -> Result<Vec<(Ts, Ts)>, ProcessError> {
        let known = self.windows.get(meter).known;
        let (mut from, mut to) = (need.from, need.to);
        if need.measured_before {
            from = self.past.measured_before(meter, from)?.map_or(Ts::MIN, |reading| reading.ts);
        }
        if need.measured_after {
            to = self.past.measured_after(meter, to)?.map_or(Ts::MAX, |reading| reading.ts.plus(1));
        }
        if known.from >= known.to {
            return Ok(vec![(from, to)]);
        }
        let mut ranges = Vec::new();
        if from < known.from {
            ranges.push((from, known.from));
        }
        if to > known.to {
            ranges.push((known.to, to));
        }
        Ok(ranges)
    }
}
