//! The keys of the inbox bucket and of the queues that tell of new objects in it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[inbox]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct InboxKeys {
    /// The bucket and prefix that others put objects into, beside the folder `inbox/`: `s3://BUCKET/PREFIX`,
    /// `gs://…`, `az://…` or `file:///…`. Default none. An object leaves it once it has landed.
    pub url: Option<String>,
}

/// `[trigger]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TriggerKeys {
    /// S3 notifications through SQS.
    pub sqs: SqsKeys,
    /// Messages of NATS JetStream.
    pub nats: NatsKeys,
}

/// `[trigger.sqs]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SqsKeys {
    /// The address of the queue. Default none.
    pub queue_url: Option<String>,
    /// The address of the service, where it is not that of AWS. Default none.
    pub endpoint: Option<String>,
    /// The region. Default: what AWS's own variables and files say.
    pub region: Option<String>,
    /// How long a message is this service's while its object lands, renewed as long as that takes, in seconds.
    /// Default 120; after a crash the message comes again so late.
    pub visibility_seconds: u64,
}

/// `[trigger.nats]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct NatsKeys {
    /// The address of the server, such as `nats://127.0.0.1:4222`. Default none.
    pub url: Option<String>,
    /// The stream, which must be there. Default `GREENSTREAM`.
    pub stream: String,
    /// Which of the stream's subjects are read. Default none: all.
    pub subject: Option<String>,
    /// The name of the durable consumer. Default `greenstream`.
    pub consumer: String,
    /// A file of credentials, beside the configuration file. Default none.
    pub credentials_file: Option<PathBuf>,
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
