//! The defects that a simulation can inject, and how often.

/// One kind of defect, or a rare truth that looks like one. Its name stands in the ground truth.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A value inside the limits, far above the meter's last 24 hours: an `outlier` to rule 3.
    Spike,
    /// A value above 10 kW: a wrong factor of 1000 or a damaged register.
    AboveLimit,
    /// A value below zero: a sign turned round.
    Negative,
    /// No value: empty, `NULL`, `NaN` and their like; often several intervals running.
    Missing,
    /// No row at all; often several intervals running. The truth has no line number.
    Absent,
    /// The row is left out of its own upload and comes in a later one.
    Late,
    /// The same row again, at once or in a later upload. The line is that of the second copy.
    Duplicate,
    /// A row with an estimated value; a [`Kind::Corrected`] row follows in a later upload.
    Estimated,
    /// The true value of an [`Kind::Estimated`] row. Has no rate of its own.
    Corrected,
    /// The right value in `W`.
    UnitWatts,
    /// `kW` in other letter case.
    UnitCase,
    /// The right instant with an offset from UTC, such as `+01:00`.
    LocalOffset,
    /// The right instant in another form: epoch seconds or milliseconds, a blank for the `T`.
    TimestampForm,
    /// Some or all fields in quotes.
    Quoted,
    /// Blanks and tabs around fields.
    Blanks,
    /// A line that is no record of four fields.
    Malformed,
    /// A meter id that is empty, too long or holds a control character.
    BadMeterId,
    /// A timestamp that names no instant.
    BadTimestamp,
    /// A timestamp without offset.
    NoZone,
    /// A value that is no number.
    BadValue,
    /// A value with a unit of something else, or with none.
    UnknownUnit,
    /// A clock decades ahead.
    Future,
    /// A dead meter: values below 0.01 kW for more than 24 hours while the home draws power.
    NearZero,
    /// A dead meter that reports exactly 0 for whole days.
    ZeroDay,
    /// The same bytes again under another name. The truth has no meter and no line number.
    RepeatedUpload,
    /// No defect: a home with solar panels feeds the grid, so its net value is below zero.
    SolarExport,
    /// No defect: a home with electric heating that really draws more than 10 kW.
    TruePeak,
}

/// Kind, name in the ground truth, default rate. In the order of the enum.
const TABLE: [(Kind, &str, f64); Kind::COUNT] = [
    (Kind::Spike, "spike", 0.02),
    (Kind::AboveLimit, "above_limit", 0.02),
    (Kind::Negative, "negative", 0.002),
    (Kind::Missing, "missing", 0.01),
    (Kind::Absent, "absent", 0.004),
    (Kind::Late, "late", 0.01),
    (Kind::Duplicate, "duplicate", 0.005),
    (Kind::Estimated, "estimated", 0.002),
    (Kind::Corrected, "corrected", 0.0),
    (Kind::UnitWatts, "unit_watts", 0.01),
    (Kind::UnitCase, "unit_case", 0.005),
    (Kind::LocalOffset, "local_offset", 0.01),
    (Kind::TimestampForm, "timestamp_form", 0.003),
    (Kind::Quoted, "quoted", 0.005),
    (Kind::Blanks, "blanks", 0.005),
    (Kind::Malformed, "malformed", 0.001),
    (Kind::BadMeterId, "bad_meter_id", 0.000_2),
    (Kind::BadTimestamp, "bad_timestamp", 0.000_5),
    (Kind::NoZone, "no_zone", 0.000_3),
    (Kind::BadValue, "bad_value", 0.000_5),
    (Kind::UnknownUnit, "unknown_unit", 0.000_5),
    (Kind::Future, "future", 0.000_1),
    (Kind::NearZero, "near_zero", 0.005),
    (Kind::ZeroDay, "zero_day", 0.003),
    (Kind::RepeatedUpload, "repeated_upload", 0.04),
    (Kind::SolarExport, "solar_export", 0.003),
    (Kind::TruePeak, "true_peak", 0.05),
];

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = 27;

    /// Kinds of which each reading has at most one, each with its own chance.
    pub(crate) const PER_READING: [Kind; 19] = [
        Kind::Spike,
        Kind::AboveLimit,
        Kind::Negative,
        Kind::Late,
        Kind::Duplicate,
        Kind::Estimated,
        Kind::UnitWatts,
        Kind::UnitCase,
        Kind::LocalOffset,
        Kind::TimestampForm,
        Kind::Quoted,
        Kind::Blanks,
        Kind::Malformed,
        Kind::BadMeterId,
        Kind::BadTimestamp,
        Kind::NoZone,
        Kind::BadValue,
        Kind::UnknownUnit,
        Kind::Future,
    ];

    /// All kinds, in the order of the enum.
    pub fn all() -> impl Iterator<Item = Kind> {
        TABLE.iter().map(|(kind, _, _)| *kind)
    }

    /// The name in the ground truth and the summary.
    #[must_use]
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::all().find(|kind| kind.name() == name)
    }

    /// Whether a row with this defect cannot be decoded.
    #[must_use]
    pub const fn breaks_decoding(self) -> bool {
        matches!(
            self,
            Kind::Malformed
                | Kind::BadMeterId
                | Kind::BadTimestamp
                | Kind::NoZone
                | Kind::BadValue
                | Kind::UnknownUnit
                | Kind::Future
        )
    }
}

/// How often each kind is injected: a share of 0 to 1.
///
/// Of all readings for most kinds; of the meters, in each fortnight, for `near_zero` and `zero_day`;
/// of the files for `repeated_upload`; of the homes for `solar_export` (homes with panels) and
/// `true_peak` (homes with electric heating, which exceed 10 kW now and then). `corrected` follows
/// `estimated`. A reading has one defect at most, besides what its meter or home does.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rates([f64; Kind::COUNT]);

impl Rates {
    /// No defect at all: every value is true, in time and inside the limits.
    #[must_use]
    pub const fn none() -> Rates {
        Rates([0.0; Kind::COUNT])
    }

    /// The rate of a kind.
    #[must_use]
    pub const fn get(&self, kind: Kind) -> f64 {
        self.0[kind as usize]
    }

    /// The same rates with another one for `kind`; [`crate::Plan::write`] checks it.
    #[must_use]
    pub const fn with(mut self, kind: Kind, share: f64) -> Rates {
        self.0[kind as usize] = share;
        self
    }

    /// What is wrong with the rates, if anything is.
    pub(crate) fn problem(&self) -> Option<String> {
        let sum = |wanted: fn(Kind) -> bool| -> f64 {
            Kind::PER_READING.into_iter().filter(|k| wanted(*k)).map(|k| self.get(k)).sum()
        };
        if let Some(kind) = Kind::all().find(|k| !(0.0..=1.0).contains(&self.get(*k))) {
            return Some(format!("the rate of {} must be between 0 and 1", kind.name()));
        }
        if sum(|_| true) > 0.8 {
            return Some("the rates of defects of single readings add up to more than 0.8".to_owned());
        }
        // A feed with 20 % of undecodable rows is refused whole; small files scatter.
        if sum(Kind::breaks_decoding) > 0.1 {
            return Some("the rates of defects that break decoding add up to more than 0.1".to_owned());
        }
        if self.get(Kind::Missing) + self.get(Kind::Absent) > 0.06 {
            return Some("the rates of missing and absent add up to more than 0.06".to_owned());
        }
        if self.get(Kind::NearZero) + self.get(Kind::ZeroDay) > 1.0 {
            return Some("the rates of near_zero and zero_day add up to more than 1".to_owned());
        }
        None
    }
}

impl Default for Rates {
    fn default() -> Rates {
        Rates(TABLE.map(|(_, _, share)| share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_enum() {
        for (place, kind) in Kind::all().enumerate() {
            assert_eq!(kind as usize, place);
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
    }

    #[track_caller]
    fn check(rates: Rates, problem: Option<&str>) {
        assert_eq!(
            rates.problem().as_deref().map(|p| p.contains(problem.unwrap_or("no problem"))),
            problem.map(|_| true)
        );
    }

    #[test]
    fn rates_that_cannot_be_kept_are_refused() {
        check(Rates::default(), None);
        check(Rates::none(), None);
        check(Rates::none().with(Kind::Late, 0.8), None);
        check(Rates::none().with(Kind::Late, 0.81), Some("more than 0.8"));
        check(Rates::none().with(Kind::Late, 1.1), Some("rate of late"));
        check(Rates::none().with(Kind::Late, -0.1), Some("rate of late"));
        check(Rates::none().with(Kind::Late, f64::NAN), Some("rate of late"));
        check(Rates::none().with(Kind::Future, 0.1), None);
        check(Rates::none().with(Kind::Future, 0.11), Some("break decoding"));
        check(Rates::none().with(Kind::Absent, 0.06), None);
        check(Rates::none().with(Kind::Absent, 0.07), Some("missing and absent"));
        check(Rates::none().with(Kind::NearZero, 1.0).with(Kind::ZeroDay, 0.1), Some("near_zero"));
    }

    #[test]
    fn default_rates_leave_decode_failures_far_under_a_fifth() {
        let rates = Rates::default();
        let sum: f64 = Kind::all().filter(|k| k.breaks_decoding()).map(|k| rates.get(k)).sum();
        assert!(sum < 0.01, "{sum}");
    }
}
