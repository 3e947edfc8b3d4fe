//! `completions` and `man`: made from the same definition as the commands themselves.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure};

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// The folder for the pages; made if it is not there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Carries out `completions`.
pub fn completions(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    // into memory first: the generator panics where standard output is closed early
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "greenstream", &mut script);
    Failure::printed(stdout().write_all(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Carries out `man`: a page for the program and one for each command.
pub fn man(args: &ManArgs) -> Result<ExitCode, Failure> {
    let failed = |error| Failure::io(args.folder.display(), &error);
    std::fs::create_dir_all(&args.folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.folder).map_err(failed)?;
    println!("pages written; read them with `man -l {}/greenstream.1`", args.folder.display());
    Ok(ExitCode::SUCCESS)
}
