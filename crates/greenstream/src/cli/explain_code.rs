//! `explain-code`: what a code, a dead letter's code or a reason means, and the way out.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{Cli, Failure};

/// The page that explains every code; its tables are what the command prints.
pub const PAGE: &str = include_str!("../../../../docs/errors.md");

/// Arguments of `explain-code`.
#[derive(Args, Debug)]
pub struct ExplainCodeArgs {
    /// Such as E-HOME-BUSY, header_unfit or outlier.
    #[arg(value_name = "CODE")]
    code: String,
}

/// Carries out `explain-code`.
pub fn explain_code(cli: &Cli, args: &ExplainCodeArgs) -> Result<ExitCode, Failure> {
    let wanted = args.code.trim();
    let Some((code, cells)) = rows().find(|(code, _)| code.eq_ignore_ascii_case(wanted)) else {
        let all: Vec<&str> = rows().map(|(code, _)| code).collect();
        return Err(Failure::usage(
            format!("no code is called {wanted:?}"),
            format!("choose one of {}", all.join(", ")),
        ));
    };
    // failures of commands have an exit code between their name and their meaning, refused requests a status
    let (exit, means, way_out) = match cells.as_slice() {
        [exit, means, way_out] if code.starts_with("E-") => (Some(*exit), *means, *way_out),
        [_, means, way_out] => (None, *means, *way_out),
        [means, way_out] => (None, *means, *way_out),
        _ => (None, "", ""),
    };
    if cli.json {
        println!("{}", json!({ "code": code, "exit": exit, "means": means, "way_out": way_out }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{code}");
    println!("  means    {means}");
    println!("  way out  {way_out}");
    if let Some(exit) = exit {
        println!("  exit     {exit}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The codes of the page in its order, each with the other cells of its row.
pub fn rows() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    PAGE.lines().filter_map(|line| {
        let (code, rest) = line.strip_prefix("| `")?.split_once("` |")?;
        Some((code, rest.trim().trim_end_matches('|').split(" | ").map(str::trim).collect()))
    })
}
