//! Reads an object like a file: block after block, each by its range, so that a read that is cut goes on where
//! it was.

use super::bucket::Bucket;
use super::error::Error;
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes asked for at once. Smaller costs requests (each is paid for and takes an assumed 30 ms), larger costs
/// memory. Tests read objects of a few of them.
const BLOCK: u64 = if cfg!(test) { 4 << 10 } else { 4 << 20 };

/// An object being read.
pub struct Reader {
    bucket: Bucket,
    key: String,
    /// Its size in bytes.
    size: u64,
    /// Where the next byte is read.
    at: u64,
    block: Vec<u8>,
    /// Where the block begins.
    start: u64,
}

impl Reader {
    pub(super) fn open(bucket: Bucket, key: String) -> Result<Reader, Error> {
        let (block, size) = match bucket.range(&key, 0..BLOCK) {
            Ok(read) => read,
            // an object without bytes has no range, which each store says in its own way
            Err(error) => match bucket.head(&key)? {
                Some(found) if found.bytes == 0 => (Vec::new(), 0),
                _ => return Err(error),
            },
        };
        Ok(Reader { bucket, key, size, at: 0, block, start: 0 })
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What of the block has not been read.
    fn rest(&self) -> &[u8] {
        let from = self.at.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        from.and_then(|from| self.block.get(from..)).unwrap_or_default()
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        if self.rest().is_empty() {
            let until = self.at.saturating_add(BLOCK).min(self.size);
            let (block, size) = self.bucket.range(&self.key, self.at..until)?;
            if size != self.size {
                let problem = format!("it had {} bytes, and has {size}", self.size);
                let object = self.bucket.url_of(&self.key);
                return Err(Error::of_kind("read", object, super::error::Kind::Changed, &problem).into());
            }
            (self.block, self.start) = (block, self.at);
        }
        let count = self.rest().read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
