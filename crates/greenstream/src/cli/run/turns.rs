//! The turns of a process that serves: it owns the database, or stands by while another does, and opens its home anew
//! after what may pass.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

use super::{First, SOON, Served};
use crate::alert;
use crate::cli::{Failure, open};
use crate::outage::{Outages, Part, pauses};
use crate::process::{
    Arrivals, ProcessError, Service, StandBy, open_judged, open_when_free, wait_for_turn, watch_silence,
};
use crate::store::Store;
use crate::trigger::{Bell, Inbox, Intake, Posts, Sources, intake};

/// How often the service looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(200);

/// So often in a row a database may seem to be damaged, until it is taken to be.
const DAMAGES_MAX: u32 = 3;

/// A home that served for so long was in order; what fails sooner after it was opened is the same outage.
const STEADY: Duration = Duration::from_secs(60);

/// Whether this process owns the database.
pub enum Turn {
    /// It does.
    Owns(Box<Service>),
    /// Another process does, and this one stands by.
    StandsBy,
}

impl Turn {
    /// It does, by this service.
    pub fn owned(service: Service) -> Turn {
        Turn::Owns(Box::new(service))
    }
}

/// How a home is opened anew after what may pass.
struct Anew<'a> {
    served: &'a Served,
    targets: alert::Targets,
    pauses: Box<dyn Iterator<Item = Duration>>,
    /// Parts that were out of order when it was opened last.
    away: BTreeSet<Part>,
    damages: u32,
    /// The version of the journal's configuration that this process knows, and may put its own in the place of.
    since: Option<u32>,
}

impl Anew<'_> {
    fn new(served: &Served) -> Anew<'_> {
        let targets = alert::Targets::new(&served.config.file.alerts);
        Anew { served, targets, pauses: Box::new(pauses()), away: BTreeSet::new(), damages: 0, since: None }
    }

    /// Whether a process that failed so stands by: it can, and another has the database or says how to judge.
    fn stands_by(&self, failed: &ProcessError) -> bool {
        let Served { home, .. } = self.served;
        let is_anothers = failed.is_elsewhere() || matches!(failed, ProcessError::Superseded { .. });
        home.layout().is_shared() && is_anothers && home.fence().check().is_ok()
    }

    /// The same of an owner, which may have met what another process has changed meanwhile: that looks like damage
    /// to one that does not expect it.
    fn has_lost(&self, failed: &ProcessError) -> bool {
        let is_held = |database| Store::wait_until_free(database, SOON).is_err_and(|error| error.is_held());
        let home = &self.served.home;
        self.stands_by(failed) || home.layout().is_shared() && is_held(home.database())
    }

    /// Says that what was away works, as far as opening the home has shown it.
    fn works(&mut self, is_behind: bool) {
        // a database with work to do says itself when it can be written
        let works = |part: &Part| !(is_behind && *part == Part::Database);
        let away = std::mem::take(&mut self.away).into_iter();
        away.filter(works).for_each(|part| self.served.outages.works(part));
    }

    /// Opens the home again and again until that succeeds, or what is wrong does not pass.
    fn open(&mut self, failed: ProcessError, lasted: Duration) -> Result<Turn, Failure> {
        let outages = &self.served.outages;
        outages.opens(true);
        let opened = self.try_to_open(failed, lasted);
        outages.opens(false);
        opened
    }

    fn try_to_open(&mut self, mut failed: ProcessError, lasted: Duration) -> Result<Turn, Failure> {
        let Served { home, config, outages, .. } = self.served;
        if lasted > STEADY {
            (self.pauses, self.damages) = (Box::new(pauses()), 0);
        }
        loop {
            failed = failed.or_unreadable(home.database());
            // a disk that has just come back may have spoiled the last answer
            self.damages += u32::from(failed.is_damage());
            let may_pass = failed.is_transient() || failed.is_damage() && self.damages < DAMAGES_MAX;
            if !may_pass || outages.is_stopping() {
                return Err(failed.into());
            }
            outages.fail(failed.part(), open::with_causes(&failed), &failed.hint());
            self.away.insert(failed.part());
            if let Err(problem) = self.targets.send_directly(outages) {
                tracing::error!("{problem}; it is tried again");
            }
            if !self.pauses.next().is_some_and(|pause| outages.pause(pause)) {
                return Err(failed.into());
            }
            let mut opened = open_judged(home, config, outages, SOON, self.since);
            if !home.layout().is_shared() && opened.as_ref().is_err_and(ProcessError::is_held) {
                // another machine's process has it, which is no outage
                self.works(false);
                opened = open_when_free(home, config, outages);
            }
            match opened {
                Ok(service) => return Ok(Turn::owned(service)),
                Err(error) if self.stands_by(&error) => return Ok(Turn::StandsBy),
                Err(error) => failed = error,
            }
        }
    }
}

/// Serves, and opens the home anew after what may pass, until told to stop. None where it stood by just then.
pub(super) fn serve_through_outages(
    served: &Served,
    first: First,
    mut door: Door,
    sources: &Sources,
) -> Result<Option<Service>, Failure> {
    let Served { home, outages, .. } = served;
    let mut anew = Anew::new(served);
    let turn = |service: Option<Service>| service.map_or(Turn::StandsBy, Turn::owned);
    let mut now = match first {
        First::Turn(turn) => turn,
        First::Failed(failed) => anew.open(failed, Duration::ZERO)?,
    };
    loop {
        let began = Instant::now();
        let owned = matches!(now, Turn::Owns(_));
        sources.scan(owned);
        let outcome = match now {
            Turn::Owns(mut service) => {
                anew.works(service.is_behind());
                service.owes(&served.unrecorded);
                if home.layout().is_shared() {
                    tracing::info!("this process owns {}", home.database());
                    anew.since = Some(service.configuration_version());
                }
                match serve(&mut service, &mut door, &anew.targets, outages) {
                    Ok(()) => return Ok(Some(*service)),
                    Err(error) => Err(error),
                }
            }
            Turn::StandsBy => stand_by(&mut anew, &mut door),
        };
        now = match outcome {
            Ok(None) => return Ok(None),
            Ok(owned) => turn(owned),
            Err(failed) if owned && anew.has_lost(&failed) => {
                tracing::warn!("another process has the database: {}", open::with_causes(&failed));
                Turn::StandsBy
            }
            Err(failed) => anew.open(failed, began.elapsed())?,
        };
    }
}

/// Lands what comes until this process may own the database; none where it is to stop.
fn stand_by(anew: &mut Anew<'_>, door: &mut Door) -> Result<Option<Service>, ProcessError> {
    tracing::warn!("standing by: what comes here lands, and the process that owns the database works on it");
    let served = anew.served;
    let Served { home, config, outages, unrecorded } = served;
    outages.leave(Part::Archive);
    let (told, owed) = (Arc::clone(outages), Arc::clone(unrecorded));
    let mut standby = StandBy::open(home.clone(), config.clone(), told, owed)?;
    anew.works(false);
    let since = *anew.since.get_or_insert_with(|| standby.configuration_version());
    let is_over = Arc::new(AtomicBool::new(false));
    let (tell, told) = mpsc::channel();
    let (waiting, ends) = (served.clone(), Arc::clone(&is_over));
    let wait = move || {
        let Served { home, config, outages, .. } = &waiting;
        let targets = alert::Targets::new(&config.file.alerts);
        let alert = || {
            if let Err(problem) = targets.send_directly(outages) {
                tracing::error!("{problem}; it is tried again");
            }
        };
        // nobody may hear it any more
        drop(tell.send(wait_for_turn((home, config, outages), since, &ends, &alert)));
    };
    // nobody waits for its end, for it may be waiting itself
    let named = std::thread::Builder::new().name("wait".to_owned()).spawn(wait);
    named.map_err(|source| ProcessError::Io { path: home.folder().to_owned(), source })?;
    let mut inbox = Inbox::watch(&home.inbox());
    inbox.hang(&door.bell);
    let mut opened = None;
    let landed = standby.serve(&mut || {
        let ended = || Err(ProcessError::Internal("nobody waits for the database any more".to_owned()));
        opened = match told.try_recv() {
            Err(TryRecvError::Empty) => None,
            received => Some(received.unwrap_or_else(|_| ended())),
        };
        let stops = opened.is_some() || outages.is_stopping() || home.fence().check().is_err();
        (!stops).then(|| next_arrivals(&mut inbox, &mut door.posts, outages))
    });
    is_over.store(true, Ordering::SeqCst);
    landed?;
    home.fence().check()?;
    opened.transpose().map(Option::flatten)
}

/// Serves until told to stop, or until a part fails.
fn serve(
    service: &mut Service,
    door: &mut Door,
    targets: &alert::Targets,
    outages: &Outages,
) -> Result<(), ProcessError> {
    let mut inbox = Inbox::watch(&service.home().inbox());
    inbox.hang(&door.bell);
    let (store, fence) = (service.store(), service.home().fence());
    let (over, yields) = (AtomicBool::new(false), service.home().layout().is_shared());
    std::thread::scope(|scope| {
        let (over, store) = (&over, &store);
        scope.spawn(move || watch_silence(store, over));
        let alerts = scope.spawn(move || alert::run(targets, store, outages, yields, over));
        let outcome = service.serve(&mut || {
            // who has lost home or database stops even with nothing to do; finishing says so
            let stops = outages.is_stopping() || fence.check().is_err() || alerts.is_finished();
            (!stops).then(|| next_arrivals(&mut inbox, &mut door.posts, outages))
        });
        over.store(true, Ordering::SeqCst);
        let told = alerts.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // who has lost the database has met much else by it
        told.map_err(ProcessError::from).and(outcome)
    })
}

/// Where uploads come in over the network; it outlives a home that is opened anew.
pub(super) struct Door {
    posts: Posts,
    /// Rings in the inbox that is watched just now.
    bell: Bell,
}

impl Door {
    pub(super) fn new() -> (Door, Intake) {
        let bell = Bell::default();
        let (intake, posts) = intake(bell.clone());
        (Door { posts, bell }, intake)
    }
}

/// What has come by inbox and network, as soon as something has, or after a moment nothing.
fn next_arrivals(inbox: &mut Inbox, posts: &mut Posts, outages: &Outages) -> Arrivals {
    let posted = posts.take();
    // whoever has sent waits for an answer, so files do not hold that up, nor the other way
    let wait = if posted.is_empty() { LOOK } else { Duration::ZERO };
    let files = inbox.next(wait).unwrap_or_else(|error| {
        tracing::error!(%error, hint = error.hint(), "the inbox cannot be read; trying again");
        if posted.is_empty() {
            let _ = outages.pause(Duration::from_secs(1));
        }
        Vec::new()
    });
    Arrivals { files, posted }
}
