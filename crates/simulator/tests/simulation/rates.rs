//! Every defect occurs, as often as its rate says, and in the shape that the rules look for.

use std::collections::BTreeMap;

use greenstream_simulator::{Kind, Plan, Rates};

use crate::read::{Written, fields, frequent, minute, written};

/// Meters × intervals of the plan below.
const READINGS: f64 = 300.0 * 14.0 * 96.0;

#[test]
fn every_kind_occurs_at_its_rate() {
    let rates = frequent(1.0, 0.002).with(Kind::NearZero, 0.0).with(Kind::ZeroDay, 0.0);
    let rates = rates.with(Kind::RepeatedUpload, 0.3);
    let w = written(&Plan { meters: 300, days: 14, seed: 9, defects: rates, ..Plan::default() });
    let share = |kind| w.count(kind) as f64 / READINGS;
    let within = |kind: Kind, seen: f64, expected: f64, tolerance: f64| {
        assert!((seen / expected - 1.0).abs() < tolerance, "{kind:?}: {seen} instead of {expected}");
    };
    let outliers = rates.get(Kind::Spike) + rates.get(Kind::AboveLimit);
    within(Kind::Spike, share(Kind::Spike) + share(Kind::AboveLimit), outliers, 0.05);
    assert!(share(Kind::Spike) > 0.8 * rates.get(Kind::Spike), "some spikes go above the limit, few");
    within(Kind::Corrected, share(Kind::Corrected), rates.get(Kind::Estimated), 0.1);
    for kind in Kind::all() {
        match kind {
            Kind::Spike | Kind::AboveLimit | Kind::Corrected | Kind::NearZero | Kind::ZeroDay => {}
            Kind::SolarExport | Kind::TruePeak => {}
            Kind::RepeatedUpload => within(kind, w.count(kind) as f64, 336.0 * rates.get(kind), 0.25),
            _ => within(kind, share(kind), rates.get(kind), 0.12),
        }
    }
}

#[test]
fn homes_with_panels_export_and_homes_with_heating_exceed_ten_kilowatts_rarely() {
    let rates = Rates::none().with(Kind::SolarExport, 0.5).with(Kind::TruePeak, 0.5);
    let w = written(&Plan {
        meters: 300,
        days: 2,
        start: "2026-01-12".parse().unwrap(),
        defects: rates,
        ..Plan::default()
    });
    let meters = |kind| {
        let mut meters: Vec<_> = w.of(kind).map(|e| e.meter.as_str()).collect();
        meters.dedup();
        meters.sort_unstable();
        meters.dedup();
        meters.len()
    };
    // A quarter: of the homes without heating, half have panels.
    assert!((45..=105).contains(&meters(Kind::SolarExport)), "{}", meters(Kind::SolarExport));
    assert!((10..=100).contains(&meters(Kind::TruePeak)), "{}", meters(Kind::TruePeak));
    assert!(w.count(Kind::TruePeak) < 300 * 192 / 50, "{}", w.count(Kind::TruePeak));
}

#[test]
fn dead_meters_stay_dead_for_more_than_a_day_or_whole_days() {
    let rates = frequent(1.0, 0.0).with(Kind::NearZero, 0.3).with(Kind::ZeroDay, 0.3);
    let w = written(&Plan { meters: 200, days: 14, seed: 4, defects: rates, ..Plan::default() });
    let near = spells(&w, Kind::NearZero);
    let zero = spells(&w, Kind::ZeroDay);
    assert!(
        (40..=80).contains(&near.len()) && (40..=80).contains(&zero.len()),
        "{} {}",
        near.len(),
        zero.len()
    );
    for (meter, (first, last)) in near {
        assert!(last - first > 1_440, "{meter} is near zero for {} min", last - first);
    }
    let mut confirmed = 0;
    for (meter, (first, last)) in zero {
        let days = last / 1_440 - first / 1_440 + 1;
        assert!((2..=6).contains(&days), "{meter} is at zero for {days} days");
        confirmed += u32::from(days > 3);
    }
    assert!(confirmed > 20, "{confirmed} zero spells are longer than three days");
}

/// Meter to the first and last minute of its entries of this kind.
fn spells(w: &Written, kind: Kind) -> BTreeMap<&str, (i64, i64)> {
    let mut spells = BTreeMap::new();
    for entry in w.of(kind) {
        let at = minute(&entry.ts).unwrap();
        let spell: &mut (i64, i64) = spells.entry(entry.meter.as_str()).or_insert((at, at));
        *spell = (spell.0.min(at), spell.1.max(at));
    }
    spells
}

#[test]
fn gaps_are_short_and_some_are_longer_than_an_hour() {
    for kind in [Kind::Missing, Kind::Absent] {
        let w = written(&Plan {
            meters: 100,
            days: 7,
            defects: Rates::none().with(kind, 0.02),
            ..Plan::default()
        });
        let mut at: Vec<_> = w.of(kind).map(|e| (e.meter.as_str(), minute(&e.ts).unwrap() / 15)).collect();
        at.sort_unstable();
        let runs = at.chunk_by(|a, b| a.0 == b.0 && a.1 + 1 == b.1).map(<[_]>::len);
        let (short, long): (Vec<_>, Vec<_>) = runs.partition(|n| *n <= 3);
        assert!(short.len() > 5 * long.len() && long.len() > 20, "{kind:?}: {} {}", short.len(), long.len());
    }
}

#[test]
fn rule_3_finds_nearly_all_spikes_and_few_ordinary_readings() {
    let w = written(&Plan { meters: 150, days: 5, seed: 2, ..Plan::default() });
    let spike: BTreeMap<_, _> = w.of(Kind::Spike).map(|e| ((e.meter.as_str(), e.ts.as_str()), ())).collect();
    let mut series: BTreeMap<&str, BTreeMap<i64, (f64, bool)>> = BTreeMap::new();
    for line in w.files.values().flatten() {
        let Some([meter, ts, kw, "kW"]) = fields(line) else { continue };
        let Ok(kw @ 0.0..=10.0) = kw.parse::<f64>() else { continue };
        if let (Some(at), "MTR-") = (minute(ts), &meter[..meter.len().min(4)]) {
            series.entry(meter).or_default().insert(at, (kw, spike.contains_key(&(meter, ts))));
        }
    }
    let (mut found, mut others, mut all) = (0, 0, 0);
    for readings in series.values() {
        for (at, (kw, is_spike)) in readings {
            let window: Vec<f64> = readings.range(at - 1_439..=*at).map(|(_, (kw, _))| *kw).collect();
            let n = window.len() as f64;
            let mean = window.iter().sum::<f64>() / n;
            let variance = window.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let caught = window.len() > 10 && (kw - mean).powi(2) > 9.0 * variance;
            (found, others) =
                (found + u32::from(caught && *is_spike), others + u32::from(caught && !is_spike));
            all += 1;
        }
    }
    let spikes = u32::try_from(spike.len()).unwrap();
    assert!(spikes > 1_000 && found * 100 > spikes * 98, "{found} of {spikes}");
    assert!(others * 50 < all, "{others} of {all} ordinary readings");
}

#[test]
fn no_upload_comes_near_to_being_refused() {
    let w = written(&Plan { meters: 500, days: 1, ..Plan::default() });
    let mut broken: BTreeMap<&str, usize> = BTreeMap::new();
    w.truth
        .iter()
        .filter(|e| e.kind.breaks_decoding())
        .for_each(|e| *broken.entry(&e.file).or_default() += 1);
    assert!(broken.len() > 20);
    for (file, count) in broken {
        assert!(count * 50 < w.files[file].len(), "{count} of {} rows in {file}", w.files[file].len());
    }
}

#[test]
fn homes_sleep_at_night_and_differ() {
    let w = written(&Plan { meters: 400, days: 7, defects: Rates::none(), ..Plan::default() });
    let (mut hours, mut meters) = ([0.0; 24], BTreeMap::<String, f64>::new());
    for line in w.files.values().flatten() {
        let [meter, ts, kw, _] = fields(line).unwrap();
        let kw: f64 = kw.parse().unwrap();
        hours[ts[11..13].parse::<usize>().unwrap()] += kw / (400.0 * 28.0);
        *meters.entry(meter.to_owned()).or_default() += kw / (96.0 * 7.0);
    }
    assert!(hours[19] > 2.0 * hours[3], "{hours:?}");
    let mut means: Vec<f64> = meters.into_values().collect();
    means.sort_unstable_by(f64::total_cmp);
    let mean = means.iter().sum::<f64>() / 400.0;
    assert!((0.3..0.6).contains(&mean), "a fleet of {mean} kW a home");
    assert!(means[360] > 2.0 * means[100] && means[4] < 0.1, "homes of {:?} kW", &means[..5]);
}
