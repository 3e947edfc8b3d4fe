//! Everything again from the landing zone: the same path over the whole journal into an empty store.

use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, sync_channel};

use super::error::ProcessError;
use super::service::{Service, Telling, journal_configuration};
use crate::archive::{Archive, clear_aside, is_own_volume, put_aside, unless_missing};
use crate::config::Config;
use crate::dataset::{Cell, Dataset, rows};
use crate::failpoint::{self, Step};
use crate::home::{Home, Layout};
use crate::landing::Landing;
use crate::objects::Place;
use crate::store::{Database, Filter, Reader, Store};

/// Rows of one side that wait while the other is read.
const AHEAD: usize = 1_024;

/// How one dataset of the store differs from the rebuilt one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which dataset.
    pub dataset: Dataset,
    /// Rows compared on the rebuilt side.
    pub rows: u64,
    /// Rows that differ, are missing, or are too many.
    pub differing: u64,
    /// The first of them: as stored, and as rebuilt.
    pub first: Option<(Option<String>, Option<String>)>,
}

/// What a rebuild came to.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// Uploads processed.
    pub uploads: u64,
    /// Their rows.
    pub rows: u64,
    /// Each dataset compared, for a check.
    pub differences: Vec<Difference>,
}

impl Service {
    /// Builds database and archive of a home again and puts them in place of the old ones, or only
    /// compares where `check` is set. Deliveries and alerts, which the landing zone does not hold,
    /// are taken over from the old database.
    ///
    /// # Errors
    /// The parts' own; the old database and archive stay until the new ones are complete.
    pub fn rebuild(home: Home, config: &Config, check: bool) -> Result<(Rebuilt, Home), ProcessError> {
        let home = home.placed(config)?;
        let (database, archive) = (home.database().clone(), local(&home));
        let (new_database, new_archive) = (database.beside(), beside(&archive));
        Store::refuse_newer(&database)?;
        // whoever owns a server's database is asked before anything is removed, and stays out until the new one is
        // in its place; a file is the home's, which this process owns
        let owner = match &database {
            Database::Server(_) if !check => Some(Store::open(&database)?),
            _ => None,
        };
        clear(&new_database, &new_archive)?;
        let mut landing = Landing::open(home.landing_place().clone())?;
        landing.fenced_by(home.fence());
        if !check {
            journal_configuration(&mut landing, config)?;
        }
        let config = judged_by(&landing, config)?;
        let place = Place::from(&new_archive);
        let store = Store::open(&new_database)?;
        let mut service = Service::over(home, config, landing, store, &place, Telling::default())?;
        service.catch_up()?;
        let mut rebuilt = Rebuilt {
            uploads: service.progress().counts().uploads,
            rows: service.progress().counts().rows,
            differences: Vec::new(),
        };
        if check {
            let home = service.close();
            rebuilt.differences = compare(&Store::reader(&database)?, &Store::reader(&new_database)?)?;
            clear(&new_database, &new_archive)?;
            return Ok((rebuilt, home));
        }
        service.finish()?;
        if Store::is_at(&database)? {
            let store = service.store();
            store.lock().unwrap_or_else(PoisonError::into_inner).adopt(&database)?;
        }
        let config = service.config().clone();
        let home = service.close();
        home.fence().check()?;
        if home.archive_place().bucket().is_some() {
            // from here on the database writes it anew, the old one until the new one is in its place
            Archive::remove(home.archive_place())?;
            gone(&new_archive, fs::remove_dir_all(&new_archive))?;
            fs::create_dir_all(&new_archive).map_err(|source| failed(&new_archive, source))?;
        }
        swap((&database, owner.as_ref()), &new_database, &archive, &new_archive)?;
        drop(owner);
        if !archive.join(Dataset::Readings.name()).is_dir() {
            Service::open(home.clone(), config)?.finish()?;
        }
        Ok((rebuilt, home))
    }

    /// Judges everything again under the configuration in force, and opens the home anew.
    ///
    /// # Errors
    /// As [`Service::rebuild`] and [`Service::open`].
    pub fn rejudge(mut self) -> Result<Service, ProcessError> {
        // a rebuild takes alerts and deliveries over and makes none
        self.catch_up()?;
        let (config, outages) = (self.config().clone(), self.outages());
        let home = self.close();
        let (_, home) = Service::rebuild(home, &config, false)?;
        Service::open_telling(home, config, outages)
    }
}

/// The configuration with the rulebook that the journal has: a rebuild needs no files beside it.
fn judged_by(landing: &Landing, config: &Config) -> Result<Config, ProcessError> {
    let mut config = config.clone();
    if let Some(held) = landing.configuration() {
        config.rulebook = crate::config::Rulebook::from_json(&held.content)?;
    }
    Ok(config)
}

/// Where the archive is on this machine; one that is in a bucket is rebuilt in the home and then written there
/// from the database.
fn local(home: &Layout) -> PathBuf {
    match home.archive_place() {
        Place::Folder(folder) => folder.clone(),
        Place::Bucket(_) => home.archive(),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".rebuilt");
    path.with_file_name(name)
}

/// The database file and the two that SQLite keeps beside it.
fn files_of(database: &Path) -> [PathBuf; 3] {
    let with = |suffix: &str| {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    [database.to_owned(), with("-wal"), with("-shm")]
}

fn clear(database: &Database, archive: &Path) -> Result<(), ProcessError> {
    match database {
        Database::File(database) => {
            for file in files_of(database) {
                gone(&file, fs::remove_file(&file))?;
            }
        }
        Database::Server(_) => Store::remove(database)?,
    }
    gone(archive, fs::remove_dir_all(archive))
}

/// Puts the new database and archive in the place of the old ones. A database is there at any time, with
/// the deliveries and alerts that the landing zone does not hold; and never an archive beside a database
/// that is not its own. A crash in between leaves the old database or the new one without an archive,
/// which the next start writes from it. A server's database is held by its owner.
fn swap(
    (database, owner): (&Database, Option<&Store>),
    new_database: &Database,
    archive: &Path,
    new_archive: &Path,
) -> Result<(), ProcessError> {
    // the old one's log must not be taken for the new one's, nor the new one's stay behind
    for settled in [database, new_database].into_iter().filter_map(Database::file) {
        settle(settled)?;
    }
    let step = |step: Step, path: &Path, work: &dyn Fn() -> io::Result<()>| {
        let folder = path.parent().unwrap_or(path);
        let durably = || work().and_then(|()| fs::File::open(folder)?.sync_all());
        failpoint::around_io(step, durably).map_err(|source| failed(path, source))
    };
    step(Step::SwapOut, archive, &|| put_aside(archive))?;
    match (database, new_database) {
        (Database::File(database), Database::File(new_database)) => {
            step(Step::SwapDatabase, database, &|| {
                let [_, log, shared] = files_of(database);
                unless_missing(fs::remove_file(&log))?;
                unless_missing(fs::remove_file(&shared))?;
                fs::rename(new_database, database)
            })?
        }
        _ => failpoint::around(Step::SwapDatabase, ProcessError::failing, || {
            Ok(owner.map_or(Ok(()), |owner| owner.replace_by(new_database))?)
        })?,
    }
    step(Step::SwapArchive, archive, &|| match fs::rename(new_archive, archive) {
        // a volume of its own: the archive is written there from the database
        Err(error) if is_own_volume(&error) => fs::remove_dir_all(new_archive),
        done => done,
    })?;
    clear_aside(archive).map_err(|source| failed(archive, source))
}

fn failed(path: &Path, source: io::Error) -> ProcessError {
    ProcessError::Io { path: path.to_owned(), source }
}

/// Moves the log of a database into it, so that the file alone is all of it.
fn settle(database: &Path) -> Result<(), ProcessError> {
    if !database.exists() {
        return Ok(());
    }
    drop(Store::open(database)?);
    let [_, log, _] = files_of(database);
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        let source = io::Error::other("another program reads the database: close it and try again");
        return Err(ProcessError::Io { path: database.to_owned(), source });
    }
    Ok(())
}

/// Removes what a rebuild left that did not come to its end.
pub(super) fn clear_leftovers(home: &Layout) -> Result<(), ProcessError> {
    let archive = local(home);
    match clear(&home.database().beside(), &beside(&archive)) {
        Err(error) if error.is_held() => {
            tracing::warn!("what a rebuild has made is left alone, for another process has it");
        }
        cleared => cleared?,
    }
    clear_aside(&archive).map_err(|source| ProcessError::Io { path: archive, source })
}

fn gone(path: &Path, removed: io::Result<()>) -> Result<(), ProcessError> {
    unless_missing(removed).map_err(|source| ProcessError::Io { path: path.to_owned(), source })
}

/// Compares every dataset that is a function of the landing zone, row by row in its order.
fn compare(stored: &Reader, rebuilt: &Reader) -> Result<Vec<Difference>, ProcessError> {
    let datasets = Dataset::ALL.into_iter().filter(|dataset| dataset.is_function_of_landing());
    datasets.map(|dataset| compare_one(stored, rebuilt, dataset)).collect()
}

fn compare_one(stored: &Reader, rebuilt: &Reader, dataset: Dataset) -> Result<Difference, ProcessError> {
    let (send_stored, stored_rows) = sync_channel(AHEAD);
    let (send_rebuilt, rebuilt_rows) = sync_channel(AHEAD);
    let feed = |reader: &Reader, send: std::sync::mpsc::SyncSender<Vec<Cell>>| {
        rows::<ProcessError>(reader, dataset, &Filter::default(), &mut |cells| {
            send.send(cells).map_err(|_| ProcessError::Stopped)
        })
    };
    // a reader is not shared between threads: the stored side is read here, by turns
    std::thread::scope(|scope| {
        let merged = scope.spawn(move || merge(dataset, &stored_rows, &rebuilt_rows));
        let place = rebuilt.database().clone();
        let other = scope.spawn(move || {
            let reader = Store::reader(&place)?;
            feed(&reader, send_rebuilt)
        });
        feed(stored, send_stored)?;
        let panicked = || ProcessError::Internal("comparing panicked".to_owned());
        other.join().map_err(|_| panicked())??;
        merged.join().map_err(|_| panicked())
    })
}

fn merge(dataset: Dataset, stored: &Receiver<Vec<Cell>>, rebuilt: &Receiver<Vec<Cell>>) -> Difference {
    let mut difference = Difference { dataset, rows: 0, differing: 0, first: None };
    let (mut left, mut right) = (stored.recv().ok(), rebuilt.recv().ok());
    loop {
        let order = match (&left, &right) {
            (None, None) => return difference,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => compare_keys(dataset, a, b),
        };
        let (a, b) = match order {
            Ordering::Less => (left.take(), None),
            Ordering::Greater => (None, right.take()),
            Ordering::Equal => (left.take(), right.take()),
        };
        difference.rows += u64::from(b.is_some());
        if a != b {
            difference.differing += 1;
            difference.first.get_or_insert_with(|| (a.as_deref().map(line), b.as_deref().map(line)));
        }
        if order != Ordering::Greater {
            left = stored.recv().ok();
        }
        if order != Ordering::Less {
            right = rebuilt.recv().ok();
        }
    }
}

fn line(cells: &[Cell]) -> String {
    cells.iter().map(Cell::text).collect::<Vec<_>>().join(",")
}

/// The order of the contract: by meter id and time, or by upload and row.
fn compare_keys(dataset: Dataset, a: &[Cell], b: &[Cell]) -> Ordering {
    let key: &[usize] = match dataset {
        Dataset::Readings | Dataset::Measured | Dataset::ErrorQueue | Dataset::Superseded => &[0, 1],
        Dataset::Episodes => &[0, 3, 1],
        Dataset::Quality => &[0, 1],
        Dataset::Uploads | Dataset::Deliveries | Dataset::Alerts => &[0],
    };
    let order = key.iter().map(|at| match (&a[*at], &b[*at]) {
        (Cell::Text(a), Cell::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Cell::Int(a), Cell::Int(b)) => a.cmp(b),
        (Cell::Ts(a), Cell::Ts(b)) => a.cmp(b),
        _ => Ordering::Equal,
    });
    order.fold(Ordering::Equal, Ordering::then)
}
