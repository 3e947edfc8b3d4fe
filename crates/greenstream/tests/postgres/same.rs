//! A home on a server and one in a file come to the same rows, and other programs read them.

use greenstream::dataset::Dataset;

use crate::common::{HEADER, Home, finish};
use crate::server::Server;
use crate::world::{first_files, second_files, write_files};

/// What a home on a server is configured by, beside what every home of the world has.
fn on_server(server: &Server, schema: &str) -> Home {
    let home = crate::world::new_home();
    let text = std::fs::read_to_string(home.path().join("greenstream.toml")).unwrap();
    home.configure("greenstream.toml", &(server.configuration(schema) + &text));
    home
}

#[track_caller]
fn ingest(home: &Home, folder: &str, files: &[(&str, String)]) {
    let folder = write_files(home, folder, files);
    home.run(&["ingest", &folder]).exits(if folder.ends_with("first") { 65 } else { 0 });
}

#[test]
fn a_home_on_a_server_exports_what_one_in_a_file_does() {
    let server = Server::start();
    let (file, served) = (crate::world::new_home(), on_server(&server, "same"));
    for home in [&file, &served] {
        ingest(home, "first", &first_files());
        ingest(home, "second", &second_files());
        home.ok(&["errors", "release", "1:13"]);
        home.ok(&["errors", "discard", "1:15"]);
    }
    for dataset in Dataset::ALL.into_iter().filter(|dataset| dataset.is_function_of_landing()) {
        let (name, without) = (dataset.name(), "uploads");
        if name != without {
            assert_eq!(served.text(name), file.text(name), "{name}");
        }
        for filter in [["--meter", "A"], ["--limit", "3"]] {
            let args = ["export", name, filter[0], filter[1]];
            let (of_server, of_file) = (served.run(&args), file.run(&args));
            assert_eq!(of_server.code, of_file.code, "{args:?}: {of_server:?}");
            if name != without {
                assert_eq!(of_server.out, of_file.out, "{args:?}");
            }
        }
    }
    assert_eq!(served.books(), file.books());
    for args in [&["meters"][..], &["errors"], &["episodes"], &["quality"]] {
        assert_eq!(served.ok(args).out, file.ok(args).out, "{args:?}");
    }
    assert!(!served.path().join("greenstream.db").exists());
    served.is_whole();
    served.ok(&["rebuild"]);
    served.is_whole();
    assert_eq!(served.text("readings"), file.text("readings"));
    served.ok(&["errors", "undo", "1:13"]);
    served.is_whole();
}

#[test]
fn a_role_for_dashboards_reads_the_views_and_nothing_else() {
    let server = Server::start();
    server.client().batch_execute("CREATE ROLE dash LOGIN").unwrap();
    let home = Home::new();
    home.configure("greenstream.toml", &(server.configuration("views") + "reader_role = \"dash\"\n"));
    home.ingest("one.csv", "A,2026-03-02T00:00:00Z,1.5,kW\nA,2026-03-02T00:15:00Z,-4,kW\n");
    for _ in 0..2 {
        let url = server.url.replace("greenstream@", "dash@");
        let mut dash = postgres::Client::connect(&url, postgres::NoTls).unwrap();
        let one = dash
            .query_one(
                "SELECT extract(epoch FROM ts)::bigint, kw, flags, potentially_faulty, date::text FROM views.readings
                 WHERE meter_id = 'A' AND ts >= '2026-03-02' AND ts < '2026-03-03'",
                &[],
            )
            .unwrap();
        assert_eq!((one.get::<_, i64>(0), one.get::<_, f64>(1)), (1_772_409_600, 1.5));
        assert_eq!((one.get::<_, Vec<String>>(2), one.get::<_, bool>(3)), (vec![], false));
        assert_eq!(one.get::<_, String>(4), "2026-03-02");
        let queued = dash.query_one("SELECT reason, raw FROM views.error_queue", &[]).unwrap();
        assert_eq!(queued.get::<_, String>(0), "value_negative");
        for refused in
            ["SELECT * FROM views.t_reading", "DELETE FROM views.uploads", "CREATE TABLE views.x (y int)"]
        {
            let error = dash.batch_execute(refused).unwrap_err();
            assert_eq!(error.code(), Some(&postgres::error::SqlState::INSUFFICIENT_PRIVILEGE), "{refused}");
        }
        // the grants are there again after everything was made anew
        home.ok(&["rebuild"]);
    }
}

#[test]
fn what_is_not_ours_or_of_a_later_release_is_left_alone() {
    let server = Server::start();
    let mut admin = server.client();
    admin.batch_execute("CREATE SCHEMA others; CREATE TABLE others.t (x int)").unwrap();
    let home = Home::new();
    let file =
        home.file("one.csv", "meter_id,timestamp,energy_value,energy_unit\nA,2026-03-02T00:00:00Z,1,kW\n");
    home.configure("greenstream.toml", &server.configuration("others"));
    home.run(&["ingest", &file]).exits(74).says("another program");
    home.configure("greenstream.toml", &server.configuration("later"));
    home.ok(&["ingest", &file]);
    admin.batch_execute("UPDATE later.t_store SET version = 1000").unwrap();
    for args in [&["ingest", file.as_str()][..], &["status"], &["rebuild"]] {
        home.run(args).exits(74).says("knows versions up to");
    }
}

#[test]
fn a_password_comes_from_its_file_or_its_variable_and_is_told_nowhere() {
    let (server, password) = Server::start_with_password();
    let home = Home::new();
    let run = |variable: &str, args: &[&str]| {
        let mut command = home.command(args);
        let done = finish(command.env("PGPASSWORD", variable).env("GREENSTREAM_LOG", "trace"));
        assert!(!format!("{done:?}").contains(&password), "{done:?}");
        done
    };
    let reachable = ["check-config", "--level", "reachability"];
    let file = home.file("one.csv", HEADER.to_owned() + "A,2026-03-02T00:00:00Z,1,kW\n");
    home.configure("greenstream.toml", &server.configuration("secret"));
    run("", &reachable).exits(78).says("password");
    run("another", &reachable).exits(78).says("password");
    run("another", &["ingest", &file]).exits(74).says("password");
    // which nobody waits for
    let served = ["run", "--listen", "127.0.0.1:0"];
    run("", &served).exits(69).says("password");
    run("another", &served).exits(74).says("password");
    run(&password, &reachable).exits(0);
    let named = server.configuration("secret") + "password_file = \"password\"\n";
    home.configure("greenstream.toml", &named);
    home.configure("password", &format!("{password}\n"));
    // an empty variable sets nothing, and one that is set goes before the file
    run("", &["ingest", &file]).exits(0);
    run("another", &["status"]).exits(74);
    assert_eq!(home.books(), [1, 1, 0, 0]);
    let url = server.url.replace("greenstream@", &format!("greenstream:{password}@"));
    home.configure("greenstream.toml", &format!("[store]\nurl = \"{url}\"\n"));
    run("", &["check-config"]).exits(78).says("password_file");
}

#[test]
fn a_schema_of_the_first_version_is_brought_up_to_date_with_what_it_holds() {
    let server = Server::start();
    let home = on_server(&server, "older");
    ingest(&home, "first", &first_files());
    let mut admin = server.client();
    admin
        .batch_execute(
            "SET search_path = older;
             DROP VIEW error_queue, measured;
             ALTER TABLE t_error DROP COLUMN hour;
             ALTER TABLE t_error ADD COLUMN hour int GENERATED ALWAYS AS
                 (floor(extract(epoch FROM ts - timestamptz '1970-01-01 00:00:00+00') / 3600)::int) STORED;
             CREATE INDEX t_error_hour ON t_error (hour, meter);
             CREATE INDEX t_error_meter ON t_error (meter, ts) WHERE meter IS NOT NULL;
             UPDATE t_store SET version = 1",
        )
        .unwrap();
    home.run(&["export", "error-queue"]).exits(74).says("has schema version 1");
    ingest(&home, "second", &second_files());
    let version: i32 = admin.query_one("SELECT version FROM t_store", &[]).unwrap().get(0);
    assert_eq!(version, 2);
    let index = admin.query_one("SELECT to_regclass('t_error_meter') IS NULL", &[]).unwrap();
    assert!(index.get::<_, bool>(0), "the index that nothing uses is gone");
    home.is_whole();
    let file = crate::world::new_home();
    ingest(&file, "first", &first_files());
    ingest(&file, "second", &second_files());
    assert_eq!(home.text("error-queue"), file.text("error-queue"));
}

#[test]
fn a_meter_of_the_error_queue_costs_one_seek_an_hour() {
    let server = Server::start();
    let home = on_server(&server, "plans");
    ingest(&home, "first", &first_files());
    let mut admin = server.client();
    // as after a month, once the server has looked at its tables
    admin
        .batch_execute(
            "SET search_path = plans;
             INSERT INTO t_hour SELECT h, to_timestamp(h * 3600::float8), to_timestamp((h + 1) * 3600::float8),
                     (to_timestamp(h * 3600::float8) AT TIME ZONE 'UTC')::date
                 FROM generate_series(400000, 400720) h;
             INSERT INTO t_error SELECT 1000, n, n % 50000, NULL, to_timestamp((400000 + n / 1400) * 3600::float8),
                     5, 11, 0, 0, 'a line of an upload', 400000 + n / 1400
                 FROM generate_series(1, 1000000) n;
             ANALYZE t_error, t_hour, t_meter",
        )
        .unwrap();
    let plan = admin.query("EXPLAIN SELECT * FROM plans.error_queue WHERE meter_id = 'A'", &[]).unwrap();
    let plan: String = plan.iter().map(|row| row.get::<_, String>(0) + "\n").collect();
    // from 18 on the server itself skips from hour to hour in the index
    let by_hours = plan.contains("Index Cond: ((hour = h.hour) AND (meter = m.id))");
    let skips = plan.contains("Index Scan using t_error_hour") && plan.contains("Index Cond: (meter = m.id)");
    let version: i32 =
        admin.query_one("SELECT current_setting('server_version_num')::int", &[]).unwrap().get(0);
    assert!(by_hours || version >= 180_000 && skips, "{plan}");
    assert!(!plan.contains("Seq Scan on t_error"), "{plan}");
}
