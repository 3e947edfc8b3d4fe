//! The `greenstream` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    greenstream::cli::main()
}
