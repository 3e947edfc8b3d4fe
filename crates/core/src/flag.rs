//! Flags: what was noticed about a reading, kept as metadata for ever.

use std::fmt;

/// One flag. The discriminant is its bit and reaches disk: it may only grow (pinned by a test).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Flag {
    /// The value came in another power unit (rule 1).
    UnitConverted = 0,
    /// The value came as energy per interval (rule 1).
    EnergyToPower = 1,
    /// The time came with a non-zero offset or in a local zone (rule 5).
    UtcNormalized = 2,
    /// A wall time that the autumn change repeats, resolved.
    DstResolved = 3,
    /// Another row of the same reading was superseded (rule 5).
    Duplicate = 4,
    /// The row has no value (rule 2).
    MissingValue = 5,
    /// The value is the donor's (rule 2).
    ForwardFilled = 6,
    /// An operator released it.
    Released = 7,
    /// An operator gave it a value.
    Edited = 8,
    /// More than 24 h into a near-zero run (rule 4).
    PotentiallyFaulty = 9,
}

impl Flag {
    /// All flags, in the order of the contract.
    pub const ALL: [Flag; 10] = [
        Flag::UnitConverted,
        Flag::EnergyToPower,
        Flag::UtcNormalized,
        Flag::DstResolved,
        Flag::Duplicate,
        Flag::MissingValue,
        Flag::ForwardFilled,
        Flag::Released,
        Flag::Edited,
        Flag::PotentiallyFaulty,
    ];

    /// The name in datasets and columns.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Flag::UnitConverted => "unit_converted",
            Flag::EnergyToPower => "energy_to_power",
            Flag::UtcNormalized => "utc_normalized",
            Flag::DstResolved => "dst_resolved",
            Flag::Duplicate => "duplicate",
            Flag::MissingValue => "missing_value",
            Flag::ForwardFilled => "forward_filled",
            Flag::Released => "released",
            Flag::Edited => "edited",
            Flag::PotentiallyFaulty => "potentially_faulty",
        }
    }
}

/// A set of flags, ten bits of sixteen.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(u16);

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// What decode says of a row; it stays with the row whatever becomes of its reading.
    pub const DECODED: Flags = Flags::NONE
        .with(Flag::UnitConverted)
        .with(Flag::EnergyToPower)
        .with(Flag::UtcNormalized)
        .with(Flag::DstResolved)
        .with(Flag::MissingValue);

    /// The set with these bits, unknown bits dropped.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Flags {
        Flags(bits & 0x03ff)
    }

    /// The bits, as stored.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether `flag` is in the set.
    #[must_use]
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u8) != 0
    }

    /// The set with `flag`.
    #[must_use]
    pub const fn with(self, flag: Flag) -> Flags {
        Flags(self.0 | (1 << flag as u8))
    }

    /// The set without `flag`.
    #[must_use]
    pub const fn without(self, flag: Flag) -> Flags {
        Flags(self.0 & !(1 << flag as u8))
    }

    /// The set with `flag` where `on`, else without it.
    #[must_use]
    pub const fn set(self, flag: Flag, on: bool) -> Flags {
        if on { self.with(flag) } else { self.without(flag) }
    }

    /// Those of the set that are also in `others`.
    #[must_use]
    pub const fn only(self, others: Flags) -> Flags {
        Flags(self.0 & others.0)
    }

    /// The flags of the set, in the order of the contract.
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        Flag::ALL.into_iter().filter(move |flag| self.has(*flag))
    }
}

/// Joined with `|`, as in the datasets.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, flag) in self.iter().enumerate() {
            if i > 0 {
                f.write_str("|")?;
            }
            f.write_str(flag.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_on_disk_are_pinned() {
        let pinned: Vec<_> = Flag::ALL.iter().map(|f| (*f as u8, f.name())).collect();
        assert_eq!(
            pinned,
            [
                (0, "unit_converted"),
                (1, "energy_to_power"),
                (2, "utc_normalized"),
                (3, "dst_resolved"),
                (4, "duplicate"),
                (5, "missing_value"),
                (6, "forward_filled"),
                (7, "released"),
                (8, "edited"),
                (9, "potentially_faulty"),
            ]
        );
    }

    #[test]
    fn a_row_keeps_only_what_decode_said_of_it() {
        let all = Flags::from_bits(u16::MAX);
        assert_eq!(
            all.only(Flags::DECODED).to_string(),
            "unit_converted|energy_to_power|utc_normalized|dst_resolved|missing_value"
        );
    }

    #[test]
    fn a_set_is_joined_in_the_order_of_the_contract() {
        let set = Flags::NONE.with(Flag::PotentiallyFaulty).with(Flag::UnitConverted);
        assert_eq!(set.to_string(), "unit_converted|potentially_faulty");
        assert_eq!(set.without(Flag::UnitConverted).to_string(), "potentially_faulty");
        assert_eq!(format!("{set:?} {:?}", Flags::NONE), "[unit_converted|potentially_faulty] []");
    }
}
