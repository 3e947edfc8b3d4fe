//! `check-config`: every key in force with its value, its unit and where it is from, and whether all
//! of it can be used; on request also whether what it names answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::table::Listing;
use super::{Cli, Failure, open};
use crate::config::{Config, ConfigError, KEYS, Keys, Token};
use crate::web;

mod reach;

/// Arguments of `check-config`.
#[derive(Args, Debug)]
pub struct CheckConfigArgs {
    /// How far to look.
    #[arg(long, value_enum, default_value_t = Level::Meaning)]
    level: Level,
}

/// How far `check-config` looks; each level includes those before it.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// The keys and their types, in file and environment.
    Syntax,
    /// What they mean, and the files that they name.
    Meaning,
    /// Whether each service and folder that they name can be used from here, now.
    Reachability,
}

/// What is known of a configuration whose meaning was looked at.
struct Meaning {
    config: Config,
    token: Option<Token>,
    feeds: Vec<String>,
    meters: usize,
}

/// Carries out `check-config`.
pub fn check_config(cli: &Cli, args: &CheckConfigArgs) -> Result<ExitCode, Failure> {
    let path = open::config_file(cli)?;
    let keys = Keys::read(&path).map_err(|problems| all(cli, failures(problems)))?;
    let meaning = match args.level {
        Level::Syntax => None,
        _ => Some(Meaning::of(&path, &keys).map_err(|found| all(cli, found))?),
    };
    let answers = match &meaning {
        Some(meaning) if args.level == Level::Reachability => {
            let answers = reach::ask(cli, meaning);
            let unanswered: Vec<Failure> = answers.iter().filter_map(reach::Answer::failure).collect();
            if !unanswered.is_empty() {
                return Err(all(cli, unanswered));
            }
            answers
        }
        _ => Vec::new(),
    };
    let listing = listing(&keys);
    if cli.json {
        let mut answer = json!({
            "file": path.display().to_string(),
            "there": path.exists(),
            "keys": listing.objects(),
        });
        if let Some(meaning) = &meaning {
            meaning.add_to(&mut answer);
        }
        if args.level == Level::Reachability {
            answer["services"] = answers.iter().map(reach::Answer::json).collect();
        }
        println!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let from = if path.exists() { "read" } else { "not there: every key has its default" };
    println!("{} ({from})", path.display());
    listing.print(false, "")?;
    println!();
    match &meaning {
        Some(meaning) => meaning.print(),
        None => println!("the configuration can be read; what it means was not looked at"),
    }
    if !answers.is_empty() {
        println!();
        let mut listing = Listing::new(&["service", "place", "answer"]);
        for answer in &answers {
            listing.push(answer.cells());
        }
        listing.print(false, "")?;
        println!("everything that the configuration names answers");
    }
    Ok(ExitCode::SUCCESS)
}

impl Meaning {
    fn of(path: &Path, keys: &Keys) -> Result<Meaning, Vec<Failure>> {
        let config = Config::of(path, keys.clone()).map_err(failures)?;
        let rules = config.rulebook.compile().map_err(|error| vec![error.into()])?;
        let token = config.token().map_err(|error| vec![error.into()])?;
        let listen = &config.file.serve.listen;
        web::address(listen, token.is_some()).map_err(|error| {
            let from = keys.origins.of("serve.listen");
            vec![
                Failure::from(error)
                    .at(format!("{}, {from}", path.display()), format!("listen = {listen:?}")),
            ]
        })?;
        let (feeds, meters) = (rules.feeds.keys().cloned().collect(), rules.meters.len());
        Ok(Meaning { config, token, feeds, meters })
    }

    fn add_to(&self, answer: &mut Value) {
        answer["feeds"] = json!(self.feeds);
        answer["token_set"] = self.token.is_some().into();
        answer["registry_meters"] = self.meters.into();
        answer["time_zone_data"] = json!(self.config.rulebook.tzdb);
        answer["own_feeds"] = json!(own_feeds(&self.config));
    }

    fn print(&self) {
        let own = own_feeds(&self.config);
        println!("registry        {} meters", self.meters);
        println!(
            "token           {}",
            if self.token.is_some() { "set, not shown" } else { "none: nothing can be uploaded over HTTP" }
        );
        println!("feeds           {}", self.feeds.join(", "));
        println!("feeds of yours  {}", if own.is_empty() { "none".to_owned() } else { own.join(", ") });
        println!("time-zone data  {}", self.config.rulebook.tzdb);
        println!("the configuration is good");
    }
}

fn failures(problems: Vec<ConfigError>) -> Vec<Failure> {
    problems.into_iter().map(Failure::from).collect()
}

/// Tells all of them but the last, which is left to whoever reports the command's failure.
fn all(cli: &Cli, mut failures: Vec<Failure>) -> Failure {
    let last = failures.pop();
    failures.iter().for_each(|failure| failure.print(cli.json));
    last.unwrap_or_else(|| Failure::new(super::Code::Internal, "a finding without words", "report it"))
}

/// Every key with its value, its unit and where it is from.
fn listing(keys: &Keys) -> Listing {
    let values = serde_json::to_value(&keys.file).unwrap_or_default();
    let mut listing = Listing::new(&["key", "value", "unit", "from"]);
    for key in KEYS {
        let value = values.pointer(&key.pointer()).cloned().unwrap_or_default();
        // its address may be all of a secret, wherever that stands in it
        let value = match (key.name, value) {
            ("alerts.webhook", Value::String(_)) => "set, not shown".into(),
            ("registry", Value::Null) => "meters.csv, if it is there".into(),
            (_, Value::Null) => "none".into(),
            (_, value) => value,
        };
        listing.push(vec![key.name.into(), value, key.unit.into(), keys.origins.of(key.name).into()]);
    }
    listing
}

/// The profiles that do not come with the program, or take the place of one that does.
fn own_feeds(config: &Config) -> Vec<String> {
    let shipped: BTreeMap<_, _> = greenstream_core::decode::Feed::built_in().into_iter().collect();
    let own = config
        .rulebook
        .feeds
        .iter()
        .filter(|(name, text)| shipped.get(name.as_str()) != Some(&text.as_str()));
    own.map(|(name, _)| name.clone()).collect()
}
