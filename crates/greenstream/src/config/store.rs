//! The database that `[store]` names. Its password comes from the environment or from a file, never from the
//! configuration itself, which is copied, committed and shown.

use std::env::VarError;
use std::path::Path;
use std::sync::Arc;

use super::{ConfigError, ConfigProblem, StoreKeys};
use crate::store::{Database, Server, ServerError};

/// The variable that holds the password, as for every PostgreSQL program; it goes before the file.
const PASSWORD_VARIABLE: &str = "PGPASSWORD";

/// Where the database is; none for the file of the home. `beside` is the folder of the configuration.
pub(super) fn database(keys: &StoreKeys, beside: &Path) -> Result<Option<Database>, ConfigError> {
    let Some(url) = &keys.url else {
        return match (&keys.password_file, &keys.reader_role) {
            (None, None) => Ok(None),
            _ => Err(refused(
                "store",
                "`password_file` and `reader_role` are for a server, and `url` names none",
                "set `url`, or remove the two",
            )),
        };
    };
    let password = password(keys, beside)?;
    let server = Server::new(url, beside, password.as_deref(), keys.reader_role.as_deref());
    let server = server.map_err(|error| {
        let hint = match error {
            ServerError::Password => {
                "take it out, and write it into a file that `password_file` names, or set PGPASSWORD"
            }
            ServerError::Schema(_) => "correct `schema=`, or leave it out: it is `greenstream` then",
            ServerError::Unencrypted => "add `sslmode=require`, or leave `sslrootcert` out",
            ServerError::Url(_) => "write `postgresql://USER@HOST:PORT/DATABASE`",
            ServerError::Certificates { .. } => "name a file of PEM certificates with `sslrootcert`",
        };
        refused("store.url", &error.to_string(), hint)
    })?;
    Ok(Some(Database::Server(Arc::new(server))))
}

fn password(keys: &StoreKeys, beside: &Path) -> Result<Option<String>, ConfigError> {
    #[expect(clippy::disallowed_methods, reason = "the configuration reads the environment")]
    match std::env::var(PASSWORD_VARIABLE) {
        Ok(password) if !password.is_empty() => return Ok(Some(password)),
        Err(VarError::NotUnicode(_)) => {
            return Err(refused(PASSWORD_VARIABLE, "the password is not text", "set it to UTF-8 text"));
        }
        // an empty variable sets nothing, as everywhere
        Ok(_) | Err(VarError::NotPresent) => {}
    }
    let Some(path) = keys.password_file.as_deref().map(|file| beside.join(file)) else { return Ok(None) };
    match std::fs::read_to_string(&path) {
        // an editor ends the line
        Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(error) => Err(refused(
            &path.display().to_string(),
            &format!("the password cannot be read: {error}"),
            "correct `password_file`, or write the password there, one line that only this user may read",
        )),
    }
}

fn refused(place: &str, problem: &str, hint: &str) -> ConfigError {
    ConfigError::new(ConfigProblem::Value, place, problem, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    fn keys(url: &str) -> StoreKeys {
        StoreKeys { url: Some(Address::new(url)), ..StoreKeys::default() }
    }

    #[test]
    fn no_url_is_the_file_of_the_home() {
        assert_eq!(database(&StoreKeys::default(), Path::new(".")).unwrap(), None);
        let alone = StoreKeys { reader_role: Some("dash".to_owned()), ..StoreKeys::default() };
        assert!(database(&alone, Path::new(".")).unwrap_err().problem.contains("`url` names none"));
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        for url in ["postgresql://a:s3cret@db/x", "postgresql://a@db/x?password=s3cret", "s3cret"] {
            let error = database(&keys(url), Path::new(".")).unwrap_err();
            let told = format!("{error:?}{error}");
            assert!(!told.contains("s3cret"), "{told}");
            assert_eq!(error.place, "store.url");
        }
    }

    #[test]
    fn a_password_comes_from_its_file_and_is_shown_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("password"), "s3cret\n").unwrap();
        let keys = StoreKeys {
            password_file: Some("password".into()),
            ..keys("postgresql://ada@db.example:6543/meters?sslmode=require")
        };
        let found = database(&keys, dir.path()).unwrap().unwrap();
        assert_eq!(found.to_string(), "postgresql://db.example:6543/meters");
        assert!(!format!("{found:?}").contains("s3cret"));
        let missing = StoreKeys { password_file: Some("none".into()), ..keys };
        assert!(database(&missing, dir.path()).unwrap_err().problem.contains("cannot be read"));
    }
}
