//! How a command fails: its code, what, where, the way out, and the exit code of the contract.

use std::fmt::Display;

use serde_json::json;

use super::code::Code;
use crate::text::escaped;

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    exit: u8,
    message: String,
    place: String,
    excerpt: String,
    hint: String,
}

/// Exit codes of the contract.
pub mod exit {
    /// A finding (verify, a rebuild that differs).
    pub const FINDING: u8 = 1;
    /// The command was called wrongly.
    pub const USAGE: u8 = 2;
    /// An upload was dead-lettered.
    pub const DEAD_LETTER: u8 = 65;
    /// A service is out of reach, or another process owns the home.
    pub const UNAVAILABLE: u8 = 69;
    /// Input or output failed.
    pub const IO: u8 = 74;
    /// The configuration cannot be used.
    pub const CONFIG: u8 = 78;
    /// Nobody reads the output any more: what a shell reports of a program that SIGPIPE ended.
    pub const PIPE: i32 = 141;
}

impl Failure {
    /// A failure by its code, one sentence, and the way out.
    pub fn new(code: Code, message: impl Display, hint: impl Display) -> Failure {
        Failure {
            code,
            exit: code.exit(),
            message: message.to_string(),
            place: String::new(),
            excerpt: String::new(),
            hint: hint.to_string(),
        }
    }

    /// An argument has a value that means nothing here.
    pub fn usage(message: impl Display, hint: impl Display) -> Failure {
        Failure::new(Code::Value, message, hint)
    }

    /// Reading or writing failed.
    pub fn io(what: impl Display, error: &std::io::Error) -> Failure {
        let code = Code::of_io(error);
        let hint = match code {
            Code::NotFound => "check the path",
            Code::Permission => "give this user the right to read and write it, or name another path",
            Code::DiskFull => "free some space; nothing that was acknowledged is lost",
            Code::NotAFile => {
                "check the path: a part of it is a file where a folder must be, or the other way"
            }
            _ => "check the disk and try again; nothing that was acknowledged is lost",
        };
        let what = what.to_string();
        let cause = error.to_string();
        let message = if what.contains(&cause) { what } else { format!("{what}: {cause}") };
        Failure { exit: exit::IO, ..Failure::new(code, message, hint) }
    }

    /// What became of printing to standard output: a reader such as `head` that has seen enough is no failure.
    ///
    /// # Errors
    /// Any other.
    pub fn printed(result: std::io::Result<()>) -> Result<(), Failure> {
        match result {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::io("standard output", &error))
            }
            _ => Ok(()),
        }
    }

    /// The same failure at a place, with the offending text as it stands there (or none).
    pub fn at(self, place: impl Display, excerpt: impl Display) -> Failure {
        Failure { place: place.to_string(), excerpt: excerpt.to_string(), ..self }
    }

    /// The same failure with another way out.
    pub fn helped(self, hint: &str) -> Failure {
        Failure { hint: hint.to_owned(), ..self }
    }

    /// The same failure in other words.
    pub fn saying(self, message: String) -> Failure {
        Failure { message, ..self }
    }

    /// The same failure where waiting and trying again may help: exit 69.
    pub fn for_now(self) -> Failure {
        Failure { exit: exit::UNAVAILABLE, ..self }
    }

    /// What went wrong, by its stable name.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The exit code.
    pub fn exit(&self) -> u8 {
        self.exit
    }

    /// Writes it to standard error: as lines for people, or as one line of JSON.
    pub fn print(&self, as_json: bool) {
        if as_json {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let error = json!({
                "code": self.code.name(),
                "exit": self.exit,
                "message": self.message,
                "place": some(&self.place),
                "excerpt": some(&self.excerpt),
                "help": some(&self.hint),
            });
            eprintln!("{}", json!({ "error": error }));
            return;
        }
        // names and texts of others may stand in all of them
        eprintln!("error[{}]: {}", self.code.name(), escaped(&self.message));
        if !self.place.is_empty() {
            eprintln!("   at: {}", escaped(&self.place));
        }
        for line in self.excerpt.lines() {
            eprintln!("      {}", escaped(line));
        }
        if !self.hint.is_empty() {
            eprintln!(" help: {}", self.hint);
        }
    }
}
