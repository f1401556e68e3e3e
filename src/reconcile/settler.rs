//! The step of reconciliation. Here: choosing lanes, asking for their totals within a budget,
//! keeping what the totals prove. Never here: what a total proves ([`super::judge`]). Read next:
//! [`crate::ledger::reconcile`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::Settings;
use super::explain::{Share, share};
use super::gauge::{is_gauge, within_period};
use super::judge::{LOOKS_APART_MICROS, Reading, first_seen, judge, next_grouping};
use super::span::{Outlook, calls, horizons, own_parts, plan};
use crate::domain::answer::Answer;
use crate::domain::cutover::{Mode, Telling};
use crate::domain::names::ProviderMeter;
use crate::domain::reading::{FindingKind, Grouping};
use crate::domain::time::{MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::delivery::DeliveryLedger;
use crate::ledger::reconcile::{
    Comparison, Concluded, Judged, LaneEvent, LaneQuestion, ReadCalls, ReconcileLedger,
    UnprovenLane, Untold,
};
use crate::provider::{Capabilities, Provider, ReadBack, ToldAs, Totals};
use crate::service::pace::Pace;
use crate::service::{Service, Step, StepError};

/// How long a lane that was compared is left alone, in microseconds: six hours. Totals lag by as
/// much, so that a sooner reading would seldom prove more.
pub const RECHECK_MICROS: i64 = 6 * MICROS_PER_HOUR;
/// How often lanes are looked for, in microseconds: a minute. Nothing that is proven is in a hurry.
pub const LOOK_MICROS: i64 = MICROS_PER_MINUTE;
/// Lanes in one step: a second or two of requests, one after the other.
pub const LANES_PER_STEP: u32 = 20;
/// Most events of a lane that are compared at once: ten days of one a minute. With more, the span
/// ends sooner.
pub const EVENTS_MAX: u32 = 15_000;

/// What reconciliation needs to read and write.
pub trait SettlerLedger: ReconcileLedger + DeliveryLedger {}
impl<T: ReconcileLedger + DeliveryLedger> SettlerLedger for T {}

/// Told of every finding, for the metrics.
pub type Observer = Arc<dyn Fn(FindingKind) + Send + Sync>;

/// The service that compares what one provider instance was told with its totals.
pub struct Settler {
    name: String,
    settings: Settings,
    ledger: Arc<dyn SettlerLedger>,
    provider: Arc<dyn Provider>,
    observer: Observer,
    telling: Telling,
    pace: Pace,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Meters of which it was said that their totals cannot be read.
    said: BTreeSet<ProviderMeter>,
    /// Whether it was said that the budget is used up.
    said_spent: bool,
}

/// What the step may still ask for.
struct Budget {
    /// By lanes in which something waits for proof.
    waiting: u32,
    /// By others: no more than a day's share, so that a busy day leaves something for what waits.
    others: u32,
}

/// What became of a lane.
enum Done {
    /// It was compared, or could not be.
    Concluded(Concluded),
    /// The budget does not allow it.
    TooDear,
    /// The provider gave no totals, and others need not be asked for now.
    Unanswered,
}

impl Settler {
    /// The settler of the provider that `settings` names.
    #[must_use]
    pub fn new(
        settings: Settings,
        ledger: Arc<dyn SettlerLedger>,
        provider: Arc<dyn Provider>,
        observer: Observer,
    ) -> Self {
        let name = format!("reconciliation with {}", settings.provider);
        let (pace, state) = (Pace::every(LOOK_MICROS), Mutex::default());
        Self {
            name,
            settings,
            ledger,
            provider,
            observer,
            telling: Telling::default(),
            pace,
            state,
        }
    }

    /// The same, which compares nothing that another program told.
    #[must_use]
    pub fn telling(self, telling: Telling) -> Self {
        Self { telling, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The meters whose totals can be read, with what is promised of them; of each other one it is
    /// said once.
    fn readable(&self, meters: &[ProviderMeter]) -> Vec<(ProviderMeter, ReadBack)> {
        let mut readable = Vec::new();
        for meter in meters {
            // A meter that cannot be told now is named by posting already.
            let Ok(capabilities) = self.provider.capabilities(meter) else { continue };
            match capabilities.read_back {
                Some(promise) => readable.push((meter.clone(), promise)),
                None => self.say_once(meter, "the provider has no totals to read back"),
            }
        }
        readable
    }

    /// How finely totals of a meter are asked for. The parts of a gauge's span tell nothing that
    /// its newest reading does not, and a period ends within one.
    fn finest(&self, meter: &ProviderMeter, grouping: Grouping) -> Grouping {
        match self.provider.capabilities(meter) {
            Ok(Capabilities { told_as: ToldAs::Last, .. }) => Grouping::Whole,
            Ok(_) | Err(_) => grouping,
        }
    }

    fn say_once(&self, meter: &ProviderMeter, why: &str) {
        if self.state().said.insert(meter.clone()) {
            let provider = self.settings.provider.as_str();
            tracing::warn!(provider, %meter, why, "what this meter was told is never proven");
        }
    }

    async fn budget(&self, now: Timestamp) -> Result<Budget, LedgerError> {
        let used = self.ledger.read_calls(&self.settings.provider, now).await?;
        let ReadCalls { day: others, month: waiting } = self.settings.left(used);
        let mut state = self.state();
        if waiting == 0 && !state.said_spent {
            let provider = self.settings.provider.as_str();
            tracing::warn!(provider, "the month's requests for totals are used up");
        }
        state.said_spent = waiting == 0;
        Ok(Budget { waiting, others })
    }

    /// Compares one lane.
    async fn compare(
        &self,
        lane: &UnprovenLane,
        outlook: &Outlook<'_>,
        budget: &mut Budget,
        now: Timestamp,
    ) -> Result<Done, LedgerError> {
        let Some((span, grouping)) = self.span(lane, outlook).await? else {
            return self.pass_over(lane, outlook, now).await;
        };
        let price = calls(grouping, span);
        let left = if lane.waits { budget.waiting } else { budget.others };
        if price > left {
            return Ok(Done::TooDear);
        }
        budget.waiting = budget.waiting.saturating_sub(price);
        budget.others = budget.others.saturating_sub(price).min(budget.waiting);
        self.ledger.count_reads(&self.settings.provider, price, now).await?;
        let read = self.provider.read_totals(&lane.meter, &lane.account, span, grouping).await;
        let totals = match read {
            Ok(totals) => totals,
            Err(answer) => return self.unanswered(lane, outlook, &answer, now).await,
        };
        // This host's clock may have stepped since the provider's was read: how old the events are
        // is told by the answer itself, and one that does not say when it was made proves nothing.
        let Some(provider_at) = totals.provider_at else {
            self.say_once(&lane.meter, "its totals do not say when they were made");
            return self.pass_over(lane, outlook, now).await;
        };
        let outlook = Outlook { provider_now: provider_at, ..*outlook };
        let parts = self.judge(lane, &totals, grouping, &outlook).await?;
        for part in &parts {
            self.tell(lane, part);
        }
        let grouping = next_grouping(grouping, &parts, outlook.promise.grain_micros);
        let grouping = self.finest(&lane.meter, grouping);
        let comparison = Comparison { lane: lane.lane, grouping, provider_at, parts };
        self.ledger.conclude(comparison, now).await.map(Done::Concluded)
    }

    /// The span to ask for, and how finely: the one that waits for its second look, as long as it
    /// can be judged. What another program told is in none.
    async fn span(
        &self,
        lane: &UnprovenLane,
        outlook: &Outlook<'_>,
    ) -> Result<Option<(Window, Grouping)>, LedgerError> {
        let bill_from = self.telling.cutover.bill_from(&lane.account, &lane.meter);
        let grouping = self.finest(&lane.meter, lane.grouping);
        let is_ours = |span: &Window| bill_from.is_none_or(|from| from <= span.start);
        if let Some(again) = lane.first_seen.filter(is_ours) {
            let events = self.ledger.lane_events(lane.lane, again, EVENTS_MAX).await?;
            let clear = || !events.iter().any(|event| outlook.blocks(event));
            if grouping != Grouping::Whole || clear() {
                return Ok(Some((again, grouping)));
            }
        }
        let all = horizons(lane);
        let parts = all.into_iter().flat_map(|each| own_parts(each, grouping, bill_from));
        for (mut horizon, grouping) in parts {
            let mut events = self.ledger.lane_events(lane.lane, horizon, EVENTS_MAX).await?;
            if is_gauge(&events) {
                horizon = within_period(horizon, &events, outlook);
                events.retain(|event| horizon.contains(event.occurred_at));
            }
            if u32::try_from(events.len()).unwrap_or(u32::MAX) >= EVENTS_MAX
                && let Some(last) = events.last()
            {
                let cut = last.occurred_at.floor_to(outlook.promise.grain_micros);
                horizon.end = horizon.end.min(cut);
                events.retain(|event| event.occurred_at < cut);
            }
            if let Some(span) = plan(grouping, horizon, &events, outlook) {
                return Ok(Some((span, grouping)));
            }
        }
        Ok(None)
    }

    /// Nothing was learned of the lane: it has its turn again when the others had theirs.
    async fn pass_over(
        &self,
        lane: &UnprovenLane,
        outlook: &Outlook<'_>,
        now: Timestamp,
    ) -> Result<Done, LedgerError> {
        let provider_at = outlook.provider_now;
        let UnprovenLane { lane, grouping, .. } = *lane;
        let nothing = Comparison { lane, grouping, provider_at, parts: Vec::new() };
        self.ledger.conclude(nothing, now).await.map(Done::Concluded)
    }

    async fn unanswered(
        &self,
        lane: &UnprovenLane,
        outlook: &Outlook<'_>,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<Done, LedgerError> {
        let (provider, outcome) = (self.settings.provider.as_str(), answer.outcome.kind().as_str());
        let why = answer.message.as_deref().unwrap_or_default();
        tracing::warn!(provider, meter = %lane.meter, outcome, why, "a total could not be read");
        let passed = self.pass_over(lane, outlook, now).await?;
        let others = answer.outcome.concerns_one_question();
        Ok(if others { passed } else { Done::Unanswered })
    }

    /// Judges each part that holds something unproven and in which nothing moves.
    async fn judge(
        &self,
        lane: &UnprovenLane,
        totals: &Totals,
        grouping: Grouping,
        outlook: &Outlook<'_>,
    ) -> Result<Vec<Judged>, LedgerError> {
        let (Some(first), Some(last)) = (totals.parts.first(), totals.parts.last()) else {
            return Ok(Vec::new());
        };
        let span = Window { start: first.span.start, end: last.span.end };
        let events = self.ledger.lane_events(lane.lane, span, u32::MAX).await?;
        let untold = self.ledger.untold(lane.lane, span).await?;
        let mut rest: &[LaneEvent] = &events;
        let mut judged = Vec::new();
        for part in &totals.parts {
            let until = rest.partition_point(|event| event.occurred_at < part.span.end);
            let (within, behind) = rest.split_at(until);
            rest = behind;
            let unproven = within.iter().any(|event| share(event) == Share::Open);
            if !unproven || within.iter().any(|event| outlook.blocks(event)) {
                continue;
            }
            let reaches = |each: &&Untold| {
                each.window.start < part.span.end && part.span.start < each.window.end
            };
            let untold: Vec<Untold> = untold.iter().filter(reaches).cloned().collect();
            let reading = Reading {
                span: part.span,
                total: &part.quantity,
                events: within,
                untold: &untold,
                read_at: outlook.provider_now,
                grouping,
            };
            let found = judge(&reading, outlook.promise);
            let found = if found.fates.is_empty() || self.seen_twice(lane, &found, outlook).await? {
                found
            } else {
                first_seen(found)
            };
            judged.push(found);
        }
        Ok(judged)
    }

    async fn seen_twice(
        &self,
        lane: &UnprovenLane,
        found: &Judged,
        outlook: &Outlook<'_>,
    ) -> Result<bool, LedgerError> {
        let since =
            self.ledger.seen_since(lane.lane, found.span, found.fingerprint, &found.total).await?;
        let apart = |since| outlook.provider_now.micros_since(since) >= LOOKS_APART_MICROS;
        Ok(since.is_some_and(apart))
    }

    /// Counts a finding, and says those aloud of which a person should know.
    fn tell(&self, lane: &UnprovenLane, part: &Judged) {
        (self.observer)(part.finding);
        let provider = self.settings.provider.as_str();
        let (meter, account) = (lane.meter.as_str(), lane.account.as_str());
        let (span, detail) = (part.span.to_string(), part.detail.as_str());
        match part.finding {
            FindingKind::Unexplained => tracing::error!(
                provider,
                meter,
                account,
                span,
                detail,
                "a provider's total has no explanation"
            ),
            FindingKind::Ambiguous => tracing::warn!(
                provider,
                meter,
                account,
                span,
                detail,
                "a provider's total has several explanations"
            ),
            FindingKind::Settled
            | FindingKind::FirstSeen
            | FindingKind::Early
            | FindingKind::Incomparable => {
                tracing::debug!(provider, meter, account, span, detail, "a total was read");
            }
        }
    }

    /// Compares what is due at `now`.
    async fn look(&self, now: Timestamp) -> Result<Step, LedgerError> {
        let mut step = Step { wake_at: Some(now.plus_micros(LOOK_MICROS)), ..Step::default() };
        // Its totals are another program's work: they prove nothing of what waits here.
        if self.telling.mode == Mode::Shadow {
            return Ok(step);
        }
        let facts = self.ledger.provider_facts(&self.settings.provider).await?;
        let Some(clock) = facts.clock.filter(|_| facts.pause.is_none()) else { return Ok(step) };
        let provider_now = clock.estimate(now);
        let meters: Vec<ProviderMeter> = facts.meters.iter().map(|pin| pin.meter.clone()).collect();
        let readable = self.readable(&meters);
        if readable.is_empty() {
            return Ok(step);
        }
        let mut budget = self.budget(now).await?;
        if budget.waiting == 0 {
            return Ok(step);
        }
        let ripe = |(meter, promise): &(ProviderMeter, ReadBack)| {
            (meter.clone(), provider_now.plus_micros(-promise.lag_micros))
        };
        let question = LaneQuestion {
            meters: readable.iter().map(ripe).collect(),
            recheck_before: now.plus_micros(-RECHECK_MICROS),
            look_again_before: now.plus_micros(-LOOKS_APART_MICROS),
            limit: LANES_PER_STEP,
        };
        let lanes = self.ledger.unproven_lanes(&self.settings.provider, &question).await?;
        let caught_up = self.ledger.caught_up().await?;
        let (mut compared, mut moved) = (0, 0);
        for lane in &lanes {
            let Some((_, promise)) = readable.iter().find(|(meter, _)| *meter == lane.meter) else {
                continue;
            };
            let outlook = Outlook { promise, provider_now, caught_up };
            match self.compare(lane, &outlook, &mut budget, now).await? {
                Done::Concluded(concluded) => {
                    compared += 1;
                    moved += concluded.moved;
                }
                Done::TooDear => {}
                Done::Unanswered => break,
            }
        }
        step.counts = vec![("compared", compared), ("moved", moved)];
        step.more = compared == u64::from(LANES_PER_STEP);
        Ok(step)
    }
}

#[async_trait]
impl Service for Settler {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
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
