//! Rule 4, episodes: from the first flagged reading of a near-zero run to the last before a
//! measured reading of 0.01 kW or more.
//!
//! Once a measured reading of a run is flagged, every reading after it is, measured or not, until
//! one of 0.01 kW or more comes. So a span is the flagged readings between two such readings.

use super::Known;
use crate::{Flag, Reading, Ts};

/// The flagged readings of one near-zero run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The first flagged reading; no two spans of a meter begin at one instant.
    pub first_ts: Ts,
    /// The last flagged reading (so far, while open).
    pub last_ts: Ts,
    /// Whether a measured reading of 0.01 kW or more has ended it.
    pub closed: bool,
}

/// The spans of a meter, in order, after the readings of its window have been judged anew.
///
/// `stored` are its spans as they were before, in order: all of them, or (for speed) those from
/// the last one that begins before `known.from` on. `series` are the judged readings of the window,
/// wide enough for [`super::need`]; `known` is what it knows. Appends to `out`: stored spans outside the window
/// as they were, those within it computed afresh, and joined at both its ends. A meter without
/// stored spans and without a flagged reading in its window has none.
pub fn refresh(series: &[Reading], known: Known, stored: &[Span], out: &mut Vec<Span>) {
    let before = stored.partition_point(|span| span.first_ts < known.from);
    let after = stored.partition_point(|span| span.first_ts < known.to);
    out.extend_from_slice(&stored[..before]);
    let mut open = entering(known, &stored[..before]);
    if open.is_some() {
        out.pop();
    }
    for reading in series {
        if reading.flags.has(Flag::PotentiallyFaulty) {
            let first_ts = open.map_or(reading.ts, |span: Span| span.first_ts);
            open = Some(Span { first_ts, last_ts: reading.ts, closed: false });
        } else if reading.is_measured() && !reading.is_near_zero() {
            out.extend(open.take().map(|span| Span { closed: true, ..span }));
        }
    }
    out.extend(open.map(|span| leaving(span, known, &stored[..after])));
    out.extend_from_slice(&stored[after..]);
}

/// The span that is open where the window begins, given those that begin before it.
///
/// The last measured reading before what was touched is in the window ([`super::need`]), and no
/// reading before that one has changed. So a span reaches into the window if it did before.
fn entering(known: Known, before: &[Span]) -> Option<Span> {
    let last = before.last().filter(|span| span.last_ts >= known.from)?;
    Some(Span { closed: false, ..*last })
}

/// What becomes of a span that is open where the window ends, given the stored spans that begin
/// before that.
///
/// The last measured reading of a window with something after it carries the flag it carried
/// before (again [`super::need`]), so the last of these spans is what became of it beyond.
fn leaving(open: Span, known: Known, stored: &[Span]) -> Span {
    match stored.last() {
        Some(beyond) if known.to < Ts::MAX => {
            Span { last_ts: open.last_ts.max(beyond.last_ts), closed: beyond.closed, ..open }
        }
        _ => open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flags, Power, Standing};

    fn at(second: i64) -> Ts {
        Ts::from_micros(second * crate::SECOND)
    }

    #[test]
    fn a_span_belongs_to_the_window_in_which_it_begins() {
        let stored = [Span { first_ts: at(10), last_ts: at(20), closed: true }];
        let live = Reading {
            ts: at(10),
            kw: Some(Power::from_milliwatts(500_000)),
            upload: 1,
            row_number: 1,
            flags: Flags::NONE,
            standing: Standing::Accepted,
        };
        for (name, from, to, series, expected) in [
            ("it begins with the window, which no longer holds it", 10, 30, &[live][..], &[][..]),
            ("it begins where the window ends", 0, 10, &[], &stored),
            ("it begins with the last instant of the window", 0, 11, &[live], &[]),
        ] {
            let mut out = Vec::new();
            refresh(series, Known { from: at(from), to: at(to) }, &stored, &mut out);
            assert_eq!(out, expected, "{name}");
        }
    }
}
