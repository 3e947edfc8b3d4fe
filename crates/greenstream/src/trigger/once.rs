//! One batch of hints with a service that lives no longer than that: a function in the cloud. The path is the
//! same as that of a running service.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::hint::Hint;
use super::intake::intake;
use super::scan::scan;
use super::sources::{TriggerError, taker};
use super::take::Taker;
use super::{Bell, Scanned};
use crate::process::{Arrivals, ProcessError, Refused, Service};

/// How long landing waits for the next object before it looks what else is to do.
const WAIT: Duration = Duration::from_millis(200);

/// Why a batch was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// What the configuration says cannot be used.
    #[error(transparent)]
    Trigger(#[from] TriggerError),
    /// Processing failed. What had landed by then is processed by the next call.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// Takes objects of the inbox bucket while a service is at hand.
pub struct Once<'s> {
    service: &'s mut Service,
    runtime: Handle,
}

impl<'s> Once<'s> {
    /// With a service, on a runtime of several threads; not to be called from one of them.
    pub fn new(service: &'s mut Service, runtime: Handle) -> Once<'s> {
        Once { service, runtime }
    }

    /// Takes the objects of some messages; for each message, whether it has done its work. When this returns,
    /// what landed is committed and archived.
    ///
    /// # Errors
    /// [`OnceError`]; then no message has done its work, and all may come again.
    pub fn take(&mut self, messages: Vec<Vec<Hint>>) -> Result<Vec<bool>, OnceError> {
        let settled = self.with(|taker| async move {
            let mut taking = JoinSet::new();
            let mut settled = vec![true; messages.len()];
            for (index, hint) in messages
                .into_iter()
                .enumerate()
                .flat_map(|(i, hints)| hints.into_iter().map(move |hint| (i, hint)))
            {
                let taker = taker.clone();
                taking.spawn(async move { (index, taker.take(hint).await) });
            }
            while let Some(taken) = taking.join_next().await {
                match taken {
                    Ok((index, disposition)) => settled[index] &= disposition.is_settled(),
                    Err(_) => settled.fill(false),
                }
            }
            settled
        })?;
        Ok(settled)
    }

    /// Takes everything in the bucket, and brings database and archive up to date.
    ///
    /// # Errors
    /// [`OnceError`].
    pub fn reconcile(&mut self) -> Result<Result<Scanned, Refused>, OnceError> {
        self.with(|taker| async move { scan(&taker).await })
    }

    fn with<T, F>(&mut self, work: impl FnOnce(Taker) -> F) -> Result<T, OnceError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let config = self.service.config().clone();
        let Some(url) = &config.file.inbox.url else {
            let (key, problem) = ("inbox.url", "there is no bucket to look for objects".to_owned());
            return Err(TriggerError::Key { key, problem, hint: "set it".to_owned() }.into());
        };
        let (intake, mut posts) = intake(Bell::default());
        let taker = taker(url, self.service.home(), &config, intake, self.runtime.clone())?;
        let working = self.runtime.spawn(work(taker));
        // ends when the last taker is gone, and with it the last sender
        let served = self.service.serve(&mut || {
            let posted = posts.next(&self.runtime, WAIT)?;
            Some(Arrivals { posted, ..Arrivals::default() })
        });
        if served.is_err() {
            working.abort();
        }
        served?;
        let done = self.runtime.block_on(working);
        self.service.finish()?;
        done.map_err(|error| ProcessError::Internal(format!("taking objects was given up: {error}")).into())
    }
}

impl OnceError {
    /// The way out.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            OnceError::Trigger(error) => error.hint().to_owned(),
            OnceError::Process(error) => error.hint(),
        }
    }
}
