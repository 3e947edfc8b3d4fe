//! Which row of a reading wins where a feed has revisions: of two rows of such a feed the greater
//! revision, before the sequence number (rule 5).

use greenstream_core::decode::Decoded;
use greenstream_core::{Flag, Flags, Reading, Standing, Ts};

use super::error::ProcessError;
use super::judging::Judging;
use crate::change::{ChangeSet, Meter, Revision};

/// Revisions of the rows of one meter and instant, with the feeds of their uploads.
type Known = Vec<(Revision, String)>;

/// Whether `new` wins against `held`.
fn beats(new: &Reading, held: &Reading, known: &Known) -> bool {
    let of = |reading: &Reading| {
        let row = (reading.upload, reading.row_number);
        known.iter().find(|(revision, _)| (revision.upload, revision.row_number) == row)
    };
    match (of(new), of(held)) {
        (Some((new_one, feed)), Some((held_one, other)))
            if feed == other
                && new_one.revision != held_one.revision
                && new.is_missing() == held.is_missing() =>
        {
            new_one.revision > held_one.revision
        }
        _ => new.rank() > held.rank(),
    }
}

impl Judging {
    /// Notes the revisions of an upload's rows in `set`.
    pub(super) fn note_revisions(&mut self, set: &mut ChangeSet, upload: u32, decoded: &Decoded) {
        if decoded.rows.iter().all(|row| row.revision == 0) {
            return;
        }
        let meters: Vec<Meter> = decoded.meters.iter().map(|name| self.meet(set, name)).collect();
        let revisions = decoded.rows.iter().filter(|row| row.revision > 0).map(|row| Revision {
            meter: meters[row.meter as usize],
            ts: row.ts,
            upload,
            row_number: row.row_number,
            revision: row.revision,
        });
        set.revisions.extend(revisions);
        set.revisions.sort_unstable_by_key(|r| (r.meter, r.ts, r.upload, r.row_number));
    }

    /// The greatest of rows of one instant, taken in the order of the journal.
    pub(super) fn greatest(
        &mut self,
        set: &ChangeSet,
        meter: Meter,
        ts: Ts,
        rows: &[Reading],
    ) -> Result<Option<Reading>, ProcessError> {
        let known = self.known(set, meter, ts)?;
        let mut rows = rows.to_vec();
        rows.sort_unstable_by_key(|row| (row.upload, row.row_number));
        Ok(rows.into_iter().reduce(|held, new| if beats(&new, &held, &known) { new } else { held }))
    }

    /// Lets rows of a meter that have a revision win or lose their readings, and takes them out of
    /// `rows`, but for those of new instants, of which one each is left. Before the others are merged.
    pub(super) fn contest(
        &mut self,
        set: &ChangeSet,
        meter: Meter,
        rows: &mut Vec<Reading>,
    ) -> Result<(), ProcessError> {
        if set.revisions.is_empty() && !self.past.has_revisions()? {
            return Ok(());
        }
        rows.sort_unstable_by_key(|row| (row.ts, row.row_number));
        let mut left = Vec::with_capacity(rows.len());
        for same in rows.chunk_by(|a, b| a.ts == b.ts) {
            let Some(ts) = same.first().map(|row| row.ts) else { continue };
            let known = self.known(set, meter, ts)?;
            if known.is_empty() {
                left.extend_from_slice(same);
                continue;
            }
            let mut new: Option<Reading> = None;
            for row in same {
                let (best, lost) = match new {
                    None => (*row, None),
                    Some(held) if beats(row, &held, &known) => (*row, Some(held)),
                    Some(held) => (held, Some(*row)),
                };
                self.merged.lost.extend(lost.map(|lost| as_row(&lost)));
                new = Some(Reading { flags: best.flags.set(Flag::Duplicate, same.len() > 1), ..best });
            }
            let Some(new) = new else { continue };
            let held_rows = &mut self.windows.get(meter).rows;
            let Ok(index) = held_rows.binary_search_by_key(&ts, |reading| reading.ts) else {
                left.push(new);
                continue;
            };
            let held = held_rows[index];
            let wins = beats(&new, &held, &known);
            let (best, lost) = if wins { (new, held) } else { (held, new) };
            held_rows[index] = Reading { flags: best.flags.with(Flag::Duplicate), ..best };
            self.merged.lost.push(as_row(&lost));
            if wins || !held.flags.has(Flag::Duplicate) {
                self.merged.replaced.push(held);
            }
            if wins {
                let (first, last) = self.merged.touched.unwrap_or((ts, ts));
                self.merged.touched = Some((first.min(ts), last.max(ts)));
            }
        }
        *rows = left;
        Ok(())
    }

    /// What is known of the rows of an instant, those of the upload in `set` included.
    fn known(&mut self, set: &ChangeSet, meter: Meter, ts: Ts) -> Result<Known, ProcessError> {
        let mut known = self.past.revisions(meter, ts)?;
        known.extend(Revision::of_set(set, meter, ts));
        Ok(known)
    }
}

/// A row that lost, as it came.
fn as_row(lost: &Reading) -> Reading {
    let flags = lost.flags.only(Flags::DECODED);
    Reading { kw: lost.own_kw(), flags, standing: Standing::Unjudged, ..*lost }
}
