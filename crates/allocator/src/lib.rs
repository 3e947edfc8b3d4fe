//! The program's memory allocator: mimalloc, set to give memory back soon.
//!
//! The stages of the pipeline take turns with tens of megabytes each. By default mimalloc keeps what is
//! free for a second before the system gets it back, and then holds what several stages had at their
//! largest: on four days of 50,000 meters a sixth more.

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// The allocator, for `#[global_allocator]`.
pub use mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3: milliseconds that free memory is kept.
const PURGE_DELAY: mi_option_t = 15;
/// Shorter gives back what is asked for again at once, at the price of system time; longer keeps more.
const PURGE_DELAY_MS: core::ffi::c_long = 50;

/// Lets free memory go back to the system soon. To be called first in `main`; the environment
/// (`MIMALLOC_PURGE_DELAY`, in milliseconds) outranks it.
pub fn give_back_soon() {
    #[expect(unsafe_code, reason = "the one way to set an option; the safe crate has none")]
    // SAFETY: the function takes two numbers, stores the second in the table of options at the first, and
    // ignores a first that is beyond the table; it may be called at any time from any thread.
    unsafe {
        mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_delay_and_is_set() {
        #[expect(unsafe_code, reason = "as above")]
        // SAFETY: reads the table that the function above writes.
        let get = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(get(), 1_000, "mimalloc's own");
        give_back_soon();
        assert_eq!(get(), PURGE_DELAY_MS);
    }
}
