//! `demo`: a fleet with every known defect through the whole pipeline, with no set-up.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use greenstream_simulator::{Plan, Summary};

mod score;
mod story;

use super::code::Code;
use super::run::{First, Served, serve_until_stopped};
use super::{Cli, Failure, ingest, open, simulate};
use crate::config::{File, Token};
use crate::home::Home;
use crate::process::{Given, Service};
use crate::store::{Reader, Store};
use crate::text::count;
use crate::trigger::scan_paths;
use crate::web;

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
    /// Where to serve the pages; without a token only loopback addresses are accepted.
    #[arg(long, default_value = "127.0.0.1:8321", value_name = "ADDRESS:PORT")]
    listen: String,
}

/// Carries out `demo`. Its home is a folder of its own inside the home, begun anew each time.
pub fn demo(cli: &Cli, args: &DemoArgs) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let token = Token::read(&cli.home, None)?;
    if !args.exit {
        // taken for a moment only: a wrong or taken address is told before the work and not after it
        drop(web::listen(&args.listen, token.is_some())?);
    }
    let folder = cli.home.join("demo");
    let demo =
        Cli { home: folder.join("home"), config: None, json: cli.json, command: super::Command::Status };
    refuse_services(&open::config(&demo)?.file)?;
    begin(&folder)?;
    let uploads = folder.join("uploads");
    println!("1. A fleet that does not exist, and what goes wrong with its data");
    let summary = simulate(args, &uploads)?;
    let mut config = open::config(&demo)?;
    config.file.serve.listen.clone_from(&args.listen);
    let mut service = Service::open(Home::open(&demo.home, "greenstream demo")?, config)?;
    println!("2. The pipeline: landing, decode, five rules, database, archive");
    let processing = Instant::now();
    ingest::load(&mut service, &scan_paths(&[uploads])?, &Given::default())?;
    let reader = Store::reader(service.home().database())?;
    accounting(&reader, processing.elapsed().as_secs_f64())?;

    println!("3. What was injected, and what was found");
    let score = score::score(&summary.truth, &reader)?;
    story::comparison(&score)?;
    if let Some((meter, ts)) = &score.spike {
        println!("\n4. The life of one reading: `greenstream explain {meter} {ts}`");
        let zone = open::zone(&demo)?;
        if let Some(life) = crate::explain::life(&reader, &zone, service.config(), meter, *ts)? {
            print!("{}", life.text());
        }
    }
    println!("\n5. Where to look next");
    story::next(&demo.home, &summary.truth, score.corrected.as_ref());
    println!("done in {:.1} s", began.elapsed().as_secs_f64());
    if args.exit {
        return Ok(ExitCode::SUCCESS);
    }
    serve_until_stopped(&demo, Served::by(&service), First::owned(service), token)
}

fn simulate(args: &DemoArgs, uploads: &Path) -> Result<Summary, Failure> {
    let plan = Plan { meters: args.meters, days: args.days, ..Plan::default() };
    let bar = open::bar(plan.readings(), "simulating");
    let written = plan.write(uploads, &mut |done, _| bar.set_position(done));
    bar.finish_and_clear();
    let summary = written.map_err(|error| simulate::failure(&error))?;
    let defects: u64 = summary.defects.values().sum();
    println!(
        "   {} homes for {} days, a value every {} minutes: {} rows in {} files",
        count(u64::from(args.meters)),
        args.days,
        plan.interval_minutes,
        count(summary.rows),
        count(summary.files)
    );
    println!(
        "   {} of them spoiled, late, repeated or odd, in {} ways\n",
        count(defects),
        summary.defects.len()
    );
    Ok(summary)
}

/// The books: each row has exactly one place.
fn accounting(reader: &Reader, seconds: f64) -> Result<(), Failure> {
    let totals = reader.totals()?;
    println!("   {} uploads in {seconds:.1} s; every row has exactly one place:", count(totals.done));
    println!("   {:>10} rows", count(totals.rows));
    println!("   {:>10} = stored: readings to work with, each flag a column", count(totals.stored));
    println!(
        "   {:>10} + quarantined: they wait in the error queue, with reason and raw line",
        count(totals.quarantined)
    );
    println!("   {:>10} + superseded: another row of the same reading is newer", count(totals.superseded));
    let balanced = totals.rows == totals.stored + totals.quarantined + totals.superseded;
    println!("   {}\n", if balanced { "the books balance" } else { "THE BOOKS DO NOT BALANCE" });
    Ok(())
}

/// Refuses to write made-up data into what the environment names, which may be in use.
fn refuse_services(file: &File) -> Result<(), Failure> {
    let urls = [&file.store.url, &file.landing.url, &file.archive.url, &file.inbox.url];
    if urls.into_iter().all(Option::is_none) {
        return Ok(());
    }
    Err(Failure::new(
        Code::ConfigValue,
        "the environment names a database or a bucket, and the demo would write into it",
        "unset `GREENSTREAM__STORE__URL`, `__LANDING__URL`, `__ARCHIVE__URL` and `__INBOX__URL` for the demo",
    ))
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
