//! Episodes: the near-zero runs of rule 4 as state, followed upload by upload, and the alerts that
//! their changes raise.

use greenstream_core::Ts;
use greenstream_core::rules::{DayState, Span, confirmed, day_state, refresh};
use rustc_hash::FxHashMap;

use super::error::ProcessError;
use super::judging::Judging;
use crate::change::{Alert, ChangeSet, Episode, EpisodeKind, Meter, Severity};

/// Days with measured readings, before an episode's first flagged one, that its run can reach back to
/// and that rule 4's zero days need: more than three.
const DAYS_BEFORE: u32 = 4;

/// The episodes of every meter that has any: few meters do.
#[derive(Debug, Default)]
pub struct Episodes {
    by_meter: FxHashMap<Meter, Vec<Episode>>,
}

impl Episodes {
    /// Those of a store; the silence of meters is not followed upload by upload.
    pub fn new(all: Vec<Episode>) -> Episodes {
        let mut by_meter: FxHashMap<Meter, Vec<Episode>> = FxHashMap::default();
        for episode in all.into_iter().filter(|episode| episode.kind == EpisodeKind::NearZero) {
            by_meter.entry(episode.meter).or_default().push(episode);
        }
        for episodes in by_meter.values_mut() {
            episodes.sort_unstable_by_key(|episode| episode.first_ts);
        }
        Episodes { by_meter }
    }

    /// Whether a meter has (or had, in this process) an episode.
    pub fn knows(&self, meter: Meter) -> bool {
        self.by_meter.contains_key(&meter)
    }
}

impl Judging {
    /// Says in `set` what the days hold whose readings it changes from these places on.
    pub(super) fn days(
        &mut self,
        set: &mut ChangeSet,
        meter: Meter,
        inserted_from: usize,
        replaced_from: usize,
        only_inserted: bool,
    ) {
        let zone = &self.rules.zone;
        let inserted = set.inserted[inserted_from..].iter().map(|(_, reading)| reading.ts);
        let replaced = set.replaced[replaced_from..].iter().filter_map(|r| Some(r.after.or(r.before)?.ts));
        let mut days: Vec<i32> = inserted.chain(replaced).map(|ts| zone.day(ts)).collect();
        days.sort_unstable();
        days.dedup();
        let window = self.windows.get(meter);
        for day in days {
            // a reading more cannot make a live day anything else
            if only_inserted && window.day == Some((day, DayState::Live)) {
                continue;
            }
            let (from, to) = zone.day_bounds(day);
            // days that rows landed on are known whole; on others only flags and fills have changed, which
            // leave the day's state, and part of a day would tell a wrong one
            if from < window.known.from || to > window.known.to {
                continue;
            }
            let first = window.rows.partition_point(|reading| reading.ts < from);
            let end = window.rows.partition_point(|reading| reading.ts < to);
            let state = day_state(&window.rows[first..end]).unwrap_or(DayState::Empty);
            if window.day != Some((day, state)) {
                window.day = Some((day, state));
                set.days.push((meter, day, state));
            }
        }
    }

    /// Brings a meter's episodes up to its readings, which may have changed anywhere in its window.
    pub(super) fn follow_episodes(
        &mut self,
        set: &mut ChangeSet,
        meter: Meter,
        at: Ts,
    ) -> Result<(), ProcessError> {
        let before = self.episodes.by_meter.remove(&meter).unwrap_or_default();
        let stored: Vec<Span> = before
            .iter()
            .map(|e| Span { first_ts: e.first_ts, last_ts: e.last_ts, closed: e.closed })
            .collect();
        let mut spans = Vec::new();
        let window = self.windows.get(meter);
        refresh(&window.rows, window.known, &stored, &mut spans);
        let days_changed = set.days.iter().rev().take_while(|(m, _, _)| *m == meter).count() > 0;
        let mut after = Vec::with_capacity(spans.len());
        for span in spans {
            let old = before.iter().find(|e| e.first_ts == span.first_ts);
            // a span can also grow or shrink over days whose states stay: low readings make a day live
            let zone = &self.rules.zone;
            let same_days = old.filter(|e| zone.day(e.last_ts) == zone.day(span.last_ts));
            let severity = match (same_days, days_changed) {
                (Some(old), false) => old.severity,
                _ => self.severity(set, meter, &span)?,
            };
            after.push(Episode {
                meter,
                kind: EpisodeKind::NearZero,
                first_ts: span.first_ts,
                last_ts: span.last_ts,
                severity,
                closed: span.closed,
            });
        }
        let name = self.names.name(meter);
        set.alerts.extend(tell(name, &before, &after, at));
        set.episodes.extend(after.iter().filter(|e| !before.contains(e)));
        set.episodes_gone.extend(
            before
                .iter()
                .filter(|old| after.iter().all(|new| new.first_ts != old.first_ts))
                .map(|old| (meter, old.kind, old.first_ts)),
        );
        self.episodes.by_meter.insert(meter, after);
        Ok(())
    }

    /// Whether more than three running zero days confirm a span.
    fn severity(&mut self, set: &ChangeSet, meter: Meter, span: &Span) -> Result<Severity, ProcessError> {
        let (first, last) = (self.rules.zone.day(span.first_ts), self.rules.zone.day(span.last_ts));
        let changed = || set.days.iter().filter(|(m, _, _)| *m == meter);
        // each of those that change may turn out not to count
        let before = usize::try_from(DAYS_BEFORE).unwrap_or_default() + changed().count();
        let mut days = self.past.days(meter, first, last, u32::try_from(before).unwrap_or(u32::MAX))?;
        let earlier = days.iter().take_while(|(day, _)| *day < first).count();
        // where the store has no earlier day, all that change are beside those it told
        let from = days.first().filter(|_| earlier == before).map_or(i32::MIN, |(day, _)| *day);
        for (_, day, state) in changed().filter(|(_, day, _)| (from..=last).contains(day)) {
            match days.binary_search_by_key(day, |(day, _)| *day) {
                Ok(index) => days[index].1 = *state,
                Err(index) => days.insert(index, (*day, *state)),
            }
        }
        Ok(if confirmed((first, last), &days) { Severity::Confirmed } else { Severity::Suspected })
    }
}

/// The alerts that the difference of a meter's episodes of one kind asks for.
pub(super) fn tell(name: &str, before: &[Episode], after: &[Episode], at: Ts) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let mut raise = |kind: &'static str, episode: &Episode, detail: String| {
        let (first, last) = (episode.first_ts, episode.last_ts);
        alerts.push(Alert {
            kind,
            key: format!("{kind}/{name}/{}/{first}/{last}", episode.kind.name()),
            meter: Some(name.to_owned()),
            upload: None,
            at,
            message: format!("meter {name}: {detail}"),
        });
    };
    for new in after {
        let same = before.iter().find(|old| old.first_ts == new.first_ts);
        let overlapping = before.iter().find(|old| overlap(old, new));
        if let (None, Some(old)) = (same, overlapping) {
            let detail = format!(
                "late data moved the start of its {} episode from {} to {}",
                words(new.kind).name,
                old.first_ts,
                new.first_ts
            );
            raise("episode_changed", new, detail);
        }
        for (kind, detail) in news(same.or(overlapping), new) {
            raise(kind, new, detail);
        }
    }
    for old in before.iter().filter(|old| !after.iter().any(|new| overlap(old, new))) {
        let (kind, first, last) = (words(old.kind).name, old.first_ts, old.last_ts);
        raise(
            "episode_changed",
            old,
            format!("late data withdraws its {kind} episode from {first} to {last}"),
        );
    }
    alerts
}

/// How an episode of a kind is told to a person.
struct Words {
    name: &'static str,
    opened: &'static str,
    confirmed: &'static str,
    suspected: &'static str,
    closed: &'static str,
}

const fn words(kind: EpisodeKind) -> Words {
    match kind {
        EpisodeKind::NearZero => Words {
            name: "near-zero",
            opened: "below 0.01 kW for more than 24 h, flagged",
            confirmed: "more than three running days at 0 kW",
            suspected: "late data shows a day that is not at 0 kW",
            closed: "0.01 kW or more again",
        },
        EpisodeKind::Silent => Words {
            name: "silent",
            opened: "no reading for a whole day while its feed went on, silent",
            confirmed: "more than three days without a reading",
            suspected: "late data leaves three silent days or fewer",
            closed: "readings again",
        },
    }
}

fn overlap(a: &Episode, b: &Episode) -> bool {
    a.first_ts <= b.last_ts && b.first_ts <= a.last_ts
}

/// What is new about an episode that was `old` before, if it was.
fn news(old: Option<&Episode>, new: &Episode) -> Vec<(&'static str, String)> {
    let first = new.first_ts;
    let words = words(new.kind);
    let mut news = Vec::new();
    if old.is_none() {
        news.push(("episode_opened", format!("{} from {first} on", words.opened)));
    }
    match (old.map_or(Severity::Suspected, |old| old.severity), new.severity) {
        (Severity::Suspected, Severity::Confirmed) => news.push((
            "episode_confirmed",
            format!("{} since {first}: the fault is confirmed", words.confirmed),
        )),
        (Severity::Confirmed, Severity::Suspected) => news.push((
            "episode_changed",
            format!("{}: the fault since {first} is only suspected", words.suspected),
        )),
        _ => {}
    }
    match (old.is_some_and(|old| old.closed), new.closed) {
        (false, true) => news.push((
            "episode_closed",
            format!("{}: the {} episode lasted from {first} to {}", words.closed, words.name, new.last_ts),
        )),
        (true, false) => news.push((
            "episode_changed",
            format!("late data opens its {} episode since {first} again", words.name),
        )),
        _ => {}
    }
    news
}
