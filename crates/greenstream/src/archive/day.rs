//! Writes the readings of one day: what the replaced files held, then the changes, or else what the
//! store says.

use std::collections::VecDeque;
use std::ops::Range;
use std::thread::ScopedJoinHandle;

use greenstream_core::Power;

use super::base::Base;
use super::buffer::Overlay;
use super::depot::Depot;
use super::error::{Error, Result};
use super::file::{DataFile, write_readings};
use super::merge::{Columns, Merge, Row};
use super::names::Names;
use super::roster::{Ranking, Roster};
use super::source::{ReadingRow, Source};

/// Rows of one day that are held at once when the store gives them (about 30 bytes each); of a larger
/// day each file's rows are asked for alone.
const HELD_ROWS_MAX: usize = 1 << 24;

/// Where new files go and how they are called.
pub(super) struct Target<'a> {
    /// Where the table's files are.
    pub(super) depot: &'a Depot,
    /// The day.
    pub(super) day: i64,
    /// The journal position, for the names.
    pub(super) position: u64,
    /// Files that are encoded at once.
    pub(super) encoders: usize,
}

/// A name no other file has; text from uploads is never part of it.
pub(super) fn file_name(position: u64) -> String {
    format!("part-{position:010}-{:016x}.zstd.parquet", fastrand::u64(..))
}

/// Writes what `replaced` held with the changes on top. The files that stay begin at `borders`, which
/// no new file spans.
pub(super) fn merge(
    target: &Target<'_>,
    replaced: &[DataFile],
    borders: &[&str],
    overlay: &Overlay,
    names: &Names,
) -> Result<Vec<DataFile>> {
    let mut roster = Roster::default();
    let mut files: Vec<&DataFile> = replaced.iter().collect();
    // In time order, so that a meter's rows from files of one hour each come sorted.
    files.sort_by_key(|file| file.stats.ts);
    let bases = files
        .into_iter()
        .map(|file| Base::open(target.depot, file, &mut roster))
        .collect::<Result<Vec<_>>>()?;
    let by_meter = overlay.rows_by_meter();
    let mut id_of = vec![u32::MAX; by_meter.len()];
    for ((meter, rows), id) in (0..).zip(&by_meter).zip(&mut id_of) {
        if let Some(name) = names.get(meter).filter(|_| *rows > 0) {
            *id = roster.id_of(name);
            roster.add_rows(*id, u64::from(*rows));
        }
    }
    let ranking = roster.rank();
    for id in id_of.iter_mut().filter(|id| **id != u32::MAX) {
        *id = ranking.rank_of[*id as usize];
    }
    write(target, &ranking, borders, |ranks, merge| {
        for base in &bases {
            base.read(&ranking.rank_of, ranks, |meter, row| merge.put(meter, row))?;
        }
        put_overlay(overlay, &id_of, ranks, merge);
        Ok(())
    })
}

/// Puts the changes of the meters in `ranks`; `rank_of` is by meter number.
fn put_overlay(overlay: &Overlay, rank_of: &[u32], ranks: &Range<u32>, merge: &mut Merge) {
    for block in overlay.blocks() {
        let mut start = 0;
        for (end, upload) in &block.uploads {
            for at in start..*end {
                let rank = rank_of[block.meter[at] as usize];
                if ranks.contains(&rank) {
                    let (ts, kw, flags, row) = (block.ts(at), block.kw(at), block.flags[at], block.row[at]);
                    merge.put(rank - ranks.start, Row { ts, kw, flags, upload: *upload, row });
                }
            }
            start = *end;
        }
    }
}

/// Writes each range of meters that `fill` gives the rows of.
fn write(
    target: &Target<'_>,
    ranking: &Ranking,
    borders: &[&str],
    mut fill: impl FnMut(&Range<u32>, &mut Merge) -> Result<()>,
) -> Result<Vec<DataFile>> {
    let rank = |name: &&str| ranking.names.partition_point(|known| **known < **name);
    let borders: Vec<u32> =
        borders.iter().map(|name| u32::try_from(rank(name)).unwrap_or(u32::MAX)).collect();
    std::thread::scope(|scope| {
        let (mut files, mut encoding) = (Vec::new(), VecDeque::new());
        for ranks in ranking.cut(&borders) {
            if encoding.len() == target.encoders {
                files.extend(encoding.pop_front().map_or(Ok(None), ended)?);
            }
            let within = ranks.start as usize..ranks.end as usize;
            let mut merge = Merge::new(&ranking.rows[within.clone()]);
            fill(&ranks, &mut merge)?;
            let sorted = merge.finish();
            let meters = &ranking.names[within];
            let name = file_name(target.position);
            encoding.push_back(
                scope.spawn(move || write_readings(target.depot, target.day, &name, meters, &sorted)),
            );
        }
        for encoder in encoding {
            files.extend(ended(encoder)?);
        }
        Ok(files)
    })
}

/// What an encoding thread came to.
fn ended(encoder: ScopedJoinHandle<'_, Result<Option<DataFile>>>) -> Result<Option<DataFile>> {
    encoder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Writes the day as the store has it.
pub(super) fn from_source(target: &Target<'_>, source: &dyn Source) -> Result<Vec<DataFile>> {
    let mut held = Held { roster: Roster::default(), rows: Some(Default::default()) };
    let failed = |source| Error::Source { source };
    source.readings(target.day, None, None, &mut |row| held.take(&row)).map_err(failed)?;
    let Held { roster, rows } = held;
    let ranking = roster.rank();
    write(target, &ranking, &[], |ranks, merge| {
        if let Some((meters, columns)) = &rows {
            for (at, id) in meters.iter().enumerate() {
                let rank = ranking.rank_of[*id as usize];
                if ranks.contains(&rank) {
                    merge.put(rank - ranks.start, columns.get(at));
                }
            }
            return Ok(());
        }
        let name = |rank: u32| ranking.names.get(rank as usize).map(AsRef::as_ref);
        let mut sink = |row: ReadingRow<'_>| {
            let rank = ranking.names.partition_point(|name| **name < *row.meter);
            let rank = u32::try_from(rank).unwrap_or(u32::MAX);
            if ranks.contains(&rank) {
                merge.put(rank - ranks.start, plain(&row));
            }
        };
        source.readings(target.day, name(ranks.start), name(ranks.end), &mut sink).map_err(failed)
    })
}

fn plain(row: &ReadingRow<'_>) -> Row {
    Row {
        ts: row.ts.micros(),
        kw: row.kw.map_or(f64::NAN, Power::kw),
        flags: row.flags.bits(),
        upload: row.upload,
        row: row.row_number,
    }
}

/// A day's rows from the store, as long as they are few enough to be held.
struct Held {
    roster: Roster,
    rows: Option<(Vec<u32>, Columns)>,
}

impl Held {
    fn take(&mut self, row: &ReadingRow<'_>) {
        let id = self.roster.id(row.meter);
        self.roster.add_rows(id, 1);
        if self.rows.as_ref().is_some_and(|(meters, _)| meters.len() == HELD_ROWS_MAX) {
            self.rows = None;
        }
        if let Some((meters, columns)) = &mut self.rows {
            meters.push(id);
            columns.push(plain(row));
        }
    }
}
