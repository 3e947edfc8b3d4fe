//! Landing and delivering: what is new, what is known, what is refused.

use super::*;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

#[track_caller]
fn check(landing: &mut Landing, incoming: Vec<Incoming>, expected: &[&str]) {
    assert_eq!(shown(&landing.land(incoming).unwrap()), expected);
}

#[test]
fn the_same_bytes_are_one_upload_in_a_group_across_groups_and_after_reopening() {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    let group = vec![bytes("a.csv", "one"), bytes("b.csv", "two"), bytes("c.csv", "one")];
    check(&mut landing, group.clone(), &["new 1 in 1", "new 2 in 2", "delivered 1"]);
    check(&mut landing, group.clone(), &["delivered 1", "delivered 2", "delivered 1"]);
    check(&mut landing, vec![bytes("a.csv", "three")], &["new 3 in 3"]);
    let head = landing.head();
    drop(landing);
    let mut landing = Landing::open(dir.path()).unwrap();
    assert_eq!(landing.head(), head);
    check(&mut landing, group, &["delivered 1", "delivered 2", "delivered 1"]);
    check(&mut landing, vec![bytes("d.csv", "four")], &["new 4 in 4"]);
    assert_eq!(contents(&landing), [&b"one"[..], b"two", b"three", b"four"]);
    assert_eq!(findings(dir.path(), None), [""; 0]);
}

#[test]
fn the_same_bytes_under_another_feed_or_zone_are_refused() {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    let one = || bytes("a.csv", "one");
    let berlin = Some("Europe/Berlin");
    check(&mut landing, vec![one()], &["new 1 in 1"]);
    let others = vec![
        with(one(), "other", None, None),
        with(one(), "default", berlin, None),
        with(one(), "other", None, Some("m1")),
        with(one(), "default", None, None),
    ];
    let refused = "refused 1, default";
    check(&mut landing, others, &[refused, refused, refused, "delivered 1"]);
    let group = vec![
        with(bytes("b.csv", "two"), "default", berlin, None),
        with(bytes("b.csv", "two"), "default", None, None),
    ];
    check(&mut landing, group, &["new 2 in 2", "refused 2, default in Europe/Berlin"]);
}

#[test]
fn the_same_bytes_of_another_meter_are_another_upload_with_one_object() {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    let of = |meter| with(bytes("m.csv", "0.0"), "named", None, Some(meter));
    check(&mut landing, vec![of("m1"), of("m2"), of("m1")], &["new 1 in 1", "new 2 in 2", "delivered 1"]);
    check(&mut landing, vec![of("m2"), of("m3")], &["delivered 2", "new 3 in 3"]);
    let object = landing.objects().path_of(&Hash::of(b"0.0"));
    assert_eq!(names_in(object.parent().unwrap()).len(), 1);
    drop(landing);
    let mut landing = Landing::open(dir.path()).unwrap();
    check(&mut landing, vec![of("m3"), of("m4")], &["delivered 3", "new 4 in 4"]);
    assert_eq!(findings(dir.path(), None), [""; 0]);
}

#[test]
fn after_a_retry_the_new_feed_zone_and_meter_hold() {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    check(&mut landing, vec![bytes("m1.csv", "one")], &["new 1 in 1"]);
    let retry = RetryBody {
        upload: 1,
        feed: "named".to_owned(),
        time_zone: Some("Europe/Berlin".to_owned()),
        meter: Some("m1".to_owned()),
    };
    landing.append(vec![(at(1), Body::Retry(retry))]).unwrap();
    drop(landing);
    let mut landing = Landing::open(dir.path()).unwrap();
    let again = with(bytes("m1.csv", "one"), "named", Some("Europe/Berlin"), Some("m1"));
    check(
        &mut landing,
        vec![again, bytes("m1.csv", "one")],
        &["delivered 1", "refused 1, named in Europe/Berlin"],
    );
}

#[test]
fn objects_are_read_only_and_named_by_their_hash() {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    landing.land(vec![bytes("a", "abc")]).unwrap();
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let object = dir.path().join("objects/ba").join(hash);
    assert_eq!(fs::read(&object).unwrap(), b"abc");
    assert_eq!(fs::metadata(&object).unwrap().permissions().mode() & 0o777, 0o444);
    assert_eq!(names_in(&dir.path().join("tmp")), [""; 0]);
}

#[test]
fn files_of_the_inbox_leave_it_and_other_files_stay() {
    let (dir, inbox) = (folder(), folder());
    let mut landing = Landing::open(dir.path()).unwrap();
    for (name, text) in [("new", "1"), ("again", "1"), ("kept", "2"), ("refused", "1")] {
        fs::write(inbox.path().join(name), text).unwrap();
    }
    let from = |name: &str, source: fn(PathBuf) -> Source| Incoming {
        source: source(inbox.path().join(name)),
        ..bytes(name, "")
    };
    let group = vec![
        from("new", Source::Inbox),
        from("again", Source::Inbox),
        from("kept", Source::File),
        with(from("refused", Source::Inbox), "other", None, None),
    ];
    check(&mut landing, group, &["new 1 in 1", "delivered 1", "new 2 in 2", "refused 1, default"]);
    assert_eq!(names_in(inbox.path()), ["kept", "refused"]);
}

#[test]
fn a_source_that_cannot_be_read_holds_up_no_other() {
    let (dir, inbox) = (folder(), folder());
    let path = |name: &str| inbox.path().join(name);
    fs::write(path("good"), "1").unwrap();
    symlink(path("good"), path("link")).unwrap();
    fs::create_dir(path("folder")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, path("fifo"), 0o600.into()).unwrap();
    fs::File::create(path("huge")).unwrap().set_len(UPLOAD_BYTES_MAX + 1).unwrap();
    let names = ["gone", "link", "folder", "fifo", "huge", "good"];
    let group = names.map(|name| Incoming { source: Source::Inbox(path(name)), ..bytes(name, "") });
    let mut landing = Landing::open(dir.path()).unwrap();
    let landed = shown(&landing.land(group.to_vec()).unwrap());
    let prefix = format!("{}/", inbox.path().display());
    let landed: Vec<_> = landed.iter().map(|text| text.replace(&prefix, "")).collect();
    let expected = [
        "unread: cannot open gone",
        "unread: link is a symbolic link, not a regular file",
        "unread: folder is a folder, not a regular file",
        "unread: fifo is a FIFO, not a regular file",
        "unread: huge has 4294967297 bytes, more than the limit of 4294967296",
        "new 1 in 1",
    ];
    assert_eq!(landed, expected);
    assert_eq!(names_in(inbox.path()), ["fifo", "folder", "huge", "link"]);
}

#[test]
fn sockets_and_devices_are_no_uploads() {
    let (dir, inbox) = (folder(), folder());
    let socket = inbox.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut landing = Landing::open(dir.path()).unwrap();
    for (path, what) in [(socket.as_path(), "a socket"), (Path::new("/dev/null"), "a device")] {
        let one = Incoming { source: Source::File(path.to_owned()), ..bytes("x", "") };
        let expected = format!("unread: {} is {what}, not a regular file", path.display());
        check(&mut landing, vec![one], &[&expected]);
    }
}

#[test]
fn what_a_failed_attempt_left_is_no_obstacle_and_its_other_names_keep_their_bytes() {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    landing.land(vec![bytes("a", "one")]).unwrap();
    let tmp = |text: &str| dir.path().join("tmp").join(Hash::of(text.as_bytes()).to_string());
    fs::hard_link(landing.objects().path_of(&Hash::of(b"one")), tmp("two")).unwrap();
    check(&mut landing, vec![bytes("b", "two")], &["new 2 in 2"]);
    assert_eq!(contents(&landing), [b"one", b"two"]);
    assert_eq!(findings(dir.path(), None), [""; 0]);
}

#[test]
fn a_file_that_was_replaced_after_it_was_read_is_not_removed() {
    let inbox = folder();
    let path = inbox.path().join("a.csv");
    fs::write(&path, "old").unwrap();
    let stamp = Stamp::of(&fs::symlink_metadata(&path).unwrap());
    fs::write(inbox.path().join("b"), "new").unwrap();
    fs::rename(inbox.path().join("b"), &path).unwrap();
    super::super::source::remove_if_same(&path, &stamp).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    let stamp = Stamp::of(&fs::symlink_metadata(&path).unwrap());
    super::super::source::remove_if_same(&path, &stamp).unwrap();
    assert!(!path.exists());
    super::super::source::remove_if_same(&path, &stamp).unwrap();
    // what cannot be looked at is an error, not gone
    fs::write(&path, "a file").unwrap();
    assert!(super::super::source::remove_if_same(&path.join("within"), &stamp).is_err());
}

#[test]
fn files_around_the_size_of_a_block_land_whole() {
    let (dir, inbox) = (folder(), folder());
    let block = super::super::source::BLOCK;
    let mut landing = Landing::open(dir.path()).unwrap();
    let sizes = [0, 1, block - 1, block, block + 1, 2 * block, 3 * block + 7];
    let mut group = Vec::new();
    for size in sizes {
        let path = inbox.path().join(size.to_string());
        fs::write(&path, (0..=250).cycle().take(size).collect::<Vec<u8>>()).unwrap();
        group.push(Incoming { source: Source::Inbox(path), ..bytes("x", "") });
    }
    let hashes: Vec<_> = group.iter().map(|one| hash_of(&one.source).unwrap()).collect();
    landing.land(group).unwrap();
    let landed: Vec<_> = landing.uploads().iter().map(|upload| (upload.sha256, upload.bytes)).collect();
    assert_eq!(landed, hashes);
    assert_eq!(contents(&landing).iter().map(Vec::len).collect::<Vec<_>>(), sizes);
    assert_eq!(findings(dir.path(), None), [""; 0]);
    assert_eq!(names_in(inbox.path()), [""; 0]);
    assert_eq!(names_in(&dir.path().join("tmp")), [""; 0]);
}

#[test]
fn two_thousand_small_uploads_land_in_groups() {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    for group in 0..8 {
        let uploads = (0..250).map(|i| bytes("m.csv", &format!("reading {}", group * 250 + i)));
        landing.land(uploads.collect()).unwrap();
    }
    assert_eq!(landing.uploads().len(), 2000);
    assert_eq!(contents(&landing)[1999], b"reading 1999");
    assert_eq!(names_in(&dir.path().join("journal")).len(), 8);
    assert_eq!(findings(dir.path(), None), [""; 0]);
}

#[test]
fn names_never_become_paths_and_are_always_text() {
    let (dir, inbox) = (folder(), folder());
    let mut landing = Landing::open(dir.path()).unwrap();
    let long = "x".repeat(255);
    let files: [(&[u8], &str); 7] = [
        (b"plain.csv", "plain.csv"),
        (b"\xff\xfe.csv", "\\xff\\xfe.csv"),
        (b"two\nlines.csv", "two\nlines.csv"),
        (b"-rf", "-rf"),
        ("zähler \u{202e}vsc".as_bytes(), "zähler \u{202e}vsc"),
        (b"a\x01b\"c\\d", "a\u{1}b\"c\\d"),
        (long.as_bytes(), &long),
    ];
    for (file, name) in files {
        let path = inbox.path().join(OsStr::from_bytes(file));
        fs::write(&path, file).unwrap();
        assert_eq!(name_of(&path), name);
        let incoming = Incoming { source: Source::Inbox(path.clone()), ..bytes(&name_of(&path), "") };
        landing.land(vec![incoming]).unwrap();
    }
    for name in ["../../etc/passwd", "/etc/passwd", "..", "", "a/../b"] {
        landing.land(vec![bytes(name, &format!("of {name}"))]).unwrap();
    }
    landing.land(vec![bytes(&"ü".repeat(600), "too long")]).unwrap();
    let names: Vec<_> = landing.uploads().iter().map(|upload| upload.name.to_string()).collect();
    assert_eq!(names[..7], files.map(|(_, name)| name.to_owned()));
    assert_eq!(names[7..12], ["../../etc/passwd", "/etc/passwd", "..", "", "a/../b"]);
    assert_eq!(names[12], format!("{}…", "ü".repeat(510)));
    drop(landing);
    let again = Landing::open(dir.path()).unwrap();
    assert!(again.uploads().iter().map(|upload| &*upload.name).eq(names.iter().map(String::as_str)));
    assert_eq!(names_in(dir.path()), ["journal", "objects", "tmp"]);
    assert_eq!(findings(dir.path(), None), [""; 0]);
}

#[test]
fn a_delivery_mends_an_object_that_is_missing_or_cut() {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    landing.land(vec![bytes("a", "one"), bytes("b", "two")]).unwrap();
    let object = |text: &str| landing.objects().path_of(&Hash::of(text.as_bytes()));
    fs::remove_file(object("one")).unwrap();
    fs::remove_file(object("two")).unwrap();
    fs::write(object("two"), "t").unwrap();
    assert_eq!(findings(dir.path(), None).len(), 2);
    check(
        &mut landing,
        vec![bytes("a", "one"), bytes("a", "one"), bytes("b", "two")],
        &["delivered 1", "delivered 1", "delivered 2"],
    );
    assert_eq!(findings(dir.path(), None), [""; 0]);
    assert_eq!(landing.head().0, 2);
}

#[test]
fn a_reader_sees_what_landed_when_it_looks_again() {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    landing.land(vec![bytes("a", "one")]).unwrap();
    let mut reader = Zone::look(dir.path()).unwrap();
    landing.land(vec![bytes("b", "two"), bytes("c", "three")]).unwrap();
    landing.land(vec![bytes("d", "four")]).unwrap();
    assert_eq!(reader.uploads().len(), 1);
    reader.refresh().unwrap();
    assert_eq!((reader.uploads(), reader.head()), (landing.uploads(), landing.head()));
    for after in 0..5 {
        let entries = |zone: &Zone| zone.entries_after(after).map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(entries(&reader), entries(&landing), "after {after}");
    }
    assert_eq!(reader.known(&Hash::of(b"two"), None, "default", None), Known::Same(2));
    assert_eq!(reader.known(&Hash::of(b"two"), None, "other", None), Known::Other(2));
    assert_eq!(reader.known(&Hash::of(b"five"), None, "default", None), Known::No);
    let error = reader.content(5, 1).err().unwrap();
    assert_eq!(error.to_string(), "upload 5 has not landed");
}

#[test]
fn the_index_holds_a_million_uploads() {
    assert!(size_of::<UploadEntry>() <= 136, "{}", size_of::<UploadEntry>());
}
