//! A server that stops, flaps, cuts connections and answers late: the same state afterwards, nothing lost,
//! nothing a dead letter.
//!
//! `GREENSTREAM_OUTAGE_SECONDS` says how long the server is stopped (5), `GREENSTREAM_FLAPS` how often (10),
//! `GREENSTREAM_ANSWER_MS` how slow it is (100).

use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::{HEADER, Home, Serving, eventually};
use crate::server::{Between, Server};

/// Everything goes on alone so soon after the world is mended.
const RESUMES_WITHIN: Duration = Duration::from_secs(30);

fn text(number: usize) -> String {
    let (day, hour, quarter) = (2 + number / 96, number / 4 % 24, number % 4 * 15);
    let row = |meter: usize| format!("M{meter},2026-03-{day:02}T{hour:02}:{quarter:02}:00Z,1.5,kW\n");
    HEADER.to_owned() + &(0..50).map(row).collect::<String>()
}

fn send(home: &Home, number: usize) {
    let hidden = home.path().join("inbox").join(format!(".{number:02}.csv"));
    fs::write(&hidden, text(number)).unwrap();
    fs::rename(hidden, home.path().join("inbox").join(format!("{number:02}.csv"))).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a test's size is chosen by its caller")]
fn asked(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

fn done(service: &Serving) -> Option<u64> {
    let (head, body) = service.get("/api/status");
    let status: serde_json::Value = serde_json::from_str(&body).ok().filter(|_| head.contains("200"))?;
    status["uploads"]["done"].as_u64()
}

/// Waits until all uploads are processed after the world was mended.
#[track_caller]
fn resumes(service: &Serving, uploads: u64) {
    let mended = Instant::now();
    eventually("everything goes on", || (done(service) == Some(uploads)).then_some(()));
    println!("went on {:.1} s after", mended.elapsed().as_secs_f64());
    assert!(mended.elapsed() <= RESUMES_WITHIN);
}

/// The service ends in order, its home is whole, and no upload is a dead letter.
#[track_caller]
fn ends_whole(home: &Home, service: Serving, uploads: u64) {
    let (code, said) = service.terminate();
    assert_eq!(code, 0, "{said}");
    assert_eq!(home.books(), [50 * uploads, 50 * uploads, 0, 0]);
    assert_eq!(home.ok(&["status", "--json"]).json()["uploads"]["dead"], 0);
    home.is_whole();
}

fn served(server: &Server, more: &str) -> (Home, Serving) {
    let home = Home::new();
    home.configure("greenstream.toml", &(server.configuration("out") + more));
    let service = home.serve();
    send(&home, 0);
    eventually("the first upload is done", || (done(&service) == Some(1)).then_some(()));
    (home, service)
}

#[test]
fn while_the_server_is_stopped_uploads_land_and_wait() {
    let server = Server::start();
    let (home, service) = served(&server, "");
    server.halt("immediate");
    let seconds = asked("GREENSTREAM_OUTAGE_SECONDS", 5);
    for number in 1..=seconds {
        send(&home, number);
        std::thread::sleep(Duration::from_secs(1));
    }
    eventually("the files land all the while", || {
        (fs::read_dir(home.path().join("inbox")).unwrap().count() == 0).then_some(())
    });
    eventually("the service says so", || (!service.get("/readyz").0.contains("200")).then_some(()));
    assert!(service.get("/").0.contains("503"));
    // who watches the service hears why, and nothing that nobody can know just now
    let (head, metrics) = service.get("/metrics");
    assert!(head.contains("200") && metrics.contains("greenstream_outages 1\n"), "{head}{metrics}");
    assert!(!metrics.contains("greenstream_journal_entry"), "{metrics}");
    let (head, status) = service.get("/api/status");
    assert!(head.contains("503") && status.contains("\"part\":\"database\""), "{head}{status}");
    server.resume();
    let uploads = u64::try_from(seconds).unwrap() + 1;
    resumes(&service, uploads);
    ends_whole(&home, service, uploads);
}

#[test]
fn a_service_that_starts_while_the_server_is_away_waits_for_it() {
    let server = Server::start();
    let home = Home::new();
    home.configure("greenstream.toml", &server.configuration("late"));
    server.halt("immediate");
    let service = home.serve();
    send(&home, 0);
    eventually("the service says so", || service.get("/readyz").0.contains("503").then_some(()));
    assert!(service.get("/livez").0.contains("200"));
    std::thread::sleep(Duration::from_secs(2));
    server.resume();
    resumes(&service, 1);
    ends_whole(&home, service, 1);
}

#[test]
fn a_server_that_flaps_under_load_holds_nothing_up_for_good() {
    let server = Server::start();
    let (home, service) = served(&server, "[sizes]\ncommit_rows = 50\n");
    let flaps = asked("GREENSTREAM_FLAPS", 10);
    for flap in 1..=flaps {
        send(&home, flap);
        server.halt(if flap % 2 == 0 { "fast" } else { "immediate" });
        server.resume();
        send(&home, flaps + flap);
    }
    let uploads = 2 * u64::try_from(flaps).unwrap() + 1;
    resumes(&service, uploads);
    ends_whole(&home, service, uploads);
}

#[test]
fn connections_that_are_cut_at_any_time_are_made_again() {
    let server = Server::start();
    let (home, service) = served(&server, "[sizes]\ncommit_rows = 50\n");
    let mut admin = server.client();
    for number in 1..=30 {
        send(&home, number);
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND application_name LIKE 'greenstream%'";
        admin.batch_execute(cut).unwrap();
    }
    resumes(&service, 31);
    ends_whole(&home, service, 31);
}

#[test]
fn statements_that_take_too_long_are_waited_out() {
    let server = Server::start();
    let (home, service) = served(&server, "");
    let mut admin = server.client();
    // whoever wants to write waits for this, until the server ends the statement
    admin.batch_execute("ALTER ROLE greenstream SET statement_timeout = '300ms'").unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND application_name LIKE 'greenstream%'";
    admin.batch_execute(cut).unwrap();
    admin.batch_execute("BEGIN; LOCK TABLE out.t_upload IN EXCLUSIVE MODE").unwrap();
    (1..4).for_each(|number| send(&home, number));
    eventually("the service says so", || (!service.get("/readyz").0.contains("200")).then_some(()));
    admin.batch_execute("ROLLBACK").unwrap();
    resumes(&service, 4);
    ends_whole(&home, service, 4);
}

/// A home on the server by a way that can be broken, in schema `out`.
fn by_way_of(server: &Server) -> (Home, Between) {
    let between = Between::before(server);
    let url = server.url.replace(&format!(":{}/", server.port()), &format!(":{}/", between.port));
    let home = Home::new();
    home.configure(
        "greenstream.toml",
        &format!("[store]\nurl = \"{url}?schema=out\"\n[sizes]\ncommit_rows = 50\n"),
    );
    (home, between)
}

/// Each answer takes `GREENSTREAM_ANSWER_MS` (100).
#[test]
fn a_server_that_takes_its_time_for_each_answer_is_waited_for() {
    let server = Server::start();
    let (home, between) = by_way_of(&server);
    let service = home.serve();
    send(&home, 0);
    eventually("the first upload is done", || (done(&service) == Some(1)).then_some(()));
    let answer = u64::try_from(asked("GREENSTREAM_ANSWER_MS", 100)).unwrap();
    between.faults.answer_ms.store(answer, Ordering::SeqCst);
    (1..4).for_each(|number| send(&home, number));
    let mut admin = server.client();
    let mut is_done = || {
        let count = "SELECT count(*) FROM out.uploads WHERE status = 'done'";
        admin.query_one(count, &[]).unwrap().get::<_, i64>(0) == 4
    };
    let began = Instant::now();
    while !is_done() {
        assert!(
            began.elapsed() < Duration::from_millis(500 * answer),
            "three uploads take more than 500 answers"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("three uploads in {:.1} s", began.elapsed().as_secs_f64());
    between.faults.answer_ms.store(0, Ordering::SeqCst);
    ends_whole(&home, service, 4);
}

/// The server commits and the answer is lost: whether it was done, only the database knows.
#[test]
fn a_connection_that_is_cut_right_after_commit_was_sent_doubles_nothing() {
    let server = Server::start();
    let (home, between) = by_way_of(&server);
    let service = home.serve();
    between.faults.cuts.store(8, Ordering::SeqCst);
    for number in 0..12 {
        send(&home, number);
        eventually("it is done", || (done(&service) >= Some(number as u64 + 1)).then_some(()));
    }
    assert_eq!(between.faults.cuts.load(Ordering::SeqCst), 0, "cuts that were never made");
    ends_whole(&home, service, 12);
}
