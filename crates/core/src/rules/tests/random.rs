//! Random meters with every known defect, on a grid of five minutes so that each threshold is hit.

use super::{HOUR, MINUTE, at, row};
use crate::{DAY, Limits, Power, Range, Reading};

/// SplitMix64: a seed gives the same meter on every machine.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn number(&mut self, below: i64) -> i64 {
        i64::try_from(self.below(usize::try_from(below).unwrap())).unwrap()
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

pub(super) fn limits(random: &mut Random) -> Limits {
    let wide = Range { min: Power::from_milliwatts(-20_000), max: Power::from_milliwatts(20_000_000) };
    match random.below(4) {
        0 => Limits::constant(wide),
        1 => Limits::changing(Range::default(), vec![(at(random.number(3_000)), wide)]),
        _ => Limits::default(),
    }
}

/// About `size` rows of one meter in time order, some of them rivals for one instant.
pub(super) fn rows(random: &mut Random, size: usize) -> Vec<Reading> {
    let mut rows: Vec<Reading> = Vec::new();
    let mut ts = at(5 * random.number(288));
    while rows.len() < size {
        let step = random.pick(&[5, 15, 15, 30, 60, 120, 360, 720, 1_440]) * MINUTE;
        let kind = random.below(6);
        let length = 1 + random.below(if kind == 5 { 4 } else { 24 });
        for _ in 0..length {
            let value = value(random, kind);
            rows.push(row(ts, value));
            while random.one_in(12) {
                let kind = random.below(6);
                rows.push(row(ts, self::value(random, kind)));
            }
            ts = ts.plus(if random.one_in(15) { 5 * MINUTE * (1 + random.number(30)) } else { step });
        }
        if random.one_in(4) {
            ts = ts.plus(random.pick(&[HOUR, DAY - 5 * MINUTE, DAY, DAY + 5 * MINUTE]));
        }
    }
    rows
}

/// A value in milliwatts as it comes in a stretch of this kind.
fn value(random: &mut Random, kind: usize) -> Option<i64> {
    let edge = [0, -1, 9_999, 10_000, -9_999, -10_000, 10_000_000, 10_000_001, 20_000_000, -20_001];
    match kind {
        // Steady, with spikes that are outliers once there is enough before them.
        0 | 1 if random.one_in(12) => Some(random.pick(&[0, 540_000, 800_000, 4_000_000])),
        0 | 1 => Some(500_000 + random.number(20_000)),
        // Nearly dead, with all that does and does not break a run.
        2 | 3 if random.one_in(20) => Some(random.pick(&edge)),
        2 | 3 if random.one_in(10) => None,
        2 | 3 => Some(random.pick(&[0, 0, 0, 0, 9_999, 5])),
        4 if random.one_in(2) => None,
        4 => Some(random.pick(&edge)),
        _ => None,
    }
}
