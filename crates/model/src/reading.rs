//! The words of the model: flags, reasons, rows and readings.

use std::collections::BTreeSet;

/// What was noticed about a row or a reading, in the order of the contract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Flag {
    UnitConverted,
    EnergyToPower,
    UtcNormalized,
    DstResolved,
    Duplicate,
    MissingValue,
    ForwardFilled,
    Released,
    Edited,
    PotentiallyFaulty,
}

impl Flag {
    fn name(self) -> &'static str {
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

/// Flags, joined with `|` in the order of the contract.
pub(crate) fn flags_text(flags: &BTreeSet<Flag>) -> String {
    flags.iter().map(|flag| flag.name()).collect::<Vec<_>>().join("|")
}

/// Why a row is in the error queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    RowMalformed,
    MeterIdInvalid,
    TimestampInvalid,
    TimestampNoZone,
    TimestampNonexistent,
    TimestampInFuture,
    ValueInvalid,
    UnitUnknown,
    ValueNegative,
    ValueAboveLimit,
    Outlier,
}

impl Reason {
    pub(crate) fn name(self) -> &'static str {
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

    /// Whether a rule gives it, and not decode.
    pub(crate) fn is_judged(self) -> bool {
        matches!(self, Reason::ValueNegative | Reason::ValueAboveLimit | Reason::Outlier)
    }

    /// Whether meter and time of a row with this reason are known.
    pub(crate) fn knows_meter_and_time(self) -> bool {
        self.is_judged()
            || matches!(self, Reason::TimestampInFuture | Reason::ValueInvalid | Reason::UnitUnknown)
    }
}

/// One row of an upload, as decoded.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) upload: u32,
    pub(crate) row_number: u32,
    /// The line, without its end.
    pub(crate) raw: String,
    /// The meter, as far as it can be read.
    pub(crate) meter: String,
    /// The instant, as far as it can be read.
    pub(crate) ts: Option<i64>,
    /// The value in milliwatts; none where it is missing or the row failed.
    pub(crate) value: Option<i64>,
    /// What decode noticed.
    pub(crate) flags: BTreeSet<Flag>,
    /// Why it failed to decode, if it did.
    pub(crate) failure: Option<Reason>,
}

/// What is known of one meter at one instant: the row that wins, and what the rules make of it.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) row: Row,
    pub(crate) ts: i64,
    /// The value of its own: the row's or the operator's; none where it is missing.
    pub(crate) own: Option<i64>,
    /// The value that is stored: its own or the donor's.
    pub(crate) kw: Option<i64>,
    pub(crate) flags: BTreeSet<Flag>,
    /// Released or edited: not judged.
    pub(crate) is_decided: bool,
    /// Why it is quarantined, if it is.
    pub(crate) reason: Option<Reason>,
}

impl Reading {
    /// With a value inside its limits (an outlier is one too), or released or edited by an operator.
    pub(crate) fn is_measured(&self) -> bool {
        self.own.is_some() && matches!(self.reason, None | Some(Reason::Outlier))
    }

    /// Measured and no outlier.
    pub(crate) fn is_trusted(&self) -> bool {
        self.own.is_some() && self.reason.is_none()
    }

    /// Measured, with a size below 0.01 kW.
    pub(crate) fn is_near_zero(&self) -> bool {
        self.is_measured() && self.own.is_some_and(|own| own.unsigned_abs() < 10_000)
    }
}
