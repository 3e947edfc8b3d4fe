//! Numbers and foreign text as people see them.

/// `text` with control characters escaped, cut at 120 characters: text from uploads cannot steer a
/// terminal.
pub fn plain(text: &str) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == 120 {
            shown.push('…');
            break;
        }
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// `text` with control characters escaped, whole: for messages that say the way out.
pub fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, c| {
        if c.is_control() {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
        shown
    })
}

/// A whole number with thousands separated: `4,800,000`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        for (number, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (4_800_000, "4,800,000")] {
            assert_eq!(count(number), shown);
        }
    }

    #[test]
    fn text_from_uploads_cannot_steer_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\nc");
        assert_eq!(plain(&"x".repeat(121)), format!("{}…", "x".repeat(120)));
    }
}
