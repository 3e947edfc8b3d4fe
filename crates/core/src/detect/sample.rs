//! What is looked at of a file: its head, and some lines of its middle and end, so that time and memory
//! are bounded whatever the file.

use memchr::{memchr, memrchr};

/// Of the start. Smaller misses a change of the clocks, larger makes the answer slow: this is a year of
/// hours of one meter.
const HEAD_BYTES: usize = 384 << 10;

/// How many pieces of the middle, half as long as the one of the end.
const MIDDLES: usize = 4;

/// Of the end.
const PIECE_BYTES: usize = 32 << 10;

/// Longer lines are no rows of readings.
const LINE_BYTES_MAX: usize = 64 << 10;

/// How the bytes became text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    Utf8,
    /// UTF-8 with some bytes that are not.
    Damaged,
    /// Hardly any letter beyond ASCII is UTF-8: each byte was taken for a letter.
    Latin,
}

/// Whole lines of a file, as text.
pub(super) struct Sample {
    /// Head, middle and end; without byte-order mark.
    pub(super) pieces: Vec<String>,
    pub(super) encoding: Encoding,
}

impl Sample {
    /// Takes whole lines of `content`; none where its lines are too long to be rows.
    pub(super) fn of(content: &[u8]) -> Option<Sample> {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let mut pieces = Vec::new();
        if content.len() <= HEAD_BYTES + (MIDDLES + 1) * PIECE_BYTES {
            pieces.push(content);
        } else {
            let (head, rest) = content.split_at(HEAD_BYTES);
            let end = memrchr(b'\n', head)? + 1;
            pieces.push(head.get(..end)?);
            let starts = (1..=MIDDLES).map(|at| rest.len() / (MIDDLES + 1) * at);
            let middles = starts.filter_map(|start| Some((rest.get(start..start + PIECE_BYTES / 2)?, false)));
            let last = rest.get(rest.len().saturating_sub(PIECE_BYTES)..).unwrap_or(rest);
            for (piece, to_the_end) in middles.chain([(last, true)]) {
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
        let encoding = encoding(&pieces);
        let text = |piece: &[u8]| match encoding {
            Encoding::Latin => piece.iter().map(|byte| char::from(*byte)).collect(),
            Encoding::Utf8 | Encoding::Damaged => String::from_utf8_lossy(piece).into_owned(),
        };
        Some(Sample { pieces: pieces.into_iter().map(text).collect(), encoding })
    }

    /// The pieces after one another: a file like the whole one, but for holes.
    pub(super) fn joined(&self) -> String {
        self.pieces.concat()
    }
}

fn encoding(pieces: &[&[u8]]) -> Encoding {
    let chunks = || pieces.iter().flat_map(|piece| piece.utf8_chunks());
    let invalid = chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
    let valid = chunks().map(|chunk| chunk.valid().chars().filter(|c| !c.is_ascii()).count()).sum::<usize>();
    match (invalid, valid) {
        (0, _) => Encoding::Utf8,
        (invalid, valid) if valid > invalid => Encoding::Damaged,
        _ => Encoding::Latin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin_1_is_told_from_damaged_utf_8() {
        for (bytes, expected) in [
            (&b"a;b"[..], Encoding::Utf8),
            ("Zähler;Mängde".as_bytes(), Encoding::Utf8),
            (b"Z\xe4hler;M\xe4ngde", Encoding::Latin),
            (b"Z\xc3\xa4hler;M\xc3\xa4ngde\n\xff", Encoding::Damaged),
        ] {
            assert_eq!(encoding(&[bytes]), expected);
        }
    }

    #[test]
    fn a_long_file_is_looked_at_in_whole_lines_of_all_its_parts() {
        let text: String = (0..200_000).map(|line| format!("line {line:06};1\n")).collect();
        let sample = Sample::of(text.as_bytes()).unwrap();
        assert_eq!(sample.pieces.len(), 2 + MIDDLES);
        assert!(sample.joined().lines().all(|line| line.len() == 13));
        assert!(sample.joined().len() < HEAD_BYTES + (MIDDLES + 1) * PIECE_BYTES);
        assert!(text.ends_with(sample.pieces.last().unwrap()));
    }
}
