//! Writes a simulation: `simulate --meters 50000 --days 1 --out FOLDER [--interval 15] [--seed 1]
//! [--start 2026-03-02] [--layout hourly|daily|tiny] [--threads N] [--rate KIND=SHARE]... [--no-defects]`.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use greenstream_simulator::{Kind, Layout, Plan, Rates};

fn main() -> Result<(), Box<dyn Error>> {
    let mut plan = Plan::default();
    let mut out = PathBuf::new();
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        if name == "--no-defects" {
            plan.defects = Rates::none();
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--meters" => plan.meters = value.parse()?,
            "--days" => plan.days = value.parse()?,
            "--interval" => plan.interval_minutes = value.parse()?,
            "--seed" => plan.seed = value.parse()?,
            "--threads" => plan.threads = value.parse()?,
            "--start" => plan.start = value.parse()?,
            "--layout" => plan.layout = Layout::from_name(&value).ok_or("hourly, daily or tiny?")?,
            "--out" => out = value.into(),
            "--rate" => {
                let (kind, share) = value.split_once('=').ok_or("--rate KIND=SHARE")?;
                let kind = Kind::from_name(kind).ok_or_else(|| format!("no kind is named {kind}"))?;
                plan.defects = plan.defects.with(kind, share.parse()?);
            }
            _ => return Err(format!("unknown argument {name}").into()),
        }
    }
    let begun = Instant::now();
    let summary = plan.write(&out, &mut |_, _| {})?;
    println!("{}", serde_json::to_string_pretty(&summary)?);
    eprintln!("{:.2} s", begun.elapsed().as_secs_f64());
    Ok(())
}
