//! The store as its users see it, on real files.

mod accounting;
mod commit;
mod context;
mod datasets;
mod decisions;
mod open;
mod outbox;
mod plans;
mod views;

mod database;

use std::path::PathBuf;
use std::sync::Arc;

use greenstream_core::decode::RowIndex;
use greenstream_core::{Flag, Flags, Power, Reading, Reason, SECOND, Standing, Ts, days_from_civil};
use rusqlite::Connection;
use tempfile::TempDir;

use self::database::Database;
use super::books::Books;
use super::{Database as Place, Reader, Store, StoreError};
use crate::change::{
    BookEntry, ChangeSet, Decision, Landed, Meter, Outcome, RejectRow, Replaced, Status, SupersededRow,
};

/// A store in a folder of its own.
struct Home {
    dir: TempDir,
    store: Store,
    entry: u64,
    /// Goes last, when nobody is connected to it.
    database: Database,
}

impl Home {
    fn new() -> Home {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::new(dir.path());
        let store = Store::open(&database.place).unwrap();
        Home { dir, store, entry: 0, database }
    }

    /// With meters A (number 0), B (1) and C (2), and uploads 1 to 3 landed.
    fn with_meters() -> Home {
        Home::new().and_meters()
    }

    fn and_meters(mut self) -> Home {
        let home = &mut self;
        let meters = ["A", "B", "C"].iter().zip(0..).map(|(id, n)| (Meter(n), (*id).to_owned()));
        home.commit(ChangeSet {
            meters: meters.collect(),
            landed: (1..=3).map(landed).collect(),
            ..ChangeSet::default()
        });
        self
    }

    /// In a file, whatever the other tests run on: for what only a file has.
    fn in_file() -> Home {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::in_file(dir.path());
        let store = Store::open(&database.place).unwrap();
        Home { dir, store, entry: 0, database }
    }

    /// The file.
    fn path(&self) -> PathBuf {
        self.database.place.file().unwrap().to_owned()
    }

    /// The file's connection.
    fn conn(&self) -> &Connection {
        self.store.db.sqlite().unwrap()
    }

    fn place(&self) -> Place {
        self.database.place.clone()
    }

    fn reader(&self) -> Reader {
        Store::reader(self.place()).unwrap()
    }

    /// Commits as the next entry and checks the accounting against the rows themselves.
    #[track_caller]
    fn commit(&mut self, set: ChangeSet) {
        self.try_commit(set).unwrap();
        self.audit();
    }

    /// Commits as the next entry, with the books that the rows ask for unless the set has some.
    fn try_commit(&mut self, mut set: ChangeSet) -> Result<(), StoreError> {
        set.entry = self.entry + 1;
        set.entry_hash = format!("hash {}", set.entry);
        if set.books.is_empty() {
            let mut books = Books::of(&set);
            for Decision { upload, row_number, reason, status, .. } in &set.decisions {
                let known = self.reader().decision(*upload, *row_number).unwrap();
                books.decided(*upload, *reason, known.map_or(Status::Open, |known| known.status), *status);
            }
            set.books = books.0.into_values().collect();
        }
        self.store.commit(&[Arc::new(set)])?;
        self.entry += 1;
        Ok(())
    }

    /// What a query gives, each row joined with blanks; NULL is `-`.
    fn rows(&self, sql: &str) -> Vec<String> {
        self.database.rows(sql)
    }

    #[track_caller]
    fn expect(&self, sql: &str, expected: &[&str]) {
        assert_eq!(self.rows(sql), expected, "{sql}");
    }

    /// Each counter of each upload is the number of rows that the views show.
    #[track_caller]
    fn audit(&self) {
        self.expect(
            "WITH seen AS (
                 SELECT upload, 'stored' AS what FROM readings
                 UNION ALL SELECT upload, 'quarantined' FROM error_queue WHERE status IN ('open', 'discarded')
                 UNION ALL SELECT upload, 'superseded' FROM superseded)
             SELECT u.upload, stored, quarantined, u.superseded, count(s.what) FROM uploads u
             LEFT JOIN seen s ON s.upload = u.upload GROUP BY u.upload, stored, quarantined, u.superseded
             HAVING stored <> count(*) FILTER (WHERE s.what = 'stored')
                 OR quarantined <> count(*) FILTER (WHERE s.what = 'quarantined')
                 OR superseded <> count(*) FILTER (WHERE s.what = 'superseded')",
            &[],
        );
    }
}

fn rows(conn: &Connection, sql: &str) -> Vec<String> {
    let mut select = conn.prepare(sql).unwrap();
    let columns = select.column_count();
    let text = |value: rusqlite::types::Value| match value {
        rusqlite::types::Value::Null => "-".to_owned(),
        rusqlite::types::Value::Integer(n) => n.to_string(),
        rusqlite::types::Value::Real(x) => format!("{x:?}"),
        rusqlite::types::Value::Text(text) => text,
        rusqlite::types::Value::Blob(bytes) => format!("{bytes:?}"),
    };
    let row = |row: &rusqlite::Row<'_>| {
        Ok((0..columns).map(|i| text(row.get(i).unwrap())).collect::<Vec<_>>().join(" "))
    };
    select.query_map([], row).unwrap().map(Result::unwrap).collect()
}

const A: Meter = Meter(0);
const B: Meter = Meter(1);

/// `minutes` after 2026-03-02T00:00:00Z.
fn at(minutes: i64) -> Ts {
    Ts::from_micros(days_from_civil(2026, 3, 2) * greenstream_core::DAY + minutes * 60 * SECOND)
}

/// A reading of 1 kW at `at(minutes)`, the given row of the given upload.
fn reading(minutes: i64, upload: u32, row_number: u32) -> Reading {
    Reading {
        ts: at(minutes),
        kw: Some(Power::from_milliwatts(1_000_000)),
        upload,
        row_number,
        flags: Flags::NONE,
        standing: Standing::Accepted,
    }
}

fn flagged(mut reading: Reading, flags: &[Flag]) -> Reading {
    reading.flags = flags.iter().fold(reading.flags, |set, flag| set.with(*flag));
    reading
}

fn standing(standing: Standing, reading: Reading) -> Reading {
    Reading { standing, ..reading }
}

fn replaced(meter: Meter, before: Option<Reading>, after: Option<Reading>) -> Replaced {
    Replaced { meter, before, after }
}

fn superseded(meter: Meter, reading: Reading) -> SupersededRow {
    let Reading { ts, kw, upload, row_number, flags, .. } = reading;
    SupersededRow { upload, row_number, meter, ts, kw, flags }
}

fn raw(reading: &Reading) -> ((u32, u32), String) {
    let row = (reading.upload, reading.row_number);
    (row, format!("line of {}/{}", row.0, row.1))
}

fn reject(upload: u32, row_number: u32, reason: Reason, meter: &str, ts: Option<Ts>) -> RejectRow {
    RejectRow { upload, row_number, meter: meter.to_owned(), ts, reason }
}

fn decision(status: Status, reason: Reason, meter: Meter, reading: Reading) -> Decision {
    Decision {
        upload: reading.upload,
        row_number: reading.row_number,
        status,
        reason,
        meter: Some(meter),
        ts: Some(reading.ts),
        kw: reading.kw,
        flags: Flags::NONE,
        edited: None,
        who: "ada".to_owned(),
        why: "checked".to_owned(),
        at: at(10_000),
    }
}

fn landed(upload: u32) -> Landed {
    Landed {
        upload,
        name: format!("upload {upload}.csv"),
        sha256: format!("{upload:064x}"),
        bytes: 100,
        landed_at: at(5_000),
        feed: "default".to_owned(),
        time_zone: None,
    }
}

fn done(upload: u32, rows: u32) -> Option<Outcome> {
    let index = RowIndex { offsets: vec![40, 4_000], ..RowIndex::default() };
    Some(Outcome {
        upload,
        rows,
        decoded_bytes: 90,
        index,
        days: Some((at(0).day(), at(0).day())),
        dead: None,
    })
}

fn book(upload: u32, stored: i64, quarantined: i64, superseded: i64) -> BookEntry {
    BookEntry { upload, stored, quarantined, superseded }
}
