//! The places of object stores, on a store in memory and on one that fails as it is told to.

use super::error::Kind;
use super::flaky::{Fault, Flaky};
use super::*;
use bytes::Bytes;
use futures_util::FutureExt;
use object_store::memory::InMemory;
use object_store::{Error as StoreError, ObjectStoreExt};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn bucket() -> Bucket {
    let settings = Settings { retries_max: 3, request_seconds: 2, ..Settings::default() };
    Bucket::over(Arc::new(InMemory::new()), "s3://meters/a", &settings)
}

#[test]
fn a_put_that_replaces_nothing_tells_new_same_and_other() {
    let bucket = bucket();
    let put = |bytes: &'static [u8]| bucket.put_new("k/x", Bytes::from_static(bytes)).unwrap();
    assert_eq!(put(b"one"), Put::New);
    assert_eq!(put(b"one"), Put::Same);
    assert_eq!(put(b"two"), Put::Other);
    assert_eq!(put(b"longer"), Put::Other);
    assert_eq!(bucket.get("k/x", 3).unwrap().unwrap(), b"one");
    assert_eq!(bucket.get("k/y", 3).unwrap(), None);
    assert_eq!(bucket.head("k/x").unwrap().unwrap().bytes, 3);
    assert_eq!(bucket.head("k/y").unwrap(), None);
    bucket.delete("k/x").unwrap();
    bucket.delete("k/x").unwrap();
    assert_eq!(put(b"two"), Put::New);
}

#[test]
fn a_listing_is_sorted_and_below_the_prefix() {
    let bucket = bucket();
    for key in ["j/2", "j/1", "j/3", "o/1"] {
        bucket.put_new(key, Bytes::from_static(b"x")).unwrap();
    }
    let keys = |under, after| -> Vec<String> {
        bucket.list(under, after).unwrap().into_iter().map(|found| found.key).collect()
    };
    assert_eq!(keys("j", None), ["j/1", "j/2", "j/3"]);
    assert_eq!(keys("j", Some("j/1")), ["j/2", "j/3"]);
    assert_eq!(keys("", None).len(), 4);
    assert_eq!(bucket.below("j").list("", None).unwrap()[0].key, "1");
}

#[test]
fn an_object_in_parts_is_read_in_blocks_and_from_anywhere() {
    let bucket = bucket();
    let whole: Vec<u8> = (0..PART_BYTES + 12_345).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let mut parts = whole.chunks(PART_BYTES).map(Bytes::copy_from_slice);
    bucket.put_large("large", || Ok::<_, Error>(parts.next().unwrap_or_default())).unwrap();
    let mut reader = bucket.reader("large").unwrap();
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == whole);
    reader.seek(SeekFrom::Start(9_000)).unwrap();
    let mut some = [0; 10];
    reader.read_exact(&mut some).unwrap();
    assert_eq!(some, whole[9_000..9_010]);
    bucket.put_new("empty", Bytes::new()).unwrap();
    assert_eq!(bucket.reader("empty").unwrap().read(&mut some).unwrap(), 0);
    let error = bucket.reader("missing").err().unwrap();
    assert!(error.to_string().contains("s3://meters/a/missing"), "{error}");
}

#[test]
fn parts_that_cannot_be_read_leave_no_object() {
    let bucket = bucket();
    let mut parts = [Some(Bytes::from(vec![7; PART_BYTES]))].into_iter();
    let failed = bucket.put_large("large", || {
        parts.next().flatten().ok_or(Error::Url { problem: "the source is gone".to_owned() })
    });
    assert!(failed.is_err());
    assert_eq!(bucket.head("large").unwrap(), None);
}

#[test]
fn a_store_is_good_where_it_keeps_what_is_there() {
    let bucket = bucket();
    bucket.ping().unwrap();
    bucket.ping().unwrap();
    assert_eq!(bucket.list("", None).unwrap().len(), 1);
}

#[test]
fn a_url_whose_feature_is_not_built_in_names_the_feature() {
    for (url, feature, is_built_in) in [
        ("s3://meters/a", "s3", cfg!(feature = "s3")),
        ("gs://meters/a", "gcs", cfg!(feature = "gcs")),
        ("az://meters/a", "azure", cfg!(feature = "azure")),
    ] {
        if !is_built_in {
            let error = Bucket::open(url, &Settings::default()).unwrap_err();
            assert!(error.is_of_configuration() && error.to_string().contains(&format!("`{feature}`")));
        }
    }
    assert!(Scheme::File.is_built_in() && Scheme::File.feature().is_none());
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    let bucket = Bucket::open(&url, &Settings::default()).unwrap();
    assert_eq!(bucket.put_new("a/b", Bytes::from_static(b"x")).unwrap(), Put::New);
    assert_eq!(bucket.put_new("a/b", Bytes::from_static(b"y")).unwrap(), Put::Other);
    assert_eq!(std::fs::read(dir.path().join("a/b")).unwrap(), b"x");
    assert_eq!(Place::open(&url, &Settings::default()).unwrap(), Place::Folder(dir.path().to_owned()));
}

/// A store that answers so, and how often it was asked.
fn answering(fault: Fault, retries_max: u32) -> (Bucket, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let flaky = Flaky::new(&Arc::new(InMemory::new()), move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        fault
    });
    (flaky.bucket(retries_max), count)
}

#[test]
fn what_is_away_is_asked_as_often_as_the_settings_say_and_what_is_refused_once() {
    for (fault, retries_max, asked, kind) in [
        (Fault::Lost, 0, 1, Kind::Away),
        (Fault::Lost, 2, 3, Kind::Away),
        (Fault::Denied, 2, 1, Kind::Denied),
        (Fault::None, 2, 1, Kind::Missing),
    ] {
        let (bucket, count) = answering(fault, retries_max);
        let error = bucket.range("k", 0..1).unwrap_err();
        assert_eq!((error.kind(), count.load(Ordering::SeqCst)), (Some(kind), asked), "{fault:?}");
    }
}

#[test]
fn no_try_begins_after_the_time_for_one() {
    let (bucket, count) = answering(Fault::Lost, 9);
    let settings = Settings { retries_max: 9, request_seconds: 0, ..Settings::default() };
    let bucket = Bucket::over(bucket.store(), "s3://meters/a", &settings);
    assert!(bucket.head("k").is_err());
    assert!(count.load(Ordering::SeqCst) <= 1);
}

#[test]
fn a_body_that_is_cut_is_asked_for_again_and_never_taken_for_whole() {
    let store = Arc::new(InMemory::new());
    let cuts = |times: usize| {
        let count = AtomicUsize::new(0);
        let cut = move |request: &str| {
            let is_cut = request == "get" && count.fetch_add(1, Ordering::SeqCst) < times;
            if is_cut { Fault::Cut } else { Fault::None }
        };
        Flaky::new(&store, cut).bucket(2)
    };
    cuts(0).put_new("k", Bytes::from_static(b"12345678")).unwrap();
    assert_eq!(cuts(2).get("k", 8).unwrap().unwrap(), b"12345678");
    assert_eq!(cuts(2).range("k", 2..5).unwrap(), (b"345".to_vec(), 8));
    assert_eq!(cuts(0).range("k", 6..99).unwrap(), (b"78".to_vec(), 8));
    assert_eq!(cuts(3).get("k", 8).unwrap_err().kind(), Some(Kind::Changed));
    let error = cuts(3).range("k", 2..5).unwrap_err();
    assert_eq!(error.kind(), Some(Kind::Changed));
    let told = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(told, "1 bytes came instead of 3");
}

#[test]
fn an_object_above_the_limit_is_refused_and_one_that_is_denied_is_not_taken_for_missing() {
    let bucket = bucket();
    bucket.put_new("k", Bytes::from_static(b"123")).unwrap();
    assert_eq!(bucket.get("k", 2).unwrap_err().kind(), Some(Kind::Unsupported));
    let (bucket, _) = answering(Fault::Denied, 0);
    assert_eq!(bucket.get("k", 2).unwrap_err().kind(), Some(Kind::Denied));
    assert_eq!(bucket.head("k").unwrap_err().kind(), Some(Kind::Denied));
}

#[test]
fn a_put_whose_object_cannot_be_compared_is_an_error_and_no_answer() {
    let store = Arc::new(InMemory::new());
    let of = |fault: Fault| {
        Flaky::new(&store, move |request| if request == "get" { fault } else { Fault::None }).bucket(0)
    };
    assert_eq!(of(Fault::None).put_new("k", Bytes::from_static(b"1")).unwrap(), Put::New);
    for (fault, kind) in [(Fault::Lost, Kind::Away), (Fault::Denied, Kind::Denied)] {
        let error = of(fault).put_new("k", Bytes::from_static(b"1")).unwrap_err();
        assert_eq!(error.kind(), Some(kind));
    }
}

#[test]
fn a_put_over_what_is_there_replaces_it() {
    let bucket = bucket();
    for bytes in [&b"one"[..], b"two"] {
        bucket.put("k", Bytes::from_static(bytes)).unwrap();
        assert_eq!(bucket.get("k", 9).unwrap().unwrap(), bytes);
    }
    let (bucket, _) = answering(Fault::Lost, 0);
    assert!(bucket.put("k", Bytes::new()).is_err());
}

#[test]
fn an_object_of_whole_parts_is_put_without_an_empty_one_and_one_of_nothing_is_put_too() {
    let bucket = bucket();
    for parts in [vec![PART_BYTES, 0], vec![PART_BYTES, PART_BYTES, 1], vec![0]] {
        let mut left = parts.iter();
        let mut next = || Ok::<_, Error>(Bytes::from(vec![7; *left.next().unwrap()]));
        bucket.put_large("k", &mut next).unwrap();
        let bytes = parts.iter().sum::<usize>() as u64;
        assert_eq!(bucket.head("k").unwrap().unwrap().bytes, bytes);
    }
}

#[test]
fn a_large_object_whose_last_answer_is_lost_is_there_if_it_is_whole() {
    for (fault, is_there) in [(Fault::None, true), (Fault::Unanswered, true), (Fault::Lost, false)] {
        let chance = move |request: &str| if request == "complete" { fault } else { Fault::None };
        let bucket = Flaky::new(&Arc::new(InMemory::new()), chance).bucket(0);
        let mut parts = [PART_BYTES, 5].into_iter();
        let put = bucket.put_large("k", || Ok::<_, Error>(Bytes::from(vec![7; parts.next().unwrap()])));
        assert_eq!(put.is_ok(), is_there, "{fault:?}");
        assert_eq!(bucket.head("k").unwrap().is_some(), is_there, "{fault:?}");
    }
    // another object of the name is not taken for this one
    let chance = |request: &str| if request == "complete" { Fault::Lost } else { Fault::None };
    let bucket = Flaky::new(&Arc::new(InMemory::new()), chance).bucket(0);
    bucket.put("k", Bytes::from_static(b"1234")).unwrap();
    assert!(bucket.put_large("k", || Ok::<_, Error>(Bytes::from_static(b"12345"))).is_err());
}

#[test]
fn a_store_that_replaces_what_it_should_keep_is_not_good() {
    let store = Arc::new(InMemory::new());
    let forgetful = Arc::clone(&store);
    let bucket = Flaky::new(&store, move |request| {
        if request == "put" {
            let _ = forgetful.delete(&"landing/probe".into()).now_or_never();
        }
        Fault::None
    })
    .bucket(0);
    let error = bucket.ping().unwrap_err();
    assert_eq!(error.kind(), Some(Kind::Unsupported));
    assert!(error.hint().contains("conditional puts"));
    assert!(answering(Fault::Lost, 0).0.ping().is_err());
    let unlisted = |request: &str| if request == "list" { Fault::Lost } else { Fault::None };
    assert!(Flaky::new(&Arc::new(InMemory::new()), unlisted).bucket(0).ping().is_err());
}

#[test]
fn keys_and_urls_of_a_place_lead_to_each_other() {
    let bucket = bucket();
    assert_eq!(bucket.url_of("k/x"), "s3://meters/a/k/x");
    assert_eq!(bucket.full_key("k//x").as_ref(), "a/k/x");
    assert_eq!(bucket.key_of(Path::new("s3://meters/a/k/x")).as_deref(), Some("k/x"));
    assert_eq!(bucket.key_of(Path::new("s3://meters/b/k/x")), None);
    assert_eq!(bucket.below("k").url(), "s3://meters/a/k");
    assert_eq!(format!("{bucket:?}"), "Bucket(s3://meters/a)");
    assert_eq!(bucket.address().bucket(), "meters");
}

#[test]
fn places_are_the_same_where_address_and_settings_are() {
    let store: Arc<dyn object_store::ObjectStore> = Arc::new(InMemory::new());
    let of = |url: &str, retries_max| {
        let settings = Settings { retries_max, ..Settings::default() };
        Place::Bucket(Bucket::over(Arc::clone(&store), url, &settings))
    };
    assert_eq!(of("s3://meters/a", 1), of("s3://meters/a", 1));
    assert_ne!(of("s3://meters/a", 1), of("s3://meters/b", 1));
    assert_ne!(of("s3://meters/a", 1), of("s3://meters/a", 2));
    assert_eq!(of("s3://meters/a", 1).to_string(), "s3://meters/a");
    assert_eq!(of("s3://meters/a", 1).root(), PathBuf::from("s3://meters/a"));
    let folder = Place::from("/srv/landing");
    assert_eq!((folder.to_string(), folder.bucket()), ("/srv/landing".to_owned(), None));
}

#[test]
fn a_place_is_checked_without_being_made() {
    for (url, is_good) in [
        ("file:///srv/landing", true),
        ("s3://meters/a", cfg!(feature = "s3")),
        ("az://meters/a", cfg!(feature = "azure")),
        ("ftp://meters/a", false),
    ] {
        assert_eq!(Place::check(url).is_ok(), is_good, "{url}");
    }
    let locked = Settings { object_lock_days: Some(30), ..Settings::default() };
    let error = Place::open("file:///srv/landing", &locked).unwrap_err();
    assert!(error.is_of_configuration() && error.hint().contains("[objects]"), "{error}");
    let told = std::error::Error::source(&error).unwrap().to_string();
    assert!(told.starts_with("object_lock_days is for s3:// only"), "{told}");
}

#[test]
fn a_reader_goes_anywhere_and_notices_that_the_object_is_another() {
    let bucket = bucket();
    let whole: Vec<u8> = (0..20_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    bucket.put("k", Bytes::from(whole.clone())).unwrap();
    let mut reader = bucket.reader("k").unwrap();
    assert_eq!(reader.size(), 20_000);
    let mut two = [0; 2];
    for (to, at) in [
        (SeekFrom::End(-2), 19_998),
        (SeekFrom::Start(4_095), 4_095),
        (SeekFrom::Current(-97), 4_000),
        (SeekFrom::Current(8_000), 12_002),
        (SeekFrom::Start(3), 3),
    ] {
        assert_eq!(reader.seek(to).unwrap(), at as u64);
        reader.read_exact(&mut two).unwrap();
        assert_eq!(two, whole[at..at + 2], "{to:?}");
    }
    assert!(reader.seek(SeekFrom::Current(-9)).is_err());
    assert_eq!(reader.seek(SeekFrom::End(7)).unwrap(), 20_007);
    assert_eq!(reader.read(&mut two).unwrap(), 0);
    reader.seek(SeekFrom::Start(15_000)).unwrap();
    bucket.put("k", Bytes::from(whole[1..].to_vec())).unwrap();
    let error = reader.read(&mut two).unwrap_err();
    assert_eq!(Error::of_io(&error).and_then(Error::kind), Some(Kind::Changed));
}

#[test]
fn what_a_store_answers_tells_what_to_do() {
    let source = || "x".into();
    let path = || "k".to_owned();
    for (answer, kind, io, hint) in [
        (
            StoreError::NotFound { path: path(), source: source() },
            Kind::Missing,
            std::io::ErrorKind::NotFound,
            "the prefix",
        ),
        (
            StoreError::PermissionDenied { path: path(), source: source() },
            Kind::Denied,
            std::io::ErrorKind::PermissionDenied,
            "credentials",
        ),
        (
            StoreError::Unauthenticated { path: path(), source: source() },
            Kind::Denied,
            std::io::ErrorKind::PermissionDenied,
            "credentials",
        ),
        (
            StoreError::NotSupported { source: source() },
            Kind::Unsupported,
            std::io::ErrorKind::Unsupported,
            "conditional puts",
        ),
        (
            StoreError::Generic { store: "S3", source: source() },
            Kind::Away,
            std::io::ErrorKind::Other,
            "the network",
        ),
    ] {
        let error = Error::store("get", path(), &answer);
        assert_eq!(error.kind(), Some(kind), "{answer}");
        assert!(error.hint().contains(hint) && !error.is_of_configuration(), "{}", error.hint());
        assert_eq!(std::io::Error::from(error).kind(), io);
    }
    let refused = |url: &str| Bucket::open(url, &Settings::default()).unwrap_err();
    assert!(refused("meters").is_of_configuration());
    assert!(refused("meters").hint().contains("s3://BUCKET/PREFIX"));
    if !cfg!(feature = "gcs") {
        assert!(refused("gs://meters/a").hint().contains("--features"));
    }
}
