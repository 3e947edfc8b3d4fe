//! What commands share: opening a home, progress bars, instants as people write them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use greenstream_core::Ts;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::failure::exit;
use super::{Cli, Failure};
use crate::archive::Error as ArchiveError;
use crate::config::{Config, ConfigError};
use crate::home::{Home, HomeError, Layout};
use crate::landing::{Error as LandingError, Zone};
use crate::process::{ProcessError, Service};
use crate::store::{Reader, Store, StoreError};

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::new(exit::CONFIG, &error, &error.hint)
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Failure {
        match &error {
            HomeError::Io { source, .. } => Failure::io(&error, source),
            HomeError::HomeBusy { .. } | HomeError::HomeMissing { .. } => {
                Failure::new(exit::UNAVAILABLE, &error, error.hint())
            }
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let code = if error.is_transient() { exit::UNAVAILABLE } else { exit::IO };
        Failure::new(code, with_causes(&error), error.hint())
    }
}

impl From<LandingError> for Failure {
    fn from(error: LandingError) -> Failure {
        Failure::new(exit::IO, with_causes(&error), error.hint())
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Failure {
        ProcessError::from(error).into()
    }
}

impl From<ProcessError> for Failure {
    fn from(error: ProcessError) -> Failure {
        let code = match &error {
            ProcessError::Config(_) => exit::CONFIG,
            _ if error.is_transient() => exit::UNAVAILABLE,
            _ => exit::IO,
        };
        Failure::new(code, with_causes(&error), error.hint())
    }
}

/// An error with all its causes, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// The configuration of a home: `--config`, else `greenstream.toml` in it.
pub fn config(cli: &Cli) -> Result<Config, Failure> {
    Ok(Config::read(&config_path(cli))?)
}

/// Where the configuration is (or would be).
pub fn config_path(cli: &Cli) -> PathBuf {
    cli.config.clone().unwrap_or_else(|| cli.home.join("greenstream.toml"))
}

/// Takes over the home with all its parts. Exit 69 while another process owns it.
pub fn service(cli: &Cli, command: &str) -> Result<Service, Failure> {
    let config = config(cli)?;
    let home = Home::open(&cli.home, command)?;
    Ok(Service::open(home, config)?)
}

/// The home's paths, for reading, whoever owns it.
pub fn look(cli: &Cli) -> Result<Layout, Failure> {
    Ok(Home::look(&cli.home)?)
}

/// The database, for reading, whoever owns the home.
pub fn reader(cli: &Cli) -> Result<Reader, Failure> {
    let database = look(cli)?.database();
    if !database.exists() {
        return Err(Failure::new(
            exit::UNAVAILABLE,
            format!("there is no database at {}", database.display()),
            "land something first: `greenstream ingest FILE…`",
        ));
    }
    Ok(Store::reader(&database)?)
}

/// The landing zone, for reading, whoever owns the home.
pub fn zone(cli: &Cli) -> Result<Zone, Failure> {
    Ok(Zone::look(&look(cli)?.landing())?)
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
