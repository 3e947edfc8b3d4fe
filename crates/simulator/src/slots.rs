//! The intervals of a simulation: when each begins, how it is written, what all homes share in it.

use greenstream_core::{SECOND, Ts, civil_from_days};

use crate::home::weather;
use crate::plan::Plan;
use crate::random::Key;
use crate::shape::Season;

/// Minutes in a day.
pub(crate) const DAY_MINUTES: u32 = 1_440;

/// One interval, as all meters share it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// Its number, from 0 at the start of the simulation.
    pub(crate) number: u32,
    /// The day, from 0.
    pub(crate) day: u32,
    /// Of the day, 0 to 95.
    pub(crate) quarter: u32,
    /// Saturday or Sunday.
    pub(crate) weekend: bool,
    pub(crate) season: Season,
    /// How clear the sky is, in parts per thousand.
    pub(crate) clear: u32,
    /// Its start, in minutes since 1970.
    pub(crate) minute: i64,
    /// `,2026-03-02T00:15:00Z,`
    pub(crate) field: [u8; 22],
}

/// All intervals of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    weather: Key,
    first_day: i64,
    interval: u32,
    /// How many there are.
    pub(crate) count: u32,
    /// How many a day has.
    pub(crate) per_day: u32,
}

impl Slots {
    /// The intervals of a plan that was checked.
    pub(crate) fn new(plan: &Plan, root: Key) -> Slots {
        let per_day = DAY_MINUTES / plan.interval_minutes.max(1);
        Slots {
            weather: root.child(u64::MAX),
            first_day: plan.start.days(),
            interval: plan.interval_minutes,
            count: per_day * plan.days,
            per_day,
        }
    }

    /// The interval of that number.
    pub(crate) fn slot(&self, number: u32) -> Slot {
        let (day, of_day) = (number / self.per_day, number % self.per_day);
        let minute_of_day = of_day * self.interval;
        let days = self.first_day + i64::from(day);
        let (_, month, day_of_month) = civil_from_days(days);
        let (season, clear) = weather(self.weather, day, month, day_of_month);
        let minute = days * i64::from(DAY_MINUTES) + i64::from(minute_of_day);
        let mut field = [b','; 22];
        field[1..21].copy_from_slice(&fixed(&stamp(minute)));
        Slot {
            number,
            day,
            quarter: minute_of_day / 15,
            // 1970-01-01 was a Thursday.
            weekend: (days + 3).rem_euclid(7) >= 5,
            season,
            clear,
            minute,
            field,
        }
    }

    /// How many intervals begin within `minutes`, at least.
    pub(crate) fn within(&self, minutes: u32) -> u32 {
        minutes / self.interval
    }
}

/// `2026-03-02T00:15:00Z` from minutes since 1970.
pub(crate) fn stamp(minute: i64) -> String {
    Ts::from_micros(minute * 60 * SECOND).to_string()
}

/// The twenty bytes of a timestamp of a four-digit year.
fn fixed(text: &str) -> [u8; 20] {
    text.as_bytes().try_into().unwrap_or([b'?'; 20])
}
