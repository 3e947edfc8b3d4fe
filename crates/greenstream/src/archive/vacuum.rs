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
                table.live.values().flatten().map(|file| table.dir.join(&file.path)).collect();
            for folder in folders(table)? {
                let mut stays = false;
                for path in list(&folder)? {
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
                    done.bytes += fs::metadata(&path).map_or(0, |metadata| metadata.len());
                    self.fence.check()?;
                    failpoint::around_io(Step::Vacuum, || fs::remove_file(&path))
                        .map_err(Error::io("remove", &path))?;
                    self.dead.remove(&path);
                    done.files += 1;
                }
                if !stays {
                    fs::remove_dir(&folder).map_err(Error::io("remove", &folder))?;
                }
            }
        }
        Ok(done)
    }
}

/// The folders of a table's days.
fn folders(table: &Table) -> Result<Vec<PathBuf>> {
    let is_day = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("date=")) && path.is_dir()
    };
    Ok(list(&table.dir)?.into_iter().filter(is_day).collect())
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::io("list", folder))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(Error::io("list", folder))).collect()
}
