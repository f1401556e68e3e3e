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
use super::asking::{List, Sweep, Wanted, latest_of};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::names::FeedName;
use crate::domain::notice::{CameBy, Notice};
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::billing::{BillingLedger, Cursor, Learned, Learnt};
use crate::ledger::delivery::DeliveryLedger;
use crate::ledger::notices::{Arrival, NoticesLedger, WaitingNotice};
use crate::ledger::reconcile::ReconcileLedger;
use crate::provider::Provider;
use crate::provider::billing::{Answered, BillingReader};
use crate::service::{Service, Step, StepError};

/// How often there is a look at what fell due and at the lists, in microseconds: a minute, of an
/// hour's grace. What was announced is not waited with.
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
/// How old invoices may be that a sweep reads, in microseconds: a month and the longest grace, so
/// that each is read once more after it became final.
const SWEPT_INVOICES_MICROS: i64 = 35 * MICROS_PER_DAY;
/// A sweep that was never made lets nothing be known.
const NEVER: Timestamp = Timestamp::from_micros(0);
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
    /// Before this there is no look, unless something was announced.
    look_at: Option<Timestamp>,
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
        let provider = &self.settings.provider;
        let next = now.plus_micros(LOOK_MICROS);
        let notices = self.ledger.waiting_notices(provider, NOTICES_PER_STEP).await?;
        // A clock that was set back ends the wait.
        let look_at = self.waiting().look_at.filter(|at| now < *at && *at <= next);
        if let Some(at) = look_at.filter(|_| notices.is_empty()) {
            return Ok(Step { wake_at: Some(at), ..Step::default() });
        }
        let mut step = Step { wake_at: Some(next), ..Step::default() };
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
        let more = match round.run(&notices).await {
            Ok(more) => {
                // What was learned may have let more fall due.
                let look_at = (round.asked == 0).then_some(next);
                *self.waiting() = Waiting { look_at, ..Waiting::default() };
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
        *self.waiting() = Waiting { span, last_micros: micros, look_at: None };
    }

    fn tell(&self, answer: &Answer, what: &str) {
        let (provider, outcome) = (&self.settings.provider, answer.outcome.kind());
        let why = answer.message.as_deref().unwrap_or_default();
        tracing::warn!(%provider, %outcome, why, "{what}");
    }
}

impl Round<'_> {
    /// Asks for what is to be asked for; whether there is more of the same.
    async fn run(&mut self, notices: &[WaitingNotice]) -> Result<bool, Stopped> {
        let listener = self.listener;
        let provider = &listener.settings.provider;
        let mut known_to = self.provider_now;
        for sweep in Sweep::ALL {
            known_to = known_to.min(self.sweep(*sweep).await?);
        }
        // Lists lag behind what they announce.
        let known_to = known_to.plus_micros(-OVERLAP_MICROS);
        let asked_before = self.now.plus_micros(-ASK_AGAIN_MICROS);
        let overdue = listener
            .ledger
            .overdue(provider, self.provider_now, asked_before, OVERDUE_PER_STEP, self.now)
            .await?;
        let wanted = Wanted::of(notices, overdue, known_to, listener.reader.as_ref());
        if !wanted.is_empty() {
            self.ask(wanted).await?;
        }
        if u32::try_from(notices.len()).is_ok_and(|found| found >= NOTICES_PER_STEP) {
            return Ok(true);
        }
        let mut polled = 0;
        for feed in listener.reader.feeds() {
            polled += self.poll(&feed).await?;
        }
        Ok(polled > 0)
    }

    /// A list that the key may not read has its turn again when it would have had it anyway; the
    /// others go on.
    fn passed_over<T>(&self, feed: &str, read: Result<T, Stopped>) -> Result<Option<T>, Stopped> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(Stopped::Forbidden(answer)) => {
                self.listener.tell(&answer, &format!("the list \"{feed}\" cannot be read"));
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
            self.read(List::Subscriptions(Some(account))).await?;
        }
        for id in &wanted.subscriptions {
            let found = self.answer(reader.subscription(id)).await?;
            learned.subscriptions.extend(found);
        }
        let overdue = latest_of(&learned.subscriptions, &wanted.overdue);
        for id in wanted.invoices.union(&overdue) {
            match self.answer(reader.invoice(id)).await? {
                Some(invoice) => learned.invoices.push(invoice),
                None => learned.missing.push(id.clone()),
            }
        }
        for notice in &wanted.reports {
            let found = self.answer(reader.rejections(notice)).await?;
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

    /// Asks a question if the budget allows it, counts what it took, and takes note of the
    /// provider's clock.
    async fn answer<T>(
        &mut self,
        question: impl Future<Output = Result<Answered<T>, Answer>> + Send,
    ) -> Result<T, Stopped> {
        if self.left == 0 {
            return Err(Stopped::Spent);
        }
        let answer = question.await;
        let listener = self.listener;
        let calls = answer.as_ref().map_or(1, |answered| answered.calls);
        self.asked += u64::from(calls);
        self.left = self.left.saturating_sub(calls);
        listener.ledger.count_reads(&listener.settings.provider, calls, self.now).await?;
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

    async fn cursor(&self, feed: &str) -> Result<Option<Cursor>, LedgerError> {
        let listener = self.listener;
        listener.ledger.cursor(&listener.settings.provider, feed).await
    }

    /// Whether a list that was read has its turn again.
    fn is_due(&self, cursor: Cursor, every_micros: i64) -> bool {
        !(0..every_micros).contains(&self.now.micros_since(cursor.read_at))
    }

    async fn done(&self, feed: &str, read_to: Timestamp) -> Result<(), LedgerError> {
        let listener = self.listener;
        let cursor = Cursor { read_to, read_at: self.now };
        listener.ledger.move_cursor(&listener.settings.provider, feed, cursor).await
    }

    /// Reads a list as a whole, if that is due; what happened before the answer was read so.
    async fn sweep(&mut self, sweep: Sweep) -> Result<Timestamp, Stopped> {
        let cursor = self.cursor(sweep.as_str()).await?;
        if let Some(cursor) = cursor.filter(|cursor| !self.is_due(*cursor, SWEEP_MICROS)) {
            return Ok(cursor.read_to);
        }
        let began_at = self.provider_now;
        let list = match sweep {
            Sweep::Subscriptions => List::Subscriptions(None),
            Sweep::Invoices => List::Invoices(began_at.plus_micros(-SWEPT_INVOICES_MICROS)),
        };
        let read = self.read(list).await;
        let read_to = match (self.passed_over(sweep.as_str(), read)?, cursor) {
            (Some(_), _) => began_at,
            (None, Some(cursor)) => cursor.read_to,
            (None, None) => NEVER,
        };
        self.done(sweep.as_str(), read_to).await?;
        Ok(read_to)
    }

    /// Reads what was announced since the list was read last, if that is due; how many
    /// announcements are new.
    async fn poll(&mut self, feed: &FeedName) -> Result<u64, Stopped> {
        let cursor = self.cursor(feed.as_str()).await?;
        if let Some(cursor) = cursor {
            let due = self.is_due(cursor, POLL_BESIDE_WEBHOOKS_MICROS);
            if !due && (!self.is_due(cursor, POLL_MICROS) || self.webhooks_come().await?) {
                return Ok(0);
            }
        }
        let began_at = self.provider_now;
        let since = cursor.map_or(began_at.plus_micros(-FIRST_POLL_MICROS), |each| each.read_to);
        let read = self.read(List::Feed(feed, since)).await;
        let (new, read_to) = match self.passed_over(feed.as_str(), read)? {
            Some(new) => (new, began_at.plus_micros(-OVERLAP_MICROS)),
            None => (0, since),
        };
        self.done(feed.as_str(), read_to).await?;
        Ok(new)
    }

    async fn webhooks_come(&self) -> Result<bool, LedgerError> {
        let listener = self.listener;
        let heard = listener.ledger.heard_at(&listener.settings.provider).await?;
        Ok(heard.is_some_and(|at| self.now.micros_since(at) < WEBHOOKS_COME_MICROS))
    }

    /// Reads a list to its end, and keeps what is on each page; how many announcements are new. It
    /// is said where it goes on past what is read in a row: it is not begun again before its time.
    async fn read(&mut self, list: List<'_>) -> Result<u64, Stopped> {
        let (mut page, mut new) = (None, 0);
        for _ in 0..PAGES_MAX {
            let (found, next) = self.page(list, page.as_deref()).await?;
            new += found;
            page = next;
            if page.is_none() {
                return Ok(new);
            }
        }
        let provider = &self.listener.settings.provider;
        let list = list.name();
        tracing::error!(%provider, list, pages = PAGES_MAX, "a list goes on past what is read");
        Ok(new)
    }

    /// Reads a page and keeps what is on it; how many announcements are new, and the next page.
    async fn page(
        &mut self,
        list: List<'_>,
        page: Option<&str>,
    ) -> Result<(u64, Option<String>), Stopped> {
        let reader = Arc::clone(&self.listener.reader);
        match list {
            List::Subscriptions(account) => {
                let found = self.answer(reader.subscriptions(account, page)).await?;
                let nothing = Learned::nothing(self.provider_now);
                self.learn(Learned { subscriptions: found.items, ..nothing }).await?;
                Ok((0, found.next))
            }
            List::Invoices(since) => {
                let found = self.answer(reader.invoices(since, page)).await?;
                let nothing = Learned::nothing(self.provider_now);
                self.learn(Learned { invoices: found.items, ..nothing }).await?;
                Ok((0, found.next))
            }
            List::Feed(feed, since) => {
                let found = self.answer(reader.feed_page(feed, since, page)).await?;
                Ok((self.archive(found.items).await?, found.next))
            }
        }
    }

    /// Keeps what was announced; how much of it is new.
    async fn archive(&self, notices: Vec<Notice>) -> Result<u64, LedgerError> {
        let listener = self.listener;
        let (provider, came_by) = (&listener.settings.provider, CameBy::Poll);
        let arrival = |notice| Arrival { provider: provider.clone(), notice, came_by };
        let arrivals: Vec<Arrival> = notices.into_iter().map(arrival).collect();
        let archived = listener.ledger.archive_notices(&arrivals, self.now).await?;
        Ok(archived.iter().map(|each| u64::from(each.is_new())).sum())
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
