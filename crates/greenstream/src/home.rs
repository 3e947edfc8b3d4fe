//! The home folder: where everything is that one GreenStream holds, and who owns it now.
//!
//! ```text
//! DIR/inbox/           files to land; they leave it once landed
//! DIR/landing/         raw bytes and the journal: what to back up
//! DIR/greenstream.db   the database, unless it is a server's
//! DIR/archive/         the tables behind the Parquet files
//! DIR/receiving/       uploads over HTTP that are not whole yet; emptied at every start
//! DIR/fetching/        objects of the inbox bucket that are not whole yet; emptied at every start
//! DIR/lock             held by the one process that may change any of it
//! ```

use crate::config::{Config, ConfigError};
use crate::fence::Fence;
use crate::landing::create_folder;
use crate::objects::Place;
use crate::store::Database;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest command shown from a lock file, in bytes.
const COMMAND_BYTES_MAX: usize = 200;

/// The paths of a home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    folder: PathBuf,
    landing: Place,
    database: Database,
    archive: Place,
}

impl Layout {
    /// A home with everything in its folder.
    fn within(folder: &Path) -> Layout {
        let place = |name: &str| Place::Folder(folder.join(name));
        Layout {
            landing: place("landing"),
            database: Database::File(folder.join("greenstream.db")),
            archive: place("archive"),
            folder: folder.to_owned(),
        }
    }

    /// The same with landing zone, database and archive where the configuration has them.
    ///
    /// # Errors
    /// A [`ConfigError`] where a URL or the settings of a service cannot be used.
    pub fn placed(self, config: &Config) -> Result<Layout, ConfigError> {
        let landing = config.landing(self.folder.join("landing"))?;
        let archive = config.archive(self.folder.join("archive"))?;
        Ok(Layout { landing, archive, ..self }.with_database(config.database()?))
    }

    /// Where the landing zone is: in the home, in another folder or in a bucket.
    #[must_use]
    pub const fn landing_place(&self) -> &Place {
        &self.landing
    }

    /// Where the archive is, in the same way.
    #[must_use]
    pub const fn archive_place(&self) -> &Place {
        &self.archive
    }

    /// The home itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where senders put files.
    #[must_use]
    pub fn inbox(&self) -> PathBuf {
        self.folder.join("inbox")
    }

    /// The landing zone, where it is in the home.
    #[must_use]
    pub fn landing(&self) -> PathBuf {
        self.folder.join("landing")
    }

    /// The database: a file of the home, or what the configuration names.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// The same home with its database elsewhere; where it is if none is given.
    #[must_use]
    pub fn with_database(mut self, database: Option<Database>) -> Layout {
        if let Some(database) = database {
            self.database = database;
        }
        self
    }

    /// The archive, where it is in the home.
    #[must_use]
    pub fn archive(&self) -> PathBuf {
        self.folder.join("archive")
    }

    /// Whether other processes may land here too while one owns it: landing zone in a bucket, database on a server.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!((&self.landing, &self.database), (Place::Bucket(_), Database::Server(_)))
    }

    /// Where large uploads over HTTP are kept until they have come whole.
    #[must_use]
    pub fn receiving(&self) -> PathBuf {
        self.folder.join("receiving")
    }

    /// Where large objects of the inbox bucket are kept until they have come whole.
    #[must_use]
    pub fn fetching(&self) -> PathBuf {
        self.folder.join("fetching")
    }

    fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }
}

/// A home and the right to change it, held until this is dropped or the process ends, however it ends.
#[derive(Clone, Debug)]
pub struct Home {
    layout: Layout,
    fence: Fence,
    /// The lock belongs to the open file, and is given back with its last owner here.
    _lock: Arc<File>,
}

/// Why a home cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another process owns it.
    #[error("the home {} is in use by {owner}", folder.display())]
    HomeBusy {
        /// Which home.
        folder: PathBuf,
        /// Process id and command of the owner, as far as they are known.
        owner: Owner,
    },
    /// There is none to look at.
    #[error("there is no home at {}", folder.display())]
    HomeMissing {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl HomeError {
    /// The way out, in one sentence.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            HomeError::HomeBusy { .. } => "stop that process first, or name another home with `--home DIR`",
            HomeError::HomeMissing { .. } => {
                "name the home with `--home DIR`, or begin one: `greenstream demo`, `ingest` and `run` create it"
            }
            HomeError::Io { .. } => {
                "look at the folder and its permissions, or name another home with `--home DIR`"
            }
        }
    }

    /// Whether trying again later may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, HomeError::HomeBusy { .. } | HomeError::Io { .. })
    }
}

/// Who holds a home.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Owner {
    /// The process id.
    pub pid: Option<u32>,
    /// The command it gave.
    pub command: Option<String>,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.pid, &self.command) {
            (Some(pid), Some(command)) => write!(f, "process {pid} (`{command}`)"),
            (Some(pid), None) => write!(f, "process {pid}"),
            (None, _) => f.write_str("another process"),
        }
    }
}

impl Home {
    /// Opens a home, creating what is not there yet, and takes its lock. `command` is what others are told
    /// that this process does, such as `greenstream run`; it must hold no secrets.
    ///
    /// # Errors
    /// [`HomeError::HomeBusy`] while another process holds it, [`HomeError::Io`].
    pub fn open(folder: &Path, command: &str) -> Result<Home, HomeError> {
        let layout = Layout::within(folder);
        create_folder(folder).map_err(|source| failed("create", folder, source))?;
        let lock = take_lock(&layout, command)?;
        let written = lock.metadata().map_err(|source| failed("look at", &layout.lock(), source))?;
        let fence = Fence::around(&layout.lock(), &written);
        for folder in [layout.inbox(), layout.landing(), layout.archive()] {
            create_folder(&folder).map_err(|source| failed("create", &folder, source))?;
        }
        Ok(Home { layout, fence, _lock: Arc::new(lock) })
    }

    /// The paths of a home for reading, whoever owns it. Creates nothing.
    ///
    /// # Errors
    /// [`HomeError::HomeMissing`] where there is no such folder.
    pub fn look(folder: &Path) -> Result<Layout, HomeError> {
        if !folder.is_dir() {
            return Err(HomeError::HomeMissing { folder: folder.to_owned() });
        }
        Ok(Layout::within(folder))
    }

    /// The same home with landing zone, database and archive where the configuration has them.
    ///
    /// # Errors
    /// As [`Layout::placed`].
    pub fn placed(self, config: &Config) -> Result<Home, ConfigError> {
        Ok(Home { layout: self.layout.placed(config)?, ..self })
    }

    /// What every change of the home looks at first.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// The paths.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }
}

impl std::ops::Deref for Home {
    type Target = Layout;

    fn deref(&self) -> &Layout {
        &self.layout
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> HomeError {
    HomeError::Io { action, path: path.to_owned(), source }
}

fn take_lock(layout: &Layout, command: &str) -> Result<File, HomeError> {
    let path = layout.lock();
    // not truncated: until the lock is taken it holds the name of its owner
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(|source| failed("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(HomeError::HomeBusy { folder: layout.folder.clone(), owner: owner(&path) });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path, source)),
    }
    let text = format!("{}\n{}\n", std::process::id(), command.escape_debug());
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(text.as_bytes()))
        .map_err(|source| failed("write", &path, source))?;
    Ok(file)
}

/// What the lock file says; nothing where it does not say it whole.
fn owner(path: &Path) -> Owner {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut lines = text.lines();
    let pid = lines.next().and_then(|pid| pid.parse().ok());
    let command = lines.next().filter(|command| !command.is_empty());
    Owner { pid, command: command.map(|c| c[..c.floor_char_boundary(COMMAND_BYTES_MAX)].to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_created_with_its_folders() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(&dir.path().join("deep/home"), "greenstream run").unwrap();
        assert!(home.inbox().is_dir() && home.landing().is_dir() && home.archive().is_dir());
        assert_eq!(home.database().file().unwrap().file_name().unwrap(), "greenstream.db");
        assert!(!home.database().file().unwrap().exists());
    }

    #[test]
    fn a_second_owner_is_told_who_has_the_home_and_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let first = Home::open(dir.path(), "greenstream run").unwrap();
        let error = Home::open(dir.path(), "greenstream ingest").unwrap_err();
        let text = error.to_string();
        let owner = format!("is in use by process {} (`greenstream run`)", std::process::id());
        assert!(text.ends_with(&owner), "{text}");
        assert!(error.hint().contains("--home DIR"));
        drop(first);
        let third = Home::open(dir.path(), "greenstream ingest").unwrap();
        let HomeError::HomeBusy { owner, .. } = Home::open(dir.path(), "x").unwrap_err() else { panic!() };
        assert_eq!(owner.command.as_deref(), Some("greenstream ingest"));
        drop(third);
    }

    #[test]
    fn looking_needs_no_lock_and_creates_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path(), "greenstream run").unwrap();
        assert_eq!(Home::look(dir.path()).unwrap(), *home.layout());
        let missing = dir.path().join("missing");
        assert!(matches!(Home::look(&missing), Err(HomeError::HomeMissing { .. })));
        assert!(!missing.exists());
    }

    #[test]
    fn a_lock_file_that_says_nonsense_names_no_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        for (text, shown) in [
            ("", "another process"),
            ("x\ny\n", "another process"),
            ("12", "process 12"),
            ("12\n\n", "process 12"),
            ("12\nrun\n", "process 12 (`run`)"),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(owner(&path).to_string(), shown, "{text:?}");
        }
        fs::write(&path, format!("1\n{}\n", "ü".repeat(1000))).unwrap();
        assert_eq!(owner(&path).command.unwrap().len(), COMMAND_BYTES_MAX);
    }
}
