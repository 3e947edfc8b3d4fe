//! What `verify` can find, by names that stay: docs/errors.md explains each.

use crate::landing::Damage;

/// What kind of thing is not as it must be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "docs/errors.md says what each means")]
pub enum Kind {
    JournalDamaged,
    JournalUnknown,
    JournalMissing,
    JournalStray,
    ObjectMissing,
    ObjectChanged,
    ObjectStray,
    ConfigurationUnread,
    DatabaseDamaged,
    UploadMissing,
    UploadUnknown,
    UploadDiffers,
    UploadUnbalanced,
    UploadMiscounted,
    VerdictDiffers,
    BytesUncovered,
    IndexDiffers,
    RowMissing,
    RowTwice,
    RowDiffers,
    RowUnknown,
    RawDiffers,
    ArchiveUnread,
    ArchiveFileDamaged,
    ArchiveDiffers,
}

/// Where one goes from a damaged landing zone.
const RESTORE: &str = "restore `landing/` from its backup, then `greenstream rebuild`";
/// Where one goes from a damaged projection.
const REBUILD: &str = "`greenstream rebuild` makes database and archive anew from `landing/`";
/// Where one goes from a file that does not belong there.
const MOVE_AWAY: &str = "move it away: nothing reads it";

/// Kind, name, way out; in the order of the kinds.
const TABLE: [(Kind, &str, &str); 25] = [
    (Kind::JournalDamaged, "journal_damaged", RESTORE),
    (
        Kind::JournalUnknown,
        "journal_unknown",
        "use the release that wrote it; if there is none, restore `landing/`",
    ),
    (Kind::JournalMissing, "journal_missing", RESTORE),
    (Kind::JournalStray, "journal_stray", MOVE_AWAY),
    (Kind::ObjectMissing, "object_missing", RESTORE),
    (Kind::ObjectChanged, "object_changed", RESTORE),
    (Kind::ObjectStray, "object_stray", MOVE_AWAY),
    (Kind::ConfigurationUnread, "configuration_unread", "use the release that wrote it"),
    (Kind::DatabaseDamaged, "database_damaged", REBUILD),
    (Kind::UploadMissing, "upload_missing", REBUILD),
    (Kind::UploadUnknown, "upload_unknown", REBUILD),
    (Kind::UploadDiffers, "upload_differs", REBUILD),
    (Kind::UploadUnbalanced, "upload_unbalanced", REBUILD),
    (Kind::UploadMiscounted, "upload_miscounted", REBUILD),
    (Kind::VerdictDiffers, "verdict_differs", REBUILD),
    (Kind::BytesUncovered, "bytes_uncovered", REBUILD),
    (Kind::IndexDiffers, "index_differs", REBUILD),
    (Kind::RowMissing, "row_missing", REBUILD),
    (Kind::RowTwice, "row_twice", REBUILD),
    (Kind::RowDiffers, "row_differs", REBUILD),
    (Kind::RowUnknown, "row_unknown", REBUILD),
    (Kind::RawDiffers, "raw_differs", REBUILD),
    (Kind::ArchiveUnread, "archive_unread", REBUILD),
    (Kind::ArchiveFileDamaged, "archive_file_damaged", REBUILD),
    (Kind::ArchiveDiffers, "archive_differs", REBUILD),
];

impl Kind {
    /// All of them with their names, in the order of docs/errors.md.
    pub fn all() -> impl Iterator<Item = (Kind, &'static str)> {
        TABLE.into_iter().map(|(kind, name, _)| (kind, name))
    }

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The way out, in one sentence.
    #[must_use]
    pub const fn way_out(self) -> &'static str {
        TABLE[self as usize].2
    }
}

impl From<Damage> for Kind {
    fn from(damage: Damage) -> Kind {
        match damage {
            Damage::JournalDamaged => Kind::JournalDamaged,
            Damage::JournalUnknown => Kind::JournalUnknown,
            Damage::JournalMissing => Kind::JournalMissing,
            Damage::JournalStray => Kind::JournalStray,
            Damage::ObjectMissing => Kind::ObjectMissing,
            Damage::ObjectChanged => Kind::ObjectChanged,
            Damage::ObjectStray => Kind::ObjectStray,
        }
    }
}

/// One thing that is not as it must be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// Where: a file, an upload, a row, a day of the archive.
    pub place: String,
    /// What is wrong there, as the rest of a sentence that begins with the place.
    pub problem: String,
    /// What must stand there, where that is known.
    pub expected: Option<String>,
    /// What stands there, where there is a counterpart.
    pub found: Option<String>,
}

impl Finding {
    /// A finding that its problem says all of.
    pub fn new(kind: Kind, place: impl Into<String>, problem: impl Into<String>) -> Finding {
        Finding { kind, place: place.into(), problem: problem.into(), expected: None, found: None }
    }

    /// A finding of two things that must be equal.
    pub fn differs(
        kind: Kind,
        place: impl Into<String>,
        problem: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Finding {
        let (expected, found) = (Some(expected.to_string()), Some(found.to_string()));
        Finding { expected, found, ..Finding::new(kind, place, problem) }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} {}", self.kind.name(), self.place, self.problem)?;
        if let (Some(expected), Some(found)) = (&self.expected, &self.found) {
            write!(f, ": expected {expected}, found {found}")?;
        }
        write!(f, "; {}", self.kind.way_out())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_kinds() {
        for (place, (kind, name, _)) in TABLE.iter().enumerate() {
            assert_eq!(*kind as usize, place, "{name}");
        }
    }
}
