//! Lines of many parts: ids and times of several columns, numbers of other lands, slots, seasons, factors,
//! revisions.

use super::{Chunk, Line, convert};
use crate::decode::clock::Moment;
use crate::decode::layout::{Layout, MeterAt, Rich};
use crate::decode::number;
use crate::decode::numeral::unguarded;
use crate::decode::time::{Stamp, with_offset};
use crate::decode::value::is_missing;
use crate::{Flag, Flags, Power, Reason};

impl Chunk {
    /// A line that is more than a column for each thing.
    pub(super) fn rich_line(&mut self, layout: &Layout, rich: &Rich, line: &impl Line) {
        let clock = &layout.plan.clock;
        let field = |index: usize| {
            let text = line.field(index);
            if rich.guarded { unguarded(text) } else { text }
        };
        let mut base = std::mem::take(&mut self.scratch.base);
        base.clear();
        base.extend_from_slice(match &layout.meter {
            MeterAt::Column(index) => field(*index),
            MeterAt::Fixed(id) => id.as_bytes(),
        });
        for part in &rich.meter_parts {
            let part = field(*part);
            if base.is_empty() || part.is_empty() {
                base.clear();
                break;
            }
            base.push(b'-');
            base.extend_from_slice(part);
        }
        let revision = rich.revision.map(|column| revision_number(field(column)));
        self.revision = revision.flatten().unwrap_or(0);
        let stamp = self.rich_stamp(layout, rich, line);
        let is_summer = rich.season.as_ref().map(|(column, summer)| is_one_of(field(*column), summer));
        let in_season = |moment: Result<Moment, Reason>| match is_summer {
            Some(is_summer) => moment.map(|moment| moment.in_season(is_summer)),
            None => moment,
        };
        let mut moment = in_season(self.clock.moment(stamp, clock));
        if layout.is_local && moment.is_ok_and(|moment| !moment.is_wall) {
            self.note_offset(layout.rows_per_line());
        }
        let (mut number, mut other, mut product) = (
            std::mem::take(&mut self.scratch.number),
            std::mem::take(&mut self.scratch.other),
            std::mem::take(&mut self.scratch.product),
        );
        for (at, (index, suffix)) in (0_i64..).zip(&layout.values) {
            if at > 0 && rich.step != 0 {
                moment = in_season(self.clock.moment(stamp.map(|stamp| later(stamp, at, rich.step)), clock));
            }
            let mut read = |index: usize| {
                let text = field(index);
                if is_missing(text, &layout.plan.missing) {
                    return Ok((None, Flags::NONE.with(Flag::MissingValue)));
                }
                let text = rich.numerals.plain(text, &mut number);
                let Some(factor) = rich.factor else { return convert(layout, line, text) };
                let factor = rich.numerals.plain(field(factor), &mut other);
                number::multiply(text, factor, &mut product).ok_or(Reason::ValueInvalid)?;
                convert(layout, line, &product)
            };
            let mut value = if revision == Some(None) { Err(Reason::ValueInvalid) } else { read(*index) };
            let plus = usize::try_from(at).ok().and_then(|at| rich.plus.get(at));
            for index in plus.into_iter().flatten() {
                value = value.and_then(|sum| add(sum, read(*index)?));
            }
            self.row(clock.latest, &base, suffix, moment, value);
        }
        (self.scratch.number, self.scratch.other) = (number, other);
        (self.scratch.product, self.scratch.base) = (product, base);
    }

    /// When the first value of such a line is, as it is written.
    fn rich_stamp(&mut self, layout: &Layout, rich: &Rich, line: &impl Line) -> Option<Stamp> {
        let clock = &layout.plan.clock;
        let field = |index: usize| {
            let text = line.field(index);
            if rich.guarded { unguarded(text) } else { text }
        };
        let mut stamp = match rich.time {
            None => self.clock.stamp(field(layout.timestamp), clock)?,
            Some(time) => {
                let mut text = std::mem::take(&mut self.scratch.time);
                text.clear();
                text.extend_from_slice(field(layout.timestamp));
                text.push(b' ');
                text.extend_from_slice(field(time));
                let stamp = self.clock.stamp(&text, clock);
                self.scratch.time = text;
                stamp?
            }
        };
        if let Some(slot) = rich.slot {
            stamp = later(stamp, slot_number(field(slot))?, rich.slot_step);
        }
        match (rich.offset, stamp) {
            (Some(offset), Stamp::Wall(wall)) => with_offset(wall, field(offset)),
            _ => Some(stamp),
        }
    }
}

/// The sum of two values; missing where one of them is.
fn add(
    (sum, flags): (Option<Power>, Flags),
    (value, more): (Option<Power>, Flags),
) -> Result<(Option<Power>, Flags), Reason> {
    let Some((sum, value)) = sum.zip(value) else {
        return Ok((None, Flags::NONE.with(Flag::MissingValue)));
    };
    let kw = sum.milliwatts().checked_add(value.milliwatts()).ok_or(Reason::ValueInvalid)?;
    Ok((Some(Power::from_milliwatts(kw)), Flags::from_bits(flags.bits() | more.bits())))
}

/// Whether a line holds rows, by its columns.
#[inline]
pub(super) fn holds_rows(layout: &Layout, line: &impl Line) -> bool {
    let Some(rich) = &layout.rich else { return true };
    rich.only.iter().all(|(column, texts)| {
        let text = line.field(*column);
        is_one_of(if rich.guarded { unguarded(text) } else { text }, texts)
    })
}

fn is_one_of(text: &[u8], texts: &[String]) -> bool {
    texts.iter().any(|one| text.eq_ignore_ascii_case(one.as_bytes()))
}

/// `count` steps later: by the clock that the stamp goes by.
fn later(stamp: Stamp, count: i64, step: i64) -> Stamp {
    let more = count.saturating_mul(step);
    match stamp {
        Stamp::Instant { micros, shifted } => Stamp::Instant { micros: micros.saturating_add(more), shifted },
        Stamp::Wall(wall) => Stamp::Wall(wall.saturating_add(more)),
    }
}

/// A revision as rows have it; none where it is no whole number of at most nine digits.
fn revision_number(text: &[u8]) -> Option<u32> {
    let digits =
        std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let number: u32 = digits.parse().ok().filter(|_| digits.len() <= 9)?;
    Some(number + 1)
}

/// How many intervals lie before the one of this number; none where it is no number from 1.
fn slot_number(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok().filter(|text| !text.starts_with('+'))?.parse().ok()?;
    (1..=1_000_000).contains(&number).then(|| number - 1)
}
