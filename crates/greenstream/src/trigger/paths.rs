//! The files that paths on the command line stand for.

use super::unfit_name;
use crate::landing::{Error, what_is};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The files to land for these paths: a file as it is, a folder by what lies directly in it, in the order
/// of the names' bytes. Hidden files, `*.tmp`, `*.part` and what is no regular file are left out of a
/// folder with a warning each.
///
/// # Errors
/// [`Error::Io`] for a path that does not exist or cannot be read, [`Error::NotRegular`] for one that is
/// neither a folder nor a regular file.
pub fn scan_paths(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in paths {
        let read = |source| Error::Io { action: "read", path: path.clone(), source };
        let found = fs::symlink_metadata(path).map_err(read)?;
        if path.is_dir() {
            files.append(&mut scan_folder(path)?);
        } else if let Some(what) = what_is(found.file_type()) {
            return Err(Error::NotRegular { path: path.clone(), what });
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn scan_folder(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let list = |source| Error::Io { action: "list", path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(list)? {
        let entry = entry.map_err(list)?;
        let unfit = match unfit_name(&entry.file_name()) {
            None => what_is(entry.file_type().map_err(list)?),
            unfit => unfit,
        };
        match unfit {
            Some(why) => tracing::warn!(file = %entry.path().display(), "left out: it is {why}"),
            None => files.push(entry.path()),
        }
    }
    files.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(files: &[PathBuf]) -> Vec<&str> {
        files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect()
    }

    #[test]
    fn files_keep_the_order_given_and_folders_the_order_of_names() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        fs::create_dir_all(folder.join("deeper.csv")).unwrap();
        for name in ["b.csv", "B.csv", "a.csv", "é.csv", ".hidden", "x.tmp", "y.part"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        symlink(folder.join("a.csv"), folder.join("link.csv")).unwrap();
        let first = dir.path().join(".z.tmp");
        fs::write(&first, "x").unwrap();
        let files = scan_paths(&[first, folder]).unwrap();
        assert_eq!(names(&files), [".z.tmp", "B.csv", "a.csv", "b.csv", "é.csv"]);
    }

    #[test]
    fn a_folder_may_be_named_through_a_link_but_a_file_may_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        fs::write(dir.path().join("folder/a.csv"), "x").unwrap();
        symlink(dir.path().join("folder"), dir.path().join("to_folder")).unwrap();
        symlink(dir.path().join("folder/a.csv"), dir.path().join("to_file")).unwrap();
        assert_eq!(names(&scan_paths(&[dir.path().join("to_folder")]).unwrap()), ["a.csv"]);
        let error = scan_paths(&[dir.path().join("to_file")]).unwrap_err();
        assert!(error.to_string().ends_with("to_file is a symbolic link, not a regular file"), "{error}");
    }

    #[test]
    fn a_path_that_is_not_there_or_no_file_is_named_in_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = scan_paths(&[dir.path().join("nowhere.csv")]).unwrap_err();
        assert!(error.to_string().starts_with("cannot read") && error.to_string().ends_with("nowhere.csv"));
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("fifo"), 0o600.into()).unwrap();
        let error = scan_paths(&[dir.path().join("fifo")]).unwrap_err();
        assert!(error.to_string().ends_with("fifo is a FIFO, not a regular file"), "{error}");
    }
}
