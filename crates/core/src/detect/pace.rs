//! The steps from one time to the next: how long intervals are, which order day and month have, and
//! which end of an interval a label names.

use rustc_hash::FxHashMap;

use super::writing::{Reader, Writing, micros};
use crate::decode::time::Stamp;
use crate::{DAY, SECOND};

/// What the steps of a column of times tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    /// The commonest step that is not zero, in seconds; and the share of the steps that are it.
    pub(super) step: Option<(i64, f64)>,
    /// The next commonest, and its share.
    pub(super) second: Option<(i64, f64)>,
    /// How regular it all is: 2 where every step is the same forward.
    pub(super) regularity: f64,
    /// The earliest and the latest time, by the clock that is written.
    pub(super) ends: Option<(i64, i64)>,
    /// Whether the times are instants of their own: an offset, `Z` or an epoch.
    pub(super) instants: bool,
}

impl Pace {
    /// Reads the times of rows with these keys (what tells one series from another).
    pub(super) fn of(writing: &Writing, texts: &[String], keys: &[String], breaks: &[usize]) -> Pace {
        match Reader::new(writing) {
            Some(reader) => Pace::by(&|text| reader.read(text), texts, keys, breaks),
            None => Pace::default(),
        }
    }

    /// The same for times that `read` reads.
    pub(super) fn by(
        read: &dyn Fn(&str) -> Option<Stamp>,
        texts: &[String],
        keys: &[String],
        breaks: &[usize],
    ) -> Pace {
        let mut last: FxHashMap<&str, i64> = FxHashMap::default();
        let mut steps: FxHashMap<i64, usize> = FxHashMap::default();
        let (mut forward, mut backward, mut pace) = (0_usize, 0_usize, Pace::default());
        for (row, text) in texts.iter().enumerate() {
            if breaks.contains(&row) {
                last.clear();
            }
            let Some(stamp) = read(text) else { continue };
            pace.instants |= matches!(stamp, Stamp::Instant { .. });
            // the label of a day's end is looked for by the clock that is written, not by UTC
            let written = text
                .get(..16)
                .filter(|_| text.as_bytes().get(10).is_some_and(|sign| matches!(sign, b'T' | b' ')));
            let wall = micros(written.and_then(read).unwrap_or(stamp));
            pace.ends = Some(pace.ends.map_or((wall, wall), |(first, end)| (first.min(wall), end.max(wall))));
            let at = micros(stamp) / SECOND;
            let key = keys.get(row).map_or("", String::as_str);
            if let Some(before) = last.insert(key, at) {
                match at - before {
                    0 => {}
                    step => {
                        *steps.entry(step.abs()).or_default() += 1;
                        if step > 0 { forward += 1 } else { backward += 1 }
                    }
                }
            }
        }
        let total = (forward + backward).max(1) as f64;
        let mut all: Vec<(i64, usize)> = steps.into_iter().collect();
        all.sort_by_key(|(step, count)| (std::cmp::Reverse(*count), *step));
        let share = |at: usize| all.get(at).map(|(step, count)| (*step, *count as f64 / total));
        pace.step = share(0);
        pace.second = share(1);
        pace.regularity = pace.step.map_or(0.0, |(_, share)| share) + forward.max(backward) as f64 / total;
        pace
    }

    /// From the earliest to the latest time, in days.
    pub(super) fn span_days(&self) -> f64 {
        self.ends.map_or(0.0, |(first, last)| ((last - first) / SECOND) as f64 / 86_400.0)
    }

    /// Whether all days begin and end as days do whose labels name the starts of intervals (false) or
    /// their ends (true), by the first and last label; none where they tell nothing.
    pub(super) fn label_at_end(&self, interval: i64) -> Option<bool> {
        let (first, last) = self.ends?;
        let (first, last) = (first.rem_euclid(DAY), last.rem_euclid(DAY));
        let interval = interval * SECOND;
        if interval <= 0 || interval >= DAY {
            return None;
        }
        if first == interval && last == 0 {
            Some(true)
        } else if first == 0 && last == DAY - interval {
            Some(false)
        } else {
            None
        }
    }
}

/// The length of an interval as profiles write it.
pub(super) fn interval_text(seconds: i64) -> String {
    match seconds {
        _ if seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
        _ if seconds % 60 == 0 => format!("{}min", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(pattern: &str, texts: &[&str]) -> Pace {
        let writing = Writing { pattern: Some(pattern.to_owned()), has_clock: true };
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Pace::of(&writing, &texts, &vec![String::new(); texts.len()], &[])
    }

    #[test]
    fn the_right_order_of_day_and_month_is_the_regular_one() {
        let texts = ["01/02/2026", "02/02/2026", "03/02/2026", "04/02/2026"];
        assert!(pace("%d/%m/%Y", &texts).regularity > pace("%m/%d/%Y", &texts).regularity);
        assert_eq!(pace("%d/%m/%Y", &texts).step, Some((86_400, 1.0)));
    }

    #[test]
    fn a_day_from_0015_to_2400_is_labelled_at_the_ends() {
        for (texts, expected) in [
            (&["01.02.2026 00:15", "01.02.2026 00:30", "01.02.2026 24:00"][..], Some(true)),
            (&["01.02.2026 00:00", "01.02.2026 00:15", "01.02.2026 23:45"], Some(false)),
            (&["01.02.2026 08:00", "01.02.2026 08:15"], None),
        ] {
            assert_eq!(pace("%d.%m.%Y %H:%M", texts).label_at_end(900), expected);
        }
    }
}
