//! `feeds drift`: what has changed in a file that its profile does not fit.

use std::io::{self, Write};
use std::process::ExitCode;

use greenstream_core::decode::FileFormat;
use serde_json::{Value, json};

use super::code::Code;
use super::dry_run::reasons;
use super::failure::exit;
use super::table::Listing;
use super::{Cli, Failure, open};
use crate::config::Config;
use crate::landing::Failure as ReadFailure;
use crate::store::{Filter, StoreError, UploadRow, UploadStatus};
use crate::text::escaped;

mod analysis;
mod columns;
mod profile;
mod ranges;

pub use analysis::{Case, Drift, Upload, Version, analyse, by_hand};
use columns::Fate;
use profile::diff;
use ranges::Ranges;

/// Carries out `feeds drift`. Exit 1 where something is not settled.
pub fn drift(cli: &Cli, config: &Config, upload: u32) -> Result<ExitCode, Failure> {
    let (case, row) = open_case(cli, config, upload)?;
    let drift = analyse(&case);
    let printed = if cli.json { drift.print_json(&case, &row) } else { drift.print(&case, &row) };
    Failure::printed(printed)?;
    let program = open::program(cli);
    if drift.open.is_empty() {
        eprintln!("next: `{program} feeds accept {upload}` takes this version, and the files held for it");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("next: write the version by hand, then `{program} feeds accept {upload} --profile FILE`");
    Ok(ExitCode::from(exit::FINDING))
}

/// A dead letter whose layout may have changed, its profile, and the last file that this fitted.
pub fn open_case(cli: &Cli, config: &Config, number: u32) -> Result<(Case, UploadRow), Failure> {
    let reader = open::reader(cli)?;
    let row = reader.upload(number)?.filter(|row| row.status == UploadStatus::Dead).ok_or_else(|| {
        Failure::new(
            Code::NotDead,
            format!("upload {number} is no dead letter"),
            "`greenstream dead-letters` lists those there are",
        )
    })?;
    let dead = row.dead.clone().unwrap_or_default();
    if !matches!(dead.code.as_str(), "header_unfit" | "feed_changed") {
        return Err(Failure::usage(
            format!("upload {number} is not held for its layout but for {}: {}", dead.code, dead.message),
            dead.hint,
        ));
    }
    let name = row.landed.feed.clone();
    let Some(text) = config.rulebook.feeds.get(&name) else {
        if name != "default" {
            let problem = format!("no feed is named {name:?} any more, under which upload {number} landed");
            return Err(Failure::new(Code::FeedUnknown, problem, "put its profile back into `feeds/`"));
        }
        return Err(Failure::usage(
            format!("upload {number} landed under the default feed, whose layout does not change"),
            format!(
                "`greenstream feeds detect FILE --write NAME` makes a profile of the file, `greenstream dead-letters retry {number} --feed NAME` reads it by that"
            ),
        ));
    };
    let rules = config.rulebook.compile()?;
    let feed = rules.feeds.get(&name).cloned().ok_or_else(|| {
        Failure::new(Code::FeedUnknown, format!("no feed is named {name:?}"), "`greenstream feeds list`")
    })?;
    if feed.format != FileFormat::Csv {
        return Err(Failure::usage(
            format!("feed {name} is a format of its own, which has no columns"),
            dead.hint,
        ));
    }
    let mut newest: Option<UploadRow> = None;
    let done = Filter { upload_status: Some(UploadStatus::Done), ..Filter::default() };
    reader.uploads::<StoreError>(&done, &mut |row| {
        let later = newest.as_ref().is_none_or(|found| found.landed.upload < row.landed.upload);
        if row.landed.feed == name && row.rows > row.quarantined && later {
            newest = Some(row);
        }
        Ok(())
    })?;
    let held = upload(cli, config, &row)?;
    let loaded = newest.map(|row| upload(cli, config, &row)).transpose()?;
    Ok((Case { feed_name: name, feed, text: text.clone(), held, loaded }, row))
}

/// An upload with its bytes as the landing zone has them.
pub fn upload(cli: &Cli, config: &Config, row: &UploadRow) -> Result<Upload, Failure> {
    let landed = &row.landed;
    let content = open::zone(cli)?.content(landed.upload, config.file.sizes.upload_bytes_max)?;
    let bytes = content.read_all().map_err(|failure| match failure {
        ReadFailure::Refused(refusal) => Failure::usage(refusal.to_string(), refusal.hint()),
        ReadFailure::World(error) => error.into(),
    })?;
    Ok(Upload {
        upload: landed.upload,
        name: landed.name.clone(),
        time_zone: landed.time_zone.clone(),
        bytes,
    })
}

impl Drift {
    pub fn print(&self, case: &Case, row: &UploadRow) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let (feed, name) = (&case.feed_name, escaped(&case.held.name));
        let code = row.dead.as_ref().map_or("", |dead| dead.code.as_str());
        writeln!(out, "upload {} {name}: held under feed {feed} for {code}", case.held.upload)?;
        match &case.loaded {
            Some(loaded) => {
                let name = escaped(&loaded.name);
                writeln!(
                    out,
                    "compared with upload {} {name}, the newest of the feed that is loaded",
                    loaded.upload
                )?;
            }
            None => writeln!(out, "compared with the profile: no upload of the feed is loaded")?,
        }
        drop(out);
        self.print_columns()?;
        let mut listing = Listing::new(&RANGE_COLUMNS);
        for (file, ranges) in [("before", &self.before), ("now", &self.now)] {
            let cells = |ranges: &Ranges| std::iter::once(file.into()).chain(ranges.cells()).collect();
            ranges.as_ref().map(cells).into_iter().for_each(|row| listing.push(row));
        }
        writeln!(io::stdout(), "\nvalues:")?;
        listing.write(false, "none")?;
        let mut out = io::stdout().lock();
        for (title, list) in [("not settled", &self.open), ("unsure", &self.unsure)] {
            if !list.is_empty() {
                writeln!(out, "\n{title}:")?;
            }
            for (number, text) in (1..).zip(list) {
                writeln!(out, "  {number}. {}", escaped(text))?;
            }
        }
        let Some(version) = &self.version else { return writeln!(out, "\nno version to propose") };
        writeln!(out, "\nnew version of the profile:")?;
        for line in diff(&case.text, &version.text) {
            writeln!(out, "    {}", escaped(&line))?;
        }
        let place = if version.reads_both {
            "it reads the files before as well, and takes the old version's place"
        } else {
            "the files before do not read by it: it becomes a profile beside the old version"
        };
        writeln!(out, "\n{place}")?;
        match &version.decoded {
            Ok(decoded) => {
                let failed = reasons(decoded);
                let failed = if failed.is_empty() { failed } else { format!(": {failed}") };
                let (good, bad) = (decoded.rows.len(), decoded.rejects.len());
                writeln!(out, "by it the upload gives {good} rows, and {bad} do not decode{failed}")
            }
            Err(note) => writeln!(out, "by it the upload would still be held: {}", escaped(note)),
        }
    }

    fn print_columns(&self) -> io::Result<()> {
        let mut listing = Listing::new(&["column", "now", "change", "profile"]);
        // columns that stay and that the profile does not read are no news
        for change in self.columns.iter().filter(|change| change.path.is_some() || change.fate != Fate::Kept)
        {
            listing.push(vec![
                change.before.clone().into(),
                change.now.clone().into(),
                change.fate.name().into(),
                change.path.clone().into(),
            ]);
        }
        writeln!(io::stdout(), "\nheader:")?;
        listing.write(false, "columns are found by position")?;
        if self.keys.is_empty() {
            return Ok(());
        }
        let mut keys = Listing::new(&["key", "before", "now"]);
        for change in &self.keys {
            keys.push(vec![change.key.into(), shown(change.before.as_ref()), shown(change.now.as_ref())]);
        }
        writeln!(io::stdout(), "\nwritten otherwise:")?;
        keys.write(false, "nothing")
    }

    fn print_json(&self, case: &Case, row: &UploadRow) -> io::Result<()> {
        let columns = self.columns.iter().map(|change| {
            json!({ "before": change.before, "now": change.now, "change": change.fate.name(),
                    "profile": change.path })
        });
        let keys = self.keys.iter().map(|change| {
            json!({ "key": change.key, "before": shown(change.before.as_ref()),
                    "now": shown(change.now.as_ref()) })
        });
        let ranges = |ranges: &Ranges| -> Value {
            let keys = Ranges::COLUMNS.iter().map(|name| (*name).to_owned());
            Value::Object(keys.zip(ranges.cells()).collect())
        };
        let version = self.version.as_ref().map(|version| {
            let decoded = version.decoded.as_ref();
            json!({
                "profile": version.text,
                "reads_the_files_before": version.reads_both,
                "decoded": decoded.ok().map(|decoded| decoded.rows.len()),
                "not_decoded": decoded.ok().map(|decoded| decoded.rejects.len()),
                "dead_letter": decoded.err(),
            })
        });
        let report = json!({
            "upload": case.held.upload,
            "feed": case.feed_name,
            "code": row.dead.as_ref().map(|dead| dead.code.as_str()),
            "compared_with": case.loaded.as_ref().map(|loaded| loaded.upload),
            "settled": self.open.is_empty(),
            "not_settled": self.open,
            "unsure": self.unsure,
            "columns": columns.collect::<Vec<_>>(),
            "keys": keys.collect::<Vec<_>>(),
            "before": self.before.as_ref().map(ranges),
            "now": self.now.as_ref().map(ranges),
            "version": version,
        });
        writeln!(io::stdout(), "{report}")
    }
}

const RANGE_COLUMNS: [&str; 9] = [
    "file",
    Ranges::COLUMNS[0],
    Ranges::COLUMNS[1],
    Ranges::COLUMNS[2],
    Ranges::COLUMNS[3],
    Ranges::COLUMNS[4],
    Ranges::COLUMNS[5],
    Ranges::COLUMNS[6],
    Ranges::COLUMNS[7],
];

fn shown(value: Option<&toml::Value>) -> Value {
    value.map(ToString::to_string).into()
}
