//! The codes of failed commands: stable names that scripts and `docs/errors.md` go by.

use std::io;

use super::failure::exit;
use crate::config::ConfigProblem;

/// What went wrong, by a name that stays. Each is explained in `docs/errors.md`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// The command line cannot be read.
    Arguments,
    /// An argument's value is not one of those there are, or is not written as it must be.
    Value,
    /// No feed profile has this name.
    FeedUnknown,
    /// No time zone has this name.
    ZoneUnknown,
    /// The error queue holds no such row.
    RowUnknown,
    /// The decision does not fit the row.
    Decision,
    /// The upload is no dead letter.
    NotDead,
    /// What was to be written is there already.
    Exists,
    /// The bytes have landed under another feed or zone.
    SameBytes,
    /// No row is of that meter and instant.
    NoReading,
    /// A profile was to be written and is not settled.
    Unsettled,
    /// Another process owns the home.
    HomeBusy,
    /// There is no home.
    HomeMissing,
    /// The home has no database yet.
    HomeEmpty,
    /// Another process has taken over the home.
    TakenOver,
    /// A file or folder is not there.
    NotFound,
    /// The system forbids it.
    Permission,
    /// No space is left.
    DiskFull,
    /// Reading or writing failed in another way.
    Io,
    /// A folder, link or device where a file is asked for.
    NotAFile,
    /// The file was written while it was read.
    FileChanged,
    /// The file is larger than the landing zone takes.
    TooLarge,
    /// The journal is not what was written.
    Journal,
    /// The database does not answer, or is damaged.
    Database,
    /// The database is of another release.
    Schema,
    /// The file in the database's place is no database of ours.
    NotADatabase,
    /// The archive cannot be read or written.
    Archive,
    /// The address to listen on is taken.
    Port,
    /// The address to listen on cannot be used.
    Listen,
    /// The running service is not well.
    Unhealthy,
    /// A fault of the program.
    Internal,
    /// The configuration file cannot be read.
    ConfigFile,
    /// The configuration file is no TOML.
    ConfigSyntax,
    /// The configuration file has a key that there is not.
    ConfigKey,
    /// A key has a value that cannot be used.
    ConfigValue,
    /// A feed profile cannot be used.
    FeedProfile,
    /// The registry of meters cannot be used.
    Registry,
    /// The journal holds a configuration of another release.
    ConfigJournal,
    /// A service or folder that the configuration names cannot be used from here.
    Unreachable,
}

/// Code, name, exit code.
const TABLE: [(Code, &str, u8); 39] = [
    (Code::Arguments, "E-ARGUMENTS", exit::USAGE),
    (Code::Value, "E-VALUE", exit::USAGE),
    (Code::FeedUnknown, "E-FEED-UNKNOWN", exit::USAGE),
    (Code::ZoneUnknown, "E-ZONE-UNKNOWN", exit::USAGE),
    (Code::RowUnknown, "E-ROW-UNKNOWN", exit::USAGE),
    (Code::Decision, "E-DECISION", exit::USAGE),
    (Code::NotDead, "E-NOT-DEAD", exit::USAGE),
    (Code::Exists, "E-EXISTS", exit::USAGE),
    (Code::SameBytes, "E-SAME-BYTES", exit::USAGE),
    (Code::NoReading, "E-NO-READING", exit::FINDING),
    (Code::Unsettled, "E-UNSETTLED", exit::FINDING),
    (Code::HomeBusy, "E-HOME-BUSY", exit::UNAVAILABLE),
    (Code::HomeMissing, "E-HOME-MISSING", exit::UNAVAILABLE),
    (Code::HomeEmpty, "E-HOME-EMPTY", exit::UNAVAILABLE),
    (Code::TakenOver, "E-TAKEN-OVER", exit::UNAVAILABLE),
    (Code::NotFound, "E-NOT-FOUND", exit::IO),
    (Code::Permission, "E-PERMISSION", exit::IO),
    (Code::DiskFull, "E-DISK-FULL", exit::IO),
    (Code::Io, "E-IO", exit::IO),
    (Code::NotAFile, "E-NOT-A-FILE", exit::IO),
    (Code::FileChanged, "E-FILE-CHANGED", exit::IO),
    (Code::TooLarge, "E-TOO-LARGE", exit::IO),
    (Code::Journal, "E-JOURNAL", exit::IO),
    (Code::Database, "E-DATABASE", exit::IO),
    (Code::Schema, "E-SCHEMA", exit::IO),
    (Code::NotADatabase, "E-NOT-A-DATABASE", exit::IO),
    (Code::Archive, "E-ARCHIVE", exit::IO),
    (Code::Port, "E-PORT", exit::IO),
    (Code::Listen, "E-LISTEN", exit::CONFIG),
    (Code::Unhealthy, "E-UNHEALTHY", exit::UNAVAILABLE),
    (Code::Internal, "E-INTERNAL", exit::IO),
    (Code::ConfigFile, "E-CONFIG-FILE", exit::CONFIG),
    (Code::ConfigSyntax, "E-CONFIG-SYNTAX", exit::CONFIG),
    (Code::ConfigKey, "E-CONFIG-KEY", exit::CONFIG),
    (Code::ConfigValue, "E-CONFIG-VALUE", exit::CONFIG),
    (Code::FeedProfile, "E-FEED-PROFILE", exit::CONFIG),
    (Code::Registry, "E-REGISTRY", exit::CONFIG),
    (Code::ConfigJournal, "E-CONFIG-JOURNAL", exit::CONFIG),
    (Code::Unreachable, "E-UNREACHABLE", exit::CONFIG),
];

impl Code {
    /// The stable name, such as `E-HOME-BUSY`.
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The exit code of the contract that goes with it.
    pub const fn exit(self) -> u8 {
        TABLE[self as usize].2
    }

    /// What the system's answer means.
    pub fn of_io(error: &io::Error) -> Code {
        match error.kind() {
            io::ErrorKind::NotFound => Code::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Code::Permission,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DiskFull,
            io::ErrorKind::AlreadyExists => Code::Exists,
            io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => Code::NotAFile,
            _ => Code::Io,
        }
    }
}

impl From<ConfigProblem> for Code {
    fn from(problem: ConfigProblem) -> Code {
        match problem {
            ConfigProblem::File => Code::ConfigFile,
            ConfigProblem::Syntax => Code::ConfigSyntax,
            ConfigProblem::Key => Code::ConfigKey,
            ConfigProblem::Value => Code::ConfigValue,
            ConfigProblem::Feed => Code::FeedProfile,
            ConfigProblem::Registry => Code::Registry,
            ConfigProblem::Journal => Code::ConfigJournal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::explain_code::rows;
    use greenstream_core::Reason;
    use greenstream_core::decode::Refusal;

    #[test]
    fn the_table_stands_in_the_order_of_the_enum() {
        for (place, (code, name, _)) in TABLE.iter().enumerate() {
            assert_eq!(*code as usize, place, "{name}");
        }
    }

    #[test]
    fn every_code_is_explained_and_every_explained_code_is_there() {
        let refusals = [
            Refusal::Empty,
            Refusal::Header { line: 1, problem: String::new(), hint: String::new() },
            Refusal::NotText { problem: String::new(), hint: String::new() },
            Refusal::FeedChanged { failed: 0, rows: 0, reasons: Vec::new(), hint: String::new() },
            Refusal::TooLarge { limit: 0 },
            Refusal::Damaged { format: "gzip", bytes: 0, problem: String::new() },
        ];
        let mut known: Vec<&str> = TABLE.iter().map(|(_, name, _)| *name).collect();
        known.extend(crate::web::problem_codes());
        known.extend(refusals.iter().map(Refusal::code));
        known.extend(["feed_unknown", "feed_unfit", "processing_failed"]);
        known.extend(Reason::ALL.map(Reason::name));
        known.extend(crate::verify::Kind::all().map(|(_, name)| name));
        assert_eq!(rows().map(|(code, _)| code).collect::<Vec<_>>(), known);
        for (code, cells) in rows() {
            let has_number = code.starts_with("E-") || crate::web::problem_codes().any(|known| known == code);
            assert_eq!(cells.len(), if has_number { 3 } else { 2 }, "{code}");
        }
    }

    #[test]
    fn every_code_is_brought_about_by_a_test() {
        let tests = concat!(include_str!("../../tests/program/first_hour.rs"), include_str!("open.rs"));
        for (_, name, _) in TABLE {
            assert!(tests.contains(&format!("\"{name}\"")), "no test brings about {name}");
        }
    }

    #[test]
    fn the_explained_exit_code_is_the_one_given() {
        for ((_, name, exit), (code, cells)) in TABLE.iter().zip(rows()) {
            assert_eq!((code, cells[0]), (*name, exit.to_string().as_str()));
        }
    }
}
