//! The database of one test: a file in its folder, or, where `GREENSTREAM_TEST_STORE_URL` names a server, a
//! schema of its own, which goes with the test.

use std::path::Path;
use std::sync::Arc;

use postgres::types::Type;
use postgres::{Client, NoTls};
use rusqlite::Connection;

use crate::store::postgres::unescaped;
use crate::store::{Database as Place, Server};

pub struct Database {
    pub place: Place,
    admin: Option<(String, String)>,
}

/// The server that tests run on; none for files.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment")]
pub fn server() -> Option<String> {
    std::env::var("GREENSTREAM_TEST_STORE_URL").ok()
}

impl Database {
    pub fn new(folder: &Path) -> Database {
        let Some(url) = server() else { return Database::in_file(folder) };
        let schema = format!("t_{:016x}", fastrand::u64(..));
        let server = Server::new(&format!("{url}?schema={schema}"), Path::new("."), None, None).unwrap();
        Database { place: Place::Server(Arc::new(server)), admin: Some((url, schema)) }
    }

    pub fn in_file(folder: &Path) -> Database {
        Database { place: Place::File(folder.join("greenstream.db")), admin: None }
    }

    /// The names of a view's columns.
    pub fn columns(&self, view: &str) -> Vec<String> {
        let sql = format!("SELECT * FROM {view}");
        match &self.admin {
            None => {
                let conn = Connection::open(self.place.file().unwrap()).unwrap();
                let select = conn.prepare(&sql).unwrap();
                select.column_names().map(str::to_owned).collect()
            }
            Some(_) => {
                let statement = self.connect().prepare(&sql).unwrap();
                statement.columns().iter().map(|column| column.name().to_owned()).collect()
            }
        }
    }

    fn connect(&self) -> Client {
        let (url, schema) = self.admin.as_ref().unwrap();
        let mut client = Client::connect(url, NoTls).unwrap();
        client.batch_execute(&format!("SET search_path = {schema}; SET TimeZone = 'UTC'")).unwrap();
        client
    }

    /// What a query gives, in the words of a file whichever it is.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        match &self.admin {
            None => super::rows(&Connection::open(self.place.file().unwrap()).unwrap(), sql),
            Some(_) => {
                let rows = self.connect().query(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
                rows.iter()
                    .map(|row| (0..row.len()).map(|at| text(row, at)).collect::<Vec<_>>().join(" "))
                    .collect()
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some((url, schema)) = &self.admin {
            let mut client = Client::connect(url, NoTls).unwrap();
            client.batch_execute(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).unwrap();
        }
    }
}

fn text(row: &postgres::Row, at: usize) -> String {
    let null = || "-".to_owned();
    match *row.columns()[at].type_() {
        Type::BOOL => row.get::<_, Option<bool>>(at).map_or_else(null, |b| i64::from(b).to_string()),
        Type::INT2 => row.get::<_, Option<i16>>(at).map_or_else(null, |n| n.to_string()),
        Type::INT4 => row.get::<_, Option<i32>>(at).map_or_else(null, |n| n.to_string()),
        Type::INT8 => row.get::<_, Option<i64>>(at).map_or_else(null, |n| n.to_string()),
        Type::FLOAT8 => row.get::<_, Option<f64>>(at).map_or_else(null, |x| format!("{x:?}")),
        Type::TIMESTAMPTZ => row
            .get::<_, Option<crate::store::postgres::Wire>>(at)
            .map_or_else(null, |micros| greenstream_core::Ts::from_micros(micros.0).to_string()),
        Type::DATE => {
            // days since 2000, as the server sends them
            let days = row.get::<_, Option<Days>>(at);
            days.map_or_else(null, |Days(days)| {
                let (year, month, day) = greenstream_core::civil_from_days(days + 10_957);
                format!("{year:04}-{month:02}-{day:02}")
            })
        }
        Type::TEXT_ARRAY => row
            .get::<_, Option<Vec<String>>>(at)
            .map_or_else(null, |flags| serde_json::to_string(&flags).unwrap()),
        // the view shows other signs for a NUL, which the server does not take
        _ => row.get::<_, Option<&str>>(at).map_or_else(null, |text| unescaped(text).into_owned()),
    }
}

struct Days(i64);

impl<'a> postgres::types::FromSql<'a> for Days {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Days, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Days(i32::from_be_bytes(raw.try_into()?).into()))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::DATE
    }
}
