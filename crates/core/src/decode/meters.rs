//! The meters of a chunk: each id once, in the order of its first row.
//!
//! Uploads repeat themselves: a meter's rows follow each other, or all meters follow each other in
//! the same order hour by hour. So the meter of the row before, and the one that followed it last
//! time, are compared first; hashing is for the first round and for shuffled files.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::meter_id::is_meter_id;

const NONE: u32 = u32::MAX;

/// The ends of an id; with its length they are the whole of an id of up to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    low: u64,
    high: u64,
    len: u32,
}

impl Key {
    #[inline]
    fn of(id: &[u8]) -> Key {
        let len = u32::try_from(id.len()).unwrap_or(u32::MAX);
        let (low, high) = match (id.first_chunk(), id.last_chunk()) {
            (Some(low), Some(high)) => (u64::from_le_bytes(*low), u64::from_le_bytes(*high)),
            _ => (id.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), 0),
        };
        Key { low, high, len }
    }
}

/// 32 bytes, so that two lie in one cache line.
struct Entry {
    key: Key,
    /// The other meter that followed this one last time.
    next: u32,
    start: usize,
}

/// A place in the hash table.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// Number + 1 of the meter, 0 where free.
    number: u32,
    /// Its hash, so that strangers are passed by and the table grows without a look at the ids.
    hash: u32,
}

/// Meter ids and their numbers from 0.
pub(crate) struct Meters {
    entries: Vec<Entry>,
    text: String,
    /// A power of two of slots, at most three quarters full.
    slots: Vec<Slot>,
    last: u32,
    /// Chosen anew for each table, so that nobody can prepare ids that collide. Never reaches an output.
    seed: u64,
}

impl Meters {
    pub(crate) fn new() -> Meters {
        let seed = RandomState::new().build_hasher().finish();
        Meters {
            entries: Vec::new(),
            text: String::new(),
            slots: vec![Slot::default(); 64],
            last: NONE,
            seed,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The ids in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        let ends = self.entries.iter().skip(1).map(|entry| entry.start).chain([self.text.len()]);
        self.entries.iter().zip(ends).map(|(entry, end)| self.text.get(entry.start..end).unwrap_or(""))
    }

    /// The number of `id`, entered at first sight; none where it is no valid meter id.
    #[inline]
    pub(crate) fn intern(&mut self, id: &[u8]) -> Option<u32> {
        let key = Key::of(id);
        if let Some(last) = self.entries.get(self.last as usize) {
            if last.key == key && self.has_text(last, id) {
                return Some(self.last);
            }
            let next = last.next;
            if let Some(entry) = self.entries.get(next as usize)
                && entry.key == key
                && self.has_text(entry, id)
            {
                self.last = next;
                return Some(next);
            }
        }
        let found = self.search(key, id)?;
        if let Some(last) = self.entries.get_mut(self.last as usize) {
            last.next = found;
        }
        self.last = found;
        Some(found)
    }

    /// Whether an entry with the key of `id` is `id`.
    #[inline]
    fn has_text(&self, entry: &Entry, id: &[u8]) -> bool {
        id.len() <= 16 || self.text.as_bytes().get(entry.start..entry.start + id.len()) == Some(id)
    }

    fn search(&mut self, key: Key, id: &[u8]) -> Option<u32> {
        let hash = self.hash(key, id);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(slot) = self.slots.get(at).filter(|slot| slot.number != 0) {
            if slot.hash == hash
                && let Some(entry) = self.entries.get(slot.number as usize - 1)
                && entry.key == key
                && self.has_text(entry, id)
            {
                return Some(slot.number - 1);
            }
            at = (at + 1) & mask;
        }
        let text = std::str::from_utf8(id).ok().filter(|id| is_meter_id(id))?;
        let number = u32::try_from(self.entries.len()).ok().filter(|number| *number < NONE - 1)?;
        self.entries.push(Entry { key, next: NONE, start: self.text.len() });
        self.text.push_str(text);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot { number: number + 1, hash };
        }
        if self.entries.len() * 4 > self.slots.len() * 3 {
            self.grow();
        }
        Some(number)
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); mask + 1]);
        for slot in old.into_iter().filter(|slot| slot.number != 0) {
            let mut at = slot.hash as usize & mask;
            while self.slots.get(at).is_some_and(|taken| taken.number != 0) {
                at = (at + 1) & mask;
            }
            if let Some(free) = self.slots.get_mut(at) {
                *free = slot;
            }
        }
    }

    /// A well-mixed number for an id.
    #[expect(clippy::cast_possible_truncation, reason = "a hash: any bits will do")]
    fn hash(&self, key: Key, id: &[u8]) -> u32 {
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            (product as u64) ^ (product >> 64) as u64
        };
        let other = self.seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15;
        let mut hash = fold(key.low ^ self.seed, key.high ^ other) ^ u64::from(key.len);
        if id.len() > 16 {
            for word in id.chunks(8) {
                hash = fold(hash ^ Key::of(word).low, self.seed | 1);
            }
        }
        fold(hash ^ other, 0xd1b5_4a32_d192_ed03) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_the_order_of_their_first_row_and_their_number() {
        let mut meters = Meters::new();
        let ids: Vec<String> = (0..3_000).map(|i| format!("{}{i}", "long-".repeat(i % 9))).collect();
        for round in 0..3 {
            for i in 0..ids.len() {
                let at = if round == 2 { i * 7 % ids.len() } else { i };
                assert_eq!(meters.intern(ids[at].as_bytes()), u32::try_from(at).ok());
            }
        }
        assert!(meters.ids().eq(ids.iter().map(String::as_str)));
    }

    #[test]
    fn ids_of_equal_ends_and_length_stay_apart() {
        let mut meters = Meters::new();
        for (number, id) in ["aaaaaaaa1bbbbbbbb", "aaaaaaaa2bbbbbbbb", "a", "aa", "ab"].iter().enumerate() {
            assert_eq!(meters.intern(id.as_bytes()), u32::try_from(number).ok());
        }
        assert_eq!(meters.intern(b"aaaaaaaa1bbbbbbbb"), Some(0));
        assert_eq!(meters.intern(b"aaaaaaaa2bbbbbbbb"), Some(1));
    }

    #[test]
    fn ids_that_are_alike_fall_on_different_places() {
        let short: Vec<String> = (0..4_096).map(|i| format!("MTR-{i:06}")).collect();
        // only what lies between the ends differs
        let long: Vec<String> = (0..4_096).map(|i| format!("substation-{i:06}-transformer")).collect();
        let same: Vec<String> = (1..=64).map(|len| "0".repeat(len)).collect();
        for seed in [0, 1, 0x0123_4567_89ab_cdef, Meters::new().seed] {
            let meters = Meters { seed, ..Meters::new() };
            for (ids, places, least) in [(&short, 4_096, 2_400), (&long, 4_096, 2_400), (&same, 4_096, 56)] {
                let hash = |id: &String| meters.hash(Key::of(id.as_bytes()), id.as_bytes()) % places;
                let taken: std::collections::BTreeSet<u32> = ids.iter().map(hash).collect();
                // by chance 63 in 100 places are taken, where there are as many ids as places
                assert!(taken.len() > least, "{} of {} ids, seed {seed}: {}", taken.len(), ids.len(), ids[0]);
            }
        }
    }

    #[test]
    fn an_invalid_id_is_not_entered() {
        let mut meters = Meters::new();
        for id in [&b""[..], b"a\xff", b"a\tb", &[b'x'; 65]] {
            assert_eq!(meters.intern(id), None);
        }
        assert_eq!(meters.len(), 0);
    }
}
