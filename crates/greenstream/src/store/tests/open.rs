//! Opening, closing, and files that are not ours.

use super::*;

#[test]
fn a_store_keeps_everything_when_it_is_closed_and_opened_again() {
    let mut home = Home::in_file().and_meters();
    home.commit(ChangeSet {
        inserted: vec![(A, reading(0, 1, 1))],
        outcome: done(1, 1),
        ..ChangeSet::default()
    });
    let Home { dir, store, database, .. } = home;
    drop(database);
    drop(store);
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(files, ["greenstream.db"], "the log is gone");
    let store = Store::open(&dir.path().join("greenstream.db")).unwrap();
    assert_eq!(store.position().unwrap().entry, 2);
    assert_eq!(store.position().unwrap().entry_hash, "hash 2");
    assert_eq!(rows(store.db.sqlite().unwrap(), "SELECT meter_id, row_number FROM readings"), ["A 1"]);
    let reader = Store::reader(store.database()).unwrap();
    assert_eq!(
        reader.row_index(1).unwrap(),
        Some(RowIndex { offsets: vec![40, 4_000], ..RowIndex::default() })
    );
    assert_eq!(reader.row_index(2).unwrap(), None);
}

#[test]
fn the_file_is_durable_and_has_large_pages() {
    let mut home = Home::in_file();
    // a commit is made durable beside the writer, everything else by the writer itself
    home.commit(ChangeSet::default());
    let pragma =
        |name: &str| -> i64 { home.conn().pragma_query_value(None, name, |row| row.get(0)).unwrap() };
    assert_eq!(pragma("page_size"), 8192);
    assert_eq!(pragma("synchronous"), 2, "FULL");
    assert_eq!(pragma("wal_autocheckpoint"), 16_384);
    home.store.log().unwrap().sync().unwrap();
    let mode: String = home.conn().pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[track_caller]
fn check_refused(prepare: &str, message: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("greenstream.db");
    if !prepare.contains("CREATE") {
        drop(Store::open(&path).unwrap());
    }
    Connection::open(&path).unwrap().execute_batch(prepare).unwrap();
    let before = std::fs::read(&path).unwrap();
    for error in [Store::open(&path).unwrap_err(), Store::reader(&path).unwrap_err()] {
        assert!(error.to_string().ends_with(message), "{error}");
        assert!(!error.is_transient(), "{error}");
        assert!(!error.hint().is_empty());
    }
    assert_eq!(std::fs::read(&path).unwrap(), before, "a refused file is not touched");
}

#[test]
fn a_later_releases_store_is_refused_with_both_versions() {
    check_refused("PRAGMA user_version = 6", "has schema version 6, and this program knows versions up to 5");
}

#[test]
fn a_store_of_the_first_version_is_brought_up_to_date_with_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("greenstream.db");
    let conn = Connection::open(&path).unwrap();
    crate::store::sqlite::make_first_version(&conn).unwrap();
    // a reading that waits at 1969-12-31T23:30Z, and a row that failed to decode at 09:00
    conn.execute_batch(
        "INSERT INTO t_meter VALUES (0, 'A');
         INSERT INTO t_upload (upload, name, sha256, bytes, landed_at, feed, status, rows, quarantined)
             VALUES (1, 'old.csv', '', 0, 0, 'default', 2, 2, 2);
         INSERT INTO t_error (upload, row_number, meter, ts, kw, reason, flags, status, raw)
             VALUES (1, 1, 0, -1800000000, 9, 11, 0, 0, 'line');
         INSERT INTO t_error (upload, row_number, meter_text, ts, reason, flags, status, raw)
             VALUES (1, 2, 'B', 32400000000, 1, 0, 0, 'torn');",
    )
    .unwrap();
    drop(conn);
    let older = Store::reader(&path).unwrap_err();
    assert!(older.to_string().ends_with("has schema version 1, and this program reads version 5"), "{older}");
    let store = Store::open(&path).unwrap();
    assert_eq!(rows(store.db.sqlite().unwrap(), "SELECT hour, date FROM t_hour"), ["-1 1969-12-31"]);
    let reader = Store::reader(&path).unwrap();
    assert_eq!(reader.utc_days().unwrap(), [-1, 0]);
    let waiting = reader.reading(Meter(0), Ts::from_micros(-1_800_000_000)).unwrap();
    assert_eq!(waiting.map(|reading| reading.row_number), Some(1));
    assert_eq!(
        rows(store.db.sqlite().unwrap(), "SELECT raw FROM error_queue WHERE meter_id = 'B'"),
        ["torn"]
    );
    assert_eq!((reader.rulebook().unwrap(), reader.silence_entry().unwrap()), (None, 0));
}

#[test]
fn another_programs_database_is_refused() {
    check_refused("CREATE TABLE t (x)", "is the database of another program");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_not_transient() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("greenstream.db");
    std::fs::write(&path, "meter_id,timestamp\n".repeat(1_000)).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(!error.is_transient());
    assert!(error.hint().contains("rebuild"), "{}", error.hint());
}

#[test]
fn a_volume_that_is_away_is_transient() {
    let dir = tempfile::tempdir().unwrap();
    let error = Store::open(&dir.path().join("not mounted/greenstream.db")).unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[test]
fn a_reader_needs_a_store_that_a_writer_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("greenstream.db");
    assert!(Store::reader(&path).unwrap_err().is_transient(), "nothing there yet");
    std::fs::write(&path, "").unwrap();
    let error = Store::reader(&path).unwrap_err();
    assert!(error.to_string().contains("has not opened for writing yet"), "{error}");
}

#[test]
fn a_reader_cannot_write() {
    let home = Home::in_file();
    let error = home.reader().db().sqlite().unwrap().execute("DELETE FROM t_meter", []).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ReadOnly));
}

/// The files as a killed process leaves them: whatever had reached them, no clean close.
#[test]
fn a_process_killed_in_the_middle_of_a_commit_leaves_the_commit_before() {
    let mut home = Home::in_file().and_meters();
    home.commit(ChangeSet {
        inserted: vec![(A, reading(0, 1, 1))],
        outcome: done(1, 1),
        ..ChangeSet::default()
    });
    let killed = tempfile::tempdir().unwrap();
    // so small a cache that the pages of the open transaction spill into the log
    home.conn().pragma_update(None, "cache_size", 10).unwrap();
    let inserted: Vec<_> = (1..40_000).map(|i| (A, reading(i, 2, u32::try_from(i).unwrap()))).collect();
    let set = ChangeSet { entry: 3, inserted, ..ChangeSet::default() };
    let error = home.store.change(|db| {
        let tables = crate::store::sqlite::Tables::new(db.sqlite().unwrap())?;
        let mut commit = crate::store::commit::Commit::begin(db, tables)?;
        // the books are missing, so the rows are in when this fails
        let error = commit.apply(&set).unwrap_err();
        for file in std::fs::read_dir(home.dir.path()).unwrap() {
            let file = file.unwrap();
            if !file.file_name().to_string_lossy().ends_with("-shm") {
                std::fs::copy(file.path(), killed.path().join(file.file_name())).unwrap();
            }
        }
        Err::<(), _>(error)
    });
    assert!(matches!(error, Err(StoreError::Broken { entry: 3, .. })));
    let log = std::fs::metadata(killed.path().join("greenstream.db-wal")).unwrap().len();
    assert!(log > 200_000, "rows of the open transaction had reached the log: {log} bytes");
    let store = Store::open(&killed.path().join("greenstream.db")).unwrap();
    assert_eq!(store.position().unwrap().entry, 2);
    assert_eq!(rows(store.db.sqlite().unwrap(), "SELECT count(*) FROM readings"), ["1"]);
    assert_eq!(rows(store.db.sqlite().unwrap(), "PRAGMA integrity_check"), ["ok"]);
}
