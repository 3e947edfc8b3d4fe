//! A small source of random numbers (SplitMix64): the same seed gives the same world for ever.

/// Random numbers from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.abs_diff(low).saturating_add(1);
        low.saturating_add_unsigned(self.next() % span)
    }

    /// True `per_mille` times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: i64) -> bool {
        self.between(0, 999) < per_mille
    }

    /// A place in a list of `len` things; 0 where there are none.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        let last = i64::try_from(len).unwrap_or(i64::MAX).saturating_sub(1).max(0);
        usize::try_from(self.between(0, last)).unwrap_or(0)
    }

    /// One of the choices, of which there is at least one.
    pub(crate) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.place(choices.len())].clone()
    }

    pub(crate) fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.place(last + 1));
        }
    }
}
