//! The names of meters by their number.

use std::sync::Arc;

use super::source::MeterNames;
use crate::change::{ChangeSet, Meter};

/// Numbers above this are not kept: the table of names is as long as the largest number.
const METERS_MAX: usize = 1 << 27;

/// Names that change sets have used so far.
#[derive(Default)]
pub(super) struct Names(Vec<Option<Arc<str>>>);

impl Names {
    /// Takes the names of meters that a change set sees first.
    pub(super) fn learn(&mut self, set: &ChangeSet) {
        for (meter, name) in &set.meters {
            self.put(*meter, name);
        }
    }

    fn put(&mut self, meter: Meter, name: &str) -> bool {
        let at = meter.0 as usize;
        if at >= METERS_MAX {
            return false;
        }
        if at >= self.0.len() {
            self.0.resize(at + 1, None);
        }
        self.0[at] = Some(Arc::from(name));
        true
    }

    /// Whether the meter's name is known, if need be from `others`.
    pub(super) fn knows(&mut self, meter: Meter, others: &dyn MeterNames) -> bool {
        match self.0.get(meter.0 as usize) {
            Some(Some(_)) => true,
            _ => others.name(meter).is_some_and(|name| self.put(meter, name)),
        }
    }

    /// The name of a meter that is known.
    pub(super) fn get(&self, meter: u32) -> Option<&Arc<str>> {
        self.0.get(meter as usize)?.as_ref()
    }
}
