//! Power, exactly: a whole number of milliwatts.

use std::fmt;
use std::num::NonZeroU64;

/// Mean power over an interval, in whole milliwatts (1e-6 kW).
///
/// Every computation from decode to store is done in this unit with integers, so that no sum or
/// comparison depends on order, on the number of workers or on a rounding mode. `Option<Power>`
/// takes eight bytes (the sign bit is stored flipped, so that bits sort as values do): the one value that does not exist is `i64::MIN`, far outside the ±1e18 mW
/// that a feed may carry (`docs/spec/rules.md`, Decode 4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Power(NonZeroU64);

impl Power {
    /// No power.
    pub const ZERO: Power = Power::from_milliwatts(0);
    /// Below this size (exclusive) a measured reading is near zero: 0.01 kW (rule 4).
    pub const NEAR_ZERO: Power = Power::from_milliwatts(10_000);

    /// `mw` milliwatts; `i64::MIN` saturates to its neighbour.
    #[must_use]
    pub const fn from_milliwatts(mw: i64) -> Power {
        match NonZeroU64::new((mw ^ i64::MIN).cast_unsigned()) {
            Some(bits) => Power(bits),
            None => Power(NonZeroU64::MIN),
        }
    }

    /// The number of milliwatts.
    #[must_use]
    pub const fn milliwatts(self) -> i64 {
        self.0.get().cast_signed() ^ i64::MIN
    }

    /// Kilowatts as the nearest double, for the edges that want one (Parquet, SQL views, charts).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the edge: exact up to 2^53 mW, 9e9 kW")]
    pub fn kw(self) -> f64 {
        self.milliwatts() as f64 / 1e6
    }

    /// Whether the size is below 0.01 kW, the threshold of rule 4.
    #[must_use]
    pub const fn is_near_zero(self) -> bool {
        self.milliwatts().unsigned_abs() < Power::NEAR_ZERO.milliwatts().unsigned_abs()
    }
}

/// Kilowatts as the contract writes them: at most six decimals, no trailing zeros, no `-0`.
impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mw = self.milliwatts();
        let (whole, part) = (mw.unsigned_abs() / 1_000_000, mw.unsigned_abs() % 1_000_000);
        let sign = if mw < 0 { "-" } else { "" };
        if part == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{part:06}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl fmt::Debug for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} kW")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_optional_power_takes_eight_bytes() {
        assert_eq!(size_of::<Option<Power>>(), 8);
    }

    #[test]
    fn kilowatts_are_written_without_trailing_zeros_or_minus_zero() {
        for (mw, text) in [
            (0, "0"),
            (1, "0.000001"),
            (-1, "-0.000001"),
            (1_500_000, "1.5"),
            (10_000_000, "10"),
            (-2_000_001, "-2.000001"),
            (1_000_000_000_000_000_000, "1000000000000"),
        ] {
            assert_eq!(Power::from_milliwatts(mw).to_string(), text);
            assert_eq!(Power::from_milliwatts(mw).milliwatts(), mw);
        }
        assert_eq!(Power::from_milliwatts(i64::MIN).milliwatts(), i64::MIN + 1);
    }

    #[test]
    fn ten_watts_are_not_near_zero_and_a_milliwatt_less_is() {
        for (mw, near) in [(0, true), (9_999, true), (-9_999, true), (10_000, false), (-10_000, false)] {
            assert_eq!(Power::from_milliwatts(mw).is_near_zero(), near, "{mw} mW");
        }
    }

    #[test]
    fn kilowatts_are_the_nearest_double() {
        for (mw, kw) in [(0, 0.0), (1, 1e-6), (-1_500_000, -1.5), (123_456_789, 123.456_789)] {
            assert!((Power::from_milliwatts(mw).kw() - kw).abs() < f64::EPSILON, "{mw}");
        }
    }
}
