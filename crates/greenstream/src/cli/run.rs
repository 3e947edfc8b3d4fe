//! `run`: the service.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use super::code::Code;
use super::{Cli, Failure, open};
use crate::alert;
use crate::config::{Config, Token};
use crate::home::Home;
use crate::outage::{Outages, Part, pauses};
use crate::process::{Arrivals, ProcessError, Service, watch_silence};
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
    let home = Home::open(&cli.home, "greenstream run")?;
    let service = open_when_free(&home, &config)?;
    let service = if service.configuration_notice()?.is_some() {
        tracing::info!("the configuration has changed: judging everything again before taking new files");
        service.rejudge()?
    } else {
        service
    };
    serve_until_stopped(cli, service, token)
}

/// Opens a home as soon as no other process has its database: a second machine stands by until the first is
/// gone.
fn open_when_free(home: &Home, config: &Config) -> Result<Service, ProcessError> {
    let mut is_told = false;
    loop {
        match Service::open(home.clone(), config.clone()) {
            Err(ProcessError::Store(error)) if error.is_held() => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!("{}; waiting for it to end", open::with_causes(&error));
                }
            }
            opened => return opened,
        }
    }
}

/// Serves a home until Ctrl-C or a termination signal: inbox, uploads, alerts, pages, metrics. What passes
/// (a full disk, a volume that is away) is waited out, whatever part it hits.
pub fn serve_until_stopped(cli: &Cli, service: Service, token: Option<Token>) -> Result<ExitCode, Failure> {
    let outages = service.outages();
    let signalled = Arc::clone(&outages);
    ctrlc::set_handler(move || signalled.stop())
        .map_err(|error| Failure::new(Code::Internal, error, "report it with this message"))?;
    let (door, intake) = Door::new();
    let takes_uploads = token.is_some();
    let sources = Sources::start(service.home(), service.config(), intake.clone(), &outages)?;
    let (file, taker) = (&service.config().file, sources.taker());
    let page = web::Server::start(service.home(), file, token, intake, taker, Arc::clone(&outages))?;
    eprintln!("inbox: {}", open::shown(&service.home().inbox()));
    if let Some(url) = &service.config().file.inbox.url {
        eprintln!("inbox bucket: {}", crate::text::plain(&url.to_string()));
    }
    let home = service.home();
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
    let outcome = serve_through_outages(service, door, &outages);
    page.stop();
    sources.stop();
    let mut service = outcome?;
    service.home().fence().check()?;
    service.finish()?;
    if !cli.json {
        eprintln!("stopped; everything that landed is processed and archived");
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves, and opens the home anew after what may pass, until told to stop.
fn serve_through_outages(
    mut service: Service,
    mut door: Door,
    outages: &Arc<Outages>,
) -> Result<Service, Failure> {
    let targets = alert::Targets::new(&service.config().file.alerts);
    let mut pauses = pauses();
    let (mut away, mut damages) = (BTreeSet::new(), 0);
    loop {
        let (home, config) = (service.home().clone(), service.config().clone());
        let began = Instant::now();
        // a database with work to do says itself when it can be written
        let is_behind = service.is_behind();
        let works = |part: &Part| !(is_behind && *part == Part::Database);
        std::mem::take(&mut away).into_iter().filter(works).for_each(|part| outages.works(part));
        let outcome = serve(&mut service, &mut door, &targets, outages);
        let mut failed = match outcome {
            Ok(()) => return Ok(service),
            Err(error) => error,
        };
        drop(service);
        if began.elapsed() > STEADY {
            (pauses, damages) = (crate::outage::pauses(), 0);
        }
        service = loop {
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
                Ok(service) => break service,
                Err(error) => failed = error,
            }
        };
    }
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
