//! `explain METER TIME`: the whole life of one reading.

use std::process::ExitCode;

use clap::Args;

use super::code::Code;
use super::{Cli, Failure, open};
use crate::explain::{Life, life};

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The meter's id.
    #[arg(value_name = "METER")]
    meter: String,
    /// The start of the interval, such as 2026-03-02T00:15:00Z.
    #[arg(value_name = "TIME")]
    time: String,
}

/// Carries out `explain`. Exit 1 where no row ever named that meter and instant.
pub fn explain(cli: &Cli, args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let ts = open::instant(&args.time)?;
    let (reader, zone, config) = (open::reader(cli)?, open::zone(cli)?, open::config(cli)?);
    let life: Option<Life> = life(&reader, &zone, &config, &args.meter, ts)?;
    let Some(life) = life else {
        return Err(Failure::new(
            Code::NoReading,
            format!("no row of any upload is of meter {:?} at {ts}", args.meter),
            "`greenstream meters` lists the meters; give the start of the interval in UTC",
        ));
    };
    if cli.json {
        println!("{}", life.json());
    } else {
        print!("{}", life.text());
    }
    Ok(ExitCode::SUCCESS)
}
