//! A column of numbers that takes four bytes each as long as they all fit, and eight from then on.

/// Whole numbers, or none: `base + n × unit` where every `n` is of 32 bits.
#[derive(Debug)]
pub(super) struct Narrow {
    base: i64,
    unit: i64,
    /// `i32::MIN` stands for none.
    short: Vec<i32>,
    /// All values once one did not fit; `i64::MIN` stands for none.
    long: Option<Vec<i64>>,
}

impl Narrow {
    /// Empty, with room for `rows`.
    pub(super) fn with_capacity(base: i64, unit: i64, rows: usize) -> Narrow {
        Narrow { base, unit, short: Vec::with_capacity(rows), long: None }
    }

    /// Adds a number other than `i64::MIN`, or none.
    pub(super) fn push(&mut self, value: Option<i64>) {
        if let Some(long) = &mut self.long {
            long.push(value.unwrap_or(i64::MIN));
            return;
        }
        if let Some(short) = self.narrow(value) {
            self.short.push(short);
            return;
        }
        let mut long = Vec::with_capacity(self.short.capacity());
        long.extend((0..self.short.len()).map(|at| self.get(at).unwrap_or(i64::MIN)));
        long.push(value.unwrap_or(i64::MIN));
        self.short = Vec::new();
        self.long = Some(long);
    }

    /// The number at `at`, none also beyond the end.
    pub(super) fn get(&self, at: usize) -> Option<i64> {
        match &self.long {
            Some(long) => long.get(at).copied().filter(|value| *value != i64::MIN),
            None => {
                let short = self.short.get(at).filter(|short| **short != i32::MIN);
                short.map(|short| self.base + i64::from(*short) * self.unit)
            }
        }
    }

    /// What it costs in memory.
    pub(super) fn bytes(&self) -> usize {
        self.short.capacity() * 4 + self.long.as_ref().map_or(0, |long| long.capacity() * 8)
    }

    fn narrow(&self, value: Option<i64>) -> Option<i32> {
        let Some(value) = value else { return Some(i32::MIN) };
        let beyond = value.checked_sub(self.base)?;
        let whole = beyond % self.unit == 0;
        i32::try_from(beyond / self.unit).ok().filter(|short| whole && *short != i32::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unit: i64, values: &[Option<i64>], is_short: bool) {
        let mut column = Narrow::with_capacity(1_000, unit, 4);
        values.iter().for_each(|value| column.push(*value));
        let found: Vec<_> = (0..values.len()).map(|at| column.get(at)).collect();
        assert_eq!(found, values);
        assert_eq!(column.get(values.len()), None);
        assert_eq!(column.long.is_none(), is_short);
    }

    #[test]
    fn numbers_take_four_bytes_until_one_does_not_fit() {
        let most = i64::from(i32::MAX);
        check(1, &[Some(0), None, Some(1_000 + most), Some(1_000 - most)], true);
        check(1, &[Some(0), None, Some(1_001 + most), Some(5), None], false);
        check(1, &[Some(1_000 - most - 1), None], false);
        check(10, &[Some(1_010), Some(-3_000), None], true);
        check(10, &[Some(1_010), None, Some(1_011), Some(7)], false);
        check(1, &[Some(i64::MAX), Some(i64::MIN + 1)], false);
        check(1, &[], true);
    }
}
