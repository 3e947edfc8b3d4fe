//! The whole: the journal from its first entry to its last, and the state it gives.

use std::collections::BTreeMap;

use crate::completeness;
use crate::dataset::State;
use crate::decode::decode;
use crate::entry::{Action, Configuration, Decision, Entry, Upload};
use crate::judge::{Episode, judge};
use crate::number::kw_text;
use crate::reading::{Flag, Reading, Reason, Row, flags_text};
use crate::time::instant_text;

/// An upload that has landed; its place in the list is its sequence number less one.
struct Landed {
    upload: Upload,
    /// Its rows; none where it is a dead letter.
    rows: Option<Vec<Row>>,
}

/// The address of a row: upload and row number.
type Address = (u32, u32);

/// The rows of each reading, by meter and instant, with what was decided about them.
type Ranked = BTreeMap<(String, i64), Vec<(Row, Option<Action>)>>;

/// A decision in force, and the entry of the error queue as it stood when it was made.
#[derive(Clone)]
struct Decided {
    action: Action,
    entry: Queued,
}

/// An entry of the error queue.
#[derive(Clone)]
struct Queued {
    row: Row,
    kw: Option<i64>,
    reason: Reason,
    flags: String,
    status: &'static str,
}

/// Where every row of the uploads that are done stands.
struct Dispositions {
    /// Readings by meter, judged, sorted by time; also the quarantined ones.
    series: BTreeMap<String, (Vec<Reading>, Vec<Episode>)>,
    superseded: Vec<Row>,
    /// Rows that take part in no rule: failed to decode or discarded.
    set_aside: Vec<Queued>,
}

/// The state that a journal gives, computed from all of it at once.
///
/// Only one thing looks at a part of the journal: a decision takes the reason for which its row was
/// quarantined from the state that the entries before it give.
#[must_use]
pub fn evaluate(journal: &[Entry], configuration: &Configuration) -> State {
    let mut landed = Vec::new();
    let mut decisions = BTreeMap::new();
    for entry in journal {
        match entry {
            Entry::Upload(upload) => land(&mut landed, upload),
            Entry::Decide(decision) => decide(&landed, &mut decisions, decision, configuration),
            // The same bytes under the same feed and configuration decode as they did before.
            Entry::Retry(_) => {}
        }
    }
    state(&landed, &decisions, configuration)
}

/// Bytes that are new become an upload; those of a dead letter are tried again if the feed is another.
fn land(landed: &mut Vec<Landed>, upload: &Upload) {
    let known = landed.iter().position(|known| known.upload.bytes == upload.bytes);
    let at = known.unwrap_or(landed.len());
    let Ok(sequence) = u32::try_from(at + 1) else { return };
    match known {
        None => {
            let rows = decode(sequence, upload, &upload.feed);
            landed.push(Landed { upload: upload.clone(), rows });
        }
        Some(at) if landed[at].rows.is_none() && landed[at].upload.feed != upload.feed => {
            landed[at].upload.feed = upload.feed.clone();
            landed[at].rows = decode(sequence, &landed[at].upload, &upload.feed);
        }
        Some(_) => {}
    }
}

/// Puts a decision in force, if its row is in the error queue and may be decided so.
fn decide(
    landed: &[Landed],
    decisions: &mut BTreeMap<Address, Decided>,
    decision: &Decision,
    configuration: &Configuration,
) {
    let address = (decision.upload, decision.row_number);
    if decision.action == Action::Undo {
        decisions.remove(&address);
        return;
    }
    let queue = error_queue(&dispositions(landed, decisions, configuration), decisions);
    let Some(entry) = queue.into_iter().find(|entry| address == (entry.row.upload, entry.row.row_number))
    else {
        return;
    };
    let is_allowed = match decision.action {
        Action::Release => entry.reason.is_judged(),
        Action::Edit(_) => entry.reason.knows_meter_and_time(),
        Action::Discard | Action::Undo => true,
    };
    if is_allowed {
        decisions.insert(address, Decided { action: decision.action, entry });
    }
}

/// Rule 5, then the others: where each row stands.
fn dispositions(
    landed: &[Landed],
    decisions: &BTreeMap<Address, Decided>,
    configuration: &Configuration,
) -> Dispositions {
    let mut set_aside = Vec::new();
    let mut ranked = Ranked::new();
    for row in landed.iter().filter_map(|landed| landed.rows.as_ref()).flatten() {
        let decided = decisions.get(&(row.upload, row.row_number));
        let action = decided.map(|decided| decided.action);
        match (decided, row.ts, row.failure) {
            (Some(Decided { action: Action::Discard, entry }), _, _) => {
                set_aside.push(Queued { status: "discarded", ..entry.clone() });
            }
            (None, _, Some(reason)) | (_, None, Some(reason)) => {
                let (kw, flags) = (None, String::new());
                set_aside.push(Queued { row: row.clone(), kw, reason, flags, status: "open" });
            }
            (_, Some(ts), _) => {
                ranked.entry((row.meter.clone(), ts)).or_default().push((row.clone(), action));
            }
            // A row without a time has failed.
            (_, None, None) => {}
        }
    }
    let mut superseded = Vec::new();
    let mut series: BTreeMap<String, (Vec<Reading>, Vec<Episode>)> = BTreeMap::new();
    for ((meter, ts), mut rows) in ranked {
        rows.sort_by_key(|(row, action)| (own(row, *action).is_some(), row.upload, row.row_number));
        let Some((row, action)) = rows.pop() else { continue };
        let reading = reading(row, ts, action, !rows.is_empty());
        series.entry(meter).or_default().0.push(reading);
        superseded.extend(rows.into_iter().map(|(row, _)| row));
    }
    for (meter, (readings, episodes)) in &mut series {
        *episodes = judge(meter, readings, configuration);
    }
    Dispositions { series, superseded, set_aside }
}

/// A row's value: its own, or the operator's.
fn own(row: &Row, action: Option<Action>) -> Option<i64> {
    match action {
        Some(Action::Edit(value)) => Some(value),
        _ => row.value,
    }
}

/// The reading that `row` wins, before it is judged.
fn reading(row: Row, ts: i64, action: Option<Action>, has_superseded: bool) -> Reading {
    let own = own(&row, action);
    let mut flags = row.flags.clone();
    if has_superseded {
        flags.insert(Flag::Duplicate);
    }
    match action {
        Some(Action::Release) => flags.insert(Flag::Released),
        Some(Action::Edit(_)) => flags.insert(Flag::Edited),
        _ => false,
    };
    let is_decided = matches!(action, Some(Action::Release | Action::Edit(_)));
    Reading { row, ts, own, kw: own, flags, is_decided, reason: None }
}

/// All entries of the error queue, sorted by row: rows set aside, quarantined readings, and readings that
/// an operator released or edited.
fn error_queue(dispositions: &Dispositions, decisions: &BTreeMap<Address, Decided>) -> Vec<Queued> {
    let mut queue = dispositions.set_aside.clone();
    for reading in dispositions.series.values().flat_map(|(readings, _)| readings) {
        if let Some(reason) = reading.reason {
            let (row, flags) = (reading.row.clone(), flags_text(&reading.flags));
            queue.push(Queued { row, kw: reading.own, reason, flags, status: "open" });
        }
        match decisions.get(&(reading.row.upload, reading.row.row_number)) {
            Some(Decided { action: Action::Release, entry }) => {
                queue.push(Queued { status: "released", ..entry.clone() });
            }
            Some(Decided { action: Action::Edit(_), entry }) => {
                queue.push(Queued { status: "edited", ..entry.clone() });
            }
            _ => {}
        }
    }
    queue.sort_by_key(|entry| (entry.row.upload, entry.row.row_number));
    queue
}

fn state(landed: &[Landed], decisions: &BTreeMap<Address, Decided>, configuration: &Configuration) -> State {
    let dispositions = dispositions(landed, decisions, configuration);
    let queue = error_queue(&dispositions, decisions);
    let mut state = State::new();
    write_series(&mut state, &dispositions);
    write_completeness(&mut state, landed, &dispositions, configuration);
    for entry in &queue {
        let mut cells = address_cells(&entry.row);
        cells.extend([kw_cell(entry.kw), entry.reason.name().to_owned(), entry.flags.clone()]);
        cells.extend([entry.row.raw.clone(), entry.status.to_owned()]);
        state.error_queue.rows.push(cells);
    }
    let mut superseded: Vec<&Row> = dispositions.superseded.iter().collect();
    superseded.sort_by_key(|row| (row.upload, row.row_number));
    for row in superseded {
        let mut cells = address_cells(row);
        cells.push(kw_cell(row.value));
        state.superseded.rows.push(cells);
    }
    write_uploads(&mut state, landed, &dispositions, &queue);
    state
}

/// Readings, measured and episodes.
fn write_series(state: &mut State, dispositions: &Dispositions) {
    for (meter, (readings, episodes)) in &dispositions.series {
        for reading in readings {
            let (ts, flags) = (instant_text(reading.ts), flags_text(&reading.flags));
            let row = [reading.row.upload.to_string(), reading.row.row_number.to_string()];
            let cells = vec![meter.clone(), ts, kw_cell(reading.kw), flags];
            if reading.is_measured() {
                let under_review = reading.reason.is_some().to_string();
                state.measured.rows.push([&cells[..], &[under_review], &row[..]].concat());
            }
            if reading.reason.is_none() {
                state.readings.rows.push([cells, row.to_vec()].concat());
            }
        }
        for episode in episodes {
            let severity = if episode.is_confirmed { "confirmed" } else { "suspected" };
            let (first, last) = (instant_text(episode.first_ts), instant_text(episode.last_ts));
            let cells = vec![meter.clone(), "near_zero".to_owned(), severity.to_owned(), first, last];
            state.episodes.rows.push(cells);
        }
    }
}

/// Quality, and the episodes of silent meters among the others.
fn write_completeness(
    state: &mut State,
    landed: &[Landed],
    dispositions: &Dispositions,
    configuration: &Configuration,
) {
    let series = dispositions.series.iter();
    let series = series.map(|(meter, (readings, _))| (meter.as_str(), readings.as_slice())).collect();
    let landed_at = |upload: u32| landed[upload as usize - 1].upload.landed_at;
    state.quality.rows = completeness::quality(&series, configuration, &landed_at);
    for silent in completeness::silent(&series, configuration) {
        let severity = if silent.is_confirmed { "confirmed" } else { "suspected" };
        let (first, last) = (instant_text(silent.first_ts), instant_text(silent.last_ts));
        state.episodes.rows.push(vec![silent.meter, "silent".to_owned(), severity.to_owned(), first, last]);
    }
    // by meter and first instant
    state.episodes.rows.sort_by(|a, b| (&a[0], &a[3], &a[1]).cmp(&(&b[0], &b[3], &b[1])));
}

/// Uploads and their books, counted row by row.
fn write_uploads(state: &mut State, landed: &[Landed], dispositions: &Dispositions, queue: &[Queued]) {
    for (index, Landed { upload, rows }) in landed.iter().enumerate() {
        let is_here = |row: &Row| usize::try_from(row.upload) == Ok(index + 1);
        let readings = dispositions.series.values().flat_map(|(readings, _)| readings);
        let stored = readings.filter(|reading| is_here(&reading.row) && reading.reason.is_none()).count();
        let is_held = |entry: &&Queued| matches!(entry.status, "open" | "discarded");
        let quarantined = queue.iter().filter(is_held).filter(|entry| is_here(&entry.row)).count();
        let superseded = dispositions.superseded.iter().filter(|row| is_here(row)).count();
        let status = if rows.is_some() { "done" } else { "dead" };
        let mut cells = vec![(index + 1).to_string(), upload.name.clone(), upload.bytes.len().to_string()];
        cells.extend([instant_text(upload.landed_at), status.to_owned()]);
        let row_count = rows.as_ref().map_or(0, Vec::len);
        cells.extend([row_count, stored, quarantined, superseded].map(|count| count.to_string()));
        state.uploads.rows.push(cells);
    }
}

fn address_cells(row: &Row) -> Vec<String> {
    let ts = row.ts.map(instant_text).unwrap_or_default();
    vec![row.upload.to_string(), row.row_number.to_string(), row.meter.clone(), ts]
}

fn kw_cell(kw: Option<i64>) -> String {
    kw.map(kw_text).unwrap_or_default()
}
