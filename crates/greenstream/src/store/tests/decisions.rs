//! Decisions on rows: release, edit, discard and undo, while the row wins, loses and wins again.

use super::*;

const QUEUE: &str =
    "SELECT upload, row_number, meter_id, kw, reason, flags, status, raw FROM error_queue ORDER BY 1, 2";
const STORED: &str = "SELECT upload, row_number, kw, flags FROM readings";

/// Meter A has an outlier, row 1 of upload 1; upload 2 has a row of the same reading that lost.
fn quarantined() -> (Home, Reading, Reading) {
    let mut home = Home::with_meters();
    let winner = flagged(standing(Standing::Outlier, reading(0, 1, 1)), &[Flag::Duplicate]);
    let loser = Reading { kw: Some(Power::from_milliwatts(500_000)), ..reading(0, 2, 1) };
    home.commit(ChangeSet {
        replaced: vec![replaced(A, None, Some(winner))],
        raw: vec![raw(&winner)],
        outcome: done(1, 1),
        ..ChangeSet::default()
    });
    home.commit(ChangeSet {
        superseded: vec![superseded(A, loser)],
        outcome: done(2, 1),
        ..ChangeSet::default()
    });
    home.expect(QUEUE, &["1 1 A 1.0 outlier [\"duplicate\"] open line of 1/1"]);
    (home, winner, loser)
}

/// The outlier above, accepted with these flags.
fn accepted(winner: Reading, flags: &[Flag]) -> Reading {
    flagged(standing(Standing::Accepted, winner), flags)
}

#[test]
fn a_released_row_is_stored_and_stays_in_the_queue_until_it_loses() {
    let (mut home, winner, _) = quarantined();
    let released = accepted(winner, &[Flag::Released]);
    let mut release = ChangeSet {
        replaced: vec![replaced(A, Some(winner), Some(released))],
        decisions: vec![decision(Status::Released, Reason::Outlier, A, winner)],
        ..ChangeSet::default()
    };
    home.commit(release.clone());
    home.expect(STORED, &["1 1 1.0 [\"duplicate\",\"released\"]"]);
    home.expect(QUEUE, &["1 1 A 1.0 outlier [] released line of 1/1"]);
    assert_eq!(home.reader().decision(1, 1).unwrap().unwrap(), release.decisions.remove(0));

    let better = reading(0, 3, 1);
    home.commit(ChangeSet {
        replaced: vec![replaced(A, Some(released), Some(better))],
        superseded: vec![superseded(A, released)],
        outcome: done(3, 1),
        ..ChangeSet::default()
    });
    home.expect(QUEUE, &[]);
    home.expect(STORED, &["3 1 1.0 []"]);

    // the better row is taken out again: the decision wakes, with the line it kept
    home.commit(ChangeSet {
        replaced: vec![replaced(A, Some(better), Some(released))],
        revived: vec![(1, 1)],
        superseded: vec![superseded(A, better)],
        ..ChangeSet::default()
    });
    home.expect(QUEUE, &["1 1 A 1.0 outlier [] released line of 1/1"]);
    home.expect(STORED, &["1 1 1.0 [\"duplicate\",\"released\"]"]);
}

#[test]
fn a_release_that_is_undone_opens_the_entry_again_or_takes_it_away() {
    for (verdict, queue) in [
        (Standing::Outlier, "1 1 A 1.0 outlier [] open line of 1/1"),
        (Standing::AboveLimit, "1 1 A 1.0 value_above_limit [] open line of 1/1"),
        (Standing::Accepted, ""),
    ] {
        let (mut home, winner, _) = quarantined();
        let released = accepted(winner, &[Flag::Released]);
        home.commit(ChangeSet {
            replaced: vec![replaced(A, Some(winner), Some(released))],
            decisions: vec![decision(Status::Released, Reason::Outlier, A, winner)],
            ..ChangeSet::default()
        });
        let undone = standing(verdict, reading(0, 1, 1));
        home.commit(ChangeSet {
            replaced: vec![replaced(A, Some(released), Some(undone))],
            decisions: vec![decision(Status::Open, Reason::Outlier, A, winner)],
            raw: vec![raw(&undone)],
            ..ChangeSet::default()
        });
        assert_eq!(home.rows(QUEUE).join(""), queue, "{verdict:?}");
        assert_eq!(home.rows(STORED).len(), usize::from(verdict == Standing::Accepted), "{verdict:?}");
        assert_eq!(home.reader().decision(1, 1).unwrap().unwrap().status, Status::Open);
    }
}

#[test]
fn a_discarded_row_stays_quarantined_and_the_next_row_wins() {
    let (mut home, winner, loser) = quarantined();
    home.commit(ChangeSet {
        replaced: vec![replaced(A, Some(winner), Some(loser))],
        revived: vec![(2, 1)],
        decisions: vec![decision(Status::Discarded, Reason::Outlier, A, winner)],
        ..ChangeSet::default()
    });
    home.expect(QUEUE, &["1 1 A 1.0 outlier [] discarded line of 1/1"]);
    home.expect(STORED, &["2 1 0.5 []"]);
    assert_eq!(home.reader().reading(A, at(0)).unwrap(), Some(loser));

    // undone: it wins again, judged anew, or it loses
    home.commit(ChangeSet {
        replaced: vec![replaced(A, Some(loser), Some(winner))],
        superseded: vec![superseded(A, loser)],
        decisions: vec![decision(Status::Open, Reason::Outlier, A, winner)],
        raw: vec![raw(&winner)],
        ..ChangeSet::default()
    });
    home.expect(QUEUE, &["1 1 A 1.0 outlier [\"duplicate\"] open line of 1/1"]);
    home.expect(STORED, &[]);
    assert_eq!(home.reader().reading(A, at(0)).unwrap(), Some(winner));
}

#[test]
fn a_discarded_row_that_is_undone_and_loses_leaves_the_queue() {
    let (mut home, winner, loser) = quarantined();
    home.commit(ChangeSet {
        replaced: vec![replaced(A, Some(winner), Some(loser))],
        revived: vec![(2, 1)],
        decisions: vec![decision(Status::Discarded, Reason::Outlier, A, winner)],
        ..ChangeSet::default()
    });
    home.commit(ChangeSet {
        superseded: vec![superseded(A, winner)],
        decisions: vec![decision(Status::Open, Reason::Outlier, A, winner)],
        ..ChangeSet::default()
    });
    home.expect(QUEUE, &[]);
    home.expect(STORED, &["2 1 0.5 []"]);
}

#[test]
fn the_only_row_of_a_reading_is_discarded_and_nothing_is_left_of_the_reading() {
    let mut home = Home::with_meters();
    let only = standing(Standing::Negative, reading(0, 1, 1));
    home.commit(ChangeSet {
        replaced: vec![replaced(A, None, Some(only))],
        raw: vec![raw(&only)],
        outcome: done(1, 1),
        ..ChangeSet::default()
    });
    home.commit(ChangeSet {
        replaced: vec![replaced(A, Some(only), None)],
        decisions: vec![decision(Status::Discarded, Reason::ValueNegative, A, only)],
        ..ChangeSet::default()
    });
    home.expect(QUEUE, &["1 1 A 1.0 value_negative [] discarded line of 1/1"]);
    assert_eq!(home.reader().reading(A, at(0)).unwrap(), None);
}

#[test]
fn a_reject_is_discarded_or_edited_and_undone() {
    let open = "1 1 A - value_invalid [] open A,x";
    let mut home = Home::with_meters();
    home.commit(ChangeSet {
        rejects: vec![
            reject(1, 1, Reason::ValueInvalid, "A", Some(at(0))),
            reject(1, 2, Reason::MeterIdInvalid, "", None),
        ],
        raw: vec![((1, 1), "A,x".to_owned()), ((1, 2), ",,".to_owned())],
        outcome: done(1, 2),
        ..ChangeSet::default()
    });
    let row = Reading { kw: None, ..reading(0, 1, 1) };
    let decide = |status| Decision {
        edited: (status == Status::Edited).then_some(Power::ZERO),
        ..decision(status, Reason::ValueInvalid, A, row)
    };
    let edited = Reading { kw: Some(Power::ZERO), ..flagged(row, &[Flag::Edited]) };
    let only = |status| ChangeSet { decisions: vec![decide(status)], ..ChangeSet::default() };
    for (set, queue, stored) in [
        (only(Status::Discarded), "1 1 A - value_invalid [] discarded A,x", ""),
        (only(Status::Open), open, ""),
        (
            ChangeSet { inserted: vec![(A, edited)], ..only(Status::Edited) },
            "1 1 A - value_invalid [] edited A,x",
            "1 1 0.0 [\"edited\"]",
        ),
        (ChangeSet { replaced: vec![replaced(A, Some(edited), None)], ..only(Status::Open) }, open, ""),
        (
            ChangeSet { replaced: vec![replaced(A, None, Some(edited))], ..only(Status::Edited) },
            "1 1 A - value_invalid [] edited A,x",
            "1 1 0.0 [\"edited\"]",
        ),
        (
            // a later row wins: the edited one sleeps
            ChangeSet {
                replaced: vec![replaced(A, Some(edited), Some(reading(0, 2, 1)))],
                superseded: vec![superseded(A, row)],
                outcome: done(2, 1),
                ..ChangeSet::default()
            },
            "",
            "2 1 1.0 []",
        ),
        (
            // undone in its sleep: it is no reading any more, and waits
            ChangeSet { revived: vec![(1, 1)], ..only(Status::Open) },
            open,
            "2 1 1.0 []",
        ),
    ] {
        home.commit(set);
        assert_eq!(home.rows(QUEUE)[..home.rows(QUEUE).len() - 1].join(""), queue);
        assert_eq!(home.rows(STORED).join(""), stored);
    }
    // a row whose meter nobody knows
    let unknown = Decision {
        row_number: 2,
        meter: None,
        ts: None,
        ..decision(Status::Discarded, Reason::MeterIdInvalid, A, row)
    };
    home.commit(ChangeSet { decisions: vec![unknown], ..ChangeSet::default() });
    assert_eq!(home.rows(QUEUE)[1], "1 2  - meter_id_invalid [] discarded ,,");
}

#[test]
fn a_decision_that_the_rows_contradict_is_refused() {
    for (status, stored, message) in [
        (Status::Released, false, "row 1 of upload 1 is released and yet quarantined"),
        (Status::Edited, false, "row 1 of upload 1 is edited and yet quarantined"),
        (Status::Discarded, true, "row 1 of upload 1 is discarded and yet stored"),
    ] {
        let (mut home, winner, _) = quarantined();
        let moved = replaced(A, Some(winner), Some(accepted(winner, &[Flag::Released])));
        let set = ChangeSet {
            replaced: if stored { vec![moved] } else { Vec::new() },
            decisions: vec![decision(status, Reason::Outlier, A, winner)],
            ..ChangeSet::default()
        };
        let error = home.try_commit(set).unwrap_err();
        assert!(error.to_string().ends_with(message), "{error}");
    }
    let (mut home, winner, _) = quarantined();
    let released = accepted(winner, &[Flag::Released]);
    let set = ChangeSet { replaced: vec![replaced(B, None, Some(released))], ..ChangeSet::default() };
    let error = home.try_commit(set).unwrap_err();
    assert!(error.to_string().ends_with("is released or edited by no decision"), "{error}");
}
