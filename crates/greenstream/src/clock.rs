//! The wall clock, read here and nowhere else: everything below takes its instants as arguments.

use greenstream_core::Ts;

/// The instant it is, to the microsecond, as the system clock has it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> Ts {
    Ts::from_micros(jiff::Timestamp::now().as_microsecond())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_is_in_microseconds_and_does_not_run_backwards_here() {
        let first = super::now();
        let second = super::now();
        assert!(first <= second);
        assert!(first.date().0 >= 2024, "{first}");
    }
}
