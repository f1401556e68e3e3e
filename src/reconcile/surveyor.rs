//! The step that looks at what another program told. Here: what a provider held of a period before
//! this program's telling began, read once; and its totals by the day, while it is in shadow. Never
//! here: a comparison ([`super::reporter`]); a change to anything that is told. Read next:
//! [`crate::ledger::cutover`].

use std::sync::Arc;

use async_trait::async_trait;

use super::Settings;
use super::calendar::ceiling;
use super::span::{SPAN_DAYS_MAX, calls};
use crate::domain::cutover::{ForeignKind, Mode, Telling};
use crate::domain::names::{AccountName, ProviderMeter};
use crate::domain::quantity::Quantity;
use crate::domain::reading::Grouping;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_MINUTE, Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::cutover::{BegunPeriod, CutoverLedger, ForeignTotal, ShadowQuestion};
use crate::ledger::delivery::DeliveryLedger;
use crate::ledger::reconcile::ReconcileLedger;
use crate::provider::{Provider, ReadBack, Total, Totals};
use crate::service::pace::Pace;
use crate::service::{Service, Step, StepError};

/// How often it is looked for what is to be read, in microseconds: ten minutes. A total lags by
/// hours, so that nothing is in a hurry.
pub const LOOK_MICROS: i64 = 10 * MICROS_PER_MINUTE;
/// How long the days of a place in shadow are left alone once they were read, in microseconds: a
/// day. Usage that the other program tells late is seen the day after.
pub const REREAD_MICROS: i64 = MICROS_PER_DAY;
/// Places in one step: a few seconds of requests, one after the other.
pub const PLACES_PER_STEP: u32 = 50;

/// What the survey reads and writes.
pub trait SurveyorLedger: CutoverLedger + ReconcileLedger + DeliveryLedger {}
impl<T: CutoverLedger + ReconcileLedger + DeliveryLedger> SurveyorLedger for T {}

/// The service that reads what one provider instance holds of what another program told.
pub struct Surveyor {
    name: String,
    settings: Settings,
    ledger: Arc<dyn SurveyorLedger>,
    provider: Arc<dyn Provider>,
    telling: Telling,
    pace: Pace,
}

/// What one step may ask for, and by which clock.
struct Budget {
    left: u32,
    provider_now: Timestamp,
    now: Timestamp,
}

impl Surveyor {
    /// The surveyor of the provider that `settings` names, as it is told.
    #[must_use]
    pub fn new(
        settings: Settings,
        ledger: Arc<dyn SurveyorLedger>,
        provider: Arc<dyn Provider>,
        telling: Telling,
    ) -> Self {
        let name = format!("survey of {}", settings.provider);
        let pace = Pace::every(LOOK_MICROS);
        Self { name, settings, ledger, provider, telling, pace }
    }

    /// What is left of a day's share of the readings.
    async fn budget(&self, provider_now: Timestamp, now: Timestamp) -> Result<Budget, LedgerError> {
        let used = self.ledger.read_calls(&self.settings.provider, now).await?;
        Ok(Budget { left: self.settings.left(used).day, provider_now, now })
    }

    fn promise(&self, meter: &ProviderMeter) -> Option<ReadBack> {
        self.provider.capabilities(meter).ok()?.read_back
    }

    /// The totals of a span, within the budget; nothing where there is none to be had now.
    async fn read(
        &self,
        (account, meter): (&AccountName, &ProviderMeter),
        span: Window,
        grouping: Grouping,
        budget: &mut Budget,
    ) -> Result<Option<(Totals, Timestamp)>, LedgerError> {
        let price = calls(grouping, span);
        if price > budget.left {
            return Ok(None);
        }
        budget.left -= price;
        self.ledger.count_reads(&self.settings.provider, price, budget.now).await?;
        match self.provider.read_totals(meter, account, span, grouping).await {
            Ok(totals) => Ok(totals.provider_at.map(|at| (totals, at))),
            Err(answer) => {
                let provider = self.settings.provider.as_str();
                let why = answer.message.as_deref().unwrap_or_default();
                tracing::warn!(provider, %meter, why, "a total could not be read");
                if !answer.outcome.concerns_one_question() {
                    budget.left = 0;
                }
                Ok(None)
            }
        }
    }

    /// Reads what was held of the periods in which this program's telling begins.
    async fn read_openings(&self, budget: &mut Budget) -> Result<u64, LedgerError> {
        let cutover = &self.telling.cutover;
        let Some((first, last)) = cutover.earliest().zip(cutover.latest()) else { return Ok(0) };
        let provider = &self.settings.provider;
        let mut read = 0;
        for period in self.ledger.begun_periods(provider, (first, last)).await? {
            let from = cutover.bill_from(&period.account, &period.meter);
            let Some(from) = from.filter(|from| is_wanted(&period, *from)) else { continue };
            let Some(promise) = self.promise(&period.meter) else { continue };
            // Before that a total may lack what the other program told last.
            if budget.provider_now < from.plus_micros(promise.lag_micros) {
                continue;
            }
            if let Some(opening) = self.read_opening(&period, from, promise, budget).await? {
                self.ledger.keep_foreign(provider, &[opening], budget.now).await?;
                read += 1;
            }
        }
        Ok(read)
    }

    async fn read_opening(
        &self,
        period: &BegunPeriod,
        from: Timestamp,
        promise: ReadBack,
        budget: &mut Budget,
    ) -> Result<Option<ForeignTotal>, LedgerError> {
        let grain = promise.grain_micros;
        let place = (&period.account, &period.meter);
        let start = period.span.start;
        let (outer, inner) = (start.floor_to(grain), ceiling(start, grain));
        let whole = |start| Window { start, end: from };
        let Some((totals, provider_at)) =
            self.read(place, whole(outer), Grouping::Whole, budget).await?
        else {
            return Ok(None);
        };
        let high = sum(&totals);
        // A period that begins within the grain shares that with the one before it.
        let low = if inner == outer {
            high.clone()
        } else if inner < from {
            let read = self.read(place, whole(inner), Grouping::Whole, budget).await?;
            let Some((totals, _)) = read else { return Ok(None) };
            sum(&totals)
        } else {
            Quantity::zero()
        };
        let (low, high) = (low.clone().min(high.clone()), high.max(low));
        Ok(Some(ForeignTotal {
            account: period.account.clone(),
            meter: period.meter.clone(),
            kind: ForeignKind::Opening,
            span: whole(start),
            low,
            high,
            provider_at,
        }))
    }

    /// Reads the days that are over of what is booked in shadow.
    async fn read_days(&self, budget: &mut Budget) -> Result<u64, LedgerError> {
        let end = budget.provider_now.floor_to(MICROS_PER_DAY);
        let question = ShadowQuestion {
            booked_before: end,
            not_read_since: budget.now.plus_micros(-REREAD_MICROS),
            limit: PLACES_PER_STEP,
        };
        let provider = &self.settings.provider;
        let mut read = 0;
        for place in self.ledger.shadowed_places(provider, question).await? {
            if self.promise(&place.meter).is_none() {
                continue;
            }
            let oldest = end.plus_micros(-SPAN_DAYS_MAX * MICROS_PER_DAY);
            let span = Window { start: place.first.floor_to(MICROS_PER_DAY).max(oldest), end };
            let of = (&place.account, &place.meter);
            let found = self.read(of, span, Grouping::Day, budget).await?;
            let Some((totals, provider_at)) = found else { continue };
            let day = |part: Total| ForeignTotal {
                account: place.account.clone(),
                meter: place.meter.clone(),
                kind: ForeignKind::Shadow,
                span: part.span,
                low: part.quantity.clone(),
                high: part.quantity,
                provider_at,
            };
            let days: Vec<ForeignTotal> = totals.parts.into_iter().map(day).collect();
            self.ledger.keep_foreign(provider, &days, budget.now).await?;
            read += 1;
        }
        Ok(read)
    }

    async fn look(&self, now: Timestamp) -> Result<Step, LedgerError> {
        let mut step = Step { wake_at: Some(now.plus_micros(LOOK_MICROS)), ..Step::default() };
        let facts = self.ledger.provider_facts(&self.settings.provider).await?;
        let Some(clock) = facts.clock.filter(|_| facts.pause.is_none()) else { return Ok(step) };
        let mut budget = self.budget(clock.estimate(now), now).await?;
        if budget.left == 0 {
            return Ok(step);
        }
        let read = match self.telling.mode {
            Mode::Shadow => self.read_days(&mut budget).await?,
            Mode::Live => self.read_openings(&mut budget).await?,
        };
        step.counts = vec![("surveyed", read)];
        step.more = self.telling.mode == Mode::Shadow && read == u64::from(PLACES_PER_STEP);
        Ok(step)
    }
}

/// Whether what was held of a period until `from` is to be read.
fn is_wanted(period: &BegunPeriod, from: Timestamp) -> bool {
    period.span.start < from && from < period.span.end && !period.known_until.contains(&from)
}

fn sum(totals: &Totals) -> Quantity {
    totals.parts.iter().map(|part| &part.quantity).sum()
}

#[async_trait]
impl Service for Surveyor {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        if self.telling.mode == Mode::Live && self.telling.cutover.is_none() {
            return Ok(Step::default());
        }
        if let Err(at) = self.pace.begin(now) {
            return Ok(Step { wake_at: Some(at), ..Step::default() });
        }
        let step = self.look(now).await?;
        if step.more {
            self.pace.go_on();
        }
        Ok(step)
    }
}
