//! `init`: a commented configuration file; on a terminal, three questions first.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use greenstream_core::Zone;

use super::code::Code;
use super::{Cli, Failure, open};
use crate::config::{Address, Config};

const TEXT: &str = include_str!("init.toml");

/// Arguments of `init`.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// Ask nothing: every key has its default.
    #[arg(long, short)]
    yes: bool,
}

/// What is asked: the three keys that are wrong most often when they are left alone.
struct Question {
    /// The key as it stands, commented out, in the file.
    key: &'static str,
    /// In words, with what the answer decides.
    words: &'static str,
    /// What Enter means, as it is shown.
    default: &'static str,
    /// What is wrong with an answer, if anything is.
    problem: fn(&str, &[String]) -> Option<String>,
}

const QUESTIONS: [Question; 3] = [
    Question {
        key: "reporting_zone",
        words: "Time zone of your days (an IANA name such as Europe/London)",
        default: "UTC",
        problem: |answer, _| {
            Zone::parse(answer).is_err().then(|| format!("no time zone is called {answer:?}"))
        },
    },
    Question {
        key: "default_feed",
        words: "Feed profile of your files (default: a CSV of meter_id,timestamp,energy_value,energy_unit)",
        default: "default",
        problem: |answer, feeds| {
            let unknown = !feeds.iter().any(|feed| feed == answer);
            unknown.then(|| format!("no feed is called {answer:?}; there are {}", feeds.join(", ")))
        },
    },
    Question {
        key: "webhook",
        words: "Address that takes a POST for each faulty-meter alert",
        default: "none",
        problem: |answer, _| {
            let address = answer.strip_prefix("https://").or_else(|| answer.strip_prefix("http://"));
            let good = address.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace));
            if !good {
                return Some("an address begins with https:// or http://".to_owned());
            }
            let problem =
                "it holds a secret: press Enter, write it into a file, and name that by `webhook_file`";
            Address::new(answer).has_secret().then(|| problem.to_owned())
        },
    },
];

/// Carries out `init`. An existing file is never overwritten.
pub fn init(cli: &Cli, args: &InitArgs) -> Result<ExitCode, Failure> {
    let path = open::config_path(cli);
    if path.exists() {
        return Err(there_already(&path));
    }
    let asked = !args.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let answers = if asked { ask(&path)? } else { Vec::new() };
    let text = answers.iter().fold(TEXT.to_owned(), |text, (key, answer)| set(&text, key, answer));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::io(folder.display(), &error))?;
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(there_already(&path)),
        Err(error) => return Err(Failure::io(path.display(), &error)),
    };
    file.write_all(text.as_bytes()).map_err(|error| Failure::io(path.display(), &error))?;
    match answers.len() {
        0 => println!("{} written; every key is commented out and shows its default", path.display()),
        set => println!("{} written, {set} keys set; the others show their defaults", path.display()),
    }
    let program = open::program(cli);
    println!("next: `{program} ingest FILE…`; `{program} check-config` shows what is in force");
    Ok(ExitCode::SUCCESS)
}

fn there_already(path: &Path) -> Failure {
    Failure::new(
        Code::Exists,
        format!("{} is there already", path.display()),
        "edit it, or move it away first; `greenstream check-config` checks it",
    )
}

/// The keys that do not keep their defaults. Input that ends leaves the defaults to what was not asked.
fn ask(path: &Path) -> Result<Vec<(&'static str, String)>, Failure> {
    let config = Config::read(path)?;
    let feeds: Vec<String> = config.rulebook.compile()?.feeds.into_keys().collect();
    let mut answers = Vec::new();
    let mut lines = std::io::stdin().lock().lines();
    eprintln!("Three questions; Enter takes what stands in brackets.");
    for question in &QUESTIONS {
        loop {
            eprint!("{} [{}]: ", question.words, question.default);
            let Some(line) = lines.next() else { return Ok(answers) };
            let line = line.map_err(|error| Failure::io("the answer", &error))?;
            let answer = line.trim();
            if answer.is_empty() || answer == question.default {
                break;
            }
            match (question.problem)(answer, &feeds) {
                Some(problem) => eprintln!("  {problem}"),
                None => {
                    answers.push((question.key, answer.to_owned()));
                    break;
                }
            }
        }
    }
    Ok(answers)
}

/// The text with the commented-out `key` set to `answer`.
fn set(text: &str, key: &str, answer: &str) -> String {
    let start = format!("#{key} = ");
    let value = toml::Value::String(answer.to_owned());
    let line = |line: &str| {
        if line.starts_with(&start) { format!("{key} = {value}\n") } else { format!("{line}\n") }
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;

    #[test]
    fn an_answer_becomes_the_key_whatever_it_holds() {
        for answer in ["Europe/London", "a\"b", "a\\b", "a#b = 'c'"] {
            let text = set(TEXT, "reporting_zone", answer);
            assert_eq!(toml::from_str::<File>(&text).unwrap().reporting_zone, answer);
        }
        let text = set(TEXT, "webhook", "https://example.org/x?y=1");
        let file: File = toml::from_str(&text).unwrap();
        assert_eq!(file.alerts.webhook.as_deref(), Some("https://example.org/x?y=1"));
    }

    #[test]
    fn every_key_asked_stands_in_the_file_and_refuses_nonsense() {
        for question in &QUESTIONS {
            assert!(TEXT.contains(&format!("\n#{} = ", question.key)), "{}", question.key);
            assert!(
                (question.problem)("no such thing", &["default".to_owned()]).is_some(),
                "{}",
                question.key
            );
        }
    }
}
