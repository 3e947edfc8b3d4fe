//! Rule 3, limits: a value below or above its meter's limits is quarantined. The limits themselves
//! are valid, and a limit judges one reading by itself.

use crate::{Limits, Reading, Standing, Ts};

/// Judges the readings of `series` up to `last`, inclusive. Every reading leaves as accepted,
/// negative or above the limit; what an operator decided, and what has no value, is accepted.
pub(super) fn judge(series: &mut [Reading], last: Ts, limits: &Limits) {
    for reading in series.iter_mut().take_while(|reading| reading.ts <= last) {
        reading.standing = standing(reading, limits);
    }
}

fn standing(reading: &Reading, limits: &Limits) -> Standing {
    match reading.own_kw() {
        Some(kw) if !reading.is_decided() => {
            let range = limits.at(reading.ts);
            if kw < range.min {
                Standing::Negative
            } else if kw > range.max {
                Standing::AboveLimit
            } else {
                Standing::Accepted
            }
        }
        _ => Standing::Accepted,
    }
}
