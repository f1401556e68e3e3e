//! Reports by the clock. Here: when one is made, and what the log is told of it. Never here: a
//! comparison (`crate::reconcile`). Read next: [`super::assemble`].

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::names::ProviderName;
use crate::domain::time::{Timestamp, Window};
use crate::ledger::report::{Question, Run};
use crate::reconcile::calendar::previous_month;
use crate::reconcile::keeper::InLedger;
use crate::reconcile::reporter::{ReportError, Reporter, ReporterLedger};
use crate::schedule::Schedule;
use crate::service::{Service, Step, StepError};

/// The service that reports on one provider instance when the schedule says so.
pub(super) struct Reporting {
    name: String,
    provider: ProviderName,
    reporter: Reporter,
    keeper: InLedger<dyn ReporterLedger>,
    schedule: Schedule,
    stop: CancellationToken,
    next_at: Mutex<Option<Timestamp>>,
}

impl Reporting {
    /// Reports on `provider`, until `stop`.
    pub(super) fn new(
        provider: ProviderName,
        reporter: Reporter,
        ledger: Arc<dyn ReporterLedger>,
        clock: Arc<dyn Clock>,
        schedule: Schedule,
        stop: CancellationToken,
    ) -> Self {
        let name = format!("reports on {provider}");
        let (keeper, next_at) = (InLedger { ledger, clock }, Mutex::new(None));
        Self { name, provider, reporter, keeper, schedule, stop, next_at }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let mut next_at = self.next_at.lock().unwrap_or_else(PoisonError::into_inner);
        let due = next_at.is_some_and(|at| at <= now);
        if due || next_at.is_none() {
            *next_at = self.schedule.next_after(now);
        }
        due
    }

    fn tell(&self, number: i64, run: &Run) {
        let provider = self.provider.as_str();
        for drift in &run.drifts {
            let (kind, detail) = (drift.found.kind.as_str(), drift.found.detail.as_str());
            let account = drift.account.as_deref().unwrap_or_default();
            let (meter, span) = (drift.meter.as_str(), drift.span.to_string());
            let quantity = drift.found.quantity.to_string();
            tracing::error!(
                provider,
                account,
                meter,
                span,
                kind,
                quantity,
                detail,
                "ledger, provider and invoices differ (tallyd reconcile --last)"
            );
        }
        let Run { compared, agreed, calls, .. } = run;
        tracing::info!(provider, number, compared, agreed, calls, "a report was made");
    }
}

#[async_trait]
impl Service for Reporting {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        if !self.is_due(now) {
            return Ok(Step::default());
        }
        let provider = self.provider.clone();
        let range = Window { start: previous_month(now), end: now };
        let question = Question { provider, account: None, meter: None, range };
        // Thousands of readings take minutes, and a stop does not wait for them.
        let made = tokio::select! {
            () = self.stop.cancelled() => return Ok(Step::default()),
            made = self.reporter.report(&question, &self.keeper) => made,
        };
        match made {
            Ok(report) => {
                self.tell(report.number, &report.run);
                Ok(Step { counts: vec![("reports", 1)], ..Step::default() })
            }
            Err(ReportError::Ledger(why)) => Err(why.into()),
            // The next one is made when the schedule says so.
            Err(why) => {
                let (provider, error) =
                    (self.provider.as_str(), format!("{:#}", anyhow::Error::from(why)));
                tracing::warn!(provider, error, "no report was made");
                Ok(Step::default())
            }
        }
    }
}
