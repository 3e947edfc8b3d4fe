//! Random changes, in folders and buckets.

use super::*;

fn touch() -> impl Strategy<Value = Touch> {
    let meters = 0..u32::try_from(NAMES.len()).unwrap();
    (meters, 0..4_i64, 0..8_i64, 0..20_000_000_i64, 0..11_u8)
        .prop_map(|(meter, day, quarter, mw, kind)| Touch { meter, day, quarter, mw, kind })
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<Touch>),
    Flush(u8),
    Reopen,
    Vacuum,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => prop::collection::vec(touch(), 0..30).prop_map(Step::Apply),
        4 => (0..4_u8).prop_map(Step::Flush),
        1 => Just(Step::Reopen),
        1 => Just(Step::Vacuum),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_changes_come_each_snapshot_is_the_models_state(
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let mut bed = Bed::new();
        for step in steps {
            match step {
                Step::Apply(touches) => bed.apply(&touches),
                Step::Flush(0) => drop(bed.flush(Mode::All)),
                Step::Flush(1) => drop(bed.flush(Mode::Lag { closed_wait: 0 })),
                Step::Flush(2) => drop(bed.flush(Mode::Lag { closed_wait: 1 })),
                Step::Flush(_) => drop(bed.flush(Mode::Bytes(10_000))),
                Step::Reopen => bed.reopen(),
                Step::Vacuum => drop(bed.archive.vacuum(now(), 0).unwrap()),
            }
        }
        bed.check_at_rest();
    }
}

#[test]
fn an_archive_in_a_bucket_is_what_one_in_a_folder_is() {
    let store = Arc::new(InMemory::new());
    let mut bed = Bed::in_bucket(&store);
    for entry in 0..60 {
        bed.apply(&[insert(0, entry / 20, entry), insert(1, entry / 20, entry), insert(2, 0, entry)]);
        bed.flush(Mode::All);
        if entry % 25 == 0 {
            bed.reopen();
        }
    }
    let checkpoint = "s3://meters/landing/readings/_delta_log/_last_checkpoint";
    let bucket = bed.place.bucket().unwrap();
    assert!(bucket.head(&bucket.key_of(Path::new(checkpoint)).unwrap()).unwrap().is_some());
    bed.check_at_rest();
    let seen = Archive::look(bed.place.clone()).unwrap();
    check(&seen, &bed.model, &[]);
    assert_eq!(seen.versions(), bed.archive.versions());
}

#[test]
fn a_table_whose_removal_from_a_bucket_was_broken_off_is_begun_anew() {
    let store = Arc::new(InMemory::new());
    let mut bed = Bed::in_bucket(&store);
    bed.apply(&[insert(0, 0, 0), insert(1, 1, 0)]);
    bed.flush(Mode::All);
    let bucket = bed.place.bucket().unwrap().clone();
    // as a process that died after the mark and the first removal leaves it
    bucket.put("readings/_going", b"".as_slice().into()).unwrap();
    bucket.delete("readings/_delta_log/00000000000000000000.json").unwrap();
    bed.reopen();
    bed.check_at_rest();
    assert_eq!(bucket.head("readings/_going").unwrap(), None);
}

#[test]
fn a_bucket_that_fails_is_away_and_no_archive_is_damaged_by_it() {
    let store = Arc::new(InMemory::new());
    let mut bed = Bed::in_bucket(&store);
    bed.apply(&[insert(0, 0, 0)]);
    bed.flush(Mode::All);
    let random = std::sync::Mutex::new(fastrand::Rng::with_seed(5));
    let faults = [Fault::Lost, Fault::Unanswered, Fault::Cut];
    let bucket = Flaky::new(&store, move |_| {
        let mut random = random.lock().unwrap();
        if random.u8(..3) == 0 { faults[random.usize(..3)] } else { Fault::None }
    })
    .bucket(2);
    bed.place = Place::Bucket(bucket);
    for quarter in 1..12 {
        let days: Vec<i64> = bed.model.days().into_iter().collect();
        let known = Known { position: bed.model.entry, days: &days, dirty: &days };
        match Archive::open(bed.place.clone(), &known, now()) {
            Ok(archive) => bed.archive = archive,
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
        bed.apply(&[insert(0, 0, quarter)]);
        if let Err(error) = bed.archive.flush(&bed.model, Mode::All, now()) {
            assert!(error.is_transient(), "{error:?}");
        }
    }
    bed.place = sound(&store);
    bed.reopen();
    bed.check_at_rest();
}
