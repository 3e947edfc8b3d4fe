//! Reasons: why a row waits in the error queue.

/// Why a row is quarantined. The discriminant reaches disk and may only grow (pinned by a test).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Reason {
    /// Wrong number of fields, a quote or CR out of place, a NUL, invalid encoding.
    RowMalformed = 1,
    /// Meter id empty, over 64 bytes or with a character that cannot be seen.
    MeterIdInvalid = 2,
    /// Not a timestamp the feed knows.
    TimestampInvalid = 3,
    /// No offset, and the feed names no zone.
    TimestampNoZone = 4,
    /// A wall time that the spring change skips.
    TimestampNonexistent = 5,
    /// More than 15 minutes after the landing time.
    TimestampInFuture = 6,
    /// Neither a number nor a missing value.
    ValueInvalid = 7,
    /// A value whose unit rule 1 does not know.
    UnitUnknown = 8,
    /// Below the meter's lower limit (rule 3).
    ValueNegative = 9,
    /// Above the meter's upper limit (rule 3).
    ValueAboveLimit = 10,
    /// More than three standard deviations from the mean of its 24 hours (rule 3).
    Outlier = 11,
}

impl Reason {
    /// All reasons, in the order of evaluation.
    pub const ALL: [Reason; 11] = [
        Reason::RowMalformed,
        Reason::MeterIdInvalid,
        Reason::TimestampInvalid,
        Reason::TimestampNoZone,
        Reason::TimestampNonexistent,
        Reason::TimestampInFuture,
        Reason::ValueInvalid,
        Reason::UnitUnknown,
        Reason::ValueNegative,
        Reason::ValueAboveLimit,
        Reason::Outlier,
    ];

    /// The name in datasets.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Reason::RowMalformed => "row_malformed",
            Reason::MeterIdInvalid => "meter_id_invalid",
            Reason::TimestampInvalid => "timestamp_invalid",
            Reason::TimestampNoZone => "timestamp_no_zone",
            Reason::TimestampNonexistent => "timestamp_nonexistent",
            Reason::TimestampInFuture => "timestamp_in_future",
            Reason::ValueInvalid => "value_invalid",
            Reason::UnitUnknown => "unit_unknown",
            Reason::ValueNegative => "value_negative",
            Reason::ValueAboveLimit => "value_above_limit",
            Reason::Outlier => "outlier",
        }
    }

    /// The number on disk.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason with this number on disk.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The reason with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Whether decode gives it: such a row is no reading and takes part in no rule.
    #[must_use]
    pub const fn is_decode_failure(self) -> bool {
        (self as u8) < Reason::ValueNegative as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_on_disk_are_pinned() {
        let pinned: Vec<_> = Reason::ALL.iter().map(|r| (r.code(), r.name())).collect();
        assert_eq!(
            pinned,
            [
                (1, "row_malformed"),
                (2, "meter_id_invalid"),
                (3, "timestamp_invalid"),
                (4, "timestamp_no_zone"),
                (5, "timestamp_nonexistent"),
                (6, "timestamp_in_future"),
                (7, "value_invalid"),
                (8, "unit_unknown"),
                (9, "value_negative"),
                (10, "value_above_limit"),
                (11, "outlier"),
            ]
        );
        assert!(Reason::ALL.into_iter().all(|r| Reason::from_code(r.code()) == Some(r)));
        assert!(Reason::ALL.into_iter().all(|r| Reason::from_name(r.name()) == Some(r)));
    }
}
