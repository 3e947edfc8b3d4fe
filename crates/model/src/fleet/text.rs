//! Rows to text, in all the ways in which meters write, also the wrong ones.

use super::random::Random;
use super::series::{Draft, Said};
use crate::number::kw_text;
use crate::time::{HOUR, MINUTE, SECOND, instant_text, zone};

/// How an upload is written.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// How most of its times are written.
    pub(crate) clock: Clock,
    /// The zone of its feed.
    pub(crate) time_zone: Option<String>,
    /// When it lands.
    pub(crate) landed_at: i64,
    /// How many rows in a thousand have each kind of defect.
    pub(crate) rate: i64,
}

/// How a time is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    /// With `Z`.
    Utc,
    /// With this offset, in minutes.
    Offset(i64),
    /// In seconds or milliseconds since the Unix epoch.
    Epoch,
    /// As the wall shows it, without an offset.
    Wall,
}

/// The columns of an upload in their order; other names are columns to ignore.
pub(crate) const HEADERS: [&str; 5] = [
    "meter_id,timestamp,energy_value,energy_unit",
    "timestamp,energy_unit,energy_value,meter_id",
    "Meter_ID, TIMESTAMP ,note,\"Energy_Value\",energy_unit",
    "meter_id,timestamp,energy_value,energy_unit",
    "energy_value,meter_id,timestamp,energy_unit,note",
];

/// The content of an upload with these rows in this order.
pub(crate) fn content(random: &mut Random, style: &Style, drafts: &[Draft]) -> Vec<u8> {
    let header = random.pick(&HEADERS);
    let lines: Vec<Vec<u8>> = drafts.iter().map(|draft| line(random, style, header, draft)).collect();
    assembled(random, style, header, &lines)
}

/// A header and lines, with or without a byte-order mark, empty lines and a last line end.
pub(crate) fn assembled(random: &mut Random, style: &Style, header: &str, lines: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if random.chance(200) {
        bytes.extend(b"\xef\xbb\xbf");
    }
    let ends: &[&[u8]] = random.pick(&[&[b"\n" as &[u8]] as &[&[u8]], &[b"\r\n"], &[b"\n", b"\r\n"]]);
    bytes.extend(header.as_bytes());
    bytes.extend(random.pick(ends));
    for line in lines {
        if random.chance(style.rate) {
            bytes.extend(random.pick(ends));
        }
        bytes.extend(line);
        bytes.extend(random.pick(ends));
    }
    if random.chance(300) {
        while bytes.last().is_some_and(|byte| *byte == b'\n' || *byte == b'\r') {
            bytes.pop();
        }
    }
    bytes
}

/// One line without its end.
pub(crate) fn line(random: &mut Random, style: &Style, header: &str, draft: &Draft) -> Vec<u8> {
    let (value, unit) = value_and_unit(random, style, &draft.said);
    let time = time(random, style, draft.ts);
    let mut meter = draft.meter.clone();
    if random.chance(style.rate / 4) {
        meter = random.pick(&["", "M\u{200b}1", "M\u{7}", "M\u{2028}"]).to_owned();
        meter.extend(random.chance(300).then(|| "y".repeat(65)));
    }
    let mut fields = Vec::new();
    for column in header.split(',') {
        fields.push(match column.trim_matches([' ', '"']).to_ascii_lowercase().as_str() {
            "meter_id" => field(random, &meter),
            "timestamp" => field(random, &time),
            "energy_value" => field(random, &value),
            "energy_unit" => field(random, unit),
            _ => "\"a, note\"".to_owned(),
        });
    }
    if random.chance(style.rate / 2) { spoilt(random, fields) } else { fields.join(",").into_bytes() }
}

/// A field: as it is, with blanks around it, or quoted, which it is always where it must be.
fn field(random: &mut Random, text: &str) -> String {
    if text.contains([',', '"']) || random.chance(60) {
        let blank = random.pick(&["", "", " ", "\t"]);
        return format!("{blank}\"{}\"{blank}", text.replace('"', "\"\""));
    }
    if random.chance(60) { format!(" {text}\t") } else { text.to_owned() }
}

/// A line that cannot be read.
fn spoilt(random: &mut Random, mut fields: Vec<String>) -> Vec<u8> {
    match random.between(0, 6) {
        0 => drop(fields.pop()),
        1 => fields.push("more".to_owned()),
        2 => fields.insert(0, "\"open".to_owned()),
        3 => fields[1].push('\0'),
        4 => fields[1].push('\r'),
        5 => fields[2] = "\"1\"2".to_owned(),
        _ => return [fields.join(",").as_bytes(), b"\xc3"].concat(),
    }
    fields.join(",").into_bytes()
}

/// The texts of a value and its unit.
fn value_and_unit(random: &mut Random, style: &Style, said: &Said) -> (String, &'static str) {
    if random.chance(style.rate / 2) {
        let text =
            random.pick(&["abc", "1,5", "--", "1e", "0x1F", "1e400", "1000000000000.0000001", "١", "inf"]);
        return (text.to_owned(), random.pick(&["kW", "W"]));
    }
    let Said::Milliwatts(milliwatts) = said else {
        let text = random.pick(&["", "", "NULL", "nan", "N/A", "na", "-", "?"]);
        return (text.to_owned(), random.pick(&["kW", "W", "", "banana"]));
    };
    let text = kw_text(*milliwatts);
    if random.chance(style.rate / 2) {
        return (text, random.pick(&["", "BTU", "kWh", "MW", "kVA"]));
    }
    let watts =
        || format!("{}{}", if *milliwatts < 0 { "-" } else { "" }, watts_text(milliwatts.unsigned_abs()));
    match random.between(0, 19) {
        0..4 => (watts(), random.pick(&["W", "w"])),
        4 => (format!("{milliwatts}e-6"), random.pick(&["kW", "KW"])),
        5 => (format!("{milliwatts}.{}E-6", random.pick(&["4999", "0", "00000000001"])), "kw"),
        6 if *milliwatts >= 0 => (format!("+{text}"), "kW"),
        _ => (text, "kW"),
    }
}

fn watts_text(milliwatts: u64) -> String {
    format!("{}.{:03}", milliwatts / 1000, milliwatts % 1000)
}

/// The text of a time.
fn time(random: &mut Random, style: &Style, ts: i64) -> String {
    if random.chance(style.rate / 3) {
        let bad = ["", "yesterday", "2026-02-30T00:00:00Z", "2026-03-02T24:00:00Z", "12345", "2026-03-02"];
        return random.pick(&bad).to_owned();
    }
    if random.chance(style.rate / 4) {
        let future = style.landed_at + 15 * MINUTE + random.pick(&[0, 1, SECOND, 3600 * SECOND]);
        return instant_text(future);
    }
    let strange = [Clock::Utc, Clock::Epoch, Clock::Offset(0), Clock::Offset(-330), Clock::Wall];
    let clock = if random.chance(style.rate) { random.pick(&strange) } else { style.clock };
    match clock {
        Clock::Utc => instant_text(ts),
        Clock::Epoch if ts % SECOND == 0 && random.chance(500) => (ts / SECOND).to_string(),
        Clock::Epoch if ts % 1000 == 0 => (ts / 1000).to_string(),
        Clock::Epoch => instant_text(ts),
        Clock::Offset(minutes) => {
            let (hour, minute) = (minutes.abs() / 60, minutes.abs() % 60);
            let sign = if minutes < 0 || (minutes == 0 && random.chance(500)) { '-' } else { '+' };
            let colon = random.pick(&["", ":"]);
            format!("{}{sign}{hour:02}{colon}{minute:02}", wall_text(random, ts + minutes * MINUTE))
        }
        Clock::Wall => {
            // Some clocks are set hours after the change: in spring they show times that do not exist.
            let set_late = if random.chance(3 * style.rate) { random.pick(&[HOUR, 3 * HOUR]) } else { 0 };
            wall_text(random, ts + offset(style, ts - set_late))
        }
    }
}

/// How far the clocks of the feed's zone are ahead of UTC at `ts`.
fn offset(style: &Style, ts: i64) -> i64 {
    let zone = style.time_zone.as_deref().and_then(zone);
    let at = jiff::Timestamp::from_microsecond(ts).unwrap_or_default();
    zone.map_or(0, |zone| i64::from(zone.to_offset(at).seconds()) * SECOND)
}

/// A time on the wall, sometimes with a blank and without its seconds.
fn wall_text(random: &mut Random, ts: i64) -> String {
    let text = instant_text(ts).trim_end_matches('Z').to_owned();
    match random.between(0, 5) {
        0 => text.replace('T', " "),
        1 if ts % MINUTE == 0 => text.trim_end_matches(":00").to_owned(),
        _ => text,
    }
}
