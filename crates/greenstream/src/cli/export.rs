//! `export`: a dataset as a file.

use std::fs::File;
use std::io::{BufWriter, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::code::Code;
use super::{Cli, Failure, Filter, Format, open};
use crate::dataset::{self, Dataset, ExportError};

/// Arguments of `export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// readings, measured, error-queue, superseded, uploads, deliveries, episodes, alerts or quality.
    #[arg(value_name = "DATASET")]
    dataset: String,
    /// How to write it.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// The file [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only this meter.
    #[arg(long, value_name = "ID")]
    meter: Option<String>,
    /// Only from this instant on.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only before this instant.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

/// Carries out `export`.
pub fn export(cli: &Cli, args: &ExportArgs) -> Result<ExitCode, Failure> {
    let dataset = Dataset::from_name(&args.dataset).ok_or_else(|| {
        let names: Vec<_> = Dataset::ALL.iter().map(|dataset| dataset.name()).collect();
        Failure::usage(
            format!("no dataset is called {:?}", args.dataset),
            format!("choose one of {}", names.join(", ")),
        )
    })?;
    let format = match args.format {
        Format::Csv => dataset::Format::Csv,
        Format::Json => dataset::Format::Json,
        Format::Parquet => dataset::Format::Parquet,
    };
    let filter = Filter {
        meter: args.meter.clone(),
        from: args.from.clone(),
        to: args.to.clone(),
        ..Filter::default()
    };
    let filter = filter.compile(Some(dataset))?;
    let reader = open::reader(cli)?;
    let snapshot = reader.snapshot()?;
    let written = match &args.output {
        Some(path) => {
            let file = File::create(path).map_err(|error| Failure::io(path.display(), &error))?;
            let count = dataset::write(&snapshot, dataset, &filter, format, BufWriter::new(file));
            count.inspect(|count| eprintln!("{count} rows in {}", path.display()))
        }
        None => dataset::write(&snapshot, dataset, &filter, format, BufWriter::new(stdout())),
    };
    match written {
        Ok(_) => Ok(ExitCode::SUCCESS),
        // a reader such as `head` that has seen enough is no failure
        Err(ExportError::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        Err(ExportError::Io(error)) => Err(Failure::io("the export", &error)),
        Err(ExportError::Store(error)) => Err(error.into()),
        Err(error) => Err(Failure::new(
            Code::Io,
            open::with_causes(&error),
            "check the disk and the path, then export again",
        )),
    }
}
