//! How the two tables look from outside: columns, types, encodings, folders.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use greenstream_core::{Flag, civil_from_days, days_from_civil};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::schema::types::ColumnPath;
use serde_json::{Value, json};

/// Rows of a row group: what a reader skips or hands to a thread as one piece.
pub(super) const GROUP_ROWS: usize = 1 << 18;

/// The folder of rows without an instant, under the name that Hive gave it and readers know.
const NULL_FOLDER: &str = "date=__HIVE_DEFAULT_PARTITION__";

/// The two tables of the archive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Dataset {
    /// Accepted readings.
    Readings,
    /// Rows that wait for a decision, or have one.
    ErrorQueue,
}

impl Dataset {
    /// The folder within the archive, and the table's name.
    pub const fn name(self) -> &'static str {
        match self {
            Dataset::Readings => "readings",
            Dataset::ErrorQueue => "error_queue",
        }
    }

    /// The columns of a file, in order. Power and, in the error queue, time may be null.
    pub(super) fn schema(self) -> SchemaRef {
        let text = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let errors = self == Dataset::ErrorQueue;
        let mut fields = vec![
            Field::new("meter_id", text(), false),
            Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), errors),
            Field::new("kw", DataType::Float64, true),
        ];
        fields.extend(Flag::ALL.map(|flag| Field::new(flag.name(), DataType::Boolean, false)));
        fields.push(Field::new("upload", DataType::Int64, false));
        fields.push(Field::new("row_number", DataType::Int64, false));
        if errors {
            fields.push(Field::new("reason", text(), false));
            fields.push(Field::new("status", text(), false));
        }
        Arc::new(Schema::new(fields))
    }

    /// The same columns as the transaction log describes them, with the partition column `date`.
    /// Every column may be null there, which the widest range of readers understands.
    pub(super) fn log_schema(self) -> Value {
        let mut fields: Vec<Value> = self
            .schema()
            .fields()
            .iter()
            .map(|field| {
                let kind = match field.data_type() {
                    DataType::Boolean => "boolean",
                    DataType::Float64 => "double",
                    DataType::Int64 => "long",
                    DataType::Timestamp(..) => "timestamp",
                    _ => "string",
                };
                json!({"name": field.name(), "type": kind, "nullable": true,
                       "metadata": comment(field.name())})
            })
            .collect();
        fields.push(json!({"name": "date", "type": "date", "nullable": true, "metadata": comment("date")}));
        json!({"type": "struct", "fields": fields})
    }
}

fn comment(column: &str) -> Value {
    let text = match column {
        "meter_id" => "the meter's id as the uploads write it",
        "ts" => "start of the interval, UTC",
        "kw" => "mean power over the interval in kW, exact to the milliwatt; null when missing",
        "upload" => "landing sequence number of the upload, from 1",
        "row_number" => "row within the upload, from 1",
        "date" => "UTC day of ts; null without an instant",
        _ => return json!({}),
    };
    json!({ "comment": text })
}

/// How files are written; `benches/archive.rs` measures one day of 50,000 meters.
pub(super) fn properties() -> WriterPropertiesPtr {
    let column = |name: &str| ColumnPath::new(vec![name.to_owned()]);
    let sorted = |index| SortingColumn { column_idx: index, descending: false, nulls_first: true };
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("greenstream ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_write_batch_size(8192)
        .set_sorting_columns(Some(vec![sorted(0), sorted(1)]))
        .set_statistics_truncate_length(None);
    for name in ["ts", "upload", "row_number"] {
        properties = properties
            .set_column_dictionary_enabled(column(name), false)
            .set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED);
    }
    Arc::new(properties.build())
}

/// The folder of a UTC day within its table.
pub(super) fn folder(day: Option<i64>) -> String {
    match date(day) {
        Some(date) => format!("date={date}"),
        None => NULL_FOLDER.to_owned(),
    }
}

/// A UTC day as the partition column writes it, `2026-03-02`.
pub(super) fn date(day: Option<i64>) -> Option<String> {
    let (year, month, day) = civil_from_days(day?);
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// The day whose folder a file of the table lies in; none if the path is not one of ours.
pub(super) fn day_of(path: &str) -> Option<Option<i64>> {
    let (folder, _) = path.split_once('/')?;
    if folder == NULL_FOLDER {
        return Some(None);
    }
    let mut parts = folder.strip_prefix("date=")?.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse().ok().filter(|month| (1..=12).contains(month))?;
    let day = parts.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    Some(Some(days_from_civil(year, month, day)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_its_day() {
        for day in [None, Some(0), Some(20_514), Some(-719_162), Some(2_932_896)] {
            assert_eq!(day_of(&format!("{}/part.parquet", folder(day))), Some(day));
        }
        assert_eq!(folder(Some(20_514)), "date=2026-03-02");
        for path in ["part.parquet", "date=2026-03/x", "date=2026-13-01/x", "day=2026-03-01/x"] {
            assert_eq!(day_of(path), None, "{path}");
        }
    }

    #[test]
    fn columns_stand_in_the_order_of_the_contract() {
        let names = |set: Dataset| -> Vec<String> {
            set.schema().fields().iter().map(|field| field.name().clone()).collect()
        };
        let readings = "meter_id ts kw unit_converted energy_to_power utc_normalized dst_resolved duplicate \
                        missing_value forward_filled released edited potentially_faulty upload row_number";
        assert_eq!(names(Dataset::Readings).join(" "), readings);
        assert_eq!(names(Dataset::ErrorQueue).join(" "), format!("{readings} reason status"));
    }
}
