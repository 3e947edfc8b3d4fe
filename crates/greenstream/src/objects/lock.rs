//! Object Lock: everything that is put says until when it may not be changed or removed.
//!
//! The client library has no word for it, so the headers are added on the way out and the request is signed
//! again, for a store takes no unsigned header of its own.

use crate::clock;
use async_trait::async_trait;
use greenstream_core::Ts;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpService, SpawnedReqwestConnector,
};
use object_store::{HeaderMap, HeaderValue};
use std::sync::{Arc, OnceLock};

const SECOND_MICROS: i64 = 1_000_000;
const DAY_MICROS: i64 = 86_400 * SECOND_MICROS;

/// Makes clients that lock what they put.
#[derive(Clone, Debug)]
pub(super) struct Locking(Arc<Lock>);

#[derive(Debug)]
struct Lock {
    connector: SpawnedReqwestConnector,
    days: u32,
    region: String,
    /// The store's own, known once the store is made.
    credentials: OnceLock<AwsCredentialProvider>,
}

/// A client that locks what it puts.
#[derive(Debug)]
struct Client {
    inner: HttpClient,
    lock: Arc<Lock>,
}

impl Locking {
    pub(super) fn new(connector: SpawnedReqwestConnector, days: u32, region: String) -> Locking {
        Locking(Arc::new(Lock { connector, days, region, credentials: OnceLock::new() }))
    }

    /// Says whose signature requests bear.
    pub(super) fn sign_with(&self, credentials: &AwsCredentialProvider) {
        self.0.credentials.get_or_init(|| Arc::clone(credentials));
    }
}

impl HttpConnector for Locking {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = self.0.connector.connect(options)?;
        Ok(HttpClient::new(Client { inner, lock: Arc::clone(&self.0) }))
    }
}

/// Whether a request makes an object: its put, or the begin of its parts.
fn makes_object(method: &str, query: Option<&str>) -> bool {
    match (method, query) {
        ("PUT", None | Some("")) => true,
        ("POST", Some(query)) => query == "uploads" || query.starts_with("uploads="),
        _ => false,
    }
}

/// Whether a request is one to the store: those for credentials go through the same client and bear no
/// signature, and to ask for credentials in the middle of one would wait for itself.
fn is_signed(headers: &HeaderMap) -> bool {
    headers.contains_key("authorization")
}

/// Until when, as the header has it: in whole seconds.
fn retain_until(now: Ts, days: u32) -> String {
    let now = now.micros() - now.micros().rem_euclid(SECOND_MICROS);
    Ts::from_micros(now + i64::from(days) * DAY_MICROS).to_string()
}

fn text(value: &str) -> Result<HeaderValue, HttpError> {
    HeaderValue::from_str(value).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))
}

/// The hash of the body, as the first signature had it; none where it signs no body.
fn digest_of(headers: &HeaderMap) -> Option<Vec<u8>> {
    let hash = crate::landing::Hash::parse(headers.get("x-amz-content-sha256")?.to_str().ok()?)?;
    Some(hash.bytes().to_vec())
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let credentials = self.lock.credentials.get();
        let makes =
            is_signed(request.headers()) && makes_object(request.method().as_str(), request.uri().query());
        if let Some(credentials) = credentials.filter(|_| makes) {
            let credential = credentials
                .get_credential()
                .await
                .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
            let digest = digest_of(request.headers());
            let headers = request.headers_mut();
            headers.remove("authorization");
            headers.insert("x-amz-object-lock-mode", text("COMPLIANCE")?);
            if headers.contains_key("x-amz-checksum-sha256") {
                headers.insert("x-amz-sdk-checksum-algorithm", text("SHA256")?);
            }
            let until = retain_until(clock::now(), self.lock.days);
            headers.insert("x-amz-object-lock-retain-until-date", text(&until)?);
            AwsAuthorizer::new(&credential, "s3", &self.lock.region)
                .with_sign_payload(digest.is_some())
                .authorize(&mut request, digest.as_deref());
        }
        self.inner.execute(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_makes_an_object_is_locked() {
        for (method, query, makes) in [
            ("PUT", None, true),
            ("PUT", Some("partNumber=1&uploadId=x"), false),
            ("POST", Some("uploads"), true),
            ("POST", Some("uploads="), true),
            ("POST", Some("uploadId=x"), false),
            ("POST", Some("delete"), false),
            ("GET", None, false),
            ("DELETE", None, false),
        ] {
            assert_eq!(makes_object(method, query), makes, "{method} {query:?}");
        }
    }

    #[test]
    fn a_request_for_credentials_is_not_locked() {
        let mut headers = HeaderMap::new();
        headers.insert("x-aws-ec2-metadata-token-ttl-seconds", HeaderValue::from_static("600"));
        assert!(!is_signed(&headers));
        headers.insert("authorization", HeaderValue::from_static("AWS4-HMAC-SHA256 Credential=x"));
        assert!(is_signed(&headers));
    }

    #[test]
    fn a_lock_ends_so_many_days_from_now() {
        let now = crate::text::instant("2026-03-02T00:15:00.75Z").unwrap();
        assert_eq!(retain_until(now, 30), "2026-04-01T00:15:00Z");
    }
}
