//! The store on a PostgreSQL server: the same tables, views and promises as in a file.

mod ahead;
mod bulk;
mod copy;
mod grants;
mod schema;
mod server;
mod session;
mod tables;
mod tls;
mod views;
mod wire;

pub use self::ahead::{Ahead, Courier};
pub use self::server::{Server, ServerError};
pub use self::session::PostgresFault;

pub(super) use self::session::Session;
pub(super) use self::tables::Tables;
pub(super) use self::wire::{Wire, unescaped};

use std::sync::Arc;
use std::time::Duration;

use self::session::LOCK_WAIT;
use super::db::Db;
use super::error::{Doing, Fault, StoreError};

/// The writer's session, over a schema that is up to date and this process's from now on.
pub(super) fn open(server: &Arc<Server>) -> Result<Session, StoreError> {
    let session = Session::writing(server, LOCK_WAIT).doing("be opened")?;
    schema::migrate(&session)?;
    grants::give(&session)?;
    Ok(session)
}

/// Waits until no writer has the schema; it need not be there.
pub(super) fn wait_until_free(server: &Arc<Server>, wait: Duration) -> Result<(), StoreError> {
    Session::writing(server, wait).map(drop).doing("be opened")
}

/// Runs `change` in one transaction beside the owner: for what no entry of the journal is about.
pub(super) fn change_beside(
    server: &Arc<Server>,
    change: impl FnOnce(&Db) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    match &Db::Postgres(Session::reading(server).doing("be opened")?) {
        db @ Db::Postgres(session) => session.change_soon(|| change(db)),
        Db::Sqlite(_) => Err(Fault::from(PostgresFault::Lost).doing("take a change")),
    }
}

/// A reader's session, over a schema that a writer has made and brought up to date.
pub(super) fn open_for_reading(server: &Arc<Server>) -> Result<Session, StoreError> {
    let session = Session::reading(server).doing("be opened for reading")?;
    match schema::check(&session)? {
        schema::VERSION => Ok(session),
        0 => {
            let found = "a store that this release has not opened for writing yet";
            Err(StoreError::NotAStore { path: schema::named(server), found })
        }
        found => Err(StoreError::Older { path: schema::named(server), found, known: schema::VERSION }),
    }
}

/// Refuses a schema that this program must not touch; says its version otherwise. Changes nothing.
pub(super) fn look(server: &Arc<Server>) -> Result<i32, StoreError> {
    schema::check(&Session::reading(server).doing("be opened")?)
}

/// Removes a schema with all that is in it.
pub(super) fn remove(server: &Arc<Server>) -> Result<(), StoreError> {
    if look(server)? == 0 {
        return Ok(());
    }
    let session = Session::writing(server, LOCK_WAIT).doing("be removed")?;
    let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE", server.schema());
    let removed = session.change(|| session.batch(&sql).doing("be removed"));
    server.drop_idle();
    removed
}

/// Puts the schema `new` in the place of the session's, in one transaction. Its owner is no owner of the new
/// one.
pub(super) fn replace(session: &Session, new: &Arc<Server>) -> Result<(), StoreError> {
    let server = session.server();
    let (schema, new) = (server.schema(), new.schema());
    // who stands by may have recorded deliveries since the others were taken over
    let sql = format!(
        "LOCK TABLE {schema}.t_delivery IN SHARE MODE;
         INSERT INTO {new}.t_delivery SELECT * FROM {schema}.t_delivery d
             WHERE NOT EXISTS (SELECT 1 FROM {new}.t_delivery n WHERE n.id = d.id);
         SELECT setval('{new}.t_delivery_id_seq', coalesce(max(id), 0) + 1, false) FROM {new}.t_delivery;
         DROP SCHEMA {schema} CASCADE; ALTER SCHEMA {new} RENAME TO {schema}"
    );
    let replaced = session.change(|| session.batch(&sql).doing("be replaced"));
    server.drop_idle();
    replaced
}
