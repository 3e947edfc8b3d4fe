//! Lands files in groups, says what became of each, and hands the journal's new entries on.

use std::collections::VecDeque;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use greenstream_core::Ts;

use super::committed::Committed;
use super::error::{ProcessError, with_causes};
use super::job::{Job, Task};
use super::posted::{Bytes, Posted, Receipt, Refused};
use super::waiting::{FAILURES_MAX, Waiting, bytes_of};
use crate::clock;
use crate::config::{Config, Rules};
use crate::landing::{Body, Incoming, Landed, Landing, RetryBody, Source, head_of, name_of};
use crate::outage::{Outages, Part, free_bytes, room};
use crate::queue::Queue;
use crate::store::{Store, UploadStatus};

/// Files that land as one group: one sync for all of them.
const GROUP_FILES: usize = 512;
/// Bytes that land as one group. Larger holds up the first upload of the group, smaller syncs more often.
const GROUP_BYTES: u64 = 32 << 20;
/// Deliveries that wait for room; with more of them landing waits too.
const DELIVERIES_MAX: usize = 65_536;
/// How often who waits for the database looks whether it is away.
const LOOK: Duration = Duration::from_millis(100);

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
    /// Deliveries of known bytes for which there was no room; patient landing does not wait for it.
    pub(super) deliveries: VecDeque<Job>,
    pub(super) outages: &'a Outages,
    pub(super) landing_folder: PathBuf,
}

impl Lander<'_> {
    /// Hands on every journal entry that has not been; some later where landing must not wait for them.
    pub(super) fn enqueue(&mut self, jobs: &Queue<Job>) -> Result<(), ProcessError> {
        while !(self.patient && jobs.is_full()) {
            let Some(delivery) = self.deliveries.pop_front() else { break };
            jobs.push(delivery, 1).map_err(|_| ProcessError::Stopped)?;
        }
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

    /// Lands one group, each source under its name, and says what became of each.
    pub(super) fn land(
        &mut self,
        sources: Vec<(Source, String)>,
        given: &Given,
        jobs: &Queue<Job>,
    ) -> Result<Vec<Note>, ProcessError> {
        let at = clock::now();
        let mut names = Vec::new();
        let incoming: Vec<Incoming> = sources
            .into_iter()
            .map(|(source, name)| {
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
                Landed::Refused { upload, feed: held, time_zone } => match self.is_dead(upload)? {
                    Some(true) => {
                        let body = RetryBody { upload, feed, time_zone: given.time_zone.clone(), meter };
                        self.landing.append(vec![(at, Body::Retry(body))])?;
                        self.enqueue(jobs)?;
                        Note::Retried(upload)
                    }
                    Some(false) => Note::Refused { upload, feed: held, time_zone },
                    None => Note::Unread {
                        problem: format!(
                            "these bytes are upload {upload}, and while the database is away nobody can tell whether it is a dead letter"
                        ),
                        hint: "send them again when the database is back".to_owned(),
                    },
                },
                Landed::Unread(error) => {
                    Note::Unread { problem: error.to_string(), hint: error.hint().to_string() }
                }
            });
        }
        Ok(notes)
    }

    fn deliver(&mut self, upload: u32, name: String, at: Ts, jobs: &Queue<Job>) -> Result<(), ProcessError> {
        let job = Job { entry: 0, hash: String::new(), at, task: Task::Deliver { upload, name } };
        if self.patient && jobs.is_full() && self.deliveries.len() < DELIVERIES_MAX {
            self.deliveries.push_back(job);
            return Ok(());
        }
        jobs.push(job, 1).map_err(|_| ProcessError::Stopped)
    }

    /// Whether an upload is a dead letter, once everything handed on so far is committed; none where the
    /// database is away, for which patient landing does not wait.
    fn is_dead(&self, upload: u32) -> Result<Option<bool>, ProcessError> {
        while !self.committed.wait_at_most(self.queued, LOOK) {
            if self.committed.has_given_up() {
                return Err(ProcessError::Stopped);
            }
            if self.patient && self.outages.is_out(Part::Database) {
                return Ok(None);
            }
        }
        let place = self.store.lock().unwrap_or_else(std::sync::PoisonError::into_inner).database().clone();
        match Store::reader(place).and_then(|reader| reader.upload(upload)) {
            Ok(row) => Ok(Some(row.is_some_and(|row| row.status == UploadStatus::Dead))),
            Err(error) if self.patient && error.is_transient() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Lands files of the inbox, after those that could not land before. A full disk refuses files, not the
    /// service: they stay where they are and are tried again after growing pauses, and nothing else waits for
    /// that. To be called again and again, also with no files.
    pub(super) fn land_inbox(&mut self, files: Vec<PathBuf>, jobs: &Queue<Job>) -> Result<(), ProcessError> {
        self.enqueue(jobs)?;
        self.waiting.add(files);
        let files = self.waiting.take();
        if files.is_empty() {
            self.look_whether_landing_works();
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

    /// Ends a landing outage that senders met, who may be waiting for the service to be ready again before
    /// they come back.
    fn look_whether_landing_works(&mut self) {
        if !(self.outages.is_out(Part::Landing) && self.waiting.is_empty() && self.waiting.is_due()) {
            return;
        }
        let low = self.config.file.upload.free_bytes_min;
        // bodies are received beside landing/, which may be a volume of its own
        let has_room = [Some(self.landing_folder.as_path()), self.landing_folder.parent()]
            .into_iter()
            .flatten()
            .all(|folder| free_bytes(folder).is_none_or(|free| free >= low));
        if has_room && self.landing.probe().is_ok() {
            self.outages.works(Part::Landing);
            self.waiting.keep(Vec::new());
        } else {
            self.waiting.pause();
        }
    }

    /// Lands a group, all of it or none; false where that may go better later.
    fn land_files(&mut self, files: &[PathBuf], jobs: &Queue<Job>) -> Result<bool, ProcessError> {
        let given = Given::default();
        let sources = files.iter().map(|path| (Source::Inbox(path.clone()), name_of(path))).collect();
        match self.land(sources, &given, jobs) {
            Ok(notes) => {
                for (path, note) in files.iter().zip(notes) {
                    log_note(&path.display(), &note);
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

    /// Lands what came over the network and answers its senders. What passes (a full disk) is their answer
    /// too: they have the bytes still, and come again.
    pub(super) fn land_posted(&mut self, posted: Vec<Posted>, jobs: &Queue<Job>) -> Result<(), ProcessError> {
        // small ones first, so that they do not wait until large ones are copied
        let (small, large): (Vec<_>, Vec<_>) =
            posted.into_iter().partition(|one| matches!(one.bytes, Bytes::Memory(_)));
        let (mut group, mut bytes) = (Vec::new(), 0);
        for one in small.into_iter().chain(large) {
            let size = one.bytes.len();
            if bytes + size > GROUP_BYTES && !group.is_empty() {
                self.land_senders(std::mem::take(&mut group), jobs)?;
                bytes = 0;
            }
            bytes += size;
            group.push(one);
        }
        self.land_senders(group, jobs)
    }

    fn land_senders(&mut self, group: Vec<Posted>, jobs: &Queue<Job>) -> Result<(), ProcessError> {
        let (mut sources, mut senders, mut staged) = (Vec::new(), Vec::new(), Vec::new());
        // a sender that has gone away was never acknowledged, and comes again
        for one in group.into_iter().filter(|one| !one.answer.is_closed()) {
            let (source, file) = one.bytes.source();
            sources.push((source, one.name.clone()));
            senders.push((one.name, one.answer));
            staged.extend(file);
        }
        if sources.is_empty() {
            return Ok(());
        }
        let landed = self.land(sources, &Given::default(), jobs);
        // when a sender hears of it, what was received is nowhere but in the landing zone
        drop(staged);
        match landed {
            Ok(notes) => {
                for ((name, answer), note) in senders.into_iter().zip(notes) {
                    log_note(&name, &note);
                    // one that is gone by now finds its upload known when it comes again
                    let _ = answer.send(self.receipt(note));
                }
                if self.waiting.is_empty() {
                    self.outages.works(Part::Landing);
                }
                Ok(())
            }
            Err(ProcessError::Landing(error)) if error.is_transient() => {
                self.outages.fail(Part::Landing, with_causes(&error), error.hint());
                for (_, answer) in senders {
                    let _ = answer.send(Err(Refused::from(&error)));
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// What the journal says of an upload that has landed.
    fn receipt(&self, note: Note) -> Result<Receipt, Refused> {
        let upload = match &note {
            Note::Landed(upload) | Note::Known(upload) | Note::Retried(upload) => *upload,
            Note::Refused { upload, .. } => *upload,
            Note::Unread { problem, hint } => {
                return Err(Refused { problem: problem.clone(), hint: hint.clone() });
            }
        };
        let entry = self.landing.upload(upload);
        let sha256 = entry.map(|entry| entry.sha256.to_string()).unwrap_or_default();
        Ok(Receipt { note, sha256, bytes: entry.map_or(0, |entry| entry.bytes) })
    }
}

/// `file` is a path of the inbox, or the name of what came over the network.
fn log_note(file: &dyn Display, note: &Note) {
    match note {
        Note::Landed(upload) => tracing::info!(upload, %file, "landed"),
        Note::Known(upload) => tracing::info!(upload, %file, "delivered again"),
        Note::Retried(upload) => tracing::info!(upload, %file, "dead letter tried again"),
        Note::Refused { upload, feed, .. } => tracing::error!(upload, feed, %file,
            "these bytes landed under another feed or time zone; nothing changed"),
        Note::Unread { problem, hint } => tracing::warn!(%file, hint, "{problem}"),
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
