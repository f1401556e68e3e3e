//! The owner of every task. Here: the only spawning of the daemon's parts, what their end means,
//! and the two phases of a stop. Never here: what a part does. Read next: [`super::assemble`].
//!
//! A part that ends before it is asked to, by an error or a panic, ends the process: the ledger is
//! the truth, and a fresh start from it is the one recovery there is.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::ledger::LedgerError;
use crate::service::pulse::{Pulse, Pulses};
use crate::service::{self, Bell, Service, StepError};

/// How long requests to providers may take to finish after a stop was asked for, in seconds. What
/// does not is unknown, and is cleared at the next start.
pub const DRAIN_SECONDS_MAX: u64 = 10;
/// How long a part may wait for one thing, in seconds, before it is taken for stuck. A request to a
/// provider may take 120, behind a pause of 10; a call to the ledger waits for the daily
/// maintenance of a large one.
pub const BEAT_SECONDS_MAX: u64 = 300;
/// How long all of a stop may take, in seconds, before the process ends as it is. Service managers
/// give 90 by default.
pub const STOP_SECONDS_MAX: u64 = 45;

/// Why a daemon ended that was not asked to.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// A part of it could not go on.
    #[error("{part} could not go on")]
    Part {
        /// The part.
        part: String,
        /// Why.
        #[source]
        why: StepError,
    },
    /// The ledger failed under a caller.
    #[error("the ledger failed under a request")]
    Ledger(#[source] LedgerError),
    /// A part panicked.
    #[error("a part of the daemon panicked: {0}")]
    Panicked(String),
    /// A part returned without being asked to.
    #[error("{0} ended by itself")]
    Left(String),
}

/// The running parts.
#[derive(Debug)]
pub struct Supervisor {
    parts: JoinSet<(String, Result<(), StepError>)>,
    /// Asks every part to stop.
    pub stop: CancellationToken,
    /// Which parts move.
    pub pulses: Pulses,
    fatal: mpsc::Receiver<LedgerError>,
}

impl Supervisor {
    /// No parts yet. `fatal` is where parts without a step of their own say that the ledger failed.
    #[must_use]
    pub fn new(fatal: mpsc::Receiver<LedgerError>) -> Self {
        let (parts, stop) = (JoinSet::new(), CancellationToken::new());
        Self { parts, stop, pulses: Pulses::default(), fatal }
    }

    /// Starts a part, which beats on the pulse that it is given.
    pub fn start<F>(&mut self, name: impl Into<String>, part: impl FnOnce(Pulse) -> F)
    where
        F: Future<Output = Result<(), StepError>> + Send + 'static,
    {
        let (name, bound) = (name.into(), Duration::from_secs(BEAT_SECONDS_MAX));
        let pulse = self.pulses.of(name.clone(), bound, Instant::now());
        let part = part(pulse.clone());
        self.parts.spawn(async move {
            let ended = part.await;
            pulse.end();
            (name, ended)
        });
    }

    /// Starts a service: `clock` tells it what time it is, `bell` wakes it, and `next` is rung by
    /// it.
    pub fn step(
        &mut self,
        name: impl Into<String>,
        service: Arc<dyn Service>,
        clock: &Arc<dyn Clock>,
        bell: Bell,
        next: Vec<Bell>,
    ) {
        let (clock, stop) = (clock.clone(), self.stop.clone());
        self.start(name, |pulse| service::run(service, clock, bell, next, stop, pulse));
    }

    /// Waits for the stop or for the first part that fails, then for all parts to end; `now` cuts
    /// that short.
    ///
    /// # Errors
    /// Why it ended, when nobody asked it to.
    pub async fn run(mut self, now: CancellationToken) -> Result<(), Ended> {
        let stop = self.stop.clone();
        let first = tokio::select! {
            // A part that ended because it was asked to did not end by itself.
            biased;
            () = stop.cancelled() => None,
            Some(why) = self.fatal.recv() => Some(Ended::Ledger(why)),
            Some(part) = self.parts.join_next() => {
                Some(judge(part).map_or_else(std::convert::identity, Ended::Left))
            }
        };
        if let Some(ended) = first {
            // Nothing that this process believes may be written any more. Parts are dropped as they
            // are; what is in flight is found at the next start.
            stop.cancel();
            self.parts.abort_all();
            return Err(ended);
        }
        let limit = Duration::from_secs(STOP_SECONDS_MAX);
        tokio::select! {
            result = self.drain() => result,
            () = now.cancelled() => Ok(()),
            () = tokio::time::sleep(limit) => {
                tracing::warn!(seconds = STOP_SECONDS_MAX, "the stop takes too long; ending now");
                Ok(())
            }
        }
    }

    async fn drain(&mut self) -> Result<(), Ended> {
        while let Some(part) = self.parts.join_next().await {
            judge(part)?;
        }
        Ok(())
    }
}

type Joined = Result<(String, Result<(), StepError>), tokio::task::JoinError>;

/// The name of a part that ended well, or why it did not.
fn judge(part: Joined) -> Result<String, Ended> {
    match part {
        Ok((part, Ok(()))) => Ok(part),
        Ok((part, Err(why))) => Err(Ended::Part { part, why }),
        Err(error) => Err(Ended::Panicked(error.to_string())),
    }
}
