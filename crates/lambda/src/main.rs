//! GreenStream as a function of AWS Lambda: each invocation opens the home, takes what the event tells of,
//! commits and archives it, and gives the home back. Nothing is kept between invocations.

mod event;
mod time;
mod work;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: greenstream_allocator::MiMalloc = greenstream_allocator::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    greenstream_allocator::give_back_soon();
    greenstream::cli::log::begin_at(greenstream::cli::log::SERVICE);
    let places = work::Places::of_environment();
    // nothing is opened before the first event: a home may be another invocation's until then
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let places = places.clone();
        async move { work::answer(&places, event).await }
    }))
    .await
}
