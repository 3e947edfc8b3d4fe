//! One meter over a range: every row that named it, with its disposition, and how a chart marks it.

use greenstream_core::{Flag, Flags, Power, Reason, Ts};
use serde_json::{Value, json};

use crate::change::{Meter, Status};
use crate::dataset::Cell;
use crate::store::{ErrorRow, Filter, Reader, StoreError};

/// The most rows of each disposition in one answer: a month of readings every five minutes.
pub const ROWS_MAX: u64 = 10_000;

/// How a row is marked, in the order of the legend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// A reading with a value of its own.
    Stored,
    /// A missing reading that took the value before it.
    Filled,
    /// A missing reading without a value.
    Missing,
    /// In the error queue, by its reason.
    Outlier,
    /// In the error queue: above the limit.
    Above,
    /// In the error queue: below the limit.
    Negative,
    /// In the error queue: could not be read.
    Unreadable,
    /// In the error queue for good.
    Discarded,
    /// What was sent where an operator released or edited it.
    Decided,
    /// Lost to another row of its reading.
    Superseded,
}

impl Mark {
    /// All of them.
    pub const ALL: [Mark; 10] = [
        Mark::Stored,
        Mark::Filled,
        Mark::Missing,
        Mark::Outlier,
        Mark::Above,
        Mark::Negative,
        Mark::Unreadable,
        Mark::Discarded,
        Mark::Decided,
        Mark::Superseded,
    ];

    /// The name in the API and in style sheets.
    pub const fn name(self) -> &'static str {
        match self {
            Mark::Stored => "stored",
            Mark::Filled => "forward_filled",
            Mark::Missing => "missing",
            Mark::Outlier => "outlier",
            Mark::Above => "value_above_limit",
            Mark::Negative => "value_negative",
            Mark::Unreadable => "unreadable",
            Mark::Discarded => "discarded",
            Mark::Decided => "decided",
            Mark::Superseded => "superseded",
        }
    }

    /// The name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Mark::Stored => "stored",
            Mark::Filled => "forward filled",
            Mark::Missing => "missing, no value",
            Mark::Outlier => "quarantined: outlier",
            Mark::Above => "quarantined: above limit",
            Mark::Negative => "quarantined: negative",
            Mark::Unreadable => "quarantined: unreadable",
            Mark::Discarded => "discarded",
            Mark::Decided => "as sent, before release or edit",
            Mark::Superseded => "superseded",
        }
    }

    fn of_reading(flags: Flags) -> Mark {
        if flags.has(Flag::ForwardFilled) {
            Mark::Filled
        } else if flags.has(Flag::MissingValue) {
            Mark::Missing
        } else {
            Mark::Stored
        }
    }

    fn of_error(row: &ErrorRow) -> Mark {
        match (row.status, row.reason) {
            (Status::Discarded, _) => Mark::Discarded,
            (Status::Released | Status::Edited, _) => Mark::Decided,
            (Status::Open, Reason::Outlier) => Mark::Outlier,
            (Status::Open, Reason::ValueAboveLimit) => Mark::Above,
            (Status::Open, Reason::ValueNegative) => Mark::Negative,
            (Status::Open, _) => Mark::Unreadable,
        }
    }
}

/// One row.
#[derive(Clone, Debug)]
pub struct Point {
    pub ts: Ts,
    /// The stored value, or the row's own where it is not stored.
    pub kw: Option<Power>,
    pub mark: Mark,
    pub flags: Flags,
    pub upload: u32,
    pub row_number: u32,
    /// Why it is in the error queue, if it is.
    pub reason: Option<Reason>,
    /// The line it came in, of entries of the error queue.
    pub raw: Option<String>,
}

impl Point {
    /// As the API gives it.
    pub fn json(&self) -> Value {
        json!({
            "ts": self.ts.to_string(),
            "kw": Cell::Kw(self.kw).json(),
            "mark": self.mark.name(),
            "reason": self.reason.map(Reason::name),
            "flags": Cell::Flags(self.flags).json(),
            "upload": self.upload,
            "row_number": self.row_number,
        })
    }

    /// Whether a person should look at it: more than how it was read, and more than one of a long run
    /// of readings of a faulty meter, which are an episode.
    pub fn is_marked(&self) -> bool {
        let quiet = Flags::DECODED.with(Flag::PotentiallyFaulty);
        self.mark != Mark::Stored || self.flags.only(quiet) != self.flags
    }

    /// Whether it is a reading of a meter that may be faulty.
    pub fn is_faulty(&self) -> bool {
        self.flags.has(Flag::PotentiallyFaulty)
    }
}

/// The rows of a meter from `from` to before `to`, by time.
#[derive(Debug, Default)]
pub struct Series {
    pub points: Vec<Point>,
    /// Whether there are more than [`ROWS_MAX`] of one disposition, and some were left out.
    pub truncated: bool,
}

/// Gathers them in one state of the store.
pub fn of(reader: &Reader, meter: Meter, id: &str, from: Ts, to: Ts) -> Result<Series, StoreError> {
    let state = reader.snapshot()?;
    let filter = Filter {
        meter: Some(id.to_owned()),
        from: Some(from),
        to: Some(to),
        limit: Some(ROWS_MAX),
        ..Filter::default()
    };
    let mut points = Vec::new();
    state.readings(&filter, &mut |_, reading| {
        points.push(Point {
            ts: reading.ts,
            kw: reading.kw,
            mark: Mark::of_reading(reading.flags),
            flags: reading.flags,
            upload: reading.upload,
            row_number: reading.row_number,
            reason: None,
            raw: None,
        });
        Ok::<_, StoreError>(())
    })?;
    let stored = points.len();
    state.errors(&filter, &mut |row| {
        if let Some(ts) = row.ts {
            points.push(Point {
                ts,
                kw: row.kw,
                mark: Mark::of_error(&row),
                flags: row.flags,
                upload: row.upload,
                row_number: row.row_number,
                reason: Some(row.reason),
                raw: Some(row.raw),
            });
        }
        Ok::<_, StoreError>(())
    })?;
    let full = usize::try_from(ROWS_MAX).unwrap_or(usize::MAX);
    let mut truncated = stored >= full || points.len() - stored >= full;
    truncated |= add_superseded(&state, meter, &mut points)?;
    points.sort_by_key(|point| (point.ts, point.upload, point.row_number));
    Ok(Series { points, truncated })
}

/// The rows that lost to those in `points`: a winner says by its flag that there are some. True where
/// there are as many as one answer holds, and more may have been left out.
fn add_superseded(reader: &Reader, meter: Meter, points: &mut Vec<Point>) -> Result<bool, StoreError> {
    let won = |point: &&Point| point.flags.has(Flag::Duplicate);
    let mut instants: Vec<Ts> = points.iter().filter(won).map(|point| point.ts).collect();
    instants.sort_unstable();
    instants.dedup();
    let mut room = u32::try_from(ROWS_MAX).unwrap_or(u32::MAX);
    for ts in instants {
        let lost = reader.first_losers(meter, ts, room)?;
        room = room.saturating_sub(u32::try_from(lost.len()).unwrap_or(u32::MAX));
        points.extend(lost.into_iter().map(|row| Point {
            ts,
            kw: row.kw,
            mark: Mark::Superseded,
            flags: row.flags,
            upload: row.upload,
            row_number: row.row_number,
            reason: None,
            raw: None,
        }));
        if room == 0 {
            break;
        }
    }
    Ok(room == 0)
}
