//! The accounting of uploads (guarantee G1), and how they come and go.

use super::commit::{check_broken, stored};
use super::*;
use crate::change::DeadLetter;
use crate::store::UploadStatus;

#[test]
fn books_that_differ_from_the_rows_are_refused() {
    let mut home = stored();
    check_broken(
        &mut home,
        ChangeSet {
            inserted: vec![(B, reading(15, 2, 1))],
            books: vec![book(2, 2, 0, 0)],
            outcome: done(2, 2),
            ..ChangeSet::default()
        },
        "the rows of upload 2 move by +1 stored, +0 quarantined, +0 superseded, and its books say +2, +0, +0",
    );
}

#[test]
fn an_upload_whose_rows_do_not_add_up_is_refused() {
    let dead = DeadLetter { code: "x".to_owned(), message: "y".to_owned(), hint: "z".to_owned() };
    let dead = |rows| done(2, rows).map(|outcome| Outcome { dead: Some(dead.clone()), ..outcome });
    for (name, outcome, balanced) in [
        ("done with a row too few", done(2, 2), false),
        ("done with a row too many", done(2, 0), false),
        ("done", done(2, 1), true),
        ("not ended, and yet a row is stored", None, false),
        ("dead, and yet a row is stored", dead(1), false),
    ] {
        let mut home = stored();
        let set = ChangeSet { inserted: vec![(B, reading(15, 2, 1))], outcome, ..ChangeSet::default() };
        let result = home.try_commit(set);
        assert_eq!(matches!(result, Err(StoreError::Unbalanced { upload: 2, .. })), !balanced, "{name}");
        home.expect("SELECT count(*) FROM readings WHERE upload = 2", &[if balanced { "1" } else { "0" }]);
    }
    let mut home = stored();
    home.commit(ChangeSet { outcome: dead(0), ..ChangeSet::default() });
    let upload = home.reader().upload(2).unwrap().unwrap();
    assert_eq!((upload.status, upload.rows), (UploadStatus::Dead, 0));
    assert_eq!(upload.dead.unwrap().message, "y");
}

#[test]
fn rows_that_are_taken_away_from_an_old_upload_must_add_up_too() {
    let mut home = stored();
    let set = ChangeSet {
        replaced: vec![replaced(A, Some(reading(0, 1, 1)), Some(reading(0, 2, 1)))],
        outcome: done(2, 1),
        ..ChangeSet::default()
    };
    let error = home.try_commit(set).unwrap_err();
    assert_eq!(
        error.to_string(),
        "upload 1 (done) would be out of balance: 3 rows, 2 stored, 0 quarantined, 0 superseded"
    );
}

#[test]
fn an_upload_lands_is_tried_and_ends() {
    let mut home = Home::new();
    home.store.land(&[landed(1), landed(2)]).unwrap();
    home.expect(
        "SELECT upload, status, attempts FROM uploads ORDER BY upload",
        &["1 landed 0", "2 landed 0"],
    );
    assert_eq!(home.store.begin(&[1, 7]).unwrap(), [1, 0]);
    assert_eq!(home.store.begin(&[1]).unwrap(), [2]);
    home.expect(
        "SELECT upload, status, attempts FROM uploads ORDER BY upload",
        &["1 processing 2", "2 landed 0"],
    );
    assert_eq!(home.store.position().unwrap().entry, 0);
    let unfinished: Vec<_> =
        home.reader().unfinished().unwrap().into_iter().map(|upload| upload.landed).collect();
    assert_eq!(unfinished, [landed(1), landed(2)]);
    let again = Landed { feed: "other".to_owned(), time_zone: Some("Europe/Berlin".to_owned()), ..landed(1) };
    home.commit(ChangeSet { landed: vec![again.clone()], outcome: done(1, 0), ..ChangeSet::default() });
    let upload = home.reader().upload(1).unwrap().unwrap();
    assert_eq!((upload.landed, upload.status, upload.attempts), (again, UploadStatus::Done, 2));
    assert_eq!((upload.decoded_bytes, upload.days), (90, Some((at(0).day(), at(0).day()))));
    home.store.land(&[landed(1)]).unwrap();
    home.store.begin(&[1]).unwrap();
    home.expect("SELECT status FROM uploads WHERE upload = 1", &["done"]);
    assert_eq!(home.reader().unfinished().unwrap().len(), 1);
}
