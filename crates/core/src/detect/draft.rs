//! The profile while it is being put together, and its text.

use std::fmt::Write as _;

use toml::Value;

/// Whose the readings are.
#[derive(Clone, Debug)]
pub(super) enum Meter {
    /// A column, as a profile finds it.
    Column(String),
    /// Columns joined.
    Parts(Vec<String>),
    Fixed(String),
    FromName(String),
}

/// When a row is.
#[derive(Clone, Debug)]
pub(super) enum Time {
    Stamp(String),
    Date(String),
    Pair(String, String),
    Slot(String, String),
}

/// The values of a line.
#[derive(Clone, Debug)]
pub(super) enum Values {
    /// Each a column, what is added to it, and what it appends to the meter's id.
    Columns(Vec<(String, Vec<String>, String)>),
    Slots(String, usize),
}

/// Which end of an interval its label names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Label {
    Start,
    End,
    WallEnd,
}

impl Label {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Label::Start => "start",
            Label::End => "end",
            Label::WallEnd => "wall_end",
        }
    }
}

/// Everything that a profile says. Columns are TOML already: a name in quotes, or a position.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) delimiter: u8,
    pub(super) header: bool,
    pub(super) preamble: usize,
    pub(super) skip: Vec<String>,
    pub(super) guarded: bool,
    pub(super) decimal: char,
    pub(super) thousands: Option<char>,
    pub(super) missing: Vec<String>,
    pub(super) time_zone: Option<String>,
    pub(super) time_format: Option<String>,
    pub(super) label: Label,
    pub(super) registers: bool,
    pub(super) interval: Option<String>,
    pub(super) unit: Option<&'static str>,
    pub(super) unit_column: Option<String>,
    pub(super) units: Vec<&'static str>,
    pub(super) meter: Meter,
    pub(super) time: Time,
    pub(super) values: Values,
}

impl Draft {
    /// The profile as a file; `head` are lines of comment.
    pub(super) fn toml(&self, head: &[String]) -> String {
        let mut text = String::new();
        for line in head {
            let plain: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = writeln!(text, "# {plain}");
        }
        let mut put = |key: &str, value: String| {
            let _ = writeln!(text, "{key} = {value}");
        };
        let string = |text: &str| Value::from(text).to_string();
        let list = |texts: &[String]| Value::from(texts.to_vec()).to_string();
        put("name", string(&self.name));
        if self.delimiter != b',' {
            put("delimiter", string(&char::from(self.delimiter).to_string()));
        }
        if !self.header {
            put("header", "false".to_owned());
        }
        if self.preamble > 0 {
            put("preamble", self.preamble.to_string());
        }
        if !self.skip.is_empty() {
            put("skip", list(&self.skip));
        }
        match &self.meter {
            Meter::Fixed(id) => put("meter", format!("{{ fixed = {} }}", string(id))),
            Meter::FromName(pattern) => put("meter", format!("{{ from_name = {} }}", string(pattern))),
            Meter::Column(_) | Meter::Parts(_) => {}
        }
        let optional = [
            ("time_zone", &self.time_zone),
            ("time_format", &self.time_format),
            ("interval", &self.interval),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                put(key, string(value));
            }
        }
        if self.registers {
            put("registers", "true".to_owned());
        }
        if self.label != Label::Start {
            put("label", string(self.label.name()));
        }
        if let Some(unit) = self.unit {
            put("unit", string(unit));
        }
        if !self.units.is_empty() {
            put("units", Value::from(self.units.clone()).to_string());
        }
        if self.decimal != '.' {
            put("decimal", string(&self.decimal.to_string()));
        }
        if let Some(sign) = self.thousands {
            put("thousands", string(&sign.to_string()));
        }
        if !self.missing.is_empty() {
            put("missing", list(&self.missing));
        }
        if self.guarded {
            put("guarded", "true".to_owned());
        }
        self.columns(&mut text);
        text
    }

    fn columns(&self, text: &mut String) {
        text.push_str("\n[columns]\n");
        let mut put = |key: &str, value: &str| {
            let _ = writeln!(text, "{key} = {value}");
        };
        match &self.meter {
            Meter::Column(column) => put("meter", column),
            Meter::Parts(parts) => put("meter_parts", &format!("[{}]", parts.join(", "))),
            Meter::Fixed(_) | Meter::FromName(_) => {}
        }
        match &self.time {
            Time::Stamp(column) => put("timestamp", column),
            Time::Date(date) => put("date", date),
            Time::Pair(date, time) => {
                put("date", date);
                put("time", time);
            }
            Time::Slot(date, slot) => {
                put("date", date);
                put("slot", slot);
            }
        }
        match &self.values {
            Values::Slots(first, count) => put("slots", &format!("{{ first = {first}, count = {count} }}")),
            Values::Columns(columns) => match columns.as_slice() {
                [(column, plus, suffix)] if plus.is_empty() && suffix.is_empty() => put("value", column),
                several => {
                    let one = |(column, plus, suffix): &(String, Vec<String>, String)| {
                        let plus = match plus.as_slice() {
                            [] => String::new(),
                            plus => format!(", plus = [{}]", plus.join(", ")),
                        };
                        let suffix = match suffix.as_str() {
                            "" => String::new(),
                            suffix => format!(", meter_suffix = {}", Value::from(suffix)),
                        };
                        format!("    {{ column = {column}{plus}{suffix} }},\n")
                    };
                    put("values", &format!("[\n{}]", several.iter().map(one).collect::<String>()));
                }
            },
        }
        if let Some(unit) = &self.unit_column {
            put("unit", unit);
        }
    }
}
