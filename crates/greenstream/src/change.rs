//! What one journal entry changes: the only thing that store, archive and alert accept.
//!
//! A change set says the new state of each thing it touches, never a step towards it, so applying
//! it twice is the same as applying it once; [`Replaced`] also carries what was there before, so
//! that no projection has to look.

use greenstream_core::decode::RowIndex;
pub use greenstream_core::rules::DayState;
use greenstream_core::{Flags, Power, Reading, Reason, Ts};

/// A meter's number in one store: given at first sight, never reused, not stable across rebuilds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Meter(pub u32);

/// Everything that one journal entry (an upload, a decision, a delivery) changes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ChangeSet {
    /// The journal entry that causes it; the store's position once it is committed.
    pub entry: u64,
    /// The hash of that entry's line, the head of the chain at that position.
    pub entry_hash: String,
    /// Uploads that this entry landed or that it tries again under another feed or zone.
    pub landed: Vec<Landed>,
    /// The version of the configuration that everything in the store is judged by from this entry
    /// on; none where the entry leaves it as it is.
    pub configuration: Option<String>,
    /// Meters seen for the first time.
    pub meters: Vec<(Meter, String)>,
    /// Accepted readings whose (meter, instant) was unknown. Sorted by (hour, meter, ts).
    pub inserted: Vec<(Meter, Reading)>,
    /// Every other change of a reading. Sorted by (meter, ts), each key once.
    pub replaced: Vec<Replaced>,
    /// The raw text and line of rows that stand in the error queue after this change, in the order
    /// of (upload, row_number): one for each entry of `rejects` and for each reading of `replaced`
    /// whose `after` is quarantined and that was not quarantined with the same row before. A row
    /// that was decided needs none: the store keeps its text with the decision.
    pub raw: Vec<((u32, u32), String)>,
    /// Rows that failed to decode. Sorted by row.
    pub rejects: Vec<RejectRow>,
    /// Rows that lost (or lost now) to another row of the same reading.
    pub superseded: Vec<SupersededRow>,
    /// What cumulative registers showed, of an upload that tells them. Sorted by (meter, ts), each key
    /// once; it replaces what was known of the instant.
    pub registers: Vec<Register>,
    /// Revisions of rows, of an upload whose feed has them. Sorted by (meter, ts, row).
    pub revisions: Vec<Revision>,
    /// Rows of `superseded` in the store that win again, by (upload, row_number).
    pub revived: Vec<(u32, u32)>,
    /// What a day of a meter holds, in the reporting zone; one entry for each (meter, day) touched.
    pub days: Vec<(Meter, i32, DayState)>,
    /// Episodes as they stand now; the key is (meter, kind, first_ts).
    pub episodes: Vec<Episode>,
    /// Episodes that are withdrawn (or whose first instant moved): (meter, kind, first_ts).
    pub episodes_gone: Vec<(Meter, EpisodeKind, Ts)>,
    /// Status of error-queue entries that a decision changed: (upload, row_number, status).
    pub decisions: Vec<Decision>,
    /// How the books of uploads change: (upload, stored, quarantined, superseded), as differences.
    pub books: Vec<BookEntry>,
    /// The outcome of the upload that this entry landed, if it did.
    pub outcome: Option<Outcome>,
    /// Another delivery of bytes already known: (upload, name, delivered_at).
    pub deliveries: Vec<(u32, String, Ts)>,
    /// Alerts to send, put into the outbox in the same transaction.
    pub alerts: Vec<Alert>,
}

impl ChangeSet {
    /// How much it is to carry and to commit, in rows; at least 1.
    pub fn weight(&self) -> usize {
        let queued = self.rejects.len() + self.superseded.len();
        (self.inserted.len() + 2 * self.replaced.len() + queued + self.registers.len() + self.revisions.len())
            .max(1)
    }
}

/// An upload as the journal names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Landed {
    /// The landing sequence number, from 1.
    pub upload: u32,
    /// The name it came under first.
    pub name: String,
    /// The hash of its bytes, in lower-case hex.
    pub sha256: String,
    /// Landed size in bytes, as it came (compressed, if it was).
    pub bytes: u64,
    /// When it landed.
    pub landed_at: Ts,
    /// The feed whose profile reads it.
    pub feed: String,
    /// What times without an offset mean (IANA name); none where the feed names no zone.
    pub time_zone: Option<String>,
}

/// A reading that was known before, or that enters the error queue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Replaced {
    /// Whose reading.
    pub meter: Meter,
    /// What stood there: in `readings` where its standing is `Accepted`, else in the error queue.
    pub before: Option<Reading>,
    /// What stands there now; none where its only row was discarded.
    pub after: Option<Reading>,
}

/// A row that failed to decode, as it enters the error queue.
#[derive(Clone, PartialEq, Debug)]
pub struct RejectRow {
    /// The upload, from 1.
    pub upload: u32,
    /// The row, from 1.
    pub row_number: u32,
    /// The meter as far as it could be read; may be empty, may be no valid id.
    pub meter: String,
    /// The instant as far as it could be read.
    pub ts: Option<Ts>,
    /// Why.
    pub reason: Reason,
}

/// A row that lost to another of the same reading.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SupersededRow {
    /// The upload, from 1.
    pub upload: u32,
    /// The row, from 1.
    pub row_number: u32,
    /// Whose reading.
    pub meter: Meter,
    /// Which reading.
    pub ts: Ts,
    /// The row's own value, none if missing.
    pub kw: Option<Power>,
    /// The flags that decode gave the row.
    pub flags: Flags,
}

/// What the cumulative register of a meter showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Register {
    /// Whose.
    pub meter: Meter,
    /// When.
    pub ts: Ts,
    /// The energy since its beginning, in micro-watt-hours.
    pub energy: i64,
    /// The upload that says so, from 1.
    pub upload: u32,
    /// Its row, from 1.
    pub row_number: u32,
}

/// Which version of its reading a row is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revision {
    /// Whose reading.
    pub meter: Meter,
    /// Which reading.
    pub ts: Ts,
    /// The upload, from 1.
    pub upload: u32,
    /// The row, from 1.
    pub row_number: u32,
    /// The greater goes first.
    pub revision: u32,
}

impl Revision {
    /// Those of a reading in a change set, with the feed of the upload that it lands.
    pub fn of_set(set: &ChangeSet, meter: Meter, ts: Ts) -> impl Iterator<Item = (Revision, String)> {
        let first = set.revisions.partition_point(|revision| (revision.meter, revision.ts) < (meter, ts));
        let own = set.revisions.iter().skip(first);
        own.take_while(move |revision| (revision.meter, revision.ts) == (meter, ts)).map(|revision| {
            let landed = set.landed.iter().find(|landed| landed.upload == revision.upload);
            (*revision, landed.map_or_else(String::new, |landed| landed.feed.clone()))
        })
    }
}

/// The kinds of episode. The discriminant reaches disk and may only grow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum EpisodeKind {
    /// Rule 4: more than 24 h below 0.01 kW.
    NearZero = 1,
    /// Whole days without any reading, while the feed went on.
    Silent = 2,
}

impl EpisodeKind {
    /// All of them, in the order of their codes.
    pub const ALL: [EpisodeKind; 2] = [EpisodeKind::NearZero, EpisodeKind::Silent];

    /// The name in datasets.
    pub const fn name(self) -> &'static str {
        match self {
            EpisodeKind::NearZero => "near_zero",
            EpisodeKind::Silent => "silent",
        }
    }
}

/// How sure an episode is. The discriminant reaches disk and may only grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Severity {
    /// A near-zero run of more than 24 h; one to three days of silence.
    Suspected = 1,
    /// More than three running zero days, or days of silence.
    Confirmed = 2,
}

impl Severity {
    /// The name in datasets.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Suspected => "suspected",
            Severity::Confirmed => "confirmed",
        }
    }
}

/// A fault of a meter over time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Episode {
    /// Whose.
    pub meter: Meter,
    /// What kind.
    pub kind: EpisodeKind,
    /// The first flagged reading; of a silence the end of the last reading's interval.
    pub first_ts: Ts,
    /// The last flagged reading before a measured one of 0.01 kW or more (so far, while open); of a
    /// silence the next reading, or, while open, the beginning of the newest day of its feed.
    pub last_ts: Ts,
    /// How sure.
    pub severity: Severity,
    /// Whether a measured reading of 0.01 kW or more has ended it; any reading a silence.
    pub closed: bool,
}

/// What an operator decided about a row. The discriminant reaches disk and may only grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Status {
    /// Waits for a decision.
    Open = 0,
    /// Accepted as it is.
    Released = 1,
    /// Accepted with the operator's value.
    Edited = 2,
    /// Thrown out of the ranking; stays quarantined.
    Discarded = 3,
}

impl Status {
    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Status> {
        [Status::Open, Status::Released, Status::Edited, Status::Discarded]
            .into_iter()
            .find(|status| status.name() == name)
    }

    /// The name in datasets.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Released => "released",
            Status::Edited => "edited",
            Status::Discarded => "discarded",
        }
    }

    /// The status with this number on disk.
    pub const fn from_code(code: u8) -> Option<Status> {
        match code {
            0 => Some(Status::Open),
            1 => Some(Status::Released),
            2 => Some(Status::Edited),
            3 => Some(Status::Discarded),
            _ => None,
        }
    }
}

/// An operator's decision about one row, as it stands now (`Open` where it was undone).
#[derive(Clone, PartialEq, Debug)]
pub struct Decision {
    /// The upload, from 1.
    pub upload: u32,
    /// The row, from 1.
    pub row_number: u32,
    /// What was decided.
    pub status: Status,
    /// The reason for which the row was quarantined when it was decided.
    pub reason: Reason,
    /// Whose reading; none for a row whose meter could not be read.
    pub meter: Option<Meter>,
    /// Which reading.
    pub ts: Option<Ts>,
    /// The row's own value.
    pub kw: Option<Power>,
    /// The flags that decode gave the row.
    pub flags: Flags,
    /// The operator's value, for `Edited`.
    pub edited: Option<Power>,
    /// Who decided.
    pub who: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: Ts,
}

/// How one upload's books change; the three are differences and may be negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BookEntry {
    /// The upload, from 1.
    pub upload: u32,
    /// Rows that became stored, less those that ceased to be.
    pub stored: i64,
    /// Rows that became quarantined, less those that ceased to be.
    pub quarantined: i64,
    /// Rows that became superseded, less those that ceased to be.
    pub superseded: i64,
}

/// How an upload ended.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// The upload, from 1.
    pub upload: u32,
    /// Rows of any disposition; 0 for a dead letter.
    pub rows: u32,
    /// Decoded size in bytes.
    pub decoded_bytes: u64,
    /// Where each 1024th row's line begins.
    pub index: RowIndex,
    /// The UTC days its rows lie in, first and last; none without rows that decoded.
    pub days: Option<(i64, i64)>,
    /// What killed it; none when it is done.
    pub dead: Option<DeadLetter>,
}

/// Why an upload is dead, and the way out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeadLetter {
    /// A stable code: a refusal's, or `processing_failed`.
    pub code: String,
    /// What was wrong, with place and text.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Something a person should hear of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alert {
    /// `episode_opened`, `episode_confirmed`, `episode_closed`, `episode_changed`,
    /// `dead_letter`, `feed_changed`, `outage`, `outage_over`.
    pub kind: &'static str,
    /// The same alert never gets a second key, however often it is derived again.
    pub key: String,
    /// The meter it is about, if any.
    pub meter: Option<String>,
    /// The upload it is about, if any.
    pub upload: Option<u32>,
    /// When it was raised.
    pub at: Ts,
    /// One sentence for a person.
    pub message: String,
}
