//! A reading: what is known of one meter at one instant.

use crate::{Flag, Flags, Power, Reason, Ts};

/// Where the rules have put a reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Standing {
    /// Not judged yet: a row that has just won its reading. Never stored.
    Unjudged = 0,
    /// Stored: measured within its limits, filled, missing, released or edited.
    Accepted = 1,
    /// Quarantined: below the lower limit.
    Negative = 2,
    /// Quarantined: above the upper limit.
    AboveLimit = 3,
    /// Quarantined, yet measured: an outlier of its 24 hours.
    Outlier = 4,
}

impl Standing {
    /// The reason in the error queue; none where the reading is stored (or not judged).
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Standing::Unjudged | Standing::Accepted => None,
            Standing::Negative => Some(Reason::ValueNegative),
            Standing::AboveLimit => Some(Reason::ValueAboveLimit),
            Standing::Outlier => Some(Reason::Outlier),
        }
    }

    /// The standing that a reason in the error queue stands for; none for decode failures.
    #[must_use]
    pub const fn from_reason(reason: Reason) -> Option<Standing> {
        match reason {
            Reason::ValueNegative => Some(Standing::Negative),
            Reason::ValueAboveLimit => Some(Standing::AboveLimit),
            Reason::Outlier => Some(Standing::Outlier),
            _ => None,
        }
    }
}

/// The winning row of one (meter, instant), as judged. 32 bytes: a service holds millions.
///
/// Invariants, kept by [`crate::rules`]: `kw` is `None` exactly when the value is missing and not
/// filled; [`Flag::MissingValue`] tells whether the row itself had no value (a filled reading has
/// the flag and the donor's `kw`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// Start of the interval.
    pub ts: Ts,
    /// The value as stored: measured, filled, given by an operator, or none.
    pub kw: Option<Power>,
    /// The upload of the winning row, from 1.
    pub upload: u32,
    /// The winning row within its upload, from 1.
    pub row_number: u32,
    /// Everything noticed so far.
    pub flags: Flags,
    /// What the rules made of it.
    pub standing: Standing,
}

impl Reading {
    /// Whether the winning row has no value of its own.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        self.flags.has(Flag::MissingValue)
    }

    /// A value inside its limits (an outlier is one too), or given or released by an operator.
    #[must_use]
    pub const fn is_measured(&self) -> bool {
        !self.is_missing() && matches!(self.standing, Standing::Accepted | Standing::Outlier)
    }

    /// Measured and no outlier, or released or edited by an operator: a donor for rule 2.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        !self.is_missing() && matches!(self.standing, Standing::Accepted)
    }

    /// Released or edited by an operator: trusted, and not judged again.
    #[must_use]
    pub const fn is_decided(&self) -> bool {
        self.flags.has(Flag::Released) || self.flags.has(Flag::Edited)
    }

    /// Measured with a size below 0.01 kW.
    #[must_use]
    pub fn is_near_zero(&self) -> bool {
        self.is_measured() && self.kw.is_some_and(Power::is_near_zero)
    }

    /// The winner's own value: none for a missing one, also when it is filled.
    #[must_use]
    pub fn own_kw(&self) -> Option<Power> {
        if self.is_missing() { None } else { self.kw }
    }

    /// The order in which rows of one reading win: a value before none, then the later upload,
    /// then the later row (rule 5).
    #[must_use]
    pub const fn rank(&self) -> (bool, u32, u32) {
        (!self.is_missing(), self.upload, self.row_number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_takes_thirty_two_bytes() {
        assert_eq!(size_of::<Reading>(), 32);
    }
}
