//! Writes one data file: zstd Parquet, sorted by meter and time, on stable storage when it returns.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use greenstream_core::Flag;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;

use super::depot::Depot;
use super::error::{Error, Result};
use super::layout::{Dataset, GROUP_ROWS, folder, properties};
use super::merge::Sorted;
use super::stats::Stats;

/// A data file, as the transaction log knows it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct DataFile {
    /// Within the table's folder, with `/`.
    pub(super) path: String,
    /// Size in bytes.
    pub(super) size: u64,
    /// What the log tells readers about the content.
    pub(super) stats: Stats,
}

/// Writes files of one table.
pub(super) struct FileWriter {
    depot: Depot,
    writer: ArrowWriter<File>,
    table: Dataset,
    stats: Stats,
    path: String,
    full: std::path::PathBuf,
}

/// The columns that both tables have, of some rows in the order of the file.
pub(super) struct Slice<'a> {
    /// Meter of each row, an index into `meters`.
    pub(super) keys: Vec<i32>,
    /// The meters of these rows, sorted.
    pub(super) meters: Vec<&'a str>,
    pub(super) ts: &'a [i64],
    /// Rows that have an instant; all of them if none.
    pub(super) has_ts: Option<NullBuffer>,
    pub(super) kw: &'a [f64],
    pub(super) flags: &'a [u16],
    pub(super) upload: &'a [u32],
    pub(super) row: &'a [u32],
}

impl FileWriter {
    /// Begins a file in the folder of `day`, which is made if need be. `name` must be new.
    pub(super) fn create(depot: &Depot, table: Dataset, day: Option<i64>, name: &str) -> Result<FileWriter> {
        let folder = folder(day);
        let full = depot.dir().join(&folder).join(name);
        let file = depot.create(&full)?;
        let options = ArrowWriterOptions::new()
            .with_properties(properties().as_ref().clone())
            .with_skip_arrow_metadata(true);
        let writer =
            ArrowWriter::try_new_with_options(file, table.schema(), options).map_err(Error::write(&full))?;
        let (depot, path) = (depot.clone(), format!("{folder}/{name}"));
        Ok(FileWriter { depot, writer, table, stats: Stats::default(), path, full })
    }

    /// Adds rows; those that the error queue has beyond the readings' columns in `more`.
    pub(super) fn write(&mut self, slice: Slice<'_>, more: Vec<ArrayRef>) -> Result<()> {
        self.stats.add(&slice);
        let mut columns = common_columns(slice)?;
        columns.extend(more);
        let batch = RecordBatch::try_new(self.table.schema(), columns)
            .map_err(|source| Error::write(&self.full)(source.into()))?;
        self.writer.write(&batch).map_err(Error::write(&self.full))
    }

    /// Ends the file and waits until it is on stable storage (its name is not yet: see
    /// [`Depot::sync_folder`]).
    pub(super) fn finish(mut self) -> Result<DataFile> {
        // and not `into_inner`, which makes mere text of a full disk
        self.writer.finish().map_err(Error::write(&self.full))?;
        let size = self.depot.finish(self.writer.inner_mut(), &self.full)?;
        Ok(DataFile { path: self.path, size, stats: self.stats })
    }
}

/// Writes the readings of one range of meters, whose names these are; none if no row is left.
pub(super) fn write_readings(
    depot: &Depot,
    day: i64,
    name: &str,
    meters: &[Arc<str>],
    sorted: &Sorted,
) -> Result<Option<DataFile>> {
    let rows = sorted.columns.len();
    if rows == 0 {
        return Ok(None);
    }
    let mut writer = FileWriter::create(depot, Dataset::Readings, Some(day), name)?;
    let mut start = 0;
    while start < rows {
        let end = rows.min(start + GROUP_ROWS);
        writer.write(slice_of(meters, sorted, start..end), Vec::new())?;
        start = end;
    }
    writer.finish().map(Some)
}

fn slice_of<'a>(meters: &'a [Arc<str>], sorted: &'a Sorted, rows: Range<usize>) -> Slice<'a> {
    let columns = &sorted.columns;
    let mut slice = Slice {
        keys: Vec::with_capacity(rows.len()),
        meters: Vec::new(),
        ts: &columns.ts[rows.clone()],
        has_ts: None,
        kw: &columns.kw[rows.clone()],
        flags: &columns.flags[rows.clone()],
        upload: &columns.upload[rows.clone()],
        row: &columns.row[rows.clone()],
    };
    let mut meter = sorted.ends.partition_point(|end| *end <= rows.start);
    let mut key = 0;
    while slice.keys.len() < rows.len() {
        let end = sorted.ends[meter].min(rows.end) - rows.start;
        if end > slice.keys.len() {
            slice.keys.resize(end, key);
            slice.meters.push(&meters[meter]);
            key += 1;
        }
        meter += 1;
    }
    slice
}

/// Text of few distinct values.
pub(super) fn dictionary(keys: Vec<i32>, values: Vec<&str>) -> Result<ArrayRef> {
    let values: ArrayRef = Arc::new(StringArray::from(values));
    let array = DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), values)
        .map_err(|source| Error::write(Path::new("meter_id"))(source.into()))?;
    Ok(Arc::new(array))
}

fn common_columns(slice: Slice<'_>) -> Result<Vec<ArrayRef>> {
    let rows = slice.ts.len();
    let numbers = |numbers: &[u32]| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(numbers.iter().map(|number| i64::from(*number))))
    };
    let ts = TimestampMicrosecondArray::new(ScalarBuffer::from(slice.ts.to_vec()), slice.has_ts);
    let has_kw = NullBuffer::new(BooleanBuffer::collect_bool(rows, |at| !slice.kw[at].is_nan()));
    let kw = Float64Array::new(ScalarBuffer::from(slice.kw.to_vec()), Some(has_kw));
    let mut columns: Vec<ArrayRef> =
        vec![dictionary(slice.keys, slice.meters)?, Arc::new(ts.with_timezone("UTC")), Arc::new(kw)];
    let any = slice.flags.iter().fold(0, |all, flags| all | flags);
    for flag in Flag::ALL {
        let bit = 1_u16 << flag as u8;
        let bits = if any & bit == 0 {
            BooleanBuffer::new_unset(rows)
        } else {
            BooleanBuffer::collect_bool(rows, |at| slice.flags[at] & bit != 0)
        };
        columns.push(Arc::new(BooleanArray::new(bits, None)));
    }
    columns.push(numbers(slice.upload));
    columns.push(numbers(slice.row));
    Ok(columns)
}
