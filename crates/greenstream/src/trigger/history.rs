//! What a home knows of uploads by their names: whether an object that has left the inbox landed.

use std::sync::{Arc, Mutex, PoisonError};

use greenstream_core::Ts;

use crate::home::Layout;
use crate::landing::Zone;
use crate::process::ProcessError;
use crate::store::Store;

/// How far the clock of the bucket may be ahead of this machine's, in microseconds: a minute.
const SKEW_MICROS: i64 = 60_000_000;

/// The database and the journal of a home, for reading.
#[derive(Clone)]
pub struct History {
    layout: Layout,
    /// The journal as far as it was read.
    zone: Arc<Mutex<Option<Zone>>>,
}

impl History {
    /// Of a home.
    pub fn of(layout: Layout) -> History {
        History { layout, zone: Arc::default() }
    }

    /// Whether an upload or a delivery of this name has landed since `at`, or ever where that is not known.
    ///
    /// # Errors
    /// Those of database and landing zone, where neither of them knows the name.
    pub async fn has_landed(&self, name: &str, at: Option<Ts>) -> Result<bool, ProcessError> {
        let (history, name) = (self.clone(), name.to_owned());
        let since = at.map(|at| Ts::from_micros(at.micros().saturating_sub(SKEW_MICROS)));
        let read = move || history.look(&name, since);
        // a panic is none of the database's; the object is then looked for again
        tokio::task::spawn_blocking(read).await.unwrap_or(Ok(false))
    }

    fn look(&self, name: &str, since: Option<Ts>) -> Result<bool, ProcessError> {
        let database = self.layout.database();
        let recorded = Store::reader(database).and_then(|reader| reader.has_landed(name, since));
        if matches!(recorded, Ok(true)) {
            return Ok(true);
        }
        // another process may have landed it, and the database not be so far, or be away
        match self.is_in_journal(name, since) {
            Ok(true) => Ok(true),
            journal => recorded.map_err(ProcessError::from).and(journal),
        }
    }

    /// Whether an upload of this name has landed. The journal does not tell of deliveries.
    fn is_in_journal(&self, name: &str, since: Option<Ts>) -> Result<bool, ProcessError> {
        let mut held = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        let zone = Zone::read_on(&mut held, self.layout.landing_place())?;
        let of_name = |upload: &crate::landing::UploadEntry| {
            &*upload.name == name && since.is_none_or(|since| upload.landed_at >= since)
        };
        Ok(zone.uploads().iter().any(of_name))
    }
}
