//! What a day of 50,000 meters, 4.8 million readings, costs the archive. Run with
//! `cargo bench -p greenstream --bench archive`; times are of one thread.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use greenstream::archive::{Archive, Cause, Dataset, ErrorRow, Known, MeterNames, Mode, ReadingRow, Source};
use greenstream::change::{ChangeSet, Meter, Replaced};
use greenstream_core::{DAY, Flag, Flags, HOUR, Power, Reading, Standing, Ts};

const METERS: u32 = 50_000;
const DAY_ZERO: i64 = 20_514;

/// The fleet's readings of one day, by hour of upload and then meter.
struct Fleet {
    names: Vec<String>,
    hours: Vec<Vec<(Meter, Reading)>>,
}

impl MeterNames for Fleet {
    fn name(&self, meter: Meter) -> Option<&str> {
        self.names.get(meter.0 as usize).map(String::as_str)
    }
}

impl Fleet {
    fn new(day: i64, first_upload: u32) -> Fleet {
        let mut random = fastrand::Rng::with_seed(7);
        // Numbers are given at first sight, which is not the order of names.
        let mut names: Vec<String> = (0..METERS).map(|meter| format!("METER-{meter:06}")).collect();
        random.shuffle(&mut names);
        let mut level: Vec<i64> = (0..METERS).map(|_| random.i64(100..900)).collect();
        let hours = (0..24_u32)
            .map(|hour| {
                let mut rows = Vec::with_capacity(4 * METERS as usize);
                for meter in 0..METERS {
                    for quarter in 0..4 {
                        let watts = &mut level[meter as usize];
                        *watts = (*watts + random.i64(-60..=60)).clamp(20, 4_000);
                        rows.push((
                            Meter(meter),
                            reading(day, hour, quarter, meter, *watts, first_upload, &mut random),
                        ));
                    }
                }
                rows
            })
            .collect();
        Fleet { names, hours }
    }
}

fn reading(
    day: i64,
    hour: u32,
    quarter: u32,
    meter: u32,
    watts: i64,
    first_upload: u32,
    random: &mut fastrand::Rng,
) -> Reading {
    let missing = random.u32(..100) == 0;
    let flags = Flags::NONE
        .set(Flag::UnitConverted, meter.is_multiple_of(4))
        .set(Flag::UtcNormalized, meter.is_multiple_of(3))
        .set(Flag::Duplicate, random.u32(..200) == 0)
        .set(Flag::MissingValue, missing);
    Reading {
        ts: Ts::from_micros(day * DAY + i64::from(hour) * HOUR + i64::from(quarter) * HOUR / 4),
        kw: (!missing).then(|| Power::from_milliwatts(watts * 1_000)),
        upload: first_upload + hour,
        row_number: quarter * METERS + meter + 1,
        flags,
        standing: Standing::Accepted,
    }
}

/// The store's rows in memory: what reading them costs least.
struct Snapshot<'a> {
    position: u64,
    fleets: BTreeMap<i64, &'a Fleet>,
}

impl Source for Snapshot<'_> {
    fn position(&self) -> u64 {
        self.position
    }

    fn readings(
        &self,
        day: i64,
        _: Option<&str>,
        _: Option<&str>,
        sink: &mut dyn FnMut(ReadingRow<'_>),
    ) -> Result<(), Cause> {
        let Some(fleet) = self.fleets.get(&day) else { return Ok(()) };
        for (meter, reading) in fleet.hours.iter().flatten() {
            let Some(meter) = fleet.name(*meter) else { continue };
            let Reading { ts, kw, flags, upload, row_number, .. } = *reading;
            sink(ReadingRow { meter, ts, kw, flags, upload, row_number });
        }
        Ok(())
    }

    fn errors(&self, _: Option<i64>, _: &mut dyn FnMut(ErrorRow<'_>)) -> Result<(), Cause> {
        Ok(())
    }
}

struct Bench<'a> {
    archive: Archive,
    fleet: &'a Fleet,
    entry: u64,
}

impl Bench<'_> {
    fn apply(&mut self, set: ChangeSet) {
        self.entry += 1;
        let set = Arc::new(ChangeSet { entry: self.entry, ..set });
        self.archive.apply(&set, self.fleet);
    }

    fn flush(&mut self, name: &str, mode: Mode) -> Result<(), Box<dyn Error>> {
        let source = Snapshot { position: self.entry, fleets: BTreeMap::from([(DAY_ZERO, self.fleet)]) };
        let buffered = self.archive.buffered_bytes();
        let started = Instant::now();
        let flushed = self.archive.flush(&source, mode, Ts::from_micros((DAY_ZERO + 1) * DAY))?;
        println!(
            "{name}: {:.3} s, {} files, {} rows, {:.1} MB, from a buffer of {:.1} MB",
            started.elapsed().as_secs_f64(),
            flushed.files,
            flushed.rows,
            flushed.bytes as f64 / 1e6,
            buffered as f64 / 1e6,
        );
        Ok(())
    }
}

fn open<'a>(dir: &Path, fleet: &'a Fleet, known: &Known<'_>) -> Result<Bench<'a>, Box<dyn Error>> {
    let archive = Archive::open(dir, known, Ts::from_micros(0))?;
    Ok(Bench { archive, fleet, entry: known.position })
}

fn insert(hour: &[(Meter, Reading)]) -> ChangeSet {
    ChangeSet { inserted: hour.to_vec(), ..ChangeSet::default() }
}

/// Every `step`th meter's readings, or all its readings in the 13th hour, with another value.
fn corrections(fleet: &Fleet, step: usize, meters: usize) -> ChangeSet {
    let mut replaced: Vec<Replaced> = fleet.hours[12]
        .chunks(4)
        .step_by(step)
        .take(meters)
        .flatten()
        .map(|(meter, before)| {
            let after = Reading { kw: Some(Power::from_milliwatts(1)), upload: 99, ..*before };
            Replaced { meter: *meter, before: Some(*before), after: Some(after) }
        })
        .collect();
    replaced.sort_by_key(|replaced| replaced.meter);
    ChangeSet { replaced, ..ChangeSet::default() }
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let fleet = Fleet::new(DAY_ZERO, 1);

    let mut bench = open(&dir.path().join("whole"), &fleet, &Known::default())?;
    let sets: Vec<ChangeSet> = fleet.hours.iter().map(|hour| insert(hour)).collect();
    let started = Instant::now();
    sets.into_iter().for_each(|set| bench.apply(set));
    println!("apply 24 hourly uploads: {:.3} s", started.elapsed().as_secs_f64());
    bench.flush("a fresh day from the buffer", Mode::All)?;
    bench.apply(corrections(&fleet, 1, 1));
    bench.flush("one meter corrected", Mode::All)?;
    bench.apply(corrections(&fleet, 25, usize::MAX));
    bench.flush("4 % of the meters corrected", Mode::All)?;
    let started = Instant::now();
    let mut rows = 0;
    bench.archive.read_readings(DAY_ZERO, |_| rows += 1)?;
    println!("read back {rows} rows: {:.3} s", started.elapsed().as_secs_f64());

    let mut bench = open(&dir.path().join("hourly"), &fleet, &Known::default())?;
    let started = Instant::now();
    for hour in &fleet.hours {
        bench.apply(insert(hour));
        let source = Snapshot { position: bench.entry, fleets: BTreeMap::new() };
        bench.archive.flush(&source, Mode::Lag { closed_wait: 0 }, Ts::from_micros(0))?;
    }
    println!("24 hourly flushes of an open day: {:.3} s", started.elapsed().as_secs_f64());
    bench.apply(corrections(&fleet, 25, usize::MAX));
    bench.flush("4 % of the meters corrected in the open day", Mode::Lag { closed_wait: 0 })?;
    println!("{:?}", bench.archive.days(Dataset::Readings));
    bench.flush("the day closes: compaction", Mode::All)?;

    let known = Known { position: 24, days: &[DAY_ZERO], dirty: &[] };
    let mut bench = open(&dir.path().join("source"), &fleet, &known)?;
    bench.flush("the day from a store in memory", Mode::All)?;
    Ok(())
}
