//! The raw lines of quarantined rows, by byte span from the landing zone.

use std::io::Read;
use std::sync::Arc;

use greenstream_core::decode::{RowIndex, RowLines, raw_lines};

use super::error::ProcessError;
use super::past::Past;
use crate::config::Rules;
use crate::landing::{Failure, Hash, Objects};

/// The longest raw text kept with an error-queue entry, in bytes; the rest stays in the landing zone.
pub const RAW_BYTES_MAX: usize = 2_048;

/// The contents of a landing zone, for rows of uploads that were processed before.
pub struct Library {
    objects: Objects,
    rules: Arc<Rules>,
}

/// The upload that is being judged.
pub struct Own<'a> {
    /// Its number.
    pub upload: u32,
    /// Its decoded bytes, unless they are many.
    pub content: Option<&'a [u8]>,
    /// Where its rows' lines begin.
    pub index: &'a RowIndex,
    /// Which lines hold rows.
    pub lines: &'a RowLines,
    /// The name of its object.
    pub object: Hash,
}

type Texts = Vec<((u32, u32), String)>;

impl Library {
    /// The objects of a landing zone, read under `rules`.
    pub fn new(objects: Objects, rules: Arc<Rules>) -> Library {
        Library { objects, rules }
    }

    /// The raw lines of `wanted` rows as (upload, row_number), in that order; `own` is the upload
    /// being judged, which the store does not know yet.
    ///
    /// # Errors
    /// When the landing zone or the store cannot be read.
    pub fn texts(
        &self,
        past: &mut Past,
        own: Option<&Own<'_>>,
        mut wanted: Vec<(u32, u32)>,
    ) -> Result<Texts, ProcessError> {
        wanted.sort_unstable();
        wanted.dedup();
        let mut texts = Texts::with_capacity(wanted.len());
        for rows in wanted.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((upload, _)) = rows.first() else { continue };
            let numbers: Vec<u32> = rows.iter().map(|(_, row)| *row).collect();
            match own.filter(|own| own.upload == *upload) {
                Some(own) => self.of_own(own, &numbers, &mut texts)?,
                None => self.of_stored(past, *upload, &numbers, &mut texts)?,
            }
        }
        Ok(texts)
    }

    fn of_own(&self, own: &Own<'_>, rows: &[u32], texts: &mut Texts) -> Result<(), ProcessError> {
        match own.content {
            Some(content) => {
                raw_lines(content, own.index, rows, own.lines, &mut |row, line| {
                    texts.push(((own.upload, row), text(line)));
                });
                Ok(())
            }
            None => self.read(own.upload, &own.object, own.index, own.lines, rows, texts),
        }
    }

    fn of_stored(
        &self,
        past: &mut Past,
        upload: u32,
        rows: &[u32],
        texts: &mut Texts,
    ) -> Result<(), ProcessError> {
        let Some((landed, index)) = past.upload(upload)? else { return Ok(()) };
        let Some(object) = Hash::parse(&landed.sha256) else { return Ok(()) };
        let feed = self.rules.feeds.get(&landed.feed);
        let lines = feed.map_or_else(RowLines::default, |feed| feed.row_lines());
        self.read(upload, &object, &index, &lines, rows, texts)
    }

    /// Reads the content part by part: each part begins at an entry of the index and ends at the next.
    fn read(
        &self,
        upload: u32,
        object: &Hash,
        index: &RowIndex,
        lines: &RowLines,
        rows: &[u32],
        texts: &mut Texts,
    ) -> Result<(), ProcessError> {
        let failed = |failure| match failure {
            Failure::World(error) => ProcessError::from(error),
            Failure::Refused(refusal) => ProcessError::Internal(format!(
                "upload {upload} could be decoded before and cannot now: {refusal}"
            )),
        };
        let mut content = self.objects.content(object, u64::MAX)?;
        let mut position = 0;
        for part in rows.chunk_by(|a, b| (a - 1) / RowIndex::STEP == (b - 1) / RowIndex::STEP) {
            let Some(first) = part.first() else { continue };
            let entry = ((first - 1) / RowIndex::STEP) as usize;
            let Some(from) = index.offsets.get(entry).copied() else { continue };
            // a row's line may end in the next part only where a line holds several rows
            let to = index.offsets.get(entry + 1).copied();
            let mut bytes = Vec::new();
            let skipped = std::io::copy(&mut content.by_ref().take(from - position), &mut std::io::sink());
            let read = skipped.and_then(|_| match to {
                Some(to) => content.by_ref().take(to - from).read_to_end(&mut bytes),
                None => content.by_ref().read_to_end(&mut bytes),
            });
            if let Err(error) = read {
                return Err(failed(content.failure(error)));
            }
            position = from + bytes.len() as u64;
            let part_index = RowIndex { offsets: vec![0] };
            let shift = (first - 1) / RowIndex::STEP * RowIndex::STEP;
            let local: Vec<u32> = part.iter().map(|row| row - shift).collect();
            raw_lines(&bytes, &part_index, &local, lines, &mut |row, line| {
                texts.push(((upload, row + shift), text(line)));
            });
        }
        Ok(())
    }
}

/// A raw line as text: bytes that are not UTF-8 replaced, cut at [`RAW_BYTES_MAX`].
fn text(line: &[u8]) -> String {
    if line.len() <= RAW_BYTES_MAX {
        return String::from_utf8_lossy(line).into_owned();
    }
    let cut = String::from_utf8_lossy(&line[..RAW_BYTES_MAX]).into_owned();
    format!("{}… ({} bytes)", cut.trim_end_matches('\u{fffd}'), line.len())
}
