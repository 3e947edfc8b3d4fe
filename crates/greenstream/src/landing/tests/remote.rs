//! Landing in a bucket: the same promises, whatever is lost on the way and whoever else lands there.

use super::*;
use crate::objects::flaky::{Fault, Flaky};
use crate::objects::{Bucket, PART_BYTES};
use futures_util::FutureExt;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn sound(store: &Arc<InMemory>) -> Bucket {
    Flaky::new(store, |_| Fault::None).bucket(0)
}

fn found(store: &Arc<InMemory>, expected: Option<(u64, &str)>) -> Vec<String> {
    let found = super::super::verify(Place::Bucket(sound(store)), expected, &|_| {}).unwrap();
    found.iter().map(|finding| finding.to_string().replace("s3://meters/landing/", "")).collect()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn put(store: &Arc<InMemory>, key: &str, bytes: &[u8]) {
    let key = Key::from(format!("landing/{key}"));
    wait(store.put(&key, bytes.to_vec().into())).unwrap();
}

fn remove(store: &Arc<InMemory>, key: &str) {
    wait(store.delete(&Key::from(format!("landing/{key}")))).unwrap();
}

/// A journal with a first entry, as every service begins; objects without any are taken for a loss.
fn begin(store: &Arc<InMemory>) {
    let first = Body::Configuration(ConfigurationBody { version: 1, content: serde_json::json!({}) });
    Landing::open(Place::Bucket(sound(store))).unwrap().append(vec![(at(0), first)]).unwrap();
}

/// Where the bytes of an upload are.
fn key(text: &str) -> String {
    let hash = Hash::of(text.as_bytes()).to_string();
    format!("objects/{}/{hash}", &hash[..2])
}

#[test]
fn uploads_land_once_and_are_read_back_by_whoever_looks() {
    let store = Arc::new(InMemory::new());
    let mut landing = Landing::open(Place::Bucket(sound(&store))).unwrap();
    let landed = landing.land(vec![bytes("a", "one"), bytes("b", "two"), bytes("c", "one")]).unwrap();
    assert_eq!(shown(&landed), ["new 1 in 1", "new 2 in 2", "delivered 1"]);
    let other = with(bytes("d", "two"), "other", Some("Europe/Rome"), None);
    assert_eq!(shown(&landing.land(vec![other]).unwrap()), ["refused 2, default"]);
    let retry = RetryBody { upload: 2, feed: "x".to_owned(), time_zone: None, meter: None };
    let appended = landing.append(vec![(at(1), Body::Retry(retry))]).unwrap();
    let zone = Zone::look(Place::Bucket(sound(&store))).unwrap();
    assert_eq!((zone.head(), zone.uploads()), (landing.head(), landing.uploads()));
    assert_eq!(zone.entries_after(2).map(Result::unwrap).collect::<Vec<_>>(), appended);
    assert_eq!(contents(&zone), [b"one", b"two"]);
    assert_eq!(zone.range(1, 1, 9).unwrap(), b"ne");
    assert_eq!(zone.upload(2).unwrap().feed.as_ref(), "x");
    assert_eq!(zone.entries_after(1).map(|entry| entry.unwrap().entry).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(found(&store, None), [""; 0]);
    let mut again = Landing::open(Place::Bucket(sound(&store))).unwrap();
    assert_eq!(shown(&again.land(vec![bytes("e", "two")]).unwrap()), ["refused 2, x"]);
    again.land(vec![bytes("f", "three"), bytes("g", "four")]).unwrap();
    assert_eq!(again.uploads(), Zone::look(Place::Bucket(sound(&store))).unwrap().uploads());
}

#[test]
fn several_processes_land_in_one_bucket_and_nothing_is_lost_or_doubled() {
    const EACH: usize = 40;
    let store = Arc::new(InMemory::new());
    begin(&store);
    let new = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for process in 0..4 {
            let (store, new) = (&store, &new);
            scope.spawn(move || {
                let mut landing = Landing::open(Place::Bucket(sound(store))).unwrap();
                for at in 0..EACH {
                    // every second upload is one that another process has too
                    let text = if at % 2 == 0 { format!("{at}") } else { format!("{process}/{at}") };
                    let landed = landing.land(vec![bytes(&format!("{process}-{at}"), &text)]).unwrap();
                    new.fetch_add(usize::from(matches!(landed[0], Landed::New { .. })), Ordering::SeqCst);
                }
            });
        }
    });
    let zone = Zone::look(Place::Bucket(sound(&store))).unwrap();
    let unique: BTreeSet<Vec<u8>> = contents(&zone).into_iter().collect();
    assert_eq!(unique.len(), EACH / 2 + 4 * (EACH / 2));
    assert_eq!((zone.uploads().len(), new.into_inner()), (unique.len(), unique.len()));
    assert_eq!(found(&store, None), [""; 0]);
}

#[test]
fn a_look_at_what_others_have_landed_ends_in_time_and_goes_on_where_it_ended() {
    let store = Arc::new(InMemory::new());
    begin(&store);
    let open = || Landing::open(Place::Bucket(sound(&store))).unwrap();
    let (mut one, mut other) = (open(), open());
    for text in ["a", "b", "c"] {
        one.land(vec![bytes(text, text)]).unwrap();
    }
    let looks: Vec<_> = std::iter::from_fn(|| {
        let whole = other.refresh_within(Duration::ZERO).unwrap();
        (!whole).then(|| other.uploads().len())
    })
    .collect();
    assert_eq!(looks, [1, 2, 3]);
    assert_eq!(other.head(), one.head());
    one.land(vec![bytes("d", "d")]).unwrap();
    assert!(other.refresh_within(Duration::from_secs(60)).unwrap());
    assert_eq!(other.uploads(), one.uploads());
}

/// Whoever lost the next place to a configuration chose the feed by the one before.
#[test]
fn a_group_that_meets_a_new_configuration_does_not_land_under_the_old_one() {
    let store = Arc::new(InMemory::new());
    begin(&store);
    let open = || Landing::open(Place::Bucket(sound(&store))).unwrap();
    let (mut one, mut other) = (open(), open());
    let second = Body::Configuration(ConfigurationBody { version: 2, content: serde_json::json!({}) });
    one.append(vec![(at(1), second)]).unwrap();
    let error = other.land(vec![bytes("a", "a")]).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!((other.configuration_version(), other.uploads().len()), (2, 0));
    assert_eq!(shown(&other.land(vec![bytes("a", "a")]).unwrap()), ["new 1 in 3"]);
}

/// Lets the Nth request fail, once or from there on, for every N until none fails any more; what is landed again
/// after the failure must come to the same.
#[test]
fn whichever_request_fails_or_loses_its_answer_nothing_is_lost_or_doubled() {
    for fault in [Fault::Lost, Fault::Unanswered, Fault::Cut] {
        for last in [1, usize::MAX] {
            let mut failing = 0;
            loop {
                let store = Arc::new(InMemory::new());
                begin(&store);
                let count = Arc::new(AtomicUsize::new(0));
                let counted = Arc::clone(&count);
                let bucket = Flaky::new(&store, move |_| {
                    let at = counted.fetch_add(1, Ordering::SeqCst);
                    let fails = at >= failing && at - failing < last;
                    if fails { fault } else { Fault::None }
                })
                .bucket(0);
                let group = || vec![bytes("a", "one"), bytes("b", "two"), bytes("c", "one")];
                let first = Landing::open(Place::Bucket(bucket)).and_then(|mut landing| {
                    landing.land(group())?;
                    landing.land(vec![bytes("d", "three")])
                });
                let asked = count.load(Ordering::SeqCst);
                let mut landing = Landing::open(Place::Bucket(sound(&store))).unwrap();
                landing.land(group()).unwrap();
                landing.land(vec![bytes("d", "three")]).unwrap();
                let zone = Zone::look(Place::Bucket(sound(&store))).unwrap();
                assert_eq!(contents(&zone), [&b"one"[..], b"two", b"three"], "{fault:?} at {failing}");
                assert_eq!(found(&store, None), [""; 0], "{fault:?} at {failing}");
                if asked <= failing {
                    assert!(first.is_ok());
                    break;
                }
                failing += 1;
            }
            assert!(failing > 4, "requests were made to fail");
        }
    }
}

#[test]
fn with_a_fifth_of_all_requests_failing_everything_lands_without_a_caller_trying_again() {
    let store = Arc::new(InMemory::new());
    let random = std::sync::Mutex::new(fastrand::Rng::with_seed(7));
    let faults = [Fault::Lost, Fault::Unanswered, Fault::Cut];
    let bucket = Flaky::new(&store, move |_| {
        let mut random = random.lock().unwrap();
        if random.u8(..5) == 0 { faults[random.usize(..3)] } else { Fault::None }
    })
    .bucket(12);
    let mut landing = Landing::open(Place::Bucket(bucket.clone())).unwrap();
    for at in 0..10 {
        let text = format!("{at}");
        assert_eq!(
            shown(&landing.land(vec![bytes("x", &text)]).unwrap()),
            [format!("new {0} in {0}", at + 1)]
        );
    }
    let zone = Zone::look(Place::Bucket(bucket)).unwrap();
    assert_eq!(contents(&zone).len(), 10);
    assert_eq!(found(&store, None), [""; 0]);
}

#[test]
fn a_large_upload_lands_in_parts_and_one_that_changes_meanwhile_does_not_land() {
    let store = Arc::new(InMemory::new());
    let mut landing = Landing::open(Place::Bucket(sound(&store))).unwrap();
    let folder = folder();
    let path = folder.path().join("large.csv");
    let whole: Vec<u8> = (0..PART_BYTES * 2).map(|at| b'a' + u8::try_from(at % 23).unwrap()).collect();
    fs::write(&path, &whole).unwrap();
    let source = Source::Inbox(path.clone());
    let landed = landing.land(vec![Incoming { source, ..bytes("large.csv", "") }]).unwrap();
    assert_eq!(shown(&landed), ["new 1 in 1"]);
    assert!(!path.exists(), "it has left the inbox");
    assert!(contents(&landing)[0] == whole);
    assert_eq!(landing.range(1, 10_000_000, 20).unwrap(), whole[10_000_000..10_000_020]);
    let gone = Source::Inbox(path);
    let landed = landing.land(vec![Incoming { source: gone, ..bytes("gone", "") }, bytes("b", "b")]).unwrap();
    assert!(matches!(landed[0], Landed::Unread(_)) && matches!(landed[1], Landed::New { upload: 2, .. }));
    assert_eq!(found(&store, None), [""; 0]);
}

/// The second of two reads of a large file finds other bytes, or fewer, or more.
#[test]
fn a_large_upload_that_changes_between_its_two_reads_does_not_land() {
    let whole: Vec<u8> = (0..PART_BYTES + 99).map(|at| b'a' + u8::try_from(at % 23).unwrap()).collect();
    let other: Vec<u8> = whole.iter().map(u8::to_ascii_uppercase).collect();
    let more = [whole.as_slice(), b"more"].concat();
    for now in [other.clone(), whole[..whole.len() - 9].to_vec(), whole[..9].to_vec(), more] {
        let (store, folder) = (Arc::new(InMemory::new()), folder());
        let path = folder.path().join("large.csv");
        fs::write(&path, &whole).unwrap();
        let written = path.clone();
        let bucket = Flaky::new(&store, move |request| {
            if request == "multipart" {
                fs::write(&written, &now).unwrap();
            }
            Fault::None
        })
        .bucket(0);
        let mut landing = Landing::open(Place::Bucket(bucket)).unwrap();
        let one = Incoming { source: Source::Inbox(path.clone()), ..bytes("large.csv", "") };
        let landed = landing.land(vec![one, bytes("b", "b")]).unwrap();
        assert!(matches!(&landed[0], Landed::Unread(Error::Changed { path: told }) if *told == path));
        assert!(matches!(landed[1], Landed::New { upload: 1, .. }));
        assert!(path.exists(), "it stays in the inbox");
        assert_eq!(contents(&landing), [b"b"]);
        assert_eq!(found(&store, None), [""; 0]);
    }
}

#[test]
fn a_delivery_mends_an_object_of_the_bucket_that_is_missing_or_cut() {
    let store = Arc::new(InMemory::new());
    let mut landing = Landing::open(Place::Bucket(sound(&store))).unwrap();
    landing.land(vec![bytes("a", "one"), bytes("b", "two")]).unwrap();
    remove(&store, &key("one"));
    put(&store, &key("two"), b"t");
    assert_eq!(found(&store, None).len(), 2);
    let landed = landing.land(vec![bytes("a", "one"), bytes("b", "two")]).unwrap();
    assert_eq!(shown(&landed), ["delivered 1", "delivered 2"]);
    assert_eq!(found(&store, None), [""; 0]);
    assert_eq!(contents(&landing), [b"one", b"two"]);
}

#[track_caller]
fn check(damage: impl FnOnce(&Arc<InMemory>), expected: &[&str]) {
    let store = Arc::new(InMemory::new());
    let mut landing = Landing::open(Place::Bucket(sound(&store))).unwrap();
    landing.land(vec![bytes("a", "1"), bytes("b", "2")]).unwrap();
    landing.land(vec![bytes("c", "3")]).unwrap();
    let head = landing.head();
    damage(&store);
    let mut found = found(&store, Some((head.0, &head.1)));
    for (text, name) in [("1", "<1>"), ("2", "<2>"), ("strange", "<strange>")] {
        found.iter_mut().for_each(|line| *line = line.replace(&key(text), name));
    }
    assert_eq!(found, expected);
}

#[test]
fn every_addition_swap_and_deletion_in_the_bucket_is_found() {
    check(|_| {}, &[]);
    check(|store| put(store, &key("1"), b"9"), &["<1> does not hold the bytes that had landed (upload 1)"]);
    check(|store| put(store, &key("2"), b"22"), &["<2> has 2 bytes, but 1 had landed (upload 2)"]);
    check(|store| remove(store, &key("1")), &["<1> is missing (upload 1)"]);
    check(|store| put(store, &key("strange"), b"other"), &["<strange> is named by no journal entry"]);
    check(|store| put(store, "objects/readme", b"x"), &["objects/readme is named by no journal entry"]);
    check(|store| put(store, "journal/notes", b"x"), &["journal/notes does not belong into the journal"]);
    check(
        |store| remove(store, "journal/000000000003.jsonl"),
        &["journal/000000000003.jsonl is missing: entries 3 to 3 were there"],
    );
}

/// Whichever request the outage begins with, verification fails or finds nothing: no object is taken for damaged.
#[test]
fn an_outage_while_objects_are_verified_is_no_finding() {
    let store = Arc::new(InMemory::new());
    let mut landing = Landing::open(Place::Bucket(sound(&store))).unwrap();
    // one of them longer than what is fetched at once
    landing.land(vec![bytes("a", "1"), bytes("b", &"2".repeat(10_000))]).unwrap();
    put(&store, &key("strange"), b"strange");
    let mut failing = 0;
    loop {
        let count = AtomicUsize::new(0);
        let chance = move |_: &str| {
            let is_out = count.fetch_add(1, Ordering::SeqCst) >= failing;
            if is_out { Fault::Lost } else { Fault::None }
        };
        let bucket = Flaky::new(&store, chance).bucket(0);
        match super::super::verify(Place::Bucket(bucket), None, &|_| {}) {
            Ok(found) => break assert_eq!(found, []),
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        failing += 1;
    }
    assert!(failing > 4, "requests were made to fail");
}

/// Whichever block it goes away before, it is found, and verification ends.
#[test]
fn an_object_that_goes_away_while_it_is_read_is_a_finding() {
    let text = "2".repeat(10_000);
    let mut told = Vec::new();
    for going in 0.. {
        let store = Arc::new(InMemory::new());
        let mut landing = Landing::open(Place::Bucket(sound(&store))).unwrap();
        landing.land(vec![bytes("a", &text)]).unwrap();
        let (count, object) = (AtomicUsize::new(0), Key::from(format!("landing/{}", key(&text))));
        let bucket = Flaky::new(&store.clone(), move |request| {
            if request == "get" && count.fetch_add(1, Ordering::SeqCst) == going {
                let _ = store.delete(&object).now_or_never();
            }
            Fault::None
        })
        .bucket(0);
        let found = super::super::verify(Place::Bucket(bucket), None, &|_| {}).unwrap();
        let [finding] = found.as_slice() else { break };
        told.push(finding.problem.clone());
    }
    assert_eq!(told.len(), 4, "a segment and three blocks: {told:?}");
    assert!(told[3].starts_with("cannot be read after 8192 bytes: "), "{told:?}");
}

#[test]
fn what_is_named_by_an_entry_that_came_while_objects_were_listed_is_no_stranger() {
    for (comes_with, expected) in [(2, None), (9, Some("is named by no journal entry"))] {
        let store = Arc::new(InMemory::new());
        let mut landing = Landing::open(Place::Bucket(sound(&store))).unwrap();
        landing.land(vec![bytes("a", "1")]).unwrap();
        landing.land(vec![bytes("b", "2")]).unwrap();
        let segment = Key::from("landing/journal/000000000002.jsonl");
        let line = wait(async { store.get(&segment).await?.bytes().await }).unwrap();
        remove(&store, "journal/000000000002.jsonl");
        // or it would be what a landing left that was broken off
        put(&store, &key("2"), b"9");
        let count = AtomicUsize::new(0);
        let bucket = Flaky::new(&store.clone(), move |request| {
            if request == "list" && count.fetch_add(1, Ordering::SeqCst) == comes_with {
                let _ = store.put(&segment, line.clone().into()).now_or_never();
            }
            Fault::None
        })
        .bucket(0);
        let found = super::super::verify(Place::Bucket(bucket), None, &|_| {}).unwrap();
        assert_eq!(found.first().map(|finding| finding.problem.as_str()), expected);
    }
}

#[test]
fn an_object_whose_landing_was_broken_off_is_no_damage_and_its_delivery_names_it() {
    let store = Arc::new(InMemory::new());
    let mut landing = Landing::open(Place::Bucket(sound(&store))).unwrap();
    landing.land(vec![bytes("a", "1")]).unwrap();
    put(&store, &key("strange"), b"strange");
    assert_eq!(found(&store, None), [""; 0]);
    assert_eq!(shown(&landing.land(vec![bytes("s", "strange")]).unwrap()), ["new 2 in 2"]);
    assert_eq!(contents(&landing)[1], b"strange");
}

#[test]
fn an_object_without_an_entry_that_holds_other_bytes_is_mended_by_its_delivery() {
    for there in ["STRANGE", "strange and more"] {
        let store = Arc::new(InMemory::new());
        let mut landing = Landing::open(Place::Bucket(sound(&store))).unwrap();
        landing.land(vec![bytes("a", "1")]).unwrap();
        put(&store, &key("strange"), there.as_bytes());
        assert_eq!(shown(&landing.land(vec![bytes("s", "strange")]).unwrap()), ["new 2 in 2"]);
        assert_eq!(contents(&landing)[1], b"strange");
        assert_eq!(found(&store, None), [""; 0]);
    }
}

#[test]
fn bytes_that_another_has_swapped_are_never_read_as_the_upload() {
    let store = Arc::new(InMemory::new());
    let mut landing = Landing::open(Place::Bucket(sound(&store))).unwrap();
    landing.land(vec![bytes("a", "1")]).unwrap();
    put(&store, &key("1"), b"9");
    let read = landing.content(1, 10).map_err(Failure::from).and_then(Content::read_all);
    assert!(matches!(read, Err(Failure::World(_))));
}

#[test]
fn a_bucket_that_has_lost_its_journal_is_not_begun_anew() {
    let store = Arc::new(InMemory::new());
    let mut landing = Landing::open(Place::Bucket(sound(&store))).unwrap();
    landing.land(vec![bytes("a", "1")]).unwrap();
    remove(&store, "journal/000000000001.jsonl");
    let error = Landing::open(Place::Bucket(sound(&store))).err().unwrap();
    assert!(error.to_string().contains("the journal is gone"), "{error}");
    let away = Flaky::new(&store, |_| Fault::Lost).bucket(0);
    let error = Landing::open(Place::Bucket(away)).err().unwrap();
    assert!(error.is_transient() && error.hint().contains("resumes by itself"), "{error}");
}
