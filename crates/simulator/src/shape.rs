//! When homes draw power: shapes over the day, the week and the year, in parts per thousand.

/// Shapes of one year's day and month are given for the middle of each month.
const MONTHS: usize = 12;

/// How people live. The index chooses a row of [`Shapes`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Habit {
    Family,
    Couple,
    Retired,
    Single,
    NightShift,
    Vacant,
}

/// Activity at each full hour: on workdays, then at the weekend. In the order of [`Habit`].
const ACTIVITY: [[[u16; 24]; 2]; 6] = [
    [
        [
            90, 70, 60, 60, 70, 140, 420, 650, 480, 280, 240, 280, 380, 300, 260, 320, 460, 700, 900, 950,
            820, 620, 380, 190,
        ],
        [
            150, 110, 80, 70, 70, 90, 180, 380, 600, 720, 680, 700, 780, 640, 520, 500, 560, 720, 880, 900,
            800, 660, 460, 270,
        ],
    ],
    [
        [
            80, 60, 50, 50, 60, 180, 560, 620, 220, 100, 80, 80, 90, 90, 80, 100, 220, 560, 860, 900, 780,
            600, 340, 160,
        ],
        [
            180, 120, 80, 60, 60, 70, 120, 280, 520, 680, 640, 600, 640, 520, 440, 440, 500, 680, 860, 860,
            760, 640, 480, 300,
        ],
    ],
    [
        [
            70, 60, 50, 50, 80, 180, 400, 560, 620, 560, 520, 640, 760, 520, 400, 380, 460, 600, 720, 700,
            560, 400, 220, 110,
        ],
        [
            80, 60, 50, 50, 70, 140, 340, 540, 640, 600, 560, 680, 820, 560, 420, 400, 460, 580, 700, 680,
            560, 420, 240, 120,
        ],
    ],
    [
        [
            110, 80, 60, 50, 50, 90, 320, 480, 260, 120, 100, 110, 140, 120, 110, 120, 200, 420, 680, 760,
            720, 620, 440, 230,
        ],
        [
            260, 180, 120, 80, 60, 60, 90, 160, 320, 520, 600, 580, 560, 480, 420, 420, 460, 560, 660, 700,
            660, 600, 500, 360,
        ],
    ],
    [
        [
            520, 440, 300, 180, 140, 160, 380, 620, 520, 180, 90, 70, 70, 70, 80, 180, 480, 640, 700, 560,
            300, 240, 420, 560,
        ],
        [
            420, 360, 280, 200, 160, 160, 260, 420, 420, 300, 260, 280, 360, 380, 360, 420, 520, 640, 720,
            640, 520, 480, 500, 480,
        ],
    ],
    [[0; 24], [0; 24]],
];

/// Electric heating at each full hour: a night tariff, then the morning and the evening.
const HEATING: [u16; 24] = [
    820, 860, 900, 920, 940, 980, 1000, 940, 780, 620, 540, 500, 480, 480, 500, 560, 660, 780, 860, 880, 840,
    780, 760, 780,
];

/// Sunshine at each full hour of an equinox day (UTC, central Europe).
const SUNSHINE: [u16; 24] =
    [0, 0, 0, 0, 0, 10, 90, 260, 480, 700, 870, 970, 1000, 950, 830, 650, 430, 210, 60, 5, 0, 0, 0, 0];

/// Need of heat, from January on.
const COLD: [u16; MONTHS] = [1000, 940, 700, 420, 170, 50, 20, 30, 130, 400, 720, 940];
/// Need of light and indoor life, from January on.
const INDOORS: [u16; MONTHS] = [1130, 1090, 1030, 980, 930, 900, 880, 890, 940, 1000, 1070, 1130];
/// Strength of the sun, from January on.
const SUN: [u16; MONTHS] = [250, 420, 680, 880, 980, 1000, 990, 910, 730, 500, 290, 200];

/// Quarter hours in a day.
const QUARTERS: usize = 96;

/// The daily shapes, drawn out to quarter hours.
pub(crate) struct Shapes {
    activity: [[[u32; QUARTERS]; 2]; 6],
    heating: [u32; QUARTERS],
    sunshine: [u32; QUARTERS],
}

/// What holds for all homes on one day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Season {
    pub(crate) cold: u32,
    pub(crate) indoors: u32,
    pub(crate) sun: u32,
}

impl Shapes {
    pub(crate) fn new() -> Shapes {
        Shapes {
            activity: ACTIVITY.map(|week| week.map(|day| quarters(&day))),
            heating: quarters(&HEATING),
            sunshine: quarters(&SUNSHINE),
        }
    }

    /// How active a home of this habit is in this quarter hour (0 to 95).
    pub(crate) fn activity(&self, habit: Habit, weekend: bool, quarter: u32) -> u32 {
        self.activity[habit as usize][usize::from(weekend)][quarter as usize % QUARTERS]
    }

    /// How hard electric heating works in this quarter hour, on the coldest day.
    pub(crate) fn heating(&self, quarter: u32) -> u32 {
        self.heating[quarter as usize % QUARTERS]
    }

    /// How strong the sun is in this quarter hour, under a clear sky.
    pub(crate) fn sunshine(&self, quarter: u32) -> u32 {
        self.sunshine[quarter as usize % QUARTERS]
    }
}

impl Season {
    /// The season of a day given as month (1 to 12) and day of the month.
    pub(crate) fn of(month: u8, day: u8) -> Season {
        Season {
            cold: over_year(&COLD, month, day),
            indoors: over_year(&INDOORS, month, day),
            sun: over_year(&SUN, month, day),
        }
    }
}

/// Straight lines from hour to hour.
fn quarters(hours: &[u16; 24]) -> [u32; QUARTERS] {
    std::array::from_fn(|quarter| {
        let (hour, part) = (quarter / 4, [0, 1, 2, 3][quarter % 4]);
        (u32::from(hours[hour]) * (4 - part) + u32::from(hours[(hour + 1) % 24]) * part) / 4
    })
}

/// Straight lines from mid-month to mid-month.
fn over_year(months: &[u16; MONTHS], month: u8, day: u8) -> u32 {
    let (month, day) = (usize::from(month.clamp(1, 12)) - 1, u32::from(day.clamp(1, 31)));
    let (from, to, step) = if day < 15 {
        ((month + MONTHS - 1) % MONTHS, month, day + 15)
    } else {
        (month, (month + 1) % MONTHS, day - 15)
    };
    (u32::from(months[from]) * (30 - step.min(30)) + u32::from(months[to]) * step.min(30)) / 30
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_pass_through_their_hours_and_stay_between_them() {
        let shapes = Shapes::new();
        assert_eq!(shapes.activity(Habit::Family, false, 19 * 4), 950);
        assert_eq!(shapes.activity(Habit::Family, false, 18 * 4 + 2), 925);
        assert_eq!(
            shapes.activity(Habit::Family, false, 95),
            (190 + 3 * 90) / 4,
            "the last hour leads to midnight"
        );
        assert_eq!((shapes.heating(24), shapes.sunshine(0)), (1000, 0));
    }

    #[test]
    fn the_year_has_no_jumps() {
        let mut before = Season::of(12, 31).cold;
        for month in 1..=12 {
            for day in 1..=31 {
                let cold = Season::of(month, day).cold;
                assert!(cold.abs_diff(before) <= 12, "{month}-{day}: {before} to {cold}");
                before = cold;
            }
        }
        assert_eq!((Season::of(1, 15).cold, Season::of(7, 15).sun), (1000, 990));
    }
}
