//! `init`: a commented configuration file.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::ExitCode;

use super::code::Code;
use super::{Cli, Failure, open};

const TEXT: &str = include_str!("init.toml");

/// Carries out `init`. An existing file is never overwritten.
pub fn init(cli: &Cli) -> Result<ExitCode, Failure> {
    let path = open::config_path(cli);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::io(folder.display(), &error))?;
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Failure::new(
                Code::Exists,
                format!("{} is there already", path.display()),
                "edit it, or move it away first; `greenstream check-config` checks it",
            ));
        }
        Err(error) => return Err(Failure::io(path.display(), &error)),
    };
    file.write_all(TEXT.as_bytes()).map_err(|error| Failure::io(path.display(), &error))?;
    println!("{} written; every key is commented out and shows its default", path.display());
    Ok(ExitCode::SUCCESS)
}
