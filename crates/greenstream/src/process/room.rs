//! Room for uploads that are decoded and not judged yet, so that several large ones in a row do not stand in
//! memory together.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Bytes as received that may be on their way at once; a larger upload goes alone. An upload takes about its
/// decoded size in memory once it is decoded, and the usual ones have a few megabytes.
const BYTES_MAX: u64 = 64 << 20;
/// How often one that waits looks whether it still has to.
const LOOK: Duration = Duration::from_millis(100);

/// Room that is taken, in bytes.
#[derive(Default)]
pub struct Room {
    taken: Mutex<u64>,
    changed: Condvar,
}

/// A place in the room; left when dropped.
pub struct Place<'r> {
    room: &'r Room,
    bytes: u64,
}

impl Room {
    /// Waits for room for so many bytes; none once `given_up` says so. Places are to be taken in the order of
    /// the journal, or an upload could wait for one that comes after it.
    pub fn take(&self, bytes: u64, given_up: impl Fn() -> bool) -> Option<Place<'_>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken > 0 && *taken + bytes > BYTES_MAX {
            if given_up() {
                return None;
            }
            taken = self.changed.wait_timeout(taken, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        *taken += bytes;
        Some(Place { room: self, bytes })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.room.taken.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.room.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_uploads_go_together_and_a_large_one_alone() {
        let room = Room::default();
        let full = || true;
        let small = room.take(BYTES_MAX / 2, full).unwrap();
        let other = room.take(BYTES_MAX / 2, full).unwrap();
        assert!(room.take(1, full).is_none());
        drop((small, other));
        let large = room.take(BYTES_MAX * 5, full).unwrap();
        assert!(room.take(1, full).is_none());
        drop(large);
        assert!(room.take(1, full).is_some());
    }
}
