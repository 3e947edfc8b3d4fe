//! Two decimals multiplied exactly, as text.

use std::io::Write;

/// The longest number that is multiplied: 18 digits, a sign and a point.
const LEN_MAX: usize = 20;

/// Writes `a` × `b` to `out` as a decimal; false where one of them is no plain decimal of at most 18
/// digits.
pub(crate) fn product(a: &[u8], b: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let (Some((a, a_places)), Some((b, b_places))) = (decimal(a), decimal(b)) else { return false };
    // at most 36 digits: within 128 bits
    write!(out, "{}e-{}", a * b, a_places + b_places).is_ok()
}

/// A decimal as a whole number and how many of its digits stand after the point.
fn decimal(text: &[u8]) -> Option<(i128, usize)> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, part) = digits.split_at(point.unwrap_or(digits.len()));
    let part = part.strip_prefix(b".").unwrap_or(part);
    let count = whole.len() + part.len();
    if count == 0 || count > 18 || text.len() > LEN_MAX {
        return None;
    }
    let mut number = 0;
    for byte in whole.iter().chain(part) {
        number = number * 10 + i128::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    Some((sign * number, part.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_exact_or_none() {
        for (a, b, expected) in [
            ("1.5", "0.25", Some("375e-3")),
            ("-12", "40", Some("-480e-0")),
            ("+.5", "2.", Some("10e-1")),
            ("999999999999999999", "999999999999999999", Some("999999999999999998000000000000000001e-0")),
            ("1e3", "2", None),
            ("", "2", None),
            (".", "2", None),
            ("1.2.3", "2", None),
            ("1234567890123456789", "2", None),
        ] {
            let mut out = Vec::new();
            let there = product(a.as_bytes(), b.as_bytes(), &mut out);
            assert_eq!(there.then(|| String::from_utf8(out).unwrap()).as_deref(), expected, "{a} × {b}");
        }
    }
}
