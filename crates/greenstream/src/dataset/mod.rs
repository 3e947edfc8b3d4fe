//! The datasets of the contract: their columns, and their rows as every command and format shows them.

use greenstream_core::{Flag, Flags, Power, Reading, Standing, Ts};
use serde_json::{Value, json};

use crate::store::{Filter, Reader, StoreError};

mod quality;
mod write;

pub use quality::day_text;
pub use write::{ExportError, Format, write};

/// A dataset of the contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dataset {
    /// Accepted readings.
    Readings,
    /// Readings and outliers together.
    Measured,
    /// Rows that wait for a decision, or had one.
    ErrorQueue,
    /// Rows that lost to another row of their reading.
    Superseded,
    /// Uploads and their books.
    Uploads,
    /// Every delivery of bytes.
    Deliveries,
    /// Episodes of faulty and silent meters.
    Episodes,
    /// What was sent.
    Alerts,
    /// What each meter's day should hold, and what it does.
    Quality,
}

impl Dataset {
    /// All of them, in the order of the contract.
    pub const ALL: [Dataset; 9] = [
        Dataset::Readings,
        Dataset::Measured,
        Dataset::ErrorQueue,
        Dataset::Superseded,
        Dataset::Uploads,
        Dataset::Deliveries,
        Dataset::Episodes,
        Dataset::Alerts,
        Dataset::Quality,
    ];

    /// The name in commands; a view has `_` for `-`.
    pub const fn name(self) -> &'static str {
        match self {
            Dataset::Readings => "readings",
            Dataset::Measured => "measured",
            Dataset::ErrorQueue => "error-queue",
            Dataset::Superseded => "superseded",
            Dataset::Uploads => "uploads",
            Dataset::Deliveries => "deliveries",
            Dataset::Episodes => "episodes",
            Dataset::Alerts => "alerts",
            Dataset::Quality => "quality",
        }
    }

    /// The dataset with this name.
    pub fn from_name(name: &str) -> Option<Dataset> {
        Dataset::ALL.into_iter().find(|dataset| dataset.name() == name)
    }

    /// Whether a rebuild gives it again: all but what happened outside the landing zone.
    pub const fn is_function_of_landing(self) -> bool {
        !matches!(self, Dataset::Deliveries | Dataset::Alerts)
    }

    /// The columns, in order, with the kind of their cells.
    pub const fn columns(self) -> &'static [(&'static str, Kind)] {
        use Kind::{Bool, Flags, Int, Kw, Text, Ts};
        match self {
            Dataset::Readings => &[
                ("meter_id", Text),
                ("ts", Ts),
                ("kw", Kw),
                ("flags", Flags),
                ("upload", Int),
                ("row_number", Int),
            ],
            Dataset::Measured => &[
                ("meter_id", Text),
                ("ts", Ts),
                ("kw", Kw),
                ("flags", Flags),
                ("under_review", Bool),
                ("upload", Int),
                ("row_number", Int),
            ],
            Dataset::ErrorQueue => &[
                ("upload", Int),
                ("row_number", Int),
                ("meter_id", Text),
                ("ts", Ts),
                ("kw", Kw),
                ("reason", Text),
                ("flags", Flags),
                ("raw", Text),
                ("status", Text),
            ],
            Dataset::Superseded => {
                &[("upload", Int), ("row_number", Int), ("meter_id", Text), ("ts", Ts), ("kw", Kw)]
            }
            Dataset::Uploads => &[
                ("upload", Int),
                ("name", Text),
                ("sha256", Text),
                ("bytes", Int),
                ("landed_at", Ts),
                ("status", Text),
                ("rows", Int),
                ("stored", Int),
                ("quarantined", Int),
                ("superseded", Int),
            ],
            Dataset::Deliveries => &[("upload", Int), ("name", Text), ("delivered_at", Ts)],
            Dataset::Episodes => {
                &[("meter_id", Text), ("kind", Text), ("severity", Text), ("first_ts", Ts), ("last_ts", Ts)]
            }
            Dataset::Alerts => &[
                ("alert", Int),
                ("kind", Text),
                ("meter_id", Text),
                ("upload", Int),
                ("at", Ts),
                ("message", Text),
            ],
            Dataset::Quality => &quality::COLUMNS,
        }
    }
}

/// What kind of cells a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Text; may be empty.
    Text,
    /// A whole number, or none.
    Int,
    /// Kilowatts, or none.
    Kw,
    /// An instant, or none.
    Ts,
    /// A set of flags.
    Flags,
    /// Yes or no.
    Bool,
}

/// One cell of a row.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// Text; may be empty.
    Text(String),
    /// A whole number, or none.
    Int(Option<i64>),
    /// Kilowatts, or none.
    Kw(Option<Power>),
    /// An instant, or none.
    Ts(Option<Ts>),
    /// A set of flags.
    Flags(Flags),
    /// Yes or no.
    Bool(bool),
}

impl Cell {
    /// As CSV has it: nothing where there is no value.
    pub fn text(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Int(number) => number.map_or_else(String::new, |number| number.to_string()),
            Cell::Kw(kw) => kw.map_or_else(String::new, |kw| kw.to_string()),
            Cell::Ts(ts) => ts.map_or_else(String::new, |ts| ts.to_string()),
            Cell::Flags(flags) => flags.to_string(),
            Cell::Bool(yes) => yes.to_string(),
        }
    }

    /// As JSON has it: kilowatts as a number with the digits of the milliwatts.
    pub fn json(&self) -> Value {
        match self {
            Cell::Text(text) => json!(text),
            Cell::Int(number) => json!(number),
            Cell::Kw(kw) => json!(kw.map(Power::kw)),
            Cell::Ts(ts) => json!(ts.map(|ts| ts.to_string())),
            Cell::Flags(flags) => json!(flags.iter().map(Flag::name).collect::<Vec<_>>()),
            Cell::Bool(yes) => json!(yes),
        }
    }
}

/// Hands every row of a dataset that `filter` takes to `sink`, in the order of the contract.
///
/// # Errors
/// When the store cannot be read, or the sink's own.
pub fn rows<E: From<StoreError>>(
    reader: &Reader,
    dataset: Dataset,
    filter: &Filter,
    sink: &mut dyn FnMut(Vec<Cell>) -> Result<(), E>,
) -> Result<(), E> {
    let text = |text: &str| Cell::Text(text.to_owned());
    let int = |number: u64| Cell::Int(i64::try_from(number).ok());
    let number = |number: u32| Cell::Int(Some(i64::from(number)));
    match dataset {
        Dataset::Readings => reader.readings(filter, &mut |meter, r| sink(reading(meter, &r, None))),
        Dataset::Measured => reader.measured(filter, &mut |meter, r| {
            sink(reading(meter, &r, Some(r.standing == Standing::Outlier)))
        }),
        Dataset::ErrorQueue => reader.errors(filter, &mut |row| {
            sink(vec![
                number(row.upload),
                number(row.row_number),
                Cell::Text(row.meter_id),
                Cell::Ts(row.ts),
                Cell::Kw(row.kw),
                text(row.reason.name()),
                Cell::Flags(row.flags),
                Cell::Text(row.raw),
                text(row.status.name()),
            ])
        }),
        Dataset::Superseded => reader.superseded(filter, &mut |row| {
            sink(vec![
                number(row.upload),
                number(row.row_number),
                Cell::Text(row.meter_id),
                Cell::Ts(Some(row.ts)),
                Cell::Kw(row.kw),
            ])
        }),
        Dataset::Uploads => reader.uploads(filter, &mut |row| {
            sink(vec![
                number(row.landed.upload),
                Cell::Text(row.landed.name),
                Cell::Text(row.landed.sha256),
                int(row.landed.bytes),
                Cell::Ts(Some(row.landed.landed_at)),
                text(row.status.name()),
                int(row.rows),
                int(row.stored),
                int(row.quarantined),
                int(row.superseded),
            ])
        }),
        Dataset::Deliveries => reader.deliveries(filter, &mut |row| {
            sink(vec![number(row.upload), Cell::Text(row.name), Cell::Ts(Some(row.delivered_at))])
        }),
        Dataset::Episodes => reader.episodes(filter, &mut |(meter, row)| {
            sink(vec![
                Cell::Text(meter),
                text(row.kind.name()),
                text(row.severity.name()),
                Cell::Ts(Some(row.first_ts)),
                Cell::Ts(Some(row.last_ts)),
            ])
        }),
        Dataset::Alerts => reader.alerts(filter, &mut |row| {
            sink(vec![
                Cell::Int(Some(row.alert)),
                Cell::Text(row.kind),
                Cell::Text(row.meter_id.unwrap_or_default()),
                Cell::Int(row.upload.map(i64::from)),
                Cell::Ts(Some(row.at)),
                Cell::Text(row.message),
            ])
        }),
        Dataset::Quality => quality::rows(reader, filter, sink),
    }
}

fn reading(meter: &str, reading: &Reading, under_review: Option<bool>) -> Vec<Cell> {
    let mut cells = vec![
        Cell::Text(meter.to_owned()),
        Cell::Ts(Some(reading.ts)),
        Cell::Kw(reading.kw),
        Cell::Flags(reading.flags),
    ];
    cells.extend(under_review.map(Cell::Bool));
    cells.push(Cell::Int(Some(i64::from(reading.upload))));
    cells.push(Cell::Int(Some(i64::from(reading.row_number))));
    cells
}
