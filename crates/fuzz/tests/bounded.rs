//! The run on each change: every target over its kept inputs, then over mutations of them, the same on every
//! machine. `GREENSTREAM_FUZZ_INPUTS=N` sets how many a target gets (the long run: 100000),
//! `GREENSTREAM_FUZZ_SEED` which.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "a test")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use greenstream_fuzz::{Mutator, TARGETS, Target};

/// The longest that a target may take on each change.
const TIME_MAX: Duration = Duration::from_secs(4);

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

fn kept(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(corpus(target)).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Runs one input; where the law is broken, keeps it and says how to see it again.
#[track_caller]
fn holds(target: &Target, input: &[u8]) {
    let check = target.check;
    if catch_unwind(AssertUnwindSafe(|| check(input))).is_err() {
        let path = std::env::temp_dir().join(format!("greenstream-fuzz-{}", target.name));
        std::fs::write(&path, input).unwrap();
        panic!(
            "{} breaks its law: {}\nthe input is in {}; once mended, keep it in crates/fuzz/corpus/{}/",
            target.name,
            input.escape_ascii().to_string().chars().take(2_000).collect::<String>(),
            path.display(),
            target.name
        );
    }
}

#[track_caller]
fn run(name: &str) {
    let target = greenstream_fuzz::target(name).unwrap();
    let kept = kept(name);
    assert!(!kept.is_empty(), "{name} has no kept inputs");
    for input in &kept {
        holds(&target, input);
    }
    let inputs = setting("GREENSTREAM_FUZZ_INPUTS");
    let mut mutator = Mutator::new(&kept, setting("GREENSTREAM_FUZZ_SEED").unwrap_or(1));
    let begun = Instant::now();
    let mut done = 0;
    // without a number, as many of the first 20,000 as the time allows
    while inputs.map_or_else(|| done < 20_000 && begun.elapsed() < TIME_MAX, |inputs| done < inputs) {
        holds(&target, &mutator.input());
        done += 1;
    }
    println!("{name}: {} kept inputs and {done} mutations in {:.1?}", kept.len(), begun.elapsed());
    assert!(done > 0);
}

macro_rules! targets {
    ($list:ident: $($name:ident),*) => {
        const $list: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { run(stringify!($name)); })*
    };
}

targets!(OF_THE_CORE: timestamp, number, csv, profile, nem12, green_button, cmep, detect);

#[cfg(feature = "service")]
targets!(OF_THE_SERVICE: registry, gzip, zstd, journal, message, upload);

#[cfg(not(feature = "service"))]
const OF_THE_SERVICE: &[&str] = &[];

#[test]
fn every_target_is_run_and_has_kept_inputs() {
    for target in TARGETS {
        assert!(corpus(target.name).is_dir(), "{}", target.name);
        assert!([OF_THE_CORE, OF_THE_SERVICE].concat().contains(&target.name), "{} is not run", target.name);
    }
}
