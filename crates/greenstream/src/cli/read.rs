//! Commands that read what is there.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::table::Listing;
use super::{Cli, Failure, Filter, open};
use crate::change::Status;
use crate::dataset::{Cell, Dataset, rows};
use crate::store::{self, StoreError, UploadStatus};
use crate::text::count;
use greenstream_core::Reason;

impl Filter {
    /// As the store understands it.
    pub fn compile(&self, dataset: Option<Dataset>) -> Result<store::Filter, Failure> {
        let reason = self.reason.as_deref().map(reason).transpose()?;
        let (mut status, mut upload_status) = (None, None);
        if let Some(name) = self.status.as_deref() {
            if dataset == Some(Dataset::Uploads) {
                upload_status = Some(UploadStatus::from_name(name).ok_or_else(|| {
                    Failure::usage(
                        format!("no upload status is called {name:?}"),
                        "choose landed, processing, done or dead",
                    )
                })?);
            } else {
                status = Some(Status::from_name(name).ok_or_else(|| {
                    Failure::usage(
                        format!("no status is called {name:?}"),
                        "choose open, released, edited or discarded",
                    )
                })?);
            }
        }
        Ok(store::Filter {
            meter: self.meter.clone(),
            from: self.from.as_deref().map(open::instant).transpose()?,
            to: self.to.as_deref().map(open::instant).transpose()?,
            reason,
            status,
            upload_status,
            upload: self.upload,
            limit: (self.limit > 0).then_some(self.limit as u64),
        })
    }
}

fn reason(name: &str) -> Result<Reason, Failure> {
    Reason::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        Failure::usage(format!("no reason is called {name:?}"), format!("choose one of {}", names.join(", ")))
    })
}

/// Lists a dataset.
pub fn list(cli: &Cli, dataset: Dataset, filter: &Filter, none: &str) -> Result<ExitCode, Failure> {
    let reader = open::reader(cli)?;
    let names: Vec<&'static str> = dataset.columns().iter().map(|(name, _)| *name).collect();
    let mut listing = Listing::new(&names);
    rows::<StoreError>(&reader, dataset, &filter.compile(Some(dataset))?, &mut |cells| {
        listing.push(cells.iter().map(shown).collect());
        Ok(())
    })?;
    let full = filter.limit > 0 && listing.len() >= filter.limit;
    listing.print(cli.json, none)?;
    if full && !cli.json {
        eprintln!("the first {}; --limit 0 shows all", filter.limit);
    }
    Ok(ExitCode::SUCCESS)
}

/// A cell of a listing: kilowatts keep their exact digits.
fn shown(cell: &Cell) -> Value {
    match cell {
        Cell::Kw(Some(kw)) => kw.to_string().parse::<serde_json::Number>().map_or(Value::Null, Value::Number),
        other => other.json(),
    }
}

/// `dead-letters`: uploads of which nothing was loaded.
pub fn dead_letters(cli: &Cli, filter: &Filter) -> Result<ExitCode, Failure> {
    let reader = open::reader(cli)?;
    let mut listing = Listing::new(&["upload", "name", "bytes", "landed_at", "code", "problem", "way_out"]);
    let filter =
        store::Filter { upload_status: Some(UploadStatus::Dead), ..filter.compile(Some(Dataset::Uploads))? };
    reader.uploads::<StoreError>(&filter, &mut |row| {
        let dead = row.dead.unwrap_or_default();
        listing.push(vec![
            row.landed.upload.into(),
            row.landed.name.into(),
            row.landed.bytes.into(),
            row.landed.landed_at.to_string().into(),
            dead.code.into(),
            dead.message.into(),
            dead.hint.into(),
        ]);
        Ok(())
    })?;
    listing.print(cli.json, "no dead letters")?;
    Ok(ExitCode::SUCCESS)
}

/// `meters`: the newest reading of every meter.
pub fn meters(cli: &Cli, filter: &Filter) -> Result<ExitCode, Failure> {
    let reader = open::reader(cli)?;
    let mut listing = Listing::new(&["meter_id", "newest", "kw", "flags"]);
    let filter = filter.compile(None)?;
    for (meter, ts, kw, flags) in reader.newest(filter.meter.as_deref(), filter.limit)? {
        let flags = serde_json::from_str(&flags).unwrap_or(Value::Null);
        listing.push(vec![meter.into(), ts.into(), kw.into(), flags]);
    }
    listing.print(cli.json, "no meters")?;
    Ok(ExitCode::SUCCESS)
}

/// `status`: where journal, database and archive stand, and the books.
pub fn status(cli: &Cli) -> Result<ExitCode, Failure> {
    let (reader, zone) = (open::reader(cli)?, open::zone(cli)?);
    let status = crate::status::gather(&reader, &zone, &open::placed(cli)?)?;
    if cli.json {
        println!("{status}");
        return Ok(ExitCode::SUCCESS);
    }
    let number = |pointer: &str| count(status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0));
    println!("home          {}", cli.home.display());
    for (what, part, usual) in [
        ("landing zone ", "landing", "landing"),
        ("server       ", "database", "greenstream.db"),
        ("archive      ", "archive", "archive"),
    ] {
        let place = text(&status, &format!("/places/{part}"));
        if place != cli.home.join(usual).display().to_string() {
            println!("{what} {place}");
        }
    }
    let free = |part: &str| match status.pointer(&format!("/free_bytes/{part}")).and_then(Value::as_u64) {
        Some(bytes) => format!("{part} {} MB", count(bytes / 1_000_000)),
        None if text(&status, &format!("/places/{part}")).contains("://") => {
            format!("{part} ({})", if part == "database" { "a server" } else { "a bucket" })
        }
        None => format!("{part} unknown"),
    };
    println!("free          {}", ["inbox", "landing", "database", "archive"].map(free).join(", "));
    println!("journal       entry {}", number("/journal/entry"));
    println!("database      entry {} ({} waiting)", number("/database/entry"), number("/waiting"));
    println!(
        "configuration version {} in force, {} in the database",
        text(&status, "/configuration/journal"),
        text(&status, "/configuration/database")
    );
    println!(
        "uploads       {} done, {} dead, {} waiting",
        number("/uploads/done"),
        number("/uploads/dead"),
        number("/uploads/landed"),
    );
    println!(
        "rows          {} = {} stored + {} quarantined + {} superseded{}",
        number("/rows/all"),
        number("/rows/stored"),
        number("/rows/quarantined"),
        number("/rows/superseded"),
        if status["rows"]["balanced"] == json!(true) { "" } else { "  THE BOOKS DO NOT BALANCE" },
    );
    println!("meters        {}", number("/meters"));
    println!("error queue   {} open", number("/errors_open"));
    println!("alerts        {} to send", number("/alerts_waiting"));
    Ok(ExitCode::SUCCESS)
}

fn text(status: &Value, pointer: &str) -> String {
    match status.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "none".to_owned(),
        Some(other) => other.to_string(),
    }
}
