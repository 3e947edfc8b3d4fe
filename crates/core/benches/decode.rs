//! How many rows a second one core decodes, and two together:
//! `cargo bench -p greenstream-core --bench decode -- [PART OF A NAME]`.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run says so")]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use greenstream_core::Ts;
use greenstream_core::decode::{Decoder, Feed, Given};

/// Meters of a fleet whose uploads are measured.
const METERS: u32 = 50_000;
/// An hour of quarter-hours.
const SLOTS: u32 = 4;

fn main() {
    let mut by_meter = String::from("meter_id,timestamp,energy_value,energy_unit\n");
    let mut by_time = by_meter.clone();
    let mut local = by_meter.clone();
    for i in 0..METERS * SLOTS {
        default_row(&mut by_meter, i / SLOTS, i % SLOTS, "Z");
        default_row(&mut by_time, i % METERS, i / METERS, "Z");
        default_row(&mut local, i % METERS, i / METERS, "");
    }
    let mut household = String::from(",mac,datetime,kwhh\n");
    let mut year = String::from("meter_id,timestamp,energy_value,energy_unit\n");
    for i in 0..200_000_u32 {
        let (day, slot) = (i / 48, i % 48);
        let (month, day) = (day / 28 % 12 + 1, day % 28 + 1);
        let (hour, minute) = (slot / 2, slot % 2 * 30);
        let date = format!("2013-{month:02}-{day:02}");
        let value = i.wrapping_mul(2_654_435_761) % 3_000;
        let _ = writeln!(household, "{},MAC000584,{date} {hour:02}:{minute:02}:00,0.{value}", 691_354 + i);
        let _ = writeln!(year, "MTR-000123,{date}T{hour:02}:{minute:02}:00,0.{value:03},kW");
    }
    let london: Feed = toml::from_str(Feed::built_in()[0].1).expect("the built-in feed reads");
    let default = Feed::default_feed();
    measure("default, meter by meter", &default, None, &by_meter);
    measure("default, hour by hour", &default, None, &by_time);
    measure("default with CRLF", &default, None, &by_time.replace('\n', "\r\n"));
    measure("default, each field quoted", &default, None, &quoted(&by_time));
    measure("default, one quote in each 100 lines", &default, None, &some_quotes(&by_time));
    measure("London profile, one household", &london, None, &household);
    measure("local zone, hour by hour", &default, Some("Europe/London"), &local);
    measure("local zone, years of one meter", &default, Some("Europe/London"), &year);
}

fn default_row(text: &mut String, meter: u32, slot: u32, offset: &str) {
    let value = (meter * SLOTS + slot).wrapping_mul(2_654_435_761) % 3_000;
    let (whole, part) = (value / 1_000, value % 1_000);
    let _ = writeln!(text, "MTR-{meter:06},2026-03-02T00:{:02}:00{offset},{whole}.{part:03},kW", slot * 15);
}

fn quoted(text: &str) -> String {
    text.lines().map(|line| format!("\"{}\"\n", line.replace(',', "\",\""))).collect()
}

fn some_quotes(text: &str) -> String {
    let line = |(i, line): (usize, &str)| {
        if i % 100 == 50 { format!("{}\n", line.replace("kW", "\"kW\"")) } else { format!("{line}\n") }
    };
    text.lines().enumerate().map(line).collect()
}

/// Prints the best of many runs: what the code can do when nothing else runs.
fn measure(name: &str, feed: &Feed, time_zone: Option<&str>, content: &str) {
    let wanted = std::env::args().nth(1).filter(|argument| !argument.starts_with("--"));
    if wanted.is_some_and(|part| !name.contains(&part)) {
        return;
    }
    let given = Given { time_zone, name: "upload.csv", landed_at: Ts::MAX };
    let decoder = feed.compile(&given).expect("the feed compiles");
    let one = best(|| decode(&decoder, content.as_bytes(), 1));
    let two = best(|| decode(&decoder, content.as_bytes(), 2));
    let rows = decode(&decoder, content.as_bytes(), 1);
    let per_second = |time: Duration| f64::from(u32::try_from(rows).unwrap_or(0)) / time.as_secs_f64() / 1e6;
    println!(
        "{name:<40} {rows:>8} rows  {:>6.1} million rows/s on one core, {:>6.1} on two",
        per_second(one),
        per_second(two)
    );
}

fn decode(decoder: &Decoder, content: &[u8], threads: usize) -> usize {
    let layout = decoder.layout(content).expect("the header fits");
    let chunks = layout.chunks(content, threads);
    let chunks = match chunks.as_slice() {
        [only] => vec![layout.decode_chunk(only)],
        all => std::thread::scope(|scope| {
            let work: Vec<_> = all.iter().map(|chunk| scope.spawn(|| layout.decode_chunk(chunk))).collect();
            work.into_iter().map(|chunk| chunk.join().expect("no panic")).collect()
        }),
    };
    let decoded = layout.join(chunks).expect("the upload decodes");
    assert!(decoded.rejects.is_empty());
    black_box(decoded).row_count()
}

fn best(mut work: impl FnMut() -> usize) -> Duration {
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(1_500) {
        let start = Instant::now();
        black_box(work());
        best = best.min(start.elapsed());
    }
    best
}
