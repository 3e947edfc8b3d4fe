//! `feeds accept`: takes the new version of a profile, and the files that are held for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use greenstream_core::decode::Feed;
use toml_edit::DocumentMut;

use super::code::Code;
use super::drift::{Case, Version, analyse, by_hand, open_case, upload};
use super::dry_run::decode_by;
use super::{Cli, Failure, act, open};
use crate::config::Config;
use crate::home::Home;
use crate::process::{Given, Service};
use crate::store::{Filter, StoreError, UploadRow, UploadStatus};
use crate::text::plain;

/// Arguments of `feeds accept`.
#[derive(Args, Debug)]
pub struct AcceptArgs {
    /// The dead letter whose layout is the new version.
    #[arg(value_name = "UPLOAD")]
    upload: u32,
    /// The new version, written by hand, where `feeds drift` does not settle it.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Why; kept as a comment in the profile.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Change nothing; say what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// A profile to save: its name, where, and its text.
struct Saved {
    path: PathBuf,
    text: String,
}

/// Carries out `feeds accept`. Exit 65 where an upload is a dead letter still.
pub fn accept(cli: &Cli, config: &Config, args: &AcceptArgs) -> Result<ExitCode, Failure> {
    let (case, row) = open_case(cli, config, args.upload)?;
    let drift = match &args.profile {
        None => analyse(&case),
        Some(path) => {
            let (text, feed) = read_profile(path)?;
            by_hand(&case, text, feed)
        }
    };
    let version = match &drift.version {
        Some(version) if drift.open.is_empty() => version,
        _ => return Err(unsettled(args, &drift.open)),
    };
    let (feed, saved) = plan(cli, config, &case, version, args)?;
    check(config, &feed, &saved)?;
    let (chosen, others) = held_alike(cli, config, &case, &row, version)?;
    let given = Given { feed: (feed != case.feed_name).then(|| feed.clone()), time_zone: None };
    if args.dry_run {
        for Saved { path, .. } in &saved {
            println!("{} would be written", path.display());
        }
        println!("{} dead letters would be tried again under feed {feed}", chosen.len());
        others.iter().for_each(|line| println!("{line}"));
        return Ok(ExitCode::SUCCESS);
    }
    // the home first: where another process owns it, nothing has been written
    let home = Home::open(&cli.home, "greenstream feeds accept")?;
    for Saved { path, text } in &saved {
        write(path, text)?;
        println!("written: {}", path.display());
    }
    let mut service = Service::open(home, open::config(cli)?)?;
    let code = act::retry(cli, &mut service, &chosen, &given)?;
    others.iter().for_each(|line| println!("{line}"));
    if let Some(notice) = service.configuration_notice()? {
        eprintln!("note: {notice}");
    }
    if feed != case.feed_name && version.feed.names.is_empty() && !version.feed.by_header {
        eprintln!(
            "next: no name or header means {feed}: land new files with `--feed {feed}`, or give it `names`"
        );
    }
    Ok(code)
}

fn unsettled(args: &AcceptArgs, open: &[String]) -> Failure {
    let number = args.upload;
    let hint = if args.profile.is_some() {
        format!(
            "correct the profile until it reads the file; `greenstream feeds drift {number}` shows what has changed"
        )
    } else {
        format!(
            "`greenstream feeds drift {number}` shows it; write the version yourself: `greenstream feeds accept {number} --profile FILE`"
        )
    };
    let open: Vec<String> = open.iter().map(|text| plain(text)).collect();
    Failure::new(Code::Unsettled, format!("nothing was changed: {}", open.join("; ")), hint)
}

fn read_profile(path: &Path) -> Result<(String, Feed), Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::io(path.display(), &error))?;
    let unfit = |problem: String| {
        Failure::new(Code::FeedProfile, problem, "correct the key that is named; docs/feeds.md has every key")
            .at(path.display(), "")
    };
    let feed: Feed = toml::from_str(&text).map_err(|error| unfit(error.to_string()))?;
    feed.check().map_err(|error| unfit(error.to_string()))?;
    Ok((text, feed))
}

/// What is to be saved, and the feed that reads the held files then. A version that reads the files before
/// takes the old one's place. Any other becomes a profile of its own: stored uploads stay with the old
/// one, so that a rebuild gives them again.
fn plan(
    cli: &Cli,
    config: &Config,
    case: &Case,
    version: &Version,
    args: &AcceptArgs,
) -> Result<(String, Vec<Saved>), Failure> {
    let old = &case.feed_name;
    let why = if args.reason.is_empty() { String::new() } else { format!(": {}", plain(&args.reason)) };
    let head = format!("# since upload {} {}{why}\n", case.held.upload, plain(&case.held.name));
    let folder = open::feeds_folder(cli, config);
    let saved = |name: &str, text: String| Saved { path: folder.join(format!("{name}.toml")), text };
    if version.reads_both {
        return Ok((old.clone(), vec![saved(old, format!("{head}{}", version.text))]));
    }
    let new = next_name(config, old);
    let unfit = |error: toml_edit::TomlError| {
        Failure::new(Code::FeedProfile, error.to_string(), "correct the profile; docs/feeds.md has every key")
    };
    let mut text: DocumentMut = version.text.parse().map_err(unfit)?;
    if let Some(name) = text.get_mut("name").and_then(|name| name.as_value_mut()) {
        let decor = name.decor().clone();
        *name = new.as_str().into();
        *name.decor_mut() = decor;
    }
    let mut all = vec![saved(&new, format!("{head}{text}"))];
    // where the header does not tell the versions apart, new files are of the new one
    if case.feed.fits(&case.held.bytes, &case.held.name) {
        let mut text: DocumentMut = case.text.parse().map_err(unfit)?;
        if text.remove("names").is_some() | text.remove("by_header").is_some() {
            all.push(saved(old, format!("# files from upload {} on: {new}\n{text}", case.held.upload)));
        }
    }
    Ok((new, all))
}

/// `acme_2` after `acme`, `acme_3` after that.
fn next_name(config: &Config, old: &str) -> String {
    let numbered = old
        .rsplit_once('_')
        .filter(|(base, number)| config.rulebook.feeds.contains_key(*base) && number.parse::<u32>().is_ok());
    let base = numbered.map_or(old, |(base, _)| base);
    let names = (2_u32..).map(|number| format!("{base}_{number}"));
    let mut free = names.filter(|name| !config.rulebook.feeds.contains_key(name));
    free.next().unwrap_or_else(|| format!("{base}_new"))
}

/// Refuses profiles with which the home could not be opened, before they are written.
fn check(config: &Config, feed: &str, saved: &[Saved]) -> Result<(), Failure> {
    let mut rulebook = config.rulebook.clone();
    for Saved { path, text } in saved {
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        rulebook.feeds.insert(name, text.clone());
    }
    let rules = rulebook.compile()?;
    let checked = rules.feeds.get(feed).map(Feed::check);
    checked.unwrap_or(Ok(())).map_err(|error| {
        Failure::new(Code::FeedProfile, error.to_string(), "correct the key that is named; docs/feeds.md")
    })
}

/// The dead letters of the same feed and code that the new version reads, and a line for each other.
fn held_alike(
    cli: &Cli,
    config: &Config,
    case: &Case,
    row: &UploadRow,
    version: &Version,
) -> Result<(Vec<u32>, Vec<String>), Failure> {
    let code = |row: &UploadRow| row.dead.as_ref().map(|dead| dead.code.clone());
    let mut alike = Vec::new();
    let filter = Filter { upload_status: Some(UploadStatus::Dead), ..Filter::default() };
    open::reader(cli)?.uploads::<StoreError>(&filter, &mut |other| {
        if other.landed.feed == case.feed_name && code(&other) == code(row) {
            alike.push(other);
        }
        Ok(())
    })?;
    let (mut chosen, mut others) = (Vec::new(), Vec::new());
    for other in &alike {
        let file = upload(cli, config, other)?;
        match decode_by(&version.feed, &file.bytes, &file.name, file.time_zone.as_deref()) {
            Ok(_) => chosen.push(file.upload),
            Err(note) => others.push(format!(
                "upload {} {}: still held, it does not read by this version either: {}",
                file.upload,
                plain(&file.name),
                plain(&note)
            )),
        }
    }
    Ok((chosen, others))
}

/// Writes a profile whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| Failure::io(path.display(), error);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    let new = path.with_extension("toml.tmp");
    fs::write(&new, text).map_err(|error| failed(&error))?;
    fs::rename(&new, path).map_err(|error| failed(&error))
}
