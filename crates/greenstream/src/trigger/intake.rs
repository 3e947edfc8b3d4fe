//! The queue between those who have an upload whole (the route for uploads, the inbox bucket) and landing.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Bell;
use crate::process::{Bytes, Posted, Receipt, Refused};

/// Uploads that are whole and wait to land. More would wait longer than their senders do.
pub const WAITING_MAX: usize = 256;

/// The end of the queue at which the service takes uploads out to land them.
pub struct Posts(mpsc::Receiver<Posted>);

/// The other end, which rings when there is something to take.
#[derive(Clone)]
pub struct Intake {
    posts: mpsc::Sender<Posted>,
    bell: Bell,
}

/// Why a whole upload was not acknowledged; to send it again is always safe.
#[derive(Debug)]
pub enum Unlanded {
    /// Too many wait.
    Busy,
    /// The service is about to end.
    Stopping,
    /// Landing says why.
    Refused(Refused),
}

/// The queue of whole uploads between those who receive them and landing.
#[must_use]
pub fn intake(bell: Bell) -> (Intake, Posts) {
    let (posts, waiting) = mpsc::channel(WAITING_MAX);
    (Intake { posts, bell }, Posts(waiting))
}

impl Posts {
    /// All that wait now.
    pub fn take(&mut self) -> Vec<Posted> {
        std::iter::from_fn(|| self.0.try_recv().ok()).take(WAITING_MAX).collect()
    }
}

impl Posts {
    /// Those that come first, after at most `wait`; none where nobody is left who could bring any.
    pub fn next(&mut self, runtime: &Handle, wait: Duration) -> Option<Vec<Posted>> {
        let first = match runtime.block_on(async { timeout(wait, self.0.recv()).await }) {
            Ok(None) => return None,
            Ok(Some(first)) => Some(first),
            Err(_) => None,
        };
        Some(first.into_iter().chain(self.take()).collect())
    }
}

impl Intake {
    /// How many more may wait.
    #[must_use]
    pub fn room(&self) -> usize {
        self.posts.capacity()
    }

    /// Lands an upload; when this returns a receipt, it is on stable storage. Waits until landing answers or the
    /// service ends, and who cannot wait so long may stop to: an upload whose sender has gone is not landed, unless
    /// landing has begun with it.
    ///
    /// # Errors
    /// [`Unlanded`] where nothing was acknowledged.
    pub async fn land(&self, name: String, bytes: Bytes) -> Result<Receipt, Unlanded> {
        let (answer, answered) = oneshot::channel();
        self.posts.try_send(Posted { name, bytes, answer }).map_err(|_| Unlanded::Busy)?;
        self.bell.ring();
        match answered.await {
            Ok(Ok(receipt)) => Ok(receipt),
            Ok(Err(refused)) => Err(Unlanded::Refused(refused)),
            Err(_) => Err(Unlanded::Stopping),
        }
    }
}
