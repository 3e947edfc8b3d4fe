//! Takes a folder away in one step, whenever the process dies.
//!
//! A folder that is emptied file by file is neither there nor gone for a while: a table of which some log
//! entries are left can be neither read nor begun anew. So it gets another name first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the content of a volume goes that cannot get another name itself.
const WITHIN: &str = ".old";

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
    match unless_missing(fs::rename(folder, aside(folder))) {
        Err(error) if is_own_volume(&error) => put_content_aside(folder),
        done => done,
    }
}

/// Whether a folder cannot be moved because it is a volume of its own, or is to go to one.
pub(crate) fn is_own_volume(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices)
}

/// The same where the folder itself must stay: what is in it gets another name within it.
fn put_content_aside(folder: &Path) -> io::Result<()> {
    let inside = folder.join(WITHIN);
    fs::create_dir_all(&inside)?;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name != WITHIN && name != "lost+found" {
            fs::rename(folder.join(&name), inside.join(&name))?;
        }
    }
    Ok(())
}

/// Removes what a folder that was taken away has left.
pub(crate) fn clear_aside(folder: &Path) -> io::Result<()> {
    unless_missing(fs::remove_dir_all(aside(folder)))?;
    unless_missing(fs::remove_dir_all(folder.join(WITHIN)))
}

/// What is not there need not be removed.
pub(crate) fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
