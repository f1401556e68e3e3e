//! Reports by the clock. Here: when one is made, whether it heals, and what the log is told of
//! both. Never here: a comparison, what is safe to move (`crate::reconcile`). Read next:
//! [`super::assemble`].

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Reports;
use crate::domain::names::ProviderName;
use crate::domain::time::{Timestamp, Window};
use crate::ledger::report::Question;
use crate::reconcile::Heal;
use crate::reconcile::calendar::previous_month;
use crate::reconcile::keeper::InLedger;
use crate::reconcile::line::Report;
use crate::reconcile::reporter::{ReportError, Reporter, ReporterLedger};
use crate::service::{Service, Step, StepError};

/// The service that reports on one provider instance when the schedule says so.
pub struct Reporting {
    name: String,
    provider: ProviderName,
    reporter: Reporter,
    keeper: InLedger<dyn ReporterLedger>,
    reports: Reports,
    stop: CancellationToken,
    next_at: Mutex<Option<Timestamp>>,
}

impl Reporting {
    /// Reports on `provider`, until `stop`.
    #[must_use]
    pub fn new(
        provider: ProviderName,
        reporter: Reporter,
        ledger: Arc<dyn ReporterLedger>,
        clock: Arc<dyn Clock>,
        reports: Reports,
        stop: CancellationToken,
    ) -> Self {
        let name = format!("reports on {provider}");
        let (keeper, next_at) = (InLedger { ledger, clock }, Mutex::new(None));
        Self { name, provider, reporter, keeper, reports, stop, next_at }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let mut next_at = self.next_at.lock().unwrap_or_else(PoisonError::into_inner);
        let due = next_at.is_some_and(|at| at <= now);
        if due || next_at.is_none() {
            *next_at = self.reports.schedule.next_after(now);
        }
        due
    }

    /// Makes a report at `now`, and heals what it may; what was made, unless this process stops.
    async fn make(&self, now: Timestamp) -> Result<u64, ReportError> {
        let range = Window { start: previous_month(now), end: now };
        let provider = self.provider.clone();
        let question = Question { provider, account: None, meter: None, range };
        // Thousands of readings take minutes, and a stop does not wait for them.
        let report = tokio::select! {
            () = self.stop.cancelled() => return Ok(0),
            made = self.reporter.report(&question, &self.keeper) => made?,
        };
        self.tell(&report);
        match self.reports.heal {
            Heal::None => {}
            Heal::Low => {
                let provider = self.provider.as_str();
                for done in self.reporter.apply(&report, &self.keeper).await? {
                    tracing::warn!(provider, number = report.number, done, "a difference was met");
                }
            }
        }
        Ok(1)
    }

    fn tell(&self, Report { number, run, .. }: &Report) {
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
        let (compared, agreed, calls) = (run.compared, run.agreed, run.calls);
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
        match self.make(now).await {
            Ok(reports) => Ok(Step { counts: vec![("reports", reports)], ..Step::default() }),
            Err(ReportError::Ledger(why)) => Err(why.into()),
            // The next one is made when the schedule says so.
            Err(why) => {
                let (provider, error) =
                    (self.provider.as_str(), format!("{:#}", anyhow::Error::from(why)));
                tracing::warn!(provider, error, "no report was made, or not acted on");
                Ok(Step::default())
            }
        }
    }
}
