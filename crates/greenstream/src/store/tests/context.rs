//! The loader against a slow, obviously right model, and snapshots while the writer commits.

use std::collections::BTreeMap;

use super::*;
use crate::change::DayState;
use crate::store::context::Plan;
use greenstream_core::DAY;

/// Readings by (meter, ts), as they should be found.
type Model = BTreeMap<(Meter, Ts), Reading>;

const METERS: u32 = 40;

/// A store with random readings of [`METERS`] meters over three days, with holes, fractions and
/// every standing, and the model beside it. `day_of` says which day of the reporting zone an
/// instant lies in.
fn random(seed: u64, day_of: impl Fn(Ts) -> i64) -> (Home, Model) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut home = Home::new();
    let mut model = Model::new();
    for meter in (0..METERS).map(Meter) {
        // some meters have hardly any readings
        let share = [0.001, 0.05, 0.9][rng.usize(0..3)];
        for quarter in 0..3 * 96 {
            if rng.f64() < share {
                let fraction = if rng.u8(0..10) == 0 { rng.i64(1..SECOND) } else { 0 };
                let row = u32::try_from(model.len()).unwrap() + 1;
                let found = match rng.u8(0..20) {
                    0 => standing(Standing::Outlier, reading(0, 1, row)),
                    1 => standing(Standing::Negative, reading(0, 1, row)),
                    2 => standing(Standing::AboveLimit, reading(0, 1, row)),
                    3..6 => Reading { kw: None, ..flagged(reading(0, 1, row), &[Flag::MissingValue]) },
                    _ => reading(0, 1, row),
                };
                let ts = at(quarter * 15).plus(fraction);
                model.insert((meter, ts), Reading { ts, ..found });
            }
        }
    }
    let (accepted, queued): (Vec<_>, Vec<_>) =
        model.iter().map(|((meter, _), r)| (*meter, *r)).partition(|(_, r)| r.standing == Standing::Accepted);
    let mut inserted = accepted;
    inserted.sort_by_key(|(meter, r)| (r.ts.hour(), *meter, r.ts));
    let mut days = BTreeMap::new();
    for ((meter, ts), r) in &model {
        let state = days.entry((*meter, i32::try_from(day_of(*ts)).unwrap())).or_insert(DayState::Unmeasured);
        if r.is_measured() {
            *state = DayState::Live;
        }
    }
    home.commit(ChangeSet {
        landed: vec![landed(1)],
        meters: (0..METERS).map(|n| (Meter(n), format!("ö{:03}", METERS - n))).collect(),
        inserted,
        raw: queued.iter().map(|(_, r)| raw(r)).collect(),
        replaced: queued.iter().map(|(meter, r)| replaced(*meter, None, Some(*r))).collect(),
        days: days.into_iter().map(|((meter, day), state)| (meter, day, state)).collect(),
        outcome: done(1, u32::try_from(model.len()).unwrap()),
        ..ChangeSet::default()
    });
    (home, model)
}

#[test]
fn both_plans_load_what_a_naive_filter_finds_in_the_order_they_promise() {
    let (home, model) = random(7, Ts::day);
    let reader = home.reader();
    let mut rng = fastrand::Rng::with_seed(8);
    let mut sizes = 0;
    for round in 0..60 {
        let meters: Vec<_> = (0..METERS).map(Meter).filter(|_| round == 0 || rng.bool()).collect();
        let from = at(rng.i64(-100..3_000)).plus(rng.i64(0..SECOND));
        let to = from.plus(rng.i64(0..2 * DAY));
        let mut expected: Vec<_> = model
            .iter()
            .filter(|((meter, ts), _)| meters.contains(meter) && from <= *ts && *ts < to)
            .map(|((meter, _), r)| (*meter, *r))
            .collect();
        sizes += expected.len();
        for plan in [Plan::Seek, Plan::Scan] {
            let mut found = Vec::new();
            reader.load_by(plan, &meters, from, to, |meter, r| found.push((meter, r))).unwrap();
            match plan {
                Plan::Seek => expected.sort_by_key(|(meter, r)| (*meter, r.ts)),
                Plan::Scan => expected.sort_by_key(|(meter, r)| (r.ts.hour(), *meter, r.ts)),
            }
            assert_eq!(found, expected, "{plan:?} of {} meters from {from} to {to}", meters.len());
        }
    }
    assert!(sizes > 10_000, "the rounds found something: {sizes}");
}

#[test]
fn few_meters_are_sought_and_many_are_scanned() {
    let (home, _) = random(7, Ts::day);
    for (meters, plan) in [(0, Plan::Seek), (5, Plan::Seek), (6, Plan::Scan), (40, Plan::Scan)] {
        assert_eq!(home.reader().plan(meters).unwrap(), plan, "{meters} of {METERS}");
    }
    assert_eq!(Home::new().reader().plan(1).unwrap(), Plan::Scan, "no meters yet");
}

#[test]
fn the_whole_of_time_may_be_asked_for() {
    let (home, model) = random(7, Ts::day);
    let all: Vec<_> = (0..METERS).map(Meter).collect();
    let mut found = 0;
    home.reader().load(&all, Ts::MIN, Ts::MAX, |_, _| found += 1).unwrap();
    assert_eq!(found, model.len());
    home.reader().load(&[], Ts::MIN, Ts::MAX, |_, _| panic!("no meter was asked for")).unwrap();
    home.reader().load(&all, at(60), at(60), |_, r| panic!("{r:?} lies in no range")).unwrap();
}

/// Reporting zones from one end of the world to the other.
#[test]
fn the_nearest_measured_reading_is_found_in_every_reporting_zone() {
    for offset in [-12, 0, 14] {
        let (home, model) = random(9, |ts| ts.plus(offset * greenstream_core::HOUR).day());
        let reader = home.reader();
        let mut rng = fastrand::Rng::with_seed(10);
        let all: Vec<_> = (0..METERS).map(Meter).collect();
        for _ in 0..20 {
            let probe = at(rng.i64(-2_000..6_000));
            let of = reader.previous_measured_of(&all, probe).unwrap();
            for meter in &all {
                let measured = || {
                    model
                        .range((*meter, Ts::MIN)..=(*meter, Ts::MAX))
                        .map(|(_, r)| *r)
                        .filter(Reading::is_measured)
                };
                let before = measured().rfind(|r| r.ts < probe);
                let after = measured().find(|r| r.ts >= probe);
                assert_eq!(
                    reader.previous_measured(*meter, probe).unwrap(),
                    before,
                    "{meter:?} before {probe}"
                );
                assert_eq!(reader.next_measured(*meter, probe).unwrap(), after, "{meter:?} from {probe}");
                assert_eq!(of.get(meter).copied(), before, "{meter:?} of many before {probe}");
            }
        }
        let measured = model.iter().find(|(_, r)| r.is_measured()).unwrap();
        let (meter, ts) = *measured.0;
        assert_eq!(reader.previous_measured(meter, ts.plus(1)).unwrap(), Some(*measured.1));
        assert_ne!(reader.previous_measured(meter, ts).unwrap(), Some(*measured.1));
        assert_eq!(reader.next_measured(meter, ts).unwrap(), Some(*measured.1));
        assert_ne!(reader.next_measured(meter, ts.plus(1)).unwrap(), Some(*measured.1));
    }
}

#[test]
fn decided_rows_are_loaded_once_or_not_at_all() {
    let mut home = Home::with_meters();
    let rows: Vec<_> = (1..=3).map(|n| standing(Standing::Outlier, reading(i64::from(n), 1, n))).collect();
    home.commit(ChangeSet {
        replaced: rows.iter().map(|r| replaced(A, None, Some(*r))).collect(),
        rejects: vec![reject(1, 4, Reason::ValueInvalid, "A", Some(at(4)))],
        raw: rows.iter().map(raw).chain([((1, 4), String::new())]).collect(),
        outcome: done(1, 4),
        ..ChangeSet::default()
    });
    let released = flagged(standing(Standing::Accepted, rows[0]), &[Flag::Released]);
    home.commit(ChangeSet {
        replaced: vec![replaced(A, Some(rows[0]), Some(released)), replaced(A, Some(rows[1]), None)],
        decisions: vec![
            decision(Status::Released, Reason::Outlier, A, rows[0]),
            decision(Status::Discarded, Reason::Outlier, A, rows[1]),
        ],
        ..ChangeSet::default()
    });
    for plan in [Plan::Seek, Plan::Scan] {
        let mut found = Vec::new();
        home.reader().load_by(plan, &[A], at(0), at(60), |_, r| found.push(r)).unwrap();
        assert_eq!(found, [released, rows[2]], "{plan:?}");
    }
    assert_eq!(home.reader().reading(A, at(1)).unwrap(), Some(released));
    assert_eq!(home.reader().reading(A, at(2)).unwrap(), None);
    assert_eq!(home.reader().reading(A, at(3)).unwrap(), Some(rows[2]));
    assert_eq!(home.reader().reading(A, at(4)).unwrap(), None, "a reject is no reading");
}

/// A writer that commits all the time, and readers that must always see whole commits: each entry
/// brings ten readings of one new hour.
#[test]
fn a_snapshot_holds_one_state_while_the_writer_goes_on() {
    let mut home = Home::with_meters();
    let place = home.place();
    let commits: u32 = 60;
    let watch = || {
        let reader = Store::reader(&place).unwrap();
        let mut seen = 0;
        while seen < u64::from(commits) + 1 {
            let snapshot = reader.snapshot().unwrap();
            let entry = snapshot.position().unwrap().entry;
            assert!(entry >= seen, "time goes forth");
            seen = entry;
            let count = || {
                let mut count = 0;
                snapshot.load(&[A, B], Ts::MIN, Ts::MAX, |_, _| count += 1).unwrap();
                count
            };
            let first = count();
            std::thread::yield_now();
            assert_eq!((first, snapshot.position().unwrap().entry), ((entry - 1) * 10, entry));
            assert_eq!(count(), first);
            assert_eq!(snapshot.upload(1).unwrap().unwrap().stored, first);
        }
    };
    std::thread::scope(|scope| {
        let watchers: Vec<_> = (0..2).map(|_| scope.spawn(watch)).collect();
        for entry in 0..commits {
            let inserted = (0..10).map(|n| (A, reading(i64::from(entry * 60 + n), 1, entry * 10 + n + 1)));
            home.try_commit(ChangeSet {
                inserted: inserted.collect(),
                outcome: done(1, (entry + 1) * 10),
                ..ChangeSet::default()
            })
            .unwrap();
        }
        watchers.into_iter().for_each(|watcher| watcher.join().unwrap());
    });
    home.audit();
}

#[test]
fn a_second_snapshot_of_one_reader_waits_for_the_first_to_end() {
    let home = Home::with_meters();
    let reader = home.reader();
    let first = reader.snapshot().unwrap();
    assert!(reader.snapshot().is_err());
    drop(first);
    assert!(reader.snapshot().is_ok());
}

#[test]
fn a_day_is_read_whole_or_by_a_range_of_meter_ids() {
    let (home, model) = random(11, Ts::day);
    let reader = home.reader();
    let today = at(0).day() + 1;
    let id = |meter: Meter| format!("ö{:03}", METERS - meter.0);
    for (from, to) in [
        (None, None),
        (Some("ö005"), None),
        (None, Some("ö005")),
        (Some("ö010"), Some("ö020")),
        (Some("ö007"), Some("ö007")),
        (Some("ö0071"), Some("ö008")),
        (Some("÷"), None),
    ] {
        let mut expected: Vec<_> = model
            .iter()
            .filter(|((meter, ts), r)| {
                ts.day() == today
                    && r.standing == Standing::Accepted
                    && from.is_none_or(|from| id(*meter).as_str() >= from)
                    && to.is_none_or(|to| id(*meter).as_str() <= to)
            })
            .map(|((meter, _), r)| (*meter, *r))
            .collect();
        let mut found = Vec::new();
        reader.day_rows(today, from, to, |meter, r| found.push((meter, r))).unwrap();
        found.sort_by_key(|(meter, r)| (*meter, r.ts));
        expected.sort_by_key(|(meter, r)| (*meter, r.ts));
        assert_eq!(found, expected, "{from:?} to {to:?}");
    }
    let mut errors = Vec::new();
    reader.day_errors(Some(today), |row| errors.push((row.meter.unwrap(), row.ts.unwrap()))).unwrap();
    errors.sort();
    let expected: Vec<_> = model
        .iter()
        .filter(|((_, ts), r)| ts.day() == today && r.standing != Standing::Accepted)
        .map(|(key, _)| *key)
        .collect();
    assert_eq!(errors, expected);
    reader.day_errors(None, |row| panic!("{row:?} has a time")).unwrap();
}

#[test]
fn rejects_belong_to_the_day_of_their_time_or_to_none() {
    let mut home = Home::with_meters();
    home.commit(ChangeSet {
        rejects: vec![
            reject(1, 1, Reason::ValueInvalid, "A", Some(at(24 * 60 - 1))),
            reject(1, 2, Reason::RowMalformed, "x", None),
            reject(1, 3, Reason::ValueInvalid, "A", Some(at(24 * 60))),
        ],
        raw: (1..=3).map(|row| ((1, row), String::new())).collect(),
        outcome: done(1, 3),
        ..ChangeSet::default()
    });
    let rows = |day| {
        let mut rows = Vec::new();
        home.reader()
            .day_errors(day, |row| rows.push((row.row_number, row.meter_text.into_owned())))
            .unwrap();
        rows
    };
    assert_eq!(rows(Some(at(0).day())), [(1, "A".to_owned())]);
    assert_eq!(rows(Some(at(0).day() + 1)), [(3, "A".to_owned())]);
    assert_eq!(rows(None), [(2, "x".to_owned())]);
}
