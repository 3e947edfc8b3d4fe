//! What a feed says, split over uploads in any way, and what it comes to, in one file of the default feed:
//! the readings are the same. Of cumulative registers that is the differences of the last words on each
//! instant; of rows with revisions the greatest of each instant.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use greenstream::config::Config;
use greenstream::dataset::{Dataset, rows};
use greenstream::home::Home;
use greenstream::landing::{Incoming, Landing, Source};
use greenstream::process::{ProcessError, Service};
use greenstream::store::{Filter, Store};
use greenstream_core::{Power, Ts};
use proptest::prelude::*;

const QUARTER: i64 = 900_000_000;
/// 2 March 2026.
const START: i64 = 1_772_409_600_000_000;

const PROFILES: [(&str, &str); 2] = [
    (
        "registers",
        "name='registers'\nunit='Wh'\ninterval='15min'\nregisters=true\n[columns]\n\
         meter='m'\ntimestamp='t'\nvalue='v'\n",
    ),
    (
        "revisions",
        "name='revisions'\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'\nrevision='r'\n",
    ),
];

/// Energy in watt-hours by meter and quarter of an hour, as one row says it.
type Said = (usize, usize, Option<i64>);

fn config(home: &Home, remembers: bool) -> Config {
    let feeds = home.folder().join("feeds");
    std::fs::create_dir_all(&feeds).unwrap();
    for (name, profile) in PROFILES {
        std::fs::write(feeds.join(format!("{name}.toml")), profile).unwrap();
    }
    let mut config = Config::read(&home.folder().join("greenstream.toml")).unwrap();
    if !remembers {
        config.file.sizes.window_readings = 50;
        config.file.sizes.commit_rows = 1;
    }
    config
}

/// The datasets of a home that was given these uploads: (meter, ts, kw) of readings and queue.
fn readings(feed: &str, uploads: &[String], one_by_one: bool) -> Vec<[String; 4]> {
    let folder = tempfile::tempdir().unwrap();
    let mut home = Home::open(folder.path(), "registers").unwrap();
    let config = config(&home, !one_by_one);
    home = Service::open(home, config.clone()).unwrap().close();
    for (part, uploads) in uploads.chunks(if one_by_one { 1 } else { uploads.len() }).enumerate() {
        let mut landing = Landing::open(&home.landing()).unwrap();
        for (number, upload) in uploads.iter().enumerate() {
            let incoming = Incoming {
                source: Source::Bytes(upload.clone().into_bytes()),
                name: format!("{part}-{number}.csv"),
                feed: feed.to_owned(),
                time_zone: None,
                meter: None,
                landed_at: Ts::from_micros(START + 100 * QUARTER),
            };
            landing.land(vec![incoming]).unwrap();
        }
        drop(landing);
        let mut service = Service::open(home, config.clone()).unwrap();
        service.catch_up().unwrap();
        home = service.close();
    }
    let all = exported(&home);
    let (rebuilt, home) = Service::rebuild(home, &config, true).unwrap();
    assert!(rebuilt.differences.iter().all(|difference| difference.differing == 0), "{rebuilt:?}");
    drop(home);
    all
}

fn exported(home: &Home) -> Vec<[String; 4]> {
    let reader = Store::reader(home.database()).unwrap();
    let mut all = Vec::new();
    for dataset in [Dataset::Readings, Dataset::ErrorQueue] {
        let names: Vec<&str> = dataset.columns().iter().map(|(name, _)| *name).collect();
        rows::<ProcessError>(&reader, dataset, &Filter::default(), &mut |cells| {
            let cell = |wanted: &str| {
                let at = names.iter().position(|name| *name == wanted);
                at.map_or(String::new(), |at| cells[at].text())
            };
            // how a value came to be told differs: as energy or as power, once or more than once
            let flags = cell("flags");
            let kept = flags.split('|').filter(|flag| !["energy_to_power", "duplicate"].contains(flag));
            let kind = format!("{} {}", cell("reason"), kept.collect::<Vec<_>>().join("|"));
            all.push([cell("meter_id"), cell("ts"), cell("kw"), kind]);
            Ok(())
        })
        .unwrap();
    }
    all.sort();
    all
}

fn instant(quarter: usize) -> Ts {
    Ts::from_micros(START + i64::try_from(quarter).unwrap() * QUARTER)
}

fn upload(rows: &[Said]) -> String {
    let mut text = "m,t,v\n".to_owned();
    for (meter, quarter, energy) in rows {
        let energy = energy.map_or(String::new(), |energy| energy.to_string());
        writeln!(text, "M{meter},{},{energy}", instant(*quarter)).unwrap();
    }
    text
}

/// The same as power, one row for each instant that was told: by the last word of the last upload.
fn as_power(uploads: &[Vec<Said>]) -> String {
    let mut words: BTreeMap<(usize, usize), Option<i64>> = BTreeMap::new();
    for (meter, quarter, energy) in uploads.iter().flatten() {
        let word = words.entry((*meter, *quarter)).or_default();
        *word = energy.or(*word);
    }
    let mut text = "meter_id,timestamp,energy_value,energy_unit\n".to_owned();
    for ((meter, quarter), from) in &words {
        let to = words.get(&(*meter, quarter + 1)).copied().flatten();
        let difference = from.zip(to).map(|(from, to)| to - from).filter(|difference| *difference >= 0);
        // watt-hours in a quarter of an hour
        let kw = difference.map_or(String::new(), |wh| Power::from_milliwatts(wh * 4_000).to_string());
        writeln!(text, "M{meter},{},{kw},kW", instant(*quarter)).unwrap();
    }
    text
}

fn said() -> impl Strategy<Value = Said> {
    // mostly a register that rises by about 100 Wh a quarter; sometimes too much, or reset, or not told
    (0..2_usize, 0..14_usize, prop_oneof![8 => 0..30_i64, 1 => 2_000..4_000_i64, 1 => Just(-2_000)], 0..9_u8)
        .prop_map(|(meter, quarter, more, missing)| {
            let energy = 1_000 + i64::try_from(quarter).unwrap() * 100 + more;
            (meter, quarter, (missing > 0).then_some(energy))
        })
}

/// A row of a reading: the quarter of an hour, its value, its revision.
type Version = (usize, Option<u32>, u32);

fn versions(rows: &[Version]) -> String {
    let mut text = "m,t,v,r\n".to_owned();
    for (quarter, kw, revision) in rows {
        let kw = kw.map_or(String::new(), |kw| kw.to_string());
        writeln!(text, "M,{},{kw},{revision}", instant(*quarter)).unwrap();
    }
    text
}

/// The greatest of each reading: with a value, by revision, by upload and row.
fn greatest(uploads: &[Vec<Version>]) -> String {
    let mut best: BTreeMap<usize, (bool, u32, usize, Option<u32>)> = BTreeMap::new();
    for (place, (quarter, kw, revision)) in uploads.iter().flatten().enumerate() {
        let version = (kw.is_some(), *revision, place, *kw);
        let held = best.entry(*quarter).or_insert(version);
        *held = (*held).max(version);
    }
    let mut text = "meter_id,timestamp,energy_value,energy_unit\n".to_owned();
    for (quarter, (_, _, _, kw)) in best {
        let kw = kw.map_or(String::new(), |kw| kw.to_string());
        writeln!(text, "M,{},{kw},kW", instant(quarter)).unwrap();
    }
    text
}

/// Each row's value and revision, of the uploads in their order.
fn uploads_of<T: Clone + std::fmt::Debug>(
    row: impl Strategy<Value = T>,
    rows: usize,
) -> impl Strategy<Value = Vec<Vec<T>>> {
    prop::collection::vec(prop::collection::vec(row, 1..rows), 1..6)
}

/// The same bytes are the same upload.
fn all_differ(texts: &[String]) -> bool {
    let mut distinct: Vec<&String> = texts.iter().collect();
    distinct.sort();
    distinct.dedup();
    distinct.len() == texts.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn of_rows_with_revisions_the_greatest_wins_however_they_are_split(
        uploads in uploads_of((0..4_usize, prop::option::weighted(0.8, 1..9_u32), 0..3_u32), 8),
    ) {
        let texts: Vec<String> = uploads.iter().map(|rows| versions(rows)).collect();
        prop_assume!(all_differ(&texts));
        let expected = readings("default", &[greatest(&uploads)], false);
        for one_by_one in [false, true] {
            prop_assert_eq!(readings("revisions", &texts, one_by_one), expected.clone());
        }
    }

    #[test]
    fn registers_give_the_same_readings_however_they_are_split(
        uploads in uploads_of(said(), 16),
    ) {
        let texts: Vec<String> = uploads.iter().map(|rows| upload(rows)).collect();
        prop_assume!(all_differ(&texts));
        let expected = readings("default", &[as_power(&uploads)], false);
        for one_by_one in [false, true] {
            prop_assert_eq!(readings("registers", &texts, one_by_one), expected.clone());
        }
    }
}
