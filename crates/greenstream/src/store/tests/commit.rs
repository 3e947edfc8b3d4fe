//! Commits: what each part of a change set does, and that all of it happens or nothing.

use super::*;
use crate::change::{Alert, DayState, Episode, EpisodeKind, Severity};

pub(super) fn stored() -> Home {
    stored_in(Home::new())
}

fn stored_in(home: Home) -> Home {
    let mut home = home.and_meters();
    home.commit(ChangeSet {
        inserted: vec![(A, reading(0, 1, 1)), (A, reading(15, 1, 2)), (B, reading(0, 1, 3))],
        outcome: done(1, 3),
        ..ChangeSet::default()
    });
    home
}

const STATE: &str = "SELECT meter_id, ts, kw, upload, row_number, '', '', '' FROM readings
    UNION ALL SELECT meter_id, ts, kw, upload, row_number, reason, raw, status FROM error_queue
    UNION ALL SELECT meter_id, ts, kw, upload, row_number, 'lost', '', '' FROM superseded ORDER BY 2, 1, 4, 5";

#[track_caller]
pub(super) fn check_broken(home: &mut Home, set: ChangeSet, message: &str) {
    let before = (home.rows(STATE), home.store.position().unwrap(), home.rows("SELECT * FROM uploads"));
    let entry = home.entry + 1;
    let error = home.try_commit(set).unwrap_err();
    assert_eq!(error.to_string(), format!("journal entry {entry} contradicts the store: {message}"));
    assert!(!error.is_transient());
    assert_eq!(error.entry(), Some(entry));
    let after = (home.rows(STATE), home.store.position().unwrap(), home.rows("SELECT * FROM uploads"));
    assert_eq!(before, after, "nothing of a failed commit remains");
}

#[test]
fn readings_are_stored_with_the_position_of_their_entry() {
    let home = stored();
    home.expect(
        "SELECT meter_id, ts, kw, upload, row_number FROM readings ORDER BY row_number",
        &[
            "A 2026-03-02T00:00:00Z 1.0 1 1",
            "A 2026-03-02T00:15:00Z 1.0 1 2",
            "B 2026-03-02T00:00:00Z 1.0 1 3",
        ],
    );
    home.expect("SELECT upload, status, rows, stored FROM uploads WHERE upload = 1", &["1 done 3 3"]);
    assert_eq!(home.store.position().unwrap().entry, 2);
    assert_eq!(home.reader().position().unwrap().entry_hash, "hash 2");
}

#[test]
fn a_set_that_is_in_already_is_skipped_and_the_next_one_is_not() {
    let mut home = stored();
    let set = |entry, row_number| {
        Arc::new(ChangeSet {
            entry,
            inserted: vec![(B, reading(i64::from(row_number), 2, row_number))],
            books: vec![book(2, 1, 0, 0)],
            outcome: done(2, row_number),
            ..ChangeSet::default()
        })
    };
    for sets in [vec![set(3, 1)], vec![set(3, 1)], vec![set(2, 9), set(3, 1), set(4, 2)], vec![set(4, 2)]] {
        home.store.commit(&sets).unwrap();
        home.audit();
    }
    home.expect("SELECT row_number FROM readings WHERE upload = 2 ORDER BY 1", &["1", "2"]);
    assert_eq!(home.store.position().unwrap().entry, 4);
}

#[test]
fn one_bad_set_takes_the_whole_commit_back() {
    let mut home = stored();
    let good = ChangeSet {
        entry: 3,
        inserted: vec![(B, reading(15, 2, 1))],
        books: vec![book(2, 1, 0, 0)],
        outcome: done(2, 1),
        ..ChangeSet::default()
    };
    let bad = ChangeSet { entry: 4, inserted: vec![(B, reading(15, 3, 1))], ..ChangeSet::default() };
    let error = home.store.commit(&[Arc::new(good.clone()), Arc::new(bad)]).unwrap_err();
    assert_eq!(error.entry(), Some(4));
    home.expect("SELECT count(*) FROM readings WHERE upload = 2", &["0"]);
    assert_eq!(home.store.position().unwrap().entry, 2);
    home.store.commit(&[Arc::new(good)]).unwrap();
    home.audit();
}

#[test]
fn a_set_that_goes_back_in_the_journal_is_refused() {
    let mut home = stored();
    let set = |entry| Arc::new(ChangeSet { entry, ..ChangeSet::default() });
    let error = home.store.commit(&[set(4), set(3)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "journal entry 3 contradicts the store: it comes after entry 4 in one commit"
    );
    assert_eq!(home.store.position().unwrap().entry, 2);
}

/// From each place where a reading can stand to each other one: what `readings` and the queue hold.
#[test]
fn a_reading_moves_from_where_it_stood_to_where_it_stands() {
    let accepted = |upload, row| Some(reading(0, upload, row));
    let outlier = |upload, row| Some(standing(Standing::Outlier, reading(0, upload, row)));
    let negative = |upload, row| Some(standing(Standing::Negative, reading(0, upload, row)));
    for (name, before, after, expected) in [
        ("nothing to accepted", None, accepted(2, 1), "stored 2 1"),
        ("nothing to queued", None, outlier(2, 1), "outlier 2 1 line of 2/1"),
        ("accepted to another row", accepted(1, 1), accepted(2, 1), "stored 2 1"),
        ("accepted to the same row", accepted(1, 1), accepted(1, 1), "stored 1 1"),
        ("accepted to queued", accepted(1, 1), outlier(1, 1), "outlier 1 1 line of 1/1"),
        ("accepted to another queued", accepted(1, 1), outlier(2, 1), "outlier 2 1 line of 2/1"),
        ("accepted to nothing", accepted(1, 1), None, ""),
        ("queued to accepted", outlier(1, 1), accepted(1, 1), "stored 1 1"),
        ("queued to another accepted", outlier(1, 1), accepted(2, 1), "stored 2 1"),
        ("queued to another reason", outlier(1, 1), negative(1, 1), "value_negative 1 1 line of 1/1"),
        ("queued to another queued", outlier(1, 1), negative(2, 1), "value_negative 2 1 line of 2/1"),
        ("queued to nothing", outlier(1, 1), None, ""),
        ("nothing to nothing", None, None, ""),
    ] {
        let mut home = Home::with_meters();
        let row = |reading: Reading| (reading.upload, reading.row_number);
        home.commit(ChangeSet {
            replaced: vec![replaced(A, None, before)],
            raw: before.iter().map(raw).collect(),
            outcome: before.and(done(1, 1)),
            ..ChangeSet::default()
        });
        home.commit(ChangeSet {
            replaced: vec![replaced(A, before, after)],
            raw: after.iter().map(raw).collect(),
            superseded: before
                .filter(|before| after.map(row) != Some(row(*before)))
                .map(|before| superseded(A, before))
                .into_iter()
                .collect(),
            outcome: after.filter(|after| after.upload == 2).and(done(2, 1)),
            ..ChangeSet::default()
        });
        let seen = home.rows(
            "SELECT 'stored', upload, CAST(row_number AS text) FROM t_reading UNION ALL SELECT reason || ' ' || upload, row_number, raw FROM error_queue",
        );
        assert_eq!(seen.join(", "), expected, "{name}");
    }
}

#[test]
fn a_change_that_contradicts_what_is_stored_is_named_and_undone() {
    let outlier = standing(Standing::Outlier, reading(0, 1, 1));
    let set = |replaced: Vec<Replaced>| ChangeSet { replaced, ..ChangeSet::default() };
    let at_midnight = |what: &str| format!("the reading of meter A at 2026-03-02T00:00:00Z {what}");
    let mut home = stored();
    for (set, message) in [
        (
            ChangeSet { inserted: vec![(A, reading(0, 2, 1))], ..ChangeSet::default() },
            at_midnight("is inserted and stored already"),
        ),
        (
            ChangeSet { inserted: vec![(A, outlier)], ..ChangeSet::default() },
            at_midnight("is inserted and not accepted"),
        ),
        (
            ChangeSet { inserted: vec![(Meter(9), outlier)], ..ChangeSet::default() },
            "the reading of meter number 9 at 2026-03-02T00:00:00Z is inserted and not accepted".to_owned(),
        ),
        (set(vec![replaced(A, None, Some(reading(0, 2, 1)))]), at_midnight("is inserted and stored already")),
        (
            set(vec![replaced(B, Some(reading(15, 1, 1)), Some(reading(15, 2, 1)))]),
            "the reading of meter B at 2026-03-02T00:15:00Z is replaced and was not stored".to_owned(),
        ),
        (
            set(vec![replaced(B, Some(reading(15, 1, 1)), None)]),
            "the reading of meter B at 2026-03-02T00:15:00Z is removed and was not stored".to_owned(),
        ),
        (
            set(vec![replaced(A, Some(outlier), None)]),
            at_midnight("leaves the error queue and was not in it"),
        ),
        (
            set(vec![replaced(B, None, Some(outlier))]),
            "row 1 of upload 1 enters the error queue without its line".to_owned(),
        ),
        (
            set(vec![replaced(A, None, Some(standing(Standing::Unjudged, reading(0, 2, 1))))]),
            at_midnight("is not judged"),
        ),
        (
            set(vec![replaced(A, Some(reading(0, 1, 1)), Some(reading(15, 1, 1)))]),
            "the reading of meter A at 2026-03-02T00:15:00Z changes its instant".to_owned(),
        ),
        (
            ChangeSet { revived: vec![(1, 2)], ..ChangeSet::default() },
            "row 2 of upload 1 is revived and was not superseded".to_owned(),
        ),
        (
            ChangeSet { meters: vec![(Meter(7), "A".to_owned())], ..ChangeSet::default() },
            "meter \"A\" is new, and its id or its number 7 is not".to_owned(),
        ),
        (
            ChangeSet { meters: vec![(A, "D".to_owned())], ..ChangeSet::default() },
            "meter \"D\" is new, and its id or its number 0 is not".to_owned(),
        ),
        (
            ChangeSet { outcome: done(9, 0), ..ChangeSet::default() },
            "upload 9 ends and never landed".to_owned(),
        ),
        (
            ChangeSet { inserted: vec![(B, reading(30, 9, 1))], ..ChangeSet::default() },
            "upload 9 has books and never landed".to_owned(),
        ),
    ] {
        check_broken(&mut home, set, &message);
    }
}

/// Readings go in by bulk, and what is left over one by one.
#[test]
fn a_known_reading_is_named_wherever_it_stands_among_new_ones() {
    for known in [0, 1, 63, 64, 100, 127, 128, 149] {
        let mut home = stored();
        let new =
            (0..150).map(|n| if n == known { (A, reading(15, 2, 1)) } else { (B, reading(100 + n, 2, 1)) });
        check_broken(
            &mut home,
            ChangeSet { inserted: new.collect(), ..ChangeSet::default() },
            "the reading of meter A at 2026-03-02T00:15:00Z is inserted and stored already",
        );
    }
}

#[test]
fn every_new_reading_is_stored_with_its_own_values() {
    let mut home = Home::with_meters();
    let inserted: Vec<_> = (0..150)
        .map(|n| {
            let kw = (n % 7 > 0).then(|| Power::from_milliwatts(i64::from(n) - 9));
            let row = Reading { kw, ..reading(i64::from(n) * 7, 1, n + 1) };
            (B, flagged(row, if n % 3 == 0 { &[Flag::DstResolved] } else { &[] }))
        })
        .collect();
    home.commit(ChangeSet { inserted: inserted.clone(), outcome: done(1, 150), ..ChangeSet::default() });
    let mut found = Vec::new();
    home.reader().load(&[A, B], Ts::MIN, Ts::MAX, |meter, r| found.push((meter, r))).unwrap();
    assert_eq!(found, inserted);
}

#[test]
fn a_full_disk_takes_the_commit_back_and_the_same_commit_succeeds_later() {
    let mut home = stored_in(Home::in_file());
    let inserted: Vec<_> = (0..5_000).map(|n| (B, reading(100 + i64::from(n), 2, n + 1))).collect();
    let set = ChangeSet { inserted, outcome: done(2, 5_000), ..ChangeSet::default() };
    home.conn().pragma_update(None, "max_page_count", 1).unwrap();
    let error = home.try_commit(set.clone()).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(error.hint(), "free space on the volume of the database");
    assert_eq!(home.store.position().unwrap().entry, 2);
    home.expect("SELECT count(*) FROM readings", &["3"]);
    home.conn().pragma_update(None, "max_page_count", 1_000_000).unwrap();
    home.commit(set);
    home.expect("SELECT count(*) FROM readings", &["5003"]);
}

#[test]
fn a_database_that_another_process_holds_is_transient() {
    let mut home = stored_in(Home::in_file());
    home.conn().busy_timeout(std::time::Duration::ZERO).unwrap();
    let other = Connection::open(home.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let set =
        ChangeSet { inserted: vec![(B, reading(15, 2, 1))], outcome: done(2, 1), ..ChangeSet::default() };
    let error = home.try_commit(set.clone()).unwrap_err();
    assert!(error.is_transient(), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    home.commit(set);
}

#[test]
fn a_row_enters_the_queue_or_loses_once_only() {
    let mut home = stored();
    let lost = superseded(A, reading(0, 2, 1));
    home.commit(ChangeSet {
        rejects: vec![reject(2, 2, Reason::ValueInvalid, "A", None)],
        raw: vec![((2, 2), "A,x".to_owned())],
        superseded: vec![lost],
        outcome: done(2, 2),
        ..ChangeSet::default()
    });
    check_broken(
        &mut home,
        ChangeSet {
            rejects: vec![reject(2, 2, Reason::ValueInvalid, "A", None)],
            raw: vec![((2, 2), "A,x".to_owned())],
            ..ChangeSet::default()
        },
        "row 2 of upload 2 enters the error queue and is in it already",
    );
    check_broken(
        &mut home,
        ChangeSet { superseded: vec![lost], ..ChangeSet::default() },
        "row 1 of upload 2 is superseded and was so already",
    );
    home.commit(ChangeSet {
        revived: vec![(2, 1)],
        replaced: vec![replaced(A, Some(reading(0, 1, 1)), Some(reading(0, 2, 1)))],
        superseded: vec![superseded(A, reading(0, 1, 1))],
        ..ChangeSet::default()
    });
    let losers = home.reader().losers(A, at(0)).unwrap();
    assert_eq!(losers, [superseded(A, reading(0, 1, 1))]);
    assert_eq!(home.reader().losers(B, at(0)).unwrap(), []);
}

#[test]
fn days_episodes_and_the_configuration_hold_their_newest_state() {
    let mut home = Home::with_meters();
    let day = |n: i32| 20_514 + n;
    let episode = |first: i64, last: i64| Episode {
        meter: A,
        kind: EpisodeKind::NearZero,
        first_ts: at(first),
        last_ts: at(last),
        severity: Severity::Suspected,
        closed: false,
    };
    home.commit(ChangeSet {
        days: vec![
            (A, day(0), DayState::Zero),
            (A, day(1), DayState::Unmeasured),
            (A, day(2), DayState::Live),
            (A, day(3), DayState::Zero),
            (B, day(0), DayState::Live),
        ],
        episodes: vec![episode(0, 15), episode(1_000, 1_015)],
        configuration: Some("v1".to_owned()),
        ..ChangeSet::default()
    });
    home.commit(ChangeSet {
        days: vec![(A, day(0), DayState::Live)],
        episodes: vec![
            Episode { severity: Severity::Confirmed, closed: true, ..episode(0, 30) },
            episode(990, 1_015),
        ],
        episodes_gone: vec![(A, EpisodeKind::NearZero, at(1_000))],
        ..ChangeSet::default()
    });
    let reader = home.reader();
    assert_eq!(reader.configuration().unwrap().as_deref(), Some("v1"));
    assert_eq!(
        reader.days(A, day(0), day(2)).unwrap(),
        [(day(0), DayState::Live), (day(1), DayState::Unmeasured), (day(2), DayState::Live)]
    );
    assert_eq!(
        reader.days_before(A, day(3), 2).unwrap(),
        [(day(2), DayState::Live), (day(0), DayState::Live)],
        "days without measured readings are skipped"
    );
    assert_eq!(reader.days_before(A, day(2), 1).unwrap(), [(day(0), DayState::Live)]);
    let episodes = reader.all_episodes().unwrap();
    assert_eq!(episodes[0], Episode { severity: Severity::Confirmed, closed: true, ..episode(0, 30) });
    assert_eq!(episodes[1], episode(990, 1_015));
    assert_eq!(episodes.len(), 2);
}

#[test]
fn an_alert_of_a_known_key_is_not_raised_again() {
    let mut home = Home::with_meters();
    let alert = |key: &str| Alert {
        kind: "dead_letter",
        key: key.to_owned(),
        meter: None,
        upload: Some(1),
        at: at(0),
        message: "upload 1 is dead".to_owned(),
    };
    home.commit(ChangeSet { alerts: vec![alert("a"), alert("b")], ..ChangeSet::default() });
    home.commit(ChangeSet { alerts: vec![alert("b"), alert("c")], ..ChangeSet::default() });
    home.expect(
        "SELECT row_number() OVER (ORDER BY alert), message FROM alerts",
        &["1 upload 1 is dead", "2 upload 1 is dead", "3 upload 1 is dead"],
    );
}
