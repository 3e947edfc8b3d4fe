//! `run`: the service.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::code::Code;
use super::{Cli, Failure, open};
use crate::config::{Config, Token};
use crate::home::Home;
use crate::outage::{Outages, Part};
use crate::process::{ProcessError, Service, Unrecorded, open_judged, open_when_free};
use crate::store::Database;
use crate::trigger::Sources;
use crate::web;

mod turns;

use turns::{Door, Turn, serve_through_outages};

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Where to listen; without a token only loopback addresses are accepted.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

/// How long a process that can do without waits for a database that another has: one that is just ending takes less.
const SOON: Duration = Duration::from_secs(1);

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
    let is_shared = home.layout().is_shared();
    let first = if is_shared {
        open_judged(&home, &config, &outages, SOON, None)
    } else {
        open_when_free(&home, &config, &outages)
    };
    let first = match first {
        Ok(service) => First::owned(service),
        Err(error) if is_shared && error.is_elsewhere() => First::Turn(Turn::StandsBy),
        // what comes lands meanwhile
        Err(error) if is_shared && error.part() != Part::Landing && is_away(&home, &error) => {
            outages.fail(error.part(), open::with_causes(&error), &error.hint());
            First::Turn(Turn::StandsBy)
        }
        Err(error) if is_away(&home, &error) => First::Failed(error),
        Err(error) => return Err(error.into()),
    };
    serve_until_stopped(cli, Served { home, config, outages, unrecorded: Arc::default() }, first, token)
}

/// What is served, and what of it is out of order.
#[derive(Clone)]
pub struct Served {
    /// The home, with its parts where the configuration has them.
    pub home: Home,
    /// The configuration.
    pub config: Config,
    /// What is out of order, for all that serve it.
    pub outages: Arc<Outages>,
    /// What is to be recorded, whoever does.
    pub unrecorded: Arc<Unrecorded>,
}

impl Served {
    /// What a service has.
    pub fn by(service: &Service) -> Served {
        let (home, config) = (service.home().clone(), service.config().clone());
        Served { home, config, outages: service.outages(), unrecorded: Arc::default() }
    }
}

/// Serves a home until Ctrl-C or a termination signal: inbox, uploads, alerts, pages, metrics. What passes
/// (a full disk, a volume that is away) is waited out, whatever part it hits, also at the start.
pub fn serve_until_stopped(
    cli: &Cli,
    served: Served,
    first: First,
    token: Option<Token>,
) -> Result<ExitCode, Failure> {
    let Served { home, config, outages, unrecorded } = &served;
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
    let outcome = serve_through_outages(&served, first, door, &sources);
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
    let left = unrecorded.count();
    if left > 0 {
        tracing::warn!(left, "deliveries of known bytes waited for the database and are not recorded");
    }
    if !cli.json {
        eprintln!("stopped; {ended}");
    }
    Ok(ExitCode::SUCCESS)
}

/// How a home was found that is to be served.
pub enum First {
    /// In order.
    Turn(Turn),
    /// With something out of order that may pass.
    Failed(ProcessError),
}

impl First {
    /// In order, and this process's.
    pub fn owned(service: Service) -> First {
        First::Turn(Turn::owned(service))
    }
}

/// Whether a part that is asked over the network cannot be used just now: it comes back without anybody's help, which
/// nobody knows of a folder, or of a server that does not let us in.
fn is_away(home: &Home, failed: &ProcessError) -> bool {
    let is_remote = match failed.part() {
        Part::Database => matches!(home.database(), Database::Server(_)),
        Part::Landing => home.landing_place().bucket().is_some(),
        Part::Archive => home.archive_place().bucket().is_some(),
        Part::Inbox => false,
    };
    is_remote && failed.is_transient() && !failed.asks_for_settings()
}
