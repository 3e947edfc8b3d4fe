//! What is out of order just now: a volume without space, a database that is held, an archive that is away.
//!
//! It is kept in memory, because the place where alerts wait may be what is away. Those who work say when
//! something fails and when it works again; health, status and alerts read it. One outage is one episode with
//! two alerts, its begin and its end, however often something was tried in between.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use greenstream_core::Ts;
use serde_json::{Value, json};

use crate::change::Alert;
use crate::{clock, text};

/// Pauses grow up to this; with the jitter at most twice as long. What is away comes back within 30 s of the
/// world's mending, so it may not be longer; shorter asks a disk that is full more often than it is worth.
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// What passes sooner is nobody's concern.
const TOLD_AFTER: Duration = Duration::from_secs(5);
/// How soon a pause ends when the service is to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Pauses between tries of what fails: growing, jittered, capped at 16 s.
pub fn pauses() -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(PAUSE_MAX)
        .with_factor(2.0)
        .with_jitter()
        // without the standard library backon begins with the same numbers everywhere
        .with_jitter_seed(fastrand::u64(..))
        .without_max_times()
        .build()
}

/// A part of a home that can be away by itself: each may be on a volume of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// `landing/`: nothing can be taken.
    Landing,
    /// The home's own folder, with the database in it: what has landed waits.
    Database,
    /// `archive/`: the database goes on without it.
    Archive,
    /// The inbox bucket: objects wait there.
    Inbox,
}

impl Part {
    /// Its name, as keys and labels have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Part::Landing => "landing",
            Part::Database => "database",
            Part::Archive => "archive",
            Part::Inbox => "inbox",
        }
    }

    const fn cannot(self) -> &'static str {
        match self {
            Part::Landing => "uploads cannot land, and stay where they are",
            Part::Database => "the database cannot be written; uploads land and wait",
            Part::Archive => "the archive cannot be written; it will catch up with the database",
            Part::Inbox => "the inbox bucket cannot be read; objects wait there",
        }
    }

    const fn can_again(self) -> &'static str {
        match self {
            Part::Landing => "uploads land again",
            Part::Database => "the database can be written again",
            Part::Archive => "the archive can be written again",
            Part::Inbox => "the inbox bucket can be read again",
        }
    }
}

/// One thing that is out of order.
#[derive(Clone, Debug)]
struct Episode {
    since: Ts,
    began: Instant,
    problem: String,
    hint: String,
    told: bool,
}

/// An alert that could not be put into the outbox yet.
#[derive(Clone, Debug)]
pub struct Untold {
    /// The alert.
    pub alert: Alert,
    /// Whether it was sent past the outbox, and is only to be recorded.
    pub sent: bool,
}

#[derive(Debug, Default)]
struct State {
    now: BTreeMap<Part, Episode>,
    untold: Vec<Untold>,
}

/// What is out of order in one process, shared by its threads.
#[derive(Debug, Default)]
pub struct Outages {
    state: Mutex<State>,
    stopping: AtomicBool,
    /// Whether the home is being opened, so that nobody takes anything.
    opening: AtomicBool,
}

impl Outages {
    fn state(&self) -> MutexGuard<'_, State> {
        // every change is one statement
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a part cannot be used, by its error and the way out; once or again.
    pub fn fail(&self, part: Part, problem: String, hint: &str) {
        let mut state = self.state();
        match state.now.get_mut(&part) {
            Some(episode) => {
                tracing::debug!("{}: {problem}; trying again", part.cannot());
                (episode.problem, episode.hint) = (problem, hint.to_owned());
            }
            None => {
                tracing::error!(hint, "{}: {problem}", part.cannot());
                let (since, began) = (clock::now(), Instant::now());
                let hint = hint.to_owned();
                state.now.insert(part, Episode { since, began, problem, hint, told: false });
            }
        }
    }

    /// Says that a part can be used.
    pub fn works(&self, part: Part) {
        self.end(part, part.can_again(), "; nothing was lost");
    }

    /// Says that a part is another process's to use and to tell of from now on.
    pub fn leave(&self, part: Part) {
        self.end(part, "another process has taken it over", "");
    }

    fn end(&self, part: Part, how: &str, more: &str) {
        let mut state = self.state();
        let Some(episode) = state.now.remove(&part) else { return };
        let seconds = episode.began.elapsed().as_secs_f64();
        tracing::warn!(part = part.name(), "{how}, after {seconds:.1} s");
        if episode.told || episode.began.elapsed() >= TOLD_AFTER {
            if !episode.told {
                state.untold.push(Untold { alert: began(part, &episode), sent: false });
            }
            let alert = Alert {
                kind: "outage_over",
                key: format!("{}/over", key(part, &episode)),
                at: clock::now(),
                message: format!("{how}, after {seconds:.0} s{more}"),
                ..began(part, &episode)
            };
            state.untold.push(Untold { alert, sent: false });
        }
    }

    /// Whether a part cannot be used just now.
    #[must_use]
    pub fn is_out(&self, part: Part) -> bool {
        self.state().now.contains_key(&part)
    }

    /// Alerts that are due, oldest first; [`Outages::settle`] takes them off.
    #[must_use]
    pub fn untold(&self) -> Vec<Untold> {
        let mut state = self.state();
        let State { now, untold } = &mut *state;
        for (part, episode) in now.iter_mut().filter(|(_, episode)| !episode.told) {
            if episode.began.elapsed() >= TOLD_AFTER {
                episode.told = true;
                untold.push(Untold { alert: began(*part, episode), sent: false });
            }
        }
        untold.clone()
    }

    /// Notes that an alert was sent past the outbox.
    pub fn sent(&self, key: &str) {
        for untold in self.state().untold.iter_mut().filter(|untold| untold.alert.key == key) {
            untold.sent = true;
        }
    }

    /// Takes an alert off: it is in the outbox.
    pub fn settle(&self, key: &str) {
        self.state().untold.retain(|untold| untold.alert.key != key);
    }

    /// What is out of order, for status and API.
    #[must_use]
    pub fn json(&self) -> Value {
        let one = |(part, episode): (&Part, &Episode)| {
            json!({
                "part": part.name(),
                "since": episode.since.to_string(),
                "problem": episode.problem,
                "way_out": episode.hint,
            })
        };
        self.state().now.iter().map(one).collect()
    }

    /// Why the service is not ready to take and process uploads; none where it is. An archive or an inbox
    /// bucket that is away does not keep it from that.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        let state = self.state();
        let opening = self.opening.load(Ordering::SeqCst);
        let needed = |part: &Part| opening || matches!(part, Part::Landing | Part::Database);
        let lines = state.now.iter().filter(|(part, _)| needed(part)).map(|(part, episode)| {
            format!("{}: {}; {}", part.cannot(), text::escaped(&episode.problem), episode.hint)
        });
        let lines: Vec<_> = lines.collect();
        if opening && lines.is_empty() {
            return Some("the home is being opened".to_owned());
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// Says whether the home is being opened: nothing is taken until it is, whatever part is out of order.
    pub fn opens(&self, opening: bool) {
        self.opening.store(opening, Ordering::SeqCst);
    }

    /// Ends every pause: who fails from here on gives up, and what has landed waits for the next start.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether pauses have ended.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Waits; false where it is no use to try again, because the service is to stop.
    #[must_use]
    pub fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while !self.is_stopping() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(LOOK));
        }
        false
    }
}

fn key(part: Part, episode: &Episode) -> String {
    format!("outage/{}/{}", part.name(), episode.since)
}

fn began(part: Part, episode: &Episode) -> Alert {
    Alert {
        kind: "outage",
        key: key(part, episode),
        meter: None,
        upload: None,
        at: episode.since,
        message: format!("{}: {}; {}", part.cannot(), episode.problem, episode.hint),
    }
}

/// The bytes that may still be written to the volume of a path; none where it does not say.
#[must_use]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// The volume of a path in words, such as `; the volume of /home/landing has 0 bytes free, and 4,096 are needed`.
#[must_use]
pub fn room(path: &Path, needed: u64) -> String {
    let Some(free) = free_bytes(path) else { return String::new() };
    let (free, needed) = (text::count(free), text::count(needed));
    format!("; the volume of {} has {free} bytes free, and {needed} are needed", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if it had lasted.
    fn age(outages: &Outages, part: Part) {
        let mut state = outages.state();
        let episode = state.now.get_mut(&part).unwrap();
        episode.began = episode.began.checked_sub(TOLD_AFTER).unwrap();
    }

    fn kinds(outages: &Outages) -> Vec<&'static str> {
        outages.untold().iter().map(|untold| untold.alert.kind).collect()
    }

    #[test]
    fn an_outage_is_one_episode_with_two_alerts_however_often_it_is_met() {
        let outages = Outages::default();
        for _ in 0..3 {
            outages.fail(Part::Landing, "no space".to_owned(), "free some");
        }
        assert!(outages.is_out(Part::Landing) && !outages.is_out(Part::Database));
        assert!(outages.untold().is_empty(), "it has not lasted");
        age(&outages, Part::Landing);
        assert_eq!(kinds(&outages), ["outage"]);
        assert_eq!(kinds(&outages), ["outage"]);
        outages.works(Part::Landing);
        outages.works(Part::Landing);
        let untold = outages.untold();
        assert_eq!(kinds(&outages), ["outage", "outage_over"]);
        assert_eq!(untold[1].alert.key, format!("{}/over", untold[0].alert.key));
        outages.sent(&untold[0].alert.key);
        assert!(outages.untold()[0].sent && !outages.untold()[1].sent);
        untold.iter().for_each(|untold| outages.settle(&untold.alert.key));
        assert!(outages.untold().is_empty());
    }

    #[test]
    fn what_passes_at_once_is_told_to_nobody_and_what_lasted_is_told_even_if_it_is_over() {
        let outages = Outages::default();
        outages.fail(Part::Database, "busy".to_owned(), "wait");
        assert_eq!(outages.json()[0]["part"], "database");
        outages.works(Part::Database);
        assert!(outages.untold().is_empty());
        assert_eq!(outages.json(), json!([]));
        outages.fail(Part::Database, "busy".to_owned(), "wait");
        age(&outages, Part::Database);
        outages.works(Part::Database);
        assert_eq!(kinds(&outages), ["outage", "outage_over"]);
    }

    #[test]
    fn an_archive_that_is_away_leaves_the_service_ready() {
        let outages = Outages::default();
        outages.fail(Part::Archive, "no space".to_owned(), "free some");
        assert_eq!(outages.unready(), None);
        outages.fail(Part::Landing, "no\nspace".to_owned(), "free some");
        let why = outages.unready().unwrap();
        assert!(why.starts_with("uploads cannot land") && why.ends_with("free some"), "{why}");
    }

    #[test]
    fn pauses_grow_differ_and_stay_below_the_time_in_which_all_is_to_resume() {
        let some: Vec<_> = pauses().take(20).collect();
        assert!(some[0] < Duration::from_millis(200));
        assert!(some.iter().all(|pause| *pause <= 2 * PAUSE_MAX));
        assert!(some[15] >= PAUSE_MAX);
        assert!(2 * PAUSE_MAX <= Duration::from_secs(20), "and a try takes time too");
        assert_ne!(some[10..], pauses().take(20).collect::<Vec<_>>()[10..]);
    }

    #[test]
    fn a_pause_ends_when_the_service_is_to_stop() {
        let outages = Outages::default();
        assert!(outages.pause(Duration::from_millis(1)));
        outages.stop();
        assert!(!outages.pause(Duration::from_secs(3600)));
    }
}
