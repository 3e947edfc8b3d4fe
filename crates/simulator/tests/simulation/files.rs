//! Files: the same from the same seed, named in landing order, accounted for to the last byte.

use std::collections::BTreeSet;

use greenstream_simulator::{Error, Kind, Layout, Plan, Rates};

use crate::read::{Entry, Written, fields, frequent, minute, written};

fn plan() -> Plan {
    Plan { meters: 70, days: 3, seed: 5, defects: frequent(1.0, 0.005), ..Plan::default() }
}

#[test]
fn the_same_seed_gives_the_same_bytes_with_any_number_of_threads() {
    for layout in [Layout::Hourly, Layout::Daily, Layout::Tiny] {
        let one = written(&Plan { threads: 1, layout, ..plan() });
        for threads in [2, 3, 7] {
            let many = written(&Plan { threads, layout, ..plan() });
            assert_eq!(one.files, many.files, "{layout:?}, {threads} threads");
            assert_eq!(one.truth, many.truth, "{layout:?}, {threads} threads");
        }
    }
    let (one, other) = (written(&plan()), written(&Plan { seed: 6, ..plan() }));
    assert_ne!(one.files, other.files);
}

#[test]
fn the_layout_moves_lines_and_changes_none() {
    let sorted = |layout| {
        let written = written(&Plan { layout, ..plan() });
        let mut lines: Vec<_> = written.first_deliveries().flat_map(|(_, lines)| lines.clone()).collect();
        lines.sort();
        let known = |kind| kind != Kind::RepeatedUpload;
        let mut truth: Vec<_> = written
            .truth
            .into_iter()
            .filter(|e| known(e.kind))
            .map(|e| (e.meter, e.ts, e.kind, e.true_kw))
            .collect();
        truth.sort();
        (lines, truth)
    };
    let hourly = sorted(Layout::Hourly);
    assert!(hourly == sorted(Layout::Daily), "daily differs from hourly");
    assert!(hourly == sorted(Layout::Tiny), "tiny differs from hourly");
}

#[test]
fn a_longer_simulation_or_a_larger_fleet_begins_with_the_same_lines() {
    let short = written(&Plan { defects: Rates::none(), ..plan() });
    let long = written(&Plan { days: 4, defects: Rates::none(), ..plan() });
    let large = written(&Plan { meters: 71, defects: Rates::none(), ..plan() });
    for (name, lines) in &short.files {
        assert_eq!(long.files.get(name), Some(lines), "{name}");
        let same: Vec<_> = large.files[name].iter().filter(|l| !l.starts_with(b"MTR-000070")).collect();
        assert!(same.into_iter().eq(lines), "{name}");
    }
}

#[test]
fn rows_files_and_bytes_add_up() {
    for (layout, interval_minutes, periods) in
        [(Layout::Hourly, 15, 72), (Layout::Daily, 30, 3), (Layout::Tiny, 60, 210), (Layout::Hourly, 60, 72)]
    {
        let w = written(&Plan { layout, interval_minutes, ..plan() });
        let readings = 70 * 3 * 1_440 / u64::from(interval_minutes);
        assert_eq!(w.summary.readings, readings);
        let rows: usize = w.first_deliveries().map(|(_, lines)| lines.len()).sum();
        assert_eq!(w.summary.rows, rows as u64);
        let extra = w.count(Kind::Duplicate) + w.count(Kind::Corrected);
        assert_eq!(w.summary.rows, readings - w.count(Kind::Absent) + extra);
        assert_eq!(w.summary.files, w.files.len() as u64);
        assert_eq!(
            w.summary.files,
            periods + w.count(Kind::RepeatedUpload) + 1,
            "and one for the last late rows"
        );
        let size = |lines: &Vec<Vec<u8>>| 44 + lines.iter().map(|l| l.len() as u64 + 1).sum::<u64>();
        assert_eq!(w.summary.bytes, w.files.values().map(size).sum::<u64>());
        for kind in Kind::all() {
            assert_eq!(w.summary.defects.get(kind.name()).copied().unwrap_or(0), w.count(kind), "{kind:?}");
        }
    }
}

#[test]
fn names_tell_the_landing_order() {
    let names = |layout| -> Vec<String> {
        let defects = Rates::none().with(Kind::Late, 0.5).with(Kind::RepeatedUpload, 1.0);
        let w = written(&Plan { meters: 2, days: 2, layout, defects, ..Plan::default() });
        w.files.into_keys().collect()
    };
    let daily = [
        "2026-03-02.csv",
        "2026-03-03.csv",
        "2026-03-03_again_of_2026-03-02.csv",
        "2026-03-03_again_of_2026-03-03.csv",
        "2026-03-03_late.csv",
    ];
    assert_eq!(names(Layout::Daily), daily);
    let tiny = [
        "2026-03-02_MTR-000000.csv",
        "2026-03-02_MTR-000001.csv",
        "2026-03-03_MTR-000000.csv",
        "2026-03-03_MTR-000000_again_of_2026-03-02.csv",
        "2026-03-03_MTR-000000_again_of_2026-03-03.csv",
        "2026-03-03_MTR-000001.csv",
        "2026-03-03_MTR-000001_again_of_2026-03-02.csv",
        "2026-03-03_MTR-000001_again_of_2026-03-03.csv",
        "2026-03-03_late.csv",
    ];
    assert_eq!(names(Layout::Tiny), tiny);
    let hourly = names(Layout::Hourly);
    assert_eq!((hourly.len(), hourly[0].as_str()), (48 + 48 + 1, "2026-03-02T00.csv"));
    assert_eq!(hourly[96], "2026-03-03T23_late.csv");
}

#[test]
fn rows_of_a_file_stand_in_order_of_time() {
    for layout in [Layout::Hourly, Layout::Daily, Layout::Tiny] {
        let w = written(&Plan { layout, ..plan() });
        let wrong = w.of(Kind::Future).chain(w.of(Kind::BadTimestamp));
        let wrong: BTreeSet<_> = wrong.map(|e| (e.file.as_str(), e.line)).collect();
        for (name, lines) in &w.files {
            let original = name.split_once("_again_of_").map_or(name.as_str(), |_| "");
            let timed = lines.iter().enumerate().filter(|(at, _)| !wrong.contains(&(original, at + 2)));
            let plain = timed.filter_map(|(_, line)| fields(line)?[1].strip_suffix(":00Z").and_then(minute));
            let minutes: Vec<_> = plain.filter(|_| !original.is_empty()).collect();
            assert!(minutes.is_sorted(), "{name}");
        }
    }
}

#[test]
fn late_rows_come_in_later_files_and_none_is_lost() {
    for layout in [Layout::Hourly, Layout::Daily, Layout::Tiny] {
        let w = written(&Plan { layout, ..plan() });
        let length = if layout == Layout::Hourly { 13 } else { 10 };
        let (mut beyond, mut of_first_day) = (0, [0, 0]);
        for entry in w.of(Kind::Late).chain(w.of(Kind::Corrected)) {
            let last = entry.file.ends_with("_late.csv");
            if !last {
                assert!(entry.file[..length] > entry.ts[..length], "{entry:?}");
            }
            beyond += u32::from(last);
            if entry.ts.starts_with("2026-03-02") {
                of_first_day[usize::from(last)] += 1;
            }
        }
        assert!(beyond > 0 && w.files.keys().next_back().unwrap().ends_with("_late.csv"), "{layout:?}");
        // Only what is more than two days late comes after the last of three days.
        assert!(of_first_day[1] * 20 < of_first_day[0], "{layout:?}: {of_first_day:?}");
        let in_own = |e: &&Entry| e.file[..length] == e.ts[..length] && !e.file.ends_with("_late.csv");
        let (own, other): (Vec<_>, Vec<_>) = w.of(Kind::Duplicate).partition(in_own);
        let (own, other) = (own.len(), other.len());
        assert!(own.abs_diff(other) < other / 2, "{own} duplicates at once, {other} later");
    }
}

#[test]
fn late_rows_are_hours_late_rarely_days() {
    let defects = Rates::none().with(Kind::Late, 0.3);
    let w = written(&Plan { meters: 40, days: 10, defects, ..Plan::default() });
    let mut hours = [0_u32; 3];
    for entry in w.of(Kind::Late).filter(|e| e.ts.as_str() < "2026-03-09") {
        let arrived = minute(&format!("{}:00:00Z", &entry.file[..13])).unwrap();
        // The file of an hour is complete at its end.
        match (arrived + 60 - minute(&entry.ts).unwrap()) / 60 {
            0..=6 => hours[0] += 1,
            7..=24 => hours[1] += 1,
            late => {
                assert!(late <= 73, "{entry:?}");
                hours[2] += 1;
            }
        }
    }
    let all: u32 = hours.iter().sum();
    let percent = hours.map(|n| n * 100 / all);
    assert!(all > 7_000 && (76..=82).contains(&percent[0]) && (1..=3).contains(&percent[2]), "{hours:?}");
}

#[test]
fn repeated_uploads_are_byte_for_byte_the_same() {
    let w = written(&Plan { defects: Rates::default().with(Kind::RepeatedUpload, 0.5), ..plan() });
    let repeated: BTreeSet<&str> = w.of(Kind::RepeatedUpload).map(|e| e.file.as_str()).collect();
    assert!((20..=52).contains(&repeated.len()), "{}", repeated.len());
    for (name, lines) in &w.files {
        let original = name.split_once("_again_of_").map(|(_, original)| original);
        assert_eq!(original.is_some(), repeated.contains(name.as_str()), "{name}");
        if let Some(original) = original {
            assert_eq!(lines, &w.files[original], "{name}");
            assert!(name.as_str() > original, "{name}");
        }
    }
}

#[test]
fn a_flawless_plan_has_no_truth_to_tell() {
    let w: Written = written(&Plan { defects: Rates::none(), ..plan() });
    assert_eq!((w.truth.len(), w.summary.rows), (0, w.plan.readings()));
    for line in w.files.values().flatten() {
        let [_, _, kw, unit] = fields(line).unwrap();
        let kw: f64 = kw.parse().unwrap();
        assert!(unit == "kW" && (0.01..=10.0).contains(&kw), "{}", String::from_utf8_lossy(line));
    }
}

#[track_caller]
fn refused(plan: Plan, text: &str) {
    let home = tempfile::tempdir().unwrap();
    let error = plan.write(&home.path().join("out"), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::Plan { .. }) && error.to_string().contains(text), "{error}");
    assert_eq!(home.path().read_dir().unwrap().count(), 0, "nothing is written");
}

#[test]
fn plans_out_of_bounds_are_refused() {
    refused(Plan { meters: 0, ..plan() }, "0 meters");
    refused(Plan { meters: 10_000_001, ..plan() }, "meters are outside");
    refused(Plan { days: 0, ..plan() }, "0 days");
    refused(Plan { days: 3_661, ..plan() }, "3661 days");
    refused(Plan { interval_minutes: 0, ..plan() }, "0 min");
    refused(Plan { interval_minutes: 7, ..plan() }, "7 min");
    refused(Plan { interval_minutes: 120, ..plan() }, "120 min");
    refused(Plan { threads: 0, ..plan() }, "0 threads");
    refused(Plan { defects: Rates::none().with(Kind::Late, 2.0), ..plan() }, "rate of late");
}

#[test]
fn a_folder_that_holds_something_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let small = Plan { meters: 1, days: 1, ..plan() };
    small.write(&out, &mut |_, _| {}).unwrap();
    let again = small.write(&out, &mut |_, _| {}).unwrap_err();
    assert!(matches!(again, Error::Occupied { .. }), "{again}");
    let nameless = small.write(std::path::Path::new("/"), &mut |_, _| {}).unwrap_err();
    assert!(matches!(nameless, Error::Nameless { .. }), "{nameless}");
    let file = home.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let inside = small.write(&file.join("out"), &mut |_, _| {}).unwrap_err();
    assert!(matches!(inside, Error::Io { .. }), "{inside}");
}
