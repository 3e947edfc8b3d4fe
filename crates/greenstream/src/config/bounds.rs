//! What the keys of the configuration may be set to: docs/limits.md says what lies behind each bound.

use super::table::{KEYS, Kind};
use super::{ConfigError, ConfigProblem, File};

/// The longest profile, in bytes. Those that ship have 1 KB; each is part of a line of the journal.
pub const FEED_BYTES_MAX: u64 = 64 << 10;
/// Most profiles of one's own.
pub const FEEDS_MAX: usize = 200;
/// The longest registry, in bytes: about 400,000 meters. It is part of a line of the journal.
pub const REGISTRY_BYTES_MAX: u64 = 16 << 20;

/// One for each key that is outside its bounds, or whose address is of a kind that cannot be used.
pub fn check(file: &File) -> Vec<ConfigError> {
    let file = serde_json::to_value(file).unwrap_or_default();
    let mut problems = Vec::new();
    for key in KEYS {
        let Some(value) = file.pointer(&key.pointer()) else { continue };
        let (problem, hint) = match (key.kind, value.as_u64(), value.as_str()) {
            (Kind::Whole(min, max), Some(number), _) if !(min..=max).contains(&number) => {
                let hint = "give a number within these, or remove the key to have its default";
                (format!("{} is {number}, outside of {min} to {max}", key.name), hint.to_owned())
            }
            (Kind::Address(schemes), _, Some(text)) if !is_of(text, schemes) => {
                let hint = format!("begin it with {}", listed(schemes));
                (format!("{} is no address that can be used", key.name), hint)
            }
            _ => continue,
        };
        problems.push(ConfigError::new(ConfigProblem::Value, key.name, problem, hint));
    }
    problems
}

/// Whether an address has one of these schemes, and something after it.
pub fn is_of(text: &str, schemes: &[&str]) -> bool {
    let parts = text.split_once("://");
    parts.is_some_and(|(scheme, rest)| {
        schemes.contains(&scheme) && !rest.is_empty() && !rest.contains(char::is_whitespace)
    })
}

fn listed(schemes: &[&str]) -> String {
    schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ")
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
    use crate::config::Address;
    use crate::landing::UPLOAD_BYTES_MAX;

    #[track_caller]
    fn check_bound(set: impl Fn(&mut File, u64), min: u64, max: u64) {
        for (value, is_good) in [(min, true), (max, true), (max + 1, false)] {
            let mut file = File::default();
            set(&mut file, value);
            let checked = check(&file);
            assert_eq!(checked.is_empty(), is_good, "{value}: {checked:?}");
        }
        if let Some(below) = min.checked_sub(1) {
            let mut file = File::default();
            set(&mut file, below);
            assert!(!check(&file).is_empty());
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
        check_bound(|file, value| file.landing.object_lock_days = u32::try_from(value).ok(), 1, 36_500);
        check_bound(|file, value| file.objects.retries_max = u32::try_from(value).unwrap(), 0, 100);
        check_bound(|file, value| file.objects.request_seconds = value, 1, 3_600);
        check_bound(|file, value| file.trigger.sqs.visibility_seconds = value, 2, 43_200);
        check_bound(|file, value| file.serve.connections_max = size(value), 1, 100_000);
        check_bound(|file, value| file.serve.head_seconds = value, 1, 86_400);
        check_bound(|file, value| file.upload.bytes_max = value, 1, UPLOAD_BYTES_MAX);
        check_bound(|file, value| file.upload.gap_seconds = value, 1, 86_400);
        check_bound(|file, value| file.upload.body_seconds = value, 1, 86_400);
        check_bound(|file, value| file.upload.rate_min = value, 0, 1 << 30);
        check_bound(|file, value| file.upload.free_bytes_min = value, 0, 1 << 60);
    }

    #[test]
    fn an_address_of_another_kind_is_refused_with_those_that_can_be_used() {
        for (text, is_good) in [
            ("postgresql://gs@db/m", true),
            ("postgres://db", true),
            ("mysql://db", false),
            ("postgresql://", false),
            ("postgresql://db/a b", false),
            ("host=db password=canary", false),
        ] {
            let mut file = File::default();
            file.store.url = Some(Address::new(text));
            let checked = check(&file);
            assert_eq!(checked.is_empty(), is_good, "{text}: {checked:?}");
            assert!(checked.iter().all(|error| error.hint.contains("postgresql:// or postgres://")));
            assert!(!format!("{checked:?}").contains("canary"));
        }
    }

    #[test]
    fn every_key_that_does_not_fit_is_told() {
        let mut file = File::default();
        (file.sizes.workers, file.sizes.commit_rows) = (0, 0);
        assert_eq!(check(&file).len(), 2);
    }

    #[test]
    fn a_text_as_long_as_its_limit_is_good_and_a_longer_one_is_not() {
        let check = |bytes| check_length(ConfigProblem::Feed, "x", "profile", bytes, FEED_BYTES_MAX);
        assert!(check(64 << 10).is_ok());
        let error = check((64 << 10) + 1).unwrap_err();
        assert!(error.problem.contains("65537 bytes, more than the limit of 65536"), "{error:?}");
    }
}
