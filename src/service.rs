//! The one shape of every moving part. Here: the service, what a step reports, the bell that wakes
//! it, and the loop around it. Never here: what a service does; spawning (see
//! `daemon::supervisor`). Read next: [`pace`], [`pulse`], [`changing`], then [`crate::ledger`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use self::pulse::Pulse;
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;

pub mod changing;
pub mod pace;
pub mod pulse;

/// Longest wait between two steps, in seconds, when nothing rings and nothing is due. What to do is
/// always derived from the ledger anew, so a lost ring costs at most this long.
pub const IDLE_SECONDS_MAX: i64 = 5;
/// Wait after a failed step, in seconds: long enough not to fill a log, short enough to recover
/// soon.
pub const FAILURE_SECONDS: i64 = 1;

/// What a step did, and when there will be more to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// What was done, counted by name; for the log and the tests.
    pub counts: Vec<(&'static str, u64)>,
    /// Whether more of the same waits: the next step begins at once.
    pub more: bool,
    /// When something falls due by itself.
    pub wake_at: Option<Timestamp>,
}

impl Step {
    /// Whether the step did anything.
    #[must_use]
    pub fn did_something(&self) -> bool {
        self.counts.iter().any(|(_, count)| *count > 0)
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// This process must stop and recover from disk.
    #[error("the ledger cannot be trusted any longer")]
    Fatal(#[source] LedgerError),
    /// The step may be tried again.
    #[error("a step failed")]
    Later(#[source] anyhow::Error),
}

impl From<LedgerError> for StepError {
    fn from(error: LedgerError) -> Self {
        if error.is_fatal() { Self::Fatal(error) } else { Self::Later(error.into()) }
    }
}

/// A moving part: bounded work, derived from the ledger, done when it is called.
#[async_trait]
pub trait Service: Send + Sync {
    /// Its name, for logs and metrics.
    fn name(&self) -> &str;

    /// Does what is to be done at `now`, and no more than a bounded piece of it.
    ///
    /// # Errors
    /// When the ledger failed.
    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError>;
}

/// A wake-up without data. A ring while nobody waits is kept, once.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    /// Wakes the service that waits on this bell, or the next one to wait.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits for a ring.
    pub async fn rung(&self) {
        self.0.notified().await;
    }
}

/// Tells the supervisor that this process must stop. For the parts that serve callers and are no
/// [`Service`], and so have no step whose error could say it.
#[derive(Clone, Debug)]
pub struct FatalBell(mpsc::Sender<LedgerError>);

impl FatalBell {
    /// A bell, and the end that the supervisor listens at.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<LedgerError>) {
        // One is enough: the first failure ends the process.
        let (ring, rung) = mpsc::channel(1);
        (Self(ring), rung)
    }

    /// Says why. The first one to ring is heard; a later failure, or one after the supervisor has
    /// left, is only logged.
    pub fn ring(&self, why: LedgerError) {
        if let Err(unheard) = self.0.try_send(why) {
            let error: anyhow::Error = unheard.into_inner().into();
            let error = format!("{error:#}");
            tracing::error!(error, "the ledger failed, and the process is stopping already");
        }
    }
}

/// Steps `service` until `stop`, on its bell, when something falls due, and at least every
/// [`IDLE_SECONDS_MAX`]. `next` is rung after each step that did something. It beats on `pulse`
/// with each step, and whenever something that a step waited for has come.
///
/// # Errors
/// When the ledger can no longer be trusted; any other failure is logged here and tried again.
pub async fn run(
    service: Arc<dyn Service>,
    clock: Arc<dyn Clock>,
    bell: Bell,
    next: Vec<Bell>,
    stop: CancellationToken,
    pulse: Pulse,
) -> Result<(), StepError> {
    while !stop.is_cancelled() {
        let now = clock.now();
        let wait = match pulse.during(service.run_once(now)).await {
            Ok(step) => {
                if step.did_something() {
                    tracing::debug!(service = service.name(), counts = ?step.counts, "step");
                    next.iter().for_each(Bell::ring);
                }
                if step.more {
                    // Lets the other tasks of this worker run between two full steps.
                    tokio::task::yield_now().await;
                    continue;
                }
                wait_micros(step.wake_at, clock.now())
            }
            Err(StepError::Later(error)) => {
                let error = format!("{error:#}");
                tracing::error!(service = service.name(), error, "step failed; it is tried again");
                FAILURE_SECONDS.unsigned_abs() * 1_000_000
            }
            Err(fatal @ StepError::Fatal(_)) => return Err(fatal),
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = bell.rung() => {}
            () = tokio::time::sleep(Duration::from_micros(wait)) => {}
        }
    }
    Ok(())
}

/// How long to wait, in microseconds, for something due at `wake_at`.
fn wait_micros(wake_at: Option<Timestamp>, now: Timestamp) -> u64 {
    let most = IDLE_SECONDS_MAX * 1_000_000;
    let wait = wake_at.map_or(most, |at| at.micros_since(now).clamp(0, most));
    wait.unsigned_abs()
}
