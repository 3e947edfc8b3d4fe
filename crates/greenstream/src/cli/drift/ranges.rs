//! What the values of a file are like, and whether those of another look like the same quantity.

use std::collections::{BTreeMap, BTreeSet};

use greenstream_core::Power;
use greenstream_core::decode::Decoded;
use serde_json::{Value, json};

/// The readings of a file in numbers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ranges {
    pub rows: usize,
    pub rejects: usize,
    /// In milliwatts: lowest, median, the one that nine tenths are below, highest. None without values.
    pub values: Option<[i64; 4]>,
    /// Rows without a value, of a hundred.
    pub missing_percent: f64,
    /// The commonest distance between two rows of a meter, in seconds.
    pub interval_seconds: Option<i64>,
    pub meters: BTreeSet<String>,
}

/// Factors between values that stand for one another's units. Two alone may be the season.
const FACTORS: [(f64, &str); 6] = [
    (2.0, "energy of half hours taken for power, or intervals of another length"),
    (4.0, "energy of quarters of an hour taken for power"),
    (12.0, "energy of five minutes taken for power"),
    (60.0, "energy of minutes taken for power"),
    (1_000.0, "another unit, such as Wh for kWh"),
    (1_000_000.0, "another unit, such as Wh for MWh"),
];

/// From here on the weather does not explain it.
const FACTOR_MIN: f64 = 3.0;

impl Ranges {
    pub fn of(decoded: &Decoded) -> Ranges {
        let mut values: Vec<i64> =
            decoded.rows.iter().filter_map(|row| row.kw.map(Power::milliwatts)).collect();
        values.sort_unstable();
        let share = |part: usize, of: usize| {
            let at = values.len().saturating_sub(1) * part / of;
            values.get(at).copied()
        };
        let four = || Some([share(0, 1)?, share(1, 2)?, share(9, 10)?, share(1, 1)?]);
        let missing = decoded.rows.iter().filter(|row| row.kw.is_none()).count();
        Ranges {
            rows: decoded.row_count(),
            rejects: decoded.rejects.len(),
            values: four(),
            missing_percent: percent(missing, decoded.rows.len()),
            interval_seconds: interval(decoded),
            meters: decoded.meters.iter().cloned().collect(),
        }
    }

    /// As a person reads it: column names in [`Ranges::COLUMNS`].
    pub fn cells(&self) -> Vec<Value> {
        let kw = |at: usize| -> Value {
            self.values.and_then(|all| all.get(at).map(|mw| Power::from_milliwatts(*mw).to_string())).into()
        };
        vec![
            self.rows.into(),
            self.rejects.into(),
            self.meters.len().into(),
            kw(0),
            kw(1),
            kw(3),
            json!(self.missing_percent.round()),
            self.interval_seconds.into(),
        ]
    }

    /// What [`Ranges::cells`] are.
    pub const COLUMNS: [&str; 8] = [
        "rows",
        "not_decoded",
        "meters",
        "kw_min",
        "kw_median",
        "kw_max",
        "missing_percent",
        "interval_seconds",
    ];

    /// What speaks against `now` being the same quantity: whether it stands in the way, and the words.
    pub fn against(&self, now: &Ranges) -> Vec<(bool, String)> {
        let mut found = Vec::new();
        found.extend(self.factor_to(now));
        if now.missing_percent > self.missing_percent + 20.0 {
            let (before, now) = (self.missing_percent.round(), now.missing_percent.round());
            found.push((false, format!("{now} % of the rows have no value; it was {before} %")));
        }
        if let (Some(before), Some(now)) = (self.interval_seconds, now.interval_seconds)
            && before != now
        {
            found.push((false, format!("rows are {now} s apart; it was {before} s")));
        }
        found
    }

    fn factor_to(&self, now: &Ranges) -> Option<(bool, String)> {
        let ([_, old_median, old_high, _], [_, median, high, _]) = (self.values?, now.values?);
        let high = ratio(old_high, high)?;
        // where half of the values are nothing, as of panels at night, the high ones have to do
        let median = ratio(old_median, median).unwrap_or(high);
        let (low, far) = (median.min(high), median.max(high));
        let (factor, grown) = match (low, far) {
            (low, _) if low > 1.0 => (low, "larger"),
            (_, far) if far < 1.0 => (1.0 / far, "smaller"),
            _ => return None,
        };
        let near = |known: f64| (median.max(1.0 / median) / known).ln().abs() < 0.3;
        let likely = FACTORS.iter().find(|(known, _)| near(*known)).map(|(_, words)| *words);
        let median = median.max(1.0 / median);
        if factor < FACTOR_MIN && !(factor > 1.7 && likely.is_some()) {
            return None;
        }
        let likely = likely.map_or_else(String::new, |words| format!(", as {words} would be"));
        let text = format!("values are about {median:.1} times {grown} than before{likely}");
        Some((factor >= FACTOR_MIN, text))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[expect(clippy::cast_precision_loss, reason = "a factor for people")]
fn ratio(before: i64, now: i64) -> Option<f64> {
    (before > 0 && now > 0).then(|| now as f64 / before as f64)
}

/// The commonest step from one row of a meter to its next.
fn interval(decoded: &Decoded) -> Option<i64> {
    let mut times: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    for row in &decoded.rows {
        times.entry(row.meter).or_default().push(row.ts.micros() / 1_000_000);
    }
    let mut steps: BTreeMap<i64, usize> = BTreeMap::new();
    for times in times.values_mut() {
        times.sort_unstable();
        for pair in times.windows(2) {
            if let [one, other] = pair
                && other > one
            {
                *steps.entry(other - one).or_default() += 1;
            }
        }
    }
    steps.into_iter().max_by_key(|(step, count)| (*count, std::cmp::Reverse(*step))).map(|(step, _)| step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether values of these median and high ones, after 400 and 900 mW, stand in the way; none where
    /// nothing is said.
    #[track_caller]
    fn check(median: i64, high: i64, expected: Option<bool>) {
        let ranges =
            |median, high| Ranges { values: Some([0, median, high, high * 40]), ..Ranges::default() };
        let found = ranges(400, 900).against(&ranges(median, high));
        assert_eq!(found.first().map(|(blocks, _)| *blocks), expected, "{median} {high}: {found:?}");
    }

    #[test]
    fn another_unit_is_told_from_another_season() {
        check(400, 900, None);
        check(560, 1_400, None); // a cold day
        check(230, 700, None); // a holiday
        check(800, 1_800, Some(false)); // may be half hours
        check(200, 450, Some(false));
        check(1_300, 2_900, Some(true));
        check(100, 225, Some(true)); // quarters of an hour
        check(400_000, 900_000, Some(true));
        check(0, 1, Some(true));
        check(4_000, 900, None); // one of the two alone is no unit
        check(0, 0, None);
    }
}
