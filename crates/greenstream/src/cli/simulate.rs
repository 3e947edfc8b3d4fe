//! `simulate`: realistic uploads with injected defects and a ground-truth file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use greenstream_simulator::{Date, Layout, Plan};

use super::Failure;
use super::code::Code;
use crate::text::count;

/// Arguments of `simulate`.
#[derive(Args, Debug)]
pub struct SimulateArgs {
    /// How many meters.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    meters: u32,
    /// How many days.
    #[arg(long, default_value_t = 7, value_name = "N")]
    days: u32,
    /// Minutes from reading to reading; a divisor of 60.
    #[arg(long, default_value_t = 15, value_name = "MINUTES")]
    interval: u32,
    /// Another seed is another fleet; the same seed is the same bytes.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// The first day.
    #[arg(long, default_value = "2026-03-02", value_name = "DATE")]
    start: String,
    /// A file an hour, a file a day, or a file for each meter and day (hourly, daily, tiny).
    #[arg(long, default_value = "hourly", value_name = "LAYOUT")]
    layout: String,
    /// The folder for the uploads; the truth goes beside it, as FOLDER.truth.csv.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Carries out `simulate`.
pub fn simulate(args: &SimulateArgs) -> Result<ExitCode, Failure> {
    let start = args
        .start
        .parse::<Date>()
        .map_err(|_| Failure::usage(format!("{:?} is no date", args.start), "write it as 2026-03-02"))?;
    let layout = Layout::from_name(&args.layout).ok_or_else(|| {
        Failure::usage(format!("no layout is called {:?}", args.layout), "choose hourly, daily or tiny")
    })?;
    let plan = Plan {
        meters: args.meters,
        days: args.days,
        start,
        interval_minutes: args.interval,
        seed: args.seed,
        layout,
        ..Plan::default()
    };
    let bar = super::open::bar(plan.readings(), "simulating");
    let written = plan.write(&args.out, &mut |done, _| bar.set_position(done));
    bar.finish_and_clear();
    let summary = written.map_err(|error| failure(&error))?;
    println!(
        "{} rows of {} meters in {} files, {} bytes, in {}",
        count(summary.rows),
        count(u64::from(args.meters)),
        count(summary.files),
        count(summary.bytes),
        args.out.display()
    );
    println!("every injected defect, with the true power: {}", summary.truth.display());
    Ok(ExitCode::SUCCESS)
}

/// A failed simulation as a command's failure.
pub fn failure(error: &greenstream_simulator::Error) -> Failure {
    use greenstream_simulator::Error;
    match error {
        Error::Plan { .. } => Failure::usage(error, "see `greenstream simulate --help`"),
        Error::Occupied { .. } | Error::Nameless { .. } => {
            Failure::new(Code::Exists, error, "name a new folder in --out")
        }
        Error::Io { source, .. } => Failure::io(error, source),
    }
}
