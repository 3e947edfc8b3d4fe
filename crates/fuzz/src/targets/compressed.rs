//! gzip and zstd: what was compressed comes back whole, what is damaged is refused, and neither takes more
//! memory than the limit.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use greenstream::landing::{Content, Failure};
use greenstream_core::decode::Refusal;

/// The most decoded bytes here; the service has a gibibyte.
const LIMIT: u64 = 64 << 10;

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(super::memory_file());
}

pub(crate) fn gzip(bytes: &[u8]) {
    check(bytes, b"\x1f\x8b", |text| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    });
}

pub(crate) fn zstd(bytes: &[u8]) {
    check(bytes, b"\x28\xb5\x2f\xfd", |text| zstd::encode_all(text, 1).unwrap());
}

/// The first byte chooses: the rest as it is after the format's first bytes; or compressed, in up to three
/// members, and then whole or cut.
fn check(bytes: &[u8], magic: &[u8], compress: impl Fn(&[u8]) -> Vec<u8>) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    if choice & 1 == 0 {
        let begin = if rest.starts_with(magic) { &[][..] } else { magic };
        let _ = read_laws(&[begin, rest].concat());
        return;
    }
    let parts = usize::from(choice >> 2) % 3 + 1;
    let members: Vec<Vec<u8>> = rest.chunks(rest.len().div_ceil(parts).max(1)).map(&compress).collect();
    let packed = members.concat();
    if packed.is_empty() {
        return;
    }
    assert_eq!(read_laws(&packed).unwrap(), rest, "what was compressed comes back");
    // every cut within a member is noticed
    let cut = usize::from(choice >> 4) * packed.len() / 16;
    let mut ends = members.iter().scan(0, |sum, member| {
        *sum += member.len();
        Some(*sum)
    });
    if cut > magic.len() && !ends.any(|end| end == cut) {
        let refused = read_laws(&packed[..cut]);
        assert!(
            matches!(refused, Err(Refusal::Damaged { .. })),
            "a cut at {cut} of {}: {refused:?}",
            packed.len()
        );
    }
}

/// Reads a file of these bytes. The limit holds, the disk is never blamed, and a part is what stands there
/// in the whole.
fn read_laws(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    FILE.with_borrow_mut(|file| {
        file.as_file().set_len(0).unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let read = read(file.path());
        match &read {
            Ok(text) => assert!(text.len() as u64 <= LIMIT),
            Err(refusal) => {
                super::laws::refused(refusal);
                if let Refusal::Damaged { bytes, .. } = refusal {
                    assert!(*bytes <= LIMIT);
                }
            }
        }
        read
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    let content = Content::new(File::open(path).unwrap(), path, LIMIT).unwrap();
    match content.read_all() {
        Ok(text) => Ok(text),
        Err(Failure::Refused(refusal)) => Err(refusal),
        Err(Failure::World(error)) => panic!("the disk is blamed: {error}"),
    }
}
