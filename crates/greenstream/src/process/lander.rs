//! Lands files in groups, says what became of each, and hands the journal's new entries on.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use greenstream_core::Ts;

use super::committed::Committed;
use super::error::{ProcessError, with_causes};
use super::job::{Job, Task};
use super::waiting::{FAILURES_MAX, Waiting, bytes_of};
use crate::clock;
use crate::config::{Config, Rules};
use crate::landing::{Body, Incoming, Landed, Landing, RetryBody, Source, head_of, name_of};
use crate::outage::{Outages, Part, room};
use crate::queue::Queue;
use crate::store::{Store, UploadStatus};

/// Files that land as one group: one sync for all of them.
const GROUP_FILES: usize = 512;
/// Bytes that land as one group. Larger holds up the first upload of the group, smaller syncs more often.
const GROUP_BYTES: u64 = 32 << 20;

/// How files are to be read, as far as the caller says it.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The feed; else what [`Rules::feed_for`] chooses.
    pub feed: Option<String>,
    /// What times without an offset mean.
    pub time_zone: Option<String>,
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// It landed as this upload.
    Landed(u32),
    /// Its bytes are this upload; another delivery is recorded.
    Known(u32),
    /// Its bytes are this dead letter, which is tried again.
    Retried(u32),
    /// Its bytes are this upload under another feed or zone: refused.
    Refused {
        /// The upload that the bytes are.
        upload: u32,
        /// The feed it landed under.
        feed: String,
        /// The zone it landed under.
        time_zone: Option<String>,
    },
    /// It could not be read.
    Unread {
        /// What was wrong.
        problem: String,
        /// The way out.
        hint: String,
    },
}

/// Lands files and hands the journal's new entries on.
pub(super) struct Lander<'a> {
    pub(super) landing: &'a mut Landing,
    pub(super) store: &'a Mutex<Store>,
    pub(super) rules: &'a Rules,
    pub(super) config: &'a Config,
    pub(super) committed: &'a Committed,
    /// The last entry handed on.
    pub(super) queued: u64,
    /// No entry after this one is handed on.
    pub(super) last: u64,
    /// Whether entries are handed on later where there is no room for them now. The journal keeps them.
    pub(super) patient: bool,
    pub(super) waiting: Waiting,
    pub(super) outages: &'a Outages,
    pub(super) landing_folder: PathBuf,
}

impl Lander<'_> {
    /// Hands on every journal entry that has not been; some later where landing must not wait for them.
    pub(super) fn enqueue(&mut self, jobs: &Queue<Job>) -> Result<(), ProcessError> {
        for entry in self.landing.entries_after(self.queued) {
            if self.patient && jobs.is_full() {
                break;
            }
            let entry = entry?;
            if entry.entry > self.last {
                break;
            }
            self.queued = entry.entry;
            if let Some(job) = Job::of(self.landing, entry) {
                jobs.push(job, 1).map_err(|_| ProcessError::Stopped)?;
            }
        }
        Ok(())
    }

    /// Lands one group and says what became of each.
    pub(super) fn land(
        &mut self,
        sources: Vec<Source>,
        given: &Given,
        jobs: &Queue<Job>,
    ) -> Result<Vec<Note>, ProcessError> {
        let at = clock::now();
        let mut names = Vec::new();
        let incoming: Vec<Incoming> = sources
            .into_iter()
            .map(|source| {
                let name = source_name(&source);
                let default_feed = &self.config.file.default_feed;
                let fitting = || self.rules.feed_for(&name, default_feed, || head_of(&source)).to_owned();
                let feed = given.feed.clone().unwrap_or_else(fitting);
                let meter = self.rules.meter_from_name(&feed, &name);
                names.push((name.clone(), feed.clone(), meter.clone()));
                Incoming { source, name, feed, time_zone: given.time_zone.clone(), meter, landed_at: at }
            })
            .collect();
        let landed = self.landing.land(incoming)?;
        self.enqueue(jobs)?;
        let mut notes = Vec::with_capacity(landed.len());
        for (landed, (name, feed, meter)) in landed.into_iter().zip(names) {
            notes.push(match landed {
                Landed::New { upload, .. } => Note::Landed(upload),
                Landed::Delivered { upload } => {
                    self.deliver(upload, name, at, jobs)?;
                    Note::Known(upload)
                }
                Landed::Refused { upload, feed: held, time_zone } => {
                    if self.is_dead(upload)? {
                        let body = RetryBody { upload, feed, time_zone: given.time_zone.clone(), meter };
                        self.landing.append(vec![(at, Body::Retry(body))])?;
                        self.enqueue(jobs)?;
                        Note::Retried(upload)
                    } else {
                        Note::Refused { upload, feed: held, time_zone }
                    }
                }
                Landed::Unread(error) => {
                    Note::Unread { problem: error.to_string(), hint: error.hint().to_string() }
                }
            });
        }
        Ok(notes)
    }

    fn deliver(&self, upload: u32, name: String, at: Ts, jobs: &Queue<Job>) -> Result<(), ProcessError> {
        let job = Job { entry: 0, hash: String::new(), at, task: Task::Deliver { upload, name } };
        jobs.push(job, 1).map_err(|_| ProcessError::Stopped)
    }

    /// Whether an upload is a dead letter, once everything handed on so far is committed.
    fn is_dead(&self, upload: u32) -> Result<bool, ProcessError> {
        if self.patient && self.outages.is_out(Part::Database) {
            // the file stays in the inbox and is offered again: others need not wait for the answer
            return Ok(false);
        }
        if !self.committed.wait_for(self.queued) {
            return Err(ProcessError::Stopped);
        }
        let store = self.store.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let reader = Store::reader(store.path())?;
        Ok(reader.upload(upload)?.is_some_and(|row| row.status == UploadStatus::Dead))
    }

    /// Lands files of the inbox, after those that could not land before. A full disk refuses files, not the
    /// service: they stay where they are and are tried again after growing pauses, and nothing else waits for
    /// that. To be called again and again, also with no files.
    pub(super) fn land_inbox(&mut self, files: Vec<PathBuf>, jobs: &Queue<Job>) -> Result<(), ProcessError> {
        self.enqueue(jobs)?;
        self.waiting.add(files);
        let files = self.waiting.take();
        if files.is_empty() {
            return Ok(());
        }
        let (mut refused, mut failures) = (Vec::new(), 0);
        for group in groups(&files) {
            if failures < FAILURES_MAX && self.land_files(group, jobs)? {
                failures = 0;
            } else if group.len() == 1 {
                failures += 1;
                refused.extend_from_slice(group);
            } else {
                // what does not fit together may fit alone: a large file does not hold up the small ones
                for file in group {
                    if failures < FAILURES_MAX && self.land_files(std::slice::from_ref(file), jobs)? {
                        failures = 0;
                    } else {
                        failures += 1;
                        refused.push(file.clone());
                    }
                }
            }
        }
        if refused.is_empty() && self.waiting.is_empty() {
            self.outages.works(Part::Landing);
        }
        self.waiting.keep(refused);
        Ok(())
    }

    /// Lands a group, all of it or none; false where that may go better later.
    fn land_files(&mut self, files: &[PathBuf], jobs: &Queue<Job>) -> Result<bool, ProcessError> {
        let given = Given::default();
        let sources = files.iter().map(|path| Source::Inbox(path.clone())).collect();
        match self.land(sources, &given, jobs) {
            Ok(notes) => {
                for (path, note) in files.iter().zip(notes) {
                    log_note(path, &note);
                }
                Ok(true)
            }
            Err(ProcessError::Landing(error)) if error.is_transient() => {
                let mut problem = with_causes(&error);
                if error.is_full() {
                    problem += &room(&self.landing_folder, bytes_of(files));
                }
                self.outages.fail(Part::Landing, problem, error.hint());
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

fn log_note(path: &Path, note: &Note) {
    match note {
        Note::Landed(upload) => tracing::info!(upload, file = %path.display(), "landed"),
        Note::Known(upload) => tracing::info!(upload, file = %path.display(), "delivered again"),
        Note::Retried(upload) => tracing::info!(upload, file = %path.display(), "dead letter tried again"),
        Note::Refused { upload, feed, .. } => tracing::error!(upload, feed, file = %path.display(),
            "these bytes landed under another feed or time zone; the file stays in the inbox"),
        Note::Unread { problem, hint } => tracing::warn!(file = %path.display(), hint, "{problem}"),
    }
}

/// Cuts files into groups that land together.
pub(super) fn groups(files: &[PathBuf]) -> Vec<&[PathBuf]> {
    let mut groups = Vec::new();
    let (mut start, mut bytes) = (0, 0_u64);
    for (index, path) in files.iter().enumerate() {
        let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
        if index > start && (bytes + size > GROUP_BYTES || index - start == GROUP_FILES) {
            groups.push(&files[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < files.len() {
        groups.push(&files[start..]);
    }
    groups
}

/// The name under which a source lands.
fn source_name(source: &Source) -> String {
    match source {
        Source::File(path) | Source::Inbox(path) => name_of(path),
        Source::Bytes(_) => String::new(),
    }
}
