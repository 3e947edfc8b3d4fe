//! Whole numbers of 256 bits, for sums of squares that 128 bits cannot hold.

/// A whole number below 2^256. Its operations wrap; callers keep their terms below the end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct U256 {
    /// First, so that the derived order is the order of numbers.
    high: u128,
    low: u128,
}

impl From<u128> for U256 {
    fn from(low: u128) -> U256 {
        U256 { high: 0, low }
    }
}

impl U256 {
    pub(super) fn product(a: u128, b: u128) -> U256 {
        let (low, high) = a.carrying_mul(b, 0);
        U256 { high, low }
    }

    pub(super) const fn plus(self, other: U256) -> U256 {
        let (low, carry) = self.low.overflowing_add(other.low);
        U256 { high: self.high.wrapping_add(other.high).wrapping_add(carry as u128), low }
    }

    pub(super) const fn minus(self, other: U256) -> U256 {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        U256 { high: self.high.wrapping_sub(other.high).wrapping_sub(borrow as u128), low }
    }

    pub(super) fn times(self, factor: u64) -> U256 {
        let (low, carry) = self.low.carrying_mul(factor.into(), 0);
        U256 { high: self.high.wrapping_mul(factor.into()).wrapping_add(carry), low }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: U256 = U256 { high: u128::MAX, low: u128::MAX };

    #[test]
    fn the_halves_carry_into_each_other() {
        let two_to_128 = U256 { high: 1, low: 0 };
        let last = U256::from(u128::MAX);
        assert_eq!(last.plus(U256::from(1)), two_to_128);
        assert_eq!(two_to_128.minus(U256::from(1)), last);
        assert_eq!(last.times(2), U256 { high: 1, low: u128::MAX - 1 });
        assert_eq!(U256 { high: 3, low: 0 }.times(5), U256 { high: 15, low: 0 });
        // (2^128 - 1)² = 2^256 - 2^129 + 1
        assert_eq!(
            U256::product(u128::MAX, u128::MAX),
            TOP.minus(U256 { high: 2, low: 0 }).plus(U256::from(2))
        );
        assert!(two_to_128 > last && last > U256::from(0));
    }
}
