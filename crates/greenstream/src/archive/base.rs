//! Reads live files back: which meters they hold first, then the rows of a range of meters.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use greenstream_core::Flag;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
    RowSelection, RowSelector,
};

use super::depot::Depot;
use super::error::{Error, Result};
use super::file::DataFile;
use super::layout::{Dataset, GROUP_ROWS};
use super::merge::Row;
use super::roster::Roster;

/// The index of the first flag among the columns of a file.
const FIRST_FLAG: usize = 3;
const UPLOAD: usize = FIRST_FLAG + Flag::ALL.len();
const ROW_NUMBER: usize = UPLOAD + 1;

/// An open data file.
pub(super) struct OpenFile {
    path: PathBuf,
    file: File,
    metadata: ArrowReaderMetadata,
}

impl OpenFile {
    /// Opens a file whose row count must be what the log says.
    pub(super) fn open(depot: &Depot, table: Dataset, data: &DataFile) -> Result<OpenFile> {
        let path = depot.dir().join(&data.path);
        let file = match depot.open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::damaged(&path, "the file is missing"));
            }
            opened => opened.map_err(Error::io("open", &path))?,
        };
        let size = file.metadata().map_err(Error::io("read", &path))?.len();
        if size != data.size {
            return Err(Error::damaged(&path, format!("{size} bytes instead of {}", data.size)));
        }
        let options = ArrowReaderOptions::new().with_schema(table.schema());
        let metadata = ArrowReaderMetadata::load(&file, options).map_err(Error::read(&path))?;
        let rows = metadata.metadata().file_metadata().num_rows();
        if u64::try_from(rows).ok() != Some(data.stats.rows) {
            let problem = format!("{rows} rows instead of {}", data.stats.rows);
            return Err(Error::damaged(&path, problem));
        }
        Ok(OpenFile { path, file, metadata })
    }

    /// Reads some columns (all of them without a choice) of some rows of one row group.
    fn reader(
        &self,
        group: usize,
        columns: Option<Range<usize>>,
        rows: Option<Range<usize>>,
    ) -> Result<ParquetRecordBatchReader> {
        let file = self.file.try_clone().map_err(Error::io("open", &self.path))?;
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_row_groups(vec![group])
            .with_batch_size(GROUP_ROWS);
        if let Some(columns) = columns {
            let mask = ProjectionMask::leaves(builder.parquet_schema(), columns);
            builder = builder.with_projection(mask);
        }
        if let Some(rows) = rows {
            let selection = vec![RowSelector::skip(rows.start), RowSelector::select(rows.len())];
            builder = builder.with_row_selection(RowSelection::from(selection));
        }
        builder.build().map_err(Error::read(&self.path))
    }

    /// For each row group its rows, in order.
    fn groups(&self) -> Vec<usize> {
        let groups = self.metadata.metadata().row_groups();
        groups.iter().map(|group| usize::try_from(group.num_rows()).unwrap_or(0)).collect()
    }

    /// Every batch of the file.
    pub(super) fn batches(&self, mut sink: impl FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        for group in 0..self.groups().len() {
            for batch in self.reader(group, None, None)? {
                sink(&batch.map_err(|error| Error::read(&self.path)(error.into()))?)?;
            }
        }
        Ok(())
    }

    /// An [`Error::Damaged`] about this file.
    pub(super) fn damaged(&self, problem: impl Into<String>) -> Error {
        Error::damaged(&self.path, problem)
    }
}

/// A file of readings and the meters it holds.
pub(super) struct Base {
    file: OpenFile,
    /// (meter's number in the day's roster, end of its rows), in the order of the file.
    runs: Vec<(u32, usize)>,
}

impl Base {
    /// Opens a file and enters its meters into the roster.
    pub(super) fn open(depot: &Depot, data: &DataFile, roster: &mut Roster) -> Result<Base> {
        let file = OpenFile::open(depot, Dataset::Readings, data)?;
        let mut runs: Vec<(u32, usize)> = Vec::new();
        let mut row = 0;
        for group in 0..file.groups().len() {
            for batch in file.reader(group, Some(0..1), None)? {
                let batch = batch.map_err(|error| Error::read(&file.path)(error.into()))?;
                let meters = batch.column(0).as_dictionary::<Int32Type>();
                let names = meters.values().as_string::<i32>();
                let mut last_key = None;
                for key in meters.keys().values() {
                    if last_key != Some(*key) {
                        last_key = Some(*key);
                        let name = usize::try_from(*key).map_or("", |key| names.value(key));
                        let id = roster.id(name);
                        if runs.last().is_none_or(|(last, _)| *last != id) {
                            if runs.last().is_some_and(|(last, _)| **roster.name(*last) >= *name) {
                                return Err(file.damaged("the rows are not sorted by meter"));
                            }
                            runs.push((id, row));
                        }
                    }
                    row += 1;
                    if let Some((_, end)) = runs.last_mut() {
                        *end = row;
                    }
                }
            }
        }
        let mut start = 0;
        for (id, end) in &runs {
            roster.add_rows(*id, (end - start) as u64);
            start = *end;
        }
        Ok(Base { file, runs })
    }

    /// Gives the rows of the meters whose rank lies in `ranks`, with their rank in that range.
    pub(super) fn read(
        &self,
        rank_of: &[u32],
        ranks: &Range<u32>,
        mut sink: impl FnMut(u32, Row),
    ) -> Result<()> {
        let at = |rank: u32| self.runs.partition_point(|(id, _)| rank_of[*id as usize] < rank);
        let end_of = |run: usize| if run == 0 { 0 } else { self.runs[run - 1].1 };
        let (mut run, last) = (at(ranks.start), at(ranks.end));
        let wanted = end_of(run)..end_of(last);
        let mut group_start = 0;
        for (group, rows) in self.file.groups().into_iter().enumerate() {
            let from = wanted.start.clamp(group_start, group_start + rows);
            let to = wanted.end.clamp(group_start, group_start + rows);
            if from < to {
                let within = from - group_start..to - group_start;
                let selected = (within.len() < rows).then_some(within);
                let mut row_at = from;
                for batch in self.file.reader(group, Some(1..ROW_NUMBER + 1), selected)? {
                    let batch = batch.map_err(|error| Error::read(&self.file.path)(error.into()))?;
                    let rows = rows_of(&batch, 1);
                    for row in rows.ok_or_else(|| self.file.damaged("a number is out of range"))? {
                        while self.runs[run].1 <= row_at {
                            run += 1;
                        }
                        sink(rank_of[self.runs[run].0 as usize] - ranks.start, row);
                        row_at += 1;
                    }
                }
            }
            group_start += rows;
        }
        Ok(())
    }
}

/// The rows of a batch whose first column is the file's column `first`; `None` if an upload or a row
/// number is none.
pub(super) fn rows_of(batch: &RecordBatch, first: usize) -> Option<impl Iterator<Item = Row> + '_> {
    let column = |index: usize| batch.column(index - first);
    let ts = column(1).as_primitive::<TimestampMicrosecondType>().values();
    let kw = column(2).as_primitive::<Float64Type>();
    let mut flags = vec![0_u16; batch.num_rows()];
    for (flag, index) in Flag::ALL.into_iter().zip(FIRST_FLAG..) {
        for at in column(index).as_boolean().values().set_indices() {
            flags[at] |= 1 << flag as u8;
        }
    }
    let numbers = |index: usize| column(index).as_primitive::<Int64Type>().values();
    let (uploads, row_numbers) = (numbers(UPLOAD), numbers(ROW_NUMBER));
    let fits = |numbers: &[i64]| numbers.iter().all(|number| u32::try_from(*number).is_ok());
    if !fits(uploads) || !fits(row_numbers) {
        return None;
    }
    let number = |number: i64| u32::try_from(number).unwrap_or(0);
    Some((0..batch.num_rows()).map(move |at| Row {
        ts: ts[at],
        kw: if kw.is_null(at) { f64::NAN } else { kw.value(at) },
        flags: flags[at],
        upload: number(uploads[at]),
        row: number(row_numbers[at]),
    }))
}
