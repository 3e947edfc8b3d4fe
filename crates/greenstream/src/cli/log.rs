//! The log: to standard error, one line an event, whatever names and texts of others stand in it.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::prelude::*;

use super::Command;
use crate::text::escaped;

/// Libraries whose events hold addresses and headers, and so secrets: never logged, whatever is asked for.
const SILENT: [&str; 12] = [
    "ureq",
    "ureq_proto",
    "hyper",
    "hyper_util",
    "reqwest",
    "async_nats",
    "aws_config",
    "aws_runtime",
    "aws_sdk_sqs",
    "aws_sdk_sts",
    "aws_sigv4",
    "aws_smithy_runtime",
];

/// Begins the log: the service tells what it does, other commands only what is wrong.
pub(super) fn begin(command: &Command) {
    // what the libraries beneath tell, every step of reading a table, is for who asks for it
    begin_at(if matches!(command, Command::Run(_)) { SERVICE } else { "error" });
}

/// What a service tells.
pub const SERVICE: &str = "warn,greenstream=info";

/// Begins the log with what is told unless `GREENSTREAM_LOG` says otherwise.
pub fn begin_at(default: &str) {
    let filter = EnvFilter::try_from_env("GREENSTREAM_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let is_told = filter_fn(|event| {
        let is_of = |library: &&str| {
            let rest = event.target().strip_prefix(library);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        !SILENT.iter().any(is_of)
    });
    // a file's name may hold line ends and commands to a terminal; every field and message goes through here
    let fields = debug_fn(|writer, field, value| {
        let value = escaped(&format!("{value:?}"));
        match field.name() {
            "message" => writer.write_str(&value),
            name => write!(writer, "{name}={value}"),
        }
    });
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .fmt_fields(fields.delimited(" "));
    tracing_subscriber::registry().with(layer.with_filter(filter.and(is_told))).init();
}
