//! `kill -9` of the real process at random moments, a third of them again while it recovers: what was
//! acknowledged is there, and the state is that of a run in which nothing happened (G4, G5).
//!
//! `GREENSTREAM_KILLS` says how many (100), `GREENSTREAM_SEED` where the random numbers begin (1); a failure
//! names the seed of its case.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/world.rs"]
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use greenstream::landing::{Hash, Zone};

use common::{Home, finished};
use world::{check, first_files, in_parallel, new_home, number, second_files, state, write_files};

/// Kills without the variable.
const KILLS: u64 = 100;

fn files() -> Vec<(&'static str, String)> {
    let mut files = first_files();
    files.extend(second_files());
    files
}

/// What an undisturbed run of the same files gives, and how long it takes.
fn undisturbed() -> (Vec<String>, Duration) {
    let home = new_home();
    let folder = write_files(&home, "files", &files());
    let began = Instant::now();
    home.run(&["ingest", &folder]).exits(65);
    let took = began.elapsed();
    let expected = state(&home);
    check(&home, &expected, "undisturbed");
    (expected, took)
}

/// The same for uploads that landed in the order of this home: a service takes files as they come.
fn in_the_order_of(home: &Home) -> Vec<String> {
    let other = new_home();
    let folder = write_files(&other, "files", &files());
    let zone = Zone::look(&home.path().join("landing")).unwrap();
    let paths: Vec<_> = zone.uploads().iter().map(|upload| format!("{folder}/{}", upload.name)).collect();
    let mut args = vec!["ingest"];
    args.extend(paths.iter().map(String::as_str));
    other.run(&args).exits(65);
    state(&other)
}

/// Lets a process run for a random part of `longest`, then ends it without warning. Whether it was still
/// at work.
fn kill(mut child: Child, command: &Command, longest: Duration, random: &mut Rng) -> bool {
    std::thread::sleep(longest.mul_f64(random.f64()));
    let working = child.try_wait().unwrap().is_none();
    // SIGKILL
    child.kill().unwrap();
    finished(&mut child, command);
    working
}

fn kill_command(home: &Home, args: &[&str], longest: Duration, random: &mut Rng) -> bool {
    let mut command = home.command(args);
    let child = command.spawn().unwrap();
    kill(child, &command, longest, random)
}

/// Puts files into the inbox one after the other, as senders do: under a hidden name first.
fn feed(inbox: &Path, files: &[(&str, String)], pause: Duration) {
    for (name, text) in files {
        let hidden = inbox.join(format!(".{name}"));
        fs::write(&hidden, text).unwrap();
        fs::rename(&hidden, inbox.join(name)).unwrap();
        std::thread::sleep(pause);
    }
}

/// Fails unless each file is still where its sender put it, or has landed.
fn nothing_is_lost(home: &Home, files: &[(&str, String)], case: &str) {
    let inbox: Vec<PathBuf> =
        fs::read_dir(home.path().join("inbox")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let landing = home.path().join("landing");
    let zone = landing.join("journal").is_dir().then(|| Zone::look(&landing).unwrap());
    for (name, text) in files {
        let hash = Hash::of(text.as_bytes());
        let landed =
            zone.as_ref().is_some_and(|zone| zone.uploads().iter().any(|upload| upload.sha256 == hash));
        let waits = inbox.iter().any(|path| path.ends_with(name));
        assert!(landed || waits, "{case}: {name} is neither in the inbox nor landed");
    }
}

#[test]
fn a_process_that_is_killed_at_any_moment_loses_nothing_and_doubles_nothing() {
    let (expected, took) = undisturbed();
    let first = number("GREENSTREAM_SEED", 1);
    let seeds: Vec<u64> = (first..first + number("GREENSTREAM_KILLS", KILLS)).collect();
    let (working, again) = (AtomicU64::new(0), AtomicU64::new(0));
    in_parallel(&seeds, |seed| {
        let (mut random, case) = (Rng::with_seed(*seed), format!("seed {seed}"));
        let home = new_home();
        let files = files();
        let folder = write_files(&home, "files", &files);
        let serves = seed.is_multiple_of(3);
        let count = |killed: bool| working.fetch_add(u64::from(killed), Ordering::Relaxed);
        if serves {
            fs::create_dir_all(home.path().join("inbox")).unwrap();
            let mut command = home.command(&["run", "--listen", "127.0.0.1:0"]);
            let child = command.spawn().unwrap();
            let inbox = home.path().join("inbox");
            std::thread::scope(|scope| {
                let fed = scope.spawn(|| feed(&inbox, &files, took / 13));
                count(kill(child, &command, took * 2, &mut random));
                fed.join().unwrap();
            });
            nothing_is_lost(&home, &files, &case);
        } else {
            count(kill_command(&home, &["ingest", &folder], took, &mut random));
        }
        if seed % 3 == 1 || (serves && seed % 2 == 0) {
            let args: &[&str] =
                if serves { &["run", "--listen", "127.0.0.1:0"] } else { &["ingest", &folder] };
            again.fetch_add(1, Ordering::Relaxed);
            count(kill_command(&home, args, took, &mut random));
            if serves {
                nothing_is_lost(&home, &files, &case);
            }
        }
        let done = home.run(&["ingest", &folder]);
        assert!([0, 65].contains(&done.code), "{case}: {done:?}");
        if serves {
            check(&home, &in_the_order_of(&home), &case);
        } else {
            check(&home, &expected, &case);
        }
    });
    let (working, again) = (working.into_inner(), again.into_inner());
    eprintln!(
        "seeds {first} and on: {} worlds, {again} killed twice, {working} kills of a process at work",
        seeds.len()
    );
    let kills = seeds.len() as u64;
    assert!(again * 3 >= kills && working * 2 >= kills, "{again} twice, {working} at work, of {kills}");
}
