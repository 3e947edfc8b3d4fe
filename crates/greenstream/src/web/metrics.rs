//! The status as metrics: OpenMetrics text.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::Value;

/// Gauges from the status: no label has more values than the contract has names. What the status does not have is
/// not told, for 0 would say something.
pub fn text(status: &Value) -> String {
    let mut registry = Registry::with_prefix("greenstream");
    let rows = |part: &str| number(status, &format!("/rows/{part}"));
    let settled = || Some(rows("stored")? + rows("quarantined")? + rows("superseded")?);
    let unbalanced = rows("all").zip(settled()).map(|(all, settled)| all - settled);
    let outages = status["outages"].as_array().and_then(|outages| i64::try_from(outages.len()).ok());
    for (name, help, value) in [
        ("journal_entry", "Last entry of the journal", number(status, "/journal/entry")),
        (
            "database_entry",
            "Last journal entry whose changes are committed",
            number(status, "/database/entry"),
        ),
        ("uploads_done", "Uploads whose rows all have their disposition", number(status, "/uploads/done")),
        ("uploads_dead", "Uploads of which nothing is loaded", number(status, "/uploads/dead")),
        (
            "uploads_waiting",
            "Uploads that have landed and are not processed",
            number(status, "/uploads/landed"),
        ),
        ("rows_processed", "Rows of all uploads that are done", rows("all")),
        ("rows_stored", "Rows in readings", rows("stored")),
        ("rows_quarantined", "Rows in the error queue, open or discarded", rows("quarantined")),
        ("rows_superseded", "Rows that lost to another of the same reading", rows("superseded")),
        ("rows_unaccounted", "Rows without a disposition: must be 0", unbalanced),
        (
            "errors_open",
            "Entries of the error queue that wait for a decision",
            number(status, "/errors_open"),
        ),
        ("alerts_waiting", "Alerts in the outbox", number(status, "/alerts_waiting")),
        ("outages", "Parts that cannot be used just now", outages),
        ("meters_known", "Meters with at least one row", number(status, "/meters")),
    ] {
        let Some(value) = value else { continue };
        let gauge: Gauge = Gauge::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    add_volumes(status, &mut registry);
    let mut text = String::new();
    // writing to a string cannot fail
    let _ = encode(&mut text, &registry);
    text
}

/// What is left of the volume of each part, which may be the same.
fn add_volumes(status: &Value, registry: &mut Registry) {
    let volumes = Family::<[(&'static str, String); 1], Gauge>::default();
    for (part, free) in status["free_bytes"].as_object().into_iter().flatten() {
        // a volume that does not say is not told: 0 would raise an alarm
        if let Some(free) = free.as_i64() {
            volumes.get_or_create(&[("part", part.clone())]).set(free);
        }
    }
    registry.register(
        "volume_free_bytes",
        "Bytes that may still be written to the volume of a part",
        volumes,
    );
}

fn number(status: &Value, pointer: &str) -> Option<i64> {
    status.pointer(pointer).and_then(Value::as_i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_disposition_show_in_the_metrics() {
        let status = serde_json::json!({"rows": {"all": 10, "stored": 7, "quarantined": 1, "superseded": 1}});
        assert!(text(&status).contains("greenstream_rows_unaccounted 1\n"));
    }

    #[test]
    fn what_cannot_be_known_is_not_told_as_nothing() {
        let text = text(&serde_json::json!({"outages": [{"part": "database"}]}));
        assert!(text.contains("greenstream_outages 1\n"), "{text}");
        for gauge in ["journal_entry", "rows_stored", "rows_unaccounted", "errors_open"] {
            assert!(!text.contains(gauge), "{gauge}: {text}");
        }
    }

    #[test]
    fn the_volume_of_each_part_tells_what_is_left_of_it_or_nothing() {
        let text = text(&serde_json::json!({"free_bytes": {"landing": 5, "archive": null}}));
        assert!(text.contains("greenstream_volume_free_bytes{part=\"landing\"} 5\n"), "{text}");
        assert!(!text.contains("archive"), "{text}");
    }
}
