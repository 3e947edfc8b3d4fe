//! Which days a flush writes, how, and from what.

use super::*;

#[test]
fn a_new_archive_is_two_empty_tables_at_position_zero() {
    let mut bed = Bed::new();
    assert_eq!(bed.archive.position(), 0);
    let flushed = bed.flush(Mode::All);
    assert_eq!(flushed, Flushed::default());
    assert_eq!(bed.archive.readings.live.len() + bed.archive.errors.live.len(), 0);
    assert!(on_disk(bed.dir.path()).is_empty());
}

#[test]
fn a_fresh_day_is_written_from_memory_without_asking_the_store() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 1), insert(1, 0, 0), insert(0, 0, 0), insert(2, 1, 0)]);
    bed.model.is_away = true;
    let flushed = bed.archive.flush(&bed.model, Mode::All, now()).unwrap();
    assert_eq!((flushed.files, flushed.rows, flushed.position), (2, 4, 1));
    bed.model.is_away = false;
    bed.check_at_rest();
}

#[test]
fn an_open_day_grows_by_a_file_a_flush_and_is_compacted_some_time_after_it_has_closed() {
    let mut bed = Bed::new();
    let lag = Mode::Lag { closed_wait: 10 };
    for quarter in 0..3 {
        bed.apply(&[insert(0, 0, quarter), insert(1, 0, quarter)]);
        bed.flush(lag);
    }
    assert_eq!(files(&bed.archive, 0), 3);
    bed.apply(&[insert(0, 1, 0)]);
    bed.flush(lag);
    assert_eq!((files(&bed.archive, 0), files(&bed.archive, 1)), (3, 1));
    bed.archive.flush(&bed.model, lag, now().plus(9)).unwrap();
    assert_eq!((files(&bed.archive, 0), files(&bed.archive, 1)), (3, 1));
    bed.archive.flush(&bed.model, lag, now().plus(10)).unwrap();
    assert_eq!((files(&bed.archive, 0), files(&bed.archive, 1)), (1, 1));
    bed.check_at_rest();
}

#[test]
fn many_small_files_of_an_open_day_are_merged_before_it_closes() {
    let mut bed = Bed::new();
    let most = (0..40)
        .map(|quarter| {
            bed.apply(&[insert(0, 0, quarter), insert(1, 0, quarter)]);
            bed.flush(Mode::Lag { closed_wait: 0 });
            files(&bed.archive, 0)
        })
        .max();
    assert_eq!(most, Some(16));
    bed.check_at_rest();
}

#[test]
fn a_correction_in_an_open_day_replaces_only_the_file_that_holds_the_reading() {
    let mut bed = Bed::new();
    for quarter in [0, 10, 20] {
        bed.apply(&[insert(0, 0, quarter), insert(1, 0, quarter)]);
        bed.flush(Mode::Lag { closed_wait: 0 });
    }
    let before = live(&bed.archive);
    bed.apply(&[Touch { mw: 7, ..insert(1, 0, 10) }, insert(0, 0, 30)]);
    bed.flush(Mode::Lag { closed_wait: 0 });
    assert_eq!(files(&bed.archive, 0), 3);
    assert_eq!(live(&bed.archive).intersection(&before).count(), 2);
    bed.check_at_rest();
}

#[test]
fn corrections_of_closed_days_wait_and_hold_the_position_back() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0), insert(0, 1, 0)]);
    bed.flush(Mode::All);
    bed.apply(&[Touch { mw: 7, ..insert(0, 0, 0) }]);
    bed.apply(&[insert(0, 1, 1)]);
    let wait = 900 * 1_000_000;
    let lag = Mode::Lag { closed_wait: wait };
    let flushed = bed.flush(lag);
    assert_eq!(flushed.waiting, [Some(FIRST_DAY)]);
    assert_eq!((flushed.position, bed.archive.position()), (1, 1));
    let one_less = bed.archive.flush(&bed.model, lag, now().plus(wait - 1)).unwrap();
    assert_eq!((one_less.position, one_less.waiting.len()), (1, 1));
    let done = bed.archive.flush(&bed.model, lag, now().plus(wait)).unwrap();
    assert_eq!((done.position, done.waiting.len()), (3, 0));
    bed.check_at_rest();
}

#[test]
fn a_full_buffer_is_relieved_of_its_oldest_days_first() {
    let mut bed = Bed::new();
    for day in 0..4 {
        bed.apply(&[insert(0, day, 0)]);
    }
    let one_day = bed.archive.buffered_bytes() / 4;
    let flushed = bed.flush(Mode::Bytes(2 * one_day));
    assert_eq!(flushed.days, [Some(FIRST_DAY), Some(FIRST_DAY + 1)]);
    assert_eq!(flushed.position, 2);
    assert_eq!(bed.archive.buffered_bytes(), 2 * one_day);
    assert_eq!(bed.flush(Mode::Bytes(2 * one_day)).days, []);
    bed.check_at_rest();
}

#[test]
fn a_flush_names_its_position_and_says_nothing_twice() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0)]);
    bed.flush(Mode::All);
    let log = bed.dir.path().join("readings/_delta_log/00000000000000000001.json");
    let text = fs::read_to_string(log).unwrap();
    assert!(text.contains(r#""txn":{"appId":"greenstream","version":1"#), "{text}");
    assert!(text.contains(r#""greenstreamPosition":1"#), "{text}");
    bed.flush(Mode::All);
    assert!(!bed.dir.path().join("readings/_delta_log/00000000000000000002.json").exists());
    // An entry that changes no row (a delivery) moves the position all the same.
    bed.apply(&[]);
    assert_eq!(bed.flush(Mode::Lag { closed_wait: 0 }).position, 2);
    bed.reopen();
    assert_eq!(bed.archive.position(), 2);
}

#[test]
fn a_snapshot_elsewhere_than_the_changes_is_refused() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0)]);
    for entry in [0, 2] {
        let model = Model { entry, ..bed.model.clone() };
        let error = bed.archive.flush(&model, Mode::All, now()).unwrap_err();
        assert!(matches!(error, Error::Position { snapshot, applied: 1 } if snapshot == entry));
        assert!(!error.is_transient());
    }
    bed.check_at_rest();
}

#[test]
fn a_store_that_is_away_loses_nothing() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0), Touch { kind: 7, ..insert(1, 0, 0) }]);
    bed.model.is_away = true;
    let error = bed.archive.flush(&bed.model, Mode::All, now()).unwrap_err();
    assert!(error.is_transient());
    assert_eq!(bed.archive.position(), 0);
    let written = fs::read_dir(bed.dir.path().join("readings/date=2026-03-02")).unwrap().count();
    assert_eq!(written, 0, "files of a failed flush are removed");
    bed.model.is_away = false;
    bed.apply(&[insert(2, 0, 0)]);
    bed.check_at_rest();
}

#[test]
fn days_that_changed_while_the_archive_was_closed_come_from_the_store() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0), insert(0, 1, 0)]);
    bed.flush(Mode::All);
    bed.apply(&[
        Touch { mw: 7, ..insert(0, 0, 0) },
        insert(1, 2, 5),
        Touch { kind: 9, mw: 1, ..insert(0, 0, 0) },
    ]);
    bed.reopen();
    assert_eq!(bed.archive.position(), 1);
    bed.apply(&[insert(3, 2, 6)]);
    assert_eq!(bed.archive.buffered_bytes(), 0);
    bed.check_at_rest();
}

#[test]
fn a_meter_without_a_name_leaves_its_day_to_the_store() {
    let mut bed = Bed::new();
    let set = bed.model.change(&[insert(0, 0, 0), insert(1, 0, 1)]);
    bed.archive.apply(&set, &Nobody);
    assert_eq!(bed.archive.buffered_bytes(), 0);
    bed.check_at_rest();
}

#[test]
fn names_come_with_the_change_set_that_sees_a_meter_first() {
    let mut bed = Bed::new();
    let mut set = ChangeSet::clone(&bed.model.change(&[insert(4, 0, 0)]));
    set.meters.push((Meter(4), NAMES[4].to_owned()));
    bed.archive.apply(&Arc::new(set), &Nobody);
    assert!(bed.archive.buffered_bytes() > 0);
    bed.check_at_rest();
}

#[test]
fn a_change_set_that_comes_again_is_ignored() {
    let mut bed = Bed::new();
    let set = bed.model.change(&[insert(0, 0, 0)]);
    for _ in 0..2 {
        bed.archive.apply(&set, &bed.model);
    }
    bed.check_at_rest();
}
