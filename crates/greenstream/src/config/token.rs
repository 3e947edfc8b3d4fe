//! The token that callers of the service must show: from the environment or from a file, never from the
//! configuration itself, which is copied, committed and shown.

use std::env::VarError;
use std::fmt;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

use super::{ConfigError, ConfigProblem};

/// The variable that holds the token; it goes before the file.
pub const TOKEN_VARIABLE: &str = "GREENSTREAM_TOKEN";
/// Shorter can be guessed.
const SIGNS_MIN: usize = 16;
/// Longer does not fit into a header beside others.
const SIGNS_MAX: usize = 1024;

/// A token, known by its hash only: it cannot be shown.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// Takes a token of 16 to 1,024 letters, digits and `-._~+/=`, the signs that RFC 6750 allows.
    ///
    /// # Errors
    /// What is wrong with it, in words that do not hold it.
    pub fn new(text: &str) -> Result<Token, String> {
        let signs = text.chars().count();
        if !(SIGNS_MIN..=SIGNS_MAX).contains(&signs) {
            return Err(format!("the token has {signs} signs; it takes {SIGNS_MIN} to {SIGNS_MAX}"));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        if !text.chars().all(fits) {
            return Err(
                "the token has a sign that no header takes: use letters, digits and -._~+/=".to_owned()
            );
        }
        Ok(Token(hash(text.as_bytes())))
    }

    /// Whether this is it. Takes the same time whatever differs.
    #[must_use]
    pub fn is(&self, shown: &[u8]) -> bool {
        self.0.ct_eq(&hash(shown)).into()
    }

    /// The token of the environment, else of the file; none where neither is named.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the place and never the token.
    pub fn read(beside: &Path, file: Option<&Path>) -> Result<Option<Token>, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "the configuration reads the environment")]
        match std::env::var(TOKEN_VARIABLE) {
            Ok(text) if !text.is_empty() => {
                return Token::new(text.trim()).map(Some).map_err(|problem| refused(TOKEN_VARIABLE, problem));
            }
            // set is set: nobody is let in because the token cannot be read
            Err(VarError::NotUnicode(_)) => {
                return Err(refused(TOKEN_VARIABLE, "the token is not text".to_owned()));
            }
            // an empty variable sets nothing, as everywhere; without a token only loopback is served
            Ok(_) | Err(VarError::NotPresent) => {}
        }
        let Some(path) = file.map(|file| beside.join(file)) else { return Ok(None) };
        let place = || path.display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let problem = format!("the token cannot be read: {error}");
            ConfigError::new(
                ConfigProblem::Value,
                place(),
                problem,
                "correct `token_file`, or write the token there, one line that only this user may read",
            )
        })?;
        warn_of_readers(&path);
        Token::new(text.trim()).map(Some).map_err(|problem| refused(place(), problem))
    }
}

fn refused(place: impl Into<String>, problem: String) -> ConfigError {
    let hint = "make a new one: `openssl rand -hex 32 > token && chmod 600 token`";
    ConfigError::new(ConfigProblem::Value, place, problem, hint)
}

fn warn_of_readers(path: &PathBuf) {
    use std::os::unix::fs::MetadataExt;
    // what another has put there for us to read, as a container's secret, is not ours to change
    let own = rustix::process::geteuid().as_raw();
    if std::fs::metadata(path).is_ok_and(|found| found.uid() == own && found.mode() & 0o007 != 0) {
        tracing::warn!(file = %path.display(), "every user of this machine can read the token; `chmod 600` it");
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_16_to_1024_signs_that_a_header_takes() {
        for (text, fits) in [
            ("x".repeat(15), false),
            ("x".repeat(16), true),
            ("x".repeat(1024), true),
            ("x".repeat(1025), false),
            ("aZ09-._~+/=aZ09=".to_owned(), true),
            ("sixteen signs ok".to_owned(), false),
            ("sixteen\u{e4}signs_ok".to_owned(), false),
        ] {
            assert_eq!(Token::new(&text).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn only_the_same_token_is_it_and_none_is_shown() {
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for other in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF"] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{token:?}"), "Token(not shown)");
        assert!(!Token::new("canary").unwrap_err().contains("canary"));
    }
}
