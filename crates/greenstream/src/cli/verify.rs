//! `verify`: every part of a home against every other; exit 1 with each finding.

use std::process::ExitCode;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::failure::exit;
use super::{Cli, Failure, open};
use crate::text::{count, escaped};
use crate::verify::{Finding, Report};

/// Carries out `verify`.
pub fn verify(cli: &Cli) -> Result<ExitCode, Failure> {
    open::check_landed(cli)?;
    let bar = open::bar(0, "verifying");
    let stage = Mutex::new("");
    let report = crate::verify::verify(&open::placed(cli)?, &|what, done, total| {
        if let Ok(mut stage) = stage.lock()
            && *stage != what
        {
            *stage = what;
            bar.set_message(what);
        }
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report?;
    if cli.json {
        println!("{}", as_json(&report));
    } else {
        print(&report);
    }
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(exit::FINDING) })
}

fn print(report: &Report) {
    println!(
        "{} uploads of {} bytes, {} of them held ({} bytes); {} rows accounted for, {} archived days compared",
        count(report.uploads),
        count(report.bytes),
        count(report.held),
        count(report.held_bytes),
        count(report.rows),
        count(report.days),
    );
    println!("journal at entry {}, database at entry {}", count(report.entry), count(report.position));
    for finding in &report.findings {
        println!("finding: {}", escaped(&finding.to_string()));
    }
    match report.findings.len() {
        0 => println!("no findings: journal, landed bytes, books, database and archive are whole"),
        findings => println!("{findings} findings; `greenstream explain-code NAME` explains each"),
    }
}

fn as_json(report: &Report) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "code": finding.kind.name(),
            "place": finding.place,
            "problem": finding.problem,
            "expected": finding.expected,
            "found": finding.found,
            "way_out": finding.kind.way_out(),
        })
    };
    json!({
        "entry": report.entry,
        "position": report.position,
        "uploads": report.uploads,
        "bytes": report.bytes,
        "held": report.held,
        "held_bytes": report.held_bytes,
        "rows": report.rows,
        "days": report.days,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}
