//! Text in other encodings than UTF-8: what a feed says its files are written in, and how they become
//! UTF-8 piece by piece. All offsets of a decoded upload count the UTF-8 bytes.

use std::fmt;

use encoding_rs::DecoderResult;
use serde::{Deserialize, Deserializer, de};

/// The encoding of a feed's files. In TOML the usual names: `utf-16`, `latin-1`, `windows-1252`,
/// `shift_jis`, … A byte-order mark goes before what the feed says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Encoding(&'static encoding_rs::Encoding);

impl Encoding {
    /// The encoding of this name, in any case; none where it is unknown.
    #[must_use]
    pub fn named(name: &str) -> Option<Encoding> {
        let name = name.trim().to_ascii_lowercase();
        // names that people use and the registry of the web lacks
        let name = match name.as_str() {
            "latin-1" => "latin1",
            "latin-9" => "iso-8859-15",
            name => name,
        };
        let found = encoding_rs::Encoding::for_label_no_replacement(name.as_bytes())?;
        Some(Encoding(found))
    }

    /// The name as tables show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Begins to read a text.
    #[must_use]
    pub fn transcoder(self) -> Transcoder {
        Transcoder { decoder: self.0.new_decoder() }
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Encoding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Encoding, D::Error> {
        let name = String::deserialize(deserializer)?;
        Encoding::named(&name).ok_or_else(|| {
            de::Error::custom(format!("`{name}` is no encoding such as `utf-16`, `latin-1` or `shift_jis`"))
        })
    }
}

/// Turns bytes into UTF-8, however they are cut. A byte-order mark at the start is taken away.
pub struct Transcoder {
    decoder: encoding_rs::Decoder,
}

impl Transcoder {
    /// Stands for what is no text in the encoding: no UTF-8 either, so that the row is rejected.
    const INVALID: u8 = 0xff;

    /// Appends what `bytes` say to `out`; `at_end` says that nothing follows them.
    pub fn push(&mut self, bytes: &[u8], at_end: bool, out: &mut Vec<u8>) {
        let mut rest = bytes;
        loop {
            let more =
                self.decoder.max_utf8_buffer_length_without_replacement(rest.len()).unwrap_or(rest.len());
            let before = out.len();
            out.resize(before + more, 0);
            let room = out.get_mut(before..).unwrap_or_default();
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(rest, room, at_end);
            out.truncate(before + written);
            rest = rest.get(read..).unwrap_or_default();
            match result {
                DecoderResult::InputEmpty => return,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => out.push(Transcoder::INVALID),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text as UTF-8, in pieces of every size.
    #[track_caller]
    fn check(encoding: &str, bytes: &[u8], expected: &[u8]) {
        let encoding = Encoding::named(encoding).unwrap();
        for size in 1..=bytes.len() {
            let (mut transcoder, mut out) = (encoding.transcoder(), Vec::new());
            for piece in bytes.chunks(size) {
                transcoder.push(piece, false, &mut out);
            }
            transcoder.push(&[], true, &mut out);
            assert_eq!(out, expected, "pieces of {size}");
        }
    }

    #[test]
    fn text_becomes_utf8_however_it_is_cut() {
        let little: Vec<u8> = "é;€;𝄞\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "\u{feff}é;€".encode_utf16().flat_map(u16::to_be_bytes).collect();
        check("utf-16", &little, "é;€;𝄞\r\n".as_bytes());
        check("utf-16", &big, "é;€".as_bytes());
        check("Latin-1", b"Z\xe4hler;1,5", "Zähler;1,5".as_bytes());
        check("windows-1252", b"\x80", "€".as_bytes());
        check("latin-9", b"\xa4", "€".as_bytes());
        check("shift_jis", b"\x8e\x9e\x8a\xd4", "時間".as_bytes());
        check("utf-8", b"\xef\xbb\xbfa", b"a");
    }

    #[test]
    fn what_is_no_text_stays_none() {
        check("utf-16", b"a\0\0\xd8b\0", b"a\xffb");
        check("utf-16", b"a\0b", b"a\xff");
        check("shift_jis", b"\x81", b"\xff");
    }

    #[test]
    fn an_encoding_is_shown_by_its_usual_name() {
        for (given, shown) in [("UTF-16", "UTF-16LE"), ("latin-9", "ISO-8859-15"), ("shift_jis", "Shift_JIS")]
        {
            let encoding = Encoding::named(given).unwrap();
            assert_eq!((encoding.name(), format!("{encoding:?}").as_str()), (shown, shown));
        }
    }

    #[test]
    fn unknown_names_are_refused() {
        assert_eq!(Encoding::named("utf-17"), None);
        assert_eq!(Encoding::named("replacement"), None);
    }
}
