//! Decimal text to milliwatts, exactly: any number of digits, any exponent, one rounding.
//!
//! No floating point anywhere. Short decimals (what meters send) take one multiplication; decimals
//! of up to 19 digits one division in 128 bits; all others are read digit by digit from the left,
//! with state of constant size, so that a megabyte of digits costs a megabyte of reading.

use std::cmp::Ordering;

/// The largest size a value may have after conversion and before rounding: 1e12 kW in milliwatts.
const LIMIT: u64 = 1_000_000_000_000_000_000;

/// Decimal places below a milliwatt that the long path holds in its integer; the rest is compared
/// digit by digit. With 12 of them, 22 places above and a factor of at most 7,200 it fits 128 bits.
const PLACES_BELOW: i64 = 12;

/// No number whose first digit stands at this place or above is within [`LIMIT`]: 1e22 mW times the
/// smallest factor (one hour over 400 days, 1.04e-4) is more than 1e18 mW.
const PLACE_TOO_HIGH: i64 = 22;

/// How a unit becomes milliwatts: value × 10^`tens` × `times` / `per`.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    tens: u32,
    times: u64,
    per: u64,
    /// By number of decimals: what turns the digits into whole milliwatts; 0 where that takes a division.
    whole: [u64; 20],
}

impl Scale {
    /// A unit of 10^`tens` milliwatts (at most 12).
    pub(crate) fn power(tens: u32) -> Scale {
        Scale::new(tens, 1, 1)
    }

    /// An energy unit of 10^`tens` milliwatt-hours (at most 9), per interval of 1 s to 400 days.
    pub(crate) fn energy(tens: u32, interval_seconds: u32) -> Scale {
        let (mut a, mut b) = (3_600, u64::from(interval_seconds.max(1)));
        let (times, per) = (a, b);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Scale::new(tens, times / a, per / a)
    }

    fn new(tens: u32, times: u64, per: u64) -> Scale {
        let mut whole = [0; 20];
        if per == 1 {
            for (multiplier, places) in whole.iter_mut().zip(0..=tens) {
                *multiplier = 10_u64.pow(tens - places) * times;
            }
        }
        Scale { tens, times, per, whole }
    }
}

/// The value of `text` in milliwatts, rounded once, half away from zero; none where it is not a
/// number or larger than 1e12 kW.
pub(crate) fn milliwatts(text: &[u8], scale: &Scale) -> Option<i64> {
    let (negative, digits) = sign(text);
    let size = match short(digits) {
        Some((mantissa, places)) => round_short(mantissa, places, scale)?,
        None => round_long(&Decimal::parse(digits)?, scale)?,
    };
    let size = i64::try_from(size).ok()?;
    Some(if negative { -size } else { size })
}

/// Writes `a` × `b` to `out` as a number, exactly. None where one of them is no number, or has more than
/// 19 digits beside zeros at its ends: no meter sends any.
pub(crate) fn multiply(a: &[u8], b: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let ((negative, a), (less, b)) = (sign(a), sign(b));
    let ((a, a_tens), (b, b_tens)) = (Decimal::parse(a)?.mantissa()?, Decimal::parse(b)?.mantissa()?);
    let sign = if negative == less { "" } else { "-" };
    let tens = a_tens.saturating_add(b_tens);
    out.clear();
    out.extend_from_slice(format!("{sign}{}e{tens}", u128::from(a) * u128::from(b)).as_bytes());
    Some(())
}

/// Whether `text` is a number, whatever its size.
pub(crate) fn is_number(text: &[u8]) -> bool {
    Decimal::parse(sign(text).1).is_some()
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// Digits with at most one point, at most 19 digits: their integer and the number of decimals.
fn short(text: &[u8]) -> Option<(u64, usize)> {
    if text.len() > 20 {
        return None;
    }
    let mut mantissa: u64 = 0;
    let mut point = text.len();
    for (at, byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if *byte == b'.' && point == text.len() {
            point = at;
        } else {
            return None;
        }
    }
    let has_point = usize::from(point < text.len());
    let digits = text.len() - has_point;
    if digits == 0 || digits > 19 { None } else { Some((mantissa, text.len() - point - has_point)) }
}

/// `mantissa` / 10^`places` in milliwatts; `mantissa` has at most 19 digits.
fn round_short(mantissa: u64, places: usize, scale: &Scale) -> Option<u64> {
    let multiplier = scale.whole.get(places).copied().unwrap_or(0);
    if multiplier != 0 {
        return mantissa.checked_mul(multiplier).filter(|mw| *mw <= LIMIT);
    }
    let places = u32::try_from(places).ok()?;
    // below 1e19 × 3600 × 1e9 and 34,560,000 × 1e20: both fit 128 bits
    let over =
        u128::from(mantissa) * u128::from(scale.times) * 10_u128.pow(scale.tens.saturating_sub(places));
    let under = u128::from(scale.per) * 10_u128.pow(places.saturating_sub(scale.tens));
    let (whole, rest) = (over / under, over % under);
    let limit = u128::from(LIMIT);
    if whole > limit || (whole == limit && rest != 0) {
        return None;
    }
    u64::try_from(whole + u128::from(rest * 2 >= under)).ok()
}

/// A number as written, without its sign: `int.frac` × 10^`exponent`.
struct Decimal<'t> {
    int: &'t [u8],
    frac: &'t [u8],
    exponent: i64,
}

impl<'t> Decimal<'t> {
    /// `(digits[.[digits]]|.digits)([eE][+-]?digits)?`
    fn parse(text: &'t [u8]) -> Option<Decimal<'t>> {
        let (int, rest) = digits(text);
        let (frac, rest) = match rest {
            [b'.', rest @ ..] => digits(rest),
            _ => (&rest[..0], rest),
        };
        if int.is_empty() && frac.is_empty() {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        Some(Decimal { int, frac, exponent })
    }
}

impl Decimal<'_> {
    /// As a whole number times a power of ten; none where that has more than 19 digits.
    fn mantissa(&self) -> Option<(u64, i64)> {
        let digits = || self.int.iter().chain(self.frac);
        let zeros = digits().rev().take_while(|digit| **digit == b'0').count();
        let significant = digits().count() - zeros;
        let mut number: u64 = 0;
        for digit in digits().take(significant) {
            number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        }
        let places = i64::try_from(self.frac.len()).ok()? - i64::try_from(zeros).ok()?;
        Some((number, self.exponent.saturating_sub(places)))
    }
}

/// The leading digits of `text`, and what follows them.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

/// `[+-]?digits`, held at ±1e15: a line is far shorter than that, so nothing beyond can differ.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, text) = sign(text);
    let (digits, rest) = digits(text);
    if digits.is_empty() || !rest.is_empty() {
        return None;
    }
    let size = digits
        .iter()
        .fold(0_i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(1_000_000_000_000_000));
    Some(if negative { -size } else { size })
}

fn round_long(number: &Decimal<'_>, scale: &Scale) -> Option<u64> {
    let mut digits = number.int.iter().chain(number.frac).map(|byte| byte - b'0').peekable();
    let mut place = i64::try_from(number.int.len()).ok()? - 1 + number.exponent + i64::from(scale.tens);
    while digits.next_if_eq(&0).is_some() {
        place -= 1;
    }
    if digits.peek().is_none() || place < -PLACES_BELOW {
        return Some(0); // zero, or below 1e-12 × 3600 mW
    }
    if place >= PLACE_TOO_HIGH {
        return None;
    }
    // the digits down to 1e-12 mW as an integer, the others as a tail below 1
    let head =
        (-PLACES_BELOW..=place).fold(0_u128, |sum, _| sum * 10 + u128::from(digits.next().unwrap_or(0)));
    let unit = 10_u128.pow(PLACES_BELOW.unsigned_abs().try_into().ok()?) * u128::from(scale.per);
    let times = u128::from(scale.times);
    let limit = u128::from(LIMIT) * unit;
    let room = limit.checked_sub(head * times)?;
    if compare_tail(digits.clone(), times, room) == Ordering::Greater {
        return None;
    }
    let (whole, rest) = (head * times / unit, head * times % unit);
    // up from the half: 2 × (rest + tail) ≥ unit
    let gap = unit.checked_sub(2 * rest);
    let up = gap.is_none_or(|gap| compare_tail(digits, 2 * times, gap) != Ordering::Less);
    u64::try_from(whole + u128::from(up)).ok()
}

/// Compares `factor` × 0.`digits` with `gap`.
fn compare_tail(digits: impl Iterator<Item = u8>, factor: u128, mut gap: u128) -> Ordering {
    for digit in digits {
        if gap >= factor {
            return Ordering::Less;
        }
        match (gap * 10).checked_sub(u128::from(digit) * factor) {
            Some(rest) => gap = rest,
            None => return Ordering::Greater,
        }
    }
    if gap == 0 { Ordering::Equal } else { Ordering::Less }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KW: u32 = 6;
    const W: u32 = 3;

    #[track_caller]
    fn check(text: &str, scale: &Scale, expected: Option<i64>) {
        assert_eq!(milliwatts(text.as_bytes(), scale), expected, "{text:.60}");
    }

    #[test]
    fn kilowatts_are_rounded_once_half_away_from_zero() {
        for (text, expected) in [
            ("0.412", Some(412_000)),
            ("0", Some(0)),
            ("-0", Some(0)),
            ("-0.0000004", Some(0)),
            ("-0.0000005", Some(-1)),
            ("0.0000005", Some(1)),
            ("0.00000049999999999999", Some(0)),
            ("0.000000499999999999999999999999999999", Some(0)),
            ("0.0080235", Some(8_024)),
            ("2.5000005", Some(2_500_001)),
            ("10.0000004", Some(10_000_000)),
            ("10.0000005", Some(10_000_001)),
            (".5", Some(500_000)),
            ("5.", Some(5_000_000)),
            ("+1.5", Some(1_500_000)),
            ("1e-3", Some(1_000)),
            ("1E+3", Some(1_000_000_000)),
            ("0.48200000000000004", Some(482_000)),
            ("00000000000000000000000000001", Some(1_000_000)),
            ("0.00000000000000000000000000001e29", Some(1_000_000)),
            ("1e-999999999999", Some(0)),
            ("1e-99999999999999999999999999999999", Some(0)),
            ("0e999999999999", Some(0)),
            ("1e00000000000000000000000000000000001", Some(10_000_000)),
        ] {
            check(text, &Scale::power(KW), expected);
        }
    }

    #[test]
    fn products_are_exact_or_none() {
        for (a, b, expected) in [
            ("1.5", "0.25", Some("375e-3")),
            ("-12", "40", Some("-48e1")),
            ("+.5", "2.", Some("10e-1")),
            ("1e-1", "-2", Some("-2e-1")),
            ("0.10000000000000000000", "2", Some("2e-1")),
            ("0", "7", Some("0e1")),
            ("9999999999999999999", "9999999999999999999", Some("99999999999999999980000000000000000001e0")),
            ("", "2", None),
            (".", "2", None),
            ("1.2.3", "2", None),
            ("123456789012345678901", "2", None),
        ] {
            let mut out = Vec::new();
            let there = multiply(a.as_bytes(), b.as_bytes(), &mut out);
            assert_eq!(there.map(|()| String::from_utf8(out).unwrap()).as_deref(), expected, "{a} × {b}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for text in [
            "", "+", "-", ".", "+.", "e", "e5", ".e5", "1e", "1e+", "1e1.5", "1e5e5", "--1", "+-1", "1-",
            "1,5", "1 000", "1_000", "0x1F", "inf", "nan", "1..5", "1.5.", "١", "1\u{a0}", "1f", ":", "1:5",
            "1:2.5", "/", "1/2",
        ] {
            check(text, &Scale::power(KW), None);
            assert!(!is_number(text.as_bytes()), "{text}");
        }
        assert!(is_number(b"1e999999999999") && is_number(b"-.5") && is_number(b"5."));
    }

    #[test]
    fn a_million_million_kilowatts_is_the_limit_before_rounding() {
        let limit = 1_000_000_000_000_000_000;
        for (text, expected) in [
            ("1e12", Some(limit)),
            ("-1e12", Some(-limit)),
            ("1000000000000", Some(limit)),
            ("1000000000000.000000000000000000000000000000", Some(limit)),
            ("1000000000000.0000000000001", None),
            ("1000000000000.000000000000000000000000000001", None),
            ("-1000000000000.0000004", None),
            ("1000000000000.0000004", None),
            ("999999999999.9999999", Some(limit)),
            ("999999999999.9999994", Some(limit - 1)),
            ("1e13", None),
            ("1e999999999999", None),
            ("9999999999999999999", None),
            ("99999999999999999999", None),
            // 1 and 5, were they counted in 64 bits
            ("18446744073709551617", None),
            ("18446744073709551621", None),
        ] {
            check(text, &Scale::power(KW), expected);
        }
        check("1e15", &Scale::power(W), Some(limit));
        check("1000000000000000.0001", &Scale::power(W), None);
        check("2000000000000.000000", &Scale::energy(KW, 7_200), Some(limit));
        check("2000000000000.000001", &Scale::energy(KW, 7_200), None);
        check("500000000000", &Scale::energy(KW, 1_800), Some(limit));
        check("500000000000.00000000000000000000000001", &Scale::energy(KW, 1_800), None);
    }

    #[test]
    fn energy_is_divided_by_its_interval_exactly() {
        for (text, tens, seconds, expected) in [
            ("8.1709995", KW, 1_800, Some(16_341_999)),
            ("0.25", KW, 900, Some(1_000_000)),
            ("1500", W, 3_600, Some(1_500_000)),
            ("1", KW, 2_678_400, Some(1_344)),
            // thirds: half a milliwatt over 20 min is 0.000000166… kWh
            ("0.0000001666666666666666666666666666666666", KW, 1_200, Some(0)),
            ("0.0000001666666666666666666666666666666667", KW, 1_200, Some(1)),
            ("0.00000025", KW, 1_800, Some(1)),
            ("0.000000249999999999999999999999999999999999", KW, 1_800, Some(0)),
            // 7 min: 60/7
            ("0.000000058333333333333333333333333333333333", KW, 420, Some(0)),
            ("0.000000058333333333333333333333333333333334", KW, 420, Some(1)),
        ] {
            check(text, &Scale::energy(tens, seconds), expected);
        }
    }

    #[test]
    fn a_megabyte_of_digits_decides_by_its_last_one() {
        let zeros = "0".repeat(1_000_000);
        let kw = Scale::power(KW);
        check(&format!("0.0000005{zeros}"), &kw, Some(1));
        check(&format!("0.0000004{}", "9".repeat(1_000_000)), &kw, Some(0));
        check(&format!("1000000000000.{zeros}"), &kw, Some(1_000_000_000_000_000_000));
        check(&format!("1000000000000.{zeros}1"), &kw, None);
        check(&format!("1{zeros}e-1000000"), &kw, Some(1_000_000));
        check(&format!("0.{zeros}1e1000001"), &kw, Some(1_000_000));
        check(&format!("{zeros}1"), &kw, Some(1_000_000));
        let third = format!("0.0000001{}", "6".repeat(1_000_000));
        check(&third, &Scale::energy(KW, 1_200), Some(0));
        check(&format!("{third}7"), &Scale::energy(KW, 1_200), Some(1));
    }

    /// A whole number of any size, the slow and plain way: lowest digit first, base 2^32.
    #[derive(Clone, PartialEq, Eq)]
    struct Big(Vec<u32>);

    impl Big {
        fn times(mut self, factor: u64) -> Big {
            let mut carry: u128 = 0;
            for digit in &mut self.0 {
                let product = u128::from(*digit) * u128::from(factor) + carry;
                *digit = u32::try_from(product & 0xffff_ffff).unwrap();
                carry = product >> 32;
            }
            while carry > 0 {
                self.0.push(u32::try_from(carry & 0xffff_ffff).unwrap());
                carry >>= 32;
            }
            self
        }

        fn plus(mut self, other: &Big) -> Big {
            let mut carry = 0;
            for at in 0..self.0.len().max(other.0.len()) {
                if at == self.0.len() {
                    self.0.push(0);
                }
                let sum = u64::from(self.0[at]) + u64::from(other.0.get(at).copied().unwrap_or(0)) + carry;
                self.0[at] = u32::try_from(sum & 0xffff_ffff).unwrap();
                carry = sum >> 32;
            }
            if carry > 0 {
                self.0.push(1);
            }
            self
        }

        fn tens(self, count: i64) -> Big {
            (0..count).fold(self, |big, _| big.times(10))
        }

        fn at_most(&self, other: &Big) -> bool {
            let digit = |big: &Big, at: usize| big.0.get(at).copied().unwrap_or(0);
            let len = self.0.len().max(other.0.len());
            let ours = (0..len).rev().map(|at| digit(self, at));
            ours.cmp((0..len).rev().map(|at| digit(other, at))) != Ordering::Greater
        }
    }

    /// digits × 10^place × times / per, rounded half up, found by halving what it may be.
    fn model(digits: &str, place: i64, scale: &Scale) -> Option<i64> {
        let place = place + i64::from(scale.tens);
        let digits = digits
            .bytes()
            .fold(Big(vec![0]), |big, digit| big.times(10).plus(&Big(vec![u32::from(digit - b'0')])));
        let over = digits.times(scale.times).tens(place.max(0));
        let under = Big(vec![1]).times(scale.per).tens((-place).max(0));
        if !over.at_most(&under.clone().times(LIMIT)) {
            return None;
        }
        let doubled = over.times(2).plus(&under);
        let (mut low, mut high) = (0, LIMIT + 1);
        while high - low > 1 {
            let middle = u64::midpoint(low, high);
            if under.clone().times(2 * middle).at_most(&doubled) { low = middle } else { high = middle }
        }
        i64::try_from(low).ok()
    }

    fn scales() -> impl Strategy<Value = Scale> {
        prop_oneof![
            prop::sample::select(vec![3_u32, 6, 9]).prop_map(Scale::power),
            (
                prop::sample::select(vec![3_u32, 6, 9]),
                prop_oneof![
                    prop::sample::select(vec![
                        1_u32, 420, 900, 1_200, 1_800, 3_600, 86_400, 2_678_400, 34_560_000
                    ]),
                    1..34_560_000_u32,
                ],
            )
                .prop_map(|(tens, seconds)| Scale::energy(tens, seconds)),
        ]
    }

    proptest! {
        #[test]
        fn it_agrees_with_whole_numbers_of_any_size(
            int in "[0-9]{0,25}", frac in "[0-9]{0,40}", exponent in prop_oneof![Just(0), -40..40_i64],
            scale in scales(), negative: bool,
        ) {
            prop_assume!(!int.is_empty() || !frac.is_empty());
            let sign = if negative { "-" } else { "" };
            let power = if exponent == 0 { String::new() } else { format!("e{exponent}") };
            let text = format!("{sign}{int}.{frac}{power}");
            let place = exponent - i64::try_from(frac.len()).unwrap();
            let expected = model(&format!("{int}{frac}"), place, &scale);
            let expected = expected.map(|size| if negative { -size } else { size });
            prop_assert_eq!(milliwatts(text.as_bytes(), &scale), expected, "{}", text);
        }

        #[test]
        fn it_agrees_next_to_each_half_and_to_the_limit(
            half in 0..2_000_000_u64, near in "(0|9){0,30}[0-9]{0,2}", scale in scales(), at_limit: bool,
        ) {
            // the decimal expansion of half a milliwatt more than some, cut and disturbed
            let halves = if at_limit { 2 * LIMIT } else { 2 * half + 1 };
            let mut rest = u128::from(halves) * u128::from(scale.per);
            let under = 2 * u128::from(scale.times) * 10_u128.pow(scale.tens);
            let mut text = format!("{}.", rest / under);
            for _ in 0..30 {
                rest = rest % under * 10;
                text.push_str(&(rest / under).to_string());
            }
            text.push_str(&near);
            let digits = text.replace('.', "");
            let place = -i64::try_from(text.len() - text.find('.').unwrap() - 1).unwrap();
            prop_assert_eq!(milliwatts(text.as_bytes(), &scale), model(&digits, place, &scale), "{}", text);
        }

        #[test]
        fn any_text_is_a_number_to_both_or_to_none(text in "[-+0-9.eE]{0,12}") {
            let scale = Scale::power(0);
            let is_number = is_number(text.as_bytes());
            let parsed = text.parse::<f64>();
            prop_assert_eq!(is_number, parsed.is_ok(), "{}", text);
            if let (Some(mw), Ok(float)) = (milliwatts(text.as_bytes(), &scale), parsed) {
                #[expect(clippy::cast_precision_loss, reason = "compared with room")]
                let off = (mw as f64 - float).abs();
                prop_assert!(off <= 0.5 + float.abs() * 1e-15, "{}", text);
            }
        }
    }
}
