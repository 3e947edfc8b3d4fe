//! The service over HTTP: uploads, pages, health, metrics and API.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use tokio::sync::watch;

use crate::config::{File, Token};
use crate::home::Home;
use crate::outage::Outages;
use crate::trigger::{Intake, Taker};
use access::Access;
use events::Events;
use places::{Places, Problem};
use upload::Uploads;

mod access;
mod api;
mod assets;
mod connections;
mod digest;
mod events;
mod hours;
mod meter;
mod metrics;
mod overview;
mod places;
mod problem;
mod receive;
mod series;
mod shown;
mod upload;

pub(crate) use digest::Digests;
pub(crate) use receive::Receiver;

/// Requests that read at the same time: each has a connection of its own, and the pipeline has the cores.
const READERS: usize = 4;
/// Bodies of uploads that are written to the disk at the same time, beside the readers.
const WRITERS: usize = 8;
/// Scripts, styles and data from here only, and nobody's frame: what an upload says cannot run.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// A route.
pub struct Route {
    /// Its path; a part in braces stands for any segment.
    pub path: &'static str,
    /// Whether it may be asked without the token: health checks only.
    pub is_open: bool,
    methods: fn() -> MethodRouter<Arc<Places>>,
}

const fn route(path: &'static str, methods: fn() -> MethodRouter<Arc<Places>>) -> Route {
    Route { path, is_open: false, methods }
}

const fn health(path: &'static str, methods: fn() -> MethodRouter<Arc<Places>>) -> Route {
    Route { path, is_open: true, methods }
}

/// Every route there is: the router is made of this table, and what is not in it needs the token too.
pub const ROUTES: [Route; 13] = [
    route("/", || get(overview::page)),
    route("/meters", || get(meter::list)),
    route("/meters/{id}", || get(meter::page)),
    route("/assets/{name}", || get(assets::asset)),
    health("/livez", || get(|| async { "ok\n" })),
    health("/readyz", || get(ready)),
    route("/metrics", || get(metrics)),
    route("/api/status", || get(api::status)),
    route("/api/hours", || get(api::hours)),
    route("/api/meters", || get(api::meters)),
    route("/api/meters/{id}", || get(api::meter)),
    route(upload::ROUTE, || put(upload::put)),
    route(events::ROUTE, || post(events::post).options(events::consent)),
];

/// The codes with which requests are refused, as `docs/errors.md` explains them.
pub fn problem_codes() -> impl Iterator<Item = &'static str> {
    problem::ALL.iter().map(|kind| kind.code)
}

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
    NoToken {
        /// What was given.
        address: SocketAddr,
    },
    /// There is no place for uploads.
    #[error("cannot empty {folder}, where uploads are received")]
    Receiving {
        /// Where.
        folder: String,
        /// The system's answer.
        source: std::io::Error,
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
            ServeError::NoToken { .. } => {
                "set a token that callers must show: `token_file` in [serve], or the variable GREENSTREAM_TOKEN; or listen on 127.0.0.1"
            }
            ServeError::Receiving { .. } => "give this user the right to write in the home",
            ServeError::Listen { .. } => "choose another port with --listen, or port 0 for any free one",
        }
    }
}

/// The running server.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Listens and serves from a thread of its own; whole uploads go to `intake`, events to `taker`.
    ///
    /// # Errors
    /// [`ServeError`] as it says.
    pub fn start(
        home: &Home,
        file: &File,
        token: Option<Token>,
        intake: Intake,
        taker: Option<Taker>,
        outages: Arc<Outages>,
    ) -> Result<Server, ServeError> {
        let (listener, address) = listen(&file.serve.listen, token.is_some())?;
        let refused = |source| ServeError::Listen { address, source };
        listener.set_nonblocking(true).map_err(refused)?;
        let folder = home.receiving();
        let receiver = Receiver::new(folder.clone(), file.upload)
            .map_err(|source| ServeError::Receiving { folder: folder.display().to_string(), source })?;
        let places = Arc::new(Places::new(home.layout().clone(), READERS, Arc::clone(&outages)));
        let uploads = Arc::new(Uploads { receiver, intake, outages });
        let router = router(places, token.map(Arc::new), uploads, Arc::new(Events::new(taker)));
        let keys = file.serve.clone();
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(READERS + WRITERS)
            .build()
            .map_err(refused)?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => connections::serve(listener, router, keys, stopped).await,
                    Err(error) => tracing::error!(%error, "the pages are not served"),
                }
            });
        });
        Ok(Server { address, stop, thread })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops serving.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.thread.join();
    }
}

/// Reads an address to listen on. Without a token it must be of this machine only.
///
/// # Errors
/// [`ServeError`] as it says.
pub fn address(text: &str, has_token: bool) -> Result<SocketAddr, ServeError> {
    let parsed = text.parse().map_err(|_| ServeError::Address { address: text.to_owned() });
    let address: SocketAddr = parsed?;
    if has_token || address.ip().is_loopback() { Ok(address) } else { Err(ServeError::NoToken { address }) }
}

/// Listens on an address such as `127.0.0.1:8321`; port 0 is any free one. Gives the address with the port
/// it has become.
///
/// # Errors
/// [`ServeError`] as it says.
pub fn listen(text: &str, has_token: bool) -> Result<(TcpListener, SocketAddr), ServeError> {
    let address = address(text, has_token)?;
    let refused = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

fn router(places: Arc<Places>, access: Access, uploads: Arc<Uploads>, events: Arc<Events>) -> Router {
    let add = |router: Router<_>, route: &Route| router.route(route.path, (route.methods)());
    ROUTES
        .iter()
        .fold(Router::new(), add)
        .layer(Extension(uploads))
        .layer(Extension(events))
        // uploads and events are bounded where they are received, and nothing else reads a body
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(access, access::check))
        .layer(map_response(guard))
        .with_state(places)
}

/// What every answer says to a browser.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    // nobody's page shows an asset or an answer as its own, whatever the browser knows of passwords
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    // numbers are of now; only what is compiled in may be kept
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Answers beside the server's thread, which would otherwise wait for the disk with every client.
async fn answer<T: Send + 'static>(
    places: Arc<Places>,
    read: impl FnOnce(&Places) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    // uploads are written by threads beside these
    let _turn = places.readers.acquire().await;
    let asked = Arc::clone(&places);
    tokio::task::spawn_blocking(move || read(&asked))
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
        let text = metrics::text(&places.status_or_outages()?);
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
    })
    .await
}
