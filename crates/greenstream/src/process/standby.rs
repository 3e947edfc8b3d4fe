//! A process that stands by: another owns the database. Where landing zone and database are shared, it lands what
//! comes to it all the same, and the owner works on that.
//!
//! The journal in a bucket decides between all who land (`landing/remote.rs`), so an upload has landed whoever took
//! it. What the journal does not hold, that known bytes came again, goes into the database beside its owner: it
//! belongs to no entry, and nothing is judged by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use greenstream_core::Ts;

use super::error::{ProcessError, with_causes};
use super::lander::Lander;
use super::onward::Onward;
use super::posted::Arrivals;
use super::service::Service;
use super::unrecorded::Unrecorded;
use crate::config::{Config, Rules};
use crate::home::Home;
use crate::landing::Landing;
use crate::outage::{Outages, Part, pauses};
use crate::store::{Database, Server, Store, UploadStatus};

/// Deliveries that wait for the database; with more of them nothing lands.
const DELIVERIES_MAX: usize = 4_096;
/// How long one look for the owner takes; then it is begun anew, over another connection.
const WAIT: Duration = Duration::from_secs(10);

/// See the module.
pub struct StandBy {
    home: Home,
    config: Config,
    rules: Rules,
    landing: Landing,
    server: Arc<Server>,
    outages: Arc<Outages>,
    unrecorded: Arc<Unrecorded>,
}

impl StandBy {
    /// Opens the landing zone of a home that [is shared](crate::home::Layout::is_shared), beside its owner.
    ///
    /// # Errors
    /// The landing zone's own.
    pub fn open(
        home: Home,
        config: Config,
        outages: Arc<Outages>,
        unrecorded: Arc<Unrecorded>,
    ) -> Result<StandBy, ProcessError> {
        home.fence().check()?;
        let Database::Server(server) = home.database().clone() else {
            return Err(ProcessError::Internal(
                "a file has one owner, and nobody lands beside it".to_owned(),
            ));
        };
        let rules = config.rulebook.compile()?;
        let mut landing = Landing::open(home.landing_place().clone())?;
        landing.fenced_by(home.fence());
        Ok(StandBy { home, config, rules, landing, server, outages, unrecorded })
    }

    /// The version of the configuration that the journal has.
    #[must_use]
    pub fn configuration_version(&self) -> u32 {
        self.landing.configuration_version()
    }

    /// Lands what `next` gives until it gives none. It should give nothing rather than wait for long.
    ///
    /// Nothing lands while the owner judges by another configuration, for that decides how a file is read.
    ///
    /// # Errors
    /// The first that waiting does not mend by itself.
    pub fn serve(&mut self, next: &mut dyn FnMut() -> Option<Arrivals>) -> Result<(), ProcessError> {
        let onward = ToOwner::new(&self.server, &self.unrecorded);
        let (layout, rules) = (self.home.layout(), (&self.rules, &self.config));
        let mut lander = Lander::new(&mut self.landing, layout, rules, &self.outages, onward);
        let mine = self.config.rulebook.to_json();
        while let Some(arrivals) = next() {
            lander.take_in_others()?;
            // also where nothing lands
            lander.onward.record();
            match lander.landing.configuration() {
                _ if lander.onward.unrecorded.count() > DELIVERIES_MAX => lander.refuse(
                    arrivals,
                    "too many deliveries of known bytes wait for the database",
                    "come again when the database is back",
                ),
                Some(held) if held.content == mine => lander.take(arrivals)?,
                Some(_) => lander.refuse(
                    arrivals,
                    "the process that owns the database judges by another configuration than this one, which stands by",
                    "give both the same configuration and start the one again that has the older",
                ),
                None => lander.refuse(
                    arrivals,
                    "the process that owns the database has not begun the journal yet",
                    "come again in a moment",
                ),
            }
        }
        lander.onward.again = Instant::now();
        lander.onward.record();
        Ok(())
    }
}

/// Opens a home as soon as no other process has its database.
///
/// # Errors
/// As [`open_judged`]; that another process has the database only where the service is to stop.
pub fn open_when_free(home: &Home, config: &Config, outages: &Arc<Outages>) -> Result<Service, ProcessError> {
    let mut is_told = false;
    loop {
        match open_judged(home, config, outages, WAIT, None) {
            Err(error) if error.is_held() && !outages.is_stopping() => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!("{}; waiting for it to end", with_causes(&error));
                }
            }
            opened => return opened,
        }
    }
}

/// Waits for the database through whatever passes, while this process stands by; none once that is over. `since` is
/// the version of the configuration that this process knows of, and `tell` is called now and then.
///
/// # Errors
/// As [`open_judged`], of those that waiting does not mend.
pub fn wait_for_turn(
    (home, config, outages): (&Home, &Config, &Arc<Outages>),
    since: u32,
    is_over: &AtomicBool,
    tell: &dyn Fn(),
) -> Result<Option<Service>, ProcessError> {
    let (mut pauses, mut is_told) = (pauses(), false);
    while !is_over.load(Ordering::SeqCst) && !outages.is_stopping() {
        tell();
        let pause = match open_judged(home, config, outages, WAIT, Some(since)) {
            Ok(service) => {
                outages.works(Part::Database);
                return Ok(Some(service));
            }
            Err(error) if error.is_elsewhere() => {
                outages.works(Part::Database);
                pauses = crate::outage::pauses();
                continue;
            }
            Err(error @ ProcessError::Superseded { .. }) => {
                outages.works(Part::Database);
                if !std::mem::replace(&mut is_told, true) {
                    tracing::error!(hint = error.hint(), "this process does not take the database: {error}");
                }
                WAIT
            }
            Err(error) if error.is_transient() => {
                outages.fail(error.part(), with_causes(&error), &error.hint());
                pauses.next().unwrap_or(WAIT)
            }
            Err(error) => return Err(error),
        };
        let _ = outages.pause(pause);
    }
    Ok(None)
}

/// Opens a home where no other process has its database for as long as `wait`, and judges everything anew where the
/// database was judged by an older configuration. A configuration that came after version `since` holds.
///
/// # Errors
/// As [`Service::open_since`].
pub fn open_judged(
    home: &Home,
    config: &Config,
    outages: &Arc<Outages>,
    wait: Duration,
    since: Option<u32>,
) -> Result<Service, ProcessError> {
    Store::refuse_newer(home.database())?;
    Store::wait_until_free(home.database(), wait)?;
    // only now, for that reads the whole journal
    let service = Service::open_since(home.clone(), config.clone(), Arc::clone(outages), since)?;
    if service.configuration_notice()?.is_none() {
        return Ok(service);
    }
    tracing::info!("the configuration has changed: judging everything again before taking new files");
    service.rejudge()
}

/// To the owner, who reads the journal. Deliveries of known bytes go into its database.
struct ToOwner<'a> {
    server: &'a Arc<Server>,
    unrecorded: &'a Unrecorded,
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    again: Instant,
}

impl<'a> ToOwner<'a> {
    fn new(server: &'a Arc<Server>, unrecorded: &'a Unrecorded) -> ToOwner<'a> {
        ToOwner { server, unrecorded, pauses: Box::new(pauses()), again: Instant::now() }
    }

    /// Writes what waits into the database, if it is time to; what it does not take is tried again after growing
    /// pauses. Whoever waits for the database tells that it is away.
    fn record(&mut self) {
        if self.unrecorded.count() == 0 || Instant::now() < self.again {
            return;
        }
        let waiting = self.unrecorded.all();
        match Store::deliver_beside(self.server, &waiting) {
            Ok(()) => {
                self.unrecorded.recorded(&waiting);
                self.pauses = Box::new(pauses());
            }
            Err(error) => {
                tracing::debug!("deliveries wait for the database: {}", with_causes(&error));
                self.again = Instant::now() + self.pauses.next().unwrap_or_default();
            }
        }
    }
}

impl Onward for ToOwner<'_> {
    fn entries(&mut self, _: &Landing) -> Result<(), ProcessError> {
        self.record();
        Ok(())
    }

    fn delivery(&mut self, upload: u32, name: String, at: Ts) -> Result<(), ProcessError> {
        self.unrecorded.add((upload, name, at));
        Ok(())
    }

    /// None also while the owner has not come to the upload.
    fn is_dead(&self, upload: u32) -> Result<Option<bool>, ProcessError> {
        let read =
            Store::reader(Database::Server(Arc::clone(self.server))).and_then(|reader| reader.upload(upload));
        let Ok(row) = read else { return Ok(None) };
        Ok(match row.map(|row| row.status) {
            Some(UploadStatus::Done) => Some(false),
            Some(UploadStatus::Dead) => Some(true),
            Some(UploadStatus::Landed | UploadStatus::Processing) | None => None,
        })
    }
}
