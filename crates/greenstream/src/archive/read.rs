//! Reads the live snapshot back, row by row, for those who compare it with the database.

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, RecordBatch};
use greenstream_core::{Flags, Power, Reason, Ts};

use super::Archive;
use super::base::{OpenFile, rows_of};
use super::error::Result;
use super::layout::Dataset;
use super::log::Table;
use super::merge::Row;
use super::queue::STATUSES;
use super::source::{ErrorRow, ReadingRow};

/// The live files of one day of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DayFiles {
    /// The UTC day; none for rows without an instant.
    pub day: Option<i64>,
    /// Files.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Archive {
    fn table(&self, dataset: Dataset) -> &Table {
        match dataset {
            Dataset::Readings => &self.readings,
            Dataset::ErrorQueue => &self.errors,
        }
    }

    /// The days of a table's live snapshot, rows without an instant first.
    pub fn days(&self, dataset: Dataset) -> Vec<DayFiles> {
        let live = self.table(dataset).live.iter();
        live.map(|(day, files)| DayFiles {
            day: *day,
            files: files.len() as u64,
            rows: files.iter().map(|file| file.stats.rows).sum(),
            bytes: files.iter().map(|file| file.size).sum(),
        })
        .collect()
    }

    /// Reads a day's readings from the live files; sorted by meter and time within each file. Power
    /// is exact up to 9e9 kW, beyond which a double holds no milliwatts.
    ///
    /// # Errors
    /// [`Error::Damaged`](super::Error::Damaged) for a file that is missing or is not what the log says.
    pub fn read_readings(&self, day: i64, mut sink: impl FnMut(ReadingRow<'_>)) -> Result<()> {
        self.read(Dataset::Readings, Some(day), |_, _, meter, _, row| {
            sink(ReadingRow {
                meter,
                ts: Ts::from_micros(row.ts),
                kw: power(row.kw),
                flags: Flags::from_bits(row.flags),
                upload: row.upload,
                row_number: row.row,
            });
            Some(())
        })
    }

    /// Reads a day's error queue from the live files; `None` for rows without an instant.
    ///
    /// # Errors
    /// As [`Archive::read_readings`].
    pub fn read_errors(&self, day: Option<i64>, mut sink: impl FnMut(ErrorRow<'_>)) -> Result<()> {
        self.read(Dataset::ErrorQueue, day, |batch, at, meter, ts, row| {
            let text = |from_end: usize| text_at(batch, batch.num_columns() - from_end, at);
            let status = text(1);
            sink(ErrorRow {
                upload: row.upload,
                row_number: row.row,
                meter,
                ts,
                kw: power(row.kw),
                reason: Reason::from_name(text(2))?,
                flags: Flags::from_bits(row.flags),
                status: STATUSES.into_iter().find(|known| known.name() == status)?,
            });
            Some(())
        })
    }

    fn read(
        &self,
        dataset: Dataset,
        day: Option<i64>,
        mut sink: impl FnMut(&RecordBatch, usize, &str, Option<Ts>, Row) -> Option<()>,
    ) -> Result<()> {
        let table = self.table(dataset);
        for data in table.live.get(&day).into_iter().flatten() {
            let file = OpenFile::open(&table.depot, dataset, data)?;
            file.batches(|batch| {
                let rows = rows_of(batch, 0).ok_or_else(|| file.damaged("a number is out of range"))?;
                for (at, row) in rows.enumerate() {
                    let ts = (!batch.column(1).is_null(at)).then_some(Ts::from_micros(row.ts));
                    sink(batch, at, text_at(batch, 0, at), ts, row)
                        .ok_or_else(|| file.damaged("a reason or status is unknown"))?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// The text of a dictionary column.
fn text_at(batch: &RecordBatch, column: usize, at: usize) -> &str {
    let column = batch.column(column).as_dictionary::<Int32Type>();
    column.key(at).map_or("", |key| column.values().as_string::<i32>().value(key))
}

/// Kilowatts back to whole milliwatts.
#[expect(clippy::cast_possible_truncation, reason = "rounded; a feed carries at most 1e18 mW")]
fn power(kw: f64) -> Option<Power> {
    (!kw.is_nan()).then(|| Power::from_milliwatts((kw * 1e6).round() as i64))
}
