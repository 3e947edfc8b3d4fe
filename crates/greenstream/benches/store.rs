//! The store under a day of 50,000 meters: 24 hourly commits of 200,000 readings into an empty
//! store, then the day for the archive, and context for the judge.
//!
//! `cargo bench -p greenstream --bench store [-- meters]`; prints seconds by the clock, and in
//! brackets those that this thread ran (Linux only), which a busy machine does not change much.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenstream::change::{BookEntry, ChangeSet, DayState, Landed, Meter, Outcome};
use greenstream::store::{Filter, Reader, Store, StoreError};
use greenstream_core::decode::RowIndex;
use greenstream_core::{DAY, Flags, HOUR, Power, Reading, SECOND, Standing, Ts, days_from_civil};

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let meters = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(50_000);
    let folder = std::env::temp_dir().join(format!("greenstream bench {}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let done = measure(&folder.join("greenstream.db"), meters);
    std::fs::remove_dir_all(&folder)?;
    done
}

fn measure(path: &std::path::Path, meters: u32) -> Done {
    let first_day = days_from_civil(2026, 3, 2);
    let mut store = Store::open(path)?;
    let mut entry = 0;
    for day in 0..3 {
        commit_day(&mut store, meters, first_day + day, &mut entry)?;
    }
    println!("{:7.1} MB in the file, and the log", std::fs::metadata(path)?.len() as f64 / 1e6);
    read_day(path, first_day + 1)?;
    load(path, meters, first_day + 2)?;
    export(path, first_day + 1)?;
    small(&mut store, meters, first_day + 3, &mut entry)
}

/// One commit an hour, each an upload of four readings of every meter.
fn commit_day(store: &mut Store, meters: u32, day: i64, entry: &mut u64) -> Done {
    let mut times = Vec::new();
    let mut busy = Duration::ZERO;
    for hour in 0..24 {
        let set = Arc::new(hourly(meters, day * 24 + hour, entry));
        let (begun, ran) = (Instant::now(), cpu());
        store.commit(&[set])?;
        times.push(begun.elapsed());
        busy += cpu() - ran;
    }
    let total: Duration = times.iter().sum();
    times.sort();
    println!(
        "{:7.3} s ({:.3}) a day of {} readings, an hour's commit p50 {:.3} max {:.3}",
        total.as_secs_f64(),
        busy.as_secs_f64(),
        meters * 96,
        times[12].as_secs_f64(),
        times[23].as_secs_f64()
    );
    Ok(())
}

fn hourly(meters: u32, hour: i64, entry: &mut u64) -> ChangeSet {
    *entry += 1;
    let upload = u32::try_from(*entry).unwrap_or(u32::MAX);
    let mut rng = fastrand::Rng::with_seed(*entry);
    let begin = Ts::from_micros(hour * HOUR);
    let inserted: Vec<_> = (0..meters)
        .flat_map(|meter| (0..4).map(move |quarter| (meter, quarter)))
        .map(|(meter, quarter)| {
            let reading = Reading {
                ts: begin.plus(i64::from(quarter) * 900 * SECOND),
                kw: Some(Power::from_milliwatts(rng.i64(0..5_000_000))),
                upload,
                row_number: quarter * meters + meter + 1,
                flags: Flags::NONE.set(greenstream_core::Flag::UtcNormalized, rng.u8(0..10) == 0),
                standing: Standing::Accepted,
            };
            (Meter(meter), reading)
        })
        .collect();
    let rows = u32::try_from(inserted.len()).unwrap_or(u32::MAX);
    let day = begin.day();
    let first_of_day = hour.rem_euclid(24) == 0;
    ChangeSet {
        entry: *entry,
        entry_hash: entry.to_string(),
        landed: vec![landed(upload, begin)],
        meters: if upload == 1 {
            (0..meters).map(|m| (Meter(m), format!("meter-{m:08}"))).collect()
        } else {
            vec![]
        },
        days: if first_of_day {
            (0..meters).filter_map(|m| Some((Meter(m), i32::try_from(day).ok()?, DayState::Live))).collect()
        } else {
            vec![]
        },
        inserted,
        books: vec![BookEntry { upload, stored: i64::from(rows), ..BookEntry::default() }],
        outcome: Some(Outcome {
            upload,
            rows,
            decoded_bytes: u64::from(rows) * 40,
            index: RowIndex {
                offsets: (0..u64::from(rows) / 1024 + 1).map(|n| n * 41_000).collect(),
                ..RowIndex::default()
            },
            days: Some((day, day)),
            dead: None,
        }),
        ..ChangeSet::default()
    }
}

fn landed(upload: u32, at: Ts) -> Landed {
    Landed {
        upload,
        name: format!("hour-{upload}.csv"),
        sha256: "0".repeat(64),
        bytes: 8_000_000,
        landed_at: at,
        feed: "default".to_owned(),
        time_zone: None,
    }
}

fn timed<T>(what: &str, run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let (begun, ran) = (Instant::now(), cpu());
    let result = run()?;
    let busy = cpu() - ran;
    println!("{:7.3} s ({:.3}) {what}", begun.elapsed().as_secs_f64(), busy.as_secs_f64());
    Ok(result)
}

/// How long this thread has run; nothing where the system does not say.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split(' ').next().and_then(|ran| ran.parse().ok()).unwrap_or(0))
}

fn read_day(path: &std::path::Path, day: i64) -> Done {
    let reader = Store::reader(path)?;
    for round in ["first", "second"] {
        let mut rows = 0_u64;
        let mut sum = 0;
        timed(&format!("day_rows, {round} time"), || {
            reader.day_rows(day, None, None, |_, reading| {
                rows += 1;
                sum += reading.kw.map_or(0, Power::milliwatts);
            })
        })?;
        println!("          {rows} rows, sum {sum}");
    }
    let (from, to) = (Some("meter-00010000"), Some("meter-00016249"));
    timed("day_rows of 6,250 meters", || reader.day_rows(day, from, to, |_, _| ()))?;
    Ok(())
}

/// 24 hours of context: all meters, and shares on both sides of where the plan changes.
fn load(path: &std::path::Path, meters: u32, day: i64) -> Done {
    let to = Ts::from_micros(day * DAY + DAY / 2);
    let from = to.plus(-DAY);
    let reader = Store::reader(path)?;
    for share in [500, 100, 40, 21, 19, 10, 5, 2, 1] {
        let some: Vec<_> = (0..meters).step_by(share).map(Meter).collect();
        let mut rows = 0_u64;
        timed(&format!("load 24 h of {} meters", some.len()), || {
            reader.load(&some, from, to, |_, _| rows += 1)
        })?;
    }
    let all: Vec<_> = (0..meters).map(Meter).collect();
    timed("previous_measured_of all", || reader.previous_measured_of(&all, to))?;
    // after the last reading by 20 hours, so that each is sought through its days
    let late = Ts::from_micros((day + 1) * DAY + 20 * HOUR);
    let some: Vec<_> = (0..meters).step_by(10).map(Meter).collect();
    timed(&format!("previous_measured of {} meters, 20 h later", some.len()), || {
        some.iter().try_for_each(|meter| reader.previous_measured(*meter, late).map(drop))
    })?;
    Ok(())
}

fn export(path: &std::path::Path, day: i64) -> Done {
    let reader: Reader = Store::reader(path)?;
    let from = Some(Ts::from_micros(day * DAY));
    let filter = Filter { from, to: from.map(|from| from.plus(DAY)), ..Filter::default() };
    let mut rows = 0_u64;
    let mut count = |_: &str, _: Reading| {
        rows += 1;
        Ok(())
    };
    timed("export of a day by meter", || reader.readings::<StoreError>(&filter, &mut count))?;
    Ok(())
}

/// Uploads of 96 rows of one meter each, a commit each and a hundred a commit.
fn small(store: &mut Store, meters: u32, day: i64, entry: &mut u64) -> Done {
    let mut upload = |meter: u32| {
        let mut set = hourly(1, day * 24, entry);
        let upload = set.books[0].upload;
        set.inserted = (0..96)
            .map(|quarter: u32| {
                let ts = Ts::from_micros(day * DAY).plus(i64::from(quarter) * 900 * SECOND);
                (Meter(meter), Reading { ts, row_number: quarter + 1, ..set.inserted[0].1 })
            })
            .collect();
        set.days.clear();
        set.books[0].stored = 96;
        set.outcome = set.outcome.map(|outcome| Outcome { rows: 96, ..outcome });
        set.landed = vec![landed(upload, Ts::from_micros(day * DAY))];
        Arc::new(set)
    };
    let alone: Vec<_> = (0..200).map(|n| upload(n * 7 % meters)).collect();
    let together: Vec<_> = (0..2_000).map(|n| upload((n * 7 + 1) % meters)).collect();
    let begun = Instant::now();
    alone.iter().try_for_each(|set| store.commit(std::slice::from_ref(set)))?;
    println!("{:7.2} ms a commit of 96 rows", begun.elapsed().as_secs_f64() * 1e3 / 200.0);
    let begun = Instant::now();
    together.chunks(100).try_for_each(|sets| store.commit(sets))?;
    println!("{:7.2} ms an upload of 96 rows, a hundred a commit", begun.elapsed().as_secs_f64() * 1e3 / 2e3);
    Ok(())
}
