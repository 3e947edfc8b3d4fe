//! Takes a folder away in one step, whenever the process dies.
//!
//! A folder that is emptied file by file is neither there nor gone for a while: a table of which some log
//! entries are left can be neither read nor begun anew. So it gets another name first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The name of a folder that was taken away and may not be empty yet.
fn aside(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".old");
    PathBuf::from(name)
}

/// Removes a folder with all that is in it; one that is not there is no error.
pub(crate) fn take_away(folder: &Path) -> io::Result<()> {
    put_aside(folder)?;
    clear_aside(folder)
}

/// Takes the name of a folder away; its files go with [`clear_aside`].
pub(crate) fn put_aside(folder: &Path) -> io::Result<()> {
    clear_aside(folder)?;
    unless_missing(fs::rename(folder, aside(folder)))
}

/// Removes what a folder that was taken away has left.
pub(crate) fn clear_aside(folder: &Path) -> io::Result<()> {
    unless_missing(fs::remove_dir_all(aside(folder)))
}

/// What is not there need not be removed.
pub(crate) fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
