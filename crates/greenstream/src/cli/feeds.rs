//! `feeds`: the profiles there are, a proposal for a file, and what a file would give.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::accept::{AcceptArgs, accept};
use super::detect::{DetectArgs, detect};
use super::drift::drift;
use super::dry_run::{check_given, dry_run};
use super::table::Listing;
use super::{Cli, Failure, open};
use crate::process::Given;

/// The actions of `feeds`.
#[derive(Subcommand, Debug)]
pub enum FeedsCommand {
    /// The profiles there are.
    List,
    /// A profile for a file that none is known for: with its reasons, what is unsure, and what it would give.
    Detect(DetectArgs),
    /// What has changed in a file that its profile does not fit: header, values, and the version that would.
    Drift {
        /// The dead letter.
        #[arg(value_name = "UPLOAD")]
        upload: u32,
    },
    /// Take the new version of a profile that `feeds drift` shows, and the uploads that are held for it.
    Accept(AcceptArgs),
    /// What a file would give under a feed, without landing it.
    Test {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The feed; else as `ingest` would choose.
        #[arg(long, value_name = "NAME")]
        feed: Option<String>,
        /// What times without an offset mean (IANA name).
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
    },
}

/// Carries out `feeds`.
pub fn feeds(cli: &Cli, command: &FeedsCommand) -> Result<ExitCode, Failure> {
    let config = open::config(cli)?;
    match command {
        FeedsCommand::List => {
            let rules = config.rulebook.compile()?;
            let mut listing = Listing::new(&["feed", "names", "time_zone"]);
            for (name, feed) in &rules.feeds {
                listing.push(vec![
                    name.as_str().into(),
                    feed.names.join(" ").into(),
                    feed.time_zone.as_deref().unwrap_or("as written").into(),
                ]);
            }
            listing.print(cli.json, "no feeds")?;
            Ok(ExitCode::SUCCESS)
        }
        FeedsCommand::Detect(args) => detect(cli, &config, args),
        FeedsCommand::Drift { upload } => drift(cli, &config, *upload),
        FeedsCommand::Accept(args) => accept(cli, &config, args),
        FeedsCommand::Test { file, feed, time_zone } => {
            let given = Given { feed: feed.clone(), time_zone: time_zone.clone() };
            check_given(&config, &given)?;
            dry_run(cli, std::slice::from_ref(file), &given)
        }
    }
}
