//! Chunks to one upload: row numbers, meters, offsets, repeated wall times; and whether so much
//! failed that nothing of it is loaded.

use super::chunk::Chunk;
use super::folds;
use super::layout::Layout;
use super::plan::{ClockPlan, EnergyPlan, ZonePlan};
use super::{CONTENT_BYTES_MAX, Coverage, Decoded, Refusal, Reject, Row, RowIndex, Span};
use crate::{Reason, Ts};

/// Rows from which on failures are judged.
const ROWS_JUDGED_MIN: u64 = 100;

impl Layout {
    /// Puts the chunks of one upload together, all of them and in order.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] or [`Refusal::FeedChanged`].
    pub fn join(&self, chunks: Vec<Chunk>) -> Result<Decoded, Refusal> {
        let bytes = self.data_start() + chunks.iter().map(|chunk| chunk.bytes).sum::<u64>();
        let rows: u64 = chunks.iter().map(|chunk| u64::from(chunk.row_count)).sum();
        if bytes > CONTENT_BYTES_MAX
            || rows > u64::from(u32::MAX)
            || chunks.iter().any(|chunk| chunk.too_large)
        {
            return Err(Refusal::TooLarge { limit: CONTENT_BYTES_MAX });
        }
        let index = self.index(&chunks);
        let all = merge(chunks);
        let skipped = self.blank_bytes + all.skipped;
        let coverage =
            Coverage { header: self.header_bytes, rows: bytes - self.header_bytes - skipped, skipped };
        let mut decoded = settle(all, &self.plan.clock, &|reason| self.hint(reason))?;
        match &self.plan.energy {
            EnergyPlan::Fixed => {}
            EnergyPlan::Registers(interval) => decoded.registers = Some(*interval),
            EnergyPlan::Spread(lengths) => decoded.spread(lengths),
        }
        Ok(Decoded { coverage, index, ..decoded })
    }

    /// Where the lines of rows 1, 1025, 2049, … begin.
    fn index(&self, chunks: &[Chunk]) -> RowIndex {
        if self.has_spans() {
            return RowIndex { spans: self.spans(chunks), ..RowIndex::default() };
        }
        let mut offsets = Vec::new();
        let (mut lines_before, mut start) = (0_u64, self.data_start());
        for chunk in chunks {
            let lines = chunk.line_starts.len() as u64;
            loop {
                let row = offsets.len() as u64 * u64::from(RowIndex::STEP);
                let line = row / u64::from(self.rows_per_line());
                if line >= lines_before + lines {
                    break;
                }
                let at = usize::try_from(line - lines_before).unwrap_or(usize::MAX);
                offsets.push(start + u64::from(chunk.line_starts.get(at).copied().unwrap_or(0)));
            }
            lines_before += lines;
            start += chunk.bytes;
        }
        RowIndex { offsets, ..RowIndex::default() }
    }

    /// Where each line that holds rows is.
    fn spans(&self, chunks: &[Chunk]) -> Vec<Span> {
        let (mut spans, mut row, mut from) = (Vec::new(), 1, self.data_start());
        for chunk in chunks {
            for (start, len) in chunk.line_starts.iter().zip(&chunk.line_lens) {
                spans.push(Span { first_row: row, start: from + u64::from(*start), len: *len });
                row += self.rows_per_line();
            }
            from += chunk.bytes;
        }
        spans
    }

    fn hint(&self, reason: Reason) -> String {
        match reason {
            Reason::RowMalformed => format!(
                "lines no longer have the {} fields of the header, or quotes are out of place: ask the sender",
                self.fields
            ),
            Reason::MeterIdInvalid => "see whether the meter column is still the same".to_owned(),
            Reason::TimestampNoZone => {
                "timestamps have no offset: give --time-zone, or `time_zone` in the feed profile".to_owned()
            }
            Reason::TimestampNonexistent => {
                "times that the zone's clocks skip: the time zone may be wrong".to_owned()
            }
            Reason::TimestampInFuture => {
                "rows are later than the upload: the sender's clock or the time zone may be wrong".to_owned()
            }
            Reason::UnitUnknown => "declare the unit in a feed profile".to_owned(),
            _ => "see whether the feed's columns and formats have changed".to_owned(),
        }
    }
}

/// Resolves repeated wall times and says what the rows come to; without coverage and index.
///
/// # Errors
/// [`Refusal::FeedChanged`].
pub(crate) fn settle(
    mut all: Chunk,
    clock: &ClockPlan,
    hint: &dyn Fn(Reason) -> String,
) -> Result<Decoded, Refusal> {
    let told: Vec<Option<Ts>> = all.followers.iter().map(|(named, _)| all.ts(*named)).collect();
    let late = match &clock.zone {
        ZonePlan::Local(zone) => folds::resolve(&mut all, zone, clock.latest),
        ZonePlan::Unknown | ZonePlan::Utc => Vec::new(),
    };
    all.follow(&told);
    judge(&all, late.len() as u64, hint)?;
    let mut decoded = Decoded {
        meters: all.meters.ids().map(str::to_owned).collect(),
        rejects: all.rejects.to_vec(),
        rows: all.rows,
        coverage: Coverage::default(),
        index: RowIndex::default(),
        registers: None,
    };
    if !late.is_empty() {
        reject_late(&mut decoded, &late);
    }
    Ok(decoded)
}

/// Refuses an upload of which more than 20 % failed.
fn judge(all: &Chunk, late: u64, hint: &dyn Fn(Reason) -> String) -> Result<(), Refusal> {
    let mut counts = Reason::ALL.map(|reason| (reason, 0));
    for logged in all.rejects.iter() {
        let count = counts.iter_mut().find(|(reason, _)| *reason == logged.reason);
        count.into_iter().for_each(|(_, count)| *count += u64::from(logged.rows));
    }
    let in_future = counts.iter_mut().find(|(reason, _)| *reason == Reason::TimestampInFuture);
    in_future.into_iter().for_each(|(_, count)| *count += late);
    let failed: u64 = counts.iter().map(|(_, count)| count).sum();
    let rows = u64::from(all.row_count);
    if rows < ROWS_JUDGED_MIN || failed * 5 <= rows {
        return Ok(());
    }
    let mut reasons: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    reasons.truncate(3);
    let hint = reasons.first().map_or_else(String::new, |(reason, _)| hint(*reason));
    Err(Refusal::FeedChanged { failed, rows, reasons, hint })
}

impl Chunk {
    fn ts(&self, index: u32) -> Option<Ts> {
        self.rows.get(index as usize).map(|row| row.ts)
    }

    /// Moves rows along with those that tell their time, which was `told` before.
    fn follow(&mut self, told: &[Option<Ts>]) {
        for (at, told) in told.iter().enumerate() {
            let Some((named, own)) = self.followers.get(at).copied() else { continue };
            let (Some(told), Some(now)) = (*told, self.ts(named)) else { continue };
            if let Some(row) = self.rows.get_mut(own as usize) {
                row.ts = row.ts.plus(now.micros() - told.micros());
            }
        }
    }
}

/// One chunk of all.
fn merge(chunks: Vec<Chunk>) -> Chunk {
    let rows = chunks.iter().map(|chunk| chunk.rows.len()).sum::<usize>();
    let mut chunks = chunks.into_iter();
    let mut all = chunks.next().unwrap_or_else(Chunk::new);
    all.rows.reserve_exact(rows - all.rows.len());
    for chunk in chunks {
        let numbers: Vec<u32> =
            chunk.meters.ids().map(|id| all.meters.intern(id.as_bytes()).unwrap_or(u32::MAX)).collect();
        let rows_before = all.row_count;
        let index_before = u32::try_from(all.rows.len()).unwrap_or(u32::MAX);
        all.rows.extend(chunk.rows.iter().map(|row| Row {
            meter: numbers.get(row.meter as usize).copied().unwrap_or(u32::MAX),
            row_number: row.row_number + rows_before,
            ..*row
        }));
        all.rejects.append(chunk.rejects, rows_before);
        all.folds.extend(chunk.folds.iter().map(|(index, shift)| (index + index_before, *shift)));
        let runs = chunk.with_offset.iter();
        all.with_offset.extend(runs.map(|(first, last)| (first + rows_before, last + rows_before)));
        all.row_count += chunk.row_count;
        all.skipped += chunk.skipped;
    }
    all
}

/// Rejects the rows at these indices (ascending) as in the future, and drops meters that have no
/// row left.
fn reject_late(decoded: &mut Decoded, late: &[usize]) {
    for index in late {
        if let Some(row) = decoded.rows.get(*index) {
            decoded.rejects.push(Reject {
                row_number: row.row_number,
                meter: decoded.meters.get(row.meter as usize).cloned().unwrap_or_default(),
                ts: Some(row.ts),
                reason: Reason::TimestampInFuture,
            });
        }
    }
    decoded.rejects.sort_by_key(|reject| reject.row_number);
    let mut index = 0;
    let mut late = late.iter().peekable();
    decoded.rows.retain(|_| {
        index += 1;
        late.next_if(|at| **at + 1 == index).is_none()
    });
    let mut numbers = vec![None; decoded.meters.len()];
    let mut meters = Vec::new();
    for row in &mut decoded.rows {
        if let (Some(number), Some(id)) =
            (numbers.get_mut(row.meter as usize), decoded.meters.get_mut(row.meter as usize))
        {
            row.meter = *number.get_or_insert_with(|| {
                meters.push(std::mem::take(id));
                u32::try_from(meters.len() - 1).unwrap_or(u32::MAX)
            });
        }
    }
    decoded.meters = meters;
}
