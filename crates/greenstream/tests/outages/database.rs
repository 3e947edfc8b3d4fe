//! A database that another program holds, or that is slow.

use std::time::Instant;

use rusqlite::Connection;

use super::common::{Home, eventually};
use super::faults::{self, Fault};
use super::hook::Hook;
use super::{done, ends_whole, in_inbox, is_ready, outage, resumes, send, told_once};

fn hold(home: &Home) -> Connection {
    let other = Connection::open(home.path().join("greenstream.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

#[test]
fn while_another_program_holds_the_database_uploads_land_and_wait() {
    let (home, hook) = (Home::new(), Hook::willing());
    home.configure("greenstream.toml", &hook.configuration());
    let service = home.serve();
    send(&home, 0);
    eventually("the first upload is done", || (done(&service) == 1).then_some(()));
    let other = hold(&home);
    (1..5).for_each(|number| send(&home, number));
    eventually("the files have landed", || (in_inbox(&home) == 0).then_some(()));
    let outage = eventually("the outage is told", || outage(&service, "database"));
    assert!(outage["way_out"].as_str().unwrap().contains("another process holds the database"), "{outage}");
    send(&home, 5);
    eventually("files land all the while", || (in_inbox(&home) == 0).then_some(()));
    eventually("one alert, past the outbox", || (!hook.taken("outage").is_empty()).then_some(()));
    for page in ["/", "/meters", "/api/hours", "/metrics"] {
        let asked = Instant::now();
        let (head, _) = service.get(page);
        assert!(head.contains("200") && asked.elapsed().as_secs() < 10, "{page}: {head}");
    }
    assert!(!is_ready(&service) && done(&service) == 1);
    other.execute_batch("ROLLBACK").unwrap();
    resumes("database held", Instant::now(), || done(&service) == 6 && is_ready(&service));
    told_once(&hook, "database");
    ends_whole(&home, service, 6);
}

/// Until now a service that was told to stop waited for the database for ever.
#[test]
fn a_service_that_is_told_to_stop_does_not_wait_for_a_database_that_is_held() {
    let home = Home::new();
    let service = home.serve();
    send(&home, 0);
    eventually("the first upload is done", || (done(&service) == 1).then_some(()));
    let other = hold(&home);
    send(&home, 1);
    eventually("the file has landed", || (in_inbox(&home) == 0).then_some(()));
    let (code, said) = service.terminate();
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("error[E-DATABASE]") && said.contains("another process holds"), "{said}");
    drop(other);
    let service = home.serve();
    eventually("the next start goes on", || (done(&service) == 2).then_some(()));
    ends_whole(&home, service, 2);
}

#[test]
fn a_slow_disk_is_no_outage() {
    let home = Home::new();
    let off = home.path().with_extension("slow");
    std::fs::write(&off, "").unwrap();
    let service =
        home.serve_as(|command| faults::put_before_while(command, &home.path(), Fault::Delay(15), &off));
    (0..4).for_each(|number| send(&home, number));
    eventually("all are done", || (done(&service) == 4).then_some(()));
    assert!(is_ready(&service));
    ends_whole(&home, service, 4);
}
