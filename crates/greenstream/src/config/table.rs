//! Every key there is: its unit, its range, and what it is for in a sentence. Bounds, environment,
//! `check-config` and `docs/configuration.md` go by this table.

use greenstream_core::decode::CONTENT_BYTES_MAX;

use crate::landing::UPLOAD_BYTES_MAX;

/// A key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// With its section, such as `limits.power_kw_max`.
    pub name: &'static str,
    /// What its values are, in a word or two.
    pub unit: &'static str,
    /// Which of them can be used.
    pub kind: Kind,
    /// What it is for.
    pub words: &'static str,
}

/// What the values of a key are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// Text, which may be a path.
    Text,
    /// An address that begins with one of these schemes.
    Address(&'static [&'static str]),
    /// A number with decimals.
    Decimal,
    /// A whole number within these, both included.
    Whole(u64, u64),
}

/// Before the name of every variable that sets a key.
pub const VARIABLE_PREFIX: &str = "GREENSTREAM__";

impl Key {
    /// The key of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Where it is in a configuration as JSON, such as `/limits/power_kw_max`.
    #[must_use]
    pub fn pointer(&self) -> String {
        format!("/{}", self.name.replace('.', "/"))
    }

    /// The variable of the environment that sets it, such as `GREENSTREAM__LIMITS__POWER_KW_MAX`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.replace('.', "__").to_uppercase())
    }
}

/// Where objects can be kept.
const OBJECTS: Kind = Kind::Address(&["s3", "gs", "az", "file"]);
/// A folder of this machine is the home's own `inbox/`, which looks whether a file is whole and no link.
const BUCKETS: Kind = Kind::Address(&["s3", "gs", "az"]);
/// What speaks HTTP.
pub(super) const HTTP_SCHEMES: &[&str] = &["https", "http"];
const HTTP: Kind = Kind::Address(HTTP_SCHEMES);
/// A file or folder whose name starts from the folder of the configuration file.
const BESIDE: &str = "path beside the file";
/// A day in seconds: what lags or waits longer helps nobody.
const DAY: u64 = 86_400;

const fn key(name: &'static str, unit: &'static str, kind: Kind, words: &'static str) -> Key {
    Key { name, unit, kind, words }
}

/// All of them, in the order of the file.
pub const KEYS: [Key; 45] = [
    key("reporting_zone", "IANA zone", Kind::Text, "The zone whose days rule 4 counts and reports use."),
    key(
        "default_feed",
        "feed profile",
        Kind::Text,
        "The feed of files that no profile's name pattern takes.",
    ),
    key("feeds", BESIDE, Kind::Text, "Folder of further feed profiles, `NAME.toml` each."),
    key("registry", BESIDE, Kind::Text, "The registry of meters; `meters.csv` is read where it is there."),
    key(
        "limits.power_kw_min",
        "kW",
        Kind::Decimal,
        "Lowest valid power of meters that the registry does not name.",
    ),
    key(
        "limits.power_kw_max",
        "kW",
        Kind::Decimal,
        "Highest valid power of meters that the registry does not name.",
    ),
    key(
        "store.url",
        "address",
        Kind::Address(&["postgresql", "postgres"]),
        "The database, `postgresql://USER@HOST:PORT/DATABASE?sslmode=require`; without it SQLite in the home.",
    ),
    key("store.password_file", BESIDE, Kind::Text, "File with the database's password."),
    key(
        "store.reader_role",
        "role",
        Kind::Text,
        "A role of the database that may read the views and nothing else, for dashboards.",
    ),
    key(
        "landing.url",
        "address",
        OBJECTS,
        "Where the bytes of uploads and the journal are kept; without it `landing/` of the home.",
    ),
    key(
        "landing.object_lock_days",
        "days",
        // a century: nobody can remove what is locked, not even its owner
        Kind::Whole(1, 36_500),
        "How long what has landed may not be changed or removed, in a bucket with Object Lock; without it what the bucket says.",
    ),
    key("archive.url", "address", OBJECTS, "Where the Delta tables are; without it `archive/` of the home."),
    key(
        "archive.lag_seconds",
        "s",
        Kind::Whole(0, DAY),
        "Longest time from a commit to the archive, for days still open.",
    ),
    key(
        "archive.closed_day_lag_seconds",
        "s",
        Kind::Whole(0, DAY),
        "The same for corrections of closed days.",
    ),
    key(
        "archive.retention_seconds",
        "s",
        Kind::Whole(0, 30 * DAY),
        "How long replaced files stay for readers of an older snapshot.",
    ),
    key(
        "inbox.url",
        "address",
        BUCKETS,
        "Where others put files, besides `inbox/` of the home; each leaves it once it has landed.",
    ),
    key("objects.endpoint", "address", HTTP, "A server of objects that is not the cloud's own."),
    key(
        "objects.region",
        "region",
        Kind::Text,
        "The region of the buckets; without it that of the environment.",
    ),
    key(
        "objects.retries_max",
        "tries",
        Kind::Whole(0, 100),
        "How often a request is tried again before the outage is one.",
    ),
    key(
        "objects.request_seconds",
        "s",
        Kind::Whole(1, 3_600),
        "Longest time for one request; after as much in all no try begins.",
    ),
    key(
        "trigger.sqs.queue_url",
        "address",
        HTTP,
        "The queue of Amazon SQS that gets the bucket's notifications.",
    ),
    key("trigger.sqs.endpoint", "address", HTTP, "A server that speaks SQS and is not AWS."),
    key("trigger.sqs.region", "region", Kind::Text, "The region of the queue; without it `objects.region`."),
    key(
        "trigger.sqs.visibility_seconds",
        "s",
        // SQS hides no message for longer than twelve hours
        Kind::Whole(2, DAY / 2),
        "How long a message is hidden from others while it is worked on; prolonged until that is done.",
    ),
    key("trigger.nats.url", "address", Kind::Address(&["nats", "tls"]), "A NATS server with JetStream."),
    key("trigger.nats.stream", "stream", Kind::Text, "The stream that holds the events."),
    key(
        "trigger.nats.subject",
        "subject",
        Kind::Text,
        "Which of the stream's subjects are read; without it all.",
    ),
    key("trigger.nats.consumer", "consumer", Kind::Text, "The durable consumer that all processes share."),
    key("trigger.nats.credentials_file", BESIDE, Kind::Text, "File with the credentials for the server."),
    key("alerts.webhook", "address", HTTP, "An address that takes a POST of JSON for each alert."),
    key("alerts.webhook_file", BESIDE, Kind::Text, "File with that address, where the address is a secret."),
    key(
        "serve.listen",
        "address:port",
        Kind::Text,
        "Where `run` serves uploads, pages and metrics; without a token only loopback is accepted.",
    ),
    key("serve.token_file", BESIDE, Kind::Text, "File with the token that every caller must show."),
    key(
        "serve.connections_max",
        "connections",
        Kind::Whole(1, 100_000),
        "Connections open at the same time.",
    ),
    key(
        "serve.head_seconds",
        "s",
        Kind::Whole(1, DAY),
        "Longest time for the head of a request, and from one request to the next.",
    ),
    key(
        "upload.bytes_max",
        "bytes",
        Kind::Whole(1, UPLOAD_BYTES_MAX),
        "Largest body of an upload over HTTP, and largest object of the inbox bucket, as sent.",
    ),
    key("upload.gap_seconds", "s", Kind::Whole(1, DAY), "Longest silence within a body."),
    key("upload.body_seconds", "s", Kind::Whole(1, DAY), "Longest time for a whole body."),
    key(
        "upload.rate_min",
        "bytes/s",
        Kind::Whole(0, 1 << 30),
        "Slowest body, counted after the first `upload.gap_seconds`.",
    ),
    key(
        "upload.free_bytes_min",
        "bytes",
        Kind::Whole(0, 1 << 60),
        "What an upload must leave free of the disk.",
    ),
    key(
        "sizes.upload_bytes_max",
        "bytes",
        Kind::Whole(1, CONTENT_BYTES_MAX),
        "Largest decoded content of one upload; a larger one is a dead letter.",
    ),
    key(
        "sizes.window_readings",
        "readings",
        Kind::Whole(0, 1_000_000_000),
        "Readings held in memory as context of the rules, 16 bytes each (32 where they do not fit).",
    ),
    key(
        "sizes.archive_buffer_bytes",
        "bytes",
        Kind::Whole(0, 64 << 30),
        "Readings held for the archive before closed days are written early.",
    ),
    key(
        "sizes.commit_rows",
        "rows",
        Kind::Whole(1, 10_000_000),
        "Rows in one database transaction of several uploads.",
    ),
    key("sizes.workers", "threads", Kind::Whole(1, 64), "Threads that decode; one for each core, at most 8."),
];
