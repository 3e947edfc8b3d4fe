//! What a channel measures, by the unit that formats of the energy industry name.

use super::feed::Interval;
use super::number;
use super::records::Value;
use super::unit::{Conversion, Unit};
use super::value::is_missing;
use crate::{Flag, Flags, Power, Reason};

/// What a channel measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Quantity {
    /// Active energy or power.
    Active(Unit),
    /// Something else that is known, or nothing that is said: such channels are passed over.
    Other,
    /// What this unit means is not known.
    Unknown,
}

/// Reactive and apparent energy and power, voltage, current, power factor, frequency.
const OTHERS: [&str; 18] = [
    "", "varh", "kvarh", "Mvarh", "var", "kvar", "Mvar", "VAh", "kVAh", "MVAh", "VA", "kVA", "MVA", "V",
    "kV", "A", "kA", "pf",
];

impl Quantity {
    /// What a unit as written (trimmed) stands for. In these formats case means nothing.
    pub(crate) fn of(text: &[u8]) -> Quantity {
        let is = |name: &str| name.as_bytes().eq_ignore_ascii_case(text);
        let active = [Unit::Kwh, Unit::Wh, Unit::Mwh, Unit::Kw, Unit::W, Unit::Mw];
        match active.into_iter().find(|unit| is(unit.name())) {
            Some(unit) => Quantity::Active(unit),
            None if OTHERS.into_iter().any(is) => Quantity::Other,
            None => Quantity::Unknown,
        }
    }

    /// How its values become power; none where that cannot be told.
    pub(crate) fn conversion(self, interval: Option<Interval>) -> Option<Conversion> {
        match self {
            Quantity::Active(unit) => Conversion::of(unit, interval, 0),
            Quantity::Other | Quantity::Unknown => None,
        }
    }
}

/// A value that is missing.
pub(crate) const MISSING: Value = Ok((None, Flags::NONE.with(Flag::MissingValue)));

/// What a value (trimmed) comes to by `conversion`; none stands for an unknown unit.
pub(crate) fn read(text: &[u8], conversion: Option<&Conversion>) -> Value {
    if is_missing(text, &[]) {
        return MISSING;
    }
    match conversion {
        None if number::is_number(text) => Err(Reason::UnitUnknown),
        None => Err(Reason::ValueInvalid),
        Some(conversion) => match number::milliwatts(text, &conversion.scale) {
            Some(mw) => Ok((Some(Power::from_milliwatts(mw)), conversion.flags)),
            None => Err(Reason::ValueInvalid),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_energy_and_power_are_read_others_passed_over_and_the_unknown_is_named() {
        for (text, expected) in [
            ("KWH", Quantity::Active(Unit::Kwh)),
            ("mwh", Quantity::Active(Unit::Mwh)),
            ("W", Quantity::Active(Unit::W)),
            ("KVARH", Quantity::Other),
            ("kVArh", Quantity::Other),
            ("V", Quantity::Other),
            ("", Quantity::Other),
            ("kWhh", Quantity::Unknown),
        ] {
            assert_eq!(Quantity::of(text.as_bytes()), expected, "{text}");
        }
    }
}
