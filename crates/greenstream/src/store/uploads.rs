//! Uploads as they land, are tried and end.

use super::db::{Db, params};
use super::error::Fault;
use super::rows::index_bytes;
use super::types::UploadStatus;
use crate::change::{Landed, Outcome};

/// Makes the rows of uploads that are new; an upload that is tried again takes its new feed and zone.
pub(super) fn land(db: &Db, landed: &[Landed]) -> Result<(), Fault> {
    for upload in landed {
        db.execute(
            "INSERT INTO t_upload (upload, name, sha256, bytes, landed_at, feed, time_zone)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (upload) DO UPDATE SET name = ?2, sha256 = ?3, bytes = ?4, landed_at = ?5,
                 feed = ?6, time_zone = ?7",
            params![
                upload.upload,
                &upload.name,
                &upload.sha256,
                upload.bytes.cast_signed(),
                upload.landed_at.micros(),
                &upload.feed,
                &upload.time_zone,
            ],
        )?;
    }
    Ok(())
}

/// Counts one more attempt for each upload; the counts by then.
pub(super) fn begin(db: &Db, uploads: &[u32]) -> Result<Vec<u32>, Fault> {
    let attempt = "UPDATE t_upload SET attempts = attempts + 1,
            status = CASE status WHEN ?2 THEN status ELSE ?3 END
        WHERE upload = ?1 RETURNING attempts";
    let (done, processing) = (UploadStatus::Done as u8, UploadStatus::Processing as u8);
    let count = |upload: &u32| {
        // the update is complete only when its rows have been read to the end
        let counts = db.all(attempt, params![*upload, done, processing], |row| row.get(0))?;
        Ok(counts.first().copied().unwrap_or(0))
    };
    uploads.iter().map(count).collect()
}

/// Writes down how an upload ended; false where the upload is not known.
pub(super) fn end(db: &Db, outcome: &Outcome) -> Result<bool, Fault> {
    let status = if outcome.dead.is_some() { UploadStatus::Dead } else { UploadStatus::Done };
    let dead = outcome.dead.as_ref();
    let changed = db.execute(
        "UPDATE t_upload SET status = ?2, rows = ?3, decoded_bytes = ?4, first_day = ?5,
             last_day = ?6, dead_code = ?7, dead_message = ?8, dead_hint = ?9, row_index = ?10
         WHERE upload = ?1",
        params![
            outcome.upload,
            status as u8,
            outcome.rows,
            outcome.decoded_bytes.cast_signed(),
            outcome.days.map(|(first, _)| first),
            outcome.days.map(|(_, last)| last),
            dead.map(|dead| &dead.code),
            dead.map(|dead| &dead.message),
            dead.map(|dead| &dead.hint),
            index_bytes(&outcome.index),
        ],
    )?;
    Ok(changed == 1)
}
