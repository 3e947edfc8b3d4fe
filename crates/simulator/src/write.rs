//! From plan to files: period after period, made by threads, written in order.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::fleet::Fleet;
use crate::kind::Kind;
use crate::line::HEADER;
use crate::part::{Ids, Later, Part};
use crate::plan::{Error, Layout, Plan};
use crate::random::{Key, bound};
use crate::slots::DAY_MINUTES;
use crate::summary::Summary;
use crate::truth::Truth;

/// Rows made before they are written. Larger costs memory (about 45 bytes a row), smaller costs
/// the starting of threads (about 50 µs a wave).
const WAVE: u64 = 400_000;
/// Meters of the tiny layout whose files are made before they are written.
const TINY_WAVE: u64 = 4_096;

/// A simulation being written.
struct Writer<'a> {
    plan: &'a Plan,
    out: &'a Path,
    fleet: Fleet,
    ids: Ids,
    periods: u32,
    /// Chance of repeated uploads.
    repeats: Key,
    /// Rows to come, by the period of their delivery; three days of the late ones at most.
    queue: BTreeMap<u32, Vec<Later>>,
    truth: Truth,
    summary: Summary,
    done: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

/// One file being written.
struct Upload {
    name: String,
    path: PathBuf,
    file: File,
    lines: u64,
    bytes: u64,
}

/// Writes a plan that was checked.
pub(crate) fn write(plan: &Plan, out: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Summary, Error> {
    let name = out.file_name().ok_or_else(|| Error::Nameless { path: out.to_path_buf() })?;
    let beside = |suffix: &str| {
        let mut name = name.to_os_string();
        name.push(suffix);
        out.with_file_name(name)
    };
    fs::create_dir_all(out).map_err(Error::io(out))?;
    if fs::read_dir(out).map_err(Error::io(out))?.next().is_some() {
        return Err(Error::Occupied { path: out.to_path_buf() });
    }
    let (truth, books) = (beside(".truth.csv"), beside(".summary.json"));
    let mut writer = Writer {
        plan,
        out,
        fleet: Fleet::new(plan),
        ids: Ids::new(plan.meters),
        periods: if plan.layout == Layout::Hourly { plan.days * 24 } else { plan.days },
        repeats: Key::new(plan.seed).child(u64::MAX - 1),
        queue: BTreeMap::new(),
        truth: Truth::create(&truth)?,
        summary: Summary {
            folder: out.to_path_buf(),
            truth,
            seed: plan.seed,
            readings: plan.readings(),
            ..Summary::default()
        },
        done: 0,
        progress,
    };
    for period in 0..writer.periods {
        writer.period(period)?;
    }
    writer.leftovers()?;
    let mut summary = writer.summary;
    summary.defects = writer.truth.finish()?;
    let mut text = serde_json::to_string_pretty(&summary).unwrap_or_default();
    text.push('\n');
    fs::write(&books, text).map_err(Error::io(&books))?;
    Ok(summary)
}

impl Writer<'_> {
    /// Writes the file or files of one period (an hour or a day).
    fn period(&mut self, period: u32) -> Result<(), Error> {
        let mut late = self.queue.remove(&period).unwrap_or_default();
        let slots = self.slots(period);
        if self.plan.layout == Layout::Tiny {
            late.sort_unstable_by_key(|l| (l.meter, *l));
            return self.tiny(period, &slots, &late);
        }
        late.sort_unstable();
        let mut upload = self.begin(format!("{}.csv", self.stem(period)))?;
        self.append_late(&mut upload, &late)?;
        let rows = u64::from(slots.end - slots.start) * u64::from(self.plan.meters);
        for wave in waves(0..rows, WAVE) {
            let (fleet, ids) = (&self.fleet, &self.ids);
            let parts = spread(self.plan.threads, &wave, |range| Part::of_table(fleet, ids, &slots, range));
            for part in parts {
                self.append(&mut upload, period, part)?;
            }
            self.step(wave.end - wave.start);
        }
        self.finish(upload, period, 0, "")
    }

    /// Writes a file for each meter; `late` is sorted by meter.
    fn tiny(&mut self, period: u32, slots: &Range<u32>, late: &[Later]) -> Result<(), Error> {
        let slots: Vec<_> = slots.clone().map(|n| self.fleet.slots.slot(n)).collect();
        for wave in waves(0..u64::from(self.plan.meters), TINY_WAVE) {
            let (fleet, ids) = (&self.fleet, &self.ids);
            let one = |meter: u32| {
                let mut part = Part::default();
                let from = late.partition_point(|l| l.meter < meter);
                late[from..]
                    .iter()
                    .take_while(|l| l.meter == meter)
                    .for_each(|l| part.push_later(fleet, ids, l));
                slots.iter().for_each(|slot| part.push(fleet, ids, meter, slot));
                (meter, part)
            };
            let some = |range: Range<u64>| -> Vec<(u32, Part)> {
                range.filter_map(|n| u32::try_from(n).ok()).map(one).collect()
            };
            for (meter, part) in spread(self.plan.threads, &wave, some).into_iter().flatten() {
                let suffix = format!("_{}", String::from_utf8_lossy(self.ids.get(meter)));
                let mut upload = self.begin(format!("{}{suffix}.csv", self.stem(period)))?;
                self.append(&mut upload, period, part)?;
                self.finish(upload, period, meter, &suffix)?;
            }
            self.step((wave.end - wave.start) * slots.len() as u64);
        }
        Ok(())
    }

    /// Writes the rows that are still to come after the last period into a file of their own.
    fn leftovers(&mut self) -> Result<(), Error> {
        let mut late: Vec<Later> = std::mem::take(&mut self.queue).into_values().flatten().collect();
        if late.is_empty() {
            return Ok(());
        }
        late.sort_unstable();
        let mut upload = self.begin(format!("{}_late.csv", self.stem(self.periods - 1)))?;
        self.append_late(&mut upload, &late)?;
        self.close(&upload);
        Ok(())
    }

    fn append_late(&mut self, upload: &mut Upload, late: &[Later]) -> Result<(), Error> {
        let mut part = Part::default();
        late.iter().for_each(|l| part.push_later(&self.fleet, &self.ids, l));
        self.append(upload, 0, part)
    }

    /// Appends a part, notes its truth and queues what it sends later.
    fn append(&mut self, upload: &mut Upload, period: u32, part: Part) -> Result<(), Error> {
        upload.file.write_all(&part.bytes).map_err(Error::io(&upload.path))?;
        self.truth.add(&self.fleet.slots, &self.ids, &upload.name, upload.lines, &part.marks)?;
        upload.lines += u64::from(part.rows);
        upload.bytes += part.bytes.len() as u64;
        self.summary.rows += u64::from(part.rows);
        let minutes = if self.plan.layout == Layout::Hourly { 60 } else { DAY_MINUTES };
        for later in part.later {
            let sent = later.slot * self.plan.interval_minutes + later.delay;
            let arrives = (sent / minutes).max(period + 1).min(self.periods);
            self.queue.entry(arrives).or_default().push(later);
        }
        Ok(())
    }

    fn begin(&self, name: String) -> Result<Upload, Error> {
        let path = self.out.join(&name);
        let mut file = File::create(&path).map_err(Error::io(&path))?;
        file.write_all(HEADER).map_err(Error::io(&path))?;
        Ok(Upload { name, path, file, lines: 1, bytes: HEADER.len() as u64 })
    }

    fn close(&mut self, upload: &Upload) {
        self.summary.files += 1;
        self.summary.bytes += upload.bytes;
    }

    /// Closes the file of a period and perhaps delivers it again, under a name of 1 to 12 periods
    /// later.
    fn finish(&mut self, upload: Upload, period: u32, meter: u32, suffix: &str) -> Result<(), Error> {
        self.close(&upload);
        let mut dice = self.repeats.child(u64::from(meter)).dice(u64::from(period));
        if dice.word() >= bound(self.plan.defects.get(Kind::RepeatedUpload)) {
            return Ok(());
        }
        let on = (period + dice.range(1, 12)).min(self.periods - 1);
        let name = format!("{}{suffix}_again_of_{}.csv", self.stem(on), self.stem(period));
        let path = self.out.join(&name);
        fs::copy(&upload.path, &path).map_err(Error::io(&path))?;
        self.close(&upload);
        self.truth.add_repeated(&self.fleet.slots, self.slots(period).start, &name)
    }

    /// The name of a period: `2026-03-02T00` or `2026-03-02`.
    fn stem(&self, period: u32) -> String {
        let first = self.fleet.slots.slot(self.slots(period).start).field;
        let length = if self.plan.layout == Layout::Hourly { 13 } else { 10 };
        String::from_utf8_lossy(&first[1..=length]).into_owned()
    }

    /// The intervals that begin in a period.
    fn slots(&self, period: u32) -> Range<u32> {
        let each = self.fleet.slots.count / self.periods;
        period * each..(period + 1) * each
    }

    fn step(&mut self, readings: u64) {
        self.done += readings;
        (self.progress)(self.done, self.summary.readings);
    }
}

/// Cuts a range into pieces of at most `size`.
fn waves(range: Range<u64>, size: u64) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    (range.start..end)
        .step_by(usize::try_from(size).unwrap_or(1))
        .map(move |from| from..(from + size).min(end))
}

/// Works on equal pieces of a range at the same time; the answers come in the order of the pieces.
fn spread<T: Send>(threads: usize, range: &Range<u64>, work: impl Fn(Range<u64>) -> T + Sync) -> Vec<T> {
    let piece = (range.end - range.start).div_ceil(threads as u64).max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let running: Vec<_> =
            waves(range.clone(), piece).map(|piece| scope.spawn(move || work(piece))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, T>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(join).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(range: Range<u64>, size: u64, expected: &[Range<u64>]) {
        assert_eq!(waves(range, size).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn waves_cover_a_range_once() {
        check(0..0, 4, &[]);
        check(0..4, 4, std::slice::from_ref(&(0..4)));
        check(0..5, 4, &[0..4, 4..5]);
        check(3..12, 4, &[3..7, 7..11, 11..12]);
    }

    #[test]
    fn answers_come_in_the_order_of_their_pieces() {
        for threads in 1..9 {
            let seen: Vec<u64> = spread(threads, &(10..30), Iterator::collect::<Vec<_>>).concat();
            assert_eq!(seen, (10..30).collect::<Vec<_>>());
        }
        assert!(spread(3, &(5..5), |range| range).is_empty());
    }
}
