//! The program with a shim before its file operations, which lets one of them fail (`shim.c` has the kinds).

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What to fail, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// EIO from the operation.
    Eio,
    /// ENOSPC from what needs space, and from syncs.
    Enospc,
    /// Half a write, then ENOSPC.
    Short,
    /// SIGKILL before an operation that changes the disk.
    Crash,
    /// SIGKILL in the middle of a write.
    Torn,
    /// ENOSPC from what needs space, for as long as the switch is on.
    Full,
    /// Writes and syncs take this many milliseconds longer, for as long as the switch is on.
    Delay(u32),
    /// Nothing; operations are counted.
    None,
}

impl Fault {
    /// As the shim knows it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Eio => "eio",
            Fault::Enospc => "enospc",
            Fault::Short => "short",
            Fault::Crash => "crash",
            Fault::Torn => "torn",
            Fault::Full => "full",
            Fault::Delay(_) => "delay",
            Fault::None => "none",
        }
    }

    /// Whether it can hit an operation of this name, as `can_hit` of the shim says.
    pub fn hits(self, operation: &str) -> bool {
        let is = |names: &[&str]| names.contains(&operation);
        match self {
            Fault::Eio => true,
            Fault::Enospc => !is(&["open", "read", "pread", "truncate", "unlink", "rmdir"]),
            Fault::Crash => !is(&["open", "read", "pread"]),
            Fault::Short | Fault::Torn => is(&["write", "writev", "pwrite"]),
            Fault::Full | Fault::Delay(_) | Fault::None => false,
        }
    }
}

/// The shim, compiled once for each test binary.
///
/// # Panics
/// Where there is no C compiler: faults that cannot be made are no passed test.
pub fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.c");
        // beside the test binary, under a name of its own: two test binaries may run at once
        let name = format!("io-fault-shim-{}.so", std::process::id());
        let shim = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&shim, Path::new(source)])
            .arg("-ldl")
            .status();
        assert!(
            compiled.as_ref().is_ok_and(std::process::ExitStatus::success),
            "the C compiler `cc` cannot compile {source}: {compiled:?}"
        );
        shim
    })
}

/// Puts the shim before a command, for files below `under`.
pub fn put_before(command: &mut Command, under: &Path, fault: Fault) {
    // what is not there yet may not have links above it
    let under = fs::canonicalize(under).unwrap_or_else(|_| under.to_owned());
    command.env("LD_PRELOAD", shim()).env("IO_FAULT_UNDER", under).env("IO_FAULT_KIND", fault.name());
    if let Fault::Delay(millis) = fault {
        command.env("IO_FAULT_MILLIS", millis.to_string());
    }
}

/// Lets a fault happen with every operation while the file `switch` is there.
pub fn put_before_while(command: &mut Command, under: &Path, fault: Fault, switch: &Path) {
    put_before(command, under, fault);
    command.env("IO_FAULT_FOREVER", "1").env("IO_FAULT_WHILE", switch);
}
