//! `run`: the service.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::code::Code;
use super::{Cli, Failure, open};
use crate::alert;
use crate::process::{Service, watch_silence};
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

/// Carries out `run`.
pub fn run(cli: &Cli, args: &RunArgs) -> Result<ExitCode, Failure> {
    super::restore::configuration(cli)?;
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

/// Serves a home until Ctrl-C or a termination signal: inbox, alerts, pages, metrics.
pub fn serve_until_stopped(cli: &Cli, mut service: Service) -> Result<ExitCode, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let signalled = Arc::clone(&stop);
    ctrlc::set_handler(move || signalled.store(true, Ordering::SeqCst))
        .map_err(|error| Failure::new(Code::Internal, error, "report it with this message"))?;
    let inbox_folder = service.home().inbox();
    let mut inbox = Inbox::watch(&inbox_folder).map_err(Failure::from)?;
    let page = web::Server::start(service.home(), &service.config().file.serve)?;
    eprintln!("inbox: {}", open::shown(&inbox_folder));
    eprintln!("pages: http://{}   (Ctrl-C stops)", page.address());
    let targets = alert::Targets::new(&service.config().file.alerts);
    let store = service.store();
    let outcome = std::thread::scope(|scope| {
        let stop = &stop;
        let watched = Arc::clone(&store);
        scope.spawn(move || watch_silence(&watched, stop));
        scope.spawn(move || alert::run(&targets, &store, stop));
        let outcome = service.serve(&mut || {
            loop {
                if stop.load(Ordering::SeqCst) {
                    return None;
                }
                match inbox.next(LOOK) {
                    Ok(files) if files.is_empty() => {}
                    Ok(files) => return Some(files),
                    Err(error) => {
                        tracing::error!(%error, hint = error.hint(), "the inbox cannot be read; trying again");
                        std::thread::sleep(Duration::from_secs(1));
                    }
                }
            }
        });
        stop.store(true, Ordering::SeqCst);
        outcome
    });
    page.stop();
    outcome?;
    service.finish()?;
    if !cli.json {
        eprintln!("stopped; everything that landed is processed and archived");
    }
    Ok(ExitCode::SUCCESS)
}
