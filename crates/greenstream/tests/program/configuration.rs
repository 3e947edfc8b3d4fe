//! The configuration of the real program: file and environment, the three levels of `check-config`, and
//! the health of a service.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use crate::common::{Done, HEADER, Home};

/// Runs a command in an environment.
#[track_caller]
fn run(home: &Home, variables: &[(&str, &str)], args: &[&str]) -> Done {
    let mut command = home.command(args);
    command.envs(variables.iter().copied());
    crate::common::finish(&mut command)
}

/// The value of a key and where it is from, as `check-config` shows it.
#[track_caller]
fn key(home: &Home, variables: &[(&str, &str)], name: &str) -> (serde_json::Value, String) {
    let keys = run(home, variables, &["check-config", "--json"]).exits(0).json()["keys"].clone();
    let row = keys.as_array().unwrap().iter().find(|row| row["key"] == name).unwrap().clone();
    (row["value"].clone(), row["from"].as_str().unwrap().to_owned())
}

/// How many findings were told, each with its place and its way out.
#[track_caller]
fn findings(done: &Done) -> usize {
    let count = |start: &str| done.err.lines().filter(|line| line.starts_with(start)).count();
    let told = count("error[");
    assert_eq!((count("   at: "), count(" help: ")), (told, told), "{}", done.err);
    told
}

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_the_default() {
    let home = Home::new();
    home.configure("greenstream.toml", "[limits]\npower_kw_max = 12\n[trigger.sqs]\nregion = \"a\"\n");
    let limit = "limits.power_kw_max";
    assert_eq!(key(&home, &[], limit), (12.0.into(), "line 2".to_owned()));
    assert_eq!(key(&home, &[], "trigger.sqs.region"), ("a".into(), "line 4".to_owned()));
    let variable = ("GREENSTREAM__LIMITS__POWER_KW_MAX", "3");
    assert_eq!(key(&home, &[variable], limit), (3.0.into(), variable.0.to_owned()));
    assert_eq!(key(&home, &[(variable.0, "")], limit), (12.0.into(), "line 2".to_owned()));
    assert_eq!(key(&home, &[variable], "archive.lag_seconds"), (60.into(), "default".to_owned()));
    // it decides, and not only shows
    let file = home.file("a.csv", format!("{HEADER}M,2026-03-02T00:00:00Z,5,kW\n"));
    run(&home, &[variable], &["ingest", &file]).exits(0);
    assert_eq!(home.books(), [1, 0, 1, 0], "5 kW is above 3 kW");
}

#[test]
fn a_variable_that_cannot_be_used_is_named_with_the_way_out_by_every_command() {
    let home = Home::new();
    let file = home.file("a.csv", HEADER);
    for (name, value, words) in [
        ("GREENSTREAM__STORE__ULR", "canary", ["E-CONFIG-KEY", "GREENSTREAM__STORE__URL?"]),
        ("GREENSTREAM__SIZES__WORKERS", "canary", ["E-CONFIG-VALUE", "threads"]),
        ("GREENSTREAM__SIZES__WORKERS", "65", ["E-CONFIG-VALUE", "outside of 1 to 64"]),
        ("GREENSTREAM__REPORTING_ZONE", "Mars", ["E-CONFIG-VALUE", "Europe/London"]),
        ("GREENSTREAM__STORE__URL", "mysql://u:canary@h/d", ["E-CONFIG-VALUE", "postgresql://"]),
    ] {
        for args in [&["check-config"][..], &["run", "--listen", "127.0.0.1:0"], &["ingest", &file]] {
            let done = run(&home, &[(name, value)], args).exits(78).says(name).says(words[0]).says(words[1]);
            assert_eq!(findings(&done), 1, "{done:?}");
            assert!(!done.err.contains("canary"), "{done:?}");
        }
    }
}

#[test]
fn each_level_looks_further_than_the_one_before() {
    let home = Home::new();
    let check = |level: &str, exit: i32| home.run(&["check-config", "--level", level]).exits(exit);
    home.configure("greenstream.toml", "[limits\n");
    check("syntax", 78).says("E-CONFIG-SYNTAX");
    home.configure("greenstream.toml", "[limits]\npower_kw_max = \"ten\"\n");
    check("syntax", 78).says("E-CONFIG-VALUE");
    home.configure("greenstream.toml", "reporting_zone = \"Mars\"\n");
    check("syntax", 0).says("what it means was not looked at");
    check("meaning", 78).says("Mars");
    check("reachability", 78).says("Mars");
    home.configure(
        "greenstream.toml",
        "[alerts]\nwebhook = \"http://127.0.0.1:1/\"\n[serve]\nlisten = \"127.0.0.1:0\"\n",
    );
    check("syntax", 0);
    check("meaning", 0).says("the configuration is good");
    check("reachability", 78).says("E-UNREACHABLE").says("webhook");
}

#[test]
fn every_finding_is_told_with_its_place_and_its_way_out() {
    let home = Home::new();
    home.configure(
        "greenstream.toml",
        "default_feed = \"nobody\"\n[sizes]\nworkers = 0\n[store]\nurl = \"postgresql://u:canary@h/d\"\npassword_file = \"nowhere\"\n",
    );
    let done = run(&home, &[("GREENSTREAM__SIZES__COMMIT_ROWS", "0")], &["check-config"]).exits(78);
    assert_eq!(findings(&done), 5, "{}", done.err);
    for words in ["line 1", "line 3", "line 5", "line 6", "variable GREENSTREAM__SIZES__COMMIT_ROWS"] {
        assert!(done.err.contains(words), "{words}: {}", done.err);
    }
    assert!(!done.err.contains("canary") && done.out.is_empty(), "{done:?}");
    let both = [("GREENSTREAM__A", "1"), ("GREENSTREAM__B", "2")];
    assert_eq!(findings(&run(&home, &both, &["check-config"]).exits(78)), 2);
}

#[test]
fn a_variable_names_the_configuration_file_and_an_empty_one_sets_nothing() {
    let home = Home::new();
    home.configure("greenstream.toml", "reporting_zone = \"Europe/London\"\n");
    let other = home.file("other.toml", "reporting_zone = \"Europe/Berlin\"\n");
    for (file, zone) in [("", "Europe/London"), (&*other, "Europe/Berlin")] {
        assert_eq!(key(&home, &[("GREENSTREAM_CONFIG", file)], "reporting_zone").0, zone);
    }
    let empty = [("GREENSTREAM_TOKEN", ""), ("PGPASSWORD", ""), ("GREENSTREAM__SERVE__LISTEN", "")];
    run(&home, &empty, &["check-config"]).exits(0).says("nothing can be uploaded");
    run(&home, &[("GREENSTREAM_CONFIG", "nowhere.toml")], &["status"])
        .exits(78)
        .says("no such configuration file");
}

#[test]
fn what_every_command_would_refuse_is_found_by_the_level_of_meaning() {
    for (text, place, way_out) in [
        ("[store]\nreader_role = \"dashboards\"\n", "store", "set `url`, or remove the two"),
        ("[store]\nurl = \"postgresql://a@db/m?schema=A\"\n", "store.url", "`schema=`"),
        ("[store]\nurl = \"postgresql://a@db:port/m\"\n", "store.url", "postgresql://USER@HOST"),
        (
            "[store]\nurl = \"postgresql://a@db/m?sslmode=require&sslrootcert=nowhere.pem\"\n",
            "store.url",
            "PEM",
        ),
        ("[store]\nurl = \"postgresql://a@db/m?sslrootcert=root.pem\"\n", "store.url", "sslmode=require"),
        // a folder is no inbox bucket: nobody would look whether a file is whole, or a link
        ("[inbox]\nurl = \"file:///there\"\n", "inbox.url", "s3://"),
        ("[landing]\nobject_lock_days = 30\n", "landing.object_lock_days", "[landing]"),
        #[cfg(feature = "sqs")]
        ("[trigger.sqs]\nqueue_url = \"https://sqs.example/1/q\"\n", "trigger.sqs.queue_url", "[inbox]"),
        #[cfg(feature = "nats")]
        ("[trigger.nats]\nurl = \"nats://127.0.0.1\"\n", "trigger.nats.url", "[inbox]"),
    ] {
        let home = Home::new();
        home.configure("greenstream.toml", text);
        for args in [&["check-config"][..], &["run", "--listen", "127.0.0.1:0"]] {
            let done = home.run(args).exits(78).says(place).says(way_out);
            assert_eq!(findings(&done), 1, "{text}: {done:?}");
        }
    }
    let home = Home::new();
    let url = ("GREENSTREAM__STORE__URL", "postgresql://gs:canary@127.0.0.1:1/meters");
    let done = run(&home, &[url], &["check-config"]).exits(78).says(url.0).says("PGPASSWORD");
    assert!(!format!("{done:?}").contains("canary"), "{done:?}");
}

#[test]
fn a_secret_may_stand_in_the_environment_and_is_not_shown() {
    let home = Home::new();
    let url = ("GREENSTREAM__STORE__URL", "postgresql://gs:canary@127.0.0.1:1/meters?sslmode=disable");
    let shown = run(&home, &[url], &["check-config", "--level", "syntax"]).exits(0);
    assert!(shown.out.contains("postgresql://gs:***@127.0.0.1:1/meters?sslmode=disable"), "{}", shown.out);
    for level in ["syntax", "meaning", "reachability"] {
        let done = run(&home, &[url], &["check-config", "--level", level]);
        assert!(!format!("{done:?}").contains("canary"), "{done:?}");
    }
    // the same in the file is refused
    home.configure("greenstream.toml", &format!("[store]\nurl = \"{}\"\n", url.1));
    home.run(&["check-config"]).exits(78).says("password_file").says("PGPASSWORD");
}

#[test]
fn the_address_of_a_webhook_may_come_from_a_file_of_its_own() {
    let home = Home::new();
    home.configure("w", "http://127.0.0.1:1/canary\n");
    home.configure("greenstream.toml", "[alerts]\nwebhook_file = \"w\"\n");
    home.ok(&["check-config"]);
    let done = home.run(&["check-config", "--level", "reachability"]).exits(78).says("webhook");
    assert!(!done.err.contains("canary"), "{}", done.err);
    for (name, text, words) in [
        ("greenstream.toml", "[alerts]\nwebhook = \"http://h/\"\nwebhook_file = \"w\"\n", "set twice"),
        ("greenstream.toml", "[alerts]\nwebhook_file = \"nowhere\"\n", "cannot be read"),
        ("greenstream.toml", "[alerts]\nwebhook_file = \"w\"\n", "one line that only this user may read"),
    ] {
        home.configure(name, text);
        home.configure("w", "canary");
        let done = home.run(&["check-config"]).exits(78).says(words);
        assert!(!done.err.contains("canary"), "{}", done.err);
    }
}

/// A server that takes connections and answers each with this, as often as it is asked.
fn server(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

#[test]
fn reachability_asks_everything_that_is_named_and_tells_all_that_does_not_answer() {
    let home = Home::new();
    let webhook = server("HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    home.configure(
        "greenstream.toml",
        &format!(
            "[serve]\nlisten = \"127.0.0.1:0\"\n[alerts]\nwebhook = \"http://127.0.0.1:{webhook}/canary\"\n"
        ),
    );
    let told = home.ok(&["check-config", "--level", "reachability", "--json"]).json()["services"].clone();
    let answer = |service: &str| {
        let rows = told.as_array().unwrap();
        rows.iter().find(|row| row["service"] == service).unwrap()["answer"].as_str().unwrap().to_owned()
    };
    assert_eq!((answer("webhook").as_str(), answer("listen").as_str()), ("answers 405", "free"));
    assert!(answer("home").contains("bytes free"), "{told}");
    assert!(!told.to_string().contains("canary"), "{told}");
    assert!(!home.path().join("landing").exists(), "nothing is made");

    // a file where a folder must be, a port that is taken, hosts that are away: all at once
    home.configure("landing", "a file");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    home.configure(
        "greenstream.toml",
        &format!(
            "[serve]\nlisten = \"{}\"\n[alerts]\nwebhook = \"http://127.0.0.1:1/canary\"\n",
            taken.local_addr().unwrap(),
        ),
    );
    let done = home.run(&["check-config", "--level", "reachability"]).exits(78);
    assert_eq!(findings(&done), 3, "{}", done.err);
    for service in ["landing folder: ", "listen: ", "webhook: "] {
        assert!(done.err.contains(service), "{service}: {}", done.err);
    }
}

#[test]
fn a_database_that_takes_connections_and_says_nothing_is_told_as_away() {
    let home = Home::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    home.configure(
        "greenstream.toml",
        &format!("[store]\nurl = \"postgresql://gs@{address}/m\"\n[serve]\nlisten = \"127.0.0.1:0\"\n"),
    );
    let done = home.run(&["check-config", "--level", "reachability"]).exits(78);
    assert_eq!(findings(&done), 1, "{}", done.err);
    assert!(done.err.contains("database: it takes connections and does not answer"), "{}", done.err);
}

#[test]
fn a_service_that_runs_is_well_and_one_that_does_not_is_not() {
    let home = Home::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // as in a container: every interface, with a token that health needs not
    let listen = format!("0.0.0.0:{free}");
    let variables =
        [("GREENSTREAM__SERVE__LISTEN", listen.as_str()), ("GREENSTREAM_TOKEN", "0123456789abcdef")];
    let health = |args: &[&str], exit: i32| run(&home, &variables, &[&["health"], args].concat()).exits(exit);
    health(&[], 69).says("E-UNHEALTHY");
    let mut command: Command = home.command(&["run"]);
    command.envs(variables);
    let service = Home::serve_by(command);
    assert_eq!(health(&[], 0).out, "ready\n");
    assert_eq!(health(&["--live"], 0).out, "ok\n");
    run(&home, &variables, &["check-config", "--level", "reachability"])
        .exits(0)
        .says("listening there already");
    assert_eq!(service.terminate().0, 0);
    health(&["--live"], 69);
}
