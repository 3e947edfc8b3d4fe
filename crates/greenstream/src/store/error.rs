//! What can go wrong in the store: a bad world (transient or not) or a broken promise.

use std::path::PathBuf;

use postgres::error::SqlState;
use rusqlite::{ErrorCode, ffi};

use super::postgres::PostgresFault;
use crate::fence::TakenOver;

/// Why the store did not do what it was asked. Nothing of a failed commit remains.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite failed: the disk, another process, or the file itself.
    #[error("the database cannot {doing}")]
    Sqlite {
        /// What was asked of it, as the end of a sentence.
        doing: &'static str,
        /// SQLite's own words.
        #[source]
        source: rusqlite::Error,
    },
    /// The server failed, or the way to it.
    #[error("the database cannot {doing}")]
    Postgres {
        /// What was asked of it, as the end of a sentence.
        doing: &'static str,
        /// The server's own words.
        #[source]
        source: PostgresFault,
    },
    /// The write-ahead log cannot be made durable.
    #[error("{path} cannot be made durable")]
    Log {
        /// The log.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The home is another process's now.
    #[error(transparent)]
    TakenOver(#[from] TakenOver),
    /// The file was written by a later release.
    #[error("{path} has schema version {found}, and this program knows versions up to {known}")]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The newest version this program knows.
        known: i32,
    },
    /// The file was written by an earlier release, and only a writer brings it up to date.
    #[error("{path} has schema version {found}, and this program reads version {known}")]
    Older {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The version this program reads.
        known: i32,
    },
    /// The file is no store of ours, or has not been made yet.
    #[error("{path} is {found}")]
    NotAStore {
        /// The database.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// The configuration that the database keeps cannot be used.
    #[error("the configuration kept in the database cannot be used: {problem}")]
    Rulebook {
        /// What is wrong with it.
        problem: String,
    },
    /// A change set that contradicts what is stored: a fault of the program, never of the data.
    #[error("journal entry {entry} contradicts the store: {problem}")]
    Broken {
        /// The journal entry.
        entry: u64,
        /// What contradicts what.
        problem: String,
    },
    /// The commit would have left an upload whose rows do not add up (guarantee G1).
    #[error(
        "upload {upload} ({status}) would be out of balance: {rows} rows, {stored} stored, \
         {quarantined} quarantined, {superseded} superseded"
    )]
    Unbalanced {
        /// The upload.
        upload: u32,
        /// The name of its status.
        status: &'static str,
        /// Its rows.
        rows: i64,
        /// Rows in `readings`.
        stored: i64,
        /// Rows in the error queue.
        quarantined: i64,
        /// Rows that lost.
        superseded: i64,
    },
}

impl StoreError {
    /// What a fail point's error becomes: the disk's.
    pub(crate) fn failing(source: std::io::Error) -> StoreError {
        let code = ffi::Error::new(ffi::SQLITE_IOERR);
        rusqlite::Error::SqliteFailure(code, Some(source.to_string())).into()
    }

    /// Whether waiting and trying the same again can help: the disk is full or away, another
    /// process holds the database. Everything else needs a person or another program.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        // a log that could not be synced is opened anew, and what was lost of it is processed again
        if matches!(self, StoreError::Log { .. }) {
            return true;
        }
        if let StoreError::Postgres { source, .. } = self {
            return passes(source);
        }
        matches!(
            self.code(),
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::DiskFull
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
                    | ErrorCode::PermissionDenied
                    | ErrorCode::OutOfMemory
                    | ErrorCode::OperationInterrupted
                    | ErrorCode::FileLockingProtocolFailed
            )
        )
    }

    /// Whether SQLite takes the file for damaged; it does so too where the disk fails to read it.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }

    /// Whether there is no space left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            StoreError::Log { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            StoreError::Postgres { .. } => self.state() == Some(&SqlState::DISK_FULL),
            _ => self.code() == Some(ErrorCode::DiskFull),
        }
    }

    /// The way out, in one sentence.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match (self, self.code()) {
            (StoreError::TakenOver(lost), _) => lost.hint(),
            (StoreError::Postgres { source, .. }, _) => server_hint(source),
            (StoreError::Newer { .. }, _) => "start the release that wrote it, or a later one",
            (StoreError::Log { .. }, _) => {
                "check the volume of the database and start again: what was not durable is processed anew"
            }
            (StoreError::Older { .. }, _) => {
                "open it for writing once: `greenstream run` or `greenstream ingest`"
            }
            (StoreError::Rulebook { .. }, _) => {
                "start the release that wrote it, or open the home for writing once with this one"
            }
            (StoreError::NotAStore { .. }, _) => "choose another home, or move that file away",
            (StoreError::Broken { .. } | StoreError::Unbalanced { .. }, _) => {
                "nothing was changed; run `greenstream verify`, and report this as a fault of the program"
            }
            (_, Some(ErrorCode::DiskFull)) => "free space on the volume of the database",
            (_, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => {
                "another process holds the database: wait for it or stop it"
            }
            (_, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => {
                "the database is damaged, or its disk cannot be read: where the system log tells of no disk, move it away and run `greenstream rebuild`"
            }
            (_, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)) => {
                "check that the volume is there and that this user may write to it"
            }
            _ if self.is_transient() => "check the volume of the database; it is tried again by itself",
            _ => "run `greenstream verify`; `greenstream rebuild` makes the database anew",
        }
    }

    /// The journal entry whose changes do not fit, where it is known.
    #[must_use]
    pub fn entry(&self) -> Option<u64> {
        match self {
            StoreError::Broken { entry, .. } => Some(*entry),
            _ => None,
        }
    }

    /// Whether the server is not asked, or does not let us in, for want of a setting that somebody has to correct.
    #[must_use]
    pub fn asks_for_settings(&self) -> bool {
        match self {
            StoreError::Postgres { source: PostgresFault::Server(error), .. } => is_of_settings(error),
            _ => false,
        }
    }

    /// Whether another process is the database's owner just now, for which one can wait.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, StoreError::Postgres { source: PostgresFault::Held { .. }, .. })
    }

    /// The same, or whether another has been its owner meanwhile.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.is_held() || matches!(self, StoreError::TakenOver(_))
    }

    fn state(&self) -> Option<&SqlState> {
        match self {
            StoreError::Postgres { source: PostgresFault::Server(error), .. } => error.code(),
            _ => None,
        }
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            StoreError::Sqlite { source, .. } => source.sqlite_error_code(),
            _ => None,
        }
    }
}

/// Whether a server could not be asked for what the program was told of it: a password that is missing, a certificate
/// that nobody trusts, a server without encryption.
fn is_of_settings(error: &postgres::Error) -> bool {
    let text = crate::process::with_causes(error);
    let begins =
        ["invalid configuration", "authentication error"].iter().any(|begin| text.starts_with(begin));
    begins
        || text.starts_with("error performing TLS handshake")
            && (text.contains("certificate") || text.contains("support TLS"))
}

/// Classes of the server's errors that pass by themselves: connection, transaction (deadlock), resources,
/// object in use, intervention (stop, start, cancelled, timeouts), system.
const PASSING: [&str; 6] = ["08", "40", "53", "55", "57", "58"];

pub(super) fn passes(fault: &PostgresFault) -> bool {
    match fault {
        PostgresFault::Lost | PostgresFault::Held { .. } => true,
        PostgresFault::Holding => false,
        // no code: there was no answer. A server that is recovering or a standby refuses to write. A process that
        // stood still is missed
        PostgresFault::Server(error) => {
            error.code().is_none_or(|state| {
                *state == SqlState::READ_ONLY_SQL_TRANSACTION
                    || *state == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
                    || PASSING.iter().any(|class| state.code().starts_with(class))
            }) && !is_ours(error)
        }
    }
}

/// Whether an error without a code is the program's own: a value or an answer that does not fit.
fn is_ours(error: &postgres::Error) -> bool {
    let text = error.to_string();
    ["error serializing", "error deserializing", "error parsing"].iter().any(|begin| text.starts_with(begin))
}

pub(super) fn server_hint(fault: &PostgresFault) -> &'static str {
    let PostgresFault::Server(error) = fault else {
        return match fault {
            PostgresFault::Held { .. } => "wait for that process or stop it",
            _ => "it is asked again over a new connection",
        };
    };
    match error.code() {
        None if error.to_string().starts_with("error performing TLS handshake") => {
            "the server's certificate must be signed by who is trusted (`sslrootcert` in `[store] url` adds one) and name the host as the URL does"
        }
        None if passes(fault) => {
            "check that the server runs and that `[store] url` leads to it; it is tried again by itself"
        }
        Some(state) if state.code().starts_with("28") => {
            "check user and password (`password_file` of `[store]`, or the variable PGPASSWORD), and `sslmode` in `url` where the server wants encryption"
        }
        Some(&SqlState::UNDEFINED_DATABASE) => "make the database first: `createdb NAME`",
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            "let this user make a schema in the database: `grant create on database NAME to USER`"
        }
        Some(&SqlState::DISK_FULL) => "free space on the server's volume",
        Some(&SqlState::OUT_OF_MEMORY) => {
            "raise the server's max_locks_per_transaction: each day of readings takes two locks"
        }
        Some(&SqlState::TOO_MANY_CONNECTIONS) => "raise the server's max_connections, or stop other programs",
        _ if passes(fault) => "check the server; it is tried again by itself",
        _ => "run `greenstream verify`; `greenstream rebuild` makes the database anew",
    }
}

/// What either database says when it fails.
#[derive(Debug)]
pub enum Fault {
    /// SQLite's error.
    Sqlite(rusqlite::Error),
    /// The server's.
    Postgres(PostgresFault),
    /// A column holds what this program never writes there.
    Range {
        /// Which, from 0.
        column: usize,
    },
}

impl From<rusqlite::Error> for Fault {
    fn from(source: rusqlite::Error) -> Fault {
        Fault::Sqlite(source)
    }
}

impl From<postgres::Error> for Fault {
    fn from(source: postgres::Error) -> Fault {
        Fault::Postgres(source.into())
    }
}

impl From<PostgresFault> for Fault {
    fn from(source: PostgresFault) -> Fault {
        Fault::Postgres(source)
    }
}

impl Fault {
    /// Names what was asked of the database; the end of the sentence `the database cannot …`.
    pub(super) fn doing(self, doing: &'static str) -> StoreError {
        match self {
            Fault::Sqlite(source) => StoreError::Sqlite { doing, source },
            Fault::Postgres(source) => StoreError::Postgres { doing, source },
            Fault::Range { column } => {
                StoreError::Sqlite { doing, source: rusqlite::Error::IntegralValueOutOfRange(column, 0) }
            }
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> StoreError {
        fault.doing("answer")
    }
}

impl<T> Doing<T> for Result<T, Fault> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|fault| fault.doing(doing))
    }
}

/// Without saying what was asked; [`Doing`] says it.
impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> Self {
        StoreError::Sqlite { doing: "answer", source }
    }
}

/// Names what was asked of the database when it failed.
pub(super) trait Doing<T> {
    /// The same result, its error naming `doing`, the end of the sentence `the database cannot …`.
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for Result<T, rusqlite::Error> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Sqlite { doing, source })
    }
}

/// Whether a statement failed because its key exists already.
pub(super) fn is_conflict(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(code: i32) -> StoreError {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
    }

    #[test]
    fn a_full_disk_or_a_busy_file_is_transient_and_a_damaged_file_is_not() {
        for (code, transient, hint) in [
            (ffi::SQLITE_BUSY, true, "another process holds"),
            (ffi::SQLITE_FULL, true, "free space"),
            (ffi::SQLITE_IOERR, true, "check the volume"),
            (ffi::SQLITE_IOERR_FSYNC, true, "check the volume"),
            (ffi::SQLITE_CANTOPEN, true, "check that the volume"),
            (ffi::SQLITE_CORRUPT, false, "the database is damaged"),
            (ffi::SQLITE_NOTADB, false, "the database is damaged"),
            (ffi::SQLITE_CONSTRAINT_PRIMARYKEY, false, "run `greenstream verify`"),
        ] {
            let error = sqlite(code);
            assert_eq!(error.is_transient(), transient, "{code}");
            assert!(error.hint().starts_with(hint), "{code}: {}", error.hint());
        }
        let broken = StoreError::Broken { entry: 7, problem: String::new() };
        assert!(!broken.is_transient());
        assert_eq!(broken.entry(), Some(7));
    }
}
