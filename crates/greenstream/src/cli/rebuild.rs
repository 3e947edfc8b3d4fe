//! `rebuild`: database and archive again from the landing zone.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::failure::exit;
use super::{Cli, Failure, open, restore};
use crate::home::Home;
use crate::process::Service;
use crate::text::count;

/// Arguments of `rebuild`.
#[derive(Args, Debug)]
pub struct RebuildArgs {
    /// Only compare: exit 1 where the database is not what the landing zone gives.
    #[arg(long)]
    check: bool,
}

/// Carries out `rebuild`.
pub fn rebuild(cli: &Cli, args: &RebuildArgs) -> Result<ExitCode, Failure> {
    open::check_landed(cli)?;
    if args.check {
        open::reader(cli)?;
    } else {
        restore::configuration(cli)?;
    }
    let config = open::config(cli)?;
    let home = Home::open(&cli.home, "greenstream rebuild")?;
    let began = Instant::now();
    let (rebuilt, _home) = Service::rebuild(home, &config, args.check)?;
    println!(
        "{} uploads, {} rows processed again in {:.2} s",
        count(rebuilt.uploads),
        count(rebuilt.rows),
        began.elapsed().as_secs_f64()
    );
    let mut code = ExitCode::SUCCESS;
    for difference in &rebuilt.differences {
        println!(
            "{:<12} {:>12} rows, {} differing",
            difference.dataset.name(),
            count(difference.rows),
            count(difference.differing)
        );
        if let Some((stored, rebuilt)) = &difference.first {
            code = ExitCode::from(exit::FINDING);
            println!("  stored:  {}", stored.as_deref().unwrap_or("no such row"));
            println!("  rebuilt: {}", rebuilt.as_deref().unwrap_or("no such row"));
        }
    }
    Ok(code)
}
