//! What is done beside the journey. Here: showing what the ledger stands at, and its maintenance by
//! the clock. Never here: usage. Read next: [`super::assemble`].

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::ledger::Ledger;
use crate::schedule::Schedule;
use crate::service::{Service, Step, StepError};
use crate::telemetry::metrics::{Metrics, Standing};

/// Time between two readings of what the ledger stands at, in microseconds. Counting the events of
/// a large ledger takes some milliseconds; four readings a minute cost nothing.
const STANDING_MICROS: i64 = 15 * MICROS_PER_SECOND;

/// The service that shows what the ledger stands at in the metrics.
pub(super) struct Watcher {
    ledger: Arc<dyn Ledger>,
    metrics: Metrics,
    shown_at: Mutex<Option<Timestamp>>,
}

impl Watcher {
    pub(super) fn new(ledger: Arc<dyn Ledger>, metrics: Metrics) -> Self {
        Self { ledger, metrics, shown_at: Mutex::new(None) }
    }
}

#[async_trait]
impl Service for Watcher {
    fn name(&self) -> &str {
        "metrics"
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        let next = now.plus_micros(STANDING_MICROS);
        let step = Step { wake_at: Some(next), ..Step::default() };
        {
            let mut shown_at = self.shown_at.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = |at: Timestamp| (0..STANDING_MICROS).contains(&now.micros_since(at));
            if shown_at.is_some_and(fresh) {
                return Ok(step);
            }
            *shown_at = Some(now);
        }
        let status = self.ledger.status().await?;
        let seconds = |micros: i64| micros.div_euclid(MICROS_PER_SECOND);
        let free_bytes = crate::ledger::delivery::DeliveryLedger::free_bytes(&*self.ledger)?;
        self.metrics.show(&Standing {
            parked: status.parked.iter().map(|each| (each.name.clone(), each.count)).collect(),
            oldest_open_seconds: status.oldest_open_at.map(|at| seconds(now.micros_since(at))),
            nearest_deadline_seconds: status
                .nearest_deadline_at
                .map(|at| seconds(at.micros_since(now))),
            events: status.events,
            free_bytes: Some(free_bytes),
        });
        Ok(step)
    }
}

/// The service that maintains the ledger when the schedule says so, and lays its ballast anew.
pub(super) struct Maintainer {
    ledger: Arc<dyn Ledger>,
    schedule: Schedule,
    ballast_bytes: u64,
    next_at: Mutex<Option<Timestamp>>,
}

impl Maintainer {
    pub(super) fn new(ledger: Arc<dyn Ledger>, schedule: Schedule, ballast_bytes: u64) -> Self {
        Self { ledger, schedule, ballast_bytes, next_at: Mutex::new(None) }
    }
}

#[async_trait]
impl Service for Maintainer {
    fn name(&self) -> &str {
        "maintenance"
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        let due = {
            let mut next_at = self.next_at.lock().unwrap_or_else(PoisonError::into_inner);
            let due = next_at.is_some_and(|at| at <= now);
            if due || next_at.is_none() {
                *next_at = self.schedule.next_after(now);
            }
            due
        };
        self.ledger.keep_ballast(self.ballast_bytes).await;
        if due {
            self.ledger.maintain().await?;
            tracing::info!("maintained the ledger");
        }
        Ok(Step { counts: vec![("maintained", u64::from(due))], ..Step::default() })
    }
}
