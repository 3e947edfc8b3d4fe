//! What the routes say: metrics as OpenMetrics text, and one page.

use std::fmt::Write as _;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::Value;

use crate::store::{Reader, StoreError};

/// Gauges from the status: no label has more values than the contract has names.
pub fn metrics(status: &Value) -> String {
    let mut registry = Registry::with_prefix("greenstream");
    let rows = |part: &str| number(status, &format!("/rows/{part}"));
    let unbalanced = rows("all") - rows("stored") - rows("quarantined") - rows("superseded");
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
        ("meters_known", "Meters with at least one row", number(status, "/meters")),
    ] {
        let gauge: Gauge = Gauge::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    let mut text = String::new();
    // writing to a string cannot fail
    let _ = encode(&mut text, &registry);
    text
}

fn number(status: &Value, pointer: &str) -> i64 {
    status.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// One page: the books, the open errors by reason, the newest dead letters.
pub fn index(status: &Value, reader: &Reader) -> Result<String, StoreError> {
    let mut page = String::from(HEAD);
    let tile = |page: &mut String, label: &str, pointer: &str| {
        let shown = crate::text::count(number(status, pointer).unsigned_abs());
        let _ = write!(page, "<div class=tile><b>{shown}</b><span>{label}</span></div>");
    };
    page.push_str("<section class=tiles>");
    for (label, pointer) in [
        ("rows", "/rows/all"),
        ("stored", "/rows/stored"),
        ("quarantined", "/rows/quarantined"),
        ("superseded", "/rows/superseded"),
        ("meters", "/meters"),
        ("uploads done", "/uploads/done"),
        ("dead letters", "/uploads/dead"),
        ("waiting", "/uploads/landed"),
    ] {
        tile(&mut page, label, pointer);
    }
    page.push_str("</section>");
    let balanced = status["rows"]["balanced"] == Value::Bool(true);
    page.push_str(if balanced {
        "<p class=good>The books balance: rows = stored + quarantined + superseded.</p>"
    } else {
        "<p class=bad>THE BOOKS DO NOT BALANCE. Run <code>greenstream verify</code>.</p>"
    });
    page.push_str("<h2>Error queue, open</h2><table>");
    for (reason, rows) in reader.open_by_reason()? {
        let _ = write!(page, "<tr><td>{}<td class=n>{}", reason.name(), crate::text::count(rows));
    }
    page.push_str("</table><h2>Dead letters</h2><table>");
    for row in reader.newest_dead(20)? {
        let dead = row.dead.unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td class=n>{}<td>{}<td>{}<td>{}",
            row.landed.upload,
            escape(&row.landed.name),
            escape(&dead.message),
            escape(&dead.hint)
        );
    }
    page.push_str(
        "</table><p class=foot><a href=/api/status>status</a> <a href=/metrics>metrics</a></p></main>",
    );
    Ok(page)
}

/// Text from uploads is data in HTML.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
<title>GreenStream</title><style>\
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}main{max-width:60rem;margin:2rem auto;padding:0 1rem}\
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));gap:.75rem}\
.tile{border:1px solid #8884;border-radius:.5rem;padding:.75rem}.tile b{display:block;font-size:1.4rem}.tile span{opacity:.7}\
.good{color:#18794e}.bad{color:#c62a2f;font-weight:600}table{border-collapse:collapse;width:100%}td{padding:.25rem .75rem .25rem 0;\
border-top:1px solid #8883;vertical-align:top}.n{text-align:right;font-variant-numeric:tabular-nums}.foot{opacity:.7}</style>\
<main><h1>GreenStream</h1>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_uploads_is_inert_in_html() {
        assert_eq!(escape("<script>'\"&"), "&lt;script&gt;&#39;&quot;&amp;");
    }

    #[test]
    fn rows_without_a_disposition_show_in_the_metrics() {
        let status = serde_json::json!({"rows": {"all": 10, "stored": 7, "quarantined": 1, "superseded": 1}});
        assert!(metrics(&status).contains("greenstream_rows_unaccounted 1\n"));
    }
}
