//! Where requests run, and how a thread waits for one.

use super::error::{Error, Kind};
use std::future::Future;
use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads for requests: they only move bytes, and two keep a fast network busy.
const THREADS: usize = 2;

static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// The runtime of all requests, started by the first.
pub(super) fn runtime() -> Result<Handle, Error> {
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = &*runtime {
        return Ok(runtime.handle().clone());
    }
    let started = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("objects")
        .enable_all()
        .build()
        .map_err(|source| Error::Runtime { source })?;
    Ok(runtime.insert(started).handle().clone())
}

/// Waits for a request on whatever thread this is, at most so long.
pub(super) fn wait<T: Send + 'static>(
    action: &'static str,
    object: impl FnOnce() -> String,
    limit: Duration,
    request: impl Future<Output = object_store::Result<T>> + Send + 'static,
) -> Result<T, Error> {
    let (tell, told) = sync_channel(1);
    runtime()?.spawn(async move {
        // nobody listens when the process is about to end
        let _ = tell.send(tokio::time::timeout(limit, request).await);
    });
    match told.recv() {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(error))) => Err(Error::store(action, object(), &error)),
        Ok(Err(_)) => {
            let problem = format!("no answer within {} s", limit.as_secs());
            Err(Error::of_kind(action, object(), Kind::Away, &problem))
        }
        Err(_) => Err(Error::Runtime { source: io::Error::other("a request was broken off") }),
    }
}
