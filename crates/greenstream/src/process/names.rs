//! Meter names and their numbers: the store's table of meters, held in memory.

use std::hash::{BuildHasher, Hasher};

use rustc_hash::FxBuildHasher;

use crate::change::Meter;

/// Every meter of the store by number and by name. 50,000 meters take about 3 MB.
///
/// The hash table holds numbers only and compares through `names`, so that a name is stored once.
#[derive(Clone, Debug, Default)]
pub struct MeterNames {
    names: Vec<Box<str>>,
    /// Open addressing; a power of two at least twice the number of meters; `EMPTY` is free.
    slots: Vec<u32>,
}

const EMPTY: u32 = u32::MAX;

impl MeterNames {
    /// The names of a store, in the order of their numbers from 0.
    pub fn new(names: impl IntoIterator<Item = String>) -> MeterNames {
        let mut all = MeterNames::default();
        for name in names {
            all.intern(&name);
        }
        all
    }

    /// How many meters there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name of a meter; empty for a number that was never given.
    pub fn name(&self, meter: Meter) -> &str {
        self.names.get(meter.0 as usize).map_or("", |name| name)
    }

    /// The number of a name, if it has one.
    pub fn find(&self, name: &str) -> Option<Meter> {
        if self.slots.is_empty() {
            return None;
        }
        match self.slots[self.slot_of(name)] {
            EMPTY => None,
            number => Some(Meter(number)),
        }
    }

    /// The number of a name and whether it was given just now.
    pub fn intern(&mut self, name: &str) -> (Meter, bool) {
        if self.slots.len() < 2 * (self.names.len() + 1) {
            self.grow();
        }
        let slot = self.slot_of(name);
        if self.slots[slot] != EMPTY {
            return (Meter(self.slots[slot]), false);
        }
        let number = u32::try_from(self.names.len()).unwrap_or(EMPTY - 1);
        self.slots[slot] = number;
        self.names.push(name.into());
        (Meter(number), true)
    }

    /// The slot that holds `name`, or the free one where it belongs.
    fn slot_of(&self, name: &str) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash(name) & mask;
        loop {
            let number = self.slots[slot];
            if number == EMPTY || &*self.names[number as usize] == name {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let size = (4 * (self.names.len() + 1)).next_power_of_two().max(1024);
        self.slots = vec![EMPTY; size];
        for number in 0..self.names.len() {
            let slot = self.slot_of(&self.names[number]);
            self.slots[slot] = u32::try_from(number).unwrap_or(EMPTY - 1);
        }
    }
}

fn hash(name: &str) -> usize {
    let mut hasher = FxBuildHasher.build_hasher();
    hasher.write(name.as_bytes());
    // the low bits of FxHash are its weakest, and they choose the slot
    (hasher.finish() >> 20) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_in_order_and_found_again() {
        let mut names = MeterNames::default();
        assert_eq!(names.find("a"), None);
        for i in 0..5_000_u32 {
            assert_eq!(names.intern(&format!("MTR-{i:06}")), (Meter(i), true));
            assert_eq!(names.intern("MTR-000000"), (Meter(0), false));
        }
        for i in 0..5_000_u32 {
            let name = format!("MTR-{i:06}");
            assert_eq!(names.find(&name), Some(Meter(i)));
            assert_eq!(names.name(Meter(i)), name);
        }
        assert_eq!(names.find("MTR-005000"), None);
        assert_eq!(names.name(Meter(9_999)), "");
    }
}
