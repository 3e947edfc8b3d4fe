//! Where the keys of a configuration file stand in it.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// The bytes of the value of each key that a TOML text sets, by names such as `limits.power_kw_max`. Empty
/// where the text is no TOML.
pub fn value_spans(text: &str) -> BTreeMap<String, Range<usize>> {
    let mut spans = BTreeMap::new();
    if let Ok(table) = DeTable::parse(text) {
        add("", table.get_ref(), &mut spans);
    }
    spans
}

fn add(section: &str, table: &DeTable<'_>, spans: &mut BTreeMap<String, Range<usize>>) {
    for (name, value) in table {
        let name = name.get_ref();
        let name = if section.is_empty() { name.to_string() } else { format!("{section}.{name}") };
        match value.get_ref() {
            DeValue::Table(table) => add(&name, table, spans),
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
        let text = "# mine\nfeeds = \"f\"\n\n[limits]\n# more\npower_kw_max = 12.5\n\n[trigger.sqs]\nregion = \"x\"\n";
        let spans = value_spans(text);
        let places: Vec<_> =
            spans.iter().map(|(key, span)| (key.as_str(), position(text, span.start))).collect();
        let expected = [("feeds", (2, 9)), ("limits.power_kw_max", (6, 16)), ("trigger.sqs.region", (9, 10))];
        assert_eq!(places, expected);
        assert!(value_spans("[limits").is_empty());
    }
}
