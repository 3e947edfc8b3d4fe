//! The command line: one binary, `greenstream`, as `docs/spec/contract.md` names its commands.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

mod accept;
mod act;
mod check;
mod code;
mod demo;
mod detect;
mod drift;
mod dry_run;
mod examples;
mod explain;
mod explain_code;
mod export;
mod failure;
mod feeds;
mod health;
mod ingest;
mod init;
pub mod log;
mod open;
mod quality;
mod read;
mod rebuild;
mod restore;
mod run;
mod shell;
mod simulate;
mod table;
mod verify;

pub use code::Code;
pub use failure::Failure;
use failure::exit;

use crate::dataset::Dataset;

/// Raw smart-meter uploads become trusted readings: decoded, judged by five rules, accounted for
/// to the last row, in a database and in a partitioned Parquet archive.
#[derive(Parser, Debug)]
#[command(
    name = "greenstream",
    version,
    max_term_width = 100,
    propagate_version = true,
    after_help = "First time here? `greenstream demo`. COMMAND --help has examples."
)]
struct Cli {
    /// The folder that holds everything: inbox, landing zone, database, archive.
    #[arg(
        long,
        global = true,
        env = "GREENSTREAM_HOME",
        default_value = "./greenstream-data",
        overrides_with = "home",
        value_name = "DIR"
    )]
    home: PathBuf,
    /// The configuration file [default: greenstream.toml in the home folder].
    #[arg(
        long,
        global = true,
        env = "GREENSTREAM_CONFIG",
        value_parser = OsStringValueParser::new().map(PathBuf::from),
        value_name = "FILE"
    )]
    config: Option<PathBuf>,
    /// Print JSON instead of tables (reading commands).
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// The configuration file that was named; an empty variable names none, as everywhere.
    fn config(&self) -> Option<&Path> {
        self.config.as_deref().filter(|path| !path.as_os_str().is_empty())
    }
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Simulate 1,000 meters for 7 days with every known defect and run the whole pipeline on them.
    #[command(after_help = examples::DEMO)]
    Demo(demo::DemoArgs),
    /// Run the service: take files from inbox/, process each, serve health and metrics.
    #[command(after_help = examples::RUN)]
    Run(run::RunArgs),
    /// Land files (a folder in name order), process them and exit.
    #[command(after_help = examples::INGEST)]
    Ingest(ingest::IngestArgs),
    /// Write realistic uploads with injected defects and a ground-truth file.
    #[command(after_help = examples::SIMULATE)]
    Simulate(simulate::SimulateArgs),
    /// Feed profiles: how files of a supplier are read.
    #[command(subcommand, after_help = examples::FEEDS)]
    Feeds(feeds::FeedsCommand),
    /// Where the pipeline stands: journal, database, archive, books.
    #[command(after_help = examples::STATUS)]
    Status,
    /// The uploads and their books.
    #[command(after_help = examples::UPLOADS)]
    Uploads(Filter),
    /// The error queue: list it, or release, edit, discard and undo.
    #[command(after_help = examples::ERRORS)]
    Errors(act::ErrorsArgs),
    /// Uploads of which nothing was loaded, and why; `retry` tries them again.
    #[command(after_help = examples::DEAD_LETTERS)]
    DeadLetters(act::DeadLettersArgs),
    /// The meters: newest reading, counts of flags.
    #[command(after_help = examples::METERS)]
    Meters(Filter),
    /// Episodes of faulty and silent meters.
    #[command(after_help = examples::EPISODES)]
    Episodes(Filter),
    /// How complete the readings are, per meter, feeder, feed or day; the worst first.
    #[command(after_help = examples::QUALITY)]
    Quality(quality::QualityArgs),
    /// Alerts raised so far.
    #[command(after_help = examples::ALERTS)]
    Alerts(Filter),
    /// The life of one reading, from the raw line to where it is stored.
    #[command(after_help = examples::EXPLAIN)]
    Explain(explain::ExplainArgs),
    /// What an error code or a reason means, and the way out.
    #[command(after_help = examples::EXPLAIN_CODE)]
    ExplainCode(explain_code::ExplainCodeArgs),
    /// Write a dataset to a file or to standard output.
    #[command(after_help = examples::EXPORT)]
    Export(export::ExportArgs),
    /// Check journal, landed bytes, books and archive; exit 1 with each finding.
    #[command(after_help = examples::VERIFY)]
    Verify,
    /// Build database and archive again from the landing zone.
    #[command(after_help = examples::REBUILD)]
    Rebuild(rebuild::RebuildArgs),
    /// Check the configuration and everything it names.
    #[command(after_help = examples::CHECK_CONFIG)]
    CheckConfig(check::CheckConfigArgs),
    /// Whether the running service is well; exits 69 where it is not.
    #[command(after_help = examples::HEALTH)]
    Health(health::HealthArgs),
    /// Write a commented configuration file; on a terminal, after three questions.
    #[command(after_help = examples::INIT)]
    Init(init::InitArgs),
    /// Write completions for a shell to standard output.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(shell::CompletionsArgs),
    /// Write manual pages, one for each command.
    #[command(hide = true)]
    Man(shell::ManArgs),
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
    end_with_the_reader();
    // two providers are compiled in, and a client that names none asks for this one; it is not set yet
    drop(rustls::crypto::ring::default_provider().install_default());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misread(&error),
    };
    match dispatch(&cli) {
        Ok(code) => code,
        Err(failure) => {
            failure.print(cli.json);
            ExitCode::from(failure.exit())
        }
    }
}

/// Ends quietly when nobody reads standard output any more, as in `greenstream status | head -1`: `println!`
/// knows nothing but to panic then. Whatever is half done is safe, as after any other end.
fn end_with_the_reader() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let words = info.payload().downcast_ref::<String>();
        if words
            .is_some_and(|words| words.starts_with("failed printing to std") && words.contains("Broken pipe"))
        {
            std::process::exit(exit::PIPE);
        }
        told(info);
    }));
}

/// A command line that cannot be read, or asks for help or the version.
fn misread(error: &clap::Error) -> ExitCode {
    let told = error.render().to_string();
    match told.strip_prefix("error: ") {
        None => {
            let _ = error.print();
        }
        Some(told) if std::env::args_os().any(|argument| argument == "--json") => {
            let (message, _) = told.split_once("\n\n").unwrap_or((told, ""));
            Failure::new(Code::Arguments, message, "see `--help` of the command").print(true);
        }
        Some(told) => eprint!("error[{}]: {told}", Code::Arguments.name()),
    }
    ExitCode::from(if error.use_stderr() { exit::USAGE } else { 0 })
}

fn dispatch(cli: &Cli) -> Result<ExitCode, Failure> {
    log::begin(&cli.command);
    open::check_home(cli)?;
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
        Command::Quality(args) => quality::quality(cli, args),
        Command::Alerts(filter) => read::list(cli, Dataset::Alerts, filter, "no alerts"),
        Command::Explain(args) => explain::explain(cli, args),
        Command::ExplainCode(args) => explain_code::explain_code(cli, args),
        Command::Export(args) => export::export(cli, args),
        Command::Verify => verify::verify(cli),
        Command::Rebuild(args) => rebuild::rebuild(cli, args),
        Command::CheckConfig(args) => check::check_config(cli, args),
        Command::Health(args) => health::health(cli, args),
        Command::Init(args) => init::init(cli, args),
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
    }
}
