//! What commands share: opening a home, progress bars, instants as people write them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use greenstream_core::Ts;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::code::Code;
use super::{Cli, Failure};
use crate::archive::Error as ArchiveError;
use crate::config::{Config, ConfigError};
use crate::fence::TakenOver;
use crate::home::{Home, HomeError, Layout};
use crate::landing::{Error as LandingError, Zone};
use crate::objects::{Error as ObjectsError, Place};
pub use crate::process::with_causes;
use crate::process::{ProcessError, Service};
use crate::store::{Database, Reader, Store, StoreError};
use crate::trigger::TriggerError;
use crate::web::ServeError;

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::new(error.kind.into(), &error.problem, &error.hint).at(&error.place, &error.excerpt)
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Failure {
        match &error {
            HomeError::Io { source, .. } => Failure::io(&error, source),
            HomeError::HomeBusy { folder, .. } => {
                let inbox = folder.join("inbox");
                let hint = format!("or, where it is `greenstream run`, put files into {}", inbox.display());
                Failure::new(Code::HomeBusy, &error, format!("{}; {hint}", error.hint()))
            }
            HomeError::HomeMissing { .. } => Failure::new(Code::HomeMissing, &error, error.hint()),
        }
    }
}

impl From<TakenOver> for Failure {
    fn from(error: TakenOver) -> Failure {
        Failure::new(Code::TakenOver, &error, error.hint())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let code = match &error {
            StoreError::TakenOver(_) => Code::TakenOver,
            StoreError::Sqlite { .. } | StoreError::Postgres { .. } | StoreError::Log { .. } => {
                Code::Database
            }
            StoreError::Newer { .. } | StoreError::Older { .. } | StoreError::Rulebook { .. } => Code::Schema,
            StoreError::NotAStore { .. } => Code::NotADatabase,
            StoreError::Broken { .. } | StoreError::Unbalanced { .. } => Code::Internal,
        };
        let failure = Failure::new(code, with_causes(&error), error.hint());
        if error.is_transient() { failure.for_now() } else { failure }
    }
}

impl From<LandingError> for Failure {
    fn from(error: LandingError) -> Failure {
        let code = match &error {
            LandingError::Io { source, .. } => {
                let failure = Failure::io(with_causes(&error), source).helped(error.hint());
                // a store that is away is a service out of reach
                let is_away = ObjectsError::of_io(source).is_some_and(ObjectsError::is_transient);
                return if is_away { failure.for_now() } else { failure };
            }
            LandingError::Journal { .. } => Code::Journal,
            LandingError::TakenOver(_) => Code::TakenOver,
            LandingError::Newer { .. } => Code::Schema,
            LandingError::Unfit { .. } => Code::Internal,
            LandingError::NoSuchUpload { .. } => Code::RowUnknown,
            LandingError::NotRegular { .. } => Code::NotAFile,
            LandingError::Changed { .. } => Code::FileChanged,
            LandingError::TooLarge { .. } => Code::TooLarge,
        };
        Failure::new(code, with_causes(&error), error.hint())
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Failure {
        ProcessError::from(error).into()
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Failure {
        let code = match &error {
            ServeError::Address { .. } | ServeError::NoToken { .. } => Code::Listen,
            ServeError::Receiving { source, .. } => Code::of_io(source),
            ServeError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => Code::Port,
            ServeError::Listen { .. } => Code::Io,
        };
        Failure::new(code, with_causes(&error), error.hint())
    }
}

impl From<TriggerError> for Failure {
    fn from(error: TriggerError) -> Failure {
        let code = match &error {
            TriggerError::Key { .. } => Code::ConfigValue,
            TriggerError::Io(source) => Code::of_io(source),
        };
        Failure::new(code, with_causes(&error), error.hint())
    }
}

impl From<ProcessError> for Failure {
    fn from(error: ProcessError) -> Failure {
        let (message, hint, transient) = (with_causes(&error), error.hint(), error.is_transient());
        let failure = match error {
            ProcessError::Config(error) => return error.into(),
            ProcessError::Landing(error) => Failure::from(error).saying(message),
            ProcessError::Store(error) => Failure::from(error).saying(message),
            ProcessError::TakenOver(lost) | ProcessError::Archive(ArchiveError::TakenOver(lost)) => {
                lost.into()
            }
            ProcessError::Archive(_) => Failure::new(Code::Archive, message, hint),
            ProcessError::Io { source, .. } => Failure::io(message, &source),
            ProcessError::Superseded { .. } => Failure::new(Code::ConfigValue, message, hint),
            ProcessError::Stopped | ProcessError::Internal(_) => Failure::new(Code::Internal, message, hint),
        };
        if transient { failure.for_now() } else { failure }
    }
}

/// A failure to read a path that somebody has given.
pub fn given_path(error: LandingError) -> Failure {
    let missing =
        matches!(&error, LandingError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
    let failure = Failure::from(error);
    if missing {
        failure.helped("check the path; a relative one starts in the current folder")
    } else {
        failure
    }
}

/// The configuration of a home: `--config`, else `greenstream.toml` in it.
pub fn config(cli: &Cli) -> Result<Config, Failure> {
    Ok(Config::read(&config_file(cli)?)?)
}

/// Where the configuration is, or would be in the home; a file that somebody names is to be there.
pub fn config_file(cli: &Cli) -> Result<PathBuf, Failure> {
    let path = config_path(cli);
    if cli.config().is_some() && !path.exists() {
        return Err(Failure::new(
            Code::ConfigFile,
            "there is no such configuration file",
            "check the path of `--config`; `greenstream init --config FILE` writes one",
        )
        .at(path.display(), ""));
    }
    Ok(path)
}

/// Where the configuration is (or would be).
pub fn config_path(cli: &Cli) -> PathBuf {
    cli.config().map_or_else(|| cli.home.join("greenstream.toml"), Path::to_owned)
}

/// Where the home's own profiles are (or would be).
pub fn feeds_folder(cli: &Cli, config: &Config) -> PathBuf {
    config_path(cli).parent().unwrap_or(Path::new(".")).join(&config.file.feeds)
}

/// Takes over the home with all its parts. Exit 69 while another process owns it.
pub fn service(cli: &Cli, command: &str) -> Result<Service, Failure> {
    super::restore::configuration(cli)?;
    let config = config(cli)?;
    let home = Home::open(&cli.home, command)?;
    Ok(Service::open(home, config)?)
}

/// Refuses a home that is a file, or would lie in one, or that this user may not look at.
pub fn check_home(cli: &Cli) -> Result<(), Failure> {
    if let Err(error) = cli.home.metadata()
        && error.kind() == std::io::ErrorKind::PermissionDenied
    {
        return Err(Failure::io(format!("the home {}", cli.home.display()), &error));
    }
    match cli.home.ancestors().find(|path| path.exists()) {
        Some(path) if !path.is_dir() => Err(Failure::new(
            Code::NotAFile,
            format!("the home {} cannot be: {} is a file", cli.home.display(), path.display()),
            "name a folder, which may be new: `--home DIR`",
        )),
        _ => Ok(()),
    }
}

/// Refuses a home in which nothing has landed, so that a wrong folder is not taken for a good home.
pub fn check_landed(cli: &Cli) -> Result<(), Failure> {
    match placed(cli)?.landing_place() {
        Place::Folder(folder) if !folder.is_dir() => Err(empty(cli)),
        _ => Ok(()),
    }
}

/// There is no database: nothing has landed, or what has landed is to be worked on again.
fn unfilled(cli: &Cli, database: &Database) -> Failure {
    match zone(cli) {
        Ok(zone) if !zone.uploads().is_empty() => Failure::new(
            Code::HomeEmpty,
            format!(
                "{} uploads have landed in the home {}, and the database {database} has nothing of them",
                zone.uploads().len(),
                cli.home.display()
            ),
            "`greenstream rebuild` fills it; or name another database in `[store]`",
        ),
        _ => empty(cli),
    }
}

fn empty(cli: &Cli) -> Failure {
    Failure::new(
        Code::HomeEmpty,
        format!("nothing has landed in the home {}", cli.home.display()),
        "land something first: `greenstream ingest FILE…`; or name another home with `--home DIR`",
    )
}

/// The program as one types it for this home.
pub fn program(cli: &Cli) -> String {
    if cli.home == Path::new("./greenstream-data") {
        return "greenstream".to_owned();
    }
    format!("greenstream --home {}", shown(&cli.home))
}

/// The home's paths, for reading, whoever owns it.
pub fn look(cli: &Cli) -> Result<Layout, Failure> {
    let database = Config::database_of(&config_file(cli)?)?;
    Ok(Home::look(&cli.home)?.with_database(database))
}

/// The same with landing zone and archive where the configuration has them.
pub fn placed(cli: &Cli) -> Result<Layout, Failure> {
    Ok(look(cli)?.placed(&config(cli)?)?)
}

/// The database, for reading, whoever owns the home.
pub fn reader(cli: &Cli) -> Result<Reader, Failure> {
    let layout = look(cli)?;
    if !Store::is_at(layout.database())? {
        return Err(unfilled(cli, layout.database()));
    }
    Ok(Store::reader(layout.database())?)
}

/// The database for a decision: what a run that broke off has left in the journal is processed first, so that
/// nobody decides about a state that is past.
pub fn reader_at_head(cli: &Cli, command: &str) -> Result<Reader, Failure> {
    let behind = reader(cli)?;
    if behind.position()?.entry < zone(cli)?.head().0 {
        drop(behind);
        match service(cli, command) {
            Ok(mut service) => service.catch_up()?,
            // its owner is about to; what does not fit by then is refused in the journal's order
            Err(failure) if failure.code() == Code::HomeBusy => {}
            Err(failure) => return Err(failure),
        }
    }
    reader(cli)
}

/// The landing zone, for reading, whoever owns the home.
pub fn zone(cli: &Cli) -> Result<Zone, Failure> {
    Ok(Zone::look(placed(cli)?.landing_place().clone())?)
}

/// A progress bar on standard error; silent when that is no terminal.
pub fn bar(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// An instant as people write it: `2026-03-02`, or a timestamp with an offset.
pub fn instant(text: &str) -> Result<Ts, Failure> {
    crate::text::instant(text).ok_or_else(|| {
        Failure::usage(format!("{text:?} is no instant"), "write 2026-03-02 or 2026-03-02T00:15:00Z")
    })
}

/// The name of a path for a person.
pub fn shown(path: &Path) -> String {
    crate::text::plain(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigProblem;
    use std::io::{Error as IoError, ErrorKind};

    #[track_caller]
    fn check(failure: &Failure, code: &str, exit: u8) {
        assert_eq!((failure.code().name(), failure.exit()), (code, exit));
    }

    /// The failures that no test can bring about by a command line alone.
    #[test]
    fn what_the_world_does_has_its_code_and_tells_whether_waiting_helps() {
        let io = |kind| LandingError::Io { action: "write", path: "x".into(), source: IoError::from(kind) };
        check(&io(ErrorKind::StorageFull).into(), "E-DISK-FULL", 74);
        check(&ProcessError::from(io(ErrorKind::StorageFull)).into(), "E-DISK-FULL", 69);
        check(&io(ErrorKind::PermissionDenied).into(), "E-PERMISSION", 74);
        check(&io(ErrorKind::Other).into(), "E-IO", 74);
        check(&LandingError::Changed { path: "x".into() }.into(), "E-FILE-CHANGED", 74);
        check(&LandingError::TooLarge { path: "x".into(), bytes: 2, limit: 1 }.into(), "E-TOO-LARGE", 74);
        check(&LandingError::NoSuchUpload { upload: 1 }.into(), "E-ROW-UNKNOWN", 2);
        let newer = StoreError::Newer { path: "x".into(), found: 2, known: 1 };
        check(&newer.into(), "E-SCHEMA", 74);
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        let busy = StoreError::from(rusqlite::Error::SqliteFailure(busy, None));
        check(&busy.into(), "E-DATABASE", 69);
        check(&StoreError::Broken { entry: 1, problem: String::new() }.into(), "E-INTERNAL", 74);
        check(&ArchiveError::Ahead { archive: 2, store: 1 }.into(), "E-ARCHIVE", 74);
        let lost = || TakenOver { lock: "lock".into() };
        for failure in [
            Failure::from(LandingError::from(lost())),
            ProcessError::from(lost()).into(),
            ProcessError::Store(lost().into()).into(),
            ProcessError::Archive(lost().into()).into(),
        ] {
            check(&failure, "E-TAKEN-OVER", 69);
        }
        check(&ProcessError::Stopped.into(), "E-INTERNAL", 74);
        let held = ConfigError::new(ConfigProblem::Journal, "journal", "", "");
        check(&ProcessError::Config(held).into(), "E-CONFIG-JOURNAL", 78);
    }
}
