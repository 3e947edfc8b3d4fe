//! Lands files in groups and says what became of each. What is to be done with what has landed is [`Onward`]'s.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::error::{ProcessError, with_causes};
use super::onward::Onward;
use super::posted::{Arrivals, Bytes, Posted, Receipt, Refused};
use super::waiting::{FAILURES_MAX, Waiting, bytes_of};
use crate::clock;
use crate::config::{Config, Rules};
use crate::home::Layout;
use crate::landing::{Body, Incoming, Landed, Landing, RetryBody, Source, head_of, name_of};
use crate::objects::Place;
use crate::outage::{Outages, Part, free_bytes, room};

/// Files that land as one group: one sync for all of them.
const GROUP_FILES: usize = 512;
/// Bytes that land as one group. Larger holds up the first upload of the group, smaller syncs more often.
const GROUP_BYTES: u64 = 32 << 20;
/// How often a process looks what others have landed in the same bucket: one request.
const OTHERS_EVERY: Duration = Duration::from_secs(1);
/// The same after a look that failed, which may have taken long itself.
const OTHERS_AFTER_FAILURE: Duration = Duration::from_secs(10);
/// How long one look may take while others land faster than it reads.
const OTHERS_WITHIN: Duration = Duration::from_millis(500);

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

/// Lands files and hands on what has landed.
pub(super) struct Lander<'a, O> {
    pub(super) landing: &'a mut Landing,
    rules: &'a Rules,
    config: &'a Config,
    /// What is done with what has landed.
    pub(super) onward: O,
    waiting: Waiting,
    /// When to look again what others have landed; none where nobody else lands.
    others: Option<Instant>,
    outages: &'a Outages,
    landing_folder: PathBuf,
}

impl<'a, O: Onward> Lander<'a, O> {
    pub(super) fn new(
        landing: &'a mut Landing,
        home: &Layout,
        (rules, config): (&'a Rules, &'a Config),
        outages: &'a Outages,
        onward: O,
    ) -> Lander<'a, O> {
        Lander {
            landing,
            rules,
            config,
            onward,
            waiting: Waiting::new(),
            others: home.is_shared().then(Instant::now),
            outages,
            landing_folder: match home.landing_place() {
                Place::Folder(folder) => folder.clone(),
                // what comes over the network is received in the home
                Place::Bucket(_) => home.landing(),
            },
        }
    }

    /// Hands on what has landed and was not handed on yet.
    pub(super) fn hand_on(&mut self) -> Result<(), ProcessError> {
        self.onward.entries(self.landing)
    }

    /// Lands what `next` gives until it gives none, and takes in what others have landed by then. Ends where one of
    /// them has brought another configuration, for then this process is not the owner any more.
    pub(super) fn serve(&mut self, next: &mut dyn FnMut() -> Option<Arrivals>) -> Result<(), ProcessError> {
        let begun = self.landing.configuration_version();
        while let Some(arrivals) = next() {
            self.take_in_others()?;
            let version = self.landing.configuration_version();
            if version != begun {
                return Err(ProcessError::Superseded { version });
            }
            self.take(arrivals)?;
        }
        if !self.outages.is_out(Part::Landing) {
            self.others = self.others.map(|_| Instant::now());
        }
        self.take_in_others()
    }

    /// Lands what has come.
    pub(super) fn take(&mut self, arrivals: Arrivals) -> Result<(), ProcessError> {
        self.land_posted(arrivals.posted)?;
        self.land_inbox(arrivals.files)
    }

    /// Takes nothing for now: files stay where they are, and senders hear why.
    pub(super) fn refuse(&mut self, arrivals: Arrivals, problem: &str, hint: &str) {
        self.outages.fail(Part::Landing, problem.to_owned(), hint);
        for one in arrivals.posted {
            let refused = Refused { problem: problem.to_owned(), hint: hint.to_owned() };
            let _ = one.answer.send(Err(refused));
        }
        self.waiting.add(arrivals.files);
    }

    /// Takes in what other processes have landed in the same bucket, if it is time to.
    pub(super) fn take_in_others(&mut self) -> Result<(), ProcessError> {
        if self.others.is_none_or(|due| Instant::now() < due) {
            return Ok(());
        }
        let pause = match self.landing.refresh_within(OTHERS_WITHIN) {
            Ok(true) => OTHERS_EVERY,
            Ok(false) => Duration::ZERO,
            Err(error) if error.is_transient() => {
                self.outages.fail(Part::Landing, with_causes(&error), error.hint());
                OTHERS_AFTER_FAILURE
            }
            Err(error) => return Err(error.into()),
        };
        self.others = Some(Instant::now() + pause);
        Ok(())
    }

    /// Lands one group, each source under its name, and says what became of each.
    pub(super) fn land(
        &mut self,
        sources: Vec<(Source, String)>,
        given: &Given,
    ) -> Result<Vec<Note>, ProcessError> {
        let at = clock::now();
        let (mut names, mut can_tell) = (Vec::new(), true);
        let incoming: Vec<Incoming> = sources
            .into_iter()
            .map(|(source, name)| {
                let default_feed = &self.config.file.default_feed;
                let fitting = || self.rules.feed_for(&name, default_feed, || head_of(&source)).to_owned();
                let feed = given.feed.clone().unwrap_or_else(fitting);
                let meter = self.rules.meter_from_name(&feed, &name);
                let is_offered_again = matches!(source, Source::Inbox(_));
                names.push((name.clone(), feed.clone(), meter.clone(), is_offered_again));
                Incoming { source, name, feed, time_zone: given.time_zone.clone(), meter, landed_at: at }
            })
            .collect();
        let landed = self.landing.land(incoming)?;
        self.hand_on()?;
        let mut notes = Vec::with_capacity(landed.len());
        for (landed, (name, feed, meter, is_offered_again)) in landed.into_iter().zip(names) {
            notes.push(match landed {
                Landed::New { upload, .. } => Note::Landed(upload),
                Landed::Delivered { upload } => {
                    self.onward.delivery(upload, name, at)?;
                    Note::Known(upload)
                }
                Landed::Refused { upload, feed: held, time_zone } => match self.is_dead(upload, &mut can_tell)? {
                    Some(true) => {
                        let body = RetryBody { upload, feed, time_zone: given.time_zone.clone(), meter };
                        self.landing.append(vec![(at, Body::Retry(body))])?;
                        self.hand_on()?;
                        // a file of the inbox stays, and is known when it is offered again
                        if !is_offered_again {
                            self.onward.delivery(upload, name, at)?;
                        }
                        Note::Retried(upload)
                    }
                    Some(false) => Note::Refused { upload, feed: held, time_zone },
                    None => Note::Unread {
                        problem: format!(
                            "these bytes are upload {upload}, and nobody can tell just now whether it is a dead letter: the database is away, or has not come so far"
                        ),
                        hint: "send them again later".to_owned(),
                    },
                },
                Landed::Unread(error) => {
                    Note::Unread { problem: error.to_string(), hint: error.hint().to_string() }
                }
            });
        }
        Ok(notes)
    }

    /// Whether an upload is a dead letter, as far as somebody can tell: of a group one waits to be told that nobody can.
    fn is_dead(&self, upload: u32, can_tell: &mut bool) -> Result<Option<bool>, ProcessError> {
        let told = if *can_tell { self.onward.is_dead(upload)? } else { None };
        *can_tell = told.is_some();
        Ok(told)
    }

    /// Lands files of the inbox, after those that could not land before. A full disk refuses files, not the
    /// service: they stay where they are and are tried again after growing pauses, and nothing else waits for
    /// that. To be called again and again, also with no files.
    fn land_inbox(&mut self, files: Vec<PathBuf>) -> Result<(), ProcessError> {
        self.hand_on()?;
        self.waiting.add(files);
        let files = self.waiting.take();
        if files.is_empty() {
            self.look_whether_landing_works();
            return Ok(());
        }
        let (mut refused, mut failures) = (Vec::new(), 0);
        for group in groups(&files) {
            if failures < FAILURES_MAX && self.land_files(group)? {
                failures = 0;
            } else if group.len() == 1 {
                failures += 1;
                refused.extend_from_slice(group);
            } else {
                // what does not fit together may fit alone: a large file does not hold up the small ones
                for file in group {
                    if failures < FAILURES_MAX && self.land_files(std::slice::from_ref(file))? {
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
    fn land_files(&mut self, files: &[PathBuf]) -> Result<bool, ProcessError> {
        let given = Given::default();
        let sources = files.iter().map(|path| (Source::Inbox(path.clone()), name_of(path))).collect();
        match self.land(sources, &given) {
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
    fn land_posted(&mut self, posted: Vec<Posted>) -> Result<(), ProcessError> {
        // small ones first, so that they do not wait until large ones are copied
        let (small, large): (Vec<_>, Vec<_>) =
            posted.into_iter().partition(|one| matches!(one.bytes, Bytes::Memory(_)));
        let (mut group, mut bytes) = (Vec::new(), 0);
        for one in small.into_iter().chain(large) {
            let size = one.bytes.len();
            if bytes + size > GROUP_BYTES && !group.is_empty() {
                self.land_senders(std::mem::take(&mut group))?;
                bytes = 0;
            }
            bytes += size;
            group.push(one);
        }
        self.land_senders(group)
    }

    fn land_senders(&mut self, group: Vec<Posted>) -> Result<(), ProcessError> {
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
        let landed = self.land(sources, &Given::default());
        // when a sender hears of it, what was received is nowhere but in the landing zone
        drop(staged);
        match landed {
            Ok(notes) => {
                for ((name, answer), note) in senders.into_iter().zip(notes) {
                    log_note(&name, &note);
                    // one that is gone by now finds its upload known when it comes again
                    let _ = answer.send(Ok(self.receipt(note)));
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

    /// What became of an upload, and what the journal says of it if it has landed.
    fn receipt(&self, note: Note) -> Receipt {
        let upload = match &note {
            Note::Landed(upload) | Note::Known(upload) | Note::Retried(upload) => Some(*upload),
            Note::Refused { upload, .. } => Some(*upload),
            Note::Unread { .. } => None,
        };
        let entry = upload.and_then(|upload| self.landing.upload(upload));
        let sha256 = entry.map(|entry| entry.sha256.to_string()).unwrap_or_default();
        Receipt { note, sha256, bytes: entry.map_or(0, |entry| entry.bytes) }
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
