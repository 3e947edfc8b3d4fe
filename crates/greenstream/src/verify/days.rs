//! Day by day: what the database holds, summed for each upload, and the archive beside it.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use greenstream_core::Power;
use rustc_hash::FxHashMap;

use super::state::View;
use super::sum::{Sum, of_all, of_row};
use super::{Checks, archived};
use crate::process::ProcessError;

/// The sums of one day of the database.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct DaySums {
    /// Of the accepted readings.
    pub readings: Sum,
    /// Of the error queue.
    pub errors: Sum,
}

/// A value as the archive can hold it: beyond 9e9 kW a double holds no milliwatts.
#[expect(clippy::cast_possible_truncation, reason = "rounded; a feed carries at most 1e18 mW")]
fn archived(kw: Option<Power>) -> Option<Power> {
    kw.map(|kw| Power::from_milliwatts((kw.kw() * 1e6).round() as i64))
}

/// Takes days until there are no more.
pub fn check(checks: &Checks<'_>, view: &View<'_>, next: &AtomicUsize) -> Result<(), ProcessError> {
    let mut days: BTreeSet<Option<i64>> = view.snapshot.utc_days()?.into_iter().map(Some).collect();
    days.insert(None);
    if let Some(archive) = &checks.archive {
        days.extend(archived::days(archive));
    }
    let days: Vec<Option<i64>> = days.into_iter().collect();
    let dirty = archived::dirty(view.snapshot)?;
    let mut stored = FxHashMap::default();
    while let Some(day) = days.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
        let sums = of_day(view, day, &mut stored)?;
        if let Some(archive) = &checks.archive
            && archived::differs(view, archive, day, &dirty, sums)?.is_some()
            && let Some(finding) = archived::confirm(checks, day)?
        {
            checks.find(finding);
        }
        let done = checks.days.fetch_add(u64::from(day.is_some()), Ordering::Relaxed);
        (checks.tell)("comparing the archive", done, days.len() as u64);
    }
    let mut all = checks.stored.lock().unwrap_or_else(PoisonError::into_inner);
    for (upload, sum) in stored {
        all.entry(upload).or_default().merge(sum);
    }
    Ok(())
}

/// Sums up one day, and its readings for each upload.
pub fn of_day(
    view: &View<'_>,
    day: Option<i64>,
    stored: &mut FxHashMap<u32, Sum>,
) -> Result<DaySums, ProcessError> {
    let mut sums = DaySums::default();
    if let Some(day) = day {
        // rows of an upload mostly stand together
        let mut run = (0, Sum::default());
        view.snapshot.day_rows(day, None, None, |meter, reading| {
            let (hash, row) = (view.hash(meter), (reading.upload, reading.row_number));
            sums.readings.add(of_all(hash, Some(reading.ts), archived(reading.kw), reading.flags, row, 0));
            if run.0 != reading.upload {
                stored.entry(run.0).or_default().merge(run.1);
                run = (reading.upload, Sum::default());
            }
            if view.decided.contains(&row) {
                // counted, and otherwise what the operator says
                run.1.rows += 1;
            } else {
                run.1.add(of_row(reading.row_number, hash, reading.ts, reading.kw, reading.flags));
            }
        })?;
        stored.entry(run.0).or_default().merge(run.1);
    }
    view.snapshot.day_errors(day, |row| {
        let meter = match row.meter {
            Some(meter) => view.hash(meter),
            None => super::sum::of_text(&row.meter_text),
        };
        let codes = (row.reason as u64) << 8 | row.status as u64;
        let (kw, at) = (archived(row.kw), (row.upload, row.row_number));
        sums.errors.add(of_all(meter, row.ts, kw, row.flags, at, codes));
    })?;
    Ok(sums)
}
