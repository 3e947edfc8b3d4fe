//! How far the store has come, told by the thread that writes to those that wait.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The last committed journal entry, and whether the writer has given up.
#[derive(Debug, Default)]
pub struct Committed {
    state: Mutex<(u64, bool)>,
    changed: Condvar,
}

impl Committed {
    /// Starts at a store's position.
    pub fn at(entry: u64) -> Committed {
        Committed { state: Mutex::new((entry, false)), changed: Condvar::new() }
    }

    /// The last committed entry.
    pub fn entry(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Everything up to `entry` is committed.
    pub fn advance(&self, entry: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = state.0.max(entry);
        drop(state);
        self.changed.notify_all();
    }

    /// Commits begin (again).
    pub fn begin(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = false;
    }

    /// Nothing more will be committed.
    pub fn give_up(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.changed.notify_all();
    }

    /// Whether nothing more will be committed.
    pub fn has_given_up(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Waits until everything up to `entry` is committed, but no longer than `time` nor for what will not
    /// happen; whether it is.
    pub fn wait_at_most(&self, entry: u64, time: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |state: &mut (u64, bool)| state.0 < entry && !state.1;
        let (state, _) =
            self.changed.wait_timeout_while(state, time, waits).unwrap_or_else(PoisonError::into_inner);
        state.0 >= entry
    }

    /// Waits until everything up to `entry` is committed; false if that will not happen.
    pub fn wait_for(&self, entry: u64) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.0 < entry && !state.1 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.0 >= entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_without_an_entry_does_not_take_the_position_back() {
        let committed = Committed::at(3);
        committed.advance(5);
        committed.advance(0);
        assert_eq!(committed.entry(), 5);
        assert!(committed.wait_for(5));
        committed.give_up();
        assert!(!committed.wait_for(6));
        assert!(!committed.wait_at_most(6, Duration::from_secs(3600)), "given up");
        committed.begin();
        assert!(!committed.wait_at_most(6, Duration::from_millis(1)), "not given up, and not there");
        committed.advance(6);
        assert!(committed.wait_at_most(6, Duration::ZERO));
    }
}
