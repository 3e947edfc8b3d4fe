//! Bytes to lines to fields: RFC 4180 within one line, and a fast way for lines without quotes.

use memchr::{memchr, memchr_iter, memrchr};

/// A longer line (without its line feed) is one malformed line, counted and never held.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Lines are scanned in blocks of about this size, so that a block and its field ends stay in the
/// processor's first cache. Much smaller: more calls; much larger: slower memory.
const BLOCK_BYTES: usize = 16 << 10;

/// The first lines of `bytes`, at most [`BLOCK_BYTES`] of them or one longer line, and the rest.
pub(crate) fn split_block(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some(head) = bytes.get(..BLOCK_BYTES) else { return (bytes, &[]) };
    let end = match memrchr(b'\n', head) {
        Some(at) => at + 1,
        None => match memchr(b'\n', bytes.get(BLOCK_BYTES..).unwrap_or(&[])) {
            Some(at) => BLOCK_BYTES + at + 1,
            None => bytes.len(),
        },
    };
    bytes.split_at(end)
}

/// Whether whole lines need no second look: no quote, no NUL, no CR but before LF, valid UTF-8.
pub(crate) fn is_plain(lines: &[u8]) -> bool {
    let mut high = 0_u8;
    let mut quotes_or_nuls = false;
    let mut returns = false;
    let (words, rest) = lines.as_chunks::<32>();
    for word in words {
        // one pass without branches, which compilers turn into vector instructions
        let (mut h, mut q, mut r) = (0_u8, 0_u8, 0_u8);
        for byte in word {
            h |= *byte;
            q |= u8::from(*byte == b'"') | u8::from(*byte == 0);
            r |= u8::from(*byte == b'\r');
        }
        high |= h;
        quotes_or_nuls |= q != 0;
        returns |= r != 0;
    }
    for byte in rest {
        high |= *byte;
        quotes_or_nuls |= matches!(*byte, b'"' | 0);
        returns |= *byte == b'\r';
    }
    !quotes_or_nuls
        && (!returns || memchr_iter(b'\r', lines).all(|at| lines.get(at + 1) == Some(&b'\n')))
        && (high < 0x80 || std::str::from_utf8(lines).is_ok())
}

/// Where the fields of plain lines end: twice the position, plus one at a line's end.
#[derive(Default)]
pub(crate) struct FieldEnds {
    /// Longer than needed, so that marks are written eight at a time.
    ends: Vec<u32>,
}

impl FieldEnds {
    /// Finds the field ends of `lines` (far below 2 GiB of them), whose end ends a line.
    pub(crate) fn find(&mut self, lines: &[u8], delimiter: u8) -> &[u32] {
        if self.ends.len() < lines.len() + 8 {
            self.ends.resize(lines.len() + 8, 0);
        }
        let mut count = 0;
        let mut base = 0_u32;
        let (words, rest) = lines.as_chunks::<64>();
        for word in words {
            count += self.write(word, marks(word, delimiter), base, count);
            base += 64;
        }
        for byte in rest {
            if *byte == b'\n' || *byte == delimiter {
                count += self.put(count, base << 1 | u32::from(*byte == b'\n'));
            }
            base += 1;
        }
        if lines.last() != Some(&b'\n') {
            count += self.put(count, base << 1 | 1);
        }
        self.ends.get(..count).unwrap_or(&[])
    }

    /// Writes the marked positions of a word from `count` on, and says how many they are.
    #[inline]
    fn write(&mut self, word: &[u8; 64], mut marks: u64, base: u32, count: usize) -> usize {
        let total = marks.count_ones() as usize;
        let mut written = count;
        // most words hold fewer than eight: then the only branch is one that is never mispredicted
        while let Some(eight) = self.ends.get_mut(written..).and_then(<[u32]>::first_chunk_mut::<8>) {
            for end in eight {
                let at = marks.trailing_zeros() & 63;
                let is_feed = word.get(at as usize) == Some(&b'\n');
                *end = (base + at) << 1 | u32::from(is_feed);
                marks &= marks.wrapping_sub(1);
            }
            written += 8;
            if marks == 0 {
                break;
            }
        }
        total
    }

    #[inline]
    fn put(&mut self, count: usize, end: u32) -> usize {
        self.ends.get_mut(count).map_or(0, |place| {
            *place = end;
            1
        })
    }
}

/// Which of 64 bytes are delimiters or line feeds; the first byte in the lowest bit.
#[inline]
fn marks(word: &[u8; 64], delimiter: u8) -> u64 {
    let mut is_mark = [0_u8; 64];
    for (mark, byte) in is_mark.iter_mut().zip(word) {
        *mark = u8::from(*byte == delimiter) | u8::from(*byte == b'\n');
    }
    let mut marks = 0;
    for (i, eight) in is_mark.as_chunks::<8>().0.iter().enumerate() {
        // eight bytes of 0 or 1 to eight bits
        let bits = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        marks |= bits << (i * 8);
    }
    marks
}

/// The line that begins `bytes`, without its line end, and what follows its line end.
pub(crate) fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b'\n', bytes) {
        None => (bytes, &[]),
        Some(at) => {
            let (line, rest) = bytes.split_at(at);
            (line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..).unwrap_or(&[]))
        }
    }
}

/// What stands around a field without being part of it, as the contract has it; also around names in a profile.
pub const BLANKS: [char; 2] = [' ', '\t'];

/// `text` without [`BLANKS`] around it.
#[inline]
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The fields of one line: unquoted, trimmed.
#[derive(Default)]
pub(crate) struct Fields {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Fields {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(index).copied().unwrap_or(start);
        trim(self.text.get(start..end).unwrap_or(&[]))
    }

    /// Reads a line (without its line end); false where a quote or CR is out of place, or the line
    /// holds a NUL or is not UTF-8.
    pub(crate) fn split(&mut self, line: &[u8], delimiter: u8) -> bool {
        self.text.clear();
        self.ends.clear();
        if memchr::memchr2(b'\r', 0, line).is_some() || std::str::from_utf8(line).is_err() {
            return false;
        }
        let mut rest = line;
        loop {
            let blank = |byte: &&u8| matches!(**byte, b' ' | b'\t') && **byte != delimiter;
            let start = rest.iter().take_while(blank).count();
            let after = match rest.get(start..) {
                Some([b'"', quoted @ ..]) => {
                    let Some(after) = self.unquote(quoted) else { return false };
                    after.get(after.iter().take_while(blank).count()..).unwrap_or(&[])
                }
                _ => {
                    let (field, after) = rest.split_at(memchr(delimiter, rest).unwrap_or(rest.len()));
                    self.text.extend_from_slice(field);
                    after
                }
            };
            self.ends.push(self.text.len());
            match after {
                [] => return true,
                [next, after @ ..] if *next == delimiter => rest = after,
                _ => return false,
            }
        }
    }

    /// Takes what stands up to the closing quote, and returns what follows it.
    fn unquote<'l>(&mut self, mut quoted: &'l [u8]) -> Option<&'l [u8]> {
        loop {
            let (text, after) = quoted.split_at(memchr(b'"', quoted)?);
            self.text.extend_from_slice(text);
            match after {
                [b'"', b'"', rest @ ..] => {
                    self.text.push(b'"');
                    quoted = rest;
                }
                _ => return after.get(1..),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(line: &str, delimiter: u8) -> Option<Vec<String>> {
        let mut fields = Fields::default();
        if !fields.split(line.as_bytes(), delimiter) {
            return None;
        }
        Some((0..fields.len()).map(|i| String::from_utf8(fields.get(i).to_vec()).unwrap()).collect())
    }

    #[track_caller]
    fn check(line: &str, expected: Option<&[&str]>) {
        let expected = expected.map(|fields| fields.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>());
        assert_eq!(split(line, b','), expected, "{line}");
    }

    #[test]
    fn quotes_are_quotes_at_the_start_of_a_field_only() {
        for (line, expected) in [
            ("a,b", Some(&["a", "b"][..])),
            ("", Some(&[""])),
            (",", Some(&["", ""])),
            (" a ,\tb\t", Some(&["a", "b"])),
            ("\"a\",b", Some(&["a", "b"])),
            (" \"a\" ,b", Some(&["a", "b"])),
            ("\t\"a\"\t", Some(&["a"])),
            ("\"a,b\",c", Some(&["a,b", "c"])),
            ("\"a\"\"b\"", Some(&["a\"b"])),
            ("\"\"", Some(&[""])),
            ("\"\"\"\"", Some(&["\""])),
            ("\" a \"", Some(&["a"])),
            ("a\"b,c\"", Some(&["a\"b", "c\""])),
            ("\"a", None),
            ("\"a,b", None),
            ("\"a\"b", None),
            ("\"a\" b,c", None),
            ("\"a\"\"", None),
            ("a\rb", None),
            ("a\r", None),
            ("\"a\r\"", None),
            ("a\0b", None),
        ] {
            check(line, expected);
        }
        assert_eq!(split("a\t\"b\"\t", b'\t').unwrap(), ["a", "b", ""]);
        assert!(!Fields::default().split(b"a\xff", b','));
    }

    #[test]
    fn plain_lines_have_no_quote_no_nul_and_no_lone_cr() {
        let long = "x".repeat(100);
        for (lines, expected) in [
            ("a,b\n", true),
            ("a,b\r\n", true),
            ("é\n", true),
            ("a\r", false),
            ("a\r\r\n", false),
            ("a\"\n", false),
            ("a\0\n", false),
        ] {
            assert_eq!(is_plain(lines.as_bytes()), expected, "{lines:?}");
            assert_eq!(is_plain(format!("{long}{lines}").as_bytes()), expected, "{lines:?}");
            assert_eq!(
                is_plain(format!("{lines}{long}").as_bytes()),
                expected && lines != "a\r",
                "{lines:?}"
            );
        }
        assert!(!is_plain(b"a\xff\n"));
    }

    #[test]
    fn one_bad_byte_is_found_wherever_it_stands() {
        for len in 1..100 {
            for at in 0..len {
                let mut lines = vec![b'x'; len];
                assert!(is_plain(&lines));
                for bad in [b'"', 0, b'\r', 0x80, 0xff] {
                    lines[at] = bad;
                    assert!(!is_plain(&lines), "{bad} at {at} of {len}");
                }
            }
        }
        for bad in [b'"', 0, b'\r', 0x80, 0xff] {
            assert!(!is_plain(&[bad; 64]) && !is_plain(&[bad]), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn field_ends_are_where_a_simple_loop_finds_them(
            lines in prop::collection::vec(prop::sample::select(b"ab,\n\x8a\x2d\xac".to_vec()), 0..300),
        ) {
            let mut ends = FieldEnds::default();
            ends.find(b"of,other\nlines\n", b',');
            let ends = ends.find(&lines, b',').to_vec();
            let mut simple: Vec<u32> = Vec::new();
            for (at, byte) in (0_u32..).zip(&lines) {
                match byte {
                    b',' => simple.push(at * 2),
                    b'\n' => simple.push(at * 2 + 1),
                    _ => {}
                }
            }
            if lines.last() != Some(&b'\n') {
                simple.push(u32::try_from(lines.len()).unwrap() * 2 + 1);
            }
            prop_assert_eq!(ends, simple);
        }

        #[test]
        fn plain_lines_split_the_same_with_and_without_quotes(
            fields in prop::collection::vec("[ -!#-+.-~é\"]{0,9}", 1..5),
        ) {
            let quoted: Vec<_> = fields.iter().map(|f| format!("\"{}\"", f.replace('"', "\"\""))).collect();
            let expected: Vec<_> = fields.iter().map(|f| f.trim_matches([' ', '\t']).to_owned()).collect();
            prop_assert_eq!(split(&quoted.join(","), b','), Some(expected));
        }
    }
}
