//! Deliveries of known bytes that were acknowledged and are not in the database yet. The journal does not hold them,
//! so they outlive what was to record them, as long as the process does.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use greenstream_core::Ts;

/// A delivery: the upload that the bytes are, the name they came under, and when.
pub type Delivery = (u32, String, Ts);

/// See the module.
#[derive(Debug, Default)]
pub struct Unrecorded(Mutex<VecDeque<Delivery>>);

impl Unrecorded {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Delivery>> {
        // every change is one statement
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more was acknowledged.
    pub fn add(&self, delivery: Delivery) {
        self.lock().push_back(delivery);
    }

    /// These are in the database.
    pub fn recorded(&self, deliveries: &[Delivery]) {
        let mut waiting = self.lock();
        for delivery in deliveries {
            if let Some(at) = waiting.iter().position(|one| one == delivery) {
                waiting.remove(at);
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// All of them, as they came.
    pub fn all(&self) -> Vec<Delivery> {
        self.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_goes_once_and_the_rest_stays_in_its_order() {
        let one = |name: &str| (1, name.to_owned(), Ts::from_micros(0));
        let unrecorded = Unrecorded::default();
        ["a", "b", "a", "c"].map(one).into_iter().for_each(|delivery| unrecorded.add(delivery));
        unrecorded.recorded(&[one("a"), one("b"), one("unknown")]);
        assert_eq!((unrecorded.count(), unrecorded.all()), (2, vec![one("a"), one("c")]));
    }
}
