//! Objects: the bytes of uploads exactly as received, each under the name of its own hash.

use super::content::{Content, Failure};
use super::disk::create_folder;
use super::error::{Doing, Error};
use super::files::Files;
use super::hash::Hash;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The folder of objects, on this machine or in a bucket. Cheap to clone, so that workers read while others land.
#[derive(Clone, Debug)]
pub struct Objects {
    files: Files,
    folder: PathBuf,
}

impl Objects {
    pub(super) fn new(files: Files) -> Objects {
        Objects { folder: files.root().join("objects"), files }
    }

    /// Creates the 256 folders by which objects are spread, so that landing creates none. A bucket has no
    /// folders.
    pub(super) fn create_folders(&self) -> Result<(), Error> {
        create_folder(&self.folder).doing("create", &self.folder)?;
        let mut any_new = false;
        for byte in 0..=255_u8 {
            let folder = self.folder.join(format!("{byte:02x}"));
            if !folder.is_dir() {
                fs::create_dir(&folder).doing("create", &folder)?;
                any_new = true;
            }
        }
        if any_new {
            File::open(&self.folder).and_then(|folder| folder.sync_all()).doing("sync", &self.folder)?;
        }
        Ok(())
    }

    pub(super) const fn files(&self) -> &Files {
        &self.files
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder in which an object lies.
    pub(super) fn folder_of(&self, sha256: &Hash) -> PathBuf {
        self.folder.join(format!("{:02x}", sha256.bytes()[0]))
    }

    /// Where an object lies: `objects/ab/<64 hexadecimal digits>`.
    #[must_use]
    pub fn path_of(&self, sha256: &Hash) -> PathBuf {
        self.folder_of(sha256).join(sha256.to_string())
    }

    /// The decoded bytes of an object, to be read as they come; at most `limit` of them.
    ///
    /// # Errors
    /// [`Error::Io`] if the object cannot be opened or read; damage shows while reading.
    pub fn content(&self, sha256: &Hash, limit: u64) -> Result<Content, Error> {
        let path = self.path_of(sha256);
        let file = self.files.open_upload(&path, sha256)?;
        Content::of(file, &path, limit)
    }

    /// The decoded bytes from `offset` on, `len` of them, or fewer where the content ends.
    ///
    /// # Errors
    /// [`Failure::Refused`] where the content is damaged before that, [`Failure::World`] where it cannot
    /// be read.
    pub fn range(&self, sha256: &Hash, offset: u64, len: usize) -> Result<Vec<u8>, Failure> {
        self.content(sha256, super::content::DECODED_BYTES_MAX)?.range(offset, len)
    }
}
