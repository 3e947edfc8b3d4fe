//! Crashes, damaged files, archives that are ahead or cut short.

use super::*;

#[test]
fn files_without_their_log_entry_are_removed_after_a_crash() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0)]);
    bed.flush(Mode::All);
    let before = live(&bed.archive);
    bed.apply(&[insert(0, 0, 1), insert(0, 5, 0)]);
    let days = BTreeMap::from([
        (Some(FIRST_DAY), plan::Shape::Disjoint),
        (Some(FIRST_DAY + 5), plan::Shape::Disjoint),
    ]);
    bed.archive.write_days(&days, &bed.model).unwrap();
    assert_eq!(on_disk(bed.dir.path()).len(), 3);
    bed.reopen();
    assert_eq!((live(&bed.archive), bed.archive.position()), (before, 1));
    let vacuumed = bed.archive.vacuum(now(), 1).unwrap();
    assert_eq!((vacuumed.files, vacuumed.kept), (0, 2), "young orphans stay");
    let vacuumed = bed.archive.vacuum(now().plus(1), 1).unwrap();
    assert_eq!((vacuumed.files, vacuumed.kept), (2, 0));
    bed.check_at_rest();
}

/// Stands where the next entry of the errors' log is written first, so that it cannot be.
fn block_entry(bed: &Bed, version: u64) -> PathBuf {
    let name = format!(".{version:020}.{}.json.tmp", std::process::id());
    let in_the_way = bed.dir.path().join("error_queue/_delta_log").join(name);
    fs::create_dir(&in_the_way).unwrap();
    in_the_way
}

#[test]
fn a_crash_between_the_two_commits_leaves_the_earlier_position() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0), Touch { kind: 7, ..insert(1, 0, 0) }]);
    let in_the_way = block_entry(&bed, 1);
    let error = bed.archive.flush(&bed.model, Mode::All, now()).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!((bed.archive.readings.position, bed.archive.errors.position), (1, 0));
    fs::remove_dir(&in_the_way).unwrap();
    bed.reopen();
    assert_eq!(bed.archive.position(), 0);
    bed.check_at_rest();
}

#[test]
fn a_commit_that_was_not_noticed_is_not_made_twice() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0), insert(1, 0, 0)]);
    bed.flush(Mode::Lag { closed_wait: 0 });
    // The errors' log refuses, so the flush fails after the readings' entry has its name.
    let in_the_way = block_entry(&bed, 2);
    bed.apply(&[insert(0, 0, 1), Touch { mw: 9, ..insert(1, 0, 0) }]);
    assert!(bed.archive.flush(&bed.model, Mode::Lag { closed_wait: 0 }, now()).is_err());
    fs::remove_dir(&in_the_way).unwrap();
    bed.archive.readings.stale = true;
    bed.apply(&[insert(0, 0, 2)]);
    bed.flush(Mode::Lag { closed_wait: 0 });
    assert_eq!(bed.archive.position(), 3);
    bed.check_at_rest();
}

#[test]
fn a_damaged_file_is_written_anew_from_the_store_and_named_when_read() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0)]);
    bed.flush(Mode::All);
    let path = live(&bed.archive).pop_first().unwrap();
    fs::write(&path, b"PAR1 no more").unwrap();
    let error = bed.archive.read_readings(FIRST_DAY, |_| {}).unwrap_err();
    assert!(matches!(&error, Error::Damaged { path: named, .. } if *named == path), "{error}");
    fs::remove_file(&path).unwrap();
    let error = bed.archive.read_readings(FIRST_DAY, |_| {}).unwrap_err();
    assert!(error.to_string().ends_with("is damaged: the file is missing"), "{error}");
    bed.apply(&[insert(0, 0, 1)]);
    bed.check_at_rest();
}

#[test]
fn an_archive_ahead_of_its_store_is_refused_and_can_begin_anew() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0)]);
    bed.apply(&[insert(0, 1, 0)]);
    bed.flush(Mode::All);
    let days = [FIRST_DAY, FIRST_DAY + 1];
    let behind = Known { position: 1, days: &days, dirty: &[] };
    let error = Archive::open(bed.dir.path(), &behind, now()).err().unwrap();
    assert!(matches!(error, Error::Ahead { archive: 2, store: 1 }), "{error}");
    let known = Known { position: 2, ..behind };
    bed.archive = Archive::create_fresh(bed.dir.path(), &known, now()).unwrap();
    assert_eq!(bed.archive.position(), 0);
    assert!(on_disk(bed.dir.path()).is_empty());
    bed.check_at_rest();
}

/// It was emptied under its own name once; a crash in between left a log without its first entries, which
/// can be neither read nor begun anew.
#[test]
fn an_archive_whose_removal_was_cut_short_begins_anew() {
    let mut bed = Bed::new();
    bed.apply(&[insert(0, 0, 0)]);
    bed.archive.flush(&bed.model, Mode::All, now()).unwrap();
    let table = bed.dir.path().join("readings");
    super::put_aside(&table).unwrap();
    // the process dies with the removal half done
    let old = bed.dir.path().join("readings.old");
    fs::remove_file(old.join("_delta_log/00000000000000000000.json")).unwrap();
    bed.reopen();
    assert!(!old.exists());
    bed.check_at_rest();
}

#[test]
fn checkpoints_come_and_a_torn_one_does_no_harm() {
    let mut bed = Bed::new();
    for quarter in 0..51 {
        bed.apply(&[insert(0, 0, quarter), Touch { kind: 9, mw: quarter, ..insert(0, 0, quarter) }]);
        bed.archive.flush(&bed.model, Mode::Lag { closed_wait: 0 }, now()).unwrap();
    }
    let checkpoint = bed.dir.path().join("readings/_delta_log/00000000000000000050.checkpoint.parquet");
    assert!(checkpoint.exists());
    bed.reopen();
    check(&bed.archive, &bed.model, &[]);
    assert_eq!(bed.archive.position(), 51);
    let whole = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, &whole[..whole.len() / 2]).unwrap();
    bed.reopen();
    assert!(!checkpoint.exists());
    bed.check_at_rest();
}

#[test]
fn values_come_back_to_the_milliwatt() {
    let mut bed = Bed::new();
    let values = [0, 1, -1, 9_999_999, 10_000_000, 123_456_789_012, 4_000_000_000_000_000, 333_333];
    let touches: Vec<Touch> =
        (0..).zip(values).map(|(quarter, mw)| Touch { mw, ..insert(0, 0, quarter) }).collect();
    bed.apply(&touches);
    bed.check_at_rest();
}
