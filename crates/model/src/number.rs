//! Values: decimal text to whole milliwatts, exactly.

use num_bigint::BigInt;

/// What the field of a value says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    /// There is no value.
    Missing,
    /// Neither a number nor a missing value.
    Invalid,
    /// A number, in the unit beside it.
    Number(Decimal),
}

/// `±digits × 10^exponent`, exact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Decimal {
    negative: bool,
    /// Without leading zeros; empty for 0.
    digits: String,
    exponent: i64,
}

/// A unit: how many kilowatts it stands for, as a fraction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unit {
    pub(crate) numerator: u64,
    pub(crate) denominator: u64,
}

/// Reads the field of a value, already trimmed.
pub(crate) fn read_value(text: &str) -> Value {
    if ["", "null", "nan", "na", "n/a", "-", "?"].contains(&text.to_ascii_lowercase().as_str()) {
        return Value::Missing;
    }
    read_decimal(text).map_or(Value::Invalid, Value::Number)
}

/// `[+-]?(digits[.[digits]]|.digits)([eE][+-]?digits)?` in ASCII; none for any other text.
fn read_decimal(text: &str) -> Option<Decimal> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
        None => (text, 0),
    };
    let (negative, mantissa) = read_sign(mantissa);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !all_digits(whole) || !all_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits = format!("{whole}{fraction}").trim_start_matches('0').to_owned();
    let exponent = exponent - i64::try_from(fraction.len()).ok()?;
    Some(Decimal { negative, digits, exponent })
}

/// An exponent. Beyond a million millions its size no longer matters, and is held there.
fn read_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = read_sign(text);
    if digits.is_empty() || !all_digits(digits) {
        return None;
    }
    let size = digits.parse::<i64>().unwrap_or(i64::MAX).min(1_000_000_000_000);
    Some(if negative { -size } else { size })
}

fn read_sign(text: &str) -> (bool, &str) {
    match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => (false, text),
    }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whole milliwatts, rounded half away from zero; none where the size is above 1e12 kW before rounding.
pub(crate) fn milliwatts(decimal: &Decimal, unit: Unit) -> Option<i64> {
    let magnitude = i64::try_from(decimal.digits.len()).ok()?.saturating_add(decimal.exponent);
    // A unit is between 1e-12 and 1e12 kW, so 1e100 of any is too many and 1e-100 of any rounds to 0.
    if decimal.digits.is_empty() || magnitude < -100 {
        return Some(0);
    }
    if magnitude > 100 {
        return None;
    }
    let digits: BigInt = decimal.digits.parse().ok()?;
    let mut numerator = digits * unit.numerator * 1_000_000;
    let mut denominator = BigInt::from(unit.denominator);
    let shift = BigInt::from(10).pow(u32::try_from(decimal.exponent.unsigned_abs()).ok()?);
    if decimal.exponent < 0 {
        denominator *= shift;
    } else {
        numerator *= shift;
    }
    if numerator > BigInt::from(1_000_000_000_000_000_000_u64) * &denominator {
        return None;
    }
    let size: BigInt = (numerator * 2 + &denominator) / (denominator * 2);
    let size = i64::try_from(size).ok()?;
    Some(if decimal.negative { -size } else { size })
}

/// The value of a number in a unit of `numerator / denominator` kilowatts, in whole milliwatts; none where the
/// (trimmed) text is no number, or one of more than 1e12 kW.
#[must_use]
pub fn read_milliwatts(text: &str, numerator: u64, denominator: u64) -> Option<i64> {
    milliwatts(&read_decimal(text)?, Unit { numerator, denominator })
}

/// Kilowatts as the contract writes them: at most six decimals, no trailing zeros, no `-0`.
#[must_use]
pub fn kw_text(milliwatts: i64) -> String {
    let size = milliwatts.unsigned_abs();
    let text = format!("{}.{:06}", size / 1_000_000, size % 1_000_000);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if milliwatts < 0 { format!("-{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, unit: Unit, expected: Option<i64>) {
        let Value::Number(decimal) = read_value(text) else { panic!("{text} is a number") };
        assert_eq!(milliwatts(&decimal, unit), expected, "{text}");
    }

    const KW: Unit = Unit { numerator: 1, denominator: 1 };

    #[test]
    fn numbers_are_rounded_once_half_away_from_zero() {
        check("0.0000005", KW, Some(1));
        check("-0.0000005", KW, Some(-1));
        check("0.00000049999999999999", KW, Some(0));
        check("1234.5675", Unit { numerator: 1, denominator: 1000 }, Some(1_234_568));
        check("1", Unit { numerator: 3600, denominator: 900 }, Some(4_000_000));
        check("1", Unit { numerator: 3600, denominator: 700 }, Some(5_142_857));
    }

    #[test]
    fn numbers_are_exact_whatever_the_exponent() {
        check("1e12", KW, Some(1_000_000_000_000_000_000));
        check("1000000000000.0000000000001", KW, None);
        check("1e400", KW, None);
        check("0e99999999999999999999999", KW, Some(0));
        check("1e-99999999999999999999999", KW, Some(0));
        check("1e99999999999999999999999", KW, None);
        check(&format!("{}e-199", "1".repeat(200)), KW, Some(1_111_111));
        check(&format!("0.{}5e200", "0".repeat(200)), KW, Some(500_000));
    }

    #[test]
    fn other_texts_are_missing_or_invalid() {
        for text in ["", "NULL", "nan", "Na", "n/A", "-", "?"] {
            assert_eq!(read_value(text), Value::Missing, "{text}");
        }
        for text in
            ["abc", "1,5", "--", "+", ".", "e5", "1e", "1e+", "inf", "1 0", "1_0", "0x1", "١", "1e5.0"]
        {
            assert_eq!(read_value(text), Value::Invalid, "{text}");
        }
    }

    #[test]
    fn kilowatts_have_no_trailing_zeros_and_no_minus_zero() {
        for (mw, text) in [(0, "0"), (-1, "-0.000001"), (1_500_000, "1.5"), (10_000_000, "10")] {
            assert_eq!(kw_text(mw), text);
        }
    }
}
