//! The outbox and the archive's book of what it has to write.

use super::*;
use crate::change::Alert;
use crate::store::{ArchiveTable, Dirty};

fn alert(key: &str) -> Alert {
    Alert {
        kind: "dead_letter",
        key: key.to_owned(),
        meter: None,
        upload: Some(1),
        at: at(0),
        message: format!("about {key}"),
    }
}

fn waiting(home: &Home) -> Vec<String> {
    let alerts = home.store.alerts_to_send(0, 10).unwrap();
    assert_eq!(alerts, home.reader().alerts_to_send(0, 10).unwrap());
    alerts.into_iter().map(|alert| format!("{} {}", alert.key, alert.attempts)).collect()
}

#[test]
fn alerts_wait_until_they_are_sent_in_the_order_they_were_raised() {
    let mut home = Home::with_meters();
    home.commit(ChangeSet { alerts: ["a", "b", "c"].map(alert).into(), ..ChangeSet::default() });
    assert_eq!(waiting(&home), ["a 0", "b 0", "c 0"]);
    assert_eq!(home.store.alerts_to_send(0, 2).unwrap().len(), 2);
    home.store.mark_failed(1, at(1)).unwrap();
    home.store.mark_failed(1, at(2)).unwrap();
    home.store.mark_sent(2, at(3)).unwrap();
    home.store.mark_sent(2, at(4)).unwrap();
    assert_eq!(waiting(&home), ["a 2", "c 0"]);
    let first = home.store.alerts_to_send(0, 1).unwrap().remove(0);
    assert_eq!((first.tried_at, first.sent_at, first.message.as_str()), (Some(at(2)), None, "about a"));
    home.expect("SELECT sent_at FROM alerts WHERE alert = 2", &["2026-03-02T00:03:00Z"]);
}

#[test]
fn a_partition_is_dirty_until_the_archive_reflects_the_last_entry_that_touched_it() {
    let mut home = Home::with_meters();
    let today = at(0).day();
    let dirty = |table, day, entry| Dirty { table, day, entry };
    use ArchiveTable::{ErrorQueue, Readings};

    let outlier = standing(Standing::Outlier, reading(0, 1, 3));
    home.commit(ChangeSet {
        inserted: vec![(A, reading(-15, 1, 1)), (A, reading(0, 1, 2))],
        replaced: vec![replaced(B, None, Some(outlier))],
        rejects: vec![reject(1, 4, Reason::RowMalformed, "", None)],
        raw: vec![raw(&outlier), ((1, 4), "x".to_owned())],
        outcome: done(1, 4),
        ..ChangeSet::default()
    });
    let first = [
        dirty(Readings, Some(today - 1), 2),
        dirty(Readings, Some(today), 2),
        dirty(ErrorQueue, None, 2),
        dirty(ErrorQueue, Some(today), 2),
    ];
    assert_eq!(home.store.archive_dirty().unwrap(), first);
    assert_eq!(home.reader().archive_dirty().unwrap(), first);

    // released: the queue's entry changes its status, and the reading is stored
    home.commit(ChangeSet {
        replaced: vec![replaced(B, Some(outlier), Some(flagged(reading(0, 1, 3), &[Flag::Released])))],
        decisions: vec![decision(Status::Released, Reason::Outlier, B, outlier)],
        ..ChangeSet::default()
    });
    home.store.archive_clean(2).unwrap();
    let second = [dirty(Readings, Some(today), 3), dirty(ErrorQueue, Some(today), 3)];
    assert_eq!(home.store.archive_dirty().unwrap(), second);
    home.store.archive_clean(3).unwrap();
    assert_eq!(home.store.archive_dirty().unwrap(), []);

    // removed, and nothing else touched
    home.commit(ChangeSet {
        replaced: vec![replaced(A, Some(reading(-15, 1, 1)), None)],
        superseded: vec![superseded(A, reading(-15, 1, 1))],
        ..ChangeSet::default()
    });
    assert_eq!(home.store.archive_dirty().unwrap(), [dirty(Readings, Some(today - 1), 4)]);
}

#[test]
fn a_name_has_landed_where_an_upload_or_a_delivery_of_it_has_since_an_instant() {
    let mut home = Home::with_meters();
    home.store.deliver(&[(1, "again.csv".to_owned(), at(30))]).unwrap();
    let upload = home.reader().upload(1).unwrap().unwrap().landed;
    let later = Ts::from_micros(upload.landed_at.micros() + 1);
    for (name, since, expected) in [
        (upload.name.as_str(), None, true),
        (upload.name.as_str(), Some(upload.landed_at), true),
        (upload.name.as_str(), Some(later), false),
        ("again.csv", None, true),
        ("again.csv", Some(at(30)), true),
        ("again.csv", Some(at(31)), false),
        ("never.csv", None, false),
    ] {
        assert_eq!(home.reader().has_landed(name, since).unwrap(), expected, "{name} {since:?}");
    }
}
