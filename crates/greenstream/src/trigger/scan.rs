//! The reconcile scan: lists the inbox bucket and takes everything in it, at the start and every minute. It is
//! what makes events mere hints.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use tokio::time::{Instant, sleep, sleep_until};

use super::gate::Gate;
use super::hint::Hint;
use super::take::{Disposition, TURNS, Taker};
use crate::objects::told;
use crate::outage::{Outages, Part, pauses};
use crate::process::Refused;

/// From the begin of one scan to that of the next: how late an object may be whose event was lost.
pub const SCAN_EVERY: Duration = Duration::from_secs(60);
/// So many objects that cannot land for a reason that is not theirs, and the rest is left to the next scan.
const FAILURES_MAX: usize = 3;

/// What a scan has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scanned {
    /// Objects that landed.
    pub landed: usize,
    /// Objects that stay, and will: known as another upload, too large.
    pub refused: usize,
    /// Objects that may land later.
    pub waiting: usize,
}

/// Takes every object that is in the inbox now.
///
/// # Errors
/// Why the bucket could not be listed to its end. What was found by then has been taken.
pub async fn scan(taker: &Taker) -> Result<Scanned, Refused> {
    let (mut scanned, mut general) = (Scanned::default(), 0);
    let take = |key: String| async move { Ok(taker.take_listed(Hint { key, ..Hint::default() }).await) };
    let mut taken = taker.bucket().list().map_ok(take).try_buffer_unordered(TURNS);
    while let Some(disposition) = taken.next().await {
        match disposition.map_err(|error| unlisted(&error))? {
            Disposition::Landed(_) => scanned.landed += 1,
            // another trigger was quicker
            Disposition::Before | Disposition::NoConcern(_) | Disposition::Missing(_) => {}
            Disposition::Never(_) => scanned.refused += 1,
            Disposition::Later { refused, is_general } => {
                scanned.waiting += 1;
                general += usize::from(is_general);
                if general >= FAILURES_MAX {
                    return Err(refused);
                }
            }
        }
    }
    Ok(scanned)
}

fn unlisted(error: &object_store::Error) -> Refused {
    let hint = match error {
        object_store::Error::InvalidPath { .. } => {
            "a key has an empty part as in `a//b`, a part `.` or `..`, or a control character; remove that object or put it under another key"
        }
        _ => "look whether the object store can be reached, and whether the service may list the bucket",
    };
    Refused { problem: told(error).to_string(), hint: hint.to_owned() }
}

/// Scans again and again, as long as it is awaited. A bucket that is away is an outage like that of a disk.
pub async fn keep_scanning(taker: &Taker, outages: &Outages) {
    let mut waits = pauses();
    loop {
        // what cannot land is not fetched
        Gate::until_landing(outages).await;
        let began = Instant::now();
        match scan(taker).await {
            Ok(scanned) => {
                if scanned != Scanned::default() {
                    let Scanned { landed, refused, waiting } = scanned;
                    tracing::info!(landed, refused, waiting, "the inbox bucket was listed");
                }
                outages.works(Part::Inbox);
                waits = pauses();
                sleep_until(began + SCAN_EVERY).await;
            }
            Err(Refused { problem, hint }) => {
                // a landing zone without room says so itself
                if !outages.is_out(Part::Landing) {
                    outages.fail(Part::Inbox, problem, &hint);
                }
                sleep(waits.next().unwrap_or(SCAN_EVERY)).await;
            }
        }
    }
}
