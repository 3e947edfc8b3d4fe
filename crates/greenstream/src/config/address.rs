//! The address of a service. It may hold a secret (a password, a signature), so it shows itself without.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A URL as the configuration gives it. [`Display`](fmt::Display), `Debug` and `Serialize` leave out what
/// may be a secret, so that no log, error or page can tell it. As a `str` it is whole: for those who connect,
/// never for those who tell.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Takes an address as it is.
    pub fn new(text: impl Into<String>) -> Address {
        Address(text.into())
    }

    /// What stands before `://`, such as `s3`; empty where nothing does.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// The host and, where it has one, the port; none where it names none. Of several hosts the first.
    #[must_use]
    pub fn host(&self) -> Option<(&str, Option<u16>)> {
        let place = self.parts().place;
        let authority = place.split(['/', ',']).next().filter(|host| !host.is_empty())?;
        if let Some((host, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return Some((host, rest.strip_prefix(':').and_then(|port| port.parse().ok())));
        }
        match authority.split_once(':') {
            Some((host, port)) => Some((host, Some(port.parse().ok()?))),
            None => Some((authority, None)),
        }
    }

    /// Whether it holds a secret: a password, whatever stands before `@` (but a name in an address of a
    /// database), or a value of the query that is called like one.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        const TELLING: [&str; 6] = ["password", "passwd", "secret", "token", "sig", "key"];
        let parts = self.parts();
        let is_telling = |name: &str| {
            let name = name.to_ascii_lowercase();
            TELLING.iter().any(|word| name.contains(word))
        };
        parts.secret_user || parts.query.iter().any(|(name, _)| is_telling(name))
    }

    fn parts(&self) -> Parts<'_> {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        // a password may hold signs that nobody escaped: the last @ ends it, wherever a colon stands before
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) if user.contains(':') => (user, rest),
            _ => {
                let authority = rest.find(['/', '?']).unwrap_or(rest.len());
                rest[..authority].rfind('@').map_or(("", rest), |at| (&rest[..at], &rest[at + 1..]))
            }
        };
        let has_name = matches!(scheme, "postgresql" | "postgres");
        let secret_user = user.contains(':') || !has_name && !user.is_empty();
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let query = query.split('&').filter(|pair| !pair.is_empty());
        let query = query.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        Parts { scheme, user, secret_user, place, query }
    }
}

impl Deref for Address {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// An address taken apart, however it is written.
struct Parts<'a> {
    scheme: &'a str,
    user: &'a str,
    /// Whether a secret stands before the `@`.
    secret_user: bool,
    /// Host and path.
    place: &'a str,
    query: Vec<(&'a str, &'a str)>,
}

/// Names of query parameters whose values are no secrets: what PostgreSQL's addresses take.
fn is_harmless(name: &str) -> bool {
    const HARMLESS: [&str; 11] = [
        "application_name",
        "channel_binding",
        "connect_timeout",
        "host",
        "keepalives",
        "options",
        "port",
        "schema",
        "sslmode",
        "sslrootcert",
        "user",
    ];
    HARMLESS.contains(&name)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts();
        if parts.scheme.is_empty() {
            // it may be anything: a connection string with its password, a key
            return f.write_str("***");
        }
        write!(f, "{}://", parts.scheme)?;
        let is_plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        match parts.user.split_once(':') {
            _ if parts.user.is_empty() => {}
            None if !parts.secret_user => write!(f, "{}@", parts.user)?,
            Some((name, _)) if is_plain(name) => write!(f, "{name}:***@")?,
            _ => f.write_str("***@")?,
        }
        f.write_str(parts.place)?;
        for (place, (name, value)) in parts.query.iter().enumerate() {
            let value = if is_harmless(name) { value } else { "***" };
            write!(f, "{}{name}={value}", if place == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        String::deserialize(deserializer).map(Address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str, has_secret: bool) {
        let address = Address::new(text);
        assert_eq!((address.to_string().as_str(), address.has_secret()), (shown, has_secret));
        assert_eq!(format!("{address:?}"), shown);
        assert_eq!(serde_json::to_value(&address).unwrap(), shown);
        assert_eq!(&*address, text);
    }

    #[test]
    fn a_host_is_found_with_its_port() {
        for (text, host) in [
            ("postgresql://gs@db:5432/m?sslmode=x", Some(("db", Some(5432)))),
            ("postgresql://gs:can:a@ry@db,other:1/m", Some(("db", None))),
            ("nats://[::1]:4222", Some(("::1", Some(4222)))),
            ("https://sqs.eu-west-1.amazonaws.com/1/q", Some(("sqs.eu-west-1.amazonaws.com", None))),
            ("http://h:no/x", None),
            ("postgresql:///m", None),
        ] {
            assert_eq!(Address::new(text).host(), host, "{text}");
        }
    }

    #[test]
    fn an_address_shows_all_but_its_secrets() {
        check(
            "postgresql://gs@db:5432/meters?sslmode=require",
            "postgresql://gs@db:5432/meters?sslmode=require",
            false,
        );
        check("postgresql://gs:canary@db/meters", "postgresql://gs:***@db/meters", true);
        check("postgresql://gs:can@ry@db/meters", "postgresql://gs:***@db/meters", true);
        check(
            "postgresql://gs@db/m?password=canary&sslmode=x",
            "postgresql://gs@db/m?password=***&sslmode=x",
            true,
        );
        check("nats://canary@broker:4222", "nats://***@broker:4222", true);
        check("nats://broker:4222", "nats://broker:4222", false);
        check("s3://bucket/prefix/", "s3://bucket/prefix/", false);
        check("s3://KEY:canary@bucket/prefix", "s3://KEY:***@bucket/prefix", true);
        check("az://container/p?sv=1&sig=canary", "az://container/p?sv=***&sig=***", true);
        check("https://sqs.eu-west-1.amazonaws.com/1/q", "https://sqs.eu-west-1.amazonaws.com/1/q", false);
        check("postgresql://gs:can/r?y@db/meters", "postgresql://gs:***@db/meters", true);
        check("postgresql://gs@db/m?password=can:a@ry", "postgresql://***@ry", true);
        check("s3://bucket/pre@fix", "s3://bucket/pre@fix", false);
        check("host=db password=canary", "***", false);
    }
}
