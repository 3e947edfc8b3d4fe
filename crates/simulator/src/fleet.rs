//! The fleet: what a meter really measured in an interval, and what becomes of it on the way.

use crate::home::{Home, LIMIT, NEAR_ZERO};
use crate::kind::{Kind, Rates};
use crate::plan::Plan;
use crate::random::{Dice, Key, bound, high, scale};
use crate::shape::Shapes;
use crate::slots::{Slot, Slots};

/// One reading of one meter, before it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// What the home drew, in tenths of a watt.
    pub(crate) truth: i32,
    /// What the meter says, in tenths of a watt.
    pub(crate) value: i32,
    /// What is wrong with this reading alone.
    pub(crate) defect: Option<Kind>,
    /// What its meter or home does for longer: a dead meter, export, a true peak.
    pub(crate) state: Option<Kind>,
    /// Chance left over for the details of the defect.
    pub(crate) dice: Dice,
}

/// All meters of a plan. A pure function of the plan; shared by threads.
pub(crate) struct Fleet {
    pub(crate) slots: Slots,
    rates: Rates,
    shapes: Shapes,
    homes: Vec<(Key, Home)>,
    /// For a 32-bit word: the first bound above it names the defect.
    ladder: Vec<(u32, Kind)>,
    missing_below: u32,
    absent_below: u32,
}

/// The branches of chance below a meter (0 and 1 are those of its home).
const INTERVALS: u64 = 10;
const DEFECTS: u64 = 11;
const RUNS: u64 = 12;
const SPELLS: u64 = 13;

/// Missing and absent readings come in runs, one at most in each block of this many intervals.
const BLOCK: u32 = 32;
/// Mean length of a run: 0.6 x 1 + 0.2 x 2 + 0.1 x 3 + 0.1 x 8.
const RUN_MEAN: f64 = 2.1;
/// Readings that the z-score needs before it can find a spike: with n of them |z| is at most
/// (n - 1) / sqrt(n), so 11 could do, and 16 leave room for scatter.
const WARM_UP: u32 = 16;
/// Dead meters are drawn anew for each period of this many days.
const PERIOD_DAYS: u32 = 14;

impl Fleet {
    pub(crate) fn new(plan: &Plan) -> Fleet {
        let root = Key::new(plan.seed);
        let rates = plan.defects;
        let meter = |n: u32| {
            let key = root.child(u64::from(n));
            (key, Home::new(key, &rates))
        };
        let mut sum = 0.0;
        let ladder = Kind::PER_READING.map(|kind| {
            sum += rates.get(kind);
            (bound(sum), kind)
        });
        let per_block = f64::from(BLOCK) / RUN_MEAN;
        let missing = rates.get(Kind::Missing) * per_block;
        Fleet {
            slots: Slots::new(plan, root),
            rates,
            shapes: Shapes::new(),
            homes: (0..plan.meters).map(meter).collect(),
            ladder: ladder.to_vec(),
            missing_below: bound(missing),
            absent_below: bound(missing + rates.get(Kind::Absent) * per_block),
        }
    }

    /// How many meters there are.
    pub(crate) fn meters(&self) -> u32 {
        u32::try_from(self.homes.len()).unwrap_or(u32::MAX)
    }

    /// The reading of a meter (from 0) in an interval.
    pub(crate) fn reading(&self, meter: u32, slot: &Slot) -> Reading {
        let (key, home) = &self.homes[meter as usize];
        let index = u64::from(slot.number);
        let truth = home.power(slot, &self.shapes, key.child(INTERVALS).bits(index));
        let draw = key.child(DEFECTS).bits(index);
        let mut reading =
            Reading { truth, value: truth, defect: None, state: state_of(truth), dice: Dice::new(draw) };
        if let Some((dead, value)) = self.dead(*key, slot, &mut reading.dice) {
            (reading.state, reading.value) = (Some(dead), value);
        }
        reading.defect = self.run(*key, slot.number).or_else(|| self.single(high(draw)));
        self.distort(&mut reading, home, slot.number);
        reading
    }

    /// The defect that a uniform word stands for.
    fn single(&self, word: u32) -> Option<Kind> {
        let (top, _) = self.ladder.last()?;
        if word >= *top {
            return None;
        }
        self.ladder.iter().find(|(below, _)| word < *below).map(|(_, kind)| *kind)
    }

    /// Whether the interval lies in a run of missing or absent readings.
    fn run(&self, key: Key, number: u32) -> Option<Kind> {
        let (block, place) = (number / BLOCK, number % BLOCK);
        let mut dice = key.child(RUNS).dice(u64::from(block));
        let word = dice.word();
        if word >= self.absent_below {
            return None;
        }
        let length = match dice.below(10) {
            0..6 => 1,
            6..8 => 2,
            8 => 3,
            _ => dice.range(4, 12),
        };
        let from = dice.range(0, BLOCK - length);
        let kind = if word < self.missing_below { Kind::Missing } else { Kind::Absent };
        (from..from + length).contains(&place).then_some(kind)
    }

    /// Whether the meter is dead in this interval, and what it says then.
    fn dead(&self, key: Key, slot: &Slot, dice: &mut Dice) -> Option<(Kind, i32)> {
        let period = slot.day / PERIOD_DAYS;
        let mut chance = key.child(SPELLS).dice(u64::from(period));
        let word = chance.word();
        let zero_below = bound(self.rates.get(Kind::ZeroDay));
        let near_below = bound(self.rates.get(Kind::ZeroDay) + self.rates.get(Kind::NearZero));
        if word >= near_below {
            return None;
        }
        let first = period * PERIOD_DAYS * self.slots.per_day;
        let length = (self.slots.count - first).min(PERIOD_DAYS * self.slots.per_day);
        if word < zero_below {
            let days = chance.range(2, 6);
            let from =
                period * PERIOD_DAYS + chance.below((length / self.slots.per_day).saturating_sub(5).max(1));
            return (from..from + days).contains(&slot.day).then_some((Kind::ZeroDay, 0));
        }
        // Long enough to be found, where the simulation is: more than 24 hours.
        let (least, most) = (self.slots.within(27 * 60), self.slots.within(6 * 24 * 60));
        let from = first + chance.below(length.saturating_sub(least).max(1));
        let lasts = chance.range(least, most);
        let value = i32::try_from(dice.below(95)).unwrap_or(0);
        (from..from + lasts).contains(&slot.number).then_some((Kind::NearZero, value))
    }

    /// Gives the reading the value that its defect makes of it.
    fn distort(&self, reading: &mut Reading, home: &Home, number: u32) {
        let Some(mut defect) = reading.defect else { return };
        let truth = reading.truth;
        let dead = matches!(reading.state, Some(Kind::NearZero | Kind::ZeroDay));
        let changes = matches!(defect, Kind::Spike | Kind::AboveLimit | Kind::Negative | Kind::Estimated);
        // A dead meter stays dead, for a value in between would end its run; and an export that
        // is below zero already cannot be turned round.
        if dead && changes || truth < 0 && defect == Kind::Negative {
            reading.defect = None;
            return;
        }
        // Where rule 3 could not find a spike inside the limits, it goes above them.
        if defect == Kind::Spike && (number < WARM_UP || home.is_heavy() || truth < 0) {
            defect = Kind::AboveLimit;
        }
        let dice = &mut reading.dice;
        let value = match defect {
            Kind::Spike => 70_000 + signed(dice.below(25_000)),
            Kind::AboveLimit if dice.below(2) == 0 && truth > 110 => truth.saturating_mul(1_000),
            Kind::AboveLimit => 105_000 + signed(dice.below(500_000)),
            Kind::Negative => -truth.max(1),
            Kind::Estimated => estimate(truth, dice),
            _ => return,
        };
        // What the home really does no longer shows in the value.
        (reading.defect, reading.value, reading.state) = (Some(defect), value, None);
    }
}

/// What is remarkable about a true power.
pub(crate) fn state_of(truth: i32) -> Option<Kind> {
    match truth {
        ..0 => Some(Kind::SolarExport),
        0..=LIMIT => None,
        _ => Some(Kind::TruePeak),
    }
}

/// Another value than the true one, by up to a fifth and still plausible.
fn estimate(truth: i32, dice: &mut Dice) -> i32 {
    let off = signed(scale(dice.word(), 2 * (truth.unsigned_abs() / 5 + 2)));
    let value =
        (truth - signed(truth.unsigned_abs() / 5 + 2) + off).clamp(NEAR_ZERO.min(truth), LIMIT.max(truth));
    if value == truth { truth - 1 } else { value }
}

fn signed(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
