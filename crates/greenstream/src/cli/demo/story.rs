//! What the demo says: the comparison as a table, and where to look next.

use std::path::Path;

use greenstream_core::Ts;

use super::score::{Score, Sign};
use crate::cli::table::Listing;
use crate::cli::{Failure, open};
use crate::text::count;

/// Prints what was injected beside what was found.
pub fn comparison(score: &Score) -> Result<(), Failure> {
    let mut listing =
        Listing::new(&["injected", "times", "shows as", "found", "recall", "in all", "precision"]);
    for line in &score.lines {
        listing.push(vec![
            line.defect.into(),
            line.injected.into(),
            sign(line.sign).into(),
            line.found.into(),
            share(line.found, line.injected).into(),
            line.signed.into(),
            line.signed.map(|signed| share(line.found, signed)).into(),
        ]);
    }
    listing.print(false, "")?;
    println!(
        "recall: found of injected; precision: found of all that show so. What is not a defect and shows so"
    );
    println!(
        "all the same: loads that really jump, most in the morning (outlier), and {} readings of homes that",
        count(score.real)
    );
    println!("feed the grid or really draw more than 10 kW (`meters.csv` sets limits for such meters).");
    println!("Spikes are missed where others within their 24 hours have widened the deviation.");
    Ok(())
}

/// How a sign is called in the datasets.
fn sign(sign: Sign) -> String {
    match sign {
        Sign::Reason(reason) => format!("quarantined: {}", reason.name()),
        Sign::Flag(flag) => format!("flag {}", flag.name()),
        Sign::Episode => "episode (meters)".to_owned(),
        Sign::Delivery => "delivery, nothing stored twice".to_owned(),
        Sign::TrueValue => "the true value".to_owned(),
        Sign::NoReading => "no reading made up".to_owned(),
    }
}

/// A share in percent, cut and not rounded, so that 100 % means all.
fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    let tenths = part * 1_000 / whole;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Prints where to look next; each line works as it stands.
pub fn next(home: &Path, truth: &Path, corrected: Option<&(String, Ts)>) {
    let home = open::shown(home);
    let peaks = "max(kw) as kw";
    println!("  greenstream --home {home} status          also: errors, episodes, meters, uploads, verify");
    if let Some((meter, ts)) = corrected {
        println!("  greenstream --home {home} explain {meter} {ts}");
        println!("                                            an estimate that a later upload corrected");
    }
    println!("  greenstream --home {home} export readings --format parquet -o readings.parquet");
    println!(
        "  sqlite3 {home}/greenstream.db \"select meter_id, {peaks} from readings where date = '2026-03-02' and not potentially_faulty group by meter_id order by kw desc limit 5\""
    );
    println!(
        "  duckdb -c \"select meter_id, {peaks} from '{home}/archive/readings/date=*/*.parquet' group by meter_id order by kw desc limit 5\""
    );
    println!(
        "  python3 -c \"import polars as pl; print(pl.scan_delta('{home}/archive/readings').group_by('meter_id').agg(pl.col('kw').max()).sort('kw', descending=True).head(5).collect())\""
    );
    println!("  {}   every injected defect, with the true power", open::shown(truth));
    println!("  docs/tutorial.md: from a file of your own to daily peaks in a notebook");
}
