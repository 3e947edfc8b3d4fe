//! A store in memory that fails as a test tells it to: before a request, after it (the answer is lost), or in
//! the middle of a body.

use super::{Bucket, Settings};
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use std::fmt;
use std::sync::Arc;

/// What happens to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    None,
    /// The store does not hear of it.
    Lost,
    /// The store carries it out, and its answer is lost.
    Unanswered,
    /// The store refuses, in an answer with more in it than anybody may hear.
    Denied,
    /// Half of the body comes.
    Cut,
}

type Chance = dyn Fn(&str) -> Fault + Send + Sync;

/// A store over a shared one.
#[derive(Clone)]
pub(crate) struct Flaky {
    pub(crate) inner: Arc<InMemory>,
    chance: Arc<Chance>,
}

impl Flaky {
    pub(crate) fn new(
        inner: &Arc<InMemory>,
        chance: impl Fn(&str) -> Fault + Send + Sync + 'static,
    ) -> Flaky {
        Flaky { inner: Arc::clone(inner), chance: Arc::new(chance) }
    }

    /// A bucket on it that tries each request so many times more.
    pub(crate) fn bucket(self, retries_max: u32) -> Bucket {
        let settings = Settings { retries_max, request_seconds: 20, ..Settings::default() };
        Bucket::over(Arc::new(self), "s3://meters/landing", &settings)
    }
}

/// An upload in parts, whose last step may fail.
struct Parts {
    inner: Box<dyn MultipartUpload>,
    chance: Arc<Chance>,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        self.inner.put_part(part)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        match (self.chance)("complete") {
            Fault::Lost => Err(reset()),
            Fault::Unanswered => {
                let _ = self.inner.complete().await;
                Err(reset())
            }
            _ => self.inner.complete().await,
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}

fn reset() -> Error {
    Error::Generic { store: "flaky", source: "the connection was reset".into() }
}

fn denied(at: &Path) -> Error {
    let answer =
        "403 Forbidden: <Error><Code>AccessDenied</Code><AWSAccessKeyId>canary</AWSAccessKeyId></Error>";
    Error::PermissionDenied { path: at.to_string(), source: answer.into() }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match (self.chance)("put") {
            Fault::Lost => Err(reset()),
            Fault::Unanswered => {
                let _ = self.inner.put_opts(at, payload, options).await;
                Err(reset())
            }
            _ => self.inner.put_opts(at, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        match (self.chance)("multipart") {
            Fault::Lost => Err(reset()),
            _ => {
                let inner = self.inner.put_multipart_opts(at, options).await?;
                Ok(Box::new(Parts { inner, chance: Arc::clone(&self.chance) }))
            }
        }
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        match (self.chance)(if head { "head" } else { "get" }) {
            Fault::Lost | Fault::Unanswered => Err(reset()),
            Fault::Denied => Err(denied(at)),
            Fault::Cut if !head => {
                let result = self.inner.get_opts(at, options).await?;
                let (meta, range, attributes) =
                    (result.meta.clone(), result.range.clone(), result.attributes.clone());
                let mut bytes = result.bytes().await?;
                bytes.truncate(bytes.len() / 2);
                let body = futures_util::stream::iter([Ok(bytes)]).boxed();
                Ok(GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes })
            }
            _ => self.inner.get_opts(at, options).await,
        }
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match (self.chance)("list") {
            Fault::Lost | Fault::Unanswered => futures_util::stream::iter([Err(reset())]).boxed(),
            _ => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flaky")
    }
}

impl fmt::Debug for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}
