//! `check-config`: every key in force with its value, its unit and where it is from, and whether all
//! of it can be used.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::table::Listing;
use super::{Cli, Failure, open};
use crate::config::{Config, File, position, value_spans};
use crate::web;

/// What the values of a key are, for every key there is.
const UNITS: [(&str, &str); 31] = [
    ("reporting_zone", "IANA zone"),
    ("default_feed", "feed profile"),
    ("feeds", "folder beside the file"),
    ("registry", "file beside the file"),
    ("limits.power_kw_min", "kW"),
    ("limits.power_kw_max", "kW"),
    ("landing.url", "address"),
    ("landing.object_lock_days", "days"),
    ("archive.url", "address"),
    ("archive.lag_seconds", "s"),
    ("archive.closed_day_lag_seconds", "s"),
    ("archive.retention_seconds", "s"),
    ("objects.endpoint", "address"),
    ("objects.region", "region"),
    ("objects.retries_max", "tries"),
    ("objects.request_seconds", "s"),
    ("alerts.webhook", "address"),
    ("serve.listen", "address:port"),
    ("serve.token_file", "file beside the file"),
    ("serve.connections_max", "connections"),
    ("serve.head_seconds", "s"),
    ("upload.bytes_max", "bytes"),
    ("upload.gap_seconds", "s"),
    ("upload.body_seconds", "s"),
    ("upload.rate_min", "bytes/s"),
    ("upload.free_bytes_min", "bytes"),
    ("sizes.upload_bytes_max", "bytes"),
    ("sizes.window_readings", "readings"),
    ("sizes.archive_buffer_bytes", "bytes"),
    ("sizes.commit_rows", "rows"),
    ("sizes.workers", "threads"),
];

/// Carries out `check-config`.
pub fn check_config(cli: &Cli) -> Result<ExitCode, Failure> {
    let path = open::config_path(cli);
    let config = open::config(cli)?;
    let rules = config.rulebook.compile()?;
    // a file that cannot be read has failed by now, one that is not there sets nothing
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let spans = value_spans(&text);
    let listen = &config.file.serve.listen;
    let token = config.token()?;
    web::address(listen, token.is_some())
        .map_err(|error| Failure::from(error).at(path.display(), format!("listen = {listen:?}")))?;
    let places = [config.landing(cli.home.join("landing"))?, config.archive(cli.home.join("archive"))?];
    let mut listing = Listing::new(&["key", "value", "unit", "from"]);
    for (key, value) in keys(&config.file) {
        let line = |span: &std::ops::Range<usize>| format!("line {}", position(&text, span.start).0);
        let from = spans.get(&key).map_or_else(|| "default".to_owned(), line);
        let unit = unit(&key);
        listing.push(vec![key.into(), value, unit.into(), from.into()]);
    }
    let own = own_feeds(&config);
    if cli.json {
        let mut answer = json!({
            "file": path.display().to_string(),
            "there": path.exists(),
            "keys": listing.objects(),
            "feeds": rules.feeds.keys().collect::<Vec<_>>(),
            "token_set": token.is_some(),
            "landing": places[0].to_string(),
            "archive": places[1].to_string(),
            "registry_meters": rules.meters.len(),
            "time_zone_data": config.rulebook.tzdb,
        });
        answer["own_feeds"] = json!(own);
        println!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let from = if path.exists() { "read" } else { "not there: every key has its default" };
    println!("{} ({from})", path.display());
    listing.print(false, "")?;
    println!();
    println!("landing zone    {}", places[0]);
    println!("archive         {}", places[1]);
    println!("registry        {} meters", rules.meters.len());
    println!(
        "token           {}",
        if token.is_some() { "set, not shown" } else { "none: nothing can be uploaded over HTTP" }
    );
    println!("feeds           {}", rules.feeds.keys().cloned().collect::<Vec<_>>().join(", "));
    println!("feeds of yours  {}", if own.is_empty() { "none".to_owned() } else { own.join(", ") });
    println!("time-zone data  {}", config.rulebook.tzdb);
    println!("the configuration is good");
    Ok(ExitCode::SUCCESS)
}

/// Every key with its value, in the order of the file; a webhook's address may carry a secret.
fn keys(file: &File) -> Vec<(String, Value)> {
    let mut keys = Vec::new();
    let Ok(Value::Object(top)) = serde_json::to_value(file) else { return keys };
    for (name, value) in top {
        match value {
            Value::Object(section) => {
                keys.extend(section.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => keys.push((name, value)),
        }
    }
    for (key, value) in &mut keys {
        match (key.as_str(), &*value) {
            ("alerts.webhook", Value::String(_)) => *value = "set, not shown".into(),
            ("registry", Value::Null) => *value = "meters.csv, if it is there".into(),
            (_, Value::Null) => *value = "none".into(),
            _ => {}
        }
    }
    keys
}

fn unit(key: &str) -> &'static str {
    UNITS.iter().find(|(name, _)| *name == key).map_or("", |(_, unit)| unit)
}

/// The profiles that do not come with the program, or take the place of one that does.
fn own_feeds(config: &Config) -> Vec<String> {
    let shipped: BTreeMap<_, _> = greenstream_core::decode::Feed::built_in().into_iter().collect();
    let own = config
        .rulebook
        .feeds
        .iter()
        .filter(|(name, text)| shipped.get(name.as_str()) != Some(&text.as_str()));
    own.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_unit_and_stands_in_the_file_that_init_writes() {
        for (key, _) in keys(&File::default()) {
            assert!(!unit(&key).is_empty(), "{key}");
            let name = key.rsplit('.').next().unwrap();
            assert!(include_str!("init.toml").contains(&format!("\n#{name} = ")), "{key}");
        }
    }
}
