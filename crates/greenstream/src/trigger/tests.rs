//! Objects of an inbox bucket on their way to landing, with a bucket in memory and a landing that only notes
//! what it is given.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::bucket::{BLOCK, Bucket, PIECE};
use super::history::History;
use super::take::Disposition;
use super::{Bell, Hint, Posts, Taker, intake, scan};
use crate::change::{ChangeSet, Landed};
use crate::config::UploadKeys;
use crate::home::{Home, Layout};
use crate::objects::flaky::{Fault, Flaky};
use crate::outage::{Outages, Part};
use crate::process::{Bytes, Note, Posted, Receipt, Refused};
use crate::store::Store;
use crate::web::Receiver;

/// What the landing that is made up says to an upload.
type Says = fn(u32, bool) -> Result<Note, Refused>;

fn lands(upload: u32, is_new: bool) -> Result<Note, Refused> {
    Ok(if is_new { Note::Landed(upload) } else { Note::Known(upload) })
}

struct World {
    folder: TempDir,
    store: Arc<InMemory>,
    taker: Taker,
    landed: Arc<Mutex<Vec<(String, String)>>>,
}

impl World {
    fn new(says: Says) -> World {
        World::limited(says, 1 << 20)
    }

    fn limited(says: Says, bytes_max: u64) -> World {
        World::failing(says, bytes_max, |_| Fault::None)
    }

    /// Where requests for objects fare as `chance` says.
    fn failing(says: Says, bytes_max: u64, chance: impl Fn(&str) -> Fault + Send + Sync + 'static) -> World {
        let (world, posts) = World::unserved(bytes_max, chance);
        let notes = Arc::clone(&world.landed);
        tokio::task::spawn_blocking(move || land(posts, says, &notes));
        world
    }

    /// Where nobody lands what comes out of the second.
    fn unserved(bytes_max: u64, chance: impl Fn(&str) -> Fault + Send + Sync + 'static) -> (World, Posts) {
        let folder = tempfile::tempdir().unwrap();
        drop(Home::open(folder.path(), "a test").unwrap());
        let layout = Home::look(folder.path()).unwrap();
        drop(Store::open(layout.database()).unwrap());
        let store = Arc::new(InMemory::new());
        let (intake, posts) = intake(Bell::default());
        let keys = UploadKeys { free_bytes_min: 0, bytes_max, ..UploadKeys::default() };
        let receiver = Receiver::new(layout.fetching(), keys).unwrap();
        let bucket =
            Bucket::new(Arc::new(Flaky::new(&store, chance)), Some("meters".to_owned()), "inbox".into());
        let taker = Taker::new(bucket, intake, receiver, History::of(layout), Handle::current());
        (World { folder, store, taker, landed: Arc::default() }, posts)
    }

    async fn put(&self, key: &str, content: &str) {
        self.store.put(&Path::from(key), content.to_owned().into()).await.unwrap();
    }

    /// What an event would say of an object as it stands.
    async fn event(&self, key: &str) -> Hint {
        let found = self.store.head(&Path::from(key)).await.unwrap();
        Hint {
            bucket: Some("meters".to_owned()),
            key: key.to_owned(),
            etag: found.e_tag.map(|tag| super::hint::bare_tag(&tag)),
            ..Hint::default()
        }
    }

    async fn is_there(&self, key: &str) -> bool {
        self.store.head(&Path::from(key)).await.is_ok()
    }

    /// What landed, in the order of names.
    fn landed(&self) -> Vec<(String, String)> {
        let mut landed = self.landed.lock().unwrap().clone();
        landed.sort();
        landed
    }

    fn layout(&self) -> Layout {
        Home::look(self.folder.path()).unwrap()
    }
}

fn land(mut posts: Posts, says: Says, notes: &Mutex<Vec<(String, String)>>) {
    let runtime = Handle::current();
    while let Some(posted) = posts.next(&runtime, Duration::from_secs(1)) {
        for Posted { name, bytes, answer } in posted {
            let bytes = match bytes {
                Bytes::Memory(bytes) => bytes,
                Bytes::Staged(staged) => std::fs::read(staged.path()).unwrap(),
            };
            let content = String::from_utf8(bytes).unwrap();
            let mut notes = notes.lock().unwrap();
            let known = notes.iter().position(|(_, held)| *held == content);
            let upload = u32::try_from(known.unwrap_or(notes.len())).unwrap() + 1;
            let said = says(upload, known.is_none());
            if matches!(said, Ok(Note::Landed(_))) {
                notes.push((name, content.clone()));
            }
            let receipt = |note| Receipt { note, sha256: String::new(), bytes: content.len() as u64 };
            // who has gone away is not told
            let _ = answer.send(said.map(receipt));
        }
    }
}

/// The kind of a disposition, for comparison.
fn kind(disposition: &Disposition) -> &'static str {
    match disposition {
        Disposition::Landed(_) => "landed",
        Disposition::Before => "before",
        Disposition::NoConcern(_) => "no concern",
        Disposition::Later { .. } => "later",
        Disposition::Missing(_) => "missing",
        Disposition::Never(_) => "never",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_lands_once_and_leaves_the_inbox_and_its_event_may_come_again() {
    let world = World::new(lands);
    world.put("inbox/2026/a b.csv", "a").await;
    world.put("elsewhere/b.csv", "b").await;
    let event = world.event("inbox/2026/a b.csv").await;
    assert_eq!(kind(&world.taker.take(event.clone()).await), "landed");
    assert!(!world.is_there("inbox/2026/a b.csv").await);
    assert_eq!(kind(&world.taker.take(event).await), "before");
    assert_eq!(kind(&world.taker.take(world.event("elsewhere/b.csv").await).await), "no concern");
    assert!(world.is_there("elsewhere/b.csv").await);
    assert_eq!(world.landed(), [("2026/a b.csv".to_owned(), "a".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_many_events_at_once_is_read_once() {
    let world = World::new(lands);
    let large = "x".repeat(300_000);
    world.put("inbox/a.csv", &large).await;
    let event = world.event("inbox/a.csv").await;
    let taking: Vec<_> = (0..50)
        .map(|_| {
            let (taker, event) = (world.taker.clone(), event.clone());
            tokio::spawn(async move { kind(&taker.take(event).await) })
        })
        .collect();
    let mut kinds = BTreeMap::new();
    for one in taking {
        *kinds.entry(one.await.unwrap()).or_insert(0) += 1;
    }
    assert_eq!(kinds, BTreeMap::from([("landed", 1), ("before", 49)]));
    assert_eq!(std::fs::read_dir(world.layout().fetching()).unwrap().count(), 0, "a fetched file stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_doubled_shuffled_and_lost_leave_what_the_scan_alone_leaves() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (with, without) = (World::new(lands), World::new(lands));
        let mut events = Vec::new();
        for number in 0..30 {
            // some have the same bytes under two keys
            let (key, content) = (format!("inbox/{number}.csv"), format!("{}", number % 25));
            with.put(&key, &content).await;
            without.put(&key, &content).await;
            let event = with.event(&key).await;
            events.extend(std::iter::repeat_n(event, random.usize(0..4)));
        }
        random.shuffle(&mut events);
        let scan_after = random.usize(0..=events.len());
        for (index, event) in events.into_iter().enumerate() {
            if index == scan_after {
                scan(&with.taker).await.unwrap();
            }
            let disposition = with.taker.take(event).await;
            assert!(disposition.is_settled(), "seed {seed}: {disposition:?}");
        }
        scan(&with.taker).await.unwrap();
        scan(&without.taker).await.unwrap();
        let contents = |world: &World| {
            let mut contents: Vec<_> = world.landed().into_iter().map(|(_, content)| content).collect();
            contents.sort();
            contents
        };
        assert_eq!(contents(&with), contents(&without), "seed {seed}");
        assert_eq!(contents(&with).len(), 25);
        for number in 0..30 {
            assert!(!with.is_there(&format!("inbox/{number}.csv")).await, "seed {seed}: {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_never_there_is_missing_and_one_that_landed_in_another_life_is_not() {
    let world = World::new(lands);
    let hint =
        |at: &str| Hint { key: "inbox/a.csv".to_owned(), at: crate::text::instant(at), ..Hint::default() };
    assert_eq!(kind(&world.taker.take(hint("2026-03-02T00:00:00Z")).await), "missing");
    let landed_at = crate::text::instant("2026-03-02T12:00:00Z").unwrap();
    let mut store = Store::open(world.layout().database()).unwrap();
    let landed = Landed {
        upload: 1,
        name: "a.csv".to_owned(),
        sha256: "0".repeat(64),
        bytes: 1,
        landed_at,
        feed: "default".to_owned(),
        time_zone: None,
    };
    let set =
        ChangeSet { entry: 1, entry_hash: "0".repeat(64), landed: vec![landed], ..ChangeSet::default() };
    store.commit(&[Arc::new(set)]).unwrap();
    store.deliver(&[(1, "b.csv".to_owned(), landed_at)]).unwrap();
    assert_eq!(kind(&world.taker.take(hint("2026-03-02T11:00:00Z")).await), "before");
    assert_eq!(
        kind(&world.taker.take(hint("2026-03-02T12:00:59Z")).await),
        "before",
        "clocks differ a little"
    );
    assert_eq!(kind(&world.taker.take(hint("2026-03-02T12:01:01Z")).await), "missing");
    assert_eq!(kind(&world.taker.take(hint("no instant")).await), "before");
    let again = Hint { key: "inbox/b.csv".to_owned(), ..hint("2026-03-02T11:00:00Z") };
    assert_eq!(kind(&world.taker.take(again).await), "before", "known bytes are a delivery");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_leaves_the_object_where_it_is_and_ends_the_scan_soon() {
    let world =
        World::new(|_, _| Err(Refused { problem: "no space".to_owned(), hint: "free some".to_owned() }));
    for number in 0..100 {
        world.put(&format!("inbox/{number}.csv"), &number.to_string()).await;
    }
    assert_eq!(kind(&world.taker.take(world.event("inbox/1.csv").await).await), "later");
    assert_eq!(scan(&world.taker).await.unwrap_err().problem, "no space");
    assert!(world.is_there("inbox/1.csv").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_land_stays_and_does_not_hold_up_the_others() {
    let world = World::limited(lands, 1_000);
    for number in 0..10 {
        world.put(&format!("inbox/{number}.csv"), &"x".repeat(998 + number)).await;
    }
    let scanned = scan(&world.taker).await.unwrap();
    assert_eq!((scanned.landed, scanned.refused, scanned.waiting), (3, 7, 0));
    assert_eq!(scan(&world.taker).await.unwrap().refused, 7);
    let too_large = world.taker.take(world.event("inbox/3.csv").await).await;
    assert!(too_large.refused().unwrap().problem.contains("more than 1000 bytes"), "{too_large:?}");
    assert!(!world.is_there("inbox/2.csv").await && world.is_there("inbox/3.csv").await);
    // one that takes its place may land
    world.put("inbox/3.csv", "small").await;
    assert_eq!(kind(&world.taker.take(world.event("inbox/3.csv").await).await), "landed");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_known_under_another_feed_stay_and_are_told() {
    let says: Says = |upload, _| Ok(Note::Refused { upload, feed: "nem12".to_owned(), time_zone: None });
    let world = World::new(says);
    world.put("inbox/a.csv", "a").await;
    let refused = world.taker.take(world.event("inbox/a.csv").await).await;
    assert_eq!(kind(&refused), "never");
    assert!(refused.refused().unwrap().problem.contains("feed nem12"), "{refused:?}");
    assert_eq!(scan(&world.taker).await.unwrap().refused, 1);
    assert!(world.is_there("inbox/a.csv").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_takes_the_place_of_one_that_was_read_stays_and_lands_next() {
    let world = World::new(lands);
    let path = Path::from("inbox/a.csv");
    world.put("inbox/a.csv", "one").await;
    let stand = super::recent::Stand::of(&world.store.head(&path).await.unwrap());
    world.put("inbox/a.csv", "two").await;
    assert!(!world.taker.bucket().remove_if_same(&path, &stand).await.unwrap());
    assert!(world.is_there("inbox/a.csv").await);
    assert_eq!(scan(&world.taker).await.unwrap().landed, 1);
    assert_eq!(world.landed(), [("a.csv".to_owned(), "two".to_owned())]);
    assert!(world.taker.bucket().remove_if_same(&path, &stand).await.unwrap(), "gone is gone");
}

/// The content of an object of three blocks and a bit.
fn several_blocks() -> String {
    let bytes = usize::try_from(BLOCK).unwrap() * 3 + 17;
    (0..bytes).map(|at| char::from(b'a' + u8::try_from(at % 23).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_several_blocks_lands_whole_also_where_one_is_cut_or_lost() {
    for fault in [Fault::None, Fault::Cut, Fault::Lost] {
        let count = AtomicUsize::new(0);
        let chance = move |request: &str| {
            let is_third = request == "get" && count.fetch_add(1, Ordering::SeqCst) == 2;
            if is_third { fault } else { Fault::None }
        };
        let world = World::failing(lands, 1 << 20, chance);
        world.put("inbox/a.csv", &several_blocks()).await;
        world.put("inbox/empty.csv", "").await;
        assert_eq!(scan(&world.taker).await.unwrap().landed, 2, "{fault:?}");
        let expected = [("a.csv".to_owned(), several_blocks()), ("empty.csv".to_owned(), String::new())];
        assert!(world.landed() == expected, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_between_its_blocks_does_not_land_as_a_mixture() {
    let world = World::new(lands);
    let path = Path::from("inbox/a.csv");
    world.put("inbox/a.csv", &several_blocks()).await;
    let found = world.taker.bucket().look(&path, None).await.unwrap();
    let mut blocks = world.taker.bucket().read(&found, None);
    for _ in 0..BLOCK / PIECE as u64 {
        assert_eq!(blocks.try_next().await.unwrap().unwrap().len(), PIECE);
    }
    world.put("inbox/a.csv", &several_blocks().to_uppercase()).await;
    let error = blocks.try_next().await.unwrap_err();
    assert!(matches!(error, object_store::Error::Precondition { .. }), "{error}");
    assert_eq!(scan(&world.taker).await.unwrap().landed, 1);
    assert!(world.landed() == [("a.csv".to_owned(), several_blocks().to_uppercase())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_cannot_be_read_do_not_hide_those_that_are_listed_after_them() {
    let count = AtomicUsize::new(0);
    let chance = move |request: &str| {
        let is_first = request == "get" && count.fetch_add(1, Ordering::SeqCst) < 4;
        if is_first { Fault::Denied } else { Fault::None }
    };
    let world = World::failing(lands, 1 << 20, chance);
    for number in 0..5 {
        world.put(&format!("inbox/{number}.csv"), &number.to_string()).await;
    }
    let scanned = scan(&world.taker).await.unwrap();
    assert_eq!((scanned.landed, scanned.waiting), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_body_of_a_stores_answer_says_is_not_told() {
    let world = World::failing(lands, 1 << 20, |_| Fault::Denied);
    world.put("inbox/a.csv", "a").await;
    let later = world.taker.take(world.event("inbox/a.csv").await).await;
    let problem = &later.refused().unwrap().problem;
    assert!(problem.contains("AccessDenied") && !problem.contains("canary"), "{problem}");
}

/// Whether others are likely to meet what keeps an object from landing.
async fn is_general(world: &World, key: &str) -> bool {
    let hint = Hint { key: key.to_owned(), ..Hint::default() };
    match world.taker.take(hint).await {
        Disposition::Later { is_general, .. } => is_general,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_of_its_object_alone_where_the_store_answers_a_question() {
    for (broken, of_all) in [(&["get"][..], false), (&["get", "head"], true), (&["get", "list"], true)] {
        for fault in [Fault::Lost, Fault::Denied] {
            let chance = move |request: &str| {
                // a list is never refused in this store
                let fault = if request == "list" { Fault::Lost } else { fault };
                if broken.contains(&request) { fault } else { Fault::None }
            };
            let world = World::failing(lands, 1 << 20, chance);
            world.put("inbox/a.csv", "a").await;
            assert_eq!(is_general(&world, "inbox/a.csv").await, of_all, "{broken:?} {fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_goes_on_past_objects_that_only_their_own_storage_refuses() {
    let world = World::failing(lands, 1 << 20, |request| match request {
        "get" => Fault::Lost,
        _ => Fault::None,
    });
    for number in 0..10 {
        world.put(&format!("inbox/{number}.csv"), &number.to_string()).await;
    }
    let scanned = scan(&world.taker).await.unwrap();
    assert_eq!((scanned.landed, scanned.waiting), (0, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_landing_could_not_read_is_tried_again_and_says_nothing_of_the_others() {
    let says: Says = |_, _| Ok(Note::Unread { problem: "torn".to_owned(), hint: "send it again".to_owned() });
    let world = World::new(says);
    world.put("inbox/a.csv", "a").await;
    assert!(!is_general(&world, "inbox/a.csv").await);
    assert!(world.is_there("inbox/a.csv").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_held_through_an_outage_of_the_bucket_and_of_landing_and_not_given_back() {
    let is_away = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&is_away);
    let chance = move |_: &str| if seen.load(Ordering::SeqCst) { Fault::Lost } else { Fault::None };
    let world = World::failing(lands, 1 << 20, chance);
    world.put("inbox/a.csv", "a").await;
    let outages = Arc::new(Outages::default());
    let (taker, told) = (world.taker.clone(), Arc::clone(&outages));
    let hints = ["inbox/a.csv", "inbox/missing.csv", "inbox/a.csv"];
    let hints = hints.map(|key| Hint { key: key.to_owned(), ..Hint::default() }).to_vec();
    let hold_max = Duration::from_secs(60);
    let message = tokio::spawn(async move { taker.take_patiently(hints, &told, hold_max).await });
    let wait = || tokio::time::sleep(Duration::from_millis(500));
    wait().await;
    assert!(!message.is_finished(), "it is given back while the bucket is away");
    let hear = || tokio::time::timeout(Duration::from_millis(100), world.taker.until_open(&outages));
    assert!(hear().await.is_err(), "messages are received while the bucket is away");
    outages.fail(Part::Landing, "full".to_owned(), "free some");
    // who has just looked at landing still finds the bucket away
    wait().await;
    is_away.store(false, Ordering::SeqCst);
    wait().await;
    assert!(!message.is_finished() && world.landed().is_empty(), "it is taken while landing is out");
    outages.works(Part::Landing);
    let mut kinds: Vec<_> = message.await.unwrap().iter().map(kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["landed", "missing"], "equal hints are one");
    assert!(hear().await.is_ok(), "the bucket answers again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_an_outage_keeps_too_long_is_given_back() {
    let world = World::failing(lands, 1 << 20, |_: &str| Fault::Lost);
    world.put("inbox/a.csv", "a").await;
    let outages = Outages::default();
    // whether it waits for the bucket or for landing
    for is_full in [false, true] {
        if is_full {
            outages.fail(Part::Landing, "full".to_owned(), "free some");
        }
        let hint = Hint { key: "inbox/a.csv".to_owned(), ..Hint::default() };
        let held = world.taker.take_patiently(vec![hint], &outages, Duration::from_millis(300));
        let taken = tokio::time::timeout(Duration::from_secs(20), held).await.unwrap();
        assert_eq!(taken.iter().map(kind).collect::<Vec<_>>(), ["later"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stops_the_listing_does_not_stop_the_messages() {
    let world = World::new(lands);
    let outages = Outages::default();
    outages.fail(Part::Inbox, "a key has an empty part".to_owned(), "remove it");
    tokio::time::timeout(Duration::from_secs(10), world.taker.until_open(&outages)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_no_longer_waits_for_an_object_leaves_nothing_behind() {
    let (world, mut posts) = World::unserved(1 << 20, |_| Fault::None);
    world.put("inbox/a.csv", "a").await;
    let hint = world.event("inbox/a.csv").await;
    let taker = world.taker.clone();
    let waiting = tokio::spawn(async move { taker.take(hint).await });
    let until = Instant::now() + Duration::from_secs(30);
    let posted = loop {
        assert!(Instant::now() < until, "it does not come to landing");
        match posts.take().pop() {
            Some(posted) => break posted,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    waiting.abort();
    while !posted.answer.is_closed() {
        assert!(Instant::now() < until, "it is still waited for");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(world.is_there("inbox/a.csv").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_the_journal_has_landed_also_while_the_database_is_away() {
    let world = World::new(lands);
    let layout = world.layout();
    let database = layout.database().clone();
    let history = History::of(layout.clone());
    let crate::store::Database::File(path) = &database else { panic!("{database:?}") };
    std::fs::remove_file(path).unwrap();
    std::fs::create_dir(path).unwrap();
    assert!(history.has_landed("a.csv", None).await.is_err(), "nobody knows");
    let mut landing = crate::landing::Landing::open(layout.landing_place().clone()).unwrap();
    let incoming = crate::landing::Incoming {
        source: crate::landing::Source::Bytes(b"a".to_vec()),
        name: "a.csv".to_owned(),
        feed: "default".to_owned(),
        time_zone: None,
        meter: None,
        landed_at: crate::text::instant("2026-03-02T12:00:00Z").unwrap(),
    };
    landing.land(vec![incoming]).unwrap();
    assert!(history.has_landed("a.csv", None).await.unwrap());
}
