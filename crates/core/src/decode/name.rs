//! Upload names: which feed they mean, and which meter.

/// The name without folders and without the suffix of a compression.
pub(crate) fn base(upload_name: &str) -> &str {
    let base = upload_name.rsplit(['/', '\\']).next().unwrap_or(upload_name);
    [".gz", ".zst"].iter().find_map(|suffix| base.strip_suffix(suffix)).unwrap_or(base)
}

/// Whether `name` fits `pattern`, where `*` stands for any characters (none, too).
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match name.find(part) {
            Some(at) => name = name.get(at + part.len()..).unwrap_or(""),
            None => return false,
        }
    }
    name.ends_with(last)
}

/// What stands for `{meter}` in a name that fits `pattern`.
pub(crate) fn meter<'n>(pattern: &str, name: &'n str) -> Option<&'n str> {
    let (before, after) = pattern.split_once("{meter}")?;
    name.strip_prefix(before)?.strip_suffix(after).filter(|meter| !meter.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_compressions_are_no_part_of_the_name() {
        for (name, expected) in [
            ("dfM1.csv", "dfM1.csv"),
            ("2026/03/dfM1.csv.gz", "dfM1.csv"),
            ("C:\\data\\dfM1.csv.zst", "dfM1.csv"),
            ("", ""),
        ] {
            assert_eq!(base(name), expected, "{name}");
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("df*.csv", "dfM1.csv", true),
            ("df*.csv", "df.csv", true),
            ("df*.csv", "df.cs", false),
            ("df*.csv", "xdfM1.csv", false),
            ("df*.csv", "dfM1.csv.txt", false),
            ("*", "", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a*a", "a", false),
            ("ab*bc", "abc", false),
            ("a*b*c", "abbc", true),
            ("a*b*b", "ab", false),
            ("plain.csv", "plain.csv", true),
            ("plain.csv", "plain.cs", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_meter_is_what_the_placeholder_stands_for() {
        for (pattern, name, expected) in [
            ("df{meter}.csv", "dfMAC1.csv", Some("MAC1")),
            ("{meter}.csv", "a.b.csv", Some("a.b")),
            ("df{meter}.csv", "df.csv", None),
            ("df{meter}.csv", "MAC1.csv", None),
            ("d{meter}d.csv", "d.csv", None),
        ] {
            assert_eq!(meter(pattern, name), expected, "{pattern} {name}");
        }
    }
}
