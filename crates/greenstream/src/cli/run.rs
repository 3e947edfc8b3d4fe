//! `run`: the service.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::code::Code;
use super::{Cli, Failure, open};
use crate::alert;
use crate::outage::{Outages, pauses};
use crate::process::{ProcessError, Service, watch_silence};
use crate::trigger::Inbox;
use crate::web;

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Where to listen; only loopback addresses are accepted.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

/// How often the service looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(200);

/// So often in a row a database may seem to be damaged, until it is taken to be.
const DAMAGES_MAX: u32 = 3;

/// Carries out `run`.
pub fn run(cli: &Cli, args: &RunArgs) -> Result<ExitCode, Failure> {
    let mut config = open::config(cli)?;
    if let Some(listen) = &args.listen {
        config.file.serve.listen.clone_from(listen);
    }
    let home = crate::home::Home::open(&cli.home, "greenstream run")?;
    let service = Service::open(home, config)?;
    let service = if service.configuration_notice()?.is_some() {
        tracing::info!("the configuration has changed: judging everything again before taking new files");
        service.rejudge()?
    } else {
        service
    };
    serve_until_stopped(cli, service)
}

/// Serves a home until Ctrl-C or a termination signal: inbox, alerts, pages, metrics. What passes (a full disk,
/// a volume that is away) is waited out, whatever part it hits.
pub fn serve_until_stopped(cli: &Cli, service: Service) -> Result<ExitCode, Failure> {
    let outages = service.outages();
    let signalled = Arc::clone(&outages);
    ctrlc::set_handler(move || signalled.stop())
        .map_err(|error| Failure::new(Code::Internal, error, "report it with this message"))?;
    let page = web::Server::start(service.home(), &service.config().file.serve, Arc::clone(&outages))?;
    eprintln!("inbox: {}", open::shown(&service.home().inbox()));
    eprintln!("pages: http://{}   (Ctrl-C stops)", page.address());
    let outcome = serve_through_outages(service, &outages);
    page.stop();
    let mut service = outcome?;
    service.home().fence().check()?;
    service.finish()?;
    if !cli.json {
        eprintln!("stopped; everything that landed is processed and archived");
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves, and opens the home anew after what may pass, until told to stop.
fn serve_through_outages(mut service: Service, outages: &Arc<Outages>) -> Result<Service, Failure> {
    let targets = alert::Targets::new(&service.config().file.alerts);
    let mut pauses = pauses();
    let (mut away, mut damages) = (None, 0);
    loop {
        let (home, config) = (service.home().clone(), service.config().clone());
        let outcome = service.catch_up().and_then(|()| {
            if let Some(part) = away.take() {
                outages.works(part);
                (pauses, damages) = (crate::outage::pauses(), 0);
            }
            serve(&mut service, &targets, outages)
        });
        let mut failed = match outcome {
            Ok(()) => return Ok(service),
            Err(error) => error,
        };
        drop(service);
        service = loop {
            failed = failed.or_unreadable(&home.database());
            // a disk that has just come back may have spoiled the last answer
            damages += u32::from(failed.is_damage());
            let may_pass = failed.is_transient() || failed.is_damage() && damages < DAMAGES_MAX;
            if !may_pass || outages.is_stopping() {
                return Err(failed.into());
            }
            outages.fail(failed.part(), open::with_causes(&failed), &failed.hint());
            away = Some(failed.part());
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
fn serve(service: &mut Service, targets: &alert::Targets, outages: &Outages) -> Result<(), ProcessError> {
    let mut inbox = Inbox::watch(&service.home().inbox())?;
    let (store, fence) = (service.store(), service.home().fence());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (over, store) = (&over, &store);
        scope.spawn(move || watch_silence(store, over));
        scope.spawn(move || alert::run(targets, store, outages, over));
        let outcome = service.serve(&mut || {
            // who has lost the home stops even with nothing to do; finishing says so
            if outages.is_stopping() || fence.check().is_err() {
                return None;
            }
            Some(inbox.next(LOOK).unwrap_or_else(|error| {
                tracing::error!(%error, hint = error.hint(), "the inbox cannot be read; trying again");
                let _ = outages.pause(Duration::from_secs(1));
                Vec::new()
            }))
        });
        over.store(true, Ordering::SeqCst);
        outcome
    })
}
