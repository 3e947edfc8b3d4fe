//! Sums over rows that do not depend on their order: two sets of rows with the same sums are the same.
//!
//! Each row becomes 64 bits, and the bits are added. It finds what damage and mistakes do; it is no proof
//! against somebody who chooses rows so that sums collide.

use std::hash::{DefaultHasher, Hash, Hasher};

use greenstream_core::{Flag, Flags, Power, Reason, Ts};

/// Rows counted and summed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sum {
    /// How many.
    pub rows: u64,
    /// Over everything that decode says of them.
    pub full: u64,
    /// The same without values and flags, which cumulative registers tell later.
    pub keys: u64,
}

impl Sum {
    /// Adds one row.
    pub fn add(&mut self, row: RowSum) {
        self.rows += 1;
        self.full = self.full.wrapping_add(row.full);
        self.keys = self.keys.wrapping_add(row.keys);
    }

    /// Adds the rows of another sum.
    pub fn merge(&mut self, other: Sum) {
        self.rows += other.rows;
        self.full = self.full.wrapping_add(other.full);
        self.keys = self.keys.wrapping_add(other.keys);
    }
}

/// One row as numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RowSum {
    /// Everything that decode says of it.
    pub full: u64,
    /// Which row and which reading.
    pub keys: u64,
}

/// A text as a number.
pub fn of_text(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A row of a reading, with its own value and what decode says of it: flags of rules do not count, and a
/// missing value is one whatever was filled in.
pub fn of_row(row_number: u32, meter: u64, ts: Ts, kw: Option<Power>, flags: Flags) -> RowSum {
    let keys = mix(mix(mix(u64::from(row_number)) ^ meter) ^ ts.micros().cast_unsigned());
    let own = kw.filter(|_| !flags.has(Flag::MissingValue));
    let flags = flags.only(Flags::DECODED);
    RowSum { keys, full: mix(mix(keys ^ of_power(own)) ^ u64::from(flags.bits())) }
}

/// A row that did not decode.
pub fn of_reject(row_number: u32, meter_text: &str, ts: Option<Ts>, reason: Reason) -> RowSum {
    let ts = ts.map_or(u64::MAX, |ts| ts.micros().cast_unsigned());
    let keys = mix(mix(mix(u64::from(row_number)) ^ of_text(meter_text)) ^ ts);
    let keys = mix(keys ^ mix(0x7265_6a65_6374 ^ reason as u64));
    RowSum { keys, full: keys }
}

/// A stored row with all that is known of it, for tables that must be equal.
pub fn of_all(
    meter: u64,
    ts: Option<Ts>,
    kw: Option<Power>,
    flags: Flags,
    row: (u32, u32),
    codes: u64,
) -> RowSum {
    let ts = ts.map_or(u64::MAX, |ts| ts.micros().cast_unsigned());
    let row = u64::from(row.0) << 32 | u64::from(row.1);
    let keys = mix(mix(meter) ^ ts);
    let full = mix(mix(keys ^ of_power(kw)) ^ row);
    RowSum { keys, full: mix(full ^ (u64::from(flags.bits()) << 16 | codes)) }
}

fn of_power(kw: Option<Power>) -> u64 {
    // no feed carries as much as i64::MIN milliwatts
    kw.map_or(i64::MIN, Power::milliwatts).cast_unsigned()
}

/// Spreads every bit over all bits (the finalizer of splitmix64).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_row_counts_and_its_order_does_not() {
        let at = Ts::from_micros(900);
        let row = |number, meter, ts, kw: Option<i64>, flags| {
            of_row(number, of_text(meter), ts, kw.map(Power::from_milliwatts), flags)
        };
        let one = row(1, "M1", at, Some(5), Flags::NONE);
        for other in [
            row(2, "M1", at, Some(5), Flags::NONE),
            row(1, "M2", at, Some(5), Flags::NONE),
            row(1, "M1", at.plus(1), Some(5), Flags::NONE),
            row(1, "M1", at, Some(6), Flags::NONE),
            row(1, "M1", at, None, Flags::NONE),
            row(1, "M1", at, Some(5), Flags::NONE.with(Flag::UtcNormalized)),
        ] {
            assert_ne!(one.full, other.full);
        }
        assert_eq!(one, row(1, "M1", at, Some(5), Flags::NONE.with(Flag::Duplicate)));
        let missing = Flags::NONE.with(Flag::MissingValue);
        assert_eq!(row(1, "M1", at, Some(5), missing), row(1, "M1", at, None, missing));
        let two = row(2, "M1", at, Some(5), Flags::NONE);
        let (mut a, mut b) = (Sum::default(), Sum::default());
        [one, two].into_iter().for_each(|row| a.add(row));
        [two, one].into_iter().for_each(|row| b.add(row));
        assert_eq!(a, b);
        assert_ne!(a.full, one.full.wrapping_mul(2));
    }
}
