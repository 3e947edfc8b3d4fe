//! Where a store is: a file of the home, or a schema of a server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::postgres::Server;

/// Where a store is. Clones are the same place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// An SQLite file, the default.
    File(PathBuf),
    /// A PostgreSQL server's database.
    Server(Arc<Server>),
}

impl Place {
    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Place::File(path) => Some(path),
            Place::Server(_) => None,
        }
    }

    /// Where a rebuild makes the new store.
    #[must_use]
    pub fn beside(&self) -> Place {
        match self {
            Place::File(path) => {
                let mut name = path.file_name().unwrap_or_default().to_owned();
                name.push(".rebuilt");
                Place::File(path.with_file_name(name))
            }
            Place::Server(server) => {
                Place::Server(Arc::new(server.in_schema(&format!("{}_rebuilt", server.schema()))))
            }
        }
    }
}

/// For a person; without user and password.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => path.display().fmt(f),
            Place::Server(server) => server.fmt(f),
        }
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Place {
        Place::File(path.to_owned())
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Place {
        Place::File(path.clone())
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Place {
        place.clone()
    }
}
