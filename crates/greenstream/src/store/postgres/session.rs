//! One connection to the server, made again when it is lost, and the right to write over it.
//!
//! A reader's connection may go at any time: the next question makes another, unless a state is being held,
//! which a new connection could not show. The writer's connection carries a lock of the database that lasts
//! as long as it does, and a number, the epoch, that every owner counts up: a transaction looks at it before
//! anything else, so that a process which lost the lock in between changes nothing.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres::error::SqlState;
use postgres::{Client, CopyInWriter, NoTls, Row, Statement};
use rustc_hash::FxHashMap;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::server::Server;
use crate::fence::TakenOver;
use crate::outage::{Outages, Part, pauses};
use crate::process::with_causes;
use crate::store::db::Value;
use crate::store::error::{Doing, Fault, StoreError, passes, server_hint};

/// Rows that a large answer is fetched by.
const FETCH: u32 = 20_000;
/// Statements kept ready, more than the store has.
const STATEMENTS_MAX: usize = 256;
/// First half of the lock's number, `GrSt`; the other half is made of the schema's name.
const LOCK: i32 = 0x4772_5374;
/// How long a writer usually waits for the process that has the lock. A process that is just ending takes less.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(10);
/// The same for one that has had the lock: its own connections are ended at once, and whoever else has it keeps it.
const LOCK_WAIT_AGAIN: Duration = Duration::from_secs(2);
/// Between two tries to take the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// How a transaction begins that waits for no other's locks for long: behind one that does not end it fails and is
/// tried again, and is told as an outage.
const BEGIN_SOON: &str = "BEGIN; SET LOCAL lock_timeout = '10s'";

/// What is wrong with a server, beside its own words.
#[derive(Debug, thiserror::Error)]
pub enum PostgresFault {
    /// The server's answer, or none.
    #[error(transparent)]
    Server(#[from] postgres::Error),
    /// The connection that held a state is gone, and with it the state.
    #[error("the connection was lost")]
    Lost,
    /// A session holds one state at a time.
    #[error("a state is being held already")]
    Holding,
    /// Another process has the right to write.
    #[error("another process owns the database {server} and is connected to it")]
    Held {
        /// Which.
        server: String,
    },
}

/// A connection with its statements.
pub(super) struct Connected {
    client: Client,
    statements: FxHashMap<String, Statement>,
}

/// See the module.
pub(in crate::store) struct Session {
    server: Arc<Server>,
    connected: RefCell<Option<Connected>>,
    /// Whether a transaction is open.
    in_transaction: Cell<bool>,
    cursors: Cell<u32>,
    writer: Option<Writer>,
    /// Who hears of it while questions wait for a server that is away; none where they fail.
    patience: Option<Arc<Outages>>,
}

/// What makes a session the owner's.
struct Writer {
    /// Tells this process's connections from all others, also those that it has lost.
    name: String,
    /// Whether the database has its name.
    is_owner: Cell<bool>,
    /// How long it waits for the lock that its connection carries; none where it carries none. One at a time does.
    lock: Option<Duration>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({:?})", self.server)
    }
}

impl Session {
    /// A session that reads.
    pub(in crate::store) fn reading(server: &Arc<Server>) -> Result<Session, Fault> {
        let session = Session::new(server, None);
        let idle = server.take_idle().filter(|idle| !idle.client.is_closed());
        match idle {
            Some(idle) => *session.connected.borrow_mut() = Some(idle),
            None => session.connect()?,
        }
        Ok(session)
    }

    /// A session that writes, once every other has gone, for which it waits so long now and later.
    pub(super) fn writing(server: &Arc<Server>, wait: Duration) -> Result<Session, Fault> {
        let name = format!("greenstream {:016x}", fastrand::u64(..));
        let writer = Writer { name, is_owner: Cell::new(false), lock: Some(wait) };
        let session = Session::new(server, Some(writer));
        session.connect()?;
        Ok(session)
    }

    /// One more session of the same writer, which is the owner as long as this one is. It has no lock to keep
    /// others waiting; its transactions look who the owner is, as this one's do.
    pub(super) fn beside(&self) -> Session {
        let beside = |writer: &Writer| Writer {
            name: writer.name.clone(),
            is_owner: writer.is_owner.clone(),
            lock: None,
        };
        Session::new(&self.server, self.writer.as_ref().map(beside))
    }

    fn new(server: &Arc<Server>, writer: Option<Writer>) -> Session {
        Session {
            server: Arc::clone(server),
            connected: RefCell::new(None),
            in_transaction: Cell::new(false),
            cursors: Cell::new(0),
            writer,
            patience: None,
        }
    }

    /// Lets questions wait as long as the server is away, unless the process is to stop.
    pub(in crate::store) fn wait_out(&mut self, outages: Arc<Outages>) {
        self.patience = Some(outages);
    }

    /// Where it leads to.
    pub(in crate::store) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    fn connect(&self) -> Result<(), Fault> {
        let mut config = self.server.config.clone();
        let name = self.writer.as_ref().map_or("greenstream reader", |writer| writer.name.as_str());
        config.application_name(name);
        let client = match &self.server.tls {
            Some(tls) => config.connect(MakeRustlsConnect::new(tls.clone())),
            None => config.connect(NoTls),
        };
        let mut client = client.map_err(PostgresFault::Server)?;
        client.batch_execute(&self.settings()).map_err(PostgresFault::Server)?;
        if let Some(writer) = &self.writer
            && let Some(wait) = writer.lock
        {
            let wait = if writer.is_owner.get() { wait.min(LOCK_WAIT_AGAIN) } else { wait };
            self.take_lock(&mut client, &writer.name, wait)?;
        }
        *self.connected.borrow_mut() = Some(Connected { client, statements: FxHashMap::default() });
        Ok(())
    }

    /// What every session needs: tables are found in the schema and nowhere else, a commit that returns is
    /// durable, a transaction sees what was committed before each of its statements, a cursor is read to its end, instants are UTC, and a client that has gone without a word is
    /// missed soon, for it may have the lock.
    fn settings(&self) -> String {
        let schema = &self.server.schema;
        format!(
            "SET search_path = {schema}; SET synchronous_commit = on; SET default_transaction_isolation = 'read committed'; SET cursor_tuple_fraction = 1; \
             SET TimeZone = 'UTC'; SET client_min_messages = warning; SET jit = off; \
             SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 2"
        )
    }

    /// Waits for the right to write. A connection of this process that the server has not yet missed goes.
    fn take_lock(&self, client: &mut Client, name: &str, wait: Duration) -> Result<(), Fault> {
        let begun = Instant::now();
        let lock = "SELECT pg_try_advisory_lock($1, hashtext($2))";
        let end_own = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = $1 AND pid <> pg_backend_pid()";
        loop {
            let taken = client.query_one(lock, &[&LOCK, &self.server.schema]);
            if taken.map_err(PostgresFault::Server)?.get(0) {
                return Ok(());
            }
            client.query(end_own, &[&name]).map_err(PostgresFault::Server)?;
            if begun.elapsed() >= wait {
                return Err(PostgresFault::Held { server: self.server.to_string() }.into());
            }
            std::thread::sleep(LOCK_PAUSE);
        }
    }

    /// Does `work` over the connection, and waits out what passes where questions are to wait.
    fn with<T>(
        &self,
        mut work: impl FnMut(&mut Connected) -> Result<T, postgres::Error>,
    ) -> Result<T, Fault> {
        let (mut pauses, mut waited) = (pauses(), false);
        loop {
            let done = self.attempt(&mut work);
            let Some(outages) = self.patience.as_ref().filter(|_| !self.in_transaction.get()) else {
                return done;
            };
            match &done {
                Err(Fault::Postgres(fault)) if passes(fault) => {
                    outages.fail(Part::Database, with_causes(fault), server_hint(fault));
                    if !outages.pause(pauses.next().unwrap_or_default()) {
                        return done;
                    }
                    waited = true;
                }
                _ => {
                    if waited {
                        outages.works(Part::Database);
                    }
                    return done;
                }
            }
        }
    }

    /// Does `work` over the connection, a new one where the old one is gone. What changes nothing by itself
    /// is tried once more when the server had gone without a word.
    fn attempt<T>(
        &self,
        work: &mut impl FnMut(&mut Connected) -> Result<T, postgres::Error>,
    ) -> Result<T, Fault> {
        let mut tries = if self.in_transaction.get() { 1 } else { 2 };
        loop {
            tries -= 1;
            if self.connected.borrow().is_none() {
                if self.in_transaction.get() {
                    return Err(PostgresFault::Lost.into());
                }
                self.connect()?;
            }
            let mut held = self.connected.borrow_mut();
            let Some(connected) = held.as_mut() else { return Err(PostgresFault::Lost.into()) };
            match work(connected) {
                Ok(done) => return Ok(done),
                Err(error) => {
                    let is_gone = connected.client.is_closed() || is_shutdown(&error);
                    if is_gone {
                        *held = None;
                    }
                    if !is_gone || tries == 0 {
                        return Err(PostgresFault::Server(error).into());
                    }
                }
            }
        }
    }

    /// Runs statements without parameters, as they are.
    pub(in crate::store) fn batch(&self, sql: &str) -> Result<(), Fault> {
        self.with(|connected| connected.client.batch_execute(sql))
    }

    /// Runs a statement; how many rows it changed.
    pub(in crate::store) fn execute(&self, sql: &str, params: &[Value<'_>]) -> Result<u64, Fault> {
        self.with(|connected| {
            let statement = connected.prepare(sql)?;
            connected.client.execute(&statement, &pointers(params))
        })
    }

    /// All rows of a query.
    pub(in crate::store) fn query(&self, sql: &str, params: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        self.with(|connected| {
            let statement = connected.prepare(sql)?;
            connected.client.query(&statement, &pointers(params))
        })
    }

    /// As [`Session::query`], with parameters that are arrays.
    pub(super) fn query_arrays(
        &self,
        sql: &str,
        params: &[&(dyn postgres::types::ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        self.with(|connected| {
            let statement = connected.prepare(sql)?;
            connected.client.query(&statement, params)
        })
    }

    /// As [`Session::execute`], with parameters that are arrays.
    pub(super) fn execute_arrays(
        &self,
        sql: &str,
        params: &[&(dyn postgres::types::ToSql + Sync)],
    ) -> Result<u64, Fault> {
        self.with(|connected| {
            let statement = connected.prepare(sql)?;
            connected.client.execute(&statement, params)
        })
    }

    /// Sends what `write` writes to a COPY; how many rows came.
    pub(super) fn copy(
        &self,
        sql: &str,
        write: impl Fn(&mut CopyInWriter<'_>) -> std::io::Result<()>,
    ) -> Result<u64, Fault> {
        self.with(|connected| {
            let mut writer = connected.client.copy_in(sql)?;
            // what is wrong with the connection, finishing says in its own words
            let _ = write(&mut writer);
            writer.finish()
        })
    }

    /// Hands the rows of a query on by parts; see [`crate::store::db::Db::each`].
    pub(in crate::store) fn each<E: From<Fault>>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        sink: &mut dyn FnMut(&Row) -> Result<bool, E>,
    ) -> Result<(), E> {
        if self.in_transaction.get() {
            return self.fetch(sql, params, sink);
        }
        if self.patience.is_some() {
            // all of it before any of it is handed on, so that it can be asked for again
            for row in &self.query(sql, params)? {
                if !sink(row)? {
                    break;
                }
            }
            return Ok(());
        }
        self.hold()?;
        let done = self.fetch(sql, params, sink);
        self.let_go();
        done
    }

    fn fetch<E: From<Fault>>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        sink: &mut dyn FnMut(&Row) -> Result<bool, E>,
    ) -> Result<(), E> {
        // a sink may open cursors of its own
        let cursor = self.cursors.get();
        self.cursors.set(cursor + 1);
        let done = self.fetch_by(cursor, sql, params, sink);
        self.cursors.set(cursor);
        done
    }

    fn fetch_by<E: From<Fault>>(
        &self,
        cursor: u32,
        sql: &str,
        params: &[Value<'_>],
        sink: &mut dyn FnMut(&Row) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.execute(&format!("DECLARE c{cursor} NO SCROLL CURSOR FOR {sql}"), params)?;
        // not kept: its columns are this cursor's
        let fetch = format!("FETCH {FETCH} FROM c{cursor}");
        let fetch = self.with(|connected| connected.client.prepare(&fetch))?;
        loop {
            let rows = self.with(|connected| connected.client.query(&fetch, &[]))?;
            for row in &rows {
                if !sink(row)? {
                    return Ok(self.batch(&format!("CLOSE c{cursor}"))?);
                }
            }
            if rows.is_empty() {
                return Ok(self.batch(&format!("CLOSE c{cursor}"))?);
            }
        }
    }

    /// Begins to hold one state for reading.
    pub(in crate::store) fn hold(&self) -> Result<(), Fault> {
        if self.in_transaction.get() {
            return Err(PostgresFault::Holding.into());
        }
        self.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        self.in_transaction.set(true);
        Ok(())
    }

    /// Lets go of it.
    pub(in crate::store) fn let_go(&self) {
        self.roll_back();
    }

    /// Runs `change` in one transaction, which an error undoes, if this process still is the owner.
    pub(in crate::store) fn change<T>(
        &self,
        change: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.begin("BEGIN").doing("take a change")?;
        self.finish(change)
    }

    /// The same for what takes no lock that others have for long: it fails rather than wait, and passes.
    pub(in crate::store) fn change_soon<T>(
        &self,
        change: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.begin(BEGIN_SOON).doing("take a change")?;
        self.finish(change)
    }

    /// Begins a transaction whose rows come before anybody asks who the owner is, and are nobody's to see until
    /// [`Session::finish`] has asked. The server ends it where it is forgotten.
    pub(super) fn begin_ahead(&self) -> Result<(), Fault> {
        self.begin(&format!("{BEGIN_SOON}; SET LOCAL idle_in_transaction_session_timeout = '60s'"))
    }

    fn begin(&self, sql: &str) -> Result<(), Fault> {
        let begun = self.batch(sql);
        self.in_transaction.set(true);
        if begun.is_err() {
            // it may have begun all the same
            self.roll_back();
        }
        begun
    }

    /// Runs `change` in the transaction that has begun and commits it; an error undoes all of it.
    pub(super) fn finish<T>(&self, change: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let changed = self.check_owner().and_then(|()| change());
        if changed.is_err() {
            self.roll_back();
            return changed;
        }
        let committed = self.batch("COMMIT");
        self.in_transaction.set(false);
        // where the connection went with the answer, the position tells whether it was done
        committed.doing("take a change")?;
        changed
    }

    /// Undoes what the transaction has done so far; nothing where there is none.
    pub(super) fn roll_back(&self) {
        if self.in_transaction.get() && self.batch("ROLLBACK").is_err() {
            // whatever state it is in, nothing of it is wanted
            *self.connected.borrow_mut() = None;
        }
        self.in_transaction.set(false);
    }

    /// Becomes the owner: from here on transactions of earlier ones fail, and what is left of them is ended, for it
    /// may hold what this one wants. To be called in a transaction, and by a session that has the lock.
    pub(super) fn take_over(&self) -> Result<(), Fault> {
        let Some(writer) = &self.writer else { return Ok(()) };
        // a new schema has no owner yet, and others' connections may have no name
        let end_earlier = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = (SELECT owner FROM t_owner WHERE owner <> '')
                AND usename = current_user AND pid <> pg_backend_pid()";
        self.query(end_earlier, &[])?;
        let sql = "UPDATE t_owner SET epoch = epoch + 1, owner = ?1, since = now()";
        self.execute(sql, &[Value::from(writer.name.as_str())])?;
        writer.is_owner.set(true);
        Ok(())
    }

    /// Fails where another has become the owner; a transaction that passes keeps others from it until it
    /// ends.
    fn check_owner(&self) -> Result<(), StoreError> {
        let Some(writer) = self.writer.as_ref().filter(|writer| writer.is_owner.get()) else {
            return Ok(());
        };
        let doing = |fault: Fault| fault.doing("say who owns it");
        let rows = self.query("SELECT owner FROM t_owner FOR NO KEY UPDATE", &[]).map_err(doing)?;
        let found: Option<&str> = rows.first().and_then(|row| row.try_get(0).ok());
        if found == Some(writer.name.as_str()) {
            return Ok(());
        }
        Err(TakenOver { lock: self.server.to_string().into() }.into())
    }
}

/// A reader's connection is of use to the next one.
impl Drop for Session {
    fn drop(&mut self) {
        if self.writer.is_none()
            && !self.in_transaction.get()
            && let Some(connected) = self.connected.borrow_mut().take()
            && !connected.client.is_closed()
        {
            self.server.keep_idle(connected);
        }
    }
}

impl Connected {
    /// The statement of a text, which is translated and prepared once.
    fn prepare(&mut self, sql: &str) -> Result<Statement, postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            // filters make ever new ones
            self.statements.clear();
        }
        let statement = self.client.prepare(&translated(sql))?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// A statement in the server's words. `CROSS JOIN … ON` tells SQLite in which order to join; the server
/// finds it by itself.
fn translated(sql: &str) -> String {
    sql.replace('?', "$").replace("CROSS JOIN t_", "JOIN t_").replace("instr(", "strpos(")
}

fn pointers<'p>(params: &'p [Value<'p>]) -> Vec<&'p (dyn postgres::types::ToSql + Sync)> {
    params.iter().map(|param| -> &(dyn postgres::types::ToSql + Sync) { param }).collect()
}

/// Whether the server ends its connections: it is stopping or starting, or somebody has ended this one.
fn is_shutdown(error: &postgres::Error) -> bool {
    [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT]
        .iter()
        .any(|state| error.code() == Some(state))
}
