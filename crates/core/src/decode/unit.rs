//! Units: which a feed may carry, and how each becomes power (rule 1).

use super::feed::Interval;
use super::number::Scale;
use crate::{Flag, Flags};

/// A unit of power, or of energy per interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
pub enum Unit {
    /// Watts; in any case.
    W,
    /// Kilowatts; in any case.
    #[serde(rename = "kW")]
    Kw,
    /// Megawatts; with a capital M, for `mW` are milliwatts.
    #[serde(rename = "MW")]
    Mw,
    /// Watt-hours per interval; in any case.
    Wh,
    /// Kilowatt-hours per interval; in any case.
    #[serde(rename = "kWh")]
    Kwh,
    /// Megawatt-hours per interval; with a capital M.
    #[serde(rename = "MWh")]
    Mwh,
}

impl Unit {
    /// The usual spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Unit::W => "W",
            Unit::Kw => "kW",
            Unit::Mw => "MW",
            Unit::Wh => "Wh",
            Unit::Kwh => "kWh",
            Unit::Mwh => "MWh",
        }
    }

    /// Whether it is energy, which needs the length of the interval to become power.
    #[must_use]
    pub const fn is_energy(self) -> bool {
        matches!(self, Unit::Wh | Unit::Kwh | Unit::Mwh)
    }

    const fn tens(self) -> u32 {
        match self {
            Unit::W | Unit::Wh => 3,
            Unit::Kw | Unit::Kwh => 6,
            Unit::Mw | Unit::Mwh => 9,
        }
    }

    fn is_spelt(self, text: &[u8]) -> bool {
        let mega = matches!(self, Unit::Mw | Unit::Mwh);
        text.eq_ignore_ascii_case(self.name().as_bytes()) && (!mega || text.first() == Some(&b'M'))
    }
}

/// A unit made ready: how to convert, and what to flag.
#[derive(Clone, Debug)]
pub(crate) struct Conversion {
    pub(crate) scale: Scale,
    pub(crate) flags: Flags,
}

impl Conversion {
    /// For values that are to be multiplied by 10^`factor`. None for energy without an interval, and
    /// for a factor that leaves the range of the units: below a milliwatt, above a gigawatt.
    pub(crate) fn of(unit: Unit, interval: Option<Interval>, factor: i32) -> Option<Conversion> {
        let tens = unit.tens().checked_add_signed(factor).filter(|tens| *tens <= 9)?;
        Some(match (unit, interval) {
            (Unit::Kw, _) => {
                let flags = Flags::NONE.set(Flag::UnitConverted, factor != 0);
                Conversion { scale: Scale::power(tens), flags }
            }
            (Unit::W | Unit::Mw, _) => {
                Conversion { scale: Scale::power(tens), flags: Flags::NONE.with(Flag::UnitConverted) }
            }
            (Unit::Wh | Unit::Kwh | Unit::Mwh, Some(interval)) => Conversion {
                scale: Scale::energy(tens, interval.seconds()),
                flags: Flags::NONE.with(Flag::EnergyToPower),
            },
            (Unit::Wh | Unit::Kwh | Unit::Mwh, None) => return None,
        })
    }
}

impl Conversion {
    /// Energy as it is, in micro-watt-hours instead of milliwatts; none for power, and for a factor that
    /// leaves the range of the units.
    pub(crate) fn energy(unit: Unit, factor: i32) -> Option<Conversion> {
        let tens = unit.tens().checked_add_signed(factor).filter(|tens| *tens <= 9 && unit.is_energy())?;
        Some(Conversion { scale: Scale::power(tens + 3), flags: Flags::NONE.with(Flag::EnergyToPower) })
    }
}

/// The units that the unit column of a feed may hold.
#[derive(Clone, Debug)]
pub(crate) struct Units {
    kw: Option<Conversion>,
    others: Vec<(Unit, Conversion)>,
}

impl Units {
    /// `W`, `kW` and what the feed declares; energy without an interval is left out.
    pub(crate) fn new(declared: &[Unit], interval: Option<Interval>, factor: i32) -> Units {
        let others = [Unit::Kw, Unit::W].iter().chain(declared);
        let others = others.filter_map(|unit| Some((*unit, Conversion::of(*unit, interval, factor)?)));
        Units { kw: Conversion::of(Unit::Kw, None, factor), others: others.collect() }
    }

    /// The conversion for a unit as written (trimmed).
    pub(crate) fn find(&self, text: &[u8]) -> Option<&Conversion> {
        if text == b"kW" {
            return self.kw.as_ref();
        }
        self.others.iter().find(|(unit, _)| unit.is_spelt(text)).map(|(_, conversion)| conversion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units() -> Units {
        Units::new(&[Unit::Mw, Unit::Kwh, Unit::Mwh], Interval::parse("30min").ok(), 0)
    }

    #[track_caller]
    fn check(text: &str, expected: Option<Flags>) {
        assert_eq!(units().find(text.as_bytes()).map(|c| c.flags), expected, "{text}");
    }

    #[test]
    fn power_in_any_case_and_declared_units_only() {
        let converted = Flags::NONE.with(Flag::UnitConverted);
        let energy = Flags::NONE.with(Flag::EnergyToPower);
        for (text, expected) in [
            ("kW", Some(Flags::NONE)),
            ("KW", Some(Flags::NONE)),
            ("kw", Some(Flags::NONE)),
            ("W", Some(converted)),
            ("w", Some(converted)),
            ("MW", Some(converted)),
            ("Mw", Some(converted)),
            ("mW", None),
            ("mw", None),
            ("kWh", Some(energy)),
            ("KWH", Some(energy)),
            ("MWh", Some(energy)),
            ("mWh", None),
            ("Wh", None),
            ("", None),
            ("kW ", None),
            ("BTU", None),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn energy_without_an_interval_is_no_unit() {
        assert!(Units::new(&[Unit::Kwh], None, 0).find(b"kWh").is_none());
        assert!(Units::new(&[], Interval::parse("1h").ok(), 0).find(b"kWh").is_none());
    }

    #[test]
    fn energy_as_it_is_is_energy_within_the_range_of_the_units() {
        for (unit, factor, is_some) in [
            (Unit::Kwh, 0, true),
            (Unit::Kwh, 3, true),
            (Unit::Kwh, 4, false),
            (Unit::Wh, -3, true),
            (Unit::Wh, -4, false),
            (Unit::Kw, 0, false),
            (Unit::Kw, 9, false),
        ] {
            assert_eq!(Conversion::energy(unit, factor).is_some(), is_some, "{unit:?} {factor}");
        }
    }
}
