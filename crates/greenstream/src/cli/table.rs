//! Tables for people and JSON for programs, from the same rows.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use super::Failure;
use crate::text::{escaped, plain};

/// A listing: named columns, rows of JSON values.
pub struct Listing {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Listing {
    /// A listing without rows yet.
    pub fn new(columns: &[&'static str]) -> Listing {
        Listing { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; it has as many values as there are columns.
    pub fn push(&mut self, row: Vec<Value>) {
        self.rows.push(row);
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Prints to standard output: a JSON array, or a table, or `none` in words where it is empty.
    pub fn print(&self, json: bool, none: &str) -> Result<(), Failure> {
        Failure::printed(self.write(json, none))
    }

    /// The same, for printing as a part of more.
    pub fn write(&self, json: bool, none: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            return writeln!(out, "{}", self.objects());
        }
        if self.rows.is_empty() {
            return writeln!(out, "{none}");
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.columns.iter().copied());
        for row in &self.rows {
            table.add_row(self.columns.iter().zip(row).map(|(column, value)| cell(column, value)));
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            let numeric = self.rows.iter().all(|row| row[index].is_number() || row[index].is_null());
            if numeric {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(out, "{}", table.trim_fmt())
    }

    /// The rows as an array of JSON objects.
    pub fn objects(&self) -> Value {
        Value::Array(self.rows.iter().map(|row| self.object(row)).collect())
    }

    /// The rows whose last column says something.
    pub fn only_noted(&self) -> Listing {
        let noted =
            |row: &&Vec<Value>| row.last().is_some_and(|note| note.as_str().is_some_and(|n| !n.is_empty()));
        Listing { columns: self.columns.clone(), rows: self.rows.iter().filter(noted).cloned().collect() }
    }

    fn object(&self, row: &[Value]) -> Value {
        let pairs = self.columns.iter().zip(row).map(|(column, value)| ((*column).to_owned(), value.clone()));
        Value::Object(pairs.collect::<Map<_, _>>())
    }
}

/// Columns of messages by the program itself, which end with the way out and so are never cut.
const WHOLE: [&str; 4] = ["note", "problem", "way_out", "message"];

fn cell(column: &str, value: &Value) -> String {
    match value {
        Value::String(text) if WHOLE.contains(&column) => escaped(text),
        value => text(value),
    }
}

/// A value as a person reads it. Text from uploads cannot steer a terminal: control characters are
/// shown by their escapes.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join("|"),
        other => other.to_string(),
    }
}
