//! One journal entry becomes one change set.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::error::ProcessError;
use super::job::{Job, Task, Upload};
use super::judging::Judging;
use super::prepare::{DecodedUpload, Prepared};
use super::texts::Own;
use crate::change::{Alert, ChangeSet, DeadLetter, Outcome};
use crate::store::UploadStatus;

impl Judging {
    /// What the journal entry changes.
    ///
    /// # Errors
    /// When the store or the landing zone cannot be read.
    pub fn entry(&mut self, prepared: Prepared) -> Result<ChangeSet, ProcessError> {
        let Prepared { job, decoded } = prepared;
        let mut set = ChangeSet { entry: job.entry, entry_hash: job.hash.clone(), ..ChangeSet::default() };
        match (&job.task, decoded) {
            (Task::Upload(upload), Some(Ok(decoded))) => self.one_upload(&mut set, &job, upload, decoded)?,
            (Task::Upload(upload), Some(Err(letter))) => {
                if self.begin(&mut set, &job, upload)? {
                    self.bury(&mut set, &job, upload, letter);
                }
            }
            (Task::Upload(_), None) => {
                return Err(ProcessError::Internal("an upload came to the judge undecoded".to_owned()));
            }
            (Task::Decide(body), _) => self.decide(&mut set, body, job.at)?,
            (Task::Configure(version), _) => self.configure(&mut set, *version),
            (Task::Deliver { upload, name }, _) => set.deliveries.push((*upload, name.clone(), job.at)),
        }
        if !self.raising {
            set.alerts.clear();
        }
        Ok(set)
    }

    /// A change set is on its way to the store.
    pub fn remember(&mut self, set: Arc<ChangeSet>) {
        if set.entry > 0 {
            self.past.remember(set);
        }
    }

    /// Names the upload in `set`; false for a retry of one that is no dead letter (any more).
    fn begin(&mut self, set: &mut ChangeSet, job: &Job, upload: &Upload) -> Result<bool, ProcessError> {
        let number = upload.landed.upload;
        if upload.retry && self.past.status(number)? != Some(UploadStatus::Dead) {
            return Ok(false);
        }
        self.uploads_judged += 1;
        set.landed.push(upload.landed.clone());
        if !upload.retry {
            set.deliveries.push((number, upload.landed.name.clone(), job.at));
        }
        Ok(true)
    }

    /// Judges a decoded upload. A panic of the rules costs this upload, not the service.
    fn one_upload(
        &mut self,
        set: &mut ChangeSet,
        job: &Job,
        upload: &Upload,
        decoded: DecodedUpload,
    ) -> Result<(), ProcessError> {
        if !self.begin(set, job, upload)? {
            return Ok(());
        }
        let DecodedUpload { mut decoded, content, lines, .. } = decoded;
        let index = std::mem::take(&mut decoded.index);
        let own = Own {
            upload: upload.landed.upload,
            content: content.as_deref(),
            index: &index,
            lines: &lines,
            object: upload.object,
        };
        let mut judged = set.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.upload(&mut judged, &own, job.at, decoded).map(|()| judged)
        }));
        match outcome {
            Ok(judged) => *set = judged?,
            Err(_) => {
                tracing::error!(upload = own.upload, "judging panicked");
                // whatever it left half done is asked from the store again
                self.reset()?;
                self.bury(set, job, upload, super::failed_letter(1));
            }
        }
        Ok(())
    }

    /// Nothing of the upload is loaded: a dead letter and its alert.
    fn bury(&mut self, set: &mut ChangeSet, job: &Job, upload: &Upload, letter: DeadLetter) {
        let landed = &upload.landed;
        let kind = if letter.code == "feed_changed" { "feed_changed" } else { "dead_letter" };
        set.alerts.push(Alert {
            kind,
            key: format!("{kind}/{}/{}", landed.upload, job.entry),
            meter: None,
            upload: Some(landed.upload),
            at: job.at,
            message: format!(
                "upload {} ({}): {}; {}",
                landed.upload, landed.name, letter.message, letter.hint
            ),
        });
        set.outcome = Some(Outcome { upload: landed.upload, dead: Some(letter), ..Outcome::default() });
    }

    /// A new configuration holds for all that is judged by it: all there is, while that is nothing,
    /// or in a rebuild (which raises no alerts), where the last one judges everything. Otherwise the
    /// store keeps the older version until it is rebuilt.
    fn configure(&mut self, set: &mut ChangeSet, version: u32) {
        if self.uploads_judged == 0 || !self.raising {
            set.configuration = Some(version.to_string());
        }
    }
}
