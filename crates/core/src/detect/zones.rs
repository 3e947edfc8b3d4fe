//! Whose clock local times go by: what the days tell on which clocks change.

use rustc_hash::FxHashSet;

use super::analysis::Analysis;
use super::clock::Timing;
use super::column::values;
use super::draft::{Draft, Label};
use super::finding::TrapKind;
use super::place::{COMMON, Place, STEADY, place};
use super::trial::Trial;
use super::when::{Source, When};
use super::writing::{Reader, Writing, micros};
use crate::{DAY, HOUR, Zone};

/// How the sample comes out under a zone.
struct Fit {
    zone: &'static str,
    /// Rows that fail, stand twice or leave a hole.
    misfits: usize,
    /// Rows without a value in the hour that the zone's clocks skip.
    gaps: usize,
    /// The kind of label by which it comes out best.
    label: Label,
}

/// Tries the profile under zones.
struct Fitting<'s> {
    sample: String,
    name: &'s str,
    interval: i64,
    /// The rows that hold no value.
    missing: FxHashSet<u32>,
    /// The misfits by a clock that never changes.
    plain: usize,
}

impl<'s> Fitting<'s> {
    fn new(analysis: &Analysis<'s>, interval: i64, draft: &Draft) -> Fitting<'s> {
        let (sample, name) = (analysis.sample.joined(), analysis.asked.name);
        let mut fitting =
            Fitting { sample, name, interval, missing: FxHashSet::default(), plain: usize::MAX };
        if let Some(trial) = fitting.run(draft, "UTC", draft.label) {
            fitting.missing = trial.missing();
            fitting.plain = trial.misfits(interval, &FxHashSet::default());
        }
        fitting
    }

    fn run(&self, draft: &Draft, zone: &str, label: Label) -> Option<Trial> {
        let draft = Draft { time_zone: Some(zone.to_owned()), label, ..draft.clone() };
        Trial::run(&draft.toml(&[]), self.name, &self.sample, None).ok()
    }

    /// The misfits under a zone, the empty rows in the hour it skips, and the best kind of label.
    fn fit(&self, draft: &Draft, zone: &str) -> Option<(usize, usize, Label)> {
        let labels: &[Label] =
            if draft.label == Label::Start { &[Label::Start] } else { &[Label::End, Label::WallEnd] };
        let tries = labels.iter().filter_map(|label| {
            let trial = self.run(draft, zone, *label)?;
            let rejects = trial.decoded.iter().flat_map(|decoded| &decoded.rejects);
            let gaps = rejects.filter(|reject| self.missing.contains(&reject.row_number)).count();
            Some((trial.misfits(self.interval, &self.missing), gaps, *label))
        });
        // of equals the first: the plain one
        tries.min_by_key(|(misfits, ..)| *misfits)
    }
}

/// Settles the zone, and the kind of label at interval ends that goes with it.
pub(super) fn settle(
    analysis: &mut Analysis<'_>,
    when: &When,
    time: &Timing,
    draft: &mut Draft,
    meter: Option<&str>,
) {
    let odd_day = odd_day(analysis, when, time);
    if time.instants {
        analysis.found.because("time_zone", "none needed", "times have an offset, or are epochs");
        return;
    }
    let fitting = Fitting::new(analysis, time.interval.unwrap_or(3_600), draft);
    if let Some(zone) = analysis.asked.time_zone {
        analysis.found.because("time_zone", zone, "given");
        if let Some((misfits, _, label)) = fitting.fit(draft, zone) {
            draft.label = label;
            if misfits > fitting.plain && odd_day.is_none() {
                no_change(analysis, zone);
            }
        }
        draft.time_zone = Some(zone.to_owned());
        return;
    }
    if when.named_utc {
        analysis.found.because("time_zone", "UTC", "the name of the time column says so");
        draft.time_zone = Some("UTC".to_owned());
        return;
    }
    let names = analysis.table.names.iter().chain(&analysis.table.preamble).map(String::as_str);
    let place = place(names, meter);
    let zones: Vec<&'static str> =
        place.as_ref().map_or_else(|| COMMON.to_vec(), |place| place.zones.clone());
    let fit = |zone: &&'static str| {
        let (misfits, gaps, label) = fitting.fit(draft, zone)?;
        Some(Fit { zone, misfits, gaps, label })
    };
    let fits: Vec<Fit> = zones.iter().filter_map(fit).collect();
    let plain = fitting.plain;
    let changes = |fit: &&Fit| match odd_day {
        Some(day) => lasts(fit.zone, day),
        None => fit.misfits < plain || fit.misfits == plain && fit.gaps > 0,
    };
    let changed: Vec<&Fit> = fits.iter().filter(changes).collect();
    let against: Vec<&str> =
        fits.iter().filter(|fit| changed.is_empty() && fit.misfits > plain).map(|fit| fit.zone).collect();
    propose(analysis, draft, place.as_ref(), &changed, &against);
}

/// Takes the zone that both the place and the clocks of the file speak for; else asks.
fn propose(
    analysis: &mut Analysis<'_>,
    draft: &mut Draft,
    place: Option<&Place>,
    changed: &[&Fit],
    against: &[&str],
) {
    const LOCAL: &str = "times are local, without offset or zone";
    if let ([fit], Some(place)) = (changed, place) {
        let (zone, evidence) = (fit.zone, &place.evidence);
        draft.time_zone = Some(zone.to_owned());
        draft.label = fit.label;
        let text =
            format!("{LOCAL}; the clocks in the file change as those of {zone} do, and it has {evidence}");
        analysis.trap(TrapKind::NoZone, text.clone());
        let reason = format!("the clocks in the file change as there; {evidence}");
        analysis.found.because("time_zone", zone, reason);
        let question = format!("{text}: {zone} was taken");
        analysis.found.doubt("time_zone", question, &[], "give another with --time-zone");
        return;
    }
    let steady = place.and_then(|place| match place.zones.as_slice() {
        [zone] if STEADY.contains(zone) && against.is_empty() => Some((*zone, &place.evidence)),
        _ => None,
    });
    if let Some((zone, evidence)) = steady {
        draft.time_zone = Some(zone.to_owned());
        analysis.trap(TrapKind::NoZone, format!("{LOCAL}; {evidence}: {zone} was taken"));
        analysis.found.because("time_zone", zone, format!("{evidence}; clocks there never change"));
        return;
    }
    let likely: Vec<&str> = match (changed, place) {
        ([], Some(place)) => place.zones.clone(),
        (changed, _) => changed.iter().map(|fit| fit.zone).collect(),
    };
    let seen = match (changed, against) {
        ([_, ..], _) => "; its clocks change on the days of the zones named here".to_owned(),
        ([], []) => "; no day of the file tells whether its clocks change".to_owned(),
        ([], against) => format!(
            "; its clocks do not change on the days on which those of {} do: it may be UTC or standard time all year",
            few(against)
        ),
    };
    let why = place.map_or_else(String::new, |place| format!("; {}", place.evidence));
    analysis.trap(TrapKind::NoZone, format!("{LOCAL}{seen}"));
    let example = likely.first().copied().unwrap_or("Europe/Berlin");
    analysis.found.lack(
        "time_zone",
        format!("{LOCAL}{seen}{why}"),
        format!("say where the meters are, such as --time-zone {example}; --time-zone UTC if their clocks go by UTC"),
    );
    if let Some(doubt) = analysis.found.doubts.last_mut() {
        doubt.alternatives = likely.iter().map(|zone| format!("time_zone = \"{zone}\"")).collect();
    }
}

/// The first of some names.
fn few(names: &[&str]) -> String {
    match names {
        [one, two, third, _, ..] => format!("{one}, {two}, {third} and others"),
        names => names.join(", "),
    }
}

/// Notes that a given zone changes its clocks where the file does not.
fn no_change(analysis: &mut Analysis<'_>, zone: &str) {
    analysis.trap(
        TrapKind::ClockChange,
        format!("the clocks of {zone} change on a day of the file, and the file's do not"),
    );
    analysis.found.doubt(
        "time_zone",
        format!("the clocks of {zone} change on a day of the file, and the file's do not: it may be standard time all year"),
        &["time_zone = \"UTC\"", "a zone without changes, such as Etc/GMT-1 for UTC+1"],
        "look at the last Sundays of March and October",
    );
}

/// A day on which intervals are numbered past the hour that comes twice, or without the one that is
/// skipped: its number since 1970 and its hours.
fn odd_day(analysis: &mut Analysis<'_>, when: &When, time: &Timing) -> Option<(i32, i64)> {
    let Source::Slot(date, slot) = when.source else { return None };
    let table = analysis.table;
    let numbers = values(table, slot).map(|text| text.parse::<u32>().unwrap_or(0));
    let mut days: Vec<(&str, u32)> = Vec::new();
    for (day, number) in values(table, date).zip(numbers) {
        match days.last_mut() {
            Some((known, max)) if *known == day => *max = number.max(*max),
            _ => days.push((day, number)),
        }
    }
    // the first and the last day may be cut short
    let whole = days.get(1..days.len().saturating_sub(1)).unwrap_or(&[]);
    let is_long = |day: &&(&str, u32)| [25, 50, 100].contains(&day.1);
    let is_short = |day: &&(&str, u32)| [23, 46, 92].contains(&day.1);
    let (day, max) = *days.iter().find(is_long).or_else(|| whole.iter().find(is_short))?;
    let text = format!(
        "{} counts to {max} on {day}: the intervals of a day on which the clocks change are numbered one after another, \
         but a profile counts by the clock on the wall, so that from the change on rows of that day come out an hour wrong",
        table.named(slot)
    );
    analysis.trap(TrapKind::ClockChange, text.clone());
    analysis.found.lack(
        "columns.slot",
        text,
        "send that day with the time and offset of each interval, or leave it out",
    );
    let writing = Writing { pattern: time.pattern.clone(), has_clock: false };
    let at = micros(Reader::new(&writing)?.read(day)?);
    let hours = i64::from(max) * time.interval? / 3_600;
    i32::try_from(at.div_euclid(DAY)).ok().map(|day| (day, hours))
}

/// Whether a day is so long in a zone.
fn lasts(zone: &str, (day, hours): (i32, i64)) -> bool {
    Zone::parse(zone).is_ok_and(|zone| {
        let (first, next) = zone.day_bounds(day);
        next.since(first) == hours * HOUR
    })
}
