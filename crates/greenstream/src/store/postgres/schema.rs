//! The tables, and how a schema of an older release becomes one of this release.
//!
//! Everything is in a schema of its own. Tables begin with `t_` and are private; the views of
//! [`super::views`] are the contract. `t_store` has the version; tables migrate step by step, and views hold
//! nothing and are made anew after each step.
//!
//! Readings are partitioned by UTC day, so that a day is dropped, moved or backed up by itself and a range of
//! instants leads to its days. Within a day their key is (hour, meter, ts) for the reason that a file has: an
//! hourly upload appends to one corner of the index, and a meter's range is one seek an hour, led by the
//! small table of hours.

use greenstream_core::{DAY, Ts, civil_from_days};

use super::server::Server;
use super::session::{PostgresFault, Session};
use super::views;
use crate::store::error::{Doing, Fault, StoreError};

/// The schema version this program reads and writes.
pub(super) const VERSION: i32 = 2;
/// Step `i` leads from version `i` to `i + 1`. Never change one that was released; add one.
const STEPS: [&str; 2] = [V1, V2];

const V1: &str = r#"
CREATE TABLE t_store (program text NOT NULL, version int NOT NULL);
INSERT INTO t_store VALUES ('greenstream', 0);

CREATE TABLE t_owner (          -- which process may write
    epoch bigint NOT NULL,
    owner text NOT NULL,
    since timestamptz NOT NULL
);
INSERT INTO t_owner VALUES (0, '', now());

CREATE TABLE t_state (
    id int PRIMARY KEY CHECK (id = 1),
    entry bigint NOT NULL,      -- the last journal entry whose changes are in
    entry_hash text NOT NULL,
    configuration text          -- the version that everything is judged by
);
INSERT INTO t_state VALUES (1, 0, '', NULL);

CREATE TABLE t_meter (id int PRIMARY KEY, meter_id text COLLATE "C" NOT NULL UNIQUE);

CREATE TABLE t_hour (           -- hours that hold, or once held, readings
    hour int PRIMARY KEY,       -- whole hours since 1970
    begin_at timestamptz NOT NULL,
    end_at timestamptz NOT NULL,
    date date NOT NULL
);
CREATE INDEX t_hour_date ON t_hour (date);

CREATE TABLE t_reading (        -- wide columns first, so that nothing is padded
    ts timestamptz NOT NULL,
    kw bigint,                  -- milliwatts
    hour int NOT NULL,
    meter int NOT NULL,
    upload int NOT NULL,
    row_number int NOT NULL,
    flags smallint NOT NULL,
    PRIMARY KEY (hour, meter, ts)
) PARTITION BY RANGE (ts);

CREATE TABLE t_error (
    upload int NOT NULL,
    row_number int NOT NULL,
    meter int,                  -- NULL for rows that failed to decode
    meter_text text COLLATE "C",    -- the meter of such a row, as far as it could be read
    ts timestamptz,
    kw bigint,
    reason smallint NOT NULL,
    flags smallint NOT NULL,
    status smallint NOT NULL,
    raw text NOT NULL,
    hour int GENERATED ALWAYS AS
        (floor(extract(epoch FROM ts - timestamptz '1970-01-01 00:00:00+00') / 3600)::int) STORED,
    PRIMARY KEY (upload, row_number)
);
CREATE INDEX t_error_hour ON t_error (hour, meter);
CREATE INDEX t_error_meter ON t_error (meter, ts) WHERE meter IS NOT NULL;
-- by hash, which takes texts of any length
CREATE INDEX t_error_text ON t_error USING hash (meter_text) WHERE meter IS NULL;
CREATE INDEX t_error_open ON t_error (reason) WHERE status = 0;

CREATE TABLE t_superseded (
    upload int NOT NULL,
    row_number int NOT NULL,
    meter int NOT NULL,
    ts timestamptz NOT NULL,
    kw bigint,
    flags smallint NOT NULL,
    PRIMARY KEY (upload, row_number)
);
CREATE INDEX t_superseded_ts ON t_superseded (ts, meter);

CREATE TABLE t_upload (
    upload int PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    bytes bigint NOT NULL,
    landed_at timestamptz NOT NULL,
    feed text NOT NULL,
    time_zone text,
    status smallint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    superseded bigint NOT NULL DEFAULT 0,
    decoded_bytes bigint NOT NULL DEFAULT 0,
    first_day bigint,
    last_day bigint,
    attempts int NOT NULL DEFAULT 0,
    dead_code text,
    dead_message text,
    dead_hint text,
    row_index bytea
);
CREATE INDEX t_upload_unfinished ON t_upload (status) WHERE status <> 2;

CREATE TABLE t_delivery (
    id bigserial PRIMARY KEY,
    upload int NOT NULL,
    name text NOT NULL,
    delivered_at timestamptz NOT NULL
);
CREATE INDEX t_delivery_upload ON t_delivery (upload);

CREATE TABLE t_day (            -- what a meter's day (of the reporting zone) holds
    meter int NOT NULL,
    day int NOT NULL,
    state smallint NOT NULL,
    PRIMARY KEY (meter, day)
);

CREATE TABLE t_episode (
    meter int NOT NULL,
    kind smallint NOT NULL,
    first_ts timestamptz NOT NULL,
    last_ts timestamptz NOT NULL,
    severity smallint NOT NULL,
    closed boolean NOT NULL,
    PRIMARY KEY (meter, kind, first_ts)
);

CREATE TABLE t_decision (
    upload int NOT NULL,
    row_number int NOT NULL,
    status smallint NOT NULL,
    reason smallint NOT NULL,
    meter int,
    meter_text text COLLATE "C",
    ts timestamptz,
    kw bigint,
    flags smallint NOT NULL,
    edited bigint,
    who text NOT NULL,
    why text NOT NULL,
    at timestamptz NOT NULL,
    raw text NOT NULL,          -- the line, for when the row comes back to the error queue
    PRIMARY KEY (upload, row_number)
);

CREATE TABLE t_alert (          -- the outbox, and the log of what was sent
    alert bigserial PRIMARY KEY,
    kind text NOT NULL,
    key text NOT NULL UNIQUE,
    meter_id text COLLATE "C",
    upload int,
    at timestamptz NOT NULL,
    message text NOT NULL,
    sent_at timestamptz,
    tried_at timestamptz,
    attempts int NOT NULL DEFAULT 0
);
CREATE INDEX t_alert_unsent ON t_alert (alert) WHERE sent_at IS NULL;

CREATE TABLE t_archive_dirty (  -- UTC days that the archive has to write again
    table_id smallint NOT NULL,
    day bigint NOT NULL,
    entry bigint NOT NULL,
    PRIMARY KEY (table_id, day)
);

CREATE TABLE t_register (       -- what cumulative registers showed: the last word on each instant
    meter int NOT NULL,
    ts timestamptz NOT NULL,
    energy bigint NOT NULL,     -- micro-watt-hours
    upload int NOT NULL,
    row_number int NOT NULL,
    PRIMARY KEY (meter, ts)
);

CREATE TABLE t_rulebook (id int PRIMARY KEY CHECK (id = 1), content text NOT NULL);
CREATE TABLE t_silence (id int PRIMARY KEY CHECK (id = 1), entry bigint NOT NULL);
INSERT INTO t_silence VALUES (1, 0);

CREATE TABLE t_revision (       -- revisions of rows, of feeds that have such a column
    meter int NOT NULL,
    ts timestamptz NOT NULL,
    upload int NOT NULL,
    row_number int NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (meter, ts, upload, row_number)
);
"#;

/// The error queue for fast uploads. A meter's entries are sought hour by hour, as its readings are, for an index
/// by (meter, ts) was written all over by each upload; and the hour comes with the row, for `extract` computes
/// in `numeric`.
const V2: &str = "
DROP INDEX t_error_meter;
ALTER TABLE t_error ALTER COLUMN hour DROP EXPRESSION;
";

/// The version of a schema that is this program's, 0 for one that is not there. Refuses another program's,
/// and a later release's.
pub(super) fn check(session: &Session) -> Result<i32, StoreError> {
    let server = session.server();
    let not_ours = || StoreError::NotAStore { path: named(server), found: "the schema of another program" };
    let sql = "SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                       WHERE n.nspname = ?1),
                      to_regclass(quote_ident(?1) || '.t_store') IS NOT NULL";
    let rows = session.query(sql, &[server.schema().into()]).doing("be opened")?;
    let found = rows.first().map(|row| Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, bool>(1)?)));
    let found = found.transpose().map_err(|error: postgres::Error| Fault::from(error)).doing("be opened")?;
    match found {
        None | Some((0, false)) => return Ok(0),
        Some((_, false)) => return Err(not_ours()),
        Some((_, true)) => {}
    }
    let marks = session.query("SELECT program, version FROM t_store", &[]).map_err(|fault| match fault {
        Fault::Postgres(PostgresFault::Server(error))
            if error.code() == Some(&postgres::error::SqlState::UNDEFINED_COLUMN) =>
        {
            not_ours()
        }
        fault => fault.doing("be opened"),
    })?;
    let mark = marks.first().and_then(|row| {
        let program: String = row.try_get(0).ok()?;
        row.try_get::<_, i32>(1).ok().filter(|_| program == "greenstream")
    });
    match mark {
        None => Err(not_ours()),
        Some(found) if found > VERSION => {
            Err(StoreError::Newer { path: named(server), found, known: VERSION })
        }
        Some(found) => Ok(found),
    }
}

/// Makes the schema where there is none, brings it to [`VERSION`] and takes it over, in one transaction.
pub(super) fn migrate(session: &Session) -> Result<(), StoreError> {
    let found = check(session)?;
    session.change(|| {
        if found < VERSION {
            let doing = "bring its tables up to date";
            let schema = session.server().schema();
            // IF NOT EXISTS asks for the right to create one even where it is there
            let there = "SELECT 1 FROM pg_namespace WHERE nspname = ?1";
            if session.query(there, &[schema.into()]).doing(doing)?.is_empty() {
                session.batch(&format!("CREATE SCHEMA {schema}")).doing(doing)?;
            }
            for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
                session.batch(step).doing(doing)?;
            }
            session.batch(&views::make_anew()).doing(doing)?;
            session.execute("UPDATE t_store SET version = ?1", &[VERSION.into()]).doing(doing)?;
        }
        session.take_over().doing("be taken over")
    })
}

/// What a message calls the schema of a server.
pub(super) fn named(server: &Server) -> std::path::PathBuf {
    format!("the schema {} of {server}", server.schema()).into()
}

/// The partition of a UTC day (days since 1970), as a name in SQL.
pub(super) fn partition(day: i64) -> String {
    let (year, month, day) = civil_from_days(day);
    format!("\"t_reading_{year:04}{month:02}{day:02}\"")
}

/// Makes the partitions of days that have none. Each is attached when it is whole, which keeps nobody from
/// reading the others: making it in place would wait for every reader, and every reader for it.
pub(super) fn make_partitions(session: &Session, days: &[i64]) -> Result<(), Fault> {
    for day in without_partition(session, days)? {
        let bound = |day: i64| {
            let seconds = Ts::from_micros(day.saturating_mul(DAY)).micros() / 1_000_000;
            format!("(to_timestamp({seconds}))")
        };
        session.batch(&format!(
            "CREATE TABLE {name} (LIKE t_reading INCLUDING INDEXES);
             ALTER TABLE t_reading ATTACH PARTITION {name} FOR VALUES FROM {} TO {}",
            bound(day),
            bound(day + 1),
            name = partition(day),
        ))?;
    }
    Ok(())
}

/// Those of these days that have no partition.
pub(super) fn without_partition(session: &Session, days: &[i64]) -> Result<Vec<i64>, Fault> {
    let names: Vec<String> = days.iter().map(|day| partition(*day)).collect();
    let sql =
        "SELECT day FROM unnest($1::int8[], $2::text[]) AS v (day, name) WHERE to_regclass(name) IS NULL";
    let missing = session.query_arrays(sql, &[&days, &names])?;
    Ok(missing.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_has_the_name_of_its_day() {
        assert_eq!(partition(0), "\"t_reading_19700101\"");
        assert_eq!(partition(-1), "\"t_reading_19691231\"");
        assert_eq!(partition(20_514), "\"t_reading_20260302\"");
    }
}
