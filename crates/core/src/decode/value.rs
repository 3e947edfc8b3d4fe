//! What stands for a missing value.

const MISSING: [&str; 6] = ["NULL", "NaN", "NA", "N/A", "-", "?"];

/// Whether `text` (trimmed) says that there is no value; `others` are the feed's own ways to say so.
#[inline]
pub(crate) fn is_missing(text: &[u8], others: &[String]) -> bool {
    match text.first() {
        None => true,
        // no usual text begins like a number
        Some(b'0'..=b'9' | b'.') => is_any(text, others),
        Some(_) => is_any(text, &MISSING) || is_any(text, others),
    }
}

fn is_any(text: &[u8], words: &[impl AsRef<str>]) -> bool {
    words.iter().any(|word| word.as_ref().as_bytes().eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_is_what_the_specification_or_the_feed_lists() {
        let others = ["-999".to_owned(), "9999".to_owned(), "n.d.".to_owned()];
        for (text, expected) in [
            ("", true),
            ("NULL", true),
            ("null", true),
            ("NaN", true),
            ("nan", true),
            ("na", true),
            ("n/a", true),
            ("-", true),
            ("?", true),
            ("-999", true),
            ("9999", true),
            ("N.D.", true),
            ("--", false),
            ("-1", false),
            ("0", false),
            ("none", false),
            ("-999.0", false),
        ] {
            assert_eq!(is_missing(text.as_bytes(), &others), expected, "{text}");
        }
        assert!(!is_missing(b"-999", &[]));
    }
}
