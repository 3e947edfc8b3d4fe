//! Several processes and one database: one writes, the others wait, and who lost it changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use greenstream_core::Ts;

use greenstream::store::{Database, Server as Db, Store, StoreError};

use crate::common::{Home, eventually, finish, finished, signal};
use crate::server::Server;

pub fn place(server: &Server, schema: &str) -> Database {
    let url = format!("{}?schema={schema}", server.url);
    Database::Server(Arc::new(Db::new(&url, std::path::Path::new("."), None, None).unwrap()))
}

#[test]
fn a_second_process_waits_and_then_says_who_holds_the_database() {
    let server = Server::start();
    let first = Store::open(place(&server, "one")).unwrap();
    let error = Store::open(place(&server, "one")).unwrap_err();
    assert!(error.is_transient() && error.is_held(), "{error}");
    // another schema is another store
    drop(Store::open(place(&server, "two")).unwrap());
    drop(first);
    drop(Store::open(place(&server, "one")).unwrap());
}

#[test]
fn whoever_lost_the_database_to_another_changes_nothing() {
    let server = Server::start();
    let mut first = Store::open(place(&server, "one")).unwrap();
    first.keep_rulebook("mine").unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^greenstream [0-9a-f]+$'";
    // a connection that is cut while nobody else comes is made again
    server.client().batch_execute(cut).unwrap();
    first.keep_rulebook("mine still").unwrap();
    server.client().batch_execute(cut).unwrap();
    let mut second = Store::open(place(&server, "one")).unwrap();
    second.keep_rulebook("yours").unwrap();
    let error = first.keep_rulebook("mine again").unwrap_err();
    assert!(error.is_held(), "the lock is the other's: {error}");
    drop(second);
    let error = first.keep_rulebook("mine again").unwrap_err();
    assert!(matches!(error, StoreError::TakenOver(_)), "{error}");
    assert!(!error.is_transient());
    let reader = Store::reader(place(&server, "one")).unwrap();
    assert_eq!(reader.rulebook().unwrap().as_deref(), Some("yours"));
}

#[test]
fn a_delivery_recorded_beside_the_owner_outlives_a_rebuild_that_did_not_see_it() {
    let server = Server::start();
    let (one, two) = (place(&server, "one"), place(&server, "two"));
    let Database::Server(beside) = &one else { panic!("a server's") };
    let deliver = |name: &str| {
        Store::deliver_beside(beside, &[(1, name.to_owned(), Ts::from_micros(0))]).unwrap();
    };
    let old = Store::open(one.clone()).unwrap();
    deliver("before");
    let mut new = Store::open(two.clone()).unwrap();
    new.adopt(&one).unwrap();
    drop(new);
    deliver("meanwhile");
    old.replace_by(&two).unwrap();
    deliver("after");
    let names = "SELECT string_agg(name, ' ' ORDER BY name) FROM one.deliveries";
    let found: String = server.client().query_one(names, &[]).unwrap().get(0);
    assert_eq!(found, "after before meanwhile");
}

#[test]
fn whoever_waits_for_a_database_hears_that_another_has_it_and_when_it_is_free() {
    let server = Server::start();
    let one = place(&server, "one");
    let soon = Duration::from_millis(300);
    // where there is no store yet it is free, and none is made
    Store::wait_until_free(&one, soon).unwrap();
    assert!(!Store::is_at(&one).unwrap());
    let owner = Store::open(one.clone()).unwrap();
    let begun = Instant::now();
    assert!(Store::wait_until_free(&one, soon).unwrap_err().is_held());
    assert!(begun.elapsed() >= soon && begun.elapsed() < Duration::from_secs(5));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| Store::wait_until_free(&one, Duration::from_secs(30)));
        std::thread::sleep(soon);
        drop(owner);
        waits.join().unwrap().unwrap();
    });
    // waiting has taken nothing
    drop(Store::open(one).unwrap());
}

/// Four processes are told to take the same files into one home on a server, and take turns: each file is taken once,
/// whoever does it. Four homes on one database are `tests/python/processes.py`.
#[test]
fn four_processes_that_take_turns_at_a_home_lose_and_double_nothing() {
    let server = Server::start();
    let home = Home::new();
    home.configure("greenstream.toml", &(server.configuration("four") + "[sizes]\ncommit_rows = 1\n"));
    let files: Vec<String> = (0..40)
        .map(|number| {
            let (hour, quarter) = (number / 4, number % 4 * 15);
            let row = |meter: usize| format!("M{meter},2026-03-02T{hour:02}:{quarter:02}:00Z,1.5,kW\n");
            let rows: String = (0..20).map(row).collect();
            home.file(&format!("{number:02}.csv"), format!("{}{rows}", crate::common::HEADER))
        })
        .collect();
    let mut args = vec!["ingest"];
    args.extend(files.iter().map(String::as_str));
    // the lock of the home lets one in at a time; whoever is refused comes again, and one is killed on the way
    let killed = home.command(&args).spawn().unwrap();
    eventually("the first has begun", || home.path().join("landing").is_dir().then_some(()));
    signal(&killed, "KILL");
    let mut killed = killed;
    killed.wait().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                eventually("it had its turn", || (finish(&mut home.command(&args)).code == 0).then_some(()));
            });
        }
    });
    assert_eq!(home.books(), [800, 800, 0, 0]);
    home.is_whole();
}

/// `run` on a database that another process has waits as long as it takes, and then goes on where it stood.
#[test]
fn a_service_waits_until_the_database_is_free() {
    let server = Server::start();
    let (active, home) = (Store::open(place(&server, "wait")).unwrap(), Home::new());
    home.configure("greenstream.toml", &server.configuration("wait"));
    std::fs::create_dir_all(home.path().join("inbox")).unwrap();
    let row = format!("{}A,2026-03-02T00:00:00Z,1,kW\n", crate::common::HEADER);
    std::fs::write(home.path().join("inbox/one.csv"), row).unwrap();
    let mut command = home.command(&["run", "--listen", "127.0.0.1:0"]);
    let mut child = command.spawn().unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^greenstream [0-9a-f]+$'";
    eventually("it asks for the lock", || {
        let count: i64 = server.client().query_one(waiting, &[]).unwrap().get(0);
        (count > 1).then_some(())
    });
    drop(active);
    eventually("the file is processed", || {
        let reader = Store::reader(place(&server, "wait")).ok()?;
        (reader.totals().ok()?.done == 1).then_some(())
    });
    signal(&child, "TERM");
    finished(&mut child, &command).exits(0);
}
