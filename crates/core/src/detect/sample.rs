//! What is looked at of a file: its head and some lines of its middle and end, so that time and memory
//! are bounded whatever the file.

use memchr::{memchr, memrchr};

/// Of the start. Smaller misses a change of the clocks, larger makes the answer slow: this is a year of
/// hours of one meter.
const HEAD_BYTES: usize = 384 << 10;

/// Of the middle, and of the end.
const PIECE_BYTES: usize = 32 << 10;

/// Longer lines are no rows of readings.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Whole lines of a file, as text.
pub(super) struct Sample {
    /// Head, middle and end; without byte-order mark.
    pub(super) pieces: Vec<String>,
    /// Whether the bytes are UTF-8; otherwise they were read as Latin-1.
    pub(super) is_utf8: bool,
}

impl Sample {
    /// Takes whole lines of `content`; none where its lines are too long to be rows.
    pub(super) fn of(content: &[u8]) -> Option<Sample> {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let mut pieces = Vec::new();
        if content.len() <= HEAD_BYTES + 2 * PIECE_BYTES {
            pieces.push(content);
        } else {
            let (head, rest) = content.split_at(HEAD_BYTES);
            let end = memrchr(b'\n', head)? + 1;
            pieces.push(head.get(..end)?);
            let middle = rest.get(rest.len() / 2..).unwrap_or(&[]);
            let middle = middle.get(..middle.len().min(PIECE_BYTES)).unwrap_or(middle);
            let last = rest.get(rest.len() - PIECE_BYTES..).unwrap_or(rest);
            for (piece, to_the_end) in [(middle, false), (last, true)] {
                let start = memchr(b'\n', piece).map_or(piece.len(), |at| at + 1);
                let end = if to_the_end { piece.len() } else { memrchr(b'\n', piece).map_or(0, |at| at + 1) };
                pieces.extend(piece.get(start..end.max(start)).filter(|lines| !lines.is_empty()));
            }
        }
        if pieces
            .iter()
            .any(|piece| piece.split(|byte| *byte == b'\n').any(|line| line.len() > LINE_BYTES_MAX))
        {
            return None;
        }
        let is_utf8 = pieces.iter().all(|piece| std::str::from_utf8(piece).is_ok());
        let text = |piece: &[u8]| match std::str::from_utf8(piece) {
            Ok(text) if is_utf8 => text.to_owned(),
            _ => piece.iter().map(|byte| char::from(*byte)).collect(),
        };
        Some(Sample { pieces: pieces.into_iter().map(text).collect(), is_utf8 })
    }

    /// The pieces after one another: a file like the whole one, but for holes.
    pub(super) fn joined(&self) -> String {
        self.pieces.concat()
    }
}
