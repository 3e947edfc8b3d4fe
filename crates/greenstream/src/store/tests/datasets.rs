//! The datasets: order, filters, limits, and an end when the sink wants one.

use super::*;
use crate::change::{Alert, Episode, EpisodeKind, Severity};
use crate::store::{Filter, Reader, UploadStatus};

/// Meter ids whose order is not that of their numbers, nor that of any locale.
fn filled() -> Home {
    let mut home = Home::new();
    let ids = ["b", "B", "a10", "a9", "ä", "€"];
    home.commit(ChangeSet {
        meters: ids.iter().zip(0..).map(|(id, n)| (Meter(n), (*id).to_owned())).collect(),
        landed: (1..=4).map(landed).collect(),
        ..ChangeSet::default()
    });
    for upload in 1..=2 {
        let hour = i64::from(upload) * 60;
        let inserted = (0..4).flat_map(|n| {
            [0, 15].map(|quarter| {
                (Meter(n), reading(hour + quarter, upload, n * 2 + 1 + u32::from(quarter > 0)))
            })
        });
        let outlier = standing(Standing::Outlier, reading(hour + 7, upload, 20));
        let negative = standing(Standing::Negative, reading(hour + 8, upload, 21));
        home.commit(ChangeSet {
            inserted: inserted.collect(),
            replaced: vec![replaced(Meter(3), None, Some(outlier)), replaced(Meter(3), None, Some(negative))],
            rejects: vec![reject(upload, 22, Reason::RowMalformed, "a9", None)],
            raw: [20, 21, 22].map(|row| ((upload, row), format!("line {row}"))).into(),
            superseded: vec![superseded(Meter(3), reading(hour, upload, 23))],
            outcome: done(upload, 12),
            deliveries: vec![(upload, format!("again {upload}"), at(hour))],
            ..ChangeSet::default()
        });
    }
    home
}

fn readings(home: &Home, filter: &Filter) -> Vec<String> {
    let mut found = Vec::new();
    let mut push = |id: &str, r: Reading| {
        found.push(format!("{id} {} {}/{}", &r.ts.to_string()[11..16], r.upload, r.row_number));
        Ok::<_, StoreError>(())
    };
    home.reader().readings(filter, &mut push).unwrap();
    found
}

#[test]
fn readings_come_by_the_bytes_of_their_meters_id_and_then_by_time() {
    let home = filled();
    let found = readings(&home, &Filter::default());
    assert_eq!(found.len(), 16);
    assert_eq!(&found[..5], ["B 01:00 1/3", "B 01:15 1/4", "B 02:00 2/3", "B 02:15 2/4", "a10 01:00 1/5"]);
    assert!(found.is_sorted_by_key(|row| row.split(' ').next().unwrap().as_bytes().to_vec()));
}

#[test]
fn readings_are_filtered_and_limited() {
    let home = filled();
    let a9 = Some("a9".to_owned());
    for (filter, expected) in [
        (
            Filter { meter: a9.clone(), ..Filter::default() },
            vec!["a9 01:00 1/7", "a9 01:15 1/8", "a9 02:00 2/7", "a9 02:15 2/8"],
        ),
        (Filter { meter: Some("nobody".to_owned()), ..Filter::default() }, vec![]),
        (
            Filter { meter: a9.clone(), from: Some(at(75)), to: Some(at(135)), ..Filter::default() },
            vec!["a9 01:15 1/8", "a9 02:00 2/7"],
        ),
        (Filter { meter: a9, upload: Some(2), ..Filter::default() }, vec!["a9 02:00 2/7", "a9 02:15 2/8"]),
        (Filter { upload: Some(3), ..Filter::default() }, vec![]),
        (Filter { limit: Some(2), ..Filter::default() }, vec!["B 01:00 1/3", "B 01:15 1/4"]),
        (Filter { limit: Some(0), ..Filter::default() }, vec![]),
    ] {
        assert_eq!(readings(&home, &filter), expected, "{filter:?}");
    }
}

#[test]
fn measured_readings_have_outliers_among_them_and_nothing_that_breaks_a_limit() {
    let home = filled();
    let measured = |limit| {
        let mut found = Vec::new();
        let mut push = |id: &str, r: Reading| {
            let review = r.standing == Standing::Outlier;
            found.push(format!("{id} {} {review}", &r.ts.to_string()[11..16]));
            Ok::<_, StoreError>(())
        };
        let filter = Filter { meter: Some("a9".to_owned()), limit, ..Filter::default() };
        home.reader().measured(&filter, &mut push).unwrap();
        found
    };
    let all = [
        "a9 01:00 false",
        "a9 01:07 true",
        "a9 01:15 false",
        "a9 02:00 false",
        "a9 02:07 true",
        "a9 02:15 false",
    ];
    assert_eq!(measured(None), all);
    assert_eq!(measured(Some(2)), all[..2]);
}

#[test]
fn the_error_queue_comes_by_upload_and_row_under_every_filter() {
    let home = filled();
    let none = Filter::default;
    for (filter, expected) in [
        (none(), "1/20 1/21 1/22 2/20 2/21 2/22"),
        (Filter { meter: Some("a9".to_owned()), ..none() }, "1/20 1/21 1/22 2/20 2/21 2/22"),
        (Filter { meter: Some("b".to_owned()), ..none() }, ""),
        (Filter { reason: Some(Reason::Outlier), ..none() }, "1/20 2/20"),
        (
            Filter { reason: Some(Reason::Outlier), status: Some(Status::Open), upload: Some(2), ..none() },
            "2/20",
        ),
        (Filter { status: Some(Status::Discarded), ..none() }, ""),
        (Filter { from: Some(at(68)), to: Some(at(128)), ..none() }, "1/21 2/20"),
        (Filter { limit: Some(2), ..none() }, "1/20 1/21"),
    ] {
        let mut found = Vec::new();
        let mut push = |row: crate::store::ErrorRow| {
            assert_eq!((row.meter_id.as_str(), row.raw), ("a9", format!("line {}", row.row_number)));
            found.push(format!("{}/{}", row.upload, row.row_number));
            Ok::<_, StoreError>(())
        };
        home.reader().errors(&filter, &mut push).unwrap();
        assert_eq!(found.join(" "), expected, "{filter:?}");
    }
    let one = home.reader().error(2, 21).unwrap().unwrap();
    assert_eq!((one.reason, one.meter, one.status), (Reason::ValueNegative, Some(Meter(3)), Status::Open));
    assert_eq!(home.reader().error(2, 1).unwrap(), None);
}

type Query<T> = fn(&Reader, &Filter, &mut dyn FnMut(T) -> Result<(), StoreError>) -> Result<(), StoreError>;

#[track_caller]
fn check<T>(reader: &Reader, query: Query<T>, filter: Filter, text: impl Fn(T) -> String, expected: &str) {
    let mut found = Vec::new();
    let mut push = |row: T| {
        found.push(text(row));
        Ok(())
    };
    query(reader, &filter, &mut push).unwrap();
    assert_eq!(found.join(", "), expected, "{filter:?}");
}

/// The same with episodes, alerts and a third delivery.
fn filled_with_more() -> Home {
    let mut home = filled();
    let episode = |meter, first| Episode {
        meter: Meter(meter),
        kind: EpisodeKind::NearZero,
        first_ts: at(first),
        last_ts: at(first + 60),
        severity: Severity::Suspected,
        closed: false,
    };
    let alert = |n: u32, meter: &str| Alert {
        kind: "episode_opened",
        key: n.to_string(),
        meter: Some(meter.to_owned()),
        upload: Some(n),
        at: at(i64::from(n)),
        message: format!("alert {n}"),
    };
    home.commit(ChangeSet {
        episodes: vec![episode(0, 500), episode(0, 0), episode(1, 100)],
        alerts: vec![alert(2, "b"), alert(1, "B")],
        deliveries: vec![(1, "a third time".to_owned(), at(9))],
        ..ChangeSet::default()
    });
    home
}

#[test]
fn the_other_datasets_come_in_the_contracts_order() {
    let home = filled_with_more();
    let reader = home.reader();
    let none = Filter::default;
    let upload = |n| Filter { upload: Some(n), ..none() };

    check(
        &reader,
        Reader::superseded,
        none(),
        |row| format!("{}/{} {}", row.upload, row.row_number, row.meter_id),
        "1/23 a9, 2/23 a9",
    );
    check(&reader, Reader::superseded, upload(2), |row| row.ts.to_string(), "2026-03-02T02:00:00Z");
    check(
        &reader,
        Reader::superseded,
        Filter { meter: Some("b".to_owned()), ..none() },
        |row| row.ts.to_string(),
        "",
    );
    check(
        &reader,
        Reader::uploads,
        none(),
        |row| format!("{} {}", row.landed.upload, row.stored),
        "1 8, 2 8, 3 0, 4 0",
    );
    let landed = Filter { upload_status: Some(UploadStatus::Landed), limit: Some(1), ..none() };
    check(&reader, Reader::uploads, landed, |row| row.landed.name, "upload 3.csv");
    let done = Filter { upload_status: Some(UploadStatus::Done), ..none() };
    check(&reader, Reader::uploads, done, |row| row.landed.name, "upload 1.csv, upload 2.csv");
    check(&reader, Reader::deliveries, none(), |row| row.name, "again 1, a third time, again 2");
    check(&reader, Reader::deliveries, upload(2), |row| row.name, "again 2");
    check(
        &reader,
        Reader::episodes,
        none(),
        |(id, row)| format!("{id} {}", row.first_ts),
        "B 2026-03-02T01:40:00Z, \
        b 2026-03-02T00:00:00Z, b 2026-03-02T08:20:00Z",
    );
    let early = Filter { from: Some(at(60)), to: Some(at(100)), ..none() };
    check(&reader, Reader::episodes, early, |(id, _)| id, "b");
    check(&reader, Reader::alerts, none(), |row| row.message, "alert 2, alert 1");
    check(
        &reader,
        Reader::alerts,
        Filter { meter: Some("B".to_owned()), ..none() },
        |row| row.message,
        "alert 1",
    );
}

#[test]
fn a_sink_that_fails_ends_the_query_and_its_error_comes_back() {
    #[derive(Debug)]
    struct Full(usize);
    impl From<StoreError> for Full {
        fn from(error: StoreError) -> Self {
            panic!("{error}")
        }
    }
    let home = filled();
    let mut count = 0;
    let mut push = |_: &str, _: Reading| {
        count += 1;
        if count < 6 { Ok(()) } else { Err(Full(count)) }
    };
    assert_eq!(home.reader().readings(&Filter::default(), &mut push).unwrap_err().0, 6);
    let mut push = |_: crate::store::ErrorRow| Err(Full(1));
    assert_eq!(home.reader().errors(&Filter::default(), &mut push).unwrap_err().0, 1);
}

#[test]
fn meters_are_known_by_number_and_by_id() {
    let home = filled();
    let reader = home.reader();
    let meters = reader.meters().unwrap();
    assert_eq!(meters[4], (Meter(4), "ä".to_owned()));
    assert_eq!(meters.len(), 6);
    assert_eq!(reader.meter("€").unwrap(), Some(Meter(5)));
    assert_eq!(reader.meter("A").unwrap(), None);
}

#[test]
fn the_newest_of_everything_comes_first_and_is_limited() {
    let home = filled();
    let reader = home.reader();
    let uploads = reader.newest_uploads(2).unwrap();
    assert_eq!(uploads.iter().map(|row| row.landed.upload).collect::<Vec<_>>(), [4, 3]);
    let newest = |meter| reader.newest_instant(Meter(meter)).unwrap();
    assert_eq!(newest(0), Some(at(135)), "the last of its readings");
    assert_eq!(newest(3), Some(at(135)), "a reading after its entries of the error queue");
    assert_eq!(newest(4), None, "no row named it");
}

#[test]
fn a_meter_that_only_waits_has_a_newest_instant() {
    let mut home = Home::with_meters();
    home.commit(ChangeSet {
        replaced: vec![replaced(Meter(1), None, Some(standing(Standing::AboveLimit, reading(77, 1, 1))))],
        raw: vec![((1, 1), "line".to_owned())],
        outcome: done(1, 1),
        ..ChangeSet::default()
    });
    assert_eq!(home.reader().newest_instant(Meter(1)).unwrap(), Some(at(77)));
}

#[test]
fn meters_are_found_by_any_part_of_their_id_page_by_page() {
    let home = filled();
    let found = |part: &str, after: &str, limit| {
        let meters = home.reader().meters_like(part, after, limit).unwrap();
        meters.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    };
    assert_eq!(found("", "", 9), ["B", "a10", "a9", "b", "ä", "€"]);
    assert_eq!(found("b", "", 9), ["B", "b"]);
    assert_eq!(found("1", "", 9), ["a10"]);
    assert_eq!(found("", "a10", 2), ["a9", "b"]);
    assert_eq!(found("%", "", 9), Vec::<String>::new(), "no letter of the search has a meaning of its own");
}

#[test]
fn an_hour_in_numbers_equals_the_rows_of_its_datasets() {
    let mut home = filled();
    let flagged = |flag, minute, row| {
        let plain = reading(minute, 3, row);
        (Meter(0), Reading { flags: plain.flags.with(flag), ..plain })
    };
    home.commit(ChangeSet {
        inserted: vec![
            flagged(Flag::MissingValue, 62, 1),
            flagged(Flag::PotentiallyFaulty, 63, 2),
            flagged(Flag::PotentiallyFaulty, 64, 3),
            flagged(Flag::UnitConverted, 65, 4),
        ],
        outcome: done(3, 4),
        ..ChangeSet::default()
    });
    let counts = home.reader().hour_counts(at(60).hour()).unwrap();
    assert_eq!(counts.stored, 12);
    assert_eq!(counts.flags, [1, 0, 2]);
    assert_eq!(counts.open, [(Reason::ValueNegative, 1), (Reason::Outlier, 1)]);
    let nothing = home.reader().hour_counts(at(-60).hour()).unwrap();
    assert_eq!(nothing, crate::store::HourCounts::default());
}
