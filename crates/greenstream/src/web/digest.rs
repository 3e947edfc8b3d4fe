//! `Content-Digest` (RFC 9530): what the sender says the bytes must hash to.

use axum::http::HeaderMap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{Algorithm, Context, SHA256, SHA512};

use super::problem::{DIGEST_DIFFERS, DIGEST_UNFIT, Problem};

/// The digests that are checked: the two that RFC 9530 does not advise against.
const KNOWN: [(&str, &Algorithm); 2] = [("sha-256", &SHA256), ("sha-512", &SHA512)];

/// Digests on their way. None where the sender gave none.
pub struct Digests(Vec<Digest>);

/// One of them, and what it must come to.
struct Digest {
    name: &'static str,
    context: Context,
    expected: Vec<u8>,
}

impl Digests {
    /// From the headers of a request. A digest that cannot be checked is refused: to pass over it would let
    /// the sender believe that it was.
    ///
    /// # Errors
    /// The header is not written as it must be, or names no digest that is known.
    pub fn of(headers: &HeaderMap) -> Result<Digests, Problem> {
        let mut digests = Vec::new();
        let mut is_given = false;
        for value in headers.get_all("content-digest") {
            let text = value.to_str().map_err(|_| DIGEST_UNFIT.because("Content-Digest is not ASCII"))?;
            // base64 has no comma, so a comma always ends a member
            for member in text.split(',') {
                is_given = true;
                digests.extend(digest(member.trim())?);
            }
        }
        if is_given && digests.is_empty() {
            return Err(DIGEST_UNFIT.because("Content-Digest has neither sha-256 nor sha-512"));
        }
        Ok(Digests(digests))
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for digest in &mut self.0 {
            digest.context.update(bytes);
        }
    }

    /// Compares.
    ///
    /// # Errors
    /// Names the first that differs.
    pub fn finish(self) -> Result<(), Problem> {
        for Digest { name, context, expected } in self.0 {
            let found = context.finish();
            if found.as_ref() != expected {
                let found = BASE64_STANDARD.encode(found.as_ref());
                return Err(DIGEST_DIFFERS.because(format!(
                    "the bytes that came have {name}=:{found}:, which is not the Content-Digest given"
                )));
            }
        }
        Ok(())
    }
}

/// One member: `sha-256=:BASE64:`, perhaps with parameters; none where the digest is not known.
fn digest(member: &str) -> Result<Option<Digest>, Problem> {
    let unfit = |what: &str| DIGEST_UNFIT.because(format!("Content-Digest: {what}"));
    let (name, value) = member.split_once('=').ok_or_else(|| unfit("a member has no value"))?;
    let Some((name, algorithm)) = KNOWN.iter().find(|(known, _)| *known == name) else { return Ok(None) };
    let value = value.split(';').next().unwrap_or(value).trim();
    let encoded = value.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
    let encoded = encoded.ok_or_else(|| unfit("a value does not stand between colons"))?;
    let expected = BASE64_STANDARD.decode(encoded).map_err(|_| unfit("a value is not base64"))?;
    if expected.len() != algorithm.output_len() {
        return Err(unfit(&format!("{name} has {} bytes", algorithm.output_len())));
    }
    Ok(Some(Digest { name, context: Context::new(algorithm), expected }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    /// Of `hello`, as `openssl dgst -binary | base64` gives them.
    const SHA256_HELLO: &str = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    const SHA512_HELLO: &str =
        "sha-512=:m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==:";

    #[track_caller]
    fn check(values: &[&str], code: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("content-digest", HeaderValue::from_str(value).unwrap());
        }
        let checked = Digests::of(&headers).and_then(|mut digests| {
            digests.update(b"hel");
            digests.update(b"lo");
            digests.finish()
        });
        assert_eq!(checked.err().map(|problem| problem.code()), code, "{values:?}");
    }

    #[test]
    fn a_digest_is_checked_whole_and_one_that_cannot_be_is_refused() {
        check(&[], None);
        check(&[SHA256_HELLO], None);
        check(&[SHA512_HELLO], None);
        check(&[&format!("{SHA256_HELLO}, {SHA512_HELLO}")], None);
        check(&[SHA256_HELLO, SHA512_HELLO], None);
        check(&[&format!("md5=:x:, {SHA256_HELLO};q=1")], None);
        let other = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCU=:";
        check(&[other], Some("digest_differs"));
        check(&[SHA512_HELLO, other], Some("digest_differs"));
        for unfit in
            ["", "md5=:x:", "sha-256", "sha-256=x", "sha-256=:x:", "sha-256=:LPJNug==:", "sha-256=::"]
        {
            check(&[unfit], Some("digest_unfit"));
        }
    }
}
