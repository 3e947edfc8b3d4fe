//! What the transaction log says about a file's content, so that readers can skip it.

use greenstream_core::{Flag, Ts};
use serde_json::{Value, json};

use super::file::Slice;

/// Counts and extremes of one file. Meters and times are those of its first and last rows.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Stats {
    /// Rows.
    pub(super) rows: u64,
    /// Least and greatest meter by bytes, in a file with rows.
    pub(super) meters: Option<(String, String)>,
    /// Least and greatest instant in microseconds, in a file with instants. Read back from the log
    /// they are whole milliseconds around the true ones.
    pub(super) ts: Option<(i64, i64)>,
    kw: Option<(f64, f64)>,
    upload: Option<(u32, u32)>,
    row: Option<(u32, u32)>,
    ts_nulls: u64,
    kw_nulls: u64,
}

fn widen<T: Copy + PartialOrd>(range: &mut Option<(T, T)>, values: impl Iterator<Item = T>) {
    for value in values {
        *range = Some(match *range {
            None => (value, value),
            Some((min, max)) => {
                (if value < min { value } else { min }, if value > max { value } else { max })
            }
        });
    }
}

impl Stats {
    /// Adds rows that follow those before in the order of the file.
    pub(super) fn add(&mut self, slice: &Slice<'_>) {
        let (Some(first), Some(last)) = (slice.meters.first(), slice.meters.last()) else { return };
        match &mut self.meters {
            Some((_, max)) => (*last).clone_into(max),
            None => self.meters = Some(((*first).to_owned(), (*last).to_owned())),
        }
        self.rows += slice.ts.len() as u64;
        match &slice.has_ts {
            None => widen(&mut self.ts, slice.ts.iter().copied()),
            Some(has) => {
                self.ts_nulls += has.null_count() as u64;
                let valid = slice.ts.iter().zip(has).filter(|(_, has)| *has);
                widen(&mut self.ts, valid.map(|(ts, _)| *ts));
            }
        }
        self.kw_nulls += slice.kw.iter().filter(|kw| kw.is_nan()).count() as u64;
        widen(&mut self.kw, slice.kw.iter().copied().filter(|kw| !kw.is_nan()));
        widen(&mut self.upload, slice.upload.iter().copied());
        widen(&mut self.row, slice.row.iter().copied());
    }

    /// As the `stats` of an `add` action. Instants are widened to whole milliseconds, for readers
    /// that know no finer.
    pub(super) fn to_json(&self) -> String {
        let mut min = serde_json::Map::new();
        let mut max = serde_json::Map::new();
        let mut put = |name: &str, range: Option<(Value, Value)>| {
            if let Some((least, greatest)) = range {
                min.insert(name.to_owned(), least);
                max.insert(name.to_owned(), greatest);
            }
        };
        put("meter_id", self.meters.as_ref().map(|(a, b)| (json!(a), json!(b))));
        put(
            "ts",
            self.ts.map(|(a, b)| (json!(millis(a.div_euclid(1000))), json!(millis(-(-b).div_euclid(1000))))),
        );
        put("kw", self.kw.map(|(a, b)| (json!(a), json!(b))));
        put("upload", self.upload.map(|(a, b)| (json!(a), json!(b))));
        put("row_number", self.row.map(|(a, b)| (json!(a), json!(b))));
        let mut nulls = serde_json::Map::new();
        nulls.insert("meter_id".to_owned(), json!(0));
        nulls.insert("ts".to_owned(), json!(self.ts_nulls));
        nulls.insert("kw".to_owned(), json!(self.kw_nulls));
        for name in Flag::ALL.map(Flag::name).iter().chain(&["upload", "row_number"]) {
            nulls.insert((*name).to_owned(), json!(0));
        }
        json!({"numRecords": self.rows, "minValues": min, "maxValues": max, "nullCount": nulls}).to_string()
    }

    /// What of the log's text the archive itself needs: rows, meters, instants.
    pub(super) fn from_json(text: &str) -> Option<Stats> {
        let value: Value = serde_json::from_str(text).ok()?;
        let text = |side: &str, name: &str| value[side][name].as_str().map(str::to_owned);
        let instant = |side: &str| value[side]["ts"].as_str()?.parse::<jiff::Timestamp>().ok();
        Some(Stats {
            rows: value["numRecords"].as_u64()?,
            meters: text("minValues", "meter_id").zip(text("maxValues", "meter_id")),
            ts: instant("minValues")
                .zip(instant("maxValues"))
                .map(|(min, max)| (min.as_microsecond(), max.as_microsecond())),
            ..Stats::default()
        })
    }
}

/// `2026-03-02T00:15:00.000Z`
fn millis(ms: i64) -> String {
    let second = Ts::from_micros(ms.div_euclid(1000) * 1_000_000).to_string();
    format!("{}.{:03}Z", second.trim_end_matches('Z'), ms.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_says_is_read_back_with_instants_widened_to_milliseconds() {
        let mut stats = Stats::default();
        stats.add(&Slice {
            keys: vec![0, 1],
            meters: vec!["a\"\u{e9}", "b"],
            ts: &[1_772_410_500_000_001, 1_772_410_500_250_001],
            has_ts: None,
            kw: &[f64::NAN, -0.5],
            flags: &[0, 0],
            upload: &[7, 3],
            row: &[1, 2],
        });
        let json = stats.to_json();
        assert!(json.contains(r#""ts":"2026-03-02T00:15:00.000Z""#), "{json}");
        assert!(json.contains(r#""ts":"2026-03-02T00:15:00.251Z""#), "{json}");
        assert!(json.contains(r#""kw":1"#) && json.contains(r#""upload":3"#), "{json}");
        let read = Stats::from_json(&json).unwrap();
        assert_eq!(read.rows, 2);
        assert_eq!(read.meters, stats.meters);
        assert_eq!(read.ts, Some((1_772_410_500_000_000, 1_772_410_500_251_000)));
    }
}
