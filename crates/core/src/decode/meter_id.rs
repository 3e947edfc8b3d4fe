//! What a meter id may be.

use super::invisible::is_invisible;

/// The longest meter id in bytes.
pub const METER_ID_BYTES_MAX: usize = 64;

/// Whether `id`, trimmed of blanks and tabs, is 1 to 64 bytes of characters that can be seen.
#[must_use]
pub fn is_meter_id(id: &str) -> bool {
    let printable = |byte: &u8| (0x20..0x7f).contains(byte);
    !id.is_empty()
        && id.len() <= METER_ID_BYTES_MAX
        && (id.as_bytes().iter().all(printable) || !id.chars().any(is_invisible))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_one_to_sixty_four_bytes_that_can_be_seen() {
        for (id, expected) in [
            ("", false),
            ("M", true),
            (&"x".repeat(64), true),
            (&"x".repeat(65), false),
            (&"é".repeat(32), true),
            (&"é".repeat(33), false),
            ("Métér 1", true),
            ("M\u{200b}1", false),
            ("M\t1", false),
            ("M\u{7f}", false),
            ("M\u{2028}1", false),
            ("M\u{2029}1", false),
            ("M\u{85}1", false),
            ("M\u{378}1", true),
        ] {
            assert_eq!(is_meter_id(id), expected, "{id:?}");
        }
    }
}
