//! The profile tried on the sample: what comes out says which of two profiles is right.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::decode::{Decoded, Feed, Given, Refusal};
use crate::{Flag, Reason, SECOND, Ts};

/// What a profile made of the sample.
pub(super) struct Trial {
    pub(super) feed: Feed,
    pub(super) decoded: Result<Decoded, Refusal>,
}

impl Trial {
    /// Decodes `sample` by the profile `text`.
    ///
    /// # Errors
    /// Says why the profile cannot be used: the analysis is at fault.
    pub(super) fn run(text: &str, name: &str, sample: &str, zone: Option<&str>) -> Result<Trial, String> {
        let feed: Feed = toml::from_str(text).map_err(|error| error.to_string())?;
        let given = Given { time_zone: zone, name, landed_at: Ts::MAX };
        let decoder = feed.compile(&given).map_err(|error| error.to_string())?;
        let mut stream = decoder.stream();
        let decoded = stream.push(sample.as_bytes()).and_then(|()| stream.finish());
        Ok(Trial { feed, decoded })
    }

    /// How much does not fit: rows that fail, that stand twice, and holes. What `missing` rows (which
    /// hold no value) are is no matter.
    pub(super) fn misfits(&self, interval: i64, missing: &FxHashSet<u32>) -> usize {
        let Ok(decoded) = &self.decoded else { return usize::MAX };
        let is_gap =
            |row: u32, reason: Reason| reason == Reason::TimestampNonexistent && missing.contains(&row);
        let failed =
            decoded.rejects.iter().filter(|reject| !is_gap(reject.row_number, reject.reason)).count();
        let mut last: FxHashMap<u32, Vec<i64>> = FxHashMap::default();
        for row in &decoded.rows {
            last.entry(row.meter).or_default().push(row.ts.micros() / SECOND);
        }
        let odd: usize = last
            .into_values()
            .map(|mut times| {
                times.sort_unstable();
                let steps = times.windows(2).filter_map(|pair| Some(pair.last()? - pair.first()?));
                // a hole that more than the clocks made says nothing of them
                steps.filter(|step| *step == 0 || (*step > interval && *step <= interval + 2 * 3_600)).count()
            })
            .sum();
        failed * 2 + odd
    }

    /// The rows without a value.
    pub(super) fn missing(&self) -> FxHashSet<u32> {
        let rows = self.decoded.iter().flat_map(|decoded| &decoded.rows);
        rows.filter(|row| row.flags.has(Flag::MissingValue)).map(|row| row.row_number).collect()
    }
}
