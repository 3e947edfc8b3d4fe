//! `PUT /v1/uploads/{name}`: takes an upload in and answers once it is on stable storage.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::time::timeout;

use super::digest::Digests;
use super::problem::{BYTES_KNOWN, DISK_LOW, LANDING_BUSY, LANDING_FAILED, NAME_UNFIT, Problem, RANGE_UNFIT};
use super::receive::Receiver;
use crate::landing::name_as_text;
use crate::outage::{Outages, Part};
use crate::process::{Note, Receipt};
use crate::trigger::{Intake, Unlanded};

/// The route; `{name}` is the name of the upload, percent-encoded.
pub const ROUTE: &str = "/v1/uploads/{name}";
/// The longest that a sender waits for the answer to what has come whole. Tests wait for its end.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(if cfg!(test) { 8 } else { 60 });
/// The longest name in bytes: that of a file.
const NAME_BYTES_MAX: usize = 255;

/// What the route needs.
pub struct Uploads {
    pub receiver: Receiver,
    pub intake: Intake,
    /// Where it says that nothing can be received.
    pub outages: Arc<Outages>,
}

/// Answers the route.
pub async fn put(Extension(uploads): Extension<Arc<Uploads>>, request: Request) -> Response {
    let name = match name_in(request.uri().path()) {
        Ok(name) => name,
        Err(problem) => return problem.into_response(),
    };
    match uploads.take(name.clone(), request).await {
        Ok(receipt) => answer(&name, &receipt),
        Err(problem) => {
            tracing::warn!(file = name, code = problem.code(), "upload refused: {}", problem.detail());
            problem.into_response()
        }
    }
}

impl Uploads {
    async fn take(&self, name: String, request: Request) -> Result<Receipt, Problem> {
        let (head, body) = request.into_parts();
        if head.headers.contains_key(header::CONTENT_RANGE) {
            return Err(RANGE_UNFIT.because("a part of a file is no upload"));
        }
        let digests = Digests::of(&head.headers)?;
        let busy = || LANDING_BUSY.because("too many uploads wait to land");
        if self.intake.room() == 0 {
            return Err(busy());
        }
        let received = self.receiver.receive(body, length(&head.headers), digests).await;
        if let Err(problem) = &received
            && problem.code() == DISK_LOW.code
            && self.receiver.is_full()
        {
            self.outages.fail(Part::Landing, problem.detail().to_owned(), "free some of the disk");
        }
        let bytes = received?;
        // one that is given up here is not landed, unless landing has begun with it
        let landed = timeout(ANSWER_TIME_MAX, self.intake.land(name, bytes))
            .await
            .map_err(|_| LANDING_BUSY.because("the upload has come whole, and landing has not answered"))?;
        landed.map_err(|unlanded| match unlanded {
            Unlanded::Busy => busy(),
            Unlanded::Refused(refused) => {
                LANDING_FAILED.because(format!("{}; {}", refused.problem, refused.hint))
            }
            Unlanded::Stopping => LANDING_FAILED.because("the service is stopping"),
        })
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The name in a path, as the inbox would show it: any bytes that a file name may have.
fn name_in(path: &str) -> Result<String, Problem> {
    let segment = path.rsplit('/').next().unwrap_or_default();
    let name: Vec<u8> = percent_decode_str(segment).collect();
    let unfit = |what: &str| Err(NAME_UNFIT.because(format!("the name of the upload {what}")));
    match name.as_slice() {
        [] => unfit("is empty"),
        b"." | b".." => unfit("is that of a folder"),
        name if name.len() > NAME_BYTES_MAX => unfit(&format!("has {} bytes", name.len())),
        name if name.iter().any(|byte| matches!(byte, b'/' | 0)) => unfit("holds `/` or NUL"),
        name => Ok(name_as_text(name)),
    }
}

fn answer(name: &str, receipt: &Receipt) -> Response {
    let (status, word, upload) = match &receipt.note {
        Note::Landed(upload) => (StatusCode::CREATED, "landed", *upload),
        Note::Known(upload) => (StatusCode::OK, "known", *upload),
        Note::Retried(upload) => (StatusCode::OK, "retried", *upload),
        Note::Refused { upload, feed, time_zone } => {
            let zone = time_zone.as_ref().map(|zone| format!(" and time zone {zone}")).unwrap_or_default();
            let known = format!("these bytes are upload {upload}, which landed under feed {feed}{zone}");
            return BYTES_KNOWN.because(known).into_response();
        }
        Note::Unread { problem, hint } => {
            return LANDING_FAILED.because(format!("{problem}; {hint}")).into_response();
        }
    };
    let (sha256, bytes) = (&receipt.sha256, receipt.bytes);
    let told = json!({ "upload": upload, "name": name, "sha256": sha256, "bytes": bytes, "status": word });
    (status, Json(told)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trigger::{Bell, Posts, WAITING_MAX, intake};

    #[track_caller]
    fn check(path: &str, name: Option<&str>) {
        assert_eq!(name_in(path).ok().as_deref(), name, "{path}");
    }

    #[test]
    fn a_name_is_what_a_file_may_be_called_and_never_a_path() {
        check("/v1/uploads/a.csv", Some("a.csv"));
        check("/v1/uploads/..%20a", Some(".. a"));
        check("/v1/uploads/%3Cb%3E%0A%1B%22", Some("<b>\n\u{1b}\""));
        check("/v1/uploads/%ff%C3%A4", Some("\\xff\u{e4}"));
        check("/v1/uploads/%zz", Some("%zz"));
        check(&format!("/v1/uploads/{}", "x".repeat(255)), Some(&"x".repeat(255)));
        check(&format!("/v1/uploads/{}", "x".repeat(256)), None);
        for path in ["", ".", "..", "%2e%2e", "..%2F..%2Fetc%2Fpasswd", "%2Fetc", "a%00b"] {
            check(&format!("/v1/uploads/{path}"), None);
        }
    }

    fn uploads(folder: &std::path::Path) -> (Arc<Uploads>, Posts) {
        let keys = crate::config::UploadKeys { free_bytes_min: 0, ..Default::default() };
        let receiver = Receiver::new(folder.join("receiving"), keys).unwrap();
        let (intake, posts) = intake(Bell::default());
        (Arc::new(Uploads { receiver, intake, outages: Arc::default() }), posts)
    }

    /// The code of the problem, or none where it was acknowledged.
    async fn take(uploads: Arc<Uploads>) -> Option<&'static str> {
        let request = Request::new(axum::body::Body::from("x"));
        uploads.take("a".to_owned(), request).await.err().map(|problem| problem.code())
    }

    #[tokio::test]
    async fn as_many_uploads_wait_to_land_as_the_limit_says_and_not_one_more() {
        let folder = tempfile::tempdir().unwrap();
        let (uploads, mut posts) = uploads(folder.path());
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| tokio::spawn(take(Arc::clone(&uploads)))).collect();
        while uploads.intake.room() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(take(Arc::clone(&uploads)).await, Some("landing_busy"));
        let posted = posts.take();
        assert_eq!(posted.len(), WAITING_MAX);
        for one in posted {
            let receipt = Receipt { note: Note::Landed(1), sha256: String::new(), bytes: 1 };
            one.answer.send(Ok(receipt)).unwrap();
        }
        for one in waiting {
            assert_eq!(one.await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn nothing_is_acknowledged_by_a_service_that_stops() {
        let folder = tempfile::tempdir().unwrap();
        let (uploads, posts) = uploads(folder.path());
        let waiting = tokio::spawn(take(Arc::clone(&uploads)));
        while uploads.intake.room() == WAITING_MAX {
            tokio::task::yield_now().await;
        }
        drop(posts);
        assert_eq!(waiting.await.unwrap(), Some("landing_failed"));
        assert_eq!(take(uploads).await, Some("landing_busy"));
    }

    #[tokio::test]
    async fn a_sender_is_told_that_landing_does_not_answer_and_nothing_of_it_lands_then() {
        let folder = tempfile::tempdir().unwrap();
        let (uploads, mut posts) = uploads(folder.path());
        let began = std::time::Instant::now();
        assert_eq!(take(uploads).await, Some("landing_busy"));
        assert!(began.elapsed() >= ANSWER_TIME_MAX);
        let closed: Vec<_> = posts.take().iter().map(|posted| posted.answer.is_closed()).collect();
        assert_eq!(closed, [true], "it may land still");
    }
}
