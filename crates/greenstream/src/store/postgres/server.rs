//! Which server, which database, which schema: what the configuration's `[store]` says.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postgres::Config;
use postgres::config::{Host, SslMode};
use rustls::ClientConfig;

use super::session::Connected;
use super::tls;

/// The schema that holds everything, so that another program's tables in the database are left alone.
pub(in crate::store) const SCHEMA: &str = "greenstream";
/// How long a connection may take to come about. Longer than a busy server needs, shorter than patience.
const CONNECT: Duration = Duration::from_secs(5);
/// How soon a server that has gone without a word is given up.
const SILENCE: Duration = Duration::from_secs(15);
/// Connections kept for the next reader: a page asks on one of its own, and some run at once.
const IDLE_MAX: usize = 8;

/// A schema of a database of a server, and how to get there. It holds the password and never shows it.
pub struct Server {
    pub(super) config: Config,
    pub(super) tls: Option<ClientConfig>,
    pub(super) schema: String,
    pub(super) reader_role: Option<String>,
    idle: Mutex<Vec<Connected>>,
    shown: String,
}

/// Why a URL names no database.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It is no such URL.
    #[error("the URL cannot be understood: {0}")]
    Url(String),
    /// Its schema is no plain name.
    #[error("{0:?} is no name of a schema: it takes up to 40 lower-case letters, digits and `_`")]
    Schema(String),
    /// It holds a password.
    #[error("the URL holds a password, which would be copied and shown with the configuration")]
    Password,
    /// It says whom to trust, of a connection that shows no certificate.
    #[error("the URL has `sslrootcert`, and the connection would not be encrypted")]
    Unencrypted,
    /// The certificates to trust cannot be read.
    #[error("the certificates in {file} cannot be read: {problem}")]
    Certificates {
        /// Where they were looked for.
        file: String,
        /// What is wrong.
        problem: String,
    },
}

impl Server {
    /// The server of a URL such as `postgresql://USER@HOST:PORT/DATABASE?sslmode=require`. The names of files in it
    /// start in the folder `beside`.
    ///
    /// # Errors
    /// [`ServerError`]; never says the password.
    pub fn new(
        url: &str,
        beside: &Path,
        password: Option<&str>,
        reader_role: Option<&str>,
    ) -> Result<Server, ServerError> {
        let (url, own) = own_options(url)?;
        let mut config =
            Config::from_str(&url).map_err(|error| ServerError::Url(crate::process::with_causes(&error)))?;
        if config.get_password().is_some() {
            return Err(ServerError::Password);
        }
        if let Some(password) = password {
            config.password(password);
        }
        let shown = shown(&config);
        let wanted = config.get_ssl_mode() == SslMode::Require;
        if own.root_file.is_some() && !wanted {
            return Err(ServerError::Unencrypted);
        }
        let root_file = own.root_file.map(|file| beside.join(file));
        let tls = wanted.then(|| tls::trusting(root_file.as_deref())).transpose()?;
        config.ssl_mode(if wanted { SslMode::Require } else { SslMode::Disable });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        config.keepalives_idle(SILENCE / 3).keepalives_interval(SILENCE / 3).keepalives_retries(2);
        config.tcp_user_timeout(SILENCE);
        let reader_role = reader_role.map(str::to_owned);
        Ok(Server { config, tls, schema: own.schema, reader_role, idle: Mutex::default(), shown })
    }

    /// The same server, with everything in another schema.
    #[must_use]
    pub(in crate::store) fn in_schema(&self, schema: &str) -> Server {
        Server {
            config: self.config.clone(),
            tls: self.tls.clone(),
            schema: schema.to_owned(),
            reader_role: self.reader_role.clone(),
            idle: Mutex::default(),
            shown: self.shown.clone(),
        }
    }

    /// The schema that holds everything.
    pub(in crate::store) fn schema(&self) -> &str {
        &self.schema
    }

    /// A connection that a reader has left, if there is one.
    pub(super) fn take_idle(&self) -> Option<Connected> {
        self.idle().pop()
    }

    /// Keeps a connection for the next reader.
    pub(super) fn keep_idle(&self, connected: Connected) {
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(connected);
        }
    }

    /// Lets go of all that nobody uses: they may lead to tables that are gone.
    pub(super) fn drop_idle(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connected>> {
        // every change is one statement
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a URL says that the client library does not know.
struct Own {
    root_file: Option<String>,
    schema: String,
}

/// Takes that out of a URL.
fn own_options(url: &str) -> Result<(String, Own), ServerError> {
    let mut own = Own { root_file: None, schema: SCHEMA.to_owned() };
    let Some((address, query)) = url.split_once('?') else { return Ok((url.to_owned(), own)) };
    let mut kept = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslrootcert", file)) => {
                let file = percent_encoding::percent_decode_str(file).decode_utf8();
                own.root_file = Some(file.map_err(|error| ServerError::Url(error.to_string()))?.into_owned());
            }
            Some(("schema", schema)) => schema.clone_into(&mut own.schema),
            Some(("sslmode", "verify-ca" | "verify-full")) => kept.push("sslmode=require"),
            _ => kept.push(pair),
        }
    }
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let schema = &own.schema;
    // what a rebuild adds to it has to fit into the 63 bytes of a name
    if schema.len() > 40
        || !schema.starts_with(|c: char| c.is_ascii_lowercase())
        || !schema.chars().all(is_plain)
    {
        return Err(ServerError::Schema(own.schema));
    }
    Ok((format!("{address}?{}", kept.join("&")), own))
}

/// Where it is, without user and password.
fn shown(config: &Config) -> String {
    let ports = config.get_ports();
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5432);
    let host = |(at, host): (usize, &Host)| match host {
        Host::Tcp(name) => format!("{name}:{}", port(at)),
        Host::Unix(path) => path.display().to_string(),
    };
    let hosts: Vec<_> = config.get_hosts().iter().enumerate().map(host).collect();
    format!("postgresql://{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default())
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({}, {})", self.shown, self.schema)
    }
}

impl PartialEq for Server {
    fn eq(&self, other: &Server) -> bool {
        self.shown == other.shown && self.schema == other.schema
    }
}

impl Eq for Server {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_a_plain_name() {
        let schema = |name: &str| {
            Server::new(&format!("postgresql://a@b/c?schema={name}"), Path::new("."), None, None)
                .map(|server| server.schema)
        };
        assert_eq!(
            Server::new("postgresql://a@b/c", Path::new("."), None, None).unwrap().schema,
            "greenstream"
        );
        assert_eq!(schema("two_2").unwrap(), "two_2");
        for name in ["", "2", "A", "a-b", "a;b", "a\"b", &"a".repeat(41)] {
            assert!(matches!(schema(name), Err(ServerError::Schema(_))), "{name}");
        }
    }
}
