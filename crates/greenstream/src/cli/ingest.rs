//! `ingest`: lands files in the order given, processes them, and says what became of each.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;

use super::failure::exit;
use super::table::Listing;
use super::{Cli, Failure, open};
use crate::process::{Given, Note, Progress, Service};
use crate::store::{Reader, Store, UploadRow};
use crate::text::{count, plain};
use crate::trigger::scan_paths;

/// Arguments of `ingest`.
#[derive(Args, Debug)]
pub struct IngestArgs {
    /// Files in landing order; a folder stands for its files in name order.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The feed profile; else the profile whose name pattern fits, else the default feed.
    #[arg(long, value_name = "NAME")]
    feed: Option<String>,
    /// What times without an offset mean (IANA name).
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Write nothing; say what each file would give.
    #[arg(long)]
    dry_run: bool,
}

/// Carries out `ingest`.
pub fn ingest(cli: &Cli, args: &IngestArgs) -> Result<ExitCode, Failure> {
    let files = scan_paths(&args.paths).map_err(open::given_path)?;
    if files.is_empty() {
        let paths: Vec<_> = args.paths.iter().map(|path| open::shown(path)).collect();
        eprintln!("note: no file to land directly in {}; folders inside are not entered", paths.join(", "));
        eprintln!("next: name the folder that holds the files, or the files themselves");
    }
    let given = Given { feed: args.feed.clone(), time_zone: args.time_zone.clone() };
    if args.dry_run {
        return super::dry_run::dry_run(cli, &files, &given);
    }
    super::restore::configuration(cli)?;
    let config = open::config(cli)?;
    super::dry_run::check_given(&config, &given)?;
    let mut service = open::service(cli, "greenstream ingest")?;
    let began = Instant::now();
    let landed = load(&mut service, &files, &given)?;
    report(cli, &service, &landed, began.elapsed())
}

/// What became of each file, in the order given.
pub struct LoadedFiles {
    notes: Vec<(PathBuf, Note)>,
}

/// Lands and processes files with a progress bar, and leaves archive and outbox without a lag.
pub fn load(service: &mut Service, files: &[PathBuf], given: &Given) -> Result<LoadedFiles, Failure> {
    let notes = Mutex::new(Vec::with_capacity(files.len()));
    let progress = service.progress();
    let bar = open::bar(files.len() as u64, "ingesting");
    let done = std::sync::atomic::AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| follow(&progress, &bar, &done));
        let outcome = service.ingest(files, given, &mut |path, note| {
            if let Ok(mut notes) = notes.lock() {
                notes.push((path.to_owned(), note));
            }
        });
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        outcome
    });
    bar.finish_and_clear();
    outcome?;
    service.finish()?;
    service.send_alerts()?;
    service.home().fence().check()?;
    Ok(LoadedFiles { notes: notes.into_inner().unwrap_or_default() })
}

fn follow(progress: &Progress, bar: &indicatif::ProgressBar, done: &std::sync::atomic::AtomicBool) {
    while !done.load(std::sync::atomic::Ordering::SeqCst) {
        bar.set_position(progress.counts().uploads);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn report(cli: &Cli, service: &Service, loaded: &LoadedFiles, took: Duration) -> Result<ExitCode, Failure> {
    let reader = Store::reader(service.home().database())?;
    let mut code = ExitCode::SUCCESS;
    let mut listing =
        Listing::new(&["file", "upload", "status", "rows", "stored", "quarantined", "superseded", "note"]);
    let mut totals = [0_u64; 4];
    let mut dead_upload = None;
    for (path, note) in &loaded.notes {
        let (upload, words) = match note {
            Note::Landed(upload) => (Some(*upload), String::new()),
            Note::Known(upload) => {
                (Some(*upload), format!("the bytes of upload {upload}: delivery recorded, nothing changed"))
            }
            Note::Retried(upload) => (Some(*upload), "a dead letter, tried again".to_owned()),
            Note::Refused { upload, feed, time_zone } => {
                code = ExitCode::from(exit::USAGE);
                let zone = time_zone.as_deref().unwrap_or("none");
                (
                    Some(*upload),
                    format!(
                        "E-SAME-BYTES: refused: these bytes are upload {upload} under feed {feed}, time zone {zone}; a supplier's feed or zone is changed in its profile, then `greenstream rebuild`"
                    ),
                )
            }
            Note::Unread { problem, hint } => {
                code = ExitCode::from(exit::IO);
                (None, format!("not read: {problem}; {hint}"))
            }
        };
        let row = upload.map(|upload| reader.upload(upload)).transpose()?.flatten();
        let words = match row.as_ref().and_then(|row| row.dead.as_ref()) {
            Some(dead) if !matches!(note, Note::Refused { .. }) => {
                code = ExitCode::from(exit::DEAD_LETTER);
                dead_upload = upload;
                format!("{}; {}", dead.message, dead.hint)
            }
            _ => words,
        };
        if matches!(note, Note::Landed(_) | Note::Retried(_))
            && let Some(row) = &row
        {
            for (total, part) in
                totals.iter_mut().zip([row.rows, row.stored, row.quarantined, row.superseded])
            {
                *total += part;
            }
        }
        listing.push(line(path, upload, row.as_ref(), &words));
    }
    print_listing(cli, &listing)?;
    if !cli.json {
        summary(&reader, &totals, loaded.notes.len(), took)?;
    }
    if let Some(notice) = service.configuration_notice()? {
        eprintln!("note: {notice}");
    }
    if !cli.json {
        next(cli, dead_upload, totals[2]);
    }
    Ok(code)
}

/// What one does after this, on standard error.
fn next(cli: &Cli, dead_upload: Option<u32>, quarantined: u64) {
    let program = open::program(cli);
    if let Some(upload) = dead_upload {
        eprintln!("next: `{program} dead-letters` has each problem with its way out; another layout is a");
        eprintln!("      profile of ten lines (docs/feeds.md): try `{program} feeds test FILE --feed NAME`,");
        eprintln!("      then `{program} dead-letters retry {upload} --feed NAME`");
    }
    if quarantined > 0 {
        eprintln!("next: `{program} errors` shows what was quarantined, with the raw lines");
    }
}

fn line(path: &Path, upload: Option<u32>, row: Option<&UploadRow>, words: &str) -> Vec<serde_json::Value> {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let number = |part: fn(&UploadRow) -> u64| row.map(part).into();
    vec![
        plain(&name).into(),
        upload.into(),
        row.map(|row| row.status.name()).into(),
        number(|row| row.rows),
        number(|row| row.stored),
        number(|row| row.quarantined),
        number(|row| row.superseded),
        words.into(),
    ]
}

/// The most files that are listed one by one.
const LISTED_MAX: usize = 60;

fn print_listing(cli: &Cli, listing: &Listing) -> Result<(), Failure> {
    if cli.json || listing.len() <= LISTED_MAX {
        return listing.print(cli.json, "no files");
    }
    listing.only_noted().print(false, "")
}

fn summary(reader: &Reader, totals: &[u64; 4], files: usize, took: Duration) -> Result<(), Failure> {
    let [rows, stored, quarantined, superseded] = *totals;
    let seconds = took.as_secs_f64().max(1e-9);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people"
    )]
    let rate = (rows as f64 / seconds) as u64;
    println!(
        "{} files, {} rows = {} stored + {} quarantined + {} superseded, in {seconds:.2} s ({} rows/s)",
        count(files as u64),
        count(rows),
        count(stored),
        count(quarantined),
        count(superseded),
        count(rate),
    );
    let books = reader.totals()?;
    println!(
        "home: {} rows = {} stored + {} quarantined + {} superseded{}",
        count(books.rows),
        count(books.stored),
        count(books.quarantined),
        count(books.superseded),
        if books.rows == books.stored + books.quarantined + books.superseded {
            ""
        } else {
            "  THE BOOKS DO NOT BALANCE"
        },
    );
    Ok(())
}
