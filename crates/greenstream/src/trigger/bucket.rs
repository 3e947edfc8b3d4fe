//! The inbox bucket: the objects below one prefix, which others put there and which leave it once landed.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::time::sleep;

use super::hint::Hint;
use super::recent::Stand;
use super::unfit_name;
use crate::outage::pauses;

/// Bytes asked for at once: what one object being read takes of the memory, and what must come within the
/// time of one request. Smaller costs requests. Tests read objects of a few of them.
pub(super) const BLOCK: u64 = if cfg!(test) { 4 << 10 } else { 4 << 20 };
/// Bytes handed on at once, which are held a second time. Smaller costs time.
pub(super) const PIECE: usize = if cfg!(test) { 1 << 10 } else { 256 << 10 };
/// A name below the prefix that nobody puts, for a question.
const NOBODY: &str = ".greenstream-asks";
/// So often a block that was cut is asked for; the client tries again what was refused or not answered.
const TRIES: usize = 4;

/// Why the object of a hint is not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unplaced {
    /// It is not of this inbox, or not to be taken as it is called.
    Elsewhere(String),
    /// It can never be read.
    Unfit(String),
}

/// A place in an object store.
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// The bucket or container; none for a folder, whose objects are named by their keys alone.
    name: Option<String>,
    prefix: Path,
}

impl Bucket {
    /// The objects of `store` below `prefix`; `name` is what events call the store.
    pub fn new(store: Arc<dyn ObjectStore>, name: Option<String>, prefix: Path) -> Bucket {
        Bucket { store, name, prefix }
    }

    /// Where the object of a hint is, and the name of the upload that it is.
    ///
    /// # Errors
    /// [`Unplaced`] where it is not to be taken.
    pub fn place(&self, hint: &Hint) -> Result<(Path, String), Unplaced> {
        let elsewhere = |why: String| Err(Unplaced::Elsewhere(why));
        if let (Some(bucket), Some(name)) = (&hint.bucket, &self.name)
            && bucket != name
        {
            return elsewhere(format!("it is in the bucket {bucket:?}, and the inbox is in {name:?}"));
        }
        let prefix: &str = self.prefix.as_ref();
        let below = hint.key.strip_prefix(prefix);
        let below = if prefix.is_empty() { below } else { below.and_then(|rest| rest.strip_prefix('/')) };
        let Some(name) = below.filter(|name| !name.is_empty()) else {
            return elsewhere(format!("it is not below {prefix:?}"));
        };
        if name.ends_with('/') {
            return elsewhere("it is the mark of a folder".to_owned());
        }
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Unplaced::Unfit("a part of its key is empty, `.` or `..`".to_owned()));
        }
        if let Some(why) = unfit_key(name) {
            return elsewhere(format!("it is {why}"));
        }
        let path = Path::parse(&hint.key).map_err(|error| Unplaced::Unfit(error.to_string()))?;
        Ok((path, name.to_owned()))
    }

    /// The keys that are there to be taken, as they come.
    pub fn list(&self) -> BoxStream<'_, Result<String, Error>> {
        let found = self.store.list(Some(&self.prefix)).map_ok(|found| found.location.to_string());
        let is_fit = |key: &String| {
            let hint = Hint { key: key.clone(), ..Hint::default() };
            std::future::ready(self.place(&hint).is_ok())
        };
        found.try_filter(is_fit).boxed()
    }

    /// Looks at an object as it stands now, or at one version of it.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not there; the store's own.
    pub async fn look(&self, path: &Path, version: Option<String>) -> Result<ObjectMeta, Error> {
        let options = GetOptions { version, head: true, ..GetOptions::default() };
        Ok(self.store.get_opts(path, options).await?.meta)
    }

    /// Asks the store what costs nothing: for an object that is not there, and for the begin of the list. Every
    /// object needs the rights to both.
    ///
    /// # Errors
    /// The store's own: it is away, its bucket is gone, or it does not let us in.
    pub async fn ask(&self) -> Result<(), Error> {
        match self.store.head(&self.prefix.clone().join(NOBODY)).await {
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.store.list(Some(&self.prefix)).next().await {
            // the store has answered; that a key cannot be read says nothing of the others
            None | Some(Ok(_) | Err(Error::InvalidPath { .. })) => Ok(()),
            Some(Err(error)) => Err(error),
        }
    }

    /// The bytes of an object that was found, in pieces, block after block: the next is asked for when the one
    /// before has been taken. An object that changes meanwhile ends in an error, never in a mixture.
    ///
    /// `version` is the one that was looked for: to ask for a version takes a right of its own.
    pub fn read(
        &self,
        found: &ObjectMeta,
        version: Option<String>,
    ) -> BoxStream<'static, Result<Bytes, Error>> {
        let options = GetOptions { version, if_match: found.e_tag.clone(), ..GetOptions::default() };
        let reading = (Arc::clone(&self.store), found.clone(), options);
        stream::try_unfold((reading, 0), |((store, found, options), from)| async move {
            if from >= found.size {
                return Ok::<_, Error>(None);
            }
            let until = found.size.min(from.saturating_add(BLOCK));
            let bytes = block(&*store, &found, options.clone().with_range(Some(from..until))).await?;
            Ok(Some((stream::iter(pieces(bytes).map(Ok)), ((store, found, options), until))))
        })
        .try_flatten()
        .boxed()
    }

    /// Takes an object out of the inbox if it is still the one that was read; one that has taken its place
    /// stays. False where it stays. Between the look and the removal are some milliseconds: a sender that
    /// puts another object under the same key within them loses it, unless the bucket keeps versions.
    ///
    /// # Errors
    /// The store's own.
    pub async fn remove_if_same(&self, path: &Path, stand: &Stand) -> Result<bool, Error> {
        let removed = async {
            if Stand::of(&self.store.head(path).await?) != *stand {
                return Ok(false);
            }
            self.store.delete(path).await.map(|()| true)
        };
        match removed.await {
            Err(Error::NotFound { .. }) => Ok(true),
            outcome => outcome,
        }
    }
}

/// A block in pieces, none of it copied.
fn pieces(mut block: Bytes) -> impl Iterator<Item = Bytes> + Send {
    std::iter::from_fn(move || (!block.is_empty()).then(|| block.split_to(block.len().min(PIECE))))
}

/// One block of an object as it was found. Where it has changed or is gone, to ask again is of no use.
async fn block(store: &dyn ObjectStore, found: &ObjectMeta, options: GetOptions) -> Result<Bytes, Error> {
    let mut waits = pauses().take(TRIES - 1);
    loop {
        match (try_block(store, found, options.clone()).await, waits.next()) {
            (Err(Error::Generic { .. }), Some(wait)) => sleep(wait).await,
            (outcome, _) => return outcome,
        }
    }
}

async fn try_block(store: &dyn ObjectStore, found: &ObjectMeta, options: GetOptions) -> Result<Bytes, Error> {
    let answer = store.get_opts(&found.location, options).await?;
    // a store without tags tells another object by its age and size
    if Stand::of(&answer.meta) != Stand::of(found) {
        let source = "it changed while it was read".into();
        return Err(Error::Precondition { path: found.location.to_string(), source });
    }
    let due = answer.range.end - answer.range.start;
    let bytes = answer.bytes().await?;
    if bytes.len() as u64 != due {
        let source = format!("{} bytes came instead of {due}", bytes.len()).into();
        return Err(Error::Generic { store: "inbox", source });
    }
    Ok(bytes)
}

/// Why an object of this name is not taken, if it is not: hidden, or marked as not yet whole, anywhere in it.
fn unfit_key(name: &str) -> Option<&'static str> {
    name.split('/').find_map(|part| unfit_name(part.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    fn bucket(prefix: &str) -> Bucket {
        Bucket::new(Arc::new(InMemory::new()), Some("meters".to_owned()), Path::from(prefix))
    }

    #[track_caller]
    fn check(prefix: &str, bucket_name: Option<&str>, key: &str, expected: Result<&str, &str>) {
        let hint = Hint { bucket: bucket_name.map(str::to_owned), key: key.to_owned(), ..Hint::default() };
        match (bucket(prefix).place(&hint), expected) {
            (Ok((path, name)), Ok(expected)) => {
                assert_eq!((path.as_ref(), name.as_str()), (key, expected));
            }
            (Err(Unplaced::Elsewhere(why) | Unplaced::Unfit(why)), Err(expected)) => {
                assert!(why.contains(expected), "{why}");
            }
            (found, _) => panic!("{key}: {found:?}"),
        }
    }

    #[test]
    fn an_object_below_the_prefix_is_named_by_the_rest_of_its_key() {
        check("inbox", Some("meters"), "inbox/a b.csv", Ok("a b.csv"));
        check("inbox", None, "inbox/2026/a.csv", Ok("2026/a.csv"));
        check("", Some("meters"), "ä/100%.csv", Ok("ä/100%.csv"));
    }

    #[test]
    fn what_is_elsewhere_hidden_or_not_whole_is_of_no_concern() {
        check("inbox", Some("others"), "inbox/a.csv", Err("in the bucket \"others\""));
        check("inbox", Some("meters"), "outbox/a.csv", Err("not below \"inbox\""));
        check("inbox", Some("meters"), "inboxes/a.csv", Err("not below"));
        check("inbox", Some("meters"), "inbox", Err("not below"));
        check("inbox", Some("meters"), "inbox/", Err("not below"));
        check("inbox", Some("meters"), "inbox/folder/", Err("mark of a folder"));
        check("inbox", Some("meters"), "inbox/.a.csv", Err("hidden"));
        check("inbox", Some("meters"), "inbox/.git/a.csv", Err("hidden"));
        check("inbox", Some("meters"), "inbox/a.csv.part", Err("incomplete"));
    }

    #[test]
    fn a_key_that_is_a_path_elsewhere_is_never_read() {
        for key in
            ["inbox/../a.csv", "inbox//a.csv", "inbox/./a.csv", "inbox/b/../../a.csv", "inbox/a\nb.csv"]
        {
            let hint = Hint { key: key.to_owned(), ..Hint::default() };
            let unplaced = bucket("inbox").place(&hint);
            assert!(matches!(unplaced, Err(Unplaced::Unfit(_))), "{key:?}: {unplaced:?}");
        }
    }
}
