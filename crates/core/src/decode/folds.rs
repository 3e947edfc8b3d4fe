//! Wall times that the autumn change repeats: which of the two instants each row means (rule 5).
//!
//! Among one meter's rows in file order, or against it where the file runs backwards, the first
//! occurrence of a wall time is the earlier instant and each further one the later.

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::Row;
use super::chunk::Chunk;
use super::rejects::When;
use super::zone::Zone;
use crate::{Reason, Ts};

/// One occurrence of a repeated wall time.
struct Occurrence {
    meter: usize,
    wall: i64,
    target: Target,
}

#[derive(Clone, Copy)]
enum Target {
    /// Index into the rows, and the step to the later instant.
    Row(usize, i64),
    /// Index into the rejects and their times, the earlier instant, and the step to the later.
    Reject(usize, usize, Ts, i64),
}

/// How the rows of one meter run.
#[derive(Clone, Copy, Default)]
struct Course {
    has_repeats: bool,
    last: Option<i64>,
    /// Steps forth less steps back.
    forth: i64,
}

/// Moves rows and rejects that are the later of two instants. Returns the indices of rows that
/// thereby come to lie after `latest`, ascending.
pub(crate) fn resolve(all: &mut Chunk, zone: &Zone, latest: Ts) -> Vec<usize> {
    let has_repeats = !all.folds.is_empty() || all.rejects.iter().any(|logged| logged.when == When::Twice);
    if !has_repeats {
        return Vec::new();
    }
    let (mut occurrences, courses) = survey(all, zone);
    // stable: within a meter and a wall time they stay in file order
    occurrences.sort_by_key(|occurrence| (occurrence.meter, occurrence.wall));
    let mut late = Vec::new();
    for group in occurrences.chunk_by(|a, b| (a.meter, a.wall) == (b.meter, b.wall)) {
        let backwards =
            group.first().and_then(|o| courses.get(o.meter)).is_some_and(|course| course.forth < 0);
        let first = if backwards { group.len() - 1 } else { 0 };
        let later = group.iter().enumerate().filter(|(at, _)| *at != first);
        for (_, occurrence) in later {
            match occurrence.target {
                Target::Row(index, shift) => {
                    if let Some(row) = all.rows.get_mut(index) {
                        row.ts = row.ts.plus(shift);
                        if row.ts > latest {
                            late.push(index);
                        }
                    }
                }
                Target::Reject(index, time, ts, shift) => {
                    let ts = ts.plus(shift);
                    all.rejects.move_to(index, time, ts, (ts > latest).then_some(Reason::TimestampInFuture));
                }
            }
        }
    }
    late.sort_unstable();
    late
}

/// Goes through all rows with a wall time in file order: where the repeated ones are, and how the
/// meters that have any run.
fn survey(all: &Chunk, zone: &Zone) -> (Vec<Occurrence>, Vec<Course>) {
    let ids: FxHashMap<&str, usize> = all.meters.ids().enumerate().map(|(at, id)| (id, at)).collect();
    let mut others: FxHashMap<&str, usize> = FxHashMap::with_hasher(FxBuildHasher);
    let mut courses = vec![Course::default(); all.meters.len()];
    for (index, _) in &all.folds {
        let meter = all.rows.get(*index as usize).and_then(|row| courses.get_mut(row.meter as usize));
        if let Some(course) = meter {
            course.has_repeats = true;
        }
    }
    for logged in all.rejects.iter().filter(|logged| logged.when == When::Twice) {
        let meter = ids.get(logged.meter).copied().unwrap_or_else(|| {
            *others.entry(logged.meter).or_insert_with(|| {
                courses.push(Course::default());
                courses.len() - 1
            })
        });
        if let Some(course) = courses.get_mut(meter) {
            course.has_repeats = true;
        }
    }
    let mut occurrences = Vec::new();
    let mut note = |meter: usize, ts: Ts, target: Option<Target>| {
        let Some(course) = courses.get_mut(meter).filter(|course| course.has_repeats) else { return };
        let wall = zone.wall(ts);
        course.forth += course.last.map_or(0, |last| (wall - last).signum());
        course.last = Some(wall);
        occurrences.extend(target.map(|target| Occurrence { meter, wall, target }));
    };
    let mut rejects = all.rejects.iter().filter(|l| matches!(l.when, When::Twice | When::Wall)).peekable();
    let mut note_rejects = |before: u32, note: &mut dyn FnMut(usize, Ts, Option<Target>)| {
        while let Some(logged) = rejects.next_if(|logged| logged.row_number < before) {
            let meter = ids.get(logged.meter).or_else(|| others.get(logged.meter));
            let (Some(meter), Some(ts)) = (meter, logged.ts) else { continue };
            let target = Target::Reject(logged.index, logged.time, ts, logged.shift);
            note(*meter, ts, (logged.when == When::Twice).then_some(target));
        }
    };
    let mut folds = all.folds.iter().peekable();
    for (index, row) in walls(all) {
        note_rejects(row.row_number, &mut note);
        let fold = folds.next_if(|(at, _)| *at as usize == index);
        note(row.meter as usize, row.ts, fold.map(|(_, shift)| Target::Row(index, *shift)));
    }
    note_rejects(u32::MAX, &mut note);
    (occurrences, courses)
}

/// The rows that go by the local clock, with their indices.
fn walls(all: &Chunk) -> impl Iterator<Item = (usize, &Row)> {
    let mut runs = all.with_offset.iter().peekable();
    all.rows.iter().enumerate().filter(move |(_, row)| {
        while runs.next_if(|(_, last)| *last < row.row_number).is_some() {}
        runs.peek().is_none_or(|(first, _)| row.row_number < *first)
    })
}
