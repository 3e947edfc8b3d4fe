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
    for (name, _) in Feed::built_in() {
        shipped(name);
    }
    measure_form("nem12", &nem12());
    measure_form("green_button", &green_button());
    measure_form("cmep", &cmep());
}

/// A year of half-hours of ten NMIs.
fn nem12() -> String {
    let mut text = String::from("100,NEM12,202401010000,MDP,RETAILER\n");
    for nmi in 0..10 {
        let _ = writeln!(text, "200,600123456{nmi},E1,1,E1,N1,SERIAL,kWh,30,");
        for day in 0..336_u32 {
            let _ = write!(text, "300,2023{:02}{:02}", day / 28 + 1, day % 28 + 1);
            for slot in 0..48_u32 {
                let _ = write!(text, ",0.{:03}", (day * 48 + slot).wrapping_mul(2_654_435_761) % 1_000);
            }
            let variable = day % 10 == 0;
            let quality = if variable { "V" } else { "A" };
            let _ = writeln!(text, ",{quality},,,20240101000000,");
            if variable {
                text.push_str("400,1,20,F14,76,\n400,21,48,A,,\n");
            }
        }
    }
    text.push_str("900\n");
    text
}

/// Years of hours of one usage point, indented as data custodians write it.
fn green_button() -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n <entry>\n  <link rel=\"self\" \
         href=\"ReadingType/1\"/>\n  <content><ReadingType xmlns=\"http://naesb.org/espi\"><uom>72</uom>\
         </ReadingType></content>\n </entry>\n",
    );
    for day in 0..4_000_u32 {
        let own = format!("User/1/UsagePoint/1/MeterReading/1/IntervalBlock/{day}");
        let _ = write!(text, " <entry>\n  <link rel=\"self\" href=\"{own}\"/>\n  <content>\n");
        text.push_str("   <IntervalBlock xmlns=\"http://naesb.org/espi\">\n");
        for hour in 0..24 {
            let start = 1_262_304_000 + (day * 24 + hour) * 3_600;
            let value = start.wrapping_mul(2_654_435_761) % 3_000;
            let _ = write!(
                text,
                "    <IntervalReading>\n     <timePeriod>\n      <duration>3600</duration>\n      \
                 <start>{start}</start>\n     </timePeriod>\n     <value>{value}</value>\n    </IntervalReading>\n"
            );
        }
        text.push_str("   </IntervalBlock>\n  </content>\n </entry>\n");
    }
    text.push_str("</feed>\n");
    text
}

/// Days of quarter-hours.
fn cmep() -> String {
    let mut text = String::new();
    for record in 0..3_000_u32 {
        let (meter, day) = (record / 28, record % 28 + 1);
        let _ = write!(
            text,
            "MEPMD01,19970819,UTILITY,,RETAILER,,202402010000,METER{meter},OK,E,KWH,1,00000015,96"
        );
        for slot in 1..=96_u32 {
            let (hour, minute) = (slot / 4, slot % 4 * 15);
            let value = (record * 96 + slot).wrapping_mul(2_654_435_761) % 1_000;
            let _ = write!(text, ",202401{day:02}{hour:02}{minute:02},R,0.{value:03}");
        }
        text.push('\n');
    }
    text
}

/// The same for a format of its own, which is read as a stream, in pieces as files are.
fn measure_form(name: &str, content: &str) {
    let wanted = std::env::args().nth(1).filter(|argument| !argument.starts_with("--"));
    if wanted.is_some_and(|part| !format!("profile {name}").contains(&part)) {
        return;
    }
    let (_, profile) =
        Feed::built_in().into_iter().find(|(known, _)| *known == name).expect("the profile ships");
    let feed: Feed = toml::from_str(profile).expect("the built-in feed reads");
    let given = Given { time_zone: Some("UTC"), name: "upload", landed_at: Ts::MAX };
    let decoder = feed.compile(&given).expect("the feed compiles");
    let work = || {
        let mut stream = decoder.stream();
        for piece in content.as_bytes().chunks(256 << 10) {
            stream.push(piece).expect("the upload decodes");
        }
        let decoded = stream.finish().expect("the upload decodes");
        assert!(decoded.rejects.is_empty());
        black_box(decoded).row_count()
    };
    let (rows, time) = (work(), best(work).as_secs_f64());
    let million = |count: usize| f64::from(u32::try_from(count).unwrap_or(0)) / time / 1e6;
    println!(
        "{:<40} {rows:>8} rows  {:>6.1} million rows/s on one core, {:>6.1} MB/s",
        format!("profile {name}"),
        million(rows),
        million(content.len())
    );
}

/// The header of a supplier's files; none for profiles that are measured elsewhere.
fn header_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "sgsc" => "customer_id,reading_datetime,general_supply_kwh",
        "ausgrid" => ",GC,GG",
        "dsmr_reader" => {
            "Hour Start,Electricity 1 (Dutch Users: Low Tariff),Electricity 2 (Dutch Users: Normal Tariff),\
             Electricity 1 Returned (Dutch Users: Low Tariff),Electricity 2 Returned (Dutch Users: Normal Tariff),Gas"
        }
        "eemeter" => "start,value",
        "energie_manager" => "name;ean;code;moment;moment-date;value;factor;type",
        "engie" => "\"Datum\",\"EAN\",\"Verbruik\",\"Type\",\"Piek\"",
        "enphase" => {
            "Date/Time,Energy Produced (Wh),Energy Consumed (Wh),Exported to Grid (Wh),Imported from Grid (Wh)"
        }
        "esb_networks_kwh" => "MPRN,Meter Serial Number,Read Value,Read Type,Read Date and End Time",
        "fluvius" => {
            "Van datum;Van tijdstip;Tot datum;Tot tijdstip;EAN;Meter;Metertype;Register;Volume;Eenheid;\
             Validatiestatus"
        }
        "homewizard" => "time,Import T1 kWh,Import T2 kWh,Export T1 kWh,Export T2 kWh",
        "myenergi_zappi" => {
            "Serial Number,Timestamp,Diverter Energy (L1) (Wh),Diverter Energy (L2) (Wh),Diverter Energy (L3) (Wh)"
        }
        "pge" => "TYPE,DATE,START TIME,END TIME,USAGE (kWh),COST,NOTES",
        "sce" => "Energy Usage Information",
        "shelly_em" => "Date/time UTC,Active energy Wh (A),Returned energy Wh (A)",
        "smart_meter_texas" => {
            "ESIID,USAGE_DATE,REVISION_DATE,USAGE_START_TIME,USAGE_END_TIME,USAGE_KWH,ESTIMATED_ACTUAL,\
             CONSUMPTION_SURPLUSGENERATION"
        }
        "swiss_slots" => "vid,week,slot,kwh_15min",
        "uci_household" => "Date;Time;Global_active_power;Global_reactive_power;Voltage",
        _ => return None,
    })
}

/// Line `i` of such a file: hours of a year, over and over.
fn line_of(name: &str, i: u32) -> String {
    let (month, day) = (i / 672 % 12 + 1, i / 24 % 28 + 1);
    let (hour, value) = (i % 24, i.wrapping_mul(2_654_435_761) % 1_000);
    // no hour that the clocks of these zones skip
    let hour = if (1..4).contains(&hour) { hour + 3 } else { hour };
    let iso = |year: u32| format!("{year}-{month:02}-{day:02}");
    match name {
        "sgsc" => format!("8149{:03},{} {hour:02}:00:00,0.{value:03}", i % 9, iso(2013)),
        "ausgrid" => format!("{} {hour:02}:30:00,0.{value:03},0.{value:03}", iso(2011)),
        "dsmr_reader" => format!("{}T{hour:02}:00:00+01:00,0.{value:03},0.1,0,0.25,0.032", iso(2024)),
        "eemeter" => format!("{} {hour:02}:30:00,0.{value:03}", iso(2013)),
        "energie_manager" => {
            let at = 1_367_186_400 + 3_600 * i;
            format!("Street;871717700000000001;7a;{at};{} {hour:02}:00:00;{i}.{value:03};1;0", iso(2013))
        }
        "engie" => {
            let date = iso(2021);
            format!(
                "\"{date}T{hour:02}:00:00+01:00\",\"8716871\",\"0.{value:03}\",\"Elektriciteit\",\"false\""
            )
        }
        "enphase" => format!("{month:02}/{day:02}/2023 {hour:02}:00,{value},{value},0,{value}"),
        "esb_networks_kwh" => format!(
            "10009999999,0000000000001,0.{value:03},Active Import Interval (kWh),{day:02}-{month:02}-2025 {hour:02}:30"
        ),
        "fluvius" => format!(
            "{day:02}-{month:02}-2021;{hour:02}:15:00;{day:02}-{month:02}-2021;{hour:02}:30:00;\
             =\"54144800000000{:04}\";1SAG;Digitale Meter;Afname Nacht;0,{value:03};kWh;Gevalideerd",
            i % 50
        ),
        "homewizard" => format!("{} {hour:02}:15,{i}.{value:03},4650.277,3095.077,7450.128", iso(2022)),
        "myenergi_zappi" => format!("Z{:02},{}T{hour:02}:00:00.000Z,{value}.50,0.25,0.25", i % 9, iso(2025)),
        "pge" => format!("Electric usage,{},{hour:02}:00,{hour:02}:14,0.{value:03},$0.10,", iso(2025)),
        "sce" => {
            let date = iso(2025);
            format!("\"{date} {hour:02}:00:00 to {date} {:02}:00:00\",\"0.{value:03}\",\"\"", hour + 1)
        }
        "shelly_em" => format!("{} {hour:02}:10,{value}.70,0.00", iso(2025)),
        "smart_meter_texas" => format!(
            "'10443720000000001,{month:02}/{day:02}/2025,,{hour:02}:15,{hour:02}:30,.{value:03},A,Consumption"
        ),
        "swiss_slots" => format!("{},w47,{},0.{value:03}", 7_855_756 + i / 672, i % 672 + 1),
        _ => format!("{day}/{month}/2006;{hour:02}:24:00;4.{value:03};0.418;234.840"),
    }
}

/// Measures a shipped profile on a file of its supplier's form.
fn shipped(name: &str) {
    let Some(header) = header_of(name) else { return };
    let lines = (0..200_000).map(|i| line_of(name, i));
    let text =
        std::iter::once(header.to_owned()).chain(lines).fold(String::new(), |text, line| text + &line + "\n");
    let (_, profile) =
        Feed::built_in().into_iter().find(|(known, _)| *known == name).expect("the profile ships");
    let feed: Feed = toml::from_str(profile).expect("the built-in feed reads");
    let zone = matches!(name, "enphase" | "homewizard").then_some("Europe/Amsterdam");
    measure(&format!("profile {name}"), &feed, zone, &text);
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
    let name_of = match feed.name.as_str() {
        "uci_household" => "upload.txt",
        "sce" => "SCE_Usage_1.csv",
        _ => "upload.csv",
    };
    let given = Given { time_zone, name: name_of, landed_at: Ts::MAX };
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
    let mut decoded = layout.join(chunks).expect("the upload decodes");
    assert!(decoded.rejects.is_empty());
    if let Some(interval) = decoded.registers {
        decoded.difference(interval, &mut |_, _| None);
    }
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
