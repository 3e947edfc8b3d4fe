//! What to simulate: the plan, its bounds, and what can go wrong.

use std::path::{Path, PathBuf};

use crate::date::Date;
use crate::kind::Rates;
use crate::summary::Summary;
use crate::write;

/// How readings are split over files. The names sort in the order in which the files land.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Layout {
    /// A file an hour with all meters, in order of time: `2026-03-02T00.csv`.
    #[default]
    Hourly,
    /// A file a day with all meters, in order of time: `2026-03-02.csv`.
    Daily,
    /// A file for each meter and day: `2026-03-02_MTR-000123.csv`.
    Tiny,
}

impl Layout {
    /// The layout of that name: `hourly`, `daily` or `tiny`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Layout> {
        match name {
            "hourly" => Some(Layout::Hourly),
            "daily" => Some(Layout::Daily),
            "tiny" => Some(Layout::Tiny),
            _ => None,
        }
    }
}

/// A simulation, ready to be written.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// How many meters, 1 to 10,000,000. Their ids are `MTR-000000` and up; each takes 70
    /// bytes of memory.
    pub meters: u32,
    /// How many days, 1 to 3,660.
    pub days: u32,
    /// The first day.
    pub start: Date,
    /// Minutes from reading to reading: a divisor of 60.
    pub interval_minutes: u32,
    /// Another seed is another fleet.
    pub seed: u64,
    /// How readings are split over files; no value depends on it.
    pub layout: Layout,
    /// How often each defect is injected.
    pub defects: Rates,
    /// Threads that make lines, at least 1; no byte depends on it.
    pub threads: usize,
}

impl Default for Plan {
    /// 1,000 meters over 7 days, every 15 minutes, in hourly files with all defects.
    fn default() -> Plan {
        Plan {
            meters: 1_000,
            days: 7,
            start: Date::DEFAULT,
            interval_minutes: 15,
            seed: 1,
            layout: Layout::Hourly,
            defects: Rates::default(),
            threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(8)),
        }
    }
}

impl Plan {
    /// Writes the uploads into the folder `out`, which must be empty or not exist, and beside it
    /// `out.truth.csv` and `out.summary.json`: never inside, where they would be ingested.
    ///
    /// `progress` hears now and then how many of the plan's readings are done. Memory does not grow
    /// with the days.
    ///
    /// # Errors
    /// The plan is out of its bounds, `out` holds something, or the disk refuses.
    pub fn write(&self, out: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Summary, Error> {
        self.check()?;
        write::write(self, out, progress)
    }

    /// How many readings the plan has: meters × days × intervals of a day.
    #[must_use]
    pub fn readings(&self) -> u64 {
        u64::from(self.meters) * u64::from(self.days) * u64::from(1_440 / self.interval_minutes.max(1))
    }

    fn check(&self) -> Result<(), Error> {
        let problem = if !(1..=10_000_000).contains(&self.meters) {
            format!("{} meters are outside 1 to 10,000,000", self.meters)
        } else if !(1..=3_660).contains(&self.days) {
            format!("{} days are outside 1 to 3,660", self.days)
        } else if self.interval_minutes == 0 || 60 % self.interval_minutes != 0 {
            format!("an interval of {} min does not divide an hour", self.interval_minutes)
        } else if self.threads == 0 {
            "0 threads write nothing".to_owned()
        } else if let Some(problem) = self.defects.problem() {
            problem
        } else {
            return Ok(());
        };
        Err(Error::Plan { problem })
    }
}

/// Why a simulation was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan is out of its bounds.
    #[error("{problem}")]
    Plan {
        /// Which bound, with the number.
        problem: String,
    },
    /// The folder holds something already; mixing simulations would make the truth wrong.
    #[error("the folder {} is not empty", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The truth goes beside the folder under its name, so it needs one.
    #[error("{} is no name for a folder", path.display())]
    Nameless {
        /// What was given.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("cannot write {}", path.display())]
    Io {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// For `map_err`: the disk refused this path.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        |source| Error::Io { path: path.to_path_buf(), source }
    }
}
