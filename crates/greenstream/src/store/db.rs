//! One connection, whichever database it leads to.
//!
//! Most statements are the same words in both databases: integers, text, `ON CONFLICT`. They are
//! written once, with SQLite's `?1` for parameters, and PostgreSQL gets `$1`. Where the two differ in more
//! (how readings lie, how many rows are written at once) there are two statements, side by side.

use std::borrow::Cow;

use rusqlite::params_from_iter;
use rusqlite::types::{FromSql, ToSqlOutput, ValueRef};

use super::error::Fault;
use super::postgres::{Session, Wire, unescaped};

/// An open connection.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there are a handful of connections, and none moves")]
pub(super) enum Db {
    /// To a file.
    Sqlite(rusqlite::Connection),
    /// To a server.
    Postgres(Session),
}

/// What a statement's parameter stands for. Instants are microseconds since 1970.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Null,
    Int(i64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// Any of these, which only a server can be asked for.
    Ints(Vec<i64>),
}

/// Parameters, in their order.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::store::db::Value::from($value)),*] };
}
pub(super) use params;

/// One row of an answer.
#[derive(Clone, Copy)]
pub(super) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r ::postgres::Row),
}

/// What a column can be read as.
pub(super) trait Column: FromSql + Sized {
    /// What PostgreSQL sends for it.
    type Wire: for<'a> ::postgres::types::FromSql<'a>;

    /// From what PostgreSQL sent; none where it is out of range.
    fn from_wire(wire: Self::Wire) -> Option<Self>;
}

macro_rules! integers {
    ($($int:ty)*) => { $(impl Column for $int {
        type Wire = Wire;
        fn from_wire(wire: Wire) -> Option<Self> {
            wire.0.try_into().ok()
        }
    })* };
}
integers!(u8 u16 u32 i32 i64);

impl Column for bool {
    type Wire = bool;

    fn from_wire(wire: bool) -> Option<Self> {
        Some(wire)
    }
}

impl Column for f64 {
    type Wire = f64;

    fn from_wire(wire: f64) -> Option<Self> {
        Some(wire)
    }
}

impl Column for String {
    type Wire = String;

    fn from_wire(wire: String) -> Option<Self> {
        Some(unescaped(&wire).into_owned())
    }
}

impl Column for Vec<u8> {
    type Wire = Vec<u8>;

    fn from_wire(wire: Vec<u8>) -> Option<Self> {
        Some(wire)
    }
}

impl<T: Column> Column for Option<T> {
    type Wire = Option<T::Wire>;

    fn from_wire(wire: Self::Wire) -> Option<Self> {
        match wire {
            None => Some(None),
            Some(wire) => T::from_wire(wire).map(Some),
        }
    }
}

impl<'r> Row<'r> {
    /// One column, from 0.
    pub(super) fn get<T: Column>(&self, column: usize) -> Result<T, Fault> {
        match self {
            Row::Sqlite(row) => Ok(row.get(column)?),
            Row::Postgres(row) => T::from_wire(row.try_get(column)?).ok_or(Fault::Range { column }),
        }
    }

    /// A column of text that may be NULL, without a copy.
    pub(super) fn text(&self, column: usize) -> Result<Option<Cow<'r, str>>, Fault> {
        match self {
            Row::Sqlite(row) => {
                let text = row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from)?;
                Ok(text.map(Cow::Borrowed))
            }
            Row::Postgres(row) => Ok(row.try_get::<_, Option<&str>>(column)?.map(unescaped)),
        }
    }
}

impl Db {
    /// The file's connection, for what only SQLite can be asked.
    pub(super) fn sqlite(&self) -> Option<&rusqlite::Connection> {
        match self {
            Db::Sqlite(conn) => Some(conn),
            Db::Postgres(_) => None,
        }
    }

    /// The statement of the database that is asked.
    pub(super) fn choose<'s>(&self, sqlite: &'s str, postgres: &'s str) -> &'s str {
        match self {
            Db::Sqlite(_) => sqlite,
            Db::Postgres(_) => postgres,
        }
    }

    /// Runs a statement; how many rows it changed.
    pub(super) fn execute(&self, sql: &str, params: &[Value<'_>]) -> Result<u64, Fault> {
        match self {
            Db::Sqlite(conn) => {
                let changed = conn.prepare_cached(sql)?.execute(params_from_iter(params))?;
                Ok(u64::try_from(changed).unwrap_or(u64::MAX))
            }
            Db::Postgres(session) => session.execute(sql, params),
        }
    }

    /// Runs a statement once for each row of parameters.
    pub(super) fn execute_all<'p, const N: usize>(
        &self,
        sql: &str,
        rows: impl Iterator<Item = [Value<'p>; N]>,
    ) -> Result<(), Fault> {
        match self {
            Db::Sqlite(conn) => {
                let mut statement = conn.prepare_cached(sql)?;
                for row in rows {
                    statement.execute(params_from_iter(&row))?;
                }
            }
            Db::Postgres(session) => {
                for row in rows {
                    session.execute(sql, &row)?;
                }
            }
        }
        Ok(())
    }

    /// The one row of a query, if there is one.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        row: impl FnOnce(Row<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        match self {
            Db::Sqlite(conn) => {
                let mut select = conn.prepare_cached(sql)?;
                let mut found = select.query(params_from_iter(params))?;
                found.next()?.map(|found| row(Row::Sqlite(found))).transpose()
            }
            Db::Postgres(session) => {
                let found = session.query(sql, params)?;
                found.first().map(|found| row(Row::Postgres(found))).transpose()
            }
        }
    }

    /// The same of a row that is always there.
    pub(super) fn row<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        row: impl FnOnce(Row<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.one(sql, params, row)?.ok_or(Fault::Sqlite(rusqlite::Error::QueryReturnedNoRows))
    }

    /// All rows of a query whose answer is small.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        mut row: impl FnMut(Row<'_>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        match self {
            Db::Sqlite(conn) => {
                let mut select = conn.prepare_cached(sql)?;
                let mut found = select.query(params_from_iter(params))?;
                let mut all = Vec::new();
                while let Some(next) = found.next()? {
                    all.push(row(Row::Sqlite(next))?);
                }
                Ok(all)
            }
            Db::Postgres(session) => {
                session.query(sql, params)?.iter().map(|next| row(Row::Postgres(next))).collect()
            }
        }
    }

    /// Hands the rows of a query on, however many there are, until `sink` says false. `sink` may ask this
    /// connection for other things meanwhile.
    pub(super) fn each<E: From<Fault>>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        sink: &mut dyn FnMut(Row<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        match self {
            Db::Sqlite(conn) => {
                let mut select = conn.prepare_cached(sql).map_err(Fault::from)?;
                let mut found = select.query(params_from_iter(params)).map_err(Fault::from)?;
                while let Some(next) = found.next().map_err(Fault::from)? {
                    if !sink(Row::Sqlite(next))? {
                        break;
                    }
                }
                Ok(())
            }
            Db::Postgres(session) => session.each(sql, params, &mut |next| sink(Row::Postgres(next))),
        }
    }

    /// Begins to hold one state for reading.
    pub(super) fn hold(&self) -> Result<(), Fault> {
        match self {
            Db::Sqlite(conn) => Ok(conn.execute_batch("BEGIN")?),
            Db::Postgres(session) => session.hold(),
        }
    }

    /// Lets go of it.
    pub(super) fn let_go(&self) {
        match self {
            // an error has ended it already
            Db::Sqlite(conn) => drop(conn.execute_batch("ROLLBACK")),
            Db::Postgres(session) => session.let_go(),
        }
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null | Value::Ints(_) => ValueRef::Null,
            Value::Int(int) => ValueRef::Integer(*int),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

macro_rules! from_integers {
    ($($int:ty)*) => { $(impl From<$int> for Value<'_> {
        fn from(int: $int) -> Self {
            Value::Int(int.into())
        }
    })* };
}
from_integers!(bool u8 u16 u32 i32 i64);

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Value::Bytes(Cow::Owned(bytes))
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl<'a> From<&'a Option<String>> for Value<'a> {
    fn from(value: &'a Option<String>) -> Self {
        value.as_deref().into()
    }
}
