//! Putting: never over another object, and large ones in parts.

use super::bucket::Bucket;
use super::error::{Error, Kind};
use super::wait::wait;
use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload};

/// Bytes of one part, and the most that is put at once. Stores take parts of 5 MiB and more, at most 10,000
/// of them; more is held in memory for each upload on its way.
pub const PART_BYTES: usize = 8 << 20;

/// What became of a put that replaces nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// It is there now, and was not.
    New,
    /// The same bytes are there: of before, or of a try whose answer was lost.
    Same,
    /// Other bytes are there.
    Other,
}

/// One try.
enum Tried {
    Done,
    Exists,
}

impl Bucket {
    /// Puts an object that is not there yet. What is there is compared, so that a try whose answer was lost is
    /// recognised as one's own.
    ///
    /// # Errors
    /// [`Error::Store`]; the object may be there all the same.
    pub fn put_new(&self, key: &str, bytes: Bytes) -> Result<Put, Error> {
        self.patiently(|| match self.try_new(key, bytes.clone())? {
            Tried::Done => Ok(Put::New),
            Tried::Exists => match self.get(key, bytes.len() as u64) {
                Ok(Some(there)) if there == bytes => Ok(Put::Same),
                Ok(Some(_)) => Ok(Put::Other),
                // larger than these
                Err(error) if error.kind() == Some(Kind::Unsupported) => Ok(Put::Other),
                Ok(None) => {
                    let problem = "another put of it is under way";
                    Err(Error::of_kind("put", self.url_of(key), Kind::Away, problem))
                }
                Err(error) => Err(error),
            },
        })
    }

    fn try_new(&self, key: &str, bytes: Bytes) -> Result<Tried, Error> {
        let (store, full) = (self.store(), self.full_key(key));
        wait("put", || self.url_of(key), self.limit(), async move {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match store.put_opts(&full, PutPayload::from(bytes), options).await {
                Ok(_) => Ok(Tried::Done),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    Ok(Tried::Exists)
                }
                Err(error) => Err(error),
            }
        })
    }

    /// Puts an object over what is there, if anything is.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        self.patiently(|| {
            let (store, full, bytes) = (self.store(), self.full_key(key), bytes.clone());
            wait("put", || self.url_of(key), self.limit(), async move {
                store.put(&full, PutPayload::from(bytes)).await.map(|_| ())
            })
        })
    }

    /// Puts an object in parts of [`PART_BYTES`], as `next` gives them: a shorter one is the last. Its name must
    /// tell its content, for the last step replaces what has the name. Nothing is there before that step.
    ///
    /// # Errors
    /// Those of `next`, and [`Error::Store`]; the parts are given up then.
    pub fn put_large<E: From<Error>>(
        &self,
        key: &str,
        mut next: impl FnMut() -> Result<Bytes, E>,
    ) -> Result<(), E> {
        let mut upload = self.begin(key)?;
        let mut sent = 0;
        let parts = loop {
            let part = match next() {
                Ok(part) => part,
                Err(error) => break Err(error),
            };
            let (bytes, is_last) = (part.len(), part.len() < PART_BYTES);
            if bytes > 0 || sent == 0 {
                let put = upload.put_part(PutPayload::from(part));
                if let Err(error) = wait("put a part of", || self.url_of(key), self.limit(), put) {
                    break Err(E::from(error));
                }
            }
            sent += bytes as u64;
            if is_last {
                break Ok(());
            }
        };
        if let Err(error) = parts {
            // what stays of the parts goes by the bucket's own rule
            let _ = wait("give up", || self.url_of(key), self.limit(), async move { upload.abort().await });
            return Err(error);
        }
        let ended =
            wait("put together", || self.url_of(key), self.limit(), async move { upload.complete().await });
        match ended {
            Ok(_) => Ok(()),
            // the answer may be lost, and the parts gone because they are the object now
            Err(error) => match self.head(key) {
                Ok(Some(found)) if found.bytes == sent => Ok(()),
                _ => Err(error.into()),
            },
        }
    }

    fn begin(&self, key: &str) -> Result<Box<dyn MultipartUpload>, Error> {
        self.patiently(|| {
            let (store, full) = (self.store(), self.full_key(key));
            wait("begin to put", || self.url_of(key), self.limit(), async move {
                store.put_multipart_opts(&full, PutMultipartOptions::default()).await
            })
        })
    }
}
