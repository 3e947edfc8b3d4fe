//! The timestamp of a row: what is written, read by the feed's zone.

use super::plan::{ClockPlan, ZonePlan};
use super::time::{DateMemo, FIRST, LAST, Stamp};
use super::zone::{Local, Stretches, Zone};
use crate::{Flag, Flags, Reason, Ts};

/// When a row is.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    /// The instant; the earlier of two.
    pub(crate) ts: Ts,
    /// From the earlier instant to the later one in microseconds; 0 where there is one only.
    pub(crate) shift: i64,
    /// Whether it comes from a wall time in a local zone.
    pub(crate) is_wall: bool,
    pub(crate) flags: Flags,
}

impl Moment {
    /// The one instant of a repeated wall time, where it is known whether that is summer's: the earlier
    /// of the two is.
    pub(crate) fn in_season(self, is_summer: bool) -> Moment {
        let later = if is_summer { 0 } else { self.shift };
        Moment { ts: self.ts.plus(later), shift: 0, ..self }
    }
}

/// What reading timestamps has learnt from those before.
pub(crate) struct Clock {
    date: DateMemo,
    stretches: Stretches,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { date: DateMemo::default(), stretches: Stretches::new() }
    }

    /// Reads a timestamp (trimmed): the start of the row's interval.
    ///
    /// # Errors
    /// `timestamp_invalid`, `timestamp_no_zone` or `timestamp_nonexistent`.
    #[inline]
    pub(crate) fn read(&mut self, text: &[u8], plan: &ClockPlan) -> Result<Moment, Reason> {
        let stamp = self.stamp(text, plan);
        self.moment(stamp, plan)
    }

    /// What a timestamp says; none where it has none of the feed's forms.
    #[inline]
    pub(crate) fn stamp(&mut self, text: &[u8], plan: &ClockPlan) -> Option<Stamp> {
        match &plan.format {
            None => self.date.parse(text),
            Some(format) => format.parse(text),
        }
    }

    /// The start of the interval that a timestamp names.
    #[inline]
    pub(crate) fn moment(&mut self, stamp: Option<Stamp>, plan: &ClockPlan) -> Result<Moment, Reason> {
        let start = |micros: i64| Ts::from_micros(micros - plan.label);
        let stamp = match stamp {
            Some(Stamp::Instant { micros, shifted }) => {
                Some(Stamp::Instant { micros: micros.saturating_sub(plan.wall_label), shifted })
            }
            Some(Stamp::Wall(wall)) => Some(Stamp::Wall(wall.saturating_sub(plan.wall_label))),
            None => None,
        };
        let plain = |micros, flags| Moment { ts: start(micros), shift: 0, is_wall: false, flags };
        match stamp {
            None => Err(Reason::TimestampInvalid),
            Some(Stamp::Instant { micros, .. } | Stamp::Wall(micros))
                if micros - plan.label < FIRST || micros > LAST =>
            {
                Err(Reason::TimestampInvalid)
            }
            Some(Stamp::Instant { micros, shifted }) => {
                Ok(plain(micros, Flags::NONE.set(Flag::UtcNormalized, shifted)))
            }
            Some(Stamp::Wall(wall)) => match &plan.zone {
                ZonePlan::Unknown => Err(Reason::TimestampNoZone),
                ZonePlan::Utc => Ok(plain(wall, Flags::NONE)),
                ZonePlan::Local(zone) => {
                    let flags = Flags::NONE.with(Flag::UtcNormalized);
                    let (first, last, flags) = match Clock::local(zone, wall, plan, &mut self.stretches) {
                        Local::Once(at) => (at, at, flags),
                        Local::Twice(first, last) => (first, last, flags.with(Flag::DstResolved)),
                        Local::Never => return Err(Reason::TimestampNonexistent),
                    };
                    if first - plan.label < FIRST || last > LAST {
                        return Err(Reason::TimestampInvalid);
                    }
                    Ok(Moment { shift: last - first, is_wall: true, ..plain(first, flags) })
                }
            },
        }
    }

    /// The instants of a wall time. An interval that is over as the clocks go forward may be labelled
    /// with the time that they skip: then it is the instant of the change.
    #[inline]
    fn local(zone: &Zone, wall: i64, plan: &ClockPlan, seen: &mut Stretches) -> Local {
        match zone.instants(wall, seen) {
            Local::Never if plan.label != 0 => match zone.instants(wall - 1, seen) {
                Local::Once(at) => Local::Once(at + 1),
                _ => Local::Never,
            },
            found => found,
        }
    }
}
