//! `feeds detect`: a profile for an unknown file, with what speaks for and against it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use greenstream_core::decode::{Decoded, Feed};
use greenstream_core::detect::{Asked, Detected, Foreign, Profile, Proposal, detect as analyse};
use serde_json::{Value, json};

use super::code::Code;
use super::dry_run::{check_given, decode_by, read, reasons};
use super::failure::exit;
use super::table::Listing;
use super::{Cli, Failure, open};
use crate::config::Config;
use crate::landing::name_of;
use crate::process::Given;
use crate::text::escaped;

/// How many readings are shown.
const SHOWN: usize = 6;

/// What to look at.
#[derive(Args, Debug)]
pub struct DetectArgs {
    /// The file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What times without an offset mean (IANA name).
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Save the profile under this name in the home's folder of profiles.
    #[arg(long, value_name = "NAME")]
    write: Option<String>,
}

/// All rows of a file and those that decode, or why it would be a dead letter.
type Books = Result<(usize, usize), String>;

/// A file with what was found out about it.
struct Report<'a> {
    path: &'a Path,
    zone: Option<&'a str>,
    /// The zone of the readings that are shown.
    shown_zone: Option<&'a str>,
    proposal: Proposal,
    /// Profiles whose columns the header has, with what they make of it.
    fitting: Vec<(String, Books)>,
    /// What the proposed profile makes of the whole file.
    decoded: Option<Result<Decoded, String>>,
}

/// Carries out `feeds detect`. Exit 1 where no profile can be used as it is.
pub fn detect(cli: &Cli, config: &Config, args: &DetectArgs) -> Result<ExitCode, Failure> {
    let zone = args.time_zone.as_deref();
    check_given(config, &Given { feed: None, time_zone: args.time_zone.clone() })?;
    let target = args.write.as_deref().map(|name| target(cli, config, name)).transpose()?;
    let name = name_of(&args.file);
    let bytes = match read(&args.file, config)? {
        Ok(bytes) => bytes,
        Err(note) => return foreign(cli, &args.file, &Foreign { what: note, way_out: String::new() }),
    };
    let asked = Asked { name: &name, time_zone: zone, feed: args.write.as_deref() };
    let proposal = match analyse(&bytes, &asked) {
        Detected::Table(proposal) => *proposal,
        Detected::Foreign(found) => return foreign(cli, &args.file, &found),
    };
    let rules = config.rulebook.compile()?;
    let fits = |feed: &&Feed| feed.header && feed.fits(&bytes, &name);
    let tried = rules.feeds.iter().filter(|(_, feed)| fits(feed));
    let fitting =
        tried.map(|(known, feed)| (known.clone(), decode_by(feed, &bytes, &name, zone).map(books))).collect();
    // without a zone no row could be shown
    let shown_zone = if proposal.doubts.iter().any(|doubt| doubt.key == "time_zone" && doubt.blocks) {
        Some("UTC")
    } else {
        zone
    };
    let decoded =
        proposal.profile.as_ref().map(|profile| decode_by(&profile.feed, &bytes, &name, shown_zone));
    let report = Report { path: &args.file, zone, shown_zone, proposal, fitting, decoded };
    let written = match (&target, &report.proposal.profile) {
        (Some(path), Some(profile)) if report.proposal.is_ready() => Some(write(path, profile)?),
        _ => None,
    };
    let printed = if cli.json { report.print_json() } else { report.print(written) };
    Failure::printed(printed)?;
    if target.is_some() && written.is_none() {
        return Err(Failure::new(
            Code::Unsettled,
            "the profile was not written: something is not settled",
            "settle what is listed under `not settled`, or save the profile yourself and complete it",
        ));
    }
    Ok(if report.proposal.is_ready() { ExitCode::SUCCESS } else { ExitCode::from(exit::FINDING) })
}

/// Where to save a profile of this name, which must be new.
fn target(cli: &Cli, config: &Config, name: &str) -> Result<PathBuf, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        return Err(Failure::usage(
            format!("{name:?} is no name for a profile"),
            "use up to 64 letters, digits, `_` and `-`",
        ));
    }
    if config.rulebook.feeds.contains_key(name) || name == "default" {
        return Err(Failure::usage(
            format!("there is a feed named {name:?} already"),
            "choose another name; `greenstream feeds list` shows those there are",
        ));
    }
    Ok(open::feeds_folder(cli, config).join(format!("{name}.toml")))
}

/// Saves a profile; what is there is never overwritten.
fn write<'p>(path: &'p Path, profile: &Profile) -> Result<&'p Path, Failure> {
    let failed = |error: &io::Error| Failure::io(path.display(), error);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| failed(&error))?;
    file.write_all(profile.toml.as_bytes()).map_err(|error| failed(&error))?;
    Ok(path)
}

/// A file that is no table of readings.
fn foreign(cli: &Cli, path: &Path, found: &Foreign) -> Result<ExitCode, Failure> {
    let shown = escaped(&path.display().to_string());
    let mut out = io::stdout().lock();
    let printed = if cli.json {
        let value =
            json!({ "file": shown, "ready": false, "looks_like": found.what, "way_out": found.way_out });
        writeln!(out, "{value}")
    } else {
        let way_out = if found.way_out.is_empty() { String::new() } else { format!("\n  {}", found.way_out) };
        writeln!(out, "{shown} looks like {}{}", escaped(&found.what), escaped(&way_out).replace("\\n", "\n"))
    };
    Failure::printed(printed)?;
    Ok(ExitCode::from(exit::FINDING))
}

impl Report<'_> {
    fn print(&self, written: Option<&Path>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let path = escaped(&self.path.display().to_string());
        for (name, books) in &self.fitting {
            match books {
                Ok((rows, decoded)) => {
                    writeln!(out, "`{name}` reads it already: {decoded} of {rows} rows (--feed {name})")?;
                }
                Err(note) => writeln!(out, "`{name}` fits its header, but: {}", escaped(note))?,
            }
        }
        let proposal = &self.proposal;
        let (open, doubts): (Vec<_>, Vec<_>) = proposal.doubts.iter().partition(|doubt| doubt.blocks);
        for (title, list) in [("not settled", open), ("unsure", doubts)] {
            if !list.is_empty() {
                writeln!(out, "{title}:")?;
            }
            for (number, doubt) in (1..).zip(list) {
                writeln!(out, "  {number}. {}: {}", doubt.key, escaped(&doubt.question))?;
                if !doubt.alternatives.is_empty() {
                    writeln!(out, "     or: {}", escaped(&doubt.alternatives.join(", ")))?;
                }
                writeln!(out, "     settle it: {}", escaped(&doubt.settle))?;
            }
        }
        if !proposal.traps.is_empty() {
            writeln!(out, "traps:")?;
        }
        for trap in &proposal.traps {
            let asked = proposal.doubts.iter().find(|doubt| doubt.question.contains(&trap.text));
            let text = asked.map_or_else(|| escaped(&trap.text), |doubt| format!("see {} above", doubt.key));
            writeln!(out, "  {}: {text}", trap.kind.name())?;
        }
        writeln!(out, "reasons:")?;
        for reason in &proposal.reasons {
            let (value, evidence) = (escaped(&reason.value), escaped(&reason.evidence));
            writeln!(out, "  {} is {value}: {evidence}", reason.key)?;
        }
        let Some(profile) = &proposal.profile else {
            return writeln!(out, "no profile yet: see `not settled`");
        };
        writeln!(out, "\nprofile:")?;
        for line in profile.toml.lines() {
            writeln!(out, "    {}", escaped(line))?;
        }
        drop(out);
        self.print_readings()?;
        let mut out = io::stdout().lock();
        let zone = self.zone.map_or_else(String::new, |zone| format!(" --time-zone {zone}"));
        let file = self.path.display().to_string();
        let file = if file.contains(' ') { format!("'{path}'") } else { path };
        match written {
            Some(saved) => {
                let name = &profile.feed.name;
                writeln!(out, "\nwritten: {}\nnext: greenstream ingest {file} --feed {name}", saved.display())
            }
            None if proposal.is_ready() => {
                writeln!(out, "\nnext: greenstream feeds detect {file}{zone} --write {}", profile.feed.name)
            }
            None => Ok(()),
        }
    }

    fn print_readings(&self) -> io::Result<()> {
        let decoded = match &self.decoded {
            Some(Ok(decoded)) => decoded,
            Some(Err(note)) => {
                return writeln!(io::stdout(), "\nthe file would be a dead letter: {}", escaped(note));
            }
            None => return Ok(()),
        };
        let mut listing = Listing::new(&["meter_id", "ts", "kw", "flags"]);
        first_readings(decoded).into_iter().for_each(|row| listing.push(row));
        let assumed = match (self.zone, self.shown_zone) {
            (None, Some(zone)) => format!(", as if times were {zone}"),
            _ => String::new(),
        };
        writeln!(io::stdout(), "\nfirst readings{assumed}:")?;
        listing.write(false, "none")?;
        let mut books = Listing::new(&["rows", "decoded", "quarantined", "meters", "first", "last", "note"]);
        books.push(accounting(decoded).into_iter().map(|(_, value)| value).collect());
        writeln!(io::stdout(), "\nthe whole file{assumed}:")?;
        books.write(false, "none")
    }

    fn print_json(&self) -> io::Result<()> {
        let proposal = &self.proposal;
        let doubts = proposal.doubts.iter().map(|doubt| {
            json!({ "key": doubt.key, "question": doubt.question, "alternatives": doubt.alternatives,
                    "settle": doubt.settle, "blocks": doubt.blocks })
        });
        let reasons = proposal
            .reasons
            .iter()
            .map(|reason| json!({ "key": reason.key, "value": reason.value, "evidence": reason.evidence }));
        let traps = proposal.traps.iter().map(|trap| json!({ "kind": trap.kind.name(), "text": trap.text }));
        let registers = proposal.registers.iter().map(|register| {
            json!({ "column": register.position, "name": register.name, "evidence": register.evidence })
        });
        let fitting = self.fitting.iter().map(|(name, books)| match books {
            Ok((rows, decoded)) => json!({ "feed": name, "rows": rows, "decoded": decoded }),
            Err(note) => json!({ "feed": name, "dead_letter": note }),
        });
        let (readings, books, dead_letter) = match &self.decoded {
            Some(Ok(decoded)) => {
                let keys = ["meter_id", "ts", "kw", "flags"];
                let object = |row: Vec<Value>| keys.iter().map(|key| (*key).to_owned()).zip(row).collect();
                let readings = first_readings(decoded).into_iter().map(object).map(Value::Object).collect();
                let books = accounting(decoded).into_iter().map(|(key, value)| (key.to_owned(), value));
                (readings, Value::Object(books.collect()), Value::Null)
            }
            Some(Err(note)) => (Vec::new(), Value::Null, note.as_str().into()),
            None => (Vec::new(), Value::Null, Value::Null),
        };
        let report = json!({
            "file": escaped(&self.path.display().to_string()),
            "ready": proposal.is_ready(),
            "fits": fitting.collect::<Vec<_>>(),
            "doubts": doubts.collect::<Vec<_>>(),
            "traps": traps.collect::<Vec<_>>(),
            "registers": registers.collect::<Vec<_>>(),
            "reasons": reasons.collect::<Vec<_>>(),
            "profile": proposal.profile.as_ref().map(|profile| profile.toml.as_str()),
            "readings_zone": self.shown_zone,
            "readings": readings,
            "accounting": books,
            "dead_letter": dead_letter,
        });
        writeln!(io::stdout(), "{report}")
    }
}

/// All rows, and those that decode.
fn books(decoded: Decoded) -> (usize, usize) {
    (decoded.row_count(), decoded.rows.len())
}

fn first_readings(decoded: &Decoded) -> Vec<Vec<Value>> {
    let row = |row: &greenstream_core::decode::Row| {
        let meter = decoded.meters.get(row.meter as usize).map_or("", String::as_str);
        let flags: Vec<Value> = row.flags.iter().map(|flag| flag.name().into()).collect();
        vec![
            meter.into(),
            row.ts.to_string().into(),
            row.kw.map(|kw| kw.to_string()).into(),
            Value::Array(flags),
        ]
    };
    decoded.rows.iter().take(SHOWN).map(row).collect()
}

fn accounting(decoded: &Decoded) -> Vec<(&'static str, Value)> {
    let ts = || decoded.rows.iter().map(|row| row.ts);
    vec![
        ("rows", decoded.row_count().into()),
        ("decoded", decoded.rows.len().into()),
        ("quarantined", decoded.rejects.len().into()),
        ("meters", decoded.meters.len().into()),
        ("first", ts().min().map(|ts| ts.to_string()).into()),
        ("last", ts().max().map(|ts| ts.to_string()).into()),
        ("note", reasons(decoded).into()),
    ]
}
