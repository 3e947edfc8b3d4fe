//! A process that stands by: another owns the database. Where landing zone and database are shared, it lands what
//! comes to it all the same, and the owner works on that.
//!
//! The journal in a bucket decides between all who land (`landing/remote.rs`), so an upload has landed whoever took
//! it. What the journal does not hold, that known bytes came again, goes into the database beside its owner: it
//! belongs to no entry, and nothing is judged by it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenstream_core::Ts;

use super::error::{ProcessError, with_causes};
use super::lander::Lander;
use super::onward::Onward;
use super::posted::Arrivals;
use super::service::Service;
use crate::config::{Config, Rules};
use crate::home::Home;
use crate::landing::Landing;
use crate::outage::{Outages, Part, pauses};
use crate::store::{Database, Server, Store, UploadStatus};

/// Deliveries that wait for the database; with more of them nothing lands.
const DELIVERIES_MAX: usize = 65_536;
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
}

impl StandBy {
    /// Opens the landing zone of a home that [is shared](crate::home::Layout::is_shared), beside its owner.
    ///
    /// # Errors
    /// The landing zone's own.
    pub fn open(home: Home, config: Config, outages: Arc<Outages>) -> Result<StandBy, ProcessError> {
        home.fence().check()?;
        let Database::Server(server) = home.database().clone() else {
            return Err(ProcessError::Internal(
                "a file has one owner, and nobody lands beside it".to_owned(),
            ));
        };
        let rules = config.rulebook.compile()?;
        let mut landing = Landing::open(home.landing_place().clone())?;
        landing.fenced_by(home.fence());
        Ok(StandBy { home, config, rules, landing, server, outages })
    }

    /// Lands what `next` gives until it gives none. It should give nothing rather than wait for long.
    ///
    /// Nothing lands while the owner judges by another configuration, for that decides how a file is read.
    ///
    /// # Errors
    /// The first that waiting does not mend by itself.
    pub fn serve(&mut self, next: &mut dyn FnMut() -> Option<Arrivals>) -> Result<(), ProcessError> {
        let onward = ToOwner::new(Arc::clone(&self.server), &self.outages);
        let (layout, rules) = (self.home.layout(), (&self.rules, &self.config));
        let mut lander = Lander::new(&mut self.landing, layout, rules, &self.outages, onward);
        let mine = self.config.rulebook.to_json();
        while let Some(arrivals) = next() {
            lander.take_in_others()?;
            match lander.landing.configuration() {
                _ if lander.onward.deliveries.len() > DELIVERIES_MAX => {
                    // tried even where nothing lands
                    lander.onward.record();
                    let problem = "too many deliveries of known bytes wait for the database";
                    lander.refuse(arrivals, problem, "come again when the database is back");
                }
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
        let ToOwner { deliveries, server, .. } = lander.onward;
        if !deliveries.is_empty() && Store::deliver_beside(&server, &Vec::from(deliveries)).is_err() {
            tracing::warn!("deliveries of known bytes that waited for the database are not recorded");
        }
        Ok(())
    }
}

/// Opens a home as soon as no other process has its database. What is judged by an older configuration than this
/// one is judged anew.
///
/// # Errors
/// As [`Service::open`]; never that another process has the database.
pub fn open_when_free(home: &Home, config: &Config, outages: &Arc<Outages>) -> Result<Service, ProcessError> {
    let mut is_told = false;
    loop {
        if let Some(service) = open_if_free(home, config, outages, WAIT)? {
            return Ok(service);
        }
        home.fence().check()?;
        if !std::mem::replace(&mut is_told, true) {
            tracing::warn!("another process owns {}; waiting for it to end", home.database());
        }
    }
}

/// As [`open_when_free`], or none where another process has the database for as long as `wait`.
///
/// # Errors
/// As there.
pub fn open_if_free(
    home: &Home,
    config: &Config,
    outages: &Arc<Outages>,
    wait: Duration,
) -> Result<Option<Service>, ProcessError> {
    let opened = Store::wait_until_free(home.database(), wait)
        .map_err(ProcessError::from)
        // only now, for that reads the whole journal
        .and_then(|()| Service::open_telling(home.clone(), config.clone(), Arc::clone(outages)))
        .and_then(|service| match service.configuration_notice()? {
            Some(_) => {
                tracing::info!(
                    "the configuration has changed: judging everything again before taking new files"
                );
                service.rejudge()
            }
            None => Ok(service),
        });
    match opened {
        Err(ProcessError::Store(error)) if error.is_held() => Ok(None),
        opened => opened.map(Some),
    }
}

/// To the owner, who reads the journal. Deliveries of known bytes go into its database.
struct ToOwner<'a> {
    server: Arc<Server>,
    outages: &'a Outages,
    deliveries: VecDeque<(u32, String, Ts)>,
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    again: Instant,
}

impl ToOwner<'_> {
    fn new(server: Arc<Server>, outages: &Outages) -> ToOwner<'_> {
        let pauses = Box::new(pauses());
        ToOwner { server, outages, deliveries: VecDeque::new(), pauses, again: Instant::now() }
    }

    /// Writes what waits into the database; what it does not take is tried again after growing pauses.
    fn record(&mut self) {
        if self.deliveries.is_empty() || Instant::now() < self.again {
            return;
        }
        match Store::deliver_beside(&self.server, self.deliveries.make_contiguous()) {
            Ok(()) => {
                self.deliveries.clear();
                self.pauses = Box::new(pauses());
                self.outages.works(Part::Database);
            }
            Err(error) => {
                self.outages.fail(Part::Database, with_causes(&error), error.hint());
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
        self.deliveries.push_back((upload, name, at));
        Ok(())
    }

    /// None also while the owner has not come to the upload.
    fn is_dead(&self, upload: u32) -> Result<Option<bool>, ProcessError> {
        let read = Store::reader(Database::Server(Arc::clone(&self.server)))
            .and_then(|reader| reader.upload(upload));
        let Ok(row) = read else { return Ok(None) };
        Ok(match row.map(|row| row.status) {
            Some(UploadStatus::Done) => Some(false),
            Some(UploadStatus::Dead) => Some(true),
            Some(UploadStatus::Landed | UploadStatus::Processing) | None => None,
        })
    }
}
