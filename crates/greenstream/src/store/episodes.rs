//! Episodes in the store. Those of rule 4 come with change sets; the silence of meters is derived from
//! the days they have readings on, and written down with the journal position that it reflects.

use greenstream_core::Ts;

use super::db::{Db, params};
use super::error::{Doing, Fault, StoreError};
use super::{Reader, Store, outbox, rows};
use crate::change::{Alert, Episode, EpisodeKind, Meter};
use crate::failpoint::{self, Step};

/// How the silence of meters differs from what the store holds.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SilenceChange {
    /// The journal entry up to which silence is known then.
    pub entry: u64,
    /// Episodes as they stand now.
    pub episodes: Vec<Episode>,
    /// Episodes that are withdrawn: (meter, kind, first_ts).
    pub gone: Vec<(Meter, EpisodeKind, Ts)>,
    /// Alerts to send.
    pub alerts: Vec<Alert>,
}

impl Store {
    /// Writes the silence of meters down, with its alerts, as one transaction.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the world failed.
    pub fn silence(&mut self, change: &SilenceChange) -> Result<(), StoreError> {
        let entry = i64::try_from(change.entry).unwrap_or(i64::MAX);
        let take = |db: &Db| {
            put(db, &change.episodes, &change.gone).doing("take episodes")?;
            outbox::put(db, &[], &change.alerts).doing("take alerts")?;
            db.execute("UPDATE t_silence SET entry = ?1", params![entry]).doing("take episodes")?;
            Ok(())
        };
        failpoint::around(Step::Silence, StoreError::failing, || self.change(take))
    }
}

impl Reader {
    /// The journal entry up to which the silence of meters is known.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn silence_entry(&self) -> Result<u64, StoreError> {
        let entry = self.one("SELECT entry FROM t_silence", &[], |row| rows::count(row, 0))?;
        Ok(entry.unwrap_or_default())
    }

    /// The episodes of one kind of all meters, by (meter number, first instant).
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where the database cannot be read.
    pub fn episodes_of_kind(&self, kind: EpisodeKind) -> Result<Vec<Episode>, StoreError> {
        self.all(
            "SELECT meter, kind, first_ts, last_ts, severity, closed FROM t_episode WHERE kind = ?1
             ORDER BY meter, first_ts",
            params![kind as u8],
            rows::episode,
        )
    }
}

/// Writes episodes as they stand now, and removes those that are withdrawn.
pub(super) fn put(db: &Db, episodes: &[Episode], gone: &[(Meter, EpisodeKind, Ts)]) -> Result<(), Fault> {
    for (meter, kind, first_ts) in gone {
        let gone = "DELETE FROM t_episode WHERE meter = ?1 AND kind = ?2 AND first_ts = ?3";
        db.execute(gone, params![meter.0, *kind as u8, first_ts.micros()])?;
    }
    let put = "INSERT INTO t_episode VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (meter, kind, first_ts) DO UPDATE SET last_ts = ?4, severity = ?5, closed = ?6";
    let one = |episode: &Episode| {
        let Episode { meter, kind, first_ts, last_ts, severity, closed } = *episode;
        let (first, last) = (first_ts.micros().into(), last_ts.micros().into());
        [meter.0.into(), (kind as u8).into(), first, last, (severity as u8).into(), closed.into()]
    };
    db.execute_all(put, episodes.iter().map(one))
}
