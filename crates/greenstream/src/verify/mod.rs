//! `verify`: is everything still what it was, and does every part agree with every other?
//!
//! ```text
//! journal chain · landed bytes          against their own hashes, and the database's position
//! database · archive                    day by day, in one state of the database
//! landed bytes · database               upload by upload: decoded again, every byte and row accounted for
//! ```
//! Nothing is changed and no lock is taken, so it may run beside the service. It shares decode with the
//! pipeline and nothing else; that the rules gave the right verdicts is what `rebuild --check` shows.

mod archived;
mod days;
mod finding;
mod journal;
mod rows;
mod state;
mod sum;
mod uploads;

pub use finding::{Finding, Kind};

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustc_hash::FxHashMap;

use self::journal::Journal;
use self::sum::Sum;
use crate::archive::{Archive, Error as ArchiveError};
use crate::home::Layout;
use crate::landing::{self, Error as LandingError, Zone};
use crate::process::ProcessError;
use crate::store::{Reader, Store};

/// Problems of the database file that are told one by one.
const DATABASE_PROBLEMS: u32 = 5;

/// How far verification is: what is being checked, how much of it is done, how much there is.
pub type Tell<'a> = dyn Fn(&'static str, u64, u64) + Sync + 'a;

/// What was checked, and what was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Everything that is not as it must be, by kind and place.
    pub findings: Vec<Finding>,
    /// The journal's last entry.
    pub entry: u64,
    /// The journal entry that the database reflects; 0 without one.
    pub position: u64,
    /// Uploads that have landed, and their bytes as received.
    pub uploads: u64,
    /// Their bytes as received.
    pub bytes: u64,
    /// Those of them of which no row is loaded: waiting, being processed, or dead letters.
    pub held: u64,
    /// Their bytes as received.
    pub held_bytes: u64,
    /// Rows whose disposition was checked against the landed bytes.
    pub rows: u64,
    /// UTC days of the archive compared with the database.
    pub days: u64,
}

/// What the threads of one verification share.
struct Checks<'a> {
    home: &'a Layout,
    tell: &'a Tell<'a>,
    /// Looked at once the state of the database is held, so that it knows no less than the database; none
    /// where it is damaged.
    known: OnceLock<Option<(Zone, Journal)>>,
    archive: Option<Archive>,
    findings: Mutex<Vec<Finding>>,
    /// What the accepted readings of each upload sum up to.
    stored: Mutex<FxHashMap<u32, Sum>>,
    /// Large uploads are decoded one at a time, for memory.
    large: Mutex<()>,
    /// Uploads whose rows were looked at one by one, which reads all readings.
    detailed: AtomicU32,
    held: AtomicU64,
    held_bytes: AtomicU64,
    rows: AtomicU64,
    days: AtomicU64,
}

impl Checks<'_> {
    fn zone(&self) -> Option<&Zone> {
        self.known.get()?.as_ref().map(|(zone, _)| zone)
    }

    fn journal(&self) -> Option<&Journal> {
        self.known.get()?.as_ref().map(|(_, journal)| journal)
    }

    /// Reads the journal.
    fn look(&self) -> Result<(), ProcessError> {
        let known = match Zone::look(self.home.landing_place().clone()) {
            Ok(zone) => Journal::read(&zone).map(|journal| Some((zone, journal)))?,
            // a finding already; what it says cannot be relied on
            Err(LandingError::Journal { .. } | LandingError::Newer { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        self.known.get_or_init(|| known);
        Ok(())
    }

    fn find(&self, finding: Finding) {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }

    fn find_all(&self, findings: Vec<Finding>) {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).extend(findings);
    }
}

/// Checks a home, whoever owns it.
///
/// # Errors
/// When a part of the home cannot be read at all; damage is a finding.
pub fn verify(home: &Layout, tell: &Tell<'_>) -> Result<Report, ProcessError> {
    let reader = Store::is_at(home.database())?.then(|| Store::reader(home.database())).transpose()?;
    let position = reader.as_ref().map(Reader::position).transpose()?.unwrap_or_default();
    let expected = (position.entry > 0).then_some((position.entry, position.entry_hash.as_str()));
    let landed = landing::verify(home.landing_place().clone(), expected, &|progress| {
        tell("hashing what has landed", progress.done as u64, progress.total as u64);
    })?;
    let findings = landed
        .into_iter()
        .map(|found| Finding::new(found.damage.into(), found.path.display().to_string(), found.problem))
        .collect();
    let checks = Checks {
        home,
        tell,
        known: OnceLock::new(),
        archive: None,
        findings: Mutex::new(findings),
        stored: Mutex::default(),
        large: Mutex::default(),
        detailed: AtomicU32::new(0),
        held: AtomicU64::new(0),
        held_bytes: AtomicU64::new(0),
        rows: AtomicU64::new(0),
        days: AtomicU64::new(0),
    };
    projections(checks, reader.as_ref(), position.entry)
}

/// Checks database and archive, if there are any and the database can be read.
fn projections(
    mut checks: Checks<'_>,
    reader: Option<&Reader>,
    position: u64,
) -> Result<Report, ProcessError> {
    let problems = match reader {
        None => Vec::new(),
        Some(reader) => reader.quick_check(DATABASE_PROBLEMS)?,
    };
    let is_whole = problems.is_empty();
    let database = checks.home.database().to_string();
    checks.find_all(
        problems
            .into_iter()
            .map(|problem| {
                Finding::new(Kind::DatabaseDamaged, database.clone(), format!("is damaged: {problem}"))
            })
            .collect(),
    );
    if reader.is_some() && is_whole {
        checks.archive = match Archive::look(checks.home.archive_place().clone()) {
            Ok(archive) => Some(archive),
            Err(error) => {
                checks.find(archived::unread(checks.home, &error));
                None
            }
        };
        state::check(&checks)?;
    } else {
        checks.look()?;
    }
    Ok(report(&checks, reader.is_some(), position))
}

fn report(checks: &Checks<'_>, has_database: bool, position: u64) -> Report {
    let uploads = checks.zone().map_or(&[][..], Zone::uploads);
    let bytes = uploads.iter().map(|upload| upload.bytes).sum();
    let mut findings = std::mem::take(&mut *checks.findings.lock().unwrap_or_else(PoisonError::into_inner));
    findings.sort();
    findings.dedup();
    let (held, held_bytes) = if has_database {
        (checks.held.load(Ordering::Relaxed), checks.held_bytes.load(Ordering::Relaxed))
    } else {
        (uploads.len() as u64, bytes)
    };
    Report {
        findings,
        entry: checks.zone().map_or(0, |zone| zone.head().0),
        position,
        uploads: uploads.len() as u64,
        bytes,
        held,
        held_bytes,
        rows: checks.rows.load(Ordering::Relaxed),
        days: checks.days.load(Ordering::Relaxed),
    }
}

/// Whether an archive's failure is damage rather than an absent world.
fn is_damage(error: &ArchiveError) -> bool {
    matches!(error, ArchiveError::Damaged { .. })
}
