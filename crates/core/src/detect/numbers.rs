//! How numbers are written, and the numbers themselves. Only to look at them: readings are decoded
//! exactly, elsewhere.

use super::cell::is_number;

/// The signs of numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Signs {
    pub(super) decimal: char,
    pub(super) thousands: Option<char>,
    /// Whether nothing in the file tells thousands from decimals.
    pub(super) unsure: bool,
}

/// The signs by which most of `texts` are numbers; `delimiter` breaks a tie.
pub(super) fn signs<'t>(texts: impl Iterator<Item = &'t str>, delimiter: u8) -> Signs {
    // for each sign: decimals for certain, thousands for certain, either
    let (mut point, mut comma) = ([0; 3], [0; 3]);
    let mut others = [0; 2];
    for text in texts.filter(|text| is_number(text)) {
        let digits = text.trim_start_matches(['-', '+']);
        let last = digits.rfind(['.', ',']);
        for (sign, count) in [('.', &mut point), (',', &mut comma)] {
            let signs = digits.matches(sign).count();
            let Some(at) = digits.rfind(sign) else { continue };
            let before = digits.get(..at).unwrap_or("");
            let after = digits.get(at + 1..).unwrap_or("").len();
            let is_last = last == Some(at);
            let has_other = digits.contains(if sign == '.' { ',' } else { '.' });
            let surely_decimal =
                before.is_empty() || before == "0" || before.len() > 3 && !has_other || after != 3;
            let at = if signs > 1 || !is_last { 1 } else { usize::from(!(surely_decimal || has_other)) * 2 };
            if let Some(count) = count.get_mut(at) {
                *count += 1;
            }
        }
        others[0] += usize::from(digits.contains('\''));
        others[1] += usize::from(digits.contains(' '));
    }
    let [point_decimal, point_group, point_either] = point;
    let [comma_decimal, comma_group, comma_either] = comma;
    let is_comma = match (point_decimal > 0, comma_decimal > 0) {
        (false, true) => true,
        (true, false) => false,
        (true, true) => comma_decimal > point_decimal,
        (false, false) if comma_group > 0 || point_group > 0 => point_group > comma_group,
        (false, false) => comma_either > 0 && delimiter != b',',
    };
    let (decimal, grouped, either) = if is_comma {
        (',', point_group + point_either, comma_either)
    } else {
        ('.', comma_group + comma_either, point_either)
    };
    let thousands = match (grouped > 0, others) {
        (true, _) => Some(if is_comma { '.' } else { ',' }),
        (false, [quotes, _]) if quotes > 0 => Some('\''),
        (false, [_, blanks]) if blanks > 0 => Some(' '),
        _ => None,
    };
    let certain = point_decimal + comma_decimal + point_group + comma_group;
    Signs { decimal, thousands, unsure: certain == 0 && either + grouped > 0 }
}

impl Signs {
    /// About the number that a text is.
    pub(super) fn read(self, text: &str) -> Option<f64> {
        if !is_number(text) {
            return None;
        }
        let plain: String = text
            .chars()
            .filter(|c| Some(*c) != self.thousands)
            .map(|c| if c == self.decimal { '.' } else { c })
            .collect();
        plain.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_follow_from_the_numbers_that_leave_no_choice() {
        for (texts, delimiter, decimal, thousands, unsure) in [
            (&["0.125", "1.5"][..], b',', '.', None, false),
            (&["0,125", "1,5"], b';', ',', None, false),
            (&["1.234,5", "12,5"], b';', ',', Some('.'), false),
            (&["1,234.5", "12.5"], b',', '.', Some(','), false),
            (&["1,234", "5,678"], b';', ',', None, true),
            (&["1.234", "5.678"], b',', '.', None, true),
            (&["12", "7"], b',', '.', None, false),
            (&["1 234,5"], b';', ',', Some(' '), false),
            (&["1'234.5"], b';', '.', Some('\''), false),
        ] {
            let expected = Signs { decimal, thousands, unsure };
            assert_eq!(signs(texts.iter().copied(), delimiter), expected, "{texts:?}");
        }
    }
}
