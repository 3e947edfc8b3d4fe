//! What is done with what has landed: where the owner lands, its pipeline works on it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use greenstream_core::Ts;

use super::committed::Committed;
use super::error::ProcessError;
use super::job::{Job, Task};
use super::unrecorded::Unrecorded;
use crate::landing::Landing;
use crate::outage::{Outages, Part};
use crate::queue::Queue;
use crate::store::{Database, Store, UploadStatus};

/// Deliveries that wait for room; with more of them landing waits too.
const DELIVERIES_MAX: usize = 65_536;
/// How often who waits for the database looks whether it is away.
const LOOK: Duration = Duration::from_millis(100);
/// So long patient landing waits for what a question depends on: others wait for their answers meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who hears of what has landed.
pub(super) trait Onward {
    /// Hands on what has landed and was not handed on yet.
    ///
    /// # Errors
    /// [`ProcessError::Stopped`] where nobody takes it, the landing zone's own.
    fn entries(&mut self, landing: &Landing) -> Result<(), ProcessError>;

    /// Records that bytes already known came again under a name.
    ///
    /// # Errors
    /// [`ProcessError::Stopped`] where nobody takes it.
    fn delivery(&mut self, upload: u32, name: String, at: Ts) -> Result<(), ProcessError>;

    /// Whether an upload is a dead letter; none where nobody can tell just now.
    ///
    /// # Errors
    /// The database's own.
    fn is_dead(&self, upload: u32) -> Result<Option<bool>, ProcessError>;
}

/// To the decoders of this process, in journal order.
pub(super) struct ToPipeline<'a> {
    pub(super) jobs: &'a Queue<Job>,
    pub(super) committed: &'a Committed,
    pub(super) database: Database,
    pub(super) outages: &'a Outages,
    /// The last entry handed on.
    pub(super) queued: u64,
    /// No entry after this one is handed on.
    pub(super) last: u64,
    /// Whether entries are handed on later where there is no room for them now. The journal keeps them.
    pub(super) patient: bool,
    /// Deliveries of known bytes for which there was no room; patient landing does not wait for it.
    pub(super) deliveries: VecDeque<Job>,
    /// All that are not recorded yet.
    pub(super) unrecorded: &'a Unrecorded,
}

impl ToPipeline<'_> {
    /// Hands on what an earlier pipeline was to record and did not.
    pub(super) fn begin(&mut self) -> Result<(), ProcessError> {
        let left = self.unrecorded.all();
        left.into_iter().try_for_each(|(upload, name, at)| self.push_delivery(upload, name, at))
    }

    fn push_delivery(&mut self, upload: u32, name: String, at: Ts) -> Result<(), ProcessError> {
        let job = Job { entry: 0, hash: String::new(), at, task: Task::Deliver { upload, name } };
        if self.patient && self.jobs.is_full() && self.deliveries.len() < DELIVERIES_MAX {
            self.deliveries.push_back(job);
            return Ok(());
        }
        self.jobs.push(job, 1).map_err(|_| ProcessError::Stopped)
    }
}

impl Onward for ToPipeline<'_> {
    /// Some later where landing must not wait for them.
    fn entries(&mut self, landing: &Landing) -> Result<(), ProcessError> {
        while !(self.patient && self.jobs.is_full()) {
            let Some(delivery) = self.deliveries.pop_front() else { break };
            self.jobs.push(delivery, 1).map_err(|_| ProcessError::Stopped)?;
        }
        for entry in landing.entries_after(self.queued) {
            if self.patient && self.jobs.is_full() {
                break;
            }
            let entry = entry?;
            if entry.entry > self.last {
                break;
            }
            self.queued = entry.entry;
            if let Some(job) = Job::of(landing, entry) {
                self.jobs.push(job, 1).map_err(|_| ProcessError::Stopped)?;
            }
        }
        Ok(())
    }

    fn delivery(&mut self, upload: u32, name: String, at: Ts) -> Result<(), ProcessError> {
        self.unrecorded.add((upload, name.clone(), at));
        self.push_delivery(upload, name, at)
    }

    /// Once everything handed on so far is committed. None where the database is away or far behind, for which
    /// patient landing does not wait.
    fn is_dead(&self, upload: u32) -> Result<Option<bool>, ProcessError> {
        let until = Instant::now() + PATIENCE;
        while !self.committed.wait_at_most(self.queued, LOOK) {
            if self.committed.has_given_up() {
                return Err(ProcessError::Stopped);
            }
            if self.patient && (self.outages.is_out(Part::Database) || Instant::now() >= until) {
                return Ok(None);
            }
        }
        match Store::reader(self.database.clone()).and_then(|reader| reader.upload(upload)) {
            Ok(row) => Ok(Some(row.is_some_and(|row| row.status == UploadStatus::Dead))),
            Err(error) if self.patient && error.is_transient() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
