//! Health, metrics and a page of the service, on loopback.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::config::ServeKeys;
use crate::home::Home;
use crate::landing::Zone;
use crate::store::{Reader, Store};

mod page;

/// Why the pages cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Not an address.
    #[error("{address:?} is no address to listen on")]
    Address {
        /// What was given.
        address: String,
    },
    /// Others could reach it.
    #[error("{address} is reachable from other machines, and every route would be open to them")]
    NotLoopback {
        /// What was given.
        address: SocketAddr,
    },
    /// The system refuses.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was given.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl ServeError {
    /// The way out.
    pub const fn hint(&self) -> &'static str {
        match self {
            ServeError::Address { .. } => "write it as 127.0.0.1:8321",
            ServeError::NotLoopback { .. } => {
                "listen on 127.0.0.1 and put a proxy that asks for a token before it"
            }
            ServeError::Listen { .. } => "choose another port with --listen, or port 0 for any free one",
        }
    }
}

/// The running server.
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// What the routes read: paths only, so that every answer is of now.
struct Places {
    database: PathBuf,
    landing: PathBuf,
}

impl Server {
    /// Listens and serves from a thread of its own.
    ///
    /// # Errors
    /// [`ServeError`] as it says.
    pub fn start(home: &Home, keys: &ServeKeys) -> Result<Server, ServeError> {
        let (listener, address) = listen(&keys.listen)?;
        let refused = |source| ServeError::Listen { address, source };
        listener.set_nonblocking(true).map_err(refused)?;
        let places = Arc::new(Places { database: home.database(), landing: home.landing() });
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let thread = std::thread::spawn(move || {
            let served = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, routes(places))
                    .with_graceful_shutdown(async {
                        let _ = stopped.await;
                    })
                    .await
            });
            if let Err(error) = served {
                tracing::error!(%error, "the pages are not served any more");
            }
        });
        Ok(Server { address, stop, thread })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops serving.
    pub fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// Reads an address to listen on, which must be of this machine only.
///
/// # Errors
/// [`ServeError`] as it says.
pub fn loopback(address: &str) -> Result<SocketAddr, ServeError> {
    let parsed = address.parse().map_err(|_| ServeError::Address { address: address.to_owned() });
    let address: SocketAddr = parsed?;
    if address.ip().is_loopback() { Ok(address) } else { Err(ServeError::NotLoopback { address }) }
}

/// Takes a loopback address to listen on, such as `127.0.0.1:8321`; port 0 is any free one. Gives
/// the address with the port it has become.
///
/// # Errors
/// [`ServeError`] as it says.
pub fn listen(address: &str) -> Result<(TcpListener, SocketAddr), ServeError> {
    let address = loopback(address)?;
    let refused = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

fn routes(places: Arc<Places>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/status", get(status))
        .with_state(places)
}

/// A route's failure: the database or the journal cannot be read just now.
struct Unavailable(String);

impl IntoResponse for Unavailable {
    fn into_response(self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, self.0).into_response()
    }
}

impl Places {
    fn reader(&self) -> Result<Reader, Unavailable> {
        Store::reader(&self.database).map_err(|error| Unavailable(format!("database: {error}\n")))
    }

    fn status(&self) -> Result<Value, Unavailable> {
        let zone = Zone::look(&self.landing).map_err(|error| Unavailable(format!("journal: {error}\n")))?;
        crate::status::gather(&self.reader()?, &zone)
            .map_err(|error| Unavailable(format!("database: {error}\n")))
    }
}

async fn ready(State(places): State<Arc<Places>>) -> Result<&'static str, Unavailable> {
    places.status().map(|_| "ready\n")
}

async fn status(State(places): State<Arc<Places>>) -> Result<Json<Value>, Unavailable> {
    Ok(Json(places.status()?))
}

async fn metrics(State(places): State<Arc<Places>>) -> Result<Response, Unavailable> {
    let text = page::metrics(&places.status()?);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

async fn index(State(places): State<Arc<Places>>) -> Result<Html<String>, Unavailable> {
    let status = places.status()?;
    let page = page::index(&status, &places.reader()?);
    page.map(Html).map_err(|error| Unavailable(format!("database: {error}\n")))
}
