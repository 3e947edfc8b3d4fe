//! Writes the error queue of one day, always as the store has it: its rows are few, and what an
//! operator's decision does to them is the store's to say.

use arrow_array::ArrayRef;
use arrow_buffer::NullBuffer;
use greenstream_core::{Power, Reason};

use super::day::file_name;
use super::depot::Depot;
use super::error::{Error, Result};
use super::file::{DataFile, FileWriter, Slice, dictionary};
use super::layout::{Dataset, GROUP_ROWS};
use super::roster::{FILE_ROWS_MAX, Roster};
use super::source::{ErrorRow, Source};
use crate::change::Status;

/// All statuses, by their code on disk.
pub(super) const STATUSES: [Status; 4] = [Status::Open, Status::Released, Status::Edited, Status::Discarded];

#[derive(Clone, Copy)]
struct Entry {
    meter: u32,
    ts: Option<i64>,
    upload: u32,
    row: u32,
    kw: f64,
    flags: u16,
    reason: Reason,
    status: Status,
}

/// Writes the rows of `day` into as many files as they need, none without rows.
pub(super) fn write(
    depot: &Depot,
    day: Option<i64>,
    position: u64,
    source: &dyn Source,
) -> Result<Vec<DataFile>> {
    let mut roster = Roster::default();
    let mut entries = Vec::new();
    let mut take = |row: ErrorRow<'_>| {
        entries.push(Entry {
            meter: roster.id(row.meter),
            ts: row.ts.map(|ts| ts.micros()),
            upload: row.upload,
            row: row.row_number,
            kw: row.kw.map_or(f64::NAN, Power::kw),
            flags: row.flags.bits(),
            reason: row.reason,
            status: row.status,
        });
    };
    source.errors(day, &mut take).map_err(|source| Error::Source { source })?;
    let ranking = roster.rank();
    for entry in &mut entries {
        entry.meter = ranking.rank_of[entry.meter as usize];
    }
    entries.sort_unstable_by_key(|entry| (entry.meter, entry.ts, entry.upload, entry.row));
    let mut files = Vec::new();
    for entries in entries.chunks(usize::try_from(FILE_ROWS_MAX).unwrap_or(usize::MAX)) {
        let mut writer = FileWriter::create(depot, Dataset::ErrorQueue, day, &file_name(position))?;
        for entries in entries.chunks(GROUP_ROWS) {
            write_group(&mut writer, entries, |rank| &ranking.names[rank as usize])?;
        }
        files.push(writer.finish()?);
    }
    Ok(files)
}

fn write_group<'a>(writer: &mut FileWriter, entries: &[Entry], name: impl Fn(u32) -> &'a str) -> Result<()> {
    let column = |get: fn(&Entry) -> u32| -> Vec<u32> { entries.iter().map(get).collect() };
    let ts: Vec<i64> = entries.iter().map(|entry| entry.ts.unwrap_or_default()).collect();
    let kw: Vec<f64> = entries.iter().map(|entry| entry.kw).collect();
    let flags: Vec<u16> = entries.iter().map(|entry| entry.flags).collect();
    let (upload, row) = (column(|entry| entry.upload), column(|entry| entry.row));
    let mut meters: Vec<u32> = column(|entry| entry.meter);
    let ranks = meters.clone();
    meters.dedup();
    let mut keys = Vec::with_capacity(ranks.len());
    let mut key = 0;
    for pair in ranks.windows(2) {
        keys.push(key);
        key += i32::from(pair[0] != pair[1]);
    }
    keys.push(key);
    let slice = Slice {
        keys,
        meters: meters.into_iter().map(name).collect(),
        ts: &ts,
        has_ts: Some(entries.iter().map(|entry| entry.ts.is_some()).collect::<NullBuffer>()),
        kw: &kw,
        flags: &flags,
        upload: &upload,
        row: &row,
    };
    let reasons = coded(entries, &Reason::ALL, Reason::name, |entry| entry.reason)?;
    let statuses = coded(entries, &STATUSES, Status::name, |entry| entry.status)?;
    writer.write(slice, vec![reasons, statuses])
}

fn coded<T: PartialEq + Copy>(
    entries: &[Entry],
    all: &[T],
    name: fn(T) -> &'static str,
    get: fn(&Entry) -> T,
) -> Result<ArrayRef> {
    let key = |entry: &Entry| (0..).zip(all).find(|(_, code)| **code == get(entry)).map_or(0, |(key, _)| key);
    dictionary(entries.iter().map(key).collect(), all.iter().map(|code| name(*code)).collect())
}
