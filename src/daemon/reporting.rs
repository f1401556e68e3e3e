//! Reports that are made by themselves. Here: when one is made (by the clock, and of an account
//! when its invoice is final and bills what was not told), whether it heals, and what the log is
//! told of both. Never here: a comparison, what is safe to move (`crate::reconcile`). Read next:
//! [`super::assemble`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Reports;
use crate::domain::drift::Agreement;
use crate::domain::names::ProviderName;
use crate::domain::time::{MICROS_PER_DAY, Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::report::{Drift, FinalPeriod, Found, Question};
use crate::reconcile::Heal;
use crate::reconcile::calendar::previous_month;
use crate::reconcile::keeper::InLedger;
use crate::reconcile::line::{Report, ReportError};
use crate::reconcile::reporter::{Reporter, ReporterLedger};
use crate::service::{Service, Step, StepError};

/// Periods whose invoices became final that are compared in one step: a renewal of thousands must
/// not keep a report that is due from being made.
const FINAL_PER_STEP: u32 = 100;
/// Most reports in a UTC day that final invoices ask for: a price that bills all wrongly must not
/// use up the month's reads. What is not asked for is told as the ledger sees it, and compared by
/// the next report of all.
const ASKED_PER_DAY_MAX: u32 = 50;

/// Who is told what a final invoice's line came to.
pub type Observer = Arc<dyn Fn(Agreement) + Send + Sync>;

/// The service that reports on one provider instance: when the schedule says so, and on an account
/// as soon as its invoice is final and bills what cannot have been told.
pub struct Reporting {
    name: String,
    provider: ProviderName,
    reporter: Reporter,
    keeper: InLedger<dyn ReporterLedger>,
    reports: Option<Reports>,
    observer: Observer,
    stop: CancellationToken,
    state: Mutex<State>,
}

/// What a step leaves to the next.
#[derive(Debug, Default)]
struct State {
    /// When the schedule has the next report made.
    next_at: Option<Timestamp>,
    /// The UTC day, and how many reports invoices asked for on it. A restart begins anew, which
    /// costs reads and nothing else.
    asked: (Timestamp, u32),
}

impl Reporting {
    /// Reports on `provider`, until `stop`.
    #[must_use]
    pub fn new(
        provider: ProviderName,
        reporter: Reporter,
        ledger: Arc<dyn ReporterLedger>,
        clock: Arc<dyn Clock>,
        reports: Option<Reports>,
        stop: CancellationToken,
    ) -> Self {
        let name = format!("reports on {provider}");
        let (keeper, observer) = (InLedger { ledger, clock }, Arc::new(|_| ()));
        let state = Mutex::default();
        Self { name, provider, reporter, keeper, reports, observer, stop, state }
    }

    /// The same, which tells `observer` what every final line came to.
    #[must_use]
    pub fn observed(self, observer: Observer) -> Self {
        Self { observer, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reports that the schedule has due at `now`.
    fn due(&self, now: Timestamp) -> Option<&Reports> {
        let reports = self.reports.as_ref()?;
        let mut state = self.state();
        let due = state.next_at.is_some_and(|at| at <= now);
        if due || state.next_at.is_none() {
            state.next_at = reports.schedule.next_after(now);
        }
        due.then_some(reports)
    }

    /// Whether an invoice may ask for one more report today.
    fn may_ask(&self, now: Timestamp) -> bool {
        let day = now.floor_to(MICROS_PER_DAY);
        let mut state = self.state();
        if state.asked.0 != day {
            state.asked = (day, 0);
        }
        state.asked.1 += 1;
        state.asked.1 <= ASKED_PER_DAY_MAX
    }

    /// Makes a report; nothing when this process stops. Thousands of readings take minutes, and a
    /// stop does not wait for them.
    async fn report(&self, question: &Question) -> Result<Option<Report>, ReportError> {
        tokio::select! {
            () = self.stop.cancelled() => Ok(None),
            made = self.reporter.report(question, &self.keeper) => made.map(Some),
        }
    }

    /// Compares what became final with what was told, and has a report made on what cannot be the
    /// same; how many were compared.
    async fn compare_final(&self, now: Timestamp) -> Result<usize, LedgerError> {
        let ledger = &self.keeper.ledger;
        let periods = ledger.final_periods(&self.provider, FINAL_PER_STEP).await?;
        if periods.is_empty() {
            return Ok(0);
        }
        for period in &periods {
            let found = self.reporter.billed(period).await?;
            let agreement = match &found {
                None => Agreement::Agrees,
                Some(_) => Agreement::Differs,
            };
            (self.observer)(agreement);
            let Some(found) = found else { continue };
            match self.report_of(period, now).await {
                Ok(Some(report)) => self.tell(&report),
                Ok(None) if self.stop.is_cancelled() => return Ok(0),
                Ok(None) => self.tell_found(period, &found),
                Err(ReportError::Ledger(why)) => return Err(why),
                Err(why) => {
                    self.tell_found(period, &found);
                    self.warn(why);
                }
            }
        }
        ledger.note_compared(&periods, now).await?;
        Ok(periods.len())
    }

    /// A report on one period, unless the day has had enough of them, or this process stops.
    async fn report_of(
        &self,
        period: &FinalPeriod,
        now: Timestamp,
    ) -> Result<Option<Report>, ReportError> {
        if !self.may_ask(now) {
            return Ok(None);
        }
        let question = Question {
            provider: self.provider.clone(),
            account: Some(period.account.clone()),
            meter: Some(period.meter.clone()),
            range: period.span,
        };
        self.report(&question).await
    }

    /// Tells what only the ledger says of an invoice.
    fn tell_found(&self, period: &FinalPeriod, found: &Found) {
        self.tell_drift(&Drift {
            account: Some(period.account.as_str().to_owned()),
            meter: period.meter.as_str().to_owned(),
            span: period.span,
            found: found.clone(),
        });
    }

    /// Makes the report of all at `now`, and heals what it may; what was made, unless this process
    /// stops.
    async fn make(&self, reports: &Reports, now: Timestamp) -> Result<u64, ReportError> {
        let range = Window { start: previous_month(now), end: now };
        let provider = self.provider.clone();
        let question = Question { provider, account: None, meter: None, range };
        let Some(report) = self.report(&question).await? else { return Ok(0) };
        self.tell(&report);
        match reports.heal {
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
        for drift in &run.drifts {
            self.tell_drift(drift);
        }
        let provider = self.provider.as_str();
        let (compared, agreed, calls) = (run.compared, run.agreed, run.calls);
        tracing::info!(provider, number, compared, agreed, calls, "a report was made");
    }

    fn tell_drift(&self, drift: &Drift) {
        let provider = self.provider.as_str();
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

    fn warn(&self, why: ReportError) {
        let (provider, error) = (self.provider.as_str(), format!("{:#}", anyhow::Error::from(why)));
        tracing::warn!(provider, error, "no report was made, or not acted on");
    }
}

#[async_trait]
impl Service for Reporting {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        let invoices = self.compare_final(now).await?;
        let made = match self.due(now) {
            None => 0,
            Some(reports) => match self.make(reports, now).await {
                Ok(made) => made,
                Err(ReportError::Ledger(why)) => return Err(why.into()),
                // The next one is made when the schedule says so.
                Err(why) => {
                    self.warn(why);
                    0
                }
            },
        };
        let compared = u64::try_from(invoices).unwrap_or(u64::MAX);
        let counts = vec![("invoices", compared), ("reports", made)];
        let more = u32::try_from(invoices).is_ok_and(|found| found >= FINAL_PER_STEP);
        Ok(Step { counts, more, ..Step::default() })
    }
}
