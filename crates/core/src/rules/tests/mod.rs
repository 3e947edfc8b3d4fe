//! The rules together: against the specification's text, its worked examples and all orders.

mod examples;
mod golden;
mod meter;
mod model;
mod orders;
mod random;

use crate::{Flag, Flags, HOUR, Power, Reading, SECOND, Standing, Ts};

const MINUTE: i64 = 60 * SECOND;
/// Minutes in 24 hours.
const DAY_MINUTES: i64 = 1_440;

/// The instant this many minutes after a Monday midnight.
fn at(minutes: i64) -> Ts {
    Ts::from_micros(1_772_409_600_000_000 + minutes * MINUTE)
}

/// A row of upload 1; row numbers follow the time.
fn row(ts: Ts, mw: Option<i64>) -> Reading {
    Reading {
        ts,
        kw: mw.map(Power::from_milliwatts),
        upload: 1,
        row_number: u32::try_from(ts.since(at(0)).max(0) / SECOND + 1).unwrap(),
        flags: Flags::NONE.set(Flag::MissingValue, mw.is_none()),
        standing: Standing::Unjudged,
    }
}
