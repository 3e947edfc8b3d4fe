use super::*;
use crate::decode::parse_ts;
use crate::{Flag, Flags, HOUR, Power, Zone, days_from_civil};

const QUARTER: i64 = HOUR / 4;

fn at(text: &str) -> Ts {
    parse_ts(text).unwrap()
}

fn seen(ts: Ts) -> Seen {
    Seen { ts, upload: 1, holds: Holds::Trusted }
}

/// Readings from `from` on, `step` apart.
fn series(from: &str, step: i64, count: i64) -> Vec<Seen> {
    (0..count).map(|n| seen(at(from).plus(n * step))).collect()
}

fn day(zone: &str, month: u8, day: u8) -> (Ts, Ts) {
    let number = i32::try_from(days_from_civil(2026, month, day)).unwrap();
    Zone::parse(zone).unwrap().day_bounds(number)
}

fn span(bounds: (Ts, Ts), interval: i64) -> Span {
    Span { bounds, is_first: false, until: None, interval: Some(interval) }
}

/// Landed at once.
fn at_once(_: u32) -> Ts {
    Ts::MIN
}

/// Counts, and checks the identities that hold for every day.
#[track_caller]
fn counted(span: &Span, seen: &[Seen], landed_at: impl Fn(u32) -> Ts) -> Counts {
    let counts = count(span, seen, landed_at);
    assert!(counts.present <= counts.expected, "{counts:?}");
    assert_eq!(counts.expected, counts.present + counts.absent());
    assert_eq!(counts.present, counts.trusted + counts.filled + counts.missing + counts.quarantined);
    assert_eq!(counts.present + counts.extra, seen.len() as u64);
    assert!(counts.late <= counts.present);
    counts
}

#[test]
fn a_day_expects_as_many_readings_as_its_hours_hold() {
    for (name, zone, month, number, interval, expected) in [
        ("an ordinary day", "UTC", 3, 29, QUARTER, 96),
        ("23 hours", "Europe/Berlin", 3, 29, QUARTER, 92),
        ("25 hours", "Europe/Berlin", 10, 25, QUARTER, 100),
        ("25 hours by the hour", "Europe/Berlin", 10, 25, HOUR, 25),
        ("one reading a day, whatever its length", "Europe/Berlin", 3, 29, DAY, 1),
        ("one reading a day, whatever its length", "Europe/Berlin", 10, 25, DAY, 1),
        ("two a day", "Europe/Berlin", 3, 29, DAY / 2, 2),
        ("seven minutes do not divide the day", "UTC", 3, 2, 7 * 60 * SECOND, 206),
    ] {
        let span = span(day(zone, month, number), interval);
        let none = counted(&span, &[], at_once);
        assert_eq!((none.expected, none.absent()), (expected, expected), "{name}");
        let all: Vec<Seen> = (0..i64::try_from(expected).unwrap())
            .map(|n| seen(span.bounds.0.plus(n * interval)))
            .filter(|seen| seen.ts < span.bounds.1)
            .collect();
        assert_eq!(counted(&span, &all, at_once).absent(), 0, "{name}");
    }
}

#[test]
fn each_slot_counts_once_by_its_first_reading() {
    let bounds = day("UTC", 3, 2);
    let with = |text: &str, holds: Holds| Seen { holds, ..seen(at(text)) };
    let counts = counted(
        &span(bounds, QUARTER),
        &[
            with("2026-03-02T00:00:00Z", Holds::Trusted),
            with("2026-03-02T00:05:00Z", Holds::Missing),
            with("2026-03-02T00:15:00Z", Holds::Filled),
            with("2026-03-02T00:30:00Z", Holds::Missing),
            with("2026-03-02T00:45:00Z", Holds::Quarantined),
        ],
        at_once,
    );
    let expected = Counts {
        expected: 96,
        present: 4,
        trusted: 1,
        filled: 1,
        missing: 1,
        quarantined: 1,
        late: 0,
        extra: 1,
    };
    assert_eq!(counts, expected);
    assert_eq!(counts.completeness(), Some(208), "2 of 96, rounded down");
}

#[test]
fn a_clock_may_be_a_quarter_of_an_interval_fast() {
    let span = span(day("UTC", 3, 2), QUARTER);
    for (second, extra) in [("11:15Z", 0), ("11:14Z", 1)] {
        let readings = [seen(at("2026-03-02T00:00:00Z")), seen(at(&format!("2026-03-02T00:{second}")))];
        assert_eq!(counted(&span, &readings, at_once).extra, extra, "{second}");
    }
    // hours of UTC in a zone half an hour beside them
    let span = Span { bounds: day("Asia/Kolkata", 3, 2), interval: Some(HOUR), ..span };
    let whole = series("2026-03-01T19:00:00Z", HOUR, 24);
    assert_eq!(counted(&span, &whole, at_once).absent(), 0);
}

#[test]
fn nothing_is_expected_before_the_first_reading_or_after_the_last_instant() {
    let whole = span(day("UTC", 3, 2), QUARTER);
    let midday = series("2026-03-02T12:00:00Z", QUARTER, 2);
    for (name, is_first, until, expected) in [
        ("a day within the series", false, None, 96),
        ("the first day", true, None, 48),
        ("the newest day of the feed", false, Some("2026-03-02T17:59:59Z"), 72),
        ("from one slot on", false, Some("2026-03-02T18:00:00Z"), 73),
        ("one day only", true, Some("2026-03-02T18:00:00Z"), 25),
        ("never less than is there", true, Some("2026-03-02T03:00:00Z"), 2),
    ] {
        let span = Span { is_first, until: until.map(at), ..whole };
        assert_eq!(counted(&span, &midday, at_once).expected, expected, "{name}");
    }
    // 12:45 of a quarter-hourly meter begins no hour of an hourly one
    let hourly = Span { until: Some(at("2026-03-02T12:45:00Z")), interval: Some(HOUR), ..whole };
    assert_eq!(counted(&hourly, &series("2026-03-02T00:00:00Z", HOUR, 13), at_once).absent(), 0);
}

#[test]
fn without_an_interval_of_a_day_at_most_nothing_is_absent() {
    assert_eq!(counted(&span(day("Pacific/Apia", 3, 2), QUARTER), &[], at_once).expected, 96);
    let skipped = i32::try_from(days_from_civil(2011, 12, 30)).unwrap();
    let skipped = Zone::parse("Pacific/Apia").unwrap().day_bounds(skipped);
    assert_eq!(counted(&span(skipped, QUARTER), &[], at_once).expected, 0, "a day that the zone skipped");
    for interval in [None, Some(DAY + 1), Some(0)] {
        let span = Span { interval, ..span(day("UTC", 3, 2), QUARTER) };
        assert_eq!(counted(&span, &[], at_once).expected, 0);
        assert_eq!(counted(&span, &series("2026-03-02T07:00:00Z", HOUR, 2), at_once).expected, 2);
    }
}

#[test]
fn a_reading_is_late_two_days_after_its_interval_ended() {
    let span = span(day("UTC", 3, 2), QUARTER);
    let reading = series("2026-03-02T12:00:00Z", QUARTER, 1);
    for (landed, late) in [("2026-03-04T12:15:00Z", 0), ("2026-03-04T12:15:00.000001Z", 1)] {
        assert_eq!(counted(&span, &reading, |_| at(landed)).late, late, "{landed}");
    }
}

#[test]
fn an_interval_is_learned_from_the_step_that_most_of_a_day_has() {
    let mut two_steps = series("2026-03-02T00:00:00Z", 2 * QUARTER, 4);
    for (name, day, plain, commonest) in [
        ("no reading", vec![], None, None),
        ("one reading", series("2026-03-02T00:00:00Z", QUARTER, 1), None, None),
        ("two steps are too few", series("2026-03-02T00:00:00Z", QUARTER, 3), None, Some(QUARTER)),
        ("three will do", series("2026-03-02T00:00:00Z", QUARTER, 4), Some(QUARTER), Some(QUARTER)),
        (
            "half of them is not most",
            [series("2026-03-02T00:00:00Z", QUARTER, 4), series("2026-03-02T01:15:00Z", 2 * QUARTER, 3)]
                .concat(),
            None,
            Some(QUARTER),
        ),
        (
            "a hole is one step of another length",
            [series("2026-03-02T00:00:00Z", QUARTER, 3), series("2026-03-02T09:00:00Z", QUARTER, 3)].concat(),
            Some(QUARTER),
            Some(QUARTER),
        ),
    ] {
        assert_eq!(plain_interval(&day), plain, "{name}");
        assert_eq!(commonest_interval(&day), commonest, "{name}");
    }
    two_steps.extend(series("2026-03-02T01:45:00Z", QUARTER, 3));
    assert_eq!(commonest_interval(&two_steps), Some(QUARTER), "of equally common steps the shortest");
}

#[test]
fn the_jitter_of_a_clock_is_no_step_of_its_own() {
    let jitter = |texts: &[&str]| texts.iter().map(|text| seen(at(text))).collect::<Vec<_>>();
    let quarter =
        ["2026-03-02T00:00:03Z", "2026-03-02T00:15:01Z", "2026-03-02T00:30:02Z", "2026-03-02T00:45:00Z"];
    assert_eq!(plain_interval(&jitter(&quarter)), Some(QUARTER));
    let seconds = series("2026-03-02T00:00:00Z", 10 * SECOND + 200_000, 5);
    assert_eq!(plain_interval(&seconds), Some(10 * SECOND));
    assert_eq!(plain_interval(&series("2026-03-02T00:00:00Z", 1, 5)), Some(SECOND));
}

#[test]
fn what_a_reading_holds_follows_its_verdict() {
    let reading = |standing, flags: Flags, mw: Option<i64>| Reading {
        ts: Ts::from_micros(0),
        kw: mw.map(Power::from_milliwatts),
        upload: 1,
        row_number: 1,
        flags,
        standing,
    };
    let missing = Flags::NONE.with(Flag::MissingValue);
    for (reading, holds) in [
        (reading(Standing::Accepted, Flags::NONE, Some(1)), Holds::Trusted),
        (reading(Standing::Accepted, Flags::NONE.with(Flag::Edited), Some(1)), Holds::Trusted),
        (reading(Standing::Accepted, missing.with(Flag::ForwardFilled), Some(1)), Holds::Filled),
        (reading(Standing::Accepted, missing, None), Holds::Missing),
        (reading(Standing::Outlier, Flags::NONE, Some(1)), Holds::Quarantined),
        (reading(Standing::Negative, Flags::NONE, Some(-1)), Holds::Quarantined),
    ] {
        assert_eq!(Holds::of(&reading), holds, "{reading:?}");
    }
}
