//! One target under libFuzzer, with coverage: `scripts/fuzz TARGET` builds and runs it.

#![no_main]

use std::sync::LazyLock;

use greenstream_fuzz::{Check, target};
use libfuzzer_sys::fuzz_target;

static CHECK: LazyLock<Check> = LazyLock::new(|| {
    // libFuzzer owns the arguments, so the target comes beside them
    #[expect(clippy::disallowed_methods, reason = "a tool for development, without a configuration")]
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    target(&name).map_or_else(
        || {
            eprintln!("FUZZ_TARGET={name} is no target: scripts/fuzz lists them");
            std::process::exit(2)
        },
        |target| target.check,
    )
});

fuzz_target!(|bytes: &[u8]| CHECK(bytes));
