//! What an analysis says beside the profile: why, what it is unsure of, and what a person would fall for.

/// Why a key of the profile is as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// The key, as in `docs/feeds.md`.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// What in the file says so.
    pub evidence: String,
}

/// A question that the file does not settle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Doubt {
    /// The key that it is about.
    pub key: &'static str,
    /// The question, with what was assumed.
    pub question: String,
    /// What else it may be.
    pub alternatives: Vec<String>,
    /// How to settle it.
    pub settle: String,
    /// Whether the profile cannot be used before it is settled.
    pub blocks: bool,
}

/// What a hasty reader of the file would get wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TrapKind {
    /// Day and month may be, or are, swapped.
    DayMonth,
    /// Energy may be taken for power, or power for energy.
    EnergyPower,
    /// Timestamps name the ends of intervals.
    LabelAtEnd,
    /// Local time, and nothing says whose.
    NoZone,
    /// The meter's register, which only grows, not what was used in an interval.
    Register,
    /// Numbers that stand for no value.
    Sentinel,
    /// Days of 23 or 25 hours that the profile cannot tell apart.
    ClockChange,
    /// Rows or columns that are no readings of active energy or power.
    Foreign,
}

impl TrapKind {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TrapKind::DayMonth => "day_month",
            TrapKind::EnergyPower => "energy_power",
            TrapKind::LabelAtEnd => "label_at_end",
            TrapKind::NoZone => "no_zone",
            TrapKind::Register => "register",
            TrapKind::Sentinel => "sentinel",
            TrapKind::ClockChange => "clock_change",
            TrapKind::Foreign => "foreign",
        }
    }
}

/// A trap, and what was done about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trap {
    /// Which.
    pub kind: TrapKind,
    /// Where it is, and how the profile deals with it.
    pub text: String,
}

/// A column whose values are those of a cumulative register: they never fall, and what was used in an
/// interval is the difference of two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Register {
    /// The column's position, from 1.
    pub position: usize,
    /// Its name in the header; empty where there is none.
    pub name: String,
    /// How often it rose, fell and stayed.
    pub evidence: String,
}

/// Everything that was found so far.
#[derive(Clone, Default, Debug)]
pub(super) struct Findings {
    pub(super) reasons: Vec<Reason>,
    pub(super) doubts: Vec<Doubt>,
    pub(super) traps: Vec<Trap>,
    pub(super) registers: Vec<Register>,
    /// Whether the values are those of registers: no other column holds what was used.
    pub(super) takes_registers: bool,
}

impl Findings {
    pub(super) fn because(
        &mut self,
        key: &'static str,
        value: impl Into<String>,
        evidence: impl Into<String>,
    ) {
        self.reasons.push(Reason { key, value: value.into(), evidence: evidence.into() });
    }

    pub(super) fn doubt(
        &mut self,
        key: &'static str,
        question: impl Into<String>,
        alternatives: &[&str],
        settle: impl Into<String>,
    ) {
        self.doubts.push(Doubt {
            key,
            question: question.into(),
            alternatives: alternatives.iter().map(|text| (*text).to_owned()).collect(),
            settle: settle.into(),
            blocks: false,
        });
    }

    /// A doubt without whose answer no profile can be used.
    pub(super) fn lack(&mut self, key: &'static str, question: impl Into<String>, settle: impl Into<String>) {
        self.doubt(key, question, &[], settle);
        if let Some(doubt) = self.doubts.last_mut() {
            doubt.blocks = true;
        }
    }

    pub(super) fn trap(&mut self, kind: TrapKind, text: impl Into<String>) {
        self.traps.push(Trap { kind, text: text.into() });
    }
}
