//! The courier of one provider instance. Here: leasing, sending, recording, and one bounded step of
//! all three. Never here: what an answer leads to ([`super::settle`]), a provider's wire. Read
//! next: [`super::lease`], [`super::contact`], then [`super::pipeline`], the loop that overlaps the
//! three.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::Settings;
use super::breaker::{Admittance, Breaker};
use super::budget::Budget;
use super::contact::{Contacting, Readiness};
use super::lease::{Lease, Within, batches};
use super::settle::{give_back, settle};
use crate::clock::Clock;
use crate::domain::answer::{Answer, Outcome, OutcomeKind};
use crate::domain::cutover::Mode;
use crate::domain::provider_facts::ClockReading;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::delivery::{DeliveryLedger, LeaseTerms, Leased, Settlement};
use crate::provider::{Provider, Request};
use crate::service::{Bell, Service, Step, StepError};

/// Longest time between a lease and its send, in microseconds. It bounds how late a request may
/// land, and how many events a crash leaves unknown; a lease that waited longer is given back
/// unsent.
pub const LEASE_WAIT_MICROS_MAX: i64 = 5_000_000;

/// How far this host's clock may step back, in microseconds, without being taken for set back: a
/// clock that is kept in step is moved by less.
const CLOCK_BACK_MICROS_MAX: i64 = 2_000_000;

/// Told of every outcome; for the metrics.
pub type Observer = Arc<dyn Fn(OutcomeKind) + Send + Sync>;

/// What a courier works with.
pub struct Courier {
    name: String,
    pub(super) settings: Settings,
    pub(super) ledger: Arc<dyn DeliveryLedger>,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) clock: Arc<dyn Clock>,
    observer: Observer,
    pub(super) contacted: Option<Bell>,
    /// Whether it only makes contact, and sends nothing.
    in_shadow: bool,
    state: Mutex<State>,
}

/// What a courier remembers between steps. None of it is needed for correctness: a new process
/// starts with the full budget, a closed breaker and a new contact.
pub(super) struct State {
    /// The budget of everything, but for what the next one is of.
    budget: Budget,
    /// The budget of what goes with others by one request, where that has a limit of its own.
    batched_budget: Option<Budget>,
    pub(super) breaker: Breaker,
    pub(super) contacting: Contacting,
    pub(super) clock: Option<ClockReading>,
    /// The newest time of this host that a step was made at.
    newest_now: Option<Timestamp>,
}

impl State {
    pub(super) const fn budget_of(&mut self, within: Within) -> &mut Budget {
        match (within, &mut self.batched_budget) {
            (Within::Batches, Some(budget)) => budget,
            (Within::Batches, None) | (Within::Common, _) => &mut self.budget,
        }
    }
}

/// Attempts that came to their end together: those that one request made.
pub(super) struct Ended {
    /// The limit that the request counted in.
    within: Within,
    pub(super) answered: Vec<(Leased, Answer)>,
    pub(super) at: Timestamp,
}

impl Courier {
    /// The courier for `provider`.
    #[must_use]
    pub fn new(
        settings: Settings,
        ledger: Arc<dyn DeliveryLedger>,
        provider: Arc<dyn Provider>,
        clock: Arc<dyn Clock>,
        observer: Observer,
    ) -> Self {
        let state = State {
            budget: Budget::new(settings.rate, settings.limited_pause_seconds),
            batched_budget: settings
                .batched_rate
                .map(|rate| Budget::new(rate, settings.limited_pause_seconds)),
            breaker: Breaker::default(),
            contacting: Contacting::default(),
            clock: None,
            newest_now: None,
        };
        let name = format!("delivery to {}", settings.provider);
        Self {
            name,
            settings,
            ledger,
            provider,
            clock,
            observer,
            contacted: None,
            in_shadow: false,
            state: Mutex::new(state),
        }
    }

    /// The same courier, which rings `bell` when it made contact: what had to wait for the
    /// provider's clock or meters may go on.
    #[must_use]
    pub fn ringing(self, bell: Bell) -> Self {
        Self { contacted: Some(bell), ..self }
    }

    /// The same courier, which in shadow makes contact and sends nothing: what waits to be sent
    /// waits on.
    #[must_use]
    pub fn in_mode(self, mode: Mode) -> Self {
        Self { in_shadow: mode == Mode::Shadow, ..self }
    }

    /// The requests a second that the provider is sent at present; or events, where those that go
    /// with others have a limit of their own.
    #[must_use]
    pub fn current_rate(&self) -> u32 {
        self.state().budget_of(Within::Batches).current_rate()
    }

    /// What is remembered. A panic elsewhere ends the process, so a poisoned lock is read all the
    /// same.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was measured by this host's clock when that was set back since the last step: a
    /// reading of hours ago would look fresh again, and the provider's windows would be judged by a
    /// time that is long past. Another contact reads the provider's clock anew.
    fn notice_a_clock_set_back(&self, now: Timestamp) {
        let mut state = self.state();
        let newest = state.newest_now.unwrap_or(now);
        if newest.micros_since(now) > CLOCK_BACK_MICROS_MAX {
            tracing::warn!(provider = %self.settings.provider, "this host's clock was set back");
            state.clock = None;
            state.contacting.forget_times();
            state.newest_now = Some(now);
        } else {
            state.newest_now = Some(newest.max(now));
        }
    }

    /// How many attempts may begin at `now`, and when to ask again if none may.
    pub(super) async fn readiness(&self, now: Timestamp) -> Result<Readiness, LedgerError> {
        self.notice_a_clock_set_back(now);
        if self.ledger.free_bytes()? < self.settings.free_bytes_min {
            // An answer that cannot be recorded leaves an unknown behind: rather nothing is sent.
            tracing::warn!(provider = %self.settings.provider, "disk is low; nothing is sent");
            return Ok(Readiness::Wait(now.plus_seconds(crate::service::IDLE_SECONDS_MAX)));
        }
        match self.contact_readiness(now).await? {
            Readiness::Open(_) => {}
            wait @ Readiness::Wait(_) => return Ok(wait),
        }
        if self.in_shadow {
            return Ok(Readiness::Wait(now.plus_seconds(crate::service::IDLE_SECONDS_MAX)));
        }
        Ok(match self.state().breaker.admittance(now) {
            Admittance::Open => Readiness::Open(self.settings.concurrency),
            Admittance::Trial => Readiness::Open(1),
            Admittance::Until(at) => Readiness::Wait(at),
        })
    }

    /// Whether what is leased may still be sent, beside `in_flight` others: neither is the provider
    /// paused, nor away.
    pub(super) fn may_send(&self, in_flight: usize, now: Timestamp) -> bool {
        let state = self.state();
        !state.contacting.is_paused()
            && match state.breaker.admittance(now) {
                Admittance::Open => true,
                Admittance::Trial => in_flight == 0,
                Admittance::Until(_) => false,
            }
    }

    /// Whether the provider was away and is to be tried with one event.
    pub(super) fn is_on_trial(&self, now: Timestamp) -> bool {
        self.state().breaker.admittance(now) == Admittance::Trial
    }

    /// Leases at most `limit` events.
    pub(super) async fn lease(
        &self,
        limit: u32,
        now: Timestamp,
    ) -> Result<(Vec<Lease>, u64), LedgerError> {
        let Some(provider_clock) = self.state().clock else { return Ok((Vec::new(), 0)) };
        let provider_now = provider_clock.estimate(now);
        let timeout = i64::from(self.settings.attempt_timeout_millis) * 1_000;
        let terms = LeaseTerms {
            now,
            provider_clock,
            dedupe_floor: self
                .provider
                .recognises_for_micros()
                .map(|micros| provider_now.plus_micros(-micros)),
            attempt_span_micros: LEASE_WAIT_MICROS_MAX + timeout,
            limit,
            lanes: self.provider.lanes(),
        };
        let leases = self.ledger.lease(&self.settings.provider, terms).await?;
        if leases.expired > 0 {
            let provider = &self.settings.provider;
            let count = leases.expired;
            tracing::warn!(%provider, count, "held, as they may not be sent any more");
        }
        let lease = |leased: Leased| {
            let is_batched = self.provider.is_batched(&leased.says, &leased.body);
            Lease { leased, leased_at: now, is_batched }
        };
        Ok((leases.leased.into_iter().map(lease).collect(), leases.expired))
    }

    /// Of what was leased, what its own budget lets go too, where the permits were those of another
    /// one; the rest goes back.
    fn within_budget(
        &self,
        leases: Vec<Lease>,
        now: Timestamp,
        now_nanos: u64,
    ) -> (Vec<Lease>, Judged) {
        let (mut sent, mut unsent) = (Vec::new(), Judged::default());
        for lease in leases {
            let wait = match (lease.within(), self.settings.batched_rate) {
                (Within::Common, Some(_)) => self.state().budget.try_take(now_nanos).err(),
                (Within::Common, None) | (Within::Batches, _) => None,
            };
            let Some(nanos) = wait else {
                sent.push(lease);
                continue;
            };
            let not_before = now.plus_micros(micros_up(nanos));
            unsent.settlements.push(give_back(&lease.leased, "over the limit", now, not_before));
        }
        (sent, unsent)
    }

    /// How many events one request may tell.
    pub(super) fn batch_max(&self) -> usize {
        usize::try_from(self.provider.batch_max()).unwrap_or(usize::MAX).max(1)
    }

    /// One attempt of each of a batch, by one request: the stored bytes, once.
    pub(super) async fn attempt(&self, batch: Vec<Lease>) -> Ended {
        // The process may have been stopped since the lease: then the request would land later than
        // the ledger allows for.
        let now = self.clock.now();
        let within = batch.first().map_or(Within::Common, Lease::within);
        let fresh = |lease: &Lease| {
            (0..=LEASE_WAIT_MICROS_MAX).contains(&now.micros_since(lease.leased_at))
        };
        let (fresh, old): (Vec<Lease>, Vec<Lease>) = batch.into_iter().partition(fresh);
        let answers = self.send(&fresh).await;
        let late = || Answer::bare(Outcome::NotSent, "leased too long ago to be sent");
        let sent = fresh.into_iter().map(|lease| lease.leased).zip(answers);
        let unsent = old.into_iter().map(|lease| (lease.leased, late()));
        Ended { within, answered: sent.chain(unsent).collect(), at: self.clock.now() }
    }

    /// Sends what is leased, by one request; an answer for each.
    async fn send(&self, leases: &[Lease]) -> Vec<Answer> {
        match leases {
            [] => Vec::new(),
            [only] => vec![self.provider.send(only.request()).await],
            several => {
                let requests: Vec<Request<'_>> = several.iter().map(Lease::request).collect();
                let mut answers = self.provider.send_batch(&requests).await;
                // What was sent and is not spoken of may be there.
                let unsaid = || Answer::bare(Outcome::Unknown, "no answer was told for it");
                answers.resize_with(requests.len(), unsaid);
                answers
            }
        }
    }

    /// Takes note of answers for what is common to all events; answers why the provider must be
    /// paused, if so.
    fn note(&self, ended: &Ended, now_nanos: u64) -> Option<String> {
        let mut state = self.state();
        let outcomes: Vec<Outcome> =
            ended.answered.iter().map(|(_, answer)| answer.outcome).collect();
        state.breaker.note_all(&outcomes, ended.at);
        let mut pause = None;
        for (_, answer) in &ended.answered {
            (self.observer)(answer.outcome.kind());
            if let Some(provider_at) = answer.provider_at
                && state.clock.is_none_or(|reading| reading.provider_at <= provider_at)
            {
                state.clock = Some(ClockReading { provider_at, local_at: ended.at });
            }
            let said = answer.message.as_deref().unwrap_or_default();
            match answer.outcome {
                Outcome::RateLimited => {
                    let budget = state.budget_of(ended.within);
                    budget.rate_limited(now_nanos, answer.retry_after_seconds);
                }
                Outcome::Unauthorized => pause = Some(format!("the key is not accepted: {said}")),
                Outcome::WrongAccount => pause = Some(format!("another account answered: {said}")),
                Outcome::Accepted
                | Outcome::Duplicate
                | Outcome::Refused(_)
                | Outcome::Busy
                | Outcome::NotSent
                | Outcome::Failed
                | Outcome::Unknown => {}
            }
        }
        pause
    }

    /// Decides what becomes of ended attempts: to be recorded with [`Self::record`].
    pub(super) fn judge(&self, ended: Vec<Ended>, now_nanos: u64) -> Judged {
        let mut judged = Judged::default();
        for each in ended {
            if let Some(reason) = self.note(&each, now_nanos) {
                judged.pause = Some(reason);
            }
            for (leased, answer) in each.answered {
                let settlement = settle(&leased, answer, &self.settings, each.at);
                if let Some((reason, detail)) = &settlement.hold {
                    let identifier = leased.identifier.as_str();
                    tracing::warn!(identifier, %reason, detail, "held");
                }
                judged.settlements.push(settlement);
            }
        }
        judged
    }

    /// What becomes of leases that are not sent after all.
    pub(super) fn judge_unsent(&self, leases: Vec<Lease>, why: &str, now: Timestamp) -> Judged {
        let settlements =
            leases.into_iter().map(|lease| give_back(&lease.leased, why, now, now)).collect();
        Judged { settlements, pause: None }
    }

    /// Records what was judged, in one transaction. The pause goes before it, for it may be
    /// repeated: a record that failed half way is tried again, and a second receipt would
    /// contradict the first.
    pub(super) async fn record(&self, judged: &Judged, now: Timestamp) -> Result<(), LedgerError> {
        if let Some(reason) = &judged.pause {
            self.pause(reason, now).await?;
        }
        let clock = self.state().clock;
        self.ledger.settle(&self.settings.provider, judged.settlements.clone(), clock, now).await
    }
}

/// Decided, and not recorded yet.
#[derive(Clone, Default)]
pub(super) struct Judged {
    pub(super) settlements: Vec<Settlement>,
    /// Why the provider must be paused, if so.
    pub(super) pause: Option<String>,
}

impl Judged {
    /// Takes in what was judged after it.
    pub(super) fn add(&mut self, later: Self) {
        self.settlements.extend(later.settlements);
        self.pause = later.pause.or(self.pause.take());
    }

    /// Whether the provider must be paused.
    pub(super) const fn pauses(&self) -> bool {
        self.pause.is_some()
    }
}

#[async_trait]
impl Service for Courier {
    fn name(&self) -> &str {
        &self.name
    }

    /// One bounded step: leases what the budget allows, sends it, records every answer. For
    /// stepping by hand, where the caller's `now` is also the budget's clock; the daemon overlaps
    /// the three (see [`super::pipeline`]).
    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        let limit = match self.readiness(now).await? {
            // An absent provider is tried with one event.
            Readiness::Open(_) if self.is_on_trial(now) => 1,
            Readiness::Open(requests) => requests.saturating_mul(self.provider.batch_max().max(1)),
            Readiness::Wait(at) => return Ok(Step { wake_at: Some(at), ..Step::default() }),
        };
        let now_nanos = u64::try_from(now.micros()).unwrap_or_default().saturating_mul(1_000);
        let (mut permits, mut wait) = (0, None);
        while permits < limit && wait.is_none() {
            match self.state().budget_of(Within::Batches).try_take(now_nanos) {
                Ok(()) => permits += 1,
                Err(nanos) => wait = Some(now.plus_micros(micros_up(nanos))),
            }
        }
        if permits == 0 {
            return Ok(Step { wake_at: wait, ..Step::default() });
        }
        let (leases, expired) = self.lease(permits, now).await?;
        if leases.is_empty() {
            let wake_at = self.ledger.next_attempt_at(&self.settings.provider).await?;
            return Ok(Step { counts: vec![("expired", expired)], more: expired > 0, wake_at });
        }
        let full = leases.len() >= usize::try_from(permits).unwrap_or(usize::MAX);
        let (leases, unsent) = self.within_budget(leases, now, now_nanos);
        let sent = u64::try_from(leases.len()).unwrap_or(u64::MAX);
        let sending: FuturesUnordered<_> = batches(leases, self.batch_max())
            .into_iter()
            .map(|batch| self.attempt(batch))
            .collect();
        let ended: Vec<Ended> = sending.collect().await;
        let mut judged = self.judge(ended, now_nanos);
        judged.add(unsent);
        self.record(&judged, self.clock.now()).await?;
        let next = self.ledger.next_attempt_at(&self.settings.provider).await?;
        let wake_at = match (wait, next) {
            (Some(wait), Some(next)) => Some(wait.max(next)),
            (None, next) => next,
            (Some(_), None) => None,
        };
        Ok(Step {
            counts: vec![("sent", sent), ("expired", expired)],
            more: full && wait.is_none(),
            wake_at,
        })
    }
}

/// Whole microseconds that cover `nanos`.
fn micros_up(nanos: u64) -> i64 {
    i64::try_from(nanos.div_ceil(1_000)).unwrap_or(i64::MAX)
}
