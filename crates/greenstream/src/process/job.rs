//! What a pipeline is given to do: a journal entry with what it refers to, or a delivery.

use greenstream_core::Ts;

use crate::change::Landed;
use crate::landing::{Body, DecisionBody, Entry, Hash, UploadBody, Zone};

/// One piece of work, in journal order.
#[derive(Clone, Debug)]
pub struct Job {
    /// The journal entry; 0 for a delivery, which has none.
    pub entry: u64,
    /// The hash of the entry's line.
    pub hash: String,
    /// The entry's instant: for an upload the landing time.
    pub at: Ts,
    /// What is to be done.
    pub task: Task,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Task {
    /// Decode and judge an upload.
    Upload(Upload),
    /// Carry out an operator's decision.
    Decide(DecisionBody),
    /// Take note of a configuration version.
    Configure(u32),
    /// Record that bytes already known came again under a name.
    Deliver {
        /// The upload that the bytes are.
        upload: u32,
        /// The name they came under this time.
        name: String,
    },
}

/// An upload as it is to be read now.
#[derive(Clone, Debug)]
pub struct Upload {
    /// As the store knows it.
    pub landed: Landed,
    /// The name of its object.
    pub object: Hash,
    /// Whether it is a dead letter that is tried again.
    pub retry: bool,
}

impl Job {
    /// The work that a journal entry asks for. A retry of an upload that the journal does not know
    /// asks for nothing; reading the journal refuses it before.
    pub fn of(zone: &Zone, entry: Entry) -> Option<Job> {
        let task = match entry.body {
            Body::Upload(body) => Task::Upload(upload(&body, entry.at)),
            Body::Retry(body) => {
                let first = zone.upload(body.upload)?;
                let landed = Landed {
                    upload: body.upload,
                    name: first.name.to_string(),
                    sha256: first.sha256.to_string(),
                    bytes: first.bytes,
                    landed_at: first.landed_at,
                    feed: body.feed,
                    time_zone: body.time_zone,
                };
                Task::Upload(Upload { landed, object: first.sha256, retry: true })
            }
            Body::Decision(body) => Task::Decide(body),
            Body::Configuration(body) => Task::Configure(body.version),
        };
        Some(Job { entry: entry.entry, hash: entry.hash.to_string(), at: entry.at, task })
    }
}

fn upload(body: &UploadBody, at: Ts) -> Upload {
    let landed = Landed {
        upload: body.upload,
        name: body.name.clone(),
        sha256: body.sha256.to_string(),
        bytes: body.bytes,
        landed_at: at,
        feed: body.feed.clone(),
        time_zone: body.time_zone.clone(),
    };
    Upload { landed, object: body.sha256, retry: false }
}
