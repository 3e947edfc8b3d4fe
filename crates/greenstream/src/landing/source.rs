//! Where an upload comes from, read without trust: only regular files, never through a link.

use super::error::{Doing, Error};
use super::hash::{Hash, Hasher};
use std::fmt::Write as _;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes read at a time, and the most that is held of a large file. Smaller costs system calls,
/// larger costs memory. Tests land hundreds of files above it, so theirs is small.
pub(super) const BLOCK: usize = if cfg!(test) { 4 << 10 } else { 1 << 20 };

/// The largest source that lands, in bytes as received. It bounds the disk and the time that one
/// sender can take; a day of 50,000 meters has 250 MB.
pub const UPLOAD_BYTES_MAX: u64 = 4 << 30;

/// The longest name kept, in bytes. A file name of 255 bytes fits even when each is escaped.
pub const NAME_BYTES_MAX: usize = 1024;

/// The bytes of an upload before they have landed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A file that stays where it is.
    File(PathBuf),
    /// A file of the inbox: removed once its bytes are durable.
    Inbox(PathBuf),
    /// Bytes received over the network.
    Bytes(Vec<u8>),
}

/// Opens a regular file for reading. Never follows a symbolic link in the last part of the path and
/// never waits for the other end of a FIFO.
///
/// # Errors
/// [`Error::NotRegular`] for anything but a regular file, [`Error::Io`] if it cannot be opened.
pub fn open_regular(path: &Path) -> Result<File, Error> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let found = match &opened {
        Ok(file) => file.metadata(),
        Err(_) => fs::symlink_metadata(path),
    };
    match (found.map(|metadata| what_is(metadata.file_type())), opened) {
        (Ok(Some(what)), _) => Err(Error::NotRegular { path: path.to_owned(), what }),
        (Err(error), Ok(_)) | (_, Err(error)) => Err(error).doing("open", path),
        (Ok(None), Ok(file)) => Ok(file),
    }
}

/// What a directory entry is if it is no regular file, with its article.
#[must_use]
pub fn what_is(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a folder"),
        kind if kind.is_symlink() => Some("a symbolic link"),
        kind if kind.is_fifo() => Some("a FIFO"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

/// The name of a file as text: bytes that are not UTF-8 as `\xNN`. For people only, so a name that
/// really holds such an escape is not told apart.
#[must_use]
pub fn name_of(path: &Path) -> String {
    name_as_text(path.file_name().unwrap_or(path.as_os_str()).as_bytes())
}

/// The bytes of a name as text, in the way of [`name_of`].
#[must_use]
pub fn name_as_text(bytes: &[u8]) -> String {
    let mut name = String::new();
    for chunk in bytes.utf8_chunks() {
        name.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // writing to a string cannot fail
            let _ = write!(name, "\\x{byte:02x}");
        }
    }
    name
}

/// A name within [`NAME_BYTES_MAX`], cut with `…` where it was longer.
pub(super) fn short_name(mut name: String) -> String {
    if name.len() > NAME_BYTES_MAX {
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX - '…'.len_utf8()));
        name.push('…');
    }
    name
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(metadata: &fs::Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// A state without a file, for tests.
    #[cfg(test)]
    pub(crate) const fn made_up(bytes: u64, modified: i64) -> Stamp {
        Stamp { device: 0, inode: 0, bytes, modified: (modified, 0) }
    }

    /// When it was last written, in seconds and nanoseconds since the epoch.
    pub(crate) const fn modified(&self) -> (i64, i64) {
        self.modified
    }
}

/// A source being read.
pub(super) enum Reading<'a> {
    File { file: File, path: &'a Path, stamp: Stamp },
    Bytes(&'a [u8]),
}

impl<'a> Reading<'a> {
    pub(super) fn open(source: &'a Source) -> Result<Reading<'a>, Error> {
        let path = match source {
            Source::Bytes(bytes) => return Ok(Reading::Bytes(bytes)),
            Source::File(path) | Source::Inbox(path) => path,
        };
        let file = open_regular(path)?;
        let stamp = Stamp::of(&file.metadata().doing("read", path)?);
        if stamp.bytes > UPLOAD_BYTES_MAX {
            return Err(Error::TooLarge { path: path.clone(), bytes: stamp.bytes, limit: UPLOAD_BYTES_MAX });
        }
        Ok(Reading::File { file, path, stamp })
    }

    /// The next bytes, at most [`BLOCK`]; fewer only at the end. `block` is where a file's go.
    pub(super) fn next<'b>(&'b mut self, block: &'b mut Vec<u8>) -> Result<&'b [u8], Error> {
        match self {
            Reading::Bytes(bytes) => {
                let (next, rest) = bytes.split_at(bytes.len().min(BLOCK));
                *bytes = rest;
                Ok(next)
            }
            Reading::File { file, path, .. } => {
                block.clear();
                file.take(BLOCK as u64).read_to_end(block).doing("read", path)?;
                Ok(block)
            }
        }
    }

    /// The state of the file that was read, if it is still the same and was read to its end.
    pub(super) fn finish(self, bytes: u64) -> Result<Option<Stamp>, Error> {
        let Reading::File { file, path, stamp } = self else { return Ok(None) };
        let now = Stamp::of(&file.metadata().doing("read", path)?);
        if now != stamp || stamp.bytes != bytes {
            return Err(Error::Changed { path: path.to_owned() });
        }
        Ok(Some(stamp))
    }
}

/// The hash and the size of a source in bytes, landing nothing: for a dry run.
///
/// # Errors
/// As for landing it: [`Error::NotRegular`], [`Error::TooLarge`], [`Error::Changed`], [`Error::Io`].
pub fn hash_of(source: &Source) -> Result<(Hash, u64), Error> {
    let (mut reading, mut block) = (Reading::open(source)?, Vec::new());
    let (mut hasher, mut bytes) = (Hasher::new(), 0);
    loop {
        let next = reading.next(&mut block)?;
        hasher.update(next);
        bytes += next.len() as u64;
        if next.len() < BLOCK {
            break;
        }
    }
    reading.finish(bytes)?;
    Ok((hasher.finish(), bytes))
}

/// Removes a file if it is still the one that was read; a newer one under its name stays.
pub(super) fn remove_if_same(path: &Path, stamp: &Stamp) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if Stamp::of(&metadata) == *stamp => fs::remove_file(path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_upload_is_taken_and_a_larger_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::File(dir.path().join("large"));
        let Source::File(path) = &source else { panic!() };
        for (bytes, is_taken) in [(UPLOAD_BYTES_MAX, true), (UPLOAD_BYTES_MAX + 1, false)] {
            // it takes no room: nothing of it is written
            File::create(path).unwrap().set_len(bytes).unwrap();
            assert_eq!(Reading::open(&source).is_ok(), is_taken, "{bytes}");
        }
    }

    #[test]
    fn a_stamp_tells_when_a_file_was_written() {
        let file = tempfile::tempfile().unwrap();
        let at = std::time::UNIX_EPOCH + std::time::Duration::new(1_772_409_600, 5);
        file.set_modified(at).unwrap();
        assert_eq!(Stamp::of(&file.metadata().unwrap()).modified(), (1_772_409_600, 5));
    }

    #[test]
    fn a_name_as_long_as_the_limit_is_kept_and_a_longer_one_is_cut() {
        let whole = "n".repeat(NAME_BYTES_MAX);
        assert_eq!(short_name(whole.clone()), whole);
        let cut = short_name(format!("{whole}n"));
        assert!(cut.len() <= NAME_BYTES_MAX && cut.ends_with('…'), "{cut}");
    }
}
