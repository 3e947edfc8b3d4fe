//! A meter's stored readings as a service keeps them, handing out no more than is asked for.

use std::collections::BTreeMap;

use crate::rules::{Judge, Known, Merged, Span, merge, need, refresh};
use crate::{Flag, Limits, Power, Reading, Standing, Ts};

/// What is stored of one meter.
pub(super) struct Meter {
    pub(super) limits: Limits,
    pub(super) readings: BTreeMap<Ts, Reading>,
    pub(super) superseded: Vec<Reading>,
    pub(super) spans: Vec<Span>,
    /// Whether a load that finds nothing further says so (`Ts::MIN`, `Ts::MAX`).
    pub(super) sees_ends: bool,
}

/// A window as small as the judgement allows.
struct Window {
    series: Vec<Reading>,
    known: Known,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Meter {
        Meter {
            limits,
            readings: BTreeMap::new(),
            superseded: Vec::new(),
            spans: Vec::new(),
            sees_ends: false,
        }
    }

    pub(super) fn series(&self) -> Vec<Reading> {
        self.readings.values().copied().collect()
    }

    /// Takes the rows of one upload.
    pub(super) fn upload(&mut self, mut rows: Vec<Reading>) {
        let first = rows.iter().map(|row| row.ts).min().unwrap();
        let last = rows.iter().map(|row| row.ts).max().unwrap();
        let mut window = self.window((first, last));
        let mut merged = Merged::default();
        merge(&mut window.series, &mut rows, &mut merged);
        assert!(rows.is_empty());
        assert!(merged.replaced.is_sorted_by(|a, b| a.ts < b.ts));
        for before in &merged.replaced {
            assert_eq!(self.readings[&before.ts], *before, "the state before a merge");
            let now = window.series.iter().find(|reading| reading.ts == before.ts).unwrap();
            assert_ne!(now, before, "a replaced reading differs");
            if now.standing != Standing::Unjudged {
                self.readings.insert(now.ts, *now);
            }
        }
        self.superseded.append(&mut merged.lost);
        if let Some(touched) = merged.touched {
            assert!(first <= touched.0 && touched.1 <= last);
            assert_eq!(need(&window.series, touched, window.known), None, "merging never needs more");
            self.judge(&mut window, touched);
        }
    }

    /// Discards the winning row of an instant; `next` wins in its place, if there is one.
    pub(super) fn discard(&mut self, ts: Ts, next: Option<Reading>) {
        let mut window = self.window((ts, ts));
        let index = window.series.iter().position(|reading| reading.ts == ts).unwrap();
        match next {
            Some(next) => window.series[index] = next,
            None => {
                window.series.remove(index);
                self.readings.remove(&ts);
            }
        }
        self.judge(&mut window, (ts, ts));
    }

    /// Releases a reading, or edits it.
    pub(super) fn decide(&mut self, ts: Ts, edited: Option<Power>) {
        let mut window = self.window((ts, ts));
        let reading = window.series.iter_mut().find(|reading| reading.ts == ts).unwrap();
        *reading = decided(reading, edited);
        reading.standing = Standing::Unjudged;
        self.judge(&mut window, (ts, ts));
    }

    fn judge(&mut self, window: &mut Window, touched: (Ts, Ts)) {
        let Window { series, known } = window;
        let mut changed = Vec::new();
        let mut judge = Judge::new();
        judge.judge(series, touched, &self.limits, &mut changed);
        assert!(changed.is_sorted_by(|a, b| a.0 < b.0), "ascending, each once");
        for (index, before) in &changed {
            let now = series[*index];
            assert_ne!(now, *before, "a changed reading differs");
            if before.standing != Standing::Unjudged {
                assert_eq!(self.readings[&now.ts], *before, "the state before a judgement");
            }
            self.readings.insert(now.ts, now);
        }
        for reading in series.iter() {
            assert_eq!(self.readings.get(&reading.ts), Some(reading), "every change is reported");
        }
        changed.clear();
        judge.judge(series, touched, &self.limits, &mut changed);
        assert_eq!(changed, [], "judging twice changes nothing");
        self.spans = self.refreshed(series, *known);
    }

    fn refreshed(&self, series: &[Reading], known: Known) -> Vec<Span> {
        let mut all = Vec::new();
        refresh(series, known, &self.spans, &mut all);
        let before = self.spans.partition_point(|span| span.first_ts < known.from).saturating_sub(1);
        let mut some = self.spans[..before].to_vec();
        refresh(series, known, &self.spans[before..], &mut some);
        assert_eq!(all, some, "earlier spans are not needed");
        all
    }

    /// Loads what `need` asks for, beginning with the touched readings alone.
    fn window(&self, touched: (Ts, Ts)) -> Window {
        let mut known = Known { from: touched.0, to: touched.1.plus(1) };
        let mut answers = 0;
        loop {
            let within = self.readings.range(known.from..known.to);
            let series: Vec<_> = within.map(|(_, reading)| *reading).collect();
            let Some(need) = need(&series, touched, known) else { return Window { series, known } };
            answers += 1;
            assert!(answers <= 4, "four answers suffice");
            assert!(need.from <= known.from && need.to >= known.to, "a need includes what is known");
            let before = known;
            known = Known { from: need.from, to: need.to };
            if need.measured_before {
                let mut past = self.readings.range(..need.from).rev();
                known.from = past.find(|(_, reading)| reading.is_measured()).map_or(Ts::MIN, |(ts, _)| *ts);
            }
            if need.measured_after {
                let mut future = self.readings.range(need.to..);
                let next = future.find(|(_, reading)| reading.is_measured());
                known.to = next.map_or(Ts::MAX, |(ts, _)| ts.plus(1));
            }
            if self.sees_ends && self.readings.range(..known.from).next().is_none() {
                known.from = Ts::MIN;
            }
            if self.sees_ends && self.readings.range(known.to..).next().is_none() {
                known.to = Ts::MAX;
            }
            assert_ne!(known, before, "every answer asks for more");
        }
    }
}

/// A reading after an operator's decision: released as it is, or with another value.
pub(super) fn decided(reading: &Reading, edited: Option<Power>) -> Reading {
    let flag = if edited.is_some() { Flag::Edited } else { Flag::Released };
    Reading { kw: edited.or(reading.kw), flags: reading.flags.with(flag), ..*reading }
}
