//! Uploads as they land, are tried and end.

use rusqlite::{Connection, params};

use super::rows::index_bytes;
use super::types::UploadStatus;
use crate::change::{Landed, Outcome};

/// Makes the rows of uploads that are new; an upload that is tried again takes its new feed and zone.
pub(super) fn land(conn: &Connection, landed: &[Landed]) -> rusqlite::Result<()> {
    for upload in landed {
        conn.prepare_cached(
            "INSERT INTO t_upload (upload, name, sha256, bytes, landed_at, feed, time_zone)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (upload) DO UPDATE SET name = ?2, sha256 = ?3, bytes = ?4, landed_at = ?5,
                 feed = ?6, time_zone = ?7",
        )?
        .execute(params![
            upload.upload,
            upload.name,
            upload.sha256,
            upload.bytes.cast_signed(),
            upload.landed_at.micros(),
            upload.feed,
            upload.time_zone,
        ])?;
    }
    Ok(())
}

/// Counts one more attempt for each upload; the counts by then.
pub(super) fn begin(conn: &Connection, uploads: &[u32]) -> rusqlite::Result<Vec<u32>> {
    let mut attempt = conn.prepare_cached(
        "UPDATE t_upload SET attempts = attempts + 1, status = iif(status = ?2, status, ?3)
         WHERE upload = ?1 RETURNING attempts",
    )?;
    let mut counts = Vec::with_capacity(uploads.len());
    for upload in uploads {
        let mut rows =
            attempt.query(params![upload, UploadStatus::Done as u8, UploadStatus::Processing as u8])?;
        counts.push(rows.next()?.map_or(Ok(0), |row| row.get(0))?);
        // the update is complete only when its rows have been read to the end
        while rows.next()?.is_some() {}
    }
    Ok(counts)
}

/// Writes down how an upload ended; false where the upload is not known.
pub(super) fn end(conn: &Connection, outcome: &Outcome) -> rusqlite::Result<bool> {
    let status = if outcome.dead.is_some() { UploadStatus::Dead } else { UploadStatus::Done };
    let dead = outcome.dead.as_ref();
    let changed = conn
        .prepare_cached(
            "UPDATE t_upload SET status = ?2, rows = ?3, decoded_bytes = ?4, first_day = ?5,
                 last_day = ?6, dead_code = ?7, dead_message = ?8, dead_hint = ?9, row_index = ?10
             WHERE upload = ?1",
        )?
        .execute(params![
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
        ])?;
    Ok(changed == 1)
}
