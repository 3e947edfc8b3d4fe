//! Why a request was refused, for programs: problem details (RFC 9457) with a stable code each.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A kind of refusal. Its code is explained in `docs/errors.md`.
#[derive(PartialEq, Eq, Debug)]
pub struct Kind {
    /// The stable name.
    pub code: &'static str,
    status: StatusCode,
    help: &'static str,
}

const fn kind(code: &'static str, status: StatusCode, help: &'static str) -> Kind {
    Kind { code, status, help }
}

pub const UNAUTHORIZED: Kind = kind(
    "unauthorized",
    StatusCode::UNAUTHORIZED,
    "send `Authorization: Bearer TOKEN`; a browser asks for a password, which is the token",
);
pub const TOKEN_UNSET: Kind = kind(
    "token_unset",
    StatusCode::FORBIDDEN,
    "set `token_file` in [serve] or GREENSTREAM_TOKEN and start the service again, or put the file into inbox/",
);
pub const NAME_UNFIT: Kind =
    kind("name_unfit", StatusCode::BAD_REQUEST, "give it the name of a file: 1 to 255 bytes, no `/`");
pub const RANGE_UNFIT: Kind =
    kind("range_unfit", StatusCode::BAD_REQUEST, "send the whole file, without Content-Range");
pub const DIGEST_UNFIT: Kind = kind(
    "digest_unfit",
    StatusCode::BAD_REQUEST,
    "write it as in RFC 9530: `Content-Digest: sha-256=:BASE64:`, or leave it out",
);
pub const DIGEST_DIFFERS: Kind = kind("digest_differs", StatusCode::BAD_REQUEST, "send the file again");
pub const BODY_TRUNCATED: Kind =
    kind("body_truncated", StatusCode::BAD_REQUEST, "send the file again, to its end");
pub const BODY_SLOW: Kind =
    kind("body_slow", StatusCode::REQUEST_TIMEOUT, "send the file again, compressed or in parts");
pub const BODY_TOO_LARGE: Kind =
    kind("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "compress the file (gzip, zstd) or split it");
pub const BYTES_KNOWN: Kind = kind(
    "bytes_known",
    StatusCode::CONFLICT,
    "change feed or zone in the supplier's profile, then `greenstream rebuild`",
);
pub const LANDING_BUSY: Kind =
    kind("landing_busy", StatusCode::SERVICE_UNAVAILABLE, "send it again after the time in Retry-After");
pub const LANDING_FAILED: Kind = kind(
    "landing_failed",
    StatusCode::SERVICE_UNAVAILABLE,
    "nothing is lost: send it again after the time in Retry-After; the service's log says more",
);
pub const DISK_LOW: Kind = kind(
    "disk_low",
    StatusCode::SERVICE_UNAVAILABLE,
    "free some space on the service's disk, or lower `upload.free_bytes_min`",
);

pub const INBOX_UNSET: Kind = kind(
    "inbox_unset",
    StatusCode::NOT_FOUND,
    "set `url` in [inbox] to the bucket that the events are about, and start the service again",
);
pub const EVENT_UNFIT: Kind = kind(
    "event_unfit",
    StatusCode::BAD_REQUEST,
    "send CloudEvents about objects, as docs/triggers.md lists them, and narrow the subscription to them",
);
pub const EVENT_TOO_LARGE: Kind = kind(
    "event_too_large",
    StatusCode::PAYLOAD_TOO_LARGE,
    "send fewer events at once; an event names an object and does not carry it",
);
pub const OBJECT_GONE: Kind = kind(
    "object_gone",
    StatusCode::NOT_FOUND,
    "put the object again; an object must stay until the service takes it out of the inbox",
);
pub const OBJECT_REFUSED: Kind = kind(
    "object_refused",
    StatusCode::CONFLICT,
    "the detail says what is wrong with the object; it stays in the inbox until somebody removes it",
);
pub const OBJECT_WAITING: Kind = kind(
    "object_waiting",
    StatusCode::SERVICE_UNAVAILABLE,
    "send it again after the time in Retry-After; without that the object lands by the next scan of the inbox",
);

/// All of them, in the order of `docs/errors.md`.
pub const ALL: [&Kind; 19] = [
    &UNAUTHORIZED,
    &TOKEN_UNSET,
    &NAME_UNFIT,
    &RANGE_UNFIT,
    &DIGEST_UNFIT,
    &DIGEST_DIFFERS,
    &BODY_TRUNCATED,
    &BODY_SLOW,
    &BODY_TOO_LARGE,
    &BYTES_KNOWN,
    &LANDING_BUSY,
    &LANDING_FAILED,
    &DISK_LOW,
    &INBOX_UNSET,
    &EVENT_UNFIT,
    &EVENT_TOO_LARGE,
    &OBJECT_GONE,
    &OBJECT_REFUSED,
    &OBJECT_WAITING,
];

/// Seconds after which a sender that was told to wait may come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("10");

/// A refused request.
#[derive(Debug)]
pub struct Problem {
    kind: &'static Kind,
    detail: String,
}

impl Kind {
    /// A refusal of this kind, in words that hold no secrets.
    pub fn because(&'static self, detail: impl Into<String>) -> Problem {
        Problem { kind: self, detail: detail.into() }
    }
}

impl Problem {
    /// The stable name.
    pub fn code(&self) -> &'static str {
        self.kind.code
    }

    /// The way out.
    pub fn help(&self) -> &'static str {
        self.kind.help
    }

    /// Whether it is the same however often it is tried: the body is too large.
    pub fn is_for_ever(&self) -> bool {
        *self.kind == BODY_TOO_LARGE
    }

    /// What is wrong.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Kind { code, status, help } = self.kind;
        let problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "code": code,
            "detail": self.detail,
            "help": help,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (*status, kind, format!("{problem}\n")).into_response();
        let headers = response.headers_mut();
        if *status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if *status == StatusCode::UNAUTHORIZED {
            // a browser knows the second
            let bearer = HeaderValue::from_static("Bearer realm=\"greenstream\"");
            headers.append(header::WWW_AUTHENTICATE, bearer);
            let basic = HeaderValue::from_static("Basic realm=\"greenstream\", charset=\"UTF-8\"");
            headers.append(header::WWW_AUTHENTICATE, basic);
        }
        response
    }
}
