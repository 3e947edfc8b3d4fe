//! Connections: how many, how long a head may take, and what becomes of those who neither send nor read.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;

use crate::config::ServeKeys;

/// Bytes of a request's head, and of what is read ahead of a body. Larger lets each connection take more.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// The longest that a client may take none of an answer.
const UNREAD_MAX: Duration = Duration::from_secs(30);
/// How long, and for how many bytes, a client that was refused may go on sending until it hears of it: a
/// connection closed at once would tear the answer away.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 4 << 20;
/// How long requests may take to end when the service stops.
const FAREWELL: Duration = Duration::from_secs(10);
/// Files that the rest of the process may have open.
const OTHER_FILES: u64 = 512;

/// What a client is told for whom there is no connection left.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

type Stream = Pin<Box<TimeoutStream<TcpStream>>>;

/// Serves until told to stop, then lets requests end.
pub async fn serve(listener: TcpListener, router: Router, keys: ServeKeys, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(places(keys.connections_max)));
    let head_time = Duration::from_secs(keys.head_seconds);
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let (router, stop) = (router.clone(), stop.clone());
                    open.spawn(async move {
                        connection(stream, router, head_time, stop).await;
                        drop(place);
                    });
                }
                Err(_) => drop(stream.try_write(FULL)),
            },
            Err(error) => {
                // a client that is gone already, or no file left: both pass
                tracing::warn!(%error, "a connection cannot be taken");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let _ = timeout(FAREWELL, async { while open.join_next().await.is_some() {} }).await;
}

/// Serves one client until it or the server ends the connection, or a limit does.
async fn connection(stream: TcpStream, router: Router, head_time: Duration, mut stop: watch::Receiver<bool>) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(UNREAD_MAX));
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answered = router.call(request);
        Box::pin(async move { Ok::<_, Infallible>(answered.await.unwrap_or_else(|never| match never {})) })
    });
    let mut serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(true)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let served = tokio::select! {
        served = poll_fn(|context| serving.poll_without_shutdown(context)) => Some(served),
        // what it gives holds a lock, which must be gone before the next wait
        _ = async { drop(stop.wait_for(|stop| *stop).await) } => None,
    };
    let served = match served {
        Some(served) => served,
        None => {
            Pin::new(&mut serving).graceful_shutdown();
            poll_fn(|context| serving.poll_without_shutdown(context)).await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
    linger(serving.into_parts().io.into_inner()).await;
}

/// Ends a connection such that the client can still read its last answer.
async fn linger(mut stream: Stream) {
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    let _ = timeout(LINGER, rest).await;
}

/// How many connections there are places for: each may have a file of its own too, and systems begin with
/// few files for a process.
fn places(wanted: usize) -> usize {
    let needed = 2 * wanted as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= needed {
        return wanted;
    }
    let raised = needed.min(most);
    if setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }).is_ok() && raised == needed {
        return wanted;
    }
    let fit = usize::try_from(raised.saturating_sub(OTHER_FILES) / 2).unwrap_or(wanted).clamp(1, wanted);
    tracing::warn!(
        files = raised,
        connections = fit,
        wanted,
        "the system's limit of open files allows fewer connections; raise it (`ulimit -n`, LimitNOFILE)"
    );
    fit
}
