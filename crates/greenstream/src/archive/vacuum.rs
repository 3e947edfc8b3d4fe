//! Removes files that no live snapshot names: replaced ones, and what a crash left behind.

use std::fs;
use std::path::{Path, PathBuf};

use greenstream_core::Ts;
use rustc_hash::FxHashSet;

use super::Archive;
use super::error::{Error, Result};
use super::log::Table;
use crate::failpoint::{self, Step};

/// What a vacuum has removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vacuumed {
    /// Files removed.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Files that are not live and stay for readers that still use them.
    pub kept: u64,
}

impl Archive {
    /// Removes data files that are not live and have not been for `retention` microseconds, and the
    /// folders that this leaves empty. A file whose end nobody saw (it was replaced before the archive
    /// was opened, or left by a crash) counts from the first vacuum that meets it. With 0 the tables'
    /// folders then hold live files only.
    ///
    /// # Errors
    /// When a folder cannot be listed or a file not be removed.
    pub fn vacuum(&mut self, now: Ts, retention: i64) -> Result<Vacuumed> {
        for table in [&mut self.readings, &mut self.errors] {
            if table.stale {
                table.reload(&self.runtime)?;
            }
        }
        let mut done = Vacuumed::default();
        for table in [&self.readings, &self.errors] {
            let live: FxHashSet<PathBuf> =
                table.live.values().flatten().map(|file| table.dir().join(&file.path)).collect();
            for folder in folders(table)? {
                let mut stays = false;
                for (path, bytes) in list(table, &folder)? {
                    if live.contains(&path) {
                        stays = true;
                        continue;
                    }
                    let since = *self.dead.entry(path.clone()).or_insert(now);
                    if now.since(since).max(0) < retention {
                        done.kept += 1;
                        stays = true;
                        continue;
                    }
                    let size = || fs::metadata(&path).map_or(0, |metadata| metadata.len());
                    done.bytes += bytes.unwrap_or_else(size);
                    self.fence.check()?;
                    failpoint::around_io(Step::Vacuum, || table.depot.remove(&path))
                        .map_err(Error::io("remove", &path))?;
                    self.dead.remove(&path);
                    done.files += 1;
                }
                if !stays && table.depot.bucket().is_none() {
                    fs::remove_dir(&folder).map_err(Error::io("remove", &folder))?;
                }
            }
        }
        Ok(done)
    }
}

/// The folders of a table's days; a bucket has none, and is looked through at once.
fn folders(table: &Table) -> Result<Vec<PathBuf>> {
    if table.depot.bucket().is_some() {
        return Ok(vec![table.dir().to_owned()]);
    }
    let is_day = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("date=")) && path.is_dir()
    };
    let found = table.depot.list(table.dir()).map_err(Error::io("list", table.dir()))?;
    Ok(found.into_iter().map(|(path, _)| path).filter(is_day).collect())
}

/// The data files in a folder with their sizes.
fn list(table: &Table, folder: &Path) -> Result<Vec<(PathBuf, Option<u64>)>> {
    let mut found = table.depot.list(folder).map_err(Error::io("list", folder))?;
    if table.depot.bucket().is_some() {
        let is_data = |path: &Path| {
            path.strip_prefix(folder).is_ok_and(|path| path.to_string_lossy().starts_with("date="))
        };
        found.retain(|(path, _)| is_data(path));
    }
    Ok(found)
}
