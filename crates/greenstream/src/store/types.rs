//! What readers get: the rows of the datasets as types.

use std::borrow::Cow;

use greenstream_core::{Flags, Power, Reason, Ts};

use crate::change::{DeadLetter, Landed, Meter, Status};

/// How far an upload has come. The discriminant reaches disk and may only grow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum UploadStatus {
    /// Its bytes are held; nothing of it has been read yet.
    Landed = 0,
    /// An attempt to process it has begun.
    Processing = 1,
    /// Every row of it has its disposition.
    Done = 2,
    /// Nothing of it is loaded, and nothing will be without a person.
    Dead = 3,
}

impl UploadStatus {
    /// All of them, in the order of their codes.
    pub const ALL: [UploadStatus; 4] =
        [UploadStatus::Landed, UploadStatus::Processing, UploadStatus::Done, UploadStatus::Dead];

    /// The name in datasets.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            UploadStatus::Landed => "landed",
            UploadStatus::Processing => "processing",
            UploadStatus::Done => "done",
            UploadStatus::Dead => "dead",
        }
    }

    /// The status with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<UploadStatus> {
        UploadStatus::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Where the store stands in the journal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// The last journal entry whose changes are in; 0 in an empty store.
    pub entry: u64,
    /// The hash of that entry's line; empty in an empty store.
    pub entry_hash: String,
}

/// One upload and its books.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadRow {
    /// What the journal says of it.
    pub landed: Landed,
    /// How far it has come.
    pub status: UploadStatus,
    /// Its rows; 0 unless it is done.
    pub rows: u64,
    /// Rows in `readings`.
    pub stored: u64,
    /// Rows in the error queue (released and edited ones count as stored).
    pub quarantined: u64,
    /// Rows that lost to others.
    pub superseded: u64,
    /// Its size in bytes once decompressed; 0 unless it is done.
    pub decoded_bytes: u64,
    /// The UTC days its rows lie in, first and last.
    pub days: Option<(i64, i64)>,
    /// How often its processing has begun.
    pub attempts: u32,
    /// What killed it, if it is dead.
    pub dead: Option<DeadLetter>,
}

/// One entry of the error queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorRow {
    /// The upload, from 1.
    pub upload: u32,
    /// The row, from 1.
    pub row_number: u32,
    /// The meter's number; none for a row that failed to decode.
    pub meter: Option<Meter>,
    /// The meter's id, of a row that failed to decode as far as it could be read.
    pub meter_id: String,
    /// The instant as far as it could be read.
    pub ts: Option<Ts>,
    /// The row's own value.
    pub kw: Option<Power>,
    /// Why it is here.
    pub reason: Reason,
    /// Its flags when it was quarantined; those that decode gave it once it was decided.
    pub flags: Flags,
    /// What has been decided.
    pub status: Status,
    /// The line it came in.
    pub raw: String,
}

/// One entry of the error queue without its line, for the archive. Fields as in [`ErrorRow`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "as in ErrorRow")]
pub struct Queued<'a> {
    pub upload: u32,
    pub row_number: u32,
    pub meter: Option<Meter>,
    /// The meter's id as far as it could be read, of a row that failed to decode; else empty.
    pub meter_text: Cow<'a, str>,
    pub ts: Option<Ts>,
    pub kw: Option<Power>,
    pub reason: Reason,
    pub flags: Flags,
    pub status: Status,
}

/// One row that lost, with its meter's id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loser {
    /// The upload, from 1.
    pub upload: u32,
    /// The row, from 1.
    pub row_number: u32,
    /// Whose reading.
    pub meter_id: String,
    /// Which reading.
    pub ts: Ts,
    /// The row's own value.
    pub kw: Option<Power>,
}

/// One delivery of bytes already known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// The upload that the bytes are.
    pub upload: u32,
    /// The name they came under this time.
    pub name: String,
    /// When.
    pub delivered_at: Ts,
}

/// One alert as the outbox holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertRow {
    /// Its number, from 1, in the order in which alerts were raised.
    pub alert: i64,
    /// As in [`crate::change::Alert::kind`].
    pub kind: String,
    /// As in [`crate::change::Alert::key`].
    pub key: String,
    /// The meter it is about, if any.
    pub meter_id: Option<String>,
    /// The upload it is about, if any.
    pub upload: Option<u32>,
    /// When it was raised.
    pub at: Ts,
    /// One sentence for a person.
    pub message: String,
    /// When it was sent; none while it waits.
    pub sent_at: Option<Ts>,
    /// How often sending failed.
    pub attempts: u32,
    /// When sending failed last.
    pub tried_at: Option<Ts>,
}

/// The two tables of the archive. The discriminant reaches disk and may only grow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ArchiveTable {
    /// `archive/readings/`.
    Readings = 1,
    /// `archive/error_queue/`.
    ErrorQueue = 2,
}

impl ArchiveTable {
    /// Both.
    pub const ALL: [ArchiveTable; 2] = [ArchiveTable::Readings, ArchiveTable::ErrorQueue];

    /// What stands for the partition of rows without a time, where a day must not be NULL.
    pub(super) const NO_DAY: i64 = i64::MIN;
}

/// A partition of the archive that no longer equals the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Dirty {
    /// Which table.
    pub table: ArchiveTable,
    /// The UTC day (days since 1970); none for error-queue rows without a time.
    pub day: Option<i64>,
    /// The last journal entry that touched it.
    pub entry: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_on_disk_are_pinned() {
        let uploads: Vec<_> = UploadStatus::ALL.iter().map(|s| (*s as u8, s.name())).collect();
        assert_eq!(uploads, [(0, "landed"), (1, "processing"), (2, "done"), (3, "dead")]);
        assert_eq!(ArchiveTable::ALL.map(|table| table as u8), [1, 2]);
        assert!(UploadStatus::ALL.into_iter().all(|s| UploadStatus::from_name(s.name()) == Some(s)));
    }
}
