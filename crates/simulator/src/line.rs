//! One reading as a line of the default feed, plain or with a defect in its text.

use crate::kind::Kind;
use crate::random::Dice;
use crate::slots::{Slot, stamp};

/// The first line of every file.
pub(crate) const HEADER: &[u8] = b"meter_id,timestamp,energy_value,energy_unit\n";

/// How a missing value is spelled, as often as it stands here.
const MISSING: [&str; 14] =
    ["", "", "", "", "NULL", "NULL", "NaN", "NaN", "null", "nan", "NA", "N/A", "-", "?"];
const UNKNOWN_UNITS: [&str; 7] = ["kVA", "kWh", "MW", "BTU", "", "kW/h", "%"];
/// Offsets from UTC in minutes.
const OFFSETS: [i64; 8] = [60, 60, 60, 60, 120, 120, -300, 330];
/// Minutes in 365 days.
const YEAR: i64 = 365 * 1_440;

/// Writes a line with nothing unusual in its text.
pub(crate) fn plain(out: &mut Vec<u8>, id: &[u8], slot: &Slot, value: i32) {
    out.extend_from_slice(id);
    out.extend_from_slice(&slot.field);
    kilowatts(out, value);
    out.extend_from_slice(b",kW\n");
}

/// Writes a line whose text has the defect; like [`plain`] where the defect is not in the text.
pub(crate) fn defective(out: &mut Vec<u8>, id: &[u8], slot: &Slot, value: i32, kind: Kind, mut dice: Dice) {
    let dice = &mut dice;
    if kind == Kind::Malformed {
        let mut line = Vec::new();
        plain(&mut line, id, slot, value);
        return malformed(out, &line[..line.len() - 1], dice);
    }
    let mut fields: [Vec<u8>; 4] = [id.to_vec(), slot.field[1..21].to_vec(), Vec::new(), b"kW".to_vec()];
    kilowatts(&mut fields[2], value);
    let [meter, time, power, unit] = &mut fields;
    match kind {
        Kind::Missing => {
            *power = bytes(dice.pick(&MISSING));
            if dice.below(4) == 0 {
                unit.clear();
            }
        }
        Kind::UnitWatts => {
            power.clear();
            watts(power, value);
            *unit = bytes(dice.pick(&["W", "W", "W", "w"]));
        }
        Kind::UnitCase => *unit = bytes(dice.pick(&["KW", "kw", "Kw"])),
        Kind::LocalOffset => *time = local(slot.minute, dice).into_bytes(),
        Kind::TimestampForm => *time = other_form(slot.minute, dice).into_bytes(),
        Kind::Quoted => quote(&mut fields, dice),
        Kind::Blanks => pad(&mut fields, dice),
        Kind::BadMeterId => *meter = bad_meter(meter, dice),
        Kind::BadTimestamp => *time = bad_time(slot.minute, dice).into_bytes(),
        Kind::NoZone => time.truncate(19),
        Kind::BadValue => *power = bad_value(power, dice),
        Kind::UnknownUnit => *unit = bytes(dice.pick(&UNKNOWN_UNITS)),
        Kind::Future => {
            let years = i64::from(dice.range(25, 60));
            *time = stamp(slot.minute + years * YEAR).into_bytes();
        }
        _ => {}
    }
    out.extend_from_slice(&fields.join(&b','));
    out.push(b'\n');
}

/// Writes tenths of a watt as kilowatts: `0.4123`.
pub(crate) fn kilowatts(out: &mut Vec<u8>, value: i32) {
    decimal(out, value, 10_000, 4);
}

/// Writes tenths of a watt as watts: `412.3`.
fn watts(out: &mut Vec<u8>, value: i32) {
    decimal(out, value, 10, 1);
}

/// Writes `value / unit`; `unit` is 10 to the power of `places`.
fn decimal(out: &mut Vec<u8>, value: i32, unit: u32, places: usize) {
    if value < 0 {
        out.push(b'-');
    }
    let size = value.unsigned_abs();
    whole(out, u64::from(size / unit));
    let mut digits = [b'.'; 5];
    let mut rest = size % unit;
    for digit in digits[1..=places].iter_mut().rev() {
        *digit = DIGITS[(rest % 10) as usize];
        rest /= 10;
    }
    out.extend_from_slice(&digits[..=places]);
}

const DIGITS: [u8; 10] = *b"0123456789";

/// Writes a whole number.
pub(crate) fn whole(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0; 20];
    let mut from = digits.len();
    loop {
        from -= 1;
        digits[from] = DIGITS[usize::try_from(n % 10).unwrap_or(0)];
        n /= 10;
        if n == 0 {
            return out.extend_from_slice(&digits[from..]);
        }
    }
}

fn bytes(text: Option<&str>) -> Vec<u8> {
    text.unwrap_or_default().as_bytes().to_vec()
}

/// The same instant at another offset: `2026-03-02T01:15:00+01:00`, `+0100` or `+01`.
fn local(minute: i64, dice: &mut Dice) -> String {
    let offset = dice.pick(&OFFSETS).unwrap_or(60);
    let mut text = stamp(minute + offset);
    text.pop();
    let (sign, hours, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60, offset.abs() % 60);
    match dice.below(4) {
        0 => text + &format!("{sign}{hours:02}{minutes:02}"),
        1 if minutes == 0 => text + &format!("{sign}{hours:02}"),
        _ => text + &format!("{sign}{hours:02}:{minutes:02}"),
    }
}

/// The same instant in another form that the feed allows.
fn other_form(minute: i64, dice: &mut Dice) -> String {
    let text = stamp(minute);
    match dice.below(6) {
        0 => format!("{}", minute * 60),
        1 => format!("{}000", minute * 60),
        2 => text.replace('T', " "),
        3 => text.replace(":00Z", "Z"),
        4 => text.replace('Z', ".000Z"),
        _ => text.replace('Z', "+00:00"),
    }
}

fn quote(fields: &mut [Vec<u8>; 4], dice: &mut Dice) {
    let all = dice.below(2) == 0;
    let one = dice.below(4) as usize;
    for (place, field) in fields.iter_mut().enumerate() {
        if all || place == one {
            *field = [b"\"", field.as_slice(), b"\""].concat();
        }
    }
}

fn pad(fields: &mut [Vec<u8>; 4], dice: &mut Dice) {
    let must = dice.below(4) as usize;
    for (place, field) in fields.iter_mut().enumerate() {
        let (before, after) = (dice.pick(&["", " ", "  ", "\t"]), dice.pick(&["", " ", "   "]));
        let after = if place == must { Some(" ") } else { after };
        *field = [&bytes(before), field.as_slice(), &bytes(after)].concat();
    }
}

/// A line that is no record of four fields.
fn malformed(out: &mut Vec<u8>, line: &[u8], dice: &mut Dice) {
    let cut = line.iter().rposition(|b| *b == b',').unwrap_or(0);
    let head = &line[..cut];
    match dice.below(8) {
        0 | 1 => out.extend_from_slice(head),
        2 => out.extend_from_slice(&[line, b",ok"].concat()),
        3 => out.extend_from_slice(&[b"\"", line].concat()),
        4 => out.extend_from_slice(&[line, line].concat()),
        5 => out.extend_from_slice(&[head, b"\r", &line[cut..]].concat()),
        6 => out.extend_from_slice(&[head, b"\0", &line[cut..]].concat()),
        _ => out.extend_from_slice(&[head, b"\xFF", &line[cut..]].concat()),
    }
    out.push(b'\n');
}

fn bad_meter(meter: &[u8], dice: &mut Dice) -> Vec<u8> {
    match dice.below(4) {
        0 => Vec::new(),
        1 => [&b"X".repeat(65), meter].concat(),
        2 => [meter, b"\x07"].concat(),
        _ => [meter, "\u{200b}1".as_bytes()].concat(),
    }
}

fn bad_time(minute: i64, dice: &mut Dice) -> String {
    let text = stamp(minute);
    let (year, clock) = (&text[..4], &text[11..16]);
    match dice.below(7) {
        0 => format!("{year}-02-30T{clock}:00Z"),
        1 => format!("{}/{}/{year} {clock}", &text[8..10], &text[5..7]),
        2 => String::new(),
        3 => format!("{}T24:00:00Z", &text[..10]),
        4 => format!("{}T{}:61:00Z", &text[..10], &text[11..13]),
        5 => "unknown".to_owned(),
        _ => format!("{}", minute),
    }
}

fn bad_value(power: &[u8], dice: &mut Dice) -> Vec<u8> {
    let text = String::from_utf8_lossy(power);
    match dice.below(8) {
        0 => b"ERR".to_vec(),
        1 => format!("\"{}\"", text.replace('.', ",")).into_bytes(),
        2 => format!("{text}.0").into_bytes(),
        3 => format!("0x{text}").into_bytes(),
        4 => b"inf".to_vec(),
        5 => format!("--{text}").into_bytes(),
        6 => format!("{text} kW").into_bytes(),
        _ => b"1e99".to_vec(),
    }
}
