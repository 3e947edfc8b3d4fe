//! Characters that cannot be seen and so have no place in a meter id: Unicode 16.0, general
//! categories Cc, Cf, Zl and Zp.

/// First and last code point of each range, ascending.
const RANGES: [(char, char); 23] = [
    ('\u{0}', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

/// Whether `c` is a control or format character or a line or paragraph separator.
pub(crate) fn is_invisible(c: char) -> bool {
    let after = RANGES.partition_point(|(first, _)| *first <= c);
    RANGES.get(..after).and_then(<[_]>::last).is_some_and(|(_, last)| c <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_ascend_and_do_not_touch() {
        assert!(RANGES.iter().all(|(first, last)| first <= last));
        assert!(RANGES.windows(2).all(|pair| u32::from(pair[0].1) + 1 < u32::from(pair[1].0)));
    }

    #[test]
    fn both_ends_of_each_range_are_invisible_and_their_neighbours_are_not() {
        for (first, last) in RANGES {
            assert!(is_invisible(first) && is_invisible(last), "{first:?}");
            for next in [u32::from(first).wrapping_sub(1), u32::from(last) + 1] {
                assert!(!char::from_u32(next).is_some_and(is_invisible), "{next:x}");
            }
        }
    }

    #[test]
    fn marks_that_join_or_combine_can_be_seen_and_unassigned_ones_are_not_judged() {
        for c in ['a', ' ', '\u{a0}', '\u{301}', '\u{fe0f}', '\u{378}', '\u{e000}', '\u{10ffff}'] {
            assert!(!is_invisible(c), "{c:?}");
        }
    }
}
