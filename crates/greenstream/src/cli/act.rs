//! Commands that act on the error queue and on dead letters.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use greenstream_core::decode::parse_kw;

use super::code::Code;
use super::failure::exit;
use super::{Cli, Failure, Filter, open, read};
use crate::change::Status;
use crate::dataset::Dataset;
use crate::landing::{Action, DecisionBody};
use crate::process::{Given, Service};
use crate::store::{self, ErrorRow, Reader, StoreError, UploadStatus};
use crate::text::count;

/// Arguments of `errors`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ErrorsArgs {
    #[command(flatten)]
    filter: Filter,
    #[command(subcommand)]
    action: Option<ErrorsAction>,
}

#[derive(Subcommand, Debug)]
enum ErrorsAction {
    /// Accept rows as they are: trusted from now on, not judged again.
    Release(Decide),
    /// Accept a row with another value.
    Edit(Edit),
    /// Throw rows out: they stay quarantined, and the next row of their reading wins.
    Discard(Decide),
    /// Take back what was decided.
    Undo(Decide),
}

/// Which rows, by whom and why.
#[derive(Args, Debug)]
struct Decide {
    /// Rows as UPLOAD:ROW, such as 3:17; or a filter instead.
    #[arg(value_name = "UPLOAD:ROW")]
    ids: Vec<String>,
    /// Rows of this meter.
    #[arg(long, value_name = "ID")]
    meter: Option<String>,
    /// Rows of this upload.
    #[arg(long, value_name = "N")]
    upload: Option<u32>,
    /// Rows quarantined for this reason.
    #[arg(long, value_name = "REASON")]
    quarantined_for: Option<String>,
    /// Rows from this instant on.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Rows before this instant.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Why you decide so; kept with the decision.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Who decides [default: the user of this process].
    #[arg(long, value_name = "NAME", env = "USER", default_value = "operator")]
    who: String,
    /// Change nothing; say what would be decided.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
struct Edit {
    #[command(flatten)]
    decide: Decide,
    /// The value in kW.
    #[arg(long, value_name = "KW", allow_hyphen_values = true)]
    kw: String,
}

/// Carries out `errors` and its actions.
pub fn errors(cli: &Cli, args: &ErrorsArgs) -> Result<ExitCode, Failure> {
    let (action, decide, kw) = match &args.action {
        None => return read::list(cli, Dataset::ErrorQueue, &args.filter, "the error queue is empty"),
        Some(ErrorsAction::Release(decide)) => (Action::Release, decide, None),
        Some(ErrorsAction::Discard(decide)) => (Action::Discard, decide, None),
        Some(ErrorsAction::Undo(decide)) => (Action::Undo, decide, None),
        Some(ErrorsAction::Edit(edit)) => {
            let kw = parse_kw(&edit.kw).ok_or_else(|| {
                Failure::usage(format!("{:?} is no power in kW", edit.kw), "write a number such as 1.25")
            })?;
            (Action::Edit, &edit.decide, Some(kw.to_string()))
        }
    };
    let reader = match decide.dry_run {
        true => open::reader(cli)?,
        false => open::reader_at_head(cli, "greenstream errors")?,
    };
    let rows = chosen(&reader, decide, action)?;
    let mut bodies = Vec::new();
    for row in &rows {
        check(row, action)?;
        bodies.push(DecisionBody {
            upload: row.upload,
            row_number: row.row_number,
            action,
            kw: kw.clone(),
            reason: row.reason,
            who: decide.who.clone(),
            why: decide.reason.clone(),
        });
    }
    let done = match action {
        Action::Release => "released",
        Action::Edit => "edited",
        Action::Discard => "discarded",
        Action::Undo => "taken back",
    };
    if decide.dry_run {
        println!("{} rows would be {done}", count(rows.len() as u64));
        return Ok(ExitCode::SUCCESS);
    }
    drop(reader);
    let mut service = open::service(cli, "greenstream errors")?;
    service.decide(bodies)?;
    service.finish()?;
    println!("{} rows {done}", count(rows.len() as u64));
    Ok(ExitCode::SUCCESS)
}

/// The rows that ids or filter name.
fn chosen(reader: &Reader, decide: &Decide, action: Action) -> Result<Vec<ErrorRow>, Failure> {
    let filter = Filter {
        meter: decide.meter.clone(),
        upload: decide.upload,
        reason: decide.quarantined_for.clone(),
        from: decide.from.clone(),
        to: decide.to.clone(),
        ..Filter::default()
    };
    let filtered = filter.meter.is_some()
        || filter.upload.is_some()
        || filter.reason.is_some()
        || filter.from.is_some()
        || filter.to.is_some();
    if decide.ids.is_empty() != filtered {
        return Err(Failure::usage(
            "name rows, or a filter that takes them",
            "`greenstream errors` lists rows as upload and row_number: 3:17; a filter is --meter, --upload, --quarantined-for, --from, --to",
        ));
    }
    let mut rows = Vec::new();
    if filtered {
        let mut filter = filter.compile(Some(Dataset::ErrorQueue))?;
        let wants_open = action != Action::Undo;
        filter.status = wants_open.then_some(Status::Open);
        reader.errors::<StoreError>(&filter, &mut |row| {
            if (row.status == Status::Open) == wants_open {
                rows.push(row);
            }
            Ok(())
        })?;
        return Ok(rows);
    }
    let mut named = BTreeSet::new();
    for id in &decide.ids {
        let parsed =
            id.split_once(':').and_then(|(upload, row)| Some((upload.parse().ok()?, row.parse().ok()?)));
        let (upload, row_number) = parsed.ok_or_else(|| {
            Failure::usage(format!("{id:?} is no row"), "write upload and row_number as 3:17")
        })?;
        if !named.insert((upload, row_number)) {
            continue;
        }
        let found = match reader.error(upload, row_number)? {
            None if action == Action::Undo => asleep(reader, upload, row_number)?,
            found => found,
        };
        let row = found.ok_or_else(|| {
            Failure::new(
                Code::RowUnknown,
                format!("row {row_number} of upload {upload} is not in the error queue"),
                "`greenstream errors` lists what is",
            )
        })?;
        rows.push(row);
    }
    Ok(rows)
}

/// A decided row that lost its reading: it has left the queue while its decision sleeps, which can be
/// taken back all the same.
fn asleep(reader: &Reader, upload: u32, row_number: u32) -> Result<Option<ErrorRow>, StoreError> {
    Ok(reader.decision(upload, row_number)?.map(|decision| ErrorRow {
        upload,
        row_number,
        meter: decision.meter,
        meter_id: String::new(),
        ts: decision.ts,
        kw: decision.kw,
        reason: decision.reason,
        flags: decision.flags,
        status: decision.status,
        raw: String::new(),
    }))
}

/// Whether an action fits a row as it stands.
fn check(row: &ErrorRow, action: Action) -> Result<(), Failure> {
    let id = format!("row {}:{}", row.upload, row.row_number);
    let refuse = |why: String, hint: &str| Err(Failure::new(Code::Decision, format!("{id} {why}"), hint));
    match action {
        Action::Undo if row.status == Status::Open => {
            refuse("is open: nothing has been decided about it".to_owned(), "leave it out")
        }
        Action::Undo => Ok(()),
        _ if row.status != Status::Open => refuse(
            format!("is {} already", row.status.name()),
            "take that back first: `greenstream errors undo`",
        ),
        Action::Release if row.reason.is_decode_failure() => refuse(
            format!("failed to decode ({}) and has no value to release", row.reason.name()),
            "edit it, if its meter and time are known, or discard it",
        ),
        Action::Edit
            if row.ts.is_none()
                || row.meter_id.is_empty()
                || row.reason == greenstream_core::Reason::MeterIdInvalid =>
        {
            refuse(
                "has no meter or no time that could be read".to_owned(),
                "discard it; the sender must correct it",
            )
        }
        _ => Ok(()),
    }
}

/// Arguments of `dead-letters`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DeadLettersArgs {
    #[command(flatten)]
    filter: Filter,
    #[command(subcommand)]
    action: Option<DeadLettersAction>,
}

#[derive(Subcommand, Debug)]
enum DeadLettersAction {
    /// Try dead letters again, under another feed or time zone if given.
    Retry {
        /// Upload numbers; all dead letters where none is named and --all is given.
        #[arg(value_name = "UPLOAD", required_unless_present = "all")]
        uploads: Vec<u32>,
        /// Every dead letter.
        #[arg(long)]
        all: bool,
        /// The feed that reads them now.
        #[arg(long, value_name = "NAME")]
        feed: Option<String>,
        /// What times without an offset mean (IANA name).
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// Change nothing; say what would be tried.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Carries out `dead-letters` and its action.
pub fn dead_letters(cli: &Cli, args: &DeadLettersArgs) -> Result<ExitCode, Failure> {
    let Some(DeadLettersAction::Retry { uploads, all, feed, time_zone, dry_run }) = &args.action else {
        return read::dead_letters(cli, &args.filter);
    };
    let reader = match dry_run {
        true => open::reader(cli)?,
        false => open::reader_at_head(cli, "greenstream dead-letters retry")?,
    };
    let mut dead = Vec::new();
    let filter = store::Filter { upload_status: Some(UploadStatus::Dead), ..store::Filter::default() };
    reader.uploads::<StoreError>(&filter, &mut |row| {
        dead.push(row.landed.upload);
        Ok(())
    })?;
    let chosen: Vec<u32> = if *all { dead.clone() } else { uploads.clone() };
    if let Some(other) = chosen.iter().find(|upload| !dead.contains(upload)) {
        return Err(Failure::new(
            Code::NotDead,
            format!("upload {other} is no dead letter"),
            "`greenstream dead-letters` lists those there are",
        ));
    }
    if *dry_run {
        println!("{} dead letters would be tried again", chosen.len());
        return Ok(ExitCode::SUCCESS);
    }
    drop(reader);
    let given = Given { feed: feed.clone(), time_zone: time_zone.clone() };
    super::dry_run::check_given(&open::config(cli)?, &given)?;
    let mut service = open::service(cli, "greenstream dead-letters retry")?;
    retry(cli, &mut service, &chosen, &given)
}

/// Tries dead letters again and says what became of each. Exit 65 where one is dead still.
pub fn retry(cli: &Cli, service: &mut Service, uploads: &[u32], given: &Given) -> Result<ExitCode, Failure> {
    service.retry(uploads, given)?;
    service.finish()?;
    let reader = open::reader(cli)?;
    let mut still = 0;
    for upload in uploads {
        if let Some(row) = reader.upload(*upload)? {
            match row.dead {
                None => println!("upload {upload} {}: {} rows", row.landed.name, count(row.rows)),
                Some(dead) => {
                    still += 1;
                    println!(
                        "upload {upload} {}: still dead: {}; {}",
                        row.landed.name, dead.message, dead.hint
                    );
                }
            }
        }
    }
    Ok(if still > 0 { ExitCode::from(exit::DEAD_LETTER) } else { ExitCode::SUCCESS })
}
