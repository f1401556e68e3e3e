//! What the listener does with a provider that does not answer, or will not. Here: how often it
//! asks all the same. Never here: what follows from answers ([`crate::billing_month`]). Read next:
//! [`crate::periods`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use tallyd::clock::Clock as _;
use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::billing::{Invoice, RejectionReport, Subscription};
use tallyd::domain::names::{
    AccountName, FeedName, InvoiceId, NoticeId, NoticeKind, SubscriptionId,
};
use tallyd::domain::notice::{Notice, Related};
use tallyd::domain::time::Timestamp;
use tallyd::ledger::reconcile::ReconcileLedger as _;
use tallyd::provider::billing::{Announced, Answered, BillingReader, Page};
use tallyd::reconcile::listener::Listener;
use tallyd::service::Service as _;

use crate::support::journey::{Setting, World, provider_name, route};
use crate::support::stripe::start;

/// A provider that answers every question in the same way, and counts them.
struct Mute {
    answer: Answer,
    asked: AtomicU32,
}

impl Mute {
    fn say<T>(&self) -> Result<T, Answer> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Err(self.answer.clone())
    }
}

#[async_trait]
impl BillingReader for Mute {
    fn announced(&self, _: &NoticeKind, _: Option<&Related>) -> Announced {
        Announced::Nothing
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
        self.say()
    }

    async fn subscription(
        &self,
        _: &SubscriptionId,
    ) -> Result<Answered<Option<Subscription>>, Answer> {
        self.say()
    }

    async fn subscriptions(
        &self,
        _: Option<&AccountName>,
        _: Option<&str>,
    ) -> Result<Answered<Page<Subscription>>, Answer> {
        self.say()
    }

    async fn invoice(&self, _: &InvoiceId) -> Result<Answered<Option<Invoice>>, Answer> {
        self.say()
    }

    async fn invoices(
        &self,
        _: Timestamp,
        _: Option<&str>,
    ) -> Result<Answered<Page<Invoice>>, Answer> {
        self.say()
    }

    async fn rejections(&self, _: &NoticeId) -> Result<Answered<Option<RejectionReport>>, Answer> {
        self.say()
    }
}

/// How many questions are asked in a day of looks a minute apart.
async fn asked_in_a_day(answer: Answer) -> u32 {
    let sandbox = start().await;
    let clock = sandbox.clock.clone();
    let folder = tempfile::tempdir().unwrap();
    let routes = vec![route("tokens")];
    let world = World::open(folder.path(), &sandbox, &clock, routes, Setting::default()).await;
    world.step().await;
    let mute = Arc::new(Mute { answer, asked: AtomicU32::new(0) });
    let settings = tallyd::reconcile::Settings {
        provider: provider_name(),
        reads_per_month: tallyd::reconcile::READS_PER_MONTH,
    };
    let listener = Listener::new(settings, world.ledger.clone(), world.provider, mute.clone());
    for _ in 0..24 * 60 {
        listener.run_once(clock.now()).await.unwrap();
        clock.advance_micros(60_000_000);
    }
    let counted = world.ledger.read_calls(&provider_name(), clock.now()).await.unwrap().month;
    let asked = mute.asked.load(Ordering::Relaxed);
    assert_eq!(asked, counted, "what is asked is counted, answered or not");
    asked
}

#[tokio::test]
async fn a_key_that_may_not_read_what_is_billed_is_not_asked_with_every_minute() {
    let no = Answer { status: Some(403), ..Answer::bare(Outcome::Unauthorized, "no".to_owned()) };
    let asked = asked_in_a_day(no).await;
    // Two lists once a day, one every half an hour.
    assert!((48..=52).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_asked_ever_more_rarely() {
    let asked = asked_in_a_day(Answer::bare(Outcome::Unknown, "no answer".to_owned())).await;
    assert!((24..=32).contains(&asked), "{asked}");
}
