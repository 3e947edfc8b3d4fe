//! What can go wrong between here and an object store.

use object_store::Error as StoreError;
use std::io;

/// The longest answer of a store that is told, in bytes.
const CAUSE_BYTES_MAX: usize = 300;

/// Why an object store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A URL that names no place in a store.
    #[error("the URL cannot be used: {problem}")]
    Url {
        /// What is wrong with it.
        problem: String,
    },
    /// A URL whose store this build does not speak to.
    #[error("{scheme}:// needs the feature `{feature}`, which is not in this build")]
    Feature {
        /// The URL's scheme.
        scheme: &'static str,
        /// The feature.
        feature: &'static str,
    },
    /// The settings or the environment do not fit the store.
    #[error("the object store {place} cannot be set up")]
    Settings {
        /// Which store.
        place: String,
        /// What its client said.
        source: Told,
    },
    /// The store refused, or could not be reached.
    #[error("cannot {action} {object}")]
    Store {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which object, by its URL.
        object: String,
        /// What kind of failure it is.
        kind: Kind,
        /// What the store said.
        source: Told,
    },
    /// The runtime for requests could not be started.
    #[error("cannot start the runtime of the object stores")]
    Runtime {
        /// What the system said.
        source: io::Error,
    },
}

/// What a failure of a store means for who met it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The object is not there.
    Missing,
    /// The store does not let these credentials do that.
    Denied,
    /// The store cannot do that.
    Unsupported,
    /// The object is not the size it was, or ended too soon.
    Changed,
    /// The store is away, slow or out of order.
    Away,
}

/// What a store or its client said, in one line and without the query of any address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Told(String);

impl Told {
    pub(super) fn new(text: &str) -> Told {
        // addresses may be signed: what stands behind a question mark is nobody's to read
        let mut line = String::new();
        for (at, word) in text.split_whitespace().enumerate() {
            let word = word.split_once('?').map_or(word, |(before, _)| before);
            line.push_str(if at == 0 { "" } else { " " });
            line.push_str(word);
        }
        line.truncate(line.floor_char_boundary(CAUSE_BYTES_MAX));
        Told(line)
    }
}

/// What a store's client says, as it may be told to others: cut, and without the body of the store's answer,
/// which may repeat what was sent, but for the code in it.
#[must_use]
pub fn told(error: &StoreError) -> Told {
    let text = error.to_string();
    let Some((before, body)) = text.find(['<', '{']).and_then(|at| text.split_at_checked(at)) else {
        return Told::new(&text);
    };
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let is_code = |code: &&str| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    let code = code.map(|(code, _)| code).filter(is_code).unwrap_or_default();
    Told::new(&format!("{before}{code}"))
}

/// Whether it failed to ask this machine for its role's credentials, as who has none of its own does.
fn asks_the_machine(error: &StoreError) -> bool {
    let text = error.to_string();
    ["//169.254.", "//metadata.google.internal"].iter().any(|host| text.contains(host))
}

impl Error {
    pub(super) fn store(action: &'static str, object: String, source: &StoreError) -> Error {
        let kind = match source {
            StoreError::NotFound { .. } => Kind::Missing,
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => Kind::Denied,
            StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => Kind::Unsupported,
            StoreError::Generic { .. } if asks_the_machine(source) => Kind::Denied,
            _ => Kind::Away,
        };
        Error::Store { action, object, kind, source: told(source) }
    }

    pub(super) fn of_kind(action: &'static str, object: String, kind: Kind, problem: &str) -> Error {
        Error::Store { action, object, kind, source: Told::new(problem) }
    }

    /// What kind of failure of the store it is, if it is one.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        if let Error::Store { kind, .. } = self { Some(*kind) } else { None }
    }

    /// Whether trying again later may help: a store that is away, credentials that somebody may renew.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Error::Url { .. } | Error::Feature { .. } | Error::Settings { .. } => false,
            Error::Store { kind, .. } => matches!(kind, Kind::Denied | Kind::Changed | Kind::Away),
            Error::Runtime { .. } => true,
        }
    }

    /// Whether the configuration is at fault: exit 78.
    #[must_use]
    pub const fn is_of_configuration(&self) -> bool {
        matches!(self, Error::Url { .. } | Error::Feature { .. } | Error::Settings { .. })
    }

    /// The way out, in one sentence.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Error::Url { .. } => {
                "write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER"
            }
            Error::Feature { .. } => {
                "build with it: `cargo build --release --features s3,gcs,azure` (those that you need)"
            }
            Error::Settings { .. } => {
                "check [objects] and the environment: docs/objects.md lists the variables of each cloud"
            }
            Error::Store { kind: Kind::Missing, .. } => {
                "check the bucket and the prefix; an object that landed comes back from the bucket's versions"
            }
            Error::Store { kind: Kind::Denied, .. } => {
                "check the credentials and their rights: docs/objects.md lists what each part needs"
            }
            Error::Store { kind: Kind::Unsupported, .. } => {
                "use a store with conditional puts: docs/objects.md lists what is needed"
            }
            Error::Store { kind: Kind::Changed, .. } => {
                "it is read again by itself; if it stays, `greenstream verify`"
            }
            Error::Store { kind: Kind::Away, .. } => {
                "check the network and the store; nothing is lost, work resumes by itself"
            }
            Error::Runtime { .. } => "check the limits of threads and memory of this process",
        }
    }
}

/// Where a file's errors are expected, so are a store's; [`Error::of_io`] gives it back.
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match error.kind() {
            Some(Kind::Missing) => io::ErrorKind::NotFound,
            Some(Kind::Denied) => io::ErrorKind::PermissionDenied,
            Some(Kind::Unsupported) => io::ErrorKind::Unsupported,
            Some(Kind::Changed | Kind::Away) | None => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

impl Error {
    /// The store's error that an input/output error carries, if it does.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Option<&Error> {
        error.get_ref()?.downcast_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_answers_is_told_by_its_kind_and_its_way_out() {
        let generic = |text: &str| StoreError::Generic { store: "S3", source: text.into() };
        let missing = StoreError::NotFound { path: "a".into(), source: "<Error/>".into() };
        let alone =
            "Error performing PUT http://169.254.169.254/latest/api/token in 2s - operation timed out";
        for (error, kind, way_out) in [
            (generic("error sending request"), Kind::Away, "the network"),
            (generic(alone), Kind::Denied, "credentials"),
            (missing, Kind::Missing, "the prefix"),
        ] {
            let error = Error::store("list", "s3://b/".to_owned(), &error);
            assert_eq!(error.kind(), Some(kind));
            assert!(error.hint().contains(way_out), "{error}");
        }
    }

    #[test]
    fn what_a_store_says_is_one_short_line_without_signed_parts() {
        let told = Told::new("cannot\n  PUT https://a/b?sig=canary&x=1 in 3s");
        assert_eq!(told.to_string(), "cannot PUT https://a/b in 3s");
        assert_eq!(Told::new(&"ü".repeat(400)).to_string().len(), CAUSE_BYTES_MAX);
    }

    #[test]
    fn what_stands_in_the_body_of_an_answer_is_not_told_but_for_its_code() {
        for (body, expected) in [
            ("403: <Error><Code>AccessDenied</Code><Key>canary</Key></Error>", "403: AccessDenied"),
            ("403: <Error><Code>canary 1</Code></Error>", "403:"),
            ("403: {\"error\": \"canary\"}", "403:"),
            ("https://a/b?sig=canary timed out", "https://a/b timed out"),
        ] {
            let error = StoreError::Generic { store: "S3", source: body.into() };
            let told = told(&error).to_string();
            assert!(told.ends_with(expected.trim_end()) && !told.contains("canary"), "{told}");
        }
    }

    #[test]
    fn a_store_that_is_away_may_come_back_and_one_that_is_not_there_will_not() {
        let error = |kind| Error::of_kind("get", "s3://b/k".to_owned(), kind, "x");
        for (kind, transient) in [
            (Kind::Missing, false),
            (Kind::Denied, true),
            (Kind::Unsupported, false),
            (Kind::Changed, true),
            (Kind::Away, true),
        ] {
            assert_eq!(error(kind).is_transient(), transient, "{kind:?}");
            let io = io::Error::from(error(kind));
            assert_eq!(Error::of_io(&io).and_then(Error::kind), Some(kind));
        }
    }
}
