//! The raw lines of quarantined rows, by byte span from the landing zone.

use std::io::Read;
use std::sync::Arc;

use greenstream_core::decode::{RowIndex, RowLines, raw_lines, raw_lines_from};
use rustc_hash::FxHashMap;

use super::error::ProcessError;
use super::past::Past;
use crate::config::Rules;
use crate::landing::{Content, Failure, Hash, Objects};

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

/// Raw lines by (upload, row).
pub type Texts = Vec<((u32, u32), String)>;

/// Bytes read at a time while the end of a line is sought.
const LINE_STEP: u64 = 64 << 10;

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
            let before = texts.len();
            match own.filter(|own| own.upload == *upload) {
                Some(own) => self.of_own(own, &numbers, &mut texts)?,
                None => self.of_stored(past, *upload, &numbers, &mut texts)?,
            }
            complete(&mut texts, before, *upload, &numbers);
        }
        Ok(texts)
    }

    /// The raw lines of rows (ascending) of an upload that the caller has decoded; those that are found.
    ///
    /// # Errors
    /// When the landing zone cannot be read.
    pub fn texts_of(&self, own: &Own<'_>, rows: &[u32]) -> Result<Texts, ProcessError> {
        let mut texts = Texts::with_capacity(rows.len());
        self.of_own(own, rows, &mut texts)?;
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
        let mut content = self.objects.content(object, u64::MAX)?.written_in(lines.encoding);
        // what has been read and may be wanted: a line may hold rows of this part and of the next
        let (mut held, mut held_from) = (Vec::new(), 0_u64);
        for row in rows.iter().filter(|_| !index.spans.is_empty()) {
            let Some(span) = index.span_of(*row) else { continue };
            let read = advance(&mut content, &mut held, held_from, span.start);
            held_from = span.start;
            let len = span.len as usize;
            let more = len.saturating_sub(held.len()) as u64;
            if let Err(error) = read.and_then(|()| (&mut content).take(more).read_to_end(&mut held)) {
                return Err(failed(content.failure(error)));
            }
            texts.push(((upload, *row), text(span.text(&held, span.start).unwrap_or(&held))));
        }
        for part in rows.chunk_by(|a, b| (a - 1) / RowIndex::STEP == (b - 1) / RowIndex::STEP) {
            let Some(first) = part.first() else { continue };
            let entry = ((first - 1) / RowIndex::STEP) as usize;
            let Some(from) = index.offsets.get(entry).copied() else { continue };
            let read = advance(&mut content, &mut held, held_from, from).and_then(|()| {
                read_to(&mut content, &mut held, index.offsets.get(entry + 1).map(|to| to - from))
            });
            held_from = from;
            if let Err(error) = read {
                return Err(failed(content.failure(error)));
            }
            raw_lines_from(&held, part, lines, &mut |row, line| texts.push(((upload, row), text(line))));
        }
        Ok(())
    }
}

/// Lets go of what is `held` (from the offset `held_from` on) and lies before `from`, and passes over
/// what lies between.
fn advance(content: &mut Content, held: &mut Vec<u8>, held_from: u64, from: u64) -> std::io::Result<()> {
    let done = from - held_from;
    match usize::try_from(done) {
        Ok(done) if done <= held.len() => drop(held.drain(..done)),
        _ => {
            let between = done - held.len() as u64;
            held.clear();
            std::io::copy(&mut content.take(between), &mut std::io::sink())?;
        }
    }
    Ok(())
}

/// Reads on until `len` bytes and the line that begins there are held whole; to the end without one.
fn read_to(content: &mut Content, held: &mut Vec<u8>, len: Option<u64>) -> std::io::Result<()> {
    let Some(len) = len else {
        return content.read_to_end(held).map(drop);
    };
    let end = usize::try_from(len).unwrap_or(usize::MAX);
    if held.len() < end {
        content.take((end - held.len()) as u64).read_to_end(held)?;
    }
    let mut seen = end;
    while !held.get(seen..).unwrap_or_default().contains(&b'\n') {
        seen = held.len().max(end);
        if content.take(LINE_STEP).read_to_end(held)? == 0 {
            break;
        }
    }
    Ok(())
}

/// Gives each of `rows` (sorted) a text: an upload that is read under another profile than it was decoded
/// by may have other lines than its index says, until a rebuild.
fn complete(texts: &mut Texts, before: usize, upload: u32, rows: &[u32]) {
    if texts.len() - before == rows.len() {
        return;
    }
    tracing::warn!(upload, "lines of its rows are not where they were; `greenstream rebuild` finds them");
    let mut found: FxHashMap<u32, String> =
        texts.drain(before..).map(|((_, row), line)| (row, line)).collect();
    texts.extend(rows.iter().map(|row| ((upload, *row), found.remove(row).unwrap_or_default())));
}

/// A raw line as text: bytes that are not UTF-8 replaced, cut at [`RAW_BYTES_MAX`].
fn text(line: &[u8]) -> String {
    if line.len() <= RAW_BYTES_MAX {
        return String::from_utf8_lossy(line).into_owned();
    }
    let cut = String::from_utf8_lossy(&line[..RAW_BYTES_MAX]).into_owned();
    format!("{}… ({} bytes)", cut.trim_end_matches('\u{fffd}'), line.len())
}

#[cfg(test)]
mod tests {
    use greenstream_core::Ts;
    use greenstream_core::decode::{Feed, Given};

    use super::*;
    use crate::config::Config;
    use crate::landing::{Incoming, Landing, Source};

    /// Every row's line by way of the index, where lines hold `count` rows: parts of the index begin and
    /// end within lines.
    #[track_caller]
    fn check(count: usize, lines: usize, rows: &[u32]) {
        let profile = format!(
            "name='w'\nunit='kW'\ninterval='1min'\nskip=['#']\n[columns]\nmeter='m'\ntimestamp='t'\n\
             slots={{first='a',count={count}}}"
        );
        let feed: Feed = toml::from_str(&profile).unwrap();
        let mut content = format!("m,t,a{}\n", ",x".repeat(count - 1));
        let expected: Vec<String> =
            (0..lines).map(|line| format!("M{line},1772415000{}", ",1".repeat(count))).collect();
        for line in &expected {
            content.push_str(&format!("{line}\n# passed over\n\n"));
        }
        let decoder = feed.compile(&Given { time_zone: None, name: "w.csv", landed_at: Ts::MAX }).unwrap();
        let mut stream = decoder.stream();
        stream.push(content.as_bytes()).unwrap();
        let decoded = stream.finish().unwrap();
        assert_eq!(decoded.row_count(), lines * count);
        let dir = tempfile::tempdir().unwrap();
        let mut landing = Landing::open(dir.path()).unwrap();
        let incoming = Incoming {
            source: Source::Bytes(content.into_bytes()),
            name: "w.csv".to_owned(),
            feed: "w".to_owned(),
            time_zone: None,
            meter: None,
            landed_at: Ts::MAX,
        };
        landing.land(vec![incoming]).unwrap();
        let object = landing.upload(1).unwrap().sha256;
        let rules = Arc::new(Config::read(&dir.path().join("none")).unwrap().rulebook.compile().unwrap());
        let library = Library::new(landing.objects(), rules);
        let mut texts = Texts::new();
        library.read(1, &object, &decoded.index, &feed.row_lines(), rows, &mut texts).unwrap();
        let line = |row: u32| text(expected[(row as usize - 1) / count].as_bytes());
        let wanted: Texts = rows.iter().map(|row| ((1, *row), line(*row))).collect();
        assert_eq!(texts.len(), wanted.len(), "{count} rows a line");
        assert!(texts == wanted, "{count} rows a line");
    }

    #[test]
    fn lines_are_found_wherever_the_index_cuts_them() {
        check(1, 5_000, &[1, 1_024, 1_025, 2_048, 2_049, 4_999, 5_000]);
        check(3, 2_000, &[1, 1_023, 1_024, 1_025, 1_026, 1_027, 2_047, 2_048, 2_049, 5_999, 6_000]);
        check(96, 40, &[960, 961, 1_024, 1_025, 1_056, 1_057, 2_048, 2_049, 3_073, 3_840]);
        check(1_440, 5, &[1, 1_024, 1_025, 1_440, 1_441, 2_048, 2_049, 2_880, 2_881, 7_200]);
        // parts far from one another, and one that many of them lie between
        check(96, 400, &[1, 20_000, 20_001, 38_400]);
    }

    #[test]
    fn a_row_whose_line_is_not_found_has_an_empty_text() {
        let mut texts: Texts = vec![((1, 9), "before".to_owned()), ((2, 5), "five".to_owned())];
        complete(&mut texts, 1, 2, &[4, 5, 6]);
        let shown: Vec<_> =
            texts.iter().map(|((upload, row), line)| format!("{upload} {row} {line}")).collect();
        assert_eq!(shown, ["1 9 before", "2 4 ", "2 5 five", "2 6 "]);
    }
}
