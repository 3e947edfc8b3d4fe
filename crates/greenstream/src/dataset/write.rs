//! Datasets as files: CSV, JSON lines, plain Parquet.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde_json::{Map, Value};

use super::{Cell, Dataset, Kind, rows};
use crate::store::{Filter, Reader, StoreError};

/// Rows of a Parquet file that are built in memory at once.
const BATCH_ROWS: usize = 65_536;

/// How a dataset is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated, with a header; quoted where needed, and no text a formula.
    Csv,
    /// One JSON object a line.
    Json,
    /// A plain Parquet file, zstd; flags joined with `|`.
    Parquet,
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database cannot be read.
    #[error("cannot read the database: {0}")]
    Store(#[from] StoreError),
    /// The output cannot be written.
    #[error("cannot write the export: {0}")]
    Io(#[from] io::Error),
    /// The Parquet writer refuses.
    #[error("cannot write the export: {0}")]
    Parquet(#[from] ParquetError),
    /// A batch does not fit its schema: a bug.
    #[error("cannot write the export: {0}")]
    Arrow(#[from] ArrowError),
}

/// Writes what `filter` takes of a dataset; gives the number of rows.
///
/// # Errors
/// When the database cannot be read or the output cannot be written.
pub fn write<W: Write + Send>(
    reader: &Reader,
    dataset: Dataset,
    filter: &Filter,
    format: Format,
    out: W,
) -> Result<u64, ExportError> {
    match format {
        Format::Csv => csv(reader, dataset, filter, out),
        Format::Json => json(reader, dataset, filter, out),
        Format::Parquet => parquet(reader, dataset, filter, out),
    }
}

fn csv<W: Write>(reader: &Reader, dataset: Dataset, filter: &Filter, out: W) -> Result<u64, ExportError> {
    let mut writer = csv::Writer::from_writer(out);
    let broken = |error: csv::Error| ExportError::Io(io::Error::other(error));
    writer.write_record(dataset.columns().iter().map(|(name, _)| name)).map_err(broken)?;
    let mut count = 0;
    rows::<ExportError>(reader, dataset, filter, &mut |cells| {
        count += 1;
        writer.write_record(cells.iter().map(csv_text)).map_err(broken)
    })?;
    writer.flush()?;
    Ok(count)
}

/// A cell as CSV has it. A text that a spreadsheet would take for a formula has an apostrophe before it, and
/// so has one that begins with an apostrophe: one taken away gives the text again. Numbers stay as they are.
fn csv_text(cell: &Cell) -> String {
    let text = cell.text();
    let starts_formula = |c: char| "=+-@\t\r\n'\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}".contains(c);
    if matches!(cell, Cell::Text(_)) && text.starts_with(starts_formula) { format!("'{text}") } else { text }
}

fn json<W: Write>(
    reader: &Reader,
    dataset: Dataset,
    filter: &Filter,
    mut out: W,
) -> Result<u64, ExportError> {
    let mut count = 0;
    rows::<ExportError>(reader, dataset, filter, &mut |cells| {
        count += 1;
        let names = dataset.columns().iter().map(|(name, _)| (*name).to_owned());
        let object: Map<String, Value> = names.zip(cells.iter().map(Cell::json)).collect();
        writeln!(out, "{}", Value::Object(object)).map_err(ExportError::Io)
    })?;
    out.flush()?;
    Ok(count)
}

fn parquet<W: Write + Send>(
    reader: &Reader,
    dataset: Dataset,
    filter: &Filter,
    out: W,
) -> Result<u64, ExportError> {
    let schema = schema(dataset);
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1)?);
    let properties = WriterProperties::builder().set_compression(zstd).build();
    let mut writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties))?;
    let mut waiting: Vec<Vec<Cell>> = Vec::with_capacity(BATCH_ROWS);
    let mut count = 0;
    rows::<ExportError>(reader, dataset, filter, &mut |cells| {
        count += 1;
        waiting.push(cells);
        if waiting.len() == BATCH_ROWS {
            writer.write(&batch(&schema, dataset, &waiting)?)?;
            waiting.clear();
        }
        Ok(())
    })?;
    writer.write(&batch(&schema, dataset, &waiting)?)?;
    writer.close()?;
    Ok(count)
}

fn schema(dataset: Dataset) -> SchemaRef {
    let field = |(name, kind): &(&'static str, Kind)| {
        let data_type = match kind {
            Kind::Text | Kind::Flags => DataType::Utf8,
            Kind::Int => DataType::Int64,
            Kind::Kw => DataType::Float64,
            Kind::Ts => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Bool => DataType::Boolean,
        };
        Field::new(*name, data_type, true)
    };
    Arc::new(Schema::new(dataset.columns().iter().map(field).collect::<Vec<_>>()))
}

fn batch(schema: &SchemaRef, dataset: Dataset, rows: &[Vec<Cell>]) -> Result<RecordBatch, ArrowError> {
    let columns = dataset.columns().iter().enumerate().map(|(at, (_, kind))| column(*kind, rows, at));
    RecordBatch::try_new(Arc::clone(schema), columns.collect())
}

fn column(kind: Kind, rows: &[Vec<Cell>], at: usize) -> ArrayRef {
    let cells = rows.iter().map(|row| &row[at]);
    match kind {
        Kind::Text | Kind::Flags => {
            let mut column = StringBuilder::new();
            cells.for_each(|cell| column.append_value(cell.text()));
            Arc::new(column.finish())
        }
        Kind::Int => {
            let mut column = Int64Builder::new();
            cells.for_each(|cell| column.append_option(if let Cell::Int(n) = cell { *n } else { None }));
            Arc::new(column.finish())
        }
        Kind::Kw => {
            let mut column = Float64Builder::new();
            cells.for_each(|cell| {
                column.append_option(if let Cell::Kw(kw) = cell { kw.map(|kw| kw.kw()) } else { None });
            });
            Arc::new(column.finish())
        }
        Kind::Ts => {
            let mut column = TimestampMicrosecondBuilder::new().with_timezone("UTC");
            cells.for_each(|cell| {
                column.append_option(if let Cell::Ts(ts) = cell { ts.map(|ts| ts.micros()) } else { None });
            });
            Arc::new(column.finish())
        }
        Kind::Bool => {
            let mut column = BooleanBuilder::new();
            cells.for_each(|cell| column.append_value(matches!(cell, Cell::Bool(true))));
            Arc::new(column.finish())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_formula_and_each_can_be_had_again() {
        for (text, written) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("'=1", "''=1"),
            ("M-1", "M-1"),
            (" =1", " =1"),
            ("", ""),
        ] {
            assert_eq!(csv_text(&Cell::Text(text.to_owned())), written);
            assert_eq!(written.strip_prefix('\'').unwrap_or(written), text);
        }
        let kw = greenstream_core::Power::from_milliwatts(-500_000);
        assert_eq!(csv_text(&Cell::Kw(Some(kw))), "-0.5");
        assert_eq!(csv_text(&Cell::Int(Some(-1))), "-1");
    }
}
