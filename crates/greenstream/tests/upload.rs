//! Uploads over HTTP, by real connections to the real process: what is acknowledged has landed, what is not
//! has left nothing, and every limit is tried on both sides.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

mod common;
use common::{DEADLINE, HEADER, Home, Serving, eventually, files_below};

const TOKEN: &str = "a-token-of-the-tests";

/// An answer of the service.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn of(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer in {text:?}"));
        // what comes before is `100 Continue`
        if head.starts_with("HTTP/1.1 100") {
            return Answer::of(body);
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}\n{}", self.head, self.body))
    }

    /// Fails unless it is a problem with this status and code.
    #[track_caller]
    fn refuses(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        let problem = self.json();
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()));
        for part in ["title", "detail", "help"] {
            assert!(problem[part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {problem}");
        }
        assert_eq!(self.head.contains("retry-after: "), status == 503, "{}", self.head);
    }
}

/// Starts the service with a token and some lines of configuration.
fn serve(home: &Home, lines: &str) -> Serving {
    home.configure("greenstream.toml", lines);
    let mut command = home.command(&["run", "--listen", "127.0.0.1:0"]);
    command.env("GREENSTREAM_TOKEN", TOKEN);
    Home::serve_by(command)
}

fn connect(service: &Serving) -> TcpStream {
    let stream = TcpStream::connect(&service.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// What comes until the other end closes.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // a connection that is torn after the answer has given the answer
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

/// Sends bytes as they are, says that nothing more comes, and takes the answer.
fn send(service: &Serving, bytes: &[u8]) -> Answer {
    let mut stream = connect(service);
    // a server that has refused already may close first
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    Answer::of(&rest(stream))
}

fn head(name: &str, headers: &str) -> Vec<u8> {
    let authorization = format!("Authorization: Bearer {TOKEN}\r\n");
    format!("PUT /v1/uploads/{name} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{authorization}{headers}\r\n")
        .into_bytes()
}

fn put(service: &Serving, name: &str, headers: &str, body: &[u8]) -> Answer {
    let length = format!("Content-Length: {}\r\n{headers}", body.len());
    send(service, &[&head(name, &length), body].concat())
}

/// A body in chunks of this size, without the last chunk that ends it.
fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    body.chunks(size)
        .flat_map(|part| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat())
        .collect()
}

fn put_chunked(service: &Serving, name: &str, body: &[u8], end: &[u8]) -> Answer {
    let head = head(name, "Transfer-Encoding: chunked\r\n");
    send(service, &[&head, &chunks(body, 1000), end].concat())
}

/// Rows of one meter, at least `bytes` of them.
fn rows(meter: &str, bytes: usize) -> Vec<u8> {
    let mut text = HEADER.to_owned();
    let mut minute = 0;
    while text.len() < bytes {
        let (day, hour, rest) = (1 + minute / 1440 % 28, minute / 60 % 24, minute % 60);
        let year = 2000 + minute / (1440 * 28);
        writeln!(text, "{meter},{year}-03-{day:02}T{hour:02}:{rest:02}:00Z,0.5,kW").unwrap();
        minute += 1;
    }
    text.into_bytes()
}

#[track_caller]
fn receiving_is_empty(home: &Home) {
    let left = files_below(&home.path().join("receiving"));
    assert!(left.is_empty(), "{:?}", left.keys());
}

/// Fails unless nothing has landed and nothing is left of what was refused.
#[track_caller]
fn nothing_landed(home: &Home) {
    assert!(home.export("uploads").is_empty());
    assert!(files_below(&home.path().join("landing/objects")).is_empty());
    assert!(files_below(&home.path().join("landing/tmp")).is_empty());
    receiving_is_empty(home);
}

#[test]
fn an_upload_is_acknowledged_once_and_known_from_then_on() {
    let home = Home::new();
    let service = serve(&home, "");
    let body = rows("M", 200);
    let first = put(&service, "a%20b.csv", "", &body);
    assert_eq!(first.status, 201, "{}", first.body);
    let told = first.json();
    let hash = ring::digest::digest(&ring::digest::SHA256, &body);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        told,
        serde_json::json!({
            "upload": 1, "name": "a b.csv", "sha256": hex, "bytes": body.len(), "status": "landed"
        })
    );
    for name in ["a%20b.csv", "other.csv"] {
        let again = put(&service, name, "", &body);
        assert_eq!(
            (again.status, &again.json()["upload"], &again.json()["status"]),
            (200, &1.into(), &"known".into())
        );
    }
    let other = put(&service, "a%20b.csv", "", &rows("N", 200));
    assert_eq!((other.status, &other.json()["upload"]), (201, &2.into()));
    let (code, said) = service.terminate();
    assert_eq!(code, 0, "{said}");
    let names: Vec<String> = home.export("uploads").iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["a b.csv", "a b.csv"]);
    assert_eq!(home.export("deliveries").len(), 4);
    home.is_whole();
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let home = Home::new();
    let service = serve(&home, "");
    let answers: Vec<Answer> =
        (0..20).map(|n| put(&service, "a.csv", "", &rows(&format!("M{n}"), 2000))).collect();
    assert!(answers.iter().all(|answer| answer.status == 201));
    // dropped: killed
    drop(service);
    serve(&home, "").terminate();
    assert_eq!(home.export("uploads").iter().filter(|row| row["status"] == "done").count(), 20);
    home.is_whole();
}

#[test]
fn a_body_of_any_size_lands_whole_with_and_without_a_length() {
    let home = Home::new();
    let service = serve(&home, "");
    // in memory, at its edge, above it, and above what landing reads at a time
    for (number, size) in [50, 65_500, 65_540, 3 << 20].into_iter().enumerate() {
        let body = rows(&format!("M{number}"), size);
        let answer = put(&service, "sized", "", &body);
        assert_eq!(
            (answer.status, answer.json()["bytes"].as_u64()),
            (201, Some(body.len() as u64)),
            "{size}"
        );
        let chunked = rows(&format!("C{number}"), size);
        let answer = put_chunked(&service, "chunked", &chunked, b"0\r\n\r\n");
        assert_eq!(
            (answer.status, answer.json()["bytes"].as_u64()),
            (201, Some(chunked.len() as u64)),
            "{size}"
        );
    }
    receiving_is_empty(&home);
    service.terminate();
    home.is_whole();
}

/// One meter's day in NEM12, which is known by its content.
fn nem12(meter: &str) -> String {
    let values = vec!["0.5"; 48].join(",");
    format!(
        "100,NEM12,202603030000,MDP,RETAILER\n200,{meter},E1,1,E1,N1,METER,KWH,30,\n300,20260302,{values},A,,,20260303000000,\n900\n"
    )
}

#[test]
fn a_small_compressed_upload_was_asked_for_its_feed_by_its_compressed_bytes() {
    let home = Home::new();
    let service = serve(&home, "");
    let gzip = |text: &str| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    for (name, body) in [
        ("plain", nem12("NMI0000001").into_bytes()),
        ("gzip", gzip(&nem12("NMI0000002"))),
        ("zstd", zstd(&nem12("NMI0000003"))),
    ] {
        assert_eq!(put(&service, name, "", &body).status, 201, "{name}");
    }
    eventually("all three are judged", || {
        let uploads = home.export("uploads");
        (uploads.iter().filter(|upload| upload["status"] != "landed").count() == 3).then_some(())
    });
    for upload in home.export("uploads") {
        // under the default feed it is a dead letter
        assert_eq!((&*upload["status"], &*upload["rows"]), ("done", "48"), "{upload:?}");
    }
    service.terminate();
    home.is_whole();
}

#[test]
fn a_body_that_breaks_off_is_truncated_and_leaves_nothing() {
    let home = Home::new();
    let service = serve(&home, "");
    for size in [2_000, 300_000] {
        let body = rows("M", size);
        let short = [&head("a", &format!("Content-Length: {}\r\n", body.len() + 1))[..], &body].concat();
        send(&service, &short).refuses(400, "body_truncated");
        put_chunked(&service, "a", &body, b"").refuses(400, "body_truncated");
        put_chunked(&service, "a", &body, b"5\r\nab").refuses(400, "body_truncated");
        put_chunked(&service, "a", &body, b"0\r\n").refuses(400, "body_truncated");
        put_chunked(&service, "a", &body, b"nonsense\r\n").refuses(400, "body_truncated");
        // one that is gone altogether hears nothing
        let mut stream = connect(&service);
        stream.write_all(&short).unwrap();
        drop(stream);
    }
    eventually("what was received is gone", || {
        files_below(&home.path().join("receiving")).is_empty().then_some(())
    });
    nothing_landed(&home);
}

#[test]
fn a_digest_that_differs_lands_nothing() {
    let home = Home::new();
    let service = serve(&home, "");
    for size in [100, 100_000] {
        let body = rows("M", size);
        let digest = |bytes: &[u8]| {
            let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
            format!("Content-Digest: sha-256=:{}:\r\n", BASE64_STANDARD.encode(hash))
        };
        put(&service, "a", &digest(b"other"), &body).refuses(400, "digest_differs");
        put(&service, "a", "Content-Digest: sha-256=x\r\n", &body).refuses(400, "digest_unfit");
        nothing_landed(&home);
    }
    put(&service, "a", "Content-Range: bytes 0-1/9\r\n", b"x").refuses(400, "range_unfit");
    nothing_landed(&home);
    let body = rows("M", 100_000);
    let hash = ring::digest::digest(&ring::digest::SHA512, &body);
    let right = format!("Content-Digest: sha-512=:{}:\r\n", BASE64_STANDARD.encode(hash));
    assert_eq!(put(&service, "a", &right, &body).status, 201);
}

#[test]
fn a_body_may_be_as_large_as_the_limit_and_not_larger() {
    let home = Home::new();
    let service = serve(&home, "[upload]\nbytes_max = 100000\n");
    let body = rows("M", 99_900);
    let fits = [body.clone(), vec![b'\n'; 100_000 - body.len()]].concat();
    let more = [&fits[..], b"\n"].concat();
    put(&service, "a", "", &more).refuses(413, "body_too_large");
    put_chunked(&service, "a", &more, b"0\r\n\r\n").refuses(413, "body_too_large");
    // what has not been sent yet is not asked for
    let asks = head("a", "Content-Length: 100001\r\nExpect: 100-continue\r\n");
    send(&service, &asks).refuses(413, "body_too_large");
    // a sender that goes on for long hears of it all the same
    let long = vec![b'x'; 3 << 20];
    put(&service, "a", "", &long).refuses(413, "body_too_large");
    nothing_landed(&home);
    assert_eq!(put(&service, "a", "", &fits).status, 201);
    let asks = head("b", &format!("Content-Length: {}\r\nExpect: 100-continue\r\n", fits.len()));
    assert_eq!(send(&service, &[&asks[..], &fits].concat()).status, 200);
}

#[test]
fn names_and_heads_are_limited_on_both_sides() {
    let home = Home::new();
    let service = serve(&home, "");
    let body = rows("M", 100);
    assert_eq!(put(&service, &"x".repeat(255), "", &body).status, 201);
    put(&service, &"x".repeat(256), "", &body).refuses(400, "name_unfit");
    for name in ["..", "%2e%2e", "%2Fetc%2Fpasswd", "..%2F..%2Finbox%2Fx", "a%00"] {
        put(&service, name, "", &body).refuses(400, "name_unfit");
    }
    // Host, Connection, Authorization, Content-Length are there already
    let headers = |count| (0..count).fold(String::new(), |all, n| all + &format!("x-{n}: 1\r\n"));
    assert_eq!(put(&service, "a", &headers(96), &body).status, 200);
    assert_eq!(put(&service, "a", &headers(97), &body).status, 431);
    let long = |bytes| format!("x: {}\r\n", "y".repeat(bytes));
    assert_eq!(put(&service, "a", &long(30_000), &body).status, 200);
    assert_eq!(put(&service, "a", &long(33_000), &body).status, 431);
    // both say how long the body is: one of them is a lie
    let both = head("a", &format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", body.len()));
    let answer = send(&service, &[&both[..], &body].concat());
    assert!((400..500).contains(&answer.status), "{}", answer.head);
    let two = head("a", &format!("Content-Length: {}\r\nContent-Length: 1\r\n", body.len()));
    assert_eq!(send(&service, &[&two[..], &body].concat()).status, 400);
    assert_eq!(home.export("uploads").len(), 1);
}

#[test]
fn bytes_that_landed_otherwise_are_told_and_a_dead_letter_is_tried_again() {
    let home = Home::new();
    let (zoned, dead) = (rows("Z", 100), rows("D", 100));
    home.ok(&["ingest", &home.file("zoned.csv", &zoned), "--time-zone", "Europe/Berlin"]);
    home.run(&["ingest", &home.file("dead.csv", &dead), "--feed", "nem12"]).exits(65);
    let service = serve(&home, "");
    let known = put(&service, "a", "", &zoned);
    known.refuses(409, "bytes_known");
    assert!(known.body.contains("upload 1") && known.body.contains("Europe/Berlin"), "{}", known.body);
    let retried = put(&service, "a", "", &dead);
    assert_eq!((retried.status, &retried.json()["status"]), (200, &"retried".into()), "{}", retried.body);
    eventually("the dead letter is loaded", || {
        (home.ok(&["status", "--json"]).json()["uploads"]["done"] == 2).then_some(())
    });
    service.terminate();
    home.is_whole();
}

/// Sends a body in pieces with a pause before each, and takes the answer.
fn drip(service: &Serving, body: &[u8], pieces: usize, pause: Duration) -> Answer {
    let mut stream = connect(service);
    stream.write_all(&head("slow", &format!("Content-Length: {}\r\n", body.len()))).unwrap();
    for piece in body.chunks(body.len().div_ceil(pieces)) {
        std::thread::sleep(pause);
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    Answer::of(&rest(stream))
}

#[test]
fn a_body_that_is_silent_slow_or_endless_is_cut() {
    let home = Home::new();
    let service = serve(&home, "[upload]\ngap_seconds = 2\nbody_seconds = 5\nrate_min = 1000\n");
    let body = rows("M", 4_000);
    let ms = Duration::from_millis;
    std::thread::scope(|scope| {
        let service = &service;
        let body = &body[..];
        // silent: a pause longer than the gap
        scope.spawn(move || drip(service, body, 2, ms(3000)).refuses(408, "body_slow"));
        // slow: no gap, but 50 bytes where 700 must come
        scope.spawn(move || drip(service, &body[..400], 8, ms(700)).refuses(408, "body_slow"));
        // endless: quick enough, but longer than all the time there is
        scope
            .spawn(move || drip(service, &[body, body, body].concat(), 9, ms(800)).refuses(408, "body_slow"));
        // nothing at all
        scope.spawn(move || {
            let mut stream = connect(service);
            stream.write_all(&head("slow", "Content-Length: 5\r\n")).unwrap();
            Answer::of(&rest(stream)).refuses(408, "body_slow");
        });
    });
    nothing_landed(&home);
    // pauses, but within the gap and quicker than the slowest
    assert_eq!(drip(&service, &body, 5, ms(600)).status, 201);
}

#[test]
fn a_head_that_does_not_come_is_cut_and_a_connection_that_rests_is_closed() {
    let home = Home::new();
    let service = serve(&home, "[serve]\nhead_seconds = 4\n");
    let began = Instant::now();
    let mut silent = connect(&service);
    let mut half = connect(&service);
    half.write_all(b"GET /livez HTTP/1.1\r\nHost:").unwrap();
    let mut resting = connect(&service);
    resting.write_all(b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut slow = connect(&service);
    for piece in [&b"GET /livez HT"[..], b"TP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"] {
        slow.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(Answer::of(&rest(slow)).status, 200, "a head in two pieces, within the time");
    assert!(began.elapsed() < Duration::from_secs(4), "the test itself was too slow to tell");
    for stream in [&mut silent, &mut half, &mut resting] {
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let cut = began.elapsed();
    assert!((4..10).contains(&cut.as_secs()), "{cut:?}");
}

#[test]
fn connections_are_limited_and_their_places_given_back() {
    let home = Home::new();
    let service = serve(&home, "[serve]\nconnections_max = 8\nhead_seconds = 60\n");
    let held: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = connect(&service);
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
            stream
        })
        .collect();
    let full = Answer::of(&rest(connect(&service)));
    assert_eq!(full.status, 503, "{}", full.head);
    assert!(full.head.contains("retry-after: "), "{}", full.head);
    drop(held);
    eventually("a place is free", || {
        let answer = rest({
            let mut stream = connect(&service);
            let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            stream
        });
        answer.starts_with("HTTP/1.1 200").then_some(())
    });
}

#[test]
fn a_disk_with_too_little_room_refuses_and_says_when_to_come_again() {
    let home = Home::new();
    let body = rows("M", 100);
    let service = serve(&home, "[upload]\nfree_bytes_min = 4000000000000000\n");
    put(&service, "a", "", &body).refuses(503, "disk_low");
    assert!(service.get("/readyz").0.contains("503"), "health says it too");
    service.terminate();
    nothing_landed(&home);
    let service = serve(&home, "[upload]\nfree_bytes_min = 0\n");
    assert_eq!(put(&service, "a", "", &body).status, 201);
}

#[test]
fn a_landing_zone_that_cannot_be_written_refuses_until_it_can() {
    let home = Home::new();
    let service = serve(&home, "");
    let (tmp, away) = (home.path().join("landing/tmp"), home.path().join("landing/away"));
    std::fs::rename(&tmp, &away).unwrap();
    for size in [100, 100_000] {
        put(&service, "a", "", &rows("M", size)).refuses(503, "landing_failed");
    }
    assert!(service.get("/readyz").0.contains("503"));
    std::fs::rename(&away, &tmp).unwrap();
    // senders that wait until it is ready need not be the ones that find out
    eventually("ready by itself", || service.get("/readyz").0.contains("200").then_some(()));
    nothing_landed(&home);
    for size in [100, 100_000] {
        assert_eq!(put(&service, "a", "", &rows("M", size)).status, 201);
    }
    service.terminate();
    home.is_whole();
}

#[test]
fn what_a_crash_left_half_received_is_gone_after_the_next_start() {
    let home = Home::new();
    let service = serve(&home, "");
    let body = rows("M", 500_000);
    let mut stream = connect(&service);
    stream.write_all(&head("a", &format!("Content-Length: {}\r\n", body.len() * 2))).unwrap();
    stream.write_all(&body).unwrap();
    eventually("a part is kept", || (!files_below(&home.path().join("receiving")).is_empty()).then_some(()));
    drop(service);
    assert!(!files_below(&home.path().join("receiving")).is_empty(), "killed: nothing tidied up");
    let service = serve(&home, "");
    nothing_landed(&home);
    assert_eq!(put(&service, "a", "", &body).status, 201);
    service.terminate();
    home.is_whole();
}

#[test]
fn every_route_but_the_health_checks_asks_for_the_token() {
    let home = Home::new();
    home.ingest("a.csv", "M,2026-03-02T00:00:00Z,1,kW\n");
    let service = serve(&home, "");
    let ask = |method: &str, path: &str, authorization: &str| {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{authorization}\r\n");
        send(&service, request.as_bytes())
    };
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let basic = |pair: String| format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(pair));
    let mut open = Vec::new();
    for route in &greenstream::web::ROUTES {
        let path = route.path.replace("{id}", "M").replace("{name}", "style.css");
        if route.is_open {
            open.push(route.path);
            assert_eq!(ask("GET", &path, "").status, 200, "{path}");
            continue;
        }
        for method in ["GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"] {
            for wrong in ["", &bearer("another-token-of-16"), &basic("x:y".to_owned()), &bearer(&TOKEN[1..])]
            {
                let answer = ask(method, &path, wrong);
                answer.refuses(401, "unauthorized");
                assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
                assert!(!answer.body.contains(TOKEN), "{}", answer.body);
            }
        }
        let method = match route.path {
            "/v1/events" => "POST",
            path if path.starts_with("/v1") => "PUT",
            _ => "GET",
        };
        let answer = ask(method, &path, &bearer(TOKEN));
        // without an inbox bucket no event is of any use
        let good = if method == "POST" { [404, 404] } else { [200, 201] };
        assert!(good.contains(&answer.status), "{path}: {}", answer.status);
        if method == "GET" {
            assert_eq!(ask("GET", &path, &basic(format!("me:{TOKEN}"))).status, 200, "{path}");
        }
    }
    assert_eq!(open, ["/livez", "/readyz"], "health checks, and nothing else");
    for path in ["/nowhere", "/livez/", "/v1/uploads/", "/meters/../livez", "//livez", "/livez%2f"] {
        ask("GET", path, "").refuses(401, "unauthorized");
    }
    ask("PUT", "/livez", "").refuses(401, "unauthorized");
    // a browser sends a password that it knows by itself: it reads, and never writes
    ask("PUT", "/v1/uploads/x", &basic(format!("me:{TOKEN}"))).refuses(401, "unauthorized");
}

#[test]
fn without_a_token_nothing_can_be_uploaded_and_nobody_else_can_ask() {
    let home = Home::new();
    let service = home.serve();
    let body = rows("M", 100);
    let request = |host: &str| {
        format!(
            "PUT /v1/uploads/a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
    };
    send(&service, &[request("localhost").as_bytes(), &body].concat()).refuses(403, "token_unset");
    assert_eq!(send(&service, &[request("evil.example").as_bytes(), &body].concat()).status, 403);
    service.terminate();
    nothing_landed(&home);
    home.run(&["run", "--listen", "0.0.0.0:0"]).exits(78).says("E-LISTEN").says("GREENSTREAM_TOKEN");
    home.configure("greenstream.toml", "[serve]\nlisten = \"[::]:0\"\n");
    home.run(&["run"]).exits(78).says("token_file");
    home.run(&["check-config"]).exits(78).says("token_file");
}

#[test]
fn a_token_of_a_file_opens_the_service_to_others_under_any_name() {
    let home = Home::new();
    home.configure("greenstream.toml", "[serve]\ntoken_file = \"secret/token\"\n");
    home.run(&["run", "--listen", "0.0.0.0:0"]).exits(78).says("secret/token");
    home.configure("secret/token", "short\n");
    home.run(&["run", "--listen", "0.0.0.0:0"]).exits(78).says("it takes 16 to 1024");
    home.configure("secret/token", &format!("{TOKEN}\n"));
    home.ok(&["check-config"]).says("set, not shown");
    let mut service = Home::serve_by(home.command(&["run", "--listen", "0.0.0.0:0"]));
    service.address = service.address.replace("0.0.0.0", "127.0.0.1");
    let ask = format!(
        "GET /api/status HTTP/1.1\r\nHost: meters.example\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    assert_eq!(send(&service, ask.as_bytes()).status, 200);
    send(&service, ask.replace(TOKEN, "0123456789abcdef").as_bytes()).refuses(401, "unauthorized");
}

/// The commands of docs/upload.md, as they stand there, by curl and openssl.
#[test]
fn the_commands_of_the_manual_work() {
    let home = Home::new();
    let service = serve(&home, "");
    let folder = std::path::PathBuf::from(home.file("meters.csv", rows("M", 200)));
    let folder = folder.parent().unwrap();
    std::fs::write(folder.join("token"), format!("{TOKEN}\n")).unwrap();
    let page = include_str!("../../../docs/upload.md");
    let blocks: Vec<&str> = page
        .split("```sh\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .filter(|block| block.contains("curl"))
        .collect();
    assert_eq!(blocks.len(), 2);
    for (block, status) in blocks.into_iter().zip(["landed", "known"]) {
        let script = block.replace("127.0.0.1:8321", &service.address);
        let done =
            std::process::Command::new("sh").args(["-ec", &script]).current_dir(folder).output().unwrap();
        let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        assert!(
            done.status.success() && said.contains(&format!("\"status\":\"{status}\"")),
            "{script}\n{said}"
        );
    }
}

/// Half of them silent, a quarter in the middle of a head, a quarter in the middle of a body.
fn slow_clients(service: &Serving, count: usize) -> Vec<TcpStream> {
    (0..count)
        .map(|number| {
            let mut stream = connect(service);
            match number % 4 {
                0 => stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nX-Slow:").unwrap(),
                1 => {
                    let begun = [&head("slow", "Content-Length: 100000\r\n")[..], b"meter_id,"].concat();
                    stream.write_all(&begun).unwrap();
                }
                _ => {}
            }
            stream
        })
        .collect()
}

/// The time of so many uploads one after the other.
fn uploads(service: &Serving, label: &str, count: usize) -> Duration {
    let began = Instant::now();
    for number in 0..count {
        let answer = put(service, "normal.csv", "", &rows(&format!("{label}{number}"), 20_000));
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    began.elapsed()
}

#[test]
fn a_thousand_slow_clients_do_not_slow_the_others_and_are_cut() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let home = Home::new();
    let service = serve(&home, "[serve]\nhead_seconds = 15\n[upload]\ngap_seconds = 15\n");
    uploads(&service, "warm", 10);
    let mut usual = Duration::MAX;
    let mut beside = Duration::MAX;
    let mut slow = Vec::new();
    // the machine has other work too: the best of several is the service's own time, and what a moment of quiet
    // gave one of the two has to be given to the other
    for round in 0..12 {
        drop(std::mem::take(&mut slow));
        usual = usual.min(uploads(&service, &format!("usual{round}-"), 20));
        slow = slow_clients(&service, 1000);
        beside = beside.min(uploads(&service, &format!("beside{round}-"), 20));
        if round >= 2 && beside < usual * 2 {
            break;
        }
    }
    println!("20 uploads: {usual:?} alone, {beside:?} beside 1,000 slow clients");
    assert!(beside < usual * 2, "{beside:?} beside slow clients, {usual:?} without");
    let began = Instant::now();
    for mut stream in slow {
        // cut: an answer, or nothing, and then the end
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
    let (code, said) = service.terminate();
    assert_eq!(code, 0, "{said}");
    home.is_whole();
}

/// Sends one upload to wherever the service is now: whole, cut, or with another's digest. Gives the hash of
/// what was sent whole, and the answer's status where there was one.
fn try_upload(address: &Mutex<String>, number: u64) -> (Option<String>, Option<u16>) {
    let address = address.lock().unwrap().clone();
    let body = rows(&format!("M{}", number % 400), [300, 3_000, 80_000][(number % 3) as usize]);
    let hash = ring::digest::digest(&ring::digest::SHA256, &body);
    let is_cut = number.is_multiple_of(7);
    let digest =
        if number.is_multiple_of(5) { ring::digest::digest(&ring::digest::SHA256, b"other") } else { hash };
    let headers = format!(
        "Content-Length: {}\r\nContent-Digest: sha-256=:{}:\r\n",
        body.len(),
        BASE64_STANDARD.encode(digest)
    );
    let sent = if is_cut { &body[..body.len() - 1] } else { &body[..] };
    let is_whole = !is_cut && !number.is_multiple_of(5);
    let answer = TcpStream::connect(&address).and_then(|mut stream| {
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.write_all(&[&head(&format!("{number}.csv"), &headers), sent].concat())?;
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    let status =
        answer.ok().filter(|answer| answer.contains("\r\n\r\n")).map(|answer| Answer::of(&answer).status);
    assert!(is_whole || !matches!(status, Some(200 | 201)), "{number} was acknowledged: {status:?}");
    let hex = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    (is_whole.then_some(hex), status)
}

/// Ends the senders, also when the test fails before it does.
struct Ends<'a>(&'a AtomicU64);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

/// As many kills as `GREENSTREAM_KILLS` says; a few without.
#[test]
fn what_is_acknowledged_stays_and_nothing_else_comes_whenever_the_service_is_killed() {
    let kills: u64 =
        std::env::var_os("GREENSTREAM_KILLS").map_or(4, |kills| kills.to_str().unwrap().parse().unwrap());
    let home = Home::new();
    let mut service = serve(&home, "");
    let address = Mutex::new(service.address.clone());
    let (acknowledged, sent) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    let (next, running) = (AtomicU64::new(1), AtomicU64::new(1));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while running.load(Ordering::SeqCst) == 1 {
                    let (hash, status) = try_upload(&address, next.fetch_add(1, Ordering::SeqCst));
                    let Some(hash) = hash else { continue };
                    sent.lock().unwrap().insert(hash.clone());
                    match status {
                        Some(200 | 201) => drop(acknowledged.lock().unwrap().insert(hash)),
                        Some(status) => assert_eq!(status, 503),
                        None => std::thread::sleep(Duration::from_millis(5)),
                    }
                }
            });
        }
        let _ends = Ends(&running);
        for kill in 0..kills {
            // between a few and some hundred uploads, never the same
            std::thread::sleep(Duration::from_millis(100 + kill * 137 % 700));
            service.kill();
            service = serve(&home, "");
            *address.lock().unwrap() = service.address.clone();
        }
        std::thread::sleep(Duration::from_millis(500));
    });
    service.terminate();
    let landed: BTreeSet<String> = home.export("uploads").iter().map(|row| row["sha256"].clone()).collect();
    let (acknowledged, sent) = (acknowledged.into_inner().unwrap(), sent.into_inner().unwrap());
    println!(
        "{kills} kills: {} tried, {} acknowledged, {} landed",
        next.load(Ordering::SeqCst) - 1,
        acknowledged.len(),
        landed.len()
    );
    assert!(!acknowledged.is_empty());
    assert!(acknowledged.is_subset(&landed), "lost: {:?}", acknowledged.difference(&landed));
    assert!(landed.is_subset(&sent), "half there: {:?}", landed.difference(&sent));
    receiving_is_empty(&home);
    home.is_whole();
}
