//! Where a home stands, as commands, API and metrics show it.

use serde_json::{Value, json};

use crate::home::Layout;
use crate::landing::Zone;
use crate::objects::Place;
use crate::outage::free_bytes;
use crate::store::{Database, Reader, StoreError};

/// Positions, books and queues as JSON: what `status --json` and the service's API give.
///
/// # Errors
/// When the store cannot be read.
pub fn gather(reader: &Reader, zone: &Zone, layout: &Layout) -> Result<Value, StoreError> {
    let position = reader.position()?;
    let (head, _) = zone.head();
    let totals = reader.totals()?;
    // the journal was read before the books: uploads may have landed and ended since
    let landed = (zone.uploads().len() as u64).saturating_sub(totals.done + totals.dead);
    Ok(json!({
        "journal": { "entry": head },
        "database": { "entry": position.entry },
        "waiting": head.saturating_sub(position.entry),
        "configuration": {
            "journal": zone.configuration().map(|held| held.version.to_string()),
            "database": reader.configuration()?,
        },
        "uploads": { "done": totals.done, "dead": totals.dead, "landed": landed },
        "rows": {
            "all": totals.rows,
            "stored": totals.stored,
            "quarantined": totals.quarantined,
            "superseded": totals.superseded,
            "balanced": totals.rows == totals.stored + totals.quarantined + totals.superseded,
        },
        "meters": totals.meters,
        "errors_open": totals.errors_open,
        "alerts_waiting": totals.alerts_waiting,
        "places": {
            "landing": layout.landing_place().to_string(),
            "database": layout.database().to_string(),
            "archive": layout.archive_place().to_string(),
        },
        // of the volume of each, which may be the same
        "free_bytes": {
            "inbox": free_bytes(&layout.inbox()),
            "landing": free(layout.landing_place()),
            "database": free_beside(layout.database()),
            "archive": free(layout.archive_place()),
        },
    }))
}

/// None on a server.
fn free_beside(database: &Database) -> Option<u64> {
    if let Database::File(path) = database { free_bytes(path.parent()?) } else { None }
}

/// None for a bucket.
fn free(place: &Place) -> Option<u64> {
    if let Place::Folder(folder) = place { free_bytes(folder) } else { None }
}
