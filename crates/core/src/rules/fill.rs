//! Rule 2, missing values: a short gap between two trusted readings takes the value of the first.
//!
//! A gap is the readings between a trusted reading p and the next trusted reading n; g is its
//! first reading of any kind, l its last missing one. It is filled whole where n - g < 1 h and
//! l - p < 1 h, and not at all otherwise.

use crate::{Flag, HOUR, Power, Reading, Ts};

/// The first reading of the gap that reaches up to `first`, or `from` (the index of the first
/// reading at or after `first`) where a trusted reading comes right before it.
///
/// A gap with a reading an hour or more before `first` stays unfilled whatever happens from
/// `first` on, so this never looks further back than to that reading.
pub(super) fn gap_before(series: &[Reading], from: usize, first: Ts) -> usize {
    let open = |reading: &&Reading| !reading.is_trusted() && first.since(reading.ts) < HOUR;
    from - series[..from].iter().rev().take_while(open).count()
}

/// Fills, or empties, every gap from index `start` (given by [`gap_before`]) on that lies before
/// the first trusted reading after `shaken`, the last instant whose trust may have changed.
pub(super) fn judge(series: &mut [Reading], start: usize, shaken: Ts) {
    let mut donor = series[..start].last().filter(|reading| reading.is_trusted()).copied();
    let mut first = start;
    for at in start..series.len() {
        let reading = series[at];
        if reading.is_trusted() {
            close(&mut series[first..at], donor, Some(reading.ts));
            if reading.ts > shaken {
                return;
            }
            (donor, first) = (Some(reading), at + 1);
        } else if reading.ts.since(shaken) >= 2 * HOUR {
            // A donor up to `shaken`, l within an hour of it, n within an hour of g: too late.
            close(&mut series[first..at], donor, None);
            return;
        }
    }
    close(&mut series[first..], donor, None);
}

/// Decides a gap whose next trusted reading is at `next`, if there is one.
fn close(gap: &mut [Reading], donor: Option<Reading>, next: Option<Ts>) {
    let value = donor_value(gap, donor, next);
    for missing in gap.iter_mut().filter(|reading| reading.is_missing()) {
        missing.kw = value;
        missing.flags = missing.flags.set(Flag::ForwardFilled, value.is_some());
    }
}

fn donor_value(gap: &[Reading], donor: Option<Reading>, next: Option<Ts>) -> Option<Power> {
    let (donor, next) = (donor?, next?);
    let first = gap.first()?;
    let last_missing = gap.iter().rfind(|reading| reading.is_missing())?;
    let short = next.since(first.ts) < HOUR && last_missing.ts.since(donor.ts) < HOUR;
    if short { donor.kw } else { None }
}
