//! The tables, and how a database of an older release becomes one of this release.
//!
//! Tables begin with `t_` and are private; the views of [`super::views`] are the contract. The
//! version is SQLite's `user_version`. Tables migrate step by step; views hold nothing and are made
//! anew after each step.
//!
//! Readings arrive in time order for all meters and are asked for by meter, so their key is (hour,
//! meter, time within the hour): an hourly upload appends to one corner of the tree, and a meter's
//! range is one seek an hour, led by the small table of hours.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::views;
use crate::store::error::{Doing, StoreError};

/// The schema version this program reads and writes.
pub(super) const VERSION: i32 = 5;
/// `GrSt`, at byte 68 of the file: tells a store from another program's database.
const APPLICATION_ID: i32 = 0x4772_5374;
/// Step `i` leads from version `i` to `i + 1`. Never change one that was released; add one.
const STEPS: [&str; 5] = [V1, V2, V3, V4, V5];

const V1: &str = "
CREATE TABLE t_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    entry INTEGER NOT NULL,       -- the last journal entry whose changes are in
    entry_hash TEXT NOT NULL,
    configuration TEXT            -- the version that everything is judged by
);
INSERT INTO t_state VALUES (1, 0, '', NULL);

CREATE TABLE t_meter (id INTEGER PRIMARY KEY, meter_id TEXT NOT NULL UNIQUE);

CREATE TABLE t_hour (           -- hours that hold, or once held, readings
    hour INTEGER PRIMARY KEY,   -- whole hours since 1970
    date TEXT NOT NULL          -- its UTC day, 2026-03-02
);
CREATE INDEX t_hour_date ON t_hour (date);

CREATE TABLE t_reading (
    hour INTEGER NOT NULL,
    meter INTEGER NOT NULL,
    at INTEGER NOT NULL,        -- microseconds within the hour
    kw INTEGER,                 -- milliwatts
    flags INTEGER NOT NULL,
    upload INTEGER NOT NULL,
    row_number INTEGER NOT NULL,
    PRIMARY KEY (hour, meter, at)
) WITHOUT ROWID;

CREATE TABLE t_error (
    upload INTEGER NOT NULL,
    row_number INTEGER NOT NULL,
    meter INTEGER,              -- NULL for rows that failed to decode
    meter_text TEXT,            -- the meter of such a row, as far as it could be read
    ts INTEGER,                 -- microseconds since 1970
    kw INTEGER,
    reason INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    status INTEGER NOT NULL,
    raw TEXT NOT NULL,
    reason_name TEXT AS (CASE reason {reasons} END) VIRTUAL,
    status_name TEXT AS (CASE status {statuses} END) VIRTUAL,
    PRIMARY KEY (upload, row_number)
) WITHOUT ROWID;
CREATE INDEX t_error_ts ON t_error (ts);
CREATE INDEX t_error_meter ON t_error (meter, ts) WHERE meter IS NOT NULL;
CREATE INDEX t_error_text ON t_error (meter_text) WHERE meter IS NULL;
CREATE INDEX t_error_reason ON t_error (status_name, reason_name);

CREATE TABLE t_superseded (
    upload INTEGER NOT NULL,
    row_number INTEGER NOT NULL,
    meter INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    kw INTEGER,
    flags INTEGER NOT NULL,
    PRIMARY KEY (upload, row_number)
) WITHOUT ROWID;
-- the time first, so that a redelivered hour appends (a day by (meter, ts) costs four times as much)
CREATE INDEX t_superseded_ts ON t_superseded (ts, meter);

CREATE TABLE t_upload (
    upload INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    landed_at INTEGER NOT NULL,
    feed TEXT NOT NULL,
    time_zone TEXT,
    status INTEGER NOT NULL DEFAULT 0,
    rows INTEGER NOT NULL DEFAULT 0,
    stored INTEGER NOT NULL DEFAULT 0,
    quarantined INTEGER NOT NULL DEFAULT 0,
    superseded INTEGER NOT NULL DEFAULT 0,
    decoded_bytes INTEGER NOT NULL DEFAULT 0,
    first_day INTEGER,
    last_day INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    dead_code TEXT,
    dead_message TEXT,
    dead_hint TEXT,
    row_index BLOB              -- 8 bytes each, little endian
);
CREATE INDEX t_upload_unfinished ON t_upload (status) WHERE status <> 2;

CREATE TABLE t_delivery (
    id INTEGER PRIMARY KEY,
    upload INTEGER NOT NULL,
    name TEXT NOT NULL,
    delivered_at INTEGER NOT NULL
);
CREATE INDEX t_delivery_upload ON t_delivery (upload);

CREATE TABLE t_day (            -- what a meter's day (of the reporting zone) holds
    meter INTEGER NOT NULL,
    day INTEGER NOT NULL,
    state INTEGER NOT NULL,
    PRIMARY KEY (meter, day)
) WITHOUT ROWID;

CREATE TABLE t_episode (
    meter INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    first_ts INTEGER NOT NULL,
    last_ts INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    closed INTEGER NOT NULL,
    PRIMARY KEY (meter, kind, first_ts)
) WITHOUT ROWID;

CREATE TABLE t_decision (
    upload INTEGER NOT NULL,
    row_number INTEGER NOT NULL,
    status INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    meter INTEGER,
    meter_text TEXT,
    ts INTEGER,
    kw INTEGER,
    flags INTEGER NOT NULL,
    edited INTEGER,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    at INTEGER NOT NULL,
    raw TEXT NOT NULL,          -- the line, for when the row comes back to the error queue
    PRIMARY KEY (upload, row_number)
) WITHOUT ROWID;

CREATE TABLE t_alert (          -- the outbox, and the log of what was sent
    alert INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE,
    meter_id TEXT,
    upload INTEGER,
    at INTEGER NOT NULL,
    message TEXT NOT NULL,
    sent_at INTEGER,
    tried_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX t_alert_unsent ON t_alert (alert) WHERE sent_at IS NULL;

CREATE TABLE t_archive_dirty (  -- UTC days that the archive has to write again
    table_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    PRIMARY KEY (table_id, day)
) WITHOUT ROWID;
";

/// The error queue by hour, so that an upload appends to its index: by (meter, ts) it would write every
/// page of it. The planner's numbers are for a home of some weeks, and pinned: with them SQLite seeks a
/// meter hour by hour in `t_error_hour`, which it otherwise reads from end to end. From here on `t_hour`
/// has the hours of readings that wait, too.
const V2: &str = "
DROP INDEX t_error_ts;
DROP INDEX t_error_meter;
DROP INDEX t_error_reason;
ALTER TABLE t_error ADD COLUMN
    hour INTEGER AS ((ts - (ts % 3600000000 + 3600000000) % 3600000000) / 3600000000) VIRTUAL;
CREATE INDEX t_error_hour ON t_error (hour, meter);
CREATE INDEX t_error_open ON t_error (reason) WHERE status = 0;
INSERT OR IGNORE INTO t_hour
    SELECT DISTINCT hour, strftime('%Y-%m-%d', hour * 3600, 'unixepoch') FROM t_error
    WHERE meter IS NOT NULL AND hour IS NOT NULL;
ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 VALUES
    ('t_error', 't_error', '10000000 15000 1'),
    ('t_error', 't_error_hour', '10000000 15000 2'),
    ('t_error', 't_error_open', '10000000 2000000'),
    ('t_error', 't_error_text', '10000000 20');
ANALYZE sqlite_schema;
";

/// What cumulative registers showed: the last word on each instant.
const V3: &str = "
CREATE TABLE t_register (
    meter INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    energy INTEGER NOT NULL,    -- micro-watt-hours
    upload INTEGER NOT NULL,
    row_number INTEGER NOT NULL,
    PRIMARY KEY (meter, ts)
) WITHOUT ROWID;
";

/// What completeness is counted by, beside the readings: registry and zone, for readers that have the
/// database only; and up to which journal entry the silence of meters is known.
const V4: &str = "
CREATE TABLE t_rulebook (id INTEGER PRIMARY KEY CHECK (id = 1), content TEXT NOT NULL);
CREATE TABLE t_silence (id INTEGER PRIMARY KEY CHECK (id = 1), entry INTEGER NOT NULL);
INSERT INTO t_silence VALUES (1, 0);
";

/// Revisions of rows, of feeds that have such a column.
const V5: &str = "
CREATE TABLE t_revision (
    meter INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    upload INTEGER NOT NULL,
    row_number INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (meter, ts, upload, row_number)
) WITHOUT ROWID;
";

/// Refuses a database that this program must not touch; says its version otherwise, 0 for an empty
/// file.
pub(super) fn check(conn: &Connection, path: &Path) -> Result<i32, StoreError> {
    let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let found = pragma("user_version").doing("be opened")?;
    let application = pragma("application_id").doing("be opened")?;
    let tables: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).doing("be opened")?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(StoreError::NotAStore {
            path: path.to_owned(),
            found: "the database of another program",
        });
    }
    if found > VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    Ok(found)
}

/// Makes a database of version 1, as the first program did, for the test of the steps after it.
#[cfg(test)]
pub(in crate::store) fn make_first_version(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        &V1.replace("{reasons}", &views::reason_cases()).replace("{statuses}", &views::status_cases()),
    )?;
    conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    conn.pragma_update(None, "user_version", 1)
}

/// Whether the error queue is by hour already.
fn has_hours_of_errors(conn: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM pragma_table_xinfo('t_error') WHERE name = 'hour'";
    conn.query_row(sql, [], |row| row.get::<_, u32>(0)).map(|columns| columns > 0)
}

/// Brings a database to [`VERSION`], in one transaction.
pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    if check(conn, path)? == VERSION {
        return Ok(());
    }
    let tx = conn
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .doing("bring its tables up to date")?;
    // another process may have migrated it while this one waited for the lock
    let found = check(&tx, path)?;
    // the first version came to have what the second step makes before the step had a number
    let is_second = found == 1 && has_hours_of_errors(&tx).doing("bring its tables up to date")?;
    let done = if is_second { 2 } else { usize::try_from(found).unwrap_or(0) };
    for step in STEPS.iter().skip(done) {
        let step =
            step.replace("{reasons}", &views::reason_cases()).replace("{statuses}", &views::status_cases());
        tx.execute_batch(&step).doing("bring its tables up to date")?;
    }
    tx.execute_batch(&views::make_anew()).doing("bring its views up to date")?;
    tx.pragma_update(None, "application_id", APPLICATION_ID).doing("be marked as a store")?;
    tx.pragma_update(None, "user_version", VERSION).doing("be marked as a store")?;
    tx.commit().doing("bring its tables up to date")
}
