//! Makes the client of a store: one function for each cloud that the build speaks to.

use super::address::{Address, Scheme};
use super::error::{Error, Told};
use super::{Settings, wait};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use std::sync::Arc;

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
use object_store::{BackoffConfig, ClientOptions, RetryConfig, client::SpawnedReqwestConnector};
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
use std::time::Duration;

/// The client for an address. Nothing is asked of the store yet.
pub(super) fn connect(address: &Address, settings: &Settings) -> Result<Arc<dyn ObjectStore>, Error> {
    let scheme = address.scheme();
    if let Some(feature) = scheme.feature().filter(|_| !scheme.is_built_in()) {
        return Err(Error::Feature { scheme: scheme.name(), feature });
    }
    let locks = settings.object_lock_days.is_some();
    if locks && scheme != Scheme::S3 {
        let problem = "object_lock_days is for s3:// only; set a retention policy on the container or bucket";
        return Err(unfit(address, problem));
    }
    // it must be there before the first client is made on it
    wait::runtime()?;
    match scheme {
        Scheme::File => Ok(Arc::new(LocalFileSystem::new())),
        #[cfg(feature = "s3")]
        Scheme::S3 => s3(address, settings),
        #[cfg(feature = "gcs")]
        Scheme::Gcs => gcs(address, settings),
        #[cfg(feature = "azure")]
        Scheme::Azure => azure(address, settings),
        #[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
        _ => Err(unfit(address, "it is not in this build")),
    }
}

fn unfit(address: &Address, problem: &str) -> Error {
    Error::Settings { place: address.to_string(), source: Told::new(problem) }
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn refused(address: &Address) -> impl Fn(object_store::Error) -> Error + '_ {
    |error| unfit(address, &error.to_string())
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn retry(settings: &Settings) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: usize::try_from(settings.retries_max).unwrap_or(0),
        retry_timeout: Duration::from_secs(settings.request_seconds),
    }
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn client(settings: &Settings) -> ClientOptions {
    let is_plain = settings.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    ClientOptions::new()
        .with_timeout(Duration::from_secs(settings.request_seconds))
        .with_connect_timeout(Duration::from_secs(settings.request_seconds.min(5)))
        // only who has written http:// asked for it
        .with_allow_http(is_plain)
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn connector() -> Result<SpawnedReqwestConnector, Error> {
    Ok(SpawnedReqwestConnector::new(wait::runtime()?))
}

#[cfg(feature = "s3")]
fn s3(address: &Address, settings: &Settings) -> Result<Arc<dyn ObjectStore>, Error> {
    use super::lock::Locking;
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum, S3ConditionalPut};
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(address.bucket())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // a bucket that locks what is put, by itself or as it is told, takes nothing without a checksum
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(retry(settings))
        .with_client_options(client(settings));
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    let Some(days) = settings.object_lock_days else {
        let store = builder.with_http_connector(connector()?).build();
        return Ok(Arc::new(store.map_err(refused(address))?));
    };
    let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
    let locking = Locking::new(connector()?, days, region.unwrap_or_else(|| "us-east-1".to_owned()));
    let store = builder.with_http_connector(locking.clone()).build().map_err(refused(address))?;
    locking.sign_with(store.credentials());
    Ok(Arc::new(store))
}

#[cfg(feature = "gcs")]
fn gcs(address: &Address, settings: &Settings) -> Result<Arc<dyn ObjectStore>, Error> {
    use object_store::gcp::GoogleCloudStorageBuilder;
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(address.bucket())
        .with_retry(retry(settings))
        .with_client_options(client(settings))
        .with_http_connector(connector()?);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    Ok(Arc::new(builder.build().map_err(refused(address))?))
}

#[cfg(feature = "azure")]
fn azure(address: &Address, settings: &Settings) -> Result<Arc<dyn ObjectStore>, Error> {
    use object_store::azure::MicrosoftAzureBuilder;
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(address.bucket())
        .with_retry(retry(settings))
        .with_client_options(client(settings))
        .with_http_connector(connector()?);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    Ok(Arc::new(builder.build().map_err(refused(address))?))
}
