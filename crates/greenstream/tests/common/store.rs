//! Where a test's home has its database: in its own file, or, where `GREENSTREAM_TEST_STORE_URL` names a server,
//! in a database of its own there, which goes with the home.

#![allow(dead_code, reason = "each test binary uses its part")]

use postgres::{Client, NoTls};

/// A database on the tests' server.
pub struct Database {
    server: String,
    name: String,
}

/// The server that tests run on; none for files.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment")]
pub fn server() -> Option<String> {
    std::env::var("GREENSTREAM_TEST_STORE_URL").ok()
}

impl Database {
    /// An empty one; none where tests run on files.
    pub fn new() -> Option<Database> {
        Some(Database::made(server()?, "template0"))
    }

    /// A copy of what another holds, to which nobody may be connected.
    pub fn copy(&self) -> Database {
        Database::made(self.server.clone(), &self.name)
    }

    fn made(server: String, template: &str) -> Database {
        let name = format!("t_{:016x}", fastrand::u64(..));
        let mut client = Client::connect(&server, NoTls).unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).unwrap();
        Database { server, name }
    }

    pub fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let mut client = Client::connect(&self.server, NoTls).unwrap();
        client.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).unwrap();
    }
}
