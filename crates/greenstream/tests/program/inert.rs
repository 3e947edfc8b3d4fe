//! Names, texts and secrets: what senders choose steers nothing, what is secret is told nowhere, and what is
//! no file is no upload.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use crate::common::{HEADER, Home, Serving, eventually, files_below};

const TOKEN: &str = "canary-of-the-token";

/// Texts that would do something if they were taken for more than text.
const HOSTILE: [&str; 10] = [
    "=HYPERLINK(\"http://x\")",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "<script>alert(1)</script>",
    "'); drop table t_upload; --",
    "../../../../tmp/x",
    "date=1999-01-01",
    "{{7*7}}${7*7}%s%n",
    "a b",
];

fn ask(service: &Serving, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(&service.address).unwrap();
    stream.set_read_timeout(Some(crate::common::DEADLINE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn put(service: &Serving, name: &[u8], body: &str) -> String {
    let name: String = name.iter().map(|byte| format!("%{byte:02X}")).collect();
    let head = format!(
        "PUT /v1/uploads/{name} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    ask(service, format!("{head}{body}").as_bytes())
}

fn get(service: &Serving, path: &str) -> String {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    ask(service, head.as_bytes())
}

fn serve(home: &Home) -> Serving {
    let mut command = home.command(&["run", "--listen", "127.0.0.1:0"]);
    command.env("GREENSTREAM_TOKEN", TOKEN);
    Home::serve_by(command)
}

#[test]
fn names_and_texts_of_uploads_steer_nothing() {
    let home = Home::new();
    let service = serve(&home);
    let mut names: Vec<Vec<u8>> = HOSTILE.iter().map(|name| name.replace('/', "|").into_bytes()).collect();
    names.push(b"a\n2026-01-01T00:00:00Z ERROR forged\r\x1b[2J\x07\xff".to_vec());
    for (number, name) in names.iter().enumerate() {
        let meter = HOSTILE.get(number).unwrap_or(&"M").replace('"', "\"\"");
        // a row that is stored, one that waits in the queue with its raw text, and one that cannot be read
        let body = format!(
            "{HEADER}\"{meter}\",2026-03-02T00:00:00Z,0.5,kW\n\"{meter}\",2026-03-02T00:15:00Z,99,kW\n{}\x1b[31m,x\n",
            HOSTILE.get(number).unwrap_or(&"=x")
        );
        let answer = put(&service, name, &body);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
    let done = || home.ok(&["status", "--json"]).json()["uploads"]["done"] == names.len();
    eventually("all are done", || done().then_some(()));
    for page in ["/", "/meters", "/meters?q=%3Cscript", "/meters/%3Cscript%3Ealert(1)%3C%2Fscript%3E"] {
        let page = get(&service, page);
        assert!(page.starts_with("HTTP/1.1 200") && !page.contains("<script>alert"), "{page}");
    }
    let (code, said) = service.terminate();
    assert_eq!(code, 0, "{said}");
    // the log: as many lines as events, each begun by the program
    assert!(said.contains("\\n2026-01-01T00:00:00Z ERROR forged\\r\\u{1b}[2J\\u{7}\\xff"), "{said}");
    assert!(!said.contains(['\u{1b}', '\r', '\u{7}']), "{said:?}");
    assert!(!said.lines().any(|line| line.starts_with("2026-01-01")), "{said}");

    home.is_whole();
    for dataset in ["readings", "error-queue", "uploads", "deliveries", "superseded", "measured", "quality"] {
        let text = home.ok(&["export", dataset]).out;
        let mut cells = csv::Reader::from_reader(text.as_bytes());
        for record in cells.records() {
            for (column, cell) in record.unwrap().iter().enumerate() {
                let is_number = cell.parse::<f64>().is_ok();
                assert!(
                    is_number || !cell.starts_with(['=', '+', '-', '@', '\t', '\r']),
                    "{dataset} {column}: {cell}"
                );
            }
        }
    }
    // other formats are exact
    let json = home.ok(&["export", "readings", "--format", "json"]).out;
    let meters: Vec<String> = json
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["meter_id"].as_str().unwrap().to_owned()
        })
        .collect();
    for meter in HOSTILE {
        assert!(meters.iter().any(|found| found == meter), "{meter} is not in {meters:?}");
    }
    // tables for people: a line for each row, nothing that a terminal obeys
    for command in [["uploads"], ["errors"], ["meters"]] {
        let out = home.ok(&command).out;
        assert!(!out.contains(['\u{1b}', '\r', '\u{7}']), "{out:?}");
    }
    assert_eq!(home.ok(&["uploads"]).out.lines().count(), names.len() + 1);
    // partitions are days, whatever ids are
    for (path, _) in files_below(&home.path().join("archive")) {
        let path = path.strip_prefix(home.path().join("archive")).unwrap().to_str().unwrap().to_owned();
        let folder = path.split('/').nth(1).unwrap();
        let is_known = folder == "_delta_log"
            || folder == "date=2026-03-02"
            || folder == "date=__HIVE_DEFAULT_PARTITION__";
        assert!(is_known, "{path}");
    }
}

#[test]
fn what_is_no_regular_file_is_refused_at_once_and_holds_up_nothing() {
    let home = Home::new();
    home.ok(&["check-config"]);
    let inbox = home.path().join("inbox");
    std::fs::create_dir_all(&inbox).unwrap();
    let outside = home.file("outside.csv", format!("{HEADER}M,2026-03-02T00:00:00Z,1,kW\n"));
    symlink(&outside, inbox.join("a-link.csv")).unwrap();
    symlink("/dev/zero", inbox.join("a-device.csv")).unwrap();
    symlink(&inbox, inbox.join("a-loop.csv")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, inbox.join("a-fifo.csv"), 0o600.into()).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(inbox.join("a-socket.csv")).unwrap();
    let fifo = inbox.join("a-fifo.csv");
    for path in [fifo.to_str().unwrap(), "/dev/zero", inbox.join("a-link.csv").to_str().unwrap()] {
        let began = Instant::now();
        home.run(&["ingest", path]).exits(74).says("E-NOT-A-FILE");
        assert!(began.elapsed() < Duration::from_secs(20), "{path} was waited for");
    }
    let service = serve(&home);
    std::fs::write(inbox.join("z-good.csv"), format!("{HEADER}M,2026-03-02T00:00:00Z,1,kW\n")).unwrap();
    eventually("the good one has landed", || {
        (home.ok(&["status", "--json"]).json()["uploads"]["done"] == 1).then_some(())
    });
    // the warnings come once the names have stayed for two seconds
    std::thread::sleep(Duration::from_secs(5));
    let (code, said) = service.terminate();
    assert_eq!(code, 0, "{said}");
    for (name, what) in [
        ("a-link.csv", "a symbolic link"),
        ("a-device.csv", "a symbolic link"),
        ("a-loop.csv", "a symbolic link"),
        ("a-fifo.csv", "a FIFO"),
        ("a-socket.csv", "a socket"),
    ] {
        let lines: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(
            lines.len() == 1 && lines[0].contains(&format!("not read: it is {what}")),
            "{name}: {lines:?}"
        );
    }
    assert_eq!(home.export("uploads").len(), 1);
    assert!(std::path::Path::new(&outside).exists());
}

/// A server that answers each request so and closes.
fn target(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[track_caller]
fn holds_no_secret(what: &str, text: &[u8]) {
    let found = text.windows(6).position(|window| window.eq_ignore_ascii_case(b"canary"));
    if let Some(at) = found {
        let near = &text[at.saturating_sub(100)..(at + 100).min(text.len())];
        panic!("{what} holds a secret: {}", String::from_utf8_lossy(near));
    }
}

#[test]
fn secrets_are_told_nowhere() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://canary-moved:canary-moved@127.0.0.1:1/canary\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let failed = "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for address in ["127.0.0.1:1".to_owned(), target(failed), target(moved), "[canary-host".to_owned()] {
        let home = Home::new();
        let webhook = format!("http://canary-user:canary-password@{address}/canary-path?token=canary-query");
        home.configure(
            "greenstream.toml",
            "[alerts]\nwebhook_file = \"webhook\"\n[serve]\ntoken_file = \"token\"\n",
        );
        home.configure("webhook", &format!("{webhook}\n"));
        home.configure("token", "canary-of-the-token\n");
        let run = |args: &[&str]| {
            let mut command = home.command(args);
            let output = command.env("GREENSTREAM_LOG", "trace").output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            holds_no_secret(&format!("{args:?}"), &text);
            String::from_utf8(text).unwrap()
        };
        let dead = home.file("dead.csv", "nonsense\n");
        let said = run(&["ingest", &dead]);
        assert!(said.contains("did not take an alert"), "the webhook was not asked: {said}");
        for args in [
            &["check-config"][..],
            &["check-config", "--json"],
            &["check-config", "--level", "reachability"],
            &["status"],
            &["alerts", "--json"],
            &["feeds", "list"],
            &["verify"],
            &["init"],
            &["run", "--listen", "nowhere"],
        ] {
            run(args);
        }
        let mut command = home.command(&["run", "--listen", "127.0.0.1:0"]);
        command.env("GREENSTREAM_LOG", "trace");
        let service = Home::serve_by(command);
        for route in &greenstream::web::ROUTES {
            let path = route.path.replace("{id}", "M").replace("{name}", "page.js");
            holds_no_secret(&path, get(&service, &path).as_bytes());
            holds_no_secret(
                &path,
                ask(
                    &service,
                    format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes(),
                )
                .as_bytes(),
            );
        }
        holds_no_secret("PUT", put(&service, b"a.csv", "nonsense again\n").as_bytes());
        // a round of the alerts' thread
        std::thread::sleep(Duration::from_millis(700));
        let (_, said) = service.terminate();
        holds_no_secret("the service's log", said.as_bytes());
        for (path, bytes) in files_below(&home.path()) {
            if !path.ends_with("webhook") && !path.ends_with("token") {
                holds_no_secret(&path.display().to_string(), &bytes);
            }
        }
    }
}

/// Secrets of services that are asked over the network, none of which answers.
#[test]
fn secrets_of_services_that_are_away_are_told_nowhere() {
    let home = Home::new();
    let credentials = "-----BEGIN NATS USER JWT-----\ncanary\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\ncanary\n------END USER NKEY SEED------\n";
    let mut text =
        "[store]\nurl = \"postgresql://a@127.0.0.1:1/m\"\npassword_file = \"password\"\n".to_owned();
    if cfg!(all(feature = "s3", feature = "sqs", feature = "nats")) {
        text += "[objects]\nendpoint = \"http://127.0.0.1:1\"\nregion = \"eu-central-1\"\nretries_max = 0\nrequest_seconds = 1\n\
            [inbox]\nurl = \"s3://bucket\"\n[landing]\nurl = \"s3://bucket/landing\"\n\
            [trigger.sqs]\nqueue_url = \"http://127.0.0.1:1/1/q\"\n\
            [trigger.nats]\nurl = \"nats://127.0.0.1:1\"\ncredentials_file = \"nats.creds\"\n";
    }
    home.configure("greenstream.toml", &text);
    home.configure("password", "canary-of-the-database\n");
    home.configure("nats.creds", credentials);
    let secrets = [
        ("PGPASSWORD", "canary-of-the-variable"),
        ("AWS_ACCESS_KEY_ID", "canaryid"),
        ("AWS_SECRET_ACCESS_KEY", "canary-of-the-key"),
        ("AWS_SESSION_TOKEN", "canary-of-the-session"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "canary"),
    ];
    for variables in [&secrets[..], &secrets[1..]] {
        let command = |args: &[&str]| {
            let mut command = home.command(args);
            command.env("GREENSTREAM_LOG", "trace").envs(variables.iter().copied());
            command
        };
        for args in [
            &["check-config"][..],
            &["check-config", "--json"],
            &["check-config", "--level", "reachability"],
            &["status"],
            &["export", "readings"],
        ] {
            let output = command(args).output().unwrap();
            holds_no_secret(&format!("{args:?}"), &[output.stdout, output.stderr].concat());
        }
        let service = Home::serve_by(command(&["run", "--listen", "127.0.0.1:0"]));
        for path in ["/readyz", "/api/status", "/metrics", "/"] {
            holds_no_secret(path, service.get(path).1.as_bytes());
        }
        std::thread::sleep(Duration::from_secs(2));
        let (_, said) = service.terminate();
        holds_no_secret("the service's log", said.as_bytes());
    }
}

#[test]
fn a_configuration_that_is_wrong_tells_no_secret_either() {
    let home = Home::new();
    for text in [
        "[alerts]\nwebhook = \"https://u:canary@h/canary\" x\n",
        "[alerts]\nwebhok = \"https://u:canary@h/canary\"\n",
        "[alerts]\nwebhook = \"https://u:canary@h/canary\"\n",
        "[store]\nurl = \"postgresql://u:canary@h/canary\"\n",
        "[store]\nurl = \"host=h password=canary\"\n",
        "[store]\npassword = \"canary\"\n",
        "[objects]\naws_secret_access_key = \"canary\"\n",
        "[landing]\nurl = \"az://c/p?sig=canary\"\n",
        "[trigger.nats]\nurl = \"nats://canary@h:4222\"\n",
        "[alerts]\nwebhook = [\"https://u:canary@h/canary\"]\n",
        "[serve]\ntoken = \"canary-token-of-16\"\n",
        "[serve]\ntoken_file = 'canary\n",
        "token = \"canary-token-of-16\"\n",
    ] {
        home.configure("greenstream.toml", text);
        for args in [&["check-config"][..], &["check-config", "--json"], &["run"]] {
            let done = home.run(args).exits(78);
            holds_no_secret(text, format!("{}{}", done.out, done.err).as_bytes());
        }
    }
    home.configure("greenstream.toml", "[serve]\ntoken_file = \"t\"\n");
    home.configure("t", "canary");
    let done = home.run(&["run"]).exits(78).says("16 to 1024");
    holds_no_secret("a short token", done.err.as_bytes());
}
