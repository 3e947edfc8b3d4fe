//! One home with all its parts open: lands files, processes what the journal holds, decides, and
//! leaves the archive in order.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::archivist::Archivist;
use super::attempts::{ATTEMPTS_MAX, Attempts, CAREFUL_FROM};
use super::committed::Committed;
use super::error::ProcessError;
use super::job::Job;
use super::judging::Judging;
use super::lander::{Given, Lander, Note, groups};
use super::onward::ToPipeline;
use super::past::Past;
use super::pipeline::Pipeline;
use super::posted::Arrivals;
use super::prepare::Preparer;
use super::progress::Progress;
use super::silence;
use super::texts::Library;
use super::unrecorded::Unrecorded;
use super::writer::Writer;
use crate::alert::Targets;
use crate::clock;
use crate::config::{Config, Rulebook, Rules};
use crate::home::Home;
use crate::landing::{Body, ConfigurationBody, DecisionBody, Landing, RetryBody, Source, name_of};
use crate::objects::Place;
use crate::outage::{Outages, Part};
use crate::queue::Queue;
use crate::store::{Log, Store};

/// Journal entries that wait for a decoder.
const JOBS_WAITING: usize = 4_096;

/// Everything that one process needs to own and serve a home.
pub struct Service {
    home: Home,
    config: Config,
    rules: Arc<Rules>,
    landing: Landing,
    preparer: Preparer,
    judging: Judging,
    store: Arc<Mutex<Store>>,
    writer: Writer,
    log: Log,
    archivist: Archivist,
    committed: Arc<Committed>,
    progress: Arc<Progress>,
    outages: Arc<Outages>,
    unrecorded: Arc<Unrecorded>,
}

/// What lands where the owner does.
type OwnLander<'a> = Lander<'a, ToPipeline<'a>>;

/// What becomes of what people should hear of.
#[derive(Default)]
pub(super) struct Telling {
    /// Whether alerts are raised.
    pub(super) raising: bool,
    /// What is out of order.
    pub(super) outages: Arc<Outages>,
}

impl Service {
    /// Opens all parts of a home under a configuration, which is written to the journal if it is new.
    ///
    /// # Errors
    /// The parts' own; [`ProcessError::Internal`] where the database is ahead of the journal.
    pub fn open(home: Home, config: Config) -> Result<Service, ProcessError> {
        Service::open_telling(home, config, Arc::default())
    }

    /// As [`Service::open`], where others know what is out of order already.
    ///
    /// # Errors
    /// As there.
    pub fn open_telling(home: Home, config: Config, outages: Arc<Outages>) -> Result<Service, ProcessError> {
        Service::open_since(home, config, outages, None)
    }

    /// As [`Service::open_telling`] for a process that knows the journal's configuration as of a version: one that
    /// another process has brought since holds, and this one's must be the same.
    ///
    /// # Errors
    /// As there; [`ProcessError::Superseded`].
    pub fn open_since(
        home: Home,
        config: Config,
        outages: Arc<Outages>,
        version: Option<u32>,
    ) -> Result<Service, ProcessError> {
        // also after an outage, in which another process may have taken the home over
        home.fence().check()?;
        let home = home.placed(&config)?;
        Store::refuse_newer(home.database())?;
        let is_file = home.database().file().is_some();
        if is_file {
            // on a full volume there may be no room for anything else
            super::rebuild::clear_leftovers(&home)?;
        }
        let mut landing = Landing::open(home.landing_place().clone())?;
        landing.fenced_by(home.fence());
        refuse_superseded(&landing, &config, version)?;
        let store = Store::open(home.database())?;
        if !is_file {
            // what another owner is rebuilding is not left over
            super::rebuild::clear_leftovers(&home)?;
        }
        // while this waited for the database, its owner may have landed more; and only an owner says by which
        // configuration everything is judged
        landing.refresh()?;
        refuse_superseded(&landing, &config, version)?;
        journal_configuration(&mut landing, &config)?;
        let archive = home.archive_place().clone();
        Service::over(home, config, landing, store, &archive, Telling { raising: true, outages })
    }

    /// The same over another database and archive than the home's: for `rebuild`, which raises no alerts.
    pub(super) fn over(
        home: Home,
        config: Config,
        landing: Landing,
        mut store: Store,
        archive: &Place,
        telling: Telling,
    ) -> Result<Service, ProcessError> {
        let Telling { raising, outages } = telling;
        let rules = Arc::new(config.rulebook.compile()?);
        let database = store.database().clone();
        store.fenced_by(home.fence());
        store.keep_rulebook(&config.rulebook.to_json().to_string())?;
        let position = store.position()?;
        check_position(&landing, position.entry, &position.entry_hash)?;
        let log = store.log()?;
        let store = Arc::new(Mutex::new(store));
        let committed = Arc::new(Committed::at(position.entry));
        let reader = Store::reader(&database)?.waiting_out(Arc::clone(&outages));
        let past = Past::new(reader, Arc::clone(&committed));
        let library = Library::new(landing.objects(), Arc::clone(&rules));
        let judging =
            Judging::new(past, Arc::clone(&rules), library, config.file.sizes.window_readings, raising)?;
        let fence = home.fence();
        let archivist = Archivist::open(
            archive,
            &database,
            Arc::clone(&store),
            &config.file,
            fence,
            Arc::clone(&outages),
        )?;
        let preparer =
            Preparer::new(landing.objects(), Arc::clone(&rules), config.file.sizes.upload_bytes_max);
        let (telling, unrecorded) = (Arc::clone(&outages), Arc::<Unrecorded>::default());
        let yields = home.layout().is_shared();
        let writer = Writer::new(Arc::clone(&store), telling, Arc::clone(&unrecorded), yields);
        Ok(Service {
            home,
            config,
            rules,
            landing,
            preparer,
            judging,
            writer,
            log,
            store,
            archivist,
            committed,
            progress: Arc::new(Progress::default()),
            outages,
            unrecorded,
        })
    }

    /// The home.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Counters of what has been committed.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// What is out of order.
    pub fn outages(&self) -> Arc<Outages> {
        Arc::clone(&self.outages)
    }

    /// The store's writing connection, shared with the writer's thread.
    pub fn store(&self) -> Arc<Mutex<Store>> {
        Arc::clone(&self.store)
    }

    /// Records these deliveries too, and tells them of its own: what it cannot record is another's then.
    pub fn owes(&mut self, unrecorded: &Arc<Unrecorded>) {
        self.unrecorded = Arc::clone(unrecorded);
        self.writer.tells(Arc::clone(unrecorded));
    }

    /// The version of the configuration that the journal has.
    pub fn configuration_version(&self) -> u32 {
        self.landing.configuration_version()
    }

    /// Whether the journal holds entries that are not processed.
    pub fn is_behind(&self) -> bool {
        self.landing.head().0 > self.committed.entry()
    }

    /// Processes whatever the journal holds beyond the store's position.
    ///
    /// # Errors
    /// The first error of any stage.
    pub fn catch_up(&mut self) -> Result<(), ProcessError> {
        self.work(false, |_, _| Ok(()))
    }

    /// Lands files in the order given, processes them, and tells of each by its place in `files`.
    /// Sources stay where they are.
    ///
    /// # Errors
    /// The first error of any stage; what had landed by then is processed by the next call.
    pub fn ingest(
        &mut self,
        files: &[PathBuf],
        given: &Given,
        tell: &mut (dyn FnMut(&Path, Note) + Send),
    ) -> Result<(), ProcessError> {
        self.work(false, |lander, given_up| {
            for group in groups(files) {
                if given_up() {
                    break;
                }
                let sources = group.iter().map(|path| (Source::File(path.clone()), name_of(path))).collect();
                for (path, note) in group.iter().zip(lander.land(sources, given)?) {
                    tell(path, note);
                }
            }
            Ok(())
        })
    }

    /// Lands what `next` gives until it gives none. It should give nothing rather than wait for long: what
    /// could not land is tried again then.
    ///
    /// # Errors
    /// The first error of any stage that waiting does not mend by itself.
    pub fn serve(&mut self, next: &mut (dyn FnMut() -> Option<Arrivals> + Send)) -> Result<(), ProcessError> {
        self.work(true, |lander, given_up| {
            lander.serve(&mut || next().filter(|_| !given_up()))?;
            lander.onward.patient = false;
            if given_up() { Ok(()) } else { lander.hand_on() }
        })
    }

    /// As [`Service::serve`] for a process whose time is limited: once it is to stop, no commit begins, and what is
    /// not committed waits for the next start. True where nothing waits.
    ///
    /// # Errors
    /// As there.
    pub fn serve_in_time(
        &mut self,
        next: &mut (dyn FnMut() -> Option<Arrivals> + Send),
    ) -> Result<bool, ProcessError> {
        self.writer.hurry();
        match self.serve(next) {
            // no stage has failed
            Err(ProcessError::Internal(_)) if self.writer.has_left() => Ok(false),
            served => served.map(|()| true),
        }
    }

    /// Whether the database has an upload and all that landed before it.
    #[must_use]
    pub fn has_committed(&self, upload: u32) -> bool {
        self.landing.upload(upload).is_some_and(|held| held.entry <= self.committed.entry())
    }

    /// How many uploads have landed, as far as this process knows.
    #[must_use]
    pub fn uploads(&self) -> usize {
        self.landing.uploads().len()
    }

    /// Writes decisions to the journal and carries them out.
    ///
    /// # Errors
    /// As [`Service::ingest`]; nothing is decided where the journal cannot be written.
    pub fn decide(&mut self, decisions: Vec<DecisionBody>) -> Result<(), ProcessError> {
        let at = clock::now();
        self.landing.append(decisions.into_iter().map(|body| (at, Body::Decision(body))).collect())?;
        self.catch_up()
    }

    /// Tries dead letters again, under another feed or zone where one is given.
    ///
    /// # Errors
    /// As [`Service::ingest`].
    pub fn retry(&mut self, uploads: &[u32], given: &Given) -> Result<(), ProcessError> {
        let at = clock::now();
        let mut bodies = Vec::new();
        for number in uploads {
            let Some(upload) = self.landing.upload(*number) else { continue };
            let feed = given.feed.clone().unwrap_or_else(|| upload.feed.to_string());
            let time_zone =
                given.time_zone.clone().or_else(|| upload.time_zone.as_deref().map(str::to_owned));
            let meter = self.rules.meter_from_name(&feed, &upload.name);
            bodies.push((at, Body::Retry(RetryBody { upload: *number, feed, time_zone, meter })));
        }
        self.landing.append(bodies)?;
        self.catch_up()
    }

    /// Brings the archive up to the database and removes what no reader needs any more.
    ///
    /// # Errors
    /// The archive's and the database's own.
    pub fn finish(&mut self) -> Result<(), ProcessError> {
        // what the windows take is of more use to the archive now; they are a cache
        self.judging.windows.clear();
        let finished = self.archivist.finish();
        self.as_owner(finished)
    }

    /// The reason behind other errors, where the home was taken over: what another process has changed
    /// looks like damage to one that does not expect it.
    fn as_owner<T>(&self, outcome: Result<T, ProcessError>) -> Result<T, ProcessError> {
        if outcome.is_err() {
            self.home.fence().check()?;
        }
        outcome
    }

    /// Sends what waits in the outbox, once; what a target does not take stays there.
    ///
    /// # Errors
    /// When the outbox cannot be read.
    pub fn send_alerts(&self) -> Result<(), ProcessError> {
        self.send_alerts_until(&AtomicBool::new(false))
    }

    /// The same until `over`. While the database is away, outages are told past the outbox, which is in it.
    ///
    /// # Errors
    /// As there.
    pub fn send_alerts_until(&self, over: &AtomicBool) -> Result<(), ProcessError> {
        let targets = Targets::new(&self.config.file.alerts);
        let failed = if self.outages.is_out(Part::Database) {
            targets.send_directly(&self.outages).err()
        } else {
            targets.record(&self.outages, &self.store)?;
            targets.send_waiting(&self.store, over)?.failed
        };
        if let Some(problem) = failed {
            tracing::error!("{problem}; alerts wait in the outbox for `greenstream run`");
        }
        Ok(())
    }

    /// What to tell where the database is judged by an older configuration than the one in force.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn configuration_notice(&self) -> Result<Option<String>, ProcessError> {
        let held = Store::reader(self.home.database())?.configuration()?;
        let current = self.landing.configuration().map(|held| held.version.to_string());
        Ok((held.is_some() && held != current).then(|| {
            format!(
                "the configuration has changed (version {} in the database, {} in force): what is stored was judged by the older one; `greenstream rebuild` judges everything again",
                held.unwrap_or_default(),
                current.unwrap_or_default()
            )
        }))
    }

    /// Closes all parts and gives the home back.
    pub fn close(self) -> Home {
        self.home
    }

    /// Processes everything beyond the store's position and what `source` lands. Where the process died
    /// at the same entry before, again and again, entries go through one at a time, and the one that
    /// kills becomes a dead letter.
    fn work(
        &mut self,
        patient: bool,
        source: impl FnOnce(&mut OwnLander<'_>, &dyn Fn() -> bool) -> Result<(), ProcessError> + Send,
    ) -> Result<(), ProcessError> {
        let attempts = Attempts::new(self.home.folder());
        let next = self.committed.entry() + 1;
        if self.is_behind() {
            let failed = |source| ProcessError::Io { path: self.home.folder().to_owned(), source };
            let count = attempts.begin(next).map_err(failed)?;
            if count >= CAREFUL_FROM {
                tracing::warn!(entry = next, count, "processing died here before: one entry at a time");
                let outcome = self.one_by_one(&attempts, next, count);
                if outcome.is_err() {
                    // the process has survived: what failed is not the upload's doing
                    attempts.end();
                }
                outcome?;
            }
        }
        let outcome = self.pipeline(None, patient, source);
        attempts.end();
        let outcome = outcome.and_then(|()| silence::refresh(&self.store, self.judging.raising));
        self.as_owner(outcome)
    }

    /// Processes what the journal holds, each entry alone and committed before the next begins.
    fn one_by_one(&mut self, attempts: &Attempts, first: u64, count: u32) -> Result<(), ProcessError> {
        for entry in first..=self.landing.head().0 {
            let failed = |source| ProcessError::Io { path: self.home.folder().to_owned(), source };
            let count = if entry == first { count } else { attempts.begin(entry).map_err(failed)? };
            self.preparer.condemn((count > ATTEMPTS_MAX).then_some(entry));
            self.pipeline(Some((entry, attempts)), false, |_, _| Ok(()))?;
        }
        self.preparer.condemn(None);
        Ok(())
    }

    /// Runs the pipeline over the journal's entries beyond the store's position, up to the one that is to
    /// go alone if it is given, and over what `source` lands; who is `patient` lands although much waits.
    fn pipeline(
        &mut self,
        alone: Option<(u64, &Attempts)>,
        patient: bool,
        source: impl FnOnce(&mut OwnLander<'_>, &dyn Fn() -> bool) -> Result<(), ProcessError> + Send,
    ) -> Result<(), ProcessError> {
        let jobs: Queue<Job> = Queue::new(JOBS_WAITING);
        let onward = ToPipeline {
            jobs: &jobs,
            committed: &self.committed,
            // a rebuild fills another than the home's
            database: self.store.lock().unwrap_or_else(PoisonError::into_inner).database().clone(),
            outages: &self.outages,
            queued: self.committed.entry(),
            last: alone.map_or(u64::MAX, |(entry, _)| entry),
            patient,
            deliveries: VecDeque::new(),
            unrecorded: &self.unrecorded,
        };
        let rules = (&*self.rules, &self.config);
        let mut lander = Lander::new(&mut self.landing, self.home.layout(), rules, &self.outages, onward);
        let pipeline = Pipeline {
            preparer: &self.preparer,
            judging: &mut self.judging,
            writer: &mut self.writer,
            log: &self.log,
            archivist: &mut self.archivist,
            attempts: alone.map(|(_, attempts)| attempts),
            progress: &self.progress,
            workers: self.config.file.sizes.workers.max(1),
            commit_rows: self.config.file.sizes.commit_rows.max(1),
        };
        std::thread::scope(|scope| {
            let landed = scope.spawn(|| {
                let begun = lander.onward.begin().and_then(|()| lander.hand_on());
                let outcome = begun.and_then(|()| source(&mut lander, &|| jobs.is_closed()));
                jobs.close();
                outcome
            });
            let processed = pipeline.run(&jobs, &self.committed);
            let landed = landed
                .join()
                .unwrap_or_else(|_| Err(ProcessError::Internal("the landing thread panicked".to_owned())));
            processed.and(landed)
        })
    }
}

/// Refuses to put a configuration in the place of one that came after `version`.
fn refuse_superseded(landing: &Landing, config: &Config, version: Option<u32>) -> Result<(), ProcessError> {
    let Some((held, version)) = landing.configuration().zip(version) else { return Ok(()) };
    if held.version > version && held.content != config.rulebook.to_json() {
        return Err(ProcessError::Superseded { version: held.version });
    }
    Ok(())
}

/// Writes the configuration to the journal unless the last one there is the same.
pub(super) fn journal_configuration(landing: &mut Landing, config: &Config) -> Result<(), ProcessError> {
    if let Some(held) = landing.configuration() {
        // one of a later release must not be replaced by one that says less
        Rulebook::from_json(&held.content)?;
    }
    let content = config.rulebook.to_json();
    let last = landing.configuration().map(|held| (held.version, held.content == content));
    let version = match last {
        Some((_, true)) => return Ok(()),
        Some((version, false)) => version + 1,
        None => 1,
    };
    landing.append(vec![(clock::now(), Body::Configuration(ConfigurationBody { version, content }))])?;
    Ok(())
}

/// A database that knows entries which the journal does not have, or has otherwise, is another home's.
fn check_position(landing: &Landing, entry: u64, hash: &str) -> Result<(), ProcessError> {
    if entry == 0 {
        return Ok(());
    }
    let held = landing.entries_after(entry - 1).next().transpose()?;
    if held.is_some_and(|held| held.entry == entry && held.hash.to_string() == hash) {
        return Ok(());
    }
    Err(ProcessError::Internal(format!(
        "the database stands at journal entry {entry}, which the journal does not have (or has otherwise)"
    )))
}
