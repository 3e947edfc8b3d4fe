//! `POST /v1/events`: CloudEvents about objects of the inbox bucket, answered once the objects have landed; and
//! the handshake by which a sender asks for consent before it sends any.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::problem::{
    BODY_SLOW, BODY_TRUNCATED, EVENT_TOO_LARGE, EVENT_UNFIT, INBOX_UNSET, OBJECT_GONE, OBJECT_REFUSED,
    OBJECT_WAITING, Problem,
};
use super::upload::ANSWER_TIME_MAX;
use crate::process::Refused;
use crate::trigger::{CloudEvent, Disposition, Hint, Taker, Unfit};

/// The route.
pub const ROUTE: &str = "/v1/events";
/// The longest body that is read as events: Azure Event Grid sends batches of up to 1 MB.
const EVENTS_BYTES_MAX: usize = 1 << 20;
/// The most events in one body.
const EVENTS_MAX: usize = 5_000;
/// The longest time for a body.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);
/// Requests with events at the same time. Their senders come again, and each may hold a body.
const REQUESTS_MAX: usize = 64;

/// What the route needs.
pub struct Events {
    taker: Option<Taker>,
    requests: Arc<Semaphore>,
}

impl Events {
    /// Takes events to `taker`; without one there is no bucket that they could be about.
    pub fn new(taker: Option<Taker>) -> Events {
        Events { taker, requests: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }
}

/// Answers events. Success has no body: Knative takes one for an event in reply.
pub async fn post(Extension(events): Extension<Arc<Events>>, request: Request) -> Response {
    match events.take(request).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => {
            tracing::warn!(code = problem.code(), "events refused: {}", problem.detail());
            problem.into_response()
        }
    }
}

/// Consents to events, as the CloudEvents webhook specification has it: whoever shows the token may send.
pub async fn consent(headers: HeaderMap) -> Response {
    let Some(origin) = headers.get("webhook-request-origin") else {
        return EVENT_UNFIT
            .because("OPTIONS without WebHook-Request-Origin asks for nothing")
            .into_response();
    };
    let methods = HeaderValue::from_static("POST, OPTIONS");
    let allowed = [("webhook-allowed-origin", origin.clone()), ("allow", methods)];
    let mut response = (StatusCode::OK, allowed).into_response();
    if let Some(rate) = headers.get("webhook-request-rate") {
        response.headers_mut().insert("webhook-allowed-rate", rate.clone());
    }
    response
}

impl Events {
    async fn take(&self, request: Request) -> Result<(), Problem> {
        let Some(taker) = &self.taker else {
            return Err(INBOX_UNSET.because("the service has no inbox bucket"));
        };
        let turn = Arc::clone(&self.requests)
            .try_acquire_owned()
            .map_err(|_| OBJECT_WAITING.because("too many events are taken"))?;
        let (head, body) = request.into_parts();
        let mode = Mode::of(&head.headers)?;
        let (hints, mut worst) = match timeout(BODY_TIME_MAX, read(body)).await {
            Err(_) => return Err(BODY_SLOW.because("the events did not come within a minute")),
            Ok(body) => mode.hints(&head.headers, body?)?,
        };
        let taker = taker.clone();
        // goes on where its sender has gone: a long object that was begun anew each time would never be whole
        let taking = tokio::spawn(async move {
            let _turn = turn;
            taker.take_all(hints).await
        });
        let taken = timeout(ANSWER_TIME_MAX, taking)
            .await
            .map_err(|_| OBJECT_WAITING.because("the objects are being taken, and that lasts"))?
            .map_err(|error| OBJECT_WAITING.because(format!("it was given up: {error}")))?;
        for (hint, disposition) in taken {
            worst = worse(worst, problem(&hint.key, &disposition));
        }
        worst.map_or(Ok(()), Err)
    }
}

/// The problem that its sender hears of two. What passes goes first: the events then come again, and those
/// that are settled change nothing.
fn worse(one: Option<Problem>, other: Option<Problem>) -> Option<Problem> {
    match (one, other) {
        (Some(one), Some(other)) if other.code() == OBJECT_WAITING.code && one.code() != other.code() => {
            Some(other)
        }
        (one, other) => one.or(other),
    }
}

fn problem(key: &str, disposition: &Disposition) -> Option<Problem> {
    let kind = match disposition {
        Disposition::Landed(_) | Disposition::Before | Disposition::NoConcern(_) => return None,
        Disposition::Later { .. } => &OBJECT_WAITING,
        Disposition::Missing(_) => &OBJECT_GONE,
        Disposition::Never(_) => &OBJECT_REFUSED,
    };
    let Refused { problem, hint } = disposition.refused()?;
    Some(kind.because(format!("{key:?}: {problem}; {hint}")))
}

/// The content modes of CloudEvents over HTTP.
#[derive(PartialEq, Eq, Debug)]
enum Mode {
    /// One event in the body.
    Structured,
    /// A list of them.
    Batch,
    /// One in the headers, its data in the body.
    Binary,
}

impl Mode {
    fn of(headers: &HeaderMap) -> Result<Mode, Problem> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/cloudevents+json" => Ok(Mode::Structured),
            "application/cloudevents-batch+json" => Ok(Mode::Batch),
            kind if kind.starts_with("application/cloudevents") => {
                Err(EVENT_UNFIT.because(format!("events as {kind:?} are not known, only as JSON")))
            }
            _ if headers.contains_key("ce-specversion") => Ok(Mode::Binary),
            _ => Err(EVENT_UNFIT
                .because("neither the Content-Type nor `ce-` headers say that this is a CloudEvent")),
        }
    }

    /// The hints in a body, and what is wrong with an event of a batch: the others are taken all the same.
    fn hints(
        &self,
        headers: &HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Result<(Vec<Hint>, Option<Problem>), Problem> {
        let unfit = |unfit: Unfit| EVENT_UNFIT.because(unfit.to_string());
        if *self == Mode::Binary {
            // some sources send the object itself as data, whatever its size; the event names it
            let header = |name: &str| headers.get(name)?.to_str().ok();
            let event = CloudEvent::binary(header, body.as_deref().unwrap_or_default());
            return Ok((event.and_then(|event| event.hints()).map_err(unfit)?, None));
        }
        let Some(body) = body else {
            let problem = format!("the events have more than {EVENTS_BYTES_MAX} bytes");
            return Err(EVENT_TOO_LARGE.because(problem));
        };
        let events = match (self, serde_json::from_slice(&body)) {
            (_, Err(error)) => return Err(EVENT_UNFIT.because(format!("the body is no JSON: {error}"))),
            (Mode::Batch, Ok(Value::Array(events))) => events,
            (Mode::Batch, Ok(_)) => return Err(EVENT_UNFIT.because("a batch is a JSON list of events")),
            (_, Ok(event)) => vec![event],
        };
        if events.len() > EVENTS_MAX {
            let problem = format!("a batch of {} events has more than {EVENTS_MAX}", events.len());
            return Err(EVENT_TOO_LARGE.because(problem));
        }
        let (mut hints, mut wrong) = (Vec::new(), None);
        for event in &events {
            match CloudEvent::structured(event).and_then(|event| event.hints()) {
                Ok(some) => hints.extend(some),
                Err(error) => wrong = wrong.or(Some(unfit(error))),
            }
        }
        Ok((hints, wrong))
    }
}

/// A body to its end; none of it where it is longer than events may be.
async fn read(mut body: Body) -> Result<Option<Vec<u8>>, Problem> {
    let mut read = Some(Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BODY_TRUNCATED.because("the events broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        read = read.filter(|read: &Vec<u8>| read.len() + data.len() <= EVENTS_BYTES_MAX);
        if let Some(read) = &mut read {
            read.extend_from_slice(&data);
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect::<HeaderMap>()
    }

    #[test]
    fn the_mode_is_what_the_headers_say_and_nothing_is_guessed() {
        for (pairs, mode) in [
            (&[("content-type", "application/cloudevents+json; charset=utf-8")][..], Some(Mode::Structured)),
            (&[("content-type", "Application/CloudEvents-Batch+JSON")], Some(Mode::Batch)),
            (&[("content-type", "application/json"), ("ce-specversion", "1.0")], Some(Mode::Binary)),
            (&[("ce-specversion", "1.0")], Some(Mode::Binary)),
            (&[("content-type", "application/cloudevents+avro"), ("ce-specversion", "1.0")], None),
            (&[("content-type", "application/json")], None),
            (&[], None),
        ] {
            assert_eq!(Mode::of(&headers(pairs)).ok(), mode, "{pairs:?}");
        }
    }

    #[test]
    fn a_sender_is_told_to_come_again_while_that_is_of_any_use() {
        let waiting = || Some(OBJECT_WAITING.because("x"));
        let gone = || Some(OBJECT_GONE.because("x"));
        for (one, other, code) in [
            (waiting(), gone(), Some("object_waiting")),
            (gone(), waiting(), Some("object_waiting")),
            (gone(), None, Some("object_gone")),
            (None, gone(), Some("object_gone")),
            (None, None, None),
        ] {
            assert_eq!(worse(one, other).map(|problem| problem.code()), code);
        }
    }

    #[tokio::test]
    async fn a_body_is_read_to_its_limit_and_passed_over_beyond_it() {
        let read =
            async |bytes: usize| read(Body::from(vec![b' '; bytes])).await.unwrap().map(|body| body.len());
        assert_eq!(read(EVENTS_BYTES_MAX).await, Some(EVENTS_BYTES_MAX));
        assert_eq!(read(EVENTS_BYTES_MAX + 1).await, None);
    }
}
