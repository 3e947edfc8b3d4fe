//! The decoded bytes of an upload: gzip and zstd are known by their first bytes, never by a name.
//!
//! Damaged data is a [`Refusal`], for the upload is at fault; a failing disk is an error, for it is
//! not. The two come through one `Read`, so the disk's own errors are told apart at the source.

use super::error::{Doing, Error};
use super::files::Opened;
use super::source::{Source, open_regular};
use flate2::bufread::MultiGzDecoder;
use greenstream_core::decode::{Encoding, Refusal, Transcoder};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The usual limit of the decoded size, in bytes. Smaller refuses honest bulk files (a day of 50,000
/// meters has 250 MB), larger lets one small file fill the memory.
pub const DECODED_BYTES_MAX: u64 = 1 << 30;

/// The largest window of a zstd frame, as a power of two: 128 MiB, what the format's own tool
/// accepts unasked.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Bytes that become UTF-8 at a time.
const TEXT_BYTES: usize = 64 << 10;

/// Decoded bytes that tell a header: more than any has, few enough to be read for each upload.
const HEAD_BYTES: u64 = 16 << 10;

/// The first decoded bytes of a source, to choose its feed by; none where it cannot be read, which
/// landing it tells.
#[must_use]
pub fn head_of(source: &Source) -> Vec<u8> {
    let mut head = Vec::new();
    // what has been read before an error is head enough, or fits no feed
    let _ = match source {
        Source::Bytes(bytes) => decoded(bytes).and_then(|text| text.take(HEAD_BYTES).read_to_end(&mut head)),
        Source::File(path) | Source::Inbox(path) => {
            match open_regular(path).and_then(|file| Content::new(file, path, u64::MAX)) {
                Ok(content) => content.take(HEAD_BYTES).read_to_end(&mut head),
                Err(_) => Ok(0),
            }
        }
    };
    head
}

/// Received bytes that are in memory, decoded.
fn decoded(bytes: &[u8]) -> io::Result<Box<dyn Read + '_>> {
    Ok(match Compression::of(bytes) {
        Compression::None => Box::new(bytes),
        Compression::Gzip => Box::new(MultiGzDecoder::new(bytes)),
        Compression::Zstd => Box::new(zstd_decoder(bytes)?),
    })
}

fn zstd_decoder<R: BufRead>(raw: R) -> io::Result<zstd::stream::read::Decoder<'static, R>> {
    let mut zstd = zstd::stream::read::Decoder::with_buffer(raw)?;
    zstd.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(zstd)
}

/// How bytes are compressed.
enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// By the first bytes; four are enough.
    fn of(bytes: &[u8]) -> Compression {
        match bytes {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            // a frame, or a skippable one before it
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

/// Why content could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The upload is at fault: it becomes a dead letter.
    #[error(transparent)]
    Refused(Refusal),
    /// The world is at fault: try again.
    #[error(transparent)]
    World(#[from] Error),
}

/// The decoded bytes of one upload. Reading fails with an `io::Error` that [`Content::failure`] tells
/// apart; [`Content::read_all`] does so by itself.
pub struct Content {
    decoder: Decoder,
    /// Makes the text UTF-8 where it is not.
    text: Option<Text>,
    path: PathBuf,
    limit: u64,
    /// Decoded bytes given so far.
    given: u64,
}

/// Text on its way to UTF-8.
struct Text {
    transcoder: Transcoder,
    /// Bytes as they were sent.
    block: Vec<u8>,
    /// UTF-8, of which `given` bytes are given.
    ready: Vec<u8>,
    given: usize,
    /// The bytes are at their end, and the transcoder has been told so.
    ended: bool,
}

enum Decoder {
    Plain(Raw),
    Gzip(Box<MultiGzDecoder<Raw>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Raw>>),
}

/// The bytes on disk. Marks the errors of the disk, which decoders would mix with their own.
struct Raw(BufReader<Opened>);

/// An error of the disk, passed through a decoder.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct OfDisk(#[source] io::Error);

fn mark(error: io::Error) -> io::Error {
    // decoders try again by themselves on this one
    if error.kind() == io::ErrorKind::Interrupted { error } else { io::Error::other(OfDisk(error)) }
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(mark)
    }
}

impl BufRead for Raw {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf().map_err(mark)
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

impl Content {
    /// The decoded bytes of `file` (opened from `path`), at most `limit` of them.
    ///
    /// # Errors
    /// [`Error::Io`] where its first bytes cannot be read.
    pub fn new(file: File, path: &Path, limit: u64) -> Result<Content, Error> {
        Content::of(Opened::File(file), path, limit)
    }

    pub(super) fn of(mut file: Opened, path: &Path, limit: u64) -> Result<Content, Error> {
        let mut magic = Vec::with_capacity(4);
        file.by_ref().take(4).read_to_end(&mut magic).doing("read", path)?;
        file.rewind().doing("read", path)?;
        let raw = Raw(BufReader::with_capacity(256 << 10, file));
        let decoder = match Compression::of(&magic) {
            Compression::None => Decoder::Plain(raw),
            Compression::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(raw))),
            Compression::Zstd => Decoder::Zstd(Box::new(zstd_decoder(raw).doing("decode", path)?)),
        };
        Ok(Content { decoder, text: None, path: path.to_owned(), limit, given: 0 })
    }

    /// The same as UTF-8, for a feed whose text is in another encoding. Before anything is read.
    #[must_use]
    pub fn written_in(self, encoding: Option<Encoding>) -> Content {
        let text = encoding.map(|encoding| Text {
            transcoder: encoding.transcoder(),
            block: vec![0; TEXT_BYTES],
            ready: Vec::new(),
            given: 0,
            ended: false,
        });
        Content { text, ..self }
    }

    /// How the bytes are compressed: `gzip`, `zstd` or `none`.
    #[must_use]
    pub const fn compression(&self) -> &'static str {
        match self.decoder {
            Decoder::Plain(_) => "none",
            Decoder::Gzip(_) => "gzip",
            Decoder::Zstd(_) => "zstd",
        }
    }

    /// What an error of reading means.
    #[must_use]
    pub fn failure(&self, error: io::Error) -> Failure {
        match error.downcast::<Refusal>() {
            Ok(refusal) => Failure::Refused(refusal),
            Err(source) => Failure::World(Error::Io { action: "read", path: self.path.clone(), source }),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// [`Failure::Refused`] for damage or more than the limit, [`Failure::World`] if the disk fails.
    pub fn read_all(mut self) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        match self.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// The decoded bytes from `offset` on, `len` of them, or fewer where the content ends.
    pub(super) fn range(mut self, offset: u64, len: usize) -> Result<Vec<u8>, Failure> {
        let (mut bytes, len) = (Vec::new(), len as u64);
        let read = self.skip(offset).and_then(|()| self.by_ref().take(len).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(bytes),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// Puts another file under the decoder, for tests of a failing disk.
    #[cfg(test)]
    pub(super) fn break_disk(&mut self, file: File) {
        let raw = Raw(BufReader::new(Opened::File(file)));
        match &mut self.decoder {
            Decoder::Plain(plain) => *plain = raw,
            Decoder::Gzip(gzip) => *gzip.get_mut() = raw,
            Decoder::Zstd(zstd) => *zstd.get_mut() = raw,
        }
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match &mut self.decoder {
            Decoder::Plain(raw) if self.text.is_none() => {
                raw.0.seek(SeekFrom::Start(bytes))?;
                self.given = bytes;
            }
            _ => {
                io::copy(&mut self.by_ref().take(bytes), &mut io::sink())?;
            }
        }
        Ok(())
    }

    fn refusal(&self, error: io::Error) -> io::Error {
        match error.downcast::<OfDisk>() {
            Ok(OfDisk(of_disk)) => of_disk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => error,
            Err(error) => io::Error::new(
                io::ErrorKind::InvalidData,
                Refusal::Damaged {
                    format: self.compression(),
                    bytes: self.given,
                    problem: error.to_string(),
                },
            ),
        }
    }
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::Plain(raw) => raw.read(buffer),
            Decoder::Gzip(gzip) => gzip.read(buffer),
            Decoder::Zstd(zstd) => zstd.read(buffer),
        }
    }
}

impl Text {
    fn read(&mut self, decoder: &mut Decoder, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready.len() {
            // to read on at the end is no fault, and finds nothing
            if self.ended {
                return Ok(0);
            }
            let read = decoder.read(&mut self.block)?;
            (self.given, self.ready) = (0, std::mem::take(&mut self.ready));
            self.ready.clear();
            self.ended = read == 0;
            self.transcoder.push(&self.block[..read], self.ended, &mut self.ready);
        }
        let count = (&self.ready[self.given..]).read(buffer)?;
        self.given += count;
        Ok(count)
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.text {
            None => self.decoder.read(buffer),
            Some(text) => text.read(&mut self.decoder, buffer),
        };
        let count = read.map_err(|error| self.refusal(error))?;
        self.given += count as u64;
        if self.given > self.limit && count > 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, Refusal::TooLarge { limit: self.limit }));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_was_interrupted_is_no_damage() {
        let file = tempfile::tempfile().unwrap();
        let content = Content::new(file, Path::new("x"), 9).unwrap();
        let interrupted = content.refusal(io::ErrorKind::Interrupted.into());
        assert_eq!(interrupted.kind(), io::ErrorKind::Interrupted);
        assert!(matches!(content.failure(interrupted), Failure::World(_)));
        let damaged = content.refusal(io::ErrorKind::UnexpectedEof.into());
        assert!(matches!(content.failure(damaged), Failure::Refused(Refusal::Damaged { .. })));
    }
}
