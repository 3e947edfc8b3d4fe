//! What the keys of the configuration may be set to: docs/limits.md says what lies behind each bound.

use super::{ConfigError, ConfigProblem, File};
use crate::landing::UPLOAD_BYTES_MAX;
use greenstream_core::decode::CONTENT_BYTES_MAX;

/// The longest profile, in bytes. Those that ship have 1 KB; each is part of a line of the journal.
pub const FEED_BYTES_MAX: u64 = 64 << 10;
/// Most profiles of one's own.
pub const FEEDS_MAX: usize = 200;
/// The longest registry, in bytes: about 400,000 meters. It is part of a line of the journal.
pub const REGISTRY_BYTES_MAX: u64 = 16 << 20;

/// A day in seconds: an archive that lags longer helps nobody.
const DAY_SECONDS: u64 = 86_400;

/// A century: the longest retention that stores take.
const LOCK_DAYS_MAX: u64 = 36_500;

/// Refuses the first key that is outside its bounds.
pub fn check(file: &File) -> Result<(), ConfigError> {
    let (sizes, archive, serve, upload) = (&file.sizes, &file.archive, &file.serve, &file.upload);
    let objects = &file.objects;
    let lock_days = file.landing.object_lock_days;
    let size = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
    for (key, value, min, max) in [
        ("sizes.upload_bytes_max", sizes.upload_bytes_max, 1, CONTENT_BYTES_MAX),
        ("sizes.window_readings", size(sizes.window_readings), 0, 1_000_000_000),
        ("sizes.archive_buffer_bytes", size(sizes.archive_buffer_bytes), 0, 64 << 30),
        ("sizes.commit_rows", size(sizes.commit_rows), 1, 10_000_000),
        ("sizes.workers", size(sizes.workers), 1, 64),
        ("archive.lag_seconds", archive.lag_seconds, 0, DAY_SECONDS),
        ("archive.closed_day_lag_seconds", archive.closed_day_lag_seconds, 0, DAY_SECONDS),
        ("archive.retention_seconds", archive.retention_seconds, 0, 30 * DAY_SECONDS),
        ("serve.connections_max", size(serve.connections_max), 1, 100_000),
        ("serve.head_seconds", serve.head_seconds, 1, DAY_SECONDS),
        ("upload.bytes_max", upload.bytes_max, 1, UPLOAD_BYTES_MAX),
        ("upload.gap_seconds", upload.gap_seconds, 1, DAY_SECONDS),
        ("upload.body_seconds", upload.body_seconds, 1, DAY_SECONDS),
        ("upload.rate_min", upload.rate_min, 0, 1 << 30),
        ("upload.free_bytes_min", upload.free_bytes_min, 0, 1 << 60),
        ("landing.object_lock_days", lock_days.map_or(1, u64::from), 1, LOCK_DAYS_MAX),
        ("objects.retries_max", objects.retries_max.into(), 0, 100),
        ("objects.request_seconds", objects.request_seconds, 1, 3_600),
    ] {
        if !(min..=max).contains(&value) {
            return Err(ConfigError::new(
                ConfigProblem::Value,
                key,
                format!("{key} is {value}, outside of {min} to {max}"),
                "give a number within these, or remove the key to have its default",
            ));
        }
    }
    Ok(())
}

/// Refuses a text that is too long to be part of the journal.
pub fn check_length(
    kind: ConfigProblem,
    place: &str,
    what: &str,
    bytes: usize,
    limit: u64,
) -> Result<(), ConfigError> {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    if bytes <= limit {
        return Ok(());
    }
    let problem = format!("the {what} has {bytes} bytes, more than the limit of {limit}");
    Err(ConfigError::new(kind, place, problem, "shorten it; docs/limits.md says why there is a limit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_bound(set: impl Fn(&mut File, u64), min: u64, max: u64) {
        for (value, is_good) in [(min, true), (max, true), (max + 1, false)] {
            let mut file = File::default();
            set(&mut file, value);
            let checked = check(&file);
            assert_eq!(checked.is_ok(), is_good, "{value}: {checked:?}");
        }
        if let Some(below) = min.checked_sub(1) {
            let mut file = File::default();
            set(&mut file, below);
            assert!(check(&file).is_err());
        }
    }

    #[test]
    fn every_bound_holds_on_both_sides() {
        let size = |value: u64| usize::try_from(value).unwrap();
        check_bound(|file, value| file.sizes.upload_bytes_max = value, 1, u32::MAX.into());
        check_bound(|file, value| file.sizes.window_readings = size(value), 0, 1_000_000_000);
        check_bound(|file, value| file.sizes.archive_buffer_bytes = size(value), 0, 64 << 30);
        check_bound(|file, value| file.sizes.commit_rows = size(value), 1, 10_000_000);
        check_bound(|file, value| file.sizes.workers = size(value), 1, 64);
        check_bound(|file, value| file.archive.lag_seconds = value, 0, 86_400);
        check_bound(|file, value| file.archive.closed_day_lag_seconds = value, 0, 86_400);
        check_bound(|file, value| file.archive.retention_seconds = value, 0, 30 * 86_400);
        check_bound(|file, value| file.serve.connections_max = size(value), 1, 100_000);
        check_bound(|file, value| file.serve.head_seconds = value, 1, 86_400);
        check_bound(|file, value| file.upload.bytes_max = value, 1, UPLOAD_BYTES_MAX);
        check_bound(|file, value| file.upload.gap_seconds = value, 1, 86_400);
        check_bound(|file, value| file.upload.body_seconds = value, 1, 86_400);
        check_bound(|file, value| file.upload.rate_min = value, 0, 1 << 30);
        check_bound(|file, value| file.upload.free_bytes_min = value, 0, 1 << 60);
        let short = |value: u64| u32::try_from(value).unwrap();
        check_bound(|file, value| file.landing.object_lock_days = Some(short(value)), 1, 36_500);
        check_bound(|file, value| file.objects.retries_max = short(value), 0, 100);
        check_bound(|file, value| file.objects.request_seconds = value, 1, 3_600);
    }

    #[test]
    fn a_text_as_long_as_its_limit_is_good_and_a_longer_one_is_not() {
        let check = |bytes| check_length(ConfigProblem::Feed, "x", "profile", bytes, FEED_BYTES_MAX);
        assert!(check(64 << 10).is_ok());
        let error = check((64 << 10) + 1).unwrap_err();
        assert!(error.problem.contains("65537 bytes, more than the limit of 65536"), "{error:?}");
    }
}
