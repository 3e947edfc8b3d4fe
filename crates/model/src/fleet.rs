//! Small random worlds: a few meters, some days, every defect often, split over uploads that land late,
//! twice and out of order, with an operator who decides in between. For feeding to the model and to the
//! pipeline alike.

mod random;
mod series;
mod text;

use crate::entry::{Action, Configuration, Decision, Entry, Feed, Limits, Registered, Upload};
use crate::time::{DAY, HOUR, MINUTE, read_instant};
use crate::whole::evaluate;
use random::Random;
use series::{Draft, Said, distorted, fleet};
use text::{Clock, HEADERS, Style, assembled, content, line};

/// A journal and the configuration to evaluate it with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct World {
    /// Uploads, decisions and retries in the order in which they happen; landing times never go back.
    pub journal: Vec<Entry>,
    /// The default, but for [`configured_world`].
    pub configuration: Configuration,
}

/// Zones and days around which clocks change there, or do not.
const PLACES: [(Option<&str>, &str); 14] = [
    (None, "2026-03-02T00:00:00Z"),
    (Some("UTC"), "2026-02-27T00:00:00Z"),
    (Some("Europe/London"), "2025-10-25T00:00:00Z"),
    (Some("Europe/London"), "2026-03-28T00:00:00Z"),
    (Some("Europe/Berlin"), "2025-10-25T00:00:00Z"),
    (Some("Europe/Berlin"), "2026-03-28T00:00:00Z"),
    (Some("Europe/Dublin"), "2025-10-25T00:00:00Z"),
    (Some("America/New_York"), "2025-11-01T00:00:00Z"),
    (Some("America/New_York"), "2026-03-07T00:00:00Z"),
    (Some("Australia/Lord_Howe"), "2026-04-03T12:00:00Z"),
    (Some("Australia/Lord_Howe"), "2025-10-03T12:00:00Z"),
    (Some("America/Sao_Paulo"), "2018-11-03T00:00:00Z"),
    (Some("America/Sao_Paulo"), "2018-02-17T00:00:00Z"),
    (Some("Asia/Kolkata"), "2024-02-28T00:00:00Z"),
];

/// The world of this seed under the default configuration: two to five meters, up to about a thousand rows
/// in at most ten uploads.
#[must_use]
pub fn world(seed: u64) -> World {
    build(Random::new(seed), Configuration::default())
}

/// The world of this seed with limits of their own for two meters, one from an instant on, and days in a
/// reporting zone other than UTC.
#[must_use]
pub fn configured_world(seed: u64) -> World {
    let mut random = Random::new(seed ^ 0x00c0_ffee);
    let mut configuration = Configuration::default();
    let limits = |min, max| Limits { min, max };
    for (meter, valid_from, limits, minutes) in [
        ("M1", None, limits(-5_000_000, 5_000_000), Some(15)),
        ("m1", read_instant("2026-03-03T00:00:00Z"), limits(1, 3_000_000), None),
        ("m1", read_instant("2025-10-26T00:00:00Z"), limits(-9_999, 20_000_000), Some(30)),
    ] {
        let (meter, interval) = (meter.to_owned(), minutes.map(|minutes: i64| minutes * MINUTE));
        configuration.registry.push(Registered { meter, valid_from, limits, interval });
    }
    configuration.reporting_zone =
        random.pick(&["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]).to_owned();
    build(random, configuration)
}

/// An upload before it is written: its rows, and the latest instant it was meant for.
struct Bundle {
    drafts: Vec<Draft>,
    until: i64,
}

fn build(mut random: Random, configuration: Configuration) -> World {
    let (time_zone, start) = random.pick(&PLACES);
    let start = read_instant(start).unwrap_or(0);
    let drafts = fleet(&mut random, start);
    let end = drafts.iter().map(|draft| draft.ts).max().unwrap_or(start);
    let bundles = split(&mut random, drafts, start, end);
    let is_live = random.chance(400);
    let mut now = if is_live { start } else { end + HOUR };
    let mut world = World { journal: Vec::new(), configuration };
    for bundle in bundles {
        // Live uploads land about when their last row is measured, so that some rows are in the future.
        let delay =
            random.pick(&[-15 * MINUTE, 0, MINUTE, HOUR, 6 * HOUR, random.clone().between(0, 30) * DAY]);
        now = if is_live { now.max(bundle.until + delay) } else { now + delay.max(0) };
        let rate = random.pick(&[0, 5, 20, 50]);
        let clock = clock(&mut random, time_zone);
        let style = Style { clock, time_zone: time_zone.map(str::to_owned), landed_at: now, rate };
        let bytes = content(&mut random, &style, &bundle.drafts);
        land(&mut random, &mut world, bytes, now, &style);
        disturb(&mut random, &mut world, &style);
        if random.chance(250) {
            decide(&mut random, &mut world);
        }
    }
    world
}

fn clock(random: &mut Random, time_zone: Option<&str>) -> Clock {
    if time_zone.is_some() && random.chance(600) {
        return Clock::Wall;
    }
    random.pick(&[
        Clock::Utc,
        Clock::Utc,
        Clock::Epoch,
        Clock::Offset(60),
        Clock::Offset(-330),
        Clock::Offset(345),
    ])
}

/// The rows, some of them twice or more, in two to seven bundles by time, some rows in the wrong bundle, and
/// the bundles sometimes out of order.
fn split(random: &mut Random, drafts: Vec<Draft>, start: i64, end: i64) -> Vec<Bundle> {
    let count = random.between(2, 7);
    let mut bundles: Vec<Bundle> = Vec::new();
    for index in 1..=count {
        bundles.push(Bundle { drafts: Vec::new(), until: start + (end - start) * index / count });
    }
    let astray = random.pick(&[0, 20, 100]);
    let twice = random.pick(&[0, 30, 100]);
    for draft in drafts {
        let intended = bundles.iter().position(|bundle| draft.ts <= bundle.until).unwrap_or(0);
        let place = if random.chance(astray) { random.place(bundles.len()) } else { intended };
        while random.chance(twice) {
            let again = if random.chance(500) { place } else { random.place(bundles.len()) };
            let said = said_again(random, &draft.said);
            bundles[again].drafts.push(Draft { said, ..draft.clone() });
        }
        bundles[place].drafts.push(draft);
    }
    for bundle in &mut bundles {
        arrange(random, &mut bundle.drafts);
    }
    match random.between(0, 3) {
        0 => random.shuffle(&mut bundles),
        1 => {
            let (one, other) = (random.place(bundles.len()), random.place(bundles.len()));
            bundles.swap(one, other);
        }
        _ => {}
    }
    bundles
}

/// What a meter says of the same reading another time.
fn said_again(random: &mut Random, said: &Said) -> Said {
    match random.between(0, 3) {
        0 => said.clone(),
        1 => Said::Missing,
        _ => Said::Milliwatts(distorted(random, random.clone().between(0, 4_000_000), 150)),
    }
}

/// The order of rows within an upload: by meter, by time, backwards, or any.
fn arrange(random: &mut Random, drafts: &mut [Draft]) {
    match random.between(0, 4) {
        0 => drafts.sort_by_key(|draft| draft.ts),
        1 => drafts.reverse(),
        2 => {
            for _ in 0..drafts.len() / 20 {
                let (one, other) = (random.place(drafts.len()), random.place(drafts.len()));
                drafts.swap(one, other);
            }
        }
        3 if random.chance(300) => random.shuffle(drafts),
        _ => {}
    }
}

fn land(random: &mut Random, world: &mut World, bytes: Vec<u8>, landed_at: i64, style: &Style) {
    let name = format!("upload-{}-{}.csv", world.journal.len(), random.between(0, 99));
    let feed = Feed { time_zone: style.time_zone.clone(), ..Feed::default() };
    world.journal.push(Entry::Upload(Upload { name, bytes, landed_at, feed }));
}

/// Bytes that landed before land again, dead letters land, are retried and are sent again with a zone.
fn disturb(random: &mut Random, world: &mut World, style: &Style) {
    if random.chance(250) {
        let mut landed = Vec::new();
        for entry in &world.journal {
            if let Entry::Upload(upload) = entry {
                landed.push(upload.clone());
            }
        }
        let mut again = random.pick(&landed);
        again.name = random.pick(&["again.csv".to_owned(), again.name.clone()]);
        again.landed_at = style.landed_at;
        world.journal.push(Entry::Upload(again));
    }
    if random.chance(120) {
        let bytes = doubtful(random, style.landed_at);
        let without_zone = Style { time_zone: None, ..style.clone() };
        land(random, world, bytes.clone(), style.landed_at, &without_zone);
        if random.chance(500) {
            land(random, world, bytes, style.landed_at, style);
        }
    }
    if random.chance(100) {
        let uploads = evaluate(&world.journal, &world.configuration).uploads.select(&["upload", "status"]);
        let dead = uploads.iter().filter(|row| row[1] == "dead").filter_map(|row| row[0].parse().ok());
        let dead: Vec<u32> = dead.collect();
        if !dead.is_empty() {
            world.journal.push(Entry::Retry(random.pick(&dead)));
        }
    }
}

/// An upload that is a dead letter, or nearly is one.
fn doubtful(random: &mut Random, landed_at: i64) -> Vec<u8> {
    let header = "meter_id,timestamp,energy_value,energy_unit\n";
    match random.between(0, 5) {
        0 => random.pick(&["", "\n\r\n", "\u{feff}", "\u{feff}\n"]).into(),
        1 => b"meter_id,timestamp,energy_value\nM1,2026-03-02T00:00:00Z,1\n".to_vec(),
        2 => b"meter_id,timestamp,energy_value,energy_unit,METER_ID\n".to_vec(),
        3 => header.into(),
        _ => {
            // 99 to 101 rows of which 19 to 21 fail, or all of them for want of a zone.
            let rows = random.between(99, 101);
            let failing = random.between(19, 21);
            let zone = random.pick(&["Z", ""]);
            let mut text = header.to_owned();
            let start = landed_at.div_euclid(HOUR) * HOUR - 5 * DAY;
            for row in 0..rows {
                let time = crate::instant_text(start + row * HOUR);
                let value = if row < failing { "bad" } else { "0.4" };
                text.push_str(&format!("m1,{}{zone},{value},kW\n", time.trim_end_matches('Z')));
            }
            text.into_bytes()
        }
    }
}

/// An operator decides about one to three rows that wait, or takes a decision back.
fn decide(random: &mut Random, world: &mut World) {
    for _ in 0..random.between(1, 3) {
        let queue = evaluate(&world.journal, &world.configuration).error_queue;
        let queue = queue.select(&["upload", "row_number", "reason"]);
        let decided = decided(&world.journal);
        if !decided.is_empty() && random.chance(300) {
            let (upload, row_number) = random.pick(&decided);
            let action = Action::Undo;
            world.journal.push(Entry::Decide(Decision { upload, row_number, action }));
            continue;
        }
        if queue.is_empty() {
            return;
        }
        let row = random.pick(&queue);
        let (Ok(upload), Ok(row_number)) = (row[0].parse(), row[1].parse()) else { return };
        let milliwatts =
            random.pick(&[0, 5_000, 1_500_000, -3_000_000, 99_000_000, 1_000_000_000_000_000_000]);
        let actions = match row[2].as_str() {
            "value_negative" | "value_above_limit" | "outlier" => {
                vec![Action::Release, Action::Release, Action::Edit(milliwatts), Action::Discard]
            }
            "timestamp_in_future" | "value_invalid" | "unit_unknown" => {
                vec![Action::Edit(milliwatts), Action::Discard]
            }
            _ => vec![Action::Discard],
        };
        let action = random.pick(&actions);
        world.journal.push(Entry::Decide(Decision { upload, row_number, action }));
    }
}

/// The rows with a decision in force.
fn decided(journal: &[Entry]) -> Vec<(u32, u32)> {
    let mut decided = Vec::new();
    for entry in journal {
        if let Entry::Decide(Decision { upload, row_number, action }) = entry {
            decided.retain(|row| *row != (*upload, *row_number));
            if *action != Action::Undo {
                decided.push((*upload, *row_number));
            }
        }
    }
    decided
}

/// The same rows in two journals: all in one upload, and split over some uploads in an order that keeps the
/// winner of every reading. Times carry `Z`, every row decodes, and all land long after.
#[must_use]
pub fn resplit(seed: u64) -> (Vec<Entry>, Vec<Entry>) {
    let mut random = Random::new(seed);
    let drafts = fleet(&mut random, read_instant("2026-03-02T00:00:00Z").unwrap_or(0));
    let landed_at = read_instant("2026-06-01T00:00:00Z").unwrap_or(0);
    let style = Style { clock: Clock::Utc, time_zone: None, landed_at, rate: 0 };
    let header = random.pick(&HEADERS);
    let mut whole = Vec::new();
    let mut bundles = vec![Vec::new(); random.place(6) + 2];
    for draft in drafts {
        // No row of a reading goes to an earlier upload than the row of the same reading before it.
        let mut place = 0;
        for repeat in 0..random.pick(&[1, 1, 1, 1, 2, 3]) {
            let said = if repeat == 0 { draft.said.clone() } else { said_again(&mut random, &draft.said) };
            let line = line(&mut random, &style, header, &Draft { said, ..draft.clone() });
            place += random.place(bundles.len() - place);
            bundles[place].push(line.clone());
            whole.push(line);
        }
    }
    let mut journal_of = |bundles: &[Vec<Vec<u8>>]| {
        let mut world = World { journal: Vec::new(), configuration: Configuration::default() };
        for lines in bundles {
            let bytes = assembled(&mut random, &style, header, lines);
            land(&mut random, &mut world, bytes, landed_at, &style);
        }
        world.journal
    };
    (journal_of(&[whole]), journal_of(&bundles))
}
