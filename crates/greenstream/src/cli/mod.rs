//! The command line: one binary, `greenstream`, as `docs/spec/contract.md` names its commands.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod act;
mod check;
mod demo;
mod detect;
mod dry_run;
mod explain;
mod export;
mod failure;
mod feeds;
mod ingest;
mod init;
mod open;
mod read;
mod rebuild;
mod run;
mod simulate;
mod table;
mod verify;

pub use failure::Failure;

use crate::dataset::Dataset;

/// Raw smart-meter uploads become trusted readings: decoded, judged by five rules, accounted for
/// to the last row, in a database and in a partitioned Parquet archive.
#[derive(Parser, Debug)]
#[command(name = "greenstream", version, max_term_width = 100, propagate_version = true)]
struct Cli {
    /// The folder that holds everything: inbox, landing zone, database, archive.
    #[arg(
        long,
        global = true,
        env = "GREENSTREAM_HOME",
        default_value = "./greenstream-data",
        value_name = "DIR"
    )]
    home: PathBuf,
    /// The configuration file [default: greenstream.toml in the home folder].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON instead of tables (reading commands).
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Simulate 1,000 meters for 7 days with every known defect and run the whole pipeline on them.
    Demo(demo::DemoArgs),
    /// Run the service: take files from inbox/, process each, serve health and metrics.
    Run(run::RunArgs),
    /// Land files (a folder in name order), process them and exit.
    Ingest(ingest::IngestArgs),
    /// Write realistic uploads with injected defects and a ground-truth file.
    Simulate(simulate::SimulateArgs),
    /// Feed profiles: how files of a supplier are read.
    #[command(subcommand)]
    Feeds(feeds::FeedsCommand),
    /// Where the pipeline stands: journal, database, archive, books.
    Status,
    /// The uploads and their books.
    Uploads(Filter),
    /// The error queue: list it, or release, edit, discard and undo.
    Errors(act::ErrorsArgs),
    /// Uploads of which nothing was loaded, and why; `retry` tries them again.
    DeadLetters(act::DeadLettersArgs),
    /// The meters: newest reading, counts of flags.
    Meters(Filter),
    /// Faulty-meter episodes.
    Episodes(Filter),
    /// Alerts raised so far.
    Alerts(Filter),
    /// The life of one reading, from the raw line to where it is stored.
    Explain(explain::ExplainArgs),
    /// Write a dataset to a file or to standard output.
    Export(export::ExportArgs),
    /// Check journal, landed bytes, books and archive; exit 1 with each finding.
    Verify,
    /// Build database and archive again from the landing zone.
    Rebuild(rebuild::RebuildArgs),
    /// Check the configuration and everything it names.
    CheckConfig,
    /// Write a commented configuration file.
    Init,
}

/// What reading commands can be narrowed by.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// Only this meter.
    #[arg(long, value_name = "ID")]
    pub meter: Option<String>,
    /// Only this upload.
    #[arg(long, value_name = "N")]
    pub upload: Option<u32>,
    /// Only this reason (error queue).
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
    /// Only this status (uploads, error queue).
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only from this instant on (`2026-03-02` or `2026-03-02T00:15:00Z`).
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only before this instant.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// At most this many rows; 0 for all.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: usize,
}

/// How `export` writes.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated, with a header.
    Csv,
    /// One JSON object a line.
    Json,
    /// A plain Parquet file.
    Parquet,
}

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match dispatch(&cli) {
        Ok(code) => code,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(cli: &Cli) -> Result<ExitCode, Failure> {
    log(&cli.command);
    match &cli.command {
        Command::Demo(args) => demo::demo(cli, args),
        Command::Run(args) => run::run(cli, args),
        Command::Ingest(args) => ingest::ingest(cli, args),
        Command::Simulate(args) => simulate::simulate(args),
        Command::Feeds(command) => feeds::feeds(cli, command),
        Command::Status => read::status(cli),
        Command::Uploads(filter) => read::list(cli, Dataset::Uploads, filter, "no uploads"),
        Command::Errors(args) => act::errors(cli, args),
        Command::DeadLetters(args) => act::dead_letters(cli, args),
        Command::Meters(filter) => read::meters(cli, filter),
        Command::Episodes(filter) => read::list(cli, Dataset::Episodes, filter, "no episodes"),
        Command::Alerts(filter) => read::list(cli, Dataset::Alerts, filter, "no alerts"),
        Command::Explain(args) => explain::explain(cli, args),
        Command::Export(args) => export::export(cli, args),
        Command::Verify => verify::verify(cli),
        Command::Rebuild(args) => rebuild::rebuild(cli, args),
        Command::CheckConfig => check::check_config(cli),
        Command::Init => init::init(cli),
    }
}

/// The log goes to standard error: the service tells what it does, other commands only what is wrong.
fn log(command: &Command) {
    let default = if matches!(command, Command::Run(_)) { "info" } else { "error" };
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_env_var("GREENSTREAM_LOG")
        .with_default_directive(default.parse().unwrap_or_default())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
