//! The pages and the API of the service over real TCP: what they say equals what the commands say, text
//! from uploads is inert, every answer is bounded and guarded.

use serde_json::Value;

use crate::common::{HEADER, Home, Serving, eventually};

/// A meter whose id would run if a page took it for markup.
const HOSTILE: &str = "<script>alert(1)</script>";
const ESCAPED: &str = "&#60;script&#62;";

/// A meter with every mark: stored, filled, missing, outlier, above, negative, unreadable, superseded.
fn rows() -> String {
    let mut rows = String::new();
    let mut row = |quarter: u32, value: &str| {
        let (day, hour, minute) = (2 + quarter / 96, quarter / 4 % 24, quarter % 4 * 15);
        rows += &format!("M,2026-03-{day:02}T{hour:02}:{minute:02}:00Z,{value},kW\n");
    };
    for quarter in 0..96 {
        let value = match quarter {
            40 => "",
            44..=48 => "NULL",
            50 => "11",
            51 => "-1",
            52 => "much",
            60 => "9",
            _ => ["1", "1.1", "0.9"][quarter as usize % 3],
        };
        row(quarter, value);
    }
    row(70, "1.25");
    rows + &format!("{HOSTILE},2026-03-02T00:00:00Z,1,kW\n")
}

fn serve(home: &Home) -> Serving {
    let path = home.file("<b>all.csv", format!("{HEADER}{}", rows()));
    let dead = home.file("<i>dead.csv", "nonsense\n");
    home.run(&["ingest", &path, &dead]).exits(65);
    home.serve()
}

#[track_caller]
fn json(service: &Serving, path: &str) -> Value {
    let (status, body) = service.get(path);
    assert_eq!(status, "HTTP/1.1 200 OK", "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

#[track_caller]
fn refused(service: &Serving, path: &str, status: &str, words: &str) {
    let (found, body) = service.get(path);
    assert_eq!(found, format!("HTTP/1.1 {status}"), "{path}: {body}");
    assert!(body.contains(words), "{path}: {words:?} is not in {body:?}");
}

/// A status without what changes from one look to the next.
fn steady(mut status: serde_json::Value) -> serde_json::Value {
    assert!(status["free_bytes"]["landing"].as_u64().is_some(), "{status}");
    status["free_bytes"].take();
    status
}

/// What the service says of itself, which has nothing out of order to tell.
fn api_status(service: &Serving) -> serde_json::Value {
    let mut status = json(service, "/api/status");
    let outages = status.as_object_mut().unwrap().shift_remove("outages");
    assert_eq!(outages, Some(serde_json::json!([])));
    steady(status)
}

#[test]
fn the_first_page_says_what_status_says() {
    let home = Home::new();
    let service = serve(&home);
    let status = home.ok(&["status", "--json"]).json();
    assert_eq!(api_status(&service), steady(status.clone()));
    let (_, page) = service.get("/");
    for key in ["/rows/all", "/rows/stored", "/rows/quarantined", "/rows/superseded", "/uploads/dead"] {
        let number = status.pointer(key).unwrap().as_u64().unwrap();
        assert!(number > 0, "{key} says nothing here");
        assert!(
            page.contains(&format!("data-number=\"{key}\">{number}<")),
            "{key} is not {number} in {page}"
        );
    }
    assert!(page.contains("They balance"));
    assert!(page.contains("<code>value_above_limit</code>"));
    assert!(page.contains("greenstream dead-letters retry 2"));
}

#[test]
fn text_from_uploads_is_inert_on_every_page() {
    let home = Home::new();
    let service = serve(&home);
    let meter = "/meters/%3Cscript%3Ealert%281%29%3C%2Fscript%3E";
    for (path, shown) in [
        ("/", "&#60;i&#62;dead.csv"),
        ("/meters", ESCAPED),
        ("/meters?q=%3Cscript%3E", ESCAPED),
        (meter, ESCAPED),
    ] {
        let (status, page) = service.get(path);
        assert_eq!(status, "HTTP/1.1 200 OK", "{path}");
        assert!(page.contains(shown), "{path}: {page}");
        for hostile in ["<script>", "<i>", "<b>all"] {
            assert!(!page.contains(hostile), "{path} holds {hostile}");
        }
    }
    let (_, page) = service.get("/meters");
    assert!(page.contains(&format!("href=\"{meter}\"")), "the link leads to it: {page}");
    assert_eq!(json(&service, &format!("/api{meter}"))["meter_id"], HOSTILE);
}

#[test]
fn a_meter_is_every_row_that_named_it() {
    let home = Home::new();
    let service = serve(&home);
    let answer = json(&service, "/api/meters/M");
    assert_eq!(
        (&answer["from"], &answer["to"]),
        (&"2026-02-24T00:00:00Z".into(), &"2026-03-03T00:00:00Z".into())
    );
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 97, "each row of the upload that names M");
    assert!(rows.is_sorted_by_key(|row| row["ts"].as_str().unwrap().to_owned()));
    for (mark, count) in [
        ("forward_filled", 1),
        ("missing", 5),
        ("outlier", 1),
        ("value_above_limit", 1),
        ("value_negative", 1),
        ("unreadable", 1),
        ("superseded", 1),
        ("stored", 86),
    ] {
        assert_eq!(rows.iter().filter(|row| row["mark"] == mark).count(), count, "{mark}");
    }
    let stored = rows.iter().filter(|row| row["reason"].is_null() && row["mark"] != "superseded").count();
    assert_eq!(stored, home.export("readings").iter().filter(|row| row["meter_id"] == "M").count());

    let (_, page) = service.get("/meters/M");
    assert!(page.contains("quarantined: above limit <span class=\"count\">1</span>"), "{page}");
    assert!(page.contains("M,2026-03-02T12:30:00Z,11,kW"), "the line as it was sent");
    assert!(page.contains("greenstream explain M 2026-03-02T"));
    let (_, earlier) = service.get("/meters/M?to=2026-02-24&days=7");
    assert!(earlier.contains("No row names an instant in this range"), "{earlier}");
}

#[test]
fn hours_are_counted_as_the_datasets_have_them() {
    let home = Home::new();
    let service = serve(&home);
    let answer = eventually("all hours are counted", || {
        Some(json(&service, "/api/hours?days=2")).filter(|answer| answer["complete"] == true)
    });
    assert_eq!(answer["hours"].as_array().unwrap().len(), 48);
    assert_eq!(answer["to"], "2026-03-03T00:00:00Z");
    let sum = |name: &str| -> u64 {
        answer["rows"][name].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()
    };
    assert_eq!(sum("stored"), home.books()[1]);
    assert_eq!(sum("missing_value"), 6);
    assert_eq!(sum("forward_filled"), 1);
    let queue = home.export("error-queue");
    for reason in ["outlier", "value_above_limit", "value_negative", "value_invalid", "row_malformed"] {
        let open = queue.iter().filter(|row| row["reason"] == reason).count() as u64;
        assert_eq!(sum(reason), open, "{reason}");
    }
    // 10:00 is the 11th hour of the second day
    assert_eq!(answer["rows"]["missing_value"][24 + 11], 4);
}

#[test]
fn every_question_is_bounded_and_a_wrong_one_names_the_way_out() {
    let home = Home::new();
    let service = serve(&home);
    for path in ["/api/hours", "/", "/meters/M", "/api/meters/M"] {
        refused(&service, &format!("{path}?days=32"), "400 Bad Request", "1 to 31");
        refused(&service, &format!("{path}?days=0"), "400 Bad Request", "1 to 31");
        refused(&service, &format!("{path}?to=soon"), "400 Bad Request", "2026-03-02T00:15:00Z");
    }
    for to in ["0001-01-01", "9999-12-31", "1969-12-31T23:59:59.5Z"] {
        assert_eq!(service.get(&format!("/?to={to}&days=31")).0, "HTTP/1.1 200 OK", "{to}");
        assert_eq!(service.get(&format!("/meters/M?to={to}&days=31")).0, "HTTP/1.1 200 OK", "{to}");
    }
    refused(&service, "/api/meters?limit=101", "400 Bad Request", "1 to 100");
    refused(&service, "/api/meters?limit=0", "400 Bad Request", "1 to 100");
    refused(&service, "/api/meters/nobody", "404 Not Found", "/meters");
    refused(&service, "/meters/%3Cb%3Enobody", "404 Not Found", "no meter is called &#60;b&#62;nobody");
    refused(&service, "/assets/nothing.js", "404 Not Found", "no such asset");
    assert_eq!(json(&service, "/api/meters?q=m&limit=1")["meters"], serde_json::json!(["M"]));
    assert_eq!(service.get("/meters?q=M").0, "HTTP/1.1 303 See Other", "an id leads to its meter");
}

#[test]
fn every_answer_tells_the_browser_to_run_nothing_foreign() {
    let home = Home::new();
    let service = serve(&home);
    for path in ["/", "/meters", "/meters/M", "/assets/uPlot.min.js", "/api/hours", "/nowhere", "/metrics"] {
        let head = service.head(path, "");
        assert!(head.contains("content-security-policy: default-src 'self';"), "{path}: {head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{path}: {head}");
    }
    for (name, kind) in
        [("style.css", "text/css"), ("uPlot.min.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
    {
        let path = format!("/assets/{name}");
        let head = service.head(&path, "");
        assert!(head.contains(&format!("content-type: {kind}")) && head.contains("no-cache"), "{head}");
        let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let again = service.head(&path, &format!("If-None-Match: {tag}\r\n"));
        assert!(again.starts_with("HTTP/1.1 304"), "{again}");
    }
    assert!(service.head("/", "").contains("cache-control: no-store"));
}

#[test]
fn a_fresh_home_says_where_files_go() {
    let home = Home::new();
    let service = home.serve();
    let (status, page) = service.get("/");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(page.contains("Nothing has landed yet"));
    assert!(page.contains(home.path().join("inbox").to_str().unwrap()));
    assert!(service.get("/meters").1.contains("No row has named a meter yet"));
    assert_eq!(json(&service, "/api/hours?days=1")["complete"], true);
}

#[test]
fn a_page_shows_what_landed_since_the_last_one() {
    let home = Home::new();
    let service = home.serve();
    assert_eq!(json(&service, "/api/status")["uploads"]["done"], 0);
    std::fs::write(home.path().join("inbox/a.csv"), format!("{HEADER}{}", rows())).unwrap();
    eventually("the upload is on the page", || {
        service.get("/").1.contains("data-number=\"/uploads/done\">1<").then_some(())
    });
    assert_eq!(api_status(&service), steady(home.ok(&["status", "--json"]).json()));
}

#[test]
fn a_reading_that_thousands_of_rows_lost_is_shown_by_some_of_them() {
    let home = Home::new();
    let rows = (0..10_020)
        .fold(String::new(), |rows, value| rows + &format!("M,2026-03-02T00:00:00Z,0.{value:05},kW\n"));
    home.ingest("a.csv", &rows);
    let service = home.serve();
    let answer = json(&service, "/api/meters/M?to=2026-03-03&days=1");
    assert_eq!(answer["truncated"], true);
    assert_eq!(answer["rows"].as_array().unwrap().len(), 10_001);
    service.terminate();
}

#[test]
fn an_answer_holds_10_000_readings_of_a_meter_and_100_meters_and_says_where_it_is_cut() {
    let home = Home::new();
    // every four minutes since 2026-03-01
    let series = |meter: &str, readings: i64| {
        (0..readings).fold(String::new(), |rows, reading| {
            rows + &format!("{meter},{},0.5,kW\n", 1_772_323_200 + reading * 240)
        })
    };
    let others: String = (0..99).map(|meter| format!("X{meter},1772323200,0.5,kW\n")).collect();
    home.ingest("a.csv", &(series("A", 9_999) + &series("B", 10_001) + &others));
    let service = home.serve();
    for (meter, shown, truncated) in [("A", 9_999, false), ("B", 10_000, true)] {
        let answer = json(&service, &format!("/api/meters/{meter}?to=2026-04-01&days=31"));
        assert_eq!(answer["rows"].as_array().unwrap().len(), shown, "{meter}");
        assert_eq!(answer["truncated"], truncated, "{meter}");
    }
    let found = json(&service, "/api/meters?limit=100");
    assert_eq!(found["meters"].as_array().unwrap().len(), 100, "of 101");
    service.terminate();
}

#[test]
fn a_browser_that_was_led_here_by_another_name_is_refused() {
    use std::io::{Read, Write};
    let home = Home::new();
    home.ingest("a.csv", "M,2026-03-02T00:00:00Z,1,kW\n");
    let service = home.serve();
    for (host, status) in [
        ("evil.example", "403"),
        ("evil.example:8321", "403"),
        ("127.0.0.1.evil.example", "403"),
        ("localhost:8321", "200"),
        ("127.0.0.1:1", "200"),
        ("[::1]:8321", "200"),
    ] {
        let mut stream = std::net::TcpStream::connect(&service.address).unwrap();
        write!(stream, "GET /api/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
    }
    service.terminate();
}
