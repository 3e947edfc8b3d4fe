//! `run`: the service.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

use clap::Args;

use super::code::Code;
use super::{Cli, Failure, open};
use crate::alert;
use crate::config::{Config, Token};
use crate::home::Home;
use crate::outage::{Outages, Part, pauses};
use crate::process::{Arrivals, ProcessError, Service, StandBy, open_if_free, open_when_free, watch_silence};
use crate::trigger::{Bell, Inbox, Intake, Posts, Sources, intake};
use crate::web;

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Where to listen; without a token only loopback addresses are accepted.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

/// How often the service looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(200);

/// How long a process that can do without waits for a database that another has: one that is just ending takes less.
const SOON: Duration = Duration::from_secs(1);

/// So often in a row a database may seem to be damaged, until it is taken to be.
const DAMAGES_MAX: u32 = 3;

/// A home that served for so long was in order; what fails sooner after it was opened is the same outage.
const STEADY: Duration = Duration::from_secs(60);

/// Carries out `run`.
pub fn run(cli: &Cli, args: &RunArgs) -> Result<ExitCode, Failure> {
    super::restore::configuration(cli)?;
    let mut config = open::config(cli)?;
    if let Some(listen) = &args.listen {
        config.file.serve.listen.clone_from(listen);
    }
    // what cannot be served is told before anything changes
    let token = config.token()?;
    web::address(&config.file.serve.listen, token.is_some())?;
    let home = Home::open(&cli.home, "greenstream run")?.placed(&config)?;
    let outages = Arc::default();
    let service = if home.layout().is_shared() {
        open_if_free(&home, &config, &outages, SOON)?
    } else {
        Some(open_when_free(&home, &config, &outages)?)
    };
    serve_until_stopped(cli, Served { home, config, outages }, service, token)
}

/// What is served, and what of it is out of order.
pub struct Served {
    /// The home, with its parts where the configuration has them.
    pub home: Home,
    /// The configuration.
    pub config: Config,
    /// What is out of order, for all that serve it.
    pub outages: Arc<Outages>,
}

impl Served {
    /// What a service has.
    pub fn by(service: &Service) -> Served {
        let (home, config) = (service.home().clone(), service.config().clone());
        Served { home, config, outages: service.outages() }
    }
}

/// Serves a home until Ctrl-C or a termination signal: inbox, uploads, alerts, pages, metrics. What passes
/// (a full disk, a volume that is away) is waited out, whatever part it hits. Without a service another process owns
/// the database, and this one stands by.
pub fn serve_until_stopped(
    cli: &Cli,
    served: Served,
    service: Option<Service>,
    token: Option<Token>,
) -> Result<ExitCode, Failure> {
    let Served { home, config, outages } = &served;
    let signalled = Arc::clone(outages);
    ctrlc::set_handler(move || signalled.stop())
        .map_err(|error| Failure::new(Code::Internal, error, "report it with this message"))?;
    let (door, intake) = Door::new();
    let takes_uploads = token.is_some();
    let sources = Sources::start(home, config, intake.clone(), outages)?;
    let page = web::Server::start(home, &config.file, token, intake, sources.taker(), Arc::clone(outages))?;
    eprintln!("inbox: {}", open::shown(&home.inbox()));
    if let Some(url) = &config.file.inbox.url {
        eprintln!("inbox bucket: {}", crate::text::plain(&url.to_string()));
    }
    for (what, place, usual) in [
        ("landing zone", home.landing_place(), home.landing()),
        ("archive", home.archive_place(), home.archive()),
    ] {
        if place.root() != usual {
            eprintln!("{what}: {place}");
        }
    }
    if takes_uploads {
        eprintln!("uploads: PUT http://{}/v1/uploads/NAME", page.address());
    }
    eprintln!("pages: http://{}   (Ctrl-C stops)", page.address());
    let outcome = serve_through_outages(&served, service, door, &sources);
    page.stop();
    sources.stop();
    let ended = match outcome? {
        Some(mut service) => {
            home.fence().check()?;
            service.finish()?;
            "everything that landed is processed and archived"
        }
        None => "what landed here is the work of the process that owns the database",
    };
    if !cli.json {
        eprintln!("stopped; {ended}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether this process owns the database.
enum Turn {
    Owns(Box<Service>),
    StandsBy,
}

/// Serves, and opens the home anew after what may pass, until told to stop. None where it stood by just then.
fn serve_through_outages(
    Served { home, config, outages }: &Served,
    service: Option<Service>,
    mut door: Door,
    sources: &Sources,
) -> Result<Option<Service>, Failure> {
    let targets = alert::Targets::new(&config.file.alerts);
    let mut pauses = pauses();
    let (mut away, mut damages) = (BTreeSet::new(), 0);
    // a process that can stand by does, and is no outage
    let is_anothers = |failed: &ProcessError| {
        home.layout().is_shared() && failed.is_elsewhere() && home.fence().check().is_ok()
    };
    let turn =
        |service: Option<Service>| service.map_or(Turn::StandsBy, |service| Turn::Owns(Box::new(service)));
    let mut now = turn(service);
    loop {
        let began = Instant::now();
        // a database with work to do says itself when it can be written
        let is_behind = matches!(&now, Turn::Owns(service) if service.is_behind());
        let works = |part: &Part| !(is_behind && *part == Part::Database);
        std::mem::take(&mut away).into_iter().filter(works).for_each(|part| outages.works(part));
        let owns = matches!(now, Turn::Owns(_));
        sources.scan(owns);
        if owns && home.layout().is_shared() {
            tracing::info!("this process owns {}", home.database());
        }
        let outcome = match now {
            Turn::Owns(mut service) => match serve(&mut service, &mut door, &targets, outages) {
                Ok(()) => return Ok(Some(*service)),
                Err(error) => Err(error),
            },
            Turn::StandsBy => stand_by(home, config, &mut door, &targets, outages),
        };
        let mut failed = match outcome {
            Ok(None) => return Ok(None),
            Ok(owned) => {
                now = turn(owned);
                continue;
            }
            Err(error) => error,
        };
        if is_anothers(&failed) {
            now = Turn::StandsBy;
            continue;
        }
        if began.elapsed() > STEADY {
            (pauses, damages) = (crate::outage::pauses(), 0);
        }
        now = loop {
            failed = failed.or_unreadable(home.database());
            // a disk that has just come back may have spoiled the last answer
            damages += u32::from(failed.is_damage());
            let may_pass = failed.is_transient() || failed.is_damage() && damages < DAMAGES_MAX;
            if !may_pass || outages.is_stopping() {
                return Err(failed.into());
            }
            outages.fail(failed.part(), open::with_causes(&failed), &failed.hint());
            away.insert(failed.part());
            if let Err(problem) = targets.send_directly(outages) {
                tracing::error!("{problem}; it is tried again");
            }
            if !pauses.next().is_some_and(|pause| outages.pause(pause)) {
                return Err(failed.into());
            }
            match Service::open_telling(home.clone(), config.clone(), Arc::clone(outages)) {
                Ok(service) => break Turn::Owns(Box::new(service)),
                Err(error) if is_anothers(&error) => break Turn::StandsBy,
                Err(error) => failed = error,
            }
        };
    }
}

/// Lands what comes until this process may own the database; none where it is to stop.
fn stand_by(
    home: &Home,
    config: &Config,
    door: &mut Door,
    targets: &alert::Targets,
    outages: &Arc<Outages>,
) -> Result<Option<Service>, ProcessError> {
    tracing::warn!("standing by: what comes here lands, and the process that owns the database works on it");
    // whatever was out of order with them is its owner's to tell from now on
    [Part::Database, Part::Archive].into_iter().for_each(|part| outages.works(part));
    let (tell, told) = mpsc::channel();
    let (waiting, judged_by, hears) = (home.clone(), config.clone(), Arc::clone(outages));
    // nobody waits for its end, and nobody may hear it any more
    let wait = move || drop(tell.send(open_when_free(&waiting, &judged_by, &hears)));
    let named = std::thread::Builder::new().name("wait".to_owned()).spawn(wait);
    named.map_err(|source| ProcessError::Io { path: home.folder().to_owned(), source })?;
    let mut inbox = Inbox::watch(&home.inbox());
    inbox.hang(&door.bell);
    let mut opened = None;
    StandBy::open(home.clone(), config.clone(), Arc::clone(outages))?.serve(&mut || {
        let ended = || Err(ProcessError::Internal("nobody waits for the database any more".to_owned()));
        opened = match told.try_recv() {
            Err(TryRecvError::Empty) => None,
            received => Some(received.unwrap_or_else(|_| ended())),
        };
        if opened.is_some() || outages.is_stopping() || home.fence().check().is_err() {
            return None;
        }
        if let Err(problem) = targets.send_directly(outages) {
            tracing::debug!("{problem}; it is tried again");
        }
        Some(next_arrivals(&mut inbox, &mut door.posts, outages))
    })?;
    home.fence().check()?;
    opened.transpose()
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
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (over, store) = (&over, &store);
        scope.spawn(move || watch_silence(store, over));
        scope.spawn(move || alert::run(targets, store, outages, over));
        let outcome = service.serve(&mut || {
            // who has lost the home stops even with nothing to do; finishing says so
            let stops = outages.is_stopping() || fence.check().is_err();
            (!stops).then(|| next_arrivals(&mut inbox, &mut door.posts, outages))
        });
        over.store(true, Ordering::SeqCst);
        outcome
    })
}

/// Where uploads come in over the network; it outlives a home that is opened anew.
struct Door {
    posts: Posts,
    /// Rings in the inbox that is watched just now.
    bell: Bell,
}

impl Door {
    fn new() -> (Door, Intake) {
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
