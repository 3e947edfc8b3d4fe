//! Which days a flush writes, and which of a day's files it replaces.

use std::collections::BTreeMap;
use std::sync::Arc;

use greenstream_core::Ts;

use super::buffer::{CHANGES, GONE, Overlay, Pending};
use super::file::DataFile;
use super::names::Names;

/// Files below this are small: enough of them in one day are merged into one.
const SMALL_FILE_ROWS: u64 = 1 << 18;
/// Small files of one day before they are merged. Fewer cost rewrites, more cost every reader.
const SMALL_FILES_MAX: usize = 16;

/// What a flush is to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Everything, each day as one generation of files: the end of an ingest.
    All,
    /// The open day (the latest one) now; closed days and their compaction once they have waited
    /// this many microseconds, counted from the first flush that passed them by.
    Lag {
        /// How long corrections of closed days may wait, in microseconds.
        closed_wait: i64,
    },
    /// Oldest days first until the buffer takes at most so many bytes; compaction is left for later.
    Bytes(usize),
}

impl Mode {
    /// Files of one day that are encoded at once, each by a thread: two where nothing else works any more. More
    /// take more memory, about 40 MB for the rows of a file.
    pub(super) fn encoders(self) -> usize {
        if self == Mode::All { 2 } else { 1 }
    }
}

/// How a day is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// Changes are added beside the files they do not touch: an open day, or a hurry.
    Beside,
    /// Files stay, or become, one generation: disjoint by meter.
    Disjoint,
}

/// The latest day that holds readings, written or not: the open one.
pub(super) fn open_day(
    pending: &BTreeMap<Option<i64>, Pending>,
    live: &BTreeMap<Option<i64>, Vec<DataFile>>,
) -> Option<i64> {
    let waiting = pending.iter().filter(|(_, pending)| pending.has_readings()).map(|(day, _)| *day);
    waiting.chain(live.keys().copied()).max().flatten()
}

/// Whether each file of a day holds meters that no other holds.
pub(super) fn is_disjoint(files: &[DataFile]) -> bool {
    let mut ranges: Vec<_> = files.iter().filter_map(|file| file.stats.meters.as_ref()).collect();
    ranges.sort_unstable();
    ranges.len() == files.len() && ranges.is_sorted_by(|(_, last), (first, _)| last < first)
}

/// The days to write now, and how. Marks those that are passed by.
pub(super) fn choose(
    mode: Mode,
    pending: &mut BTreeMap<Option<i64>, Pending>,
    live: &BTreeMap<Option<i64>, Vec<DataFile>>,
    overlapping_since: &mut BTreeMap<i64, Ts>,
    now: Ts,
) -> BTreeMap<Option<i64>, Shape> {
    let open = open_day(pending, live);
    let overlapping = live.iter().filter(|(_, files)| !is_disjoint(files)).filter_map(|(day, _)| *day);
    match mode {
        Mode::All => {
            let days = pending.keys().copied().chain(overlapping.map(Some));
            days.map(|day| (day, Shape::Disjoint)).collect()
        }
        Mode::Lag { closed_wait } => {
            let mut days = BTreeMap::new();
            for (day, pending) in pending {
                let since = *pending.waiting_since.get_or_insert(now);
                if day.is_none() || *day >= open {
                    days.insert(*day, Shape::Beside);
                } else if now.since(since) >= closed_wait {
                    days.insert(*day, Shape::Disjoint);
                }
            }
            let closed: Vec<i64> = overlapping.filter(|day| Some(*day) < open).collect();
            overlapping_since.retain(|day, _| closed.contains(day));
            for day in closed {
                let since = *overlapping_since.entry(day).or_insert(now);
                if now.since(since) >= closed_wait {
                    days.insert(Some(day), Shape::Disjoint);
                }
            }
            days
        }
        Mode::Bytes(limit) => relieve(limit, pending, live, open),
    }
}

/// Days whose writing brings the buffer down to `limit` bytes: closed ones that the archive does not
/// have yet, then other closed ones, then the open one, each oldest first.
fn relieve(
    limit: usize,
    pending: &BTreeMap<Option<i64>, Pending>,
    live: &BTreeMap<Option<i64>, Vec<DataFile>>,
    open: Option<i64>,
) -> BTreeMap<Option<i64>, Shape> {
    let mut bytes: usize = pending.values().map(|pending| pending.overlay.bytes()).sum();
    let mut days: Vec<_> = pending.iter().filter(|(_, pending)| pending.overlay.rows() > 0).collect();
    days.sort_by_key(|(day, _)| (**day >= open, live.contains_key(day), **day));
    let mut chosen = BTreeMap::new();
    for (day, pending) in days {
        if bytes <= limit {
            break;
        }
        bytes -= pending.overlay.bytes();
        chosen.insert(*day, Shape::Beside);
    }
    chosen
}

/// Which files of a day a write replaces: all that may hold a reading which the changes alter, and
/// what the shape asks for. Indices into `files`, sorted.
pub(super) fn replaced(
    files: &[DataFile],
    overlay: &Overlay,
    names: &Names,
    shape: Shape,
    unsure: bool,
) -> Vec<usize> {
    let all = || (0..files.len()).collect();
    if shape == Shape::Disjoint {
        return if is_disjoint(files) { owners(files, overlay, names) } else { all() };
    }
    let mut taken = altered(files, overlay, names, unsure);
    let small = |at: &usize| files[*at].stats.rows < SMALL_FILE_ROWS;
    if (0..files.len()).filter(|at| !taken[*at]).filter(small).count() >= SMALL_FILES_MAX {
        (0..files.len()).filter(small).for_each(|at| taken[at] = true);
    }
    (0..files.len()).filter(|at| taken[*at]).collect()
}

/// Of files that are disjoint by meter, those into whose range a changed meter falls. A meter before
/// the first belongs to it, one between two to the former.
fn owners(files: &[DataFile], overlay: &Overlay, names: &Names) -> Vec<usize> {
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by(|a, b| files[*a].stats.meters.cmp(&files[*b].stats.meters));
    let starts: Vec<&str> =
        order.iter().filter_map(|at| files[*at].stats.meters.as_ref()).map(|(min, _)| min.as_str()).collect();
    let mut taken = Vec::new();
    for (meter, _) in (0..).zip(overlay.rows_by_meter()).filter(|(_, rows)| *rows > 0) {
        let Some(name) = names.get(meter) else { continue };
        let before = starts.partition_point(|start| *start <= &**name);
        if let Some(at) = order.get(before.saturating_sub(1)) {
            taken.push(*at);
        }
    }
    taken.sort_unstable();
    taken.dedup();
    taken
}

/// For each file whether it may hold a reading that the changes replace or remove. When a failed
/// flush may have written them before, every change counts.
fn altered(files: &[DataFile], overlay: &Overlay, names: &Names, unsure: bool) -> Vec<bool> {
    let mut taken = vec![false; files.len()];
    let alters = |flags: u16| unsure || flags & (CHANGES | GONE) != 0;
    let mut last: Option<(u32, &Arc<str>)> = None;
    for block in overlay.blocks() {
        for at in (0..block.meter.len()).filter(|at| alters(block.flags[*at])) {
            let meter = block.meter[at];
            let name = match last {
                Some((known, name)) if known == meter => name,
                _ => match names.get(meter) {
                    Some(name) => last.insert((meter, name)).1,
                    None => continue,
                },
            };
            for (file, taken) in files.iter().zip(&mut taken).filter(|(_, taken)| !**taken) {
                *taken = may_hold(file, name, block.ts(at));
            }
        }
        if taken.iter().all(|taken| *taken) {
            break;
        }
    }
    taken
}

fn may_hold(file: &DataFile, meter: &str, ts: i64) -> bool {
    let meters = file.stats.meters.as_ref();
    meters.is_none_or(|(min, max)| min.as_str() <= meter && meter <= max.as_str())
        && file.stats.ts.is_none_or(|(min, max)| min <= ts && ts <= max)
}
