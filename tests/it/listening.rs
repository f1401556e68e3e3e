//! What the listener does with a provider that does not answer, or will not. Here: how often it
//! asks all the same. Never here: what follows from answers ([`crate::billing_month`]). Read next:
//! [`crate::periods`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use tallyd::clock::{Clock as _, ManualClock};
use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::billing::{Invoice, InvoiceStatus, RejectionReport, Subscription};
use tallyd::domain::names::{
    AccountName, FeedName, InvoiceId, NoticeId, NoticeKind, SubscriptionId,
};
use tallyd::domain::notice::{CameBy, Notice, Related};
use tallyd::domain::time::{Timestamp, Window};
use tallyd::ledger::billing::{BillingLedger as _, Learned};
use tallyd::ledger::notices::{Arrival, NoticesLedger as _};
use tallyd::ledger::reconcile::ReconcileLedger as _;
use tallyd::ledger::report::{Question, ReportLedger as _};
use tallyd::provider::billing::{Announced, Answered, BillingReader, Page};
use tallyd::reconcile::listener::Listener;
use tallyd::reconcile::{READS_PER_MONTH, Settings};
use tallyd::service::{Service as _, Step};
use tallyd::store::sqlite::SqliteLedger;

use crate::support::billing::invoice_of;
use crate::support::journey::{Setting, World, provider_name, route};
use crate::support::stripe::{NOON, start};

/// A provider that answers every question in the same way, and counts them.
struct Mute {
    /// What it answers; nothing stands for lists with nothing on them.
    answer: Option<Answer>,
    asked: AtomicU32,
}

impl Mute {
    fn say<T>(&self, nothing: T) -> Result<Answered<T>, Answer> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match &self.answer {
            Some(answer) => Err(answer.clone()),
            None => Ok(Answered { value: nothing, provider_at: None, calls: 1 }),
        }
    }

    fn page<T>(&self) -> Result<Answered<Page<T>>, Answer> {
        self.say(Page { items: Vec::new(), next: None })
    }
}

#[async_trait]
impl BillingReader for Mute {
    fn announced(&self, kind: &NoticeKind, _: Option<&Related>) -> Announced {
        match kind.as_str() {
            "invoice.deleted" => Announced::Invoice(InvoiceId::new("in_1").unwrap()),
            _ => Announced::Subscription(SubscriptionId::new("sub_1").unwrap()),
        }
    }

    fn feeds(&self) -> Vec<FeedName> {
        vec![FeedName::new("events").unwrap()]
    }

    async fn feed_page(
        &self,
        _: &FeedName,
        _: Timestamp,
        _: Option<&str>,
    ) -> Result<Answered<Page<Notice>>, Answer> {
        self.page()
    }

    async fn subscription(
        &self,
        _: &SubscriptionId,
    ) -> Result<Answered<Option<Subscription>>, Answer> {
        self.say(None)
    }

    async fn subscriptions(
        &self,
        _: Option<&AccountName>,
        _: Option<&str>,
    ) -> Result<Answered<Page<Subscription>>, Answer> {
        self.page()
    }

    async fn invoice(&self, _: &InvoiceId) -> Result<Answered<Option<Invoice>>, Answer> {
        self.say(None)
    }

    async fn invoices(
        &self,
        _: Timestamp,
        _: Option<&str>,
    ) -> Result<Answered<Page<Invoice>>, Answer> {
        self.page()
    }

    async fn rejections(&self, _: &NoticeId) -> Result<Answered<Option<RejectionReport>>, Answer> {
        self.say(None)
    }
}

/// A listener over a real ledger that asks a provider of which only the answers matter.
struct Stand {
    listener: Listener,
    mute: Arc<Mute>,
    ledger: Arc<SqliteLedger>,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

impl Stand {
    async fn open(answer: Option<Answer>, reads_per_month: u32) -> Self {
        let sandbox = start().await;
        let clock = sandbox.clock.clone();
        let folder = tempfile::tempdir().unwrap();
        let routes = vec![route("tokens")];
        let world = World::open(folder.path(), &sandbox, &clock, routes, Setting::default()).await;
        world.step().await;
        let mute = Arc::new(Mute { answer, asked: AtomicU32::new(0) });
        let settings = Settings { provider: provider_name(), reads_per_month };
        let ledger = world.ledger.clone();
        let listener = Listener::new(settings, ledger.clone(), world.provider, mute.clone());
        Self { listener, mute, ledger, clock, _folder: folder }
    }

    fn asked(&self) -> u32 {
        self.mute.asked.load(Ordering::Relaxed)
    }

    async fn wake(&self) -> Step {
        self.listener.run_once(self.clock.now()).await.unwrap()
    }

    /// Has the listener wake every minute of a day.
    async fn pass_a_day(&self) {
        for _ in 0..24 * 60 {
            self.wake().await;
            self.clock.advance_micros(60_000_000);
        }
    }

    async fn announce(&self, arrivals: &[Arrival]) {
        self.ledger.archive_notices(arrivals, self.clock.now()).await.unwrap();
    }
}

/// How many questions are asked in a day of looks a minute apart, when notices come: of a
/// subscription, as often as `notices` says, `age` seconds old.
async fn asked_in_a_day(answer: Option<Answer>, notices: i64, age: i64) -> u32 {
    let stand = Stand::open(answer, READS_PER_MONTH).await;
    stand.wake().await;
    let arrivals: Vec<Arrival> = (0..notices).map(|number| arrival(number, age)).collect();
    stand.announce(&arrivals).await;
    stand.pass_a_day().await;
    let now = stand.clock.now();
    let counted = stand.ledger.read_calls(&provider_name(), now).await.unwrap().month;
    assert_eq!(stand.asked(), counted, "what is asked is counted, answered or not");
    let waiting = stand.ledger.waiting_notices(&provider_name(), 100).await.unwrap();
    assert_eq!(waiting, [], "every notice led to something, or to nothing");
    stand.asked()
}

fn arrival(number: i64, age: i64) -> Arrival {
    let notice = Notice {
        id: NoticeId::new(&format!("evt_{number}")).unwrap(),
        snapshot: None,
        kind: NoticeKind::new("customer.subscription.updated").unwrap(),
        created_at: Timestamp::from_seconds(NOON - age),
        livemode: false,
        related: None,
        body: "{}".to_owned(),
    };
    Arrival { provider: provider_name(), notice, came_by: CameBy::Webhook }
}

/// The draft that is known.
async fn known_draft(ledger: &SqliteLedger, range: Window) -> Option<InvoiceId> {
    let question = Question { provider: provider_name(), account: None, meter: None, range };
    let comparands = ledger.comparands(&question).await.unwrap();
    comparands[0].periods[0].invoice.clone()
}

#[tokio::test]
async fn what_was_read_with_all_the_others_is_not_read_for_every_notice_of_it() {
    let one = asked_in_a_day(None, 1, 3_600).await;
    assert_eq!(asked_in_a_day(None, 50, 3_600).await, one, "all of it was read since");
    assert_eq!(asked_in_a_day(None, 50, 0).await, one + 1, "it may be news, once");
}

#[tokio::test]
async fn a_key_that_may_not_read_what_is_billed_is_not_asked_with_every_minute() {
    let no = Answer { status: Some(403), ..Answer::bare(Outcome::Unauthorized, "no".to_owned()) };
    let asked = asked_in_a_day(Some(no), 0, 0).await;
    // Two lists once a day, one every half an hour.
    assert!((48..=52).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_asked_ever_more_rarely() {
    let silence = Answer::bare(Outcome::Unknown, "no answer".to_owned());
    let asked = asked_in_a_day(Some(silence), 0, 0).await;
    assert!((24..=32).contains(&asked), "{asked}");
}

#[tokio::test]
async fn with_no_reads_left_nothing_is_asked_at_all() {
    for budget in [0, 1, 2] {
        let stand = Stand::open(None, budget).await;
        stand.pass_a_day().await;
        assert_eq!(stand.asked(), budget, "all that there is, and no more");
    }
}

#[tokio::test]
async fn what_is_announced_is_read_at_the_next_wake_and_lists_are_looked_at_each_minute() {
    let stand = Stand::open(None, READS_PER_MONTH).await;
    while stand.wake().await.did_something() {}
    let asked = stand.asked();
    stand.clock.advance_micros(5_000_000);
    let step = stand.wake().await;
    assert!(step.wake_at.is_some_and(|at| at < stand.clock.now().plus_seconds(60)), "{step:?}");
    assert_eq!(stand.asked(), asked);
    stand.announce(&[arrival(1, 0)]).await;
    assert!(stand.wake().await.did_something());
    assert_eq!(stand.asked(), asked + 1, "the minute is not waited for");
}

#[tokio::test]
async fn a_draft_that_is_announced_to_be_gone_is_looked_for_and_forgotten() {
    let stand = Stand::open(None, READS_PER_MONTH).await;
    let now = stand.clock.now();
    let period = Window { start: now.plus_seconds(-3_600), end: now.plus_seconds(-60) };
    let draft = invoice_of(period, InvoiceStatus::Draft, now.plus_seconds(7_200));
    let learned = Learned { invoices: vec![draft], ..Learned::nothing(now) };
    stand.ledger.learn(&provider_name(), &learned, now).await.unwrap();
    stand.wake().await;
    assert!(known_draft(&stand.ledger, period).await.is_some(), "lists say nothing of it");
    let mut gone = arrival(1, 0);
    gone.notice.kind = NoticeKind::new("invoice.deleted").unwrap();
    stand.announce(&[gone]).await;
    stand.wake().await;
    assert_eq!(known_draft(&stand.ledger, period).await, None);
}
