//! Who may ask: with a token, whoever shows it; without one, programs and browsers of this machine, and
//! only to read. `docs/decisions/0008-who-may-upload.md` says why.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;

use super::problem::{TOKEN_UNSET, UNAUTHORIZED};
use super::{ROUTES, events};
use crate::config::Token;

/// The token that callers must show, if one is set.
pub type Access = Option<Arc<Token>>;

/// Lets a request through, or says why not. A route that is not in the table is closed too.
pub async fn check(State(access): State<Access>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let Some(token) = access else {
        if !is_asked_here(request.headers()) {
            let way_out = "ask for localhost or an address; to be reached by a name, set a token\n";
            return (StatusCode::FORBIDDEN, way_out).into_response();
        }
        if !reads {
            return TOKEN_UNSET.because("no token is set, so nothing can be uploaded").into_response();
        }
        return next.run(request).await;
    };
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let is_open = ROUTES.iter().any(|route| route.is_open && Some(route.path) == path);
    let in_address = path == Some(events::ROUTE) && shows_in_query(&token, &request);
    if (is_open && reads) || shows(&token, request.headers(), reads) || in_address {
        return next.run(request).await;
    }
    UNAUTHORIZED.because("this needs the service's token").into_response()
}

/// Whether a request shows the token: as bearer, or to read as the password that browsers ask for.
fn shows(token: &Token, headers: &HeaderMap, reads: bool) -> bool {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    // of several, a proxy may have checked another than this server would
    let (Some(shown), None) = (shown.next(), shown.next()) else { return false };
    let Some((scheme, credentials)) = shown.to_str().ok().and_then(|shown| shown.split_once(' ')) else {
        return false;
    };
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return token.is(credentials.as_bytes());
    }
    if !reads || !scheme.eq_ignore_ascii_case("basic") {
        return false;
    }
    let Ok(pair) = BASE64_STANDARD.decode(credentials) else { return false };
    let colon = pair.iter().position(|byte| *byte == b':');
    colon.and_then(|colon| pair.get(colon + 1..)).is_some_and(|password| token.is(password))
}

/// Whether an event shows the token as `access_token` in its address (RFC 6750, 2.3): some senders can set no
/// header for the handshake that comes before their events. Addresses are not logged.
fn shows_in_query(token: &Token, request: &Request) -> bool {
    // of two ways at once, a proxy may have checked the other
    if request.headers().contains_key(header::AUTHORIZATION) {
        return false;
    }
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let mut shown = pairs.filter_map(|pair| pair.strip_prefix("access_token="));
    let (Some(shown), None) = (shown.next(), shown.next()) else { return false };
    token.is(&percent_decode_str(shown).collect::<Vec<_>>())
}

/// Whether a browser was led here by no other name: a page of others could then read every answer.
fn is_asked_here(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let name = host.map_or("localhost", |host| {
        host.rsplit_once(':').map_or(host, |(name, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
        })
    });
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const TOKEN: &str = "0123456789abcdef";

    fn shown(values: &[&str], reads: bool) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        shows(&Token::new(TOKEN).unwrap(), &headers, reads)
    }

    #[test]
    fn the_token_is_shown_as_bearer_or_to_read_as_a_password() {
        let basic = |pair: &str| format!("Basic {}", BASE64_STANDARD.encode(pair));
        for (value, reading, writing) in [
            (format!("Bearer {TOKEN}"), true, true),
            (format!("bearer  {TOKEN}"), true, true),
            (basic(&format!("anyone:{TOKEN}")), true, false),
            (basic(&format!(":{TOKEN}")), true, false),
            (basic(&format!("{TOKEN}:")), false, false),
            (basic(TOKEN), false, false),
            ("Basic !".to_owned(), false, false),
            (format!("Bearer {TOKEN}0"), false, false),
            (format!("Digest {TOKEN}"), false, false),
            (TOKEN.to_owned(), false, false),
            ("Bearer".to_owned(), false, false),
        ] {
            assert_eq!((shown(&[&value], true), shown(&[&value], false)), (reading, writing), "{value}");
        }
        let right = format!("Bearer {TOKEN}");
        assert!(!shown(&[], true) && !shown(&[&right, "Bearer x"], true));
    }

    #[test]
    fn an_event_shows_the_token_in_its_address_once_and_in_no_other_way() {
        let right = format!("access_token={TOKEN}");
        for (query, authorization, expected) in [
            (right.clone(), None, true),
            (format!("a=b&{right}&c"), None, true),
            (right.replace('0', "%30"), None, true),
            (format!("{right}0"), None, false),
            (format!("{right}&{right}"), None, false),
            (right.replace("access_", ""), None, false),
            (right, Some("Bearer x"), false),
        ] {
            let mut request = Request::builder().uri(format!("/v1/events?{query}"));
            if let Some(shown) = authorization {
                request = request.header(header::AUTHORIZATION, shown);
            }
            let request = request.body(axum::body::Body::empty()).unwrap();
            let token = Token::new(TOKEN).unwrap();
            assert_eq!(shows_in_query(&token, &request), expected, "{query}");
        }
    }
}
