//! The upload endpoint: whatever a client sends before it stops sending, the server answers or hangs up in
//! time, what it takes for an upload is what a literal reader of the request finds, nobody without the token
//! leaves anything, and nothing else is kept.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use greenstream::config::{File, Token};
use greenstream::home::Home;
use greenstream::landing::Hash;
use greenstream::outage::Outages;
use greenstream::process::{Bytes, Note, Receipt};
use greenstream::trigger::{Bell, Posts, intake};
use greenstream::web::Server;

/// Longer than any answer takes, shorter than any limit of the server's: beyond it, it hangs.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(9);

/// The token of the server. Inputs do not hold it: this line in one is followed by it.
const TOKEN: &str = "0123456789abcdef";
const HOST: &[u8] = b"Host: h\r\n";

/// The real server on a port of its own. What would land ends here.
struct Served {
    address: SocketAddr,
    posts: Posts,
    home: Home,
    _server: Server,
    _folder: tempfile::TempDir,
}

static SERVED: LazyLock<Mutex<Served>> = LazyLock::new(|| Mutex::new(serve()));

fn serve() -> Served {
    let folder = super::memory_folder();
    let home = Home::open(folder.path(), "run").unwrap();
    let mut file = File::default();
    file.serve.listen = "127.0.0.1:0".to_owned();
    // the laws are about bytes, not about disks
    file.upload.free_bytes_min = 0;
    let (intake, posts) = intake(Bell::default());
    let token = Token::new(TOKEN).unwrap();
    let server =
        Server::start(&home, &file, Some(token), intake, None, Arc::new(Outages::default())).unwrap();
    Served { address: server.address(), posts, home, _server: server, _folder: folder }
}

pub(crate) fn check(bytes: &[u8]) {
    let mut served = SERVED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let sent = with_token(bytes);
    let (answers, posted) = exchange(&mut served, &sent);
    let acknowledged = answers.windows(13).filter(|window| window == b"HTTP/1.1 201 ").count();
    assert!(acknowledged <= posted.len(), "{acknowledged} acknowledged, {} came whole", posted.len());
    for body in &posted {
        assert!(is_within(body, &sent), "bytes that nobody sent: {}", body.escape_ascii());
    }
    if sent == bytes {
        assert!(posted.is_empty(), "taken from one without the token: {posted:?}");
    }
    match first_request(&sent) {
        Some(Said::Whole(body)) => {
            assert_eq!(posted.first(), Some(&body), "what came whole");
            assert!(answers.starts_with(b"HTTP/1.1 201 "), "{}", answers.escape_ascii());
        }
        Some(Said::Broken) => {
            assert!(posted.is_empty(), "taken for whole: {posted:?}");
            assert!(!answers.starts_with(b"HTTP/1.1 2"), "{}", answers.escape_ascii());
        }
        // another request may follow, and be taken
        Some(Said::Altered) => {
            assert!(answers.starts_with(b"HTTP/1.1 400 "), "{}", answers.escape_ascii());
        }
        None => {}
    }
    let kept = std::fs::read_dir(served.home.receiving()).unwrap().count();
    assert_eq!(kept, 0, "files of uploads that ended");
}

/// The input with the token behind each line that asks for it.
fn with_token(bytes: &[u8]) -> Vec<u8> {
    let (mut sent, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(HOST.len()).position(|window| window == HOST) {
        sent.extend_from_slice(&rest[..at + HOST.len()]);
        sent.extend_from_slice(format!("Authorization: Bearer {TOKEN}\r\n").as_bytes());
        rest = &rest[at + HOST.len()..];
    }
    sent.extend_from_slice(rest);
    sent
}

/// Sends all, stops sending, and takes answers and uploads until the server hangs up.
fn exchange(served: &mut Served, bytes: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut stream = TcpStream::connect(served.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    // a server that has hung up already is heard below
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let (mut answers, mut posted) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    loop {
        for one in served.posts.take() {
            let body = match one.bytes {
                Bytes::Memory(body) => body,
                Bytes::Staged(staged) => std::fs::read(staged.path()).unwrap(),
            };
            let receipt = Receipt {
                note: Note::Landed(1),
                sha256: Hash::of(&body).to_string(),
                bytes: body.len() as u64,
            };
            posted.push(body);
            let _ = one.answer.send(Ok(receipt));
        }
        let mut block = [0; 4_096];
        match stream.read(&mut block) {
            Ok(0) => break,
            Ok(read) => answers.extend_from_slice(&block[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        assert!(begun.elapsed() < ANSWER_TIME_MAX, "no answer");
    }
    (answers, posted)
}

/// Whether `body` is bytes of `sent` in their order: chunks come with their lengths between them.
fn is_within(body: &[u8], sent: &[u8]) -> bool {
    let mut sent = sent.iter();
    body.iter().all(|byte| sent.any(|other| other == byte))
}

/// What the first request says, where it is written as simply as it can be.
#[derive(Debug)]
enum Said {
    /// An upload, all of it.
    Whole(Vec<u8>),
    /// An upload that broke off.
    Broken,
    /// An upload that is not what its digest says.
    Altered,
}

/// Reads the first request literally; none where anything in it is unusual.
fn first_request(bytes: &[u8]) -> Option<Said> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, rest) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 4..]);
    let mut lines = head.split("\r\n");
    let name = lines.next()?.strip_prefix("PUT /v1/uploads/")?.strip_suffix(".csv HTTP/1.1")?;
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if name.is_empty() || name.len() > 100 || !is_plain(name) {
        return None;
    }
    let (mut host, mut token, mut length, mut digest, mut chunked) = (None, None, None, None, None);
    for line in lines {
        let (key, value) = line.split_once(": ")?;
        let field = match key {
            "Host" => &mut host,
            "Authorization" => &mut token,
            "Content-Length" => &mut length,
            "Content-Digest" => &mut digest,
            "Transfer-Encoding" => &mut chunked,
            _ => return None,
        };
        // the first counts, the last, or none of them: not simple
        if field.replace(value).is_some() {
            return None;
        }
    }
    host.filter(|host| is_plain(host))?;
    token.and_then(|token| token.strip_prefix("Bearer ")).filter(|token| *token == TOKEN)?;
    let body = match (length, chunked) {
        (Some(length), None) => {
            let digits = length.len() < 10 && length.bytes().all(|byte| byte.is_ascii_digit());
            let length: usize = length.parse().ok().filter(|_| digits)?;
            rest.get(..length).map(<[u8]>::to_vec)
        }
        (None, Some("chunked")) => chunks(rest)?,
        _ => return None,
    };
    let Some(body) = body else { return Some(Said::Broken) };
    match digest {
        None => Some(Said::Whole(body)),
        Some(text) => {
            let given = text.strip_prefix("sha-256=:")?.strip_suffix("=:")?;
            if given.len() != 43
                || !given.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
            {
                return None;
            }
            let found = base64_of(&Hash::of(&body).to_string());
            Some(if found == given { Said::Whole(body) } else { Said::Altered })
        }
    }
}

/// A body in chunks: the outer none where it is not simple, the inner one where it breaks off.
fn chunks(mut rest: &[u8]) -> Option<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return rest.is_empty().then_some(None);
        };
        let size = std::str::from_utf8(&rest[..end]).ok()?;
        if size.is_empty() || size.len() > 4 || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            // trailers are not simple
            return rest.starts_with(b"\r\n").then_some(Some(body));
        }
        let Some(chunk) = rest.get(..size) else { return Some(None) };
        body.extend_from_slice(chunk);
        match rest.get(size..size + 2) {
            Some(b"\r\n") => rest = &rest[size + 2..],
            Some(_) => return None,
            None => return Some(None),
        }
    }
}

/// The base64 of bytes in hex, without padding, bit by bit.
fn base64_of(hex: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits: String = hex.chars().map(|digit| format!("{:04b}", digit.to_digit(16).unwrap())).collect();
    while !bits.len().is_multiple_of(6) {
        bits.push('0');
    }
    let digit = |six: &[u8]| {
        let six = std::str::from_utf8(six).unwrap();
        char::from(DIGITS[usize::from_str_radix(six, 2).unwrap()])
    };
    bits.as_bytes().chunks(6).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says(request: &str, said: &str) {
        assert_eq!(format!("{:?}", first_request(request.as_bytes())), said, "{request:?}");
    }

    #[test]
    fn the_literal_reader_knows_whole_from_broken_and_passes_over_the_unusual() {
        let put = format!("PUT /v1/uploads/a.csv HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\n");
        says("PUT /v1/uploads/a.csv HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", "None");
        says(&format!("{put}Content-Length: 2\r\n\r\nhiGET"), "Some(Whole([104, 105]))");
        says(&format!("{put}Content-Length: 3\r\n\r\nhi"), "Some(Broken)");
        says(
            &format!("{put}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
            "Some(Whole([104, 105]))",
        );
        says(&format!("{put}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"), "Some(Broken)");
        says(&format!("{put}X: y\r\n\r\n"), "None");
        let hello = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
        let request = |body: &str| format!("{put}Content-Length: 5\r\nContent-Digest: {hello}\r\n\r\n{body}");
        says(&request("hello"), "Some(Whole([104, 101, 108, 108, 111]))");
        says(&request("hullo"), "Some(Altered)");
    }
}
