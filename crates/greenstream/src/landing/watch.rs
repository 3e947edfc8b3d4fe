//! Hashes bytes as they are read, and refuses the last of them where they are not what they must be.

use super::hash::{Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes whose hash is known. What is read from the first to the last byte is checked; who reads a part in the
/// middle has it unchecked.
pub(super) struct Watched<R> {
    inner: R,
    size: u64,
    sha256: Hash,
    at: u64,
    /// The hash of everything up to here; none where something was passed over.
    hasher: Option<Hasher>,
}

impl<R> Watched<R> {
    pub(super) fn new(inner: R, size: u64, sha256: Hash) -> Watched<R> {
        Watched { inner, size, sha256, at: 0, hasher: Some(Hasher::new()) }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.at += count as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        if self.at >= self.size
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.sha256
        {
            return Err(io::Error::other("it does not hold the bytes that had landed"));
        }
        Ok(count)
    }
}

impl<R: Seek> Seek for Watched<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = self.inner.seek(to)?;
        if at != self.at || at == 0 {
            self.hasher = (at == 0).then(Hasher::new);
        }
        self.at = at;
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_what_they_must_be_never_come_whole() {
        let read = |bytes: &[u8], wanted: &[u8], start: u64| {
            let cursor = io::Cursor::new(bytes.to_vec());
            let mut watched = Watched::new(cursor, bytes.len() as u64, Hash::of(wanted));
            let mut read = [0; 2];
            watched.read_exact(&mut read).unwrap();
            watched.seek(SeekFrom::Start(start)).unwrap();
            let mut all = Vec::new();
            watched.read_to_end(&mut all).map(|_| all)
        };
        assert_eq!(read(b"abcdef", b"abcdef", 0).unwrap(), b"abcdef");
        assert_eq!(read(b"abcdef", b"abcdef", 2).unwrap(), b"cdef");
        assert!(read(b"abcdeF", b"abcdef", 0).is_err());
        assert!(read(b"abcdeF", b"abcdef", 2).is_err(), "what goes on where it was is whole");
        assert_eq!(read(b"abcdeF", b"abcdef", 3).unwrap(), b"deF", "a part in the middle tells nothing");
    }
}
