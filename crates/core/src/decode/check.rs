//! Whether a feed profile can be meant, before there is an upload: the first thing that does not fit.

use super::feed::{Column, Columns, Feed, FileFormat, Interval, Label, MeterSource};
use super::meter_id::is_meter_id;
use super::plan::{ClockPlan, FeedError};
use super::unit::{Conversion, Unit};
use crate::Ts;

impl Feed {
    /// Whether the profile fits together, before there is an upload.
    ///
    /// # Errors
    /// [`FeedError::Profile`] or [`FeedError::Zone`] with the first thing that does not.
    pub fn check(&self) -> Result<(), FeedError> {
        let fits = match self.format {
            FileFormat::Csv => self.check_shape().and_then(|()| self.check_texts()),
            _ => self.check_form(),
        };
        fits.map_err(|problem| self.problem(problem))?;
        ClockPlan::new(self.time_zone.as_deref(), Ts::MIN).map(drop)
    }

    fn check_shape(&self) -> Result<(), &'static str> {
        let columns = &self.columns;
        let fits = |c: char| c.is_ascii_punctuation() && !"\"+-.:".contains(c) || c == '\t';
        if !fits(self.delimiter) {
            return Err("`delimiter` must be one ASCII sign such as `,` `;` `|` or a tab");
        }
        let meters = [columns.meter.is_some(), !columns.meter_parts.is_empty(), self.meter.is_some()];
        if meters.into_iter().filter(|there| *there).count() != 1 {
            return Err(
                "the meter must come from `columns.meter`, `columns.meter_parts` or `meter`, from one of them",
            );
        }
        if columns.timestamp.is_some() == columns.date.is_some() {
            return Err(
                "the time must come from `columns.timestamp` or from `columns.date`, from one of them",
            );
        }
        if columns.time.is_some() && columns.date.is_none() {
            return Err("`columns.time` needs `columns.date`");
        }
        self.time_pattern()?;
        if columns.unit.is_some() == self.unit.is_some() {
            return Err("the unit must come from `columns.unit` or from `unit`, from one of them");
        }
        let values = [columns.value.is_some(), !columns.values.is_empty(), columns.slots.is_some()];
        if values.into_iter().filter(|there| *there).count() != 1 {
            return Err(
                "the value must come from `columns.value`, `columns.values` or `columns.slots`, from one of them",
            );
        }
        let (has_slots, at_end) =
            (columns.slot.is_some() || columns.slots.is_some(), self.label != Label::Start);
        if (has_slots || at_end) && self.interval.is_none() {
            return Err("`columns.slot`, `columns.slots` and `label` need the length of the `interval`");
        }
        if has_slots && at_end {
            return Err("the first slot begins with its date or timestamp: leave `label` out");
        }
        if columns.slots.iter().any(|slots| slots.count == 0 || slots.count as usize > Feed::VALUES_MAX) {
            return Err("`columns.slots.count` is 1 to 1,440");
        }
        if !self.units.is_empty() && columns.unit.is_none() {
            return Err("`units` needs `columns.unit`");
        }
        self.check_energy()?;
        let mut suffixes: Vec<_> = columns.values.iter().map(|value| &value.meter_suffix).collect();
        suffixes.sort_unstable();
        if suffixes.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err("each of `columns.values` needs a `meter_suffix` of its own");
        }
        if suffixes.iter().any(|suffix| !suffix.is_empty() && !is_meter_id(suffix)) {
            return Err("a `meter_suffix` holds at most 64 bytes and no invisible characters");
        }
        if columns.values.len() > Feed::VALUES_MAX {
            return Err("`columns.values` has more than 1,440 columns");
        }
        if !self.header && self.names_a_column() {
            return Err("without a header, columns are found by position");
        }
        if let Some(MeterSource::FromName(pattern)) = &self.meter
            && pattern.matches("{meter}").count() != 1
        {
            return Err("`meter.from_name` must hold `{meter}` once");
        }
        Ok(())
    }

    /// Whether energy can become power.
    fn check_energy(&self) -> Result<(), &'static str> {
        let is_held = self.registers || !self.intervals.is_empty();
        if is_held && !self.unit.is_some_and(Unit::is_energy) {
            return Err("`registers` and `intervals` need a `unit` of energy: Wh, kWh or MWh");
        }
        if self.registers && self.columns.revision.is_some() {
            return Err("of `registers` the last to land has the word: leave `columns.revision` out");
        }
        if self.registers && (self.interval.is_none() || self.label != Label::Start) {
            return Err("`registers` need the `interval` from one to the next, and no `label`");
        }
        if !self.intervals.is_empty() && (self.interval.is_some() || self.registers) {
            return Err("the length comes from `interval` or from `intervals`, from one of them");
        }
        if self.unit.iter().chain(&self.units).any(|unit| unit.is_energy())
            && self.interval.is_none()
            && self.intervals.is_empty()
        {
            return Err("energy needs the length of its `interval` to become power");
        }
        Ok(())
    }

    /// Whether any column is found by its name.
    fn names_a_column(&self) -> bool {
        let columns = &self.columns;
        let whose = columns.meter.iter().chain(&columns.meter_parts).chain(&columns.unit);
        let when = columns.timestamp.iter().chain(&columns.date).chain(&columns.time).chain(&columns.slot);
        let values = columns.values.iter().flat_map(|value| [&value.column].into_iter().chain(&value.plus));
        let slots = columns.slots.iter().map(|slots| &slots.first);
        let only = columns.only.iter().map(|only| &only.column).chain(&columns.factor);
        let only = only.chain(&columns.offset).chain(&columns.revision);
        let others = only.chain(columns.season.iter().map(|season| &season.column)).chain(slots);
        whose.chain(when).chain(&columns.value).chain(values).chain(others).any(is_named)
    }

    /// A format of its own says all but the zone and the names by itself.
    fn check_form(&self) -> Result<(), &'static str> {
        let plain = Feed {
            name: self.name.clone(),
            names: self.names.clone(),
            by_header: self.by_header,
            encoding: self.encoding,
            format: self.format,
            time_zone: self.time_zone.clone(),
            columns: Columns::default(),
            ..Feed::default_feed()
        };
        if *self == plain {
            return Ok(());
        }
        Err("a `format` other than csv takes only `names`, `by_header`, `encoding` and `time_zone` beside it")
    }

    /// Whether what is said of numbers and lines can be meant.
    fn check_texts(&self) -> Result<(), &'static str> {
        if !matches!(self.decimal, '.' | ',') {
            return Err("`decimal` is `.` or `,`");
        }
        if self.thousands.is_some_and(|sign| !".,' _".contains(sign) || sign == self.decimal) {
            return Err("`thousands` is `.` `,` `'` `_` or a blank, and not the decimal sign");
        }
        if self.factor_tens().is_none() {
            return Err("`factor` is 0.001, 0.01, 0.1, 10, 100 or 1000");
        }
        if self.by_header && !self.header {
            return Err("`by_header` needs a header");
        }
        if self.columns.only.iter().any(|only| only.is.is_empty()) {
            return Err("each of `columns.only` says in `is` what the column holds");
        }
        if self.columns.season.as_ref().is_some_and(|season| season.summer.is_empty()) {
            return Err("`columns.season` says in `summer` what the column holds in summer");
        }
        if self.columns.season.is_some() && self.columns.offset.is_some() {
            return Err("`columns.offset` says all that `columns.season` could: leave one out");
        }
        if self.skip.iter().any(String::is_empty) {
            return Err("each of `skip` says how a line begins: one of them is empty");
        }
        if self.skip.iter().any(|start| start.contains(['\r', '\n'])) {
            return Err("`skip` says how lines begin, and no line begins with a line end");
        }
        let tens = self.factor_tens().unwrap_or(0);
        let mut units = self.unit.iter().chain(&self.units);
        if units.any(|unit| Conversion::of(*unit, Some(Interval::HOUR), tens).is_none()) {
            return Err("`factor` takes the unit out of the range from a milliwatt to a gigawatt");
        }
        Ok(())
    }

    /// The most values of one line: a day of minutes.
    const VALUES_MAX: usize = 1_440;
}

fn is_named(column: &Column) -> bool {
    matches!(column, Column::Named(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ts;
    use crate::decode::Given;

    /// Whether a profile is accepted, and if not, that it says why.
    #[track_caller]
    fn check(text: &str, refusal: Option<&str>) {
        let feed: Feed = toml::from_str(text).unwrap();
        let said = feed.compile(&Given { time_zone: None, name: "a.csv", landed_at: Ts::MAX });
        let said = said.err().map(|error| error.to_string());
        assert_eq!(said.is_some(), refusal.is_some(), "{text}: {said:?}");
        assert!(said.unwrap_or_default().contains(refusal.unwrap_or_default()), "{text}");
    }

    #[test]
    fn a_line_holds_a_value_for_each_minute_of_a_day_at_most() {
        let slots = |count: usize| {
            format!(
                "name='f'\nunit='kW'\ninterval='1min'\n[columns]\nmeter=1\ntimestamp=2\nslots={{first=3,count={count}}}"
            )
        };
        for (count, refusal) in [(0, true), (1, false), (1_440, false), (1_441, true)] {
            check(&slots(count), refusal.then_some("`columns.slots.count`"));
        }
        let values = |count: usize| {
            let columns: Vec<_> =
                (0..count).map(|i| format!("{{column={},meter_suffix='-{i}'}}", i + 3)).collect();
            format!("name='f'\nunit='kW'\n[columns]\nmeter=1\ntimestamp=2\nvalues=[{}]", columns.join(","))
        };
        for (count, refusal) in [(1_440, false), (1_441, true)] {
            check(&values(count), refusal.then_some("more than 1,440 columns"));
        }
    }

    #[test]
    fn a_format_of_its_own_says_the_rest_by_itself() {
        let form = |more: &str| format!("name='f'\nformat='nem12'\n{more}");
        for more in
            ["", "names=['a*']", "by_header=true", "encoding='utf-16'", "time_zone='Australia/Sydney'"]
        {
            check(&form(more), None);
        }
        for more in ["unit='kW'", "interval='1h'", "preamble=1", "decimal=','", "[columns]\nvalue='v'"] {
            check(&form(more), Some("takes only"));
        }
    }
}
