//! `health`: whether the service of this configuration is well, for those who watch over a container.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Cli, Code, Failure, open};
use crate::web;

/// Who has not answered by then is not well: shorter than what container engines wait for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Arguments of `health`.
#[derive(Args, Debug)]
pub struct HealthArgs {
    /// Only whether the process lives, not whether it can take and process uploads.
    #[arg(long)]
    live: bool,
}

/// Carries out `health`: exit 69 where the service is not well.
pub fn health(cli: &Cli, args: &HealthArgs) -> Result<ExitCode, Failure> {
    let listen = open::config(cli)?.file.serve.listen;
    let address = from_here(web::address(&listen, true)?);
    let path = if args.live { "/livez" } else { "/readyz" };
    let told = ask(address, path).map_err(|problem| {
        let hint = "start it with `greenstream run`, and look at its log";
        Failure::new(Code::Unhealthy, problem, hint).at(format!("http://{address}{path}"), "")
    })?;
    if cli.json {
        println!("{}", serde_json::json!({ "address": address.to_string(), "answer": told.trim() }));
    } else {
        println!("{}", told.trim());
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks a service of this machine, by the address that it listens on.
pub fn ask(listens: SocketAddr, path: &str) -> Result<String, String> {
    let address = from_here(listens);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_TIME_MAX))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let mut answer = agent
        .get(format!("http://{address}{path}"))
        .call()
        .map_err(|error| format!("the service does not answer: {error}"))?;
    let text =
        answer.body_mut().read_to_string().map_err(|error| format!("the answer breaks off: {error}"))?;
    if answer.status().is_success() {
        Ok(text)
    } else {
        Err(format!("the service is not well: {}", text.trim()))
    }
}

/// The address of every interface is none to ask.
fn from_here(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
