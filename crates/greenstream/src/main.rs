//! The `greenstream` program.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: greenstream_allocator::MiMalloc = greenstream_allocator::MiMalloc;

fn main() -> ExitCode {
    greenstream_allocator::give_back_soon();
    greenstream::cli::main()
}
