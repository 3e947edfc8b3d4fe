//! The accounting of uploads: rows = stored + quarantined + superseded, at every commit (G1).
//!
//! The books that a change set declares are not believed: they are derived a second time from the
//! rows that the set moves, and the two must agree. What is then written must add up for every
//! upload that was touched.

use std::collections::BTreeMap;

use greenstream_core::{Reading, Reason, Standing};

use super::db::{Db, params};
use super::error::{Doing, Fault, StoreError};
use super::types::UploadStatus;
use crate::change::{BookEntry, ChangeSet, Status};

/// How the rows of one change set move between the three dispositions, by upload.
#[derive(Default)]
pub(super) struct Books(pub(super) BTreeMap<u32, BookEntry>);

impl Books {
    /// What everything in `set` but its decisions moves.
    pub(super) fn of(set: &ChangeSet) -> Books {
        let mut books = Books::default();
        for run in set.inserted.chunk_by(|a, b| a.1.upload == b.1.upload) {
            if let Some((_, first)) = run.first() {
                books.at(first.upload).stored += i64::try_from(run.len()).unwrap_or(i64::MAX);
            }
        }
        for replaced in &set.replaced {
            replaced.before.iter().for_each(|before| books.reading(before, -1));
            replaced.after.iter().for_each(|after| books.reading(after, 1));
        }
        set.rejects.iter().for_each(|row| books.at(row.upload).quarantined += 1);
        set.superseded.iter().for_each(|row| books.at(row.upload).superseded += 1);
        set.revived.iter().for_each(|(upload, _)| books.at(*upload).superseded -= 1);
        books
    }

    /// What a decision moves by itself: a discarded row, and one that is no reading, is quarantined
    /// without being any reading's winner.
    pub(super) fn decided(&mut self, upload: u32, reason: Reason, before: Status, after: Status) {
        let stands_alone = |status| match status {
            Status::Discarded => 1,
            Status::Open if reason.is_decode_failure() => 1,
            Status::Open | Status::Released | Status::Edited => 0,
        };
        self.at(upload).quarantined += stands_alone(after) - stands_alone(before);
    }

    /// Compares with what the set declares; the difference in words where there is one.
    pub(super) fn check(mut self, declared: &[BookEntry]) -> Result<(), String> {
        let moved = self.0.clone();
        for entry in declared {
            let left = self.at(entry.upload);
            left.stored -= entry.stored;
            left.quarantined -= entry.quarantined;
            left.superseded -= entry.superseded;
        }
        match self
            .0
            .iter()
            .find(|(upload, left)| **left != BookEntry { upload: **upload, ..BookEntry::default() })
        {
            None => Ok(()),
            Some((upload, left)) => {
                let moved = moved.get(upload).copied().unwrap_or_default();
                Err(format!(
                    "the rows of upload {upload} move by {:+} stored, {:+} quarantined, {:+} superseded, \
                     and its books say {:+}, {:+}, {:+}",
                    moved.stored,
                    moved.quarantined,
                    moved.superseded,
                    moved.stored - left.stored,
                    moved.quarantined - left.quarantined,
                    moved.superseded - left.superseded,
                ))
            }
        }
    }

    fn reading(&mut self, reading: &Reading, by: i64) {
        let book = self.at(reading.upload);
        if reading.standing == Standing::Accepted {
            book.stored += by;
        } else {
            book.quarantined += by;
        }
    }

    fn at(&mut self, upload: u32) -> &mut BookEntry {
        self.0.entry(upload).or_insert(BookEntry { upload, ..BookEntry::default() })
    }
}

/// Adds the differences to the upload's counters; false where the upload is not known.
pub(super) fn add(db: &Db, entry: &BookEntry) -> Result<bool, Fault> {
    let changed = db.execute(
        "UPDATE t_upload SET stored = stored + ?2, quarantined = quarantined + ?3,
             superseded = superseded + ?4 WHERE upload = ?1",
        params![entry.upload, entry.stored, entry.quarantined, entry.superseded],
    )?;
    Ok(changed == 1)
}

/// Refuses to leave an upload whose rows do not add up: all of them have a disposition once it is
/// done, and it has none before that.
pub(super) fn check_balance(db: &Db, upload: u32) -> Result<(), StoreError> {
    let sql = "SELECT status, rows, stored, quarantined, superseded FROM t_upload WHERE upload = ?1";
    let books: (u8, i64, i64, i64, i64) = db
        .row(sql, params![upload], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .doing("be balanced")?;
    let (status, rows, stored, quarantined, superseded) = books;
    let done = status == UploadStatus::Done as u8;
    let adds_up = rows == stored + quarantined + superseded && (done || rows == 0);
    if adds_up && stored >= 0 && quarantined >= 0 && superseded >= 0 {
        return Ok(());
    }
    let status = UploadStatus::ALL.into_iter().find(|known| *known as u8 == status);
    let status = status.map_or("unknown", UploadStatus::name);
    Err(StoreError::Unbalanced { upload, status, rows, stored, quarantined, superseded })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: Status, reason: Reason, after: Status, quarantined: i64) {
        let mut books = Books::default();
        books.decided(1, reason, before, after);
        assert_eq!(books.at(1).quarantined, quarantined, "{before:?} to {after:?}, {reason:?}");
    }

    #[test]
    fn a_discarded_row_and_an_unedited_reject_are_quarantined_by_themselves() {
        use Status::{Discarded, Edited, Open, Released};
        for (before, after, judged, rejected) in [
            (Open, Discarded, 1, 0),
            (Discarded, Open, -1, 0),
            (Open, Released, 0, -1),
            (Open, Edited, 0, -1),
            (Edited, Open, 0, 1),
            (Edited, Discarded, 1, 1),
            (Discarded, Edited, -1, -1),
            (Discarded, Discarded, 0, 0),
        ] {
            check(before, Reason::Outlier, after, judged);
            check(before, Reason::ValueInvalid, after, rejected);
        }
    }

    #[test]
    fn books_that_say_something_else_than_the_rows_are_named() {
        let mut books = Books::default();
        books.at(3).stored = 2;
        let declared = BookEntry { upload: 3, stored: 1, ..BookEntry::default() };
        let problem = books.check(&[declared]).unwrap_err();
        assert!(problem.contains("upload 3 move by +2 stored"), "{problem}");
        assert!(problem.ends_with("books say +1, +0, +0"), "{problem}");
    }

    #[test]
    fn books_of_one_upload_may_come_in_parts() {
        let mut books = Books::default();
        books.at(3).stored = 2;
        let one = BookEntry { upload: 3, stored: 1, ..BookEntry::default() };
        assert_eq!(books.check(&[one, one]), Ok(()));
    }
}
