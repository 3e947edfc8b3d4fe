//! `run`: the service.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::code::Code;
use super::{Cli, Failure, open};
use crate::alert;
use crate::config::Token;
use crate::process::{Arrivals, Service, watch_silence};
use crate::trigger::Inbox;
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

/// Carries out `run`.
pub fn run(cli: &Cli, args: &RunArgs) -> Result<ExitCode, Failure> {
    let mut config = open::config(cli)?;
    if let Some(listen) = &args.listen {
        config.file.serve.listen.clone_from(listen);
    }
    // what cannot be served is told before anything changes
    let token = config.token()?;
    web::address(&config.file.serve.listen, token.is_some())?;
    let home = crate::home::Home::open(&cli.home, "greenstream run")?;
    let service = Service::open(home, config)?;
    let service = if service.configuration_notice()?.is_some() {
        tracing::info!("the configuration has changed: judging everything again before taking new files");
        service.rejudge()?
    } else {
        service
    };
    serve_until_stopped(cli, service, token)
}

/// Serves a home until Ctrl-C or a termination signal: inbox, uploads, alerts, pages, metrics.
pub fn serve_until_stopped(
    cli: &Cli,
    mut service: Service,
    token: Option<Token>,
) -> Result<ExitCode, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let signalled = Arc::clone(&stop);
    ctrlc::set_handler(move || signalled.store(true, Ordering::SeqCst))
        .map_err(|error| Failure::new(Code::Internal, error, "report it with this message"))?;
    let inbox_folder = service.home().inbox();
    let mut inbox = Inbox::watch(&inbox_folder).map_err(Failure::from)?;
    let (intake, mut posts) = web::intake(inbox.bell());
    let takes_uploads = token.is_some();
    let page = web::Server::start(service.home(), &service.config().file, token, intake)?;
    eprintln!("inbox: {}", open::shown(&inbox_folder));
    if takes_uploads {
        eprintln!("uploads: PUT http://{}/v1/uploads/NAME", page.address());
    }
    eprintln!("pages: http://{}   (Ctrl-C stops)", page.address());
    let targets = alert::Targets::new(&service.config().file.alerts);
    let store = service.store();
    let outcome = std::thread::scope(|scope| {
        let stop = &stop;
        let watched = Arc::clone(&store);
        scope.spawn(move || watch_silence(&watched, stop));
        scope.spawn(move || alert::run(&targets, &store, stop));
        let outcome =
            service.serve(&mut || next_arrivals(&mut inbox, &mut posts, &|| stop.load(Ordering::SeqCst)));
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

/// What has come by either door, as soon as something has; none once the service is to stop.
fn next_arrivals(inbox: &mut Inbox, posts: &mut web::Posts, stopped: &dyn Fn() -> bool) -> Option<Arrivals> {
    loop {
        if stopped() {
            return None;
        }
        let posted = posts.take();
        // whoever has sent waits for an answer, so files do not hold that up, nor the other way
        let wait = if posted.is_empty() { LOOK } else { Duration::ZERO };
        let files = inbox.next(wait).unwrap_or_else(|error| {
            tracing::error!(%error, hint = error.hint(), "the inbox cannot be read; trying again");
            if posted.is_empty() {
                std::thread::sleep(Duration::from_secs(1));
            }
            Vec::new()
        });
        if !(files.is_empty() && posted.is_empty()) {
            return Some(Arrivals { files, posted });
        }
    }
}
