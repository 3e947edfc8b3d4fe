//! Contents: compression known by its bytes, damage told from a failing disk.

use super::*;
use greenstream_core::decode::Refusal;
use std::io::Write;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn land(received: &[u8]) -> (tempfile::TempDir, Landing) {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    landing.land(vec![Incoming { source: Source::Bytes(received.to_vec()), ..bytes("x", "") }]).unwrap();
    (dir, landing)
}

const TEXT: &[u8] = b"meter_id,timestamp,energy_value,energy_unit\nm1,2026-03-02T00:00:00Z,1,kW\n";

#[track_caller]
fn check(received: &[u8], compression: &str, decoded: &[u8]) {
    let (_dir, landing) = land(received);
    assert_eq!(landing.content(1, DECODED_BYTES_MAX).unwrap().compression(), compression);
    assert_eq!(landing.content(1, decoded.len() as u64).unwrap().read_all().unwrap(), decoded);
    let len = decoded.len() as u64;
    for (offset, take) in [(0, 5), (1, 0), (7, 9), (len.saturating_sub(3), 50), (len, 1), (len + 9, 4)] {
        let from = usize::try_from(offset).unwrap().min(decoded.len());
        let to = (from + take).min(decoded.len());
        assert_eq!(landing.range(1, offset, take).unwrap(), &decoded[from..to], "{offset} {take}");
    }
}

#[test]
fn content_is_decoded_by_its_first_bytes() {
    let (head, tail) = TEXT.split_at(20);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], zstd(TEXT).as_slice()].concat();
    check(TEXT, "none", TEXT);
    check(b"", "none", b"");
    check(b"\x1f", "none", b"\x1f");
    check(&gzip(TEXT), "gzip", TEXT);
    check(&gzip(b""), "gzip", b"");
    check(&[gzip(head), gzip(tail)].concat(), "gzip", TEXT);
    check(&[gzip(head), gzip(b""), gzip(tail)].concat(), "gzip", TEXT);
    check(&zstd(TEXT), "zstd", TEXT);
    check(&[zstd(head), zstd(tail)].concat(), "zstd", TEXT);
    check(&skippable, "zstd", TEXT);
}

#[test]
fn the_head_of_a_source_is_the_first_16_kib_that_it_decodes_to() {
    let dir = folder();
    let long: Vec<u8> = TEXT.iter().copied().cycle().take((16 << 10) + 1).collect();
    let head = &long[..16 << 10];
    for (received, expected) in [
        (long.clone(), head),
        (head.to_vec(), head),
        (gzip(&long), head),
        (zstd(&long), head),
        (gzip(TEXT), TEXT),
        (b"".to_vec(), b""),
    ] {
        let path = dir.path().join("upload");
        fs::write(&path, &received).unwrap();
        // the last was shown as it came, so that a small compressed upload over HTTP fitted no feed
        for source in [Source::File(path.clone()), Source::Inbox(path.clone()), Source::Bytes(received)] {
            assert_eq!(head_of(&source), expected, "{source:?}");
        }
    }
}

#[test]
fn the_head_of_what_cannot_be_read_is_what_comes_before_the_damage() {
    let dir = folder();
    let path = dir.path().join("upload");
    assert_eq!(head_of(&Source::File(path.clone())), b"", "nothing is there");
    assert_eq!(head_of(&Source::Inbox(dir.path().to_owned())), b"", "a folder");
    std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
    assert_eq!(head_of(&Source::File(path.clone())), b"", "a link");
    fs::remove_file(&path).unwrap();
    let whole = [gzip(TEXT), gzip(TEXT)].concat();
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    assert!(head_of(&Source::File(path.clone())).starts_with(TEXT));
    assert!(head_of(&Source::Bytes(fs::read(path).unwrap())).starts_with(TEXT));
}

/// A zstd frame of one raw block that asks for a window of this descriptor.
fn frame(window: u8) -> Vec<u8> {
    let block = u32::try_from(TEXT.len() << 3 | 1).unwrap().to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, window], &block[..3], TEXT].concat()
}

#[test]
fn a_zstd_frame_may_ask_for_a_window_of_128_mib_and_not_more() {
    let exponent = |power: u8| (power - 10) << 3;
    check(&frame(exponent(27)), "zstd", TEXT);
    for more in [exponent(27) + 1, exponent(28), exponent(41)] {
        let refusal = refused(&frame(more), 1000);
        assert!(matches!(refusal, Refusal::Damaged { format: "zstd", .. }), "{refusal}");
    }
}

#[track_caller]
fn refused(received: &[u8], limit: u64) -> Refusal {
    let (_dir, landing) = land(received);
    match landing.content(1, limit).unwrap().read_all() {
        Err(Failure::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_cut_and_every_appendix_of_a_compressed_stream_is_damage() {
    for (format, whole) in [("gzip", gzip(TEXT)), ("zstd", zstd(TEXT))] {
        for cut in 4..whole.len() {
            let refusal = refused(&whole[..cut], 1000);
            assert!(matches!(refusal, Refusal::Damaged { format: f, .. } if f == format), "{cut}: {refusal}");
        }
        for garbage in [&b"x"[..], b"garbage at the end", &[0], &[0; 600], &whole[..5], &whole[..12]] {
            let refusal = refused(&[&whole, garbage].concat(), 1000);
            let Refusal::Damaged { bytes, .. } = refusal else { panic!("{garbage:?}: {refusal}") };
            // a member cut after its first code may have given a byte, if the decoder does not look ahead
            let given = bytes.checked_sub(TEXT.len() as u64);
            assert!(matches!(given, Some(0 | 1)), "{format} {garbage:?}: {bytes}");
        }
    }
}

#[test]
fn a_flipped_bit_in_a_gzip_stream_never_gives_other_bytes() {
    let mut unused = 0;
    let whole = gzip(TEXT);
    for place in 10..whole.len() {
        let mut bad = whole.clone();
        bad[place] ^= 4;
        let (_dir, landing) = land(&bad);
        let read = landing.content(1, 1000).unwrap().read_all();
        match read {
            Err(Failure::Refused(Refusal::Damaged { .. })) => {}
            Ok(decoded) if decoded == TEXT => unused += 1,
            other => panic!("{place}: {other:?}"),
        }
    }
    assert!(unused <= 1, "only the last byte of the stream has bits to spare");
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let zeros = vec![0; 3_000_000];
    for received in [gzip(&zeros), zstd(&zeros), zeros.clone()] {
        assert_eq!(refused(&received, 2_999_999), Refusal::TooLarge { limit: 2_999_999 });
        assert_eq!(refused(&received, 0), Refusal::TooLarge { limit: 0 });
        let (_dir, landing) = land(&received);
        assert_eq!(landing.content(1, 3_000_000).unwrap().read_all().unwrap(), zeros);
    }
}

#[test]
fn text_in_another_encoding_may_be_read_beyond_its_end_and_end_within_a_character() {
    let utf16: Vec<u8> = "m,t\nä,1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (encoding, sent, expected) in [
        ("utf-16", utf16.clone(), "m,t\nä,1\n".as_bytes()),
        ("utf-16", [utf16.as_slice(), b"x"].concat(), "m,t\nä,1\n\0".as_bytes()),
        ("shift_jis", b"m,1\n\x81".to_vec(), b"m,1\n\xff"),
    ] {
        for received in [sent.clone(), gzip(&sent)] {
            let (_dir, landing) = land(&received);
            let encoding = greenstream_core::decode::Encoding::named(encoding);
            let mut content = landing.content(1, 1_000).unwrap().written_in(encoding);
            let mut text = Vec::new();
            // in two parts, and on at the end
            content.by_ref().take(4).read_to_end(&mut text).unwrap();
            content.read_to_end(&mut text).unwrap();
            for _ in 0..3 {
                assert_eq!(content.read(&mut [0; 8]).unwrap(), 0);
            }
            let expected = match expected.strip_suffix(b"\0") {
                Some(whole) => [whole, b"\xff"].concat(),
                None => expected.to_vec(),
            };
            assert_eq!(text, expected);
        }
    }
}

#[test]
fn a_range_beyond_the_damage_is_refused_and_one_before_it_is_read() {
    let long: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let whole = gzip(&long);
    let (_dir, landing) = land(&whole[..whole.len() / 2]);
    assert_eq!(landing.range(1, 400, 8).unwrap(), &long[400..408]);
    let Err(Failure::Refused(Refusal::Damaged { bytes, .. })) = landing.range(1, 7_900_000, 8) else {
        panic!()
    };
    assert!(bytes > 1_000_000 && bytes < 7_900_000, "{bytes}");
}

#[test]
fn a_failing_disk_is_no_damage() {
    let dir = folder();
    // a folder opens for reading like a file, and reading it fails
    for received in [gzip(TEXT), zstd(TEXT)] {
        let path = dir.path().join("object");
        fs::write(&path, &received[..received.len() - 1]).unwrap();
        let mut content = Content::new(fs::File::open(&path).unwrap(), &path, 1000).unwrap();
        content.break_disk(fs::File::open(dir.path()).unwrap());
        let Err(Failure::World(error)) = content.read_all() else { panic!() };
        assert!(error.is_transient(), "{error:?}");
        assert!(error.to_string().ends_with("object"), "{error}");
    }
}

#[test]
fn a_missing_object_is_no_damage() {
    let (_dir, landing) = land(TEXT);
    fs::remove_file(landing.objects().path_of(&Hash::of(TEXT))).unwrap();
    let Err(Failure::World(error)) = landing.range(1, 0, 1) else { panic!() };
    assert!(error.to_string().starts_with("cannot open"), "{error}");
}
