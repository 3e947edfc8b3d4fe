//! Chance that can be asked anywhere: numbers from keys, with no state that has a history.
//!
//! The mixer is `SplitMix64`'s (Steele, Lea and Flood 2014). It is part of what a seed means: a
//! changed mixer changes every simulation.

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Spreads every bit of `z` over all 64.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A place in the tree of chance: the seed at its root, a meter, one of its questions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key(u64);

impl Key {
    /// The root of one simulation.
    pub(crate) const fn new(seed: u64) -> Key {
        Key(mix(seed.wrapping_add(GOLDEN)))
    }

    /// The branch `n` below this place.
    pub(crate) const fn child(self, n: u64) -> Key {
        Key(mix(self.0 ^ mix(n.wrapping_add(1).wrapping_mul(GOLDEN))))
    }

    /// 64 random bits for `index` at this place.
    pub(crate) const fn bits(self, index: u64) -> u64 {
        mix(self.0.wrapping_add(index.wrapping_mul(GOLDEN)))
    }

    /// A sequence of draws for `index` at this place.
    pub(crate) const fn dice(self, index: u64) -> Dice {
        Dice(self.bits(index))
    }
}

/// A sequence of draws.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The sequence that begins at these bits.
    pub(crate) const fn new(bits: u64) -> Dice {
        Dice(bits)
    }

    /// The next 32 random bits.
    pub(crate) const fn word(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(GOLDEN);
        high(mix(self.0))
    }

    /// A number of 0 to `n - 1` (0 for `n` of 0); the bias is below n / 2^32.
    pub(crate) const fn below(&mut self, n: u32) -> u32 {
        scale(self.word(), n)
    }

    /// A number of `low` to `high`, both included.
    pub(crate) const fn range(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// One of the things.
    pub(crate) fn pick<T: Copy>(&mut self, things: &[T]) -> Option<T> {
        let n = u32::try_from(things.len()).unwrap_or(u32::MAX);
        things.get(self.below(n) as usize).copied()
    }
}

/// The upper half of 64 bits.
pub(crate) const fn high(bits: u64) -> u32 {
    (bits >> 32) as u32
}

/// The lower half of 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
pub(crate) const fn low(bits: u64) -> u32 {
    bits as u32
}

/// `word`, uniform over 32 bits, brought to 0 to `n - 1`.
pub(crate) const fn scale(word: u32, n: u32) -> u32 {
    high(word as u64 * n as u64)
}

/// A share of 0 to 1 as the bound below which a uniform 32-bit word lies with that chance.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates at both ends")]
pub(crate) fn bound(share: f64) -> u32 {
    (share * 4_294_967_296.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_spread_evenly_over_keys_and_indexes() {
        let root = Key::new(7);
        let mut seen = [0_u32; 10];
        for meter in 0..100 {
            let key = root.child(meter);
            for index in 0..1000 {
                seen[scale(high(key.bits(index)), 10) as usize] += 1;
            }
        }
        assert!(seen.iter().all(|n| (9_700..10_300).contains(n)), "{seen:?}");
    }

    #[test]
    fn what_a_seed_means_does_not_change() {
        assert_eq!(Key::new(0).0, 0xE220_A839_7B1D_CDAF, "the first output of SplitMix64 for 0");
        assert_eq!((bound(0.0), bound(0.5), bound(1.0)), (0, 1 << 31, u32::MAX));
    }
}
