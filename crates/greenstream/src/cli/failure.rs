//! How a command fails: what, where, the way out, and the exit code of the contract.

use std::fmt::Display;

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
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
}

impl Failure {
    /// A failure with its exit code, one sentence, and the way out.
    pub fn new(code: u8, message: impl Display, hint: impl Display) -> Failure {
        Failure { code, message: message.to_string(), hint: hint.to_string() }
    }

    /// The command was called in a way that cannot be carried out.
    pub fn usage(message: impl Display, hint: impl Display) -> Failure {
        Failure::new(exit::USAGE, message, hint)
    }

    /// Reading or writing failed.
    pub fn io(what: impl Display, error: &std::io::Error) -> Failure {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::PermissionDenied => "check who may read and write it",
            std::io::ErrorKind::StorageFull => "free some space; nothing that was acknowledged is lost",
            _ => "check the disk and try again; nothing that was acknowledged is lost",
        };
        Failure::new(exit::IO, format!("{what}: {error}"), hint)
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// Writes it to standard error.
    pub fn print(&self) {
        eprintln!("error: {}", self.message);
        if !self.hint.is_empty() {
            eprintln!(" help: {}", self.hint);
        }
    }
}
