//! The timestamp of a row: what is written, read by the feed's zone.

use super::plan::{ClockPlan, ZonePlan};
use super::time::{DateMemo, FIRST, LAST, Stamp};
use super::zone::{Local, Stretches};
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

/// What reading timestamps has learnt from those before.
pub(crate) struct Clock {
    date: DateMemo,
    stretches: Stretches,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { date: DateMemo::default(), stretches: Stretches::new() }
    }

    /// Reads a timestamp (trimmed).
    ///
    /// # Errors
    /// `timestamp_invalid`, `timestamp_no_zone` or `timestamp_nonexistent`.
    #[inline]
    pub(crate) fn read(&mut self, text: &[u8], plan: &ClockPlan) -> Result<Moment, Reason> {
        let plain = |micros, flags| Moment { ts: Ts::from_micros(micros), shift: 0, is_wall: false, flags };
        match self.date.parse(text) {
            None => Err(Reason::TimestampInvalid),
            Some(Stamp::Instant { micros, shifted }) => {
                Ok(plain(micros, Flags::NONE.set(Flag::UtcNormalized, shifted)))
            }
            Some(Stamp::Wall(wall)) => match &plan.zone {
                ZonePlan::Unknown => Err(Reason::TimestampNoZone),
                ZonePlan::Utc => Ok(plain(wall, Flags::NONE)),
                ZonePlan::Local(zone) => {
                    let flags = Flags::NONE.with(Flag::UtcNormalized);
                    let (first, last, flags) = match zone.instants(wall, &mut self.stretches) {
                        Local::Once(at) => (at, at, flags),
                        Local::Twice(first, last) => (first, last, flags.with(Flag::DstResolved)),
                        Local::Never => return Err(Reason::TimestampNonexistent),
                    };
                    if first < FIRST || last > LAST {
                        return Err(Reason::TimestampInvalid);
                    }
                    Ok(Moment { shift: last - first, is_wall: true, ..plain(first, flags) })
                }
            },
        }
    }
}
