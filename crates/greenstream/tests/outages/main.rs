//! Outages: a disk without space, a database that is held or slow, a target of alerts that is down, slow or
//! lies. Nothing is lost, nothing becomes a dead letter, one alert says so and one that it is over, and work
//! goes on alone within 30 seconds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

#[path = "../common/mod.rs"]
mod common;
mod database;
mod disk;
#[path = "../faults/mod.rs"]
mod faults;
mod hook;
mod webhook;

use std::fs;
use std::time::{Duration, Instant};

use common::{HEADER, Home, Serving, eventually};
use serde_json::Value;

/// Everything goes on alone so soon after the world is mended.
const RESUMES_WITHIN: Duration = Duration::from_secs(30);

/// Puts a file into the inbox, whole; all uploads of a number are alike everywhere.
fn send(home: &Home, number: usize) {
    let rows: String = (0..20).map(|at| format!("M{at},2026-03-02T{number:02}:00:00Z,1.5,kW\n")).collect();
    send_as(home, &format!("{number:02}.csv"), &(HEADER.to_owned() + &rows));
}

fn send_as(home: &Home, name: &str, text: &str) {
    // a hidden name is not read, and the rename is on the volume of the inbox
    let hidden = home.path().join("inbox").join(format!(".{name}"));
    fs::write(&hidden, text).unwrap();
    fs::rename(hidden, home.path().join("inbox").join(name)).unwrap();
}

fn in_inbox(home: &Home) -> usize {
    fs::read_dir(home.path().join("inbox")).unwrap().count()
}

fn status(service: &Serving) -> Value {
    serde_json::from_str(&service.get("/api/status").1).unwrap()
}

fn done(service: &Serving) -> u64 {
    status(service)["uploads"]["done"].as_u64().unwrap()
}

fn is_ready(service: &Serving) -> bool {
    service.get("/readyz").0.contains("200")
}

/// The outage of a part, as the API has it.
fn outage(service: &Serving, part: &str) -> Option<Value> {
    let status = status(service);
    status["outages"].as_array().unwrap().iter().find(|outage| outage["part"] == part).cloned()
}

/// Waits for all of this after the world was mended, and says how long it took.
#[track_caller]
fn resumes(what: &str, mended: Instant, is_well: impl Fn() -> bool) {
    eventually(what, || is_well().then_some(()));
    let took = mended.elapsed();
    println!("{what}: went on {:.1} s after", took.as_secs_f64());
    assert!(took <= RESUMES_WITHIN, "{what}: took {took:?}");
}

/// One alert of the outage's begin and one of its end were taken, under keys that fit.
#[track_caller]
fn told_once(hook: &hook::Hook, part: &str) {
    let (began, over) = eventually("both alerts", || {
        let (began, over) = (hook.taken("outage"), hook.taken("outage_over"));
        (!over.is_empty()).then_some((began, over))
    });
    assert_eq!((began.len(), over.len()), (1, 1), "{:?}", hook.asked());
    assert!(began[0].starts_with(&format!("outage/{part}/")), "{began:?}");
    assert_eq!(over[0], format!("{}/over", began[0]));
}

/// Ends the service and fails unless everything is as if nothing had been.
#[track_caller]
fn ends_whole(home: &Home, service: Serving, uploads: usize) {
    let (code, said) = service.terminate();
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let stored = home.export("uploads");
    assert_eq!(stored.len(), uploads);
    assert!(stored.iter().all(|upload| upload["status"] == "done"), "{stored:?}");
    assert_eq!(home.books(), [20 * uploads as u64, 20 * uploads as u64, 0, 0]);
    home.is_whole();
}
