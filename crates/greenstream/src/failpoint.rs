//! Fail points: the steps before and after which tests make the real process die, fail or wait.
//!
//! They cost nothing unless the feature `failpoints` is on, and no release has it. Then the variable
//! `GREENSTREAM_FAILPOINTS` names a file that is read anew at each point, so that a running process can be
//! healed. A line `commit:before error 1 0` lets this point fail from its first passing on, for ever; the
//! last number says how often otherwise. The other actions are `abort`, `delay` and `stop` (until the signal to go on). The file's neighbour
//! with `.hits` behind its name gets a line for each point that was passed.

use std::io;

/// A step of the way from an upload to what readers see. `tests/crash/` takes its cases from
/// [`Step::all`] and fails where one is never passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// What a crash left in the landing zone is cleared away.
    LandingRecovery,
    /// One upload is written and named among the objects.
    LandingStage,
    /// A group is made durable.
    LandingSync,
    /// A group's entries get their name in the journal.
    JournalPublish,
    /// Decisions, retries or a configuration are written to the journal.
    JournalAppend,
    /// A temporary name is taken away.
    LandingTidy,
    /// A file that has landed leaves the inbox.
    SourceRemoval,
    /// What is being processed is noted.
    AttemptNote,
    /// An upload is decoded.
    Decode,
    /// A change set is made.
    Judge,
    /// Change sets are committed.
    Commit,
    /// The same, within the transaction.
    Transaction,
    /// Commits are made durable.
    LogSync,
    /// Deliveries of known bytes are recorded.
    Delivery,
    /// Silent episodes are written down.
    Silence,
    /// An archive's table is opened, or begun.
    ArchiveOpen,
    /// Parquet files are written.
    ArchiveWrite,
    /// An entry is put into the log of one of the archive's tables.
    ArchiveCommit,
    /// The store is told how far the archive is.
    ArchiveClean,
    /// A checkpoint of the archive's log is written.
    ArchiveCheckpoint,
    /// A file that no snapshot names is removed from the archive.
    Vacuum,
    /// An alert is sent.
    AlertSend,
    /// A sent alert is recorded.
    AlertRecord,
    /// The old archive is put aside for a rebuilt one.
    SwapOut,
    /// The rebuilt database takes the old one's place.
    SwapDatabase,
    /// The rebuilt archive takes its place.
    SwapArchive,
}

/// Step and name, in the order of the enum.
const TABLE: [(Step, &str); 26] = [
    (Step::LandingRecovery, "landing_recovery"),
    (Step::LandingStage, "landing_stage"),
    (Step::LandingSync, "landing_sync"),
    (Step::JournalPublish, "journal_publish"),
    (Step::JournalAppend, "journal_append"),
    (Step::LandingTidy, "landing_tidy"),
    (Step::SourceRemoval, "source_removal"),
    (Step::AttemptNote, "attempt_note"),
    (Step::Decode, "decode"),
    (Step::Judge, "judge"),
    (Step::Commit, "commit"),
    (Step::Transaction, "transaction"),
    (Step::LogSync, "log_sync"),
    (Step::Delivery, "delivery"),
    (Step::Silence, "silence"),
    (Step::ArchiveOpen, "archive_open"),
    (Step::ArchiveWrite, "archive_write"),
    (Step::ArchiveCommit, "archive_commit"),
    (Step::ArchiveClean, "archive_clean"),
    (Step::ArchiveCheckpoint, "archive_checkpoint"),
    (Step::Vacuum, "vacuum"),
    (Step::AlertSend, "alert_send"),
    (Step::AlertRecord, "alert_record"),
    (Step::SwapOut, "swap_out"),
    (Step::SwapDatabase, "swap_database"),
    (Step::SwapArchive, "swap_archive"),
];

/// The sides of a step, as they stand behind its name: `commit:before`.
pub const SIDES: [&str; 2] = ["before", "after"];

impl Step {
    /// All steps, in the order of the way.
    pub fn all() -> impl Iterator<Item = Step> {
        TABLE.iter().map(|(step, _)| *step)
    }

    /// Its name in a file of fail points.
    #[must_use]
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].1
    }
}

/// Does `work`, with a fail point before and one after it; `failed` makes a fail point's error what the
/// step's own failure would be.
#[inline]
pub(crate) fn around<T, E>(
    step: Step,
    failed: impl Fn(io::Error) -> E,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    reach(step, 0).map_err(&failed)?;
    let done = work()?;
    reach(step, 1).map_err(failed)?;
    Ok(done)
}

/// As [`around`], for steps that fail with the system's own error.
#[inline]
pub(crate) fn around_io<T>(step: Step, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    around(step, |error| error, work)
}

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
fn reach(_: Step, _: usize) -> io::Result<()> {
    Ok(())
}

#[cfg(feature = "failpoints")]
use armed::reach;

#[cfg(feature = "failpoints")]
mod armed {
    use std::ffi::OsString;
    use std::fs::{self, OpenOptions};
    use std::io::{self, Write};
    use std::process::Command;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::{SIDES, Step, TABLE};

    /// How long a point that delays does: longer than any other step of a small world takes.
    const DELAY: Duration = Duration::from_millis(50);

    static PLAN: OnceLock<Option<OsString>> = OnceLock::new();
    static PASSED: [[AtomicU32; 2]; TABLE.len()] = [const { [const { AtomicU32::new(0) }; 2] }; TABLE.len()];

    /// Passes a point, and does what the plan says of it.
    pub(super) fn reach(step: Step, side: usize) -> io::Result<()> {
        let Some(path) = PLAN.get_or_init(|| std::env::var_os("GREENSTREAM_FAILPOINTS")) else {
            return Ok(());
        };
        let Ok(plan) = fs::read_to_string(path) else { return Ok(()) };
        let point = format!("{}:{}", step.name(), SIDES[side]);
        let passed = PASSED[step as usize][side].fetch_add(1, Ordering::SeqCst) + 1;
        let mut hits = path.clone();
        hits.push(".hits");
        // one write, so that lines of several threads do not mix
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(hits)?
            .write_all(format!("{point}\n").as_bytes())?;
        let Some(action) = plan.lines().find_map(|line| action(line, &point, passed)) else { return Ok(()) };
        match action {
            "abort" => std::process::abort(),
            "delay" => {
                std::thread::sleep(DELAY);
                Ok(())
            }
            "stop" => {
                // this thread waits for the shell, which ends once every thread stands still: a stop
                // reaches the others a moment later
                let stop = "kill -STOP $1; until ! grep -qv ') T' /proc/$1/task/*/stat; do :; done";
                Command::new("sh").args(["-c", stop, "sh", &std::process::id().to_string()]).status()?;
                Ok(())
            }
            _ => Err(io::Error::other(format!("fail point {point}"))),
        }
    }

    /// What a line of the plan says of a point that is passed for the `passed`th time.
    fn action<'l>(line: &'l str, point: &str, passed: u32) -> Option<&'l str> {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, action, from, times] = words[..] else { return None };
        let (from, times): (u32, u32) = (from.parse().ok()?, times.parse().ok()?);
        (name == point && passed >= from && (times == 0 || passed - from < times)).then_some(action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_enum() {
        for (place, (step, name)) in TABLE.iter().enumerate() {
            assert_eq!(*step as usize, place, "{name}");
        }
    }
}
