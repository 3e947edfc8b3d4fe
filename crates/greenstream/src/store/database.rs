//! Where a store is: a file of the home, or a schema of a server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::postgres::Server;

/// Where a store is. Clones are the same place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Database {
    /// An SQLite file, the default.
    File(PathBuf),
    /// A PostgreSQL server's database.
    Server(Arc<Server>),
}

impl Database {
    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Database::File(path) => Some(path),
            Database::Server(_) => None,
        }
    }

    /// Where a rebuild makes the new store.
    #[must_use]
    pub fn beside(&self) -> Database {
        match self {
            Database::File(path) => {
                let mut name = path.file_name().unwrap_or_default().to_owned();
                name.push(".rebuilt");
                Database::File(path.with_file_name(name))
            }
            Database::Server(server) => {
                Database::Server(Arc::new(server.in_schema(&format!("{}_rebuilt", server.schema()))))
            }
        }
    }
}

/// For a person; without user and password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::File(path) => path.display().fmt(f),
            Database::Server(server) => server.fmt(f),
        }
    }
}

impl From<&Path> for Database {
    fn from(path: &Path) -> Database {
        Database::File(path.to_owned())
    }
}

impl From<&PathBuf> for Database {
    fn from(path: &PathBuf) -> Database {
        Database::File(path.clone())
    }
}

impl From<&Database> for Database {
    fn from(place: &Database) -> Database {
        place.clone()
    }
}
