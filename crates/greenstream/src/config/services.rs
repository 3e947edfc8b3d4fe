//! The keys of services that are asked over the network: database, object stores, queues. Every one is
//! optional, and what is not named is the embedded default in the home folder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Address;

/// `[store]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreKeys {
    /// `postgresql://USER@HOST:PORT/DATABASE`, TLS by `?sslmode=`. Default none: SQLite in the home.
    pub url: Option<Address>,
    /// The file with the database's password, beside the configuration file. Default none.
    pub password_file: Option<PathBuf>,
    /// A role of the database that may read the views and nothing else. Default none.
    pub reader_role: Option<String>,
}

/// `[landing]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LandingKeys {
    /// `s3://BUCKET/PREFIX`, `gs://`, `az://` or `file://`. Default none: `landing/` of the home.
    pub url: Option<Address>,
    /// Days for which what has landed may not be changed or removed, in a bucket with Object Lock. Default none:
    /// what the bucket itself says.
    pub object_lock_days: Option<u32>,
}

/// `[archive]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveKeys {
    /// `s3://BUCKET/PREFIX`, `gs://`, `az://` or `file://`. Default none: `archive/` of the home.
    pub url: Option<Address>,
    /// Longest time from a commit to the archive, in seconds, for days still open. Default 60.
    pub lag_seconds: u64,
    /// The same for corrections of closed days. Default 900.
    pub closed_day_lag_seconds: u64,
    /// How long replaced files stay for readers of an older snapshot. Default 600.
    pub retention_seconds: u64,
}

/// `[inbox]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct InboxKeys {
    /// `s3://BUCKET/PREFIX`, `gs://` or `az://`, into which others put files; each leaves it once
    /// it has landed. Default none: only `inbox/` of the home.
    pub url: Option<Address>,
}

/// `[objects]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectsKeys {
    /// The address of a server of objects that is not the cloud's own. Default none: the cloud's own.
    pub endpoint: Option<Address>,
    /// The region of the buckets. Default none: that of the cloud's usual environment variables.
    pub region: Option<String>,
    /// How often a request is tried again before the outage is one. Default 5.
    pub retries_max: u32,
    /// Longest time for one request, in seconds; after as much in all no try begins. Default 30.
    pub request_seconds: u64,
}

/// `[trigger]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TriggerKeys {
    /// A queue of Amazon SQS.
    pub sqs: SqsKeys,
    /// A stream of NATS JetStream.
    pub nats: NatsKeys,
}

/// `[trigger.sqs]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SqsKeys {
    /// The queue that gets the bucket's notifications. Default none: no queue is asked.
    pub queue_url: Option<Address>,
    /// The address of a server that speaks SQS and is not AWS. Default none.
    pub endpoint: Option<Address>,
    /// The region of the queue. Default none: `objects.region`.
    pub region: Option<String>,
    /// How long a message is hidden from others while it is worked on, in seconds; prolonged until the
    /// work is done. Default 120.
    pub visibility_seconds: u64,
}

/// `[trigger.nats]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct NatsKeys {
    /// `nats://HOST:PORT` or `tls://HOST:PORT`. Default none: no server is asked.
    pub url: Option<Address>,
    /// The stream. Default `GREENSTREAM`.
    pub stream: String,
    /// Which of the stream's subjects are read. Default none: all.
    pub subject: Option<String>,
    /// The durable consumer that all processes share. Default `greenstream`.
    pub consumer: String,
    /// The file with the credentials, beside the configuration file. Default none.
    pub credentials_file: Option<PathBuf>,
}

impl Default for ArchiveKeys {
    fn default() -> Self {
        ArchiveKeys { url: None, lag_seconds: 60, closed_day_lag_seconds: 900, retention_seconds: 600 }
    }
}

impl Default for ObjectsKeys {
    fn default() -> Self {
        ObjectsKeys { endpoint: None, region: None, retries_max: 5, request_seconds: 30 }
    }
}

impl Default for SqsKeys {
    fn default() -> Self {
        SqsKeys { queue_url: None, endpoint: None, region: None, visibility_seconds: 120 }
    }
}

impl Default for NatsKeys {
    fn default() -> Self {
        NatsKeys {
            url: None,
            stream: "GREENSTREAM".to_owned(),
            subject: None,
            consumer: "greenstream".to_owned(),
            credentials_file: None,
        }
    }
}
