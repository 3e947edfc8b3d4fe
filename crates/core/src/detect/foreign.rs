//! Files that are no table of readings: what they look like, and what to do.

use super::Foreign;
use crate::decode::Refusal;
use crate::decode::sniff::sniff;

/// How much of a start is looked at for words that name a format.
const START_BYTES: usize = 4 << 10;

/// What `content` is, where it is no text of delimited lines.
pub(super) fn foreign(content: &[u8]) -> Option<Foreign> {
    let start = content.get(..content.len().min(START_BYTES)).unwrap_or(content);
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let found =
        |what: &str, way_out: &str| Some(Foreign { what: what.to_owned(), way_out: way_out.to_owned() });
    if content.iter().all(u8::is_ascii_whitespace) {
        return found("an empty file", "send the file again with its rows");
    }
    // the marks of XML are told apart below
    if !start.starts_with(b"<")
        && let Some(Refusal::NotText { problem, hint }) = sniff(start)
    {
        return Some(Foreign {
            what: problem.trim_start_matches("the upload is ").to_owned(),
            way_out: hint,
        });
    }
    if start.contains(&0) {
        return found("a binary file: it holds NULs", "export it as CSV text in UTF-8");
    }
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start();
    let lower = text.to_ascii_lowercase();
    if text.starts_with('<') {
        return if lower.contains("espi") || lower.contains("intervalblock") {
            found("Green Button XML (ESPI)", "export it as CSV where the portal offers both; XML is not read")
        } else if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
            found("a web page, perhaps the login of a portal", "download the file again while logged in")
        } else {
            found("an XML document", "ask the sender for CSV")
        };
    }
    if text.starts_with('{') || text.starts_with("[{") || text.starts_with("[\n") || text.starts_with("[[") {
        return found("JSON", "export it as CSV, a line for each reading; JSON is not read");
    }
    let begins = |prefix: &str| text.lines().take(20).any(|line| line.trim_start().starts_with(prefix));
    if begins("100,NEM12") || (begins("200,") && (begins("300,") || begins("400,"))) {
        return found(
            "NEM12, the interval data of the Australian market (records 100, 200, 300, 900)",
            "NEM12 is not read yet: convert it to a CSV of one reading a line, times in UTC+10",
        );
    }
    if begins("100,NEM13") || begins("250,") {
        return found(
            "NEM13, accumulated data of the Australian market (records 100, 250, 900)",
            "NEM13 holds register readings over months: ask the sender for interval data",
        );
    }
    if text.starts_with("UNA") || text.starts_with("UNB+") {
        return found("an EDIFACT message (such as MSCONS)", "convert it to CSV; EDIFACT is not read");
    }
    None
}
