//! `docs/configuration.md` and the file that `init` writes say what the table of keys says.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::{File, KEYS, Key, Kind, bounds};
use crate::text::count;

/// What stands around the tables of the page.
const BEGIN: &str = "<!-- keys: made of config/table.rs -->\n";
const END: &str = "<!-- end of keys -->\n";

fn default(key: &Key) -> Value {
    serde_json::to_value(File::default()).unwrap().pointer(&key.pointer()).unwrap().clone()
}

fn section(key: &Key) -> &'static str {
    key.name.rsplit_once('.').map_or("", |(section, _)| section)
}

fn short(key: &Key) -> &'static str {
    key.name.rsplit('.').next().unwrap()
}

fn shown_default(key: &Key) -> String {
    match (key.name, default(key)) {
        ("sizes.workers", _) => "one for each core, at most 8".to_owned(),
        ("registry", _) => "`meters.csv`, if it is there".to_owned(),
        (_, Value::Null) => "none".to_owned(),
        (_, Value::String(text)) => format!("`{text}`"),
        (_, value) => value.as_u64().map_or_else(|| value.to_string(), count),
    }
}

fn range(key: &Key) -> String {
    match key.kind {
        Kind::Text => String::new(),
        Kind::Decimal => "-1e12 to 1e12".to_owned(),
        Kind::Whole(min, max) => format!("{} to {}", count(min), count(max)),
        Kind::Address(schemes) => {
            schemes.iter().map(|scheme| format!("`{scheme}://`")).collect::<Vec<_>>().join(" ")
        }
    }
}

/// A table for each section.
fn tables() -> String {
    let mut text = String::new();
    let mut last = None;
    for key in &KEYS {
        if last != Some(section(key)) {
            last = Some(section(key));
            let heading = match section(key) {
                "" => "At the top of the file".to_owned(),
                section => format!("`[{section}]`"),
            };
            write!(text, "\n### {heading}\n| key, variable | for | default | unit | range |\n| --- | --- | --- | --- | --- |\n").unwrap();
        }
        let cells = [
            format!("`{}`<br>`{}`", short(key), key.variable()),
            key.words.to_owned(),
            shown_default(key),
            key.unit.to_owned(),
            range(key),
        ];
        writeln!(text, "| {} |", cells.join(" | ")).unwrap();
    }
    text
}

/// Set `GREENSTREAM_UPDATE` to write the tables into the page, and read the difference.
#[test]
fn the_page_says_of_every_key_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (told, after) = rest.split_once(END).unwrap();
    let tables = tables() + "\n";
    if std::env::var_os("GREENSTREAM_UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{tables}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(told, tables, "run this test once with GREENSTREAM_UPDATE=1");
}

/// The file of `init` with every key set to what it shows.
fn every_key_set() -> String {
    let is_key = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(" = ");
    let line = |line: &'static str| line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line);
    include_str!("../cli/init.toml").lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_file_that_init_writes_has_every_key_with_its_default_or_with_an_example_that_can_be_used() {
    let text = every_key_set();
    let file: File = toml::from_str(&text).unwrap();
    assert!(bounds::check(&file).is_empty(), "{:?}", bounds::check(&file));
    let set: toml::Table = toml::from_str(&text).unwrap();
    assert!(super::secrets::check(&set).is_empty());
    let shown = serde_json::to_value(set).unwrap();
    for key in &KEYS {
        let shown = shown.pointer(&key.pointer()).unwrap_or_else(|| panic!("{} is not in it", key.name));
        let default = default(key);
        let depends = key.name == "sizes.workers";
        assert!(default.is_null() || depends || *shown == default, "{}: {shown} is not {default}", key.name);
    }
}

#[test]
fn every_key_of_the_file_stands_in_the_table_once_and_in_its_order() {
    fn flatten(section: &str, value: &Value, names: &mut Vec<String>) {
        match value {
            Value::Object(values) => values.iter().for_each(|(name, value)| {
                let name = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
                flatten(&name, value, names);
            }),
            _ => names.push(section.to_owned()),
        }
    }
    let mut names = Vec::new();
    flatten("", &serde_json::to_value(File::default()).unwrap(), &mut names);
    assert_eq!(KEYS.map(|key| key.name.to_owned()).to_vec(), names);
    for key in &KEYS {
        assert!(!key.unit.is_empty() && key.words.ends_with('.'), "{}", key.name);
        // a default that the bounds refuse would be told of a file that sets nothing
        let is_whole = matches!(key.kind, Kind::Whole(..));
        assert!(default(key).is_null() || is_whole == default(key).is_u64(), "{}", key.name);
    }
    assert!(bounds::check(&File::default()).is_empty());
}
