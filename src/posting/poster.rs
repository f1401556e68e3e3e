//! The step of posting. Here: reading balances that are due, planning, encoding, storing. Never
//! here: the plan itself; sending. Read next: [`super::plan`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::plan::{Means, Plan, Rules, Tell, cancel_deadline, deadline, plan};
use crate::domain::balance::BalanceKey;
use crate::domain::cutover::{Mode, Side, Telling, side};
use crate::domain::entries;
use crate::domain::event::{EventIntent, Identifier, Says};
use crate::domain::fold::Fold;
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::period::CLOSING_MARGIN_MICROS;
use crate::domain::policies::Policies;
use crate::domain::state::HoldReason;
use crate::domain::time::{MICROS_PER_MINUTE, MICROS_PER_SECOND, Timestamp};
use crate::ledger::LedgerError;
use crate::ledger::delivery::DeliveryLedger;
use crate::ledger::posting::{
    DueBalance, EncodedEvent, Needed, Posting, PostingLedger, Restored, Spanning,
};
use crate::provider::{CannotTell, Capabilities, Provider, ToldAs};
use crate::schedule::Schedule;
use crate::service::{Service, Step, StepError};

/// Balances in one step.
pub const BATCH_BALANCES: u32 = 1_000;
/// How long a balance waits, in microseconds, whose meter cannot be told now: the meter may be
/// learned, declared or reactivated meanwhile.
const METER_WAIT_MICROS: i64 = MICROS_PER_MINUTE;

/// How far ahead of its clock a provider takes the time of a gauge's reading at most, in
/// microseconds: five minutes, as Stripe does.
const GAUGE_AHEAD_MICROS_MAX: i64 = 5 * MICROS_PER_MINUTE;
/// How long posting waits, in microseconds, for a new reading of the provider's clock.
const CLOCK_WAIT_MICROS: i64 = MICROS_PER_SECOND;

/// What posting needs to read and write.
pub trait PosterLedger: PostingLedger + DeliveryLedger {}
impl<T: PostingLedger + DeliveryLedger> PosterLedger for T {}

/// The service that posts the balances of one provider instance.
pub struct Poster {
    name: String,
    provider_name: ProviderName,
    ledger: Arc<dyn PosterLedger>,
    provider: Arc<dyn Provider>,
    policies: HashMap<ProviderMeter, Policies>,
    telling: Telling,
    /// Whether what is held was looked at by the policies that are followed now.
    has_rung: AtomicBool,
    flush: Option<Schedule>,
}

impl Poster {
    /// The poster of `provider`.
    #[must_use]
    pub fn new(
        provider_name: ProviderName,
        ledger: Arc<dyn PosterLedger>,
        provider: Arc<dyn Provider>,
    ) -> Self {
        Self {
            name: format!("posting to {provider_name}"),
            provider_name,
            ledger,
            provider,
            policies: HashMap::new(),
            telling: Telling::default(),
            has_rung: AtomicBool::new(false),
            flush: None,
        }
    }

    /// The same, following these policies where they are not the default.
    #[must_use]
    pub fn following(self, policies: HashMap<ProviderMeter, Policies>) -> Self {
        Self { policies, ..self }
    }

    /// The same, which never tells usage of before a cutover, and nothing at all in shadow.
    #[must_use]
    pub fn telling(self, telling: Telling) -> Self {
        Self { telling, ..self }
    }

    /// The same, which tells what is due at the times of `flush` only, where there is one.
    #[must_use]
    pub fn flushing(self, flush: Option<Schedule>) -> Self {
        Self { flush, ..self }
    }

    /// Has what is held looked at once: what held it may have been a policy that is followed no
    /// longer.
    async fn ring_once(&self, now: Timestamp) -> Result<(), LedgerError> {
        if !self.has_rung.load(Ordering::Relaxed) {
            self.ledger.ring_held(&self.provider_name, now).await?;
            self.has_rung.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The balances of `due` whose usage belongs to several windows. How those of a meter that
    /// cannot be told are parted is not known: they wait.
    fn spanning(&self, due: &[DueBalance], able: &[Able]) -> Vec<Spanning> {
        let spanning = |(each, able): (&DueBalance, &Able)| {
            let DueBalance { balance, spans_bound, .. } = each;
            let whole = match able.as_ref().ok()?.told_as {
                ToldAs::Total => true,
                // One that was told something was narrowed where it could be.
                ToldAs::Last if !each.is_unsaid() => return None,
                ToldAs::Delta
                | ToldAs::EachRecord
                | ToldAs::Entry
                | ToldAs::Level
                | ToldAs::Last => false,
            };
            let bill_from = self.telling.cutover.of(&balance.key).filter(|_| can_be_parted(each));
            let across = side(balance.key.window, bill_from) == Side::Across;
            let (id, version) = (balance.id, balance.version);
            (*spans_bound || across).then_some(Spanning { balance: id, version, whole, bill_from })
        };
        due.iter().zip(able).filter_map(spanning).collect()
    }

    fn posting(
        &self,
        due: &DueBalance,
        able: Able,
        entries: &mut Entries,
        provider_now: Timestamp,
        now: Timestamp,
    ) -> Posting {
        let meter = &due.balance.key.meter;
        let capabilities = match able {
            Ok(capabilities) => capabilities,
            Err(cannot) => return posting_of(due, cannot_tell(cannot, now), Vec::new()),
        };
        let by_default = Policies::default();
        let Policies { corrections, late, hold_above } =
            self.policies.get(meter).unwrap_or(&by_default);
        let rules = Rules {
            capabilities: &capabilities,
            corrections: *corrections,
            billing: due.billing.standing(due.balance.newest_at, provider_now),
            late: *late,
            next_period: due.billing.next,
            bill_from: self.telling.cutover.of(&due.balance.key),
            hold_above: hold_above.as_ref(),
            entries_left: entries.left(&due.balance.key.account, &capabilities),
            flush_at: self.flush.as_ref().and_then(|flush| flush.next_from(due.due_at)),
            provider_now,
            now,
        };
        let mut plan = plan(due, &rules);
        let tells = std::mem::take(&mut plan.tell);
        let mut events = Vec::with_capacity(tells.len());
        for (tell, ordinal) in tells.into_iter().zip(due.balance.events + 1..) {
            match self.encode(due, tell, ordinal, &capabilities, now) {
                Ok(event) => events.push(event),
                // Nothing of a plan is stored unless all of it can be said.
                Err(cannot) => return posting_of(due, cannot_tell(cannot, now), Vec::new()),
            }
        }
        entries.take(due, &events);
        posting_of(due, plan, events)
    }

    /// How many entries the accounts of these balances were told, where that is limited. Those that
    /// have not many left are named while there is time to have the limit raised.
    async fn entries(&self, due: &[DueBalance], able: &[Able]) -> Result<Entries, LedgerError> {
        let mut most = BTreeMap::new();
        for (DueBalance { balance, .. }, able) in due.iter().zip(able) {
            let limit = able.as_ref().ok().and_then(|capabilities| capabilities.entries_max);
            if let Some(limit) = limit {
                most.insert(balance.key.account.clone(), limit);
            }
        }
        if most.is_empty() {
            return Ok(Entries::default());
        }
        let accounts = most.keys().cloned().collect();
        let told = self.ledger.entries_of(&self.provider_name, &accounts).await?;
        for (account, most) in &most {
            let entries = told.get(account).copied().unwrap_or_default();
            if u32::try_from(entries).is_ok_and(|entries| entries >= entries::few_from(*most)) {
                let provider = &self.provider_name;
                tracing::warn!(%provider, %account, entries, most, "few entries are left");
            }
        }
        Ok(Entries { told, ..Entries::default() })
    }

    fn encode(
        &self,
        due: &DueBalance,
        tell: Tell,
        ordinal: i64,
        capabilities: &Capabilities,
        now: Timestamp,
    ) -> Result<EncodedEvent, CannotTell> {
        let balance = &due.balance;
        let Tell { quantity, occurred_at, by } = tell;
        let taken_at_last = deadline(occurred_at, capabilities);
        let (says, target, total, deadline_at) = match by {
            Means::Add => (Says::Usage, None, None, taken_at_last),
            Means::Total(total) => (Says::Usage, None, Some(total), taken_at_last),
            Means::Cancel(target, name) => {
                let until = due
                    .events
                    .iter()
                    .find(|event| event.id == target)
                    .and_then(|event| cancel_deadline(event, capabilities));
                (Says::Cancel(name), Some(target), None, until.unwrap_or(occurred_at))
            }
        };
        let (is_entry, covers_from) = match capabilities.told_as {
            ToldAs::Entry => (true, None),
            // It says all of its window, also what another one said before.
            ToldAs::Level => (true, target.is_none().then_some(0)),
            ToldAs::Total | ToldAs::Last => (false, Some(0)),
            ToldAs::Delta | ToldAs::EachRecord => (false, None),
        };
        let second = (is_entry && target.is_none()).then(|| occurred_at.seconds());
        let taken_away = due.events.iter().find(|event| is_entry && Some(event.id) == target);
        let uncovers = taken_away.map(|event| event.covers_from);
        let ledger = self.ledger.ledger_id();
        // What its period takes no longer is not sent, however long the meter would take it. What
        // idled is on no bill: nothing that is closed keeps it from being taken away.
        let is_unbilled = target.is_some() && due.billing.idle_since.is_some();
        let closes_at = due.billing.closes_at.filter(|_| !is_unbilled);
        let closing = closes_at.map(|at| at.plus_micros(-CLOSING_MARGIN_MICROS));
        let deadline_at = closing.map_or(deadline_at, |at| at.min(deadline_at));
        let value = total.as_ref().unwrap_or(&quantity);
        let identifier = Identifier::of(ledger, balance, ordinal, &says, value, occurred_at);
        let intent = EventIntent {
            balance: balance.id,
            ordinal,
            identifier,
            says,
            quantity,
            total,
            occurred_at,
        };
        let encoded = self
            .provider
            .encode(&balance.key.meter, &balance.key.account, &intent)
            .map_err(|error| CannotTell { reason: error.reason(), why: error.to_string() })?;
        Ok(EncodedEvent {
            intent,
            target,
            born_held: None,
            body: encoded.body,
            deadline_at,
            not_before: now,
            second,
            covers_from,
            uncovers,
        })
    }
}

/// Whether what another program told can be parted from the rest of a balance's window: a sum can,
/// and a gauge, while nothing of it was told here. Whom it counted of distinct values is not known.
fn can_be_parted(due: &DueBalance) -> bool {
    let balance = &due.balance;
    let (has_parts, says_something) = match balance.fold {
        Fold::Sum => (true, !balance.accrued.is_zero()),
        Fold::Gauge => (true, balance.reads),
        Fold::Last | Fold::Max | Fold::Unique => (false, false),
    };
    has_parts && says_something && balance.key.record.is_none() && due.is_unsaid()
}

/// What a balance's meter can be told, or why it cannot.
type Able = Result<Capabilities, CannotTell>;

/// What is known of entries while more are planned, of several balances at once.
#[derive(Debug, Default)]
struct Entries {
    /// How many accounts were told.
    told: BTreeMap<AccountName, usize>,
    /// The seconds of those that are planned.
    seconds: BTreeMap<(AccountName, ProviderMeter), BTreeSet<i64>>,
}

impl Entries {
    /// How many more `account` takes; nothing where there is no limit.
    fn left(&self, account: &AccountName, capabilities: &Capabilities) -> Option<usize> {
        let most = usize::try_from(capabilities.entries_max?).unwrap_or(usize::MAX);
        Some(most.saturating_sub(self.told.get(account).copied().unwrap_or_default()))
    }

    /// Lets a balance know the seconds that are planned for others of its account and meter.
    fn keep_apart(&self, due: &mut DueBalance) {
        let BalanceKey { account, meter, .. } = &due.balance.key;
        if let Some(planned) = self.seconds.get(&(account.clone(), meter.clone())) {
            due.seconds_taken.extend(planned);
        }
    }

    /// Takes note of events that the account of a balance is to be told.
    fn take(&mut self, due: &DueBalance, events: &[EncodedEvent]) {
        let BalanceKey { account, meter, .. } = &due.balance.key;
        let planned: Vec<i64> = events.iter().filter_map(|event| event.second).collect();
        if let Some(told) = self.told.get_mut(account) {
            *told += planned.len();
        }
        if !planned.is_empty() {
            self.seconds.entry((account.clone(), meter.clone())).or_default().extend(planned);
        }
    }
}

fn posting_of(due: &DueBalance, plan: Plan, events: Vec<EncodedEvent>) -> Posting {
    let Plan { void, supersede, tell: _, carry, drop, finer, hold, wait_until } = plan;
    Posting {
        balance: due.balance.id,
        version: due.balance.version,
        voided: void,
        superseded: supersede,
        events,
        carry,
        write_off: drop,
        finer,
        hold,
        due_at: wait_until,
    }
}

fn cannot_tell(cannot: CannotTell, now: Timestamp) -> Plan {
    Plan {
        hold: Some((cannot.reason, cannot.why)),
        wait_until: Some(now.plus_micros(METER_WAIT_MICROS)),
        ..Plan::default()
    }
}

/// Events of usage that a lost ledger may have told are held from the start: `restored` says until
/// when it had told. A balance's event may say older usage with newer: what counts is where the
/// balance's window begins, not the event's own time, which is that of its newest usage. Such usage
/// is not carried either: in the later window it would be told as if nobody had. A gauge's event
/// says one reading, and what is told of a later time counts instead of whatever was told before.
fn hold_if_told_before(
    due: &[DueBalance],
    mut postings: Vec<Posting>,
    restored: Option<Restored>,
) -> Vec<Posting> {
    let Some(Restored { sent_through_at, .. }) = restored else { return postings };
    for (due, posting) in due.iter().zip(&mut postings) {
        if due.balance.key.window.start > sent_through_at {
            continue;
        }
        // What was lost may have been told for a time that was still ahead.
        let last = sent_through_at.plus_micros(GAUGE_AHEAD_MICROS_MAX);
        let is_after = |event: &EncodedEvent| match due.balance.fold {
            Fold::Gauge => event.intent.occurred_at > last,
            Fold::Sum | Fold::Last | Fold::Max | Fold::Unique => false,
        };
        for event in posting.events.iter_mut().filter(|event| !is_after(event)) {
            let why =
                format!("the ledger was rolled back; usage of until {sent_through_at} was told");
            event.born_held = Some((HoldReason::Restored, why));
        }
        if let Some(carry) = posting.carry.take() {
            let why = format!(
                "{} is outstanding, and its period was closed; it is not carried, as the ledger \
                 was rolled back, and usage of until {sent_through_at} was told",
                carry.amount
            );
            posting.hold = Some((HoldReason::LateForPeriod, why));
        }
    }
    postings
}

#[async_trait]
impl Service for Poster {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        // What is due stays due: no event is made of it that could be sent.
        if self.telling.mode == Mode::Shadow {
            return Ok(Step::default());
        }
        // Before first contact nothing is known of the provider's clock, nor of its meters.
        let Some(clock) = self.ledger.provider_facts(&self.provider_name).await?.clock else {
            return Ok(Step::default());
        };
        // This host's clock may have stepped since: a balance must not be held as too old by it.
        // Delivery reads the provider's clock anew before it sends anything.
        if clock.is_stale(now) {
            return Ok(Step {
                wake_at: Some(now.plus_micros(CLOCK_WAIT_MICROS)),
                ..Step::default()
            });
        }
        self.ring_once(now).await?;
        let needed = if self.provider.undoes() { Needed::Living } else { Needed::Open };
        let due = self.ledger.due_balances(&self.provider_name, needed, now, BATCH_BALANCES);
        let mut due = due.await?;
        if due.is_empty() {
            let wake_at = self.ledger.next_due_at(&self.provider_name).await?;
            return Ok(Step { wake_at, ..Step::default() });
        }
        let provider_now = clock.estimate(now);
        let able = |each: &DueBalance| self.provider.capabilities(&each.balance.key.meter);
        let able: Vec<Able> = due.iter().map(able).collect();
        let spanning = self.spanning(&due, &able);
        if !spanning.is_empty() {
            let parted = self.ledger.part_at_bounds(&spanning, now).await?;
            if parted > 0 {
                let counts = vec![("parted", parted)];
                return Ok(Step { counts, more: true, ..Step::default() });
            }
        }
        let full = u32::try_from(due.len()).is_ok_and(|found| found >= BATCH_BALANCES);
        let mut entries = self.entries(&due, &able).await?;
        let mut postings = Vec::with_capacity(due.len());
        for (each, able) in due.iter_mut().zip(able) {
            entries.keep_apart(each);
            postings.push(self.posting(each, able, &mut entries, provider_now, now));
        }
        let postings = hold_if_told_before(&due, postings, self.ledger.restored().await?);
        let posted = self.ledger.post(postings, now).await?;
        Ok(Step {
            counts: vec![
                ("posted", posted.events),
                ("voided", posted.voided),
                ("held", posted.held),
            ],
            more: full || posted.skipped > 0,
            wake_at: self.ledger.next_due_at(&self.provider_name).await?,
        })
    }
}
