//! Each threshold of the rules from both sides, in series small enough to read.

use super::meter::{Meter, decided};
use super::{DAY_MINUTES, MINUTE, at, row};
use crate::rules::Judge;
use crate::{Flag, Limits, Power, Range, Reading, Standing, Ts};

/// What became of a reading: its value in kW or `-`, then `f`illed, `<` and `>` for limits,
/// `o`utlier, `!` for potentially faulty.
fn show(reading: &Reading) -> String {
    let standing = match reading.standing {
        Standing::Unjudged => "?",
        Standing::Accepted => "",
        Standing::Negative => "<",
        Standing::AboveLimit => ">",
        Standing::Outlier => "o",
    };
    let kw = reading.kw.map_or("-".to_owned(), |kw| kw.to_string());
    let filled = if reading.flags.has(Flag::ForwardFilled) { "f" } else { "" };
    let faulty = if reading.flags.has(Flag::PotentiallyFaulty) { "!" } else { "" };
    format!("{kw}{filled}{standing}{faulty}")
}

/// Judges the series at once and, with windows as small as can be, row by row from both ends.
#[track_caller]
fn check_under(limits: &Limits, name: &str, series: &[Reading], expected: &str) {
    let mut judged = series.to_vec();
    Judge::new().judge_all(&mut judged, limits, &mut Vec::new());
    let shown: Vec<_> = judged.iter().map(show).collect();
    assert_eq!(shown.join(" "), expected, "{name}");

    let (mut forwards, mut backwards) = (Meter::new(limits.clone()), Meter::new(limits.clone()));
    series.iter().for_each(|row| forwards.upload(vec![*row]));
    series.iter().rev().for_each(|row| backwards.upload(vec![*row]));
    assert_eq!(forwards.series(), judged, "{name}, forwards");
    assert_eq!(backwards.series(), judged, "{name}, backwards");
}

#[track_caller]
fn check(name: &str, series: &[Reading], expected: &str) {
    check_under(&Limits::default(), name, series, expected);
}

fn kw(milliwatts: i64) -> Option<Power> {
    Some(Power::from_milliwatts(milliwatts))
}

/// Rows at these minutes with these values in watts.
fn watts(rows: &[(i64, Option<i64>)]) -> Vec<Reading> {
    rows.iter().map(|(minutes, watts)| row(at(*minutes), watts.map(|w| w * 1_000))).collect()
}

#[test]
fn limits_are_valid_and_a_milliwatt_beyond_is_not() {
    let series = [(0, 0), (15, -1), (30, 10_000_000), (45, 10_000_001)];
    let series = series.map(|(minutes, mw)| row(at(minutes), Some(mw)));
    check("the default range", &series, "0 -0.000001< 10 10.000001>");

    let wide = Range { min: Power::from_milliwatts(-1), max: Power::from_milliwatts(10_000_001) };
    let from = Limits::changing(Range::default(), vec![(at(45), wide)]);
    check_under(&from, "a range valid from 00:45", &series, "0 -0.000001< 10 10.000001");
    let from = Limits::changing(Range::default(), vec![(at(45).plus(1), wide)]);
    check_under(&from, "valid from just after", &series, "0 -0.000001< 10 10.000001>");
}

#[test]
fn what_an_operator_decided_is_not_judged_and_counts() {
    let released = decided(&row(at(0), Some(-5_000_000)), None);
    let edited = decided(&row(at(30), Some(99_000_000)), kw(12_000_000));
    let series = [released, row(at(15), None), edited];
    check("released and edited beyond the limits, both donors", &series, "-5 -5f 12");

    let mut spike: Vec<_> = (0..15).map(|i| row(at(i), Some(500_000))).collect();
    spike.push(row(at(15), Some(4_000_000)));
    check("a spike", &spike, &format!("{}4o", "0.5 ".repeat(15)));
    spike[15] = decided(&spike[15], None);
    check("a spike that was released", &spike, &format!("{}4", "0.5 ".repeat(15)));
    spike[14] = decided(&spike[14], kw(4_000_000));
    spike[15] = row(at(15), Some(4_000_000));
    check("a spike beside one that was edited to it", &spike, &format!("{}4 4", "0.5 ".repeat(14)));
}

#[test]
fn an_outlier_is_judged_by_the_twenty_four_hours_that_end_with_it() {
    let day = |first: Ts| {
        let mut series = vec![row(first, Some(4_000_000))];
        series.extend((0..10).map(|i| row(at(DAY_MINUTES - 10 + i), Some(500_000))));
        series.push(row(at(DAY_MINUTES), Some(4_000_000)));
        series
    };
    let steady = "0.5 ".repeat(10);
    check("an equal spike 24 h before is outside", &day(at(0)), &format!("4 {steady}4o"));
    check("a microsecond later it is inside", &day(at(0).plus(1)), &format!("4 {steady}4"));

    let mut early = day(at(0).plus(1));
    early[0].kw = kw(10_000_001);
    check("beyond the limits it is in no statistic", &early, &format!("10.000001> {steady}4o"));
    early[0] = row(early[0].ts, None);
    check("nor is a missing value", &early, &format!("- {steady}4o"));
}

#[test]
fn ten_readings_hold_no_outlier_and_eleven_do() {
    for (before, shown) in [(9, "4"), (10, "4o")] {
        let mut series: Vec<_> = (0..before).map(|i| row(at(i), Some(500_000))).collect();
        series.push(row(at(60), Some(4_000_000)));
        let steady = "0.5 ".repeat(series.len() - 1);
        check(&format!("{before} before"), &series, &format!("{steady}{shown}"));
    }
}

#[test]
fn a_gap_is_filled_when_it_is_short_and_its_donor_is_young() {
    let gap = |minutes: [i64; 4], last: i64| {
        let [p, g, l, n] = minutes.map(at);
        vec![row(p, Some(1_000_000)), row(g, None), row(l, None), row(n.plus(last), Some(2_000_000))]
    };
    check("n - g a microsecond below an hour", &gap([0, 15, 30, 75], -1), "1 1f 1f 2");
    check("n - g an hour", &gap([0, 15, 30, 75], 0), "1 - - 2");
    let mut old = gap([0, 30, 60, 75], 0);
    check("l - p an hour", &old, "1 - - 2");
    old[2].ts = old[2].ts.plus(-1);
    check("l - p a microsecond below an hour", &old, "1 1f 1f 2");
    check("no donor", &gap([0, 15, 30, 60], 0)[1..], "- - 2");
    check("not closed", &gap([0, 15, 30, 60], 0)[..3], "1 - -");
    check(
        "a rejected reading begins the gap, but is not the last missing one",
        &watts(&[(0, Some(1_000)), (5, Some(-1)), (30, None), (60, Some(-1)), (64, Some(2_000))]),
        "1 -0.001< 1f -0.001< 2",
    );
    check(
        "a rejected reading begins the gap an hour before it closes",
        &watts(&[(0, Some(1_000)), (5, Some(-1)), (30, None), (65, Some(2_000))]),
        "1 -0.001< - 2",
    );
    check(
        "a rejected reading more than an hour after a donor that comes late",
        &watts(&[(0, Some(1_000)), (10, None), (65, Some(-1)), (69, Some(2_000))]),
        "1 1f -0.001< 2",
    );
}

#[test]
fn an_outlier_neither_gives_its_value_nor_closes_a_gap() {
    let mut series: Vec<_> = (0..15).map(|i| row(at(i), Some(500_000))).collect();
    series.extend([row(at(20), Some(4_000_000)), row(at(40), None), row(at(60), Some(500_000))]);
    let steady = "0.5 ".repeat(15);
    check("before the missing reading", &series, &format!("{steady}4o 0.5f 0.5"));
    series[15].ts = at(50);
    series.swap(15, 16);
    check("after it", &series, &format!("{steady}0.5f 4o 0.5"));
    series[17].ts = at(100);
    check("and then the gap may stay open too long", &series, &format!("{steady}- 4o 0.5"));
}

#[test]
fn a_late_spike_changes_fills_up_to_two_hours_after_the_last_verdict_it_changes() {
    // The steady hours before make the 4 kW at the end an outlier, unless another spike comes up
    // to 24 h before it. As a donor its fill reaches almost two hours further.
    let end = DAY_MINUTES + 100;
    let mut series: Vec<_> = (0..12).map(|i| row(at(end - 700 + i), Some(500_000))).collect();
    series.push(row(at(end), Some(4_000_000)));
    series.push(row(at(end + 59), None));
    series.push(row(at(end + 118), Some(500_000)));
    let steady = "0.5 ".repeat(12);
    check("the outlier is no donor", &series, &format!("{steady}4o - 0.5"));
    series.insert(0, row(at(100).plus(1), Some(4_000_000)));
    check("the late spike makes it one", &series, &format!("4 {steady}4 4f 0.5"));
    series[0].ts = at(100);
    check("a microsecond earlier it does not", &series, &format!("4 {steady}4o - 0.5"));
}

#[test]
fn a_meter_is_faulty_after_more_than_twenty_four_hours_near_zero() {
    let day = DAY_MINUTES;
    let run = |mw: i64, last: Ts| vec![row(at(0), Some(mw)), row(at(60), Some(0)), row(last, Some(0))];
    check("24 h", &run(0, at(day)), "0 0 0");
    check("a microsecond more", &run(0, at(day).plus(1)), "0 0 0!");
    check("9.999 W is near zero", &run(9_999, at(day).plus(1)), "0.009999 0 0!");
    check("10 W is not, so the run began later", &run(10_000, at(day).plus(1)), "0.01 0 0");

    let negative = Limits::constant(Range { min: Power::from_milliwatts(-10_000), ..Range::default() });
    check_under(&negative, "-9.999 W is", &run(-9_999, at(day).plus(1)), "-0.009999 0 0!");
    check_under(&negative, "-10 W is not", &run(-10_000, at(day).plus(1)), "-0.01 0 0");
}

#[test]
fn what_is_not_measured_takes_the_flag_before_it() {
    let series = watts(&[
        (0, Some(0)),
        (60, None),
        (DAY_MINUTES, None),
        (DAY_MINUTES + 15, Some(0)),
        (DAY_MINUTES + 100, Some(-1)),
        (DAY_MINUTES + 200, None),
        (DAY_MINUTES + 300, Some(20)),
        (DAY_MINUTES + 400, None),
    ]);
    check("neither breaking nor extending the run", &series, "0 - - 0! -0.001<! -! 0.02 -");
    check("from the start", &series[1..], "- - 0 -0.001< - 0.02 -");
    let filled = [series[0], series[3], row(at(DAY_MINUTES + 30), None), row(at(DAY_MINUTES + 45), Some(0))];
    check("a filled one too", &filled, "0 0! 0f! 0!");
}

#[test]
fn touching_nothing_changes_nothing() {
    let mut judge = Judge::new();
    let mut changed = Vec::new();
    judge.judge_all(&mut [], &Limits::default(), &mut changed);
    judge.judge(&mut [], (at(0), at(1)), &Limits::default(), &mut changed);
    let mut series = watts(&[(0, Some(500)), (15, None), (30, Some(500))]);
    judge.judge_all(&mut series, &Limits::default(), &mut changed);
    changed.clear();
    for minutes in [-60, 7, 15, 60] {
        judge.judge(&mut series, (at(minutes), at(minutes)), &Limits::default(), &mut changed);
    }
    assert_eq!(changed, []);
    assert_eq!(at(1).since(at(0)), MINUTE);
}
