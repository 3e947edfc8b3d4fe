//! Readers: a read-only connection, snapshots, and the small questions.

use std::ops::Deref;
use std::sync::Arc;

use greenstream_core::decode::RowIndex;
use greenstream_core::{Reading, Ts};

use super::db::{Db, Row, Value, params};
use super::error::{Doing, Fault, StoreError};
use super::types::{ErrorRow, Position, UploadRow};
use super::{Database, postgres, rows, sqlite};
use crate::change::{DayState, Decision, Episode, Meter, SupersededRow};
use crate::outage::Outages;

/// A read-only connection of its own. Each question sees the last commit before it; for several
/// questions about one state take a [`Snapshot`].
#[derive(Debug)]
pub struct Reader {
    db: Db,
    place: Database,
}

/// One state of the store, held while the writer goes on; dereferences to the reader. The log
/// cannot be emptied while it lives, so drop it soon.
#[derive(Debug)]
pub struct Snapshot<'r> {
    reader: &'r Reader,
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        self.reader.db.let_go();
    }
}

impl Deref for Snapshot<'_> {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        self.reader
    }
}

impl Reader {
    /// Opens the store at `place`, which a [`super::Store`] must have made and brought up to date.
    pub(super) fn open(place: Database) -> Result<Reader, StoreError> {
        let db = match &place {
            Database::File(path) => Db::Sqlite(sqlite::open_for_reading(path)?),
            Database::Server(server) => Db::Postgres(postgres::open_for_reading(server)?),
        };
        Ok(Reader { db, place })
    }

    /// Lets each question wait as long as a server is away, and `outages` hear of it; a file is not waited for.
    #[must_use]
    pub fn waiting_out(mut self, outages: Arc<Outages>) -> Reader {
        if let Db::Postgres(session) = &mut self.db {
            session.wait_out(outages);
        }
        self
    }

    /// Holds the state as it is now until the snapshot is dropped. One at a time.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read, or a snapshot is held already.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        self.db.hold().doing("hold a snapshot")?;
        let snapshot = Snapshot { reader: self };
        // a read transaction begins with the first read
        position(&self.db)?;
        Ok(snapshot)
    }

    /// Where the database is.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.place
    }

    /// Where the store stands in the journal.
    ///
    /// # Errors
    /// As for every question here: [`StoreError::Sqlite`] where the database cannot be read.
    pub fn position(&self) -> Result<Position, StoreError> {
        position(&self.db)
    }

    /// The version of the configuration that everything is judged by; none before the first.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn configuration(&self) -> Result<Option<String>, StoreError> {
        let version = self.db.row("SELECT configuration FROM t_state", &[], |row| row.get(0));
        version.doing("read the configuration's version")
    }

    /// All meters with their numbers, sorted by number.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn meters(&self) -> Result<Vec<(Meter, String)>, StoreError> {
        self.all("SELECT id, meter_id FROM t_meter ORDER BY id", &[], |row| {
            Ok((Meter(row.get(0)?), row.get(1)?))
        })
    }

    /// The number of the meter with this id.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn meter(&self, meter_id: &str) -> Result<Option<Meter>, StoreError> {
        self.one("SELECT id FROM t_meter WHERE meter_id = ?1", params![meter_id], |row| {
            Ok(Meter(row.get(0)?))
        })
    }

    /// One upload.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn upload(&self, upload: u32) -> Result<Option<UploadRow>, StoreError> {
        let sql = format!("SELECT {} FROM t_upload WHERE upload = ?1", rows::UPLOAD_COLUMNS);
        self.one(&sql, params![upload], rows::upload_row)
    }

    /// Whether an upload or a delivery of this name has landed since an instant, or ever where there is none.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn has_landed(&self, name: &str, since: Option<Ts>) -> Result<bool, StoreError> {
        let since = since.map_or(i64::MIN, Ts::micros);
        let found = self.one(
            "SELECT count(*) WHERE EXISTS (SELECT 1 FROM t_upload WHERE name = ?1 AND landed_at >= ?2)
                OR EXISTS (SELECT 1 FROM t_delivery WHERE name = ?1 AND delivered_at >= ?2)",
            params![name, since],
            |row| rows::count(row, 0),
        )?;
        Ok(found.is_some_and(|found| found > 0))
    }

    /// Uploads that are neither done nor dead, in landing order.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn unfinished(&self) -> Result<Vec<UploadRow>, StoreError> {
        let sql = format!(
            "SELECT {} FROM t_upload WHERE status <> 2 AND status < 2 ORDER BY upload",
            rows::UPLOAD_COLUMNS
        );
        self.all(&sql, &[], rows::upload_row)
    }

    /// Where the lines of an upload's rows begin; none for an upload that has not ended.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn row_index(&self, upload: u32) -> Result<Option<RowIndex>, StoreError> {
        let index = |row: Row<'_>| Ok(rows::index_from(&row.get::<Vec<u8>>(0)?));
        self.one(
            "SELECT row_index FROM t_upload WHERE upload = ?1 AND row_index IS NOT NULL",
            params![upload],
            index,
        )
    }

    /// What is known of a meter at an instant: an accepted reading, or a winner in the error queue.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn reading(&self, meter: Meter, ts: Ts) -> Result<Option<Reading>, StoreError> {
        let sql = format!(
            "SELECT {} FROM t_reading r WHERE r.hour = ?1 AND r.meter = ?2 AND {} = ?3",
            self.reading_columns(),
            self.db.choose("r.at", "r.ts")
        );
        let accepted = self.one(&sql, &rows::key(&self.db, meter, ts), rows::reading)?;
        if accepted.is_some() {
            return Ok(accepted);
        }
        let sql = format!(
            "SELECT {} FROM t_error e
             WHERE e.hour = ?1 AND e.meter = ?2 AND e.ts = ?3 AND e.status < 1 AND e.reason >= 9",
            rows::QUARANTINED_COLUMNS
        );
        let waiting = self.one(&sql, params![ts.hour(), meter.0, ts.micros()], rows::quarantined)?;
        Ok(waiting.map(|(_, reading)| reading))
    }

    /// The entry of the error queue that is this row of this upload.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn error(&self, upload: u32, row_number: u32) -> Result<Option<ErrorRow>, StoreError> {
        let sql = format!(
            "SELECT {} FROM t_error e LEFT JOIN t_meter m ON m.id = e.meter
             WHERE e.upload = ?1 AND e.row_number = ?2",
            rows::ERROR_COLUMNS
        );
        self.one(&sql, params![upload, row_number], rows::error_row)
    }

    /// The rows that lost the reading of a meter at an instant, by (upload, row).
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn losers(&self, meter: Meter, ts: Ts) -> Result<Vec<SupersededRow>, StoreError> {
        self.first_losers(meter, ts, u32::MAX)
    }

    /// The first of them, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn first_losers(&self, meter: Meter, ts: Ts, limit: u32) -> Result<Vec<SupersededRow>, StoreError> {
        self.all(
            "SELECT upload, row_number, kw, flags FROM t_superseded WHERE ts = ?1 AND meter = ?2
             ORDER BY upload, row_number LIMIT ?3",
            params![ts.micros(), meter.0, limit],
            |row| {
                Ok(SupersededRow {
                    upload: row.get(0)?,
                    row_number: row.get(1)?,
                    meter,
                    ts,
                    kw: rows::power(row, 2)?,
                    flags: rows::flags(row, 3)?,
                })
            },
        )
    }

    /// What was decided about a row, `Open` where it was undone; none where nothing ever was.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn decision(&self, upload: u32, row_number: u32) -> Result<Option<Decision>, StoreError> {
        let sql = format!(
            "SELECT {} FROM t_decision WHERE upload = ?1 AND row_number = ?2",
            rows::DECISION_COLUMNS
        );
        self.one(&sql, params![upload, row_number], rows::decision)
    }

    /// A meter's days (of the reporting zone) from `from` to `to`, both included, in order; days
    /// without readings are absent.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn days(&self, meter: Meter, from: i32, to: i32) -> Result<Vec<(i32, DayState)>, StoreError> {
        self.all(
            "SELECT day, state FROM t_day WHERE meter = ?1 AND day BETWEEN ?2 AND ?3 ORDER BY day",
            params![meter.0, from, to],
            rows::day,
        )
    }

    /// The last `count` days before `day` that have measured readings, the latest first.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn days_before(
        &self,
        meter: Meter,
        day: i32,
        count: u32,
    ) -> Result<Vec<(i32, DayState)>, StoreError> {
        self.all(
            "SELECT day, state FROM t_day WHERE meter = ?1 AND day < ?2 AND state <> 0
             ORDER BY day DESC LIMIT ?3",
            params![meter.0, day, count],
            rows::day,
        )
    }

    /// The episodes of all meters, by (meter number, kind, first instant).
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn all_episodes(&self) -> Result<Vec<Episode>, StoreError> {
        self.all(
            "SELECT meter, kind, first_ts, last_ts, severity, closed FROM t_episode
             ORDER BY meter, kind, first_ts",
            &[],
            rows::episode,
        )
    }

    pub(super) fn db(&self) -> &Db {
        &self.db
    }

    /// The columns of [`rows::reading`].
    pub(super) fn reading_columns(&self) -> &'static str {
        self.db.choose(rows::READING_COLUMNS, rows::SERVER_READING_COLUMNS)
    }

    /// The one row of a query, if there is one.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        row: impl FnOnce(Row<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, StoreError> {
        self.db.one(sql, params, row).doing("be read")
    }

    /// All rows of a query whose answer is small.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        row: impl FnMut(Row<'_>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, StoreError> {
        self.db.all(sql, params, row).doing("be read")
    }
}

/// Where the store stands in the journal.
pub(super) fn position(db: &Db) -> Result<Position, StoreError> {
    let position = db.row("SELECT entry, entry_hash FROM t_state", &[], |row| {
        Ok(Position { entry: rows::count(row, 0)?, entry_hash: row.get(1)? })
    });
    position.doing("say its position")
}
