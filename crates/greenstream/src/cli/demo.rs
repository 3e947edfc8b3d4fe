//! `demo`: a fleet with every known defect through the whole pipeline, with no set-up.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use greenstream_simulator::Plan;

use super::{Cli, Failure, ingest, open, simulate};
use crate::process::Given;
use crate::store::Store;
use crate::text::count;
use crate::trigger::scan_paths;

/// Arguments of `demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Stop after the accounting instead of serving pages until Ctrl-C.
    #[arg(long)]
    exit: bool,
    /// How many meters.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    meters: u32,
    /// How many days.
    #[arg(long, default_value_t = 7, value_name = "N")]
    days: u32,
}

/// Carries out `demo`. Its home is a folder of its own inside the home, begun anew each time.
pub fn demo(cli: &Cli, args: &DemoArgs) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let folder = cli.home.join("demo");
    begin(&folder)?;
    let uploads = folder.join("uploads");
    let plan = Plan { meters: args.meters, days: args.days, ..Plan::default() };
    println!(
        "simulating {} meters for {} days, with every known defect",
        count(u64::from(args.meters)),
        args.days
    );
    let bar = open::bar(plan.readings(), "simulating");
    let written = plan.write(&uploads, &mut |done, _| bar.set_position(done));
    bar.finish_and_clear();
    let summary = written.map_err(|error| simulate::failure(&error))?;
    println!("  {} rows in {} files: {}", count(summary.rows), count(summary.files), open::shown(&uploads));

    let demo =
        Cli { home: folder.join("home"), config: None, json: cli.json, command: super::Command::Status };
    let mut service = open::service(&demo, "greenstream demo")?;
    let files = scan_paths(&[uploads]).map_err(|error| Failure::usage(&error, error.hint()))?;
    println!("running the pipeline: landing, decode, five rules, database, archive");
    let processing = Instant::now();
    ingest::load(&mut service, &files, &Given::default())?;
    let seconds = processing.elapsed().as_secs_f64();
    let reader = Store::reader(&service.home().database())?;
    let totals = reader.totals()?;
    println!(
        "  {} uploads, {} rows = {} stored + {} quarantined + {} superseded   (in {seconds:.1} s)",
        count(totals.done),
        count(totals.rows),
        count(totals.stored),
        count(totals.quarantined),
        count(totals.superseded),
    );
    for (reason, rows) in reader.open_by_reason()? {
        println!("  {:>10} open in the error queue: {}", count(rows), reason.name());
    }
    println!("  {:>10} episodes of faulty and silent meters", count(totals.episodes));
    look(&demo.home, &summary.truth);
    println!("done in {:.1} s", began.elapsed().as_secs_f64());
    if args.exit {
        return Ok(ExitCode::SUCCESS);
    }
    super::run::serve_until_stopped(&demo, service)
}

fn look(home: &std::path::Path, truth: &std::path::Path) {
    let home_text = open::shown(home);
    println!("where to look:");
    println!("  greenstream --home {home_text} status | errors | episodes | meters | uploads");
    println!("  greenstream --home {home_text} explain MTR-000000 2026-03-02T00:15:00Z");
    println!("  sqlite3 {home_text}/greenstream.db 'select * from readings limit 5'");
    println!("  {home_text}/archive/readings   a Delta Lake table: pandas, Polars, DuckDB, Spark");
    println!("  {}   every injected defect with the true power", open::shown(truth));
}

/// Removes what an earlier demo left, and nothing else.
fn begin(folder: &PathBuf) -> Result<(), Failure> {
    let io = |error: &std::io::Error| Failure::io(folder.display(), error);
    for name in ["home", "uploads"] {
        match std::fs::remove_dir_all(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&error)),
            _ => {}
        }
    }
    for name in ["uploads.truth.csv", "uploads.summary.json"] {
        match std::fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&error)),
            _ => {}
        }
    }
    std::fs::create_dir_all(folder).map_err(|error| io(&error))
}
