//! `check-config`: what is configured, and whether it can be used.

use std::process::ExitCode;

use super::{Cli, Failure, open};

/// Carries out `check-config`.
pub fn check_config(cli: &Cli) -> Result<ExitCode, Failure> {
    let path = open::config_path(cli);
    let config = open::config(cli)?;
    let rules = config.rulebook.compile()?;
    let from = if path.exists() { "read" } else { "not there: every key has its default" };
    println!("{} ({from})", path.display());
    println!("reporting zone  {}", config.rulebook.reporting_zone);
    let range = rules.default_limits.at(greenstream_core::Ts::MIN);
    println!("limits          {} to {} kW", range.min, range.max);
    println!("registry        {} meters", rules.meters.len());
    println!("feeds           {}", rules.feeds.keys().cloned().collect::<Vec<_>>().join(", "));
    println!("default feed    {}", config.file.default_feed);
    println!("webhook         {}", if config.file.alerts.webhook.is_some() { "configured" } else { "none" });
    println!("listen          {}", config.file.serve.listen);
    println!("time-zone data  {}", config.rulebook.tzdb);
    println!("the configuration is good");
    Ok(ExitCode::SUCCESS)
}
