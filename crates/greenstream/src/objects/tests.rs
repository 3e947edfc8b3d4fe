//! The places of object stores, on a store in memory and on one that fails as it is told to.

use super::*;
use bytes::Bytes;
use object_store::memory::InMemory;
use std::sync::Arc;

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
    use std::io::{Read, Seek, SeekFrom};
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
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    let bucket = Bucket::open(&url, &Settings::default()).unwrap();
    assert_eq!(bucket.put_new("a/b", Bytes::from_static(b"x")).unwrap(), Put::New);
    assert_eq!(bucket.put_new("a/b", Bytes::from_static(b"y")).unwrap(), Put::Other);
    assert_eq!(std::fs::read(dir.path().join("a/b")).unwrap(), b"x");
    assert_eq!(Place::open(&url, &Settings::default()).unwrap(), Place::Folder(dir.path().to_owned()));
}
