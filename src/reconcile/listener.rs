//! The step that keeps up with what a provider bills. Here: asking again for what was announced,
//! for what fell due, and for what no webhook brought, within the budget of reads. Never here: what
//! an answer makes of what is known (`domain::period`), a notice's wire. Read next:
//! [`super::asking`].
//!
//! A notice is a hint: the object it names is read again, and only what is read counts. So late,
//! repeated and disordered notices do no harm; and one that never comes is made up for by the lists
//! that are polled, by what falls due by itself, and by a sweep over all subscriptions once a day.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::Settings;
use super::asking::{Wanted, latest_of};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::names::FeedName;
use crate::domain::notice::CameBy;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::billing::{BillingLedger, Cursor, Learned, Learnt};
use crate::ledger::delivery::DeliveryLedger;
use crate::ledger::notices::{Arrival, NoticesLedger};
use crate::ledger::reconcile::ReconcileLedger;
use crate::provider::Provider;
use crate::provider::billing::{Answered, BillingReader};
use crate::service::{Service, Step, StepError};

/// How often there is a look at what waits or fell due, in microseconds: a minute.
const LOOK_MICROS: i64 = MICROS_PER_MINUTE;
/// Notices in one step: they hold a quarter of a mebibyte each at the most.
const NOTICES_PER_STEP: u32 = 100;
/// Objects of each kind that fell due and are asked for in one step.
const OVERDUE_PER_STEP: u32 = 20;
/// How long something that fell due is left alone after it was asked for, in microseconds: ten
/// minutes, of an hour's grace.
const ASK_AGAIN_MICROS: i64 = 10 * MICROS_PER_MINUTE;
/// How often the lists of announcements are read, in microseconds, while no webhook comes: half an
/// hour. Two lists take 2,900 reads a month.
const POLL_MICROS: i64 = 30 * MICROS_PER_MINUTE;
/// The same while webhooks come, in microseconds: then a poll only finds what was lost.
const POLL_BESIDE_WEBHOOKS_MICROS: i64 = 6 * MICROS_PER_HOUR;
/// Webhooks come for as long after the last one, in microseconds.
const WEBHOOKS_COME_MICROS: i64 = 2 * MICROS_PER_HOUR;
/// How far back a list is read when it is read first, in microseconds: three days. What is older is
/// learned from the objects themselves.
const FIRST_POLL_MICROS: i64 = 3 * MICROS_PER_DAY;
/// How much of a list is read twice, in microseconds: ten minutes. Stripe's lists lag behind what
/// they announce; one connector never reads closer than a minute to now.
/// <https://github.com/estuary/connectors/pull/2731>
const OVERLAP_MICROS: i64 = 10 * MICROS_PER_MINUTE;
/// How often all subscriptions, and the newer invoices, are read, in microseconds: once a day.
const SWEEP_MICROS: i64 = MICROS_PER_DAY;
/// Under which name it is kept when all subscriptions were read.
const SUBSCRIPTIONS_SWEEP: &str = "sweep of subscriptions";
/// Under which name it is kept when the newer invoices were read.
const INVOICES_SWEEP: &str = "sweep of invoices";
/// How old invoices may be that a sweep reads, in microseconds: a month and the longest grace, so
/// that each is read once more after it became final.
const SWEPT_INVOICES_MICROS: i64 = 35 * MICROS_PER_DAY;
/// Most pages of one list that are read in a row: 20,000 subscriptions. A list without an end is a
/// fault.
const PAGES_MAX: u32 = 200;
/// After a question without an answer nothing is asked for this long, in microseconds: a minute,
/// and twice as long each time.
const UNANSWERED_MICROS: i64 = MICROS_PER_MINUTE;
/// The longest such wait, in microseconds: an hour. A day without answers then takes thirty reads.
const UNANSWERED_MICROS_MAX: i64 = MICROS_PER_HOUR;
/// After an object that the key may not read, and when the month's reads are used up, nothing is
/// asked for this long, in microseconds: six hours. A person has to do something first.
const FORBIDDEN_MICROS: i64 = 6 * MICROS_PER_HOUR;

/// What the listener needs to read and write.
pub trait ListenerLedger: BillingLedger + NoticesLedger + ReconcileLedger + DeliveryLedger {}
impl<T: BillingLedger + NoticesLedger + ReconcileLedger + DeliveryLedger> ListenerLedger for T {}

/// The service that keeps up with what one provider instance bills.
pub struct Listener {
    name: String,
    settings: Settings,
    ledger: Arc<dyn ListenerLedger>,
    provider: Arc<dyn Provider>,
    reader: Arc<dyn BillingReader>,
    waiting: Mutex<Waiting>,
}

/// How long nothing is asked.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    /// From when, until when.
    span: Option<Window>,
    /// The last wait after a question without an answer.
    last_micros: i64,
}

/// Why a step ends early.
enum Stopped {
    /// The provider gave no answer.
    Unanswered(Answer),
    /// The provider will not tell this, however often it is asked.
    Forbidden(Answer),
    /// The budget of reads is used up.
    Spent,
    /// The ledger failed.
    Failed(LedgerError),
}

impl From<LedgerError> for Stopped {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error)
    }
}

/// One step of the listener.
struct Round<'a> {
    listener: &'a Listener,
    now: Timestamp,
    provider_now: Timestamp,
    /// Requests that may still be made.
    left: u32,
    learnt: Learnt,
    asked: u64,
}

impl Listener {
    /// The listener of the provider that `settings` names.
    #[must_use]
    pub fn new(
        settings: Settings,
        ledger: Arc<dyn ListenerLedger>,
        provider: Arc<dyn Provider>,
        reader: Arc<dyn BillingReader>,
    ) -> Self {
        let name = format!("listening to {}", settings.provider);
        Self { name, settings, ledger, provider, reader, waiting: Mutex::default() }
    }

    async fn look(&self, now: Timestamp) -> Result<Step, LedgerError> {
        let mut step = Step { wake_at: Some(now.plus_micros(LOOK_MICROS)), ..Step::default() };
        let facts = self.ledger.provider_facts(&self.settings.provider).await?;
        let Some(clock) = facts.clock.filter(|_| facts.pause.is_none()) else { return Ok(step) };
        let used = self.ledger.read_calls(&self.settings.provider, now).await?;
        let left = self.settings.reads_per_month.saturating_sub(used.month);
        let mut round = Round {
            listener: self,
            now,
            provider_now: clock.estimate(now),
            left,
            learnt: Learnt::default(),
            asked: 0,
        };
        let more = match round.run().await {
            Ok(more) => {
                self.waiting().last_micros = 0;
                more
            }
            Err(Stopped::Failed(error)) => return Err(error),
            Err(Stopped::Spent) => {
                tracing::warn!(provider = %self.settings.provider, "the month's reads are used up");
                self.wait(now, FORBIDDEN_MICROS);
                false
            }
            Err(Stopped::Forbidden(answer)) => {
                self.tell(&answer, "the key may not read what was announced");
                self.wait(now, FORBIDDEN_MICROS);
                false
            }
            Err(Stopped::Unanswered(answer)) => {
                self.tell(&answer, "what is billed could not be read");
                let last = self.waiting().last_micros;
                self.wait(now, (2 * last).clamp(UNANSWERED_MICROS, UNANSWERED_MICROS_MAX));
                false
            }
        };
        step.counts = vec![
            ("asked", round.asked),
            ("periods", round.learnt.periods),
            ("rejected", round.learnt.rejected),
            ("concluded", round.learnt.concluded),
        ];
        step.more = more;
        Ok(step)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, now: Timestamp, micros: i64) {
        let span = Some(Window { start: now, end: now.plus_micros(micros) });
        *self.waiting() = Waiting { span, last_micros: micros };
    }

    fn tell(&self, answer: &Answer, what: &str) {
        let (provider, outcome) = (&self.settings.provider, answer.outcome.kind());
        let why = answer.message.as_deref().unwrap_or_default();
        tracing::warn!(%provider, %outcome, why, "{what}");
    }
}

impl Round<'_> {
    /// Asks for what is to be asked for; whether there is more of the same.
    async fn run(&mut self) -> Result<bool, Stopped> {
        let listener = self.listener;
        let provider = &listener.settings.provider;
        let swept = self.sweep_subscriptions().await;
        self.passed_over(SUBSCRIPTIONS_SWEEP, swept).await?;
        let swept = self.sweep_invoices().await;
        self.passed_over(INVOICES_SWEEP, swept).await?;
        let notices = listener.ledger.waiting_notices(provider, NOTICES_PER_STEP).await?;
        let full = u32::try_from(notices.len()).is_ok_and(|found| found >= NOTICES_PER_STEP);
        let asked_before = self.now.plus_micros(-ASK_AGAIN_MICROS);
        let overdue = listener
            .ledger
            .overdue(provider, self.provider_now, asked_before, OVERDUE_PER_STEP, self.now)
            .await?;
        let known_to = self.swept_to().await?;
        let wanted = Wanted::of(&notices, overdue, known_to, listener.reader.as_ref());
        if !wanted.is_empty() {
            self.ask(wanted).await?;
        }
        if full {
            return Ok(true);
        }
        let mut polled = 0;
        for feed in listener.reader.feeds() {
            let kept = self.poll(&feed).await;
            polled += self.passed_over(feed.as_str(), kept).await?.unwrap_or_default();
        }
        Ok(polled > 0)
    }

    /// What happened before this was read with everything else, less how far lists lag behind.
    async fn swept_to(&self) -> Result<Option<Timestamp>, LedgerError> {
        let (ledger, provider) = (&self.listener.ledger, &self.listener.settings.provider);
        let subscriptions = ledger.cursor(provider, SUBSCRIPTIONS_SWEEP).await?;
        let invoices = ledger.cursor(provider, INVOICES_SWEEP).await?;
        let both = subscriptions.zip(invoices).map(|(a, b)| a.read_to.min(b.read_to));
        Ok(both.map(|read_to| read_to.plus_micros(-OVERLAP_MICROS)))
    }

    /// A list that the key may not read has its turn again when it would have had it anyway; the
    /// others go on.
    async fn passed_over<T>(
        &mut self,
        feed: &str,
        read: Result<T, Stopped>,
    ) -> Result<Option<T>, Stopped> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(Stopped::Forbidden(answer)) => {
                let listener = self.listener;
                listener.tell(&answer, &format!("the list \"{feed}\" cannot be read"));
                let cursor = listener.ledger.cursor(&listener.settings.provider, feed).await?;
                let never = self.provider_now.plus_micros(-FIRST_POLL_MICROS);
                let read_to = cursor.map_or(never, |cursor| cursor.read_to);
                self.done(feed, read_to).await?;
                Ok(None)
            }
            Err(stopped) => Err(stopped),
        }
    }

    /// Reads what is wanted again, and keeps what is found.
    async fn ask(&mut self, wanted: Wanted) -> Result<(), Stopped> {
        let reader = Arc::clone(&self.listener.reader);
        let mut learned = Learned::nothing(self.provider_now);
        if wanted.meters {
            self.read_meters().await?;
        }
        for account in &wanted.accounts {
            let mut page = None;
            for _ in 0..PAGES_MAX {
                let answer = reader.subscriptions(Some(account), page.as_deref()).await;
                let found = self.answered(answer).await?;
                learned.subscriptions.extend(found.items);
                page = found.next;
                if page.is_none() {
                    break;
                }
            }
        }
        for id in &wanted.subscriptions {
            let found = self.answered(reader.subscription(id).await).await?;
            learned.subscriptions.extend(found);
        }
        let overdue = latest_of(&learned.subscriptions, &wanted.overdue);
        for id in wanted.invoices.union(&overdue) {
            let found = self.answered(reader.invoice(id).await).await?;
            learned.invoices.extend(found);
        }
        for notice in &wanted.reports {
            let found = self.answered(reader.rejections(notice).await).await?;
            learned.rejections.extend(found);
        }
        learned.concluded = wanted.conclusions(&learned.subscriptions, &learned.invoices);
        learned.seen_at = self.provider_now;
        self.learn(learned).await
    }

    async fn learn(&mut self, learned: Learned) -> Result<(), Stopped> {
        let listener = self.listener;
        let provider = &listener.settings.provider;
        for report in &learned.rejections {
            let meter = report.meter.as_ref().map(ToString::to_string).unwrap_or_default();
            let (count, named) = (report.count, report.samples.len());
            tracing::error!(%provider, meter, count, named, "usage was rejected after a yes");
        }
        let learnt = listener.ledger.learn(provider, &learned, self.now).await?;
        self.learnt.periods += learnt.periods;
        self.learnt.rejected += learnt.rejected;
        self.learnt.concluded += learnt.concluded;
        Ok(())
    }

    /// Counts what a question took, and takes note of the provider's clock.
    async fn answered<T>(&mut self, answer: Result<Answered<T>, Answer>) -> Result<T, Stopped> {
        let listener = self.listener;
        let provider = &listener.settings.provider;
        let calls = answer.as_ref().map_or(1, |answered| answered.calls);
        self.asked += u64::from(calls);
        listener.ledger.count_reads(provider, calls, self.now).await?;
        self.left = self.left.checked_sub(calls).ok_or(Stopped::Spent)?;
        let answered = answer.map_err(stopped)?;
        self.provider_now = answered.provider_at.unwrap_or(self.provider_now);
        Ok(answered.value)
    }

    /// Learns anew which meters take events.
    async fn read_meters(&mut self) -> Result<(), Stopped> {
        let listener = self.listener;
        let (ledger, provider) = (&listener.ledger, &listener.settings.provider);
        let contact = listener.provider.contact().await.map_err(Stopped::Unanswered)?;
        ledger.pin_meters(provider, &contact.meters, self.now).await?;
        let facts = ledger.provider_facts(provider).await?;
        listener.provider.adopt_meters(facts.meters);
        Ok(())
    }

    /// Where a list is to be read from, if that is due.
    async fn due(
        &self,
        feed: &str,
        every_micros: i64,
        first_micros: i64,
    ) -> Result<Option<Timestamp>, LedgerError> {
        let listener = self.listener;
        let cursor = listener.ledger.cursor(&listener.settings.provider, feed).await?;
        Ok(match cursor {
            None => Some(self.provider_now.plus_micros(-first_micros)),
            Some(cursor) if (0..every_micros).contains(&self.now.micros_since(cursor.read_at)) => {
                None
            }
            Some(cursor) => Some(cursor.read_to),
        })
    }

    async fn done(&self, feed: &str, read_to: Timestamp) -> Result<(), LedgerError> {
        let listener = self.listener;
        let cursor = Cursor { read_to, read_at: self.now };
        listener.ledger.move_cursor(&listener.settings.provider, feed, cursor).await
    }

    /// Keeps that a list was read, and says so where it goes on past what is read in a row: it is
    /// not begun again before its time.
    async fn read_to(
        &self,
        feed: &str,
        next: Option<String>,
        read_to: Timestamp,
    ) -> Result<(), Stopped> {
        if next.is_some() {
            let provider = &self.listener.settings.provider;
            tracing::error!(%provider, feed, pages = PAGES_MAX, "a list goes on past what is read");
        }
        Ok(self.done(feed, read_to).await?)
    }

    /// Reads what was announced since the list was read last; how many announcements are new.
    async fn poll(&mut self, feed: &FeedName) -> Result<u64, Stopped> {
        let listener = self.listener;
        let provider = &listener.settings.provider;
        let heard = listener.ledger.heard_at(provider).await?;
        let come = heard.is_some_and(|at| self.now.micros_since(at) < WEBHOOKS_COME_MICROS);
        let every = if come { POLL_BESIDE_WEBHOOKS_MICROS } else { POLL_MICROS };
        let Some(since) = self.due(feed.as_str(), every, FIRST_POLL_MICROS).await? else {
            return Ok(0);
        };
        let began_at = self.provider_now;
        let (mut page, mut kept) = (None, 0);
        for _ in 0..PAGES_MAX {
            let answer = listener.reader.feed_page(feed, since, page.as_deref()).await;
            let found = self.answered(answer).await?;
            let came_by = CameBy::Poll;
            let arrivals: Vec<Arrival> = found
                .items
                .into_iter()
                .map(|notice| Arrival { provider: provider.clone(), notice, came_by })
                .collect();
            for archived in listener.ledger.archive_notices(&arrivals, self.now).await? {
                kept += u64::from(archived.is_new());
            }
            page = found.next;
            if page.is_none() {
                break;
            }
        }
        self.read_to(feed.as_str(), page, began_at.plus_micros(-OVERLAP_MICROS)).await?;
        Ok(kept)
    }

    async fn sweep_subscriptions(&mut self) -> Result<(), Stopped> {
        let listener = self.listener;
        if self.due(SUBSCRIPTIONS_SWEEP, SWEEP_MICROS, 0).await?.is_none() {
            return Ok(());
        }
        let began_at = self.provider_now;
        let mut page = None;
        for _ in 0..PAGES_MAX {
            let answer = listener.reader.subscriptions(None, page.as_deref()).await;
            let found = self.answered(answer).await?;
            let nothing = Learned::nothing(self.provider_now);
            self.learn(Learned { subscriptions: found.items, ..nothing }).await?;
            page = found.next;
            if page.is_none() {
                break;
            }
        }
        self.read_to(SUBSCRIPTIONS_SWEEP, page, began_at).await
    }

    async fn sweep_invoices(&mut self) -> Result<(), Stopped> {
        let listener = self.listener;
        if self.due(INVOICES_SWEEP, SWEEP_MICROS, 0).await?.is_none() {
            return Ok(());
        }
        let began_at = self.provider_now;
        let since = began_at.plus_micros(-SWEPT_INVOICES_MICROS);
        let mut page = None;
        for _ in 0..PAGES_MAX {
            let found =
                self.answered(listener.reader.invoices(since, page.as_deref()).await).await?;
            let nothing = Learned::nothing(self.provider_now);
            self.learn(Learned { invoices: found.items, ..nothing }).await?;
            page = found.next;
            if page.is_none() {
                break;
            }
        }
        self.read_to(INVOICES_SWEEP, page, began_at).await
    }
}

/// What an answer that is none means for the questions after it.
fn stopped(answer: Answer) -> Stopped {
    // A key that is good for other things may not read this.
    let may_not = answer.outcome == Outcome::Unauthorized && answer.status == Some(403);
    if may_not || answer.outcome.concerns_one_question() {
        Stopped::Forbidden(answer)
    } else {
        Stopped::Unanswered(answer)
    }
}

#[async_trait]
impl Service for Listener {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        let waits = self.waiting().span;
        if let Some(span) = waits.filter(|span| span.contains(now)) {
            return Ok(Step { wake_at: Some(span.end), ..Step::default() });
        }
        Ok(self.look(now).await?)
    }
}
