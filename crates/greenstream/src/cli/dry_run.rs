//! What files would give: decoded and counted, nothing written.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use greenstream_core::decode::{Decoded, Feed, Given as DecodeGiven};

use super::code::Code;
use super::failure::exit;
use super::table::Listing;
use super::{Cli, Failure, open};
use crate::config::{Config, Rules};
use crate::landing::{Content, Failure as ReadFailure, Source, head_of, name_of, open_regular};
use crate::process::Given;
use crate::{clock, text};

/// Says what is wrong with `--feed` or `--time-zone` before anything lands under it.
pub fn check_given(config: &Config, given: &Given) -> Result<(), Failure> {
    if let Some(name) = &given.feed
        && name != "default" // which is no profile, and listed with them
        && !config.rulebook.feeds.contains_key(name)
    {
        return Err(Failure::new(
            Code::FeedUnknown,
            format!("no feed is named {name:?}"),
            "`greenstream feeds list` shows the names",
        ));
    }
    if let Some(zone) = &given.time_zone
        && greenstream_core::Zone::parse(zone).is_err()
    {
        return Err(Failure::new(
            Code::ZoneUnknown,
            format!("unknown time zone {zone:?}"),
            "use an IANA name such as `Europe/London`",
        ));
    }
    Ok(())
}

/// Decodes each file and says what it would give. Exit 65 where one would be a dead letter.
pub fn dry_run(cli: &Cli, files: &[PathBuf], given: &Given) -> Result<ExitCode, Failure> {
    let config = open::config(cli)?;
    check_given(&config, given)?;
    let rules = config.rulebook.compile()?;
    let mut listing =
        Listing::new(&["file", "feed", "rows", "decoded", "quarantined", "meters", "first", "last", "note"]);
    let mut code = ExitCode::SUCCESS;
    for path in files {
        let name = name_of(path);
        let head = || head_of(&Source::File(path.clone()));
        let fitting = || rules.feed_for(&name, &config.file.default_feed, head).to_owned();
        let feed = given.feed.clone().unwrap_or_else(fitting);
        let mut row = vec![text::plain(&name).into(), feed.clone().into()];
        match decode(path, &name, &feed, given, &config, &rules)? {
            Ok(decoded) => {
                let ts = || decoded.rows.iter().map(|row| row.ts);
                row.extend([
                    decoded.row_count().into(),
                    decoded.rows.len().into(),
                    decoded.rejects.len().into(),
                    decoded.meters.len().into(),
                    ts().min().map(|ts| ts.to_string()).into(),
                    ts().max().map(|ts| ts.to_string()).into(),
                    reasons(&decoded).into(),
                ]);
            }
            Err(note) => {
                code = ExitCode::from(exit::DEAD_LETTER);
                row.extend([
                    0.into(),
                    0.into(),
                    0.into(),
                    0.into(),
                    None::<String>.into(),
                    None::<String>.into(),
                ]);
                row.push(format!("would be a dead letter: {note}").into());
            }
        }
        listing.push(row);
    }
    listing.print(cli.json, "no files")?;
    Ok(code)
}

fn decode(
    path: &Path,
    name: &str,
    feed: &str,
    given: &Given,
    config: &Config,
    rules: &Rules,
) -> Result<Result<Decoded, String>, Failure> {
    let Some(feed) = rules.feeds.get(feed) else {
        return Err(Failure::new(
            Code::FeedUnknown,
            format!("no feed is named {feed:?}"),
            "`greenstream feeds list` shows the names",
        ));
    };
    match read(path, config)? {
        Ok(bytes) => Ok(decode_by(feed, &bytes, name, given.time_zone.as_deref())),
        Err(note) => Ok(Err(note)),
    }
}

/// The decoded bytes of a file, or what is wrong with them and the way out.
pub fn read(path: &Path, config: &Config) -> Result<Result<Vec<u8>, String>, Failure> {
    let file: File = open_regular(path).map_err(open::given_path)?;
    let content = Content::new(file, path, config.file.sizes.upload_bytes_max)?;
    match content.read_all() {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(ReadFailure::Refused(refusal)) => Ok(Err(format!("{refusal}; {}", refusal.hint()))),
        Err(ReadFailure::World(error)) => Err(error.into()),
    }
}

/// What a feed makes of an upload's content as it was sent, or why it would be a dead letter.
pub fn decode_by(feed: &Feed, bytes: &[u8], name: &str, zone: Option<&str>) -> Result<Decoded, String> {
    let given = DecodeGiven { time_zone: zone, name, landed_at: clock::now() };
    let decoder = feed.compile(&given).map_err(|error| error.to_string())?;
    let mut stream = decoder.stream();
    let decoded =
        stream.push(&feed.text_of(bytes, true)).and_then(|()| stream.finish()).map(|mut decoded| {
            // what other uploads tell of the registers is not asked for
            if let Some(interval) = decoded.registers {
                decoded.difference(interval, &mut |_, _| None);
            }
            decoded
        });
    decoded.map_err(|refusal| format!("{refusal}; {}", refusal.hint()))
}

/// How many rows failed for which reason, in words.
pub fn reasons(decoded: &Decoded) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reject in &decoded.rejects {
        *counts.entry(reject.reason.name()).or_default() += 1;
    }
    counts.iter().map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>().join(", ")
}
