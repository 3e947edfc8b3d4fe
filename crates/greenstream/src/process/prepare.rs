//! The part of processing that needs no past: reading and decoding an upload, on any thread.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use greenstream_core::decode::{Decoded, FileFormat, Given, Refusal, RowLines};

use super::attempts::ATTEMPTS_MAX;
use super::error::ProcessError;
use super::job::{Job, Task, Upload};
use crate::change::DeadLetter;
use crate::config::Rules;
use crate::landing::{Failure, Objects};

/// Bytes read and decoded at a time.
const BLOCK: usize = 1 << 20;
/// Content up to this size is kept until its rows are judged, for the raw text of those that are
/// quarantined; of larger uploads it is read again from the landing zone, which costs them a hundredth of
/// their time (and a small one as much as its decoding).
const KEPT_BYTES_MAX: usize = 2 << 20;

/// Decodes uploads of one landing zone under one set of rules.
pub struct Preparer {
    objects: Objects,
    rules: Arc<Rules>,
    upload_bytes_max: u64,
    condemned: Option<u64>,
}

/// A job whose upload, if it is one, has been decoded.
pub struct Prepared {
    /// The job.
    pub job: Job,
    /// What decoding came to, for an upload.
    pub decoded: Option<Result<DecodedUpload, DeadLetter>>,
}

/// A decoded upload, with its content if it is small.
pub struct DecodedUpload {
    /// Its rows.
    pub decoded: Decoded,
    /// Its decoded bytes, unless they are many.
    pub content: Option<Vec<u8>>,
    /// How many decoded bytes there are.
    pub bytes: u64,
    /// Which lines hold rows.
    pub lines: RowLines,
}

/// Why an upload was not decoded: its own fault, or the world's.
enum Obstacle {
    Dead(DeadLetter),
    World(ProcessError),
}

impl From<Refusal> for Obstacle {
    fn from(refusal: Refusal) -> Obstacle {
        let code = refusal.code().to_owned();
        Obstacle::Dead(DeadLetter { code, message: refusal.to_string(), hint: refusal.hint() })
    }
}

impl From<Failure> for Obstacle {
    fn from(failure: Failure) -> Obstacle {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::World(error) => Obstacle::World(error.into()),
        }
    }
}

impl Preparer {
    /// A preparer for uploads of at most `upload_bytes_max` decoded bytes.
    pub fn new(objects: Objects, rules: Arc<Rules>, upload_bytes_max: u64) -> Preparer {
        Preparer { objects, rules, upload_bytes_max, condemned: None }
    }

    /// Names the journal entry whose upload has killed the process too often to be read once more.
    pub fn condemn(&mut self, entry: Option<u64>) {
        self.condemned = entry;
    }

    /// Decodes the job's upload, if it is one.
    ///
    /// # Errors
    /// Only when the landing zone cannot be read; what is wrong with an upload makes it a dead letter.
    pub fn prepare(&self, job: Job) -> Result<Prepared, ProcessError> {
        let Task::Upload(upload) = &job.task else { return Ok(Prepared { job, decoded: None }) };
        if self.condemned == Some(job.entry) {
            let letter = super::failed_letter(ATTEMPTS_MAX);
            return Ok(Prepared { job, decoded: Some(Err(letter)) });
        }
        for _ in 0..ATTEMPTS_MAX {
            match catch_unwind(AssertUnwindSafe(|| self.decode(upload))) {
                Ok(Ok(decoded)) => return Ok(Prepared { job, decoded: Some(Ok(decoded)) }),
                Ok(Err(Obstacle::Dead(letter))) => {
                    let letter = self.with_drift(letter, upload);
                    return Ok(Prepared { job, decoded: Some(Err(letter)) });
                }
                Ok(Err(Obstacle::World(error))) => return Err(error),
                // the panic hook has told where
                Err(_) => tracing::error!(upload = upload.landed.upload, "decoding panicked"),
            }
        }
        let letter = super::failed_letter(ATTEMPTS_MAX);
        Ok(Prepared { job, decoded: Some(Err(letter)) })
    }

    /// Names the command that shows what has changed, where the layout no longer is what a profile says.
    fn with_drift(&self, letter: DeadLetter, upload: &Upload) -> DeadLetter {
        let (landed, is_layout) =
            (&upload.landed, matches!(letter.code.as_str(), "header_unfit" | "feed_changed"));
        let feed = self.rules.feeds.get(&landed.feed).filter(|_| is_layout && landed.feed != "default");
        if feed.is_none_or(|feed| feed.format != FileFormat::Csv) {
            return letter;
        }
        let hint =
            format!("see what changed: `greenstream feeds drift {}`; or {}", landed.upload, letter.hint);
        DeadLetter { hint, ..letter }
    }

    fn decode(&self, upload: &Upload) -> Result<DecodedUpload, Obstacle> {
        let landed = &upload.landed;
        let Some(feed) = self.rules.feeds.get(&landed.feed) else {
            return Err(Obstacle::Dead(DeadLetter {
                code: "feed_unknown".to_owned(),
                message: format!("no feed is named {:?}", landed.feed),
                hint: "`greenstream feeds list` shows the names; then `greenstream dead-letters retry --feed NAME`"
                    .to_owned(),
            }));
        };
        let given =
            Given { time_zone: landed.time_zone.as_deref(), name: &landed.name, landed_at: landed.landed_at };
        let decoder = feed.compile(&given).map_err(|error| {
            Obstacle::Dead(DeadLetter {
                code: "feed_unfit".to_owned(),
                message: error.to_string(),
                hint: "choose a feed that fits: `greenstream dead-letters retry --feed NAME`".to_owned(),
            })
        })?;
        let mut source = self
            .objects
            .content(&upload.object, self.upload_bytes_max)
            .map_err(|error| Obstacle::World(error.into()))?
            .written_in(feed.encoding);
        let mut stream = decoder.stream();
        let landed_bytes = usize::try_from(landed.bytes).unwrap_or(usize::MAX);
        let mut content = (landed_bytes <= KEPT_BYTES_MAX).then(|| Vec::with_capacity(landed_bytes));
        let mut block = vec![0; BLOCK];
        let mut bytes = 0;
        loop {
            let read = match source.read(&mut block) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(source.failure(error).into()),
            };
            bytes += read as u64;
            stream.push(&block[..read])?;
            match &mut content {
                Some(kept) if kept.len() + read <= KEPT_BYTES_MAX => kept.extend_from_slice(&block[..read]),
                _ => content = None,
            }
        }
        Ok(DecodedUpload { decoded: stream.finish()?, content, bytes, lines: feed.row_lines() })
    }
}
