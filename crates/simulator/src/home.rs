//! What a home really draws: its size, its habits, its appliances, the weather.
//!
//! Power is counted in tenths of a watt (1e-4 kW), the resolution of the simulated registers, in
//! integers, so that it is the same on every machine.

use crate::kind::{Kind, Rates};
use crate::random::{Dice, Key, bound, high, low, scale};
use crate::shape::{Habit, Season, Shapes};
use crate::slots::Slot;

/// One watt.
const W: u32 = 10;
/// 10 kW, the limit of rule 3.
pub(crate) const LIMIT: i32 = 100_000;
/// 0.01 kW, the threshold of rule 4.
pub(crate) const NEAR_ZERO: i32 = 100;

/// The main fuse of a home without electric heating: its power stays inside the default limits.
const FUSE: u32 = 9_900 * W;
/// No lived-in or vacant home draws less: its refrigerator, router and meter go on.
const FLOOR: u32 = 12 * W;

/// One home: how large, how lived in, what it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    key: Key,
    habit: Habit,
    /// Standby and refrigerator.
    base: u32,
    /// Lights, cooking and life at full activity.
    activity: u32,
    /// The largest appliance, on average over an interval.
    appliance: u32,
    /// Electric heating on the coldest day; 0 for most.
    heating: u32,
    /// Solar panels under a clear summer sky; 0 for most.
    panels: u32,
    /// A car charger; 0 for most.
    charger: u32,
    /// How far activity scatters from interval to interval, in parts per thousand.
    scatter: u32,
}

/// The branches of chance below a home.
const TRAITS: u64 = 0;
const DAYS: u64 = 1;

impl Home {
    /// The home behind a meter whose branch of chance is `key`.
    pub(crate) fn new(key: Key, rates: &Rates) -> Home {
        let mut dice = key.child(TRAITS).dice(0);
        let (habit, size) = match dice.below(100) {
            0..34 => (Habit::Family, dice.range(500, 1_300)),
            34..59 => (Habit::Couple, dice.range(350, 900)),
            59..79 => (Habit::Retired, dice.range(300, 750)),
            79..93 => (Habit::Single, dice.range(200, 550)),
            93..97 => (Habit::NightShift, dice.range(300, 850)),
            _ => (Habit::Vacant, 0),
        };
        let vacant = habit == Habit::Vacant;
        let base = if vacant { dice.range(15, 60) } else { dice.range(40, 110) + size / 10 };
        let mut home = Home {
            key: key.child(DAYS),
            habit,
            base: base * W,
            activity: size * W,
            appliance: if vacant { 0 } else { dice.range(300, 1_600) * W },
            heating: 0,
            panels: 0,
            charger: 0,
            scatter: dice.range(200, 900),
        };
        if dice.word() < bound(rates.get(Kind::TruePeak)) {
            home.heating = dice.range(1_500, 10_800) * W;
        } else if dice.word() < bound(rates.get(Kind::SolarExport)) {
            home.panels = dice.range(3_000, 9_000) * W;
        } else if !vacant && dice.below(100) < 2 {
            home.charger = dice.range(3_600, 7_400) * W;
        }
        home
    }

    /// Whether ordinary days reach so high that a spike inside the limits would not stand out.
    pub(crate) fn is_heavy(&self) -> bool {
        self.heating > 0 || self.charger > 0
    }

    /// Mean power over the interval, in tenths of a watt; below zero only with panels.
    /// `bits` are the interval's own chance.
    pub(crate) fn power(&self, slot: &Slot, shapes: &Shapes, bits: u64) -> i32 {
        let today = self.key.bits(u64::from(slot.day));
        let (noise, luck) = (low(bits) & 0xFFFF, low(bits) >> 16);
        let active = shapes.activity(self.habit, slot.weekend, slot.quarter);
        let vigour = 700 + scale(high(today), 600);
        let scattered = 1_000 - self.scatter / 2 + ((self.scatter * noise) >> 16);

        let mut draws = part(self.base, 850 + ((300 * luck) >> 16));
        draws += part(part(part(part(self.activity, active), vigour), slot.season.indoors), scattered);
        // An appliance runs more often when the home is awake: at most every third interval.
        if (luck * 1_000) >> 16 < active / 3 {
            draws += part(self.appliance, 500 + ((500 * noise) >> 16));
        }
        if self.heating > 0 {
            let need = part(part(self.heating, slot.season.cold), shapes.heating(slot.quarter));
            draws += part(need, 850 + ((300 * noise) >> 16));
        }
        if self.charger > 0 && self.is_charging(slot.quarter, low(today)) {
            draws += self.charger;
        }
        let draws = if self.heating > 0 { draws.max(FLOOR) } else { draws.clamp(FLOOR, FUSE) };
        let sun = part(part(self.panels, shapes.sunshine(slot.quarter)), slot.season.sun);
        let sun = part(sun, slot.clear * (900 + ((100 * noise) >> 16)) / 1_000);
        signed(draws) - signed(sun)
    }

    /// A car charges in some nights, from late evening for some hours.
    fn is_charging(&self, quarter: u32, today: u32) -> bool {
        let mut dice = Dice::new(u64::from(today));
        let (nightly, from, hours) = (dice.below(10) < 4, dice.range(0, 8), dice.range(1, 4));
        nightly && (from..from + hours * 4).contains(&quarter)
    }
}

/// `per_mille` thousandths of `whole`. The product fits: powers stay below 40 kW (400,000), factors
/// below 2,000.
const fn part(whole: u32, per_mille: u32) -> u32 {
    whole * per_mille / 1_000
}

fn signed(power: u32) -> i32 {
    i32::try_from(power).unwrap_or(i32::MAX)
}

/// The sky over the whole fleet on one day and its season.
pub(crate) fn weather(key: Key, day: u32, month: u8, day_of_month: u8) -> (Season, u32) {
    let mut dice = key.dice(u64::from(day));
    let mut season = Season::of(month, day_of_month);
    season.cold = part(season.cold, dice.range(850, 1_150));
    (season, dice.range(250, 1_000))
}
