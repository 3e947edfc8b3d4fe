//! The law: whatever order and batches rows come in, and however little is loaded for each, the
//! outcome is that of the whole judged from scratch, and that is what the specification says.

use std::collections::BTreeMap;

use super::meter::{Meter, decided};
use super::random::{self, Random};
use super::{model, row};
use crate::rules::{DayState, Judge, Known, Merged, confirmed, day_state, merge, need, refresh, spare};
use crate::{DAY, Flag, Limits, Power, Reading, Standing, Ts, Zone};

/// All rows there are of each instant, decisions included: what a rebuild would see.
type Rows = BTreeMap<Ts, Vec<Reading>>;

fn winners(rows: &Rows) -> Vec<Reading> {
    let winner = |rivals: &Vec<Reading>| {
        let best = *rivals.iter().max_by_key(|row| row.rank())?;
        let flags = best.flags.set(Flag::Duplicate, rivals.len() > 1);
        Some(Reading { flags, standing: Standing::Unjudged, ..best })
    };
    rows.values().filter_map(winner).collect()
}

fn from_scratch(winners: &[Reading], limits: &Limits) -> Vec<Reading> {
    let mut series = winners.to_vec();
    let mut changed = Vec::new();
    Judge::new().judge_all(&mut series, limits, &mut changed);
    assert_eq!(changed.len(), series.len(), "an unjudged reading always changes");
    series
}

/// Splits rows into uploads: in time order, in blocks out of order, or at random. Numbers rise with
/// the landing order but for uploads that were held up.
fn uploads(random: &mut Random, mut rows: Vec<Reading>) -> Vec<Vec<Reading>> {
    match random.below(3) {
        0 => {}
        1 => rows.rotate_left(random.below(20)),
        _ => random.shuffle(&mut rows),
    }
    let mut uploads = Vec::new();
    while !rows.is_empty() {
        let size = random.pick(&[1, 2, 4, 4, 12, 40]).min(rows.len());
        let mut upload: Vec<_> = rows.drain(..size).collect();
        random.shuffle(&mut upload);
        uploads.push(upload);
    }
    let mut numbers: Vec<u32> = (1..).take(uploads.len()).collect();
    for _ in 0..random.below(4) {
        let (a, b) = (random.below(numbers.len()), random.below(numbers.len()));
        numbers.swap(a, b);
    }
    for (upload, number) in uploads.iter_mut().zip(numbers) {
        for (row, row_number) in upload.iter_mut().zip(1..) {
            (row.upload, row.row_number) = (number, row_number);
        }
    }
    uploads
}

/// A decision on, or the discarding of, some stored reading.
fn decide(random: &mut Random, meter: &mut Meter, rows: &mut Rows) {
    let stored = meter.series();
    let reading = random.pick(&stored);
    let rivals = rows.get_mut(&reading.ts).unwrap();
    let winner = (0..rivals.len()).max_by_key(|i| rivals[*i].rank()).unwrap();
    if random.one_in(2) {
        rivals.remove(winner);
        if rivals.is_empty() {
            rows.remove(&reading.ts);
        }
        let next = winners(rows).into_iter().find(|next| next.ts == reading.ts);
        meter.discard(reading.ts, next);
    } else if !reading.is_missing() {
        let edited = random.one_in(2).then(|| Power::from_milliwatts(random.pick(&[0, 510_000, 30_000_000])));
        rivals[winner] = decided(&rivals[winner], edited);
        meter.decide(reading.ts, edited);
    }
}

fn check_meter(seed: u64) {
    let random = &mut Random(seed);
    let mut meter = Meter::new(random::limits(random));
    meter.sees_ends = random.one_in(2);
    let deciding = random.one_in(2);
    let size = 20 + random.below(90);
    let drawn = random::rows(random, size);
    let mut rows = Rows::new();
    for upload in uploads(random, drawn) {
        for row in &upload {
            rows.entry(row.ts).or_default().push(*row);
        }
        meter.upload(upload);
        if deciding && random.one_in(3) && !rows.is_empty() {
            decide(random, &mut meter, &mut rows);
        }
        let winners = winners(&rows);
        let scratch = from_scratch(&winners, &meter.limits);
        assert_eq!(meter.series(), scratch, "seed {seed}: as from scratch");
        assert_eq!(meter.spans, model::spans(&scratch), "seed {seed}: episodes");
        if random.one_in(4) {
            assert_eq!(scratch, model::judge(&winners, &meter.limits), "seed {seed}: as specified");
        }
    }
    assert_eq!(meter.series(), model::judge(&winners(&rows), &meter.limits), "seed {seed}: as specified");
    check_confirmed(&meter, seed);
}

/// Compares the confirmed spans with those that hold the last reading of some fourth zero day.
fn check_confirmed(meter: &Meter, seed: u64) {
    let zone = Zone::utc();
    let mut days: BTreeMap<i32, Vec<Reading>> = BTreeMap::new();
    for reading in meter.series() {
        days.entry(zone.day(reading.ts)).or_default().push(reading);
    }
    let (mut running, mut fourths) = (0, Vec::new());
    for day in days.values() {
        let mut measured = day.iter().filter(|reading| reading.is_measured()).peekable();
        if measured.peek().is_some() {
            running = if measured.all(|reading| reading.kw == Some(Power::ZERO)) { running + 1 } else { 0 };
            fourths.extend((running >= 4).then(|| day.last().unwrap().ts));
        }
    }
    let states: Vec<_> = days.iter().map(|(day, of)| (*day, day_state(of).unwrap())).collect();
    for span in &meter.spans {
        let expected = fourths.iter().any(|ts| span.first_ts <= *ts && *ts <= span.last_ts);
        let of_span = (zone.day(span.first_ts), zone.day(span.last_ts));
        assert_eq!(confirmed(of_span, &states), expected, "seed {seed}: {span:?}");
        let first = states.partition_point(|(day, _)| *day < of_span.0);
        let mut zeros = 0;
        let wanted = states[..first].iter().rev().take_while(|(_, state)| {
            let wanted = *state != DayState::Live && zeros < 3;
            zeros += u32::from(*state == DayState::Zero);
            wanted
        });
        let least = &states[first - wanted.count()..=states.partition_point(|(day, _)| *day < of_span.1)];
        assert_eq!(confirmed(of_span, least), expected, "seed {seed}: {span:?}, the least days");
    }
    let held = |ts: &Ts| meter.spans.iter().any(|span| span.first_ts <= *ts && *ts <= span.last_ts);
    assert!(fourths.iter().all(held), "seed {seed}: a fourth zero day is always flagged");
}

#[test]
fn any_order_of_rows_gives_what_the_specification_says() {
    for seed in 0..400 {
        check_meter(seed);
    }
}

/// The service's everyday: rows in time order, and a window cut down to what no upload asks for.
fn check_tail(seed: u64) {
    let random = &mut Random(seed);
    let limits = random::limits(random);
    let mut rows = random::rows(random, 150);
    rows.dedup_by_key(|row| row.ts);
    let (mut series, mut known) = (Vec::new(), Known::ALL);
    let (mut all, mut spans) = (BTreeMap::new(), Vec::new());
    let mut merged = Merged::default();
    while !rows.is_empty() {
        let mut upload: Vec<_> = rows.drain(..rows.len().min(1 + random.below(6))).collect();
        merged.clear();
        merge(&mut series, &mut upload, &mut merged);
        let touched = merged.touched.unwrap();
        assert_eq!(need(&series, touched, known), None, "seed {seed}: nothing to load");
        Judge::new().judge(&mut series, touched, &limits, &mut Vec::new());
        all.extend(series.iter().map(|reading| (reading.ts, *reading)));
        let stored = std::mem::take(&mut spans);
        refresh(&series, known, &stored, &mut spans);
        if let Some(gone) = series.drain(..spare(&series)).next_back() {
            known.from = gone.ts.plus(1);
        }
    }
    let all: Vec<_> = all.into_values().collect();
    let winners: Vec<_> = all.iter().map(|r| row(r.ts, r.own_kw().map(|kw| kw.milliwatts()))).collect();
    assert_eq!(all, from_scratch(&winners, &limits), "seed {seed}");
    assert_eq!(spans, model::spans(&all), "seed {seed}: episodes");
    let steady = series.iter().rev().take_while(|r| r.is_trusted() && !r.is_near_zero()).count();
    assert!(steady < 2 || series[series.len() - 1].ts.since(series[0].ts) < DAY, "seed {seed}: cut down");
}

#[test]
fn rows_in_time_order_never_ask_for_more_than_the_tail_that_is_kept() {
    for seed in 0..200 {
        check_tail(seed);
    }
}
