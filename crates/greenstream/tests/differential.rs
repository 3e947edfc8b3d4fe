//! The pipeline against the model: small random worlds, fed to both, must give the same rows in every
//! dataset, however the journal is cut, with any number of workers and with hardly any memory.
//!
//! `GREENSTREAM_SEEDS=FROM..TO` chooses the worlds (TO is left out); a failure names its seed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "common/store.rs"]
mod store;

use std::collections::{BTreeMap, btree_map};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use greenstream::config::{Address, Config};
use greenstream::dataset::{Dataset, rows};
use greenstream::home::Home;
use greenstream::landing::{Action, Body, DecisionBody, Incoming, Landed, Landing, RetryBody, Source};
use greenstream::process::{ProcessError, Service};
use greenstream::store::{Filter, Store};
use greenstream_core::{Flag, Flags, Reason, Ts};
use greenstream_model::fleet::{World, configured_world, world};
use greenstream_model::{Configuration, Decision, Entry, State, Upload, evaluate, instant_text, kw_text};

/// Worlds of each kind in an ordinary run.
const SEEDS: Range<u64> = 0..40;
/// The same on a server, where each way has a database made for it.
const SEEDS_ON_SERVER: Range<u64> = 0..4;
/// Differing rows shown of a dataset.
const SHOWN: usize = 4;
/// Failing worlds described; the others are only named.
const DESCRIBED: usize = 6;

/// How a journal reaches the pipeline.
#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    cut: Cut,
    /// Whether half of all uploads come twice more, a tenth five times more, and in the end all of them again.
    redelivered: bool,
    workers: usize,
    /// Readings held as context and rows in a transaction: (500, 1) makes it forget and commit always.
    window_readings: usize,
    commit_rows: usize,
}

/// Between which entries the service is closed and opened again, so that it remembers nothing.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Everywhere,
    Nowhere,
    /// Where the world's seed says.
    Anywhere,
}

/// Plenty of memory, and large commits.
const PLENTY: Way = Way {
    name: "at once",
    cut: Cut::Nowhere,
    redelivered: false,
    workers: 1,
    window_readings: 7_000_000,
    commit_rows: 200_000,
};

const WAYS: [Way; 5] = [
    PLENTY,
    Way { name: "one by one", cut: Cut::Everywhere, ..PLENTY },
    Way {
        name: "in random parts, delivered again, 2 workers",
        cut: Cut::Anywhere,
        redelivered: true,
        workers: 2,
        ..PLENTY
    },
    Way { name: "at once, no memory, 4 workers", workers: 4, window_readings: 500, commit_rows: 1, ..PLENTY },
    Way {
        name: "at once, delivered again, little memory, 8 workers",
        redelivered: true,
        workers: 8,
        window_readings: 3_000,
        commit_rows: 300,
        ..PLENTY
    },
];

/// What the front end writes to the landing zone for an entry of a world.
#[derive(Clone)]
enum Step {
    Land {
        upload: Upload,
        /// Whether its bytes are a dead letter at this point: under another zone it is tried again then.
        is_dead: bool,
    },
    Append(Ts, Body),
}

impl Step {
    /// The same bytes once more, which must change nothing; none for what is no upload.
    fn again(&self) -> Option<Step> {
        match self {
            Step::Land { upload, .. } => Some(Step::Land { upload: upload.clone(), is_dead: false }),
            Step::Append(..) => None,
        }
    }
}

#[test]
fn worlds_under_the_default_configuration_end_as_the_model_says() {
    check("world", world);
}

#[test]
fn worlds_with_a_registry_and_a_reporting_zone_end_as_the_model_says() {
    check("configured_world", configured_world);
}

fn check(kind: &str, world: fn(u64) -> World) {
    let mut failures = Vec::new();
    for seed in seeds() {
        let differences = differences(seed, &world(seed));
        if !differences.is_empty() {
            failures.push(format!("{kind}({seed}), GREENSTREAM_SEEDS={seed}..{}:\n{differences}", seed + 1));
        }
    }
    if !failures.is_empty() {
        let named: Vec<&str> = failures.iter().filter_map(|failure| failure.split(',').next()).collect();
        let described = failures[..failures.len().min(DESCRIBED)].join("\n");
        panic!("{described}\n{} worlds differ: {}", failures.len(), named.join(" "));
    }
}

#[expect(clippy::disallowed_methods, reason = "a test is told its worlds by the environment")]
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("GREENSTREAM_SEEDS") else {
        return if store::server().is_some() { SEEDS_ON_SERVER } else { SEEDS };
    };
    let (from, to) =
        text.split_once("..").unwrap_or_else(|| panic!("GREENSTREAM_SEEDS={text} is not FROM..TO"));
    let seeds = from.parse().unwrap()..to.parse().unwrap();
    assert!(!seeds.is_empty(), "GREENSTREAM_SEEDS={text} names no seed");
    seeds
}

/// All differences that any way shows, and those that a rebuild of its home shows; empty where there are none.
fn differences(seed: u64, world: &World) -> String {
    let (journal, steps) = steps(world);
    let expected = evaluate(&journal, &world.configuration);
    let mut text = String::new();
    for way in WAYS {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path(), &world.configuration, way);
        let database = store::Database::new();
        config.file.store.url = database.as_ref().map(|database| Address::new(database.url()));
        let home = Home::open(folder.path(), "differential").unwrap();
        match run(home, &config, &parts(seed, &steps, way)) {
            Ok(home) => {
                compare(&mut text, way, &home, &expected);
                verify(&mut text, way, &home);
                compare_rebuilt(&mut text, way, home, &config);
            }
            Err(error) => writeln!(text, "  {}: {error}", way.name).unwrap(),
        }
    }
    text
}

/// The journal as the front end lets it pass, and the steps that write it: a decision is written only where
/// its row waits for one (or, to undo, has one).
fn steps(world: &World) -> (Vec<Entry>, Vec<Step>) {
    let (mut journal, mut steps) = (Vec::new(), Vec::new());
    let mut reasons: BTreeMap<(u32, u32), Reason> = BTreeMap::new();
    let mut now = Ts::from_micros(0);
    for entry in &world.journal {
        let step = match entry {
            Entry::Upload(upload) => {
                now = Ts::from_micros(upload.landed_at);
                let is_dead = number_of(&journal, &upload.bytes)
                    .is_some_and(|number| is_dead(&journal, &world.configuration, number));
                Some(Step::Land { upload: upload.clone(), is_dead })
            }
            Entry::Decide(decision) => {
                let row = (decision.upload, decision.row_number);
                let reason = if decision.action == greenstream_model::Action::Undo {
                    reasons.remove(&row)
                } else if let btree_map::Entry::Vacant(place) = reasons.entry(row) {
                    open_reason(&journal, &world.configuration, row).inspect(|reason| {
                        place.insert(*reason);
                    })
                } else {
                    None
                };
                reason.map(|reason| Step::Append(now, Body::Decision(body(decision, reason))))
            }
            Entry::Retry(number) => {
                let (feed, time_zone) = ("default".to_owned(), zone_of(&journal, *number));
                Some(Step::Append(
                    now,
                    Body::Retry(RetryBody { upload: *number, feed, time_zone, meter: None }),
                ))
            }
        };
        if let Some(step) = step {
            steps.push(step);
            journal.push(entry.clone());
        }
    }
    (journal, steps)
}

/// The contents that landed, each once, with every delivery of it.
fn landed(journal: &[Entry]) -> Vec<Vec<&Upload>> {
    let mut landed: Vec<Vec<&Upload>> = Vec::new();
    for entry in journal {
        let Entry::Upload(upload) = entry else { continue };
        match landed.iter_mut().find(|known| known[0].bytes == upload.bytes) {
            Some(known) => known.push(upload),
            None => landed.push(vec![upload]),
        }
    }
    landed
}

/// The sequence number of bytes that landed before.
fn number_of(journal: &[Entry], bytes: &[u8]) -> Option<u32> {
    let place = landed(journal).iter().position(|known| known[0].bytes == bytes)?;
    u32::try_from(place + 1).ok()
}

/// The zone under which a dead letter came last: while it is dead, each delivery's zone holds from then on.
fn zone_of(journal: &[Entry], number: u32) -> Option<String> {
    let landed = landed(journal);
    landed[number as usize - 1].last().and_then(|upload| upload.feed.time_zone.clone())
}

fn is_dead(journal: &[Entry], configuration: &Configuration, number: u32) -> bool {
    let uploads = evaluate(journal, configuration).uploads.select(&["upload", "status"]);
    uploads.contains(&vec![number.to_string(), "dead".to_owned()])
}

/// Why a row waits in the error queue; none where it does not.
fn open_reason(journal: &[Entry], configuration: &Configuration, row: (u32, u32)) -> Option<Reason> {
    let queue = evaluate(journal, configuration).error_queue;
    let queue = queue.select(&["upload", "row_number", "status", "reason"]);
    let address = [row.0.to_string(), row.1.to_string(), "open".to_owned()];
    let found = queue.iter().find(|entry| entry[..3] == address)?;
    Some(Reason::from_name(&found[3]).unwrap())
}

fn body(decision: &Decision, reason: Reason) -> DecisionBody {
    let (action, kw) = match decision.action {
        greenstream_model::Action::Release => (Action::Release, None),
        greenstream_model::Action::Edit(milliwatts) => (Action::Edit, Some(kw_text(milliwatts))),
        greenstream_model::Action::Discard => (Action::Discard, None),
        greenstream_model::Action::Undo => (Action::Undo, None),
    };
    let (upload, row_number) = (decision.upload, decision.row_number);
    DecisionBody {
        upload,
        row_number,
        action,
        kw,
        reason,
        who: "operator".to_owned(),
        why: "test".to_owned(),
    }
}

fn config(folder: &Path, model: &Configuration, way: Way) -> Config {
    let mut config = Config::read(&folder.join("greenstream.toml")).unwrap();
    config.file.sizes.workers = way.workers;
    config.file.sizes.window_readings = way.window_readings;
    config.file.sizes.commit_rows = way.commit_rows;
    config.rulebook.reporting_zone.clone_from(&model.reporting_zone);
    if !model.registry.is_empty() {
        let mut registry = "meter_id,power_kw_min,power_kw_max,valid_from,interval\n".to_owned();
        for row in &model.registry {
            let (min, max) = (kw_text(row.limits.min), kw_text(row.limits.max));
            let from = row.valid_from.map(instant_text).unwrap_or_default();
            let interval = row.interval.map(|micros| format!("{}s", micros / 1_000_000)).unwrap_or_default();
            writeln!(registry, "{},{min},{max},{from},{interval}", row.meter).unwrap();
        }
        config.rulebook.registry = registry;
    }
    config
}

/// The steps in the parts in which they reach the service, with every delivery.
fn parts(seed: u64, steps: &[Step], way: Way) -> Vec<Vec<Step>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut parts = vec![Vec::new()];
    for step in steps {
        let times = match random.u8(0..10) {
            0 => 5,
            1..=5 => 2,
            _ => 0,
        };
        let is_end = match way.cut {
            Cut::Everywhere => true,
            Cut::Nowhere => false,
            Cut::Anywhere => random.u8(0..4) == 0,
        };
        let mut more = if way.redelivered { vec![step.again(); times] } else { Vec::new() };
        if let Some(part) = parts.last_mut() {
            part.push(Some(step.clone()));
            part.append(&mut more);
        }
        if is_end {
            parts.push(Vec::new());
        }
    }
    if way.redelivered {
        parts.push(steps.iter().map(Step::again).collect());
    }
    parts.into_iter().map(|part| part.into_iter().flatten().collect()).collect()
}

/// Writes the steps to the landing zone of a home and lets the service process them.
fn run(home: Home, config: &Config, parts: &[Vec<Step>]) -> Result<Home, ProcessError> {
    let mut home = Service::open(home, config.clone())?.close();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let mut landing = Landing::open(&home.landing())?;
        for step in part {
            write(&mut landing, step)?;
        }
        drop(landing);
        let mut service = Service::open(home, config.clone())?;
        service.catch_up()?;
        home = service.close();
    }
    Ok(home)
}

fn write(landing: &mut Landing, step: &Step) -> Result<(), ProcessError> {
    let (upload, is_dead) = match step {
        Step::Append(at, body) => {
            landing.append(vec![(*at, body.clone())])?;
            return Ok(());
        }
        Step::Land { upload, is_dead } => (upload, *is_dead),
    };
    let (feed, time_zone) = ("default".to_owned(), upload.feed.time_zone.clone());
    let landed_at = Ts::from_micros(upload.landed_at);
    let source = Source::Bytes(upload.bytes.clone());
    let incoming = Incoming {
        source,
        name: upload.name.clone(),
        feed: feed.clone(),
        time_zone: time_zone.clone(),
        meter: None,
        landed_at,
    };
    match landing.land(vec![incoming])?.pop() {
        Some(Landed::New { .. } | Landed::Delivered { .. }) => {}
        Some(Landed::Refused { upload, .. }) if is_dead => {
            let body = RetryBody { upload, feed, time_zone, meter: None };
            landing.append(vec![(landed_at, Body::Retry(body))])?;
        }
        Some(Landed::Refused { .. }) => {}
        answer => panic!("a file could not land: {answer:?}"),
    }
    Ok(())
}

fn compare(text: &mut String, way: Way, home: &Home, expected: &State) {
    let reader = Store::reader(home.database()).unwrap();
    for (dataset, expected) in [
        (Dataset::Readings, &expected.readings),
        (Dataset::Measured, &expected.measured),
        (Dataset::ErrorQueue, &expected.error_queue),
        (Dataset::Superseded, &expected.superseded),
        (Dataset::Uploads, &expected.uploads),
        (Dataset::Episodes, &expected.episodes),
        (Dataset::Quality, &expected.quality),
    ] {
        let names = dataset.columns().iter().map(|(name, _)| *name);
        let mut found = Vec::new();
        rows::<ProcessError>(&reader, dataset, &Filter::default(), &mut |cells| {
            let cells = names.clone().zip(&cells).filter(|(name, _)| *name != "sha256");
            found.push(lenient(dataset, cells.map(|(_, cell)| cell.text()).collect()));
            Ok(())
        })
        .unwrap();
        let names: Vec<&str> = names.filter(|name| *name != "sha256").collect();
        assert_eq!(names, expected.columns);
        let expected: Vec<_> = expected.rows.iter().map(|row| lenient(dataset, row.clone())).collect();
        compare_rows(text, way, dataset, &found, &expected);
    }
}

/// The specification does not say which flags a decided entry of the error queue shows: those of decode, which
/// the pipeline keeps, or those at the time of the decision, as in the model. Both must agree on the former.
fn lenient(dataset: Dataset, mut cells: Vec<String>) -> Vec<String> {
    if dataset == Dataset::ErrorQueue && cells[8] != "open" {
        let decoded: Vec<&str> = Flags::DECODED.iter().map(Flag::name).collect();
        let kept: Vec<&str> = cells[6].split('|').filter(|flag| decoded.contains(flag)).collect();
        cells[6] = kept.join("|");
    }
    cells
}

/// Says which rows stand on one side only, and whether the same rows stand in another order.
fn compare_rows(
    text: &mut String,
    way: Way,
    dataset: Dataset,
    found: &[Vec<String>],
    expected: &[Vec<String>],
) {
    if found == expected {
        return;
    }
    let mut counted: BTreeMap<&[String], i32> = BTreeMap::new();
    for row in found {
        *counted.entry(row).or_default() += 1;
    }
    for row in expected {
        *counted.entry(row).or_default() -= 1;
    }
    counted.retain(|_, count| *count != 0);
    writeln!(text, "  {}: {}: {} rows differ", way.name, dataset.name(), counted.len()).unwrap();
    for (row, count) in counted.into_iter().take(SHOWN) {
        let side = if count > 0 { "pipeline" } else { "model" };
        writeln!(text, "    only {side}: {}", row.join(",").escape_debug()).unwrap();
    }
}

/// `verify` finds nothing in a home that is as it must be.
fn verify(text: &mut String, way: Way, home: &Home) {
    match greenstream::verify::verify(home.layout(), &|_, _, _| {}) {
        Ok(report) => {
            for finding in report.findings.iter().take(SHOWN) {
                writeln!(text, "  {}, verified: {finding}", way.name).unwrap();
            }
        }
        Err(error) => writeln!(text, "  {}, verified: {error}", way.name).unwrap(),
    }
}

fn compare_rebuilt(text: &mut String, way: Way, home: Home, config: &Config) {
    match Service::rebuild(home, config, true) {
        Ok((rebuilt, _)) => {
            assert_eq!(rebuilt.differences.len(), 7, "datasets that a rebuild compares");
            for difference in rebuilt.differences.iter().filter(|difference| difference.differing > 0) {
                writeln!(text, "  {}, then rebuilt: {difference:?}", way.name).unwrap();
            }
        }
        Err(error) => writeln!(text, "  {}, then rebuilt: {error}", way.name).unwrap(),
    }
}
