//! The URL of a place in an object store, taken apart.

use super::error::Error;
use std::fmt;
use std::path::PathBuf;

/// Whose protocol a store speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `s3://BUCKET/PREFIX`
    S3,
    /// `gs://BUCKET/PREFIX`
    Gcs,
    /// `az://CONTAINER/PREFIX`
    Azure,
    /// `file:///FOLDER`
    File,
}

impl Scheme {
    const ALL: [Scheme; 4] = [Scheme::S3, Scheme::Gcs, Scheme::Azure, Scheme::File];

    /// As it begins a URL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::S3 => "s3",
            Scheme::Gcs => "gs",
            Scheme::Azure => "az",
            Scheme::File => "file",
        }
    }

    /// The feature of the build that speaks it; none where every build does.
    #[must_use]
    pub const fn feature(self) -> Option<&'static str> {
        match self {
            Scheme::S3 => Some("s3"),
            Scheme::Gcs => Some("gcs"),
            Scheme::Azure => Some("azure"),
            Scheme::File => None,
        }
    }

    /// Whether this build speaks it.
    #[must_use]
    pub const fn is_built_in(self) -> bool {
        match self {
            Scheme::S3 => cfg!(feature = "s3"),
            Scheme::Gcs => cfg!(feature = "gcs"),
            Scheme::Azure => cfg!(feature = "azure"),
            Scheme::File => true,
        }
    }
}

/// A place in an object store: a bucket (container, or the root of the file system) and a prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    scheme: Scheme,
    bucket: String,
    prefix: String,
}

impl Address {
    /// Takes a URL apart. Buckets have the signs that clouds allow, prefixes only those that need no escape:
    /// a key then reads the same in every tool.
    ///
    /// # Errors
    /// [`Error::Url`], in words that hold no more of the URL than its scheme: it may carry a secret.
    pub fn parse(url: &str) -> Result<Address, Error> {
        let refuse = |problem: &str| Error::Url { problem: problem.to_owned() };
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| refuse("it does not begin with s3://, gs://, az:// or file://"))?;
        let scheme = Scheme::ALL
            .into_iter()
            .find(|known| known.name() == scheme)
            .ok_or_else(|| refuse("it does not begin with s3://, gs://, az:// or file://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if rest.contains(['?', '#', '@']) {
            return Err(refuse(
                "it has more than a bucket and a prefix; credentials come from the environment",
            ));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if scheme == Scheme::File {
            if !bucket.is_empty() || prefix.is_empty() {
                return Err(refuse("file:// takes an absolute path: file:///FOLDER"));
            }
        } else if bucket.is_empty() || !bucket.chars().all(fits) {
            return Err(refuse("its bucket has none or other signs than letters, digits and -._"));
        }
        let prefix = prefix.trim_end_matches('/');
        let mut parts = prefix.split('/').filter(|_| !prefix.is_empty());
        let bad_part = |part: &str| part.is_empty() || part == "." || part == "..";
        if parts.clone().any(bad_part) {
            return Err(refuse("its prefix has an empty part, `.` or `..`"));
        }
        if scheme != Scheme::File && !parts.all(|part| part.chars().all(|c| fits(c) || c == '=')) {
            return Err(refuse("its prefix has other signs than letters, digits and -._=/"));
        }
        Ok(Address { scheme, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// Whose protocol it is.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The bucket or container; empty for `file://`.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The prefix, without `/` at either end.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The folder, where it is one.
    #[must_use]
    pub fn folder(&self) -> Option<PathBuf> {
        (self.scheme == Scheme::File).then(|| PathBuf::from(format!("/{}", self.prefix)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_scheme_a_bucket_and_a_prefix() {
        for (url, scheme, bucket, prefix, shown) in [
            ("s3://meters", Scheme::S3, "meters", "", "s3://meters"),
            ("s3://meters/", Scheme::S3, "meters", "", "s3://meters"),
            ("gs://meters/a/b", Scheme::Gcs, "meters", "a/b", "gs://meters/a/b"),
            ("az://meters/a/", Scheme::Azure, "meters", "a", "az://meters/a"),
            ("file:///srv/a b", Scheme::File, "", "srv/a b", "file:///srv/a b"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.scheme(), address.bucket(), address.prefix()), (scheme, bucket, prefix));
            assert_eq!(address.to_string(), shown);
        }
        assert_eq!(Address::parse("file:///srv/x").unwrap().folder(), Some(PathBuf::from("/srv/x")));
        assert_eq!(Address::parse("s3://meters/x").unwrap().folder(), None);
    }

    #[test]
    fn what_is_no_place_in_a_store_is_refused_and_not_shown() {
        for url in [
            "",
            "meters",
            "S3://meters",
            "http://meters/x",
            "s3:/meters",
            "s3://",
            "s3:///x",
            "s3://a b/x",
            "s3://canary:secret@meters/x",
            "s3://meters/x?sig=canary",
            "s3://meters//x",
            "s3://meters/../x",
            "s3://meters/%41",
            "file://host/x",
            "file://",
            "file:///",
            "file:///a/../b",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(!error.is_transient() && !error.to_string().contains("canary"), "{url}: {error}");
        }
    }
}
