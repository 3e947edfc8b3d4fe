//! A home of which `landing/` alone came back from a backup: its profiles, registry, zone and limits come
//! back from the journal, for they decide verdicts as much as the bytes do.

use std::fs;
use std::path::Path;

use greenstream_core::Power;
use greenstream_core::decode::Feed;
use toml_edit::{DocumentMut, Item, Table, value};

use super::{Cli, Failure};
use crate::config::Rulebook;
use crate::landing::Zone;
use crate::store::Store;

/// Writes the configuration that the journal has into a home that holds a landing zone and nothing else, and
/// says so. Keys that decide no verdict (sizes, alerts, address) are not in the journal.
pub fn configuration(cli: &Cli) -> Result<(), Failure> {
    if cli.config().is_some() || !is_bare(&cli.home) || has_server(cli) {
        return Ok(());
    }
    let zone = Zone::look(&cli.home.join("landing"))?;
    let Some(held) = zone.configuration() else { return Ok(()) };
    let rulebook = Rulebook::from_json(&held.content)?;
    let mut files: Vec<(String, String)> = Vec::new();
    for (name, text) in &rulebook.feeds {
        let shipped = Feed::built_in().into_iter().find(|(shipped, _)| shipped == name);
        // a profile that ships has changed since: what it read stays readable as it was
        let is_used = || zone.uploads().iter().any(|upload| *upload.feed == **name);
        if shipped.is_none_or(|(_, now)| now != text && is_used()) {
            files.push((format!("feeds/{name}.toml"), text.clone()));
        }
    }
    if !rulebook.registry.is_empty() {
        files.push(("meters.csv".to_owned(), rulebook.registry.clone()));
    }
    let keys = keys(&rulebook);
    if !keys.is_empty() {
        files.push(("greenstream.toml".to_owned(), keys));
    }
    for (name, text) in &files {
        let path = cli.home.join(name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        written.map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))?;
    }
    if !files.is_empty() {
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        eprintln!("restored from the journal: {}", names.join(", "));
    }
    Ok(())
}

/// Whether nothing but a landing zone is there.
fn is_bare(home: &Path) -> bool {
    let is_there = |name: &str| home.join(name).exists();
    home.join("landing/journal").is_dir()
        && !["greenstream.db", "greenstream.toml", "feeds", "meters.csv"].into_iter().any(is_there)
}

/// Whether its database is on a server that has it, or that cannot be asked: then nothing was lost.
fn has_server(cli: &Cli) -> bool {
    super::open::look(cli).is_ok_and(|layout| {
        let database = layout.database();
        database.file().is_none() && Store::is_at(database).unwrap_or(true)
    })
}

/// The configuration file, as far as it is not the default.
fn keys(rulebook: &Rulebook) -> String {
    let (default, mut file) = (Rulebook::default(), DocumentMut::new());
    if rulebook.reporting_zone != default.reporting_zone {
        file.insert("reporting_zone", value(rulebook.reporting_zone.as_str()));
    }
    let mut limits = Table::new();
    for (key, own, default) in [
        ("power_kw_min", rulebook.power_mw_min, default.power_mw_min),
        ("power_kw_max", rulebook.power_mw_max, default.power_mw_max),
    ] {
        if own != default {
            limits.insert(key, value(Power::from_milliwatts(own).kw()));
        }
    }
    if !limits.is_empty() {
        file.insert("limits", Item::Table(limits));
    }
    file.to_string()
}
