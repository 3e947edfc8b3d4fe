//! What the database knows of uploads by their names: whether an object that has left the inbox landed.

use greenstream_core::Ts;

use crate::home::Layout;
use crate::store::{Store, StoreError};

/// How far the clock of the bucket may be ahead of this machine's, in microseconds: a minute.
const SKEW_MICROS: i64 = 60_000_000;

/// The database of a home, for reading.
#[derive(Clone)]
pub struct History(Layout);

impl History {
    /// Of a home.
    pub fn of(layout: Layout) -> History {
        History(layout)
    }

    /// Whether an upload or a delivery of this name has landed since `at`, or ever where that is not known.
    ///
    /// # Errors
    /// The database's own.
    pub async fn has_landed(&self, name: &str, at: Option<Ts>) -> Result<bool, StoreError> {
        let (layout, name) = (self.0.clone(), name.to_owned());
        let since = at.map(|at| Ts::from_micros(at.micros().saturating_sub(SKEW_MICROS)));
        let read = move || Store::reader(layout.database())?.has_landed(&name, since);
        // a panic is none of the database's; the object is then looked for again
        tokio::task::spawn_blocking(read).await.unwrap_or(Ok(false))
    }
}
