//! Readings that are sent before it is their turn: nobody's until their commit, and gone without it.

use std::sync::Arc;

use greenstream::change::{BookEntry, ChangeSet, Landed, Meter, Outcome, Replaced};
use greenstream::store::{Database, Store, StoreError};
use greenstream_core::decode::RowIndex;
use greenstream_core::{DAY, Flags, Power, Reading, SECOND, Standing, Ts, days_from_civil};

use crate::common::{HEADER, Home, eventually};
use crate::owners::place;
use crate::server::Server;

const METERS: u32 = 50;

/// All meters' readings at `hour` o'clock (from 2026-03-02), as upload and journal entry `number`.
fn set(number: u32, hour: i64) -> Arc<ChangeSet> {
    let ts = Ts::from_micros(days_from_civil(2026, 3, 2) * DAY + hour * 3_600 * SECOND);
    let reading = |meter: u32| Reading {
        ts,
        kw: Some(Power::from_milliwatts(1_000_000)),
        upload: number,
        row_number: meter + 1,
        flags: Flags::NONE,
        standing: Standing::Accepted,
    };
    let all = 0..METERS;
    Arc::new(ChangeSet {
        entry: number.into(),
        entry_hash: format!("hash {number}"),
        meters: all
            .clone()
            .filter(|_| number == 1)
            .map(|meter| (Meter(meter), format!("M{meter}")))
            .collect(),
        landed: vec![Landed {
            upload: number,
            name: format!("{number}.csv"),
            sha256: format!("{number:064x}"),
            bytes: 100,
            landed_at: ts,
            feed: "default".to_owned(),
            time_zone: None,
        }],
        inserted: all.map(|meter| (Meter(meter), reading(meter))).collect(),
        books: vec![BookEntry { upload: number, stored: METERS.into(), quarantined: 0, superseded: 0 }],
        outcome: Some(Outcome {
            upload: number,
            rows: METERS,
            decoded_bytes: 90,
            index: RowIndex::default(),
            days: Some((ts.day(), ts.day())),
            dead: None,
        }),
        ..ChangeSet::default()
    })
}

/// Each row, and how far the store is.
fn state(place: &Database) -> (Vec<String>, u64) {
    let reader = Store::reader(place.clone()).unwrap();
    let snapshot = reader.snapshot().unwrap();
    let mut rows = Vec::new();
    snapshot
        .readings(&greenstream::store::Filter::default(), &mut |meter, reading| {
            rows.push(format!("{meter} {reading:?}"));
            Ok::<_, StoreError>(())
        })
        .unwrap();
    (rows, snapshot.position().unwrap().entry)
}

#[test]
fn readings_sent_ahead_are_nobodys_until_their_commit_and_come_to_what_others_come_to() {
    let server = Server::start();
    // whatever the database's own idea is of what a transaction sees
    let strict =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable',
        current_database()); END $$";
    server.client().batch_execute(strict).unwrap();
    let (plain, ahead) = (place(&server, "plain"), place(&server, "ahead"));
    let sets = [set(1, 0), set(2, 1), set(3, 24), set(4, 2)];
    let mut store = Store::open(plain.clone()).unwrap();
    for set in &sets {
        store.commit(std::slice::from_ref(set)).unwrap();
    }
    let mut store = Store::open(ahead.clone()).unwrap();
    let courier = store.courier().unwrap();
    let [first, second, third, fourth] = sets.map(|set| [set]);
    let first_sent = courier.send(&first, &[]).unwrap();
    let second_sent = courier.send(&second, &first).unwrap();
    assert!(courier.send(&third, &second).is_none(), "two are on their way");
    assert_eq!(state(&ahead), (Vec::new(), 0));
    store.commit_sent(&first, first_sent).unwrap();
    assert_eq!((state(&ahead).0.len(), state(&ahead).1), (50, 1));
    // a day of its own, of which nobody has heard
    let third_sent = courier.send(&third, &second).unwrap();
    store.commit_sent(&second, second_sent).unwrap();
    drop(third_sent);
    assert_eq!((state(&ahead).0.len(), state(&ahead).1), (100, 2));
    store.commit(&third).unwrap();
    // of other sets, which go in all the same
    let fourth_sent = courier.send(&fourth, &third).unwrap();
    let both = [Arc::clone(&fourth[0]), Arc::new(ChangeSet { entry: 5, ..ChangeSet::default() })];
    store.commit_sent(&both, fourth_sent).unwrap();
    assert_eq!((state(&ahead).0, 4), state(&plain));
    assert_eq!(state(&ahead).1, 5);
}

#[test]
fn readings_that_a_commit_before_touches_are_not_sent_ahead_of_it() {
    let server = Server::start();
    let mut store = Store::open(place(&server, "one")).unwrap();
    let courier = store.courier().unwrap();
    assert!(courier.send(&[set(2, 0)], &[set(1, 0)]).is_none());
    assert!(courier.send(&[set(2, 0)], &[set(1, 1)]).is_some());
    let (meter, reading) = set(1, 0).inserted[7];
    for (before, after) in [(Some(reading), None), (None, Some(reading))] {
        let replaced = vec![Replaced { meter, before, after }];
        let before = Arc::new(ChangeSet { entry: 1, replaced, ..ChangeSet::default() });
        assert!(courier.send(&[set(2, 0)], &[Arc::clone(&before)]).is_none());
        assert!(courier.send(&[set(2, 1)], &[before]).is_some());
    }
    assert!(courier.send(&[Arc::new(ChangeSet { entry: 1, ..ChangeSet::default() })], &[]).is_none());
    store.commit(&[set(1, 0)]).unwrap();
    // stored already: the commit says so, as ever
    assert!(courier.send(&[set(2, 0)], &[]).is_none());
    let error = store.commit(&[set(2, 0)]).unwrap_err();
    assert!(error.to_string().ends_with("is inserted and stored already"), "{error}");
    assert!(courier.send(&[set(2, 1)], &[]).is_none(), "it rests after what failed");
}

#[test]
fn a_commit_behind_the_locks_of_what_was_sent_fails_in_time_and_passes() {
    let server = Server::start();
    let at = place(&server, "one");
    let mut store = Store::open(at.clone()).unwrap();
    let ahead = store.courier().unwrap().send(&[set(1, 0)], &[]).unwrap();
    let error = store.commit(&[set(1, 0)]).unwrap_err();
    assert!(error.is_transient(), "{error}");
    drop(ahead);
    store.commit(&[set(1, 0)]).unwrap();
    assert_eq!((state(&at).0.len(), state(&at).1), (50, 1));
}

#[test]
fn what_was_sent_is_gone_where_the_connection_or_the_database_is_lost() {
    let server = Server::start();
    let at = place(&server, "one");
    let mut store = Store::open(at.clone()).unwrap();
    let courier = store.courier().unwrap();
    let ahead = courier.send(&[set(1, 0)], &[]).unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^greenstream [0-9a-f]+$'";
    server.client().batch_execute(cut).unwrap();
    store.commit_sent(&[set(1, 0)], ahead).unwrap();
    assert_eq!((state(&at).0.len(), state(&at).1), (50, 1), "it went in by another");
    let ahead = courier.send(&[set(2, 1)], &[]).unwrap();
    server.client().batch_execute("UPDATE one.t_owner SET owner = 'another'").unwrap();
    let error = store.commit_sent(&[set(2, 1)], ahead).unwrap_err();
    assert!(matches!(error, StoreError::TakenOver(_)), "{error}");
    assert_eq!((state(&at).0.len(), state(&at).1), (50, 1));
}

#[test]
fn whoever_takes_the_database_over_does_not_meet_what_the_owner_before_sent() {
    let server = Server::start();
    let at = place(&server, "one");
    let mut first = Store::open(at.clone()).unwrap();
    let ahead = first.courier().unwrap().send(&[set(1, 0)], &[]).unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'";
    server.client().batch_execute(cut).unwrap();
    let mut second = Store::open(at.clone()).unwrap();
    second.commit(&[set(1, 0)]).unwrap();
    let error = first.commit_sent(&[set(1, 0)], ahead).unwrap_err();
    assert!(error.is_held(), "{error}");
    assert_eq!((state(&at).0.len(), state(&at).1), (50, 1));
}

#[test]
fn a_service_sends_ahead() {
    let server = Server::start();
    let home = Home::new();
    home.configure("greenstream.toml", &(server.configuration("out") + "[sizes]\ncommit_rows = 50\n"));
    let service = home.serve();
    for hour in 0..20 {
        let row = |meter: usize| format!("M{meter},2026-03-02T{hour:02}:00:00Z,1.5,kW\n");
        let name = format!("{hour:02}.csv");
        let file = home.file(&name, HEADER.to_owned() + &(0..50).map(row).collect::<String>());
        std::fs::rename(file, home.path().join("inbox").join(name)).unwrap();
    }
    let mut client = server.client();
    eventually("all are committed over two connections or three", || {
        let writers =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^greenstream [0-9a-f]+$'";
        let stored = "SELECT count(*) FROM out.readings";
        let writers: i64 = client.query_one(writers, &[]).unwrap().get(0);
        let stored: i64 = client.query_one(stored, &[]).unwrap().get(0);
        (writers >= 2 && stored == 1_000).then_some(())
    });
    assert_eq!(service.terminate().0, 0);
    assert_eq!(home.books(), [1_000, 1_000, 0, 0]);
    home.is_whole();
}
