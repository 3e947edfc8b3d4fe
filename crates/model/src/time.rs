//! Times: text to instants, and wall times to the instants they may mean.

use jiff::civil::{Date, DateTime, date};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// One second in microseconds, the unit of all instants here.
pub(crate) const SECOND: i64 = 1_000_000;
/// One minute in microseconds.
pub(crate) const MINUTE: i64 = 60 * SECOND;
/// One hour in microseconds.
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// Twenty-four hours in microseconds.
pub(crate) const DAY: i64 = 24 * HOUR;

/// What the field of a time says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stamp {
    /// An instant, and whether its offset is other than zero.
    Instant { ts: i64, moved: bool },
    /// A time on the wall, without an offset.
    Wall(DateTime),
}

/// Which instants a wall time may mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    /// One.
    Once(i64),
    /// None: the spring change skips it.
    Never,
    /// Two: the autumn change repeats it.
    Twice { earlier: i64, later: i64 },
}

/// Reads a time, already trimmed; none where it is no time, or no time of the years 0001 to 9999.
pub(crate) fn read_stamp(text: &str) -> Option<Stamp> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().ok()?;
        return match text.len() {
            10 => Some(Stamp::Instant { ts: number * SECOND, moved: false }),
            13 => Some(Stamp::Instant { ts: number * 1000, moved: false }),
            _ => None,
        };
    }
    read_iso(text)
}

/// Reads an instant as the contract writes it; none for other texts, also for times without an offset.
#[must_use]
pub fn read_instant(text: &str) -> Option<i64> {
    match read_stamp(text)? {
        Stamp::Instant { ts, .. } => Some(ts),
        Stamp::Wall(_) => None,
    }
}

/// `YYYY-MM-DD`, `T` or one blank, `hh:mm[:ss[.fraction]]`, then nothing or an offset.
fn read_iso(text: &str) -> Option<Stamp> {
    let mut rest = text;
    let year = digits(&mut rest, 4)?;
    eat(&mut rest, "-")?;
    let month = digits(&mut rest, 2)?;
    eat(&mut rest, "-")?;
    let day = digits(&mut rest, 2)?;
    eat(&mut rest, "T").or_else(|| eat(&mut rest, " "))?;
    let hour = digits(&mut rest, 2)?;
    eat(&mut rest, ":")?;
    let minute = digits(&mut rest, 2)?;
    let mut second = 0;
    let mut nanosecond = 0;
    if eat(&mut rest, ":").is_some() {
        second = digits(&mut rest, 2)?;
        if eat(&mut rest, ".").is_some() {
            nanosecond = 1000 * microseconds(&mut rest)?;
        }
    }
    if year == 0 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let date = Date::new(i16::try_from(year).ok()?, small(month)?, small(day)?).ok()?;
    let wall = date.at(small(hour)?, small(minute)?, small(second)?, nanosecond);
    if rest.is_empty() {
        return Some(Stamp::Wall(wall));
    }
    let offset = read_offset(rest)?;
    let ts = as_if_utc(wall) - offset * SECOND;
    is_in_range(ts).then_some(Stamp::Instant { ts, moved: offset != 0 })
}

fn small(number: i64) -> Option<i8> {
    i8::try_from(number).ok()
}

/// `Z`, `±hh`, `±hhmm` or `±hh:mm` up to 23:59, in seconds.
fn read_offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let mut rest = text;
    let sign = if eat(&mut rest, "+").is_some() { 1 } else { eat(&mut rest, "-").map(|()| -1)? };
    let hour = digits(&mut rest, 2)?;
    let minute = match rest {
        "" => 0,
        _ => {
            let _colon = eat(&mut rest, ":");
            digits(&mut rest, 2)?
        }
    };
    (rest.is_empty() && hour <= 23 && minute <= 59).then_some(sign * (hour * 3600 + minute * 60))
}

/// The fraction of a second, at least one digit, cut at microseconds.
fn microseconds(rest: &mut &str) -> Option<i32> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (fraction, after) = rest.split_at(end);
    *rest = after;
    if fraction.is_empty() {
        return None;
    }
    format!("{fraction:0<6}").get(..6)?.parse().ok()
}

fn digits(rest: &mut &str, count: usize) -> Option<i64> {
    let (number, after) = rest.split_at_checked(count)?;
    *rest = after;
    if number.bytes().all(|byte| byte.is_ascii_digit()) { number.parse().ok() } else { None }
}

fn eat(rest: &mut &str, text: &str) -> Option<()> {
    *rest = rest.strip_prefix(text)?;
    Some(())
}

/// The instant at which clocks in UTC show `wall`.
pub(crate) fn as_if_utc(wall: DateTime) -> i64 {
    let days = (wall.date() - date(1970, 1, 1)).get_days();
    let (hour, minute, second) = (i64::from(wall.hour()), i64::from(wall.minute()), i64::from(wall.second()));
    let micros = i64::from(wall.subsec_nanosecond()) / 1000;
    i64::from(days) * DAY + hour * HOUR + minute * MINUTE + second * SECOND + micros
}

fn is_in_range(ts: i64) -> bool {
    let first = as_if_utc(date(1, 1, 1).at(0, 0, 0, 0));
    let last = as_if_utc(date(9999, 12, 31).at(23, 59, 59, 999_999_999));
    (first..=last).contains(&ts)
}

/// Which instants a wall time may mean in a zone; none where one lies outside of the years 0001 to 9999.
pub(crate) fn meaning(wall: DateTime, zone: &TimeZone) -> Option<Meaning> {
    let at = |offset: jiff::tz::Offset| as_if_utc(wall) - i64::from(offset.seconds()) * SECOND;
    let meaning = match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => Meaning::Once(at(offset)),
        AmbiguousOffset::Gap { .. } => Meaning::Never,
        AmbiguousOffset::Fold { before, after } => {
            Meaning::Twice { earlier: at(before).min(at(after)), later: at(before).max(at(after)) }
        }
    };
    let in_range = match meaning {
        Meaning::Once(ts) => is_in_range(ts),
        Meaning::Never => true,
        Meaning::Twice { earlier, later } => is_in_range(earlier) && is_in_range(later),
    };
    in_range.then_some(meaning)
}

/// The time zone of this IANA name; none where there is none of that name.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// Whether a local zone is UTC itself, so that its times need no conversion.
pub(crate) fn is_utc(zone_name: &str) -> bool {
    ["utc", "etc/utc"].contains(&zone_name.to_ascii_lowercase().as_str())
}

/// The day of an instant in a zone, as a number of days since 1970-01-01.
pub(crate) fn day_of(ts: i64, zone: &TimeZone) -> i64 {
    let offset = Timestamp::from_microsecond(ts).map_or(0, |at| zone.to_offset(at).seconds());
    (ts + i64::from(offset) * SECOND).div_euclid(DAY)
}

/// `2026-03-02T00:15:00Z`, with six digits of fraction where there is one.
/// Instants outside of the calendar of jiff are written with its first or last day.
#[must_use]
pub fn instant_text(ts: i64) -> String {
    let day = date(1970, 1, 1).saturating_add(ts.div_euclid(DAY).days());
    let time = ts.rem_euclid(DAY);
    let (hour, minute, second) = (time / HOUR, time / MINUTE % 60, time / SECOND % 60);
    let mut text = format!("{day}T{hour:02}:{minute:02}:{second:02}");
    if time % SECOND != 0 {
        text.push_str(&format!(".{:06}", time % SECOND));
    }
    text.push('Z');
    text
}
