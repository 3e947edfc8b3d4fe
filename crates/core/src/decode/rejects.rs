//! Rejected rows while it is open whether the upload is refused: small, since there may be as many
//! as there are lines, two bytes each.

use super::Reject;
use crate::{Reason, Ts};

/// The most of a meter's text that a reject shows, in bytes.
const METER_BYTES_MAX: usize = 256;

/// One or more rows that failed for the same reason.
#[derive(Clone, Copy)]
struct Entry {
    row_number: u32,
    /// More than one only for a malformed line of several values.
    rows: u16,
    meter_bytes: u16,
    reason: Reason,
    when: When,
}

/// What is known of a reject's instant; how many of `times` are its own follows from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    /// Nothing.
    Unknown,
    /// It came with its own offset, or is not to be counted for ambiguous wall times.
    Instant,
    /// From a wall time of a valid meter.
    Wall,
    /// From a wall time of a valid meter that stands for two instants.
    Twice,
}

/// A failed row as it is logged.
pub(crate) struct Failure<'t> {
    pub(crate) row_number: u32,
    pub(crate) meter: &'t [u8],
    pub(crate) when: When,
    /// The instant, unless `when` is unknown; the earlier of two.
    pub(crate) ts: Ts,
    /// From the earlier instant to the later one, in microseconds.
    pub(crate) shift: i64,
    pub(crate) reason: Reason,
}

/// Rejects in file order.
#[derive(Default)]
pub(crate) struct Rejects {
    entries: Vec<Entry>,
    meters: String,
    times: Vec<i64>,
}

/// A reject as it stands in the log.
pub(crate) struct Logged<'t> {
    pub(crate) index: usize,
    /// Where its times begin.
    pub(crate) time: usize,
    pub(crate) row_number: u32,
    pub(crate) rows: u16,
    pub(crate) meter: &'t str,
    pub(crate) when: When,
    pub(crate) ts: Option<Ts>,
    pub(crate) shift: i64,
    pub(crate) reason: Reason,
}

impl Rejects {
    /// A malformed line: nothing of it can be read.
    pub(crate) fn malformed(&mut self, row_number: u32, rows: u32) {
        let rows = u16::try_from(rows).unwrap_or(u16::MAX);
        let reason = Reason::RowMalformed;
        self.entries.push(Entry { row_number, rows, meter_bytes: 0, reason, when: When::Unknown });
    }

    pub(crate) fn push(&mut self, failure: &Failure<'_>) {
        let before = self.meters.len();
        let mut meter = std::str::from_utf8(failure.meter).unwrap_or("");
        meter = meter.get(..meter.floor_char_boundary(METER_BYTES_MAX)).unwrap_or(meter);
        self.meters.push_str(meter);
        if failure.when != When::Unknown {
            self.times.push(failure.ts.micros());
        }
        if failure.when == When::Twice {
            self.times.push(failure.shift);
        }
        self.entries.push(Entry {
            row_number: failure.row_number,
            rows: 1,
            meter_bytes: u16::try_from(self.meters.len() - before).unwrap_or(0),
            reason: failure.reason,
            when: failure.when,
        });
    }

    /// Appends the rejects of what follows after `rows` rows.
    pub(crate) fn append(&mut self, mut later: Rejects, rows: u32) {
        for entry in &mut later.entries {
            entry.row_number = entry.row_number.saturating_add(rows);
        }
        self.entries.append(&mut later.entries);
        self.meters.push_str(&later.meters);
        self.times.append(&mut later.times);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Logged<'_>> {
        let (mut text, mut time) = (0, 0);
        self.entries.iter().enumerate().map(move |(index, entry)| {
            let meter = self.meters.get(text..text + usize::from(entry.meter_bytes)).unwrap_or("");
            let at = |place: usize| self.times.get(place).copied().unwrap_or(0);
            let logged = Logged {
                index,
                time,
                row_number: entry.row_number,
                rows: entry.rows,
                meter,
                when: entry.when,
                ts: (entry.when != When::Unknown).then(|| Ts::from_micros(at(time))),
                shift: if entry.when == When::Twice { at(time + 1) } else { 0 },
                reason: entry.reason,
            };
            text += meter.len();
            time += match entry.when {
                When::Unknown => 0,
                When::Instant | When::Wall => 1,
                When::Twice => 2,
            };
            logged
        })
    }

    /// Moves the instant of a logged reject, and replaces its reason where another goes before it.
    pub(crate) fn move_to(&mut self, index: usize, time: usize, ts: Ts, reason: Option<Reason>) {
        if let (Some(entry), Some(time)) = (self.entries.get_mut(index), self.times.get_mut(time)) {
            entry.reason = reason.unwrap_or(entry.reason);
            *time = ts.micros();
        }
    }

    /// As the result carries them.
    pub(crate) fn to_vec(&self) -> Vec<Reject> {
        let rows = |logged: Logged<'_>| {
            let reject = Reject {
                row_number: logged.row_number,
                meter: logged.meter.to_owned(),
                ts: logged.ts,
                reason: logged.reason,
            };
            let count = u32::from(logged.rows);
            (0..count).map(move |i| Reject { row_number: reject.row_number + i, ..reject.clone() })
        };
        self.iter().flat_map(rows).collect()
    }
}
