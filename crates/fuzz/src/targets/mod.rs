//! Every parser that reads what others wrote, by name.

#[cfg(feature = "service")]
mod compressed;
mod csv;
mod detect;
#[cfg(feature = "service")]
mod journal;
mod laws;
#[cfg(feature = "service")]
mod message;
mod number;
mod profile;
mod records;
#[cfg(feature = "service")]
mod registry;
mod timestamp;
#[cfg(feature = "service")]
mod upload;

use crate::Check;

/// A parser and its law.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called; its kept inputs are in `corpus/NAME/`.
    pub name: &'static str,
    /// Panics where the law is broken.
    pub check: Check,
}

const fn named(name: &'static str, check: Check) -> Target {
    Target { name, check }
}

/// All targets.
pub const TARGETS: &[Target] = &[
    named("timestamp", timestamp::check),
    named("number", number::check),
    named("csv", csv::check),
    named("profile", profile::check),
    named("nem12", records::nem12),
    named("green_button", records::green_button),
    named("cmep", records::cmep),
    named("detect", detect::check),
    #[cfg(feature = "service")]
    named("registry", registry::check),
    #[cfg(feature = "service")]
    named("gzip", compressed::gzip),
    #[cfg(feature = "service")]
    named("zstd", compressed::zstd),
    #[cfg(feature = "service")]
    named("journal", journal::check),
    #[cfg(feature = "service")]
    named("message", message::check),
    #[cfg(feature = "service")]
    named("upload", upload::check),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|target| target.name == name).copied()
}

/// A folder in memory where there is such a place: the laws are about bytes, not about disks.
#[cfg(feature = "service")]
fn memory_folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

#[cfg(feature = "service")]
fn memory_file() -> tempfile::NamedTempFile {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::NamedTempFile::new_in(memory) } else { tempfile::NamedTempFile::new() }
        .unwrap()
}
