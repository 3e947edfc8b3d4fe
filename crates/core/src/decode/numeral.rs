//! Numbers and ids as spreadsheets and other languages write them: a decimal comma, signs between
//! thousands, text guarded as a formula. They are put into the plain form before they are read.

/// How a feed writes numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Numerals {
    /// A point or a comma.
    pub(crate) decimal: u8,
    /// What stands between groups of three digits.
    pub(crate) thousands: Option<u8>,
}

impl Numerals {
    /// Whether numbers are plain as they are.
    pub(crate) const fn are_plain(self) -> bool {
        self.decimal == b'.' && self.thousands.is_none()
    }

    /// The plain form of `text` (trimmed), in `buffer` where it differs. What does not follow the
    /// feed's way of writing becomes something that is no number: `1.5` in a feed with decimal commas
    /// may be one and a half or fifteen hundred.
    pub(crate) fn plain<'t>(self, text: &'t [u8], buffer: &'t mut Vec<u8>) -> &'t [u8] {
        if self.are_plain() {
            return text;
        }
        buffer.clear();
        let mut grouped = false;
        let mut digits = 0;
        for byte in text {
            if Some(*byte) == self.thousands {
                // one to three digits before the first sign, three before each other
                if digits == 0 || digits > 3 || (grouped && digits != 3) || buffer.contains(&b'.') {
                    return NO_NUMBER;
                }
                (grouped, digits) = (true, 0);
                continue;
            }
            if *byte == self.decimal {
                if grouped && digits != 3 {
                    return NO_NUMBER;
                }
                grouped = false;
                buffer.push(b'.');
            } else if *byte == b'.' {
                return NO_NUMBER;
            } else {
                digits += usize::from(byte.is_ascii_digit());
                buffer.push(*byte);
            }
        }
        if grouped && digits != 3 { NO_NUMBER } else { buffer }
    }
}

/// What no feed takes for a number.
const NO_NUMBER: &[u8] = b"?!";

/// What `="0123"` guards from a spreadsheet's eye for numbers, or the text itself.
pub(crate) fn unguarded(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"=\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(decimal: u8, thousands: Option<u8>, text: &str, expected: &str) {
        let mut buffer = Vec::new();
        let plain = Numerals { decimal, thousands }.plain(text.as_bytes(), &mut buffer);
        let expected = if expected.is_empty() { NO_NUMBER } else { expected.as_bytes() };
        assert_eq!(plain, expected, "{text}");
    }

    #[test]
    fn numbers_become_plain_or_no_number_at_all() {
        for (text, expected) in
            [("1,5", "1.5"), ("-0,25", "-0.25"), ("12", "12"), (",5", ".5"), ("1,5e3", "1.5e3"), ("1.5", "")]
        {
            check(b',', None, text, expected);
        }
        for (text, expected) in [
            ("1.234,5", "1234.5"),
            ("-12.345.678", "-12345678"),
            ("123.456", "123456"),
            ("1234,5", "1234.5"),
            ("0,125", "0.125"),
            ("1.23", ""),
            ("1.2345", ""),
            ("1234.567", ""),
            (".123", ""),
            ("1..234", ""),
            ("1.234.56,7", ""),
            ("1,234.567", ""),
            ("1,2.345", ""),
            ("12.34.567", ""),
        ] {
            check(b',', Some(b'.'), text, expected);
        }
        for (text, expected) in [("1,234.5", "1234.5"), ("1,234", "1234"), ("1,5", ""), ("1.5", "1.5")] {
            check(b'.', Some(b','), text, expected);
        }
        check(b'.', None, "1.5", "1.5");
        check(b'.', Some(b' '), "1 234.5", "1234.5");
    }

    #[test]
    fn a_guard_is_taken_off_whole_or_not_at_all() {
        assert_eq!(unguarded(b"=\"0123\""), b"0123");
        for text in ["0123", "=0123", "=\"0123", "\"0123\"", ""] {
            assert_eq!(unguarded(text.as_bytes()), text.as_bytes());
        }
    }
}
