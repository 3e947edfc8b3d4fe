//! The service's pages, health, metrics and API, on loopback.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::oneshot;

use crate::config::ServeKeys;
use crate::home::Home;
use crate::outage::Outages;
use places::{Places, Problem};

mod api;
mod assets;
mod hours;
mod meter;
mod metrics;
mod overview;
mod places;
mod series;
mod shown;

/// Requests that read at the same time: each has a connection of its own, and the pipeline has the cores.
const READERS: usize = 4;
/// Scripts, styles and data from here only, and nobody's frame: what an upload says cannot run.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

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

impl Server {
    /// Listens and serves from a thread of its own.
    ///
    /// # Errors
    /// [`ServeError`] as it says.
    pub fn start(home: &Home, keys: &ServeKeys, outages: Arc<Outages>) -> Result<Server, ServeError> {
        let (listener, address) = listen(&keys.listen)?;
        let refused = |source| ServeError::Listen { address, source };
        listener.set_nonblocking(true).map_err(refused)?;
        let places = Arc::new(Places::new(home.layout().clone(), outages));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(READERS)
            .build()
            .map_err(refused)?;
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
        .route("/", get(overview::page))
        .route("/meters", get(meter::list))
        .route("/meters/{id}", get(meter::page))
        .route("/assets/{name}", get(assets::asset))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/status", get(api::status))
        .route("/api/hours", get(api::hours))
        .route("/api/meters", get(api::meters))
        .route("/api/meters/{id}", get(api::meter))
        .layer(map_response(guard))
        .layer(from_fn(ask_here))
        .with_state(places)
}

/// Refuses a browser that was led here by another name: a page of others could then read every answer.
async fn ask_here(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let name = host.map_or("localhost", |host| {
        host.rsplit_once(':').map_or(host, |(name, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
        })
    });
    let address = name.trim_start_matches('[').trim_end_matches(']');
    if name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok() {
        return next.run(request).await;
    }
    let way_out = "ask for localhost or an address; a proxy before this server must set the Host header so\n";
    (StatusCode::FORBIDDEN, way_out).into_response()
}

/// What every answer says to a browser.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    // numbers are of now; only what is compiled in may be kept
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Answers beside the server's thread, which would otherwise wait for the disk with every client.
async fn answer<T: Send + 'static>(
    places: Arc<Places>,
    read: impl FnOnce(&Places) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(move || read(&places))
        .await
        .unwrap_or_else(|error| Err(Problem::Unavailable(format!("the answer was given up: {error}"))))
}

async fn ready(State(places): State<Arc<Places>>) -> Result<&'static str, Problem> {
    if let Some(why) = places.outages.unready() {
        return Err(Problem::Unavailable(why));
    }
    answer(places, |places| places.status(&places.reader()?).map(|_| "ready\n")).await
}

async fn metrics(State(places): State<Arc<Places>>) -> Result<Response, Problem> {
    answer(places, |places| {
        let text = metrics::text(&places.status(&places.reader()?)?);
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
    })
    .await
}
