//! The keys of `greenstream.toml`, section by section, each with its default; those of services that are
//! asked over the network are in [`super::services`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::services::{ArchiveKeys, InboxKeys, LandingKeys, ObjectsKeys, StoreKeys, TriggerKeys};
use crate::landing::UPLOAD_BYTES_MAX;

/// `greenstream.toml`, every key optional.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// The zone whose days rule 4 counts and reports use; an IANA name. Default `UTC`.
    pub reporting_zone: String,
    /// The feed of files that no profile's name pattern takes. Default `default`.
    pub default_feed: String,
    /// Folder of further feed profiles, `NAME.toml` each, beside the configuration file. Default `feeds`.
    pub feeds: PathBuf,
    /// The registry of meters, beside the configuration file. Default `meters.csv`, if it is there.
    pub registry: Option<PathBuf>,
    /// Limits of meters that the registry does not name.
    pub limits: LimitsKeys,
    /// The database.
    pub store: StoreKeys,
    /// Where the bytes of uploads and the journal are kept.
    pub landing: LandingKeys,
    /// The Delta tables.
    pub archive: ArchiveKeys,
    /// Where files come in besides the home's folder.
    pub inbox: InboxKeys,
    /// What all object stores share.
    pub objects: ObjectsKeys,
    /// What tells of new files.
    pub trigger: TriggerKeys,
    /// Where alerts go besides the log.
    pub alerts: AlertKeys,
    /// The service's pages, API and metrics.
    pub serve: ServeKeys,
    /// What an upload over HTTP may take.
    pub upload: UploadKeys,
    /// Sizes.
    pub sizes: SizeKeys,
}

/// `[limits]`
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsKeys {
    /// Lowest valid power in kW. Default 0.
    pub power_kw_min: f64,
    /// Highest valid power in kW. Default 10.
    pub power_kw_max: f64,
}

/// `[alerts]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertKeys {
    /// `http://` or `https://` address that takes a POST of JSON for each alert. Default none.
    pub webhook: Option<String>,
    /// A file with that address, beside the configuration file, where the address is a secret. Default none.
    pub webhook_file: Option<PathBuf>,
}

/// `[serve]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeKeys {
    /// Address to listen on. Default `127.0.0.1:8321`; only loopback is accepted without a token.
    pub listen: String,
    /// The file with the token that callers must show, beside the configuration file. Default none; the
    /// variable `GREENSTREAM_TOKEN` goes before it.
    pub token_file: Option<PathBuf>,
    /// Connections open at the same time. Default 2,048; further ones are told to come again.
    pub connections_max: usize,
    /// Longest time for the head of a request, and from one request to the next, in seconds. Default 10.
    pub head_seconds: u64,
}

/// `[upload]`
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct UploadKeys {
    /// Largest body in bytes as sent. Default 4 GiB, which is also the most that lands.
    pub bytes_max: u64,
    /// Longest silence within a body, in seconds. Default 10.
    pub gap_seconds: u64,
    /// Longest time for a whole body, in seconds. Default 3,600.
    pub body_seconds: u64,
    /// Slowest body in bytes a second, counted after the first `gap_seconds`. Default 1,000.
    pub rate_min: u64,
    /// Bytes of the disk that an upload must leave free. Default 256 MiB.
    pub free_bytes_min: u64,
}

/// `[sizes]`
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SizeKeys {
    /// Largest decoded content of one upload in bytes. Default 1 GiB; more is a dead letter.
    pub upload_bytes_max: u64,
    /// Readings held in memory as context of the rules, 16 bytes each. Default 7,000,000.
    pub window_readings: usize,
    /// Bytes of readings held for the archive before a closed day is written early. Default 96 MiB: a day of 50,000 meters, and what comes late for the day before.
    pub archive_buffer_bytes: usize,
    /// Rows in one database transaction of several uploads. Default 200,000.
    pub commit_rows: usize,
    /// Threads that decode. Default: one for each core, at most 8.
    pub workers: usize,
}

impl Default for File {
    fn default() -> Self {
        File {
            reporting_zone: "UTC".to_owned(),
            default_feed: "default".to_owned(),
            feeds: PathBuf::from("feeds"),
            registry: None,
            limits: LimitsKeys::default(),
            store: StoreKeys::default(),
            landing: LandingKeys::default(),
            archive: ArchiveKeys::default(),
            inbox: InboxKeys::default(),
            objects: ObjectsKeys::default(),
            trigger: TriggerKeys::default(),
            alerts: AlertKeys::default(),
            serve: ServeKeys::default(),
            upload: UploadKeys::default(),
            sizes: SizeKeys::default(),
        }
    }
}

impl Default for LimitsKeys {
    fn default() -> Self {
        LimitsKeys { power_kw_min: 0.0, power_kw_max: 10.0 }
    }
}

impl Default for ServeKeys {
    fn default() -> Self {
        ServeKeys {
            listen: "127.0.0.1:8321".to_owned(),
            token_file: None,
            connections_max: 2_048,
            head_seconds: 10,
        }
    }
}

impl Default for UploadKeys {
    fn default() -> Self {
        UploadKeys {
            bytes_max: UPLOAD_BYTES_MAX,
            gap_seconds: 10,
            body_seconds: 3_600,
            rate_min: 1_000,
            free_bytes_min: 256 << 20,
        }
    }
}

impl Default for SizeKeys {
    fn default() -> Self {
        SizeKeys {
            upload_bytes_max: 1 << 30,
            window_readings: 7_000_000,
            archive_buffer_bytes: 96 << 20,
            commit_rows: 200_000,
            workers: std::thread::available_parallelism().map_or(1, |n| n.get().min(8)),
        }
    }
}
