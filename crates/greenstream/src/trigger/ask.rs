//! Whether the queues that the configuration names let us in. Nothing is made there, and nothing taken.

use std::time::Duration;

use crate::config::Config;

/// Asks the queue of `[trigger.sqs]`, if it names one, within `time_max`. Says what is wrong.
#[cfg(feature = "sqs")]
pub fn ask_sqs(config: &Config, time_max: Duration) -> Result<(), String> {
    let keys = config.sqs();
    let Some(url) = &keys.queue_url else { return Ok(()) };
    within(time_max, super::sqs::ask(url, &keys))
}

/// A queue whose part is not in this build is refused with the configuration.
#[cfg(not(feature = "sqs"))]
pub fn ask_sqs(_: &Config, _: Duration) -> Result<(), String> {
    Ok(())
}

/// Asks the server of `[trigger.nats]`, if it names one, within `time_max`. Says what is wrong.
#[cfg(feature = "nats")]
pub fn ask_nats(config: &Config, time_max: Duration) -> Result<(), String> {
    let keys = config.nats();
    let Some(url) = &keys.url else { return Ok(()) };
    within(time_max, super::nats::ask(url, &keys))
}

/// As [`ask_sqs`] of a build without it.
#[cfg(not(feature = "nats"))]
pub fn ask_nats(_: &Config, _: Duration) -> Result<(), String> {
    Ok(())
}

#[cfg(any(feature = "sqs", feature = "nats"))]
fn within(time_max: Duration, answer: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let limited = async { tokio::time::timeout(time_max, answer).await };
    runtime.block_on(limited).unwrap_or_else(|_| Err(format!("no answer within {} s", time_max.as_secs())))
}
