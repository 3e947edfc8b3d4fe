//! The body of an upload on its way in: bounded in memory, size, silence, time and rate, and never taken
//! for whole when it is not.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::digest::Digests;
use super::problem::{BODY_SLOW, BODY_TOO_LARGE, BODY_TRUNCATED, DISK_LOW, LANDING_FAILED, Problem};
use crate::config::UploadKeys;
use crate::outage::free_bytes;
use crate::process::{Bytes, Staged};

/// What is held of a body in memory; a longer one goes to a file as it comes. Larger lets a thousand
/// senders take more memory, smaller makes files of what needs none.
const MEMORY_BYTES: usize = 64 << 10;
/// Bytes from one look at the free space to the next.
const LOOK_BYTES: u64 = 16 << 20;

/// Where bodies are kept until they are whole, and what they may take.
pub struct Receiver {
    folder: PathBuf,
    keys: UploadKeys,
    /// Names the files.
    count: AtomicU64,
}

/// The part of a body that has come.
struct Coming {
    buffer: Vec<u8>,
    digests: Digests,
    file: Option<(File, Staged)>,
    /// Bytes written since the free space was looked at.
    unlooked: u64,
}

impl Receiver {
    /// Begins with an empty folder: what a crash has left there was never acknowledged.
    ///
    /// # Errors
    /// When the folder cannot be emptied or created.
    pub fn new(folder: PathBuf, keys: UploadKeys) -> io::Result<Receiver> {
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => DirBuilder::new().mode(0o700).create(&folder)?,
        }
        Ok(Receiver { folder, keys, count: AtomicU64::new(0) })
    }

    /// Receives a body to its end. `length` is what the sender says it has.
    ///
    /// # Errors
    /// A [`Problem`] where it is too large, too slow, cut short, not what its digest says, or the disk too
    /// full. Nothing of it is kept then.
    pub async fn receive(
        &self,
        mut body: Body,
        length: Option<u64>,
        digests: Digests,
    ) -> Result<Bytes, Problem> {
        if length.is_some_and(|length| length > self.keys.bytes_max) {
            return Err(self.too_large());
        }
        self.look(length.unwrap_or(0))?;
        let (began, mut received) = (Instant::now(), 0_u64);
        let mut coming = Coming { buffer: Vec::new(), digests, file: None, unlooked: 0 };
        loop {
            let frame = timeout_at(self.due(began, received), body.frame()).await;
            let frame = frame.map_err(|_| self.too_slow(began, received))?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|_| truncated(received, length))?;
            let Ok(data) = frame.into_data() else { continue };
            received += data.len() as u64;
            if received > self.keys.bytes_max {
                return Err(self.too_large());
            }
            coming.buffer.extend_from_slice(&data);
            if coming.buffer.len() > MEMORY_BYTES {
                coming = self.write(coming).await?;
            }
        }
        if length.is_some_and(|length| length != received) {
            return Err(truncated(received, length));
        }
        if coming.file.is_some() {
            coming = self.write(coming).await?;
        } else {
            coming.digests.update(&coming.buffer);
        }
        coming.digests.finish()?;
        Ok(match coming.file {
            Some((_, staged)) => Bytes::Staged(staged),
            None => Bytes::Memory(coming.buffer),
        })
    }

    /// Until when the next bytes must be here: after a silence, at the end of all time, or when the sender
    /// falls behind the slowest rate, whichever is first.
    fn due(&self, began: Instant, received: u64) -> Instant {
        let gap = Duration::from_secs(self.keys.gap_seconds);
        let earned = Duration::from_millis(received.saturating_mul(1000) / self.keys.rate_min.max(1));
        let whole = Duration::from_secs(self.keys.body_seconds);
        (Instant::now() + gap).min(began + (gap + earned).min(whole))
    }

    fn too_slow(&self, began: Instant, received: u64) -> Problem {
        let UploadKeys { gap_seconds, body_seconds, rate_min, .. } = self.keys;
        BODY_SLOW.because(format!(
            "{received} bytes came in {} s; the limits are {gap_seconds} s of silence, {rate_min} bytes/s and {body_seconds} s",
            began.elapsed().as_secs()
        ))
    }

    fn too_large(&self) -> Problem {
        BODY_TOO_LARGE.because(format!("the body has more than {} bytes", self.keys.bytes_max))
    }

    /// Whether the disk has less room than any upload must leave.
    pub fn is_full(&self) -> bool {
        free_bytes(&self.folder).is_some_and(|free| free < self.keys.free_bytes_min)
    }

    /// Refuses what would leave too little of the disk: `bytes` more here, and as many again where they land.
    fn look(&self, bytes: u64) -> Result<(), Problem> {
        let free = free_bytes(&self.folder).unwrap_or_default();
        let needed = bytes.saturating_mul(2).saturating_add(self.keys.free_bytes_min);
        if free < needed {
            return Err(DISK_LOW.because(format!("{free} bytes are free, and {needed} are needed")));
        }
        Ok(())
    }

    /// Writes what is in memory to the file, beside the server's thread.
    async fn write(&self, mut coming: Coming) -> Result<Coming, Problem> {
        coming.unlooked += coming.buffer.len() as u64;
        if coming.unlooked >= LOOK_BYTES {
            self.look(0)?;
            coming.unlooked = 0;
        }
        let path = self.folder.join(self.count.fetch_add(1, Ordering::Relaxed).to_string());
        let written = tokio::task::spawn_blocking(move || -> io::Result<Coming> {
            let mut file = match coming.file.take() {
                Some(file) => file,
                None => create(&path)?,
            };
            coming.digests.update(&coming.buffer);
            file.0.write_all(&coming.buffer)?;
            coming.buffer.clear();
            coming.file = Some(file);
            Ok(coming)
        });
        match written.await {
            Ok(coming) => coming.map_err(|error| failed(&error)),
            Err(error) => Err(LANDING_FAILED.because(format!("the upload was given up: {error}"))),
        }
    }
}

/// A new file and what removes it, in one step: a sender that goes away meanwhile leaves none.
fn create(path: &Path) -> io::Result<(File, Staged)> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok((file, Staged::new(path.to_owned())))
}

fn failed(error: &io::Error) -> Problem {
    LANDING_FAILED.because(format!("the upload cannot be kept: {error}"))
}

fn truncated(received: u64, length: Option<u64>) -> Problem {
    let said = length.map_or_else(|| "its end".to_owned(), |length| format!("all {length} were sent"));
    BODY_TRUNCATED.because(format!("the body broke off after {received} bytes, before {said}"))
}
