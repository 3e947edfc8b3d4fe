//! Where the keys of a configuration file stand in it.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// The bytes of the value of each key that a TOML text sets, by names such as `limits.power_kw_max`. Empty
/// where the text is no TOML.
pub fn value_spans(text: &str) -> BTreeMap<String, Range<usize>> {
    let mut spans = BTreeMap::new();
    if let Ok(table) = DeTable::parse(text) {
        add(&mut spans, "", table.get_ref());
    }
    spans
}

fn add(spans: &mut BTreeMap<String, Range<usize>>, before: &str, table: &DeTable<'_>) {
    for (name, value) in table {
        let name = format!("{before}{}", name.get_ref());
        match value.get_ref() {
            DeValue::Table(section) => add(spans, &format!("{name}."), section),
            _ => {
                spans.insert(name, value.span());
            }
        }
    }
}

/// Line and column of a byte, both from 1.
pub fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or(before);
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_at_its_line_and_column() {
        let text =
            "# mine\nfeeds = \"f\"\n\n[limits]\n# more\npower_kw_max = 12.5\n[trigger.nats]\nurl = \"n\"";
        let spans = value_spans(text);
        let places: Vec<_> =
            spans.iter().map(|(key, span)| (key.as_str(), position(text, span.start))).collect();
        assert_eq!(
            places,
            [("feeds", (2, 9)), ("limits.power_kw_max", (6, 16)), ("trigger.nats.url", (8, 7))]
        );
        assert!(value_spans("[limits").is_empty());
    }
}
