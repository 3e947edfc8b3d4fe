//! Rule 5, keep latest: of all rows of one reading one wins, and the others stay visible.

use super::first_at;
use crate::{Flag, Flags, Reading, Standing, Ts};

/// What merging rows into a series did. The caller clears it between meters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Merged {
    /// The state before of each reading of the series that lost its instant to a new row, or that
    /// kept it and is a `duplicate` from now on. By ascending instant.
    pub replaced: Vec<Reading>,
    /// The rows that lost, of the upload and of the series: each with its own value (none where
    /// it has none), only the flags that decode gave it, and standing `Unjudged`. In no order.
    ///
    /// The row of a reading that an operator `edited` carries the operator's value here: the
    /// caller, who knows the decision, puts the row's own value (and flags) back. The decision
    /// sleeps from now on.
    pub lost: Vec<Reading>,
    /// The first and last instant with a new winner, to be judged; none where no row won.
    pub touched: Option<(Ts, Ts)>,
}

impl Merged {
    /// Forgets the last merge, keeps the memory.
    pub fn clear(&mut self) {
        self.replaced.clear();
        self.lost.clear();
        self.touched = None;
    }

    fn touch(&mut self, ts: Ts) {
        let (first, last) = self.touched.unwrap_or((ts, ts));
        self.touched = Some((first.min(ts), last.max(ts)));
    }
}

/// Merges the rows of one upload into a meter's `series`, which is sorted by instant, each instant
/// once, and holds every stored reading from the first instant of `rows` to the last.
///
/// `rows` come in any order, `Unjudged`, with their own value and the flags of decode; none of
/// them is in the series yet. They are left empty. The greatest [`Reading::rank`] wins an instant,
/// whichever came first: an upload that was held up may have a smaller number than what is stored.
/// A winner is a `duplicate` where any other row of its instant exists; new winners stand in
/// `series` as `Unjudged`. Appends to `out`.
pub fn merge(series: &mut Vec<Reading>, rows: &mut Vec<Reading>, out: &mut Merged) {
    if !rows.is_sorted_by(|a, b| a.ts < b.ts) {
        rows.sort_unstable_by_key(|row| (row.ts, row.rank()));
        rows.dedup_by(|later, kept| {
            let same = later.ts == kept.ts;
            if same {
                out.lost.push(as_row(kept));
                *kept = duplicate(*later);
            }
            same
        });
    }
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
    if series.last().is_none_or(|end| end.ts < first.ts) {
        out.touch(first.ts);
        out.touch(last.ts);
        series.append(rows);
        return;
    }
    contest(series, rows, out);
    insert(series, rows);
}

/// Lets each row that meets a reading of its instant win or lose; leaves the others in `rows`.
fn contest(series: &mut [Reading], rows: &mut Vec<Reading>, out: &mut Merged) {
    let mut at = rows.first().map_or(0, |row| first_at(series, row.ts));
    rows.retain(|row| {
        while series.get(at).is_some_and(|held| held.ts < row.ts) {
            at += 1;
        }
        let Some(held) = series.get_mut(at).filter(|held| held.ts == row.ts) else {
            out.touch(row.ts);
            return true;
        };
        if row.rank() > held.rank() {
            out.touch(row.ts);
            out.replaced.push(*held);
            out.lost.push(as_row(held));
            *held = duplicate(*row);
        } else {
            out.lost.push(as_row(row));
            if !held.flags.has(Flag::Duplicate) {
                out.replaced.push(*held);
                *held = duplicate(*held);
            }
        }
        false
    });
}

/// Puts rows of new instants into their places, from the back, each reading moved at most once.
fn insert(series: &mut Vec<Reading>, rows: &mut Vec<Reading>) {
    let mut old = series.len();
    series.extend_from_slice(rows);
    let mut free = series.len();
    while let Some(row) = rows.last() {
        free -= 1;
        if old > 0 && series[old - 1].ts > row.ts {
            old -= 1;
            series[free] = series[old];
        } else {
            series[free] = *row;
            rows.pop();
        }
    }
}

fn duplicate(winner: Reading) -> Reading {
    Reading { flags: winner.flags.with(Flag::Duplicate), ..winner }
}

fn as_row(loser: &Reading) -> Reading {
    Reading {
        kw: loser.own_kw(),
        flags: loser.flags.only(Flags::DECODED),
        standing: Standing::Unjudged,
        ..*loser
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Power;

    /// `minute upload.row value flags`, value `-` for none.
    fn row(text: &str) -> Reading {
        let mut fields = text.split(' ');
        let mut field = || fields.next().unwrap();
        let ts = Ts::from_micros(field().parse().unwrap());
        let (upload, row_number) = field().split_once('.').unwrap();
        let kw = field().parse().ok().map(Power::from_milliwatts);
        let flags = Flags::NONE.set(Flag::MissingValue, kw.is_none());
        let (upload, row_number) = (upload.parse().unwrap(), row_number.parse().unwrap());
        Reading { ts, kw, upload, row_number, flags, standing: Standing::Unjudged }
    }

    fn stored(text: &str) -> Reading {
        Reading { standing: Standing::Accepted, ..row(text) }
    }

    /// The same notation, `d` for a duplicate and `?` for what is to be judged.
    fn show(readings: &[Reading]) -> String {
        let one = |r: &Reading| {
            let kw = r.kw.map_or("-".to_owned(), |kw| kw.milliwatts().to_string());
            let duplicate = if r.flags.has(Flag::Duplicate) { " d" } else { "" };
            let unjudged = if r.standing == Standing::Unjudged { " ?" } else { "" };
            format!("{} {}.{} {kw}{duplicate}{unjudged}", r.ts.micros(), r.upload, r.row_number)
        };
        readings.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Merges `rows` into a stored reading at instant 5; (series, replaced, lost, touched).
    #[track_caller]
    fn check(name: &str, rows: &[&str], expected: [&str; 3], touched: Option<(i64, i64)>) {
        let mut series = vec![stored("1 7.1 10"), stored("5 7.2 50"), stored("9 7.3 90")];
        let mut rows = rows.iter().map(|text| row(text)).collect();
        let mut out = Merged::default();
        merge(&mut series, &mut rows, &mut out);
        out.lost.sort_by_key(|row| (row.ts, row.rank()));
        let untouched = |r: &Reading| r.ts.micros() != 1 && r.ts.micros() != 9;
        series.retain(untouched);
        assert_eq!(
            [&series, &out.replaced, &out.lost].map(|of| show(of)),
            expected.map(str::to_owned),
            "{name}"
        );
        assert_eq!(out.touched.map(|(a, b)| (a.micros(), b.micros())), touched, "{name}");
        assert!(rows.is_empty());
    }

    #[test]
    fn a_value_wins_over_none_then_the_later_upload_then_the_later_row() {
        check("a later upload", &["5 8.1 51"], ["5 8.1 51 d ?", "5 7.2 50", "5 7.2 50 ?"], Some((5, 5)));
        check("an upload that was held up", &["5 6.9 51"], ["5 7.2 50 d", "5 7.2 50", "5 6.9 51 ?"], None);
        check("a later upload without value", &["5 8.1 -"], ["5 7.2 50 d", "5 7.2 50", "5 8.1 - ?"], None);
        check("a later row", &["5 7.3 51"], ["5 7.3 51 d ?", "5 7.2 50", "5 7.2 50 ?"], Some((5, 5)));
        check("an earlier row", &["5 7.1 51"], ["5 7.2 50 d", "5 7.2 50", "5 7.1 51 ?"], None);
        check(
            "two rows that both win over what is stored",
            &["5 8.2 52", "5 8.1 51"],
            ["5 8.2 52 d ?", "5 7.2 50", "5 7.2 50 ?, 5 8.1 51 ?"],
            Some((5, 5)),
        );
        check(
            "a value and none",
            &["5 8.1 51", "5 8.2 -"],
            ["5 8.1 51 d ?", "5 7.2 50", "5 8.2 - ?, 5 7.2 50 ?"],
            Some((5, 5)),
        );
    }

    #[test]
    fn new_instants_take_their_places() {
        check(
            "between",
            &["7 8.2 70", "3 8.1 30"],
            ["3 8.1 30 ?, 5 7.2 50, 7 8.2 70 ?", "", ""],
            Some((3, 7)),
        );
        check("twins", &["3 8.1 30", "3 8.2 31"], ["3 8.2 31 d ?, 5 7.2 50", "", "3 8.1 30 ?"], Some((3, 3)));
        check("around", &["0 8.1 1", "12 8.2 2"], ["0 8.1 1 ?, 5 7.2 50, 12 8.2 2 ?", "", ""], Some((0, 12)));
        check(
            "after the end",
            &["12 8.2 2", "11 8.1 1"],
            ["5 7.2 50, 11 8.1 1 ?, 12 8.2 2 ?", "", ""],
            Some((11, 12)),
        );
        check("nothing", &[], ["5 7.2 50", "", ""], None);
    }

    #[test]
    fn a_reading_that_is_a_duplicate_already_is_not_replaced_by_losing_rows() {
        let mut series = vec![stored("5 7.2 50")];
        let mut out = Merged::default();
        merge(&mut series, &mut vec![row("5 6.1 1")], &mut out);
        out.clear();
        merge(&mut series, &mut vec![row("5 6.2 2")], &mut out);
        assert_eq!((show(&out.replaced), show(&out.lost)), (String::new(), "5 6.2 2 ?".to_owned()));
    }

    #[test]
    fn a_lost_row_keeps_its_own_value_and_what_decode_said() {
        let mut filled = stored("5 7.2 -");
        filled.kw = Some(Power::from_milliwatts(40));
        filled.flags = Flags::from_bits(u16::MAX);
        let mut out = Merged::default();
        merge(&mut vec![filled], &mut vec![row("5 8.1 51")], &mut out);
        assert_eq!(show(&out.lost), "5 7.2 - ?");
        assert_eq!(out.lost[0].flags, Flags::DECODED);
    }
}
