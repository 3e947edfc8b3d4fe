//! Query plans: whatever a dashboard or the judge asks, no question reads all readings.

use super::*;
use crate::store::completeness::LAST_READING;
use crate::store::context::{STATEMENTS, waiting_statements};
use crate::store::overview::{NEWEST_STORED, NEWEST_WAITING, OPEN_IN_HOUR};

/// The steps of SQLite's plan for a query.
fn plan(home: &Home, sql: &str) -> Vec<String> {
    let conn = Connection::open(home.path()).unwrap();
    let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut rows = explain.raw_query();
    std::iter::from_fn(|| rows.next().unwrap().map(|row| row.get(3).unwrap())).collect()
}

/// Nothing is sorted, the large tables are searched, and each wanted step is there.
#[track_caller]
fn check(home: &Home, sql: &str, wanted: &[&str]) {
    let plan = plan(home, sql);
    let bad = |step: &&String| {
        let scanned = step.strip_prefix("SCAN ").and_then(|table| table.split(' ').next());
        let large = ["r", "n", "e", "s", "t_reading", "t_error", "t_superseded"];
        scanned.is_some_and(|table| large.contains(&table)) || step.contains("TEMP B-TREE")
    };
    assert_eq!(plan.iter().find(bad), None, "{sql}: {plan:#?}");
    for wanted in wanted {
        assert!(plan.iter().any(|step| step.contains(wanted)), "{sql}: {wanted} is not in {plan:#?}");
    }
}

/// The plans of an empty store are the plans for ever: no statistics are gathered.
#[test]
fn questions_to_the_views_use_the_keys() {
    let home = Home::in_file().and_meters();
    let hours = "SEARCH r USING PRIMARY KEY (hour=? AND meter=?)";
    for (sql, wanted) in [
        ("SELECT * FROM readings WHERE meter_id = 'A'", vec!["SEARCH m USING", hours]),
        (
            "SELECT * FROM readings WHERE meter_id = 'A' AND date BETWEEN '2026-03-01' AND '2026-03-08'",
            vec!["t_hour_date (date>? AND date<?)", hours],
        ),
        (
            "SELECT * FROM readings WHERE meter_id = 'A' AND date = '2026-03-02'",
            vec!["t_hour_date (date=?)", hours],
        ),
        (
            "SELECT avg(kw) FROM readings WHERE date = '2026-03-02' AND NOT potentially_faulty",
            vec!["t_hour_date (date=?)", "SEARCH r USING PRIMARY KEY (hour=?)"],
        ),
        (
            "SELECT * FROM newest",
            vec![
                "SEARCH r USING PRIMARY KEY (hour=? AND meter=? AND at=?)",
                "SEARCH n USING PRIMARY KEY (hour=? AND meter=?)",
            ],
        ),
        ("SELECT * FROM newest WHERE meter_id = 'A'", vec!["SEARCH m USING"]),
        ("SELECT * FROM measured WHERE meter_id = 'A'", vec![hours, "SEARCH e USING INDEX"]),
        (
            "SELECT * FROM measured WHERE date = '2026-03-02'",
            vec!["t_hour_date (date=?)", "SEARCH e USING INDEX"],
        ),
        (
            "SELECT * FROM error_queue WHERE meter_id = 'A'",
            vec!["t_error_hour (ANY(hour) AND meter=?)", "t_error_text (meter_text=?)"],
        ),
        ("SELECT * FROM error_queue WHERE upload = 3", vec!["SEARCH e USING PRIMARY KEY (upload=?)"]),
        ("SELECT * FROM superseded WHERE upload = 3", vec!["SEARCH s USING PRIMARY KEY (upload=?)"]),
    ] {
        check(&home, sql, &wanted);
    }
}

#[test]
fn questions_of_the_judge_and_the_outbox_use_the_keys() {
    let home = Home::in_file().and_meters();
    for sql in STATEMENTS.into_iter().chain([LAST_READING]) {
        check(&home, sql, &["SEARCH r USING PRIMARY KEY (hour=? AND meter"]);
    }
    for (sql, wanted) in [
        ("SELECT max(day) FROM t_day WHERE meter = 1", "SEARCH t_day USING PRIMARY KEY (meter=?)"),
        ("SELECT meter, day FROM t_day ORDER BY meter, day", "SCAN t_day"),
        ("SELECT * FROM t_alert WHERE sent_at IS NULL ORDER BY alert LIMIT 9", "t_alert_unsent"),
        ("SELECT * FROM t_superseded WHERE ts = 1 AND meter = 1", "t_superseded_ts (ts=? AND meter=?)"),
        ("SELECT * FROM t_upload WHERE status <> 2 AND status < 2", "t_upload_unfinished"),
    ] {
        check(&home, sql, &[wanted]);
    }
    let counted = plan(&home, "SELECT reason, count(*) FROM t_error WHERE status = 0 GROUP BY reason");
    assert_eq!(counted, ["SCAN t_error USING COVERING INDEX t_error_open"]);
    let [of_meter, of_hours] = waiting_statements();
    check(&home, &of_meter, &["t_error_hour (hour=? AND meter=?)"]);
    check(&home, &of_hours, &["t_error_hour (hour>? AND hour<?)"]);
}

/// What the pages ask may sort what it found, and must not search for it through everything.
#[test]
fn questions_of_the_pages_use_the_keys() {
    let home = Home::in_file().and_meters();
    for (sql, wanted) in [
        (NEWEST_STORED, "SEARCH r USING PRIMARY KEY (hour=? AND meter=?)"),
        (NEWEST_WAITING, "SEARCH e USING INDEX t_error_hour (hour=? AND meter=?)"),
        (OPEN_IN_HOUR, "SEARCH t_error USING INDEX t_error_hour (hour=?)"),
        ("SELECT count(*) FROM t_reading WHERE hour = ?1", "SEARCH t_reading USING PRIMARY KEY (hour=?)"),
        (
            "SELECT id FROM t_meter WHERE meter_id > ?2 AND instr(meter_id, ?1) > 0 ORDER BY meter_id LIMIT ?3",
            "SEARCH t_meter USING COVERING INDEX sqlite_autoindex_t_meter_1 (meter_id>?)",
        ),
    ] {
        let plan = plan(&home, sql);
        assert!(plan.iter().any(|step| step == wanted), "{sql}: {plan:#?}");
        assert!(!plan.iter().any(|step| step == "USE TEMP B-TREE FOR ORDER BY"), "{sql}: {plan:#?}");
    }
}
